//! Specs of Subnets in effect, as against those that their users wish (invariant 11).
//!
//! A spec is accepted as a whole when the plan of the Subnet finds nothing in it to refuse. It counts once it stands in
//! the database: the switch bears it ([`SPEC_KEY`]), so a controller that starts anew knows it, whatever the
//! object says by then. A wish that is refused leaves no trace: pools, pods, namespaces, nodes and reports read what is
//! here, and only the plan of the Subnet itself reads the wish.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tombolo_api::SubnetSpec;
use tombolo_net::{AddrRange, DualCidr, IfAddr, parse_addr_pair};
use tombolo_ovsdb::Row;

use super::store::{Index, Store};
use super::{Dirty, Net, World};
use crate::nb::{self, table};
use crate::owner::{Owner, OwnerKind};

pub use tombolo_names::rows::SPEC as SPEC_KEY;

/// Specs in effect, by Subnet.
#[derive(Clone, Debug, Default)]
pub(super) struct InEffect {
    store: Store<Established>,
    /// By Vpc.
    of_vpc: Index,
}

/// A Subnet as it is in effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Established {
    /// The accepted spec, defaults filled in.
    pub spec: SubnetSpec,
    /// Its network.
    pub net: Net,
}

impl Established {
    fn of(spec: SubnetSpec) -> Option<Self> {
        let net = net_of(&spec)?;
        Some(Established { spec, net })
    }

    /// The value of [`SPEC_KEY`].
    pub(crate) fn text(spec: &SubnetSpec) -> String {
        serde_json::to_string(spec).unwrap_or_default()
    }
}

/// The network of a spec, if it reads.
pub(crate) fn net_of(spec: &SubnetSpec) -> Option<Net> {
    let cidr = spec.cidr_block.parse::<DualCidr>().ok()?;
    let gateways: Vec<IpAddr> = parse_addr_pair(&spec.gateway).ok()?;
    let excluded = spec.exclude_ips.iter().flat_map(|text| AddrRange::parse_exclude(text)).collect();
    Some(Net { cidr, gateways, excluded })
}

impl World {
    /// A Subnet as it is in effect; `None` while its switch has never stood.
    #[must_use]
    pub fn established(&self, subnet: &str) -> Option<&Established> {
        self.in_effect.store.get(subnet)
    }

    /// Whether the switch of a Subnet stands and is ours.
    #[must_use]
    pub fn is_established(&self, subnet: &str) -> bool {
        self.switch_of(subnet).is_some()
    }

    /// A Subnet as it is in effect, if its switch stands, too: only then can a port be on it.
    #[must_use]
    pub fn standing(&self, subnet: &str) -> Option<&Established> {
        self.established(subnet).filter(|_| self.is_established(subnet))
    }

    fn switch_of(&self, subnet: &str) -> Option<&Row> {
        let cluster = &self.config.cluster;
        let row = self.nb.row(table::SWITCH, &self.switch_uuid(subnet))?;
        (nb::owner_of(cluster, row) == Some(Owner::subnet(subnet))).then_some(row)
    }

    /// The spec that decides whom a Subnet serves: the one in effect, or the wish while none is.
    #[must_use]
    pub fn effective(&self, subnet: &str) -> Option<&SubnetSpec> {
        let wish = || self.subnets().get(subnet).map(|entry| &entry.spec);
        self.established(subnet).map(|it| &it.spec).or_else(wish)
    }

    /// Names of the Subnets that are in effect in a Vpc, ascending.
    pub fn established_in(&self, vpc: &str) -> impl Iterator<Item = (&str, &Established)> {
        let names = self.in_effect.of_vpc.of(vpc);
        names.filter_map(|name| Some((name.as_str(), self.established(name)?)))
    }

    /// Names of the Subnets that a change of the Vpc concerns: those that wish to be there, and those in effect there.
    pub(crate) fn subnets_concerned(&self, vpc: &str) -> BTreeSet<&str> {
        self.subnets_of_vpc(vpc).chain(self.established_in(vpc).map(|(name, _)| name)).collect()
    }

    /// How many others an owner's report lists: a Vpc's the Subnets in effect there, the default one's the nodes too.
    #[must_use]
    pub fn entries_of(&self, owner: &Owner) -> usize {
        if owner.kind != OwnerKind::Vpc {
            return 0;
        }
        let subnets = self.in_effect.of_vpc.count(&owner.name);
        let nodes = if *owner.name == *self.config.cluster_router { self.nodes().len() } else { 0 };
        subnets + nodes
    }

    /// Reads again what is in effect of a Subnet. Its switch says it; one that was made before the switches did is
    /// as its router port has it. Where the switch is lost, the last known counts until the Subnet itself is gone or
    /// going, so that the same comes back. Whether anything changed.
    pub(super) fn refresh_established(&mut self, name: &str, dirty: &mut Dirty) -> bool {
        let comes_back = self.subnets().get(name).is_some_and(|entry| !entry.is_terminating());
        let new = match self.switch_of(name) {
            Some(row) => self.written(name, row).or_else(|| self.established(name).cloned()),
            None if comes_back => self.established(name).cloned(),
            None => None,
        };
        if self.established(name) == new.as_ref() {
            return false;
        }
        let old = self.in_effect.store.put(name.to_owned(), new.clone());
        for (it, present) in old.iter().map(|it| (it, false)).chain(new.iter().map(|it| (it, true))) {
            self.in_effect.of_vpc.set(&it.spec.vpc, name, present);
        }
        self.refresh_pool(name, dirty);
        self.serves_changed(name, dirty);
        dirty.insert(Owner::subnet(name));
        dirty.paced.extend(old.iter().chain(&new).map(|it| Owner::vpc(&it.spec.vpc)));
        if name == self.config.join_subnet {
            dirty.extend(self.nodes().keys().map(|node| Owner::node(node)));
        }
        self.users_dirty(name, dirty);
        true
    }

    /// The spec in the rows of a Subnet.
    fn written(&self, name: &str, switch: &Row) -> Option<Established> {
        if let Some(text) = switch.key("external_ids", SPEC_KEY) {
            return serde_json::from_str(text).ok().and_then(Established::of);
        }
        let wish = self.subnets().get(name).map(|entry| entry.spec.clone())?;
        let ports = nb::owned(&self.nb, &self.config.cluster, table::ROUTER_PORT, &Owner::subnet(name));
        let Some((_, port)) = ports.first() else { return Established::of(wish) };
        let networks: Vec<IfAddr> = port
            .get("networks")
            .into_iter()
            .flat_map(|networks| networks.strings())
            .filter_map(|network| network.parse().ok())
            .collect();
        let join = |texts: Vec<String>| texts.join(",");
        let mut spec = SubnetSpec {
            cidr_block: join(networks.iter().map(|it| it.cidr().to_string()).collect()),
            gateway: join(networks.iter().map(|it| it.addr().to_string()).collect()),
            ..wish
        };
        if let Some(vpc) = port.key("external_ids", "lr") {
            vpc.clone_into(&mut spec.vpc);
        }
        if let Ok(cidr) = spec.cidr_block.parse::<DualCidr>() {
            spec.cidr_block = cidr.to_string();
            spec.protocol = cidr.protocol().into();
        }
        if let Ok(all) = parse_addr_pair(&spec.gateway) {
            spec.gateway = join(all.iter().map(ToString::to_string).collect());
        }
        Established::of(spec)
    }

    /// Subnets whose switch or router port changed in more than its children.
    pub(super) fn rows_of_subnets_changed(&mut self, changes: &tombolo_ovsdb::ChangeSet, dirty: &mut Dirty) {
        // With each, whether its switch came or went.
        let mut names: BTreeMap<Arc<str>, bool> = BTreeMap::new();
        for table in [table::SWITCH, table::ROUTER_PORT] {
            for (_, change) in changes.of_table(table) {
                if nb::only_edges(table, change) {
                    continue;
                }
                let came_or_went = change.old.is_none() != change.new.is_none();
                for row in change.old.iter().chain(&change.new) {
                    if let Some(owner) = nb::owner_of(&self.config.cluster, row)
                        && owner.kind == OwnerKind::Subnet
                    {
                        *names.entry(owner.name).or_default() |= table == table::SWITCH && came_or_went;
                    }
                }
            }
        }
        for (name, came_or_went) in names {
            // A Subnet whose switch is lost remains what it was, and takes no new pods meanwhile.
            if !self.refresh_established(&name, dirty) && came_or_went {
                self.serves_changed(&name, dirty);
            }
        }
    }
}
