//! Reads what the checks need. What can't be read is no failure here: the checks that need it say so.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tombolo_names::workloads::{AGENT, CENTRAL, CONTROLLER, HYPERVISOR, KUBE_OVN_LEASE, WEBHOOK};

use super::facts::{Facts, Host, Read, SCRIPT, name};
use super::raft::{self, Member};
use crate::database::servers::{Server, server, server_in};
use crate::database::{self, Database, deployment, servers};
use crate::kubectl::Kubectl;
use crate::node::Way;
use crate::rows::{Reader, Row};
use crate::{ipam, times};

/// For what is run on one node: up to [`PINGS`] pings of two seconds.
const DEADLINE: Duration = Duration::from_secs(120);
/// So many tunnel ends are asked from each node.
const PINGS: usize = 24;
/// Kube-OVN's controller of connected clusters.
const IC_CONTROLLER: &str = "ovn-ic-controller";
/// Between two looks at the members' terms.
const BETWEEN: Duration = Duration::from_secs(1);
/// So many nodes at a time.
const AT_ONCE: usize = 8;

/// Reads everything; nodes only if wanted.
pub fn gather(kubectl: &Kubectl, nodes: bool) -> Facts {
    let controller = said(database::controller(kubectl));
    let endpoints = |database| -> Read<Vec<String>> {
        said(deployment::endpoints(controller.as_ref().map_err(Clone::clone)?, database))
    };
    let workloads = items(kubectl, &["get", "deployments,daemonsets", "-n", kubectl.namespace()]);
    let mut facts = Facts {
        nb: endpoints(Database::Nb),
        sb: endpoints(Database::Sb),
        nodes: items(kubectl, &["get", "nodes"]),
        subnets: items(kubectl, &["get", "subnets.kubeovn.io"]),
        vpcs: items(kubectl, &["get", "vpcs.kubeovn.io"]),
        ips: items(kubectl, &["get", "ips.kubeovn.io"]),
        services: controller.map(|controller| database::flag(&controller, "--service-cluster-ip-range")),
        workloads: called(&workloads, &[CONTROLLER, AGENT, CENTRAL, HYPERVISOR]),
        rivals: called(&workloads, &[CONTROLLER, AGENT, IC_CONTROLLER]),
        kube_ovn_lease: said(kubectl.find(&["get", "lease", "-n", kubectl.namespace(), KUBE_OVN_LEASE])),
        now: times::now(),
        webhook: webhook(kubectl),
        cluster: said(ipam::cluster_id(kubectl)),
        ..Facts::default()
    };
    for database in [Database::Nb, Database::Sb] {
        facts.servers.extend(members(kubectl, database));
    }
    rows(kubectl, &mut facts);
    facts.hosts = if nodes {
        hosts(kubectl, &facts)
    } else {
        Err("nodes were not to be looked at (--no-nodes)".to_owned())
    };
    facts.terms = terms(kubectl, &facts);
    // Last: by now a chassis that lives has caught up with what was asked of it when SB_Global was read.
    facts.chassis_private = list(
        &said(Reader::of(kubectl, Database::Sb)),
        "Chassis_Private",
        &["name", "nb_cfg", "nb_cfg_timestamp"],
    );
    facts
}

/// The members' terms, a second apart: of those in pods, else of those on nodes.
fn terms(kubectl: &Kubectl, facts: &Facts) -> Vec<Member> {
    let pods = servers::pods(kubectl).unwrap_or_default();
    let look = |(database, pod): &(Database, &String)| -> Read<u64> {
        let status = said(servers::control(kubectl, pod, *database, "cluster/status"))?;
        raft::term(&status).ok_or_else(|| "its status has no term".to_owned())
    };
    let members: Vec<(Database, &String)> = [Database::Nb, Database::Sb]
        .into_iter()
        .flat_map(|database| pods.iter().map(move |pod| (database, pod)))
        .collect();
    let first: Vec<Read<u64>> = members.iter().map(look).collect();
    if !members.is_empty() {
        std::thread::sleep(BETWEEN);
    }
    let mut all = Vec::new();
    for (member, first) in members.iter().zip(first) {
        let terms = first.and_then(|first| Ok([first, look(member)?]));
        all.push(Member { database: member.0, at: format!("pod/{}", member.1), terms });
    }
    if pods.is_empty() {
        for (node, host) in facts.hosts.iter().flatten() {
            let here = host.iter().flat_map(|host| host.terms.iter().copied());
            all.extend(here.map(|(database, terms)| Member {
                database,
                at: format!("node/{node}"),
                terms: Ok(terms),
            }));
        }
    }
    all
}

fn said<T>(result: Result<T>) -> Read<T> {
    result.map_err(|error| format!("{error:#}"))
}

fn items(kubectl: &Kubectl, words: &[&str]) -> Read<Vec<Value>> {
    let list = said(kubectl.json(words))?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Those of these names.
fn called(workloads: &Read<Vec<Value>>, names: &[&str]) -> Read<Vec<Value>> {
    let all = workloads.as_ref().map_err(Clone::clone)?;
    Ok(all.iter().filter(|workload| names.contains(&name(workload))).cloned().collect())
}

fn webhook(kubectl: &Kubectl) -> Read<bool> {
    let kind = "validatingwebhookconfigurations.admissionregistration.k8s.io";
    said(kubectl.find(&["get", kind, WEBHOOK])).map(|found| found.is_some())
}

/// What each server says of itself: in its pod where it has one, else at the controller's endpoints.
fn members(kubectl: &Kubectl, database: Database) -> Vec<(Database, String, Read<Server>)> {
    let pods = servers::pods(kubectl).unwrap_or_default();
    if !pods.is_empty() {
        let ask = |pod: String| {
            let server = said(server_in(kubectl, &pod, database));
            (database, format!("pod/{pod}"), server)
        };
        return pods.into_iter().map(ask).collect();
    }
    let Ok(servers) = database::servers(kubectl, database) else { return Vec::new() };
    let ask =
        |endpoint: &String| (database, endpoint.clone(), said(server(endpoint, database, &servers.tls)));
    servers.endpoints.iter().map(ask).collect()
}

fn list(reader: &Read<Reader<'_>>, table: &str, columns: &[&str]) -> Read<Vec<Row>> {
    said(reader.as_ref().map_err(Clone::clone)?.list(table, columns))
}

fn rows(kubectl: &Kubectl, facts: &mut Facts) {
    let sb = said(Reader::of(kubectl, Database::Sb));
    let nb = said(Reader::of(kubectl, Database::Nb));
    facts.sb_global = list(&sb, "SB_Global", &["options", "nb_cfg"]);
    facts.chassis = list(&sb, "Chassis", &["name", "hostname", "encaps", "other_config", "external_ids"]);
    facts.encaps = list(&sb, "Encap", &["_uuid", "ip", "type", "chassis_name"]);
    facts.routers = list(&nb, "Logical_Router", &["name", "ports", "external_ids"]);
    let columns = ["_uuid", "name", "networks", "gateway_chassis", "ha_chassis_group", "external_ids"];
    facts.router_ports = list(&nb, "Logical_Router_Port", &columns);
    facts.switches = list(&nb, "Logical_Switch", &["name", "ports", "external_ids"]);
    facts.gateway_chassis = list(&nb, "Gateway_Chassis", &["_uuid", "chassis_name"]);
    facts.ha_groups = list(&nb, "HA_Chassis_Group", &["_uuid", "ha_chassis"]);
    facts.ha_chassis = list(&nb, "HA_Chassis", &["_uuid", "chassis_name"]);
    let ports = list(&nb, "Logical_Switch_Port", &["_uuid", "name", "type", "options"]);
    let of = |kind: &str| -> Read<Vec<Row>> {
        let all = ports.as_ref().map_err(Clone::clone)?;
        Ok(all.iter().filter(|port| port.text("type") == kind).cloned().collect())
    };
    (facts.localnets, facts.router_peers) = (of("localnet"), of("router"));
}

/// What each node says, some at a time.
fn hosts(kubectl: &Kubectl, facts: &Facts) -> Read<BTreeMap<String, Read<Host>>> {
    let nodes: Vec<String> =
        facts.nodes.as_ref().map_err(Clone::clone)?.iter().map(|node| name(node).to_owned()).collect();
    let ends: Vec<&str> =
        facts.encaps.as_deref().unwrap_or_default().iter().map(|encap| encap.text("ip")).collect();
    let mut all = BTreeMap::new();
    for some in nodes.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let started: Vec<_> =
                some.iter().map(|node| (node, scope.spawn(|| said(host(kubectl, node, &ends))))).collect();
            for (node, asked) in started {
                let host = asked.join().unwrap_or_else(|_| Err("looking at it failed".to_owned()));
                all.insert(node.clone(), host);
            }
        });
    }
    Ok(all)
}

fn host(kubectl: &Kubectl, node: &str, ends: &[&str]) -> Result<Host> {
    let asked: Vec<&str> = ends.iter().copied().take(PINGS).collect();
    let words: Vec<&str> = ["sh", "-c", SCRIPT, "ko"].into_iter().chain(asked.iter().copied()).collect();
    let text =
        Way::to(kubectl, node)?.capture(&words, DEADLINE)?.success(&format!("looking at node {node}"))?;
    Host::read(&String::from_utf8_lossy(&text), asked.len())
        .with_context(|| format!("reading what node {node} says"))
}
