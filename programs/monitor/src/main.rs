//! kube-ovn-monitor: see the library.
use std::process::ExitCode;

fn main() -> ExitCode {
    tombolo_monitor::main()
}
