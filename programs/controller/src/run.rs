//! The loop: events in, the engine's effects out. Everything around the engine is started here.
//!
//! Decides nothing but order: the engine takes all waiting events before it is asked for effects, so a
//! burst becomes one batch and a single event never waits.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_client::ApiServer;
use tombolo_engine::{Effect, Engine, Event, Leadership, Object, WatchEvent};
use tombolo_observe::{Beat, Observer, Probe};
use tracing::{debug, info, warn};

use crate::election::{self, Change};
use crate::flags::Flags;
use crate::knowledge::{Ask, Copy, Knowledge};
use crate::metrics::Metrics;
use crate::nb::Commit;
use crate::{
    admission, behind, cluster, events, leave, nb, services, settings, trust, unserved, watch as watches,
    workloads, writer,
};

/// Events on their way to the engine. Watches wait when it is full.
const INPUTS: usize = 4096;
/// Most events taken before the engine is asked: a list of 50,000 pods must not keep the others waiting.
const BATCH: usize = 8192;
/// A loop that hasn't turned for so long hangs: the lease is given up, and the kubelet is to start the process again.
/// The longest turn, that of the first lists of a very large cluster, takes a fifth of it.
const STALLED: Duration = Duration::from_secs(15);
/// How long the end may take once the lease is given up.
const END: Duration = Duration::from_secs(3);

/// Runs until `stop` is cancelled (which gives the lease up first) or something can't go on.
pub async fn run(flags: Flags, stop: CancellationToken) -> Result<()> {
    info!(nb = flags.nb.join(","), "the NB's addresses");
    tombolo_client::flags::log_inert(&flags.inert);
    // Read early, so that a wrong value is an error at once and not when the API server answers.
    settings::config(&flags, flags.acting.cluster_id.as_deref().unwrap_or("not-known-yet"))?;

    let observer = Observer::new(tombolo_names::workloads::CONTROLLER, env!("CARGO_PKG_VERSION"));
    observer.health().fail(Probe::Ready, "kubernetes", "not synced yet");
    observer.health().fail(Probe::Ready, "ovn-nb", "not connected yet");
    let metrics = Metrics::new(&observer);
    let beat = Beat::new(STALLED);
    let end = CancellationToken::new();
    let tasks = TaskTracker::new();
    serve(&flags, &observer, &tasks, &end).await?;

    let client = cluster::client(flags.acting.kubeconfig.as_deref()).await?;
    if flags.acting.uninstall_workloads {
        workloads::stop_measuring(&client, &flags.acting.pod_namespace).await?;
    }
    let api_server = ApiServer::default();
    let id = match &flags.acting.cluster_id {
        Some(id) => id.clone(),
        None => match cluster::id(&client, &api_server, &stop).await {
            Some(id) => id,
            None => return Ok(()),
        },
    };
    let config = settings::config(&flags, &id)?;
    let wanted = match config.take_over {
        true => tombolo_plan::nb::wanted_to_take_over(&config.cluster),
        false => tombolo_plan::nb::wanted(&config.cluster),
    };
    let nb_client = nb::connect(&flags, wanted, tombolo_plan::nb::indexes())?;

    let (to_engine, inputs) = mpsc::channel(INPUTS);
    let (writes, write_requests) = mpsc::unbounded_channel();
    let (commits, commit_requests) = mpsc::channel(4);
    let (notices, notice_requests) = mpsc::channel(events::QUEUE);
    let (asks, questions) = mpsc::channel::<Ask>(4);
    let (resign, resign_requests) = mpsc::channel(4);
    let (may_lead, may_lead_seen) = watch::channel(false);
    let (leading, leading_seen) = watch::channel(false);
    let (changes, lease_changes) = mpsc::channel(4);

    let identity = identity(&flags);
    if flags.acting.admission_port != 0 {
        let certificate = admission::certificate(&flags.acting.pod_namespace)?;
        let paths = trust::Paths::default();
        let ca = flags.acting.admission_client_ca.as_str();
        let settings = admission::Settings {
            addresses: &flags.addresses,
            port: flags.acting.admission_port,
            client_ca: (!ca.is_empty()).then_some(Path::new(ca)),
            certificate: &certificate,
            paths: paths.clone(),
        };
        let knowledge = Knowledge::new(asks.clone());
        admission::serve(settings, metrics.clone(), knowledge, &tasks, &end).await?;
        let replica = trust::Replica::new(&identity, certificate.cert.pem())?;
        tasks.spawn(trust::run(client.clone(), api_server.clone(), replica, paths, end.clone()));
    }
    tasks.spawn(services::run(client.clone(), to_engine.clone(), end.clone()));
    watches::start(&client, &api_server, &to_engine, &tasks, &end);
    tasks.spawn(writer::run(
        client.clone(),
        api_server.clone(),
        metrics.clone(),
        leading_seen.clone(),
        write_requests,
        to_engine.clone(),
        end.clone(),
    ));
    tasks.spawn(events::run(client.clone(), identity.clone(), notice_requests, end.clone()));
    let (behind, behind_seen) = behind::Watched::new();
    if !config.leaving {
        let settings = unserved::Settings {
            reporter: identity.clone(),
            default_vpc: config.cluster_router.clone(),
            network_policies: flags.acting.enable_np,
        };
        let (client, api_server) = (client.clone(), api_server.clone());
        tasks.spawn(unserved::run(
            client,
            api_server,
            settings,
            metrics.clone(),
            leading_seen,
            behind_seen,
            end.clone(),
        ));
    }
    tasks.spawn(nb::run(
        nb_client,
        config.cluster.clone(),
        flags.ovn_timeout(),
        metrics.clone(),
        commit_requests,
        to_engine,
        end.clone(),
    ));
    let leave = flags.acting.uninstall.as_deref().map(|how| {
        let leave = leave::Leave::new(how == "force");
        match flags.acting.uninstall_workloads {
            true => leave.stopping(workloads::stop(client.clone(), flags.acting.pod_namespace.clone())),
            false => leave,
        }
    });
    tasks.spawn(election::run(
        client,
        election::Settings {
            namespace: flags.acting.pod_namespace.clone(),
            identity,
            lease_duration: flags.acting.leader_elect_lease_duration,
            renew_deadline: flags.acting.leader_elect_renew_deadline,
            retry_period: flags.acting.leader_elect_retry_period,
        },
        election::Inputs {
            api_server: api_server.clone(),
            may_lead: may_lead_seen,
            resign: resign_requests,
            beat: beat.clone(),
            leading: leading.clone(),
        },
        changes,
        stop.clone(),
    ));
    tasks.close();

    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let shell = Shell {
        engine: Engine::new(config, i64::try_from(unix.as_secs()).unwrap_or_default()),
        started: Instant::now(),
        observer,
        metrics,
        writes,
        commits,
        notices,
        resign,
        may_lead,
        leading,
        behind,
        leave,
        left: None,
        writes_out: 0,
        commits_out: 0,
        settling: None,
        synced_once: false,
        beat: beat.clone(),
    };
    // Only now: until the loop runs, there may be a long wait for the API server, which no restart shortens.
    beat.beat();
    shell.observer.health().live_while("engine", beat);
    let result = shell.turn_until_end(inputs, lease_changes, questions, &stop).await;
    drop(asks);
    end.cancel();
    if tokio::time::timeout(END, tasks.wait()).await.is_err() {
        debug!("some tasks did not end in time");
    }
    result
}

/// Health and metrics.
async fn serve(
    flags: &Flags,
    observer: &Observer,
    tasks: &TaskTracker,
    end: &CancellationToken,
) -> Result<()> {
    let port = flags.acting.pprof_port;
    if port == 0 {
        return Ok(());
    }
    let served = observer.serve_at(&flags.addresses, port, tasks, end).await;
    served.context("serving health and metrics (--pprof-port, --metrics-address)")
}

/// The pod's name: a container that starts again takes its own lease up at once. Outside of a pod, the host's
/// name and something that no other process has.
fn identity(flags: &Flags) -> String {
    if let Some(name) = flags.acting.pod_name.as_ref().filter(|name| !name.is_empty()) {
        return name.clone();
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}_{}_{:x}", host.trim(), std::process::id(), now.as_micros())
}

/// The engine and where its effects go.
struct Shell {
    engine: Engine,
    started: Instant,
    observer: Observer,
    metrics: Metrics,
    writes: mpsc::UnboundedSender<tombolo_engine::Write>,
    commits: mpsc::Sender<Commit>,
    notices: mpsc::Sender<tombolo_engine::Notice>,
    resign: mpsc::Sender<String>,
    may_lead: watch::Sender<bool>,
    leading: watch::Sender<bool>,
    behind: behind::Watched,
    /// The uninstallation, if that is this process' task, and its outcome.
    leave: Option<leave::Leave>,
    left: Option<Result<(), leave::Stays>>,
    writes_out: usize,
    commits_out: usize,
    /// Fired when nothing is under way any more.
    settling: Option<oneshot::Sender<()>>,
    synced_once: bool,
    /// Beaten at each turn.
    beat: Beat,
}

impl Shell {
    async fn turn_until_end(
        mut self,
        mut inputs: mpsc::Receiver<Event>,
        mut lease_changes: mpsc::Receiver<Change>,
        mut questions: mpsc::Receiver<Ask>,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut batch = Vec::new();
        let mut turn = (0, Duration::ZERO);
        loop {
            self.beat.beat();
            self.act(turn).await?;
            self.beat.beat();
            self.look_whether_left(stop);
            let wakeup = self.engine.next_wakeup().map(|at| self.started + Duration::from_millis(at));
            tokio::select! {
                count = inputs.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        bail!("all inputs of the engine have ended");
                    }
                }
                change = lease_changes.recv() => match change {
                    Some(change) => self.lead(change),
                    // The election ends last: after it has given the lease up.
                    None if stop.is_cancelled() => return self.left.unwrap_or(Ok(())).map_err(Into::into),
                    None => bail!("the leader election has ended"),
                },
                Some(ask) = questions.recv() => self.tell(ask),
                // Nothing to do, but alive.
                () = tokio::time::sleep(self.beat.interval()) => {}
                () = tokio::time::sleep(leave::TICK), if self.leave.is_some() => {}
                () = sleep_until(wakeup) => {
                    let now = self.now();
                    self.engine.handle(now, Event::Tick);
                }
            }
            let (now, began, count) = (self.now(), Instant::now(), batch.len());
            for event in batch.drain(..) {
                self.look(&event);
                self.engine.handle(now, event);
            }
            turn = (count, began.elapsed());
        }
    }

    /// Copies the World, if it is known well enough to judge by.
    fn tell(&self, ask: Ask) {
        let health = self.engine.health();
        let copy = (health.synced && health.nb_fresh).then(|| Copy::of(self.engine.world()));
        // The API server may have given up waiting.
        let _ = ask.send(copy);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// An uninstallation that is over ends the process, once the lease is given up.
    fn look_whether_left(&mut self, stop: &CancellationToken) {
        if self.left.is_none() {
            let busy = self.writes_out > 0 || self.commits_out > 0;
            self.left = self.leave.as_mut().and_then(|leave| leave.look(&self.engine, busy));
        }
        if self.left.is_some() {
            stop.cancel();
        }
    }

    fn lead(&mut self, change: Change) {
        let held = change.leadership == Leadership::Held;
        if held && let Some(Err(stays)) = self.leave.as_mut().map(|leave| leave.may_begin(&self.engine)) {
            // The engine never learns that it may write.
            self.left = Some(Err(stays));
            self.settling = change.settled;
            return;
        }
        self.leading.send_replace(held);
        self.metrics.leading(held);
        let now = self.now();
        self.engine.handle(now, Event::Leadership(change.leadership));
        self.settling = change.settled;
    }

    /// Takes the shell's own part out of an event.
    fn look(&mut self, event: &Event) {
        self.behind.look(self.engine.world(), event);
        match event {
            Event::WriteDone { id, result } => {
                self.writes_out = self.writes_out.saturating_sub(1);
                if let Err(error) = result {
                    debug!(id, %error, "a write was not done");
                }
            }
            Event::CommitDone { id, result } => {
                self.commits_out = self.commits_out.saturating_sub(1);
                if let Err(error) = result {
                    debug!(id, %error, "a transaction was not committed");
                }
            }
            Event::Watch(WatchEvent::Applied(Object::Subnet(subnet))) => self.metrics.subnet(subnet),
            Event::Watch(WatchEvent::Deleted(Object::Subnet(subnet))) => self.metrics.subnet_gone(subnet),
            _ => {}
        }
    }

    /// Asks the engine for effects, executes them, and publishes the state. `taken`: how many events it took
    /// before, and the time for that.
    async fn act(&mut self, taken: (usize, Duration)) -> Result<()> {
        let (now, began) = (self.now(), Instant::now());
        let effects = self.engine.poll(now);
        self.metrics.turn(taken.0, taken.1 + began.elapsed());
        for effect in effects {
            self.execute(effect).await?;
        }
        if self.writes_out == 0
            && self.commits_out == 0
            && let Some(settled) = self.settling.take()
        {
            // The election may have stopped waiting.
            let _ = settled.send(());
        }
        self.publish();
        Ok(())
    }

    async fn execute(&mut self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Write(write) => {
                self.writes_out += 1;
                self.writes.send(write).context("the writer has ended")?;
            }
            Effect::Commit { id, txn } => {
                self.commits_out += 1;
                self.commits.send(Commit { id, txn }).await.context("the NB task has ended")?;
            }
            Effect::Notify(notice) => {
                debug!(?notice, "event");
                if self.notices.try_send(notice).is_err() {
                    debug!("too many Events at once: one is dropped; its condition stays");
                }
            }
            Effect::Log { warning: true, message } => warn!("{message}"),
            Effect::Log { warning: false, message } => info!("{message}"),
            Effect::Resign { reason } => {
                // A full queue means that it is being given up already.
                let _ = self.resign.try_send(reason);
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        let health = self.engine.health();
        self.metrics.engine(self.engine.stats(), health);
        let conditions = self.observer.health();
        let state = |ok: bool, why: &str| if ok { Ok(()) } else { Err(why.to_owned()) };
        conditions.set(Probe::Ready, "kubernetes", state(health.synced, "not all objects are read yet"));
        conditions.set(Probe::Ready, "ovn-nb", state(health.nb_fresh, "no usable server"));
        let may = health.synced && health.nb_fresh;
        if may {
            self.behind.settle(self.engine.world());
        }
        if may && !self.synced_once {
            self.synced_once = true;
            info!(
                seconds = self.started.elapsed().as_secs_f64(),
                "first sync: Kubernetes and the NB are read"
            );
        }
        self.may_lead.send_if_modified(|now| std::mem::replace(now, may) != may);
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
