//! The program: a client of each database, one of each server's `_Server`, and the port where metrics are asked for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tombolo_observe::{Family, Observer, Source};
use tombolo_ovn::{nb, sb};
use tombolo_ovsdb::session::Backoff;
use tombolo_ovsdb::{Client, Datum, Endpoints, Replica, Snapshot, Update, Uuid, Wanted};
use tracing::info;

use crate::flaps::Flaps;
use crate::lag::Lag;
use crate::members::{self, Member};
use crate::options::Options;
use crate::{series, servers};

/// A server that is away is dialed this rarely: nothing waits for it but a metric.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    cap: Duration::from_secs(30),
    stable_after: Duration::from_secs(5),
};
/// The tables in which northd's lag shows.
const LAG_TABLES: [&str; 3] = [nb::NbGlobal::TABLE, nb::LogicalSwitch::TABLE, sb::DatapathBinding::TABLE];
/// Between two looks for ports that can be forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// Runs until `stop`.
///
/// # Errors
/// A port that is taken, keys that can't be used.
pub async fn run(options: Options, stop: CancellationToken) -> Result<()> {
    let observer = Observer::new(tombolo_names::workloads::MONITOR, env!("CARGO_PKG_VERSION"));
    let tasks = TaskTracker::new();
    let watcher = Arc::new(Watcher::start(&options)?);
    observer.source(&watcher);
    observer.serve_at(&options.addresses, options.acting.metrics_port, &tasks, &stop).await?;
    info!("following the NB at {} and the SB at {}", options.nb, options.sb);
    tasks.spawn(async move { watcher.follow(stop).await });
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// The servers of one database.
#[derive(Debug)]
struct Servers {
    database: &'static str,
    clients: Vec<(String, Client)>,
}

impl Servers {
    fn start(options: &Options, database: &'static str, endpoints: &Endpoints) -> Result<Self> {
        let mut clients = Vec::new();
        for endpoint in endpoints.list() {
            let name = endpoint.to_string();
            let one = endpoint.clone().into();
            let client = connect(options, one, members::SERVER, members::wanted())
                .with_context(|| format!("setting up the connection to {name}"))?;
            clients.push((name, client));
        }
        Ok(Self { database, clients })
    }

    fn members(&self) -> Vec<Member> {
        let each = self.clients.iter();
        each.map(|(endpoint, client)| Member {
            endpoint: endpoint.clone(),
            says: members::says(&client.snapshot(), self.database),
        })
        .collect()
    }
}

fn connect(options: &Options, endpoints: Endpoints, database: &str, wanted: Wanted) -> Result<Client> {
    // Any member will do: who only reads needn't burden the leader.
    let config = options.acting.databases.client(endpoints, database, wanted);
    Ok(Client::connect(config.leader_only(false).backoff(BACKOFF))?)
}

/// What is known, and what the metrics are read from.
#[derive(Debug)]
pub struct Watcher {
    host: String,
    ports: bool,
    origin: Instant,
    nb: Client,
    sb: Client,
    servers: [Servers; 2],
    judged: Mutex<Judged>,
}

/// What no single moment shows.
#[derive(Debug)]
struct Judged {
    flaps: Flaps,
    lag: Lag,
}

impl Watcher {
    /// Starts connecting.
    ///
    /// # Errors
    /// Keys or certificates that can't be used.
    pub fn start(options: &Options) -> Result<Self> {
        let ports = options.acting.port_series;
        Ok(Self {
            host: options.acting.kube_node_name.clone(),
            ports,
            origin: Instant::now(),
            nb: connect(options, options.nb.clone(), nb::DATABASE, series::wanted_nb(ports))
                .context("setting up the connection to the NB")?,
            sb: connect(options, options.sb.clone(), sb::DATABASE, series::wanted_sb(ports))
                .context("setting up the connection to the SB")?,
            servers: [
                Servers::start(options, nb::DATABASE, &options.nb)?,
                Servers::start(options, sb::DATABASE, &options.sb)?,
            ],
            judged: Mutex::new(Judged { flaps: Flaps::new(options.flap_window()), lag: Lag::default() }),
        })
    }

    /// Follows what can't be read from one moment, until `stop`.
    pub async fn follow(&self, stop: CancellationToken) {
        let (mut nb, mut sb) = (self.nb.changes(), self.sb.changes());
        let mut forget = tokio::time::interval(FORGET);
        loop {
            tokio::select! {
                Some(update) = nb.recv() => self.judge_lag(&update),
                Some(update) = sb.recv() => {
                    self.judge_moves(&update);
                    self.judge_lag(&update);
                }
                _ = forget.tick() => {
                    self.judged().flaps.forget(self.origin.elapsed());
                }
                () = stop.cancelled() => return,
            }
        }
    }

    fn judged(&self) -> std::sync::MutexGuard<'_, Judged> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge_moves(&self, update: &Update) {
        // After a gap in the connection the order of what happened in between isn't known.
        if update.resynced {
            return;
        }
        let now = self.origin.elapsed();
        let mut judged = self.judged();
        let chassis = |row: Option<&Arc<tombolo_ovsdb::Row>>| -> Option<Uuid> {
            row?.get(sb::PortBinding::CHASSIS).and_then(Datum::as_uuid)
        };
        for (binding, change) in update.changes.of_table(sb::PortBinding::TABLE) {
            let Some(new) = &change.new else {
                judged.flaps.gone(binding);
                continue;
            };
            let name = new.str(sb::PortBinding::LOGICAL_PORT).unwrap_or_default();
            let (old, new) = (chassis(change.old.as_ref()), chassis(change.new.as_ref()));
            if old != new {
                judged.flaps.moved(now, binding, name, old, new);
            }
        }
    }

    fn judge_lag(&self, update: &Update) {
        // Ports change all the time, and say nothing of it. Without a change it is fresh again.
        let changes = &update.changes;
        if !changes.is_empty() && !LAG_TABLES.iter().any(|table| changes.touches(table)) {
            return;
        }
        // Without one of them there is nothing to compare.
        let (nb, sb) = (self.nb.snapshot(), self.sb.snapshot());
        if !nb.fresh || !sb.fresh {
            return;
        }
        let Some((asked, answered)) = series::cfg(&nb.replica) else { return };
        let missing = series::without_datapath(&nb.replica, &sb.replica);
        self.judged().lag.seen(self.origin.elapsed(), asked, answered, &missing);
    }
}

fn readable(snapshot: &Snapshot) -> Option<&Replica> {
    snapshot.fresh.then_some(&snapshot.replica)
}

impl Source for Watcher {
    fn families(&self) -> Vec<Family> {
        let (nb, sb) = (self.nb.snapshot(), self.sb.snapshot());
        let (nb, sb) = (readable(&nb), readable(&sb));
        let members: Vec<_> = self.servers.iter().map(|all| (all.database, all.members())).collect();
        let mut families = servers::series(&members);
        families.extend(series::of_rows(&self.host, nb, sb));
        let ports = |replica| if self.ports { replica } else { None };
        families.extend(series::of_ports(&self.host, ports(nb), ports(sb)));
        let judged = self.judged();
        let lag = (nb.is_some() && sb.is_some()).then(|| judged.lag.since(self.origin.elapsed()));
        families.push(Family::gauge(
            "tombolo_northd_lag_seconds",
            "How long the oldest change of the NB that northd has yet to take to the SB has waited",
            lag.map(|lag| (Vec::new(), lag.as_secs_f64())).into_iter().collect(),
        ));
        families.push(Family::counter(
            "tombolo_port_binding_moves",
            "How often a port returned to a chassis that had lost it shortly before: several claim it in turns",
            judged.flaps.returns().map(|(port, n)| (vec![("port", port.to_owned())], n as f64)).collect(),
        ));
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_list_of_metrics_is_that_of_alerts_and_dashboards() {
        // Nobody is there: names are shown all the same.
        let args = ["kube-ovn-monitor", "--ovn-nb-addr=tcp:127.0.0.1:1", "--ovn-sb-addr=tcp:127.0.0.1:1"];
        let options = Options::read(args, &|_| None).unwrap();
        let observer = Observer::new("test", "1");
        observer.source(&Arc::new(Watcher::start(&options).unwrap()));
        tombolo_chart::metrics::agree(tombolo_names::workloads::MONITOR, &observer.names()).unwrap();
    }
}
