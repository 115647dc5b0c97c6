//! The objects of every cluster: the default Vpc, the default Subnet and the join Subnet.

use serde_json::json;
use tombolo_api::{OVN_PROVIDER, SubnetSpec, VpcSpec};
use tombolo_net::DualCidr;

use crate::desired::{Intent, Kind, Plan};
use crate::world::World;
use crate::write;

/// Objects that are missing. Those that are there are the user's to change.
pub fn plan(world: &World) -> Plan {
    let config = world.config();
    let mut plan = Plan::default();
    if !world.vpcs().contains(&config.cluster_router) {
        plan.then_write([write::create(
            Kind::Vpc,
            &config.cluster_router,
            json!({
                "apiVersion": "kubeovn.io/v1", "kind": "Vpc",
                "metadata": { "name": config.cluster_router },
                "spec": VpcSpec::default(),
            }),
        )]);
    }
    if !world.subnets().contains(&config.join_subnet) {
        let spec = SubnetSpec {
            cidr_block: cidr_text(config.join_cidr),
            gateway: addresses(&config.join_gateway),
            disable_inter_connection: true,
            ..common(world)
        };
        plan.then_write([subnet(&config.join_subnet, &spec)]);
    }
    if !world.subnets().contains(&config.default_subnet) {
        let spec = SubnetSpec {
            default: true,
            cidr_block: cidr_text(config.default_cidr),
            gateway: addresses(&config.default_gateway),
            exclude_ips: config.default_exclude.clone(),
            gateway_type: "distributed".to_owned(),
            nat_outgoing: true,
            ..common(world)
        };
        plan.then_write([subnet(&config.default_subnet, &spec)]);
    }
    plan
}

fn common(world: &World) -> SubnetSpec {
    SubnetSpec {
        vpc: world.config().cluster_router.clone(),
        provider: OVN_PROVIDER.to_owned(),
        ..SubnetSpec::default()
    }
}

fn subnet(name: &str, spec: &SubnetSpec) -> Intent {
    write::create(
        Kind::Subnet,
        name,
        json!({ "apiVersion": "kubeovn.io/v1", "kind": "Subnet", "metadata": { "name": name }, "spec": spec }),
    )
}

fn cidr_text(cidr: DualCidr) -> String {
    cidr.iter().map(|cidr| cidr.to_string()).collect::<Vec<_>>().join(",")
}

fn addresses(addresses: &[std::net::IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
