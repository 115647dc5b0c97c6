//! A real Neutron on host1: neutron-server with ML2/OVN, MariaDB, no authentication, and the objects of the scenario.
//!
//! Decides how Neutron is configured (as OpenStack's document has it) and which objects the scenario has in OpenStack.
//! It never writes into OVN itself.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::hosts::{self, Host};
use crate::ovn::Database;
use crate::progress::{Phase, say};
use crate::{exec, keys, ovn, paths};

/// Port of Neutron's API, on host1's management address and its loopback.
pub const API_PORT: u16 = 9696;
/// Name of the scenario's network.
pub const NETWORK: &str = "provider";
/// Name of its subnet.
pub const SUBNET: &str = "provider-v4";
/// Its addresses.
pub const CIDR: &str = "192.168.1.0/24";
/// Name of the router that the subnet and later the pods' subnet are connected to.
pub const ROUTER: &str = "router0";
/// Name of the VM.
pub const SERVER: &str = "provider-instance";
/// The VM's address.
pub const SERVER_IP: &str = "192.168.1.61";

const START: Duration = Duration::from_secs(180);
const MIGRATE: Duration = Duration::from_secs(600);
const CONFIG: [&str; 4] =
    ["--config-file", "/etc/neutron/neutron.conf", "--config-file", "/etc/neutron/plugins/ml2/ml2_conf.ini"];

/// The host that Neutron runs on.
pub fn host() -> Host {
    hosts::host(1)
}

fn dir() -> PathBuf {
    host().dir().join("neutron")
}

fn socket() -> PathBuf {
    dir().join("mysql.sock")
}

/// Starts MariaDB with Neutron's schema in it: copied from the cache, or migrated once and put there (half a minute).
///
/// # Errors
/// When MariaDB doesn't start or the migration fails.
pub fn database(phase: &Phase) -> Result<()> {
    configure()?;
    let data = dir().join("mysql");
    if host().daemon_pid("mariadbd").is_some() {
        return Ok(());
    }
    let cached = paths::cache().join("neutron-database").join(version()?);
    if !data.exists() && cached.exists() {
        phase.doing("copying the migrated database from the cache");
        copy(&cached, &data)?;
    }
    if data.exists() {
        return start_database();
    }
    phase.doing("creating an empty database");
    let mut install = host().command("mariadb-install-db");
    install.args([
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--user=root",
    ]);
    install.arg(format!("--datadir={}", data.display()));
    exec::check(&mut install, START, Some(phase.log()))?;
    start_database()?;
    phase.doing("creating Neutron's schema (neutron-db-manage upgrade heads)");
    let mut migrate = host().command("neutron-db-manage");
    migrate.args(CONFIG).args(["upgrade", "heads"]);
    exec::check(&mut migrate, MIGRATE, Some(phase.log()))?;
    phase.doing("keeping it in the cache");
    host().stop_daemon("mariadbd")?;
    copy(&data, &cached)?;
    start_database()
}

/// Copies a directory so that an interruption never leaves half of it under its name.
fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let fresh = to.with_extension(format!("new-{}", std::process::id()));
    fs::create_dir_all(&fresh).with_context(|| format!("creating {}", fresh.display()))?;
    exec::check(Command::new("cp").arg("-a").arg(from.join(".")).arg(&fresh), START, None)?;
    match fs::rename(&fresh, to) {
        // Another sandbox was faster; its copy is as good.
        Err(_) if to.exists() => fs::remove_dir_all(&fresh),
        result => result,
    }
    .with_context(|| format!("putting {} in place", to.display()))
}

/// What a migrated database depends on, as a directory name.
fn version() -> Result<String> {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${Package}-${Version} ", "neutron-common", "mariadb-server-core"]);
    let versions = exec::check(&mut query, exec::SHORT, None).context("asking for Neutron's version")?;
    Ok(versions.trim().replace([' ', ':', '/'], "_"))
}

fn start_database() -> Result<()> {
    host().daemon(
        "mariadbd",
        "mariadbd",
        &[
            "--no-defaults",
            "--user=root",
            &format!("--datadir={}", dir().join("mysql").display()),
            &format!("--socket={}", socket().display()),
            "--skip-networking",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            // Gone with the sandbox: nothing here needs to survive a power cut.
            "--innodb-flush-log-at-trx-commit=0",
            "--performance-schema=OFF",
            "--character-set-server=utf8",
        ],
        &[],
    )?;
    exec::wait_ok("MariaDB to answer", START, || {
        let mut client = host().command("mariadb");
        client.args(["--no-defaults", "-uroot", "-S"]).arg(socket());
        client.args(["-e", "CREATE DATABASE IF NOT EXISTS neutron"]);
        exec::check(&mut client, exec::SHORT, None)
    })
    .with_context(|| format!("its log is {}", host().daemon_log("mariadbd").display()))?;
    Ok(())
}

fn configure() -> Result<()> {
    let state = dir().join("state");
    fs::create_dir_all(state.join("lock")).with_context(|| format!("creating {}", state.display()))?;
    let etc = host().dir().join("fs/etc/neutron");
    fs::create_dir_all(etc.join("plugins/ml2")).with_context(|| format!("creating {}", etc.display()))?;
    let fill = |template: &str| {
        template
            .replace("@API_PORT@", &API_PORT.to_string())
            .replace("@STATE@", &state.display().to_string())
            .replace("@SOCKET@", &socket().display().to_string())
            .replace("@NB@", &Database::Nb.remotes())
            .replace("@SB@", &Database::Sb.remotes())
            .replace("@KEYS@\n", &keys::for_neutron())
    };
    for (name, template) in [
        ("api-paste.ini", include_str!("../files/neutron/api-paste.ini")),
        ("neutron.conf", include_str!("../files/neutron/neutron.conf")),
        ("plugins/ml2/ml2_conf.ini", include_str!("../files/neutron/ml2_conf.ini")),
    ] {
        fs::write(etc.join(name), fill(template)).with_context(|| format!("writing Neutron's {name}"))?;
    }
    let wrapper = format!(
        "#!/bin/sh\n# OpenStack's client as on host1; Neutron is its only service, without authentication\n\
         exec {} host1 openstack --os-auth-type none --os-endpoint {} \"$@\"\n",
        paths::enter().display(),
        endpoint()
    );
    hosts::install_script(&paths::bin().join("openstack"), &wrapper)
}

/// Neutron's API, from every host.
pub fn endpoint() -> String {
    format!("http://{}:{API_PORT}", host().mgmt)
}

/// Starts neutron-server (the database and OVN run) and waits until it answers and sees all chassis alive.
///
/// # Errors
/// When it ends or doesn't answer within three minutes.
pub fn up(phase: &Phase) -> Result<()> {
    let log = host().daemon_log("neutron-server");
    phase.hint(format_args!("neutron-server's own log is {}", log.display()));
    phase.doing("starting neutron-server");
    host().daemon("neutron-server", "neutron-server", &CONFIG, &[])?;
    if !has_drop_group()? {
        // Best effort: neutron-server does it as well, later.
        if let Err(error) = create_drop_group(phase) {
            say(format_args!("neutron: its Port_Group for port security will come later: {error:#}"));
        }
    }
    ready()?;
    sees_all(phase)
}

/// Waits until Neutron sees all chassis alive. After an election its search for the databases' new leaders takes up to half a
/// minute, in which it answers with errors.
///
/// # Errors
/// After three minutes.
pub fn sees_all(phase: &Phase) -> Result<()> {
    phase.doing("waiting until Neutron sees all chassis alive");
    exec::wait_ok("Neutron to see all chassis alive", START, || {
        let agents = api("GET", "agents?binary=ovn-controller", None)?;
        let alive =
            agents["agents"].as_array().map_or(0, |a| a.iter().filter(|a| a["alive"] == true).count());
        ensure!(alive >= usize::from(hosts::COUNT), "{alive} of {} are alive", hosts::COUNT);
        Ok(())
    })
}

/// Whether Neutron has its Port_Group for port security, without which it can't create a port. Looking for the leader
/// of a clustered database, neutron-server creates it 10 to 30 s after its API answers.
fn has_drop_group() -> Result<bool> {
    let found = ovn::nbctl(["--bare", "--columns=name", "find", "Port_Group", "name=neutron_pg_drop"])?;
    Ok(!found.trim().is_empty())
}

/// Has Neutron's own code create the Port_Group now, at the leader.
fn create_drop_group(phase: &Phase) -> Result<()> {
    let script = paths::state().join("lib/drop-group.py");
    fs::write(&script, include_str!("../files/neutron/drop-group.py")).context("writing drop-group.py")?;
    let leader = ovn::leader(Database::Nb)?;
    let mut command = host().command("/usr/bin/python3");
    command.arg(script).arg(Database::Nb.remote(&leader)).args(CONFIG);
    exec::check(&mut command, exec::SHORT, Some(phase.log()))?;
    Ok(())
}

/// Waits until Neutron's API answers and ports can be created.
///
/// # Errors
/// When neutron-server has ended, or after three minutes.
pub fn ready() -> Result<()> {
    exec::wait_until("Neutron's API to answer", START, || {
        if host().daemon_pid("neutron-server").is_none() {
            let log = host().daemon_log("neutron-server");
            bail!(
                "neutron-server ended; its log {} ends:\n{}",
                log.display(),
                crate::progress::tail(&log, 15).join("\n")
            );
        }
        Ok(api("GET", "networks?fields=id", None).ok().map(drop))
    })?;
    exec::wait_until("Neutron to have its Port_Group neutron_pg_drop", START, || {
        Ok(has_drop_group()?.then_some(()))
    })
}

/// Ends neutron-server.
///
/// # Errors
/// When it doesn't end.
pub fn stop() -> Result<()> {
    // Neutron 21's OVN driver takes SIGTERM for itself (pre_fork_initialize in mech_driver.py): it cleans its hash ring
    // up, which takes no time, and the server then doesn't end by itself.
    host().stop_daemon_within("neutron-server", Duration::from_secs(3))
}

/// Starts neutron-server again after [`stop`] and waits until it answers.
///
/// # Errors
/// As [`ready`].
pub fn start() -> Result<()> {
    host().daemon("neutron-server", "neutron-server", &CONFIG, &[])?;
    ready()
}

/// Starts neutron-server after [`stop`] with `[ovn] neutron_sync_mode` set: it then compares or repairs the northbound
/// database once at its start, and goes on as usual. Waits until it answers. [`start`] after another [`stop`] is as
/// without.
///
/// # Errors
/// As [`ready`].
pub fn start_with(mode: Sync) -> Result<()> {
    let name = "sync-mode.ini";
    let path = host().dir().join("fs/etc/neutron").join(name);
    fs::write(&path, format!("[ovn]\nneutron_sync_mode = {}\n", mode.word()))
        .with_context(|| format!("writing {}", path.display()))?;
    let extra = format!("/etc/neutron/{name}");
    let args: Vec<&str> = CONFIG.into_iter().chain(["--config-file", &extra]).collect();
    host().daemon("neutron-server", "neutron-server", &args, &[])?;
    ready()
}

/// One call of Neutron's API (`path` below `/v2.0/`) as administrator. An empty answer is `null`.
///
/// # Errors
/// When Neutron doesn't answer, or answers with anything but 2xx: its message is in the error.
pub fn api(method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let mut curl = host().command("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--max-time",
        "50",
        "--write-out",
        "\n%{http_code}",
        "--request",
        method,
    ]);
    curl.args(["--header", "Content-Type: application/json"]);
    if body.is_some() {
        curl.args(["--data-binary", "@-"]);
    }
    curl.arg(format!("http://127.0.0.1:{API_PORT}/v2.0/{path}"));
    let input = body.map(Value::to_string).unwrap_or_default();
    let answer = exec::check_input(&mut curl, input.as_bytes(), exec::SHORT, None)
        .with_context(|| format!("asking Neutron: {method} {path}"))?;
    let (text, status) = answer.rsplit_once('\n').context("an answer without a status")?;
    if !status.starts_with('2') {
        bail!("Neutron answered {method} {path} with {status}: {text}");
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).with_context(|| format!("reading Neutron's answer to {method} {path}"))
}

/// The scenario's objects in OpenStack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    /// UUID of the network [`NETWORK`].
    pub network: String,
    /// UUID of the subnet [`SUBNET`].
    pub subnet: String,
    /// UUID of the router [`ROUTER`].
    pub router: String,
}

impl Objects {
    /// Name of the network's logical switch.
    pub fn switch(&self) -> String {
        format!("neutron-{}", self.network)
    }

    /// Name of the router's logical router, and of the Vpc that shows it.
    pub fn logical_router(&self) -> String {
        format!("neutron-{}", self.router)
    }
}

/// Creates the scenario's network, subnet and router, where they don't exist, and connects them.
///
/// # Errors
/// Neutron's.
pub fn objects() -> Result<Objects> {
    let network = ensure("network", NETWORK, json!({}))?;
    let subnet = ensure(
        "subnet",
        SUBNET,
        json!({"network_id": network, "cidr": CIDR, "ip_version": 4, "gateway_ip": "192.168.1.1", "enable_dhcp": true}),
    )?;
    let router = ensure("router", ROUTER, json!({}))?;
    let interfaces =
        api("GET", &format!("ports?device_id={router}&device_owner=network:router_interface"), None)?;
    if interfaces["ports"].as_array().is_none_or(Vec::is_empty) {
        api("PUT", &format!("routers/{router}/add_router_interface"), Some(&json!({"subnet_id": subnet})))?;
    }
    Ok(Objects { network, subnet, router })
}

/// The UUID of the `kind` with this name; it is created with `fields` if there is none.
fn ensure(kind: &str, name: &str, mut fields: Value) -> Result<String> {
    let found = api("GET", &format!("{kind}s?name={name}&fields=id"), None)?;
    if let Some(id) = found[format!("{kind}s")][0]["id"].as_str() {
        return Ok(id.to_owned());
    }
    fields["name"] = json!(name);
    let created = api("POST", &format!("{kind}s"), Some(&json!({ kind: fields })))?;
    created[kind]["id"]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("creating the {kind} {name}: {created}"))
}

/// A port of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// UUID: the name of the logical switch port, and the `iface-id` to plug.
    pub id: String,
    /// Its MAC address, lower case.
    pub mac: String,
    /// Its IPv4 address.
    pub ip: String,
    /// UUID of the instance that it belongs to (`device_id`).
    pub instance: String,
    /// MTU of its network.
    pub mtu: u32,
}

/// The port with this address in the scenario's network as Neutron has it, `null` when there is none.
///
/// # Errors
/// Neutron's.
pub fn port_with(network: &str, ip: &str) -> Result<Value> {
    let query = format!("ports?network_id={network}&fixed_ips=ip_address%3D{ip}");
    Ok(api("GET", &query, None)?.pointer_mut("/ports/0").map(Value::take).unwrap_or_default())
}

/// Creates a port as Nova does for a new instance (without a name), bound to a host, in the project's default security
/// group; the one with this address if it exists, bound to `host` anew if need be.
///
/// # Errors
/// Neutron's, and when it can't bind the port on that host.
pub fn port(objects: &Objects, ip: &str, host: &Host) -> Result<Port> {
    let mut port = port_with(&objects.network, ip)?;
    if port.is_null() {
        let instance =
            exec::check(Command::new("cat").arg("/proc/sys/kernel/random/uuid"), exec::SHORT, None)?;
        let body = json!({"port": {
            "network_id": objects.network, "device_owner": "compute:nova", "device_id": instance.trim(),
            "fixed_ips": [{"subnet_id": objects.subnet, "ip_address": ip}], "binding:host_id": host.name,
        }});
        port = api("POST", "ports", Some(&body))?["port"].clone();
    } else if port["binding:host_id"] != host.name.as_str() {
        let id = text(&port, "id")?;
        let body = json!({"port": {"binding:host_id": host.name}});
        port = api("PUT", &format!("ports/{id}"), Some(&body))?["port"].clone();
    }
    if port["binding:vif_type"] != "ovs" {
        bail!("Neutron could not bind the port of {ip} on {host}: {port}");
    }
    let network = api("GET", &format!("networks/{}?fields=mtu", objects.network), None)?;
    Ok(Port {
        id: text(&port, "id")?,
        mac: text(&port, "mac_address")?,
        ip: port["fixed_ips"][0]["ip_address"]
            .as_str()
            .map(str::to_owned)
            .context("a port without an address")?,
        instance: text(&port, "device_id")?,
        mtu: network["network"]["mtu"]
            .as_u64()
            .and_then(|m| m.try_into().ok())
            .context("a network without an MTU")?,
    })
}

/// Waits until Neutron has heard that the port is up.
///
/// # Errors
/// After three minutes.
pub fn port_active(id: &str) -> Result<()> {
    exec::wait_until(&format!("port {id} to be ACTIVE"), START, || {
        Ok((api("GET", &format!("ports/{id}?fields=status"), None)?["port"]["status"] == "ACTIVE")
            .then_some(()))
    })
}

/// UUID of the default security group of the project that all objects here are in.
///
/// # Errors
/// Neutron's.
pub fn default_security_group() -> Result<String> {
    let groups = api("GET", "security-groups?name=default&fields=id&fields=project_id", None)?;
    let group = groups["security_groups"]
        .as_array()
        .and_then(|g| g.iter().find(|g| g["project_id"] == "fake_project_id"));
    text(group.ok_or_else(|| anyhow!("no default security group: {groups}"))?, "id")
}

/// Adds a rule to a security group: ingress, IPv4, from anywhere. Returns its UUID, also when it was there already.
///
/// # Errors
/// Neutron's.
pub fn allow(group: &str, protocol: &str) -> Result<String> {
    let query = format!(
        "security-group-rules?security_group_id={group}&protocol={protocol}&direction=ingress&fields=id"
    );
    if let Some(id) = api("GET", &query, None)?["security_group_rules"][0]["id"].as_str() {
        return Ok(id.to_owned());
    }
    let rule = json!({"security_group_rule": {
        "security_group_id": group, "direction": "ingress", "ethertype": "IPv4", "protocol": protocol,
    }});
    text(&api("POST", "security-group-rules", Some(&rule))?["security_group_rule"], "id")
}

fn text(object: &Value, field: &str) -> Result<String> {
    object[field]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("an answer of Neutron lacks {field}: {object}"))
}

/// `openstack …` on host1, as a user types it; about 4 s a call. Returns what it prints.
///
/// # Errors
/// As [`exec::check`].
pub fn openstack<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<String> {
    exec::check(Command::new(paths::bin().join("openstack")).args(words), START, None)
}

/// How `neutron-ovn-db-sync-util` is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Compares and reports.
    Log,
    /// Compares and makes OVN as Neutron wants it.
    Repair,
}

impl Sync {
    /// As Neutron's option neutron_sync_mode has it.
    fn word(self) -> &'static str {
        match self {
            Sync::Log => "log",
            Sync::Repair => "repair",
        }
    }
}

/// Runs `neutron-ovn-db-sync-util`. Returns the inconsistencies that it reports, and its errors.
///
/// # Errors
/// When it fails.
pub fn sync(mode: Sync) -> Result<Vec<String>> {
    let mode = mode.word();
    let mut command = host().command("neutron-ovn-db-sync-util");
    command.args(CONFIG).arg(format!("--ovn-neutron_sync_mode={mode}"));
    let log = host().daemon_log(&format!("neutron-sync-{mode}"));
    let output = exec::run(&mut command, START, Some(&log))?;
    if !output.status.success() {
        return Err(exec::Failed { command: exec::shown(&command), output }.into());
    }
    Ok(output.stderr.lines().chain(output.stdout.lines()).filter_map(inconsistency).collect())
}

/// The message of a log line of the tool, if it reports an inconsistency or an error.
fn inconsistency(line: &str) -> Option<String> {
    let mut words = line.splitn(6, ' ').skip(3);
    let (level, logger, rest) = (words.next()?, words.next()?, words.next()?);
    let message = rest.split_once("] ").map_or(rest, |(_, message)| message).trim_end_matches("\u{1b}[00m");
    let reported = match level {
        "ERROR" | "CRITICAL" => true,
        // Neutron 21 puts every router port that it finds on its list of ports to update, changed or not
        // (sync_routers_and_rports in ovn_db_sync.py), and says this of each.
        "WARNING" => {
            logger.ends_with(".ovn_db_sync") && !message.ends_with("needs to be updated for networks changed")
        }
        _ => false,
    };
    reported.then(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_inconsistencies_are_reported() {
        let line = |level: &str, logger: &str, message: &str| {
            format!(
                "2026-11-24 06:24:42.835 522 {level} neutron.plugins.ml2.{logger} [None req-ea57 - - - - - -] {message}\u{1b}[00m"
            )
        };
        let found = line("WARNING", "ovn_db_sync", "Router found in OVN but not in Neutron, router id=1");
        assert_eq!(
            inconsistency(&found).as_deref(),
            Some("Router found in OVN but not in Neutron, router id=1")
        );
        assert!(inconsistency(&line("ERROR", "x", "broken")).is_some());
        assert!(inconsistency(&line("WARNING", "ovn_client", "No relevant dns_servers")).is_none());
        assert!(inconsistency(&line("INFO", "ovn_db_sync", "started")).is_none());
        let always =
            line("WARNING", "ovn_db_sync", "Router Port port_id=1 needs to be updated for networks changed");
        assert!(inconsistency(&always).is_none());
    }
}
