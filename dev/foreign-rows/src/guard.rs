//! The guard itself: files followed in the background, transactions of ours judged as they come.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tombolo_ovsdb::Datum;
use tombolo_plan::ClusterId;

use crate::database::Database;
use crate::exceptions;
use crate::follow::Follower;
use crate::log::{Change, Record, Transaction};
use crate::rows::Rows;
use crate::rule::{self, Case};

/// How often the files are read. Only a file that is compacted twice in between is lost, and the guard reports that.
const LOOK: Duration = Duration::from_millis(200);
/// How long an entry of a cluster may wait until it is committed, at a check.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many transactions were seen, so that a guard that sees nothing is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// With our signature: judged.
    pub ours: u64,
    /// Of everybody else.
    pub others: u64,
}

#[derive(Debug)]
struct Member {
    follower: Follower,
    /// Of a cluster: entries that aren't applied yet.
    entries: BTreeMap<u64, (String, Option<Box<Change>>)>,
    committed: u64,
    /// A snapshot that was read and may be needed.
    snapshot: Option<(u64, Rows)>,
}

/// One database: a file, or those of all members of its cluster.
#[derive(Debug)]
struct Watched {
    database: Database,
    label: String,
    members: Vec<Member>,
    rows: Option<Rows>,
    /// Of a cluster: the number of the next entry to apply.
    next: u64,
    /// Of a standalone database: the file that took the place of another begins with all rows; here they come.
    successor: Option<Rows>,
    /// Whether transactions are judged: by default, not those from before the guard.
    armed: bool,
    seen: Seen,
    violations: Vec<String>,
}

/// Guards databases from its making to its end. Dropped, it fails the test if something was touched that isn't ours.
#[derive(Debug)]
pub struct Guard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    clusters: Vec<ClusterId>,
    watched: Mutex<Vec<Watched>>,
    stop: AtomicBool,
}

/// A guard to be.
#[derive(Debug)]
pub struct Builder {
    clusters: Vec<ClusterId>,
    history: bool,
    watched: Vec<Watched>,
}

impl Builder {
    /// Another cluster of ours writes to the same databases. Each transaction must be right for one of them: what is the
    /// other's is foreign to it.
    #[must_use]
    pub fn and(mut self, cluster: ClusterId) -> Builder {
        self.clusters.push(cluster);
        self
    }

    /// Adds a database by its file, or by the files of all members of its cluster.
    #[must_use]
    pub fn watch(mut self, database: Database, label: &str, files: &[impl AsRef<Path>]) -> Builder {
        let member = |path: &dyn AsRef<Path>| Member {
            follower: Follower::new(path.as_ref()),
            entries: BTreeMap::new(),
            committed: 0,
            snapshot: None,
        };
        self.watched.push(Watched {
            database,
            label: label.to_owned(),
            members: files.iter().map(|path| member(path)).collect(),
            rows: None,
            next: 0,
            successor: None,
            armed: false,
            seen: Seen::default(),
            violations: Vec::new(),
        });
        self
    }

    /// Judges all that the files still tell of the time before, too.
    #[must_use]
    pub fn with_history(mut self) -> Builder {
        self.history = true;
        self
    }

    /// Reads what is there and begins.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn start(mut self) -> Result<Guard> {
        for watched in &mut self.watched {
            watched.armed = self.history;
            watched.look(&self.clusters);
            ensure!(watched.violations.is_empty(), "{}", watched.violations.join("\n"));
            ensure!(watched.rows.is_some(), "{}: there is no database in its files", watched.label);
            watched.armed = true;
        }
        let shared = Arc::new(Shared {
            clusters: self.clusters,
            watched: Mutex::new(self.watched),
            stop: AtomicBool::new(false),
        });
        let its = shared.clone();
        let thread = std::thread::Builder::new().name("guard".to_owned()).spawn(move || {
            while !its.stop.load(Ordering::Relaxed) {
                drop(its.look());
                std::thread::park_timeout(LOOK);
            }
        })?;
        Ok(Guard { shared, thread: Some(thread) })
    }
}

impl Shared {
    fn look(&self) -> MutexGuard<'_, Vec<Watched>> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for one in watched.iter_mut() {
            one.look(&self.clusters);
        }
        watched
    }
}

impl Guard {
    /// A guard of a cluster's rows; the id is the uid of the namespace `kube-system`.
    #[must_use]
    pub fn of(cluster: ClusterId) -> Builder {
        Builder { clusters: vec![cluster], history: false, watched: Vec::new() }
    }

    /// Judges all that is committed by now.
    ///
    /// # Errors
    /// What was touched that isn't ours, or couldn't be seen. It is said once.
    pub fn check(&self) -> Result<Seen> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut watched = self.shared.look();
            if watched.iter().any(Watched::is_pending) && Instant::now() < until {
                drop(watched);
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            let mut seen = Seen::default();
            let mut violations = Vec::new();
            for one in watched.iter_mut() {
                seen.ours += one.seen.ours;
                seen.others += one.seen.others;
                violations.append(&mut one.violations);
            }
            if !violations.is_empty() {
                bail!("the guard of foreign rows:\n{}", violations.join("\n"));
            }
            return Ok(seen);
        }
    }

    /// All foreign rows of the database with this label, as text by table and uuid, without what the reviewed list
    /// leaves out and without our edges: equal at two moments, unless a client changed one in between. Of several
    /// clusters, the rows foreign to all of them: judging the transactions covers rows of one that another touches.
    ///
    /// # Errors
    /// As [`Guard::check`], or when there is no such database.
    pub fn foreign(&self, label: &str) -> Result<BTreeMap<String, String>> {
        self.check()?;
        let watched = self.shared.look();
        match watched.iter().find(|one| one.label == label).and_then(|one| Some((one, one.rows.as_ref()?))) {
            Some((one, rows)) => Ok(foreign(one.database, &self.shared.clusters, rows)),
            None => bail!("nothing is guarded that is called {label}"),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
        match self.check() {
            Ok(_) => {}
            Err(error) if std::thread::panicking() => eprintln!("{error:#}"),
            Err(error) => panic!("{error:#}"),
        }
    }
}

fn foreign(database: Database, clusters: &[ClusterId], rows: &Rows) -> BTreeMap<String, String> {
    let is_ours = |row: &tombolo_ovsdb::Row| clusters.iter().any(|cluster| rule::is_ours(cluster, row));
    let mut all = BTreeMap::new();
    for (table, uuid, row) in rows.iter().filter(|(.., row)| !is_ours(row)) {
        let mut text = String::new();
        for (column, value) in row.iter() {
            let Some(mut value) = exceptions::compared(database.name(), table, column, value) else {
                continue;
            };
            if exceptions::is_edge(database.name(), table, column) {
                let ours = |uuid: &tombolo_ovsdb::Uuid| {
                    rows.tables().any(|t| rows.get(t, uuid).is_some_and(|row| is_ours(row)))
                };
                value = Datum::set_of_uuids(value.uuids().filter(|uuid| !ours(uuid)));
            }
            text += &format!("{column}={value:?} ");
        }
        all.insert(format!("{table} {uuid}"), text);
    }
    all
}

impl Watched {
    /// Reads on and judges.
    fn look(&mut self, clusters: &[ClusterId]) {
        for member in 0..self.members.len() {
            match self.members[member].follower.poll() {
                Ok(records) => {
                    for record in records {
                        if let Err(error) = self.take(clusters, member, record) {
                            self.fault(format!("the file was misread: {error}"));
                        }
                    }
                }
                Err(error) => self.fault(error.to_string()),
            }
        }
        if let Err(error) = self.advance(clusters) {
            self.fault(format!("the file was misread: {error}"));
        }
    }

    fn fault(&mut self, text: String) {
        let text = format!("{}: {text}", self.label);
        // One that stays is said once.
        if self.violations.last() != Some(&text) {
            self.violations.push(text);
        }
    }

    fn take(&mut self, clusters: &[ClusterId], member: usize, record: Record) -> Result<()> {
        let its = &mut self.members[member];
        match record {
            Record::Snapshot { schema, rows, index } => {
                let mut new = Rows::new(&schema);
                new.apply(&rows)?;
                if index > 0 {
                    // What is in a snapshot was committed.
                    its.committed = its.committed.max(index);
                    its.snapshot = Some((index, new));
                } else if self.rows.is_none() {
                    self.rows = Some(new);
                } else {
                    self.successor = Some(new);
                }
            }
            Record::Entry { index, id, change } => {
                // Entries after one that is replaced go with it.
                if its.entries.get(&index).is_some_and(|(old, _)| *old != id) {
                    its.entries.split_off(&index);
                }
                if index >= self.next {
                    its.entries.insert(index, (id, change));
                }
            }
            Record::Committed(index) => its.committed = its.committed.max(index),
            Record::Transaction(txn) => {
                if let Some(mut rows) = self.successor.take() {
                    rows.apply(&txn)?;
                    let missed = self.rows.as_ref().map(|old| old.differences(&rows)).unwrap_or_default();
                    if !missed.is_empty() {
                        self.fault(format!(
                            "another file took the place of this one, and changes between them went by unseen: {missed:?}"
                        ));
                    }
                    self.rows = Some(rows);
                } else {
                    self.judge(clusters, &txn)?;
                }
            }
            Record::Other => {}
        }
        Ok(())
    }

    /// Applies entries of a cluster that are committed, each once, in their order, whichever member has them.
    fn advance(&mut self, clusters: &[ClusterId]) -> Result<()> {
        loop {
            let next = self.next;
            let has = |member: &&mut Member| member.committed >= next && member.entries.contains_key(&next);
            let entry = match self.rows {
                Some(_) => self.members.iter_mut().find(has).and_then(|member| member.entries.remove(&next)),
                None => None,
            };
            if let Some((_, change)) = entry {
                match change.map(|change| *change) {
                    Some(Change::Transaction(txn)) => self.judge(clusters, &txn)?,
                    Some(Change::Converted(schema, rows)) => {
                        let mut new = Rows::new(&schema);
                        new.apply(&rows)?;
                        self.rows = Some(new);
                    }
                    None => {}
                }
                self.next += 1;
                for member in &mut self.members {
                    member.entries = member.entries.split_off(&self.next);
                }
                continue;
            }
            // The oldest snapshot that helps.
            let useful =
                |member: &&mut Member| member.snapshot.as_ref().is_some_and(|(index, _)| *index >= next);
            let index = |member: &&mut Member| member.snapshot.as_ref().map(|(index, _)| *index);
            let Some((index, rows)) = self
                .members
                .iter_mut()
                .filter(useful)
                .min_by_key(index)
                .and_then(|member| member.snapshot.take())
            else {
                return Ok(());
            };
            if self.rows.is_some() && index >= next {
                self.fault(format!("entries {next} to {index} are in no member's file: they went by unseen"));
            }
            self.rows = Some(rows);
            self.next = index + 1;
        }
    }

    fn judge(&mut self, clusters: &[ClusterId], txn: &Transaction) -> Result<()> {
        let Some(rows) = &mut self.rows else { bail!("a transaction before the rows") };
        let touched = rows.apply(txn)?;
        if !self.armed {
            return Ok(());
        }
        let database = self.database;
        let mut cases = clusters.iter().map(|cluster| Case { cluster, database, touched: &touched, rows });
        let (count, wrong) = if rule::is_signed(&txn.comment) {
            let wrong = match rule::cluster_of(&txn.comment) {
                Err(unreadable) => vec![unreadable],
                Ok(Some(name)) => match cases.find(|case| case.cluster.as_str() == name) {
                    Some(case) => rule::signed(&case),
                    None => vec![format!("{name} isn't one of the clusters that write here")],
                },
                // An agent's: the one that has written it is the one to which it does least wrong.
                Ok(None) => cases.map(|case| rule::signed(&case)).min_by_key(Vec::len).unwrap_or_default(),
            };
            (&mut self.seen.ours, wrong)
        } else {
            (&mut self.seen.others, cases.flat_map(|case| rule::unsigned(&case)).collect())
        };
        *count += 1;
        self.violations.extend(
            wrong.into_iter().map(|what| format!("{}: by {:.200?}: {what}", self.label, txn.comment)),
        );
        Ok(())
    }

    /// Whether a member has entries of which it isn't known yet whether they are committed.
    fn is_pending(&self) -> bool {
        self.members
            .iter()
            .any(|member| member.entries.keys().next_back().is_some_and(|last| *last > member.committed))
    }
}
