//! The database in memory against a real ovsdb-server: the same random transactions, the same outcomes, the same rows,
//! the same view through a conditional monitor.

use anyhow::Result;
use tombolo_needs::needs;
use tombolo_ovsdb::{
    Client, ClientConfig, Condition, Datum, Mutation, Mutator, Name, Op, Replica, Row, Schema, Txn, Until,
    Uuid, Wanted,
};
use tombolo_ovsdb_servers::{LIMIT, NB_23_03, Servers};
use tombolo_plan::ClusterId;
use tombolo_plan::nb::table;
use tombolo_tests_sim::nb::{Monitor, Server};
use tombolo_tests_sim::rng::Rng;

const TABLES: [Name; 9] = [
    table::SWITCH,
    table::SWITCH_PORT,
    table::ROUTER,
    table::ROUTER_PORT,
    table::POLICY,
    table::PORT_GROUP,
    table::ADDRESS_SET,
    "NAT",
    "HA_Chassis_Group",
];

/// Columns of references: of this table, to that table.
const REFERENCES: [(Name, Name, Name); 6] = [
    (table::SWITCH, "ports", table::SWITCH_PORT),
    (table::ROUTER, "ports", table::ROUTER_PORT),
    (table::ROUTER, "policies", table::POLICY),
    (table::ROUTER, "nat", "NAT"),
    (table::PORT_GROUP, "ports", table::SWITCH_PORT),
    (table::ROUTER_PORT, "ha_chassis_group", "HA_Chassis_Group"),
];

struct Writer(Rng);

impl Writer {
    fn table(&mut self) -> Name {
        // Switches and their ports meet most often.
        let few = [table::SWITCH, table::SWITCH_PORT];
        let from: &[Name] = if self.0.permille(400) { &few } else { &TABLES };
        self.0.pick(from).copied().expect("not empty")
    }

    fn uuid(&mut self, table: Name) -> Uuid {
        let place = TABLES.iter().position(|it| *it == table).expect("one of them") as u128;
        Uuid::from_u128(
            0xabcd_0000_0000_4000_8000_0000_0000_0000 + (place << 8) + u128::from(self.0.below(5)),
        )
    }

    fn name(&mut self) -> Datum {
        Datum::string(*self.0.pick(&["a", "b", "c", "d", "e"]).expect("not empty"))
    }

    fn map(&mut self) -> Datum {
        let count = self.0.below(4);
        let entries = (0..count).map(|_| {
            let key = *self.0.pick(&["k1", "k2", "k3", "tombolo.io/cluster"]).expect("not empty");
            (key, *self.0.pick(&["v1", "v2", "c1"]).expect("not empty"))
        });
        let entries: Vec<_> = entries.collect();
        Datum::map_of_strings(entries)
    }

    fn keys(&mut self) -> Datum {
        let count = self.0.below(3);
        Datum::set_of_strings(
            (0..count)
                .map(|_| *self.0.pick(&["k1", "k2", "tombolo.io/cluster"]).expect("not empty"))
                .collect::<Vec<_>>(),
        )
    }

    fn references(&mut self, to: Name, most: u64) -> Datum {
        let count = self.0.below(most + 1);
        Datum::set_of_uuids((0..count).map(|_| self.uuid(to)).collect::<Vec<_>>())
    }

    fn has_name(table: Name) -> bool {
        !matches!(table, table::POLICY | "NAT")
    }

    fn row(&mut self, table: Name) -> Row {
        let mut row = Row::new();
        if Self::has_name(table) {
            row.set("name", self.name());
        }
        if self.0.permille(700) {
            row.set("external_ids", self.map());
        }
        for (_, column, to) in REFERENCES.iter().filter(|(from, ..)| *from == table) {
            if self.0.permille(600) {
                let most = if *column == "ha_chassis_group" { 1 } else { 3 };
                row.set(column, self.references(to, most));
            }
        }
        match table {
            table::SWITCH_PORT if self.0.permille(500) => {
                let addresses = ["router", "00:00:00:00:00:01 10.0.0.1"];
                row.set("addresses", Datum::set_of_strings(addresses));
                if self.0.permille(300) {
                    row.set("tag", Datum::integer(7));
                }
            }
            table::POLICY => {
                row.set("priority", Datum::integer(self.0.within((0, 3)) as i64));
                row.set("match", Datum::string("ip4"));
                // Sometimes no action that there is.
                row.set("action", Datum::string(if self.0.permille(900) { "allow" } else { "dance" }));
            }
            "NAT" => row.set("type", Datum::string("snat")),
            _ => {}
        }
        row
    }

    fn conditions(&mut self, table: Name) -> Vec<Condition> {
        match self.0.below(10) {
            0 if Self::has_name(table) => vec![Condition::eq("name", self.name())],
            1 => vec![Condition::includes("external_ids", self.map())],
            2 => vec![Condition {
                column: "external_ids",
                function: tombolo_ovsdb::Function::Excludes,
                value: self.map(),
            }],
            3 => vec![Condition::eq("external_ids", self.map())],
            4 if Self::has_name(table) => {
                vec![Condition {
                    column: "name",
                    function: tombolo_ovsdb::Function::NotEqual,
                    value: self.name(),
                }]
            }
            _ => vec![Condition::uuid(self.uuid(table))],
        }
    }

    fn mutation(&mut self, table: Name) -> Mutation {
        let reference = REFERENCES.iter().filter(|(from, ..)| *from == table).collect::<Vec<_>>();
        match self.0.below(6) {
            0 => Mutation::insert("external_ids", self.map()),
            1 => Mutation::delete("external_ids", self.map()),
            2 => Mutation::delete("external_ids", self.keys()),
            3 if table == table::POLICY => {
                Mutation { column: "priority", mutator: Mutator::Add, value: Datum::integer(1) }
            }
            _ => match self.0.pick(&reference) {
                Some((_, column, to)) => {
                    let value = self.references(to, 2);
                    if self.0.permille(600) {
                        Mutation::insert(column, value)
                    } else {
                        Mutation::delete(column, value)
                    }
                }
                None => Mutation::insert("external_ids", self.map()),
            },
        }
    }

    fn precondition(&mut self) -> Op {
        let table = self.table();
        match self.0.below(4) {
            0 => Op::require_row(table, self.uuid(table)),
            1 if Self::has_name(table) => Op::require_none(table, [Condition::eq("name", self.name())]),
            2 => {
                Op::require_match(table, self.uuid(table), [Condition::includes("external_ids", self.map())])
            }
            _ => Op::Wait {
                table,
                conditions: self.conditions(table),
                columns: vec!["external_ids"],
                until: if self.0.permille(500) { Until::Equal } else { Until::NotEqual },
                rows: (0..self.0.below(3)).map(|_| Row::new().with("external_ids", self.map())).collect(),
            },
        }
    }

    fn op(&mut self) -> Op {
        let table = self.table();
        match self.0.below(10) {
            0..=3 => Op::insert(table, self.uuid(table), self.row(table)),
            4 => {
                let row = self.row(table);
                // Some names can't be changed.
                Op::Update { table, conditions: self.conditions(table), row }
            }
            5..=7 => {
                let count = self.0.within((1, 2));
                let mutations = (0..count).map(|_| self.mutation(table)).collect();
                Op::Mutate { table, conditions: self.conditions(table), mutations }
            }
            8 => Op::Delete { table, conditions: self.conditions(table) },
            // A row and what holds it, as the controller writes them.
            _ => {
                Op::add_edge(table::SWITCH, self.uuid(table::SWITCH), "ports", self.uuid(table::SWITCH_PORT))
            }
        }
    }

    fn txn(&mut self) -> Txn {
        let preconditions = u64::from(self.0.permille(250));
        let ops = *self.0.pick(&[1, 1, 1, 2, 3]).expect("not empty");
        let mut txn = Txn::new((0..ops).map(|_| self.op()).collect::<Vec<_>>());
        txn.preconditions = (0..preconditions).map(|_| self.precondition()).collect();
        if self.0.permille(200) { txn.comment("why") } else { txn }
    }
}

fn assert_same(real: &Replica, ours: &Replica, what: &str) {
    for (name, table) in ours.tables() {
        let real: Vec<_> = real.rows(name).map(|(uuid, row)| (uuid, row.clone())).collect();
        let ours: Vec<_> = table.iter().map(|(uuid, row)| (uuid, row.clone())).collect();
        assert_eq!(real, ours, "{name} ({what})");
    }
}

async fn compare(schema: &str, seed: u64, count: usize) -> Result<()> {
    let real = Servers::standalone(schema).await?;
    let all = real.client().await?;
    let cluster = ClusterId::new("c1").expect("an id");
    let wanted = tombolo_plan::nb::wanted(&cluster);
    let seen = Client::connect(ClientConfig::new(real.endpoints(), "OVN_Northbound", wanted.clone()))?;
    seen.ready(LIMIT).await?;
    let mut ours = Server::new(Schema::parse(schema)?);
    let everything = Wanted::everything(ours.schema());
    let mut ours_all = Monitor::new(&ours, &everything, &[]);
    let mut ours_seen = Monitor::new(&ours, &wanted, &tombolo_plan::nb::indexes());
    let mut writer = Writer(Rng::new(seed));
    let (mut done, mut kinds) = (0, std::collections::BTreeMap::new());
    for number in 0..count {
        let txn = writer.txn();
        let theirs = all.transact(txn.clone(), LIMIT).await;
        let (result, changes) = ours.execute(&txn);
        let short = |result: &Result<_, tombolo_ovsdb::TxnError>| match result {
            Ok(reply) => Ok::<tombolo_ovsdb::TxnReply, _>(Clone::clone(reply)),
            Err(error) => Err((error.kind, error.at)),
        };
        assert_eq!(short(&theirs), short(&result), "{number}: {txn:#?}\nreal: {theirs:?}\nours: {result:?}");
        match &result {
            Ok(_) => done += 1,
            Err(error) => *kinds.entry(error.kind.as_str()).or_insert(0) += 1,
        }
        ours_all.apply(&changes);
        ours_seen.apply(&changes);
        assert_same(&all.snapshot().replica, ours_all.replica(), &format!("{number}: {txn:#?}"));
    }
    // The other client follows on a connection of its own.
    let same = |snapshot: &tombolo_ovsdb::Snapshot| {
        ours_seen.replica().tables().all(|(name, table)| snapshot.replica.rows(name).eq(table.iter()))
    };
    let last = tombolo_ovsdb_servers::until(&seen, "the same view", same).await;
    if last.is_err() {
        assert_same(&seen.snapshot().replica, ours_seen.replica(), "through a conditional monitor");
    }
    // The comparison is worth something only if there was much of everything.
    assert!(done > count / 6, "only {done} of {count} transactions went through");
    for kind in [
        "precondition_failed",
        "duplicate_uuid",
        "constraint_violation",
        "referential_integrity",
        "nothing_matched",
    ] {
        assert!(kinds.get(kind).is_some_and(|count| *count > 10), "{kind}: {kinds:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_database_in_memory_does_what_ovsdb_server_does() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    compare(NB_23_03, 1, 6_000).await
}

#[tokio::test]
async fn with_the_newer_schema_too() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    compare(tombolo_ovn::nb::SCHEMA, 2, 6_000).await
}
