//! `--uninstall`: takes everything of ours off this host, and ends. Others' things stay (invariant 13).
//!
//! Decides the order: the configuration first, so that the runtime calls no plugin any more; then ports, links, routes and
//! rules; the plugin last. One part that doesn't go keeps no other one; the error at the end names all that stay.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::time::Instant;
use tombolo_ovn::vswitch::Interface;
use tombolo_ovsdb::{Op, Replica};

use crate::host::Host;
use crate::install::PLUGIN;
use crate::node::{OVN0, PROTOCOL};
use crate::options::Options;
use crate::ovs::Ovs;
use crate::ports::{self, OurPort, ids};
use crate::{forward, nat, nft};

/// For Open vSwitch's answers to reads and writes.
const DEADLINE: Duration = Duration::from_secs(30);
/// So many pods are named.
const NAMED: usize = 10;

/// Where our files are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The runtime's directory of configurations.
    pub conf_dir: PathBuf,
    /// Name of ours there.
    pub conf_name: String,
    /// The runtime's directory of plugins.
    pub bin_dir: PathBuf,
    /// The agent's socket.
    pub socket: PathBuf,
}

impl Places {
    /// As the command line has them.
    pub fn of(options: &Options) -> Self {
        Self {
            conf_dir: options.cni_conf_dir.clone(),
            conf_name: options.cni_conf_name.clone(),
            bin_dir: options.cni_bin_dir.clone(),
            socket: options.bind_socket.clone(),
        }
    }
}

/// Connects to the command line's database and uninstalls.
pub async fn run(options: &Options, force: bool) -> anyhow::Result<()> {
    let ovs = Ovs::connect(options.ovs_endpoint().parse().context("--ovs-socket")?)?;
    uninstall(&Host::own().await?, &ovs, &Places::of(options), force).await
}

/// Takes everything of ours off the host. `force`: though pods are attached, which lose their network.
pub async fn uninstall(host: &Host, ovs: &Ovs, places: &Places, force: bool) -> anyhow::Result<()> {
    ensure!(
        UnixStream::connect(&places.socket).is_err(),
        "nothing was removed: an agent serves on {}; delete the DaemonSet kube-ovn-cni first",
        places.socket.display()
    );
    let replica = ovs
        .fresh(Instant::now() + DEADLINE)
        .await
        .context("nothing was removed, since the attached pods are unknown")?;
    let pods = ports::our_ports(&replica);
    let mut attached = Vec::new();
    for port in &pods {
        if host.netlink.link(&port.name).await?.is_some() {
            attached.push(format!("{}/{}", port.id(ids::POD_NAMESPACE), port.id(ids::POD_NAME)));
        }
    }
    if !attached.is_empty() {
        let named = attached[..attached.len().min(NAMED)].join(", ");
        let count = attached.len();
        ensure!(
            force,
            "nothing was removed: {count} pods are attached on this node ({named}); delete them while kube-ovn-cni \
             runs, or set --uninstall=force, which cuts them off"
        );
        tracing::warn!("{count} pods of this node lose their network: {named}");
    }
    let mut stays = Vec::new();
    let mut note = |part: &str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            tracing::warn!("{part}: {error:#}");
            stays.push(part.to_owned());
        }
    };
    note("the network configuration", configuration(places));
    note("ports in Open vSwitch", detach(ovs).await);
    note("pods' links", links(host, &pods).await);
    note("routes", routes(host).await);
    note("the rules of nftables", table(host).await);
    note("our rules in FORWARD", forwarding(host).await);
    note("the plugin", remove(&places.bin_dir.join(PLUGIN)));
    note("the agent's socket", remove(&places.socket));
    if stays.is_empty() {
        tracing::info!("nothing of ours is left on this host");
        return Ok(());
    }
    bail!("not all of it went: {}; the warnings above have the reasons", stays.join(", "))
}

/// The conflist, and temporary files of an agent that died while it wrote them. A file of that name that isn't ours stays.
fn configuration(places: &Places) -> anyhow::Result<()> {
    for name in [PLUGIN, &places.conf_name] {
        let dir = if name == PLUGIN { &places.bin_dir } else { &places.conf_dir };
        remove(&dir.join(format!(".{name}.new")))?;
    }
    let path = places.conf_dir.join(&places.conf_name);
    match fs::read_to_string(&path) {
        Ok(text) if is_ours(&text) => remove(&path),
        Ok(_) => bail!("{} names another plugin than {PLUGIN}; it stays", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn is_ours(conflist: &str) -> bool {
    serde_json::from_str::<Value>(conflist).is_ok_and(|conf| {
        let plugins = conf["plugins"].as_array();
        plugins.is_some_and(|plugins| plugins.iter().any(|plugin| plugin["type"] == PLUGIN))
    })
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {
            tracing::info!(path = %path.display(), "removed");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("removing {}", path.display())),
    }
}

/// Pods' ports and the node's own, in one transaction.
async fn detach(ovs: &Ovs) -> anyhow::Result<()> {
    let plan = |replica: &Replica, _: &str| {
        let all = ports::our_ports(replica).into_iter().chain(node_port(replica));
        let ops: Vec<Op> = all.flat_map(|port| ports::remove(replica, &port)).collect();
        Ok(ops)
    };
    ovs.apply(["uninstall".to_owned()], Instant::now() + DEADLINE, plan).await?;
    tracing::info!("removed the ports from Open vSwitch");
    Ok(())
}

/// ovn0, if it is a node's port.
fn node_port(replica: &Replica) -> Option<OurPort> {
    let (interface, row) = ports::interface(replica, OVN0)?;
    let external_ids = row.get(Interface::EXTERNAL_IDS)?.str_map();
    let ours = external_ids.get(ids::IFACE_ID).is_some_and(|id| id.starts_with("node-"));
    ours.then(|| OurPort { interface, name: OVN0.to_owned(), external_ids })
}

/// The links of pods whose sandboxes are still there.
async fn links(host: &Host, pods: &[OurPort]) -> anyhow::Result<()> {
    for port in pods {
        if host.netlink.link(&port.name).await?.is_some_and(|link| link.kind == "veth") {
            host.netlink.delete_link(&port.name).await?;
            tracing::info!(link = port.name, "removed");
        }
    }
    Ok(())
}

/// Most go with ovn0; those on other links bear our protocol.
async fn routes(host: &Host) -> anyhow::Result<()> {
    for route in host.netlink.routes(Some(PROTOCOL)).await? {
        match host.netlink.delete_route(&route).await {
            Ok(_) => tracing::info!("deleted the {route}"),
            // With its link, in the meantime.
            Err(_) if !host.netlink.routes(Some(PROTOCOL)).await?.contains(&route) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn table(host: &Host) -> anyhow::Result<()> {
    let tables = match nft::run(host, "nft", &["list", "tables", "inet"], String::new()).await {
        // Without the program there is no table of ours.
        Err(error) if error.is_missing() => return Ok(()),
        tables => tables?,
    };
    if tables.lines().any(|line| line.trim() == format!("table inet {}", nat::TABLE)) {
        nft::apply(host, format!("delete table inet {}\n", nat::TABLE)).await?;
        tracing::info!("deleted the nftables table inet {}", nat::TABLE);
    }
    Ok(())
}

/// The rules by which pods' traffic passes a FORWARD that drops: they bear our comment.
async fn forwarding(host: &Host) -> anyhow::Result<()> {
    let all = match nft::run(host, "nft", &["-j", "list", "chains"], String::new()).await {
        Err(error) if error.is_missing() => String::new(),
        all => all?,
    };
    for chain in if all.is_empty() { Vec::new() } else { forward::chains(&all)? } {
        let mut args = vec!["-a"];
        args.extend(chain.listing());
        // A chain that is gone again has no rules of ours.
        let Ok(listing) = nft::run(host, "nft", &args, String::new()).await else { continue };
        let list: Value = serde_json::from_str(&listing)?;
        let rules = list["nftables"].as_array().into_iter().flatten().filter_map(|item| item.get("rule"));
        let ours = rules.filter(|rule| rule["comment"] == forward::COMMENT && rule["chain"] == *chain.name);
        let script: String = ours
            .filter_map(|rule| rule["handle"].as_u64())
            .map(|handle| {
                format!("delete rule {} {} {} handle {handle}\n", chain.family, chain.table, chain.name)
            })
            .collect();
        if !script.is_empty() {
            nft::apply(host, script).await?;
            tracing::info!("deleted our rules in {} {} {}", chain.family, chain.table, chain.name);
        }
    }
    for program in ["iptables-legacy", "ip6tables-legacy"] {
        let Ok(rules) = nft::run(host, program, &["-w", "5", "-S", "FORWARD"], String::new()).await else {
            continue; // not there, or not in use
        };
        for flag in ["-i", "-o"] {
            let is_ours =
                |line: &str| line.contains(&format!("{flag} {OVN0} ")) && line.contains(forward::COMMENT);
            if rules.lines().any(is_ours) {
                let rule = ["-w", "5", "-D", "FORWARD", flag, OVN0, "-m", "comment", "--comment"];
                let args = [&rule[..], &[forward::COMMENT, "-j", "ACCEPT"]].concat();
                nft::run(host, program, &args, String::new()).await?;
                tracing::info!(program, "deleted our rule in FORWARD");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_configuration_goes() {
        let dir = tempfile::tempdir().unwrap();
        let places = |name: &str| Places {
            conf_dir: dir.path().to_owned(),
            conf_name: name.to_owned(),
            bin_dir: dir.path().join("bin"),
            socket: dir.path().join("socket"),
        };
        let path = dir.path().join("01-kube-ovn.conflist");
        fs::write(&path, r#"{"name":"x","plugins":[{"type":"calico"}]}"#).unwrap();
        assert!(configuration(&places("01-kube-ovn.conflist")).is_err());
        assert!(path.exists());
        fs::write(&path, crate::install::conflist(Path::new("/s"), false)).unwrap();
        fs::write(dir.path().join(".01-kube-ovn.conflist.new"), "{").unwrap();
        configuration(&places("01-kube-ovn.conflist")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // It is gone already.
        configuration(&places("01-kube-ovn.conflist")).unwrap();
    }
}
