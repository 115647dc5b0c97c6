//! What a plan's rows must never say, whoever made them. Checked on each plan in debug builds, so in the simulation and in all
//! tests too; a release build trusts them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use tombolo_ovn::nb::LogicalSwitch;
use tombolo_ovsdb::{Replica, Uuid, Wanted};

use crate::desired::{DesiredRow, Entry, Managed, Rows};
use crate::nb::{self, table};
use crate::owner::{ClusterId, ENTRIES_KEY};

/// What is wrong with the rows of one owner, a line each; nothing of a good plan.
///
/// - Two rows of one uuid, or of one name in one table.
/// - A row of no root table without an edge, or one of a root table with an edge.
/// - An edge to a row that neither stands nor is made by this plan; a column that nobody monitors.
/// - An entry in a column that isn't shared, of a row that the plan doesn't make, or that no row of the plan claims.
/// - An address on two ports of one plan.
/// - A `match` that names a set (`$name`) which neither stands nor is made here: ovn-controller drops the whole rule.
#[must_use]
pub(crate) fn rows(nb: &Replica, rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut uuids, mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let made = |table: &str, uuid: Uuid| rows.rows.iter().any(|row| row.table == table && row.uuid == uuid);
    let is_there = |table: &'static str, uuid: Uuid| made(table, uuid) || nb.row(table, &uuid).is_some();
    for row in &rows.rows {
        let shown = format!("{} {}", row.table, row.uuid);
        if !uuids.insert(row.uuid) {
            wrong.push(format!("{shown}: twice"));
        }
        for name in texts(row, "name") {
            if !names.insert((row.table, name.clone())) {
                wrong.push(format!("{shown}: another row is named {name}, too"));
            }
        }
        match (row.edges.is_empty(), is_root(row.table)) {
            (true, false) => wrong.push(format!("{shown}: nothing refers to it, so it would vanish")),
            (false, true) => wrong.push(format!("{shown}: needs no edge")),
            _ => {}
        }
        for edge in row.edges.iter().filter(|edge| !is_there(edge.table, edge.parent)) {
            wrong.push(format!("{shown}: its parent {} {} isn't there", edge.table, edge.parent));
        }
        for column in row.columns.keys().filter(|column| !is_monitored(row.table, column)) {
            wrong.push(format!(
                "{shown}: {column} isn't monitored, so nothing would ever be compared with it"
            ));
        }
        if row.table == table::SWITCH_PORT {
            for text in texts(row, "addresses") {
                // "MAC IP IP"; "router" and "unknown" are no addresses.
                for address in text.split(' ').filter(|word| word.parse::<std::net::IpAddr>().is_ok()) {
                    if !addresses.insert(address.to_owned()) {
                        wrong.push(format!("{shown}: {address} is on another port, too"));
                    }
                }
            }
        }
        for text in texts(row, "match") {
            for name in sets(&text).filter(|name| !has_set(nb, rows, name)) {
                wrong.push(format!("{shown}: there is no set ${name}"));
            }
        }
    }
    for entry in &rows.entries {
        wrong.extend(wrong_entry(rows, entry));
    }
    wrong
}

/// The fault of an entry, if there is one.
fn wrong_entry(rows: &Rows, entry: &Entry) -> Option<String> {
    let Entry { table, column, row, element, .. } = entry;
    let shown = format!("the entry {element:?} in {table}.{column} of {row}");
    if !nb::SHARED.contains(&(table, column)) {
        return Some(format!("{shown}: the column isn't shared"));
    }
    if nb::is_reference(table, column) {
        let is_ours = rows.rows.iter().any(|row| element.as_uuid() == Some(row.uuid));
        return (!is_ours).then(|| format!("{shown}: refers to no row of this plan"));
    }
    let word = nb::entry_word(*row, element);
    let claims = |row: &DesiredRow| match row.columns.get(LogicalSwitch::EXTERNAL_IDS) {
        Some(Managed::Keys(keys)) => {
            keys.get(ENTRIES_KEY).is_some_and(|words| words.split(' ').any(|it| it == word))
        }
        _ => false,
    };
    let is_claimed = word.split(' ').count() == 1 && rows.rows.iter().any(claims);
    (!is_claimed).then(|| format!("{shown}: no row of this plan claims it"))
}

/// Whether a change of a column would be seen, by a server that has it.
fn is_monitored(table: &str, column: &str) -> bool {
    static MONITORED: LazyLock<Wanted> =
        LazyLock::new(|| nb::wanted(&ClusterId::new("lint").expect("invariant: a good id")));
    MONITORED.has(table, column)
}

/// Tables of ours whose rows live without being referred to.
fn is_root(table: &str) -> bool {
    crate::nb::facts(table).is_some_and(|facts| facts.is_root)
}

/// The strings that a column is to hold.
fn texts(row: &DesiredRow, column: &str) -> Vec<String> {
    match row.columns.get(column) {
        Some(Managed::Whole(datum) | Managed::Initial(datum)) => datum.strings().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Names of address sets in a match.
fn sets(text: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    text.split('$').skip(1).map(move |rest| rest.split(|c| !is_name(c)).next().unwrap_or_default())
}

/// A set of addresses by this name: a row, or northd's of a port group (`<group>_ip4`).
fn has_set(nb: &Replica, rows: &Rows, name: &str) -> bool {
    let group = name.strip_suffix("_ip4").or_else(|| name.strip_suffix("_ip6"));
    [(table::ADDRESS_SET, Some(name)), (table::PORT_GROUP, group)].into_iter().any(|(table, name)| {
        name.is_some_and(|name| {
            let made = rows
                .rows
                .iter()
                .any(|row| row.table == table && texts(row, "name").iter().any(|it| it == name));
            made || nb.rows(table).any(|(_, row)| row.str("name") == Some(name))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use tombolo_ovsdb::Atom;

    use crate::desired::Edge;
    use crate::row::{string, strings};

    fn row(
        table: &'static str,
        number: u128,
        columns: &[(&'static str, Managed)],
        edges: Vec<Edge>,
    ) -> DesiredRow {
        let columns: BTreeMap<_, _> = columns.iter().cloned().collect();
        DesiredRow { table, uuid: Uuid::from_u128(number), columns, edges }
    }

    fn on(number: u128) -> Vec<Edge> {
        vec![Edge { table: table::SWITCH, parent: Uuid::from_u128(number), column: "ports" }]
    }

    fn wrong(rows: Vec<DesiredRow>) -> Vec<String> {
        super::rows(&Replica::default(), &Rows { rows, ..Rows::default() })
    }

    #[test]
    fn each_fault_of_a_plan_is_one_line() {
        let switch = || row(table::SWITCH, 1, &[("name", string("s"))], Vec::new());
        let port = |number, name: &str, address: &str, parent| {
            let columns =
                [("name", string(name)), ("addresses", strings([format!("00:00:00:00:00:01 {address}")]))];
            row(table::SWITCH_PORT, number, &columns, on(parent))
        };
        assert_eq!(wrong(vec![switch(), port(2, "a", "10.0.0.2", 1), port(3, "b", "10.0.0.3", 1)]), [""; 0]);
        for (rows, word) in [
            (vec![switch(), switch()], "twice"),
            (vec![switch(), port(2, "a", "10.0.0.2", 1), port(3, "a", "10.0.0.3", 1)], "named a, too"),
            (vec![switch(), port(2, "a", "10.0.0.2", 1), port(3, "b", "10.0.0.2", 1)], "on another port"),
            (vec![port(2, "a", "10.0.0.2", 9)], "its parent"),
            (vec![row(table::SWITCH_PORT, 2, &[], Vec::new())], "would vanish"),
            (vec![row(table::SWITCH, 2, &[], on(1))], "needs no edge"),
            (
                vec![switch(), row(table::POLICY, 2, &[("match", string("ip4.src == $none_ip4"))], on(1))],
                "no set $none_ip4",
            ),
        ] {
            let wrong = wrong(rows);
            assert!(wrong.iter().any(|line| line.contains(word)), "{word}: {wrong:?}");
        }
        let group = row(table::PORT_GROUP, 3, &[("name", string("g"))], Vec::new());
        let policy =
            row(table::POLICY, 2, &[("match", string("ip4.src == $g_ip4 && ip4.dst != $g_ip4"))], on(1));
        assert_eq!(wrong(vec![switch(), group, policy]), [""; 0]);
        let entry =
            |table, column, element| Entry { table, row: Uuid::from_u128(7), column, element, value: None };
        let lines = |entry, rows: Vec<DesiredRow>| {
            super::rows(&Replica::default(), &Rows { rows, entries: vec![entry] })
        };
        // It refers to a row that isn't the plan's; no row claims the address; the column is the owner's alone.
        let port = || entry(table::PORT_GROUP, "ports", Atom::Uuid(Uuid::from_u128(8)));
        assert!(lines(port(), vec![])[0].contains("refers to no row"));
        assert_eq!(lines(port(), vec![row(table::SWITCH, 8, &[], Vec::new())]), [""; 0]);
        let address = || entry(table::ADDRESS_SET, "addresses", Atom::from("10.0.0.2"));
        assert!(lines(address(), vec![])[0].contains("claims it"));
        let mark = crate::desired::entries_mark(&[address()]).unwrap();
        let claiming = row(table::SWITCH, 8, &[("external_ids", Managed::Keys([mark].into()))], Vec::new());
        assert_eq!(lines(address(), vec![claiming]), [""; 0]);
        assert!(lines(entry(table::SWITCH, "acls", Atom::from("x")), vec![])[0].contains("isn't shared"));
    }

    #[test]
    fn what_stands_counts_if_it_is_the_very_row() {
        let wanted = crate::nb::wanted(&crate::ClusterId::new("c").unwrap());
        let schema = tombolo_ovsdb::Schema::parse(tombolo_ovn::nb::SCHEMA).unwrap();
        let mut nb = Replica::new(&wanted.intersect(&schema), &crate::nb::indexes());
        let named =
            |name: &str| Some(tombolo_ovsdb::Row::new().with("name", tombolo_ovsdb::Datum::string(name)));
        nb.put(table::SWITCH, Uuid::from_u128(1), named("s"));
        nb.put(table::PORT_GROUP, Uuid::from_u128(5), named("g"));
        let matching = |text: &str| row(table::POLICY, 2, &[("match", string(text))], on(1));
        let lines = |rows: Vec<DesiredRow>| super::rows(&nb, &Rows { rows, ..Rows::default() }).len();
        assert_eq!(lines(vec![matching("ip4.src == $g_ip4")]), 0);
        assert_eq!(lines(vec![matching("ip4.src == $h_ip4")]), 1);
        // A group of another name that is made here doesn't help, nor does a set of the group's own name.
        let made = row(table::PORT_GROUP, 3, &[("name", string("i"))], Vec::new());
        assert_eq!(lines(vec![made, matching("ip4.src == $h_ip4")]), 1);
        let set = row(table::ADDRESS_SET, 4, &[("name", string("h"))], Vec::new());
        assert_eq!(lines(vec![set, matching("ip4.src == $h_ip4")]), 1);
        // Neither is a row of another table with the parent's uuid its parent.
        let (group, child) =
            (row(table::PORT_GROUP, 9, &[], Vec::new()), row(table::SWITCH_PORT, 2, &[], on(9)));
        assert_eq!(lines(vec![group, child]), 1);
        let (switch, child) =
            (row(table::SWITCH, 8, &[], Vec::new()), row(table::SWITCH_PORT, 2, &[], on(9)));
        assert_eq!(lines(vec![switch, child]), 1);
    }
}
