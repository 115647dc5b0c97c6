//! `--uninstall`: takes everything of this cluster out of OVN and off its objects, and ends.
//!
//! The engine does the work under a configuration whose plan is that nothing stands. This module decides when it
//! may begin, when it is done, and when to give up with an error that names the rest.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tombolo_engine::Engine;
use tombolo_plan::leave;
use tracing::{info, warn};

/// Nothing has gone for so long: it won't by itself.
const PATIENCE: Duration = Duration::from_secs(45);
/// Longest wait for the lease.
const LEASE: Duration = Duration::from_secs(180);
/// How often the state is checked during an uninstallation.
pub const TICK: Duration = Duration::from_millis(500);
/// So many are named in a message.
const NAMED: usize = 10;

/// Why it ended without having left.
#[derive(Debug, thiserror::Error)]
pub enum Stays {
    /// Pods use the network.
    #[error(
        "nothing was removed: {0} pods are still on this network ({1}); delete them or scale their owners to 0 while \
         kube-ovn-controller and kube-ovn-cni run, or set --uninstall=force \
         (the chart's uninstall.force), which cuts them off"
    )]
    InUse(usize, Names),
    /// Another controller leads.
    #[error(
        "nothing was removed: another controller holds the lease; scale the Deployment kube-ovn-controller to 0 first"
    )]
    NoLease,
    /// The controllers and agents that run don't stop.
    #[error("nothing was removed: {0}")]
    Runs(String),
    /// It doesn't go.
    #[error("not all of it goes; the rest: {0}. The warnings above name the reasons")]
    Left(Names),
}

/// The first ones of a list.
#[derive(Debug)]
pub struct Names(Vec<String>);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = &self.0[..self.0.len().min(NAMED)];
        f.write_str(&named.join("; "))?;
        match self.0.len() - named.len() {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// An uninstallation under way.
#[derive(Debug)]
pub struct Leave {
    force: bool,
    stop: Stop,
    began: Instant,
    /// The rest when it last became less, and when that was.
    last: Option<(Vec<String>, Instant)>,
}

/// Whether controllers and agents that run are stopped before the lease is waited for.
#[derive(Debug)]
enum Stop {
    /// They aren't, or they are already.
    Nothing,
    /// Once no pod is on the network: the sender starts it.
    Wanted(oneshot::Sender<()>, oneshot::Receiver<Result<(), String>>),
    /// It is under way.
    UnderWay(oneshot::Receiver<Result<(), String>>),
}

impl Leave {
    /// `force`: though pods are on the network.
    pub fn new(force: bool) -> Self {
        Self { force, stop: Stop::Nothing, began: Instant::now(), last: None }
    }

    /// Before it waits for the lease, and if no pod is on the network, `stop` stops those that run.
    pub fn stopping(mut self, stop: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> Self {
        let (start, started) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        tokio::spawn(async move {
            if started.await.is_ok() {
                // The other end is gone when the process ends.
                let _ = end.send(stop.await.map_err(|error| format!("{error:#}")));
            }
        });
        self.stop = Stop::Wanted(start, ended);
        self
    }

    /// Stops those that run as far as that has come; an error ends the uninstallation.
    fn stop(&mut self, engine: &Engine) -> Result<(), Stays> {
        let health = engine.health();
        self.stop = match std::mem::replace(&mut self.stop, Stop::Nothing) {
            Stop::Wanted(start, ended) if health.synced && health.nb_fresh => {
                self.may_begin(engine)?;
                // A task that is gone gives no answer, which the next look sees.
                let _ = start.send(());
                Stop::UnderWay(ended)
            }
            Stop::UnderWay(mut ended) => match ended.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => Stop::UnderWay(ended),
                Err(oneshot::error::TryRecvError::Closed) => {
                    return Err(Stays::Runs("the task that stops controllers and agents has ended".into()));
                }
                Ok(Err(why)) => return Err(Stays::Runs(why)),
                Ok(Ok(())) => Stop::Nothing,
            },
            other => other,
        };
        Ok(())
    }

    /// The lease is ours: whether it may begin.
    pub fn may_begin(&mut self, engine: &Engine) -> Result<(), Stays> {
        let users = leave::users(engine.world());
        if users.is_empty() {
            return Ok(());
        }
        if self.force {
            warn!("{} pods lose their network: {}", users.len(), Names(users));
            return Ok(());
        }
        Err(Stays::InUse(users.len(), Names(users)))
    }

    /// Checks the progress; the result once it is over. `busy`: writes or a transaction are under way.
    pub fn look(&mut self, engine: &Engine, busy: bool) -> Option<Result<(), Stays>> {
        if let Err(stays) = self.stop(engine) {
            return Some(Err(stays));
        }
        let health = engine.health();
        if !health.leading {
            self.last = None;
            return (self.began.elapsed() > LEASE).then_some(Err(Stays::NoLease));
        }
        self.began = Instant::now();
        if !matches!(self.stop, Stop::Nothing) {
            return None;
        }
        if busy || health.dirty > 0 && self.last.as_ref().is_none_or(|(_, since)| since.elapsed() < PATIENCE)
        {
            self.last.get_or_insert_with(|| (leave::left(engine.world()), Instant::now()));
            return None;
        }
        let left = leave::left(engine.world());
        if left.is_empty() {
            info!(
                "nothing of this cluster is left in OVN but the fence of its writes, and no object is held"
            );
            return Some(Ok(()));
        }
        match &self.last {
            Some((before, since)) if *before == left => {
                (since.elapsed() > PATIENCE).then_some(Err(Stays::Left(Names(left))))
            }
            _ => {
                self.last = Some((left, Instant::now()));
                None
            }
        }
    }
}
