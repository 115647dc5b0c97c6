//! The NB and the API server go away and come back while pods come and go; no controller is started again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Churn, LEFT_OUT, Line, Rng, Setting, Sizes};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Killed,
    Hangs,
    Transferred,
    Compacted,
    AllRestarted,
    FollowerLost,
    LeaderLost,
    DiskFull,
    ApiServer,
}

const FAULTS: [Fault; 9] = [
    Fault::Killed,
    Fault::Hangs,
    Fault::Transferred,
    Fault::Compacted,
    Fault::AllRestarted,
    Fault::FollowerLost,
    Fault::LeaderLost,
    Fault::DiskFull,
    Fault::ApiServer,
];

impl Fault {
    fn words(self, sizes: &Sizes) -> String {
        match self {
            Fault::Killed => "leader of the NB killed".to_owned(),
            Fault::Hangs => format!("leader of the NB hangs for {} s", sizes.nb_hangs.as_secs()),
            Fault::Transferred => "leadership of the NB transferred".to_owned(),
            Fault::Compacted => "NB compacted".to_owned(),
            Fault::AllRestarted => "all servers of the NB killed and started".to_owned(),
            Fault::FollowerLost => "a follower's file lost, joined anew".to_owned(),
            Fault::LeaderLost => "the leader's file lost, joined anew".to_owned(),
            Fault::DiskFull => "the leader's disk full".to_owned(),
            Fault::ApiServer => format!("API server away for {} s", sizes.api_away.as_secs()),
        }
    }
}

/// All faults in random order, as many rounds as asked for.
pub async fn run(controller: &Path, sizes: Sizes) -> Result<Option<Vec<Line>>> {
    let Some(mut stage) = Setting::start(controller).await? else { return Ok(None) };
    let mut rng = Rng(sizes.seed);
    let (end, ended) = tokio::sync::oneshot::channel();
    let churn = Churn::new(sizes.seed, Duration::from_millis(100));
    let churning = tokio::spawn(churn.run_until(stage.bed.client.clone(), ended));
    let mut times: BTreeMap<Fault, Vec<f64>> = BTreeMap::new();
    let mut probes = 0;
    for _ in 0..sizes.nb_rounds {
        let mut faults = FAULTS.to_vec();
        if !stage.bed.nb.has_disks() {
            faults.retain(|fault| *fault != Fault::DiskFull);
        }
        while !faults.is_empty() {
            let fault = faults.swap_remove(rng.below(faults.len()));
            tokio::time::sleep(rng.millis(200, 2000)).await;
            let since = Instant::now();
            let leader = stage.bed.nb.leader()?;
            let came_back = strike(&mut stage, fault, leader, &sizes, &mut rng).await?;
            // What can be served while it lasts is counted from its beginning, else from when it is over.
            let seconds = stage.probe(&format!("probe{probes}"), came_back.unwrap_or(since)).await?;
            recover(&mut stage, fault, leader).await?;
            eprintln!("{}: {seconds:.1} s", fault.words(&sizes));
            times.entry(fault).or_default().push(seconds);
            probes += 1;
        }
    }
    // It may have ended by itself only if it panicked; that shows below.
    let _ = end.send(());
    let churn = churning.await?;
    let done = Instant::now();
    stage.converged(churn.live.len() + probes).await?;
    let converged = done.elapsed().as_secs_f64();
    for controller in &mut stage.pair {
        ensure!(controller.is_running(), "controller {} has ended:\n{}", controller.name(), controller.log());
    }
    let mut lines: Vec<Line> = times
        .into_iter()
        .map(|(fault, seconds)| {
            Line::times(&format!("{}, until a new pod is routed", fault.words(&sizes)), seconds)
        })
        .collect();
    if !stage.bed.nb.has_disks() {
        let what = Fault::DiskFull.words(&sizes);
        lines.push(Line::text(&what, format!("{LEFT_OUT} (mounting a tmpfs isn't allowed)")));
    }
    lines.push(Line::text(
        "after all of these",
        format!("{} pods left of {}: all agree after {converged:.1} s", churn.live.len(), churn.created),
    ));
    stage.empty().await?;
    Ok(Some(lines))
}

/// Lets it happen. The moment from which serving is possible again, if that is not the beginning.
async fn strike(
    stage: &mut Setting,
    fault: Fault,
    leader: usize,
    sizes: &Sizes,
    rng: &mut Rng,
) -> Result<Option<Instant>> {
    let nb = &mut stage.bed.nb;
    match fault {
        Fault::Killed => nb.kill(leader),
        Fault::Hangs => {
            nb.signal(leader, "STOP")?;
            tokio::time::sleep(sizes.nb_hangs).await;
            nb.signal(leader, "CONT")?;
        }
        Fault::Transferred => {
            nb.transfer()?;
        }
        Fault::Compacted => nb.compact()?,
        Fault::AllRestarted => {
            for n in 0..nb.size() {
                nb.kill(n);
            }
            tokio::time::sleep(rng.millis(100, 1500)).await;
            for n in 0..nb.size() {
                nb.start_member(n)?;
            }
            return Ok(Some(Instant::now()));
        }
        Fault::FollowerLost => nb.lose((leader + 1 + rng.below(2)) % 3)?,
        Fault::LeaderLost => nb.lose(leader)?,
        Fault::DiskFull => nb.fill_disk(leader)?,
        Fault::ApiServer => {
            stage.bed.api.pause();
            tokio::time::sleep(sizes.api_away).await;
            stage.bed.api.resume()?;
            return Ok(Some(Instant::now()));
        }
    }
    Ok(None)
}

/// Brings back what was killed, so that the next fault meets a whole cluster.
async fn recover(stage: &mut Setting, fault: Fault, leader: usize) -> Result<()> {
    let nb = &mut stage.bed.nb;
    match fault {
        Fault::Killed => nb.start_member(leader)?,
        Fault::DiskFull => nb.free_disk(leader)?,
        _ => {}
    }
    nb.settle()
}
