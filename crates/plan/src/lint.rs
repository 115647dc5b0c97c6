//! What a plan's rows must never say, whoever made them. Checked on each plan in debug builds, so in the simulation and in all
//! tests too; a release build trusts them.

use std::collections::BTreeSet;

use tombolo_ovsdb::{Replica, Uuid};

use crate::desired::{DesiredRow, Managed, Rows};
use crate::nb::table;

/// What is wrong with the rows of one owner, a line each; nothing of a good plan.
///
/// - Two rows of one uuid, or of one name in one table.
/// - A row of no root table without an edge, or one of a root table with an edge.
/// - An edge to a row that neither stands nor is made by this plan, a link to a row that the plan doesn't make.
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
        match &row.edge {
            None if !is_root(row.table) => {
                wrong.push(format!("{shown}: nothing refers to it, so it would vanish"))
            }
            Some(_) if is_root(row.table) => wrong.push(format!("{shown}: needs no edge")),
            Some(edge) if !is_there(edge.table, edge.parent) => {
                wrong.push(format!("{shown}: its parent {} {} isn't there", edge.table, edge.parent));
            }
            _ => {}
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
    for link in &rows.links {
        if !rows.rows.iter().any(|row| row.uuid == link.target) {
            wrong.push(format!("a link to {}, which is no row of this plan", link.target));
        }
    }
    wrong
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
    use crate::desired::{Edge, Link};
    use crate::row::{string, strings};

    fn row(
        table: &'static str,
        number: u128,
        columns: &[(&'static str, Managed)],
        edge: Option<Edge>,
    ) -> DesiredRow {
        let columns: BTreeMap<_, _> = columns.iter().cloned().collect();
        DesiredRow { table, uuid: Uuid::from_u128(number), columns, edge }
    }

    fn on(number: u128) -> Option<Edge> {
        Some(Edge { table: table::SWITCH, parent: Uuid::from_u128(number), column: "ports" })
    }

    fn wrong(rows: Vec<DesiredRow>) -> Vec<String> {
        super::rows(&Replica::default(), &Rows { rows, ..Rows::default() })
    }

    #[test]
    fn each_fault_of_a_plan_is_one_line() {
        let switch = || row(table::SWITCH, 1, &[("name", string("s"))], None);
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
            (vec![row(table::SWITCH_PORT, 2, &[], None)], "would vanish"),
            (vec![row(table::SWITCH, 2, &[], on(1))], "needs no edge"),
            (
                vec![switch(), row(table::POLICY, 2, &[("match", string("ip4.src == $none_ip4"))], on(1))],
                "no set $none_ip4",
            ),
        ] {
            let wrong = wrong(rows);
            assert!(wrong.iter().any(|line| line.contains(word)), "{word}: {wrong:?}");
        }
        let group = row(table::PORT_GROUP, 3, &[("name", string("g"))], None);
        let policy =
            row(table::POLICY, 2, &[("match", string("ip4.src == $g_ip4 && ip4.dst != $g_ip4"))], on(1));
        assert_eq!(wrong(vec![switch(), group, policy]), [""; 0]);
        let link = Link {
            table: table::PORT_GROUP,
            row: Uuid::from_u128(7),
            column: "ports",
            target: Uuid::from_u128(8),
        };
        let lines = super::rows(&Replica::default(), &Rows { links: vec![link], ..Rows::default() });
        assert_eq!(lines.len(), 1, "{lines:?}");
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
        let made = row(table::PORT_GROUP, 3, &[("name", string("i"))], None);
        assert_eq!(lines(vec![made, matching("ip4.src == $h_ip4")]), 1);
        let set = row(table::ADDRESS_SET, 4, &[("name", string("h"))], None);
        assert_eq!(lines(vec![set, matching("ip4.src == $h_ip4")]), 1);
        // Neither is a row of another table with the parent's uuid its parent.
        let (group, child) = (row(table::PORT_GROUP, 9, &[], None), row(table::SWITCH_PORT, 2, &[], on(9)));
        assert_eq!(lines(vec![group, child]), 1);
        let (switch, child) = (row(table::SWITCH, 8, &[], None), row(table::SWITCH_PORT, 2, &[], on(9)));
        assert_eq!(lines(vec![switch, child]), 1);
    }
}
