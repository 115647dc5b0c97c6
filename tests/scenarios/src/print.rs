//! What came out, as text: small, sorted, the same each time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::ensure;
use serde_json::Value;
use tombolo_ovsdb::Row;
use tombolo_plan::nb::{self, Ownership};
use tombolo_plan::{ClusterId, Kind};
use tombolo_tests_sim::{Sim, dump};

/// Our rows: first as `ovn-nbctl show` prints them, with the rows of Neutron's that ports of ours hang on, then in full
/// but for those that were `there` before.
///
/// # Errors
/// A row of ours that doesn't prove whose it is (invariant 2).
pub fn nb(sim: &Sim, there: &[String]) -> anyhow::Result<String> {
    let cluster = &sim.config().cluster;
    let show = dump::show_only(sim.nb().rows(), |row| is_ours(cluster, row));
    let now = rows(sim)?;
    let gone = there.iter().filter_map(|row| row.lines().next()).filter(|heading| {
        let has = |row: &String| row.lines().next() == Some(heading);
        !now.iter().any(has)
    });
    let gone: String = gone.map(|heading| format!("gone: {heading}\n")).collect();
    let new: String = now.iter().filter(|row| !there.contains(row)).map(String::as_str).collect();
    let title = if there.is_empty() { "rows" } else { "rows beside those of an empty cluster" };
    Ok(format!("## ovn-nbctl show\n{show}## {title}\n{gone}{new}"))
}

fn is_ours(cluster: &ClusterId, row: &Row) -> bool {
    matches!(nb::ownership(cluster, row), Ownership::Ours(_))
}

/// All rows of ours, a text each, without the marks that all bear.
///
/// # Errors
/// A row without the marks.
pub fn rows(sim: &Sim) -> anyhow::Result<Vec<String>> {
    let cluster = &sim.config().cluster;
    let mut all: Vec<String> = Vec::new();
    for line in dump::rows(sim.nb().rows(), |_, row| is_ours(cluster, row)).lines() {
        let line = match line.strip_prefix("  external_ids: ") {
            None => line.to_owned(),
            Some(ids) => format!("  external_ids: {}", unmarked(cluster, ids)?.join(" ")),
        };
        match all.last_mut().filter(|_| line.starts_with(' ')) {
            Some(row) => *row = format!("{row}{line}\n"),
            None => all.push(line + "\n"),
        }
    }
    Ok(all)
}

/// The `external_ids` of a row without the marks that all of ours bear.
fn unmarked<'a>(cluster: &ClusterId, ids: &'a str) -> anyhow::Result<Vec<&'a str>> {
    let all: Vec<&str> = ids.split(' ').collect();
    let marks =
        ["vendor=kube-ovn".to_owned(), format!("{}={}", tombolo_plan::owner::CLUSTER_KEY, cluster.as_str())];
    for mark in &marks {
        ensure!(all.contains(&mark.as_str()), "invariant 2: a row of ours lacks {mark}: {ids}");
    }
    // The accepted spec is the Subnet's own, which is shown beside the rows.
    let spec = format!("{}=", tombolo_plan::world::SPEC_KEY);
    let shown = |id: &&str| !marks.iter().any(|mark| mark == id) && !id.starts_with(&spec);
    Ok(all.into_iter().filter(shown).collect())
}

/// What users see: `kubectl get vpc`, conditions, addresses, annotations, Events, and warnings in the log.
pub fn k8s(sim: &Sim) -> String {
    let mut out = String::new();
    let mut section = |title: &str, mut lines: Vec<String>| {
        lines.sort();
        // Writing to a String can't fail.
        let _ = writeln!(out, "## {title}");
        out.extend(lines.into_iter().map(|line| line + "\n"));
    };
    let list = |kind: Kind| sim.api.list(kind);
    let vpcs = list(Kind::Vpc).map(|(name, _)| format!("{name} {}", sim.vpc_line(name)));
    section("vpcs: NAME STANDBY SUBNETS", vpcs.collect());
    section("subnets", list(Kind::Subnet).map(|(name, it)| subnet(name, it)).collect());
    let all = [(Kind::Vpc, "Vpc"), (Kind::Subnet, "Subnet")];
    let conditions =
        all.iter().flat_map(|(kind, word)| list(*kind).flat_map(|(name, it)| conditions(word, name, it)));
    section("conditions", conditions.collect());
    section("ips", list(Kind::Ip).map(|(name, it)| ip(name, it)).collect());
    let all = [(Kind::Node, "Node"), (Kind::Namespace, "Namespace"), (Kind::Pod, "Pod")];
    let annotations =
        all.iter().flat_map(|(kind, word)| list(*kind).flat_map(|(name, it)| annotations(word, name, it)));
    section("annotations", annotations.collect());
    let events = sim.notices.iter().map(|it| {
        let key = match it.namespace.as_str() {
            "" => it.name.clone(),
            namespace => format!("{namespace}/{}", it.name),
        };
        let class = if it.warning { "Warning" } else { "Normal" };
        format!("{:?} {key}: {class} {}: {}", it.kind, it.reason, it.message)
    });
    section("events", counted(events));
    let warnings = sim.log.iter().filter(|(warning, _)| *warning).map(|(_, text)| text.clone());
    section("warnings in the log", counted(warnings));
    out
}

/// Each text once, with how often it came if that is more than once.
fn counted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    let line = |(text, count)| if count == 1 { text } else { format!("{text} ({count} times)") };
    counts.into_iter().map(line).collect()
}

/// A value as text: without quotes if it is one, `-` if there is none.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn subnet(name: &str, it: &Value) -> String {
    let (spec, status) = (&it["spec"], &it["status"]);
    let mut line = format!(
        "{name}: vpc {}, {}, gateway {}, without {}",
        word(&spec["vpc"]),
        word(&spec["cidrBlock"]),
        word(&spec["gateway"]),
        word(&spec["excludeIps"])
    );
    for family in ["v4", "v6"] {
        let range = |what: &str| word(&status[format!("{family}{what}IPrange")]);
        let _ = write!(line, "; {family} free {}, used {}", range("available"), range("using"));
    }
    line
}

fn conditions(kind: &str, name: &str, it: &Value) -> Vec<String> {
    let all = it["status"]["conditions"].as_array().into_iter().flatten();
    all.map(|it| {
        let line = format!(
            "{kind} {name}: {}={} {} {}",
            word(&it["type"]),
            word(&it["status"]),
            word(&it["reason"]),
            it["message"].as_str().unwrap_or_default()
        );
        line.trim_end().to_owned()
    })
    .collect()
}

fn ip(name: &str, it: &Value) -> String {
    let spec = &it["spec"];
    format!(
        "{name}: {} {} in {} on {}",
        word(&spec["ipAddress"]),
        word(&spec["macAddress"]),
        word(&spec["subnet"]),
        word(&spec["nodeName"])
    )
}

fn annotations(kind: &str, name: &str, it: &Value) -> Vec<String> {
    let all = it["metadata"]["annotations"].as_object().into_iter().flatten();
    all.map(|(key, value)| format!("{kind} {name}: {key}={}", word(value))).collect()
}

/// [`dump::number_macs`], except for those that the case itself names.
pub fn number_macs(text: &str, given: &str) -> String {
    let given = given.to_ascii_lowercase();
    let mut hidden = String::new();
    let mut rest = text;
    // A MAC that is given is taken apart, so that it isn't seen as one, and put together again.
    while let Some(next) = rest.chars().next() {
        match rest.get(..17).filter(|it| is_mac(it) && given.contains(&it.to_ascii_lowercase())) {
            Some(mac) => {
                hidden += &mac.replace(':', "\u{1}");
                rest = &rest[17..];
            }
            None => {
                hidden.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
    }
    dump::number_macs(&hidden).replace('\u{1}', ":")
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6 && parts.iter().all(|it| it.len() == 2 && it.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_macs_are_shown() {
        let text = "00:00:00:AA:BB:01 00:00:00:AA:BB:02";
        assert_eq!(number_macs(text, "mac: 00:00:00:aa:bb:01"), "00:00:00:AA:BB:01 <MAC 1>");
    }
}
