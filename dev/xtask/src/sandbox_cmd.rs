//! `cargo xtask sandbox …`. Decides how its command line is read and who cleans up on Ctrl-C.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use tombolo_sandbox::{hosts, progress};

/// Runs one of the `sandbox` commands.
///
/// # Errors
/// What the command fails with.
pub fn run(words: &[&str]) -> Result<ExitCode> {
    match words {
        ["up"] => {
            // Asked for once more while it is up, an interruption must not take it down.
            let fresh = hosts::all().iter().all(|host| host.init_pid().is_none());
            let _lock = tombolo_sandbox::lock()?;
            progress::on_interrupt(move || {
                if fresh {
                    // Another thread may have made a file at the wrong moment: the second time, none is left to.
                    tombolo_sandbox::down().or_else(|_| tombolo_sandbox::down())
                } else {
                    Ok(())
                }
            })?;
            tombolo_sandbox::up(tombolo_sandbox::Parts::ALL)?;
            eprint!("\n{}", progress::timings());
            println!("\n{}", tombolo_sandbox::how_to_get_in());
        }
        ["down"] => {
            let _lock = tombolo_sandbox::lock()?;
            tombolo_sandbox::down()?;
        }
        ["tls"] => {
            let _lock = tombolo_sandbox::lock()?;
            tombolo_sandbox::over_tls()?;
        }
        ["status"] => {
            let (text, ok) = tombolo_sandbox::status()?;
            print!("{text}");
            return Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        ["shell"] => return shell("host1", &[]),
        ["shell", "--", command @ ..] => return shell("host1", command),
        ["shell", host] => return shell(host, &[]),
        ["shell", host, "--", command @ ..] => return shell(host, command),
        ["by-hand"] => {
            let _lock = tombolo_sandbox::lock()?;
            tombolo_sandbox::by_hand::run()?;
        }
        _ => bail!("sandbox up | down | tls | status | shell [HOST] [-- COMMAND…] | prove"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Becomes the shell or command, so that terminal, signals and exit status are its own.
fn shell(host: &str, command: &[&str]) -> Result<ExitCode> {
    let host = hosts::by_name(host)?;
    if host.init_pid().is_none() {
        bail!("{host} is not up: cargo xtask sandbox up");
    }
    let mut shell = match command {
        [] => {
            let mut bash = host.command("bash");
            bash.env("PS1", format!("{host}:\\w# ")).arg("--norc");
            bash
        }
        [program, args @ ..] => {
            let mut command = host.command(program);
            command.args(args);
            command
        }
    };
    shell.envs(tombolo_sandbox::ovn::environment());
    Err(shell.exec().into())
}
