//! The agent as a process on a node.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tombolo_testbed::eventually;

use super::Bed;

pub struct Program {
    child: Child,
    dir: PathBuf,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts it in the node's namespace; `args` beside those of the bed.
    pub async fn start(bed: &Bed, kubeconfig: &Path, node: &str, port: u16, args: &[&str]) -> Program {
        let dir = bed.dir.path().to_owned();
        let log = std::fs::File::options().create(true).append(true).open(dir.join("agent.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo-agent"));
        command
            .env("KUBE_NODE_NAME", node)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--ovs-socket={}", bed.at("db.sock")))
            .arg(format!("--bind-socket={}", bed.at("kube-ovn-daemon.sock")))
            .arg(format!("--cni-conf-dir={}", bed.at("net.d")))
            .arg(format!("--cni-bin-dir={}", bed.at("bin")))
            .arg(format!("--cni-plugin={}", super::built::plugin().display()))
            .arg(format!("--pprof-port={port}"))
            .arg("--mtu=1400")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = bed.host.netns.run(move || Ok(command.spawn())).await.unwrap().unwrap();
        Program { child, dir }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default()
    }

    /// SIGTERM; it must end by itself, and well.
    pub fn stop(mut self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        let ended = eventually("the agent to end", Duration::from_secs(12), || Ok(self.child.try_wait()?));
        assert!(ended.unwrap().success(), "{}", self.log());
    }
}

/// What one of its listeners answers; nothing if it doesn't.
pub async fn get(bed: &Bed, port: u16, path: &'static str) -> String {
    use std::io::{Read, Write};
    let ask = move || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    bed.host.netns.run(move || Ok(ask())).await.unwrap().unwrap_or_default()
}
