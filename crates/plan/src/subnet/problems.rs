//! Problems of a Subnet's spec: by itself, in its Vpc, and beside other networks there.

use tombolo_api::SubnetSpec;
use tombolo_api::validate;

use super::alone::problems_alone;
use super::in_use;
use super::overlap::taken;
use crate::world::{Net, SubnetEntry, World};

/// Problems of a Subnet that is to be stored. All other Subnets come first, also younger ones.
pub(crate) fn problems_of_newcomer(world: &World, name: &str, entry: &SubnetEntry) -> Vec<validate::Problem> {
    problems(world, name, &entry.spec, entry.net.as_ref(), entry, true)
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
