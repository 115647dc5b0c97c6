//! Subnets: a switch, and a pair of ports that connects it to its Vpc's router. On a router of Neutron's that
//! port is all there is (invariant 3).

mod in_use;

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_api::defaults::{Defaults, subnet_defaults};
use tombolo_api::validate::{self, SubnetContext};
use tombolo_api::{Condition, IpCount, Subnet, SubnetSpec, SubnetStatus, condition};
use tombolo_names::Reason;
use tombolo_net::{Cidr, DualCidr, Family, IfAddr, Mac};
use tombolo_neutron as neutron;
use tombolo_ovn::nb::{
    LogicalRouter, LogicalRouterPolicy, LogicalRouterPort, LogicalRouterStaticRoute, LogicalSwitch,
    LogicalSwitchPort,
};
use tombolo_ovsdb::Uuid;

use crate::config::Config;
use crate::desired::{DesiredRow, Edge, Kind, Managed, Plan, Problem, Rows};
use crate::nb::{self, table};
use crate::owner::{ClusterId, Owner, OwnerKind};
use crate::row::{child_ids, external_ids, keys, string, strings};
use crate::vpc_kind::VpcKind;
use crate::vpc_neutron;
use crate::world::{Established, Net, SPEC_KEY, SubnetEntry, World, net_of};
use crate::write;

/// Name of the router's port to a subnet, as Kube-OVN names it.
#[must_use]
pub fn router_port_name(vpc: &str, subnet: &str) -> String {
    format!("{vpc}-{subnet}")
}

/// Name of the switch's port to its router, as Kube-OVN names it.
#[must_use]
pub fn switch_port_name(subnet: &str, vpc: &str) -> String {
    format!("{subnet}-{vpc}")
}

/// MAC of the router in a subnet. Always the same for the same cluster and name.
#[must_use]
pub fn gateway_mac(cluster: &ClusterId, subnet: &str) -> Mac {
    Mac::from_seed_bytes(format!("{}\nsubnet/{subnet}", cluster.as_str()).as_bytes())
}

/// The row of a subnet's switch.
#[must_use]
pub fn switch_uuid(cluster: &ClusterId, subnet: &str) -> Uuid {
    cluster.row_uuid(table::SWITCH, &Owner::subnet(subnet), "switch")
}

/// Whether the switch of a subnet stands and is ours.
#[must_use]
pub fn is_established(world: &World, subnet: &str) -> bool {
    let cluster = &world.config().cluster;
    world
        .nb()
        .row(table::SWITCH, &switch_uuid(cluster, subnet))
        .is_some_and(|row| nb::ownership(cluster, row) == nb::Ownership::Ours(Owner::subnet(subnet)))
}

/// Reads a Subnet: defaults filled in, texts parsed, and what is wrong with it by itself.
pub(crate) fn read(config: &Config, object: Arc<Subnet>) -> SubnetEntry {
    let name = object.metadata.name.clone().unwrap_or_default();
    let defaults = Defaults {
        default_vpc: config.cluster_router.clone(),
        default_subnet: config.default_subnet.clone(),
        join_subnet: config.join_subnet.clone(),
        enable_lb: config.enable_lb,
    };
    let spec = subnet_defaults(&name, &object.spec, &defaults);
    let net = net_of(&spec);
    SubnetEntry { object, spec, net, problems: Vec::new() }
}

/// What should stand of a Subnet.
pub fn plan(world: &World, name: &str) -> Plan {
    let owner = Owner::subnet(name);
    let Some(entry) = world.subnets().get(name) else {
        // Ports of pods still on the switch hold it: they go first, each with its own owner.
        let explained = world.is_seen_deleted(&owner);
        return Plan { rows: Some(Rows::none()), explained, ..Plan::default() };
    };
    if entry.is_terminating() {
        return terminating(world, name, entry);
    }
    let mut plan = Plan::default();
    let meta = &entry.object.metadata;
    let mut problems = problems(world, name, &entry.spec, entry.net.as_ref(), entry, false);
    let refused = validate::refused(&problems);
    // Nothing is written back into a spec that is refused: its user is to change it, and a default of the old
    // network (its gateway) would be in the way of the new one.
    if !refused {
        plan.before.extend(write::merged([
            write::spec(Kind::Subnet, meta, &entry.object.spec, &entry.spec),
            write::finalizer(Kind::Subnet, meta, true),
        ]));
    }
    place(world, name, entry, refused, &mut plan);
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    for problem in problems {
        plan.problem(problem.reason, problem.message);
    }
    plan.problems.extend(vpc_neutron::troubles(world, name));
    if plan.waits_for.is_none() {
        plan.after.extend(report(world, name, entry, &plan.problems, refused));
    }
    plan
}

/// The rows: of the wish, or, where that is refused, of what is in effect (invariant 11). Without either, and where
/// what is in effect has come into a conflict, what stands stays as it is: taking the port away would cut pods off
/// for a typo, and putting it back could cut off somebody else.
fn place(world: &World, name: &str, entry: &SubnetEntry, refused: bool, plan: &mut Plan) {
    let established = world.established(name);
    let accepted = match (&entry.net, refused) {
        (Some(net), false) => Some((&entry.spec, net)),
        _ => established
            .filter(|it| it.spec != entry.spec)
            .map(|it| (&it.spec, &it.net))
            .filter(|(spec, net)| !validate::refused(&problems(world, name, spec, Some(net), entry, false))),
    };
    let candidate = accepted.map(|(spec, _)| spec).or(established.map(|it| &it.spec));
    let Some(spec) = candidate else { return };
    let kind = world.vpc_kind(&spec.vpc);
    if kind == VpcKind::Neutron(None) {
        if vpc_neutron::is_hidden(world, &spec.vpc) {
            return; // what stands on a router that the operator has since hidden stays
        }
        // The router was deleted under us: its port went with it, ours would dangle. Pods keep their
        // addresses and their switch. One that stands elsewhere stays there until it can move.
        let owner = Owner::subnet(name);
        let stands_elsewhere = nb::owns(world.nb(), &world.config().cluster, table::ROUTER_PORT, &owner);
        if let Some(established) = established.filter(|_| is_established(world, name) && !stands_elsewhere) {
            plan.explained = true; // what the port led to is gone
            plan.rows =
                Some(Rows { rows: vec![switch_row(world, name, &established.spec)], ..Rows::default() });
        }
        return;
    }
    let Some((spec, net)) = accepted else { return };
    match router_uuid(world, &spec.vpc, kind) {
        Some(uuid) => {
            // The object is there and says itself where its port is to be: many may move at once.
            plan.explained = true;
            plan.rows = Some(rows(world, name, spec, net, uuid, kind));
        }
        None => plan.waits_for = Some(Owner::vpc(&spec.vpc)),
    }
}

fn terminating(world: &World, name: &str, entry: &SubnetEntry) -> Plan {
    let mut plan = Plan { explained: true, ..Plan::default() };
    let users: Vec<&str> = world.ips_of_subnet(name).collect();
    if let Some(first) = users.first() {
        let message = format!(
            "{} addresses are in use, the first by {first}; the Subnet goes when the last one is released",
            users.len()
        );
        // The way of things, not a fault: told by the condition, not by a warning.
        let problem = Problem { reason: Reason::InUse, message };
        plan.after.extend(report(world, name, entry, std::slice::from_ref(&problem), false));
        return plan;
    }
    plan.rows = Some(Rows::none());
    plan.after.extend(write::finalizer(Kind::Subnet, &entry.object.metadata, false));
    plan
}

/// What is wrong with a Subnet that is to be stored. Other Subnets come first, whoever is older.
pub(crate) fn problems_of_newcomer(world: &World, name: &str, entry: &SubnetEntry) -> Vec<validate::Problem> {
    problems(world, name, &entry.spec, entry.net.as_ref(), entry, true)
}

/// What is wrong with a spec by itself and in its Vpc, whatever other Subnets have.
fn problems_alone(world: &World, name: &str, spec: &SubnetSpec, kind: VpcKind) -> Vec<validate::Problem> {
    let config = world.config();
    let context = SubnetContext {
        default_vpc: config.cluster_router.clone(),
        services: world.service_networks(),
        nodes: match spec.cidr_block.parse::<DualCidr>() {
            Ok(cidr) if kind.is_default() => world
                .nodes()
                .iter()
                .flat_map(|(node, object)| object.internal_ips().map(move |ip| (node, ip)))
                .filter(|(_, ip)| cidr.contains(*ip))
                .map(|(node, ip)| (node.clone(), ip))
                .collect(),
            _ => Vec::new(),
        },
    };
    let mut found = validate::subnet(name, spec, &context);
    found.extend(validate::subnet_limits(spec, kind.place()));
    let vpc = world.vpcs().get(&spec.vpc).map(|vpc| &**vpc);
    if kind == VpcKind::Neutron(None) && vpc.is_some() {
        let why = match vpc_neutron::is_hidden(world, &spec.vpc) {
            true => "kept from this cluster by --external-vpc-selector or --enable-external-vpc",
            false => "not in OpenStack (any more)",
        };
        found.push(validate::Problem::refuse(
            "spec.vpc",
            Reason::VpcNotReady,
            format!("the router of Vpc {} is {why}; set spec.vpc to another one", spec.vpc),
        ));
    } else {
        // That the Vpc's own status lags behind its router is no fault of the user's, and the default Vpc is ours
        // to make.
        let reported = || vpc.and_then(|vpc| vpc.status.as_ref()).is_some_and(|status| status.standby);
        let standby = kind.is_default() || kind.neutron_router().is_some() || reported();
        if vpc.is_some() || !kind.is_default() {
            let vpc = vpc.map(|vpc| &vpc.spec);
            found.extend(validate::subnet_in_vpc(spec, vpc, standby, &config.cluster_router));
        }
    }
    found
}

/// Everything that is wrong with a spec of this Subnet (its wish, or what is in effect), with what it means.
fn problems(
    world: &World,
    name: &str,
    spec: &SubnetSpec,
    net: Option<&Net>,
    entry: &SubnetEntry,
    newcomer: bool,
) -> Vec<validate::Problem> {
    let kind = world.vpc_kind(&spec.vpc);
    let mut found = problems_alone(world, name, spec, kind);
    let annotations = entry.object.metadata.annotations.as_ref();
    found.extend(validate::annotation_limits(&validate::UNSERVED_ON_SUBNETS, annotations));
    if let Some(net) = net {
        let taken = taken(world, name, spec, net, entry, kind, newcomer);
        found.extend(validate::overlaps(net.cidr, taken.iter().map(|(whose, cidr)| (whose.as_str(), *cidr))));
        found.extend(in_use::problems(world, name, net));
        found.extend(validate::subnet_annotations(annotations, net.cidr, &net.gateways).1);
    }
    found
}

/// The networks this one must not overlap, with words for whose they are. What a port of ours on the router bears is
/// taken, whatever its Subnet would rather have by now. Of two Subnets without such a port, the one whose switch
/// stands comes first, then the older one; one that is yet to be admitted (`newcomer`) comes after all others.
fn taken(
    world: &World,
    name: &str,
    spec: &SubnetSpec,
    net: &Net,
    entry: &SubnetEntry,
    kind: VpcKind,
    newcomer: bool,
) -> Vec<(String, Cidr)> {
    let mut taken = Vec::new();
    let router = router_uuid(world, &spec.vpc, kind);
    let Standing { ours, others } = overlapping_ports(world, router, net.cidr);
    let age = |entry: &SubnetEntry, name: &str| {
        (entry.object.metadata.creation_timestamp.as_ref().map(|t| t.0), name.to_owned())
    };
    let (holds_own, stands) = (!newcomer && holds(world, router, name, net), is_established(world, name));
    for (other, cidrs) in ours.iter().filter(|(other, _)| *other != name) {
        let older = || world.subnets().get(other).is_some_and(|it| age(it, other) < age(entry, name));
        if !holds_own || older() {
            taken.extend(cidrs.iter().map(|cidr| (format!("Subnet {other}"), *cidr)));
        }
    }
    for other in world.wished_in(&spec.vpc, net.cidr).into_iter().filter(|other| *other != name) {
        let Some((other_entry, theirs)) = world.subnets().get(other).and_then(|e| Some((e, e.net.as_ref()?)))
        else {
            continue;
        };
        if holds(world, router, other, theirs) {
            continue; // its port has been looked at
        }
        let first = match (is_established(world, other), stands) {
            _ if newcomer => true,
            _ if holds_own => false,
            (true, false) => true,
            (false, true) => false,
            _ => age(other_entry, other) < age(entry, name),
        };
        // A wish that is refused by itself, or for what stands, is in nobody's way.
        let vain = || {
            validate::refused(&problems_alone(world, other, &other_entry.spec, kind))
                || overlapping_ports(world, router, theirs.cidr)
                    .ours
                    .keys()
                    .any(|third| third != other && third != name)
                || !in_use::problems(world, other, theirs).is_empty()
        };
        if first && !vain() {
            taken.extend(theirs.cidr.iter().map(|cidr| (format!("Subnet {other}"), cidr)));
        }
    }
    if kind.is_neutron() {
        taken.extend(others);
    }
    taken
}

/// Networks of a router's ports.
struct Standing {
    /// Of our Subnets' ports, by Subnet.
    ours: BTreeMap<String, Vec<Cidr>>,
    /// Of Neutron's and anybody else's, with words for whose they are.
    others: Vec<(String, Cidr)>,
}

/// The ports on a router whose networks overlap this one.
fn overlapping_ports(world: &World, router: Option<Uuid>, cidr: DualCidr) -> Standing {
    let mut ours: BTreeMap<String, Vec<Cidr>> = BTreeMap::new();
    let mut others = BTreeMap::new();
    for port in router.into_iter().flat_map(|router| world.ports_on(router, cidr)) {
        let Some(row) = world.nb().row(table::ROUTER_PORT, &port) else { continue };
        match nb::ownership(&world.config().cluster, row) {
            nb::Ownership::Ours(owner) if owner.kind == OwnerKind::Subnet => {
                ours.entry(owner.name.to_string()).or_default().extend(neutron::cidrs(row));
            }
            nb::Ownership::Ours(_) => {}
            nb::Ownership::Foreign | nb::Ownership::Orphan => {
                let port_name = row.str("name").unwrap_or_default();
                let whose = match neutron::network_of(row) {
                    Some(switch) => match neutron::network_display_name(world.nb(), switch) {
                        Some(display) => format!("Neutron's network {display:?}"),
                        None => format!("Neutron's network {switch}"),
                    },
                    None => format!("the router port {port_name}"),
                };
                others.insert((port_name, port), neutron::cidrs(row).map(move |it| (whose.clone(), it)));
            }
        }
    }
    Standing { ours, others: others.into_values().flatten().collect() }
}

/// Whether a port of the Subnet on this router bears the whole network.
fn holds(world: &World, router: Option<Uuid>, name: &str, net: &Net) -> bool {
    let cluster = &world.config().cluster;
    let ports = nb::owned(world.nb(), cluster, table::ROUTER_PORT, &Owner::subnet(name));
    let on_it = ports.into_iter().filter(|(port, _)| router.is_some_and(|it| world.is_on(*port, it)));
    let cidrs: Vec<Cidr> = on_it.flat_map(|(_, row)| neutron::cidrs(row)).collect();
    net.cidr.iter().all(|it| cidrs.contains(&it))
}

/// The router's row: Neutron's, or that of the default Vpc once it stands.
fn router_uuid(world: &World, vpc: &str, kind: VpcKind) -> Option<Uuid> {
    kind.neutron_router().or_else(|| {
        let uuid = world.config().cluster.row_uuid(table::ROUTER, &Owner::vpc(vpc), "router");
        world.nb().row(table::ROUTER, &uuid).map(|_| uuid)
    })
}

fn switch_row(world: &World, name: &str, spec: &SubnetSpec) -> DesiredRow {
    let cluster = &world.config().cluster;
    DesiredRow {
        table: table::SWITCH,
        uuid: switch_uuid(cluster, name),
        columns: [
            (LogicalSwitch::NAME, string(name)),
            (
                LogicalSwitch::EXTERNAL_IDS,
                Managed::Keys(external_ids(
                    cluster,
                    &Owner::subnet(name),
                    [(SPEC_KEY, Established::text(spec).as_str())],
                )),
            ),
        ]
        .into(),
        edge: None,
    }
}

fn rows(world: &World, name: &str, spec: &SubnetSpec, net: &Net, router: Uuid, kind: VpcKind) -> Rows {
    let cluster = &world.config().cluster;
    let owner = Owner::subnet(name);
    let vpc = spec.vpc.as_str();
    let mac = gateway_mac(cluster, name).to_kube_ovn();
    let switch = switch_row(world, name, spec);
    let switch_uuid = switch.uuid;
    let mut rows = vec![switch];
    let port = router_port_name(vpc, name);
    let networks = net.gateways.iter().filter_map(|gateway| {
        Some(IfAddr::within(*gateway, net.cidr.of(Family::of(*gateway))?)?.to_string())
    });
    rows.push(DesiredRow {
        table: table::ROUTER_PORT,
        uuid: cluster.row_uuid(table::ROUTER_PORT, &owner, &format!("port/{vpc}")),
        columns: [
            (LogicalRouterPort::NAME, string(&port)),
            (LogicalRouterPort::MAC, string(&mac)),
            (LogicalRouterPort::NETWORKS, strings(networks)),
            (
                LogicalRouterPort::EXTERNAL_IDS,
                child_ids(cluster, &owner, router, [("lr", vpc), ("ls", name)]),
            ),
        ]
        .into(),
        edge: Some(Edge { table: table::ROUTER, parent: router, column: LogicalRouter::PORTS }),
    });
    rows.push(DesiredRow {
        table: table::SWITCH_PORT,
        uuid: cluster.row_uuid(table::SWITCH_PORT, &owner, &format!("port/{vpc}")),
        columns: [
            (LogicalSwitchPort::NAME, string(&switch_port_name(name, vpc))),
            (LogicalSwitchPort::TYPE, string("router")),
            (LogicalSwitchPort::ADDRESSES, strings([mac])),
            (LogicalSwitchPort::OPTIONS, keys([("router-port", &port)])),
            (
                LogicalSwitchPort::EXTERNAL_IDS,
                child_ids(cluster, &owner, switch_uuid, [("ls", name), ("lr", vpc)]),
            ),
        ]
        .into(),
        edge: Some(Edge { table: table::SWITCH, parent: switch_uuid, column: LogicalSwitch::PORTS }),
    });
    if !kind.is_neutron() {
        rows.extend(routing(world, name, net, router));
    }
    Rows { rows, ..Rows::default() }
}

/// On a router of our own: traffic to the subnet is never rerouted to a node (Kube-OVN's priority 31000), and
/// the join subnet carries the default route, so that the policies that reroute are reached.
fn routing(world: &World, name: &str, net: &Net, router: Uuid) -> Vec<DesiredRow> {
    let cluster = &world.config().cluster;
    let owner = Owner::subnet(name);
    let mut rows = Vec::new();
    for cidr in net.cidr.iter() {
        let family = cidr.family();
        let word = if family == Family::V4 { "ip4" } else { "ip6" };
        rows.push(DesiredRow {
            table: table::POLICY,
            uuid: cluster.row_uuid(table::POLICY, &owner, &format!("allow/{word}")),
            columns: [
                (LogicalRouterPolicy::PRIORITY, Managed::Whole(tombolo_ovsdb::Datum::integer(31_000))),
                (LogicalRouterPolicy::MATCH, string(&format!("{word}.dst == {cidr}"))),
                (LogicalRouterPolicy::ACTION, string("allow")),
                (LogicalRouterPolicy::EXTERNAL_IDS, child_ids(cluster, &owner, router, [("subnet", name)])),
            ]
            .into(),
            edge: Some(Edge { table: table::ROUTER, parent: router, column: LogicalRouter::POLICIES }),
        });
        let gateway = net.gateways.iter().find(|gateway| Family::of(**gateway) == family);
        if let Some(gateway) = gateway.filter(|_| name == world.config().join_subnet) {
            let everything = if family == Family::V4 { "0.0.0.0/0" } else { "::/0" };
            rows.push(DesiredRow {
                table: table::STATIC_ROUTE,
                uuid: cluster.row_uuid(table::STATIC_ROUTE, &owner, &format!("default/{word}")),
                columns: [
                    (LogicalRouterStaticRoute::IP_PREFIX, string(everything)),
                    (LogicalRouterStaticRoute::NEXTHOP, string(&gateway.to_string())),
                    (LogicalRouterStaticRoute::EXTERNAL_IDS, child_ids(cluster, &owner, router, [])),
                ]
                .into(),
                edge: Some(Edge {
                    table: table::ROUTER,
                    parent: router,
                    column: LogicalRouter::STATIC_ROUTES,
                }),
            });
        }
    }
    rows
}

fn report(
    world: &World,
    name: &str,
    entry: &SubnetEntry,
    problems: &[Problem],
    refused: bool,
) -> Option<crate::desired::Intent> {
    let object = &entry.object;
    let mut status = object.status.clone().unwrap_or_default();
    let text = problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>().join("; ");
    let first = problems.first();
    let ready = match first {
        Some(problem) if refused || vpc_neutron::is_trouble(problem) || !is_established(world, name) => {
            Condition::new(condition::READY, false, problem.reason, &*text)
        }
        Some(problem) => Condition::new(condition::READY, true, problem.reason, &*text),
        None => Condition::new(condition::READY, true, Reason::ReconcileLogicalSwitchSuccess, ""),
    };
    let validated = match first {
        Some(problem) if refused => Condition::new(condition::VALIDATED, false, problem.reason, &*text),
        _ => Condition::new(condition::VALIDATED, true, Reason::ValidateLogicalSwitchSuccess, ""),
    };
    for mut new in [ready, validated] {
        new.observed_generation = object.metadata.generation;
        condition::set(&mut status.conditions, new, world.now());
    }
    count(world, name, &mut status);
    write::status(Kind::Subnet, &object.metadata, object.status.as_ref(), &status)
}

/// The report that the rows are refused: by what stands in the database, or by the database itself.
pub(crate) fn refused(world: &World, name: &str, problem: &Problem) -> Option<crate::desired::Intent> {
    let entry = world.subnets().get(name)?;
    report(world, name, entry, std::slice::from_ref(problem), true)
}

/// How many addresses are in use and left.
fn count(world: &World, name: &str, status: &mut SubnetStatus) {
    let Some(pool) = world.pool(name) else { return };
    let numbers = |family| {
        pool.pool(family).map_or(
            (IpCount::default(), String::new(), IpCount::default(), String::new()),
            |pool| {
                (
                    IpCount::from(pool.available()),
                    pool.available_ranges(),
                    IpCount::from(pool.using()),
                    pool.using_ranges(),
                )
            },
        )
    };
    let (available, available_range, using, using_range) = numbers(Family::V4);
    status.v4_available_ips = available;
    status.v4_available_ip_range = available_range;
    status.v4_using_ips = using;
    status.v4_using_ip_range = using_range;
    let (available, available_range, using, using_range) = numbers(Family::V6);
    status.v6_available_ips = available;
    status.v6_available_ip_range = available_range;
    status.v6_using_ips = using;
    status.v6_using_ip_range = using_range;
}
