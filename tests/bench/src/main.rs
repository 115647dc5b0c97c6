//! `cargo xtask bench`: progress on stderr, results on stdout.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use tombolo_tests_bench::entries;
use tombolo_tests_bench::faults::{self, Sizes};
use tombolo_tests_bench::meter;
use tombolo_tests_bench::provision::{self, Size};

/// Runs of the controller against a real API server and a real NB
#[derive(Parser, Debug)]
#[command(name = "cargo xtask bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// How fast pods get their network, as JSON
    Provision {
        /// Numbers of pods
        #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
        pods: Vec<usize>,
        /// Numbers of nodes
        #[arg(long, value_delimiter = ',', default_value = "10,100")]
        nodes: Vec<usize>,
    },
    /// What an entry in a row that several owners fill costs, as JSON
    Entries {
        /// Entries in the row
        #[arg(long, value_delimiter = ',', default_value = "100,50000")]
        entries: Vec<usize>,
    },
    /// What faults do, as a table
    Faults {
        /// In small, as the tests do it
        #[arg(long)]
        small: bool,
        /// Only this one
        #[arg(long, value_enum)]
        only: Option<Which>,
        /// What decides each random choice
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Kills,
    Northbound,
    Fence,
    Leaks,
    Silent,
}

/// The controller lies beside this program.
fn controller() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("tombolo-controller");
    if !path.exists() {
        bail!("{} is not there: cargo build -p tombolo-controller", path.display());
    }
    Ok(path)
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Provision { pods, nodes } => {
            let mut runs = Vec::new();
            for pods in pods {
                for nodes in &nodes {
                    runs.push(run(Size { pods, nodes: *nodes }).await?);
                }
            }
            println!("{:#}", json!({ "runs": runs }));
        }
        Command::Entries { entries } => {
            println!("{:#}", json!({ "runs": entries::sizes(&entries).await? }));
        }
        Command::Faults { small, only, seed } => {
            let sizes = Sizes { seed, ..if small { Sizes::SMALL } else { Sizes::FULL } };
            faults(sizes, only).await?;
        }
    }
    Ok(())
}

async fn faults(sizes: Sizes, only: Option<Which>) -> Result<()> {
    let controller = controller()?;
    println!("| what happens | what was seen |\n|---|---|");
    for which in [Which::Kills, Which::Northbound, Which::Fence, Which::Leaks, Which::Silent] {
        if only.is_some_and(|only| only != which) {
            continue;
        }
        eprintln!("{which:?} …");
        let began = Instant::now();
        let lines = match which {
            Which::Kills => faults::kills::run(&controller, sizes).await?,
            Which::Northbound => faults::northbound::run(&controller, sizes).await?,
            Which::Fence => faults::fence::run(&controller).await?,
            Which::Leaks => faults::leaks::run(&controller, sizes).await?,
            Which::Silent => faults::silent::run(&controller, sizes).await?,
        };
        for line in lines.context("a program of Kubernetes' or OVN's is missing")? {
            println!("| {} | {} |", line.what, line.seen);
        }
        eprintln!("{which:?}: {:.0} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

async fn run(size: Size) -> Result<Value> {
    let Size { pods, nodes } = size;
    let (controller, began) = (controller()?, Instant::now());
    let say = |what: &str| {
        eprintln!("[{:>6.1} s] {pods} pods, {nodes} nodes: {what}", began.elapsed().as_secs_f64())
    };
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    say("the bare client");
    let missing = "a program of Kubernetes' or OVN's is missing";
    let bare = provision::bare(&controller, size).await?.context(missing)?;
    say(&format!("{} pods/s; now the controller", bare["pods_per_s"]));
    let ours = provision::ours(&controller, size, say).await?.context(missing)?;
    let rate = |run: &Value| run["pods_per_s"].as_f64().unwrap_or_default();
    let ratio = meter::round(rate(&ours) / rate(&bare), 3);
    // What others do on this machine meanwhile disturbs the rates, and this much less.
    let cpu = |run: &Value| -> f64 {
        run["cpu_ms_per_pod"].as_object().into_iter().flatten().filter_map(|(_, ms)| ms.as_f64()).sum()
    };
    let cpu_ratio = meter::round(cpu(&bare) / cpu(&ours), 3);
    say(&format!("done: {ratio} of the bare client's rate"));
    Ok(
        json!({ "pods": pods, "nodes": nodes, "ratio": ratio, "cpu_ratio": cpu_ratio, "bare": bare, "ours": ours, "load": load().trim() }),
    )
}
