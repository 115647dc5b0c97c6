//! What the tests of a run counted, from what libtest prints and from the file that skips are written to.
//!
//! libtest has no skip at run time: a test that lacked a part is `ok` to it (`dev/needs` says how it comes here).
//! Each such test is taken out of those that passed; one that can't be found among them is a failure, as is a run in
//! which nothing ran.

use std::collections::{BTreeMap, BTreeSet};

/// What one step counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Tests that tested and found all as it should be.
    pub passed: u64,
    /// Tests, or checks, or whole steps, that failed.
    pub failed: u64,
    /// Tests that didn't test.
    pub skipped: u64,
}

impl Count {
    /// One check.
    pub fn one(ok: bool) -> Self {
        if ok { Count { passed: 1, ..Count::default() } } else { Count { failed: 1, ..Count::default() } }
    }

    /// Adds another step's.
    pub fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// The last line of a run.
    pub fn line(self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads what `cargo test` prints, line by line.
#[derive(Debug, Default)]
pub struct Reader {
    count: Count,
    /// Tests by name, and in how many programs they ended so.
    ok: BTreeMap<String, u64>,
    failed: BTreeSet<String>,
}

/// What a step counted, and what to say about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Skips in their place.
    pub count: Count,
    /// Which part was missing, and the tests that lacked it.
    pub lacked: BTreeMap<String, Vec<String>>,
    /// Why there are failures that libtest doesn't tell of.
    pub faults: Vec<String>,
}

impl Reader {
    /// Takes one line of standard output.
    pub fn line(&mut self, line: &str) {
        if let Some(result) = result(line) {
            self.count.add(result);
        } else if let Some((name, verdict)) =
            line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        {
            let name = name.strip_suffix(" - should panic").unwrap_or(name).to_owned();
            match verdict {
                "ok" => *self.ok.entry(name).or_default() += 1,
                "FAILED" => drop(self.failed.insert(name)),
                _ => {}
            }
        }
    }

    /// The sum. `skips` is the text of the file that skips were written to, `succeeded` cargo's exit status.
    pub fn finish(mut self, skips: &str, succeeded: bool) -> Outcome {
        let mut faults = Vec::new();
        let mut lacked: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for line in skips.lines() {
            let mut words = line.splitn(3, '\t');
            let (Some(program), Some(test), Some(part)) = (words.next(), words.next(), words.next()) else {
                faults.push(format!("not a line of skips: {line:?}"));
                continue;
            };
            // A test that lacks two parts is one test.
            if !seen.insert((program, test)) {
                continue;
            }
            match self.ok.get_mut(test) {
                Some(n) if *n > 0 && self.count.passed > 0 => {
                    *n -= 1;
                    self.count.passed -= 1;
                    self.count.skipped += 1;
                    lacked.entry(part.to_owned()).or_default().push(test.to_owned());
                }
                _ if self.failed.contains(test) => {}
                _ => faults.push(format!("{program} skipped a test that didn't end: {test} (needs {part})")),
            }
        }
        if !succeeded && self.count.failed == 0 {
            faults.push("cargo test failed: see above".to_owned());
        }
        if self.count == Count::default() && faults.is_empty() {
            faults.push("no test ran".to_owned());
        }
        self.count.failed += faults.len() as u64;
        Outcome { count: self.count, lacked, faults }
    }
}

/// Reads `test result: ok. 3 passed; 0 failed; 1 ignored; …`. Ignored ones are skipped.
fn result(line: &str) -> Option<Count> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        rest.split([';', '.'])
            .filter_map(|part| part.trim().strip_suffix(word))
            .find_map(|n| n.trim().parse().ok())
            .unwrap_or(0)
    };
    Some(Count { passed: number(" passed"), failed: number(" failed"), skipped: number(" ignored") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: u64, failed: u64, skipped: u64) -> Count {
        Count { passed, failed, skipped }
    }

    fn read(output: &str, skips: &str, succeeded: bool) -> Outcome {
        let mut reader = Reader::default();
        output.lines().for_each(|line| reader.line(line));
        reader.finish(skips, succeeded)
    }

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(result(line), Some(count(12, 1, 2)));
        assert_eq!(result("running 3 tests"), None);
        assert_eq!(count(3, 0, 0).line(), "3 passed, 0 failed, 0 skipped");
    }

    const TWO_PROGRAMS: &str = "
running 3 tests
test a::one ... ok
test a::two ... ok
test three - should panic ... ok

test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 2 tests
test a::one ... ok
test four ... FAILED

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
";

    #[test]
    fn a_skip_is_taken_out_of_what_passed() {
        let plain = read(TWO_PROGRAMS, "", false);
        assert_eq!((plain.count, plain.faults.len()), (count(4, 1, 0), 0));

        // One test lacks two parts, and one of the same name in another program lacks one.
        let skips = "p1\ta::one\tKubernetes\np1\ta::one\tOVN\np1\tthree\tOVN\np2\ta::one\tKubernetes\n";
        let outcome = read(TWO_PROGRAMS, skips, false);
        assert_eq!(outcome.count, count(1, 1, 3));
        assert_eq!(outcome.faults, Vec::<String>::new());
        assert_eq!(outcome.lacked["Kubernetes"], ["a::one", "a::one"]);
        assert_eq!(outcome.lacked["OVN"], ["three"]);
    }

    #[test]
    fn a_test_that_failed_is_no_skip() {
        let outcome = read(TWO_PROGRAMS, "p2\tfour\tOVN\n", false);
        assert_eq!(outcome.count, count(4, 1, 0));
    }

    #[test]
    fn a_skip_of_no_test_is_a_failure() {
        for skips in ["p1\tmain\tOVN\n", "p1\tfive\tOVN\n", "nonsense\n"] {
            let outcome = read(TWO_PROGRAMS, skips, false);
            assert_eq!(outcome.count, count(4, 2, 0), "{skips:?}");
            assert_eq!(outcome.faults.len(), 1);
        }
    }

    #[test]
    fn where_nothing_ran_that_is_a_failure() {
        assert_eq!(read("", "", true).count, count(0, 1, 0));
        assert_eq!(read("", "", true).faults, ["no test ran"]);
        assert_eq!(read("", "", false).count, count(0, 1, 0), "it wasn't built");
        let empty = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.00s\n";
        assert_eq!(read(empty, "", true).count, count(0, 1, 0));
    }

    #[test]
    fn cargos_failure_is_one_even_if_no_test_failed() {
        let good = "test a ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        assert_eq!(read(good, "", true).count, count(1, 0, 0));
        assert_eq!(read(good, "", false).count, count(1, 1, 0), "another program died");
        assert_eq!(read(good, "p\ta\tOVN\n", true).count, count(0, 0, 1));
    }
}
