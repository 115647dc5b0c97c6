//! A cluster that Kube-OVN left is taken over in place. The rows and objects are those of real controllers of Kube-OVN's
//! ([`kube_ovn`]).

mod common;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use common::{Bed, Controller};
use serde_json::{Value, json};
use tombolo_needs::needs;
use tombolo_testbed::{eventually, kube_ovn};

const SOON: Duration = Duration::from_secs(30);
/// So long it is watched that nothing happens.
const WHILE: Duration = Duration::from_secs(3);
/// Versions of Kube-OVN of which it is known.
const VERSIONS: [&str; 2] = ["1.13.0", "1.14.10"];

/// A cluster as Kube-OVN leaves it.
struct Left {
    bed: Bed,
    rows: Value,
}

impl Left {
    fn by(version: &str) -> Result<Option<Self>> {
        Self::of(version, |_| true)
    }

    /// Only the objects that `keep` keeps.
    fn of(version: &str, keep: fn(&Value) -> bool) -> Result<Option<Self>> {
        let Some(bed) = Bed::start_newer()? else { return Ok(None) };
        let kube_ovn::Left { rows, mut objects } = kube_ovn::Left::by(version)?;
        bed.nb.insert(&rows)?;
        for node in objects["items"].as_array().into_iter().flatten().filter(|it| it["kind"] == "Node") {
            let address = node["status"]["addresses"][0]["address"].as_str().unwrap_or_default();
            bed.node(node["metadata"]["name"].as_str().unwrap_or_default(), address)?;
        }
        objects["items"].as_array_mut().context("no objects")?.retain(keep);
        bed.api.apply(&objects.to_string())?;
        Ok(Some(Self { bed, rows }))
    }

    /// Tables of the database by row, as the server has them now.
    fn now(&self) -> Result<BTreeMap<String, Value>> {
        let answer = Command::new("ovsdb-client").args(["backup", self.bed.nb.address()]).output()?;
        let text = String::from_utf8(answer.stdout)?;
        let tables: Value = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .nth(1)
            .context("the backup has no rows")?;
        Ok(kube_ovn::rows(&tables).map(|(_, uuid, row)| (uuid.to_owned(), row.clone())).collect())
    }

    /// The ports of switches and routers that Kube-OVN made: name and uuid.
    fn ports(&self) -> BTreeMap<String, String> {
        let tables = ["Logical_Switch", "Logical_Switch_Port", "Logical_Router_Port", "Logical_Router"];
        let rows = kube_ovn::rows(&self.rows)
            .filter(|(table, _, row)| tables.contains(table) && id(row, "vendor") == "kube-ovn");
        rows.map(|(_, uuid, row)| (row["name"].as_str().unwrap_or_default().to_owned(), uuid.to_owned()))
            .collect()
    }
}

/// A value of a row's `external_ids`.
fn id<'a>(row: &'a Value, key: &str) -> &'a str {
    let pairs = row["external_ids"][1].as_array();
    let pair = pairs.into_iter().flatten().find(|pair| pair[0] == key);
    pair.and_then(|pair| pair[1].as_str()).unwrap_or_default()
}

/// Waits until each port of Kube-OVN's is ours.
fn taken_over(left: &Left) -> Result<BTreeMap<String, Value>> {
    eventually("all ports to be taken over", SOON, || {
        let rows = left.now()?;
        let ports = left.ports();
        let ours = |uuid: &String| rows.get(uuid).is_some_and(|row| !id(row, "tombolo.io/owner").is_empty());
        Ok(ports.values().all(ours).then_some(rows))
    })
}

#[test]
fn no_port_loses_its_uuid_and_no_pod_its_address() -> Result<()> {
    // invariants 2 and 5
    for version in VERSIONS {
        let left = needs!(Left::by(version)?);
        let before: BTreeMap<String, Value> =
            kube_ovn::rows(&left.rows).map(|(_, uuid, row)| (uuid.to_owned(), row.clone())).collect();
        ensure!(left.ports().len() >= 8, "{version}: the record is empty: {:?}", left.ports());
        // Who doesn't ask for it gets a refusal, and nothing changes.
        let mut without = Controller::start(&left.bed, "without", &[])?;
        let refusal = eventually("the refusal", SOON, || {
            Ok(Some(left.bed.ready("vpc", "ovn-cluster")?).filter(|ready| ready.reason == "NameTaken"))
        })
        .map_err(|error| error.context(without.log()))?;
        ensure!(refusal.message.contains("the vendor kube-ovn"), "{version}: {refusal:?}");
        ensure!(refusal.message.contains("--take-over"), "{version}: {refusal:?}");
        ensure!(without.stop()?.success());
        for (uuid, row) in left.now()?.iter().filter(|(uuid, _)| before.contains_key(*uuid)) {
            ensure!(id(row, "tombolo.io/cluster").is_empty(), "{version}: {uuid} {row}");
        }

        let mut controller = Controller::start(&left.bed, "taking", &["--take-over"])?;
        let after = taken_over(&left).map_err(|error| error.context(controller.log()))?;
        let lower = |value: &Value| value.to_string().to_lowercase();
        for (name, uuid) in left.ports() {
            let (old, new) = (&before[&uuid], &after[&uuid]);
            // The same address, and the same MAC.
            if old["addresses"] != "router" {
                ensure!(
                    lower(&old["addresses"]) == lower(&new["addresses"]),
                    "{version}: {name}: {old} {new}"
                );
            }
            ensure!(lower(&old["mac"]) == lower(&new["mac"]), "{version}: {name}: {old} {new}");
            ensure!(old["name"] == new["name"], "{version}: {old} {new}");
        }
        let pods = kube_ovn::rows(&left.rows).filter_map(|(_, _, row)| {
            let (namespace, pod) = id(row, "pod").split_once('/')?;
            Some((namespace, pod, row["addresses"].as_str()?))
        });
        let mut seen = 0;
        for (namespace, pod, had) in pods {
            let has = left.bed.routed(namespace, pod)?;
            ensure!(had.ends_with(&format!(" {has}")), "{version}: {pod} had {had} and has {has}");
            seen += 1;
        }
        ensure!(seen >= 3, "{version}: the record has {seen} pods");
        // A new pod gets an address that none has, and one that goes takes its row along.
        left.bed.pod("a", "new", "n1")?;
        let new = left.bed.routed("a", "new")?;
        ensure!(!left.rows.to_string().contains(&format!(" {new}\"")), "{version}: {new} is taken");
        left.bed.api.kubectl(&["delete", "pod", "-n", "a", "p1", "--force", "--grace-period=0"])?;
        let gone = left.ports()["p1.a"].clone();
        eventually("the pod's port to go", SOON, || Ok((!left.now()?.contains_key(&gone)).then_some(())))?;
        ensure!(controller.stop()?.success());

        // From now on it is as any other cluster: no flag, and nothing to do.
        let settled = left.now()?;
        let mut later = Controller::start(&left.bed, "later", &[])?;
        eventually("the lease", SOON, || {
            Ok((later.metric("leader_election_master_status")? == 1.0).then_some(()))
        })?;
        std::thread::sleep(WHILE);
        let now = left.now()?;
        let differing: Vec<_> = now.iter().filter(|(uuid, row)| settled.get(*uuid) != Some(row)).collect();
        // The epoch counts on.
        ensure!(differing.len() == 1 && now.len() == settled.len(), "{version}: {differing:?}");
        ensure!(later.stop()?.success());
        left.bed.guard.check()?;
    }
    Ok(())
}

#[test]
fn a_living_controller_of_kube_ovns_holds_it_up() -> Result<()> {
    let left = needs!(Left::by(VERSIONS[0])?);
    let lease = |seconds: u64| {
        let now = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.000000Z"]).output()?;
        left.bed.api.apply(
            &json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": { "name": "kube-ovn-controller", "namespace": "kube-system" },
                "spec": { "holderIdentity": "theirs", "leaseDurationSeconds": seconds,
                    "renewTime": String::from_utf8_lossy(&now.stdout).trim() } })
            .to_string(),
        )
    };
    lease(600)?;
    let mut controller = Controller::start(&left.bed, "taking", &["--take-over"])?;
    eventually("it to say so", SOON, || {
        Ok(controller.log().contains("waits until it is stopped").then_some(()))
    })?;
    std::thread::sleep(WHILE);
    let rows = left.now()?;
    ensure!(rows.values().all(|row| id(row, "tombolo.io/cluster").is_empty()), "it wrote beside Kube-OVN's");
    left.bed.api.kubectl(&["delete", "lease", "-n", "kube-system", "kube-ovn-controller"])?;
    taken_over(&left)?;
    ensure!(controller.stop()?.success());
    Ok(())
}

#[test]
fn rows_of_another_cluster_of_kube_ovns_stay_its_own() -> Result<()> {
    // invariant 1: the same names of nodes, router and Subnets, but none of the addresses that its nodes have
    let is_not_the_nets =
        |object: &Value| !["IP", "Vpc", "Subnet", "Pod"].iter().any(|kind| object["kind"] == *kind);
    let left = needs!(Left::of(VERSIONS[1], is_not_the_nets)?);
    left.bed.api.kubectl(&[
        "annotate",
        "nodes",
        "--all",
        "ovn.kubernetes.io/ip_address-",
        "ovn.kubernetes.io/mac_address-",
    ])?;
    let mut controller = Controller::start(&left.bed, "taking", &["--take-over"])?;
    eventually("the refusal", SOON, || {
        Ok((left.bed.ready("vpc", "ovn-cluster")?.reason == "NameTaken").then_some(()))
    })
    .map_err(|error| error.context(controller.log()))?;
    std::thread::sleep(WHILE);
    let rows = left.now()?;
    let marked = rows.values().filter(|row| !id(row, "tombolo.io/cluster").is_empty()).count();
    // The fence alone.
    ensure!(marked == 1, "{marked} rows bear our marks");
    ensure!(controller.stop()?.success());
    left.bed.guard.check().map(drop)
}

#[test]
fn the_address_of_a_port_that_is_left_over_goes_to_no_other_pod() -> Result<()> {
    // invariant 5
    let left = needs!(Left::by(VERSIONS[1])?);
    // Between Kube-OVN's stop and our start: nobody takes its port away.
    left.bed.api.kubectl(&["delete", "pod", "-n", "a", "p1", "--force", "--grace-period=0"])?;
    let port = left.ports()["p1.a"].clone();
    let had = left.now()?[&port]["addresses"].as_str().unwrap_or_default().to_owned();
    let mut controller = Controller::start(&left.bed, "taking", &["--take-over"])?;
    left.bed.routed("a", "p2")?;
    eventually("the IP object to go", SOON, || {
        Ok(left.bed.api.kubectl(&["get", "ip", "p1.a"]).is_err().then_some(()))
    })?;
    for n in 0..4 {
        let pod = format!("new-{n}");
        left.bed.pod("a", &pod, "n1")?;
        let has = left.bed.routed("a", &pod)?;
        ensure!(!had.ends_with(&format!(" {has}")), "{pod} got {has}, which {port} bears: {had}");
    }
    ensure!(left.now()?.contains_key(&port), "a row of Kube-OVN's went");
    // Once it is gone the address is free again: the lowest is given out next, some time.
    left.bed.nb.ctl(&["lsp-del", "p1.a"])?;
    ensure!(controller.stop()?.success());
    left.bed.guard.check().map(drop)
}
