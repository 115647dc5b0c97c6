//! One build of Go programs: pinned modules in, static binaries in the cache out.
//!
//! Decides how a build runs (its place in the cache, its lock, what is downloaded, the progress shown), nothing about what
//! is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::toolchain;
use crate::kubernetes::util::{self, sha256_hex};
use crate::progress::Phase;
use crate::{exec, paths};

/// For the download of the modules.
const DOWNLOAD: Duration = Duration::from_secs(1800);
/// For the compilation, on a machine that is busy with other things.
const COMPILE: Duration = Duration::from_secs(3 * 3600);

/// What is built, of which sources.
pub(crate) struct Build {
    /// The folder's name in the cache.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The release of it.
    pub version: &'static str,
    /// For the linker; must depend on neither the time nor the machine.
    pub ldflags: String,
    /// Name and text of each file of the main module: its `go.mod`, its `go.sum` and what else it has.
    pub sources: &'static [(&'static str, &'static str)],
    /// The packages: `.`, the main module's own program, or `tool`, those that its `go.mod` names as tools.
    pub packages: &'static str,
    /// The programs that come out.
    pub programs: &'static [&'static str],
    /// Files of modules that are kept beside the programs: the path in the module cache, and the name.
    pub files: &'static [(&'static str, &'static str)],
    /// The oldest Go (1.x) that compiles it: what its `go.mod` says.
    pub oldest_go: u32,
    /// Further names of the first program, which behaves by the name that it is called by.
    pub aliases: &'static [&'static str],
    /// How much is downloaded on a fresh machine, for people.
    pub download: &'static str,
}

/// The result of a build.
pub(crate) struct Built {
    /// The directory of the programs.
    pub bin: PathBuf,
    /// How long it took now; none if it was in the cache.
    pub took: Option<Duration>,
}

impl Build {
    /// Finds it in the cache, or builds it. Safe to call from two processes at once: the second waits for the first's build.
    ///
    /// # Errors
    /// No Go and none to be installed, modules that can't be downloaded, a build that fails.
    pub fn ensure(&self, phase: &Phase) -> Result<Built> {
        if let Some(bin) = self.find() {
            return Ok(Built { bin, took: None });
        }
        let dir = self.dir()?;
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let lock = fs::File::create(dir.join("lock")).context("creating the build's lock file")?;
        let waiting = format!("waiting for another build of {} to end", self.title);
        phase.doing(&waiting);
        lock.lock().context(waiting)?;
        if let Some(bin) = self.find() {
            return Ok(Built { bin, took: None });
        }
        let started = Instant::now();
        let bin = self.run(&dir, phase)?;
        Ok(Built { bin, took: Some(started.elapsed()) })
    }

    /// The directory of the programs, if they were built before; never builds.
    pub fn find(&self) -> Option<PathBuf> {
        let bin = self.dir().ok()?.join("bin");
        self.names().all(|name| bin.join(name).exists()).then_some(bin)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.programs.iter().chain(self.aliases).copied().chain(self.files.iter().map(|(_, name)| *name))
    }

    fn dir(&self) -> Result<PathBuf> {
        Ok(paths::cache().join(self.name).join(self.key()?))
    }

    /// Names the build's inputs. The Go release is left out on purpose: an upgrade of Go should not cost minutes of
    /// compiling.
    fn key(&self) -> Result<String> {
        let texts = self.sources.iter().map(|(_, text)| *text);
        let all: Vec<&str> = [self.ldflags.as_str(), self.version].into_iter().chain(texts).collect();
        Ok(format!("{}-{}", self.version, &sha256_hex(all.join("\0").as_bytes())?[..12]))
    }

    fn run(&self, dir: &Path, phase: &Phase) -> Result<PathBuf> {
        let go = Go { program: toolchain::find(&paths::cache(), self.oldest_go, phase)?, dir };
        let source = go.source();
        fs::create_dir_all(&source).with_context(|| format!("creating {}", source.display()))?;
        for (name, text) in self.sources {
            fs::write(source.join(name), text).with_context(|| format!("writing {name} of the build"))?;
        }
        let total = self.download(&go, phase)?;
        let staged = dir.join("bin.new");
        self.compile(&go, &staged, total, phase)?;
        for alias in self.aliases {
            util::symlink(self.programs[0], &staged.join(alias))?;
        }
        for (file, name) in self.files {
            fs::copy(modules().join(file), staged.join(name))
                .with_context(|| format!("keeping {file} of the build"))?;
        }
        for name in self.names() {
            ensure!(
                staged.join(name).exists(),
                "the build of {} ended well but left no {name} in {}; this is a fault of its sources",
                self.title,
                staged.display()
            );
        }
        let bin = dir.join("bin");
        remove(&bin)?;
        fs::rename(&staged, &bin).context("moving the built programs into place")?;
        // Up to 3.2 GiB that only another release would use again; a failure costs nothing but that space.
        phase.doing("removing the compiler's cache");
        let _ = fs::remove_dir_all(go.compiled());
        Ok(bin)
    }

    /// Returns how many packages there are to compile.
    fn download(&self, go: &Go, phase: &Phase) -> Result<usize> {
        phase.doing(format_args!("downloading the Go modules of {} ({}, once)", self.title, self.download));
        let mut list = Command::new(&go.program);
        list.args(["list", "-deps", self.packages]);
        go.environment(&mut list);
        let listed = exec::check(&mut list, DOWNLOAD, None).with_context(|| {
            format!(
                "downloading the Go modules of {}; is the module proxy reachable (go env GOPROXY)?",
                self.title
            )
        })?;
        Ok(listed.lines().count())
    }

    fn compile(&self, go: &Go, to: &Path, total: usize, phase: &Phase) -> Result<()> {
        let log = go.dir.join("build.log");
        let _ = fs::remove_file(&log);
        // Go writes each program under its own name only into a directory that is there.
        remove(to)?;
        fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
        let mut command = Command::new("nice");
        // Niced: minutes of two busy cores must not make the machine unusable.
        command.args(["-n", "5"]).arg(&go.program);
        command.args(["build", "-v", "-trimpath", "-ldflags", &self.ldflags, "-o"]).arg(to);
        command.arg(self.packages);
        go.environment(&mut command);
        std::thread::scope(|scope| {
            let (stop, stopped) = mpsc::channel::<()>();
            let log = &log;
            scope.spawn(move || {
                // `go build -v` names each package it compiles, which is the progress to show.
                while stopped.recv_timeout(Duration::from_secs(10)) == Err(mpsc::RecvTimeoutError::Timeout) {
                    let text = fs::read(log).unwrap_or_default();
                    let done = text.iter().filter(|b| **b == b'\n').count().saturating_sub(1);
                    phase.doing(format_args!("compiling {}: {done} of at most {total} packages", self.title));
                }
            });
            let built = exec::check(&mut command, COMPILE, Some(log));
            drop(stop);
            built.with_context(|| format!("building {}; log in {}", self.title, log.display()))
        })?;
        Ok(())
    }
}

/// Go, for the build in one directory.
struct Go<'a> {
    program: PathBuf,
    dir: &'a Path,
}

impl Go<'_> {
    fn source(&self) -> PathBuf {
        self.dir.join("src")
    }

    /// What the compiler keeps. Each build has its own, since another that ends first would remove what this one still reads.
    fn compiled(&self) -> PathBuf {
        self.dir.join("compiled")
    }

    /// Caches of our own, so that nothing of the user's is filled or cleaned.
    fn environment(&self, command: &mut Command) {
        command
            .current_dir(self.source())
            .env("GOMODCACHE", modules())
            .env("GOCACHE", self.compiled())
            .env("GOFLAGS", "-mod=readonly -modcacherw -buildvcs=false")
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .env("CGO_ENABLED", "0")
            .env_remove("GOROOT")
            .env_remove("GOOS")
            .env_remove("GOARCH");
    }
}

/// The modules' cache.
fn modules() -> PathBuf {
    paths::cache().join("go/mod")
}

/// Removes what an interrupted build may have left.
fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// That a build's `go.mod` and `go.sum` pin the module `path` at `version`.
    pub(crate) fn pinned(build: &Build, path: &str, version: &str) {
        let text = |wanted: &str| build.sources.iter().find(|(name, _)| *name == wanted).unwrap().1;
        assert!(text("go.mod").contains(&format!("{path} {version}")), "go.mod of {}", build.title);
        assert!(text("go.sum").contains(&format!("{path} {version} h1:")), "go.sum of {}", build.title);
        let go = text("go.mod").lines().find_map(|line| line.strip_prefix("go 1.")).unwrap();
        let (minor, patch) = go.split_once('.').unwrap();
        // A patch release may be missing of the oldest one.
        let oldest = minor.parse::<u32>().unwrap() + u32::from(patch != "0");
        assert_eq!(oldest, build.oldest_go, "{} needs another Go than is looked for", build.title);
    }

    #[test]
    fn a_key_names_all_that_is_built() {
        let build = |ldflags: &str, sources| Build {
            name: "small",
            title: "Small",
            version: "v1.2.3",
            ldflags: ldflags.into(),
            sources,
            packages: ".",
            programs: &["small"],
            files: &[],
            oldest_go: 24,
            aliases: &[],
            download: "nothing",
        };
        let key = |ldflags, sources| build(ldflags, sources).key().unwrap();
        let one = key("-s", &[("go.mod", "a"), ("go.sum", "b")]);
        assert!(one.starts_with("v1.2.3-") && one.len() == "v1.2.3-".len() + 12, "{one}");
        assert_eq!(one, key("-s", &[("go.mod", "a"), ("go.sum", "b")]));
        assert_ne!(one, key("-w", &[("go.mod", "a"), ("go.sum", "b")]));
        assert_ne!(one, key("-s", &[("go.mod", "a"), ("go.sum", "c")]));
    }
}
