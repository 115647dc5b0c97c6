//! The allocator of one network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::rangeset::{ranges_text, runs};
use crate::{AddrRange, Cidr, RangeSet, addr_bits, bits_addr};

/// Why an address can't be given to an owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// Another owner has it.
    #[error("address {addr} is in use by {holder}; choose another one or delete its holder")]
    Conflict {
        /// The wanted address.
        addr: IpAddr,
        /// Who has it.
        holder: String,
    },
    /// Outside the network (or of the other family).
    #[error("address {addr} is outside of {cidr}; choose one inside")]
    OutOfRange {
        /// The wanted address.
        addr: IpAddr,
        /// The network.
        cidr: String,
    },
    /// The network or broadcast address.
    #[error(
        "address {addr} is the network or broadcast address of {cidr}, or one that OVN doesn't deliver to; choose another one"
    )]
    NotUsable {
        /// The wanted address.
        addr: IpAddr,
        /// The network.
        cidr: Cidr,
    },
    /// The gateway's address.
    #[error("address {addr} is the gateway of {cidr}; choose another one")]
    Gateway {
        /// The wanted address.
        addr: IpAddr,
        /// The network.
        cidr: Cidr,
    },
    /// The owner has another address already.
    #[error("{owner} already has address {has}, so it can't get {addr}; release the first one before")]
    OwnerHasOther {
        /// The owner.
        owner: String,
        /// Its present address.
        has: IpAddr,
        /// The wanted address.
        addr: IpAddr,
    },
}

/// The addresses of one network: who has which, and which is next. In memory only; the truth is
/// what was persisted, and is fed in through [`Pool::reserve`] at start.
///
/// An owner has at most one address here. Order of allocation: the lowest free address above the
/// last one handed out, starting over at the bottom, so that an address just released isn't reused
/// at once. Allocation, reservation and release are O(log n).
///
/// `excludeIps` are never handed out, but may be asked for by name: Kube-OVN's users keep their
/// static addresses there. The gateway can't be had by either way.
#[derive(Debug, Clone)]
pub struct Pool {
    cidr: Cidr,
    gateway: Option<u128>,
    excluded: RangeSet,
    /// Usable, not excluded, not in use.
    free: RangeSet,
    by_addr: BTreeMap<u128, String>,
    by_owner: BTreeMap<String, u128>,
    /// Where the search for the next address begins.
    cursor: u128,
}

impl Pool {
    /// A pool of all usable addresses of `cidr` but `gateway` and `excluded`; what of the two lies outside
    /// (or is of the other family) has no effect.
    pub fn new(cidr: Cidr, gateway: Option<IpAddr>, excluded: impl IntoIterator<Item = AddrRange>) -> Self {
        let usable = cidr.assignable().bits();
        let excluded: RangeSet =
            excluded.into_iter().filter(|r| r.family() == cidr.family()).map(AddrRange::bits).collect();
        let gateway = gateway.filter(|g| cidr.contains(*g)).map(addr_bits);
        let mut pool = Self {
            cidr,
            gateway,
            excluded,
            free: RangeSet::new(),
            by_addr: BTreeMap::new(),
            by_owner: BTreeMap::new(),
            cursor: usable.0,
        };
        pool.rebuild_free();
        pool
    }

    /// Changes what is excluded and which address is the gateway; allocations stay, also those that
    /// would be refused now.
    pub fn set_excluded(&mut self, gateway: Option<IpAddr>, excluded: impl IntoIterator<Item = AddrRange>) {
        let fresh = Self::new(self.cidr, gateway, excluded);
        (self.gateway, self.excluded) = (fresh.gateway, fresh.excluded);
        self.rebuild_free();
    }

    fn rebuild_free(&mut self) {
        let mut free = RangeSet::from_range(self.cidr.assignable().bits());
        self.excluded.ranges().for_each(|r| free.remove_range(r));
        if let Some(gateway) = self.gateway {
            free.remove(gateway);
        }
        for addr in self.by_addr.keys() {
            free.remove(*addr);
        }
        self.free = free;
    }

    /// The network.
    pub fn cidr(&self) -> Cidr {
        self.cidr
    }

    fn addr(&self, bits: u128) -> IpAddr {
        bits_addr(self.cidr.family(), bits)
    }

    /// Gives `owner` the next address. The same owner gets the address it has; `None` if all are taken.
    pub fn allocate_next(&mut self, owner: &str) -> Option<IpAddr> {
        if let Some(has) = self.by_owner.get(owner) {
            return Some(self.addr(*has));
        }
        let bits = self.free.next_at_or_after(self.cursor).or_else(|| self.free.first())?;
        self.take(owner, bits);
        // At the end of the address space the search starts over by finding nothing above.
        self.cursor = bits.saturating_add(1);
        Some(self.addr(bits))
    }

    /// The address [`Pool::allocate_next`] would give to a new owner.
    pub fn peek_next(&self) -> Option<IpAddr> {
        let bits = self.free.next_at_or_after(self.cursor).or_else(|| self.free.first())?;
        Some(self.addr(bits))
    }

    fn take(&mut self, owner: &str, bits: u128) {
        self.free.remove(bits);
        self.by_addr.insert(bits, owner.to_owned());
        self.by_owner.insert(owner.to_owned(), bits);
    }

    /// Gives `owner` this very address, also an excluded one. Once more for the same owner is fine.
    ///
    /// # Errors
    /// All of [`ReserveError`]; nothing is changed then.
    pub fn reserve(&mut self, owner: &str, addr: IpAddr) -> Result<(), ReserveError> {
        self.check(owner, addr)?;
        self.take(owner, addr_bits(addr));
        Ok(())
    }

    /// What [`Pool::reserve`] would say, without doing it.
    ///
    /// # Errors
    /// As [`Pool::reserve`].
    pub fn check(&self, owner: &str, addr: IpAddr) -> Result<(), ReserveError> {
        if !self.cidr.contains(addr) {
            return Err(ReserveError::OutOfRange { addr, cidr: self.cidr.to_string() });
        }
        let bits = addr_bits(addr);
        match self.by_addr.get(&bits) {
            // What an owner has stays its own, even if it became the gateway's since.
            Some(holder) if holder == owner => return Ok(()),
            Some(holder) => return Err(ReserveError::Conflict { addr, holder: holder.clone() }),
            None => {}
        }
        if let Some(has) = self.by_owner.get(owner) {
            return Err(ReserveError::OwnerHasOther { owner: owner.to_owned(), has: self.addr(*has), addr });
        }
        if !self.cidr.assignable().contains(addr) {
            return Err(ReserveError::NotUsable { addr, cidr: self.cidr });
        }
        if self.gateway == Some(bits) {
            return Err(ReserveError::Gateway { addr, cidr: self.cidr });
        }
        Ok(())
    }

    /// Frees what `owner` has, and returns it. An address within the excluded ones stays excluded.
    pub fn release(&mut self, owner: &str) -> Option<IpAddr> {
        let bits = self.by_owner.remove(owner)?;
        self.by_addr.remove(&bits);
        let addr = self.addr(bits);
        if self.cidr.assignable().contains(addr)
            && !self.excluded.contains(bits)
            && self.gateway != Some(bits)
        {
            self.free.insert(bits);
        }
        Some(addr)
    }

    /// The address of an owner.
    pub fn of_owner(&self, owner: &str) -> Option<IpAddr> {
        self.by_owner.get(owner).map(|bits| self.addr(*bits))
    }

    /// The owner of an address.
    pub fn holder(&self, addr: IpAddr) -> Option<&str> {
        if addr.is_ipv4() != self.cidr.network().is_ipv4() {
            return None;
        }
        self.by_addr.get(&addr_bits(addr)).map(String::as_str)
    }

    /// Whether an address is in the excluded ranges.
    pub fn is_excluded(&self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.cidr.network().is_ipv4() && self.excluded.contains(addr_bits(addr))
    }

    /// All allocations, by address.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &str)> {
        self.by_addr.iter().map(|(bits, owner)| (self.addr(*bits), owner.as_str()))
    }

    /// How many addresses can still be handed out (`Subnet.status.v4availableIPs`).
    pub fn available(&self) -> u128 {
        self.free.len()
    }

    /// How many addresses are in use (`Subnet.status.v4usingIPs`), excluded ones included.
    pub fn using(&self) -> u128 {
        self.by_addr.len() as u128
    }

    /// The addresses that can still be handed out, as text of `Subnet.status.v4availableIPrange`.
    /// O(ranges): computed only when the status is written.
    pub fn available_ranges(&self) -> String {
        self.free.to_text(self.cidr.family())
    }

    /// The addresses in use, as text of `Subnet.status.v4usingIPrange`. O(addresses in use).
    pub fn using_ranges(&self) -> String {
        ranges_text(self.cidr.family(), runs(self.by_addr.keys().copied()))
    }
}
