//! Masquerading on the node, for Subnets with `natOutgoing` and for pods' calls of Services: one nftables table of
//! our own, replaced as a whole and only when it differs. What it says is pure; `nft` puts it in place.
//!
//! Two kinds of packets that came from pods through ovn0 get the node's address:
//! those of a natOutgoing Subnet to somewhere outside of all Subnets, or nothing there could answer; and those to a
//! Service that kube-proxy on this node has led to a pod, or the answer would go past this node's conntrack.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tombolo_linux::set_sysctl;
use tombolo_net::{Cidr, DualCidr, Family};

use crate::host::Host;
use crate::node::{NodeSubnet, OVN0};
use crate::node_task::Inputs;

/// Name of our table: nobody else's rules are in it, and ours are nowhere else.
pub const TABLE: &str = "tombolo";
/// First and longest pause after `nft` failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The table, as a script for `nft -f -`: it replaces what is there in one transaction.
pub fn ruleset(
    subnets: &BTreeMap<String, NodeSubnet>,
    join: &BTreeSet<Cidr>,
    services: &BTreeSet<Cidr>,
) -> String {
    let inside: BTreeSet<Cidr> =
        subnets.values().flat_map(|s| s.networks.iter().copied()).chain(join.iter().copied()).collect();
    let nat: BTreeSet<Cidr> =
        subnets.values().filter(|s| s.nat_outgoing).flat_map(|s| s.networks.iter().copied()).collect();
    // The first line makes the second one succeed also when there is no table yet.
    let mut text = format!("table inet {TABLE} {{}}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n");
    let mut rules = String::new();
    for (family, kind, ip, digit) in [(Family::V4, "ipv4_addr", "ip", 4), (Family::V6, "ipv6_addr", "ip6", 6)]
    {
        for (name, networks) in [("inside", &inside), ("nat", &nat), ("services", services)] {
            let of_family = outermost(networks, family);
            let _ = write!(text, "  set {name}{digit} {{\n    type {kind}\n    flags interval\n");
            if !of_family.is_empty() {
                let list: Vec<String> = of_family.iter().map(Cidr::to_string).collect();
                let _ = writeln!(text, "    elements = {{ {} }}", list.join(", "));
            }
            text.push_str("  }\n");
        }
        let _ = write!(
            rules,
            "    iifname \"{OVN0}\" oifname != \"{OVN0}\" {ip} saddr @nat{digit} {ip} daddr != @inside{digit} counter masquerade\n    \
             iifname \"{OVN0}\" oifname \"{OVN0}\" ct status dnat ct original {ip} daddr @services{digit} counter masquerade\n"
        );
    }
    let _ = write!(
        text,
        "  chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n{rules}  }}\n}}\n"
    );
    text
}

/// The networks of a family that lie in no other one: a set of intervals takes no overlaps.
fn outermost(networks: &BTreeSet<Cidr>, family: Family) -> Vec<Cidr> {
    let of_family: Vec<Cidr> = networks.iter().copied().filter(|n| n.family() == family).collect();
    let covered = |n: &Cidr| of_family.iter().any(|other| other != n && other.contains_net(*n));
    of_family.iter().copied().filter(|n| !covered(n)).collect()
}

/// Keeps the table in step with the Subnets; returns when the source ends.
pub async fn keep(host: Arc<Host>, mut inputs: watch::Receiver<Inputs>, services: &str) {
    let services: BTreeSet<Cidr> = match services.parse::<DualCidr>() {
        Ok(cidr) => cidr.iter().collect(),
        Err(e) => {
            tracing::warn!("--service-cluster-ip-range: {e}; pods' calls of Services are not masqueraded");
            BTreeSet::new()
        }
    };
    let mut applied = String::new();
    let mut pause = RETRY.0;
    loop {
        let now = inputs.borrow_and_update().clone();
        let mut failed = false;
        // Not before all is known: a Subnet that is not known yet would count as outside (invariant 4).
        if let (Some(subnets), Some(Ok(port))) = (now.subnets, now.port) {
            let join = port.addresses.iter().map(|a| a.cidr()).collect();
            let wanted = ruleset(&subnets, &join, &services);
            if wanted != applied {
                match apply(&host, wanted.clone(), subnets.values().any(|s| s.nat_outgoing)).await {
                    Ok(()) => {
                        tracing::info!("masquerading for pods is in place (nftables table inet {TABLE})");
                        (applied, pause) = (wanted, RETRY.0);
                    }
                    Err(e) if is_missing(&e) => {
                        tracing::warn!(
                            "masquerading for pods of Subnets with natOutgoing needs the program nft (package \
                             nftables), which is not there; --nat-outgoing=false says that this is meant"
                        );
                        return;
                    }
                    Err(e) => {
                        tracing::warn!("masquerading for pods: {e:#}; trying again in {pause:?}");
                        failed = true;
                    }
                }
            }
        }
        let timer =
            async { if failed { tokio::time::sleep(pause).await } else { std::future::pending().await } };
        tokio::select! {
            changed = inputs.changed() => if changed.is_err() { return },
            () = timer => pause = (pause * 2).min(RETRY.1),
        }
    }
}

/// Puts a script in place in the node's namespace; lets the node forward when it must.
pub async fn apply(host: &Host, script: String, forward: bool) -> anyhow::Result<()> {
    let work = move || {
        if forward {
            let key = "net/ipv4/ip_forward";
            let on = std::fs::read_to_string(format!("/proc/sys/{key}")).is_ok_and(|v| v.trim() == "1");
            if !on {
                tracing::info!("switching IP forwarding on: pods of a Subnet with natOutgoing need it");
                set_sysctl(key, "1")?;
            }
        }
        Ok(nft(&script))
    };
    host.netns.run(work).await?.context("running nft (package nftables)")
}

/// The program isn't installed: trying again would not change that.
fn is_missing(e: &anyhow::Error) -> bool {
    e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
}

fn nft(script: &str) -> anyhow::Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    // Taken, so that the end of the script is the end of the pipe. Far below a pipe's buffer in practice; nft reads
    // all of it before it says anything.
    let sent = child.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        anyhow::bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    sent.unwrap_or(Err(io::Error::other("nft took no input")))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_from_a_script_that_fails() {
        let missing = Command::new("/surely/not/there/nft").spawn().map(|_| ());
        assert!(is_missing(&missing.map_err(anyhow::Error::from).context("running nft").unwrap_err()));
        assert!(!is_missing(&anyhow::anyhow!("syntax error")));
    }

    #[test]
    fn the_whole_table() {
        let subnet = |cidr: &str, nat_outgoing| NodeSubnet {
            networks: cidr.parse::<DualCidr>().unwrap().iter().collect(),
            nat_outgoing,
        };
        let subnets = [
            ("ovn-default".to_owned(), subnet("10.16.0.0/16,fd00:10:16::/112", true)),
            ("inner".to_owned(), subnet("10.16.128.0/24", true)),
            ("plain".to_owned(), subnet("10.17.0.0/16", false)),
        ]
        .into();
        let join = ["100.64.0.0/16".parse().unwrap()].into();
        let services = ["10.96.0.0/12".parse().unwrap()].into();
        let want = r#"table inet tombolo {}
delete table inet tombolo
table inet tombolo {
  set inside4 {
    type ipv4_addr
    flags interval
    elements = { 10.16.0.0/16, 10.17.0.0/16, 100.64.0.0/16 }
  }
  set nat4 {
    type ipv4_addr
    flags interval
    elements = { 10.16.0.0/16 }
  }
  set services4 {
    type ipv4_addr
    flags interval
    elements = { 10.96.0.0/12 }
  }
  set inside6 {
    type ipv6_addr
    flags interval
    elements = { fd00:10:16::/112 }
  }
  set nat6 {
    type ipv6_addr
    flags interval
    elements = { fd00:10:16::/112 }
  }
  set services6 {
    type ipv6_addr
    flags interval
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    iifname "ovn0" oifname != "ovn0" ip saddr @nat4 ip daddr != @inside4 counter masquerade
    iifname "ovn0" oifname "ovn0" ct status dnat ct original ip daddr @services4 counter masquerade
    iifname "ovn0" oifname != "ovn0" ip6 saddr @nat6 ip6 daddr != @inside6 counter masquerade
    iifname "ovn0" oifname "ovn0" ct status dnat ct original ip6 daddr @services6 counter masquerade
  }
}
"#;
        assert_eq!(ruleset(&subnets, &join, &services), want);
    }
}
