//! Which siblings one pinger pings: pings between all pairs of a thousand nodes would be two hundred thousand each second.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The `most` names that follow `own` on a ring of all names, in an order that is random to whoever named them, and the same for
/// all who choose. So each name is chosen as often as every other, by `most` others; and one that comes or goes changes the
/// choice of few.
#[must_use]
pub fn choose<'a>(own: &str, all: impl IntoIterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let place = |name: &str| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        (hasher.finish(), name.to_owned())
    };
    let here = place(own);
    let mut others: Vec<_> =
        all.into_iter().filter(|name| *name != own).map(|name| (place(name), name)).collect();
    others.sort();
    let next = others.partition_point(|(at, _)| *at <= here);
    others.rotate_left(next);
    others.into_iter().take(most).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_is_chosen_as_often_as_every_other() {
        let all: Vec<String> = (0..200).map(|n| format!("node{n}")).collect();
        let names = || all.iter().map(String::as_str);
        let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
        for own in names() {
            let mine = choose(own, names(), 10);
            assert!(mine.len() == 10 && !mine.contains(&own));
            mine.into_iter().for_each(|name| *chosen.entry(name).or_default() += 1);
        }
        assert!(chosen.len() == 200 && chosen.values().all(|n| *n == 10));
    }

    #[test]
    fn of_a_few_all_are_chosen_and_one_that_leaves_changes_little() {
        assert_eq!(choose("a", ["a", "b", "c"], 10).len(), 2);
        assert!(choose("a", ["a"], 10).is_empty() && choose("a", ["b"], 0).is_empty());
        let all: Vec<String> = (0..50).map(|n| format!("node{n}")).collect();
        let before = choose("node7", all.iter().map(String::as_str), 10);
        let after = choose("node7", all.iter().map(String::as_str).filter(|name| *name != before[0]), 10);
        assert_eq!(before[1..], after[..9]);
    }
}
