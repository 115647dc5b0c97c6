//! The election with a real API server: who leads acts by the engine's loop, and gives the lease up when that hangs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tombolo_client::ApiServer as ApiServerState;
use tombolo_controller::election::{self, Change, Inputs, Settings};
use tombolo_engine::Leadership;
use tombolo_needs::needs;
use tombolo_observe::Beat;
use tombolo_testbed::ApiServer;

const SOON: Duration = Duration::from_secs(20);

struct Replica {
    beat: Beat,
    leading: watch::Sender<bool>,
    changes: mpsc::Receiver<Change>,
    _may_lead: watch::Sender<bool>,
    _resign: mpsc::Sender<String>,
}

impl Replica {
    fn start(client: &Client, name: &str, stop: &CancellationToken) -> Self {
        let (may_lead, may) = watch::channel(true);
        let (resign, reasons) = mpsc::channel(4);
        let (sender, changes) = mpsc::channel(4);
        let beat = Beat::new(Duration::from_secs(3));
        let leading = watch::Sender::new(false);
        tokio::spawn(election::run(
            client.clone(),
            Settings {
                namespace: "kube-system".to_owned(),
                identity: name.to_owned(),
                // Long: the other one must not have to wait until the lease runs out.
                lease_duration: Duration::from_secs(600),
                renew_deadline: Duration::from_secs(500),
                retry_period: Duration::from_millis(500),
            },
            Inputs {
                api_server: ApiServerState::default(),
                may_lead: may,
                resign: reasons,
                beat: beat.clone(),
                leading: leading.clone(),
            },
            sender,
            stop.clone(),
        ));
        Self { beat, leading, changes, _may_lead: may_lead, _resign: resign }
    }

    async fn becomes(&mut self, leadership: Leadership) -> Result<()> {
        let change =
            tokio::time::timeout(SOON, self.changes.recv()).await?.context("the election has ended")?;
        ensure!(change.leadership == leadership, "{change:?}");
        self.leading.send_replace(leadership == Leadership::Held);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_loop_hangs_gives_the_lease_up() -> Result<()> {
    // invariant 12
    let api = needs!(ApiServer::start()?);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Kubeconfig::read_from(api.kubeconfig())?;
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let stop = CancellationToken::new();
    let turns = |beat: Beat, until: CancellationToken| {
        tokio::spawn(async move {
            while !until.is_cancelled() {
                beat.beat();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    };

    let mut one = Replica::start(&client, "one", &stop);
    let hangs = CancellationToken::new();
    turns(one.beat.clone(), hangs.clone());
    one.becomes(Leadership::Held).await?;
    let mut two = Replica::start(&client, "two", &stop);
    turns(two.beat.clone(), stop.clone());
    // While it turns, it keeps the lease for longer than the limit.
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(one.changes.try_recv().is_err() && two.changes.try_recv().is_err());

    // It hangs: its loop no longer reads the election's results. Writes stop all the same, and the other one leads.
    hangs.cancel();
    let started = Instant::now();
    two.becomes(Leadership::Held).await?;
    ensure!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    ensure!(!*one.leading.borrow(), "the writer of the one that hangs still writes");
    one.becomes(Leadership::Lost).await?;
    // As long as it hangs it doesn't take the lease, even if that is free.
    stop.cancel();
    let lease = || api.json(&["get", "lease", "-n", "kube-system", "tombolo-controller"]);
    tombolo_testbed::eventually("the lease to be given up", SOON, || {
        Ok((lease()?["spec"]["holderIdentity"] == "").then_some(()))
    })?;
    Ok(())
}
