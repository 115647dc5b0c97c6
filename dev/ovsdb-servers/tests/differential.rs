//! Our replica against the one of Open vSwitch's Python IDL, under churn, leader changes and crashes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::mpsc;
use tombolo_needs::needs;
use tombolo_ovn::nb;
use tombolo_ovsdb::{
    Atom, Client, Datum, IndexSpec, Mutation, Name, Op, Replica, Retry, Row, Schema, Txn, TxnErrorKind, Uuid,
};
use tombolo_ovsdb_servers::{LIMIT, Servers, until};

const MARKER: Uuid = Uuid::from_u128(0xA);

/// The reference: `idl.py` as a process.
struct Reference {
    child: Child,
    stdin: ChildStdin,
    /// Its lines, read by a thread of their own that ends with it.
    lines: mpsc::UnboundedReceiver<std::io::Result<String>>,
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Reference {
    fn start(servers: &Servers) -> Result<Reference> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/idl.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(servers.endpoints().to_string())
            .arg(servers.dir().join("schema"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting python3 (Debian package python3-openvswitch)")?;
        let stdin = child.stdin.take().context("piped")?;
        let stdout = BufReader::new(child.stdout.take().context("piped")?);
        let (to, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || stdout.lines().try_for_each(|line| to.send(line)));
        Ok(Reference { child, stdin, lines })
    }

    /// What the reference holds once it has seen the marker.
    async fn dump(&mut self, marker: &str) -> Result<Dump> {
        self.stdin.write_all(format!("{marker}\n").as_bytes())?;
        let line = tokio::time::timeout(LIMIT, self.lines.recv()).await;
        let line =
            line.context("the Python IDL never saw the marker")?.context("the Python IDL has ended")??;
        serde_json::from_str(&line).context("reading the Python IDL's replica")
    }
}

type Dump = BTreeMap<String, BTreeMap<Uuid, BTreeMap<String, Datum>>>;

fn dump(replica: &Replica) -> Dump {
    let columns = |row: &Row| row.iter().map(|(column, datum)| (column.to_owned(), datum.clone())).collect();
    let rows = |table: &tombolo_ovsdb::Table| table.iter().map(|(uuid, row)| (uuid, columns(row))).collect();
    replica.tables().map(|(name, table)| (name.to_owned(), rows(table))).collect()
}

/// The churn: random, but the same on each run.
struct Churn {
    state: u64,
    next: u128,
    schema: Schema,
}

impl Churn {
    fn below(&mut self, bound: usize) -> usize {
        // An LCG will do: the point is variety, and to be repeatable.
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.state >> 33) as usize % bound.max(1)
    }

    fn fresh(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(0xC0DE_0000 + self.next)
    }

    fn pick(&mut self, replica: &Replica, table: Name) -> Option<Uuid> {
        let table = replica.table(table)?;
        let n = self.below(table.len());
        let picked = table.iter().nth(n).map(|(uuid, _)| uuid);
        picked.filter(|uuid| *uuid != MARKER)
    }

    fn word(&mut self) -> String {
        const WORDS: [&str; 6] = ["a", "b\"{[", "c\\", "ü→", "d\n", "e e"];
        let n = self.below(9);
        format!("{}{n}", WORDS[self.below(WORDS.len())])
    }

    fn words(&mut self) -> Datum {
        let n = self.below(6);
        Datum::set_of_strings((0..n).map(|_| self.word()).collect::<Vec<_>>())
    }

    fn pairs(&mut self) -> Datum {
        let n = self.below(6);
        Datum::map_of_strings((0..n).map(|_| (self.word(), self.word())).collect::<Vec<_>>())
    }

    /// A random value for a column, following its type in the schema; `None` for references.
    fn value(&mut self, table: Name, column: &str) -> Option<Datum> {
        let ty = self.schema.column(table, column)?.ty.clone();
        let atom = |churn: &mut Churn, base: &tombolo_ovsdb::schema::BaseType| {
            if !base.allowed.is_empty() {
                return Some(base.allowed[churn.below(base.allowed.len())].clone());
            }
            match base.kind {
                tombolo_ovsdb::schema::AtomKind::Integer => Some(Atom::Integer(churn.below(60) as i64 + 1)),
                tombolo_ovsdb::schema::AtomKind::Boolean => Some(Atom::Boolean(churn.below(2) == 1)),
                tombolo_ovsdb::schema::AtomKind::String => Some(Atom::from(churn.word())),
                tombolo_ovsdb::schema::AtomKind::Real | tombolo_ovsdb::schema::AtomKind::Uuid => None,
            }
        };
        let most = ty.max.min(5);
        let count = ty.min + self.below(most - ty.min + 1);
        match &ty.value {
            Some(value) => {
                let mut entries = Vec::new();
                for _ in 0..count {
                    entries.push((atom(self, &ty.key)?, atom(self, value)?));
                }
                Some(Datum::map(entries))
            }
            None => {
                let mut atoms = Vec::new();
                for _ in 0..count {
                    atoms.push(atom(self, &ty.key)?);
                }
                Some(Datum::set(atoms))
            }
        }
    }

    /// Replaces some columns of a random row of a table.
    fn rewrite(&mut self, replica: &Replica, table: Name) -> Option<Op> {
        let uuid = self.pick(replica, table)?;
        let columns: Vec<String> = {
            let there = &self.schema.tables[table].columns;
            there.iter().filter(|(_, c)| c.mutable).map(|(name, _)| name.clone()).collect()
        };
        let mut row = Row::new();
        for _ in 0..3 {
            let column = columns[self.below(columns.len())].clone();
            let known = replica.table(table)?.columns().iter().copied().find(|c| **c == *column)?;
            // Names are unique in some tables; leave them.
            if known != "name"
                && let Some(value) = self.value(table, known)
            {
                row.set(known, value);
            }
        }
        (!row.is_empty()).then(|| Op::update(table, uuid, row))
    }

    fn op(&mut self, replica: &Replica) -> Vec<Op> {
        use nb::{Acl, AddressSet, LogicalRouter, LogicalSwitch, LogicalSwitchPort, PortGroup};
        const REWRITTEN: [Name; 6] = [
            LogicalSwitch::TABLE,
            LogicalSwitchPort::TABLE,
            PortGroup::TABLE,
            AddressSet::TABLE,
            LogicalRouter::TABLE,
            Acl::TABLE,
        ];
        match self.below(12) {
            0 => {
                let uuid = self.fresh();
                let row = Row::new().with("name", Datum::string(format!("ls{uuid}")));
                vec![Op::insert(LogicalSwitch::TABLE, uuid, row.with("external_ids", self.pairs()))]
            }
            1..=3 => {
                let Some(parent) = self.pick(replica, LogicalSwitch::TABLE) else { return Vec::new() };
                let uuid = self.fresh();
                let row = Row::new()
                    .with("name", Datum::string(format!("lsp{uuid}")))
                    .with("addresses", self.words())
                    .with("options", self.pairs());
                vec![
                    Op::insert(LogicalSwitchPort::TABLE, uuid, row),
                    Op::add_edge(LogicalSwitch::TABLE, parent, LogicalSwitch::PORTS, uuid),
                ]
            }
            4 => {
                let uuid = self.fresh();
                // Group names allow no dashes.
                let row = Row::new().with("name", Datum::string(format!("pg{}", uuid.simple())));
                vec![Op::insert(PortGroup::TABLE, uuid, row)]
            }
            5 => {
                let group = self.pick(replica, PortGroup::TABLE);
                let ports: Vec<Uuid> =
                    (0..4).filter_map(|_| self.pick(replica, LogicalSwitchPort::TABLE)).collect();
                let Some(group) = group else { return Vec::new() };
                let ports = Mutation::insert(PortGroup::PORTS, Datum::set_of_uuids(ports));
                vec![Op::mutate(PortGroup::TABLE, group, [ports])]
            }
            6 => {
                // The port goes with its last edge, and out of the groups, which refer to it weakly.
                let Some(port) = self.pick(replica, LogicalSwitchPort::TABLE) else { return Vec::new() };
                let parent = replica.rows(LogicalSwitch::TABLE).find(|(_, row)| {
                    row.get(LogicalSwitch::PORTS).is_some_and(|ports| ports.contains_uuid(port))
                });
                let Some((parent, _)) = parent else { return Vec::new() };
                vec![Op::remove_edge(LogicalSwitch::TABLE, parent, LogicalSwitch::PORTS, port)]
            }
            7 => {
                let Some(parent) = self.pick(replica, LogicalSwitch::TABLE) else { return Vec::new() };
                let uuid = self.fresh();
                let acl = nb::Acl {
                    action: nb::AclAction::AllowRelated,
                    direction: nb::AclDirection::ToLport,
                    priority: 1000 + self.below(100) as i64,
                    r#match: "ip4".to_owned(),
                    ..Default::default()
                };
                vec![
                    Op::insert(Acl::TABLE, uuid, acl.to_row()),
                    Op::add_edge(LogicalSwitch::TABLE, parent, LogicalSwitch::ACLS, uuid),
                ]
            }
            8 => {
                let (Some(uuid), true) = (self.pick(replica, LogicalSwitch::TABLE), self.below(4) == 0)
                else {
                    return Vec::new();
                };
                vec![Op::delete(LogicalSwitch::TABLE, uuid)]
            }
            9 => {
                let uuid = self.fresh();
                if self.below(2) == 0 {
                    let row = Row::new().with("name", Datum::string(format!("lr{uuid}")));
                    return vec![Op::insert(LogicalRouter::TABLE, uuid, row)];
                }
                let row = Row::new().with("name", Datum::string(format!("as{uuid}")));
                vec![Op::insert(AddressSet::TABLE, uuid, row.with("addresses", self.words()))]
            }
            _ => {
                let table = REWRITTEN[self.below(REWRITTEN.len())];
                self.rewrite(replica, table).into_iter().collect()
            }
        }
    }
}

/// One random transaction; refusals are part of the churn, lost connections too.
async fn churn_once(churn: &mut Churn, writer: &Client) -> Result<bool> {
    let snapshot = writer.ready(LIMIT).await?;
    let mut ops = Vec::new();
    for _ in 0..1 + churn.below(4) {
        ops.extend(churn.op(&snapshot.replica));
    }
    if ops.is_empty() {
        return Ok(false);
    }
    match writer.transact(Txn::new(ops), Duration::from_secs(10)).await {
        Ok(_) => Ok(true),
        Err(error) => {
            ensure!(error.kind != TxnErrorKind::Protocol, "{error}");
            Ok(false)
        }
    }
}

/// Sets the marker, whatever it takes.
async fn mark(writer: &Client, marker: &str) -> Result<()> {
    let ids = Datum::map_of_strings([("n", marker)]);
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let snapshot = writer.ready(LIMIT).await?;
        let op = match snapshot.replica.row(nb::AddressSet::TABLE, &MARKER) {
            Some(_) => {
                Op::update(nb::AddressSet::TABLE, MARKER, Row::new().with("external_ids", ids.clone()))
            }
            None => {
                let row = Row::new().with("name", Datum::string("marker")).with("external_ids", ids.clone());
                Op::insert(nb::AddressSet::TABLE, MARKER, row)
            }
        };
        match writer.transact(Txn::new([op]), Duration::from_secs(10)).await {
            Ok(_) => return Ok(()),
            Err(error) => ensure!(
                error.retry() != Retry::Split && tokio::time::Instant::now() < deadline,
                "the marker can't be set: {error}"
            ),
        }
    }
}

fn by_address(row: &Row) -> Vec<Atom> {
    row.get("addresses").map(|d| d.atoms().to_vec()).unwrap_or_default()
}

/// The index holds exactly what its function says of the rows.
fn check_index(replica: &Replica) -> Result<()> {
    let table = replica.table(nb::LogicalSwitchPort::TABLE).context("mirrored")?;
    let mut expected: BTreeMap<Atom, Vec<Uuid>> = BTreeMap::new();
    for (uuid, row) in table.iter() {
        for key in by_address(row) {
            expected.entry(key).or_default().push(uuid);
        }
    }
    for (key, uuids) in &expected {
        let found: Vec<Uuid> = table.find("address", key).map(|(uuid, _)| uuid).collect();
        ensure!(found == *uuids, "index of {key:?}: {found:?}, rows say {uuids:?}");
    }
    Ok(())
}

async fn compare(ours: &Client, theirs: &mut Reference, marker: &str, when: &str) -> Result<()> {
    let snapshot = until(ours, "the marker", |s| {
        s.fresh
            && s.replica
                .row(nb::AddressSet::TABLE, &MARKER)
                .is_some_and(|row| row.key("external_ids", "n") == Some(marker))
    })
    .await?;
    check_index(&snapshot.replica)?;
    let (ours, theirs) = (dump(&snapshot.replica), theirs.dump(marker).await?);
    ensure!(ours.len() == theirs.len(), "{when}: tables");
    for (table, rows) in &theirs {
        let mine = &ours[table];
        for (uuid, row) in rows {
            ensure!(
                mine.get(uuid) == Some(row),
                "{when}: {table} {uuid}\nours   {:?}\ntheirs {row:?}",
                mine.get(uuid)
            );
        }
        ensure!(mine.len() == rows.len(), "{when}: {table} has rows that the Python IDL lacks");
    }
    Ok(())
}

#[tokio::test]
async fn our_replica_equals_the_python_idl() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let mut servers = Servers::cluster(nb::SCHEMA, 3).await?;
    let index = IndexSpec::by(nb::LogicalSwitchPort::TABLE, "address", by_address);
    let ours = Client::connect(servers.config().index(index))?;
    let writer = servers.client().await?;
    let mut reference = Reference::start(&servers)?;
    ours.ready(LIMIT).await?;
    let mut churn = Churn { state: 42, next: 0, schema: Schema::parse(nb::SCHEMA)? };
    let mut written = 0;
    for round in 0..8 {
        let started = std::time::Instant::now();
        let trouble = ["", "a leader change", "a cut connection", "a crash"][round % 4];
        for n in 0..120 {
            if n == 60 {
                match trouble {
                    "a leader change" => {
                        servers.transfer_leadership().await?;
                    }
                    "a cut connection" => {
                        let leader = servers.leader().await?;
                        servers.appctl(leader, "ovsdb-server/reconnect", &[]).await?;
                    }
                    "a crash" => {
                        let leader = servers.leader().await?;
                        servers.kill(leader);
                        servers.start(leader).await?;
                    }
                    _ => {}
                }
            }
            written += usize::from(churn_once(&mut churn, &writer).await?);
        }
        let churned = started.elapsed();
        let marker = format!("round{round}");
        mark(&writer, &marker).await?;
        compare(&ours, &mut reference, &marker, &format!("round {round}, {trouble}")).await?;
        println!("round {round} ({trouble}): churned {churned:?}, compared {:?}", started.elapsed());
    }
    assert!(written > 500, "only {written} transactions were committed: that is no churn");
    let status = ours.status();
    assert!(status.resumes >= 3 && status.inconsistencies == 0, "{status:?}");
    Ok(())
}
