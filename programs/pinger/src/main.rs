//! kube-ovn-pinger: see the library.
use std::process::ExitCode;

fn main() -> ExitCode {
    tombolo_pinger::main()
}
