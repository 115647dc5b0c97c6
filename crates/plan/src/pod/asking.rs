//! A pod's wishes by `ip_address`, `ip_pool` and `ip_family`, against the Subnets that it may be on.

use std::net::IpAddr;

use tombolo_api::annotations::{IP_ADDRESS, IP_FAMILY, STATIC_IN_EXCLUDED};
use tombolo_api::validate::{IpPool, PodRequest};
use tombolo_names::Reason;
use tombolo_net::Family;

use crate::desired::{AddressWait, Problem};
use crate::tenancy;
use crate::world::World;

/// So many entries of a pool are named with their problems.
const TOLD: usize = 4;

/// A pod's wishes.
pub(crate) struct Asking<'a> {
    pub world: &'a World,
    /// Name of the IP object to be.
    pub ip_name: &'a str,
    pub wanted: &'a PodRequest,
}

/// The Subnets and addresses to choose from.
pub(crate) struct Chosen {
    pub subnets: Vec<String>,
    /// Empty for any.
    pub addresses: Vec<IpAddr>,
}

/// No address, and why.
pub(crate) struct Refused {
    pub problem: Problem,
    /// The Subnet whose change may help.
    pub until_changed: Option<String>,
    /// The addresses that would do, were they free.
    pub until_freed: Option<AddressWait>,
}

impl Asking<'_> {
    /// Chooses among the Subnets that serve the pod. `ordinal`: the pod's number in its StatefulSet, which takes the pool's
    /// entry of that number and no other.
    pub(crate) fn choose(&self, subnets: Vec<String>, ordinal: Option<usize>) -> Result<Chosen, Refused> {
        let subnets = self.of_family(subnets)?;
        let addresses = match (&self.wanted.addresses[..], &self.wanted.pool) {
            ([], None) => Vec::new(),
            ([], Some(IpPool::Named(pool))) => {
                let text = format!("IPPool {pool}: this version doesn't serve IPPools");
                return Err(refused(Reason::NotSupportedYet, text));
            }
            ([], Some(IpPool::Addresses(entries))) => match ordinal {
                None => self.of_pool(&subnets, entries)?,
                Some(ordinal) => {
                    let Some(entry) = entries.get(ordinal) else {
                        let text = format!(
                            "ip_pool has {} entries, and the pod is number {ordinal} of its StatefulSet, counted from 0",
                            entries.len()
                        );
                        return Err(refused(Reason::NoAvailableAddress, text));
                    };
                    self.of_pool(&subnets, std::slice::from_ref(entry))?
                }
            },
            (addresses, _) => {
                // The allocator reports a taken address, since it knows when that is free again.
                if let Some(why) = self.static_unfit(&subnets, addresses) {
                    // The Subnet may grow, or let it have the address.
                    let until_changed = subnets.first().cloned();
                    return Err(Refused { until_changed, ..refused(Reason::AcquireAddressFailed, why) });
                }
                addresses.to_vec()
            }
        };
        Ok(Chosen { subnets, addresses })
    }

    /// The Subnets that have what `ip_family` asks for.
    fn of_family(&self, subnets: Vec<String>) -> Result<Vec<String>, Refused> {
        let [family] = self.wanted.families[..] else { return Ok(subnets) };
        let has =
            |name: &String| self.world.established(name).is_some_and(|it| it.net.cidr.of(family).is_some());
        let (with, without): (Vec<String>, Vec<String>) = subnets.into_iter().partition(has);
        if with.is_empty() {
            let text = format!(
                "{IP_FAMILY} asks for {family}, and {} has none; take it away, or name another Subnet",
                without.join(", ")
            );
            return Err(refused(Reason::AcquireAddressFailed, text));
        }
        Ok(with)
    }

    /// The first entry of a pool that can be had now.
    fn of_pool(&self, subnets: &[String], entries: &[Vec<IpAddr>]) -> Result<Vec<IpAddr>, Refused> {
        let (mut why, mut taken, mut until_changed) = (Vec::new(), Vec::new(), None);
        for entry in entries {
            match subnets.iter().map(|subnet| self.unfit(subnet, entry)).collect::<Option<Vec<_>>>() {
                // One of the Subnets has nothing against it.
                None => return Ok(entry.clone()),
                Some(reasons) => {
                    match self.are_taken(subnets, entry) {
                        true => taken.extend(entry),
                        false => until_changed = subnets.first().cloned(),
                    }
                    if why.len() <= TOLD {
                        why.extend(reasons.into_iter().next());
                    }
                }
            }
        }
        if why.len() > TOLD {
            why.truncate(TOLD);
            why.push(format!("{} entries in all", entries.len()));
        }
        let text = format!("no address of ip_pool can be had: {}", why.join("; "));
        let problem = Problem { reason: Reason::NoAvailableAddress, message: text };
        let until_freed =
            (!taken.is_empty()).then(|| AddressWait { subnets: subnets.to_vec(), addresses: taken });
        Err(Refused { problem, until_changed, until_freed })
    }

    /// Whether others have an address of an entry, in any of the Subnets.
    fn are_taken(&self, subnets: &[String], entry: &[IpAddr]) -> bool {
        subnets.iter().any(|subnet| {
            self.world.pool(subnet).is_some_and(|pool| entry.iter().any(|it| pool.holder(*it).is_some()))
        })
    }

    /// A Subnet's objection to an entry of a pool.
    fn unfit(&self, subnet: &str, entry: &[IpAddr]) -> Option<String> {
        if entry.is_empty() {
            return Some("an entry is no address".to_owned());
        }
        let pool = self.world.pool(subnet)?;
        entry.iter().find_map(|address| {
            let family = Family::of(*address);
            if !self.wanted.families.contains(&family) {
                return Some(format!("{address} is excluded by ip_family"));
            }
            match pool.pool(family).map(|pool| pool.check(self.ip_name, *address)) {
                None => Some(format!("{address} is outside of {}", pool.cidr())),
                Some(Err(error)) => Some(error.to_string()),
                Some(Ok(())) => self.excluded(subnet, *address),
            }
        })
    }

    /// An address inside `excludeIps` is for those whom the Subnet lets have it.
    fn excluded(&self, subnet: &str, address: IpAddr) -> Option<String> {
        let pool = self.world.pool(subnet)?;
        let excluded = pool.pool(Family::of(address)).is_some_and(|pool| pool.is_excluded(address));
        if !excluded || pool.holder(address) == Some(self.ip_name) {
            return None;
        }
        (!tenancy::grants(self.world, subnet).static_in_excluded).then(|| {
            format!(
                "{address} is in the excludeIps of Subnet {subnet}; choose another one, or annotate the Subnet with \
                 {STATIC_IN_EXCLUDED}: \"true\""
            )
        })
    }

    /// Words for static addresses that no Subnet of the pod can give, even when others leave.
    fn static_unfit(&self, subnets: &[String], addresses: &[IpAddr]) -> Option<String> {
        let contains =
            |subnet: &str, address| self.world.pool(subnet).is_some_and(|pool| pool.cidr().contains(address));
        let outside = addresses.iter().find(|it| !subnets.iter().any(|subnet| contains(subnet, **it)));
        if let Some(address) = outside {
            let specs = subnets.iter().filter_map(|subnet| self.world.established(subnet));
            let cidrs: Vec<&str> = specs.map(|it| it.spec.cidr_block.as_str()).collect();
            return Some(format!(
                "AddressOutOfRange: the address {address} asked for by {IP_ADDRESS} is outside of {} ({}); choose one inside, or another subnet",
                subnets.join(", "),
                cidrs.join(", ")
            ));
        }
        addresses.iter().find_map(|address| {
            let of = subnets.iter().filter(|subnet| contains(subnet, *address));
            // The gateway is excluded too, and never a pod's: the allocator says so.
            let mut reasons = of.map(|subnet| {
                match self.world.pool(subnet)?.pool(Family::of(*address))?.check(self.ip_name, *address) {
                    Ok(()) => self.excluded(subnet, *address),
                    Err(_) => None,
                }
            });
            let first = reasons.next()??;
            reasons.all(|reason| reason.is_some()).then_some(first)
        })
    }
}

fn refused(reason: Reason, message: String) -> Refused {
    Refused { problem: Problem { reason, message }, until_changed: None, until_freed: None }
}
