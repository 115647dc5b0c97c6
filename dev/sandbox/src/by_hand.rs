//! The scenario by hand: `ovn-nbctl` and a plugged network namespace in place of our controller, agent and CNI plugin.
//! What goes wrong here is the sandbox's or OVN's fault, never our programs'.
//!
//! Decides the rows that the scenario needs at least; our programs' rows are theirs to decide.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::hosts::{self, Host};
use crate::neutron::{self, Objects};
use crate::ovn::Database;
use crate::progress::{Phase, say};
use crate::reach::Netns;
use crate::vm::Vm;
use crate::{dump, exec, ovn, paths};

const SWITCH: &str = "net2";
const POD: &str = "ubuntu.net2";
const POD_IP: &str = "12.0.1.2";
const POD_MAC: &str = "00:00:00:7A:2E:93";
const GATEWAY: &str = "12.0.1.1";
const GATEWAY_MAC: &str = "00:00:00:91:4D:DF";
const UP: Duration = Duration::from_secs(60);

/// A network namespace that stands for a pod, plugged into a host's br-int.
struct HandMadePod {
    inside: Netns,
    mtu: u32,
}

impl HandMadePod {
    fn plug(host: &Host, mtu: u32) -> Result<Self> {
        let inside = Netns { host: host.clone(), name: "pod".to_owned() };
        host.script(&format!(
            "ip netns add pod
            ip link add eth0 netns pod address {POD_MAC} mtu {mtu} type veth peer name pod-by-hand
            sysctl -qw net.ipv6.conf.pod-by-hand.disable_ipv6=1
            ip link set pod-by-hand mtu {mtu} up
            # The userspace datapath reads frames as they are: with offload their checksums are unfinished.
            ip netns exec pod ethtool -K eth0 tx off >/dev/null
            ip -n pod link set lo up
            ip -n pod address add {POD_IP}/24 dev eth0
            ip -n pod link set eth0 up
            ip -n pod route add default via {GATEWAY}
            ovs-vsctl --timeout=30 --may-exist add-port br-int pod-by-hand \
              -- set Interface pod-by-hand external_ids:iface-id={POD}"
        ))?;
        exec::wait_until("ovn-controller to have plugged the pod", UP, || {
            let query = ["--if-exists", "get", "Interface", "pod-by-hand", "external_ids:ovn-installed"];
            Ok(ovn::vsctl(host, query)?.contains("true").then_some(()))
        })?;
        Ok(Self { inside, mtu })
    }

    fn unplug(host: &Host) -> Result<()> {
        host.script(
            "ovs-vsctl --timeout=30 --if-exists del-port br-int pod-by-hand
            ip link del pod-by-hand 2>/dev/null || true
            ip netns del pod 2>/dev/null || true",
        )?;
        Ok(())
    }

    /// Runs `words` in the pod, whatever the exit status.
    fn run(&self, words: &[&str]) -> Result<exec::Output> {
        self.inside.run(words)
    }

    fn ping(&self, address: &str) -> Result<exec::Output> {
        self.run(&["ping", address, "-c2", "-W", "3"])
    }
}

/// Plays the scenario on a sandbox that is up, and leaves it as it was.
///
/// # Errors
/// With what was not as it must be. What was made is removed all the same, as far as possible.
pub fn run() -> Result<()> {
    let objects = neutron::objects()?;
    let group = neutron::default_security_group()?;
    let vm = find_vm(&objects)?;
    clean(&objects)?;
    let before = dump::nb()?;
    say(format_args!("{} rows in the northbound database before", before.lines().count()));
    let result = play(&objects, &group, &vm);
    let cleaned = forbid(&group).and_then(|()| clean(&objects));
    result.and(cleaned)?;
    Phase::run("nothing is left in the northbound database", log(), |_| {
        let difference = before.difference(&dump::nb()?);
        ensure!(difference.is_empty(), "the northbound database differs:\n{}", difference.join("\n"));
        Ok(())
    })?;
    Phase::run("Neutron finds no inconsistency", log(), |_| {
        let bad = neutron::sync(neutron::Sync::Log)?;
        ensure!(bad.is_empty(), "neutron-ovn-db-sync-util reports:\n{}", bad.join("\n"));
        Ok(())
    })
}

fn log() -> std::path::PathBuf {
    paths::logs().join("prove.log")
}

fn find_vm(objects: &Objects) -> Result<Vm> {
    let port = neutron::port_with(&objects.network, neutron::SERVER_IP)?;
    let host = port["binding:host_id"].as_str().context("there is no VM: cargo xtask sandbox up")?;
    let host = hosts::by_name(host)?;
    let port = neutron::port(objects, neutron::SERVER_IP, &host)?;
    Ok(Vm::new(host, neutron::SERVER, port))
}

fn play(objects: &Objects, group: &str, vm: &Vm) -> Result<()> {
    let router = objects.logical_router();
    Phase::run("switch net2 on Neutron's router, by ovn-nbctl", log(), |_| {
        let (port, peer) = (format!("{SWITCH}-{router}"), format!("{router}-{SWITCH}"));
        let gateway = format!("{GATEWAY}/24");
        let addresses = format!("{POD_MAC} {POD_IP}");
        ovn::nbctl(
            ["ls-add", SWITCH]
                .into_iter()
                .chain(["--", "lrp-add", &router, &peer, GATEWAY_MAC, &gateway])
                .chain(["--", "lsp-add", SWITCH, &port])
                .chain(["--", "lsp-set-type", &port, "router"])
                .chain(["--", "lsp-set-addresses", &port, GATEWAY_MAC])
                .chain(["--", "lsp-set-options", &port, &format!("router-port={peer}")])
                .chain(["--", "lsp-add", SWITCH, POD])
                .chain(["--", "lsp-set-addresses", POD, &addresses]),
        )?;
        ovn::nbctl(["--wait=hv", "sync"])?;
        for line in ovn::nbctl(["show"])?.lines() {
            say(format_args!("  {line}"));
        }
        Ok(())
    })?;
    forbid(group)?;
    for (index, host) in hosts::all().iter().enumerate() {
        let place = if *host == vm.host { "the VM's host" } else { "another host" };
        Phase::run(&format!("pod on {host}, {place}"), log(), |phase| {
            let pod = HandMadePod::plug(host, vm.port.mtu)?;
            let mut checked = check(phase, &pod, vm, group, index == 0);
            if checked.is_ok() && index + 1 == usize::from(hosts::COUNT) {
                checked = failures(phase, &pod);
            }
            HandMadePod::unplug(host)?;
            checked
        })?;
    }
    Ok(())
}

fn check(phase: &Phase, pod: &HandMadePod, vm: &Vm, group: &str, without_first: bool) -> Result<()> {
    let address = neutron::SERVER_IP;
    if without_first {
        phase.doing("without a rule in the security group");
        let output = pod.ping(address)?;
        ensure!(
            output.stdout.contains("100% packet loss"),
            "the VM answers without a rule:\n{}",
            output.stdout
        );
        say("  without an ICMP rule in the security group: 100% packet loss");
        neutron::allow(group, "icmp")?;
        neutron::allow(group, "tcp")?;
        ovn::nbctl(["--wait=hv", "sync"])?;
    }
    phase.doing("pod to VM");
    let output = exec::wait_until("the VM to answer", UP, || {
        let output = pod.ping(address)?;
        Ok(output.status.success().then_some(output))
    })?;
    for line in output.stdout.lines() {
        say(format_args!("  {line}"));
    }
    let replies = output.stdout.lines().filter(|l| l.contains("ttl=63")).count();
    ensure!(replies == 2 && output.stdout.contains(" 0% packet loss"), "pod to VM:\n{}", output.stdout);
    phase.doing("the largest packet, pod to VM");
    pod.inside.largest_to(address, pod.mtu)?;
    phase.doing("the largest packet, VM to pod");
    pod.inside.largest_from(vm, POD_IP)?;
    phase.doing("VM to pod");
    let (whole, output) = vm.ping(POD_IP, 2, 56)?;
    ensure!(whole && output.matches("ttl=63").count() == 2, "VM to pod:\n{output}");
    phase.doing("TCP both ways");
    let output = pod.run(&["curl", "-s", "--max-time", "20", &format!("http://{address}/")])?;
    ensure!(output.stdout == "hello from the VM\n", "TCP from the pod to the VM: {output:?}");
    tcp_from_vm(pod, vm)?;
    say(format_args!(
        "  VM to pod, TCP both ways, DF packets of {} bytes both ways: as they must be",
        vm.port.mtu
    ));
    Ok(())
}

/// The sandbox's own tools for breaking things: after each, the pod reaches the VM again.
fn failures(phase: &Phase, pod: &HandMadePod) -> Result<()> {
    let reachable = |after: &str| {
        exec::wait_until(&format!("the VM to answer after {after}"), UP, || {
            Ok(pod.ping(neutron::SERVER_IP)?.stdout.contains(" 0% packet loss").then_some(()))
        })
    };
    phase.doing("ovs-vswitchd of the pod's host is killed and started again");
    ovn::restart_vswitchd(&pod.inside.host, "KILL")?;
    reachable("a restart of ovs-vswitchd")?;
    phase.doing("the server that leads the northbound database is killed and started again");
    let leader = ovn::leader(Database::Nb)?;
    leader.kill_daemon(Database::Nb.daemon(), "KILL")?;
    ovn::nbctl(["--wait=hv", "sync"])?;
    let next = ovn::leader(Database::Nb)?;
    ensure!(next != leader, "{leader} leads without a server");
    leader.start_again(Database::Nb.daemon())?;
    reachable("a change of leader")?;
    phase.doing("neutron-server is stopped and started again");
    neutron::stop()?;
    neutron::start()?;
    reachable("a restart of Neutron")?;
    say(format_args!(
        "  the pod reaches the VM after a restart of ovs-vswitchd, a change of leader ({leader} to {next}), a restart of Neutron"
    ));
    Ok(())
}

fn tcp_from_vm(pod: &HandMadePod, vm: &Vm) -> Result<()> {
    // More than a window, and checked: a wrong checksum or MTU shows.
    let server = "import socket,hashlib\ns=socket.create_server(('',8080))\ns.settimeout(60)\nc,_=s.accept()\n\
                  d=b''.join(iter(lambda:c.recv(65536),b''))\nprint(len(d),hashlib.sha256(d).hexdigest())";
    let mut command = pod.inside.host.command("ip");
    command.args(["netns", "exec", "pod", "timeout", "90", "python3", "-c", server]);
    let receiving = std::thread::spawn(move || exec::check(&mut command, Duration::from_secs(100), None));
    exec::wait_until("the pod to listen", UP, || {
        let listening = pod.run(&["ss", "-Hltn", "sport", "=", "8080"])?;
        Ok((!listening.stdout.is_empty()).then_some(()))
    })?;
    let send = format!(
        "dd if=/dev/urandom of=/tmp/data bs=1024 count=512 2>/dev/null; sha256sum /tmp/data; nc {POD_IP} 8080 </tmp/data"
    );
    let (_, sent) = vm.run(&send, Duration::from_secs(60))?;
    let received = match receiving.join() {
        Ok(received) => received?,
        Err(_) => bail!("the receiver ended"),
    };
    let sum = sent.split_whitespace().next().unwrap_or_default().to_owned();
    ensure!(
        received.trim() == format!("{} {sum}", 512 * 1024),
        "TCP from the VM to the pod: sent {sent}, got {received}"
    );
    Ok(())
}

/// Removes the rules that a proof adds.
fn forbid(group: &str) -> Result<()> {
    for protocol in ["icmp", "tcp"] {
        let query = format!(
            "security-group-rules?security_group_id={group}&protocol={protocol}&direction=ingress&fields=id"
        );
        let rules = neutron::api("GET", &query, None)?;
        for rule in rules["security_group_rules"].as_array().into_iter().flatten() {
            let id = rule["id"].as_str().context("a rule without an id")?;
            neutron::api("DELETE", &format!("security-group-rules/{id}"), None)?;
        }
    }
    Ok(())
}

/// Removes what a proof makes, whatever of it is there.
fn clean(objects: &Objects) -> Result<()> {
    for host in hosts::all() {
        HandMadePod::unplug(&host)?;
    }
    let peer = format!("{}-{SWITCH}", objects.logical_router());
    ovn::nbctl(["--if-exists", "lrp-del", &peer, "--", "--if-exists", "ls-del", SWITCH])?;
    ovn::nbctl(["--wait=hv", "sync"])?;
    Ok(())
}
