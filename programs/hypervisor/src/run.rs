//! The order: take the place, prepare the file, ovsdb-server, settings, ovs-vswitchd, ovn-controller; backwards at the end.
//!
//! At the end flows and the chassis stay: the next pod goes on with them, and the kernel's datapath serves meanwhile.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tombolo_daemons::file::remove;
use tombolo_daemons::{Daemon, keep, vsctl};
use tracing::{info, warn};

use crate::options::Options;
use crate::place::{self, Place};
use crate::settings::{self, Setting};
use crate::{file, restore};

/// Between two looks at a node's own Open vSwitch.
const LOOK: Duration = Duration::from_secs(30);
/// Between two looks for our own.
const SERVED: Duration = Duration::from_millis(20);
/// Debian's file for a system-id that outlives the database.
const SYSTEM_ID: &str = "system-id.conf";

/// Runs until `stop`.
///
/// # Errors
/// A command line, a directory or a file that can't be used.
pub async fn run(options: Options, stop: CancellationToken) -> Result<()> {
    for dir in [&options.dir, &options.run_dir] {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    remove(&options.ready_file)?;
    let Some(place) = stop.run_until_cancelled(wait_for_place(&options)).await.transpose()? else {
        return Ok(());
    };
    // Not ready again, so that a rollout waits for this node's flows before it goes to the next one.
    remove(&options.ready_file)?;
    let mut running = Vec::new();
    // A stop while it starts ends what has started, in the same order.
    let result = stop.run_until_cancelled(start(&options, &mut running)).await.unwrap_or(Ok(()));
    match &result {
        Ok(()) => {
            ready(&options.ready_file)?;
            stop.cancelled().await;
        }
        Err(error) => warn!("{error:#}"),
    }
    for daemon in running.into_iter().rev() {
        daemon.end().await;
    }
    drop(place);
    result
}

/// Returns once Open vSwitch is this pod's to run. Until then it is ready as well: another one runs.
async fn wait_for_place(options: &Options) -> Result<Place> {
    let mut said = false;
    let mut say = |what: &str| -> Result<()> {
        if !said {
            info!("{what}");
            ready(&options.ready_file)?;
            said = true;
        }
        Ok(())
    };
    loop {
        match place::take(&options.run_dir)? {
            None => {
                say("another pod runs Open vSwitch on this node; this one goes on when it ends")?;
                tokio::time::sleep(place::AGAIN).await;
            }
            Some(place) if place::is_served(&options.run_dir).await => {
                drop(place);
                say(
                    "this node has its own Open vSwitch, which is left alone: configure it as docs/operate/install.md says",
                )?;
                tokio::time::sleep(LOOK).await;
            }
            Some(place) => return Ok(place),
        }
    }
}

fn ready(file: &Path) -> Result<()> {
    std::fs::write(file, "").with_context(|| format!("writing {}", file.display()))
}

/// A program that is kept running.
struct Running {
    task: JoinHandle<()>,
    end: CancellationToken,
}

impl Running {
    fn start(daemon: Daemon) -> Self {
        let end = CancellationToken::new();
        Self { task: tokio::spawn(keep(daemon, end.clone())), end }
    }

    async fn end(self) {
        self.end.cancel();
        // A panic has been said already.
        let _ = self.task.await;
    }
}

async fn start(options: &Options, running: &mut Vec<Running>) -> Result<()> {
    let database = options.dir.join("conf.db");
    let was_there = file::prepare(&database, &options.schema).await?;
    running.push(Running::start(ovsdb_server(options, &database)));
    // ovs-vsctl would pause for a second, in which no packet passes.
    while !place::is_served(&options.run_dir).await {
        tokio::time::sleep(SERVED).await;
    }
    vsctl(&["--retry", "--no-wait", "init"]).await.context("starting ovsdb-server")?;
    write_settings(options).await.context("writing Open vSwitch's settings")?;
    let holds = was_there && restore::hold().await?;
    running.push(Running::start(ovs_vswitchd(options)));
    running.push(Running::start(ovn_controller(options)));
    if holds {
        restore::release().await?;
    }
    Ok(())
}

async fn write_settings(options: &Options) -> Result<()> {
    let all = [
        Setting::once("system-id", system_id(&options.dir)?),
        Setting::once("hostname", &options.node),
        Setting::following("ovn-remote", &options.ovn_remote),
        Setting::once("ovn-encap-type", "geneve"),
        Setting::following("ovn-encap-ip", options.encap_ip()?.to_string()),
        Setting::following("ovn-remote-probe-interval", options.ovn_remote_probe_interval.to_string()),
        Setting::following("ovn-openflow-probe-interval", options.ovn_openflow_probe_interval.to_string()),
    ];
    let mut noted = Vec::new();
    for one in &all {
        let note = format!("external_ids:\"tombolo.io/{}\"", one.key);
        let value = vsctl(&["--if-exists", "get", "Open_vSwitch", ".", &note]).await?;
        noted.push((format!("tombolo.io/{}", one.key), value.trim_matches('"').to_owned()));
    }
    let find = |key: &str| {
        let found = noted.iter().find(|(name, value)| name == key && !value.is_empty());
        found.map(|(_, value)| value.clone())
    };
    let words = settings::words(&all, find);
    let words: Vec<&str> = std::iter::once("--no-wait").chain(words.iter().map(String::as_str)).collect();
    vsctl(&words).await.map(drop)
}

/// That of the node if it has one in Debian's file, else a new one.
fn system_id(dir: &Path) -> Result<String> {
    let path = dir.join(SYSTEM_ID);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => Ok(uuid::Uuid::new_v4().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(uuid::Uuid::new_v4().to_string()),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// The options that all three have: the log, and a file with the process' number, in the directory of their sockets, by which
/// tools find these.
fn common() -> Vec<String> {
    let mut args = tombolo_daemons::log();
    args.extend(["--pidfile", "--overwrite-pidfile"].map(str::to_owned));
    args
}

fn ovsdb_server(options: &Options, database: &Path) -> Daemon {
    let socket = options.run_dir.join("db.sock");
    let mut args = common();
    args.extend([
        format!("--remote=punix:{}", socket.display()),
        "--remote=db:Open_vSwitch,Open_vSwitch,manager_options".to_owned(),
        "--private-key=db:Open_vSwitch,SSL,private_key".to_owned(),
        "--certificate=db:Open_vSwitch,SSL,certificate".to_owned(),
        "--ca-cert=db:Open_vSwitch,SSL,ca_cert".to_owned(),
        database.display().to_string(),
    ]);
    Daemon { name: "ovsdb-server".to_owned(), program: "ovsdb-server", args, leftovers: vec![socket] }
}

fn ovs_vswitchd(options: &Options) -> Daemon {
    let mut args = common();
    args.push(format!("unix:{}", options.run_dir.join("db.sock").display()));
    Daemon { name: "ovs-vswitchd".to_owned(), program: "ovs-vswitchd", args, leftovers: Vec::new() }
}

fn ovn_controller(options: &Options) -> Daemon {
    let mut args = common();
    if options.tls() {
        args.extend(tombolo_daemons::tls(&options.tls_dir));
    }
    args.push(format!("unix:{}", options.run_dir.join("db.sock").display()));
    Daemon { name: "ovn-controller".to_owned(), program: "ovn-controller", args, leftovers: Vec::new() }
}
