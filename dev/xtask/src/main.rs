//! The project's own commands. Decides how a command line is read; each module does its work.

mod bench;
mod chart;
mod check_layers;
mod count;
mod r#gen;
mod image;
mod links;
mod sandbox_cmd;
mod space;
mod test;
mod test_programs;
mod unused;
mod walk;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use tombolo_sandbox::demo::Ovn;
use tombolo_sandbox::progress;

const USAGE: &str = "\
cargo xtask COMMAND

  demo [--full] [--take-over] [--measure] [--ovn=central|existing] [--tls]
                             runs the whole scenario on this machine; --full also uninstalls, then --take-over plays the
                             take-over of a cluster of Kube-OVN's (built for it: some five minutes, once); OVN runs as pods (central, the
                             document's way, over TLS with --tls), or on the hosts (existing)
  measure                    measures times and memory of our programs in the running sandbox: a table and JSON
  bench provision [--pods N,…] [--nodes N,…]
                             measures pod provisioning on a real API server and NB, beside a bare client: JSON
  bench entries              what an entry in a row of 100 and of 50,000 costs, beside a bare client's
  bench faults               kills controllers, stops the NB and the API server, 1,000 routers: a table
  test [--fast]              runs all tests, unit to sandbox; --fast skips (and counts) those that need Kubernetes or the sandbox
  sandbox up                 starts hosts, OVN, Neutron, a VM and Kubernetes on this machine (root)
  sandbox down               removes all of it
  sandbox tls                moves the deployed controllers to OVN's TLS ports
  sandbox status             shows what runs
  sandbox shell [HOST] [-- COMMAND…]
                             runs a shell (or a command) inside a host
  sandbox by-hand            runs the scenario by hand: ovn-nbctl and a plugged namespace in place of our programs
  image                      builds our container images
  chart [--write]            lints the chart and renders its cases; --write writes what differs
  gen [--check]              writes generated sources; --check fails when they differ
  check-layers               checks the crates' dependencies against the architecture
  check-links                checks the links in the project's pages
  check-unused               finds unused dependencies
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = dispatch(&args);
    progress::finish_interruption();
    match result {
        Ok(code) => code,
        Err(error) if error.downcast_ref::<progress::PhaseFailed>().is_some() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sandbox", rest @ ..] => sandbox_cmd::run(rest),
        ["demo", options @ ..] => demo(options).map(|()| ExitCode::SUCCESS),
        ["bench", rest @ ..] => bench::run(rest),
        ["measure"] => measure().map(|()| ExitCode::SUCCESS),
        ["test"] => tests(test::Tier::Full),
        ["test", "--fast"] => tests(test::Tier::Fast),
        ["image"] => image::run(&[]).map(|()| ExitCode::SUCCESS),
        ["chart"] => chart::run(false).map(|()| ExitCode::SUCCESS),
        ["chart", "--write"] => chart::run(true).map(|()| ExitCode::SUCCESS),
        ["gen"] => r#gen::run(false).map(|()| ExitCode::SUCCESS),
        ["gen", "--check"] => r#gen::run(true).map(|()| ExitCode::SUCCESS),
        ["check-layers"] => check_layers::run().map(|()| ExitCode::SUCCESS),
        ["check-unused"] => unused::run().map(|()| ExitCode::SUCCESS),
        ["check-links"] => links::run(root()?).map(|()| ExitCode::SUCCESS),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("no such command: {}\n\n{USAGE}", words.join(" ")),
    }
}

/// The root of the workspace.
fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("xtask lies in dev/xtask")
}

fn demo(words: &[&str]) -> Result<()> {
    let mut options = tombolo_sandbox::demo::Options::default();
    let mut tls = false;
    for word in words {
        match *word {
            "--full" => options.full = true,
            "--take-over" => options.take_over = true,
            "--measure" => options.measure = true,
            "--ovn=central" => options.ovn = Ovn::Central,
            "--ovn=existing" => options.ovn = Ovn::Existing,
            "--tls" => tls = true,
            other => {
                bail!(
                    "unknown option {other:?}; usage: demo [--full] [--take-over] [--measure] [--ovn=central|existing] [--tls]"
                )
            }
        }
    }
    if tls {
        ensure!(
            options.ovn == Ovn::Central,
            "--tls is for --ovn=central: the hosts' OVN keeps the document's tcp:"
        );
        options.ovn = Ovn::CentralTls;
    }
    ensure!(
        !options.take_over || options.full && options.ovn == Ovn::Central,
        "--take-over follows the uninstall of --full, with --ovn=central"
    );
    tombolo_sandbox::demo::run(options)
}

/// Times and memory of our programs in the sandbox that is up.
fn measure() -> Result<()> {
    let _lock = tombolo_sandbox::lock()?;
    progress::on_interrupt(|| Ok(()))?;
    tombolo_sandbox::measure::run(tombolo_sandbox::measure::PODS)?.show();
    Ok(())
}

/// Takes the sandbox down as a step of the tests.
fn sandbox_down() -> Result<()> {
    tombolo_sandbox::down()
}

fn tests(tier: test::Tier) -> Result<ExitCode> {
    Ok(if test::run(tier) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
