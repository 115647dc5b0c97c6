//! Which owners wait for an address, and which one wakes when an address becomes free.
//!
//! Decides that a freed address wakes one owner: the one that asked for that very address, or else the one that has
//! waited longest for any, namespaces in turn. Waking all would cost as many plans as there are waiters for each freed
//! address. A woken owner without use for the address hands its turn on. Doesn't decide which owner gets the address:
//! the allocator does.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use tombolo_net::{Addresses, Mac, SubnetPoolError};
use tombolo_plan::{AddressRequest, AddressWait, Owner};

use crate::queue::Queue;

/// So many addresses of one's choice are listened for; who names more looks again after a while.
const CHOICES: usize = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Address(IpAddr),
    Mac(Mac),
}

#[derive(Clone, Debug, Default)]
struct Place {
    ticket: u64,
    /// Subnets in whose queue for any address it stands.
    any: Vec<String>,
    wishes: Vec<(String, Wish)>,
    /// Every Subnet that it tried.
    tried: Vec<String>,
}

/// A turn that an owner has because something became free.
#[derive(Clone, Debug)]
struct Turn {
    ticket: u64,
    subnet: Option<String>,
}

fn wishes<'a>(subnet: &'a str, addresses: &'a [IpAddr]) -> impl Iterator<Item = (String, Wish)> + 'a {
    addresses.iter().take(CHOICES).map(|address| (subnet.to_owned(), Wish::Address(*address)))
}

/// Those who found no address.
#[derive(Clone, Debug, Default)]
pub struct Waiters {
    places: HashMap<Owner, Place>,
    any: HashMap<String, Queue>,
    wishes: BTreeMap<(String, Wish), BTreeMap<u64, Owner>>,
    of_subnet: BTreeMap<(String, u64), Owner>,
    turns: HashMap<Owner, Turn>,
    next_ticket: u64,
}

impl Waiters {
    /// The owner found no address, for these reasons of these Subnets.
    pub fn wait(&mut self, owner: &Owner, request: &AddressRequest, tried: &[(String, SubnetPoolError)]) {
        let ticket = self.ticket(owner);
        let mut place = Place { ticket, tried: request.subnets.clone(), ..Place::default() };
        for (subnet, error) in tried {
            match error {
                SubnetPoolError::NoAvailableAddress { .. } | SubnetPoolError::NoMac => {
                    self.any.entry(subnet.clone()).or_default().push_at(owner.clone(), ticket);
                    place.any.push(subnet.clone());
                }
                SubnetPoolError::MacConflict { mac, .. } => {
                    place.wishes.push((subnet.clone(), Wish::Mac(*mac)));
                }
                _ => {
                    place.wishes.extend(wishes(subnet, &request.addresses));
                }
            }
        }
        self.take_place(owner, place);
    }

    /// Others have all that the owner chose from.
    pub fn wait_for(&mut self, owner: &Owner, wait: &AddressWait) {
        let wishes = wait.subnets.iter().flat_map(|subnet| wishes(subnet, &wait.addresses)).collect();
        let ticket = self.ticket(owner);
        self.take_place(owner, Place { ticket, tried: wait.subnets.clone(), wishes, any: Vec::new() });
    }

    /// Who waited before keeps its place.
    fn ticket(&mut self, owner: &Owner) -> u64 {
        self.turns.get(owner).map(|turn| turn.ticket).unwrap_or_else(|| {
            self.next_ticket += 1;
            self.next_ticket
        })
    }

    fn take_place(&mut self, owner: &Owner, place: Place) {
        let ticket = place.ticket;
        for wish in &place.wishes {
            self.wishes.entry(wish.clone()).or_default().insert(ticket, owner.clone());
        }
        for subnet in &place.tried {
            self.of_subnet.insert((subnet.clone(), ticket), owner.clone());
        }
        self.places.insert(owner.clone(), place);
    }

    /// The owner is planned now: it waits no more until it says so again.
    pub fn begin(&mut self, owner: &Owner) {
        if let Some(ticket) = self.take_out(owner) {
            self.turns.entry(owner.clone()).or_insert(Turn { ticket, subnet: None });
        }
    }

    /// The owner was planned. `got` is the Subnet in which it took an address, if it did. Who is to have the turn that
    /// it made no use of.
    pub fn end(&mut self, owner: &Owner, got: Option<&str>) -> Option<Owner> {
        let subnet = self.turns.remove(owner)?.subnet?;
        let waits_there = self.places.get(owner).is_some_and(|place| place.any.contains(&subnet));
        if got == Some(subnet.as_str()) || waits_there {
            return None;
        }
        self.next_of(&subnet)
    }

    /// These addresses of a Subnet are free again: who is to try.
    pub fn freed(&mut self, subnet: &str, freed: &Addresses) -> Vec<Owner> {
        let wishes = freed.iter().map(Wish::Address).chain([Wish::Mac(freed.mac)]);
        let mut woken: Vec<Owner> = Vec::new();
        for wish in wishes {
            let all = self.wishes.get(&(subnet.to_owned(), wish));
            if let Some(owner) = all.and_then(|all| all.values().next()).cloned() {
                self.wake(&owner, Some(subnet));
                woken.push(owner);
            }
        }
        if woken.is_empty() {
            woken.extend(self.next_of(subnet));
        }
        woken
    }

    /// A Subnet gives out other addresses than before: all who wait for it are to try.
    pub fn grown(&mut self, subnet: &str) -> Vec<Owner> {
        let from = (subnet.to_owned(), 0);
        let all = self.of_subnet.range(from..).take_while(|((name, _), _)| name == subnet);
        let all: Vec<Owner> = all.map(|(_, owner)| owner.clone()).collect();
        for owner in &all {
            self.wake(owner, None);
        }
        all
    }

    fn next_of(&mut self, subnet: &str) -> Option<Owner> {
        let owner = self.any.get_mut(subnet)?.pop()?;
        self.wake(&owner, Some(subnet));
        Some(owner)
    }

    fn wake(&mut self, owner: &Owner, subnet: Option<&str>) {
        if let Some(ticket) = self.take_out(owner) {
            self.turns.insert(owner.clone(), Turn { ticket, subnet: subnet.map(str::to_owned) });
        }
    }

    fn take_out(&mut self, owner: &Owner) -> Option<u64> {
        let place = self.places.remove(owner)?;
        for subnet in &place.any {
            if let Some(queue) = self.any.get_mut(subnet) {
                queue.remove(owner);
                if queue.is_empty() {
                    self.any.remove(subnet);
                }
            }
        }
        for wish in place.wishes {
            if let Some(all) = self.wishes.get_mut(&wish) {
                all.remove(&place.ticket);
                if all.is_empty() {
                    self.wishes.remove(&wish);
                }
            }
        }
        for subnet in place.tried {
            self.of_subnet.remove(&(subnet, place.ticket));
        }
        Some(place.ticket)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::Family;

    use super::*;

    fn request(subnets: &[&str], addresses: &[&str]) -> AddressRequest {
        AddressRequest {
            subnets: subnets.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ..AddressRequest::default()
        }
    }

    fn full(waiters: &mut Waiters, owner: &Owner, subnets: &[&str]) {
        let error = SubnetPoolError::NoAvailableAddress { family: Family::V4, cidr: String::new() };
        let tried: Vec<_> = subnets.iter().map(|name| ((*name).to_owned(), error.clone())).collect();
        waiters.wait(owner, &request(subnets, &[]), &tried);
    }

    fn asks_for(waiters: &mut Waiters, owner: &Owner, subnet: &str, address: &str) {
        let error =
            tombolo_net::ReserveError::Conflict { addr: address.parse().unwrap(), holder: "h".to_owned() };
        waiters.wait(owner, &request(&[subnet], &[address]), &[(subnet.to_owned(), error.into())]);
    }

    fn addresses(text: &str) -> Addresses {
        Addresses { v4: Some(text.parse().unwrap()), v6: None, mac: "00:00:00:00:00:01".parse().unwrap() }
    }

    fn pod(namespace: &str, name: &str) -> Owner {
        Owner::pod(namespace, name)
    }

    #[test]
    fn one_address_wakes_one_the_one_that_waited_longest() {
        // invariant 12
        let mut waiters = Waiters::default();
        for name in ["zzz", "aaa", "mmm"] {
            full(&mut waiters, &pod("n", name), &["s"]);
        }
        assert_eq!(waiters.freed("s", &addresses("10.0.0.1")), [pod("n", "zzz")]);
        // Another owner was faster: `zzz` keeps its place.
        waiters.begin(&pod("n", "zzz"));
        full(&mut waiters, &pod("n", "zzz"), &["s"]);
        assert_eq!(waiters.end(&pod("n", "zzz"), None), None);
        assert_eq!(waiters.freed("s", &addresses("10.0.0.1")), [pod("n", "zzz")]);
        waiters.begin(&pod("n", "zzz"));
        assert_eq!(waiters.end(&pod("n", "zzz"), Some("s")), None);
        assert_eq!(waiters.freed("s", &addresses("10.0.0.1")), [pod("n", "aaa")]);
        assert!(waiters.freed("other", &addresses("10.0.0.1")).is_empty());
    }

    #[test]
    fn namespaces_take_turns_for_addresses_too() {
        let mut waiters = Waiters::default();
        for number in 0..1_000 {
            full(&mut waiters, &pod("big", &number.to_string()), &["s"]);
        }
        full(&mut waiters, &pod("small", "one"), &["s"]);
        let mut woken = Vec::new();
        for _ in 0..3 {
            for owner in waiters.freed("s", &addresses("10.0.0.1")) {
                waiters.begin(&owner);
                assert_eq!(waiters.end(&owner, Some("s")), None);
                woken.push(owner.to_string());
            }
        }
        assert_eq!(woken, ["pod/big/0", "pod/small/one", "pod/big/1"]);
    }

    #[test]
    fn who_needs_it_no_more_hands_on() {
        let mut waiters = Waiters::default();
        full(&mut waiters, &pod("n", "gone"), &["s"]);
        full(&mut waiters, &pod("n", "next"), &["s", "t"]);
        assert_eq!(waiters.freed("s", &addresses("10.0.0.1")), [pod("n", "gone")]);
        waiters.begin(&pod("n", "gone"));
        assert_eq!(waiters.end(&pod("n", "gone"), None), Some(pod("n", "next")));
        // It got one elsewhere: no owner is left.
        waiters.begin(&pod("n", "next"));
        assert_eq!(waiters.end(&pod("n", "next"), Some("t")), None);
        assert!(waiters.places.is_empty() && waiters.any.is_empty() && waiters.of_subnet.is_empty());
        assert!(waiters.turns.is_empty());
    }

    #[test]
    fn who_is_planned_for_another_cause_waits_no_more_and_keeps_its_place() {
        let mut waiters = Waiters::default();
        full(&mut waiters, &pod("n", "early"), &["s"]);
        full(&mut waiters, &pod("n", "late"), &["s"]);
        waiters.begin(&pod("n", "early"));
        assert_eq!(waiters.len(), 1);
        full(&mut waiters, &pod("n", "early"), &["s"]);
        assert_eq!(waiters.end(&pod("n", "early"), None), None);
        assert_eq!(waiters.freed("s", &addresses("10.0.0.1")), [pod("n", "early")]);
    }

    #[test]
    fn a_static_address_wakes_who_asked_for_it_and_no_other() {
        let mut waiters = Waiters::default();
        for number in 2..250 {
            asks_for(&mut waiters, &pod("n", &number.to_string()), "s", &format!("10.0.0.{number}"));
        }
        full(&mut waiters, &pod("n", "any"), &["s"]);
        assert_eq!(waiters.freed("s", &addresses("10.0.0.7")), [pod("n", "7")]);
        assert_eq!(waiters.freed("s", &addresses("10.0.0.1")), [pod("n", "any")]);
        // The owner that asked for it is gone meanwhile: the one that waits for any address gets it.
        full(&mut waiters, &pod("n", "other"), &["s"]);
        waiters.begin(&pod("n", "7"));
        assert_eq!(waiters.end(&pod("n", "7"), None), Some(pod("n", "other")));
        assert_eq!(waiters.grown("s").len(), 248 - 1);
    }

    #[test]
    fn a_mac_of_ones_choice_wakes_who_asked_for_it() {
        let mut waiters = Waiters::default();
        let (mac, holder) = ("00:00:00:00:00:01".parse().unwrap(), "h".to_owned());
        let error = SubnetPoolError::MacConflict { mac, holder };
        waiters.wait(&pod("n", "mac"), &request(&["s"], &[]), &[("s".to_owned(), error)]);
        full(&mut waiters, &pod("n", "any"), &["s"]);
        // Its holder gives it back with the address.
        assert_eq!(waiters.freed("s", &addresses("10.0.0.1")), [pod("n", "mac")]);
    }
}
