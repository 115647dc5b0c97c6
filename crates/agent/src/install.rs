//! What the agent puts on the host: the plugin's binary and the network configuration that makes the node Ready.
//! Both atomically, and only when they differ.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;

/// The newest version of the CNI specification that containerd 1.6 speaks; with it, CHECK works too.
const CNI_VERSION: &str = "1.0.0";
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

/// The network configuration: our plugin, and portmap behind it for pods' `hostPort`.
pub fn conflist(socket: &Path) -> String {
    let list = json!({
        "name": "kube-ovn",
        "cniVersion": CNI_VERSION,
        "plugins": [
            { "type": PLUGIN, "server_socket": socket },
            { "type": "portmap", "capabilities": { "portMappings": true } }
        ]
    });
    format!("{list:#}\n")
}

impl Install {
    /// The plugin first: the runtime may start it as soon as it sees the configuration.
    pub fn install(&self) -> anyhow::Result<()> {
        if let Some(plugin) = &self.plugin {
            let bytes =
                fs::read(plugin).with_context(|| format!("reading the plugin {}", plugin.display()))?;
            put(&self.bin_dir, PLUGIN, &bytes, 0o755)?;
        }
        put(&self.conf_dir, &self.conf_name, conflist(&self.socket).as_bytes(), 0o644)
    }
}

/// Writes a file when its content or mode differs.
fn put(dir: &Path, name: &str, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let path = dir.join(name);
    let same = |p: &Path| -> io::Result<bool> {
        Ok(fs::metadata(p)?.permissions().mode() & 0o777 == mode && fs::read(p)? == bytes)
    };
    if same(&path).unwrap_or(false) {
        return Ok(());
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_as_a_runtime_reads_it() {
        let text = conflist(Path::new("/run/openvswitch/kube-ovn-daemon.sock"));
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            list,
            json!({
                "cniVersion": "1.0.0",
                "name": "kube-ovn",
                "plugins": [
                    {"type": "kube-ovn", "server_socket": "/run/openvswitch/kube-ovn-daemon.sock"},
                    {"type": "portmap", "capabilities": {"portMappings": true}}
                ]
            })
        );
    }

    #[test]
    fn files_are_replaced_only_when_they_differ() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let plugin = dir.path().join("source");
        fs::write(&plugin, "v1").unwrap();
        let install = Install {
            conf_dir: dir.path().join("net.d"),
            conf_name: "01-kube-ovn.conflist".into(),
            bin_dir: dir.path().join("bin"),
            plugin: Some(plugin.clone()),
            socket: "/s".into(),
        };
        install.install().unwrap();
        let installed = install.bin_dir.join(PLUGIN);
        let inode = || fs::metadata(&installed).unwrap().ino();
        let first = inode();
        assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o755);
        install.install().unwrap();
        assert_eq!(inode(), first, "the same content is left alone"); // invariant 9
        fs::write(&plugin, "v2").unwrap();
        install.install().unwrap();
        assert_ne!(inode(), first, "a running plugin keeps its file: it is replaced, not written to");
        assert_eq!(fs::read(&installed).unwrap(), b"v2");
        let left: Vec<_> = fs::read_dir(&install.conf_dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["01-kube-ovn.conflist"]);
    }
}
