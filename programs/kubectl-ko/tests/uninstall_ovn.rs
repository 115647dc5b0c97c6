//! `ko uninstall-ovn` with a real API server, real databases, and the chart's objects. What a kubelet and Kubernetes' controllers
//! would do, running programs in pods and ending pods with what they belong to, a script does in the place of `kubectl`.

mod bed;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bed::{Bed, Server, run, text};
use tombolo_needs::needs;
use tombolo_testbed::eventually;

/// What the chart installs.
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/cases/central-tls/manifests.yaml");
const SCHEMAS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas");
/// All kinds of which something is kept.
const KINDS: &str = "deployments,daemonsets,services,roles,rolebindings,serviceaccounts,secrets,configmaps,\
                     validatingadmissionpolicies,validatingadmissionpolicybindings";
/// `kubectl`: programs in pods are this machine's, on the databases in `$DIR`. With a file `fails`, Services can't be deleted;
/// with a file `comes`, somebody makes a switch while Open vSwitch ends.
const SCRIPT: &str = r#"#!/bin/sh
kubectl() { "$REAL" "$@"; }
case "$1" in
exec)
  while [ "$1" != -- ]; do shift; done
  shift
  case "$*" in
  ovsdb-client*OVN_Northbound) exec ovsdb-client --timeout=5 backup "$NB" OVN_Northbound ;;
  ovsdb-client*OVN_Southbound) exec ovsdb-client --timeout=5 backup "unix:$DIR/sock" OVN_Southbound ;;
  ovs-vsctl*) shift; exec ovs-vsctl "--db=unix:$DIR/sock" "$@" ;;
  esac
  echo "no such program: $*" >&2; exit 1 ;;
delete)
  case "$*" in
  *service/*) [ ! -e "$DIR/fails" ] || { echo "the API server is being restarted" >&2; exit 1; } ;;
  *daemonset.apps/ovs-ovn*) ends=ovs-ovn ;;
  *deployment.apps/ovn-central*) ends=ovn-central ;;
  esac
  kubectl "$@" || exit
  [ ! -e "$DIR/comes" ] || ovn-nbctl "--db=$NB" --timeout=5 ls-add since
  [ -z "$ends" ] || kubectl delete pods -n kube-system -l "app=$ends" --force --grace-period=0 >/dev/null 2>&1 ;;
*) kubectl "$@" ;;
esac
"#;

struct Site {
    bed: Bed,
    dir: tempfile::TempDir,
    _server: Server,
}

impl Site {
    /// Tombolo with OVN as pods, on one node.
    fn start() -> Result<Option<Self>> {
        let Some(bed) = Bed::start()? else { return Ok(None) };
        let dir = tempfile::tempdir()?;
        let server = southbound_and_switch(dir.path())?;
        let script = dir.path().join("kubectl");
        std::fs::write(&script, SCRIPT)?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        let site = Self { bed, dir, _server: server };
        site.install()?;
        Ok(Some(site))
    }

    fn install(&self) -> Result<()> {
        let api = &self.bed.api;
        // The test's API server allows no privileged pods.
        let manifests = std::fs::read_to_string(MANIFESTS)?.replace("privileged: true", "privileged: false");
        let kept = manifests.split("\n---\n").filter(|text| text.contains("helm.sh/resource-policy: keep"));
        for text in kept.filter(|text| !text.contains("kind: CustomResourceDefinition")) {
            api.apply(text)?;
        }
        api.apply("apiVersion: v1\nkind: Node\nmetadata: {name: host1}\n")?;
        let ready = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
        for (app, container) in [("ovn-central", "ovn-central"), ("ovs-ovn", "openvswitch")] {
            api.apply(&format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {app}-1, namespace: kube-system, labels: {{app: {app}}}}}\n\
                 spec: {{nodeName: host1, containers: [{{name: {container}, image: none}}]}}\n"
            ))?;
            self.status("pod", &format!("{app}-1"), ready)?;
        }
        let generation =
            api.json(&["get", "daemonset", "-n", "kube-system", "ovs-ovn"])?["metadata"]["generation"]
                .clone();
        let status = format!(
            r#"{{"status":{{"observedGeneration":{generation},"desiredNumberScheduled":1,"currentNumberScheduled":1,"numberMisscheduled":0,"numberReady":1}}}}"#
        );
        self.status("daemonset", "ovs-ovn", &status)?;
        // What members make; and a Secret that a user made.
        let kube = ["-n", "kube-system"];
        api.kubectl(&[&["create", "configmap", "ovn-central", "--from-literal=nb=x"], &kube[..]].concat())?;
        for secret in ["ovn-ca", "kube-ovn-tls"] {
            api.kubectl(&[&["create", "secret", "generic", secret], &kube[..]].concat())?;
        }
        let issued = "tombolo.io/issued-by=ovn-central";
        api.kubectl(&[&["annotate", "secret", "ovn-ca", issued], &kube[..]].concat())?;
        Ok(())
    }

    fn status(&self, kind: &str, name: &str, patch: &str) -> Result<()> {
        let words =
            ["patch", kind, name, "-n", "kube-system", "--subresource=status", "--type=merge", "-p", patch];
        self.bed.api.kubectl(&words).map(drop)
    }

    fn ko(&self, args: &[&str]) -> Result<Output> {
        let mut command = self.bed.command(&[&["uninstall-ovn"], args].concat());
        command
            .env("REAL", self.bed.api.program("kubectl")?)
            .env("KUBECTL", self.dir.path().join("kubectl"))
            .env("DIR", self.dir.path())
            .env("NB", self.bed.nb.address());
        Ok(command.output()?)
    }

    /// It refuses, saying `words`, and changes nothing.
    fn refuses(&self, words: &[&str]) -> Result<()> {
        let before = self.objects()?;
        let output = self.ko(&["--yes"])?;
        ensure!(output.status.code() == Some(1), "{}", text(&output));
        for word in words.iter().chain(&["OVN stays, and nothing was changed"]) {
            ensure!(text(&output).contains(word), "{word}: {}", text(&output));
        }
        ensure!(self.objects()? == before, "something was changed");
        Ok(())
    }

    /// Names of all objects with their versions.
    fn objects(&self) -> Result<Vec<String>> {
        let all = self.bed.api.json(&["get", &format!("{KINDS},pods"), "-n", "kube-system"])?;
        let items = all["items"].as_array().context("no list")?;
        let word = |object: &serde_json::Value| {
            let meta = &object["metadata"];
            format!("{}/{} {}", object["kind"], meta["name"], meta["resourceVersion"]).replace('"', "")
        };
        Ok(items.iter().map(word).collect())
    }

    fn ours(&self) -> Result<Vec<String>> {
        let names = self.objects()?;
        let ours = |name: &String| ["ovn", "ovs", "tombolo"].iter().any(|word| name.contains(word));
        Ok(names.into_iter().filter(ours).collect())
    }

    fn sbctl(&self, args: &[&str]) -> Result<()> {
        let db = format!("--db=unix:{}", self.dir.path().join("sock").display());
        run(self.dir.path(), "ovn-sbctl", &[&[&db, "--timeout=20"], args].concat())
    }

    fn vsctl(&self, args: &[&str]) -> Result<()> {
        let db = format!("--db=unix:{}", self.dir.path().join("sock").display());
        run(self.dir.path(), "ovs-vsctl", &[&[&db, "--no-wait"], args].concat())
    }
}

/// A server of an SB and of an Open vSwitch, at the socket `sock`.
fn southbound_and_switch(dir: &Path) -> Result<Server> {
    for (file, schema) in [("sb", "ovn-23.03/ovn-sb"), ("vs", "ovs-3.1/vswitch")] {
        run(dir, "ovsdb-tool", &["create", file, &format!("{SCHEMAS}/{schema}.ovsschema")])?;
    }
    let server = Command::new("ovsdb-server")
        .args([&format!("--remote=punix:{}", dir.join("sock").display()), "--no-chdir"])
        .args([&format!("--unixctl={}", dir.join("ctl").display()), "sb", "vs"])
        .current_dir(dir)
        .spawn()?;
    let server = Server(server);
    eventually("the databases to answer", Duration::from_secs(20), || {
        Ok(dir.join("sock").exists().then_some(()))
    })?;
    Ok(server)
}

// invariants 1 and 4
#[test]
fn it_refuses_while_anybody_needs_it_and_then_removes_all_of_it() -> Result<()> {
    let mut site = needs!(Site::start()?);
    let (router, switch) = site.bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    site.sbctl(&[
        "init",
        "--",
        "chassis-add",
        "u1",
        "geneve",
        "10.9.0.1",
        "--",
        "set",
        "chassis",
        "u1",
        "hostname=host1",
    ])?;
    site.sbctl(&[
        "chassis-add",
        "u9",
        "geneve",
        "10.9.0.9",
        "--",
        "set",
        "chassis",
        "u9",
        "hostname=compute1",
    ])?;
    site.vsctl(&["init", "--", "add-br", "br-int", "--", "add-port", "br-int", "tap1"])?;
    site.vsctl(&["set", "Interface", "tap1", "external_ids:iface-id=vm1"])?;
    site.refuses(&[
        "cluster: Tombolo is installed: deployment/kube-ovn-controller",
        &format!(
            "nb: Neutron has rows here, known by their keys neutron:*: 1 Logical_Router ({router} (router0))"
        ),
        "sb: hosts that aren't nodes of this cluster are chassis here: compute1 (u9)",
        "node/host1: interfaces of VMs or others are on its br-int: tap1 (iface-id vm1)",
    ])?;

    // Each goes, and the last reason is that a database doesn't answer.
    site.bed.api.kubectl(&["delete", "deployment", "-n", "kube-system", "kube-ovn-controller"])?;
    site.bed.nb.ctl(&["lr-del", &router, "--", "ls-del", &switch])?;
    site.sbctl(&["chassis-del", "u9"])?;
    site.vsctl(&["del-port", "tap1"])?;
    let cluster = format!("tombolo.io/cluster={}", site.bed.api.cluster_uid()?);
    site.bed.nb.ctl(&[
        "create",
        "Address_Set",
        "name=tombolo.epoch.x",
        &format!("external_ids:{cluster}"),
        "external_ids:tombolo.io/epoch=7",
    ])?;
    site.bed.nb.pause();
    site.refuses(&["nb: it can't be read: reading OVN_Northbound", "nothing is deleted on half an answer"])?;
    site.bed.nb.resume()?;

    let asked = site.ko(&[])?;
    assert_eq!(asked.status.code(), Some(1), "{}", text(&asked));
    for words in [
        "nobody's network is in OVN",
        "  daemonset/ovs-ovn\n  deployment/ovn-central\n",
        "repeat the command with --yes",
    ] {
        assert!(text(&asked).contains(words), "{words}: {}", text(&asked));
    }
    assert!(text(&asked).contains("secret/kube-ovn-tls stays"), "{}", text(&asked));

    // Somebody comes while Open vSwitch ends: the databases stay.
    let comes = site.dir.path().join("comes");
    std::fs::write(&comes, "")?;
    let late = site.ko(&["--yes"])?;
    std::fs::remove_file(&comes)?;
    assert_eq!(late.status.code(), Some(1), "{}", text(&late));
    for words in ["1 Logical_Switch (since)", "the databases stay"] {
        assert!(text(&late).contains(words), "{words}: {}", text(&late));
    }
    let left = site.ours()?;
    assert!(left.iter().any(|name| name.starts_with("Deployment/ovn-central ")), "{left:?}");
    assert!(!left.iter().any(|name| name.starts_with("DaemonSet/")), "{left:?}");
    site.bed.nb.ctl(&["ls-del", "since"])?;

    // Half-way it fails: workloads are gone, and it can be repeated.
    let fails = site.dir.path().join("fails");
    std::fs::write(&fails, "")?;
    let half = site.ko(&["--yes"])?;
    assert!(!half.status.success() && text(&half).contains("repeat the command"), "{}", text(&half));
    let left = site.ours()?;
    let has = |word: &str| left.iter().any(|name| name.contains(word));
    assert!(!has("Deployment/") && !has("DaemonSet/") && !has("Pod/"), "{left:?}");
    assert!(has("Service/ovn-nb") && has("ConfigMap/ovn-central") && has("Secret/ovn-ca"), "{left:?}");
    std::fs::remove_file(&fails)?;
    let done = site.ko(&["--yes"])?;
    assert!(done.status.success(), "{}", text(&done));
    assert!(text(&done).contains("/etc/origin/ovn: the databases' files"), "{}", text(&done));
    let left = site.ours()?;
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with("Secret/kube-ovn-tls "), "the user's: {left:?}");

    let again = site.ko(&["--yes"])?;
    assert!(
        again.status.success() && text(&again).contains("nothing of ovn-central and ovs-ovn is"),
        "{}",
        text(&again)
    );
    Ok(())
}
