//! Healing without contention: rows that another client undoes as often as they are restored wait longer each time.
//!
//! Decides from the commits alone: if an owner's rows are written again although the desired rows are the same as
//! before, another client has undone them. Doesn't decide what is restored, and identifies no client.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::hash::Hasher as _;

use tombolo_names::Reason;
use tombolo_ovsdb::Replica;
use tombolo_plan::{Owner, Problem, Rows};

use crate::io::Millis;

/// So often rows are restored at once. A repair of Neutron's, an operator's slip of the hand come far below.
const AT_ONCE: u32 = 5;
/// The first pause; each further one is twice as long.
const FIRST: Millis = 1_000;
/// The longest pause.
const LONGEST: Millis = 300_000;
/// Rows that stay intact for this long are at peace. Longer than the longest pause; otherwise a patient adversary would
/// meet five restorations in a row each time.
const PEACE: Millis = 900_000;

/// So many writes are remembered, at most.
const REMEMBERED: usize = 16_384;

/// What should stand, as a number: equal for equal rows and, for all that matters here, for no others.
pub fn fingerprint(replica: &Replica, rows: &Rows) -> u64 {
    struct Text(DefaultHasher);
    impl fmt::Write for Text {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut text = Text(DefaultHasher::new());
    // Entries of a row that has yet to come are written once it is there: no client has undone them.
    let there = rows.entries.iter().filter(|entry| replica.row(entry.table, &entry.row).is_some()).count();
    // Writing to a hasher can't fail.
    let _ = write!(text, "{rows:?} {there}");
    text.0.finish()
}

#[derive(Clone, Debug)]
struct Written {
    /// What was to stand.
    wanted: u64,
    /// How often it was written again.
    restored: u32,
    /// When it was last written.
    at: Millis,
}

impl Written {
    fn pause(&self) -> Millis {
        match self.restored.checked_sub(AT_ONCE) {
            None => 0,
            Some(more) => (FIRST << more.min(20)).min(LONGEST),
        }
    }
}

/// What was written lately.
#[derive(Clone, Debug, Default)]
pub struct Contention {
    written: HashMap<Owner, Written>,
    /// The same by time; an owner that was written since is there again further on.
    order: VecDeque<(Millis, Owner)>,
    /// In the transaction under way.
    pending: HashMap<Owner, u64>,
    contended: BTreeSet<Owner>,
}

impl Contention {
    /// Until when rows that should stand as they were written before must wait; `None`: they need not.
    pub fn wait(&self, owner: &Owner, wanted: u64, now: Millis) -> Option<Millis> {
        let written = self.written.get(owner).filter(|written| written.wanted == wanted)?;
        Some(written.at + written.pause()).filter(|until| *until > now)
    }

    /// Rows go into a transaction.
    pub fn writing(&mut self, owner: &Owner, wanted: u64) {
        self.pending.insert(owner.clone(), wanted);
    }

    /// The transaction failed: nothing was written, as far as one knows.
    pub fn failed(&mut self, owner: &Owner) {
        self.pending.remove(owner);
    }

    /// The transaction is done. True: it restored rows that another client had undone.
    pub fn done(&mut self, owner: &Owner, now: Millis) -> bool {
        let Some(wanted) = self.pending.remove(owner) else { return false };
        let before = self.written.get(owner).filter(|written| written.wanted == wanted);
        let restored = before.map_or(0, |written| written.restored + 1);
        self.order.push_back((now, owner.clone()));
        self.written.insert(owner.clone(), Written { wanted, restored, at: now });
        if restored >= AT_ONCE {
            self.contended.insert(owner.clone());
        } else {
            self.contended.remove(owner);
        }
        // Pods come and go by the thousand: the oldest are at peace, as far as one can remember. A fight is remembered.
        while self.order.len() > REMEMBERED {
            if let Some((at, owner)) = self.order.pop_front() {
                self.forget(&owner, at, false);
            }
        }
        restored > 0
    }

    fn forget(&mut self, owner: &Owner, at: Millis, contended_too: bool) {
        let is_last = self.written.get(owner).is_some_and(|written| written.at == at);
        if is_last && (contended_too || !self.contended.contains(owner)) {
            self.written.remove(owner);
            self.contended.remove(owner);
        }
    }

    /// Forgets what has been at peace for long enough.
    pub fn expire(&mut self, now: Millis) {
        while let Some((at, owner)) = self.order.pop_front_if(|(at, _)| *at + PEACE <= now) {
            self.forget(&owner, at, true);
        }
        // Those whose place in the order was given up.
        let over = |owner: &&Owner| self.written.get(*owner).is_none_or(|written| written.at + PEACE <= now);
        let over: Vec<Owner> = self.contended.iter().filter(over).cloned().collect();
        for owner in over {
            self.written.remove(&owner);
            self.contended.remove(&owner);
        }
    }

    /// When the next fight may be over.
    pub fn next_end(&self) -> Option<Millis> {
        let ends = self.contended.iter().filter_map(|owner| self.written.get(owner));
        ends.map(|written| written.at + PEACE).min()
    }

    /// How many owners' rows are restored with pauses.
    pub fn count(&self) -> usize {
        self.contended.len()
    }
}

/// The problem that reports such a fight to the user.
pub fn problem() -> Problem {
    Problem {
        reason: Reason::ConflictingWriter,
        message: format!(
            "somebody changes or deletes our rows in OVN's northbound database as often as they are restored; they are \
             now restored with pauses of up to {} minutes. Find out who does it and end it there",
            LONGEST / 60_000
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner::subnet("s")
    }

    fn write(contention: &mut Contention, wanted: u64, now: Millis) -> bool {
        contention.writing(&owner(), wanted);
        contention.done(&owner(), now)
    }

    #[test]
    fn pauses_begin_after_some_restorations_and_grow() {
        let mut contention = Contention::default();
        let mut now = 0;
        let mut pauses = Vec::new();
        for round in 0..20 {
            let pause = contention.wait(&owner(), 7, now).map_or(0, |until| until - now);
            pauses.push(pause);
            now += pause;
            assert_eq!(write(&mut contention, 7, now), round > 0);
        }
        assert_eq!(pauses[..9], [0, 0, 0, 0, 0, 0, 1_000, 2_000, 4_000]);
        assert_eq!(pauses[19], LONGEST);
        assert_eq!(contention.count(), 1);
    }

    #[test]
    fn what_should_stand_changed() {
        let mut contention = Contention::default();
        for _ in 0..10 {
            write(&mut contention, 7, 0);
        }
        assert!(contention.wait(&owner(), 7, 0).is_some());
        // Something new is no restoration, and needn't wait for the old one.
        assert_eq!(contention.wait(&owner(), 8, 0), None);
        assert!(!write(&mut contention, 8, 0));
        assert_eq!((contention.count(), contention.wait(&owner(), 8, 0)), (0, None));
    }

    #[test]
    fn peace_is_made_by_time() {
        let mut contention = Contention::default();
        for _ in 0..10 {
            write(&mut contention, 7, 1_000);
        }
        let end = contention.next_end().unwrap();
        contention.expire(end - 1);
        assert_eq!(contention.count(), 1);
        contention.expire(end);
        assert_eq!((contention.count(), contention.next_end()), (0, None));
        assert!(!write(&mut contention, 7, end));
        assert!(contention.written.len() == 1 && contention.order.len() == 1);
    }

    #[test]
    fn churn_is_forgotten_and_a_fight_is_not() {
        let mut contention = Contention::default();
        for _ in 0..10 {
            write(&mut contention, 7, 10);
        }
        for number in 0..100_000 {
            let pod = Owner::pod("n", &number.to_string());
            contention.writing(&pod, 1);
            contention.done(&pod, 11);
        }
        assert_eq!((contention.written.len(), contention.order.len()), (REMEMBERED + 1, REMEMBERED));
        assert_eq!(contention.count(), 1);
        assert!(contention.wait(&owner(), 7, 11).is_some());
        contention.expire(PEACE + 9);
        assert_eq!(contention.count(), 1);
        contention.expire(PEACE + 10);
        assert_eq!(contention.count(), 0);
    }

    #[test]
    fn what_failed_was_not_written() {
        let mut contention = Contention::default();
        for _ in 0..10 {
            contention.writing(&owner(), 7);
            contention.failed(&owner());
        }
        assert!(!contention.done(&owner(), 0) && !write(&mut contention, 7, 0));
    }
}
