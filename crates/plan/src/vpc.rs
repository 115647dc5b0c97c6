//! Vpcs: the default one is a router of ours; those of Neutron's routers are a view of them and nothing
//! more (invariant 3): whatever is done to the Vpc, the router stays.

use serde_json::json;
use tombolo_api::annotations::VPC_EXTERNAL;
use tombolo_api::defaults::is_ovn_provider;
use tombolo_api::{
    Condition, JoinNetwork, NeutronNetworkStatus, NeutronRouterStatus, NodeNetwork, NodeNetworks, Vpc,
    VpcSpec, VpcStatus, condition, validate,
};
use tombolo_names::Reason;
use tombolo_neutron::{self as neutron, Router};
use tombolo_ovn::nb::LogicalRouter;
use tombolo_ovsdb::Uuid;

use crate::desired::{DesiredRow, Intent, Kind, Managed, Plan, Problem, Rows};
use crate::nb::{self, table};
use crate::owner::Owner;
use crate::row::{external_ids, keys, string};
use crate::vpc_kind::is_labeled;
use crate::vpc_neutron;
use crate::world::World;
use crate::write;

const AMBIGUOUS: &str = "several routers in OVN have this name; rename or delete all but one";

/// What should stand of a Vpc.
pub fn plan(world: &World, name: &str) -> Plan {
    let object = world.vpcs().get(name);
    if name == world.config().cluster_router {
        return default_vpc(world, name, object);
    }
    match (vpc_neutron::router(world, name), object) {
        (Some(router), None) => announce(&router),
        (Some(router), Some(vpc)) => external(world, vpc, &router),
        (None, Some(vpc)) if is_labeled(vpc) => without_router(world, vpc),
        (None, Some(vpc)) => custom(world, vpc),
        (None, None) => not_shown(world, name),
    }
}

/// Without object, and without a router that one could show. That a router of Neutron's is left out for its name is
/// said; nobody has an object to look at.
fn not_shown(world: &World, name: &str) -> Plan {
    let mut plan = Plan { rows: Some(Rows::none()), ..Plan::default() };
    let named = nb::named(world.nb(), table::ROUTER, name);
    if !world.config().external_vpcs || !named.iter().any(|(_, row)| neutron::is_router(row)) {
        return plan;
    }
    if !validate::is_object_name(name) {
        plan.problem(
            Reason::RouterNameUnusable,
            "the router's name can't be the name of a Vpc, so it is not shown; Neutron names routers neutron-<uuid>",
        );
    } else if named.len() > 1 {
        plan.problem(Reason::RouterNameAmbiguous, AMBIGUOUS);
    }
    plan
}

/// A router that no Vpc shows yet.
fn announce(router: &Router) -> Plan {
    let object = json!({
        "apiVersion": "kubeovn.io/v1", "kind": "Vpc",
        "metadata": { "name": router.name, "labels": { VPC_EXTERNAL: "true" } },
        "spec": VpcSpec::default(),
    });
    Plan { before: vec![write::create(Kind::Vpc, &router.name, object)], ..Plan::default() }
}

/// The switches on a router, ours and Neutron's, sorted.
fn attached(world: &World, router: Uuid, neutron: Vec<String>) -> Vec<String> {
    let mut names = neutron;
    names.extend(world.subnets_on(router).map(str::to_owned));
    names.sort_unstable();
    names.dedup();
    names
}

fn report(world: &World, vpc: &Vpc, plan: &mut Plan, mut status: VpcStatus, conditions: Vec<Condition>) {
    for new in conditions {
        condition::set(&mut status.conditions, new, world.now());
    }
    plan.after.extend(write::status(Kind::Vpc, &vpc.metadata, vpc.status.as_ref(), &status));
}

/// Whether all of the spec can be honored; what can't is told as Events too.
fn validated(vpc: &Vpc, place: validate::Place, plan: &mut Plan) -> Condition {
    let name = vpc.metadata.name.as_deref().unwrap_or_default();
    let mut problems = validate::vpc(name, &vpc.spec, place == validate::Place::NeutronRouter);
    problems.extend(validate::vpc_limits(&vpc.spec, place));
    let annotations = vpc.metadata.annotations.as_ref();
    problems.extend(validate::annotation_limits(&validate::UNSERVED_ON_VPCS, annotations));
    let mut condition = match validate::summary(&problems) {
        None => Condition::new(condition::VALIDATED, true, Reason::ValidateVpcSuccess, ""),
        Some((reason, text)) => Condition::new(condition::VALIDATED, false, reason, text),
    };
    for problem in problems {
        plan.problem(problem.reason, problem.message);
    }
    condition.observed_generation = vpc.metadata.generation;
    condition
}

/// A Vpc whose router is there.
fn external(world: &World, vpc: &Vpc, router: &Router) -> Plan {
    let mut plan = Plan { rows: Some(Rows::none()), ..Plan::default() };
    if vpc.metadata.deletion_timestamp.is_some() {
        // A finalizer of Kube-OVN's would hold it for ever; it is taken away before anybody deletes the object, and here
        // if that was faster. The object comes back from the router.
        plan.after.extend(write::finalizer(Kind::Vpc, &vpc.metadata, false));
        return plan;
    }
    plan.before.extend(write::merged([
        write::labels(Kind::Vpc, &vpc.metadata, &[(VPC_EXTERNAL, "true")]),
        write::finalizer(Kind::Vpc, &vpc.metadata, false),
    ]));
    let checked = validated(vpc, validate::Place::NeutronRouter, &mut plan);
    let old = vpc.status.clone().unwrap_or_default();
    let status = VpcStatus {
        conditions: old.conditions,
        standby: true,
        default_logical_switch: default_switch(world, vpc),
        router: router.name.clone(),
        subnets: attached(world, router.uuid, router.networks()),
        neutron: Some(neutron_status(world, router)),
        ..VpcStatus::default()
    };
    let ready = health(world, &router.name, router, &mut plan);
    report(world, vpc, &mut plan, status, vec![ready, checked]);
    plan
}

/// Whether Neutron's router does its work; a route that only some addresses miss is told all the same.
fn health(world: &World, name: &str, router: &Router, plan: &mut Plan) -> Condition {
    let troubles = vpc_neutron::troubles_of_vpc(world, name);
    let text = troubles.iter().map(|trouble| trouble.message.as_str()).collect::<Vec<_>>().join("; ");
    let ready = match troubles.first() {
        None => Condition::new(condition::READY, true, Reason::RouterFound, ""),
        Some(first) => Condition::new(condition::READY, router.enabled, first.reason, text),
    };
    plan.problems.extend(troubles);
    ready
}

/// `spec.defaultSubnet`, if it is a Subnet of this Vpc.
fn default_switch(world: &World, vpc: &Vpc) -> String {
    let name = vpc.metadata.name.as_deref().unwrap_or_default();
    let is_one = world.subnets_of_vpc(name).any(|subnet| subnet == vpc.spec.default_subnet);
    if is_one { vpc.spec.default_subnet.clone() } else { String::new() }
}

fn neutron_status(world: &World, router: &Router) -> NeutronRouterStatus {
    let networks = router.networks().into_iter().map(|switch| {
        let ports: Vec<_> =
            router.ports.iter().filter(|port| port.network.as_ref() == Some(&switch)).collect();
        let mut cidrs: Vec<String> =
            ports.iter().flat_map(|port| port.cidrs()).map(|c| c.to_string()).collect();
        cidrs.sort_unstable();
        NeutronNetworkStatus {
            name: neutron::network_display_name(world.nb(), &switch).unwrap_or_default(),
            mtu: neutron::network_mtu(world.nb(), &switch).unwrap_or_default(),
            external_gateway: ports.iter().any(|port| port.gateway),
            cidrs,
            switch,
        }
    });
    NeutronRouterStatus {
        id: router.name.strip_prefix("neutron-").unwrap_or(&router.name).to_owned(),
        name: router.display_name.clone(),
        networks: networks.collect(),
    }
}

/// A Vpc of a router that isn't there (any more). What the user wrote on it is kept for a while.
fn without_router(world: &World, vpc: &Vpc) -> Plan {
    let mut plan = Plan { rows: Some(Rows::none()), ..Plan::default() };
    let name = vpc.metadata.name.as_deref().unwrap_or_default();
    if vpc.metadata.deletion_timestamp.is_some() {
        plan.after.extend(write::finalizer(Kind::Vpc, &vpc.metadata, false));
        return plan;
    }
    plan.before.extend(write::finalizer(Kind::Vpc, &vpc.metadata, false));
    let intent = vpc.spec != VpcSpec::default() || world.subnets_of_vpc(name).next().is_some();
    if !intent {
        plan.after.push(write::delete(Kind::Vpc, &vpc.metadata));
        return plan;
    }
    let old = vpc.status.clone().unwrap_or_default();
    let (reason, message) = match neutron::routers_named(world.nb(), name) {
        0 => (
            Reason::RouterNotFound,
            "there is no such router in OVN (any more); re-home the Subnets to another Vpc by spec.vpc, or delete this \
             Vpc. If OpenStack still has the router, `neutron-ovn-db-sync-util --ovn-neutron_sync_mode=repair` brings \
             it back",
        ),
        1 => (
            Reason::RouterNotShown,
            "the router of this name is not Neutron's, or --external-vpc-selector or --enable-external-vpc leaves it out",
        ),
        _ => (Reason::RouterNameAmbiguous, AMBIGUOUS),
    };
    let mut status = VpcStatus { standby: false, subnets: Vec::new(), ..old };
    condition::set(
        &mut status.conditions,
        Condition::new(condition::READY, false, reason, message),
        world.now(),
    );
    if reason == Reason::RouterNotFound {
        // From when the reason was this one: a router that is only hidden costs nobody anything.
        let since = condition::get(&status.conditions, condition::READY)
            .and_then(|ready| ready.last_update_time.as_deref())
            .and_then(crate::time::seconds);
        let left = since.map_or(world.config().retention_secs, |since| {
            let age = u64::try_from(world.now_secs().saturating_sub(since)).unwrap_or(0);
            world.config().retention_secs.saturating_sub(age)
        });
        if left == 0 && world.subnets_of_vpc(name).next().is_none() {
            plan.after.push(write::delete(Kind::Vpc, &vpc.metadata));
            return plan;
        }
        // Once it is over, the last Subnet that leaves is what it waits for.
        plan.again_secs = Some(left).filter(|left| *left > 0);
    }
    plan.problem(reason, message);
    plan.after.extend(write::status(Kind::Vpc, &vpc.metadata, vpc.status.as_ref(), &status));
    plan
}

/// A Vpc that a user made. Routers of our own beside the default one are yet to come.
fn custom(world: &World, vpc: &Vpc) -> Plan {
    let name = vpc.metadata.name.as_deref().unwrap_or_default();
    let mut plan = Plan { rows: Some(Rows::none()), ..Plan::default() };
    if vpc.metadata.deletion_timestamp.is_some() {
        plan.after.extend(write::finalizer(Kind::Vpc, &vpc.metadata, false));
        return plan;
    }
    let (reason, message) = if vpc_neutron::is_hidden(world, name) {
        (
            Reason::RouterNotShown,
            "--external-vpc-selector or --enable-external-vpc keeps this router of Neutron's from the cluster; no \
             Subnet is served on it",
        )
    } else {
        (
            Reason::NotSupportedYet,
            "this version serves the default Vpc and routers of OpenStack Neutron; a Vpc with a router of its own is \
             not served",
        )
    };
    plan.problem(reason, message);
    let status = vpc.status.clone().unwrap_or_default();
    report(world, vpc, &mut plan, status, vec![Condition::new(condition::READY, false, reason, message)]);
    plan
}

/// The default Vpc and its router.
fn default_vpc(world: &World, name: &str, object: Option<&std::sync::Arc<Vpc>>) -> Plan {
    let mut plan = Plan::default();
    let owner = Owner::vpc(name);
    let cluster = &world.config().cluster;
    let uuid = cluster.row_uuid(table::ROUTER, &owner, "router");
    // The router stands whether or not the object does: all pods hang on it.
    plan.rows = Some(Rows {
        rows: vec![DesiredRow {
            table: table::ROUTER,
            uuid,
            columns: [
                (LogicalRouter::NAME, string(name)),
                (
                    LogicalRouter::OPTIONS,
                    keys([("mac_binding_age_threshold", "300"), ("dynamic_neigh_routers", "true")]),
                ),
                (LogicalRouter::EXTERNAL_IDS, Managed::Keys(external_ids(cluster, &owner, []))),
            ]
            .into(),
            edge: None,
        }],
        ..Rows::default()
    });
    let Some(vpc) = object else { return plan };
    if vpc.metadata.deletion_timestamp.is_some() {
        plan.after.extend(write::finalizer(Kind::Vpc, &vpc.metadata, false));
        return plan;
    }
    let checked = validated(vpc, validate::Place::DefaultVpc, &mut plan);
    let old = vpc.status.clone().unwrap_or_default();
    let status = VpcStatus {
        conditions: old.conditions,
        standby: true,
        default: true,
        default_logical_switch: world.config().default_subnet.clone(),
        router: name.to_owned(),
        subnets: attached(world, uuid, Vec::new()),
        node_networks: Some(node_networks(world, name)),
        ..VpcStatus::default()
    };
    report(
        world,
        vpc,
        &mut plan,
        status,
        vec![Condition::new(condition::READY, true, Reason::RouterFound, ""), checked],
    );
    plan
}

/// The networks that nodes have routes to: what is in effect in the default Vpc, and nothing that is only wished
/// (invariant 11). Underlay networks and those of other providers aren't reached through `ovn0`.
fn node_networks(world: &World, name: &str) -> NodeNetworks {
    let join = world.config().join_subnet.as_str();
    let mut networks = NodeNetworks::default();
    for (subnet, established) in world.established_in(name) {
        let spec = &established.spec;
        if subnet == join {
            networks.join = Some(JoinNetwork {
                name: subnet.to_owned(),
                cidr_block: spec.cidr_block.clone(),
                gateway: spec.gateway.clone(),
            });
        } else if (spec.vlan.is_empty() || spec.logical_gateway) && is_ovn_provider(&spec.provider) {
            networks.subnets.push(NodeNetwork {
                name: subnet.to_owned(),
                cidr_block: spec.cidr_block.clone(),
                nat_outgoing: spec.nat_outgoing,
            });
        }
    }
    let nodes: std::collections::BTreeSet<_> =
        world.nodes().values().flat_map(|n| n.internal_ips()).collect();
    networks.nodes = nodes.iter().map(ToString::to_string).collect();
    networks
}

/// The report that the rows are refused: by what stands in the database, or by the database itself.
pub(crate) fn refused(world: &World, name: &str, problem: &Problem) -> Option<Intent> {
    let vpc = world.vpcs().get(name)?;
    let mut status = vpc.status.clone().unwrap_or_default();
    status.standby = false;
    let mut ready = Condition::new(condition::READY, false, problem.reason, problem.message.as_str());
    ready.observed_generation = vpc.metadata.generation;
    condition::set(&mut status.conditions, ready, world.now());
    write::status(Kind::Vpc, &vpc.metadata, vpc.status.as_ref(), &status)
}
