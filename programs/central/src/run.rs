//! A member's life: each database is prepared as [`crate::decide`] says, then kept running; beside them a northd; and a look at
//! all of it every few seconds, which labels this pod and answers its probes.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_names::workloads::CENTRAL;
use tombolo_observe::{Observer, Probe};
use tombolo_ovsdb::driver::unixctl;
use tracing::{info, warn};

use crate::database::{self, Database};
use crate::decide::{self, File, Known, Me, Next};
use crate::labels::{Labels, Leads};
use crate::metrics::Metrics;
use crate::options::{Options, method};
use crate::registry::Registry;
use crate::{file, schema, server, status, tls};

/// Between two decisions, while a member waits or refuses.
const AGAIN: Duration = Duration::from_secs(2);
/// Between two looks at what runs.
const LOOK: Duration = Duration::from_secs(5);
/// For northd's answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// So often a member with a file asks for the registry before it starts without: OVN runs without the API server, too.
const WITHOUT_REGISTRY: u32 = 5;

/// Runs until `stop`.
///
/// # Errors
/// A command line or a directory that can't be used.
pub async fn run(options: Options, stop: CancellationToken) -> Result<()> {
    let members = options.all()?;
    for dir in [&options.dir, &options.run_dir] {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    }
    let observer = Observer::new(CENTRAL, env!("CARGO_PKG_VERSION"));
    let tasks = TaskTracker::new();
    if options.metrics_port != 0 {
        observer.serve_at(&[Ipv6Addr::UNSPECIFIED.into()], options.metrics_port, &tasks, &stop).await?;
    }
    let config = tombolo_client::config(options.kubeconfig.as_deref()).await?;
    let client = Client::try_from(config).context("making a client for the API server")?;
    let (certified, mut certificates) = watch::channel(!options.ssl);
    let metrics = Arc::new(Metrics::new(&options));
    observer.source(&metrics);
    let shared = Arc::new(Shared {
        metrics,
        registry: Registry::new(client.clone(), &options.pod_namespace),
        observer,
        members,
        options,
        has_schema: [AtomicBool::new(false), AtomicBool::new(false)],
    });
    for database in database::ALL {
        shared.observer.health().fail(Probe::Ready, database.short(), "not started yet");
    }
    if shared.options.ssl {
        let (shared, client, stop) = (shared.clone(), client.clone(), stop.clone());
        tasks.spawn(async move {
            let keep = tls::keep::run(client, &shared.options, &shared.members, &shared.observer, certified);
            stop.run_until_cancelled(keep).await;
        });
    }
    // OVN's programs don't start without the files.
    let certified = certificates.wait_for(|certified| *certified);
    if let Some(Ok(_)) = stop.run_until_cancelled(certified).await {
        for database in database::ALL {
            let (shared, stop) = (shared.clone(), stop.clone());
            tasks.spawn(async move { shared.keep_member(database, stop).await });
        }
        tasks.spawn(tombolo_daemons::keep(server::northd(&shared.options, &shared.members), stop.clone()));
    }
    let labels = shared.options.pod_name.clone().filter(|name| !name.is_empty());
    let labels = labels.map(|name| Labels::new(client, &shared.options.pod_namespace, &name));
    tasks.spawn({
        let (shared, stop) = (shared.clone(), stop.clone());
        async move { shared.watch(labels, stop).await }
    });
    tasks.close();
    tasks.wait().await;
    Ok(())
}

struct Shared {
    options: Options,
    members: Vec<IpAddr>,
    registry: Registry,
    observer: Observer,
    metrics: Arc<Metrics>,
    /// Whether the schemas of both databases, [`database::ALL`], are known to be as new as the image's.
    has_schema: [AtomicBool; 2],
}

impl Shared {
    fn me(&self, database: Database) -> Me {
        let address = self.options.address;
        Me { address, place: database.place(address), members: self.members.clone() }
    }

    async fn keep_member(&self, database: Database, stop: CancellationToken) {
        tokio::select! {
            () = self.prepare(database) => {}
            () = stop.cancelled() => return,
        }
        loop {
            match server::database(&self.options, database).await {
                Ok(daemon) => return tombolo_daemons::keep(daemon, stop).await,
                Err(error) => warn!("{error:#}"),
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Returns once the file is one to start on.
    async fn prepare(&self, database: Database) {
        let mut said = String::new();
        let mut failures = 0;
        loop {
            let waits = match self.step(database, &mut failures).await {
                Ok(Step::Ready) => return,
                Ok(Step::Again) => continue,
                Ok(Step::Waits(why)) => why,
                Err(error) => format!("{error:#}"),
            };
            // Once each: it is asked for every two seconds.
            if said != waits {
                warn!("the {database} isn't started: {waits}");
                self.observer.health().fail(Probe::Ready, database.short(), &waits);
                said = waits;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn step(&self, database: Database, failures: &mut u32) -> Result<Step> {
        let path = database.file(&self.options.dir);
        let me = self.me(database);
        let file = file::look(&path, database).await?;
        let known = match self.learn(database, &file).await {
            Ok(known) => known,
            Err(error) => {
                *failures += 1;
                let fits =
                    matches!(&file, File::Clustered { address, .. } if decide::place(address) == me.place);
                if fits && *failures >= WITHOUT_REGISTRY {
                    warn!("the {database} starts without the registry: {error:#}");
                    return Ok(Step::Ready);
                }
                return Err(error);
            }
        };
        match decide::next(&me, &file, &known) {
            Next::Start { claim: None } => {}
            Next::Start { claim: Some(cluster) } => {
                let tls =
                    matches!(&file, File::Clustered { address, .. } if address.starts_with(method(true)));
                if self.registry.claim(database, cluster, tls).await? != cluster {
                    return Ok(Step::Again);
                }
                info!("cluster {cluster} of the {database} is written down");
            }
            Next::Create { from_standalone } => {
                let schema = self.options.schemas.join(format!("ovn-{}.ovsschema", database.short()));
                let contents = (!from_standalone).then_some(schema.as_path());
                let raft = database.raft(self.options.method(), me.address);
                let cluster = file::create(&path, contents, &raft, self.options.election_timer).await?;
                let there = self.registry.claim(database, cluster, self.options.ssl).await?;
                if there != cluster {
                    tombolo_daemons::file::archive(
                        &path,
                        &format!("cluster {there} was founded at the same time"),
                    )?;
                }
                info!("cluster {cluster} of the {database} is founded");
                return Ok(Step::Again);
            }
            Next::Join { cluster, others } => {
                let raft = |ip: &IpAddr| database.raft(method(known.tls), *ip);
                let others: Vec<String> = others.iter().map(raft).collect();
                info!("joining cluster {cluster} of the {database} by {}", others.join(", "));
                file::join(&path, database, cluster, &raft(&me.address), &others).await?;
                return Ok(Step::Again);
            }
            Next::Archive(why) => {
                tombolo_daemons::file::archive(&path, &why)?;
                return Ok(Step::Again);
            }
            Next::Wait(why) | Next::Refuse(why) => return Ok(Step::Waits(why)),
        }
        Ok(Step::Ready)
    }

    async fn learn(&self, database: Database, file: &File) -> Result<Known> {
        let mut known = self.registry.report(database, self.options.address, file, &self.members).await?;
        // Only a file that doesn't fit makes it matter: the others needn't run for a member to start.
        if let (Some(cluster), File::Clustered { .. } | File::Unreadable(_)) = (known.cluster, file) {
            for other in self.members.iter().filter(|ip| **ip != self.options.address) {
                known.answers |= status::has_joined(&self.options, database, *other, cluster).await;
            }
        }
        Ok(known)
    }

    async fn watch(&self, mut labels: Option<Labels>, stop: CancellationToken) {
        let mut said = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            let leads = Leads {
                nb: self.look(Database::Nb).await,
                sb: self.look(Database::Sb).await,
                northd: northd_is_active(&self.options.run_dir).await,
            };
            self.metrics.northd(leads.northd);
            let Some(labels) = &mut labels else { continue };
            match labels.write(leads).await {
                Ok(()) => said.clear(),
                Err(error) => {
                    let text = format!("{error:#}");
                    if said != text {
                        warn!("{text}");
                        said = text;
                    }
                }
            }
        }
    }

    /// Whether this member leads a database's cluster; its probe says whether it is of use.
    async fn look(&self, database: Database) -> bool {
        let health = self.observer.health();
        // Why it isn't started yet is said elsewhere.
        let control = database.socket(&self.options.run_dir, "ctl");
        if !control.exists() {
            return false;
        }
        let answer = status::ask(&control, database).await;
        self.metrics.set(database, answer.as_ref().ok().cloned());
        match answer {
            Ok(state) if state.is_member() => {
                health.ok(Probe::Ready, database.short());
                if state.leads {
                    self.bring_up_schema(database).await;
                    self.forget_replaced(database, &state, &control).await;
                }
                state.leads
            }
            Ok(state) => {
                let leader = if state.has_leader { "a leader" } else { "no leader" };
                health.fail(Probe::Ready, database.short(), format!("{}, with {leader}", state.status));
                false
            }
            Err(error) => {
                health.fail(Probe::Ready, database.short(), format!("{error:#}"));
                false
            }
        }
    }

    /// Once for each program: the image's schema is the same for as long as it runs, and the database's never goes back.
    async fn bring_up_schema(&self, database: Database) {
        let done = &self.has_schema[usize::from(database == Database::Sb)];
        if done.load(Ordering::Relaxed) {
            return;
        }
        match schema::bring_up(&self.options, database).await {
            Ok(changed) => {
                if let Some((before, now)) = changed {
                    info!("the schema of the {database} is {now} now, and was {before}");
                }
                done.store(true, Ordering::Relaxed);
            }
            Err(error) => warn!("{error:#}; it serves on as it is, and this is tried again"),
        }
    }

    /// A member whose disk was replaced has joined by another id: its former self is taken out of the cluster, where it would
    /// count as one that fails.
    async fn forget_replaced(&self, database: Database, state: &status::Status, control: &Path) {
        let address = |ip: &IpAddr| database.place(*ip);
        let at =
            |ip: &IpAddr| state.servers.iter().filter(|(_, at)| decide::place(at) == address(ip)).count();
        let twice = |ip: &&IpAddr| at(ip) > 1;
        let doubled: Vec<IpAddr> = self.members.iter().filter(twice).copied().collect();
        if doubled.is_empty() {
            return;
        }
        let servers = match self.registry.servers(database, &doubled).await {
            Ok(servers) => servers,
            Err(error) => return warn!("{error:#}"),
        };
        for (member, server) in servers {
            let newest = server.to_string()[..4].to_owned();
            for former in state.replaced(&newest, &address(&member)) {
                match unixctl::call(control, "cluster/kick", &[database.name(), &former], DEADLINE).await {
                    Ok(_) => info!(
                        "{member} has joined the {database} anew: its former self {former} is taken out"
                    ),
                    Err(error) => warn!("taking {former} out of the {database}: {error}"),
                }
            }
        }
    }
}

/// How far a member is.
enum Step {
    /// The file is one to start on.
    Ready,
    /// Something was done: decide anew.
    Again,
    /// Not yet, and why.
    Waits(String),
}

async fn northd_is_active(run_dir: &Path) -> bool {
    let control = run_dir.join("ovn-northd.ctl");
    unixctl::call(&control, "status", &[], DEADLINE).await.is_ok_and(|text| text.contains("active"))
}
