//! Pods and nodes that go in every way, seen and unseen: no address, row or object stays behind.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Line, NAMESPACES, NODES, Setting, Sizes, create};
use crate::bed::delete_pod;
use crate::pods::Name;

/// Deletes in every way, and counts what is left.
pub async fn run(controller: &Path, sizes: Sizes) -> Result<Option<Vec<Line>>> {
    let Some(mut stage) = Setting::start(controller).await? else { return Ok(None) };
    let client = stage.bed.client.clone();
    let mut pods: Vec<Name> = (0..sizes.leak_pods)
        .map(|n| (NAMESPACES[n % NAMESPACES.len()].to_owned(), format!("pod{n}")))
        .collect();
    for (n, pod) in pods.iter().enumerate() {
        create(&client, pod, n).await;
    }
    stage.converged(pods.len()).await?;

    // Force-deleted, some of them before they were served, and made again under the same name at once.
    for n in 0..sizes.leak_pods / 8 {
        let pod = (NAMESPACES[n % 2].to_owned(), format!("short{n}"));
        create(&client, &pod, n).await;
        delete_pod(&client, &pod.0, &pod.1).await?;
        let old = &pods[n];
        delete_pod(&client, &old.0, &old.1).await?;
        create(&client, old, n + 1).await;
    }
    stage.converged(pods.len()).await?;

    // A node goes with its pods, as the garbage collection of Kubernetes does it.
    stage.bed.api.kubectl(&["delete", "node", "node2", "--wait=false"])?;
    let all = stage.bed.api.json(&["get", "pods", "--all-namespaces"])?;
    for pod in all["items"].as_array().into_iter().flatten() {
        if pod["spec"]["nodeName"] == "node2" {
            let name = |key| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
            let pod = (name("namespace"), name("name"));
            delete_pod(&client, &pod.0, &pod.1).await?;
            pods.retain(|other| *other != pod);
        }
    }
    stage.bed.agree(pods.len(), NODES - 1).with_context(|| stage.logs())?;

    // Both controllers are down while a few go.
    let few: Vec<Name> = pods.drain(..8).collect();
    let down = Instant::now();
    unseen(&mut stage, &few).await?;
    stage.bed.agree(pods.len(), NODES - 1).with_context(|| stage.logs())?;
    let few_gone = down.elapsed().as_secs_f64();

    // They are down while most go: each is asked for before its rows go, and that explains it (invariant 4).
    let many = std::mem::take(&mut pods);
    let down = Instant::now();
    unseen(&mut stage, &many).await?;
    stage.bed.agree(0, NODES - 1).with_context(|| stage.logs())?;
    let many_gone = down.elapsed().as_secs_f64();
    let leader = stage.leader().context("nobody leads")?;
    let holds = stage.pair[leader].metric("tombolo_engine_brake_holding")?;
    ensure!(holds == 0.0, "the brake holds what the API server explains");
    stage.pods.sound()?;
    Ok(Some(vec![
        Line::text(
            "pods force-deleted, a node with its pods deleted",
            format!("{} pods: nothing left behind", sizes.leak_pods),
        ),
        Line::text(
            "8 pods deleted while no controller runs",
            format!("nothing left behind {few_gone:.1} s after the controllers were killed"),
        ),
        Line::text(
            &format!("{} pods deleted while no controller runs", many.len()),
            format!("nothing left behind {many_gone:.1} s after the controllers were killed"),
        ),
    ]))
}

/// Deletes pods while no controller runs.
async fn unseen(stage: &mut Setting, pods: &[Name]) -> Result<()> {
    stage.led().await?;
    for controller in &mut stage.pair {
        controller.kill();
    }
    for (namespace, name) in pods {
        delete_pod(&stage.bed.client, namespace, name).await?;
    }
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        stage.pair[n] = stage.bed.controller(name, &[])?;
    }
    Ok(())
}
