//! Rows that no client should write, thrown at the controller on a real ovsdb-server: it survives, serves, touches none
//! of them, and everything is as before when they are gone.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use common::{Bed, Controller};
use serde_json::{Value, json};
use tombolo_foreign_rows::hostile::{Generator, Random};
use tombolo_foreign_rows::wire;
use tombolo_needs::needs;
use tombolo_testbed::eventually;

const SOON: Duration = Duration::from_secs(60);
const NB: &str = "OVN_Northbound";
/// How many rows; `HOSTILE_ROWS` asks for more, `HOSTILE_SEED` for others.
const ROWS: u64 = 150;

fn asked(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn vpcs(bed: &Bed) -> Result<BTreeSet<String>> {
    Ok(bed.api.kubectl(&["get", "vpc", "-o", "name"])?.lines().map(str::to_owned).collect())
}

fn serves(bed: &Bed, controller: &Controller, pod: &str) -> Result<()> {
    for namespace in ["default", "net2"] {
        bed.pod(namespace, pod, "host1")?;
        let routed = eventually(&format!("{namespace}/{pod} to be routed"), SOON, || {
            let pod = bed.api.json(&["get", "pod", "-n", namespace, pod])?;
            Ok((pod["metadata"]["annotations"]["ovn.kubernetes.io/routed"] == "true").then_some(()))
        });
        routed.with_context(|| {
            controller.log().chars().rev().take(4000).collect::<Vec<_>>().iter().rev().collect::<String>()
        })?;
    }
    ensure!(!controller.log().contains("panicked"), "{}", controller.log());
    Ok(())
}

// invariants 1, 2, 8 and 10
#[test]
fn hostile_rows_are_skipped_and_nothing_else_happens() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let (router, _) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    bed.node("host1", "172.30.0.1")?;
    let mut controller = Controller::start(&bed, "a", &[])?;
    bed.defaults()?;
    bed.api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
    bed.give_net2(&router)?;
    bed.subnet_of_net2("net2", &router, "12.0.1.0/24")?;
    serves(&bed, &controller, "before")?;
    let (before, vpcs_before) = (bed.guard.foreign("NB")?, vpcs(&bed)?);

    let seed = asked("HOSTILE_SEED", 1);
    println!("HOSTILE_SEED={seed}");
    let uid = bed.api.cluster_uid()?;
    let taken = ["ovn-cluster", "ovn-default", "join", "net2"];
    let mut generator = Generator::new(seed, &uid, &taken, &router);
    let mut random = Random::new(seed);
    // (table, uuid) of what was made.
    let mut made: Vec<(String, String)> = Vec::new();
    let mut refused = 0;
    for n in 0..asked("HOSTILE_ROWS", ROWS) {
        let hostile = generator.row();
        match wire::transact(bed.nb.address(), NB, &hostile.operations) {
            Ok(results) => {
                made.extend(hostile.operations.iter().zip(&results).filter_map(|(operation, result)| {
                    Some((operation["table"].as_str()?.to_owned(), result["uuid"][1].as_str()?.to_owned()))
                }))
            }
            Err(_) => refused += 1,
        }
        // Their owners change them, too.
        if n % 3 == 0 && !made.is_empty() {
            let (table, uuid) = &made[random.below(made.len())];
            let row =
                json!({"external_ids": ["map", [["neutron:router_name", "x"], ["neutron:mtu", "nine"]]]});
            let update = json!({"op": "update", "table": table, "where": [["_uuid", "==", ["uuid", uuid]]], "row": row});
            wire::transact(bed.nb.address(), NB, &[update])?;
        }
    }
    println!("{} hostile rows, {refused} refused by the server", made.len());
    ensure!(made.len() > 50, "too few rows: {}", made.len());
    let garbage = bed.guard.foreign("NB")?;
    serves(&bed, &controller, "beside")?;
    ensure!(controller.stop()?.success());
    let controller = Controller::start(&bed, "b", &[])?;
    serves(&bed, &controller, "restarted")?;
    let now = bed.guard.foreign("NB")?;
    let changed: Vec<_> =
        garbage.iter().filter(|(key, row)| now.get(*key) != Some(row)).map(|(key, _)| key).collect();
    ensure!(changed.is_empty() && now.len() == garbage.len(), "foreign rows changed: {changed:?}");
    // Log and metrics report a router that can't be a Vpc, the log in one line that fits on a page.
    let metrics = controller.get("/metrics")?.1;
    ensure!(metrics.contains("RouterNameUnusable"), "{metrics}");
    let log = controller.log();
    let unusable = log.lines().filter(|line| line.contains("RouterNameUnusable"));
    ensure!(unusable.clone().count() > 0 && unusable.clone().all(|line| line.len() < 2000));

    // All of it goes.
    let mut operations: Vec<Value> = Vec::new();
    for (table, uuid) in &made {
        let condition = json!([["_uuid", "==", ["uuid", uuid]]]);
        match table.as_str() {
            "Logical_Router_Port" => operations.push(
                json!({"op": "mutate", "table": "Logical_Router", "where": [], "mutations": [["ports", "delete", ["uuid", uuid]]]}),
            ),
            "Logical_Switch_Port" => {}
            _ => operations.push(json!({"op": "delete", "table": table, "where": condition})),
        }
    }
    wire::transact(bed.nb.address(), NB, &operations)?;
    serves(&bed, &controller, "after")?;
    ensure!(bed.guard.foreign("NB")? == before, "what was there before isn't as before");
    eventually("the Vpcs to be those of before", SOON, || {
        let now = vpcs(&bed)?;
        ensure!(now == vpcs_before, "{now:?}");
        Ok(Some(()))
    })
}
