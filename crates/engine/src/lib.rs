//! The controller's decisions as one state machine: events in, effects out.
//!
//! Decides what is done next: which owner is planned, in which stage it is, what goes into one transaction,
//! when to try again, and whether this process may write at all. Reads no clock and does no IO; the
//! program around it executes [`Effect`]s and reports their outcome. The rows and objects themselves are decided by
//! `tombolo-plan`, the operations by `tombolo-diff`.

mod addresses;
mod commit;
mod contention;
pub mod fence;
mod for_rows;
pub mod io;
mod queue;
mod reign;
mod report;
mod sources;
mod stats;
mod step;
mod vain;
mod waiters;
mod watch;
mod work;
mod writes;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tombolo_ovsdb::Replica;
use tombolo_plan::nb::Ownership;
use tombolo_plan::world::Dirty;
use tombolo_plan::{Config, Owner, World};

pub use io::{
    Effect, Event, Leadership, Millis, NbEvent, Notice, Object, Verb, WatchEvent, Write, WriteError,
};
pub use stats::{Health, Stats};

use commit::Commit;
use io::ObjectKey;
use reign::Reign;
use sources::Sources;
use writes::{Busy, PendingWrite};

/// How long the replica may be stale before the lease is given up (invariant 6).
const STALE_LIMIT: Millis = 10_000;
/// A report that is out of date is written at most so late.
const REPORT_DELAY: Millis = 1_000;
/// How long a report that lists others keeps the next one waiting, for each that it lists: short lists are written at
/// once, and long ones take the same small part of the time, however many come.
const ENTRY_DELAY: Millis = 5;
/// First pause after a failure.
const PAUSE: Millis = 100;
/// So many owners are planned in one turn; then whatever else happened comes first (a lost lease, a question of the API
/// server's). At 25 to 50 µs for each that is some 20 ms.
const TURN: usize = 512;
/// How long a refused owner waits before it is planned again without a cause.
const REFUSED_PAUSE: Millis = 30_000;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Lead {
    /// Not the leader.
    Lost,
    /// The lease is ours; the epoch is yet to be taken, not before this time.
    Held(Millis),
    /// The epoch is being taken.
    Taking(u64),
    /// Writing with this epoch.
    Leading(u64),
}

/// Every owner there may be: of an object, of rows, of a router of Neutron's. A leader begins with these.
#[must_use]
pub fn owners(world: &World) -> BTreeSet<Owner> {
    let mut owners: BTreeSet<Owner> = world.owners().collect();
    owners.extend(tombolo_diff::owners(world.nb(), &world.config().cluster));
    let routers = world.nb().rows(tombolo_neutron::table::ROUTER);
    let routers = routers.filter(|(_, row)| tombolo_neutron::is_router(row));
    owners.extend(routers.filter_map(|(_, row)| row.str("name").map(Owner::vpc)));
    owners
}

/// The state machine.
#[derive(Debug)]
pub struct Engine {
    world: World,
    unix_at_zero: i64,
    sources: Sources,
    nb_known: bool,
    nb_fresh: bool,
    stale_since: Option<Millis>,
    /// Rows of ours in the replica, for the brake.
    own_rows: usize,
    lead: Lead,
    /// Counts the leaderships of this process.
    term: u64,
    reign: Reign,
    writes: HashMap<u64, PendingWrite>,
    /// Objects that are being written.
    busy_objects: BTreeMap<ObjectKey, Busy>,
    commit: Option<Commit>,
    next_id: u64,
    out: Vec<Effect>,
    stats: Stats,
}

impl Engine {
    /// A new engine. `unix_at_zero` is the wall-clock time in seconds since 1970 at millisecond 0 of the clock
    /// by which [`Engine::handle`] and [`Engine::poll`] are called.
    #[must_use]
    pub fn new(config: Config, unix_at_zero: i64) -> Self {
        Engine {
            world: World::new(config),
            unix_at_zero,
            sources: Sources::default(),
            nb_known: false,
            nb_fresh: false,
            stale_since: None,
            own_rows: 0,
            lead: Lead::Lost,
            term: 0,
            reign: Reign::default(),
            writes: HashMap::new(),
            busy_objects: BTreeMap::new(),
            commit: None,
            next_id: 0,
            out: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Everything known, for inspection.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Counters for metrics.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether the process is fit to serve, and whether it leads.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            synced: self.sources.can_plan(),
            nb_fresh: self.nb_known && self.nb_fresh,
            leading: matches!(self.lead, Lead::Leading(_)),
            dirty: self.reign.work.pending() + self.reign.after_commit.len(),
            brake_holding: self.reign.brake.holding(),
        }
    }

    /// Whether an owner will be planned again, whatever happens, for inspection.
    #[must_use]
    pub fn is_pending(&self, owner: &Owner) -> bool {
        let reign = &self.reign;
        let is_part = || reign.parts.iter().any(|part| part.contains(owner));
        let waits = || self.busy_objects.values().any(|busy| busy.waiting.contains(owner));
        reign.work.is_pending(owner) || reign.after_commit.contains(owner) || is_part() || waits()
    }

    /// The owner for which another one waits, for inspection.
    #[must_use]
    pub fn waits_for(&self, owner: &Owner) -> Option<&Owner> {
        self.reign.work.waits_for(owner)
    }

    /// When [`Engine::poll`] is to be called even if nothing happens; `None` for never.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Millis> {
        let stale = match self.lead {
            Lead::Lost => None,
            _ => self.stale_since.map(|since| since + STALE_LIMIT),
        };
        let timer = match self.lead {
            // The turn was over before the work was: at once.
            Lead::Leading(_) if self.reign.more_since.is_some() && self.is_informed() => {
                self.reign.more_since
            }
            // What else keeps the epoch from being taken ends with an event.
            Lead::Held(from) if self.is_informed() && self.commit.is_none() => Some(from),
            _ if self.is_active() => {
                self.reign.work.next_timer().into_iter().chain(self.reign.contention.next_end()).min()
            }
            _ => None,
        };
        stale.into_iter().chain(timer).min()
    }

    /// Takes one event in. Effects come from [`Engine::poll`], so that several events lead to one answer.
    pub fn handle(&mut self, now: Millis, event: Event) {
        let mut dirty = Dirty::default();
        match event {
            Event::Watch(event) => self.watched(event, &mut dirty),
            Event::ServiceNetworks(networks) => self.world.apply_services(networks, &mut dirty),
            Event::Nb(event) => self.nb(now, event, &mut dirty),
            Event::Leadership(Leadership::Held) => {
                if self.lead == Lead::Lost {
                    self.lead = Lead::Held(now);
                }
            }
            Event::Leadership(Leadership::Lost) => self.lose(),
            Event::WriteDone { id, result } => self.write_done(now, id, result, &mut dirty),
            Event::CommitDone { id, result } => self.commit_done(now, id, result),
            Event::Tick => {}
        }
        self.take_in(now, dirty);
    }

    /// A standby remembers nothing to do: on taking over, everything is planned.
    pub(crate) fn take_in(&mut self, now: Millis, dirty: Dirty) {
        if !matches!(self.lead, Lead::Leading(_)) {
            return;
        }
        for owner in dirty.now {
            self.reign.work.add(owner);
        }
        for owner in dirty.soon {
            self.reign.work.add_at(owner, now + REPORT_DELAY);
        }
        for owner in dirty.paced {
            self.reign.work.add_paced(owner, now);
        }
        for subnet in dirty.grown {
            for owner in self.reign.waiters.grown(&subnet) {
                self.reign.work.add(owner);
            }
        }
        for (subnet, addresses) in dirty.freed {
            for owner in self.reign.waiters.freed(&subnet, &addresses) {
                self.reign.work.add(owner);
            }
        }
    }

    /// Whether [`Engine::poll`] left work for the next turn: it is to be called again as soon as what happened meanwhile was
    /// handed over.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.reign.more_since.is_some()
    }

    /// What is to be done now.
    pub fn poll(&mut self, now: Millis) -> Vec<Effect> {
        self.world.set_time(self.unix_at_zero + i64::try_from(now / 1_000).unwrap_or(i64::MAX));
        if self.lead != Lead::Lost && self.stale_since.is_some_and(|since| now >= since + STALE_LIMIT) {
            self.resign("the northbound database has been out of reach for too long");
        }
        let may_take = matches!(self.lead, Lead::Held(from) if from <= now);
        if may_take && self.is_informed() && self.commit.is_none() {
            self.take_epoch();
        }
        self.reign.more_since = None;
        if self.is_active() {
            self.reign.contention.expire(now);
            self.stats.contended = self.reign.contention.count() as u64;
            self.reign.work.tick(now);
            self.run(now);
            self.stats.vain_writes += std::mem::take(&mut self.reign.vain.writes);
            self.stats.unchanged = self.reign.vain.count() as u64;
            self.stats.waiting_for_address = self.reign.waiters.len() as u64;
            let waits = !self.reign.parts.is_empty() || !self.reign.after_commit.is_empty();
            let under_way = self.commit.is_some() || !self.writes.is_empty();
            if self.reign.work.is_at_rest() && !under_way && !waits {
                self.reign.brake.rest();
            }
        }
        std::mem::take(&mut self.out)
    }

    /// Enough is known to plan.
    fn is_informed(&self) -> bool {
        self.sources.can_plan() && self.nb_known && self.nb_fresh
    }

    fn is_active(&self) -> bool {
        matches!(self.lead, Lead::Leading(_)) && self.is_informed()
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn resign(&mut self, reason: &str) {
        self.lose();
        self.out.push(Effect::Resign { reason: reason.to_owned() });
    }

    fn lose(&mut self) {
        self.lead = Lead::Lost;
        let mut reign = std::mem::take(&mut self.reign);
        // What was chosen and not persisted is free again; if its write goes through after all, the watch says so.
        for (owner, subnet, ip) in reign.work.clear() {
            self.world.release(&owner, &subnet, &ip, &mut Dirty::default());
        }
        self.stats.vain_writes += reign.vain.writes;
        // What only a leader knows is no longer true of this process.
        self.stats.forget_gauges();
        // Writes and a commit under way still end, and are then of no owner's concern. Their objects stay busy:
        // never two writes for one object, not even across leaderships.
        self.term += 1;
    }

    fn lead_with(&mut self, epoch: u64) {
        self.lead = Lead::Leading(epoch);
        self.world.set_epoch(epoch);
        self.world.adopt_ports();
        self.reign.brake.release(self.release_mark().as_deref());
        let owners = owners(&self.world);
        self.log(false, format!("leading with epoch {epoch}: {} objects to look at", owners.len()));
        let orphans = tombolo_diff::orphans(self.world.nb(), &self.world.config().cluster);
        self.stats.orphans = orphans.len() as u64;
        for (table, uuid, owner) in orphans.iter().take(10) {
            self.log(
                true,
                format!("row {uuid} of {table} bears the unknown owner {owner:?}; it is left alone"),
            );
        }
        // What is older comes first among its kind.
        let mut owners: Vec<Owner> = owners.into_iter().collect();
        owners.sort_by_cached_key(|owner| (owner.kind, self.age(owner), owner.name.clone()));
        for owner in owners {
            self.reign.work.add(owner);
        }
    }

    /// When the owner's object was created; none at all comes first, since its rows are to go.
    fn age(&self, owner: &Owner) -> Option<i64> {
        let (kind, ..) = watch::object_of(owner)?;
        Some(self.held_meta(kind, &owner.name)?.creation_timestamp.as_ref()?.0.as_second())
    }

    fn nb(&mut self, now: Millis, event: NbEvent, dirty: &mut Dirty) {
        match event {
            NbEvent::Replaced(mut replica) => {
                let changes = self.world.nb().changes_to(&mut replica);
                self.take_changes(replica, &changes, dirty);
                self.nb_known = true;
                self.nb_fresh = true;
                self.stale_since = None;
            }
            NbEvent::Changed { replica, changes } => self.take_changes(replica, &changes, dirty),
            NbEvent::Stale => {
                self.nb_fresh = false;
                self.stale_since.get_or_insert(now);
            }
            NbEvent::Fresh => {
                self.nb_fresh = true;
                self.stale_since = None;
            }
        }
        if let (Lead::Leading(ours), true) = (&self.lead, self.nb_fresh) {
            let ours = *ours;
            let theirs = fence::epoch(self.world.nb(), &self.world.config().cluster);
            if self.nb_known && theirs != Some(ours) {
                self.resign(&format!("the database holds epoch {theirs:?}, ours is {ours}"));
            }
        }
    }

    fn take_changes(&mut self, replica: Replica, changes: &tombolo_ovsdb::ChangeSet, dirty: &mut Dirty) {
        let owner = |row: &Option<std::sync::Arc<tombolo_ovsdb::Row>>| match row {
            Some(row) => tombolo_plan::nb::ownership(&self.world.config().cluster, row),
            None => Ownership::Foreign,
        };
        for table in tombolo_plan::nb::OWNED {
            for (uuid, change) in changes.of_table(table) {
                let name = |row: &Option<std::sync::Arc<tombolo_ovsdb::Row>>| {
                    row.as_ref().and_then(|row| row.str("name").map(str::to_owned))
                };
                // One of Kube-OVN's may say by now what ours would.
                let may_be_free = || name(&change.old) != name(&change.new) || self.world.config().take_over;
                if !self.reign.taken.is_empty() && may_be_free() {
                    dirty.extend(self.reign.taken.wake(uuid));
                }
                let (before, after) = (owner(&change.old), owner(&change.new));
                match (before == Ownership::Foreign, after == Ownership::Foreign) {
                    (true, false) => self.own_rows += 1,
                    (false, true) => self.own_rows = self.own_rows.saturating_sub(1),
                    _ => {}
                }
                if change.old.is_none() {
                    dirty.extend(self.reign.awaited.wake(uuid));
                }
                if let (true, Some(row)) = (before == Ownership::Foreign, &change.new) {
                    let stood_for = tombolo_plan::nb::stands_for(row);
                    dirty.extend(stood_for.into_iter().flat_map(|uuid| self.reign.awaited.wake(uuid)));
                }
                // Owners that wait for this row, to hang theirs on it, can go on.
                if let (true, Ownership::Ours(owner)) = (before == Ownership::Foreign, after) {
                    self.reign.work.unblock(&owner);
                }
            }
        }
        self.world.apply_nb(replica, changes, dirty);
    }
}
