//! kube-ovn-cni: see the library.
use std::process::ExitCode;

fn main() -> ExitCode {
    tombolo_agent::run::main()
}
