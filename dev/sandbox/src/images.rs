//! Container images made here, without a registry or a container engine.
//!
//! An image is a directory packed into one deterministic layer and written as a docker-archive
//! (`manifest.json`, a config, a layer), which `ctr images import` takes. Same content, same digest:
//! what did not change is neither packed nor imported again. Files come from the machine's own Debian
//! packages together with the shared libraries that `ldd` names, so the images fit this machine's
//! architecture and nothing is downloaded but, where it is missing, Debian's `inetutils-ping`.
//!
//! It decides what is in the images; who imports and runs them is decided elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use crate::kubernetes::util::{sha256_file, sha256_hex, symlink, which, write_if_changed};
use crate::progress::Phase;
use crate::{debian, exec, go};

/// The tag of the scenario's pod image. What is built here under that name is a stand-in: Debian's
/// bash, ping and a few tools, not Kube-OVN's release.
pub const STAND_IN: &str = "docker.io/kubeovn/kube-ovn:v1.8.4";
/// The repository of the image that holds this project's programs; its tag is the content's digest.
pub const OURS: &str = "docker.io/kubeovn/tombolo";
/// The repository of the image of OVN.
pub const OVN: &str = "docker.io/kubeovn/tombolo-ovn";
/// The sandbox image that containerd is configured with.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10";

const PAUSE_C: &str = include_str!("../files/images/pause.c");

/// One image as a docker-archive on the disk.
#[derive(Clone, Debug)]
pub struct Image {
    /// Short name, also of the archive: `pause`, `stand-in`, `tombolo`.
    pub name: String,
    /// Full references, the first being the one to use in manifests.
    pub tags: Vec<String>,
    /// The archive, for `ctr --namespace k8s.io images import`.
    pub archive: PathBuf,
    /// SHA-256 of the image's config: equal digests are equal images.
    pub digest: String,
}

/// This project's programs as files to be packed.
#[derive(Clone, Debug)]
pub struct OurPrograms {
    /// `tombolo-controller`
    pub controller: PathBuf,
    /// `tombolo-agent`
    pub agent: PathBuf,
    /// `tombolo-cni`, statically linked, since it runs in the mount namespace of any host.
    pub plugin: PathBuf,
    /// `kubectl-ko`
    pub kubectl_ko: PathBuf,
    /// `tombolo-central`
    pub central: PathBuf,
    /// `tombolo-hypervisor`
    pub hypervisor: PathBuf,
    /// `tombolo-monitor`
    pub monitor: PathBuf,
    /// `tombolo-pinger`
    pub pinger: PathBuf,
}

/// The pause image, the scenario's stand-in and CoreDNS, in `dir` (made if missing).
pub fn base(dir: &Path, phase: &Phase) -> Result<Vec<Image>> {
    Ok(vec![pause(dir, phase)?, stand_in(dir, phase)?, coredns(dir, phase)?])
}

/// The image of CoreDNS.
pub const COREDNS: &str = "registry.k8s.io/coredns/coredns:dev";

fn coredns(dir: &Path, phase: &Phase) -> Result<Image> {
    let program = go::coredns(phase)?;
    let mut root = Root::new(dir, "coredns")?;
    root.program(&program, "coredns")?;
    root.finish(json!({"Entrypoint": ["/coredns"]}), &[COREDNS], phase, |_| Ok(()))
}

fn pause(dir: &Path, phase: &Phase) -> Result<Image> {
    let mut root = Root::new(dir, "pause")?;
    root.note(PAUSE_C);
    root.finish(json!({"Entrypoint": ["/pause"]}), &[PAUSE, "registry.k8s.io/pause:3.9"], phase, |root| {
        let source = dir.join("pause.c");
        fs::write(&source, PAUSE_C).context("writing pause.c")?;
        let mut gcc = Command::new("gcc");
        run(gcc.args(["-Os", "-static", "-s", "-o"]).arg(root.join("pause")).arg(&source))
            .context("compiling the pause program (package gcc)")?;
        Ok(())
    })
}

fn stand_in(dir: &Path, phase: &Phase) -> Result<Image> {
    let ping = inetutils_ping(dir, phase)?;
    let mut root = Root::new(dir, "stand-in")?;
    for (program, to) in [
        ("bash", "bin/bash"),
        ("dash", "bin/sh"),
        ("cat", "bin/cat"),
        ("ls", "bin/ls"),
        ("sleep", "bin/sleep"),
        ("hostname", "bin/hostname"),
        ("ip", "sbin/ip"),
    ] {
        root.program(&which(program).ok_or_else(|| anyhow!("{program} is not on PATH"))?, to)?;
    }
    root.program(&ping, "bin/ping")?;
    root.busybox()?;
    // Debian's ping looks the protocol up.
    root.text("etc/protocols", "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\n");
    root.text("root/.bashrc", "PS1='\\u@\\h:\\w\\$ '\n");
    let config = json!({"Cmd": ["bash"], "WorkingDir": "/kube-ovn"});
    root.directory("kube-ovn");
    root.finish(config, &[STAND_IN], phase, |_| Ok(()))
}

/// The image of this project's programs, under Kube-OVN's paths (`/kube-ovn/kube-ovn-controller` and
/// so on). The first tag carries the content's digest: another content is another image name, which
/// is what makes a Deployment roll; `dev` is the second.
pub fn ours(dir: &Path, programs: &OurPrograms, phase: &Phase) -> Result<Image> {
    let mut root = Root::new(dir, "tombolo")?;
    root.stripped(&programs.controller, "kube-ovn/kube-ovn-controller")?;
    root.stripped(&programs.agent, "kube-ovn/kube-ovn-daemon")?;
    root.stripped(&programs.kubectl_ko, "kube-ovn/kubectl-ko")?;
    root.stripped(&programs.monitor, "kube-ovn/kube-ovn-monitor")?;
    root.stripped(&programs.pinger, "kube-ovn/kube-ovn-pinger")?;
    root.program(&programs.plugin, "kube-ovn/kube-ovn")?;
    // The agent masquerades for Subnets with natOutgoing.
    root.program(&which("nft").ok_or_else(|| anyhow!("nft is missing (package nftables)"))?, "usr/sbin/nft")?;
    // The init container copies the plugin; a shell in the pod helps with debugging.
    root.busybox()?;
    let config = json!({"WorkingDir": "/kube-ovn"});
    root.finish(config, &[&format!("{OURS}:dev")], phase, |_| Ok(()))
}

/// OVN's and Open vSwitch's programs that the image of OVN has.
const OVN_PROGRAMS: [&str; 14] = [
    "usr/sbin/ovsdb-server",
    "usr/bin/ovsdb-tool",
    "usr/bin/ovsdb-client",
    "usr/bin/ovs-appctl",
    "usr/bin/ovs-vsctl",
    "usr/bin/ovs-ofctl",
    "usr/bin/ovs-dpctl",
    "usr/bin/ovn-northd",
    "usr/bin/ovn-nbctl",
    "usr/bin/ovn-sbctl",
    "usr/bin/ovn-appctl",
    "usr/bin/ovn-trace",
    "usr/bin/ovn-controller",
    "usr/sbin/ovs-vswitchd",
];
/// The schemas of its databases.
const OVN_SCHEMAS: [&str; 4] = [
    "usr/share/ovn/ovn-nb.ovsschema",
    "usr/share/ovn/ovn-sb.ovsschema",
    "usr/share/openvswitch/local-config.ovsschema",
    "usr/share/openvswitch/vswitch.ovsschema",
];

/// Which OVN an image of OVN has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OvnRelease {
    /// Debian 13's OVN 25.03 with Open vSwitch 3.5: what is released.
    Debian13,
    /// The machine's own, as the sandbox's hosts have it: northd may not be newer than their ovn-controllers, which skip flows
    /// that they can't read.
    Machine,
}

/// The image of OVN, with the programs `ovn-central` and `ovs-ovn`.
pub fn ovn(dir: &Path, programs: &OurPrograms, release: OvnRelease, phase: &Phase) -> Result<Image> {
    let (name, repository) = match release {
        OvnRelease::Debian13 => ("tombolo-ovn", OVN.to_owned()),
        OvnRelease::Machine => ("tombolo-ovn-machine", format!("{OVN}-machine")),
    };
    let mut root = Root::new(dir, name)?;
    let ours = [(&programs.central, "kube-ovn/ovn-central"), (&programs.hypervisor, "kube-ovn/ovs-ovn")];
    for (program, to) in ours {
        root.stripped(program, to)?;
    }
    match release {
        OvnRelease::Debian13 => debian_13(&mut root, &ours.map(|(program, _)| program.as_path()), phase)?,
        OvnRelease::Machine => {
            for program in OVN_PROGRAMS {
                root.program(&Path::new("/").join(program), program)?;
            }
            for schema in OVN_SCHEMAS {
                root.file(&Path::new("/").join(schema), schema, false)?;
            }
        }
    }
    root.busybox()?;
    let config = json!({"WorkingDir": "/kube-ovn"});
    root.finish(config, &[&format!("{repository}:dev")], phase, |_| Ok(()))
}

fn debian_13(root: &mut Root, ours: &[&Path], phase: &Phase) -> Result<()> {
    let debian = debian::unpacked("trixie", &["ovn-central", "ovn-host", "openvswitch-switch"], phase)?;
    // Ours are linked to the machine's, older libraries, which Debian 13's stand in for.
    root.libraries.clear();
    let mut libraries: BTreeSet<PathBuf> = BTreeSet::new();
    for program in ours {
        libraries.extend(debian::libraries(&debian, program)?);
    }
    for program in OVN_PROGRAMS {
        // Debian has several builds of it, to one of which a link leads once the package is installed.
        let from = program.replace("usr/sbin/ovs-vswitchd", "usr/lib/openvswitch-switch/ovs-vswitchd");
        let path = fs::canonicalize(debian.join(from)).with_context(|| format!("looking for {program}"))?;
        root.file(&path, program, false)?;
        libraries.extend(debian::libraries(&debian, &path)?);
    }
    for library in libraries {
        let to =
            library.strip_prefix(&debian).context("invariant: the libraries are in the unpacked root")?;
        root.file(&library, &to.display().to_string(), false)?;
    }
    for schema in OVN_SCHEMAS {
        root.file(&debian.join(schema), schema, false)?;
    }
    for (link, target) in [("lib", "usr/lib"), ("lib64", "usr/lib64")] {
        root.link(link, target);
    }
    let machine = format!("{}-linux-gnu", std::env::consts::ARCH);
    root.link("usr/lib64/ld-linux-x86-64.so.2", &format!("../lib/{machine}/ld-linux-x86-64.so.2"));
    Ok(())
}

/// GNU inetutils' ping, whose output is the document's: the machine's own, or unpacked (not
/// installed, it would replace the machine's iputils-ping) from Debian's package.
fn inetutils_ping(dir: &Path, phase: &Phase) -> Result<PathBuf> {
    let fits = |path: &PathBuf| {
        Command::new(path)
            .arg("--version")
            .output()
            .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("GNU inetutils"))
    };
    let unpacked = dir.join("inetutils-ping");
    let candidates = [which("ping"), Some(unpacked.join("usr/bin/ping")), Some(unpacked.join("bin/ping"))];
    if let Some(found) = candidates.iter().flatten().find(|p| fits(p)) {
        return Ok(found.clone());
    }
    phase.doing("unpacking Debian's inetutils-ping");
    fs::create_dir_all(&unpacked).with_context(|| format!("creating {}", unpacked.display()))?;
    run(Command::new("apt-get").args(["download", "--quiet", "inetutils-ping"]).current_dir(&unpacked))
        .context("downloading the package inetutils-ping (apt-get update may be needed)")?;
    let package = fs::read_dir(&unpacked)?
        .filter_map(Result::ok)
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "deb"))
        .ok_or_else(|| anyhow!("apt-get download left no package in {}", unpacked.display()))?;
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
    candidates
        .into_iter()
        .flatten()
        .find(|p| fits(p))
        .ok_or_else(|| anyhow!("the package inetutils-ping holds no usable ping"))
}

/// What is copied into an image.
enum Entry {
    /// A file, with its mode.
    File {
        from: PathBuf,
        mode: u32,
    },
    /// A program without its debugging information.
    Stripped(PathBuf),
    Text(String),
    Link(String),
    Directory,
}

/// The root directory of an image to be: entries are collected first, so that unchanged inputs are
/// known without copying anything.
struct Root {
    dir: PathBuf,
    name: String,
    entries: Vec<(String, Entry)>,
    libraries: BTreeSet<PathBuf>,
    /// What the image is made of: paths, sizes, times, texts.
    inputs: String,
}

impl Root {
    fn new(dir: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let mut root = Self {
            dir: dir.into(),
            name: name.into(),
            entries: Vec::new(),
            libraries: BTreeSet::new(),
            inputs: String::new(),
        };
        root.text(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        );
        root.text("etc/group", "root:x:0:\nnogroup:x:65534:\n");
        for directory in ["root", "tmp", "proc", "sys", "dev", "run"] {
            root.directory(directory);
        }
        // Runtimes name network namespaces by /var/run.
        root.link("var/run", "../run");
        Ok(root)
    }

    fn note(&mut self, text: &str) {
        self.inputs.push_str(text);
        self.inputs.push('\n');
    }

    fn text(&mut self, to: &str, text: &str) {
        self.note(&format!("{to}: {text}"));
        self.entries.push((to.into(), Entry::Text(text.into())));
    }

    fn directory(&mut self, to: &str) {
        self.note(&format!("{to}/"));
        self.entries.push((to.into(), Entry::Directory));
    }

    fn link(&mut self, to: &str, target: &str) {
        self.note(&format!("{to} -> {target}"));
        self.entries.push((to.into(), Entry::Link(target.into())));
    }

    fn file(&mut self, from: &Path, to: &str, stripped: bool) -> Result<()> {
        let from = fs::canonicalize(from).with_context(|| format!("looking for {}", from.display()))?;
        let meta = fs::metadata(&from).with_context(|| format!("looking for {}", from.display()))?;
        let (size, seconds, nanos) = (meta.len(), meta.mtime(), meta.mtime_nsec());
        self.note(&format!("{to}: {} {size} {seconds}.{nanos} {stripped}", from.display()));
        let entry = if stripped {
            Entry::Stripped(from)
        } else {
            // No set-user-id in images: the runtime grants what a container may do.
            Entry::File { mode: meta.permissions().mode() & 0o755, from }
        };
        self.entries.push((to.into(), entry));
        Ok(())
    }

    /// A program with the shared libraries it is linked to.
    fn program(&mut self, from: &Path, to: &str) -> Result<()> {
        self.file(from, to, false)?;
        self.libraries_of(from)
    }

    fn stripped(&mut self, from: &Path, to: &str) -> Result<()> {
        self.file(from, to, true)?;
        self.libraries_of(from)
    }

    /// busybox under each of its names that nothing else has taken yet.
    fn busybox(&mut self) -> Result<()> {
        let busybox =
            which("busybox").ok_or_else(|| anyhow!("busybox is missing (package busybox-static)"))?;
        self.program(&busybox, "bin/busybox")?;
        for applet in run(Command::new(&busybox).arg("--list"))?.lines() {
            let taken = |dir: &str| self.entries.iter().any(|(to, _)| to.strip_prefix(dir) == Some(applet));
            if !taken("bin/") && !taken("sbin/") {
                self.link(&format!("bin/{applet}"), "busybox");
            }
        }
        Ok(())
    }

    fn libraries_of(&mut self, program: &Path) -> Result<()> {
        let out = Command::new("ldd").arg(program).output().context("starting ldd")?;
        let text = String::from_utf8_lossy(&out.stdout);
        if !out.status.success() {
            let why = format!("{text}{}", String::from_utf8_lossy(&out.stderr));
            // Static programs are what ldd calls "not a dynamic executable".
            ensure!(why.contains("not a dynamic"), "ldd {} failed: {why}", program.display());
            return Ok(());
        }
        for line in text.lines() {
            ensure!(!line.contains("not found"), "{} lacks a library: {}", program.display(), line.trim());
            if let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) {
                self.libraries.insert(path.into());
            }
        }
        Ok(())
    }

    /// Packs the image unless the archive on the disk is of the same inputs. `extra` may add files
    /// that it makes itself (say what they are made of by [`Root::note`]).
    fn finish(
        mut self,
        config: Value,
        tags: &[&str],
        phase: &Phase,
        extra: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Image> {
        for library in std::mem::take(&mut self.libraries) {
            let to = library.display().to_string();
            self.file(&library, to.trim_start_matches('/'), false)?;
        }
        self.note(&format!("{config} {tags:?} layout 1"));
        let stamp = sha256_hex(self.inputs.as_bytes())?;
        let archive = self.dir.join(format!("{}.tar", self.name));
        let stamp_path = self.dir.join(format!("{}.json", self.name));
        if let Some(image) = read_stamp(&self.name, &archive, &stamp_path, &stamp) {
            return Ok(image);
        }
        phase.doing(format_args!("packing the image {}", self.name));
        let work = self.dir.join(format!("{}.work", self.name));
        let _ = fs::remove_dir_all(&work);
        let root = work.join("root");
        self.fill(&root)?;
        extra(&root)?;
        let image = pack(&self.name, &work, &archive, config, tags)?;
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
        let record = json!({"inputs": stamp, "digest": image.digest, "tags": image.tags});
        write_if_changed(&stamp_path, record.to_string().as_bytes())?;
        Ok(image)
    }

    fn fill(&self, root: &Path) -> Result<()> {
        for (to, entry) in &self.entries {
            let to = root.join(to);
            let parent = to.parent().unwrap_or(root);
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
            let what = || format!("adding {} to the image {}", to.display(), self.name);
            match entry {
                Entry::Directory => fs::create_dir_all(&to).with_context(what)?,
                Entry::Text(text) => fs::write(&to, text).with_context(what)?,
                Entry::Link(target) => symlink(target, &to).with_context(what)?,
                Entry::File { from, mode } => {
                    fs::copy(from, &to).with_context(what)?;
                    fs::set_permissions(&to, fs::Permissions::from_mode(*mode)).with_context(what)?;
                }
                Entry::Stripped(from) => {
                    run(Command::new("strip").arg("--strip-debug").arg("-o").arg(&to).arg(from))
                        .with_context(what)?;
                    fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).with_context(what)?;
                }
            }
        }
        let tmp = root.join("tmp");
        fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).context("opening the image's /tmp")
    }
}

fn read_stamp(name: &str, archive: &Path, stamp_path: &Path, stamp: &str) -> Option<Image> {
    let record: Value = serde_json::from_slice(&fs::read(stamp_path).ok()?).ok()?;
    (archive.exists() && record["inputs"].as_str() == Some(stamp)).then_some(())?;
    let tags = record["tags"].as_array()?.iter().filter_map(|t| t.as_str().map(String::from)).collect();
    Some(Image {
        name: name.into(),
        tags,
        archive: archive.into(),
        digest: record["digest"].as_str()?.into(),
    })
}

fn run(command: &mut Command) -> Result<String> {
    exec::check(command, Duration::from_secs(300), None)
}

/// A tar whose bytes depend on the files alone.
fn tar(dir: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.args([
        "--format=gnu",
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "-C",
    ]);
    run(command.arg(dir).arg("-cf").arg(to).arg(".")).map(drop)
}

fn pack(name: &str, work: &Path, archive: &Path, config: Value, tags: &[&str]) -> Result<Image> {
    let out = work.join("archive");
    fs::create_dir_all(&out).with_context(|| format!("creating {}", out.display()))?;
    let layer = work.join("layer.tar");
    tar(&work.join("root"), &layer)?;
    let layer_digest = sha256_file(&layer)?;
    fs::create_dir_all(out.join(&layer_digest)).context("creating the layer's directory")?;
    fs::rename(&layer, out.join(&layer_digest).join("layer.tar")).context("moving the layer")?;

    let mut config = config;
    config["Env"] = json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    let document = json!({
        "architecture": architecture()?,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    })
    .to_string();
    let digest = sha256_hex(document.as_bytes())?;
    let mut all: Vec<String> = tags.iter().map(|t| (*t).to_string()).collect();
    if let Some(repository) = all.first().and_then(|t| t.strip_suffix(":dev")) {
        all.insert(0, format!("{repository}:{}", &digest[..12]));
    }
    fs::write(out.join(format!("{digest}.json")), &document).context("writing the image's config")?;
    let manifest = json!([{
        "Config": format!("{digest}.json"),
        "RepoTags": all,
        "Layers": [format!("{layer_digest}/layer.tar")],
    }]);
    fs::write(out.join("manifest.json"), manifest.to_string()).context("writing the image's manifest")?;
    let staged = archive.with_extension("tar.new");
    tar(&out, &staged)?;
    fs::rename(&staged, archive).with_context(|| format!("replacing {}", archive.display()))?;
    Ok(Image { name: name.into(), tags: all, archive: archive.into(), digest })
}

fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no images are made for the architecture {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tombolo-images-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        dir
    }

    fn small(dir: &Path, text: &str) -> Image {
        let mut root = Root::new(dir, "small").unwrap();
        root.text("hello", text);
        root.program(&which("sleep").unwrap(), "bin/sleep").unwrap();
        Phase::run("test", dir.join("log"), |phase| {
            root.finish(json!({}), &["example.test/small:dev"], phase, |_| Ok(()))
        })
        .unwrap()
    }

    #[test]
    fn same_content_is_the_same_image_and_other_content_another() {
        let (one, two) = (scratch("one"), scratch("two"));
        let first = small(&one, "a");
        let second = small(&two, "a");
        assert_eq!(first.digest, second.digest);
        assert_eq!(fs::read(&first.archive).unwrap(), fs::read(&second.archive).unwrap());
        let before = fs::metadata(&first.archive).unwrap().modified().unwrap();
        assert_eq!(small(&one, "a").digest, first.digest);
        assert_eq!(fs::metadata(&first.archive).unwrap().modified().unwrap(), before, "packed again");
        let changed = small(&one, "b");
        assert_ne!(changed.digest, first.digest);
        assert_eq!(changed.tags[0], format!("example.test/small:{}", &changed.digest[..12]));
        assert_eq!(changed.tags[1], "example.test/small:dev");
        fs::remove_dir_all(one).unwrap();
        fs::remove_dir_all(two).unwrap();
    }

    #[test]
    fn libraries_come_along() {
        let dir = scratch("libs");
        let image = small(&dir, "a");
        let listing =
            run(Command::new("tar").arg("-xOf").arg(&image.archive).arg("./manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&listing).unwrap();
        let layer = manifest[0]["Layers"][0].as_str().unwrap();
        let shell = format!("tar -xOf {} ./{layer} | tar -t", image.archive.display());
        let files = run(Command::new("sh").arg("-c").arg(shell)).unwrap();
        assert!(files.lines().any(|l| l.ends_with("/libc.so.6")), "{files}");
        assert!(files.lines().any(|l| l == "./bin/sleep"), "{files}");
        fs::remove_dir_all(dir).unwrap();
    }
}
