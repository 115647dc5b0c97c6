//! A VM by emulation (qemu without KVM), plugged into a host's br-int as Nova plugs one, and a way to run commands in it.
//!
//! Decides the machine and how it is plugged. Its address comes from OVN's DHCP; nothing is set inside it from outside.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::hosts::Host;
use crate::neutron::Port;
use crate::progress::Phase;
use crate::{exec, initramfs};

/// Emulation is slow, and the machine may be busy.
const BOOT: Duration = Duration::from_secs(180);
const MEMORY_MB: u32 = 192;

/// A VM on one of the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// The host that it runs on.
    pub host: Host,
    /// Its name: that of the instance.
    pub name: String,
    /// Its port in Neutron.
    pub port: Port,
}

impl Vm {
    /// The VM with this name and port, running or not.
    pub fn new(host: Host, name: &str, port: Port) -> Self {
        Self { host, name: name.to_owned(), port }
    }

    /// Name of its qemu for [`Host::kill_daemon`] and the like.
    pub fn daemon(&self) -> String {
        format!("qemu-{}", self.name)
    }

    /// Name of its tap, as Nova chooses it.
    pub fn tap(&self) -> String {
        format!("tap{}", &self.port.id.chars().take(11).collect::<String>())
    }

    /// What the VM's kernel and DHCP client say.
    pub fn console(&self) -> PathBuf {
        self.host.log_dir().join(format!("{}-console.log", self.name))
    }

    fn channel(&self) -> PathBuf {
        self.host.dir().join("run").join(format!("{}.sock", self.name))
    }

    /// Starts the VM, unless it runs. Doesn't wait for it to boot: [`Vm::wait`] does.
    ///
    /// # Errors
    /// When it can't be plugged or started.
    pub fn start(&self) -> Result<()> {
        if self.host.daemon_pid(&self.daemon()).is_some() {
            return Ok(());
        }
        let kernel = initramfs::kernel()?;
        let archive = self.host.dir().join(format!("{}-initramfs", self.name));
        fs::write(&archive, initramfs::build(&kernel, include_str!("../files/vm-init.sh"))?)
            .with_context(|| format!("writing {}", archive.display()))?;
        let (tap, port) = (self.tap(), &self.port);
        // What libvirt does (the tap), and what Nova's os-vif does for an OVN port (the interface's external_ids).
        self.host.script(&format!(
            "ip link show {tap} >/dev/null 2>&1 || ip tuntap add {tap} mode tap
            sysctl -qw net.ipv6.conf.{tap}.disable_ipv6=1
            ip link set {tap} up
            ovs-vsctl --timeout=30 --may-exist add-port br-int {tap} -- set Interface {tap} mtu_request={mtu} \
              external_ids:iface-id={id} external_ids:iface-status=active \
              'external_ids:attached-mac=\"{mac}\"' external_ids:vm-uuid={instance}",
            mtu = port.mtu,
            id = port.id,
            mac = port.mac,
            instance = port.instance,
        ))?;
        let _ = fs::remove_file(self.console());
        let text = |path: PathBuf| path.display().to_string();
        let machine: [&str; 24] = [
            "-name",
            &self.name,
            "-machine",
            "q35",
            "-accel",
            "tcg,thread=single",
            "-cpu",
            "max",
            "-m",
            &MEMORY_MB.to_string(),
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-kernel",
            &text(kernel.image),
            "-initrd",
            &text(archive),
            "-append",
            "console=ttyS0 quiet panic=-1",
            // No offloads: the userspace datapath reads frames from the tap as they are, checksums included.
            "-netdev",
            &format!("tap,id=net0,ifname={tap},script=no,downscript=no,vhost=off,vnet_hdr=off"),
            "-device",
            &format!("virtio-net-pci,netdev=net0,mac={},romfile=,host_mtu={}", port.mac, port.mtu),
        ];
        let serial = [
            "-serial".to_owned(),
            format!("file:{}", self.console().display()),
            "-serial".to_owned(),
            format!("unix:{},server=on,wait=off", self.channel().display()),
        ];
        let words: Vec<&str> = machine.into_iter().chain(serial.iter().map(String::as_str)).collect();
        self.host.daemon(&self.daemon(), "qemu-system-x86_64", &words, &[])?;
        Ok(())
    }

    /// Waits until the VM has its address.
    ///
    /// # Errors
    /// When qemu ends, or after three minutes: what the console said last is in the error.
    pub fn wait(&self) -> Result<()> {
        exec::wait_until(&format!("the VM {} to have its address", self.name), BOOT, || {
            if self.host.daemon_pid(&self.daemon()).is_none() {
                bail!("qemu ended: see {}", self.host.daemon_log(&self.daemon()).display());
            }
            let address = format!("address {} ", self.port.ip);
            let console = fs::read(self.console()).unwrap_or_default();
            Ok(String::from_utf8_lossy(&console).contains(&address).then_some(()))
        })
        .with_context(|| {
            let end = crate::progress::tail(&self.console(), 10).join("\n");
            format!("its console {} ends:\n{end}", self.console().display())
        })
    }

    /// Ends the VM and unplugs it. Does nothing when it isn't there.
    ///
    /// # Errors
    /// When qemu doesn't end.
    pub fn stop(&self) -> Result<()> {
        self.host.stop_daemon(&self.daemon())?;
        let tap = self.tap();
        self.host.script(&format!(
            "ovs-vsctl --timeout=30 --if-exists del-port br-int {tap}; ip link del {tap} 2>/dev/null || true"
        ))?;
        Ok(())
    }

    /// Runs a shell script in the VM, through its second serial port. Returns its exit status and what it wrote
    /// (both streams). It is ended after `deadline`, which must be generous: the CPU is emulated. One at a time.
    ///
    /// # Errors
    /// When the VM doesn't answer.
    pub fn run(&self, script: &str, deadline: Duration) -> Result<(i32, String)> {
        let path = self.channel();
        let doing = || format!("talking to the VM {} ({})", self.name, path.display());
        let mut channel = UnixStream::connect(&path).with_context(doing)?;
        let mark = format!("mark-{}-{:?}", std::process::id(), Instant::now())
            .replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let script = script.replace('\'', "'\\''");
        // The empty line ends what an interrupted caller may have left half typed.
        let line = format!(
            "\n\n echo begin{mark}; timeout {} sh -c '{script}' </dev/null 2>&1; echo; echo end{mark} $?\n",
            deadline.as_secs().max(1)
        );
        channel.write_all(line.as_bytes()).with_context(doing)?;
        let (begin, end) = (format!("begin{mark}\n"), format!("\nend{mark} "));
        let until = Instant::now() + deadline + Duration::from_secs(15);
        let mut text = String::new();
        loop {
            let found = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
            if let Some((output, status)) = found
                && let Some((status, _)) = status.split_once('\n')
            {
                let status =
                    status.trim().parse().with_context(|| format!("an exit status of the VM: {status:?}"))?;
                return Ok((status, output.trim_end_matches('\n').to_owned()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || crate::progress::interrupted() {
                bail!(
                    "the VM {} did not answer within {}; it said: {text:?}",
                    self.name,
                    crate::progress::seconds(deadline)
                );
            }
            channel.set_read_timeout(Some(left.min(Duration::from_secs(1)))).with_context(doing)?;
            let mut buffer = [0; 4096];
            match channel.read(&mut buffer) {
                Ok(0) => return Err(anyhow!("the VM {} is gone", self.name)),
                Ok(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count]).replace('\r', "")),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).with_context(doing),
            }
        }
    }

    /// `ping` in the VM: `count` packets of `size` bytes of data. Returns what it printed and whether all came back.
    ///
    /// # Errors
    /// As [`Vm::run`].
    pub fn ping(&self, address: &str, count: u32, size: u32) -> Result<(bool, String)> {
        let wait = Duration::from_secs(u64::from(count) + 20);
        let (status, output) = self.run(&format!("ping -c {count} -s {size} -W 5 {address}"), wait)?;
        Ok((status == 0 && output.contains(" 0% packet loss"), output))
    }
}

/// Creates the scenario's port on `host`, plugs and starts the VM there and waits until it has its address and Neutron
/// knows it active.
///
/// # Errors
/// That of the step that failed.
pub fn up(phase: &Phase, objects: &crate::neutron::Objects, host: &Host) -> Result<Vm> {
    phase.doing(format_args!("creating its port, bound to {host}"));
    let port = crate::neutron::port(objects, crate::neutron::SERVER_IP, host)?;
    let vm = Vm::new(host.clone(), crate::neutron::SERVER, port);
    phase.hint(format_args!("its console is {}", vm.console().display()));
    phase.doing("booting it");
    vm.start()?;
    vm.wait()?;
    phase.doing("waiting for Neutron to see its port ACTIVE");
    crate::neutron::port_active(&vm.port.id)?;
    Ok(vm)
}
