//! Runs the programs that know the firewall: nft, and iptables-legacy where the old tables are in use.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::host::Host;

/// How long one run may take: the kernel's lock on its rules is held for seconds at worst.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often to ask whether it has ended.
const POLL: Duration = Duration::from_millis(3);

/// Puts a script in place in the node's namespace.
pub async fn apply(host: &Host, script: String) -> anyhow::Result<()> {
    run(host, "nft", &["-f", "-"], script).await.map(drop)
}

/// Runs a program in the node's namespace; its standard output.
pub async fn run(host: &Host, program: &str, args: &[&str], input: String) -> anyhow::Result<String> {
    let (name, args) = (program.to_owned(), args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
    let work = move || Ok(run_here(&name, &args, &input));
    host.netns.run(work).await?.with_context(|| format!("running {program}"))
}

/// The program isn't installed: trying again soon would not change that.
pub fn is_missing(e: &anyhow::Error) -> bool {
    e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound)
}

fn run_here(program: &str, args: &[String], input: &str) -> anyhow::Result<String> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let started = Instant::now();
    // Both are read beside the wait: a full pipe would hold the program up. The threads end with the program.
    let collect = |pipe: Option<Box<dyn io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = collect(child.stdout.take().map(|p| Box::new(p) as _));
    let err = collect(child.stderr.take().map(|p| Box::new(p) as _));
    // Taken, so that the end of the script is the end of the pipe. Far below a pipe's buffer in practice; nft reads
    // all of it before it says anything.
    let sent = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            anyhow::bail!("no answer in {DEADLINE:?}");
        }
        std::thread::sleep(POLL);
    };
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    if !status.success() {
        anyhow::bail!("{}", text(err).trim());
    }
    sent.unwrap_or(Err(io::Error::other("it took no input")))?;
    Ok(text(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_from_one_that_fails() {
        let missing = run_here("/surely/not/there/nft", &[], "").context("running nft").unwrap_err();
        assert!(is_missing(&missing));
        let failed = run_here("sh", &["-c".into(), "echo no >&2; exit 3".into()], "").unwrap_err();
        assert!(!is_missing(&failed) && failed.to_string() == "no", "{failed}");
        assert_eq!(run_here("cat", &[], "text").unwrap(), "text");
    }
}
