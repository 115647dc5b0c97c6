//! Problems of a Subnet's spec: by itself, in its Vpc, and beside other networks there.

use tombolo_api::SubnetSpec;
use tombolo_api::validate::{self, SubnetContext};
use tombolo_names::Reason;
use tombolo_net::DualCidr;

use super::in_use;
use super::overlap::taken;
use crate::vpc::{VpcKind, neutron};
use crate::world::{Net, SubnetEntry, World};

/// Problems of a Subnet that is to be stored. All other Subnets come first, also younger ones.
pub(crate) fn problems_of_newcomer(world: &World, name: &str, entry: &SubnetEntry) -> Vec<validate::Problem> {
    problems(world, name, &entry.spec, entry.net.as_ref(), entry, true)
}

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
        let why = match neutron::is_hidden(world, &spec.vpc) {
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

/// All problems of a spec of this Subnet: of its wish, or of the spec in effect.
pub(super) fn problems(
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
