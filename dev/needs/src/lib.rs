//! What tests need of the machine beyond cargo: programs, root.
//!
//! Decides what a missing part does to a test: it fails, unless the run counts skips (`cargo xtask test --fast` does,
//! by naming a file in `TOMBOLO_SKIPS`). Then the test is recorded there and ends, and xtask subtracts it from those
//! that passed. libtest has no skip at run time, and swallows the output of a test that passes: hence the file.
//!
//! So a harness that lacks something calls [`missing`] and returns `None`, and a test says
//! `let bed = needs!(Bed::start()?);`. A `None` without a counted skip fails the test.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Names the file that skips are written to, one a line: program, test, and the part, with tabs between. Where it is
/// unset, a missing part is a failure.
pub const SKIPS: &str = "TOMBOLO_SKIPS";

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this run leaves out what takes long, and counts it.
#[must_use]
pub fn fast() -> bool {
    std::env::var_os(SKIPS).is_some_and(|path| !path.is_empty())
}

/// A part isn't there: this test is counted as skipped, or fails.
///
/// # Panics
/// When skips aren't counted in this run: that is the test's failure.
pub fn missing(part: impl Display) {
    lacks(std::env::var_os(SKIPS), &part.to_string());
}

fn lacks(skips: Option<OsString>, part: &str) {
    let Some(path) = skips.filter(|path| !path.is_empty()) else {
        panic!(
            "this test needs {part}. `cargo xtask test` installs and builds what its tests need; \
             `cargo xtask test --fast` counts this test as skipped"
        );
    };
    count(Path::new(&path), part);
}

fn count(path: &Path, part: &str) {
    let thread = std::thread::current();
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // libtest names a test's thread after it.
    let line = format!("{program}\t{}\t{}\n", thread.name().unwrap_or("?"), part.replace(['\t', '\n'], " "));
    // One write: the tests of a program run side by side.
    let written = OpenOptions::new().append(true).create(true).open(path);
    if let Err(error) = written.and_then(|mut file| file.write_all(line.as_bytes())) {
        panic!("this test lacks {part}, and that can't be counted in {}: {error}", path.display());
    }
    COUNTED.set(true);
}

/// Whether a program is on PATH; [`missing`] if it isn't. `package` is Debian's that has it.
#[must_use]
pub fn program(name: &str, package: &str) -> bool {
    let there = on_path(name);
    if !there {
        missing(format_args!("the program {name} (Debian: {package})"));
    }
    there
}

fn on_path(name: &str) -> bool {
    let executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| executable(&dir.join(name))))
}

/// Whether this is root, who may make network namespaces and mount; [`missing`] if it isn't.
#[must_use]
pub fn root() -> bool {
    // Whose process this is, without a call that the standard library lacks.
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    if !root {
        missing("root");
    }
    root
}

/// What a test that is skipped returns.
pub trait Skipped {
    /// That value.
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Ends a test that was counted as skipped. For [`needs!`].
///
/// # Panics
/// When nothing was counted: a test that didn't test anything would pass.
#[doc(hidden)]
#[must_use]
pub fn skipped<T: Skipped>() -> T {
    assert!(COUNTED.get(), "a part is missing, and neither said nor counted (tombolo_needs::missing)");
    T::skipped()
}

/// The value of an `Option` whose `None` means that [`missing`] was called: then the test ends here, counted.
/// Also of a `bool`, as [`program()`] and [`root()`] return it.
#[macro_export]
macro_rules! needs {
    ($part:expr) => {
        match $crate::Part::part($part) {
            Some(part) => part,
            None => return $crate::skipped(),
        }
    };
}

/// What [`needs!`] takes.
pub trait Part {
    /// What is there.
    type There;
    /// It, or nothing.
    fn part(self) -> Option<Self::There>;
}

impl<T> Part for Option<T> {
    type There = T;
    fn part(self) -> Option<T> {
        self
    }
}

impl Part for bool {
    type There = ();
    fn part(self) -> Option<()> {
        self.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("tombolo-needs-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    /// As a test does it.
    fn test(part: Option<u8>) -> Result<(), String> {
        let part = needs!(part);
        if part == 7 { Ok(()) } else { Err(format!("{part}")) }
    }

    #[test]
    fn a_skip_is_one_line_with_the_tests_name() {
        let path = scratch("line");
        count(&path, "a part\tthat is\nmissing");
        count(&path, "another");
        let text = std::fs::read_to_string(&path).expect("the file of skips");
        std::fs::remove_file(&path).expect("removing it");
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0][0].starts_with("tombolo_needs-"), "{text}");
        assert_eq!(
            lines[0][1..],
            ["tests::a_skip_is_one_line_with_the_tests_name", "a part that is missing"]
        );
        assert_eq!(lines[1][2], "another");
        assert_eq!(test(None), Ok(()));
    }

    #[test]
    #[should_panic(expected = "neither said nor counted")]
    fn nothing_ends_a_test_that_was_not_counted() {
        let _ = test(None);
    }

    #[test]
    #[should_panic(expected = "can't be counted")]
    fn a_skip_that_cannot_be_written_fails() {
        count(Path::new("/proc/no/such/file"), "a part");
    }

    #[test]
    fn what_is_there_is_used() {
        assert_eq!(test(Some(7)), Ok(()));
        assert_eq!(test(Some(8)), Err("8".to_owned()));
        assert!(on_path("sh") && !on_path("no-such-program-of-anybody"));
    }

    #[test]
    #[should_panic(expected = "this test needs what nobody has")]
    fn where_skips_are_not_counted_a_missing_part_fails() {
        lacks(None, "what nobody has");
    }

    #[test]
    #[should_panic(expected = "this test needs what nobody has")]
    fn no_file_is_no_file() {
        lacks(Some(OsString::new()), "what nobody has");
    }
}
