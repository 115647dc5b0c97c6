//! The engine's configuration from the command line.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Result, anyhow};
use tombolo_net::DualCidr;
use tombolo_plan::{ClusterId, Config, Selector};

use crate::flags::Flags;

/// Reads the values of the flags; `cluster` is this cluster's id. The error names the flag.
pub fn config(flags: &Flags, cluster: &str) -> Result<Config> {
    let f = &flags.acting;
    Ok(Config {
        cluster: ClusterId::new(cluster).map_err(|e| anyhow!("--cluster-id: {e}"))?,
        default_subnet: f.default_ls.clone(),
        default_cidr: cidr("--default-cidr", &f.default_cidr)?,
        default_gateway: list("--default-gateway", &f.default_gateway)?,
        default_exclude: words(&f.default_exclude_ips).map(str::to_owned).collect(),
        cluster_router: f.cluster_router.clone(),
        join_subnet: f.node_switch.clone(),
        join_cidr: cidr("--node-switch-cidr", &f.node_switch_cidr)?,
        join_gateway: list("--node-switch-gateway", &f.node_switch_gateway)?,
        service_cidr: match f.service_cluster_ip_range.as_str() {
            "" => None,
            text => Some(cidr("--service-cluster-ip-range", text)?),
        },
        enable_lb: f.enable_lb,
        port_security: f.enable_port_security,
        external_vpcs: f.enable_external_vpc,
        router_selector: Selector::parse(&f.external_vpc_selector)
            .map_err(|e| anyhow!("--external-vpc-selector: {e}"))?,
        retention_secs: f.external_vpc_retention.as_secs(),
        take_over: f.take_over,
        leaving: f.uninstall.is_some(),
    })
}

/// The words between commas.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn cidr(flag: &str, text: &str) -> Result<DualCidr> {
    text.parse().map_err(|e| anyhow!("{flag}={text}: {e}"))
}

fn list(flag: &str, text: &str) -> Result<Vec<IpAddr>> {
    words(text)
        .map(|word| IpAddr::from_str(word).map_err(|e| anyhow!("{flag}={text}: {word:?}: {e}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Config> {
        let all = ["x", "--ovn-nb-addr=tcp:127.0.0.1:6641"].iter().chain(args).map(|s| (*s).to_owned());
        config(&Flags::parse(all, |_| None)?, "c")
    }

    #[test]
    fn defaults() {
        let config = read(&[]).unwrap();
        assert_eq!(config.default_cidr.to_string(), "10.16.0.0/16");
        assert_eq!(config.join_subnet, "join");
        assert_eq!(config.retention_secs, 86_400);
        assert!(config.external_vpcs && config.default_gateway.is_empty());
    }

    #[test]
    fn lists_and_two_families() {
        let config = read(&[
            "--default-cidr=10.16.0.0/16,fd00:10:16::/112",
            "--default-gateway=10.16.0.1,fd00:10:16::1",
            "--default-exclude-ips=10.16.0.5..10.16.0.9, 10.16.0.3",
            "--service-cluster-ip-range=",
        ])
        .unwrap();
        assert_eq!(config.default_gateway.len(), 2);
        assert_eq!(config.default_exclude, ["10.16.0.5..10.16.0.9", "10.16.0.3"]);
        assert_eq!(config.service_cidr, None);
    }

    #[test]
    fn an_error_names_the_flag() {
        for (arg, flag) in [
            ("--default-cidr=10.16.0.0", "--default-cidr"),
            ("--default-gateway=x", "--default-gateway"),
            ("--node-switch-cidr=", "--node-switch-cidr"),
            ("--external-vpc-selector==a", "--external-vpc-selector"),
        ] {
            let error = read(&[arg]).unwrap_err().to_string();
            assert!(error.starts_with(flag), "{arg}: {error}");
        }
    }
}
