//! OVN and Open vSwitch on the hosts: NB and SB as RAFT clusters of all hosts, a northd each, and an Open vSwitch
//! with the userspace datapath and an ovn-controller each, configured by the lines that OpenStack's document gives.
//!
//! Decides ports, paths and settings of the OVN that an OpenStack site would have. It writes no logical network.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::authority::Authority;
use crate::hosts::{self, Host, UNDERLAY_MTU};
use crate::progress::Phase;
use crate::{exec, keys, paths};

/// Port of the northbound database on each host's management address.
pub const NB_PORT: u16 = 6641;
/// Port of the southbound database on each host's management address.
pub const SB_PORT: u16 = 6642;
/// What is added to them for TLS. A site has one or the other; here Neutron stays with the document's `tcp:`.
const TLS_OFFSET: u16 = 10_000;
/// RAFT's election timer in milliseconds. The default of 1000 collapses when a big transaction keeps a server busy
/// for longer; a dead leader is replaced after one to two of these.
const ELECTION_TIMER: u32 = 5000;
/// Inactivity probes of ovn-controller and northd: a busy machine is no dead peer. Seconds.
const PROBE: u32 = 60;
const UP: Duration = Duration::from_secs(60);
/// Names of the daemons on each host, in the order of starting.
pub const DAEMONS: [&str; 6] =
    ["ovsdb-nb", "ovsdb-sb", "ovn-northd", "ovsdb-server", "ovs-vswitchd", "ovn-controller"];

/// One of OVN's two central databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// Northbound: what is wanted.
    Nb,
    /// Southbound: what northd made of it, and chassis.
    Sb,
}

impl Database {
    /// Name in the OVSDB protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nb => "OVN_Northbound",
            Self::Sb => "OVN_Southbound",
        }
    }

    /// `nb` or `sb`, as in file names.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::Nb => "nb",
            Self::Sb => "sb",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Nb => NB_PORT,
            Self::Sb => SB_PORT,
        }
    }

    fn raft_port(self) -> u16 {
        self.port() + 2
    }

    /// Name of its daemon on each host, for [`Host::kill_daemon`] and the like.
    pub fn daemon(self) -> &'static str {
        match self {
            Self::Nb => "ovsdb-nb",
            Self::Sb => "ovsdb-sb",
        }
    }

    /// Control socket (for `ovn-appctl -t`), inside the host.
    pub fn control(self) -> String {
        format!("/run/ovn/ovn{}_db.ctl", self.short())
    }

    /// The file of a member, inside the host.
    fn path(self) -> String {
        format!("/var/lib/ovn/ovn{}_db.db", self.short())
    }

    /// The file of its member on a host, seen from outside.
    pub fn file(self, host: &Host) -> PathBuf {
        host.dir().join(format!("fs{}", self.path()))
    }

    /// All members as a client takes them: `tcp:172.30.0.1:6641,tcp:…`, or `ssl:` where they are pods that speak TLS.
    pub fn remotes(self) -> String {
        self.members(Self::method(), self.port())
    }

    /// The member on a host as a client takes it.
    pub fn remote(self, host: &Host) -> String {
        format!("{}:{}:{}", Self::method(), host.mgmt, self.port())
    }

    fn method() -> &'static str {
        if keys::are_used() { "ssl" } else { "tcp" }
    }

    /// The port for TLS on each host's management address.
    pub fn tls_port(self) -> u16 {
        self.port() + TLS_OFFSET
    }

    /// All members over TLS: `ssl:172.30.0.1:16641,ssl:…`. Clients need a certificate of [`authority`]'s.
    pub fn tls_remotes(self) -> String {
        self.members("ssl", self.tls_port())
    }

    fn members(self, scheme: &str, port: u16) -> String {
        let members: Vec<String> =
            hosts::all().iter().map(|h| format!("{scheme}:{}:{port}", h.mgmt)).collect();
        members.join(",")
    }
}

/// The authority of the databases' certificates, with that of a client by the name [`CLIENT`].
#[must_use]
pub fn authority() -> Authority {
    Authority::at(&paths::state().join("ovn-pki"))
}

/// What the databases' clients have a certificate as.
pub const CLIENT: &str = "client";

/// Certificates for the databases and their clients.
fn certificates() -> Result<()> {
    let authority = Authority::create(authority().dir(), "/CN=tombolo-sandbox-ovn")?;
    for host in hosts::all() {
        authority.issue(&host.name, &format!("/CN={host}"), &format!("DNS:{host},IP:{}", host.mgmt))?;
    }
    authority.issue(CLIENT, "/CN=kube-ovn", "")
}

/// Brings OVN up on all hosts; what runs stays as it is.
///
/// # Errors
/// When a daemon doesn't start, or the hypervisors don't follow the northbound database within a minute.
pub fn up(phase: &Phase) -> Result<()> {
    phase.hint(format_args!("the daemons' logs are in {}", hosts::host(1).log_dir().display()));
    phase.doing("starting the databases");
    certificates()?;
    for host in hosts::all() {
        for database in [Database::Nb, Database::Sb] {
            member(&host, database)?;
        }
        // The first makes the clusters that the others join. Of members that were there already it needs the others.
        let is_there = |other: Host| Database::Sb.file(&other).exists();
        if host.index == 1 && !host.others().into_iter().any(is_there) {
            joined(&host)?;
        }
    }
    for host in hosts::all() {
        joined(&host)?;
    }
    phase.doing("starting northd");
    for host in hosts::all() {
        northd(&host)?;
    }
    hypervisors(phase, &[])?;
    settled(phase)
}

/// The hosts that have Open vSwitch as a pod where OVN's databases are pods; the others keep their own, of another release.
pub const BY_POD: [u8; 2] = [1, 2];

/// Brings Open vSwitch and ovn-controller up on all hosts but those that have them as a pod, which only get their settings; they
/// find the databases when these are there.
///
/// # Errors
/// When a daemon doesn't start.
pub fn hypervisors(phase: &Phase, by_pod: &[u8]) -> Result<()> {
    phase.doing("starting Open vSwitch and ovn-controller");
    wrappers()?;
    for host in hosts::all() {
        let own = !by_pod.contains(&host.index);
        if own {
            vswitch(&host)?;
        }
        tunnels(&host)?;
        configure(&host)?;
        if own {
            controller(&host)?;
        }
    }
    Ok(())
}

/// Waits until each host is a chassis.
fn registered(phase: &Phase) -> Result<()> {
    phase.doing("waiting for the chassis");
    exec::wait_ok("a chassis per host", UP, || {
        let chassis = sbctl(["--bare", "--columns=hostname", "list", "Chassis"])?;
        let there = chassis.lines().filter(|l| !l.is_empty()).count();
        if there < usize::from(hosts::COUNT) { bail!("only {there} there") } else { Ok(()) }
    })
}

/// Waits until all hypervisors follow the northbound database.
///
/// # Errors
/// When they don't within a minute.
pub fn settled(phase: &Phase) -> Result<()> {
    registered(phase)?;
    nbctl(["set", "NB_Global", ".", &format!("options:northd_probe_interval={}", PROBE * 1000)])?;
    phase.doing("waiting for all hypervisors to follow the northbound database");
    nbctl(["--wait=hv", "sync"])?;
    Ok(())
}

fn member(host: &Host, database: Database) -> Result<()> {
    let (short, name, raft) = (database.short(), database.name(), database.raft_port());
    let file = database.path();
    let local = format!("tcp:{}:{raft}", host.mgmt);
    let first = format!("tcp:{}:{raft}", hosts::host(1).mgmt);
    if host.index == 1 {
        host.script(&format!(
            "[ -s {file} ] || ovsdb-tool --election-timer={ELECTION_TIMER} create-cluster {file} /usr/share/ovn/ovn-{short}.ovsschema {local}"
        ))?;
    } else {
        host.script(&format!("[ -s {file} ] || ovsdb-tool join-cluster {file} {name} {local} {first}"))?;
    }
    let authority = authority();
    host.daemon(
        database.daemon(),
        "ovsdb-server",
        &[
            &format!("--private-key={}", authority.key(&host.name).display()),
            &format!("--certificate={}", authority.certificate(&host.name).display()),
            &format!("--ca-cert={}", authority.certificate("ca").display()),
            &format!("--remote=pssl:{}:{}", database.tls_port(), host.mgmt),
            "-vconsole:info",
            "-vsyslog:off",
            &format!("--pidfile=/run/ovn/ovn{short}_db.pid"),
            "--overwrite-pidfile",
            &format!("--unixctl={}", database.control()),
            &format!("--remote=punix:/run/ovn/ovn{short}_db.sock"),
            &format!("--remote=ptcp:{}:{}", database.port(), host.mgmt),
            &file,
        ],
        &[],
    )?;
    Ok(())
}

fn joined(host: &Host) -> Result<()> {
    for database in [Database::Nb, Database::Sb] {
        let socket = format!("unix:/run/ovn/ovn{}_db.sock", database.short());
        host.exec(["ovsdb-client", "--timeout=45", "wait", &socket, database.name(), "connected"])?;
    }
    Ok(())
}

fn northd(host: &Host) -> Result<()> {
    host.daemon(
        "ovn-northd",
        "ovn-northd",
        &[
            "-vconsole:info",
            "-vsyslog:off",
            "--pidfile=/run/ovn/ovn-northd.pid",
            "--overwrite-pidfile",
            "--unixctl=/run/ovn/ovn-northd.ctl",
            &format!("--ovnnb-db={}", Database::Nb.remotes()),
            &format!("--ovnsb-db={}", Database::Sb.remotes()),
        ],
        &[],
    )?;
    Ok(())
}

fn vswitch(host: &Host) -> Result<()> {
    host.script("[ -s /etc/openvswitch/conf.db ] || ovsdb-tool create /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema")?;
    host.daemon(
        "ovsdb-server",
        "ovsdb-server",
        &[
            "-vconsole:info",
            "-vsyslog:off",
            "--pidfile=/run/openvswitch/ovsdb-server.pid",
            "--overwrite-pidfile",
            "--remote=punix:/run/openvswitch/db.sock",
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            "/etc/openvswitch/conf.db",
        ],
        &[],
    )?;
    // A chassis' name is not its host's name on a real site: system-id is a UUID of its own.
    host.script(&format!(
        "ovs-vsctl --timeout=30 --retry --no-wait init
        ovs-vsctl get open . external-ids:system-id >/dev/null 2>&1 || ovs-vsctl --no-wait set open . \
          external-ids:system-id=$(cat /proc/sys/kernel/random/uuid) external-ids:hostname={host}"
    ))?;
    host.daemon(
        "ovs-vswitchd",
        "ovs-vswitchd",
        &[
            "-vconsole:info",
            "-vsyslog:off",
            "--pidfile=/run/openvswitch/ovs-vswitchd.pid",
            "--overwrite-pidfile",
            "--disable-system",
            "unix:/run/openvswitch/db.sock",
        ],
        &[],
    )?;
    Ok(())
}

/// Gives the tunnels' end its bridge, address and neighbours. The userspace datapath needs the encapsulation address
/// on a port of its own; that port is a tap that dies with ovs-vswitchd, so this is needed after each start of it.
///
/// # Errors
/// When Open vSwitch doesn't answer.
pub fn tunnels(host: &Host) -> Result<()> {
    let (i, encap) = (host.index, host.encap);
    let mut script = format!(
        "ovs-vsctl --timeout=30 --may-exist add-br br-phy \
           -- set bridge br-phy datapath_type=netdev fail-mode=standalone other_config:hwaddr={} \
           -- --may-exist add-port br-phy eth1 -- set interface br-phy mtu_request={UNDERLAY_MTU}\n\
         ip addr replace {encap}/24 dev br-phy\n\
         ip link set br-phy up mtu {UNDERLAY_MTU}\n\
         # A vswitchd that has just started knows the command once its datapath is there.\n\
         neigh() {{ for n in $(seq 100); do ovs-appctl --timeout=30 tnl/neigh/set \"$@\" >/dev/null 2>&1 && return; \
         sleep 0.2; done; ovs-appctl --timeout=30 tnl/neigh/set \"$@\"; }}\n",
        phy_mac(i)
    );
    // It drops the first packet to a peer while it resolves the peer's address: known from the start, none is lost.
    for peer in host.others() {
        script.push_str(&format!("neigh br-phy {} {}\n", peer.encap, phy_mac(peer.index)));
    }
    host.script(&script)?;
    Ok(())
}

/// Not eth1's own address: the kernel must not take tunnel packets for its own.
fn phy_mac(index: u8) -> String {
    format!("02:00:00:31:00:{index:02x}")
}

fn configure(host: &Host) -> Result<()> {
    if keys::are_used() {
        let file = |name: &str| keys::file(keys::Of::Chassis, name).display().to_string();
        vsctl(host, ["set-ssl", &file("key"), &file("cert"), &file("cacert")])?;
    }
    // The document's three lines, then what a host without the kernel datapath needs besides. The document writes the
    // list of addresses as tcp:[IP1,IP2,...]:6642, which is shorthand: OVSDB takes one tcp:IP:PORT per member.
    host.script(&format!(
        "ovs-vsctl set open . external-ids:ovn-remote={}
        ovs-vsctl set open . external-ids:ovn-encap-type=geneve
        ovs-vsctl set open . external-ids:ovn-encap-ip={}
        ovs-vsctl set open . external-ids:ovn-bridge-datapath-type=netdev \
          external-ids:ovn-remote-probe-interval={} external-ids:ovn-openflow-probe-interval={PROBE}
        ovs-vsctl --timeout=30 --may-exist add-br br-int \
          -- set bridge br-int datapath_type=netdev fail-mode=secure other_config:disable-in-band=true",
        Database::Sb.remotes(),
        host.encap,
        PROBE * 1000,
    ))?;
    Ok(())
}

fn controller(host: &Host) -> Result<()> {
    host.daemon(
        "ovn-controller",
        "ovn-controller",
        &[
            "-vconsole:info",
            "-vsyslog:off",
            "--pidfile=/run/ovn/ovn-controller.pid",
            "--overwrite-pidfile",
            "unix:/run/openvswitch/db.sock",
        ],
        &[],
    )?;
    Ok(())
}

/// Ends ovs-vswitchd (`signal`: `TERM`, `KILL`) and starts it again, with what a host's network scripts do then.
///
/// # Errors
/// When it doesn't end or start.
pub fn restart_vswitchd(host: &Host, signal: &str) -> Result<()> {
    host.end_daemon("ovs-vswitchd", signal)?;
    host.start_again("ovs-vswitchd")?;
    tunnels(host)
}

/// `ovn-nbctl` against the cluster, from host1. Tried again for 30 s while there is no leader.
///
/// # Errors
/// As [`exec::check`].
pub fn nbctl<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<String> {
    ctl(Database::Nb, "ovn-nbctl", words)
}

/// `ovn-sbctl` against the cluster, from host1. Tried again for 30 s while there is no leader.
///
/// # Errors
/// As [`exec::check`].
pub fn sbctl<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<String> {
    ctl(Database::Sb, "ovn-sbctl", words)
}

fn ctl<S: AsRef<str>>(
    database: Database,
    program: &str,
    words: impl IntoIterator<Item = S>,
) -> Result<String> {
    let words: Vec<String> = words.into_iter().map(|w| w.as_ref().to_owned()).collect();
    exec::wait_until(&format!("a leader of {}", database.name()), Duration::from_secs(30), || {
        let mut command = hosts::host(1).command(program);
        command
            .arg(format!("--db={}", database.remotes()))
            .arg("--timeout=50")
            .args(keys::options())
            .args(&words);
        let output = exec::run(&mut command, exec::SHORT, None)?;
        if output.status.success() {
            return Ok(Some(output.stdout));
        }
        // It gives up at once while there is no leader; nothing was written then.
        if output.stderr.contains("database connection failed") {
            return Ok(None);
        }
        Err(exec::Failed { command: exec::shown(&command), output }.into())
    })
}

/// `ovs-vsctl` on a host.
///
/// # Errors
/// As [`exec::check`].
pub fn vsctl<S: AsRef<str>>(host: &Host, words: impl IntoIterator<Item = S>) -> Result<String> {
    let mut command: Command = host.command("ovs-vsctl");
    command.arg("--timeout=50").args(words.into_iter().map(|w| w.as_ref().to_owned()));
    exec::check(&mut command, exec::SHORT, None)
}

/// The host whose server leads the cluster of `database`, as that server itself says.
///
/// # Errors
/// When no server does.
pub fn leader(database: Database) -> Result<Host> {
    leader_among(&hosts::all(), database)
}

/// The same of some of the servers: one that is cut off from the others may still believe that it leads.
///
/// # Errors
/// When none of them does.
pub fn leader_among(hosts: &[Host], database: Database) -> Result<Host> {
    for host in hosts {
        let control = database.control();
        let Ok(status) =
            host.exec(["ovs-appctl", "--timeout=5", "-t", &control, "cluster/status", database.name()])
        else {
            continue;
        };
        if status.lines().any(|line| line.trim() == "Role: leader") {
            return Ok(host.clone());
        }
    }
    bail!("no server leads {}", database.name())
}

/// Has the leader hand the leadership over, as it does before it compacts by itself.
///
/// # Errors
/// When no server leads, or it doesn't answer.
pub fn transfer(database: Database) -> Result<()> {
    appctl(&leader(database)?, database, &["cluster/failure-test", "transfer-leadership"]).map(drop)
}

/// Sends a command to a member's control socket.
fn appctl(host: &Host, database: Database, words: &[&str]) -> Result<String> {
    host.exec([&["ovs-appctl", "--timeout=20", "-t", &database.control()], words].concat())
}

/// Cuts a member off from the other members, or mends it. Clients still reach it.
///
/// # Errors
/// When the host isn't up.
pub fn cut_off_member(host: &Host, database: Database, cut: bool) -> Result<()> {
    let (table, port) = (format!("inet cut_{}", database.short()), database.raft_port());
    // nft(8): a table that is named before it is deleted need not exist.
    let mut rules = format!("table {table}\ndelete table {table}\n");
    if cut {
        for (chain, hook) in [("in", "input"), ("out", "output")] {
            rules += &format!(
                "table {table} {{\nchain {chain} {{\ntype filter hook {hook} priority -300\ntcp sport {port} drop\ntcp dport {port} drop\n}}\n}}\n"
            );
        }
    }
    host.script(&format!("nft -f - <<'RULES'\n{rules}RULES")).map(drop)
}

/// Compacts a member's file. Without changes since the last time there is nothing to compact.
///
/// # Errors
/// When the server doesn't answer.
pub fn compact(host: &Host, database: Database) -> Result<()> {
    let mut command = host.command("ovs-appctl");
    command.args(["--timeout=20", "-t", &database.control(), "ovsdb-server/compact", database.name()]);
    let output = exec::run(&mut command, exec::SHORT, None)?;
    if output.status.success() || output.stderr.contains("not storing a duplicate snapshot") {
        return Ok(());
    }
    Err(exec::Failed { command: exec::shown(&command), output }.into())
}

/// Has a member lose its file and join the cluster anew, as ovsdb(7) has it: the dead server is kicked, and an empty one
/// joins in its place.
///
/// # Errors
/// When the cluster doesn't answer or the member doesn't join.
pub fn rejoin(host: &Host, database: Database) -> Result<()> {
    let id = appctl(host, database, &["cluster/sid", database.name()])?;
    host.end_daemon(database.daemon(), "KILL")?;
    host.script(&format!("rm -f {} /var/lib/ovn/.ovn{}_db.db.~lock~", database.path(), database.short()))?;
    let short: String = id.trim().chars().take(4).collect();
    exec::wait_ok("the lost server to be out of the cluster", UP, || {
        let status = appctl(&leader(database)?, database, &["cluster/status", database.name()])?;
        if !status.contains(&short) {
            return Ok(());
        }
        appctl(&leader(database)?, database, &["cluster/kick", database.name(), id.trim()])?;
        bail!("server {short} is a member still")
    })?;
    let (name, raft) = (database.name(), database.raft_port());
    let file = database.path();
    let members: Vec<String> =
        host.others().iter().map(|other| format!("tcp:{}:{raft}", other.mgmt)).collect();
    let local = format!("tcp:{}:{raft}", host.mgmt);
    host.script(&format!("ovsdb-tool join-cluster {file} {name} {local} {}", members.join(" ")))?;
    host.start_again(database.daemon())?;
    joined(host)
}

/// The file of a host's Open vSwitch database, seen from outside.
pub fn vswitch_file(host: &Host) -> PathBuf {
    host.dir().join("fs/etc/openvswitch/conf.db")
}

/// Environment that makes OVN's tools reach the clusters from inside any host.
pub fn environment() -> [(&'static str, String); 2] {
    [("OVN_NB_DB", Database::Nb.remotes()), ("OVN_SB_DB", Database::Sb.remotes())]
}

fn wrappers() -> Result<()> {
    for (program, variable, database) in
        [("ovn-nbctl", "OVN_NB_DB", Database::Nb), ("ovn-sbctl", "OVN_SB_DB", Database::Sb)]
    {
        let text = format!(
            "#!/bin/sh\n# {program} as on host1, against the whole cluster\nexec env {variable}={} {} host1 {program} {} \"$@\"\n",
            database.remotes(),
            paths::enter().display(),
            keys::options().join(" ")
        );
        hosts::install_script(&paths::bin().join(program), &text)?;
    }
    Ok(())
}

/// One line per member and daemon that answers, for `sandbox status`.
pub fn status() -> Vec<String> {
    let mut lines = Vec::new();
    for database in [Database::Nb, Database::Sb] {
        let leader = leader(database).map_or_else(|_| "none".to_owned(), |host| host.name);
        lines.push(format!("{}  leader {leader}  {}", database.name(), database.remotes()));
    }
    lines
}

/// The chassis name (`system-id`) of a host.
///
/// # Errors
/// When Open vSwitch doesn't answer.
pub fn chassis(host: &Host) -> Result<String> {
    let id = vsctl(host, ["get", "open", ".", "external-ids:system-id"]).context("reading system-id")?;
    Ok(id.trim().trim_matches('"').to_owned())
}
