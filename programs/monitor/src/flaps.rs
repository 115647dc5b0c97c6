//! Ports that several chassis claim in turns: two hosts have the same interface, each takes it from the other, and the pod or
//! VM is reached every other second.

use std::collections::BTreeMap;
use std::time::Duration;

use tombolo_ovsdb::Uuid;

/// Who claimed a port, lately.
#[derive(Clone, Debug)]
struct Claims {
    name: String,
    /// The last one, and the one before.
    last: Uuid,
    before: Option<Uuid>,
    /// When the last one came.
    at: Duration,
    returns: u64,
}

/// What is known of ports that moved. A port that moves once, as at a live migration, isn't one that flaps.
#[derive(Clone, Debug)]
pub struct Flaps {
    window: Duration,
    ports: BTreeMap<Uuid, Claims>,
}

impl Flaps {
    /// A return counts within `window`.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self { window, ports: BTreeMap::new() }
    }

    /// A port binding has changed hands: `old` is none for a port that nobody had. A chassis that only lets go of it, which is
    /// how each claim by another one begins, isn't a change of hands.
    pub fn moved(&mut self, now: Duration, binding: Uuid, name: &str, old: Option<Uuid>, new: Option<Uuid>) {
        let Some(new) = new.or(old) else { return };
        let window = self.window;
        let fresh =
            || Claims { name: name.to_owned(), last: old.unwrap_or(new), before: None, at: now, returns: 0 };
        let claims = self.ports.entry(binding).or_insert_with(fresh);
        if claims.last == new {
            return;
        }
        if claims.before == Some(new) && now.saturating_sub(claims.at) <= window {
            claims.returns += 1;
        }
        claims.before = Some(claims.last);
        claims.last = new;
        claims.at = now;
    }

    /// A binding is gone, and so is its series.
    pub fn gone(&mut self, binding: Uuid) {
        self.ports.remove(&binding);
    }

    /// Forgets ports that stayed where they are and never flapped.
    pub fn forget(&mut self, now: Duration) {
        let window = self.window;
        self.ports.retain(|_, claims| claims.returns > 0 || now.saturating_sub(claims.at) <= window);
    }

    /// How often each port returned to the chassis that had lost it; only ports that did.
    pub fn returns(&self) -> impl Iterator<Item = (&str, u64)> {
        let flapping = self.ports.values().filter(|claims| claims.returns > 0);
        flapping.map(|claims| (claims.name.as_str(), claims.returns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: Uuid = Uuid::from_u128(9);

    fn chassis(n: u128) -> Option<Uuid> {
        Some(Uuid::from_u128(n))
    }

    fn flaps(moves: &[(u64, Option<Uuid>, Option<Uuid>)]) -> u64 {
        let mut flaps = Flaps::new(Duration::from_secs(300));
        for (at, old, new) in moves {
            flaps.moved(Duration::from_secs(*at), PORT, "p", *old, *new);
        }
        flaps.returns().map(|(name, returns)| (assert_eq!(name, "p"), returns).1).sum()
    }

    #[test]
    fn there_and_back_again_counts() {
        let (a, b, c) = (chassis(1), chassis(2), chassis(3));
        assert_eq!(flaps(&[(0, None, a), (9, a, b)]), 0, "a live migration");
        assert_eq!(flaps(&[(0, a, b), (1, b, a), (2, a, b)]), 2);
        assert_eq!(flaps(&[(0, a, None), (0, None, b), (1, b, None), (1, None, a)]), 1, "let go in between");
        assert_eq!(flaps(&[(0, a, None), (1, None, a), (2, a, None)]), 0, "one chassis, restarting");
        assert_eq!(flaps(&[(0, a, b), (1, b, c), (2, c, a)]), 0, "moved on");
        assert_eq!(flaps(&[(0, a, b), (400, b, a)]), 0, "migrated back later");
    }

    #[test]
    fn what_stays_is_forgotten_and_what_flapped_until_it_is_gone() {
        let mut flaps = Flaps::new(Duration::from_secs(300));
        let other = Uuid::from_u128(8);
        flaps.moved(Duration::ZERO, other, "q", chassis(1), chassis(2));
        flaps.moved(Duration::ZERO, PORT, "p", chassis(1), chassis(2));
        flaps.moved(Duration::ZERO, PORT, "p", chassis(2), chassis(1));
        flaps.forget(Duration::from_secs(301));
        assert_eq!(flaps.ports.len(), 1);
        assert_eq!(flaps.returns().count(), 1);
        flaps.gone(PORT);
        assert_eq!(flaps.returns().count(), 0);
    }
}
