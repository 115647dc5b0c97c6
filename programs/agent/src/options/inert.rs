//! Flags of Kube-OVN's daemon, of any version, that have no effect here: accepted, so that an existing manifest
//! starts, and named in the log. A DaemonSet that doesn't start is a cluster without new pods.

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};

/// Switches: bools as Go reads them, `--x` or `--x=false`.
const SWITCHES: &[&str] = &[
    "encap-checksum",
    "enable-mirror",
    "enable-arp-detect-ip-conflict",
    "enable-tproxy",
    "host-tunnel-src",
    "set-vxlan-tx-off",
    "enable-metrics",
    "enable-verbose-conn-check",
    "enable-verbose-conn-log",
    "enable-ovn-ipsec",
    "cert-manager-ipsec-cert",
    "secure-serving",
    "non-primary-cni-mode",
    "enable-non-primary-cni",
    "enable-pprof",
    "mac-learning-fallback",
    "enable-node-local-access-vpc-nat-gw-eip",
    "install-cni-config",
    "logtostderr",
    "alsologtostderr",
    "one-output",
    "skip-headers",
    "skip-log-headers",
    "add-dir-header",
    "legacy-stderr-threshold-behavior",
];
/// Flags with a value. klog's are among them; they are spelled with underscores, and either is taken.
const VALUES: &[&str] = &[
    "network-type",
    "mirror-iface",
    "dpdk-tunnel-iface",
    "default-provider-name",
    "default-interface-name",
    "ovs-vsctl-concurrency",
    "kubelet-dir",
    "external-gateway-config-ns",
    "external-gateway-net",
    "external-gateway-switch",
    "external-gateway-vlanid",
    "udp-conn-check-port",
    "tcp-conn-check-port",
    "log-perm",
    "tls-min-version",
    "tls-max-version",
    "tls-cipher-suites",
    "cert-manager-issuer-name",
    "ovn-ipsec-cert-duration",
    "cni-conf-file",
    "node-local-dns-ip",
    "vlan-name",
    "log-file",
    "log-file-max-size",
    "log-dir",
    "log-backtrace-at",
    "log-flush-frequency",
    "stderrthreshold",
    "vmodule",
    "v",
];

/// Which of them were given.
#[derive(Debug, Clone, Default)]
pub struct Inert(pub Vec<&'static str>);

impl Inert {
    fn flags() -> impl Iterator<Item = (&'static str, bool)> {
        let switches = SWITCHES.iter().map(|name| (*name, true));
        switches.chain(VALUES.iter().map(|name| (*name, false)))
    }
}

impl clap::FromArgMatches for Inert {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
        Ok(Self(Self::flags().map(|(name, _)| name).filter(|name| given(name)).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Inert {
    fn augment_args(mut command: Command) -> Command {
        for (name, switch) in Self::flags() {
            let mut arg = Arg::new(name).long(name).hide(true).action(ArgAction::Append);
            arg = arg.value_parser(ValueParser::string()).allow_hyphen_values(true);
            if name.contains('-') {
                // The parser takes names that live as long as the program; it is made once.
                arg = arg.alias(&*name.replace('-', "_").leak());
            }
            if name == "v" {
                arg = arg.short('v');
            }
            if switch {
                arg = arg.num_args(0..=1).require_equals(true).default_missing_value("true");
            }
            command = command.arg(arg);
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
