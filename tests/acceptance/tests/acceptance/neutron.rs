//! Whatever Neutron does, what is ours stands again, and pods on its routers go on: each thing that Neutron does to a
//! router, to its networks, at its start and in its repair, with how long rows of ours did not stand.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tombolo_needs::needs;
use tombolo_sandbox::{exec, neutron, ovn};
use tombolo_tests_acceptance::healing::{Healing, Outcome};
use tombolo_tests_acceptance::router::{Router, create};
use tombolo_tests_acceptance::{
    LATER, Net, Pod, SOON, Space, apply_subnet, bed, condition, delete, get, namespaces, space,
};

const READY: &str = "True ReconcileLogicalSwitchSuccess";
const GATEWAY: &str = "12.9.0.1";

/// A router in OpenStack with a Subnet and a pod behind it.
struct Site {
    pod: Pod,
    _net: Net,
    space: Space,
    router: Router,
}

impl Site {
    fn new(name: &str, cidr: &str) -> Result<Self> {
        let space = space(name)?;
        let router = Router::new(name, cidr)?;
        namespaces(&router.vpc(), &[&space.name])?;
        let net = Net::of(name, &space);
        apply_subnet(&net.name, &router.vpc(), "12.9.0.0/24", &[&space.name], &json!({}))?;
        condition("subnets.kubeovn.io", &net.name, "Ready", READY)?;
        let pod = space.pod("one", None)?;
        pod.reaches(GATEWAY)?;
        Ok(Self { pod, _net: net, space, router })
    }

    /// The pod is the one that it was, and its gateway answers it.
    fn goes_on(&self) -> Result<()> {
        self.pod.reaches(GATEWAY)?;
        let now = get("pod", &self.space.name, &self.pod.name)?;
        ensure!(now["status"]["podIP"] == self.pod.address.as_str(), "another address: {}", now["status"]);
        ensure!(now["status"]["containerStatuses"][0]["restartCount"] == 0, "restarted: {}", now["status"]);
        Ok(())
    }
}

/// Does what Neutron's users or operators do, and says what became of our rows.
struct Table<'a> {
    healing: Healing,
    site: &'a Site,
}

impl Table<'_> {
    fn row(&self, what: &str, action: impl FnOnce() -> Result<()>) -> Result<Outcome> {
        let outcome = self.healing.during(action)?;
        println!("| {what} | {outcome} |");
        for (row, time) in &outcome.broken {
            println!("|   {row} | {} ms |", time.as_millis());
        }
        self.site.goes_on()?;
        Ok(outcome)
    }

    /// As [`Table::row`], for what must leave our rows alone.
    fn untouched(&self, what: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
        let outcome = self.row(what, action)?;
        ensure!(
            outcome.broken.is_empty(),
            "{what} touched rows of ours, which is news: {:?}",
            outcome.broken
        );
        Ok(())
    }
}

#[test]
fn whatever_neutrons_users_do_ours_stands() -> Result<()> {
    // invariants 1 and 3
    let _bed = needs!(bed()?);
    let external = create("network", &json!({"name": "acc-external", "router:external": true}))?;
    let outside =
        json!({"network_id": external, "cidr": "203.0.113.0/24", "ip_version": 4, "enable_dhcp": false});
    create("subnet", &outside)?;
    let result = users(&external);
    neutron::api("DELETE", &format!("networks/{external}"), None)?;
    result
}

fn users(external: &str) -> Result<()> {
    let site = Site::new("acc-users", "192.168.81.0/24")?;
    let (router, gateway) = (
        &site.router,
        |snat: bool| json!({"external_gateway_info": {"network_id": external, "enable_snat": snat}}),
    );
    let table = Table { healing: Healing::begin()?, site: &site };
    table.untouched("router rename", || router.set(&json!({"name": "acc-users-2"})))?;
    table.untouched("gateway set", || router.set(&gateway(true)))?;
    table.untouched("SNAT off", || router.set(&gateway(false)))?;
    table.untouched("SNAT on", || router.set(&gateway(true)))?;
    table.untouched("gateway cleared", || router.set(&json!({"external_gateway_info": {}})))?;
    let mut subnet = String::new();
    table.untouched("interface added", || {
        subnet = router.attach("192.168.82.0/24")?;
        Ok(())
    })?;
    site.pod.reaches("192.168.82.1")?;
    table.untouched("interface removed", || router.detach(&subnet))?;
    // Neutron disables its router in OVN: nothing is routed, and nothing of ours is written.
    let outcome = table.healing.during(|| router.set(&json!({"admin_state_up": false})))?;
    println!("| admin down | {outcome} |");
    ensure!(outcome.broken.is_empty(), "admin down touched rows of ours: {:?}", outcome.broken);
    exec::wait_ok("nothing to be routed", SOON, || {
        let (whole, output) = site.pod.ping("192.168.81.1")?;
        ensure!(!whole, "{output}");
        Ok(())
    })?;
    table.untouched("admin up", || router.set(&json!({"admin_state_up": true})))?;
    site.pod.reaches("192.168.81.1")?;
    table.untouched("all interfaces and the network deleted", || {
        router.clear()?;
        router.delete_network()
    })?;
    exec::wait_ok("the Vpc to list our Subnet alone", SOON, || {
        let vpc = get("vpcs.kubeovn.io", "", &router.vpc())?;
        ensure!(vpc["status"]["subnets"] == json!(["acc-users"]), "{}", vpc["status"]);
        Ok(())
    })
}

#[test]
fn whatever_neutrons_operators_do_ours_stands_again() -> Result<()> {
    // invariants 1 and 3
    let _bed = needs!(bed()?);
    let site = Site::new("acc-operators", "192.168.83.0/24")?;
    let table = Table { healing: Healing::begin()?, site: &site };
    table.untouched("db-sync log", || neutron::sync(neutron::Sync::Log).map(drop))?;
    table.row("db-sync repair", || {
        // Neutron before 26.0.3 ends in an error at the first router port that isn't its own.
        if let Err(error) = neutron::sync(neutron::Sync::Repair) {
            println!("(it ended in an error, as this release does: {})", first_line(&error));
        }
        Ok(())
    })?;
    let port = format!("{}-acc-operators", site.router.vpc());
    // A start compares (which is the default) or repairs once some seconds after its API answers; by then its
    // maintenance worker has been through all rows.
    let restart = |start: &dyn Fn() -> Result<()>| {
        neutron::stop()?;
        let log = neutron::host().daemon_log("neutron-server");
        let before = fs::metadata(&log)?.len();
        start()?;
        exec::wait_ok("Neutron to have compared the northbound database", LATER, || {
            let mut file = fs::File::open(&log)?;
            file.seek(SeekFrom::Start(before))?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            let text = String::from_utf8_lossy(&text);
            let compared = text.lines().any(|line| line.contains("ovn_db_sync") && line.contains(&port));
            ensure!(compared, "its log doesn't mention {port}");
            Ok(())
        })
    };
    table.row("restart, with its maintenance worker and the comparison", || restart(&neutron::start))?;
    table.row("restart with `neutron_sync_mode = repair`", || {
        restart(&|| neutron::start_with(neutron::Sync::Repair))
    })?;
    // For the tests that follow: as it was.
    neutron::stop()?;
    neutron::start()?;
    for words in [
        vec!["lsp-del", "one.acc-operators"],
        vec!["lrp-del", &port],
        vec!["ls-del", "acc-operators"],
        vec!["lsp-set-addresses", "one.acc-operators", "00:00:00:00:00:99 12.9.0.99"],
    ] {
        let outcome = table
            .row(&format!("`ovn-nbctl {}` by somebody", words.join(" ")), || ovn::nbctl(&words).map(drop))?;
        ensure!(!outcome.broken.is_empty(), "{words:?} was not seen");
    }
    Ok(())
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_subnet_moves_to_the_router_that_replaces_a_deleted_one() -> Result<()> {
    // invariants 3 and 5
    let _bed = needs!(bed()?);
    let site = Site::new("acc-home", "192.168.84.0/24")?;
    let old = site.router.vpc();
    site.router.delete()?;
    condition("subnets.kubeovn.io", "acc-home", "Ready", "False VpcNotReady")?;
    condition("vpcs.kubeovn.io", &old, "Ready", "False RouterNotFound")?;
    // What the user wrote is still there, and nothing of the port that led to the router is.
    let ports =
        ovn::nbctl(["--bare", "--columns=name,options", "find", "Logical_Switch_Port", "type=router"])?;
    ensure!(!ports.contains(&old), "a port leads to the router that is gone:\n{ports}");
    let new = Router::new("acc-home-2", "192.168.85.0/24")?;
    namespaces(&new.vpc(), &[&site.space.name])?;
    let patch = json!({"spec": {"vpc": new.vpc()}}).to_string();
    tombolo_sandbox::kubernetes::kubectl([
        "patch",
        "subnets.kubeovn.io",
        "acc-home",
        "--type=merge",
        "-p",
        &patch,
    ])?;
    condition("subnets.kubeovn.io", "acc-home", "Ready", READY)?;
    site.goes_on()?;
    site.pod.reaches("192.168.85.1")?;
    let pod: Value = get("pod", &site.space.name, "one")?;
    let at = &pod["metadata"]["annotations"]["ovn.kubernetes.io/logical_router"];
    ensure!(at == new.vpc().as_str(), "the pod says that its router is {at}");
    delete("vpcs.kubeovn.io", "", &old)
}
