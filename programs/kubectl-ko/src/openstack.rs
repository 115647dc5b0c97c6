//! `ko openstack-config`: the lines that point Neutron and the hosts' ovn-controllers at this cluster's databases, as in
//! "OpenStack on Kubernetes" (docs/operate/install.md), with the endpoints that the controller has.

use std::process::ExitCode;

use anyhow::Result;
use tombolo_names::workloads::{CHASSIS_TLS_SECRET, NEUTRON_TLS_SECRET, TLS_SECRET};

use crate::database::{self, Database, deployment};
use crate::kubectl::Kubectl;

/// Where the lines for TLS expect the three files, on Neutron's host and on each host.
const NEUTRONS: &str = "/etc/neutron/ovn";
/// On each host.
const HOSTS: &str = "/etc/openvswitch/ovn";

/// Prints them.
pub fn command(kubectl: &Kubectl) -> Result<ExitCode> {
    let controller = database::controller(kubectl)?;
    let nb = deployment::endpoints(&controller, Database::Nb)?;
    let sb = deployment::endpoints(&controller, Database::Sb)?;
    print!("{}", lines(kubectl.namespace(), &nb, &sb));
    Ok(ExitCode::SUCCESS)
}

fn lines(namespace: &str, nb: &[String], sb: &[String]) -> String {
    let tls = |endpoints: &[String]| endpoints.iter().any(|endpoint| endpoint.starts_with("ssl:"));
    let (nb_line, remote) = (nb.join(","), sb.join(","));
    let mut text = format!(
        "# Neutron: /etc/neutron/plugins/ml2/ml2_conf.ini\n[ovn]\novn_nb_connection = {nb_line}\n\
         ovn_sb_connection = {remote}\novn_l3_scheduler = leastloaded\n"
    );
    for (word, endpoints) in [("nb", nb), ("sb", sb)] {
        if tls(endpoints) {
            text += &format!(
                "ovn_{word}_private_key = {NEUTRONS}/key\novn_{word}_certificate = {NEUTRONS}/cert\n\
                 ovn_{word}_ca_cert = {NEUTRONS}/cacert\n"
            );
        }
    }
    text += "\n# each host\n";
    if tls(sb) {
        text += &format!("ovs-vsctl set-ssl {HOSTS}/key {HOSTS}/cert {HOSTS}/cacert\n");
    }
    text += &format!(
        "ovs-vsctl set open . external-ids:ovn-remote={remote}\n\
         ovs-vsctl set open . external-ids:ovn-encap-type=geneve\n\
         ovs-vsctl set open . external-ids:ovn-encap-ip=IP_ADDRESS   # this host's, accessible for all nodes\n"
    );
    if tls(nb) || tls(sb) {
        text += &format!(
            "\n# key, cert, cacert: issued by the databases' CA. OVN as pods keeps them in the Secrets {namespace}/{NEUTRON_TLS_SECRET}\n\
             # for Neutron and {namespace}/{CHASSIS_TLS_SECRET} for hosts; this cluster's own are in {namespace}/{TLS_SECRET}\n"
        );
    } else {
        text += "\n# tcp: has no authentication: whoever reaches these ports writes all of OVN. See \"TLS to OVN\" in docs/operate/install.md\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(endpoints: &[&str]) -> Vec<String> {
        endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect()
    }

    #[test]
    fn the_documents_lines_with_this_clusters_endpoints() {
        let text = lines(
            "kube-system",
            &of(&["tcp:10.0.0.1:6641", "tcp:10.0.0.2:6641"]),
            &of(&["tcp:10.0.0.1:6642"]),
        );
        for line in [
            "[ovn]",
            "ovn_nb_connection = tcp:10.0.0.1:6641,tcp:10.0.0.2:6641",
            "ovn_sb_connection = tcp:10.0.0.1:6642",
            "ovs-vsctl set open . external-ids:ovn-remote=tcp:10.0.0.1:6642",
            "ovs-vsctl set open . external-ids:ovn-encap-type=geneve",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(
            text.contains("external-ids:ovn-encap-ip=IP_ADDRESS") && !text.contains("private_key"),
            "{text}"
        );
        assert!(text.contains("no authentication"), "{text}");
    }

    #[test]
    fn the_files_of_tls() {
        let text = lines("kube-system", &of(&["ssl:10.0.0.1:6641"]), &of(&["ssl:[fd00::1]:6642"]));
        assert!(text.contains("ovn_nb_ca_cert = /etc/neutron/ovn/cacert\n"), "{text}");
        assert!(text.contains("ovn_sb_private_key = /etc/neutron/ovn/key\n"), "{text}");
        assert!(text.contains("ovs-vsctl set-ssl /etc/openvswitch/ovn/key "), "{text}");
        assert!(
            text.contains("kube-system/ovn-client-neutron")
                && text.contains("kube-system/ovn-client-chassis"),
            "{text}"
        );
        assert!(
            text.contains("ovn-remote=ssl:[fd00::1]:6642\n") && !text.contains("no authentication"),
            "{text}"
        );
    }
}
