//! Rows as text for people: what a test expects can be written by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tombolo_ovsdb::{Atom, Datum, Name, Replica, Row, Uuid};
use tombolo_plan::nb::table;

/// A row's label in texts: its name, or what distinguishes it from the others of its table.
fn label(row: &Row, uuid: Uuid) -> String {
    let text = |column: &str| row.str(column).filter(|text| !text.is_empty());
    if let Some(name) = text("name") {
        return name.to_owned();
    }
    if let (Some(priority), Some(matching)) = (row.get("priority").and_then(Datum::as_i64), text("match")) {
        return format!("{priority} {matching}");
    }
    if let (Some(prefix), Some(hop)) = (text("ip_prefix"), text("nexthop")) {
        return format!("{prefix} via {hop}");
    }
    if let (Some(kind), Some(inside), Some(outside)) = (text("type"), text("logical_ip"), text("external_ip"))
    {
        return format!("{kind} {inside} {outside}");
    }
    uuid.to_string()
}

fn labels(rows: &Replica) -> BTreeMap<Uuid, String> {
    rows.tables().flat_map(|(_, table)| table.iter().map(|(uuid, row)| (uuid, label(row, uuid)))).collect()
}

fn atom(atom: &Atom, labels: &BTreeMap<Uuid, String>) -> String {
    let known = |uuid: Uuid| labels.get(&uuid).map_or_else(|| uuid.to_string(), |label| format!("<{label}>"));
    match atom {
        Atom::Uuid(uuid) => known(*uuid),
        // A reference kept as text.
        Atom::String(text) => match text.parse::<Uuid>() {
            Ok(uuid) if labels.contains_key(&uuid) => known(uuid),
            _ if text.is_empty() || text.contains([' ', ',', '=']) => format!("{text:?}"),
            _ => text.to_string(),
        },
        other => format!("{other:?}"),
    }
}

fn datum(value: &Datum, labels: &BTreeMap<Uuid, String>) -> String {
    if value.is_map() {
        let entry = |(k, v): &(Atom, Atom)| format!("{}={}", atom(k, labels), atom(v, labels));
        return value.entries().iter().map(entry).collect::<Vec<_>>().join(" ");
    }
    let mut texts: Vec<String> = value.atoms().iter().map(|it| atom(it, labels)).collect();
    texts.sort();
    texts.join(", ")
}

/// The rows that `keep` chooses, a paragraph each, sorted by table and name; columns with their default value are left
/// out, references are shown by name.
#[must_use]
pub fn rows(rows: &Replica, keep: impl Fn(Name, &Row) -> bool) -> String {
    let labels = labels(rows);
    let mut paragraphs = Vec::new();
    for (name, table) in rows.tables() {
        for (uuid, row) in table.iter().filter(|(_, row)| keep(name, row)) {
            let mut text = format!("{name} {}\n", labels[&uuid]);
            for (column, value) in row.iter() {
                if column == "name" || table.layout().default_row.get(column) == Some(value) {
                    continue;
                }
                // Writing to a String can't fail.
                let _ = writeln!(text, "  {column}: {}", datum(value, &labels));
            }
            paragraphs.push(text);
        }
    }
    paragraphs.sort();
    paragraphs.concat()
}

/// What `ovn-nbctl show` prints, without uuids, sorted by name.
#[must_use]
pub fn show(rows: &Replica) -> String {
    show_only(rows, |_| true)
}

/// As [`show`], of the rows that `keep` chooses; a switch or router that isn't chosen is shown if a port on it is.
#[must_use]
pub fn show_only(rows: &Replica, keep: impl Fn(&Row) -> bool) -> String {
    let mut out = String::new();
    let mut parents = |table: Name, child: Name, word: &str, key: &str| {
        let mut all: Vec<(&str, &Row)> =
            rows.rows(table).map(|(_, row)| (row.str("name").unwrap_or_default(), &**row)).collect();
        all.sort_by_key(|(name, _)| *name);
        for (name, row) in all {
            let aka = row.key("external_ids", key).map_or(String::new(), |aka| format!(" (aka {aka})"));
            let ports = row.get("ports").into_iter().flat_map(Datum::uuids);
            let ports = ports.filter_map(|uuid| rows.row(child, &uuid)).map(|row| &**row);
            let mut ports: Vec<&Row> = ports.filter(|row| keep(row)).collect();
            if ports.is_empty() && !keep(row) {
                continue;
            }
            let _ = writeln!(out, "{word} ({name}){aka}");
            ports.sort_by_key(|row| row.str("name").unwrap_or_default().to_owned());
            for port in ports {
                let _ = writeln!(out, "    port {}", port.str("name").unwrap_or_default());
                if let Some(kind) = port.str("type").filter(|kind| !kind.is_empty()) {
                    let _ = writeln!(out, "        type: {kind}");
                }
                let list = |column: &str| -> Vec<&str> {
                    port.get(column).into_iter().flat_map(Datum::strings).collect()
                };
                // nbctl leaves out what a router's port says of itself.
                if child == table::SWITCH_PORT
                    && !list("addresses").is_empty()
                    && list("addresses") != ["router"]
                {
                    let _ = writeln!(out, "        addresses: {:?}", list("addresses"));
                }
                if let Some(peer) = port.key("options", "router-port") {
                    let _ = writeln!(out, "        router-port: {peer}");
                }
                if child == table::ROUTER_PORT {
                    let _ = writeln!(out, "        mac: {:?}", port.str("mac").unwrap_or_default());
                    let _ = writeln!(out, "        networks: {:?}", list("networks"));
                }
            }
        }
    };
    parents(table::SWITCH, table::SWITCH_PORT, "switch", "neutron:network_name");
    parents(table::ROUTER, table::ROUTER_PORT, "router", "neutron:router_name");
    out
}

/// Replaces each MAC by the number of its first appearance, `<MAC 1>` for one in upper case as Kube-OVN writes them,
/// `<mac 1>` for one with lower-case letters.
#[must_use]
pub fn number_macs(text: &str) -> String {
    let is_mac = |part: &str| {
        part.len() == 17
            && part
                .bytes()
                .enumerate()
                .all(|(i, b)| if i % 3 == 2 { b == b':' } else { b.is_ascii_hexdigit() })
    };
    let mut known: Vec<String> = Vec::new();
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(mac) = rest.get(..17).filter(|part| is_mac(part)) {
            let folded = mac.to_ascii_lowercase();
            let number = known.iter().position(|it| *it == folded).unwrap_or_else(|| {
                known.push(folded);
                known.len() - 1
            });
            let word = if mac.bytes().any(|b| b.is_ascii_lowercase()) { "mac" } else { "MAC" };
            let _ = write!(out, "<{word} {}>", number + 1);
            rest = &rest[17..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}
