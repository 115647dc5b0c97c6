//! The hazards of a shared northbound database, H1 to H13: what Kube-OVN's clean-ups do to rows that it doesn't know, each
//! with the kinds of rows it is about. All of them stand at once, beside rows of every table, through start, restart,
//! leader change, features switched on and off, deletions that a user tries, and uninstall. After each phase each row
//! must be what it was; the message names the hazard. The guard judges each transaction on the way.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use common::{Bed, Controller};
use serde_json::{Value, json};
use tombolo_foreign_rows::plant::Plant;
use tombolo_foreign_rows::wire;
use tombolo_needs::needs;
use tombolo_ovsdb::Schema;
use tombolo_testbed::eventually;

const SOON: Duration = Duration::from_secs(40);
const NB: &str = "OVN_Northbound";

/// The hazards' rows as they were planted, by what [`tombolo_foreign_rows::Guard::foreign`] calls them.
struct Hazards {
    names: BTreeMap<String, &'static str>,
    nb: BTreeMap<String, String>,
    sb: BTreeMap<String, String>,
}

fn map(pairs: &[(&str, &str)]) -> Value {
    json!(["map", pairs])
}

fn named(name: &str) -> Value {
    json!(["named-uuid", name])
}

fn set(names: &[&str]) -> Value {
    json!(["set", names.iter().map(|name| named(name)).collect::<Vec<_>>()])
}

/// (hazard, table, name within the transaction, row). `router` is the router that users attach to.
fn northbound() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    let id = "6ef1e6b7-04d3-4c62-9a39-0b1f6f9dbb11";
    let octavia =
        map(&[("enabled", "True"), ("octavia:ref_count", "1"), ("lr_ref", "neutron-r1"), ("ls_refs", "{}")]);
    let router = |name: &str| map(&[("neutron:router_name", name), ("neutron:revision_number", "3")]);
    let network = map(&[("neutron:network_name", "n"), ("neutron:mtu", "1442")]);
    let acl = |match_: &str, ids: Value| json!({"action": "drop", "direction": "to-lport", "match": match_, "priority": 1001, "tier": 0, "external_ids": ids});
    vec![
        ("H1 Octavia's load balancers", "Load_Balancer_Health_Check", "hc", json!({"vip": "10.0.0.9:80"})),
        (
            "H1 Octavia's load balancers",
            "Load_Balancer",
            "lb",
            json!({"name": id, "vips": map(&[("10.0.0.9:80", "10.0.0.5:80")]), "external_ids": octavia, "health_check": named("hc")}),
        ),
        (
            "H1 Octavia's load balancers",
            "Load_Balancer_Group",
            "lbg",
            json!({"name": "g", "load_balancer": named("lb")}),
        ),
        (
            "H3 switches and routers without a Subnet or Vpc",
            "Logical_Switch",
            "ls1",
            json!({"name": "neutron-n1", "external_ids": network, "ports": set(&["vm1", "vm2"]), "acls": named("acl1"), "load_balancer": named("lb")}),
        ),
        (
            "H3 switches and routers without a Subnet or Vpc",
            "Logical_Switch",
            "ls2",
            json!({"name": "lonely"}),
        ),
        (
            "H3 switches and routers without a Subnet or Vpc",
            "Logical_Switch",
            "ls3",
            json!({"name": "net9", "external_ids": map(&[("vendor", "kube-ovn")])}),
        ),
        (
            "H3 switches and routers without a Subnet or Vpc",
            "Logical_Router",
            "lr2",
            json!({"name": "lonely", "external_ids": map(&[("vendor", "kube-ovn")])}),
        ),
        (
            "H4 ports of VMs",
            "Logical_Switch_Port",
            "vm1",
            json!({"name": "f5f1ad0c-0ea8-4b0d-9f8c-2c8b3cbf6a11", "addresses": "fa:16:3e:00:00:11 10.0.0.5", "external_ids": map(&[("neutron:device_owner", "compute:nova")])}),
        ),
        (
            "H4 ports of VMs",
            "Logical_Switch_Port",
            "vm2",
            json!({"name": "gone.default", "external_ids": map(&[("vendor", "kube-ovn"), ("pod", "default/gone"), ("ls", "ovn-default")])}),
        ),
        (
            "H7 what others put on the router",
            "Logical_Router_Policy",
            "pol",
            json!({"priority": 30000, "match": "ip4.dst == 10.0.0.0/24", "action": "allow"}),
        ),
        (
            "H7 what others put on the router",
            "Logical_Router_Policy",
            "pol31",
            json!({"priority": 31000, "match": "ip4.dst == 12.0.1.0/24", "action": "allow", "external_ids": map(&[("vendor", "kube-ovn")])}),
        ),
        (
            "H7 what others put on the router",
            "Logical_Router_Static_Route",
            "rt",
            json!({"ip_prefix": "0.0.0.0/0", "nexthop": "203.0.113.1"}),
        ),
        ("H8 ACLs of tier 0", "ACL", "acl0", acl("outport == @neutron_pg_drop && ip", json!(["map", []]))),
        (
            "H8 ACLs of tier 0",
            "Port_Group",
            "pgd",
            json!({"name": "neutron_pg_drop", "ports": named("vm1"), "acls": named("acl0")}),
        ),
        (
            "H10 names and keys by which Kube-OVN adopts",
            "Port_Group",
            "pg1",
            json!({"name": "pg_with_sg", "external_ids": map(&[("sg", "default"), ("type", "security_group")])}),
        ),
        (
            "H10 names and keys by which Kube-OVN adopts",
            "Port_Group",
            "pg2",
            json!({"name": "ovn.sg.theirs", "ports": named("vm2"), "acls": named("acl2")}),
        ),
        (
            "H10 names and keys by which Kube-OVN adopts",
            "Address_Set",
            "as1",
            json!({"name": "ovn.sg.theirs.associated.v4", "addresses": "10.0.0.5"}),
        ),
        (
            "H10 names and keys by which Kube-OVN adopts",
            "Load_Balancer",
            "lbk",
            json!({"name": "cluster-tcp-loadbalancer"}),
        ),
        (
            "H10 names and keys by which Kube-OVN adopts",
            "Load_Balancer",
            "lbv",
            json!({"name": "vpc-neutron-r1-tcp-load"}),
        ),
        (
            "H11 NAT and gateway chassis without a tag",
            "NAT",
            "nat",
            json!({"type": "dnat_and_snat", "external_ip": "203.0.113.9", "logical_ip": "10.0.0.5"}),
        ),
        (
            "H11 NAT and gateway chassis without a tag",
            "NAT",
            "snat",
            json!({"type": "snat", "external_ip": "203.0.113.7", "logical_ip": "10.0.0.0/24"}),
        ),
        (
            "H11 NAT and gateway chassis without a tag",
            "Gateway_Chassis",
            "gc",
            json!({"name": "lrp-gw_host9", "chassis_name": "host9", "priority": 1}),
        ),
        (
            "H11 NAT and gateway chassis without a tag",
            "Logical_Router_Port",
            "gw",
            json!({"name": "lrp-gw", "mac": "fa:16:3e:00:00:21", "networks": "203.0.113.7/24", "gateway_chassis": named("gc")}),
        ),
        ("H12 ACLs without a parent", "ACL", "acl1", acl("ip4", json!(["map", []]))),
        ("H12 ACLs without a parent", "ACL", "acl2", acl("ip6", map(&[("vendor", "kube-ovn")]))),
        (
            "H13 router ports with a peer",
            "Logical_Router_Port",
            "peer1",
            json!({"name": "a-to-b", "mac": "fa:16:3e:00:00:22", "networks": "169.254.0.1/30", "peer": "b-to-a"}),
        ),
        (
            "H13 router ports with a peer",
            "Logical_Router_Port",
            "peer2",
            json!({"name": "b-to-a", "mac": "fa:16:3e:00:00:23", "networks": "169.254.0.2/30", "peer": "a-to-b", "external_ids": map(&[("vendor", "kube-ovn")])}),
        ),
        (
            "H13 router ports with a peer",
            "Logical_Router",
            "lra",
            json!({"name": "a", "ports": named("peer1")}),
        ),
        (
            "H13 router ports with a peer",
            "Logical_Router",
            "lrb",
            json!({"name": "b", "ports": named("peer2")}),
        ),
        (
            "H5 to H7, the router of a Vpc",
            "Logical_Router",
            "lr1",
            json!({"name": "neutron-r1", "external_ids": router("router1"), "ports": named("gw"), "nat": set(&["nat", "snat"]), "policies": set(&["pol", "pol31"]), "static_routes": named("rt"), "load_balancer": named("lb"), "options": map(&[("always_learn_from_arp_request", "false"), ("dynamic_neigh_routers", "true")])}),
        ),
        (
            "routers with names that no object can have",
            "Logical_Router",
            "bad1",
            json!({"name": "neutron-UPPER_case", "external_ids": router("x")}),
        ),
        (
            "routers with names that no object can have",
            "Logical_Router",
            "bad2",
            json!({"name": "neutron-\u{e9}\u{7}\n[", "external_ids": router("x")}),
        ),
        (
            "routers with names that no object can have",
            "Logical_Router",
            "bad3",
            json!({"name": "", "external_ids": router("x")}),
        ),
        (
            "two routers of one name",
            "Logical_Router",
            "twin1",
            json!({"name": "neutron-twin", "external_ids": router("one")}),
        ),
        (
            "two routers of one name",
            "Logical_Router",
            "twin2",
            json!({"name": "neutron-twin", "external_ids": router("two")}),
        ),
    ]
}

impl Hazards {
    fn plant(bed: &Bed) -> Result<Hazards> {
        let mut names = BTreeMap::new();
        let rows = northbound();
        let mut operations: Vec<Value> = rows
            .iter()
            .map(|(_, table, name, row)| json!({"op": "insert", "table": table, "uuid-name": name, "row": row}))
            .collect();
        // H9: what Neutron and its operator set for all.
        let options = map(&[
            ("use_logical_dp_groups", "true"),
            ("mac_prefix", "0a:01:02"),
            ("northd_probe_interval", "60000"),
        ]);
        let global = json!({"ipsec": true, "name": "site", "options": options, "external_ids": map(&[("neutron:x", "y")])});
        operations.push(json!({"op": "update", "table": "NB_Global", "where": [], "row": global}));
        let results = wire::transact(bed.nb.address(), NB, &operations).context("planting the hazards")?;
        let mut note = |table: &str, uuid: &str, hazard| names.insert(format!("{table} {uuid}"), hazard);
        for ((hazard, table, ..), result) in rows.iter().zip(&results) {
            note(table, result["uuid"][1].as_str().context("a uuid")?, *hazard);
        }
        // And a row in each table, whatever it means.
        let schema = Schema::parse(tombolo_ovn::nb::SCHEMA)?;
        let plant = Plant::all(&schema, 1);
        let once = ["NB_Global", "Connection", "SSL"];
        wire::transact(bed.nb.address(), NB, &plant.operations_for(|table| !once.contains(&table)))?;
        for table in schema.tables.keys() {
            note(table, &plant.uuid(table).context("planted")?.to_string(), "any row of somebody's");
        }
        // H2: hosts that are Nova's only.
        let sb = bed.sb.as_ref().context("an SB")?;
        let chassis = Plant::all(&sb.schema, 1);
        sb.transact("ovn-controller", &chassis.operations())?;
        let nova = json!({"op": "insert", "table": "Chassis", "row": {"name": "host9", "hostname": "nova9", "encaps": named("e")}});
        let encap = json!({"op": "insert", "table": "Encap", "uuid-name": "e", "row": {"type": "geneve", "ip": "172.31.0.9", "chassis_name": "host9"}});
        sb.transact("ovn-controller", &[encap, nova])?;
        Ok(Hazards { names, nb: bed.guard.foreign("NB")?, sb: bed.guard.foreign("SB")? })
    }

    /// Fails if a row isn't what it was.
    fn stand(&self, bed: &Bed, phase: &str) -> Result<()> {
        let wrong = |before: &BTreeMap<String, String>, after: &BTreeMap<String, String>| -> Vec<String> {
            let all: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            let differs = all.into_iter().filter(|key| before.get(*key) != after.get(*key));
            let hazard = |key: &String| {
                let known = self.names.get(key).copied();
                known.unwrap_or(if key.starts_with("NB_Global") {
                    "H9 options and ipsec"
                } else {
                    "a row of Neutron's"
                })
            };
            differs
                .map(|key| {
                    format!("{}: {key}\n  was {:?}\n  is {:?}", hazard(key), before.get(key), after.get(key))
                })
                .collect()
        };
        let mut said = wrong(&self.nb, &bed.guard.foreign("NB")?);
        let chassis = wrong(&self.sb, &bed.guard.foreign("SB")?);
        said.extend(chassis.into_iter().map(|text| format!("H2 chassis: {text}")));
        ensure!(said.is_empty(), "after {phase}:\n{}", said.join("\n"));
        println!("{} rows stand after {phase}", self.nb.len() + self.sb.len());
        Ok(())
    }
}

/// Waits until the controller has done all that is to do: it serves a pod made now.
fn serves(bed: &Bed, controller: &Controller, pod: &str) -> Result<()> {
    bed.pod("default", pod, "host1")?;
    bed.routed("default", pod).with_context(|| controller.log())?;
    Ok(())
}

fn leads(controller: &Controller, epoch: u32) -> Result<()> {
    let text = format!("leading with epoch {epoch}");
    eventually(&text, SOON, || Ok(controller.log().contains(&text).then_some(())))
        .with_context(|| controller.log())
}

fn ready(bed: &Bed, name: &str) -> Result<()> {
    eventually(&format!("Subnet {name} to be Ready"), SOON, || {
        let ready = bed.ready("subnet", name)?;
        ensure!(ready.status == "True", "{ready:?}");
        Ok(Some(()))
    })
}

// invariants 1 and 3
#[test]
fn hazards_h1_to_h13() -> Result<()> {
    let mut bed = needs!(Bed::start_newer()?);
    let (router, _) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    let hazards = Hazards::plant(&bed)?;
    bed.node("host1", "172.30.0.1")?;

    let mut a = Controller::start(&bed, "a", &[])?;
    leads(&a, 1)?;
    serves(&bed, &a, "start")?;
    hazards.stand(&bed, "start")?;

    bed.api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
    for (vpc, name, cidr) in [(router.as_str(), "net2", "12.0.1.0/24"), ("neutron-r1", "net3", "12.0.3.0/24")]
    {
        bed.give_net2(vpc)?;
        bed.subnet_of_net2(name, vpc, cidr)?;
        ready(&bed, name)?;
    }
    bed.pod_with("net2", "ubuntu", "host1", &json!({ "ovn.kubernetes.io/logical_switch": "net2" }))?;
    bed.routed("net2", "ubuntu")?;
    hazards.stand(&bed, "Subnets on Neutron's routers")?;

    ensure!(a.stop()?.success());
    let mut a = Controller::start(&bed, "a2", &[])?;
    leads(&a, 2)?;
    serves(&bed, &a, "restart")?;
    hazards.stand(&bed, "a restart")?;

    let mut b = Controller::start(&bed, "b", &[])?;
    a.kill();
    leads(&b, 3)?;
    serves(&bed, &b, "failover")?;
    hazards.stand(&bed, "a change of the leader")?;
    ensure!(b.stop()?.success());

    let mut epoch = 3;
    let mut switch = |flags: &[&str]| -> Result<Controller> {
        epoch += 1;
        let controller = Controller::start(&bed, &format!("c{epoch}"), flags)?;
        leads(&controller, epoch)?;
        serves(&bed, &controller, &format!("switched{epoch}"))?;
        hazards.stand(&bed, &format!("a start with {flags:?}"))?;
        Ok(controller)
    };
    for flag in ["--enable-external-vpc=false", "--external-vpc-selector=name=nobodys", "--enable-lb=false"] {
        ensure!(switch(&[flag])?.stop()?.success());
    }
    let mut c = switch(&[])?;

    // H5: a user deletes the Vpc of Neutron's router; H6: while the database is away.
    bed.api.kubectl(&["delete", "vpc", &router, "neutron-r1", "--wait=false"])?;
    serves(&bed, &c, "vpc-deleted")?;
    hazards.stand(&bed, "H5, a Vpc of Neutron's deleted")?;
    bed.nb.pause();
    bed.api.kubectl(&["delete", "vpc", &router, "--wait=false", "--ignore-not-found"])?;
    bed.nb.resume()?;
    serves(&bed, &c, "vpc-deleted-blind")?;
    hazards.stand(&bed, "H6, a Vpc deleted while the database was away")?;
    eventually("the Vpc to come back", SOON, || {
        bed.api.json(&["get", "vpc", &router]).map(|vpc| (vpc["status"]["standby"] == true).then_some(()))
    })?;

    // H7: the last Subnet of a router goes.
    bed.api.kubectl(&["delete", "pods", "--all", "-n", "net2", "--force", "--grace-period=0"])?;
    // H11 and H12, on rows of ours: another client's rows there would go with them, so ours stay until those are gone.
    let acl = json!({"action": "drop", "direction": "to-lport", "match": "ip4", "priority": 1});
    let chassis = json!({"name": "net3-host9", "chassis_name": "host9", "priority": 1});
    let hang = |mutator: &str, acl: Value, chassis: Value| {
        let mutate = |table: &str, name: &str, column: &str, child: Value| json!({"op": "mutate", "table": table, "where": [["name", "==", name]], "mutations": [[column, mutator, child]]});
        [
            mutate("Logical_Switch", "net2", "acls", acl),
            mutate("Logical_Router_Port", "neutron-r1-net3", "gateway_chassis", chassis),
        ]
    };
    let mut operations = vec![
        json!({"op": "insert", "table": "ACL", "uuid-name": "acl", "row": acl}),
        json!({"op": "insert", "table": "Gateway_Chassis", "uuid-name": "gc", "row": chassis}),
    ];
    operations.extend(hang("insert", named("acl"), named("gc")));
    let made = wire::transact(bed.nb.address(), NB, &operations)?;
    ensure!(made[2]["count"] == 1 && made[3]["count"] == 1, "{made:?}");
    bed.api.kubectl(&["delete", "subnet", "net2", "net3", "--wait=false"])?;
    for name in ["net2", "net3"] {
        eventually(&format!("Subnet {name} to say why it stays"), SOON, || {
            let subnet = bed.api.json(&["get", "subnet", name])?;
            Ok(subnet["status"]["conditions"].to_string().contains("HoldsForeignRows").then_some(()))
        })
        .with_context(|| c.log())?;
    }
    bed.guard.check()?;
    wire::transact(bed.nb.address(), NB, &hang("delete", made[0]["uuid"].clone(), made[1]["uuid"].clone()))?;
    bed.api.kubectl(&["wait", "--for=delete", "subnet/net2", "subnet/net3", "--timeout=60s"])?;
    serves(&bed, &c, "last-subnet")?;
    hazards.stand(&bed, "H7, the last Subnet of a router deleted")?;

    // Uninstall, in order, with the controller and then without.
    bed.api.kubectl(&["delete", "pods", "--all", "-n", "default", "--force", "--grace-period=0"])?;
    eventually("the pods' ports to go", SOON, || {
        let ips = bed.api.kubectl(&["get", "ip", "-o", "name"])?;
        Ok((!ips.contains(".default")).then_some(()))
    })?;
    bed.api.kubectl(&["delete", "node", "host1"])?;
    bed.api.kubectl(&["delete", "subnet", "ovn-default", "join", "--wait=false"])?;
    bed.api.kubectl(&["delete", "vpc", "--all", "--wait=false"])?;
    std::thread::sleep(Duration::from_secs(3));
    hazards.stand(&bed, "uninstall")?;
    ensure!(c.stop()?.success());
    hazards.stand(&bed, "the end")?;
    let seen = bed.guard.check()?;
    ensure!(seen.ours > 30, "the guard saw what was written: {seen:?}");
    Ok(())
}
