//! Where a run takes place: an API server, an NB, and a client that makes nodes and pods by the hundred.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;
use tempfile::TempDir;
use tombolo_foreign_rows::{Database, Guard};
use tombolo_kubectl_ko::ipam;
use tombolo_kubectl_ko::kubectl::Kubectl;
use tombolo_plan::ClusterId;
use tombolo_testbed::{ApiServer, Cluster, Controller, Nb, Program, eventually};

/// Concurrent requests of a load generator: as many as the controller has.
pub const AT_ONCE: usize = 32;
/// A deadline for what must come in the end. Generous: nothing here judges time.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A northbound database of either kind.
pub trait Northbound {
    /// As `--ovn-nb-addr` takes it.
    fn addresses(&self) -> String;
    /// What `ovn-nbctl` prints.
    fn nbctl(&self, args: &[&str]) -> Result<String>;
    /// A number that grows with each transaction, and in a standalone database with nothing else.
    fn written(&self) -> Result<u64>;
}

impl Northbound for Nb {
    fn addresses(&self) -> String {
        self.address().to_owned()
    }

    fn nbctl(&self, args: &[&str]) -> Result<String> {
        self.ctl(args)
    }

    fn written(&self) -> Result<u64> {
        self.transactions()
    }
}

impl Northbound for Cluster {
    fn addresses(&self) -> String {
        self.address()
    }

    fn nbctl(&self, args: &[&str]) -> Result<String> {
        self.ctl(args)
    }

    fn written(&self) -> Result<u64> {
        self.log_end()
    }
}

/// Both servers and a client.
pub struct Bed<D> {
    /// The API server, with our kinds installed.
    pub api: ApiServer,
    /// The NB.
    pub nb: D,
    /// A client of the API server.
    pub client: Client,
    kubectl: Kubectl,
    controller: PathBuf,
    dir: TempDir,
}

impl<D: Northbound> Bed<D> {
    /// `controller` is its executable. `None` if a program is missing on this machine.
    pub async fn start(controller: &Path, nb: impl FnOnce() -> Result<Option<D>>) -> Result<Option<Self>> {
        let Some(api) = ApiServer::start()? else { return Ok(None) };
        let Some(nb) = nb()? else { return Ok(None) };
        api.apply_crds()?;
        let client = client(api.kubeconfig()).await?;
        let kubectl = Kubectl::new(api.kubectl_script()?);
        let bed = Self { api, nb, client, kubectl, controller: controller.to_owned(), dir: TempDir::new()? };
        bed.deployment()?;
        Ok(Some(bed))
    }

    /// From the controller's Deployment `kubectl ko` learns where the NB is.
    fn deployment(&self) -> Result<()> {
        let labels = json!({ "app": "kube-ovn-controller" });
        let container = json!({ "name": "c", "image": "none", "args": [format!("--ovn-nb-addr={}", self.nb.addresses())] });
        let spec = json!({ "selector": { "matchLabels": labels }, "template": {
            "metadata": { "labels": labels }, "spec": { "containers": [container] } } });
        let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "kube-ovn-controller", "namespace": "kube-system" }, "spec": spec });
        self.api.apply(&object.to_string())
    }

    /// The guard of foreign rows around the NB, from now on (invariant 1).
    pub fn guarded(&self, files: &[PathBuf]) -> Result<Guard> {
        let cluster = ClusterId::new(&self.api.cluster_uid()?).map_err(anyhow::Error::msg)?;
        Guard::of(cluster).watch(Database::Northbound, "NB", files).start()
    }

    /// How the controller is started here.
    pub fn program(&self) -> Program {
        Program {
            path: self.controller.clone(),
            kubeconfig: self.api.kubeconfig().to_owned(),
            nb: self.nb.addresses(),
            logs: self.dir.path().to_owned(),
        }
    }

    /// Starts a controller.
    pub fn controller(&self, name: &str, args: &[&str]) -> Result<Controller> {
        Controller::start(&self.program(), name, args)
    }

    /// The default Vpc with both of its Subnets.
    pub fn defaults(&self) -> Result<()> {
        eventually("the default Vpc and its Subnets", PATIENCE, || {
            let vpc = self.api.json(&["get", "vpc", "ovn-cluster"])?;
            Ok((vpc["status"]["subnets"] == json!(["join", "ovn-default"])).then_some(()))
        })
    }

    /// Nodes `node0` … as kubelets register them.
    pub async fn nodes(&self, count: usize) -> Result<()> {
        let api: Api<Node> = Api::all(self.client.clone());
        let one = |n: usize| {
            let api = api.clone();
            async move {
                let name = format!("node{n}");
                let node = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
                api.create(&PostParams::default(), &node).await?;
                let address = format!("172.30.{}.{}", n / 250, n % 250 + 1);
                let status =
                    json!({ "status": { "addresses": [{ "type": "InternalIP", "address": address }] } });
                api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await?;
                anyhow::Ok(())
            }
        };
        stream::iter((0..count).map(one)).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Waits until each node has an address on the join network.
    pub async fn nodes_served(&self) -> Result<()> {
        let api: Api<Node> = Api::all(self.client.clone());
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let all = api.list(&Default::default()).await?;
            let served = |node: &Node| {
                node.metadata
                    .annotations
                    .as_ref()
                    .is_some_and(|a| a.contains_key("ovn.kubernetes.io/ip_address"))
            };
            if all.iter().all(served) {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < until, "not all nodes were given an address");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A namespace.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let object = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        api.create(&PostParams::default(), &object).await?;
        Ok(())
    }

    /// A router of Neutron's, a namespace on it, and a Subnet `name` for that namespace.
    pub async fn subnet_on_router(&self, name: &str, cidr: &str, router: &str) -> Result<()> {
        eventually("the router's Vpc", PATIENCE, || self.api.json(&["get", "vpc", router]).map(Some))?;
        self.namespace(name).await?;
        let patch = json!({ "spec": { "namespaces": [name] } }).to_string();
        self.api.kubectl(&["patch", "vpc", router, "--type=merge", "-p", &patch])?;
        self.api.apply(&format!(
            "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: {name}}}\nspec:\n  vpc: {router}\n  namespaces: [{name}]\n  cidrBlock: {cidr}\n  natOutgoing: false\n"
        ))?;
        eventually(&format!("Subnet {name} to be ready"), PATIENCE, || {
            let subnet = self.api.json(&["get", "subnet", name])?;
            let conditions = subnet["status"]["conditions"].as_array().cloned().unwrap_or_default();
            Ok(conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True").then_some(()))
        })
    }

    /// IP objects, pods and ports as `kubectl ko ipam check` sees them, once it finds no difference and as many pods
    /// as there should be, each with one IP object beside those of `nodes` nodes. (invariant 5)
    pub fn agree(&self, pods: usize, nodes: usize) -> Result<()> {
        eventually("IP objects, pods and ports to agree", PATIENCE, || {
            let report = ipam::report(&self.kubectl, None)?;
            if !report.differences.is_empty() {
                let all: Vec<&str> = report.differences.iter().map(String::as_str).collect();
                bail!("{} differences:\n{}", all.len(), all[..all.len().min(20)].join("\n"));
            }
            let want = (pods + nodes, pods, pods + nodes);
            let found = (report.ips, report.pods, report.ports);
            ensure!(found == want, "IP objects, pods and ports are {found:?}, should be {want:?}");
            Ok(Some(()))
        })
    }
}

/// A client with the rights of an administrator.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig).context("reading the kubeconfig")?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Creates a pod as the scheduler leaves it. Its uid.
pub async fn create_pod(
    client: &Client,
    namespace: &str,
    name: &str,
    node: &str,
) -> Result<String, kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = json!({ "metadata": { "name": name, "namespace": namespace },
        "spec": { "nodeName": node, "containers": [{ "name": "c", "image": "none" }] } });
    let pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
    let made = api.create(&PostParams::default(), &pod).await?;
    Ok(made.metadata.uid.unwrap_or_default())
}

/// Deletes a pod as `kubectl delete --force --grace-period=0` does.
pub async fn delete_pod(client: &Client, namespace: &str, name: &str) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    }
}
