//! A northbound database that isn't the one it was: restored from an older copy, emptied, made anew. Our part is back
//! within seconds with every pod's address, and foreign rows stay untouched (invariants 1 and 5).

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tombolo_testbed::{ApiServer, Controller, Nb, Program, eventually};

/// How long it may take on a busy machine.
const SOON: Duration = Duration::from_secs(40);

struct Setting {
    api: ApiServer,
    nb: Nb,
    dir: TempDir,
    router: String,
}

/// What is done to the database's file while its server is down.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    /// The file of an earlier time, as a snapshot of the disk gives it.
    OlderCopy,
    /// A new cluster out of a backup: the rows of an earlier time, and another cluster id.
    NewClusterFromBackup,
    /// A new and empty cluster.
    NewAndEmpty,
}

impl Setting {
    fn start(clustered: bool) -> Result<Option<Self>> {
        let nb = if clustered { Nb::start_clustered()? } else { Nb::start()? };
        let (Some(api), Some(nb)) = (ApiServer::start()?, nb) else { return Ok(None) };
        api.apply_crds()?;
        Ok(Some(Self { api, nb, dir: TempDir::new()?, router: String::new() }))
    }

    fn controller(&self, name: &str) -> Result<Controller> {
        let program = Program {
            path: env!("CARGO_BIN_EXE_tombolo-controller").into(),
            kubeconfig: self.api.kubeconfig().to_owned(),
            nb: self.nb.address().to_owned(),
            logs: self.dir.path().to_owned(),
        };
        Controller::start(&program, name, &[])
    }

    fn pod(&self, namespace: &str, name: &str, address: Option<&str>) -> Result<()> {
        let annotations = address.map_or(
            serde_json::json!({}),
            |address| serde_json::json!({ "ovn.kubernetes.io/ip_address": address }),
        );
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace, "annotations": annotations },
            "spec": { "nodeName": "host1", "containers": [{ "name": "c", "image": "none" }] },
        });
        self.api.apply(&pod.to_string())
    }

    fn routed(&self, namespace: &str, name: &str) -> Result<String> {
        eventually(&format!("pod {namespace}/{name} to be routed"), SOON, || {
            let pod = self.api.json(&["get", "pod", "-n", namespace, name])?;
            let annotations = &pod["metadata"]["annotations"];
            let routed = annotations["ovn.kubernetes.io/routed"] == "true";
            Ok(annotations["ovn.kubernetes.io/ip_address"].as_str().filter(|_| routed).map(str::to_owned))
        })
    }

    fn gone(&self, name: &str) -> Result<()> {
        self.api.kubectl(&["delete", "pod", name, "--force", "--grace-period=0"])?;
        eventually(&format!("the port of {name} to go"), SOON, || {
            Ok((!self.ours()?.contains_key(&format!("Logical_Switch_Port {name}.default"))).then_some(()))
        })
    }

    /// The document's objects, and two pods of the default Subnet.
    fn fill(&mut self) -> Result<()> {
        self.router = self.nb.neutron_router(1, "router0", "192.168.1.0/24")?.0;
        self.api.apply(r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"host1"}}"#)?;
        let status = r#"{"status":{"addresses":[{"type":"InternalIP","address":"172.30.0.1"}]}}"#;
        self.api.kubectl(&[
            "patch",
            "node",
            "host1",
            "--subresource=status",
            "--type=merge",
            "-p",
            status,
        ])?;
        self.api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
        eventually("the router's Vpc", SOON, || {
            let patch = r#"{"spec":{"namespaces":["net2"]}}"#;
            self.api.kubectl(&["patch", "vpc", &self.router, "--type=merge", "-p", patch]).map(Some)
        })?;
        self.api.apply(&format!(
            "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: net2}}\nspec: {{vpc: {}, namespaces: [net2], cidrBlock: 12.0.1.0/24}}\n",
            self.router
        ))?;
        for (namespace, name) in [("default", "one"), ("default", "two"), ("net2", "ubuntu")] {
            self.pod(namespace, name, None)?;
            self.routed(namespace, name)?;
        }
        Ok(())
    }

    /// What happens after the copy was taken: pods come and go, an address has another bearer.
    fn move_on(&self) -> Result<()> {
        let address = self.routed("default", "two")?;
        self.gone("two")?;
        self.pod("default", "three", Some(&address))?;
        self.pod("net2", "second", None)?;
        self.routed("default", "three")?;
        self.routed("net2", "second")?;
        Ok(())
    }

    fn rows(&self, columns: &str, table: &str) -> Result<Vec<String>> {
        let columns = format!("--columns={columns}");
        let text = self.nb.ctl(&["--format=csv", "--no-headings", &columns, "list", table])?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Our rows by table and name, with what matters of each.
    fn ours(&self) -> Result<BTreeMap<String, String>> {
        let id = self.api.cluster_uid()?;
        let mut all = BTreeMap::new();
        for (table, columns) in [
            ("Logical_Switch", "name,external_ids,_uuid"),
            ("Logical_Switch_Port", "name,external_ids,_uuid,addresses,options"),
            ("Logical_Router", "name,external_ids,_uuid,ports,policies,static_routes"),
            ("Logical_Router_Port", "name,external_ids,_uuid,mac,networks"),
            ("Logical_Router_Policy", "match,external_ids,_uuid,action,nexthops,priority"),
            ("Logical_Router_Static_Route", "ip_prefix,external_ids,_uuid,nexthop"),
            ("Port_Group", "name,external_ids,_uuid,ports"),
        ] {
            for row in self.rows(columns, table)?.into_iter().filter(|row| row.contains(&id)) {
                let name = row.split(',').next().unwrap_or_default().to_owned();
                all.insert(format!("{table} {name}"), row);
            }
        }
        Ok(all)
    }

    /// Everybody else's rows; on Neutron's router our ports are left out.
    fn foreign(&self) -> Result<Vec<String>> {
        let id = self.api.cluster_uid()?;
        let mut all = Vec::new();
        for (table, columns) in [
            ("Logical_Switch", "name,external_ids,_uuid,ports,other_config"),
            ("Logical_Switch_Port", "name,external_ids,_uuid,addresses,options,type,enabled"),
            ("Logical_Router", "name,external_ids,_uuid,options,enabled,static_routes,policies,nat"),
            ("Logical_Router_Port", "name,external_ids,_uuid,mac,networks,options"),
            ("Logical_Router_Policy", "match,external_ids,_uuid"),
            ("Logical_Router_Static_Route", "ip_prefix,external_ids,_uuid"),
            ("Port_Group", "name,external_ids,_uuid,ports,acls"),
            ("Address_Set", "name,external_ids,_uuid,addresses"),
        ] {
            let rows = self.rows(columns, table)?;
            all.extend(rows.into_iter().filter(|row| !row.contains(&id)).map(|row| format!("{table} {row}")));
        }
        all.sort();
        Ok(all)
    }

    /// Takes a copy of the file, and a backup of what is in it.
    fn copy(&mut self) -> Result<(PathBuf, PathBuf)> {
        let (file, backup) = (self.dir.path().join("copy"), self.dir.path().join("backup"));
        self.nb.pause();
        std::fs::copy(self.nb.file(), &file)?;
        tool(&["cluster-to-standalone", &backup.display().to_string(), &file.display().to_string()])
            .or_else(|_| std::fs::copy(&file, &backup).map(drop).context("copying"))?;
        self.nb.resume()?;
        Ok((file, backup))
    }

    fn harm(&mut self, harm: Harm, copy: &(PathBuf, PathBuf)) -> Result<()> {
        self.nb.pause();
        let file = self.nb.file();
        std::fs::remove_file(&file)?;
        let name = file.display().to_string();
        match harm {
            Harm::OlderCopy => std::fs::copy(&copy.0, &file).map(drop)?,
            Harm::NewClusterFromBackup => {
                tool(&["create-cluster", &name, &copy.1.display().to_string(), "tcp:127.0.0.1:19999"])?;
            }
            Harm::NewAndEmpty => {
                let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/ovn-23.03/ovn-nb.ovsschema");
                tool(&["create-cluster", &name, schema, "tcp:127.0.0.1:19999"])?;
            }
        }
        self.nb.resume()
    }

    /// Waits until our rows are these again, and no address has changed.
    fn back(&self, wanted: &BTreeMap<String, String>, addresses: &BTreeMap<String, String>) -> Result<()> {
        let began = Instant::now();
        eventually("our rows to be as they were", SOON, || {
            let ours = self.ours()?;
            let differ: Vec<&String> = wanted
                .iter()
                .filter(|(name, row)| ours.get(*name) != Some(row))
                .chain(ours.iter().filter(|(name, _)| !wanted.contains_key(*name)))
                .map(|(name, _)| name)
                .collect();
            ensure!(differ.is_empty(), "{differ:?}");
            Ok(Some(()))
        })?;
        println!("back after {:?}", began.elapsed());
        ensure!(self.addresses()? == *addresses, "{:?}, were {addresses:?}", self.addresses()?);
        Ok(())
    }

    fn addresses(&self) -> Result<BTreeMap<String, String>> {
        let ips = self.api.json(&["get", "ip"])?;
        let all = ips["items"].as_array().cloned().unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let one = |ip: &serde_json::Value| {
            let spec = &ip["spec"];
            (
                text(&ip["metadata"]["name"]),
                format!("{} {}", text(&spec["ipAddress"]), text(&spec["macAddress"])),
            )
        };
        Ok(all.iter().map(one).collect())
    }
}

fn tool(args: &[&str]) -> Result<()> {
    let output = Command::new("ovsdb-tool").args(args).output()?;
    ensure!(output.status.success(), "ovsdb-tool {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The harm is done while the controller runs, and then again while it doesn't.
fn comes_back(clustered: bool, harm: Harm) -> Result<()> {
    let Some(mut stage) = Setting::start(clustered)? else { return Ok(()) };
    let mut controller = stage.controller("a")?;
    stage.fill()?;
    let copy = stage.copy()?;
    stage.move_on()?;
    let (wanted, addresses, foreign) = (stage.ours()?, stage.addresses()?, stage.foreign()?);
    for running in [true, false] {
        if !running {
            ensure!(controller.stop()?.success(), "{}", controller.log());
        }
        stage.harm(harm, &copy)?;
        if !running {
            controller = stage.controller("a")?;
        }
        stage
            .back(&wanted, &addresses)
            .with_context(|| format!("{harm:?}, running: {running}\n{}", controller.log()))?;
        ensure!(stage.foreign()? == foreign, "{harm:?}, running: {running}");
        // It goes on as ever.
        stage.pod("default", "next", None)?;
        stage.routed("default", "next")?;
        stage.gone("next")?;
    }
    let log = controller.log();
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

#[test]
fn an_older_copy_of_a_standalone_database() -> Result<()> {
    comes_back(false, Harm::OlderCopy)
}

#[test]
fn an_older_copy_of_a_cluster() -> Result<()> {
    comes_back(true, Harm::OlderCopy)
}

#[test]
fn a_new_cluster_out_of_a_backup() -> Result<()> {
    comes_back(true, Harm::NewClusterFromBackup)
}

// Neutron's repair brings its own rows back, with new uuids; ours hang on them again.
#[test]
fn a_new_and_empty_cluster() -> Result<()> {
    let Some(mut stage) = Setting::start(true)? else { return Ok(()) };
    let mut controller = stage.controller("a")?;
    stage.fill()?;
    let copy = stage.copy()?;
    stage.move_on()?;
    let (wanted, addresses) = (stage.ours()?, stage.addresses()?);
    // What hangs on Neutron's router comes back with it.
    let of_net2 = |name: &str| name.contains("net2");
    let without: BTreeMap<String, String> =
        wanted.iter().filter(|(name, _)| !of_net2(name)).map(|(n, r)| (n.clone(), r.clone())).collect();
    let names: Vec<String> = wanted.keys().cloned().collect();
    let router = stage.router.clone();
    for running in [true, false] {
        if !running {
            ensure!(controller.stop()?.success(), "{}", controller.log());
        }
        stage.harm(Harm::NewAndEmpty, &copy)?;
        if !running {
            controller = stage.controller("a")?;
        }
        stage
            .back(&without, &addresses)
            .with_context(|| format!("running: {running}\n{}", controller.log()))?;
        ensure!(stage.foreign()?.is_empty(), "{:?}", stage.foreign()?);
        // The router is away: the Vpc's status names the command that brings it back.
        eventually("the remedy on the Vpc", SOON, || {
            let vpc = stage.api.json(&["get", "vpc", &router])?;
            Ok(vpc["status"].to_string().contains("neutron-ovn-db-sync-util").then_some(()))
        })?;
        stage.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
        let foreign = stage.foreign()?;
        eventually("our ports on the router", SOON, || {
            let ours: Vec<String> = stage.ours()?.into_keys().collect();
            Ok((ours == names).then_some(()))
        })
        .with_context(|| controller.log())?;
        ensure!(stage.addresses()? == addresses);
        ensure!(stage.foreign()? == foreign);
        eventually("the Vpc to be ready", SOON, || {
            let vpc = stage.api.json(&["get", "vpc", &router])?;
            Ok((vpc["status"]["standby"] == true).then_some(()))
        })?;
    }
    Ok(())
}

/// An administrator who cleans up with `ovn-nbctl`.
#[test]
fn our_part_is_deleted_by_hand() -> Result<()> {
    let Some(mut stage) = Setting::start(true)? else { return Ok(()) };
    let mut controller = stage.controller("a")?;
    stage.fill()?;
    let (wanted, addresses, foreign) = (stage.ours()?, stage.addresses()?, stage.foreign()?);
    for running in [true, false] {
        if !running {
            ensure!(controller.stop()?.success(), "{}", controller.log());
        }
        let port = format!("{}-net2", stage.router);
        let mut words = vec!["lrp-del", port.as_str(), "--", "lr-del", "ovn-cluster"];
        for switch in ["net2", "join", "ovn-default"] {
            words.extend(["--", "ls-del", switch]);
        }
        words.extend(["--", "--all", "destroy", "Address_Set", "--", "--all", "destroy", "Port_Group"]);
        stage.nb.ctl(&words)?;
        if !running {
            controller = stage.controller("a")?;
        }
        stage
            .back(&wanted, &addresses)
            .with_context(|| format!("running: {running}\n{}", controller.log()))?;
        ensure!(stage.foreign()? == foreign);
    }
    Ok(())
}
