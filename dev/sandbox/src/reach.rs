//! Whether the largest packets pass between a pod (a network namespace on a host) and the VM, whole, in both ways.
//!
//! Decides how that is proved: by packets that may not be fragmented, one byte more than the MTU being refused, and by
//! a look at what arrived. It is done from the pod's network namespace, since a pod's image needs no such tools.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};

use crate::hosts::Host;
use crate::vm::Vm;
use crate::{exec, paths};

/// IPv4 and ICMP headers around ping's data.
const HEADERS: u32 = 28;

/// A network namespace on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns {
    /// The host.
    pub host: Host,
    /// Its name below /run/netns there.
    pub name: String,
}

impl Netns {
    /// The namespace of the pod with this IPv4 address on this host.
    ///
    /// # Errors
    /// When no namespace there has the address.
    pub fn of_pod(host: &Host, address: &str) -> Result<Self> {
        let script = format!(
            "for path in /run/netns/*; do name=${{path##*/}}\n\
             if ip -n \"$name\" -4 -oneline address show | grep -qF ' {address}/'; then echo \"$name\"; fi; done"
        );
        let found = host.script(&script)?;
        match found.split_whitespace().collect::<Vec<_>>().as_slice() {
            [name] => Ok(Self { host: host.clone(), name: (*name).to_owned() }),
            names => {
                bail!("{} network namespaces on {host} have the address {address}: {names:?}", names.len())
            }
        }
    }

    /// Runs `words` in it, whatever the exit status.
    ///
    /// # Errors
    /// As [`exec::run`].
    pub fn run(&self, words: &[&str]) -> Result<exec::Output> {
        self.host.try_exec(["ip", "netns", "exec", &self.name].iter().chain(words))
    }

    /// A packet of `mtu` bytes that may not be fragmented is answered by `address` (with a TTL of 63: one router is
    /// between), one of a byte more doesn't leave.
    ///
    /// # Errors
    /// With what was not so.
    pub fn largest_to(&self, address: &str, mtu: u32) -> Result<()> {
        let script = script()?;
        let size = |data: u32| data.saturating_sub(HEADERS).to_string();
        let output = self.run(&["python3", &script, "ping", address, &size(mtu)])?;
        ensure!(
            output.stdout.trim() == "ttl=63",
            "a packet of {mtu} bytes to {address} that may not be fragmented: {}{}",
            output.stdout,
            output.stderr
        );
        let output = self.run(&["python3", &script, "ping", address, &size(mtu + 1)])?;
        ensure!(
            output.status.code() == Some(2),
            "a packet of {} bytes to {address} that may not be fragmented: {}{}",
            mtu + 1,
            output.stdout,
            output.stderr
        );
        Ok(())
    }

    /// The VM pings `address`, which is in this namespace, by packets of its MTU: all are answered, and they arrive
    /// here whole and with the bit set that forbids fragments. Returns what the VM's ping printed.
    ///
    /// # Errors
    /// With what was not so.
    pub fn largest_from(&self, vm: &Vm, address: &str) -> Result<String> {
        let size = vm.port.mtu.saturating_sub(HEADERS);
        let script = script()?;
        let mut capture = self.host.command("ip");
        capture.args(["netns", "exec", &self.name, "timeout", "60", "python3", &script, "capture"]);
        capture.args([&size.to_string(), "2"]);
        let mut child =
            capture.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting a capture")?;
        let mut lines = BufReader::new(child.stdout.take().context("reading a capture")?).lines();
        ensure!(lines.next().transpose()?.as_deref() == Some("ready"), "the capture did not start");
        let (whole, output) = vm.ping(address, 2, size)?;
        let seen: Vec<String> = lines.collect::<std::io::Result<_>>()?;
        child.wait().context("ending a capture")?;
        ensure!(whole, "packets of {} bytes from the VM to {address}:\n{output}", vm.port.mtu);
        let expected = format!("df=1 ttl=63 size={size}");
        ensure!(
            seen.len() == 2 && seen.iter().all(|line| *line == expected),
            "packets of {} bytes from the VM arrived as {seen:?}, not as {expected}",
            vm.port.mtu
        );
        Ok(output)
    }
}

/// The script that sends and captures, where hosts see it too.
fn script() -> Result<String> {
    let path = paths::state().join("lib/ping-df.py");
    fs::write(&path, include_str!("../files/ping-df.py"))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path.display().to_string())
}
