//! A bed for the controller: API server, NB, and the program as a process.
#![allow(dead_code)] // each test file uses its part

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;
use tombolo_foreign_rows::server::Server;
use tombolo_foreign_rows::{Builder, Database, Guard};
use tombolo_plan::ClusterId;
use tombolo_testbed::{ApiServer, Nb, Program, eventually};

const SOON: Duration = Duration::from_secs(20);

/// Both servers, with our kinds installed, and the guard of foreign rows, which fails the test at its end if one was
/// touched.
pub struct Bed {
    pub guard: Guard,
    pub api: ApiServer,
    pub nb: Nb,
    pub sb: Option<Server>,
    pub dir: TempDir,
}

impl Bed {
    /// `None` if a program is missing on this machine.
    pub fn start() -> Result<Option<Self>> {
        let Some(bed) = Self::start_without_crds()? else { return Ok(None) };
        bed.api.apply_crds()?;
        Ok(Some(bed))
    }

    pub fn start_without_crds() -> Result<Option<Self>> {
        let (Some(api), Some(nb)) = (ApiServer::start()?, Nb::start_clustered()?) else { return Ok(None) };
        Self::of(api, nb, None, &[]).map(Some)
    }

    /// With OVN 25.03's NB, and an SB, which is guarded too.
    pub fn start_newer() -> Result<Option<Self>> {
        let sb = Server::start(Database::Southbound, tombolo_ovn::sb::SCHEMA, true)?;
        let (Some(api), Some(nb), Some(sb)) = (ApiServer::start()?, Nb::start_newer()?, sb) else {
            return Ok(None);
        };
        let bed = Self::of(api, nb, Some(sb), &[])?;
        bed.api.apply_crds()?;
        Ok(Some(bed))
    }

    /// Two clusters on one NB; the guards judge what either writes, and to each the other's rows are foreign.
    pub fn start_pair() -> Result<Option<[Self; 2]>> {
        let (Some(one), Some(two), Some(nb)) =
            (ApiServer::start()?, ApiServer::start()?, Nb::start_clustered()?)
        else {
            return Ok(None);
        };
        let ids = [cluster(&one)?, cluster(&two)?];
        let second = Self::of(two, nb.beside()?, None, &ids[..1])?;
        let pair = [Self::of(one, nb, None, &ids[1..])?, second];
        pair.iter().try_for_each(|bed| bed.api.apply_crds())?;
        Ok(Some(pair))
    }

    /// `others` are the clusters whose controllers write to the same NB.
    fn of(api: ApiServer, nb: Nb, sb: Option<Server>, others: &[ClusterId]) -> Result<Self> {
        // invariant 1
        let guard = others.iter().cloned().fold(Guard::of(cluster(&api)?), Builder::and);
        let mut guard = guard.watch(Database::Northbound, "NB", &[nb.file()]);
        if let Some(sb) = &sb {
            guard = guard.watch(Database::Southbound, "SB", &[&sb.file]);
        }
        Ok(Self { guard: guard.start()?, api, nb, sb, dir: TempDir::new()? })
    }

    /// Waits for the default Vpc with its two Subnets. (An API server lets the first object of a new kind wait
    /// for two seconds.)
    pub fn defaults(&self) -> Result<()> {
        self.shows("ovn-cluster", &["join", "ovn-default"])
    }

    /// Waits until a Vpc shows these Subnets.
    pub fn shows(&self, vpc: &str, subnets: &[&str]) -> Result<()> {
        eventually(&format!("the Vpc {vpc} with the Subnets {subnets:?}"), SOON, || {
            let vpc = self.api.json(&["get", "vpc", vpc])?;
            Ok((vpc["status"]["subnets"] == serde_json::json!(subnets)).then_some(()))
        })
    }

    /// Gives the namespace `net2`, as the document's user does, to a router's Vpc once that is there.
    pub fn give_net2(&self, vpc: &str) -> Result<()> {
        let patch = r#"{"spec":{"namespaces":["net2"]}}"#;
        eventually(&format!("the Vpc {vpc}"), SOON, || {
            self.api.kubectl(&["patch", "vpc", vpc, "--type=merge", "-p", patch]).map(drop).map(Some)
        })
    }

    /// A Subnet of the namespace `net2`.
    pub fn subnet_of_net2(&self, name: &str, vpc: &str, cidr: &str) -> Result<()> {
        self.api.apply(&format!(
            "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: {name}}}\nspec: {{vpc: {vpc}, namespaces: [net2], cidrBlock: {cidr}}}\n"
        ))
    }

    /// The condition `Ready` of an object as it is.
    pub fn ready(&self, kind: &str, name: &str) -> Result<Ready> {
        let object = self.api.json(&["get", kind, name])?;
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = all.into_iter().find(|it| it["type"] == "Ready").unwrap_or_default();
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        Ok(Ready { status: text("status"), reason: text("reason"), message: text("message") })
    }

    /// A node as kubelet registers it.
    pub fn node(&self, name: &str, address: &str) -> Result<()> {
        let node = serde_json::json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        self.api.apply(&node.to_string())?;
        let status =
            serde_json::json!({ "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
        self.api.kubectl(&[
            "patch",
            "node",
            name,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status.to_string(),
        ])?;
        Ok(())
    }

    /// A pod as the scheduler leaves it.
    pub fn pod(&self, namespace: &str, name: &str, node: &str) -> Result<()> {
        self.pod_with(namespace, name, node, &serde_json::json!({}))
    }

    /// The same, with annotations.
    pub fn pod_with(
        &self,
        namespace: &str,
        name: &str,
        node: &str,
        annotations: &serde_json::Value,
    ) -> Result<()> {
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace, "annotations": annotations },
            "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "none" }] },
        });
        self.api.apply(&pod.to_string())
    }

    /// Waits until a pod's annotations say that its network is ready; returns its address.
    pub fn routed(&self, namespace: &str, name: &str) -> Result<String> {
        eventually(&format!("pod {namespace}/{name} to be routed"), SOON, || {
            let pod = self.api.json(&["get", "pod", "-n", namespace, name])?;
            let annotations = &pod["metadata"]["annotations"];
            let routed = annotations["ovn.kubernetes.io/routed"] == "true";
            let address = annotations["ovn.kubernetes.io/ip_address"].as_str();
            Ok(address.filter(|_| routed).map(str::to_owned))
        })
    }
}

/// A condition `Ready`; empty where an object has none.
#[derive(Debug)]
pub struct Ready {
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// The id of an API server's cluster.
fn cluster(api: &ApiServer) -> Result<ClusterId> {
    ClusterId::new(&api.cluster_uid()?).map_err(anyhow::Error::msg)
}

/// The program.
pub struct Controller(tombolo_testbed::Controller);

impl Controller {
    /// Starts it under the name `name`, with short election times unless `args` say otherwise.
    pub fn start(bed: &Bed, name: &str, args: &[&str]) -> Result<Self> {
        let program = Program {
            path: env!("CARGO_BIN_EXE_tombolo-controller").into(),
            kubeconfig: bed.api.kubeconfig().to_owned(),
            nb: bed.nb.address().to_owned(),
            logs: bed.dir.path().to_owned(),
        };
        let sb = bed.sb.as_ref().map(|sb| format!("--ovn-sb-addr={}", sb.address));
        let args: Vec<&str> = sb.iter().map(String::as_str).chain(args.iter().copied()).collect();
        tombolo_testbed::Controller::start(&program, name, &args).map(Self)
    }
}

impl Deref for Controller {
    type Target = tombolo_testbed::Controller;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Controller {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
