//! `cargo xtask demo`: the document's scenario from an empty machine to the last ping, each step shown as command and
//! output, each checked.
//!
//! Decides the order of the steps; each module plays one. Nothing is imitated: what a step needs and the sandbox
//! doesn't have (Nova) is left out, and said so.

mod backup;
mod clean;
mod console;
mod dns;
mod install;
mod join;
mod ko;
mod leave;
mod manifests;
mod openstack;
mod ping;
mod pings;
pub mod shape;
mod take_over;
mod topology;
mod uninstall;
mod upgrade;
pub mod watch;

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::hosts;
use crate::images::{OurPrograms, OvnRelease};
use crate::programs::Images;
use crate::progress::{self, Phase, seconds, show};
use crate::{Parts, dump, exec, measure, paths, programs};
use console::Console;

/// Where OVN runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ovn {
    /// As pods, which the chart installs: the document's way.
    #[default]
    Central,
    /// The same, and all clients speak TLS.
    CentralTls,
    /// On the hosts, as in a site of OpenStack.
    Existing,
}

impl Ovn {
    fn is_pods(self) -> bool {
        self != Self::Existing
    }

    fn name(self) -> &'static str {
        match self {
            Self::Central => "--ovn=central",
            Self::CentralTls => "--ovn=central --tls",
            Self::Existing => "--ovn=existing",
        }
    }
}

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Also the uninstall, and what must be so after it.
    pub full: bool,
    /// Also the take-over of a cluster of Kube-OVN's, which is built for it; after the uninstall, with OVN as pods.
    pub take_over: bool,
    /// Also [`measure::run`].
    pub measure: bool,
    /// Where OVN runs.
    pub ovn: Ovn,
}

/// Where a copy of what the demo prints is kept; it survives the sandbox.
pub fn transcript() -> PathBuf {
    paths::logs().join("demo-transcript.txt")
}

/// Brings the sandbox up where it isn't, removes what an earlier run made, and plays the scenario. A sandbox that this
/// brought up is taken down on Ctrl-C; after a failure it stays for a look.
///
/// # Errors
/// That of the step that failed.
pub fn run(options: Options) -> Result<()> {
    let _lock = crate::lock()?;
    let fresh = hosts::all().iter().all(|host| host.init_pid().is_none());
    progress::on_interrupt(move || {
        // Another thread may have made a file at the wrong moment: the second time, none is left to.
        if fresh { crate::down().or_else(|_| crate::down()) } else { Ok(()) }
    })?;
    play(options)
}

/// As [`run`], for a caller that holds the sandbox's lock and has its own way with signals.
///
/// # Errors
/// As [`run`].
pub fn play(options: Options) -> Result<()> {
    let began = Instant::now();
    progress::transcript(&transcript())?;
    let result = stages(options);
    if progress::interrupted() {
        return result.map(drop);
    }
    show("");
    show(progress::timings());
    match &result {
        Ok(checks) => {
            show(format_args!("passed: {checks} checks in {}", seconds(began.elapsed())));
            show(format_args!("transcript: {}", transcript().display()));
            show(format_args!("\nHow to get in, and how to take it down:\n{}", crate::how_to_get_in()));
        }
        Err(_) => {
            show(format_args!("FAILED after {}", seconds(began.elapsed())));
            show(format_args!("transcript: {}", transcript().display()));
        }
    }
    result.map(drop)
}

fn stages(options: Options) -> Result<usize> {
    let since = now()?;
    let (programs, images) = up(options.ovn)?;
    let logs = paths::logs();
    Phase::run("remove what an earlier run made", logs.join("demo-clean.log"), clean::all)?;
    let stage = Console::new(paths::state().join("demo"), logs.join("demo.log"))?;
    stage.step("1. our network alone", |phase| install::play(&stage, phase))?;
    stage.step("the cluster's DNS", |_| dns::play(&stage))?;
    let scene =
        stage.step("2. VM, network and router in OpenStack", |phase| openstack::play(&stage, phase))?;
    let before = dump::nb()?;
    stage.step("3. namespace, Vpc, subnet and pod", |phase| join::play(&stage, phase, &scene.objects))?;
    stage.step("4. the topology", |_| topology::show_topology(&stage, &scene))?;
    stage.step("5. the controller's log", |_| topology::controller_log(&stage, &since))?;
    stage.step("6. the Vpc's subnets", |_| topology::vpc(&stage, &scene))?;
    stage.step("kubectl ko", |_| ko::play(&stage))?;
    stage.step("7. ping", |phase| ping::play(&stage, phase, &scene))?;
    if options.full {
        stage.step("8. uninstall", |phase| uninstall::play(&stage, phase, &before))?;
    }
    stage.step("the controller's log at the end", |_| topology::controller_log(&stage, &since))?;
    if options.measure {
        measure::run(measure::PODS)?.show();
    }
    // After the last look at the log: the controller says there that it has lost a server.
    if options.full && options.ovn.is_pods() {
        stage.step("backup and restore", |_| backup::play(&stage))?;
        stage.step("OVN's pods are replaced", |phase| upgrade::play(&stage, phase))?;
    }
    if options.full {
        dns::remove()?;
        stage.step("9. all of it goes", |phase| leave::play(&stage, phase, options.ovn.is_pods()))?;
        if options.take_over {
            stage.step("10. a Kube-OVN cluster is taken over", |phase| {
                take_over::play(&stage, phase, &scene, &images)
            })?;
        }
        // Who looks around afterwards finds it as it was.
        Phase::run("deploy again", logs.join("deploy.log"), |phase| {
            programs::deploy(phase, &programs, &images)
        })?;
    }
    Ok(stage.checks())
}

/// Refuses a sandbox that is up with OVN elsewhere: moving it is no part of the scenario.
fn refuse_another(ovn: Ovn) -> Result<()> {
    let name = ovn.name();
    let up = hosts::all().iter().any(|host| host.init_pid().is_some());
    let other = std::fs::read_to_string(marker()).unwrap_or_else(|_| Ovn::Existing.name().to_owned());
    ensure!(
        !up || other == name,
        "the sandbox that is up was made for {other}, and this is {name}: play that one (cargo xtask demo {other}), or take the \
         sandbox down first (cargo xtask sandbox down)"
    );
    Ok(())
}

fn marker() -> PathBuf {
    paths::state().join("made-for")
}

/// Sandbox and our programs. Compiling them needs nothing of the sandbox, so it happens beside.
fn up(ovn: Ovn) -> Result<(OurPrograms, Images)> {
    refuse_another(ovn)?;
    crate::install::ensure(crate::install::Set::Everything)?;
    let logs = &paths::logs();
    let (programs, images) = thread::scope(|scope| {
        let ours = scope.spawn(|| {
            let programs = Phase::run("our programs", logs.join("our-programs.log"), crate::release::build)?;
            let mut images = Phase::run("our image", logs.join("our-image.log"), |p| {
                programs::images(p, &programs, ovn.is_pods().then_some(OvnRelease::Machine))
            })?;
            images.ovn.iter_mut().for_each(|pods| pods.tls = ovn == Ovn::CentralTls);
            Ok::<_, anyhow::Error>((programs, images))
        });
        let up = match ovn.is_pods() {
            true => crate::up_without_ovn(),
            false => crate::up(Parts { vm: None, kubernetes: true }),
        };
        std::fs::write(marker(), ovn.name()).context("noting what the sandbox was made for")?;
        let ours = ours.join().map_err(|_| anyhow!("the thread that builds our programs failed"))?;
        up.and(ours)
    })?;
    Phase::run("deploy", logs.join("deploy.log"), |phase| programs::deploy(phase, &programs, &images))?;
    if ovn.is_pods() {
        crate::openstack_up()?;
    }
    Ok((programs, images))
}

/// The time in the notation of logs (RFC 3339, UTC).
fn now() -> Result<String> {
    let text = exec::check(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%6NZ"]), exec::SHORT, None)?;
    Ok(text.trim().to_owned())
}
