//! The guard on real servers: what is ours passes, files are followed through compaction and restarts, and what can't
//! be seen is said.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tombolo_foreign_rows::server::Server;
use tombolo_foreign_rows::{Database, Guard};
use tombolo_needs::needs;
use tombolo_plan::{ClusterId, Owner};

fn cluster() -> ClusterId {
    ClusterId::new("18d4c654-f511-4def-a3a0-a6434d237c1e").expect("an id")
}

/// Our marks, in the notation of the wire.
fn marks(owner: &Owner) -> Value {
    json!(["map", cluster().marks(owner).into_iter().collect::<Vec<_>>()])
}

fn guard(server: &Server) -> Result<Guard> {
    Guard::of(cluster()).watch(server.database, "db", &[&server.file]).start()
}

/// A standalone northbound and one of a cluster; none where the programs are missing.
fn northbounds() -> Result<Vec<Server>> {
    let start = |clustered| Server::start(Database::Northbound, tombolo_ovn::nb::SCHEMA, clustered);
    Ok([start(false)?, start(true)?].into_iter().flatten().collect())
}

const OURS: &str =
    "tombolo-controller: tombolo 1 of 18d4c654-f511-4def-a3a0-a6434d237c1e: subnet/net2 and 0 more";
const OF_ANOTHER: &str = "tombolo-controller: tombolo 1 of another: subnet/s and 0 more";

fn insert(table: &str, name: &str, row: Value) -> Value {
    json!({"op": "insert", "table": table, "uuid-name": name, "row": row})
}

fn edge(table: &str, name: &str, column: &str, mutator: &str, child: &Value) -> Value {
    let condition = json!([["name", "==", name]]);
    json!({"op": "mutate", "table": table, "where": condition, "mutations": [[column, mutator, child]]})
}

fn inserted(result: &Value) -> Value {
    result["uuid"].clone()
}

fn caught(guard: &Guard, what: &str) -> Result<String> {
    Ok(guard.check().err().with_context(|| format!("not caught: {what}"))?.to_string())
}

/// Neutron's router and network, a port group and a NAT rule.
fn neutron(server: &Server) -> Result<Vec<Value>> {
    let ids = json!(["map", [["neutron:router_name", "router0"]]]);
    let port = json!(["named-uuid", "lsp"]);
    server.transact(
        "neutron",
        &[
            insert(
                "Logical_Router_Port",
                "lrp",
                json!({"name": "lrp-1", "mac": "fa:16:3e:00:00:01", "networks": "192.168.1.1/24"}),
            ),
            insert(
                "Logical_Router",
                "lr",
                json!({"name": "neutron-1", "external_ids": ids, "ports": ["named-uuid", "lrp"]}),
            ),
            insert("Logical_Switch_Port", "lsp", json!({"name": "p1"})),
            insert("Logical_Switch", "ls", json!({"name": "neutron-2", "ports": port})),
            insert("Port_Group", "pg", json!({"name": "neutron_pg", "ports": port})),
        ],
    )
}

// invariants 1 and 2
#[test]
fn rows_of_ours_pass_and_edges_on_neutrons_router_are_for_them_only() -> Result<()> {
    let server = needs!(Server::start(Database::Northbound, tombolo_ovn::nb::SCHEMA, true)?);
    let theirs = neutron(&server)?;
    let guard = guard(&server)?;
    let before = guard.foreign("db")?;
    let mine = marks(&Owner::subnet("net2"));

    let made = server.transact(
        OURS,
        &[
            insert(
                "Logical_Switch_Port",
                "a",
                json!({"name": "ubuntu.net2", "external_ids": marks(&Owner::pod("net2", "ubuntu"))}),
            ),
            insert(
                "Logical_Switch",
                "b",
                json!({"name": "net2", "external_ids": mine, "ports": ["named-uuid", "a"]}),
            ),
            insert("Logical_Router_Port", "c", json!({"name": "neutron-1-net2", "external_ids": mine})),
            edge("Logical_Router", "neutron-1", "ports", "insert", &json!(["named-uuid", "c"])),
            insert(
                "Logical_Router_Policy",
                "d",
                json!({"match": "ip4", "action": "allow", "priority": 7, "external_ids": mine}),
            ),
            edge("Logical_Router", "neutron-1", "policies", "insert", &json!(["named-uuid", "d"])),
        ],
    )?;
    ensure!(guard.check()?.ours == 1);
    ensure!(guard.foreign("db")? == before, "our edges are not part of what is foreign");

    // A user put our port into a group of theirs: it leaves it when it goes, by the database's own hand.
    server.transact("user", &[edge("Port_Group", "neutron_pg", "ports", "insert", &inserted(&made[0]))])?;
    server.transact(OURS, &[edge("Logical_Switch", "net2", "ports", "delete", &inserted(&made[0]))])?;
    ensure!(guard.check()?.ours == 2);

    for (what, operation) in [
        (
            "Neutron's port taken off its router",
            edge("Logical_Router", "neutron-1", "ports", "delete", &inserted(&theirs[0])),
        ),
        (
            "a port of ours in a group of theirs",
            edge("Port_Group", "neutron_pg", "ports", "delete", &inserted(&theirs[2])),
        ),
        (
            "a key in theirs",
            edge("Logical_Router", "neutron-1", "options", "insert", &json!(["map", [["x", "y"]]])),
        ),
        (
            "our marks taken off",
            edge("Logical_Switch", "net2", "external_ids", "delete", &json!(["set", ["tombolo.io/owner"]])),
        ),
    ] {
        server.transact(OURS, &[operation])?;
        caught(&guard, what)?;
    }
    // What neither of them sees is foreign too: an orphan of a newer version, another cluster's rows.
    for ids in [
        json!(["map", [["tombolo.io/cluster", cluster().as_str()], ["tombolo.io/owner", "gateway/g"]]]),
        json!([
            "map",
            [["tombolo.io/cluster", "another"], ["tombolo.io/owner", "subnet/s"], ["vendor", "kube-ovn"]]
        ]),
        json!(["map", [["vendor", "kube-ovn"]]]),
    ] {
        let name = ids.to_string();
        server.transact(
            "somebody",
            &[insert("Logical_Switch", "s", json!({"name": name, "external_ids": ids}))],
        )?;
        guard.check()?;
        server.transact(
            OURS,
            &[json!({"op": "delete", "table": "Logical_Switch", "where": [["name", "==", name]]})],
        )?;
        caught(&guard, &name)?;
    }
    // Our marks without our signature: a program of ours that doesn't sign can't be judged.
    server.transact("", &[insert("Logical_Switch", "e", json!({"name": "net3", "external_ids": mine}))])?;
    let said = caught(&guard, "no signature")?;
    ensure!(said.contains("no signature"), "{said}");
    Ok(())
}

// invariants 1 and 2
#[test]
fn of_two_clusters_neither_may_touch_the_others_rows() -> Result<()> {
    let another = ClusterId::new("another").expect("an id");
    let marks = [cluster(), another.clone()]
        .map(|id| json!(["map", id.marks(&Owner::subnet("s")).into_iter().collect::<Vec<_>>()]));
    let [first, second] = &marks;
    let switch = |name: &str, ids: &Value, ports: Value| {
        insert("Logical_Switch", "s", json!({"name": name, "external_ids": ids, "ports": ports}))
    };
    let none = json!(["set", []]);
    let port = |ids: &Value| insert("Logical_Switch_Port", "p", json!({"name": "p", "external_ids": ids}));
    for server in northbounds()? {
        let guard = Guard::of(cluster()).and(another.clone());
        let guard = guard.watch(server.database, "db", &[&server.file]).start()?;
        // What each does to its own, one transaction after the other.
        server.transact(OURS, &[switch("a", first, none.clone())])?;
        server.transact(OF_ANOTHER, &[switch("b", second, none.clone())])?;
        let ids = |name: &str| {
            edge("Logical_Switch", name, "other_config", "insert", &json!(["map", [["x", name]]]))
        };
        server.transact(OURS, &[ids("a")])?;
        server.transact(OF_ANOTHER, &[ids("b")])?;
        ensure!(guard.check()?.ours == 4);
        // What the other might have done, and didn't.
        let key = |name: &str, key: &str| {
            edge("Logical_Switch", name, "other_config", "insert", &json!(["map", [[key, ""]]]))
        };
        for (who, its) in [(OURS, "b"), (OF_ANOTHER, "a")] {
            server.transact(who, &[key(its, "the other's")])?;
            caught(&guard, "a row of the other")?;
        }
        for unreadable in ["tombolo-controller", "tombolo-controller: tombolo 1 of a-third: x"] {
            server.transact(unreadable, &[key("a", unreadable)])?;
            caught(&guard, unreadable)?;
        }
        // What only both together could have done, and what neither could.
        server.transact(
            OURS,
            &[
                switch("c", first, none.clone()),
                edge("Logical_Switch", "b", "other_config", "delete", &json!(["set", ["x"]])),
            ],
        )?;
        caught(&guard, "a row of each in one transaction")?;
        server.transact(
            OURS,
            &[port(first), edge("Logical_Switch", "b", "ports", "insert", &json!(["named-uuid", "p"]))],
        )?;
        caught(&guard, "a port of the one on the switch of the other")?;
        server.transact("user", &[switch("theirs", &json!(["map", []]), none.clone())])?;
        let before = guard.foreign("db")?;
        server.transact(OURS, &[ids("theirs")])?;
        caught(&guard, "a row of a third")?;
        let changed = guard.foreign("db")?;
        ensure!(changed != before && changed.len() == 1, "only what is neither's: {changed:?}");
    }
    Ok(())
}

// invariant 1
#[test]
fn the_agents_ports_pass_and_nothing_else_on_the_node() -> Result<()> {
    let server = needs!(Server::start(Database::Vswitch, tombolo_ovn::vswitch::SCHEMA, false)?);
    let port = |name: &str, ids: Value, bridge: &str| {
        let interface = insert("Interface", "i", json!({"name": name, "external_ids": ids}));
        let port = insert("Port", "p", json!({"name": name, "interfaces": ["named-uuid", "i"]}));
        [interface, port, edge("Bridge", bridge, "ports", "insert", &json!(["named-uuid", "p"]))]
    };
    let bridges =
        [insert("Bridge", "a", json!({"name": "br-int"})), insert("Bridge", "b", json!({"name": "br-phy"}))];
    let root =
        insert("Open_vSwitch", "o", json!({"bridges": ["set", [["named-uuid", "a"], ["named-uuid", "b"]]]}));
    server.transact("ovs-vsctl", &[bridges.to_vec(), vec![root]].concat())?;
    let tap = server.transact("nova", &port("tap1", json!(["map", [["iface-id", "x"]]]), "br-int"))?;
    let guard = guard(&server)?;

    let agent = "tombolo-agent: pod net2/ubuntu";
    let pod = json!(["map", [["vendor", "kube-ovn"], ["pod_name", "ubuntu"], ["iface-id", "ubuntu.net2"]]]);
    let made = server.transact(agent, &port("0f3c_h", pod.clone(), "br-int"))?;
    let node = json!(["map", [["vendor", "kube-ovn"], ["iface-id", "node-host1"]]]);
    server.transact(agent, &port("ovn0", node, "br-int"))?;
    // ovn-controller says that the flows are there.
    server.transact(
        "",
        &[edge(
            "Interface",
            "0f3c_h",
            "external_ids",
            "insert",
            &json!(["map", [["ovn-installed", "true"]]]),
        )],
    )?;
    server.transact(
        agent,
        &[edge("Interface", "0f3c_h", "external_ids", "delete", &json!(["set", ["iface-id"]]))],
    )?;
    server.transact(agent, &[edge("Bridge", "br-int", "ports", "delete", &inserted(&made[1]))])?;
    ensure!(guard.check()?.ours == 4);

    server.transact(agent, &port("1f3c_h", pod.clone(), "br-int"))?;
    guard.check()?;
    for (what, operation) in [
        ("Nova's tap", edge("Bridge", "br-int", "ports", "delete", &inserted(&tap[1]))),
        (
            "a column that isn't the agent's",
            json!({"op": "update", "table": "Interface", "where": [["name", "==", "1f3c_h"]], "row": {"type": "internal"}}),
        ),
        (
            "the port row",
            json!({"op": "update", "table": "Port", "where": [["name", "==", "1f3c_h"]], "row": {"tag": 7}}),
        ),
        (
            "the bridge",
            json!({"op": "update", "table": "Bridge", "where": [["name", "==", "br-int"]], "row": {"fail_mode": "secure"}}),
        ),
        (
            "the host",
            json!({"op": "update", "table": "Open_vSwitch", "where": [], "row": {"external_ids": ["map", [["system-id", "x"]]]}}),
        ),
    ] {
        server.transact(agent, &[operation])?;
        caught(&guard, what)?;
    }
    server.transact(agent, &port("2f3c_h", pod, "br-phy"))?;
    caught(&guard, "another bridge")?;
    server.transact(agent, &port("eth9", json!(["map", []]), "br-int"))?;
    caught(&guard, "a port that isn't marked")?;
    Ok(())
}

#[test]
fn files_are_followed_through_compaction_and_restarts() -> Result<()> {
    for mut server in northbounds()? {
        neutron(&server)?;
        let guard = guard(&server)?;
        let touch = |n: i32| {
            edge("Logical_Router", "neutron-1", "options", "insert", &json!(["map", [[format!("{n}"), "y"]]]))
        };
        let mine = |n: i32| {
            insert(
                "Logical_Switch",
                "s",
                json!({"name": format!("s{n}"), "external_ids": marks(&Owner::subnet("s"))}),
            )
        };
        for n in 0..5 {
            server.transact(OURS, &[mine(n)])?;
            server.compact()?;
            server.transact(OURS, &[touch(n)])?;
            caught(&guard, "after it was compacted")?;
            server.transact("theirs", &[touch(100 + n)])?;
            guard.check()?;
        }
        // Touched, and compacted before the guard reads it: the record is only in the file that is gone.
        server.transact(OURS, &[touch(7)])?;
        server.compact()?;
        caught(&guard, "before it was compacted")?;
        server.kill();
        server.resume()?;
        server.transact(OURS, &[touch(8)])?;
        caught(&guard, "after a restart")?;
        server.transact(OURS, &[mine(8)])?;
        guard.check()?;
    }
    Ok(())
}

#[test]
fn what_was_before_the_guard_is_judged_where_it_is_asked_for() -> Result<()> {
    for server in northbounds()? {
        neutron(&server)?;
        let touch = json!(["map", [["x", "y"]]]);
        server.transact(OURS, &[edge("Logical_Router", "neutron-1", "options", "insert", &touch)])?;
        guard(&server)?.check()?;
        let all = Guard::of(cluster()).watch(Database::Northbound, "db", &[&server.file]).with_history();
        let said = all.start().err().context("not caught")?.to_string();
        ensure!(said.contains("neutron-1"), "{said}");
    }
    Ok(())
}

#[test]
fn what_went_by_unseen_is_said() -> Result<()> {
    for mut server in northbounds()? {
        neutron(&server)?;
        let guard = guard(&server)?;
        // Another file under the same name, written and compacted where the guard doesn't see it.
        server.kill();
        let hidden = server.file.with_extension("hidden");
        std::fs::copy(&server.file, &hidden)?;
        let mut other = server.at(&hidden)?;
        other.transact("theirs", &[insert("Logical_Switch", "s", json!({"name": "unseen"}))])?;
        other.compact()?;
        other.kill();
        std::fs::rename(&hidden, &server.file)?;
        let said = caught(&guard, "what went by unseen")?;
        ensure!(said.contains("unseen"), "{said}");
    }
    Ok(())
}
