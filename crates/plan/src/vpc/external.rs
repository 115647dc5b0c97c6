//! Vpcs of Neutron's routers: they appear, report and go with their routers.

use serde_json::json;
use tombolo_api::annotations::VPC_EXTERNAL;
use tombolo_api::{
    Condition, NeutronNetworkStatus, NeutronRouterStatus, Vpc, VpcSpec, VpcStatus, condition, validate,
};
use tombolo_names::Reason;
use tombolo_neutron::{self as neutron, Router};

use super::neutron::troubles_of_vpc;
use super::report::{attached, default_switch, report, validated};
use crate::desired::{Kind, Plan, Rows};
use crate::nb::{self, table};
use crate::world::World;
use crate::write;

const AMBIGUOUS: &str = "several routers in OVN have this name; rename or delete all but one";

/// Without object, and without a router that one could show. A router of Neutron's that is left out for
/// its name gets an Event all the same.
pub(super) fn not_shown(world: &World, name: &str) -> Plan {
    let mut plan = Plan::of_rows(Rows::none());
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
pub(super) fn announce(router: &Router) -> Plan {
    let object = json!({
        "apiVersion": "kubeovn.io/v1", "kind": "Vpc",
        "metadata": { "name": router.name, "labels": { VPC_EXTERNAL: "true" } },
        "spec": VpcSpec::default(),
    });
    let mut plan = Plan::default();
    plan.then_write([write::create(Kind::Vpc, &router.name, object)]);
    plan
}

/// A Vpc whose router is there.
pub(super) fn plan(world: &World, vpc: &Vpc, router: &Router) -> Plan {
    let mut plan = Plan::default();
    if vpc.metadata.deletion_timestamp.is_some() {
        plan.then_rows(Rows::none());
        // A finalizer of Kube-OVN's would hold it for ever; it goes before a user deletes the object, and here if
        // the user was faster. The object comes back from the router.
        plan.then_write(write::finalizer(Kind::Vpc, &vpc.metadata, false));
        return plan;
    }
    plan.then_write(write::merged([
        write::labels(Kind::Vpc, &vpc.metadata, &[(VPC_EXTERNAL, "true")]),
        write::finalizer(Kind::Vpc, &vpc.metadata, false),
    ]));
    plan.then_rows(Rows::none());
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

/// Whether Neutron's router does its work; a route that diverts only some addresses is reported too.
fn health(world: &World, name: &str, router: &Router, plan: &mut Plan) -> Condition {
    let troubles = troubles_of_vpc(world, name);
    let text = troubles.iter().map(|trouble| trouble.message.as_str()).collect::<Vec<_>>().join("; ");
    let ready = match troubles.first() {
        None => Condition::new(condition::READY, true, Reason::RouterFound, ""),
        Some(first) => Condition::new(condition::READY, router.enabled, first.reason, text),
    };
    plan.problems.extend(troubles);
    ready
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

/// A Vpc of a router that isn't there (any more). The user's spec on it is kept for a while.
pub(super) fn without_router(world: &World, vpc: &Vpc) -> Plan {
    let mut plan = Plan::default();
    let name = vpc.metadata.name.as_deref().unwrap_or_default();
    if vpc.metadata.deletion_timestamp.is_some() {
        plan.then_rows(Rows::none());
        plan.then_write(write::finalizer(Kind::Vpc, &vpc.metadata, false));
        return plan;
    }
    plan.then_write(write::finalizer(Kind::Vpc, &vpc.metadata, false));
    plan.then_rows(Rows::none());
    let intent = vpc.spec != VpcSpec::default() || world.subnets_of_vpc(name).next().is_some();
    if !intent {
        plan.then_write([write::delete(Kind::Vpc, &vpc.metadata)]);
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
        // Since the reason is this one: a router that is only hidden starts no countdown.
        let since = condition::get(&status.conditions, condition::READY)
            .and_then(|ready| ready.last_update_time.as_deref())
            .and_then(crate::time::seconds);
        let left = since.map_or(world.config().retention_secs, |since| {
            let age = u64::try_from(world.now_secs().saturating_sub(since)).unwrap_or(0);
            world.config().retention_secs.saturating_sub(age)
        });
        if left == 0 && world.subnets_of_vpc(name).next().is_none() {
            plan.then_write([write::delete(Kind::Vpc, &vpc.metadata)]);
            return plan;
        }
        // Once it is over, the last Subnet that leaves is what it waits for.
        plan.again_secs = Some(left).filter(|left| *left > 0);
    }
    plan.problem(reason, message);
    plan.then_write(write::status(Kind::Vpc, &vpc.metadata, vpc.status.as_ref(), &status));
    plan
}
