//! The whole scenario on one machine: real OVN, Neutron, Kubernetes, a VM.
//!
//! This crate starts real programs and plugs them together; it imitates none of them. It must stay light (no async
//! runtime, no Kubernetes client): it is what a fresh machine builds first.

pub mod authority;
pub mod by_hand;
pub mod debian;
pub mod demo;
pub mod dump;
pub mod exceptions;
pub mod exec;
pub mod go;
pub mod hosts;
pub mod images;
pub mod initramfs;
pub mod install;
pub mod keys;
pub mod kube_ovn;
pub mod kubernetes;
pub mod logs;
pub mod measure;
pub mod neutron;
pub mod ovn;
pub mod paths;
pub mod programs;
pub mod progress;
pub mod prometheus;
pub mod reach;
pub mod release;
pub mod revive;
pub mod vm;

use std::fs::{self, File, TryLockError};
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::progress::Phase;

/// Held while a command changes the sandbox: two at a time would undo each other's work.
pub struct Lock {
    _file: File,
}

/// Takes the sandbox for this process until the result is dropped.
///
/// # Errors
/// When another command holds it, or this isn't run as root.
pub fn lock() -> Result<Lock> {
    fs::create_dir_all(paths::logs())
        .with_context(|| format!("creating {} (are you root?)", paths::logs().display()))?;
    let path = paths::logs().join("lock");
    let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => {
            bail!("another command is at work on the sandbox (it holds {})", path.display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// What of the sandbox is wanted beyond hosts, OVN and a Neutron without objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The scenario's network, subnet, router and VM in OpenStack; the host that the VM runs on.
    pub vm: Option<u8>,
    /// Kubernetes (without our programs: [`ours`] deploys those).
    pub kubernetes: bool,
}

/// The VM's host where nothing else is asked for.
pub const VM_HOST: u8 = 2;

impl Parts {
    /// All of it.
    pub const ALL: Self = Self { vm: Some(VM_HOST), kubernetes: true };
}

/// Brings the sandbox up; what is up stays as it is. OpenStack and Kubernetes come up beside each other.
///
/// # Errors
/// That of the phase that failed first. What was started stays for a look; [`down`] removes it.
pub fn up(parts: Parts) -> Result<()> {
    install::ensure(install::Set::Everything)?;
    let logs = paths::logs();
    let logs = &logs;
    Phase::run("hosts", logs.join("hosts.log"), hosts::up)?;
    thread::scope(|scope| {
        let kubernetes = scope.spawn(|| if parts.kubernetes { kubernetes_up() } else { Ok(()) });
        let database = scope
            .spawn(|| Phase::run("neutron database", logs.join("neutron-database.log"), neutron::database));
        let openstack = || {
            Phase::run("ovn", logs.join("ovn.log"), ovn::up)?;
            joined(database)?;
            Phase::run("neutron", logs.join("neutron.log"), neutron::up)?;
            if let Some(host) = parts.vm {
                vm_up(&hosts::host(host))?;
            }
            Ok(())
        };
        let openstack = openstack();
        let kubernetes = joined(kubernetes);
        openstack.and(kubernetes)
    })
}

/// Brings up what OVN as pods needs: hosts, and Kubernetes. OVN's databases are [`programs::deploy`]'s then, which points the
/// hosts at them as the document does; [`openstack_up`] comes after it.
///
/// # Errors
/// As [`up`].
pub fn up_without_ovn() -> Result<()> {
    install::ensure(install::Set::Everything)?;
    let logs = paths::logs();
    Phase::run("hosts", logs.join("hosts.log"), hosts::up)?;
    kubernetes_up()
}

/// Neutron, once OVN's databases run.
///
/// # Errors
/// As [`up`].
pub fn openstack_up() -> Result<()> {
    let logs = paths::logs();
    Phase::run("hypervisors follow", logs.join("ovn.log"), ovn::settled)?;
    Phase::run("neutron database", logs.join("neutron-database.log"), neutron::database)?;
    Phase::run("neutron", logs.join("neutron.log"), neutron::up)
}

/// Installs and builds what comes from outside this project: packages, Kubernetes' programs, the base images. On a
/// fresh machine that is some fifteen minutes; later it does nothing.
///
/// # Errors
/// That of the phase that failed; it has said so, with its log.
pub fn prepare() -> Result<()> {
    install::ensure(install::Set::Everything)?;
    outside_parts().map(drop)
}

fn outside_parts() -> Result<(kubernetes::build::Programs, Vec<images::Image>)> {
    let programs = kubernetes_programs()?;
    let log = paths::logs().join("base-images.log");
    let base = Phase::run("base images", log, |p| images::base(&programs::images_dir(), p))?;
    Ok((programs, base))
}

/// Kubernetes' programs, found or built.
///
/// # Errors
/// As [`kubernetes::build::ensure`].
pub fn kubernetes_programs() -> Result<kubernetes::build::Programs> {
    let log = paths::logs().join("kubernetes-programs.log");
    Phase::run("kubernetes programs", log, kubernetes::build::ensure)
}

fn joined(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a thread of the sandbox panicked; what it said is above"))?
}

fn kubernetes_up() -> Result<()> {
    let (programs, base) = outside_parts()?;
    let log = paths::logs().join("kubernetes.log");
    Phase::run("kubernetes", log, |phase| kubernetes::up(phase, &programs, &base))
}

/// Creates the scenario's objects in OpenStack and boots the VM on `host`, where that isn't done yet.
///
/// # Errors
/// As [`vm::up`].
pub fn vm_up(host: &hosts::Host) -> Result<vm::Vm> {
    Phase::run("openstack objects and vm", paths::logs().join("vm.log"), |phase| {
        phase.doing("creating network, subnet and router");
        let objects = neutron::objects()?;
        vm::up(phase, &objects, host)
    })
}

/// Takes everything down and checks that nothing is left.
///
/// # Errors
/// When something can't be removed.
pub fn down() -> Result<()> {
    Phase::run("down", paths::logs().join("down.log"), hosts::down)
}

/// Moves the deployed controllers to OVN's TLS ports ([`programs::over_tls`]).
///
/// # Errors
/// When they don't get ready with that.
pub fn over_tls() -> Result<()> {
    Phase::run("TLS", paths::logs().join("tls.log"), programs::over_tls)
}

/// What runs, as text, and whether all that should run does.
///
/// # Errors
/// When the machine can't be inspected.
pub fn status() -> Result<(String, bool)> {
    let mut text = String::new();
    let mut ok = true;
    for host in hosts::all() {
        let Some(init) = host.init_pid() else {
            text.push_str(&format!("{host}  down\n"));
            ok = false;
            continue;
        };
        text.push_str(&format!(
            "{host}  up  pid 1 is {init}  management {}  tunnels {}\n",
            host.mgmt, host.encap
        ));
        for name in host.daemons() {
            let state = host.daemon_pid(&name);
            ok &= state.is_some();
            let state = state.map_or_else(|| "ENDED".to_owned(), |pid| format!("pid {pid}"));
            text.push_str(&format!("    {name:<24} {state}\n"));
        }
    }
    if hosts::all().iter().all(|host| host.init_pid().is_some()) {
        text.push_str(&(ovn::status().join("\n") + "\n"));
    }
    Ok((text, ok))
}

/// A few lines for the user of a sandbox that is up.
pub fn how_to_get_in() -> String {
    let bin = paths::bin();
    format!(
        "export PATH={}:$PATH      # kubectl, openstack, ovn-nbctl, ovn-sbctl as on host1\n\
         cargo xtask sandbox shell host2      # a shell inside a host\n\
         cargo xtask sandbox down             # takes everything down",
        bin.display()
    )
}
