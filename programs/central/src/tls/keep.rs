//! Keeps the certificates: after each change of a Secret, and once an hour for what time does to them.

use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, select_all};
use kube::Client;
use kube::runtime::watcher::Config;
use tokio::sync::watch;
use tombolo_client::ApiServer;
use tombolo_names::workloads::{CENTRAL_TLS_SECRET, CHASSIS_TLS_SECRET, NEUTRON_TLS_SECRET, TLS_SECRET};
use tombolo_observe::{Observer, Probe};
use tracing::{info, warn};

use super::authority;
use super::files::Paths;
use super::plan::Wanted;
use super::secrets::Keeper;
use crate::options::Options;

/// The name of the condition in the answers of the probes.
const CONDITION: &str = "certificates";
/// Between two looks without a change.
const REGULAR: Duration = Duration::from_secs(3600);
/// Between two attempts after a failure.
const AGAIN: Duration = Duration::from_secs(5);
/// For changes that come together.
const SETTLE: Duration = Duration::from_millis(300);

/// Certificates for the servers, and for each kind of client. The first is the servers'.
#[must_use]
pub fn wanted(members: &[IpAddr], namespace: &str) -> Vec<Wanted> {
    let mut names: Vec<String> = members.iter().map(IpAddr::to_string).collect();
    for service in ["ovn-nb", "ovn-sb"] {
        names.extend([
            service.to_owned(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
        ]);
    }
    let client = |secret, common_name| Wanted { secret, common_name, names: Vec::new() };
    vec![
        Wanted { secret: CENTRAL_TLS_SECRET, common_name: "ovn-central", names },
        client(TLS_SECRET, "kube-ovn"),
        client(NEUTRON_TLS_SECRET, "neutron"),
        client(CHASSIS_TLS_SECRET, "ovn-controller"),
    ]
}

/// Keeps them until it is dropped. `ready` becomes true once the servers' files are there: from the API server, or from before.
pub async fn run(
    client: Client,
    options: &Options,
    members: &[IpAddr],
    observer: &Observer,
    ready: watch::Sender<bool>,
) {
    let health = observer.health();
    let paths = Paths::below(&options.dir);
    let namespace = &options.pod_namespace;
    let overlap = Duration::from_secs(options.tls_overlap);
    let keeper = Keeper::new(client, namespace, wanted(members, namespace), overlap);
    // OVN runs without the API server, too.
    if paths.read().is_some_and(|files| authority::check(&files, authority::now()).is_ok()) {
        ready.send_replace(true);
    }
    let mut changes = changes(&keeper);
    let mut said = String::new();
    loop {
        let kept = match keeper.keep().await {
            Ok(files) => paths.write(&files),
            Err(error) => Err(error),
        };
        let pause = match kept {
            Ok(is_new) => {
                if is_new {
                    info!("the servers' certificate is written below {}", options.dir.display());
                }
                said.clear();
                health.ok(Probe::Ready, CONDITION);
                ready.send_replace(true);
                REGULAR
            }
            Err(error) => {
                let text = format!("{error:#}");
                if text != said {
                    warn!("certificates: {text}");
                }
                // What was there before serves on.
                if !*ready.borrow() {
                    health.fail(Probe::Ready, CONDITION, &text);
                }
                said = text;
                AGAIN
            }
        };
        // A watch that never ends by itself; when it does, time goes on.
        let _ = tokio::time::timeout(pause, changes.next()).await;
        tokio::time::sleep(SETTLE).await;
        while futures::FutureExt::now_or_never(changes.next()).flatten().is_some() {}
    }
}

fn changes(keeper: &Keeper) -> BoxStream<'static, ()> {
    let api_server = ApiServer::default();
    let each = keeper.names().map(|name| {
        let config = Config::default().fields(&format!("metadata.name={name}"));
        tombolo_client::follow(keeper.api(), config, &api_server).map(drop)
    });
    select_all(each).boxed()
}
