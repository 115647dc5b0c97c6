//! The allocator of a subnet: one or two families, and MACs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::{AddrRange, DualCidr, Family, Mac, MacTable, Pool, ReserveError};

/// What an owner (a port) has in a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4 address.
    pub v4: Option<IpAddr>,
    /// IPv6 address.
    pub v6: Option<IpAddr>,
    /// MAC address.
    pub mac: Mac,
}

impl Addresses {
    /// Its one or two addresses, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.into_iter().chain(self.v6)
    }

    /// `v4`, `v6` or `v4,v6`, as in the `ip_address` annotation and in `IP.spec.ipAddress`.
    pub fn ip_text(&self) -> String {
        self.iter().map(|a| a.to_string()).collect::<Vec<_>>().join(",")
    }
}

/// Why an owner gets nothing in a subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubnetPoolError {
    /// An address that was asked for can't be had.
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    /// The requested MAC belongs to another owner.
    #[error("MAC {mac} is in use by {holder} in the same subnet; choose another one or delete its holder")]
    MacConflict {
        /// The wanted MAC.
        mac: Mac,
        /// Who has it.
        holder: String,
    },
    /// The owner has another MAC already.
    #[error("{owner} already has MAC {has}, so it can't get {mac}; release the first one before")]
    OwnerHasOtherMac {
        /// The owner.
        owner: String,
        /// Its present MAC.
        has: Mac,
        /// The wanted MAC.
        mac: Mac,
    },
    /// No MAC with Kube-OVN's prefix is left.
    #[error("no MAC address is left in the subnet")]
    NoMac,
    /// A family is exhausted.
    #[error("no {family} address is left in {cidr}; enlarge the subnet, or delete pods or excludeIps")]
    NoAvailableAddress {
        /// The exhausted family.
        family: Family,
        /// Its network.
        cidr: String,
    },
    /// The subnet has none of the wanted families.
    #[error(
        "the subnet is {cidr}, which has no address of the family asked for; choose another subnet or family"
    )]
    NoFamily {
        /// The subnet's networks.
        cidr: String,
    },
    /// More than one address of a family was asked for.
    #[error("two addresses of one family were asked for: {0} and {1}")]
    TwoOfOneFamily(IpAddr, IpAddr),
}

/// The allocator state of one subnet. All methods either do all of what they say or nothing.
#[derive(Debug, Clone)]
pub struct SubnetPool {
    cidr: DualCidr,
    v4: Option<Pool>,
    v6: Option<Pool>,
    macs: MacTable,
    owners: BTreeMap<String, Mac>,
}

impl SubnetPool {
    /// An empty pool. Gateways and excluded ranges of both families may be mixed; see [`Pool::new`].
    pub fn new(cidr: DualCidr, gateways: &[IpAddr], excluded: &[AddrRange]) -> Self {
        let pool = |family| {
            cidr.of(family).map(|c| Pool::new(c, gateway_of(gateways, family), excluded.iter().copied()))
        };
        Self {
            cidr,
            v4: pool(Family::V4),
            v6: pool(Family::V6),
            macs: MacTable::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Changes gateways and excluded ranges; allocations stay.
    pub fn set_excluded(&mut self, gateways: &[IpAddr], excluded: &[AddrRange]) {
        for pool in self.v4.iter_mut().chain(&mut self.v6) {
            let family = pool.cidr().family();
            pool.set_excluded(gateway_of(gateways, family), excluded.iter().copied());
        }
    }

    /// The subnet's networks.
    pub fn cidr(&self) -> DualCidr {
        self.cidr
    }

    /// The pool of one family.
    pub fn pool(&self, family: Family) -> Option<&Pool> {
        match family {
            Family::V4 => self.v4.as_ref(),
            Family::V6 => self.v6.as_ref(),
        }
    }

    /// Gives `owner` an address of each family and a MAC: those asked for in `addrs` and `mac`
    /// (annotations, or what was persisted), the next free ones for the rest. Once more for the same
    /// owner returns what it has, if that doesn't contradict what is asked for. A generated MAC
    /// depends on the owner's name and on those that are taken.
    ///
    /// # Errors
    /// [`SubnetPoolError`]; nothing is changed then.
    pub fn assign(
        &mut self,
        owner: &str,
        addrs: &[IpAddr],
        mac: Option<Mac>,
    ) -> Result<Addresses, SubnetPoolError> {
        self.assign_families(owner, addrs, mac, &[Family::V4, Family::V6])
    }

    /// As [`SubnetPool::assign`], but next free addresses are taken only of `families` (the
    /// `ip_family` annotation); addresses asked for are given in any case.
    ///
    /// # Errors
    /// [`SubnetPoolError`]; nothing is changed then.
    pub fn assign_families(
        &mut self,
        owner: &str,
        addrs: &[IpAddr],
        mac: Option<Mac>,
        families: &[Family],
    ) -> Result<Addresses, SubnetPoolError> {
        let v4 = self.plan_family(owner, addrs, Family::V4, families)?;
        let v6 = self.plan_family(owner, addrs, Family::V6, families)?;
        if v4.is_none() && v6.is_none() {
            return Err(SubnetPoolError::NoFamily { cidr: self.cidr.to_string() });
        }
        let mac = self.take_mac(owner, mac)?;
        // Nothing can fail from here on: each address was checked against the same state.
        for (pool, addr) in [(&mut self.v4, v4), (&mut self.v6, v6)] {
            if let (Some(pool), Some(wish)) = (pool, addr) {
                match wish {
                    Wish::This(addr) => pool.reserve(owner, addr)?,
                    Wish::Next => drop(pool.allocate_next(owner)),
                }
            }
        }
        self.owners.insert(owner.to_owned(), mac);
        Ok(Addresses {
            v4: self.v4.as_ref().and_then(|p| p.of_owner(owner)),
            v6: self.v6.as_ref().and_then(|p| p.of_owner(owner)),
            mac,
        })
    }

    fn plan_family(
        &self,
        owner: &str,
        addrs: &[IpAddr],
        family: Family,
        families: &[Family],
    ) -> Result<Option<Wish>, SubnetPoolError> {
        let mut wanted = addrs.iter().copied().filter(|a| Family::of(*a) == family);
        let first = wanted.next();
        if let (Some(a), Some(b)) = (first, wanted.find(|b| Some(*b) != first)) {
            return Err(SubnetPoolError::TwoOfOneFamily(a, b));
        }
        match (self.pool(family), first) {
            (None, Some(addr)) => Err(ReserveError::OutOfRange { addr, cidr: self.cidr.to_string() }.into()),
            (None, None) => Ok(None),
            (Some(pool), Some(addr)) => {
                pool.check(owner, addr)?;
                Ok(Some(Wish::This(addr)))
            }
            (Some(_), None) if !families.contains(&family) => Ok(None),
            (Some(pool), None) if pool.of_owner(owner).is_none() && pool.peek_next().is_none() => {
                Err(SubnetPoolError::NoAvailableAddress { family, cidr: pool.cidr().to_string() })
            }
            (Some(_), None) => Ok(Some(Wish::Next)),
        }
    }

    fn take_mac(&mut self, owner: &str, wanted: Option<Mac>) -> Result<Mac, SubnetPoolError> {
        match (self.owners.get(owner).copied(), wanted) {
            (Some(has), Some(mac)) if has != mac => {
                Err(SubnetPoolError::OwnerHasOtherMac { owner: owner.to_owned(), has, mac })
            }
            (Some(has), _) => Ok(has),
            (None, Some(mac)) => match self.macs.claim(owner, mac) {
                Ok(()) => Ok(mac),
                Err(holder) => Err(SubnetPoolError::MacConflict { mac, holder }),
            },
            (None, None) => self.macs.generate(owner, owner.as_bytes()).ok_or(SubnetPoolError::NoMac),
        }
    }

    /// Claims a MAC in the subnet without an address: that of the router's port on it.
    ///
    /// # Errors
    /// The present holder's name if that is another owner.
    pub fn claim_mac(&mut self, owner: &str, mac: Mac) -> Result<(), String> {
        self.macs.claim(owner, mac)
    }

    /// Frees all that `owner` has, and returns it.
    pub fn release(&mut self, owner: &str) -> Option<Addresses> {
        let mac = self.owners.remove(owner)?;
        self.macs.release(owner, mac);
        Some(Addresses {
            v4: self.v4.as_mut().and_then(|p| p.release(owner)),
            v6: self.v6.as_mut().and_then(|p| p.release(owner)),
            mac,
        })
    }

    /// What an owner has.
    pub fn of_owner(&self, owner: &str) -> Option<Addresses> {
        let mac = *self.owners.get(owner)?;
        Some(Addresses {
            v4: self.v4.as_ref().and_then(|p| p.of_owner(owner)),
            v6: self.v6.as_ref().and_then(|p| p.of_owner(owner)),
            mac,
        })
    }

    /// The owner of an address.
    pub fn holder(&self, addr: IpAddr) -> Option<&str> {
        self.pool(Family::of(addr)).and_then(|p| p.holder(addr))
    }

    /// The owner of a MAC.
    pub fn mac_holder(&self, mac: Mac) -> Option<&str> {
        self.macs.holder(mac)
    }

    /// All owners in order of their names.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        self.owners.keys().map(String::as_str)
    }

    /// Whether no owner has an address.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }
}

/// How one family of an assignment is to be met.
enum Wish {
    This(IpAddr),
    Next,
}

fn gateway_of(gateways: &[IpAddr], family: Family) -> Option<IpAddr> {
    gateways.iter().copied().find(|g| Family::of(*g) == family)
}
