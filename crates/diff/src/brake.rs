//! The delete brake (invariant 4): deletions that nothing explains are few, or they wait for a human.
//!
//! A deletion is explained when the object was seen to be deleted or bears a deletionTimestamp. All
//! others, after a start or a relist say, are charged here. Beyond max(50, 10 % of our rows) within one
//! plan (from the first change to rest) the brake holds them until it is released by hand.

/// The smallest allowance, in rows.
const FLOOR: usize = 50;

/// How many unexplained deletions were let through, and whether more are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brake {
    charged: usize,
    holding: bool,
    open: bool,
    mark: Option<String>,
}

impl Brake {
    /// Asks to delete `rows` rows of ours that nothing explains; `total` rows of ours stand now. True: go
    /// on. False: the caller keeps the owner back until [`Brake::release`] returns true.
    pub fn charge(&mut self, rows: usize, total: usize) -> bool {
        if !self.open && (self.holding || self.charged + rows > allowance(total + self.charged)) {
            self.holding = true;
            return false;
        }
        self.charged += rows;
        true
    }

    /// Reads the user's release mark (the annotation that `kubectl ko brake release` writes). A mark that
    /// changes while the brake holds opens it until the plan is done; true when it does.
    pub fn release(&mut self, mark: Option<&str>) -> bool {
        let changed = mark.is_some() && self.mark.as_deref() != mark;
        self.mark = mark.map(str::to_owned);
        if !(changed && self.holding) {
            return false;
        }
        self.holding = false;
        self.open = true;
        true
    }

    /// The plan is done: nothing is dirty, nothing is under way. Counting starts anew, unless rows are held.
    pub fn rest(&mut self) {
        if !self.holding {
            self.charged = 0;
            self.open = false;
        }
    }

    /// Whether deletions are being held back.
    #[must_use]
    pub fn holding(&self) -> bool {
        self.holding
    }
}

/// Unexplained deletions allowed among `total` rows of ours.
#[must_use]
pub fn allowance(total: usize) -> usize {
    FLOOR.max(total / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_go_many_wait() {
        // invariant 4
        let mut brake = Brake::default();
        assert!(!brake.holding());
        assert!((0..50).all(|i| brake.charge(1, 60 - i)));
        assert!(!brake.charge(1, 10));
        assert!(brake.holding());
        // Nothing more goes while it holds, and rest alone doesn't open it.
        brake.rest();
        assert!(!brake.charge(1, 1000));
    }

    #[test]
    fn a_tenth_of_many_goes() {
        let mut brake = Brake::default();
        assert!(brake.charge(999, 10_000));
        // A tenth of what stood at first, not of what is left.
        assert!(brake.charge(1, 9_001));
        assert!(!brake.charge(1, 9_000));
    }

    #[test]
    fn only_a_new_mark_releases() {
        let mut brake = Brake::default();
        assert!(!brake.release(Some("of an earlier day")));
        assert!(!brake.charge(51, 51));
        assert!(!brake.release(Some("of an earlier day")));
        assert!(!brake.release(None));
        assert!(brake.release(Some("now")));
        assert!(brake.charge(51, 51));
        brake.rest();
        // The next plan counts anew.
        assert!(!brake.charge(51, 51));
    }
}
