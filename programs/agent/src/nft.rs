//! Runs the programs that know the firewall: nft, and iptables-legacy where the old tables are in use.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::Host;

/// How long one run may take: the kernel's lock on its rules is held for seconds at worst.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often to ask whether it has ended.
const POLL: Duration = Duration::from_millis(3);

/// Why a program didn't do its work.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// It couldn't be run in the node's namespace.
    #[error(transparent)]
    Namespace(#[from] tombolo_linux::Error),
    /// It failed, or couldn't be started.
    #[error("running {program}")]
    Run {
        /// The program.
        program: String,
        /// Its failure.
        source: Failure,
    },
}

/// How a run ended.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The program isn't installed: another attempt soon would not change that.
    #[error(transparent)]
    Missing(io::Error),
    /// It refused its task; its standard error.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("no answer in {DEADLINE:?}")]
    Deadline,
    /// The system refused to run it, or it took no input.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl NftError {
    /// The program isn't installed.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Run { source: Failure::Missing(_), .. })
    }

    /// The program answered, with an error: for a listing, that there is nothing to list.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Run { source: Failure::Refused(_), .. })
    }
}

/// Puts a script in place in the node's namespace.
pub async fn apply(host: &Host, script: String) -> Result<(), NftError> {
    run(host, "nft", &["-f", "-"], script).await.map(drop)
}

/// Runs a program in the node's namespace; its standard output.
pub async fn run(host: &Host, program: &str, args: &[&str], input: String) -> Result<String, NftError> {
    let (name, args) = (program.to_owned(), args.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
    let work = move || Ok(run_here(&name, &args, &input));
    let failed = |source| NftError::Run { program: program.to_owned(), source };
    host.netns.run(work).await?.map_err(failed)
}

fn run_here(program: &str, args: &[String], input: &str) -> Result<String, Failure> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Missing(error),
            _ => Failure::Io(error),
        })?;
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
    // all of it before it writes anything.
    let sent = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Failure::Deadline);
        }
        std::thread::sleep(POLL);
    };
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    if !status.success() {
        return Err(Failure::Refused(text(err).trim().to_owned()));
    }
    sent.unwrap_or(Err(io::Error::other("it took no input")))?;
    Ok(text(out))
}

#[cfg(test)]
mod tests {
    use tombolo_client::chain;

    use super::*;

    #[test]
    fn a_missing_program_is_told_from_one_that_fails() {
        let of = |source| NftError::Run { program: "nft".to_owned(), source };
        let missing = of(run_here("/surely/not/there/nft", &[], "").unwrap_err());
        assert!(missing.is_missing() && !missing.is_refused());
        assert_eq!(chain(&missing), "running nft: No such file or directory (os error 2)");
        let failed = of(run_here("sh", &["-c".into(), "echo no >&2; exit 3".into()], "").unwrap_err());
        assert!(failed.is_refused() && !failed.is_missing());
        assert_eq!(chain(&failed), "running nft: no");
        assert_eq!(run_here("cat", &[], "text").unwrap(), "text");
    }
}
