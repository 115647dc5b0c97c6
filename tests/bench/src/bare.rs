//! The least work that a pod takes: one POST of its IP object, its share of a transaction with 100 ports, one PATCH of
//! the pod. Nothing is watched, compared, checked or chosen: the baseline that a controller is held to.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tombolo_api::views::PodView;
use tombolo_api::{Ip, IpSpec};
use tombolo_ovsdb::driver::{self, ClientConfig};
use tombolo_ovsdb::{Datum, Mutation, Op, Row, Txn, Uuid, Wanted};

use crate::bed::AT_ONCE;

/// Ports in a transaction.
const BATCH: usize = 100;
/// How long a batch that isn't full waits for more.
const LINGER: Duration = Duration::from_millis(20);

/// A pod to be served.
#[derive(Clone, Debug)]
pub struct Job {
    /// Counts the pods: its address is made from it.
    pub number: usize,
    /// Namespace; its switch has the same name.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Node.
    pub node: String,
    /// Uid.
    pub uid: String,
}

impl Job {
    fn address(&self) -> String {
        let n = self.number + 2;
        format!("12.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256)
    }

    fn mac(&self) -> String {
        let n = self.number + 2;
        format!("00:00:00:{:02X}:{:02X}:{:02X}", n / 65_536, n / 256 % 256, n % 256)
    }

    fn port(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }
}

/// A connection to the NB of which nothing is monitored to speak of.
pub async fn connect(addresses: &str) -> Result<driver::Client> {
    let wanted = Wanted::new().table("NB_Global", &["name"]);
    let client = driver::Client::connect(
        ClientConfig::new(addresses.parse()?, "OVN_Northbound", wanted).signed("bare"),
    )?;
    client.ready(Duration::from_secs(60)).await?;
    Ok(client)
}

fn switch(name: &str) -> Uuid {
    Uuid::from_u128(
        0xbeac_0000_0000_4000_8000_0000_0000_0000 + name.bytes().fold(0, |n, b| n * 31 + u128::from(b)),
    )
}

/// Makes the switches that ports hang on.
pub async fn switches(nb: &driver::Client, names: &[&str]) -> Result<()> {
    let insert = |name: &&str| {
        Op::insert("Logical_Switch", switch(name), Row::new().with("name", Datum::string(*name)))
    };
    nb.transact(Txn::new(names.iter().map(insert).collect::<Vec<_>>()), Duration::from_secs(30)).await?;
    Ok(())
}

/// Serves the pods that come until there are no more.
pub async fn serve(client: Client, nb: driver::Client, mut jobs: mpsc::Receiver<Job>) -> Result<()> {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let (posted, mut to_commit) = mpsc::channel::<Job>(65_536);
    let (committed, mut to_patch) = mpsc::channel::<Job>(65_536);
    let posting = {
        let (client, slots) = (client.clone(), slots.clone());
        async move {
            let mut tasks = JoinSet::new();
            while let Some(job) = jobs.recv().await {
                let slot = slots.clone().acquire_owned().await?;
                let (client, posted) = (client.clone(), posted.clone());
                tasks.spawn(async move {
                    post(&client, &job).await?;
                    drop(slot);
                    posted.send(job).await.context("nobody commits any more")
                });
                while let Some(done) = tasks.try_join_next() {
                    done??;
                }
            }
            drop(posted);
            while let Some(done) = tasks.join_next().await {
                done??;
            }
            anyhow::Ok(())
        }
    };
    let committing = async move {
        let mut batch = Vec::with_capacity(BATCH);
        let mut open = true;
        while open {
            let until = tokio::time::Instant::now() + LINGER;
            while batch.len() < BATCH && open {
                tokio::select! {
                    job = to_commit.recv() => match job {
                        Some(job) => batch.push(job),
                        None => open = false,
                    },
                    () = tokio::time::sleep_until(until), if !batch.is_empty() => break,
                }
            }
            if batch.is_empty() {
                continue;
            }
            let ops: Vec<Op> = batch.iter().flat_map(rows).collect();
            nb.transact(Txn::new(ops), Duration::from_secs(60)).await?;
            for job in batch.drain(..) {
                committed.send(job).await.context("nobody patches any more")?;
            }
        }
        anyhow::Ok(())
    };
    let patching = async move {
        let mut tasks = JoinSet::new();
        while let Some(job) = to_patch.recv().await {
            let slot = slots.clone().acquire_owned().await?;
            let client = client.clone();
            tasks.spawn(async move {
                let done = patch(&client, &job).await;
                drop(slot);
                done
            });
            while let Some(done) = tasks.try_join_next() {
                done??;
            }
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(posting, committing, patching)?;
    Ok(())
}

async fn post(client: &Client, job: &Job) -> Result<()> {
    let spec = IpSpec {
        pod_name: job.name.clone(),
        namespace: job.namespace.clone(),
        subnet: job.namespace.clone(),
        node_name: job.node.clone(),
        ip_address: job.address(),
        v4_ip_address: job.address(),
        mac_address: job.mac(),
        ..IpSpec::default()
    };
    let mut ip = Ip::new(&job.port(), spec);
    let labels = [
        ("ovn.kubernetes.io/subnet", job.namespace.as_str()),
        ("ovn.kubernetes.io/node-name", job.node.as_str()),
        (job.namespace.as_str(), ""),
        ("ovn.kubernetes.io/ip_reserved", "false"),
    ];
    ip.metadata.labels = Some(labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
    let annotations = [("tombolo.io/epoch", "1"), ("tombolo.io/pod-uid", job.uid.as_str())];
    ip.metadata.annotations =
        Some(annotations.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
    Api::<Ip>::all(client.clone()).create(&PostParams::default(), &ip).await?;
    Ok(())
}

fn rows(job: &Job) -> [Op; 2] {
    let ids = [
        ("ls", job.namespace.as_str()),
        ("pod", &format!("{}/{}", job.namespace, job.name)),
        ("vendor", "kube-ovn"),
        ("tombolo.io/cluster", "18d4c654-f511-4def-a3a0-a6434d237c1e"),
        ("tombolo.io/owner", &format!("pod/{}/{}", job.namespace, job.name)),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()));
    let row = Row::new()
        .with("name", Datum::string(job.port()))
        .with("addresses", Datum::set_of_strings([format!("{} {}", job.mac(), job.address())]))
        .with("external_ids", Datum::map_of_strings(ids.iter().map(|(k, v)| (k.as_str(), v.as_str()))));
    let uuid = Uuid::from_u128(0xbeac_0000_0001_4000_8000_0000_0000_0000 + job.number as u128);
    let edge = Mutation::insert("ports", Datum::uuid(uuid));
    [
        Op::insert("Logical_Switch_Port", uuid, row),
        Op::mutate("Logical_Switch", switch(&job.namespace), [edge]),
    ]
}

async fn patch(client: &Client, job: &Job) -> Result<()> {
    let annotations = json!({
        "ovn.kubernetes.io/allocated": "true",
        "ovn.kubernetes.io/cidr": "12.0.0.0/8",
        "ovn.kubernetes.io/gateway": "12.0.0.1",
        "ovn.kubernetes.io/ip_address": job.address(),
        "ovn.kubernetes.io/logical_router": "ovn-cluster",
        "ovn.kubernetes.io/logical_switch": job.namespace,
        "ovn.kubernetes.io/mac_address": job.mac(),
        "ovn.kubernetes.io/mtu": "1442",
        "ovn.kubernetes.io/pod_nic_type": "veth-pair",
        "ovn.kubernetes.io/routed": "true",
    });
    let body = json!({ "metadata": { "uid": job.uid, "annotations": annotations } });
    let api: Api<PodView> = Api::namespaced(client.clone(), &job.namespace);
    api.patch(&job.name, &PatchParams::default(), &Patch::Merge(body)).await?;
    Ok(())
}
