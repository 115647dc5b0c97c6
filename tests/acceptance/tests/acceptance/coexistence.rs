//! Beside Neutron: its rows stay as they are whatever is done to ours, ours come back whatever is done to them, and
//! while nothing happens nothing is written.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tombolo_needs::needs;
use tombolo_sandbox::demo::watch::Watch;
use tombolo_sandbox::dump::{self, Dump};
use tombolo_sandbox::kubernetes::{control_plane, kubectl};
use tombolo_sandbox::{exec, neutron};
use tombolo_tests_acceptance::leaks;
use tombolo_tests_acceptance::router::Router;
use tombolo_tests_acceptance::{
    LATER, SOON, apply_subnet, bed, condition, delete, event, get, history, namespaces, space,
};

fn ours(row: &Value) -> bool {
    row["external_ids"]["vendor"] == "kube-ovn"
}

/// All rows that aren't ours, without the edges that we may add to them.
fn foreign() -> Result<BTreeSet<String>> {
    let dump = dump::nb()?;
    let all = dump.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let mine: BTreeSet<&str> =
        all.iter().filter(|row| ours(row)).filter_map(|row| row["_uuid"].as_str()).collect();
    let without_edges = |row: &Value| {
        let mut row = row.clone();
        if row["_table"] == "Logical_Router" {
            for column in ["ports", "policies"] {
                let members = match &row[column] {
                    Value::Array(members) => members.clone(),
                    one => vec![one.clone()],
                };
                row[column] =
                    members.into_iter().filter(|m| !m.as_str().is_some_and(|m| mine.contains(m))).collect();
            }
        }
        row.to_string()
    };
    Ok(all.iter().filter(|row| !ours(row)).map(without_edges).collect())
}

/// Our rows without what Neutron's maintenance adds to them some time after its start: it isn't ours to put back.
fn our_rows() -> Result<Dump> {
    Ok(dump::nb()?.filter(ours).edited(|row| {
        for column in ["options", "other_config"] {
            if let Some(map) = row[column].as_object_mut() {
                map.retain(|key, _| !key.starts_with("mcast_"));
            }
        }
    }))
}

#[test]
fn nothing_foreign_was_touched_since_the_databases_were_made() -> Result<()> {
    // invariant 1: by each transaction of ours in NB, SB and the hosts' Open_vSwitch, the installation and the scenario
    // included. Each other test here is guarded on its own.
    let _bed = needs!(bed()?);
    let seen = history()?;
    println!("{} transactions of ours, {} of others", seen.ours, seen.others);
    ensure!(seen.ours > 20, "the guard saw too little: {seen:?}");
    Ok(())
}

/// Waits until what `read` shows is as it was.
fn as_before(what: &str, before: &Dump, read: impl Fn() -> Result<Dump>) -> Result<()> {
    exec::wait_ok(&format!("{what} to be as before"), SOON, || {
        let difference = before.difference(&read()?);
        ensure!(difference.is_empty(), "{}", difference.join("\n"));
        Ok(())
    })
}

#[test]
fn neutrons_rows_stay_as_they_are_whatever_is_done_to_ours() -> Result<()> {
    // invariants 1 and 3
    let bed = needs!(bed()?);
    let (before, everything) = (foreign()?, dump::nb()?);
    {
        let space = space("acc-foreign")?;
        let _net = bed.ready_subnet("acc-foreign", "12.9.0.0/24", &space)?;
        space.pod("one", Some("host1"))?;
        space.pod("two", Some("host2"))?;
        ensure!(foreign()? == before, "foreign rows changed when ours were made");
        // The document's worst trap: deleting the Vpc. The router is Neutron's: the Vpc comes back.
        let vpc = bed.objects.logical_router();
        let uid = get("vpcs.kubeovn.io", "", &vpc)?["metadata"]["uid"].clone();
        kubectl(["delete", "vpcs.kubeovn.io", &vpc, "--wait=false"])?;
        exec::wait_ok("the Vpc to come back", SOON, || {
            let now = get("vpcs.kubeovn.io", "", &vpc)?;
            ensure!(now["metadata"]["uid"] != uid, "it hasn't gone");
            ensure!(now["status"]["subnets"].to_string().contains("acc-foreign"), "{}", now["status"]);
            Ok(())
        })?;
        namespaces(&vpc, &[&space.name])?;
        ensure!(foreign()? == before, "foreign rows changed when the Vpc was deleted");
        condition("subnets.kubeovn.io", "acc-foreign", "Ready", "True ReconcileLogicalSwitchSuccess")?;
    }
    as_before("the northbound database", &everything, dump::nb)
}

#[test]
fn what_neutrons_repair_takes_of_ours_comes_back() -> Result<()> {
    let bed = needs!(bed()?);
    let space = space("acc-repair")?;
    let _net = bed.ready_subnet("acc-repair", "12.9.0.0/24", &space)?;
    let pod = space.pod("one", None)?;
    let before = our_rows()?;
    // Neutron before 26.0.3 ends in an error at the first router port that isn't its own, and removes port groups.
    match neutron::sync(neutron::Sync::Repair) {
        Ok(said) => println!("repair reports {} inconsistencies", said.len()),
        Err(error) => println!("repair ended in an error: {error:#}"),
    }
    as_before("our rows", &before, our_rows)?;
    pod.reaches("12.9.0.1")
}

#[test]
fn rows_of_ours_that_somebody_deletes_come_back() -> Result<()> {
    let bed = needs!(bed()?);
    let space = space("acc-deleted")?;
    let net = bed.ready_subnet("acc-deleted", "12.9.0.0/24", &space)?;
    let pod = space.pod("one", None)?;
    let before = our_rows()?;
    let peer = format!("{}-{}", bed.objects.logical_router(), net.name);
    for words in [vec!["lsp-del", "one.acc-deleted"], vec!["lrp-del", &peer], vec!["ls-del", "join"]] {
        tombolo_sandbox::ovn::nbctl(&words)?;
        as_before(&format!("our rows after `{}`", words.join(" ")), &before, our_rows)?;
    }
    pod.reaches("12.9.0.1")
}

#[test]
fn a_router_comes_and_goes_with_its_vpc() -> Result<()> {
    let _bed = needs!(bed()?);
    let router = Router::new("acc-router", "192.168.77.0/24")?;
    exec::wait_ok("the Vpc of the router", SOON, || {
        let vpc = get("vpcs.kubeovn.io", "", &router.vpc())?;
        ensure!(vpc["status"]["standby"] == true, "{}", vpc["status"]);
        ensure!(
            vpc["status"]["subnets"] == json!([format!("neutron-{}", router.network)]),
            "{}",
            vpc["status"]
        );
        Ok(())
    })?;
    router.delete()?;
    exec::wait_ok("the Vpc of the router to go", SOON, || {
        ensure!(get("vpcs.kubeovn.io", "", &router.vpc()).is_err(), "it is still there");
        Ok(())
    })
}

#[test]
fn pods_survive_a_router_that_is_deleted_in_openstack() -> Result<()> {
    // invariant 3: the router isn't made again
    let _bed = needs!(bed()?);
    let space = space("acc-gone")?;
    let router = Router::new("acc-gone", "192.168.78.0/24")?;
    namespaces(&router.vpc(), &[&space.name])?;
    let net = tombolo_tests_acceptance::Net::of("acc-gone", &space);
    apply_subnet(&net.name, &router.vpc(), "12.9.0.0/24", &[&space.name], &json!({}))?;
    condition("subnets.kubeovn.io", &net.name, "Ready", "True ReconcileLogicalSwitchSuccess")?;
    let one = space.pod("one", Some("host1"))?;
    let two = space.pod("two", Some("host2"))?;
    router.delete()?;
    condition("subnets.kubeovn.io", &net.name, "Ready", "False VpcNotReady")?;
    event("Subnet", "", &net.name, "VpcNotReady")?;
    // What a user wrote on the Vpc isn't lost at once.
    let vpc = get("vpcs.kubeovn.io", "", &router.vpc())?;
    ensure!(vpc["spec"]["namespaces"] == json!([space.name]), "{}", vpc["spec"]);
    one.reaches(&two.address)?;
    let rows = tombolo_sandbox::ovn::nbctl(["--bare", "--columns=name", "list", "Logical_Router"])?;
    ensure!(!rows.contains(&router.router), "the router was made again");
    delete("vpcs.kubeovn.io", "", &router.vpc())
}

#[test]
fn an_overlap_that_neutron_adds_later_is_told_and_changes_nothing() -> Result<()> {
    // invariant 10
    let _bed = needs!(bed()?);
    let space = space("acc-late")?;
    let router = Router::new("acc-late", "192.168.79.0/24")?;
    namespaces(&router.vpc(), &[&space.name])?;
    let net = tombolo_tests_acceptance::Net::of("acc-late", &space);
    apply_subnet(&net.name, &router.vpc(), "12.9.0.0/24", &[&space.name], &json!({}))?;
    condition("subnets.kubeovn.io", &net.name, "Ready", "True ReconcileLogicalSwitchSuccess")?;
    let pod = space.pod("one", None)?;
    let before = our_rows()?;
    router.attach("12.9.0.128/25")?;
    event("Subnet", "", &net.name, "CidrConflict")?;
    let subnet = get("subnets.kubeovn.io", "", &net.name)?;
    ensure!(subnet["status"]["conditions"].to_string().contains("CidrConflict"), "{}", subnet["status"]);
    let difference = before.difference(&our_rows()?);
    ensure!(difference.is_empty(), "{}", difference.join("\n"));
    pod.reaches("12.9.0.1")?;
    drop(net);
    drop(space);
    router.delete()?;
    delete("vpcs.kubeovn.io", "", &router.vpc())
}

/// Writes of our programs to the API server since `offset` of its audit log, those to leases left out.
fn writes(offset: u64) -> Result<Vec<String>> {
    let path = control_plane::audit_log();
    let mut file = fs::File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    file.seek(SeekFrom::Start(offset))?;
    let mut found = Vec::new();
    for line in BufReader::new(file).lines() {
        let event: Value = serde_json::from_str(&line?).context("reading the audit log")?;
        let user = event["user"]["username"].as_str().unwrap_or_default();
        if user.starts_with("system:serviceaccount:kube-system:kube-ovn-")
            && event["objectRef"]["resource"] != "leases"
        {
            found.push(format!("{user}: {} {}", event["verb"], event["requestURI"]));
        }
    }
    Ok(found)
}

#[test]
fn idle_is_silent() -> Result<()> {
    // invariant 9
    let bed = needs!(bed()?);
    let space = space("acc-idle")?;
    let _net = bed.ready_subnet("acc-idle", "12.9.0.0/24", &space)?;
    space.pod("one", None)?;
    // Counts in a Subnet's status are written at most once a second: let the last one through.
    std::thread::sleep(Duration::from_secs(3));
    let offset = fs::metadata(control_plane::audit_log())?.len();
    let tables =
        ["Logical_Switch", "Logical_Switch_Port", "Logical_Router", "Logical_Router_Port", "Address_Set"];
    let mut watches =
        tables.iter().map(|table| Watch::northbound(table, "external_ids")).collect::<Result<Vec<_>>>()?;
    for (table, watch) in tables.iter().zip(&mut watches) {
        watch
            .next(&format!("the monitor of {table}"), SOON, |line| line.contains("initial").then_some(()))?;
    }
    let quiet = Duration::from_secs(20);
    std::thread::sleep(quiet);
    let seen = writes(offset)?;
    ensure!(seen.is_empty(), "while nothing happened, we wrote to the API server:\n{}", seen.join("\n"));
    for (table, watch) in tables.iter().zip(&mut watches) {
        let change = |line: &str| (!line.contains(",initial,")).then(|| line.to_owned());
        if let Ok((_, line)) = watch.next("", Duration::from_millis(1), change) {
            anyhow::bail!("while nothing happened, {table} changed: {line}");
        }
    }
    Ok(())
}

#[test]
fn many_pods_at_once_all_get_an_address_of_their_own() -> Result<()> {
    // invariant 5
    let bed = needs!(bed()?);
    let space = space("acc-many")?;
    let _net = bed.ready_subnet("acc-many", "12.9.0.0/24", &space)?;
    let names: Vec<String> = (1..=30).map(|n| format!("pod-{n}")).collect();
    let spec = |name: &String| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": space.name},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "sleep", "command": ["sleep", "36000"],
                "image": "kubeovn/kube-ovn:v1.8.4", "imagePullPolicy": "IfNotPresent"}]}})
    };
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": names.iter().map(spec).collect::<Vec<_>>()});
    tombolo_sandbox::kubernetes::apply(&list.to_string())?;
    let mut addresses = BTreeSet::new();
    for name in &names {
        let pod = space.ready(name, LATER)?;
        ensure!(addresses.insert(pod.address.clone()), "{name} and another one have {}", pod.address);
    }
    leaks::ipam_check()?;
    let used = get("subnets.kubeovn.io", "", "acc-many")?["status"]["v4usingIPs"].clone();
    ensure!(used == 30 || used == 30.0, "the Subnet's status counts {used}");
    Ok(())
}
