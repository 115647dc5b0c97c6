//! Problems of a Subnet's spec by itself and in its Vpc, without regard to other Subnets.

use tombolo_api::SubnetSpec;
use tombolo_api::validate::{self, SubnetContext};
use tombolo_names::Reason;
use tombolo_net::DualCidr;

use crate::world::vpc_kind::is_hidden;
use crate::world::{VpcKind, World};

/// Problems of a spec by itself and in its Vpc, without regard to other Subnets.
pub(super) fn problems_alone(
    world: &World,
    name: &str,
    spec: &SubnetSpec,
    kind: VpcKind,
) -> Vec<validate::Problem> {
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
        let why = match is_hidden(world, &spec.vpc) {
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
