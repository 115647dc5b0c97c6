//! The harness itself: what it starts answers, keeps its data over a pause, and leaves nothing behind.

use tombolo_needs::needs;
use tombolo_testbed::{ApiServer, Cluster, Nb};

#[test]
fn api_server() -> anyhow::Result<()> {
    let mut api = needs!(ApiServer::start()?);
    api.apply_crds()?;
    api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
    api.pause();
    assert!(api.kubectl(&["get", "namespace", "net2", "--request-timeout=1s"]).is_err());
    api.resume()?;
    assert_eq!(api.json(&["get", "namespace", "net2"])?["metadata"]["name"], "net2");
    Ok(())
}

#[test]
fn nb() -> anyhow::Result<()> {
    for start in [Nb::start, Nb::start_clustered] {
        let mut nb = needs!(start()?);
        let (router, network) = nb.neutron_router(1, "router0", "192.168.1.0/24")?;
        nb.pause();
        nb.resume()?;
        let shown = nb.ctl(&["show"])?;
        assert!(shown.contains(&format!("({router})")) && shown.contains(&format!("({network})")), "{shown}");
        assert!(shown.contains("networks: [\"192.168.1.1/24\"]"), "{shown}");
    }
    Ok(())
}

/// Everything that is done to a cluster leaves what it held.
#[test]
fn cluster() -> anyhow::Result<()> {
    let mut nb = needs!(Cluster::start()?);
    let before = nb.log_end()?;
    nb.ctl(&["ls-add", "one"])?;
    assert!(nb.log_end()? > before);
    let first = nb.leader()?;
    nb.kill(first);
    nb.ctl(&["ls-add", "two"])?;
    nb.start_member(first)?;
    nb.settle()?;
    let second = nb.transfer()?;
    nb.ctl(&["ls-add", "three"])?;
    nb.compact()?;
    nb.settle()?;
    nb.lose(second)?;
    nb.settle()?;
    if nb.has_disks() {
        let full = nb.leader()?;
        nb.fill_disk(full)?;
        nb.ctl(&["ls-add", "four"])?;
        nb.ctl(&["ls-add", "five"])?;
        assert_ne!(nb.leader()?, full, "another one leads, that has room");
        nb.free_disk(full)?;
        nb.settle()?;
    } else {
        tombolo_needs::missing("a file system that may be mounted");
        nb.ctl(&["ls-add", "four", "--", "ls-add", "five"])?;
    }
    for n in 0..nb.size() {
        nb.kill(n);
    }
    for n in 0..nb.size() {
        nb.start_member(n)?;
    }
    let names = nb.ctl(&["--bare", "--columns=name", "list", "Logical_Switch"])?;
    let mut names: Vec<&str> = names.split_whitespace().collect();
    names.sort_unstable();
    assert_eq!(names, ["five", "four", "one", "three", "two"]);
    Ok(())
}
