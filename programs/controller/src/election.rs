//! Leader election: watches the two Leases, takes ours, renews it, gives it up.
//!
//! Decides when to ask the API server; `crate::lease` decides which replica may lead. A standby watches, so a
//! lease that is given up is taken at once; one whose holder died is taken when it runs out.

use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher::{self, Config};
use kube::{Api, Client};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tombolo_engine::Leadership;
use tombolo_observe::Beat;
use tracing::{debug, info, warn};

use crate::lease::{self, Sight, Verdict};
use tombolo_client::{ApiServer, Away, GRACE, chain, follow};

/// Times and names of an election.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Namespace of both Leases.
    pub namespace: String,
    /// The name under which this process holds the lease. Two living processes never share one.
    pub identity: String,
    /// How long the lease is valid after a change.
    pub lease_duration: Duration,
    /// How long the leader may fail to renew before it stands down.
    pub renew_deadline: Duration,
    /// Time between two renewals.
    pub retry_period: Duration,
}

/// The election's inputs beside the Leases.
#[derive(Debug)]
pub struct Inputs {
    /// Whether the API server answers.
    pub api_server: ApiServer,
    /// Whether this process knows enough to lead.
    pub may_lead: watch::Receiver<bool>,
    /// Reasons to give the lease up at once.
    pub resign: mpsc::Receiver<String>,
    /// A leader acts by the loop: while it hangs, the lease is given up and not taken.
    pub beat: Beat,
    /// Whether writes may be sent. The loop sets it when it takes a change in; the election itself clears it when we no longer
    /// lead, since the loop may hang.
    pub leading: watch::Sender<bool>,
}

/// A change of leadership, for the engine.
#[derive(Debug)]
pub struct Change {
    /// Our role from now on.
    pub leadership: Leadership,
    /// With [`Leadership::Lost`]: dropped or fired when nothing written under the lease is under way any more.
    /// The lease is kept until then (for at most [`SETTLE`]).
    pub settled: Option<oneshot::Sender<()>>,
}

/// How long standing down waits for writes that are under way.
pub const SETTLE: Duration = Duration::from_millis(700);

/// Ends when `stop` is cancelled and the lease, if it was ours, is given up.
pub async fn run(
    client: Client,
    settings: Settings,
    inputs: Inputs,
    changes: mpsc::Sender<Change>,
    stop: CancellationToken,
) {
    let Inputs { api_server, mut may_lead, mut resign, beat, leading } = inputs;
    let api: Api<Lease> = Api::namespaced(client, &settings.namespace);
    let named = |name: &str| {
        follow(api.clone(), Config::default().fields(&format!("metadata.name={name}")), &api_server)
    };
    let (mut ours_watch, mut theirs_watch) = (named(lease::LEASE), named(lease::KUBE_OVN_LEASE));
    let mut election = Election {
        api,
        settings,
        changes,
        beat,
        writes: leading,
        ours: Sight::Unknown,
        theirs: Sight::Unknown,
        current: None,
        listing: [false; 2],
        leading: None,
        not_before: Instant::now(),
        logged: String::new(),
        away: Away::new("the Lease", "the election goes on when the API server answers", GRACE),
    };
    loop {
        let may = *may_lead.borrow_and_update();
        let wake = election.act(may).await;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(event) = ours_watch.next() => election.observe(event, true).await,
            Some(event) = theirs_watch.next() => election.observe(event, false).await,
            changed = may_lead.changed() => if changed.is_err() { break },
            Some(reason) = resign.recv() => {
                if election.leading.is_some() {
                    warn!(%reason, "giving the lease up");
                    election.stand_down(true).await;
                }
            }
            () = tokio::time::sleep_until(wake.into()) => {}
        }
    }
    if election.leading.is_some() {
        election.stand_down(true).await;
    }
}

struct Election {
    api: Api<Lease>,
    settings: Settings,
    changes: mpsc::Sender<Change>,
    beat: Beat,
    writes: watch::Sender<bool>,
    ours: Sight,
    theirs: Sight,
    /// The newest version of our Lease that we saw: the base of a replacement.
    current: Option<Lease>,
    /// Whether the list under way (ours, Kube-OVN's) has brought nothing so far.
    listing: [bool; 2],
    /// Set while we lead.
    leading: Option<Leading>,
    /// No attempt to take the lease before.
    not_before: Instant,
    /// The reason for not leading that was last logged.
    logged: String,
    away: Away,
}

struct Leading {
    renewed: Instant,
    next: Instant,
}

impl Election {
    async fn observe(&mut self, event: watcher::Event<Lease>, is_ours: bool) {
        let now = Instant::now();
        let list = usize::from(!is_ours);
        let listed = matches!(event, watcher::Event::InitApply(_));
        let lease = match event {
            watcher::Event::Apply(lease) | watcher::Event::InitApply(lease) => {
                self.listing[list] = false;
                Some(lease)
            }
            watcher::Event::Delete(_) => None,
            watcher::Event::Init => {
                self.listing[list] = true;
                return;
            }
            // Only a complete list without it proves that there is no such Lease.
            watcher::Event::InitDone if std::mem::take(&mut self.listing[list]) => None,
            watcher::Event::InitDone => return,
        };
        if !is_ours {
            self.theirs.observe(lease.as_ref(), now);
            return;
        }
        // Our own write is newer than the versions of a watch that lags.
        if let (Some(lease), Some(current)) = (&lease, &self.current)
            && !listed
            && is_older(lease, current)
        {
            return;
        }
        self.take_in(lease).await;
    }

    /// Our Lease as it is now.
    async fn take_in(&mut self, lease: Option<Lease>) {
        self.ours.observe(lease.as_ref(), Instant::now());
        self.current = lease;
        let mine =
            matches!(&self.ours, Sight::Seen { record, .. } if record.holder == self.settings.identity);
        if self.leading.is_some() && !mine {
            warn!("the lease was taken from us");
            self.stand_down(false).await;
        }
    }

    /// Reads our Lease past the watch, after a conflict.
    async fn read(&mut self, deadline: Duration) -> Result<(), String> {
        match tokio::time::timeout(deadline, self.api.get_opt(lease::LEASE)).await {
            Ok(Ok(found)) => {
                self.take_in(found).await;
                Ok(())
            }
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// Does the next step; the time of the one after it.
    async fn act(&mut self, may_lead: bool) -> Instant {
        let now = Instant::now();
        let far = now + Duration::from_secs(3600);
        let verdict = lease::evaluate(&self.ours, &self.theirs, now, &self.settings.identity);
        if let Some(leading) = &self.leading {
            if let Verdict::KubeOvn { holder, .. } = &verdict {
                warn!(%holder, "a controller of Kube-OVN's is running; standing down: stop it, its clean-up would take our rows for its own");
                self.stand_down(true).await;
                return Instant::now() + self.settings.retry_period;
            }
            if let Err(why) = self.beat.check() {
                warn!("the engine's loop {why}; giving the lease up, so that another replica can go on");
                self.stand_down(true).await;
                return Instant::now() + self.settings.retry_period;
            }
            if now >= leading.renewed + self.settings.renew_deadline {
                warn!("the lease could not be renewed in time; standing down");
                self.stand_down(false).await;
                return Instant::now();
            }
            if now < leading.next {
                return leading.next.min(leading.renewed + self.settings.renew_deadline);
            }
            return self.renew().await;
        }
        match verdict {
            Verdict::Wait => far,
            Verdict::KubeOvn { holder, until } => {
                self.log(true, &format!("a controller of Kube-OVN's ({holder}) holds the Lease {} in {}: ours waits until it is stopped, its clean-up would take our rows for its own", lease::KUBE_OVN_LEASE, self.settings.namespace));
                until
            }
            Verdict::Held { holder, until } => {
                self.log(false, &format!("standing by: {holder} leads"));
                until
            }
            Verdict::Ours | Verdict::Free => {
                if !may_lead {
                    self.log(
                        false,
                        "the lease is free; waiting until the Kubernetes objects and the NB are read",
                    );
                    return far;
                }
                if now < self.not_before {
                    return self.not_before;
                }
                if self.beat.check().is_err() {
                    self.log(true, "the lease is free; not taken while the engine's loop hangs");
                    return now + self.settings.retry_period;
                }
                self.acquire().await
            }
        }
    }

    /// One log line for each new reason not to lead.
    fn log(&mut self, warning: bool, text: &str) {
        if self.logged != text {
            self.logged = text.to_owned();
            if warning {
                warn!("{text}");
            } else {
                info!("{text}");
            }
        }
    }

    async fn acquire(&mut self) -> Instant {
        let started = Instant::now();
        let identity = self.settings.identity.clone();
        let old = self.current.clone().unwrap_or_default();
        let was = old.spec.clone().unwrap_or_default();
        let time = MicroTime(Timestamp::now());
        let transitions = was.lease_transitions.unwrap_or(0);
        let same = was.holder_identity.as_deref() == Some(identity.as_str());
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(lease::LEASE.to_owned()),
                namespace: Some(self.settings.namespace.clone()),
                ..old.metadata
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(identity),
                lease_duration_seconds: Some(self.seconds()),
                acquire_time: Some(time.clone()),
                renew_time: Some(time),
                lease_transitions: Some(if same { transitions } else { transitions + 1 }),
                ..was
            }),
        };
        let exists = self.current.is_some();
        let deadline = self.settings.retry_period.min(Duration::from_secs(5));
        let answer = tokio::time::timeout(deadline, async {
            if exists {
                self.api.replace(lease::LEASE, &PostParams::default(), &lease).await
            } else {
                self.api.create(&PostParams::default(), &lease).await
            }
        })
        .await;
        match answer {
            Ok(Ok(lease)) => {
                self.away.back();
                self.took(lease, started);
                self.logged.clear();
                info!(identity = self.settings.identity, "leading");
                let change = Change { leadership: Leadership::Held, settled: None };
                // The receiver only goes away when the program ends.
                let _ = self.changes.send(change).await;
                started + self.settings.retry_period
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                // Another replica was faster.
                debug!("the lease changed while we tried to take it");
                if let Err(error) = self.read(deadline).await {
                    self.away.gone(&error);
                }
                self.later(started)
            }
            Ok(Err(error)) => {
                self.away.gone(&chain(&error));
                self.later(started)
            }
            Err(_) => {
                self.away.gone("no answer in time");
                self.later(started)
            }
        }
    }

    async fn renew(&mut self) -> Instant {
        let started = Instant::now();
        let Some(leading) = &self.leading else { return started };
        let give_up = leading.renewed + self.settings.renew_deadline;
        let deadline = give_up.saturating_duration_since(started).min(Duration::from_secs(5));
        let Some(mut lease) = self.current.clone() else {
            // Deleted under us: a deletion requests a new election.
            warn!("the Lease was deleted");
            self.stand_down(false).await;
            return started;
        };
        let spec = lease.spec.get_or_insert_default();
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        spec.lease_duration_seconds = Some(self.seconds());
        let answer =
            tokio::time::timeout(deadline, self.api.replace(lease::LEASE, &PostParams::default(), &lease))
                .await;
        let error = match answer {
            Ok(Ok(lease)) => {
                self.away.back();
                self.took(lease, started);
                return started + self.settings.retry_period;
            }
            // Not necessarily lost: a user may have put a label on it. Its present state decides.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 || status.code == 404 => {
                match self.read(deadline).await {
                    // Still ours: again at once, with the new version.
                    Ok(()) => return Instant::now(),
                    Err(error) => error,
                }
            }
            Ok(Err(error)) => chain(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        self.away.gone(&error);
        let again = self.later(started);
        if let Some(leading) = &mut self.leading {
            leading.next = again;
        }
        again.min(give_up)
    }

    fn took(&mut self, lease: Lease, at: Instant) {
        self.ours.observe(Some(&lease), Instant::now());
        self.current = Some(lease);
        // Counted from before the request was sent: others count from when they see it, which is later.
        self.leading = Some(Leading { renewed: at, next: at + self.settings.retry_period });
    }

    fn later(&mut self, now: Instant) -> Instant {
        self.not_before = now + self.settings.retry_period.min(Duration::from_secs(2));
        self.not_before
    }

    fn seconds(&self) -> i32 {
        let seconds = self.settings.lease_duration.as_secs_f64().ceil();
        (seconds as i32).max(1)
    }

    /// Informs the engine, waits for writes under way, and gives the lease up if it is still ours.
    async fn stand_down(&mut self, release: bool) {
        self.writes.send_replace(false);
        let (settled, done) = oneshot::channel();
        let change = Change { leadership: Leadership::Lost, settled: Some(settled) };
        let _ = self.changes.send(change).await;
        self.leading = None;
        self.not_before = Instant::now() + self.settings.retry_period;
        info!(identity = self.settings.identity, "no longer leading");
        if !release {
            return;
        }
        // Either end means that nothing is under way; running out of time is harmless, since the
        // database refuses a deposed leader (invariant 7).
        let _ = tokio::time::timeout(SETTLE, done).await;
        let Some(mut lease) = self.current.clone() else { return };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.settings.identity.as_str()) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        spec.lease_duration_seconds = Some(1);
        let params = PostParams::default();
        let request = self.api.replace(lease::LEASE, &params, &lease);
        match tokio::time::timeout(Duration::from_secs(2), request).await {
            Ok(Ok(lease)) => {
                self.ours.observe(Some(&lease), Instant::now());
                self.current = Some(lease);
            }
            Ok(Err(error)) => {
                info!(error = %chain(&error), "the lease was not given up; it runs out by itself")
            }
            Err(_) => info!("the lease was not given up in time; it runs out by itself"),
        }
    }
}

/// Whether `lease` is an older version than `current`. Versions that aren't numbers can't be compared, and
/// count as news.
fn is_older(lease: &Lease, current: &Lease) -> bool {
    let version = |l: &Lease| l.metadata.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
    matches!((version(lease), version(current)), (Some(a), Some(b)) if a < b)
}
