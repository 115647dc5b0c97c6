//! The agent's files on the host: the plugin's binary and the network configuration that makes the
//! node Ready. Both atomically, and only when they differ. Decides which versions of CNI the configuration offers.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::json;
use tombolo_cni::Version;

/// The newest version of the CNI specification that containerd 1.6 speaks; with it, CHECK works too.
const CNI_VERSION: Version = Version::V1_0_0;
/// The version that newer runtimes choose of `cniVersions`, for GC and STATUS; older ones don't know that field and leave it alone.
const NEWER: Version = Version::V1_1_0;
/// The plugin behind ours, for pods' `hostPort`.
const PORTMAP: &str = "portmap";
/// How often the files are checked.
pub const LOOK: Duration = Duration::from_secs(5);
/// How long a plugin may take to name its versions.
const ANSWER: Duration = Duration::from_secs(5);
/// Name of the plugin's binary in the runtime's directory.
pub const PLUGIN: &str = "kube-ovn";

/// Where things go.
#[derive(Debug, Clone)]
pub struct Install {
    /// The runtime's directory of configurations: `/etc/cni/net.d`.
    pub conf_dir: PathBuf,
    /// Name of ours there: `01-kube-ovn.conflist`.
    pub conf_name: String,
    /// The runtime's directory of plugins: `/opt/cni/bin`.
    pub bin_dir: PathBuf,
    /// The plugin to install there; `None` when an init container has done it.
    pub plugin: Option<PathBuf>,
    /// The agent's socket, as the host sees it.
    pub socket: PathBuf,
}

/// The network configuration: our plugin, and portmap behind it for pods' `hostPort`. `newer`: all plugins of the list
/// speak CNI 1.1, so a runtime that does may use it.
pub fn conflist(socket: &Path, newer: bool) -> String {
    let mut list = json!({
        "name": "kube-ovn",
        "cniVersion": CNI_VERSION.as_str(),
        "plugins": [
            { "type": PLUGIN, "server_socket": socket },
            { "type": PORTMAP, "capabilities": { "portMappings": true } }
        ]
    });
    if newer {
        list["cniVersions"] = json!([CNI_VERSION.as_str(), NEWER.as_str()]);
    }
    format!("{list:#}\n")
}

/// Distinguishes a changed file from an unchanged one without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

/// `None`: there is no such file (a link to nowhere included).
fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp { inode: meta.ino(), len: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) })
}

/// The files' state at the last check of their content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    stamps: [Option<Stamp>; 4],
    newer: bool,
}

/// The outcome of a check of the files.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// They were put in place for the first time.
    First(Installed),
    /// So many were put back.
    Restored(usize),
}

impl Install {
    /// Puts the files in place, and back after a removal or change since `before`. The plugin first:
    /// the runtime may start it as soon as it sees the configuration.
    pub fn keep(&self, before: Option<&mut Installed>) -> anyhow::Result<Kept> {
        let stamps = self.stamps();
        if before.as_ref().is_some_and(|b| b.stamps == stamps) {
            return Ok(Kept::Restored(0)); // invariant 9
        }
        // Another portmap may speak other versions; asking starts a process.
        let newer = match &before {
            Some(b) if b.stamps[3] == stamps[3] => b.newer,
            _ => speaks(&self.bin_dir.join(PORTMAP), NEWER),
        };
        let mut written = 0;
        if let Some(plugin) = &self.plugin {
            let bytes =
                fs::read(plugin).with_context(|| format!("reading the plugin {}", plugin.display()))?;
            written += usize::from(put(&self.bin_dir, PLUGIN, &bytes, 0o755)?);
        }
        let text = conflist(&self.socket, newer);
        written += usize::from(put(&self.conf_dir, &self.conf_name, text.as_bytes(), 0o644)?);
        let now = Installed { stamps: self.stamps(), newer };
        Ok(match before {
            None => Kept::First(now),
            Some(before) => {
                *before = now;
                Kept::Restored(written)
            }
        })
    }

    fn stamps(&self) -> [Option<Stamp>; 4] {
        [
            stamp(&self.conf_dir.join(&self.conf_name)),
            stamp(&self.bin_dir.join(PLUGIN)),
            self.plugin.as_deref().and_then(stamp),
            stamp(&self.bin_dir.join(PORTMAP)),
        ]
    }
}

/// Whether the plugin reports that it speaks that version. One that doesn't answer doesn't.
fn speaks(plugin: &Path, version: Version) -> bool {
    let ask = || -> io::Result<serde_json::Value> {
        let mut child = Command::new(plugin)
            .env_clear()
            .env("CNI_COMMAND", "VERSION")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = write!(stdin, "{}", json!({ "cniVersion": CNI_VERSION.as_str() }));
        }
        let until = Instant::now() + ANSWER;
        while child.try_wait()?.is_none() {
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(serde_json::from_slice(&child.wait_with_output()?.stdout)?)
    };
    match ask() {
        Ok(said) => {
            said["supportedVersions"].as_array().is_some_and(|all| all.iter().any(|v| v == version.as_str()))
        }
        Err(error) => {
            tracing::info!(%error, plugin = %plugin.display(), "asking a plugin for its versions; CNI {CNI_VERSION} alone is offered");
            false
        }
    }
}

/// Writes a file when its content or mode differs; `true` when it did.
fn put(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> anyhow::Result<bool> {
    let path = dir.join(name);
    let same = |p: &Path| -> io::Result<bool> {
        Ok(fs::metadata(p)?.permissions().mode() & 0o777 == mode && fs::read(p)? == bytes)
    };
    if same(&path).unwrap_or(false) {
        return Ok(false);
    }
    // A name that no runtime takes for a configuration, in the same directory so that renaming is atomic.
    let temporary = dir.join(format!(".{name}.new"));
    let write = || -> io::Result<()> {
        fs::create_dir_all(dir)?;
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?; // whatever the umask is
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().with_context(|| format!("installing {}", path.display()))?;
    tracing::info!(path = %path.display(), "installed");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_as_a_runtime_reads_it() {
        let read = |newer| -> serde_json::Value {
            serde_json::from_str(&conflist(Path::new("/run/openvswitch/kube-ovn-daemon.sock"), newer))
                .unwrap()
        };
        let mut want = json!({
            "cniVersion": "1.0.0",
            "name": "kube-ovn",
            "plugins": [
                {"type": "kube-ovn", "server_socket": "/run/openvswitch/kube-ovn-daemon.sock"},
                {"type": "portmap", "capabilities": {"portMappings": true}}
            ]
        });
        assert_eq!(read(false), want);
        // A runtime of CNI 1.1 takes the newest of these that it speaks; one of 1.0 reads `cniVersion`.
        want["cniVersions"] = json!(["1.0.0", "1.1.0"]);
        assert_eq!(read(true), want);
    }

    fn install(dir: &Path) -> Install {
        let plugin = dir.join("source");
        fs::write(&plugin, "v1").unwrap();
        Install {
            conf_dir: dir.join("net.d"),
            conf_name: "01-kube-ovn.conflist".into(),
            bin_dir: dir.join("bin"),
            plugin: Some(plugin),
            socket: "/s".into(),
        }
    }

    fn first(install: &Install) -> Installed {
        match install.keep(None).unwrap() {
            Kept::First(installed) => installed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_are_replaced_only_when_they_differ() {
        let dir = tempfile::tempdir().unwrap();
        let install = install(dir.path());
        first(&install);
        let installed = install.bin_dir.join(PLUGIN);
        let inode = || fs::metadata(&installed).unwrap().ino();
        let before = inode();
        assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o755);
        first(&install);
        assert_eq!(inode(), before, "the same content is left alone"); // invariant 9
        fs::write(install.plugin.as_ref().unwrap(), "v2").unwrap();
        first(&install);
        assert_ne!(inode(), before, "a running plugin keeps its file: it is replaced, not written to");
        assert_eq!(fs::read(&installed).unwrap(), b"v2");
        let left: Vec<_> = fs::read_dir(&install.conf_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["01-kube-ovn.conflist"]);
    }

    #[test]
    fn what_somebody_removes_or_changes_is_put_back() {
        // invariant 13
        let dir = tempfile::tempdir().unwrap();
        let install = install(dir.path());
        let mut kept = first(&install);
        let (conf, plugin) = (install.conf_dir.join(&install.conf_name), install.bin_dir.join(PLUGIN));
        let mut look = || install.keep(Some(&mut kept)).unwrap();
        assert_eq!(look(), Kept::Restored(0));
        fs::remove_file(&conf).unwrap();
        assert_eq!(look(), Kept::Restored(1));
        fs::write(&conf, "{}").unwrap();
        fs::set_permissions(&plugin, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(look(), Kept::Restored(2));
        fs::remove_dir_all(&install.bin_dir).unwrap();
        assert_eq!(look(), Kept::Restored(1));
        assert_eq!(look(), Kept::Restored(0));
        assert_eq!(fs::read_to_string(&conf).unwrap(), conflist(Path::new("/s"), false));
        assert_eq!(fs::metadata(&plugin).unwrap().permissions().mode() & 0o777, 0o755);
        // Others' files stay.
        let theirs = install.conf_dir.join("00-multus.conf");
        fs::write(&theirs, "{}").unwrap();
        fs::remove_file(&conf).unwrap();
        look();
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "{}");
    }

    #[test]
    fn the_newer_version_is_offered_only_when_every_plugin_of_the_list_speaks_it() {
        let dir = tempfile::tempdir().unwrap();
        let install = install(dir.path());
        let mut kept = first(&install);
        let portmap = |script: &str| {
            let temporary = dir.path().join("portmap.new");
            fs::write(&temporary, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&temporary, install.bin_dir.join(PORTMAP)).unwrap();
        };
        let answer = |versions: &str| {
            format!(
                "/bin/cat >/dev/null; [ \"$CNI_COMMAND\" = VERSION ] && echo '{{\"supportedVersions\": {versions}}}'"
            )
        };
        let mut offers = || {
            install.keep(Some(&mut kept)).unwrap();
            let text = fs::read_to_string(install.conf_dir.join(&install.conf_name)).unwrap();
            text == conflist(&install.socket, true)
        };
        assert!(!offers(), "there is none yet");
        portmap(&answer(r#"["0.4.0", "1.0.0"]"#));
        assert!(!offers(), "as Debian 12 has it");
        portmap(&answer(r#"["1.0.0", "1.1.0"]"#));
        assert!(offers());
        portmap("exit 1");
        assert!(!offers());
    }
}
