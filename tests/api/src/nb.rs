//! A standalone NB database, or a cluster of one, and `ovn-nbctl` on it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tombolo_sandbox::kubernetes::util::which;

use crate::eventually;
use crate::process::{Process, free_port};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running NB.
#[derive(Debug)]
pub struct Nb {
    server: Option<Process>,
    program: PathBuf,
    args: Vec<String>,
    address: String,
    dir: TempDir,
}

impl Nb {
    /// A standalone database with OVN 23.03's schema. `None` if OVN's programs are missing.
    pub fn start() -> Result<Option<Self>> {
        Self::start_as(false)
    }

    /// A RAFT cluster with one member: it resumes monitors, as every production database does.
    pub fn start_clustered() -> Result<Option<Self>> {
        Self::start_as(true)
    }

    fn start_as(clustered: bool) -> Result<Option<Self>> {
        for name in ["ovsdb-server", "ovsdb-tool", "ovn-nbctl", "setpriv"] {
            if which(name).is_none() {
                println!(
                    "skipped: {name} is not installed (Debian: ovn-common, openvswitch-switch, util-linux)"
                );
                return Ok(None);
            }
        }
        let dir = TempDir::new().context("making a directory for the NB")?;
        let file = dir.path().join("nb.db");
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/ovn-23.03/ovn-nb.ovsschema");
        let mut tool = Command::new("ovsdb-tool");
        if clustered {
            tool.arg("create-cluster").arg(&file).arg(schema).arg(format!("tcp:127.0.0.1:{}", free_port()?));
        } else {
            tool.arg("create").arg(&file).arg(schema);
        }
        let output = tool.output().context("starting ovsdb-tool")?;
        if !output.status.success() {
            bail!("ovsdb-tool: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let port = free_port()?;
        let args = vec![
            format!("--remote=ptcp:{port}:127.0.0.1"),
            "--no-chdir".to_owned(),
            format!("--unixctl={}", dir.path().join("nb.ctl").display()),
            "-vconsole:warn".to_owned(),
            file.display().to_string(),
        ];
        let program = which("ovsdb-server").unwrap_or_default();
        let mut nb = Self { server: None, program, args, address: format!("tcp:127.0.0.1:{port}"), dir };
        nb.resume()?;
        nb.ctl(&["init"])?;
        Ok(Some(nb))
    }

    /// Starts the server again after [`Self::pause`].
    pub fn resume(&mut self) -> Result<()> {
        let log = self.dir.path().join("nb.log");
        self.server = Some(Process::start(&self.program, &self.args, &[], &log)?);
        eventually("the NB to answer", PATIENCE, || self.ctl(&["get-connection"]).map(Some)).map(drop)
    }

    /// Kills the server; the file keeps what was committed.
    pub fn pause(&mut self) {
        self.server = None;
    }

    /// `tcp:127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The server's process, to be stopped and continued.
    pub fn process(&self) -> Option<&Process> {
        self.server.as_ref()
    }

    /// What `ovn-nbctl ARGS` prints.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("ovn-nbctl")
            .arg(format!("--db={}", self.address))
            .arg("--timeout=20")
            .args(args)
            .output()
            .context("starting ovn-nbctl")?;
        if !output.status.success() {
            bail!("ovn-nbctl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a router and a network of Neutron's look like (ML2/OVN, read off a running one): router `name`
    /// with a port on a network with the given CIDR. `n` makes uuids and MACs, 1 to 255. Returns the names
    /// `neutron-<uuid>` of router and network.
    pub fn neutron_router(&self, n: u8, name: &str, cidr: &str) -> Result<(String, String)> {
        let uuid = |kind: u8| format!("{kind:02x}0000{n:02x}-1111-4222-8333-0000000000{n:02x}");
        let (router, network, port, subnet) = (uuid(1), uuid(2), uuid(3), uuid(4));
        let (lr, ls) = (format!("neutron-{router}"), format!("neutron-{network}"));
        let lrp = format!("lrp-{port}");
        let mac = format!("fa:16:3e:00:00:{n:02x}");
        let (gateway, length) = cidr.split_once('/').context("a CIDR")?;
        let gateway = gateway.rsplit_once('.').map(|(net, _)| format!("{net}.1")).context("an IPv4 CIDR")?;
        let ids = |pairs: &[(&str, &str)]| -> Vec<String> {
            pairs.iter().map(|(k, v)| format!("external_ids:\"{k}\"=\"{v}\"")).collect()
        };
        let mut args: Vec<String> = Vec::new();
        let mut add = |words: &[&str], more: Vec<String>| {
            if !args.is_empty() {
                args.push("--".to_owned());
            }
            args.extend(words.iter().map(|w| (*w).to_owned()));
            args.extend(more);
        };
        add(&["ls-add", &ls], vec![]);
        add(
            &["set", "Logical_Switch", &ls],
            ids(&[
                ("neutron:network_name", "provider"),
                ("neutron:mtu", "1442"),
                ("neutron:revision_number", "2"),
            ]),
        );
        add(&["lr-add", &lr], vec![]);
        add(
            &["set", "Logical_Router", &lr],
            ids(&[
                ("neutron:router_name", name),
                ("neutron:gw_port_id", ""),
                ("neutron:revision_number", "3"),
            ]),
        );
        add(&["lrp-add", &lr, &lrp, &mac, &format!("{gateway}/{length}")], vec![]);
        let network_name = ls.clone();
        add(
            &["set", "Logical_Router_Port", &lrp],
            ids(&[
                ("neutron:network_name", &network_name),
                ("neutron:router_name", &router),
                ("neutron:subnet_ids", &subnet),
                ("neutron:revision_number", "3"),
            ]),
        );
        add(&["lsp-add", &ls, &port], vec![]);
        add(
            &[
                "set",
                "Logical_Switch_Port",
                &port,
                "type=router",
                "addresses=router",
                &format!("options:router-port={lrp}"),
            ],
            ids(&[
                ("neutron:cidrs", &format!("{gateway}/{length}")),
                ("neutron:device_id", &router),
                ("neutron:device_owner", "network:router_interface"),
                ("neutron:network_name", &network_name),
                ("neutron:port_name", ""),
                ("neutron:revision_number", "3"),
            ]),
        );
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.ctl(&args)?;
        Ok((lr, ls))
    }
}
