//! The root file system of the sandbox's VM: busybox, the virtio modules of the distribution's kernel, one script.
//!
//! Decides the archive (the "new ASCII" cpio format that the kernel unpacks) and which modules go in; not what the
//! script does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

/// Modules that the VM loads, with whatever they depend on.
const MODULES: [&str; 2] = ["virtio_pci", "virtio_net"];

/// A kernel of the distribution and where its modules are.
pub struct Kernel {
    /// The image to boot.
    pub image: PathBuf,
    modules: PathBuf,
}

/// The newest kernel with modules in `/boot`: Debian's cloud kernel before others (it is small).
///
/// # Errors
/// When there is none.
pub fn kernel() -> Result<Kernel> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/boot").context("looking for a kernel in /boot")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(version) = name.strip_prefix("vmlinuz-") else { continue };
        let modules = Path::new("/lib/modules").join(version);
        if modules.join("modules.dep").exists() {
            let key: Vec<u32> =
                version.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
            found.insert((version.contains("cloud"), key), Kernel { image: entry.path(), modules });
        }
    }
    let newest = found.pop_last().map(|(_, kernel)| kernel);
    newest.ok_or_else(|| anyhow!("no kernel with modules in /boot: apt-get install linux-image-cloud-amd64"))
}

/// Builds the archive, uncompressed: about 2 MB, and nothing to unpack slowly in an emulated CPU.
///
/// # Errors
/// When a module or busybox can't be read.
pub fn build(kernel: &Kernel, init: &str) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for dir in ["bin", "dev", "proc", "sys", "tmp", "modules"] {
        archive.add(dir, 0o040_755, &[]);
    }
    archive.add("bin/busybox", 0o100_755, &fs::read("/bin/busybox").context("reading busybox")?);
    archive.add("init", 0o100_755, init.as_bytes());
    let mut order = String::new();
    for path in in_order(&kernel.modules)? {
        let name = path.file_name().context("a module without a name")?.to_string_lossy().into_owned();
        let module = kernel.modules.join(&path);
        archive.add(
            &format!("modules/{name}"),
            0o100_644,
            &fs::read(&module).with_context(|| format!("reading {}", module.display()))?,
        );
        order.push_str(&format!("{name}\n"));
    }
    archive.add("modules/order", 0o100_644, order.as_bytes());
    Ok(archive.finish())
}

/// Paths of [`MODULES`] and their dependencies, each after what it depends on, from modules.dep(5).
fn in_order(dir: &Path) -> Result<Vec<PathBuf>> {
    let text =
        fs::read_to_string(dir.join("modules.dep")).with_context(|| format!("reading {}", dir.display()))?;
    order_of(&text, &MODULES)
}

fn order_of(modules_dep: &str, wanted: &[&str]) -> Result<Vec<PathBuf>> {
    let mut order: Vec<PathBuf> = Vec::new();
    for name in wanted {
        let line = modules_dep.lines().find_map(|line| {
            let (path, needs) = line.split_once(':')?;
            (Path::new(path).file_name()?.to_str()? == format!("{name}.ko")).then_some((path, needs))
        });
        let (path, needs) = line.ok_or_else(|| anyhow!("the kernel has no module {name}"))?;
        // Each line lists what a module needs, the deepest last.
        for module in needs.split_whitespace().rev().chain([path]) {
            if !order.iter().any(|known| known == Path::new(module)) {
                order.push(PathBuf::from(module));
            }
        }
    }
    Ok(order)
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let links = if mode & 0o040_000 != 0 { 2 } else { 1 };
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use tombolo_needs::needs;

    use super::*;

    #[test]
    fn modules_come_after_what_they_need() {
        let dep = "k/a/virtio_net.ko: k/n/net_failover.ko k/n/failover.ko k/v/virtio.ko k/v/virtio_ring.ko\n\
                   k/v/virtio_pci.ko: k/v/virtio.ko k/v/virtio_ring.ko\nk/n/failover.ko:\n";
        let order = order_of(dep, &["virtio_pci", "virtio_net"]).unwrap();
        let order: Vec<&str> = order.iter().map(|p| p.to_str().unwrap()).collect();
        let expected = [
            "k/v/virtio_ring.ko",
            "k/v/virtio.ko",
            "k/v/virtio_pci.ko",
            "k/n/failover.ko",
            "k/n/net_failover.ko",
            "k/a/virtio_net.ko",
        ];
        assert_eq!(order, expected);
        assert!(order_of(dep, &["virtio_blk"]).is_err());
    }

    #[test]
    fn an_archive_is_what_cpio_reads() {
        needs!(tombolo_needs::program("busybox", "busybox-static"));
        let mut archive = Archive::default();
        archive.add("dir", 0o040_755, &[]);
        archive.add("dir/file", 0o100_644, b"content");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let mut cpio = std::process::Command::new("busybox");
        let text = crate::exec::check_input(cpio.args(["cpio", "-t"]), &bytes, crate::exec::SHORT, None);
        assert_eq!(text.unwrap(), "dir\ndir/file\n");
    }
}
