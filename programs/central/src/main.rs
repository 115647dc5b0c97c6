//! ovn-central: see the library.
use std::process::ExitCode;

fn main() -> ExitCode {
    tombolo_central::main()
}
