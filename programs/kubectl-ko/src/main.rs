//! `kubectl ko`: see the library.
use std::process::ExitCode;

fn main() -> ExitCode {
    tombolo_kubectl_ko::main(std::env::args_os())
}
