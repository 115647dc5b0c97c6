//! `take-over` against a real API server and a real NB, with what a real controller of Kube-OVN's left there.

mod bed;

use anyhow::{Context as _, Result};
use bed::{Bed, text};
use serde_json::json;
use tombolo_needs::needs;
use tombolo_testbed::kube_ovn::Left;

const CLUSTER: &str = "tombolo.io/cluster";

/// Rows of Kube-OVN 1.13.0's, with a Subnet on a router of Neutron's. Those of existing objects bear our marks if `cluster` says
/// whose they are.
fn fill(bed: &Bed, cluster: Option<&str>) -> Result<()> {
    let Left { mut rows, objects } = Left::by("1.13.0")?;
    for (table, rows) in rows.as_object_mut().context("no tables")? {
        for (uuid, row) in rows.as_object_mut().context("no rows")? {
            let name = row["name"].as_str().unwrap_or_default();
            let is_of_object = !name.starts_with("neutron-1") || name.ends_with("-net2");
            let taken = match table.as_str() {
                "Logical_Switch" | "Logical_Switch_Port" | "Logical_Router" | "Logical_Router_Port" => {
                    is_of_object
                }
                "Port_Group" => name.starts_with("node."),
                "Logical_Router_Static_Route" => true,
                _ => false,
            };
            if let Some(cluster) = cluster.filter(|_| taken) {
                let mut ids = row["external_ids"][1].as_array().cloned().unwrap_or_default();
                ids.retain(|pair| pair[0] != "vendor");
                ids.extend([
                    json!(["vendor", "kube-ovn"]),
                    json!([CLUSTER, cluster]),
                    json!(["tombolo.io/owner", "subnet/x"]),
                    json!(["tombolo.io/stands-for", uuid]),
                ]);
                row["external_ids"] = json!(["map", ids]);
            }
            // OVN 23.03's schema hasn't got it.
            row.as_object_mut().context("no row")?.remove("tier");
        }
    }
    bed.nb.insert(&rows)?;
    bed.api.apply(&objects.to_string())?;
    let patch = ["patch", "vpc", "ovn-cluster", "--subresource=status", "--type=merge", "-p"];
    let status = json!({ "status": { "default": true } }).to_string();
    bed.api.kubectl(&[&patch[..], &[status.as_str()]].concat()).map(drop)
}

fn lease(bed: &Bed, name: &str, holder: &str) -> Result<()> {
    bed.api.apply(
        &json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "namespace": "kube-system" }, "spec": { "holderIdentity": holder } })
        .to_string(),
    )
}

fn count(bed: &Bed, table: &str) -> Result<usize> {
    Ok(bed
        .nb
        .ctl(&["--bare", "--columns=_uuid", "list", table])?
        .lines()
        .filter(|line| !line.is_empty())
        .count())
}

#[test]
fn what_is_left_goes_once_the_rest_is_taken_over() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let dir = tempfile::tempdir()?;
    let ko = |args: &[&str]| -> Result<_> { Ok(bed.command(args).current_dir(dir.path()).output()?) };
    let cluster = bed.api.cluster_uid()?;
    fill(&bed, Some(&cluster))?;
    let checked = ko(&["take-over", "check"])?;
    assert!(
        checked.status.success() && text(&checked).contains("nothing stands in the way"),
        "{}",
        text(&checked)
    );
    // Neither while Kube-OVN's controller lives, nor before ours has led.
    lease(&bed, "kube-ovn-controller", "theirs")?;
    let early = ko(&["take-over", "finish", "--yes"])?;
    assert!(!early.status.success() && text(&early).contains("stop it first"), "{}", text(&early));
    lease(&bed, "kube-ovn-controller", "")?;
    let early = ko(&["take-over", "finish", "--yes"])?;
    assert!(
        !early.status.success() && text(&early).contains("no controller of Tombolo's"),
        "{}",
        text(&early)
    );
    lease(&bed, "tombolo-controller", "ours")?;

    let asked = ko(&["take-over", "finish"])?;
    assert_eq!(asked.status.code(), Some(1), "{}", text(&asked));
    assert!(text(&asked).contains("12 Load_Balancer") && text(&asked).contains("--yes"), "{}", text(&asked));
    assert_eq!(count(&bed, "Load_Balancer")?, 12);
    let done = ko(&["take-over", "finish", "--yes"])?;
    assert!(done.status.success(), "{}", text(&done));
    for (table, left) in [
        ("Load_Balancer", 0),
        ("ACL", 0),
        ("Logical_Router_Policy", 0),
        ("Port_Group", 2),
        ("Logical_Switch", 3),
        ("Logical_Switch_Port", 9),
        ("Logical_Router", 2),
        ("Logical_Router_Static_Route", 1),
        ("Logical_Router_Port", 3),
    ] {
        assert_eq!(count(&bed, table)?, left, "{table}");
    }
    // What is gone is in a file, and a second time there is nothing to do.
    assert!(text(&done).contains("backup ovn-nb db to ./ovnnb_db."), "{}", text(&done));
    let again = ko(&["take-over", "finish", "--yes"])?;
    assert!(
        again.status.success() && text(&again).contains("nothing of Kube-OVN's is left"),
        "{}",
        text(&again)
    );

    // The way back: not beside our controller.
    let early = ko(&["take-over", "undo", "--yes"])?;
    assert!(
        !early.status.success() && text(&early).contains("holds the Lease tombolo-controller"),
        "{}",
        text(&early)
    );
    lease(&bed, "tombolo-controller", "")?;
    let undone = ko(&["take-over", "undo", "--yes"])?;
    assert!(undone.status.success(), "{}", text(&undone));
    let marked = bed.nb.ctl(&[
        "--bare",
        "--columns=name",
        "find",
        "Logical_Switch_Port",
        &format!("external_ids:\"{CLUSTER}\"={cluster}"),
    ])?;
    assert_eq!(marked.trim(), "");
    assert_eq!(count(&bed, "Logical_Switch_Port")?, 9);
    // Kube-OVN's own mark is where 1.13 had it, and nowhere else.
    for (table, marked) in [("Port_Group", 0), ("Logical_Router_Static_Route", 0), ("Logical_Switch_Port", 9)]
    {
        let rows =
            bed.nb.ctl(&["--bare", "--columns=_uuid", "find", table, "external_ids:vendor=kube-ovn"])?;
        assert_eq!(rows.split_whitespace().count(), marked, "{table}");
    }
    Ok(())
}

#[test]
fn rows_that_are_kube_ovns_still_hold_it_up_and_what_is_unserved_blocks() -> Result<()> {
    // invariant 4
    let bed = needs!(Bed::start()?);
    let dir = tempfile::tempdir()?;
    let ko = |args: &[&str]| -> Result<_> { Ok(bed.command(args).current_dir(dir.path()).output()?) };
    fill(&bed, None)?;
    lease(&bed, "tombolo-controller", "ours")?;
    let anothers = ko(&["take-over", "finish", "--yes"])?;
    assert!(
        !anothers.status.success() && text(&anothers).contains("has taken nothing over"),
        "{}",
        text(&anothers)
    );
    let marks = [
        ("cluster", bed.api.cluster_uid()?),
        ("owner", "vpc/ovn-cluster".into()),
        ("stands-for", "u".into()),
    ];
    for (key, value) in marks {
        bed.nb.ctl(&[
            "set",
            "Logical_Router",
            "ovn-cluster",
            &format!("external_ids:\"tombolo.io/{key}\"=\"{value}\""),
        ])?;
    }
    let held = ko(&["take-over", "finish", "--yes"])?;
    assert!(!held.status.success(), "{}", text(&held));
    for words in ["not taken over yet: Logical_Switch_Port ubuntu.net2", "nothing was changed"] {
        assert!(text(&held).contains(words), "{words}: {}", text(&held));
    }
    assert_eq!(count(&bed, "Load_Balancer")?, 12);
    bed.api.apply(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: net2}\nspec: {podSelector: {}}\n",
    )?;
    let blocked = ko(&["take-over", "check"])?;
    assert_eq!(blocked.status.code(), Some(1), "{}", text(&blocked));
    assert!(text(&blocked).contains("blocks: NetworkPolicy net2/deny"), "{}", text(&blocked));
    Ok(())
}
