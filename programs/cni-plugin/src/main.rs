//! kube-ovn: the CNI plugin that a container runtime starts for each pod.

use std::process::ExitCode;

fn main() -> ExitCode {
    let code = tombolo_cni_plugin::run(
        |name| std::env::var(name).ok(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    );
    ExitCode::from(code)
}
