//! The leading controller is killed at random moments while pods come and go.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Churn, Line, Rng, Setting, Sizes};

/// Kills, starts again, and compares in the end.
pub async fn run(controller: &Path, sizes: Sizes) -> Result<Option<Vec<Line>>> {
    let Some(mut stage) = Setting::start(controller).await? else { return Ok(None) };
    let mut rng = Rng(sizes.seed);
    let client = stage.bed.client.clone();
    let mut churn = Churn::new(sizes.seed, Duration::from_millis(100));
    let churning = tokio::spawn(async move {
        churn.run(&client, sizes.kill_pods).await;
        churn
    });
    let (mut kills, mut fail_overs) = (0, Vec::new());
    while !churning.is_finished() || kills < 2 {
        let leader = stage.led().await?;
        tokio::time::sleep(rng.millis(50, 2500)).await;
        let both = rng.below(4) == 0;
        let killed = Instant::now();
        stage.pair[leader].kill();
        kills += 1;
        if both {
            stage.pair[1 - leader].kill();
            kills += 1;
        } else {
            stage.led().await?;
            fail_overs.push(killed.elapsed().as_secs_f64());
        }
        tokio::time::sleep(rng.millis(0, 1500)).await;
        for (n, name) in ["a", "b"].into_iter().enumerate() {
            if !stage.pair[n].is_running() {
                stage.pair[n] = stage.bed.controller(name, &[])?;
            }
        }
    }
    let churn = churning.await?;
    let done = Instant::now();
    stage.converged(churn.live.len()).await?;
    let converged = done.elapsed().as_secs_f64();
    let all = format!(
        "{} pods created, {} deleted, {kills} kills: all agree {converged:.1} s after the last change",
        sizes.kill_pods,
        sizes.kill_pods - churn.live.len()
    );
    stage.empty().await?;
    Ok(Some(vec![
        Line::text("controllers killed at random", all),
        Line::times("leader killed, until the standby leads (lease 4 s)", fail_overs),
    ]))
}
