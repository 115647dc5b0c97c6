//! Flags of Kube-OVN's controller and agent: which of them ask for something that this version doesn't do. Pure.
//!
//! A flag that only says where something is, or how fast its own program works, asks for nothing of the network.

use serde_json::Value;

use super::check::{Report, full_name};
use crate::database::deployment;
use crate::kube_ovn;

/// What follows from a flag that has another value than those that say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Somebody would lose their network, or what protects it.
    Blocks,
    /// It ends, and pods go on without it.
    Lost,
    /// It works here, too, if ours is told the same.
    Same,
    /// Nothing: it is about Kube-OVN's own programs, or other checks look at what it led to.
    Harmless,
}
use Verdict::{Blocks, Harmless, Lost, Same};

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Names, of older versions too.
    names: &'static [&'static str],
    /// Values that say nothing.
    fine: &'static [&'static str],
    verdict: Verdict,
    /// Why, and what to do.
    why: &'static str,
}

const fn flag(
    names: &'static [&'static str],
    fine: &'static [&'static str],
    verdict: Verdict,
    why: &'static str,
) -> Flag {
    Flag { names, fine, verdict, why }
}

/// A switch that is off.
const OFF: &[&str] = &["false", ""];
/// A switch that is on.
const ON: &[&str] = &["true", ""];

/// The flags of both programs.
pub const FLAGS: &[Flag] = &[
    flag(
        &["enable-ovn-ipsec"],
        OFF,
        Blocks,
        "this version doesn't keep the keys of encrypted tunnels, which would fail when their certificates end; switch it off first",
    ),
    flag(
        &["network-type"],
        &["geneve", ""],
        Blocks,
        "this version has Geneve tunnels alone; move the pods' network to them first",
    ),
    flag(
        &["non-primary-cni-mode", "enable-non-primary-cni"],
        OFF,
        Blocks,
        "pods' first interface is another plugin's; this version always makes the first one, and would take it over",
    ),
    flag(
        &["install-cni-config"],
        ON,
        Blocks,
        "another program writes the nodes' CNI configuration; the agent here always writes its own, which may come before it",
    ),
    flag(
        &["pod-nic-type"],
        &["veth-pair", ""],
        Blocks,
        "this version's agent knows pods' interfaces of the kind veth-pair alone; recreate the pods with it first",
    ),
    flag(
        &["enable-tproxy"],
        OFF,
        Blocks,
        "it passes probes to pods behind other Vpcs' routers, and nothing here does: give those pods probes by exec, and switch it off first",
    ),
    flag(&["enable-mirror"], OFF, Lost, "nothing here mirrors pods' traffic to an interface"),
    flag(
        &["enable-lb-svc"],
        OFF,
        Lost,
        "a Service of type LoadBalancer gets its address from another program here",
    ),
    flag(
        &["enable-ovn-lb-prefer-local"],
        OFF,
        Lost,
        "kube-proxy serves Services; spec.internalTrafficPolicy of a Service does it",
    ),
    flag(
        &["node-local-dns-ip", "skip-conntrack-dst-cidrs"],
        &[""],
        Lost,
        "what it set in OVN stays as it is, and nothing here maintains it",
    ),
    flag(&["pod-default-fip-type"], &[""], Lost, "no pod gets a floating address here"),
    flag(
        &["host-tunnel-src", "set-vxlan-tx-off"],
        OFF,
        Lost,
        "what it set on the hosts' links stays until they restart",
    ),
    flag(&["secure-serving"], OFF, Lost, "metrics are served without TLS"),
    flag(
        &["default-ls"],
        &["ovn-default"],
        Same,
        "the chart's networking.DEFAULT_SUBNET: another name would make another default Subnet",
    ),
    flag(
        &["cluster-router"],
        &["ovn-cluster"],
        Same,
        "the chart's networking.DEFAULT_VPC: another name would make another default Vpc",
    ),
    flag(
        &["node-switch"],
        &["join"],
        Same,
        "the chart's networking.NODE_SUBNET: another name would make another join Subnet",
    ),
    flag(
        &["service-cluster-ip-range"],
        &["10.96.0.0/12"],
        Same,
        "the chart's ipv4.SVC_CIDR, or that of your family",
    ),
    flag(
        &["cni-conf-name"],
        &["01-kube-ovn.conflist"],
        Same,
        "the chart's cni_conf.CNI_CONFIG_PRIORITY: two files of the nodes' CNI configurations would name two plugins",
    ),
    flag(&["iface"], &[""], Same, "the chart's networking.IFACE"),
    flag(&["mtu"], &["0", ""], Same, "the chart's networking.pods.mtu"),
    // From here on: nothing. What these led to is looked at object by object.
    flag(&["enable-np", "np-enforcement", "enable-anp"], &[], Harmless, "NetworkPolicies are looked at"),
    flag(&["enable-dns-name-resolver"], &[], Harmless, "DNSNameResolvers are looked at"),
    flag(&["enable-eip-snat"], &[], Harmless, "annotations eip and snat, and NAT in OVN are looked at"),
    flag(
        &[
            "external-gateway-config-ns",
            "external-gateway-switch",
            "external-gateway-net",
            "external-gateway-vlanid",
        ],
        &[],
        Harmless,
        "the ConfigMap ovn-external-gw-config is looked at, in that namespace",
    ),
    flag(
        &["enable-ecmp", "default-logical-gateway", "default-u2o-interconnection"],
        &[],
        Harmless,
        "Subnets are looked at",
    ),
    flag(
        &[
            "default-cidr",
            "default-gateway",
            "default-gateway-check",
            "default-exclude-ips",
            "node-switch-cidr",
            "node-switch-gateway",
        ],
        &[],
        Harmless,
        "the Subnets are there already, and theirs counts",
    ),
    flag(
        &[
            "default-provider-name",
            "default-interface-name",
            "default-exchange-link-name",
            "default-vlan-name",
            "default-vlan-id",
            "vlan-name",
        ],
        &[],
        Harmless,
        "without network-type=vlan they say nothing; Vlans and ProviderNetworks are looked at",
    ),
    flag(
        &["keep-vm-ip", "enable-live-migration-optimize"],
        &[],
        Harmless,
        "IPs of virtual machines are looked at",
    ),
    flag(
        &[
            "enable-lb",
            "cluster-tcp-loadbalancer",
            "cluster-udp-loadbalancer",
            "cluster-sctp-loadbalancer",
            "cluster-tcp-session-loadbalancer",
            "cluster-udp-session-loadbalancer",
            "cluster-sctp-session-loadbalancer",
            "ls-dnat-mod-dl-dst",
            "ls-ct-skip-dst-lport-ips",
        ],
        &[],
        Harmless,
        "kube-proxy serves Services, as docs/operate/take-over.md says",
    ),
    flag(&["enable-external-vpc"], &[], Harmless, "Neutron's routers are Vpcs here"),
    flag(&["mirror-iface"], &[], Harmless, "it belongs to enable-mirror"),
    flag(
        &["bfd-min-tx", "bfd-min-rx", "detect-mult", "bfd-detect-mult"],
        &[],
        Harmless,
        "BFD of Vpcs is looked at",
    ),
    flag(
        &["cert-manager-ipsec-cert", "cert-manager-issuer-name", "ovn-ipsec-cert-duration"],
        &[],
        Harmless,
        "they belong to enable-ovn-ipsec",
    ),
    flag(
        &["encap-checksum", "dpdk-tunnel-iface", "mac-learning-fallback"],
        &[],
        Harmless,
        "they are in the hosts' Open vSwitch, which stays",
    ),
    flag(&["enable-node-local-access-vpc-nat-gw-eip"], &[], Harmless, "IptablesEIPs are looked at"),
    flag(
        &[
            "ovn-nb-addr",
            "ovn-sb-addr",
            "ovn-timeout",
            "ovsdb-con-timeout",
            "ovsdb-con-maxretry",
            "ovsdb-inactivity-timeout",
            "cust-crd-retry-min-delay",
            "cust-crd-retry-max-delay",
            "custcrd-retry-min-delay",
            "custcrd-retry-max-delay",
            "kubeconfig",
            "worker-num",
            "gc-interval",
            "inspect-interval",
            "nodepg-probe-time",
            "enable-pprof",
            "pprof-port",
            "enable-metrics",
            "image",
            "frr-image",
            "tls-min-version",
            "tls-max-version",
            "tls-cipher-suites",
            "leader-elect-lease-duration",
            "leader-elect-renew-deadline",
            "leader-elect-retry-period",
            "log-perm",
            "logtostderr",
            "alsologtostderr",
            "stderrthreshold",
            "log_file",
            "log_file_max_size",
            "log_dir",
            "v",
            "vmodule",
            "cni-conf-dir",
            "cni-conf-file",
            "bind-socket",
            "ovs-socket",
            "kubelet-dir",
            "ovs-vsctl-concurrency",
            "node-name",
            "enable-arp-detect-ip-conflict",
            "enable-verbose-conn-check",
            "tcp-conn-check-port",
            "udp-conn-check-port",
            "enable-record-tunnel-key",
        ],
        &[],
        Harmless,
        "it is about its own program",
    ),
];

/// Looks at the flags of Kube-OVN's workloads; of others of these names nothing is said.
pub fn look(workloads: &[Value], report: &mut Report) {
    for workload in workloads.iter().filter(|it| kube_ovn::is_theirs(it)) {
        let kind = workload["kind"].as_str().unwrap_or_default();
        for (name, value) in deployment::flags(workload) {
            let words = format!("{kind} {}: --{name}={value}", full_name(workload));
            let Some(known) = FLAGS.iter().find(|flag| flag.names.contains(&name.as_str())) else {
                report
                    .lost
                    .push(format!("{words}: this command doesn't know the flag; find out who relies on it"));
                continue;
            };
            if known.fine.contains(&value.as_str()) {
                continue;
            }
            let line = format!("{words}: {}", known.why);
            match known.verdict {
                Blocks => report.blocks.push(line),
                Lost => report.lost.push(line),
                Same => report.same.push(line),
                Harmless => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn controller(args: &[&str]) -> Value {
        let mut all = vec!["/kube-ovn/start-controller.sh"];
        all.extend(args);
        json!({ "kind": "Deployment", "metadata": { "name": "kube-ovn-controller" },
            "spec": { "template": { "spec": { "containers": [{ "args": all }] } } } })
    }

    fn said(args: &[&str]) -> Report {
        let mut report = Report::default();
        look(&[controller(args)], &mut report);
        report
    }

    #[test]
    fn what_kube_ovns_chart_sets_by_default_says_nothing() {
        let args = "--default-ls=ovn-default --default-cidr=10.16.0.0/16 --default-gateway=10.16.0.1 --default-gateway-check=true \
            --default-logical-gateway=false --default-u2o-interconnection=false --default-exclude-ips= --cluster-router=ovn-cluster \
            --node-switch=join --node-switch-cidr=100.64.0.0/16 --service-cluster-ip-range=10.96.0.0/12 --network-type=geneve \
            --default-provider-name=provider --default-interface-name= --default-exchange-link-name=false --default-vlan-name=ovn-vlan \
            --default-vlan-id=100 --ls-dnat-mod-dl-dst=true --ls-ct-skip-dst-lport-ips=true --pod-nic-type=veth-pair --enable-lb=true \
            --enable-np=true --np-enforcement=standard --enable-eip-snat=true --enable-external-vpc=false --enable-ecmp=false \
            --logtostderr=false --alsologtostderr=true --gc-interval=360 --inspect-interval=20 --log_file=/var/log/x \
            --log_file_max_size=200 --enable-lb-svc=false --keep-vm-ip=true --enable-metrics=true --node-local-dns-ip= \
            --secure-serving=false --enable-ovn-ipsec=false --enable-anp=false --enable-dns-name-resolver=false --ovsdb-con-timeout=3 \
            --ovsdb-inactivity-timeout=10 --enable-live-migration-optimize=true --enable-ovn-lb-prefer-local=false --image=a/b:c \
            --skip-conntrack-dst-cidrs= --non-primary-cni-mode=false";
        assert_eq!(said(&args.split_whitespace().collect::<Vec<_>>()), Report::default());
        let mut agent = controller(
            &"--enable-mirror=false --mirror-iface=mirror0 --node-switch=join --encap-checksum=true --service-cluster-ip-range=10.96.0.0/12 \
            --iface= --dpdk-tunnel-iface=br-phy --network-type=geneve --default-interface-name= --logtostderr=false --kubelet-dir=/var/lib/kubelet \
            --enable-tproxy=false --ovs-vsctl-concurrency=100 --secure-serving=false --enable-ovn-ipsec=false --set-vxlan-tx-off=false \
            --host-tunnel-src=false --non-primary-cni-mode=false"
                .split_whitespace()
                .collect::<Vec<_>>(),
        );
        agent["spec"]["template"]["spec"]["containers"][0]["command"] =
            json!(["bash", "/kube-ovn/start-cniserver.sh"]);
        let mut report = Report::default();
        look(&[agent], &mut report);
        assert_eq!(report, Report::default());
    }

    #[test]
    fn each_verdict_is_said_where_it_belongs_with_the_flag_and_what_to_do() {
        let report = said(&[
            "--enable-ovn-ipsec=true",
            "--network-type=vlan",
            "--non-primary-cni-mode",
            "--enable-mirror=true",
            "--default-ls=pods",
            "--gc-interval=0",
            "--brand-new=1",
        ]);
        let begins = |lines: &[String], words: &[&str]| {
            assert_eq!(lines.len(), words.len(), "{lines:#?}");
            for (line, words) in lines.iter().zip(words) {
                assert!(line.starts_with(&format!("Deployment kube-ovn-controller: {words}")), "{line}");
            }
        };
        begins(
            &report.blocks,
            &[
                "--enable-ovn-ipsec=true: this version doesn't keep the keys",
                "--network-type=vlan: this version has Geneve tunnels alone",
                "--non-primary-cni-mode=true: pods' first interface is another plugin's",
            ],
        );
        begins(
            &report.lost,
            &["--enable-mirror=true: nothing here mirrors", "--brand-new=1: this command doesn't know"],
        );
        begins(&report.same, &["--default-ls=pods: the chart's networking.DEFAULT_SUBNET"]);
    }

    #[test]
    fn flags_of_ours_and_of_anybody_elses_are_not_kube_ovns() {
        let mut report = Report::default();
        let mut ours = controller(&[]);
        ours["spec"]["template"]["spec"]["containers"][0] = json!({ "command": ["/kube-ovn/kube-ovn-controller"], "args": ["--take-over=true", "--enable-ovn-ipsec=true"] });
        look(&[ours], &mut report);
        assert_eq!(report, Report::default());
    }

    #[test]
    fn the_table_says_one_thing_of_a_flag() {
        let mut seen = BTreeSet::new();
        for flag in FLAGS {
            assert!(!flag.why.is_empty() && !flag.names.is_empty());
            assert_eq!(flag.verdict == Harmless, flag.fine.is_empty(), "{:?}", flag.names);
            for name in flag.names {
                assert!(seen.insert(name), "{name} is there twice");
            }
        }
    }
}
