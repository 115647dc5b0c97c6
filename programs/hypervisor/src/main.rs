//! ovs-ovn: see the library.
use std::process::ExitCode;

fn main() -> ExitCode {
    tombolo_hypervisor::main()
}
