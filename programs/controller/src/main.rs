//! kube-ovn-controller: see the library.
use std::process::ExitCode;

fn main() -> ExitCode {
    tombolo_controller::main()
}
