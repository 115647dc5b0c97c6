//! How long rows of ours did not stand, by a monitor of the northbound database.
//!
//! Decides when a row stands: it is there, by its uuid, with all that it had. What others add to it (Neutron's
//! maintenance writes options into every port) is theirs to add.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tombolo_foreign_rows::exceptions;
use tombolo_ovsdb::{Client, ClientConfig, Datum, Name, Replica, Row, Uuid, Wanted};
use tombolo_sandbox::exec;
use tombolo_sandbox::ovn::{self, Database};

const TABLES: [Name; 7] = [
    "Logical_Switch",
    "Logical_Switch_Port",
    "Logical_Router",
    "Logical_Router_Port",
    "Logical_Router_Policy",
    "Port_Group",
    "Address_Set",
];
/// So long nothing must change until something counts as over.
const QUIET: Duration = Duration::from_millis(1500);
/// For what takes rows of ours away and comes back to it: a repair of Neutron's takes some seconds.
const HEALED: Duration = Duration::from_secs(60);

/// What an action did to rows of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Each time that a row of ours did not stand: which was the first, and how long until all stood again.
    pub broken: Vec<(String, Duration)>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.broken.iter().map(|(_, time)| time).max() {
            None => f.write_str("untouched"),
            Some(longest) => {
                write!(f, "broken {} times, back within {} ms", self.broken.len(), longest.as_millis())
            }
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    broken_since: Option<(String, Instant)>,
    broken: Vec<(String, Duration)>,
    last_change: Option<Instant>,
    lost: Option<String>,
}

/// A monitor of the rows that were ours when it began.
#[derive(Debug)]
pub struct Healing {
    client: Client,
    /// What the monitor runs on.
    _runtime: tokio::runtime::Runtime,
    seen: Arc<Mutex<Seen>>,
}

impl Healing {
    /// Begins with the rows of ours that there are.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn begin() -> Result<Self> {
        let host = ovn::leader(Database::Nb)?;
        let pid = host.init_pid().with_context(|| format!("{host} isn't running"))?;
        // The host's own /run, seen from outside.
        let endpoint = format!("unix:/proc/{pid}/root/run/ovn/ovnnb_db.sock");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("starting a runtime")?;
        let wanted = TABLES.into_iter().fold(Wanted::new(), Wanted::table_all);
        let config = ClientConfig::new(endpoint.parse()?, Database::Nb.name(), wanted);
        let (client, snapshot) = runtime.block_on(async {
            let client = Client::connect(config)?;
            let snapshot = client.ready(exec::SHORT).await?;
            anyhow::Ok((client, snapshot))
        })?;
        let ours: BTreeMap<(Name, Uuid), Arc<Row>> = snapshot
            .replica
            .tables()
            .flat_map(|(name, table)| table.iter().map(move |(uuid, row)| ((name, uuid), row.clone())))
            .filter(|(_, row)| row.key("external_ids", "vendor") == Some("kube-ovn"))
            .collect();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (mut changes, noted) = (client.changes(), seen.clone());
        runtime.spawn(async move {
            while let Some(update) = changes.recv().await {
                let now = Instant::now();
                let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
                if !update.changes.is_empty() {
                    seen.last_change = Some(now);
                }
                match (missing(&ours, &update.snapshot.replica), seen.broken_since.take()) {
                    (Some(_), Some(since)) => seen.broken_since = Some(since),
                    (Some(what), None) => seen.broken_since = Some((what, now)),
                    (None, Some((what, since))) => seen.broken.push((what, now - since)),
                    (None, None) => {}
                }
            }
            noted.lock().unwrap_or_else(PoisonError::into_inner).lost = Some("the monitor ended".to_owned());
        });
        Ok(Self { client, _runtime: runtime, seen })
    }

    /// Runs an action and waits until all rows stand again and nothing changes any more.
    ///
    /// # Errors
    /// The action's, and when a row doesn't come back.
    pub fn during(&self, action: impl FnOnce() -> Result<()>) -> Result<Outcome> {
        self.lock().broken.clear();
        action()?;
        let until = Instant::now() + HEALED;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let mut seen = self.lock();
            if let Some(lost) = &seen.lost {
                bail!("{lost}: {}", self.client.status().last_error);
            }
            let quiet = seen.last_change.is_none_or(|last| last.elapsed() > QUIET);
            match &seen.broken_since {
                None if quiet || Instant::now() > until => {
                    return Ok(Outcome { broken: std::mem::take(&mut seen.broken) });
                }
                Some((what, since)) if Instant::now() > until => {
                    bail!("{what} has not been as it was for {:.1} s", since.elapsed().as_secs_f64());
                }
                _ => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first row that isn't there with all that it had.
fn missing(ours: &BTreeMap<(Name, Uuid), Arc<Row>>, replica: &Replica) -> Option<String> {
    ours.iter().find_map(|((table, uuid), wanted)| {
        let name = wanted.str("name").unwrap_or_default();
        let Some(row) = replica.row(table, uuid) else { return Some(format!("{table} {name}")) };
        let differs = wanted.iter().find(|(column, datum)| {
            // Without what the reviewed list says that northd writes.
            let kept = exceptions::compared(Database::Nb.name(), table, column, datum);
            kept.is_some_and(|kept| !row.get(column).is_some_and(|now| has_all(now, &kept)))
        });
        differs.map(|(column, _)| format!("{column} of {table} {name}"))
    })
}

fn has_all(now: &Datum, wanted: &Datum) -> bool {
    if wanted.is_map() {
        wanted.entries().iter().all(|(key, value)| now.entry(key) == Some(value))
    } else {
        wanted.atoms().iter().all(|atom| now.contains(atom))
    }
}
