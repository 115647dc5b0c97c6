//! All acceptance tests run with controllers that reach OVN's databases over TLS. This one sees to it that they do.

use anyhow::{Result, ensure};
use tombolo_needs::needs;
use tombolo_sandbox::kubernetes::kubectl;
use tombolo_sandbox::ovn::{self, Database};
use tombolo_sandbox::{hosts, programs};
use tombolo_tests_acceptance::bed;

#[test]
fn controllers_and_kubectl_ko_reach_the_databases_over_tls_and_no_stranger_does() -> Result<()> {
    let _bed = needs!(bed()?);
    let (mut over_tls, mut plain) = (0, Vec::new());
    for pod in programs::pods()?.into_iter().filter(|pod| pod.app == "kube-ovn-controller") {
        // Of all connections those of our program, by its name as the kernel has it.
        let sockets = hosts::by_name(&pod.host)?.exec(["ss", "-Htnp", "state", "established"])?;
        for line in sockets.lines().filter(|line| line.contains("\"kube-ovn-contro")) {
            let goes_to = |port: u16| line.contains(&format!(":{port} "));
            over_tls += usize::from(goes_to(Database::Nb.tls_port()));
            if goes_to(ovn::NB_PORT) || goes_to(ovn::SB_PORT) {
                plain.push(line.to_owned());
            }
        }
    }
    ensure!(over_tls >= 2, "{over_tls} connections of two controllers over TLS; cargo xtask sandbox tls");
    ensure!(plain.is_empty(), "connections in plain text: {plain:?}");

    let shown = kubectl(["ko", "nbctl", "show", "join"])?;
    ensure!(shown.contains("port join-ovn-cluster"), "{shown}");

    let host = hosts::host(1);
    let authority = ovn::authority();
    let address = format!("ssl:{}:{}", host.mgmt, Database::Nb.tls_port());
    let ca = format!("--ca-cert={}", authority.certificate("ca").display());
    let with = |name: &str| {
        let key = format!("--private-key={}", authority.key(name).display());
        let certificate = format!("--certificate={}", authority.certificate(name).display());
        host.try_exec(["ovsdb-client", "--timeout=10", &key, &certificate, &ca, "list-dbs", &address])
    };
    let known = with(ovn::CLIENT)?;
    ensure!(known.stdout.contains("OVN_Northbound"), "{known:?}");
    // One that another authority has issued: what an API server's client has.
    let stranger =
        tombolo_sandbox::authority::Authority::create(&authority.dir().join("stranger"), "/CN=another")?;
    stranger.issue("client", "/CN=kube-ovn", "")?;
    let key = format!("--private-key={}", stranger.key("client").display());
    let certificate = format!("--certificate={}", stranger.certificate("client").display());
    let refused =
        host.try_exec(["ovsdb-client", "--timeout=10", &key, &certificate, &ca, "list-dbs", &address])?;
    ensure!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    Ok(())
}
