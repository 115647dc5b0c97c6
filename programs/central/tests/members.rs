//! Members on real ovsdb-servers, with a real API server for their ConfigMap.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tombolo_needs::needs;
use tombolo_testbed::{ApiServer, eventually};

const SOON: Duration = Duration::from_secs(60);

/// Members 1 to 3 of a network of the loopback address.
struct Site {
    api: ApiServer,
    dir: TempDir,
    network: u8,
    running: Vec<Option<Child>>,
    /// More arguments of each member.
    more: Vec<&'static str>,
    /// Whether members are without root's rights to what is others', as in their pods.
    without_rights: bool,
}

impl Drop for Site {
    fn drop(&mut self) {
        (1..=3).for_each(|member| self.stop(member, "-TERM"));
    }
}

impl Site {
    fn start(network: u8) -> Result<Option<Self>> {
        let programs = ["ovn-northd", "ovn-nbctl", "ovsdb-server", "ovsdb-tool"];
        if !programs.into_iter().all(|name| tombolo_needs::program(name, "ovn-central")) {
            return Ok(None);
        }
        let Some(api) = ApiServer::start()? else { return Ok(None) };
        let dir = tempfile::Builder::new().prefix("central-").tempdir()?;
        Ok(Some(Self {
            api,
            dir,
            network,
            running: vec![None, None, None, None],
            more: Vec::new(),
            without_rights: false,
        }))
    }

    fn address(&self, member: usize) -> String {
        format!("127.0.{}.{member}", self.network)
    }

    fn path(&self, member: usize, name: &str) -> PathBuf {
        self.dir.path().join(format!("{member}/{name}"))
    }

    fn all(&self) -> String {
        (1..=3).map(|member| self.address(member)).collect::<Vec<_>>().join(",")
    }

    fn run(&mut self, member: usize) -> Result<()> {
        fs::create_dir_all(self.path(member, ""))?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path(member, "log"))?;
        let program = env!("CARGO_BIN_EXE_tombolo-central");
        let mut command = match self.without_rights {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--inh-caps=-all", "--bounding-set=-all", program]);
                command
            }
            false => Command::new(program),
        };
        let child = command
            .arg(format!("--members={}", self.all()))
            .arg(format!("--address={}", self.address(member)))
            .arg(format!("--dir={}", self.path(member, "etc").display()))
            .arg(format!("--run-dir={}", self.path(member, "run").display()))
            .arg(format!("--kubeconfig={}", self.api.kubeconfig().display()))
            .args(["--metrics-port=0", "--election-timer=1000"])
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.running[member] = Some(child);
        Ok(())
    }

    fn stop(&mut self, member: usize, signal: &str) {
        let Some(mut child) = self.running[member].take() else { return };
        // Its servers, too: kill(1) of the program alone is no crash of a host.
        if signal == "-KILL" {
            let _ = Command::new("pkill").args(["-KILL", "-P", &child.id().to_string()]).status();
        }
        let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
        let _ = child.wait();
    }

    fn log(&self, member: usize) -> String {
        fs::read_to_string(self.path(member, "log")).unwrap_or_default()
    }

    fn nbctl(&self, args: &[&str]) -> Result<String> {
        self.nbctl_by("tcp", &[], args)
    }

    /// By a method, with options for it.
    fn nbctl_by(&self, method: &str, options: &[String], args: &[&str]) -> Result<String> {
        let members: Vec<String> =
            (1..=3).map(|member| format!("{method}:{}:6641", self.address(member))).collect();
        let output = Command::new("ovn-nbctl")
            .args(["--timeout=10", &format!("--db={}", members.join(","))])
            .args(options)
            .args(args)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What a Secret has now, in files under another name; the options that name them.
    fn keys(&self, secret: &str, name: &str) -> Result<Vec<String>> {
        let dir = self.dir.path().join(name);
        fs::create_dir_all(&dir)?;
        for file in ["cacert", "cert", "key"] {
            let path = format!("go-template={{{{index .data \"{file}\" | base64decode}}}}");
            let text = self.api.kubectl(&["-n", "kube-system", "get", "secret", secret, "-o", &path])?;
            fs::write(dir.join(file), text)?;
        }
        let option = |option: &str, file: &str| format!("--{option}={}", dir.join(file).display());
        Ok(vec![option("private-key", "key"), option("certificate", "cert"), option("ca-cert", "cacert")])
    }

    fn status(&self, member: usize, database: &str) -> Result<String> {
        let (socket, name) = match database {
            "nb" => ("ovnnb_db.ctl", "OVN_Northbound"),
            _ => ("ovnsb_db.ctl", "OVN_Southbound"),
        };
        let socket = self.path(member, "run").join(socket);
        let output = Command::new("ovs-appctl")
            .arg("-t")
            .arg(socket)
            .args(["--timeout=5", "cluster/status", name])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn is_member(&self, member: usize) -> bool {
        ["nb", "sb"].iter().all(|database| {
            self.status(member, database).is_ok_and(|text| {
                text.contains("Status: cluster member") && !text.contains("Leader: unknown")
            })
        })
    }

    fn members(&self, all: &[usize]) -> Result<()> {
        eventually("members to have joined", SOON, || {
            Ok(all.iter().all(|m| self.is_member(*m)).then_some(()))
        })
        .with_context(|| format!("{}\n{}\n{}", self.log(1), self.log(2), self.log(3)))
    }

    fn cluster(&self, database: &str) -> Result<String> {
        let path = format!("jsonpath={{.data.{database}}}");
        self.api.kubectl(&["-n", "kube-system", "get", "configmap", "ovn-central", "-o", &path])
    }

    fn says(&self, member: usize, words: &str) -> Result<()> {
        eventually(words, SOON, || Ok(self.log(member).contains(words).then_some(())))
            .with_context(|| self.log(member))
    }
}

#[test]
fn a_cluster_is_founded_once_and_outlives_its_members() -> Result<()> {
    let mut site = needs!(Site::start(71)?);
    // Two of three: silence of the third may mean that it has the database.
    site.run(1)?;
    site.run(2)?;
    site.says(1, "not yet heard of: 127.0.71.3")?;
    std::thread::sleep(Duration::from_secs(5));
    ensure!(!site.path(1, "etc/ovnnb_db.db").exists() && !site.path(2, "etc/ovnnb_db.db").exists());
    site.run(3)?;
    site.members(&[1, 2, 3])?;
    let (nb, sb) = (site.cluster("nb")?, site.cluster("sb")?);
    ensure!(nb.len() == 36 && sb.len() == 36 && nb != sb, "{nb} {sb}");
    site.nbctl(&["ls-add", "kept"])?;
    eventually("a northd to follow", SOON, || Ok(site.nbctl(&["--wait=sb", "sync"]).ok()))
        .with_context(|| format!("{}\n{}\n{}", site.log(1), site.log(2), site.log(3)))?;

    // The first one's host is replaced: it is empty, and joins.
    site.stop(1, "-KILL");
    fs::remove_dir_all(site.path(1, "etc"))?;
    site.run(1)?;
    site.members(&[1])?;
    ensure!(site.nbctl(&["ls-list"])?.contains("(kept)"));
    ensure!(site.cluster("nb")? == nb && site.cluster("sb")? == sb);
    // Its former self is taken out: it would count as a member that fails.
    eventually("three members, each once", SOON, || {
        let text = site.status(2, "nb")? + &site.status(2, "sb")?;
        Ok((text.matches(" at tcp:127.0.71.").count() == 6).then_some(()))
    })
    .with_context(|| format!("{:?} {}", site.status(2, "nb"), site.log(2)))?;

    // The ConfigMap is lost: who has the database writes it down again.
    site.api.kubectl(&["-n", "kube-system", "delete", "configmap", "ovn-central"])?;
    site.stop(2, "-TERM");
    site.run(2)?;
    site.members(&[2])?;
    ensure!(site.cluster("nb")? == nb && site.cluster("sb")? == sb);

    // And where all of that comes together, the first one stays empty rather than to found a second cluster.
    site.api.kubectl(&["-n", "kube-system", "delete", "configmap", "ovn-central"])?;
    (1..=3).for_each(|member| site.stop(member, "-TERM"));
    fs::remove_dir_all(site.path(1, "etc"))?;
    fs::write(site.path(1, "log"), "")?;
    site.run(1)?;
    site.says(1, "no cluster was founded yet")?;
    std::thread::sleep(Duration::from_secs(5));
    ensure!(!site.path(1, "etc/ovnnb_db.db").exists(), "{}", site.log(1));
    site.run(2)?;
    site.run(3)?;
    site.members(&[1, 2, 3])?;
    ensure!(site.nbctl(&["ls-list"])?.contains("(kept)") && site.cluster("nb")? == nb);
    Ok(())
}

#[test]
fn a_file_is_put_aside_or_left_and_never_lost() -> Result<()> {
    let mut site = needs!(Site::start(72)?);
    // A backup in the second one's place: it founds, with what is in it.
    let file = site.path(2, "etc/ovnnb_db.db");
    fs::create_dir_all(site.path(2, "etc"))?;
    let schema = "/usr/share/ovn/ovn-nb.ovsschema";
    let row = r#"["OVN_Northbound", {"op": "insert", "table": "Logical_Switch", "row": {"name": "backup"}}]"#;
    for args in [
        &["create", &file.display().to_string(), schema][..],
        &["transact", &file.display().to_string(), row],
    ] {
        let output = Command::new("ovsdb-tool").args(args).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    (1..=3).try_for_each(|member| site.run(member))?;
    site.members(&[1, 2, 3])?;
    ensure!(site.nbctl(&["ls-list"])?.contains("(backup)"));
    let archived = |member: usize| -> Result<Vec<String>> {
        let names = fs::read_dir(site.path(member, "etc"))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        Ok(names.into_iter().filter(|name| name.starts_with("ovnnb_db.db.archived-")).collect())
    };
    ensure!(archived(2)?.len() == 1, "the backup stays: {:?}", archived(2)?);

    // A file that breaks is put aside, since the cluster has all of it.
    site.stop(3, "-TERM");
    fs::write(site.path(3, "etc/ovnnb_db.db"), "no database")?;
    site.run(3)?;
    site.members(&[3])?;
    let archived = fs::read_dir(site.path(3, "etc"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains("ovnnb_db.db.archived-"));
    ensure!(fs::read_to_string(archived.context("it is put aside")?)? == "no database");

    // One of another cluster stays, and the member says why it doesn't start.
    site.stop(3, "-TERM");
    let (file, other) = (site.path(3, "etc/ovnnb_db.db"), site.path(3, "other.db"));
    let raft = format!("tcp:{}:6643", site.address(3));
    let args = ["create-cluster", &other.display().to_string(), schema, &raft].map(str::to_owned);
    ensure!(Command::new("ovsdb-tool").args(args).status()?.success());
    fs::copy(&other, &file)?;
    site.run(3)?;
    site.says(3, "which one is right only you can know")?;
    ensure!(fs::read(&file)? == fs::read(&other)?, "the file was changed");
    if site.status(3, "nb").is_ok() {
        bail!("a server runs on it");
    }
    site.members(&[1, 2])
}

#[test]
fn over_tls_certificates_are_made_and_replaced_while_all_run() -> Result<()> {
    let mut site = needs!(Site::start(73)?);
    site.more = vec!["--ssl=true", "--tls-overlap=15"];
    (1..=3).try_for_each(|member| site.run(member))?;
    site.members(&[1, 2, 3])?;
    ensure!(site.status(1, "nb")?.contains("Address: ssl:127.0.73.1:6643"), "{}", site.status(1, "nb")?);
    let old = site.keys("ovn-client-neutron", "old")?;
    site.nbctl_by("ssl", &old, &["ls-add", "kept"])?;
    eventually("a northd to follow", SOON, || Ok(site.nbctl_by("ssl", &old, &["--wait=sb", "sync"]).ok()))?;
    // Nobody without a certificate of the authority's.
    ensure!(site.nbctl(&["ls-list"]).is_err(), "tcp is served");
    let mut stranger = old.clone();
    stranger[..2].clone_from_slice(&own_certificate(site.dir.path())?);
    ensure!(site.nbctl_by("ssl", &stranger, &["ls-list"]).is_err(), "a stranger is served");

    let runs =
        |site: &Site| (1..=3).map(|m| site.log(m).matches("bound database runs").count()).sum::<usize>();
    let before = runs(&site);
    let kubectl = |site: &Site, words: &[&str]| site.api.kubectl(&[&["-n", "kube-system"], words].concat());
    kubectl(&site, &["annotate", "secret", "ovn-ca", "tombolo.io/rotate=now"])?;
    eventually("both authorities' certificates", SOON, || {
        let keys = site.keys("ovn-client-neutron", "both")?;
        ensure!(site.nbctl_by("ssl", &keys, &["ls-list"])?.contains("(kept)"));
        Ok((authorities(&site, "both")? == 2).then_some(()))
    })?;
    let both = site.keys("ovn-client-neutron", "both")?;
    // The overlap is over when certificates are looked at next: here at a restart, else within the hour.
    std::thread::sleep(Duration::from_secs(16));
    site.stop(1, "-TERM");
    site.run(1)?;
    let read = |name: &str| fs::read_to_string(site.dir.path().join(name));
    eventually("the new authority's certificates", SOON, || {
        let keys = site.keys("ovn-client-neutron", "new")?;
        ensure!(site.nbctl_by("ssl", &keys, &["ls-list"])?.contains("(kept)"));
        Ok((read("new/cert")? != read("both/cert")?).then_some(()))
    })
    .with_context(|| format!("{}\n{}\n{}", site.log(1), site.log(2), site.log(3)))?;
    // Who copied the Secret within the overlap is served by all, as those with what is new are.
    for (member, keys) in [(2, &both), (3, &both), (2, &site.keys("ovn-client-chassis", "chassis")?)] {
        let server = format!("--db=ssl:{}:6641", site.address(member));
        let args = ["--no-leader-only", "ls-list"];
        ensure!(site.nbctl_by("ssl", &[keys.clone(), vec![server]].concat(), &args)?.contains("(kept)"));
    }
    site.members(&[1, 2, 3])?;
    ensure!(runs(&site) == before + 2, "servers of the members 2 and 3 were started again");

    // A user's own Secret is used for all; one that is of no use changes nothing.
    let user = |cacert: &str| -> Result<()> {
        let patch = serde_json::json!({
            "metadata": { "annotations": { "tombolo.io/issued-by": null } },
            "stringData": { "cacert": cacert, "cert": read("both/cert")?, "key": read("both/key")? },
        });
        kubectl(&site, &["patch", "secret", "kube-ovn-tls", "--type=merge", "-p", &patch.to_string()])
            .map(drop)
    };
    user(&read("stranger/cert")?)?;
    site.says(2, "was issued by no authority of cacert")?;
    ensure!(site.nbctl_by("ssl", &both, &["ls-list"])?.contains("(kept)"));
    user(&read("both/cacert")?)?;
    eventually("the user's certificate in use", SOON, || {
        let used = fs::read_to_string(site.path(2, "etc/tls/current/cert"))?;
        Ok((used == read("both/cert")?).then_some(()))
    })?;
    ensure!(site.nbctl_by("ssl", &both, &["ls-list"])?.contains("(kept)"));
    Ok(())
}

/// How many authorities' certificates are in a copy of a Secret.
fn authorities(site: &Site, name: &str) -> Result<usize> {
    let text = fs::read_to_string(site.dir.path().join(name).join("cacert"))?;
    Ok(text.matches("BEGIN CERTIFICATE").count())
}

/// Key and certificate that no authority has issued; the options that name them.
fn own_certificate(dir: &std::path::Path) -> Result<[String; 2]> {
    let dir = dir.join("stranger");
    fs::create_dir_all(&dir)?;
    let (key, cert) = (dir.join("key").display().to_string(), dir.join("cert").display().to_string());
    let args = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=x",
    ];
    let output = Command::new("openssl").args(args).args(["-keyout", &key, "-out", &cert]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok([format!("--private-key={key}"), format!("--certificate={cert}")])
}

#[test]
fn wrong_members_are_refused_with_a_sentence() -> Result<()> {
    for (members, address, words) in [
        ("10.0.0.1,10.0.0.2", "10.0.0.1", "have 1, 3 or 5"),
        ("10.0.0.1,10.0.0.2,10.0.0.3", "10.0.0.4", "isn't among the members"),
        ("10.0.0.1,host2,10.0.0.3", "10.0.0.1", "\"host2\" is no address"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tombolo-central"))
            .args([format!("--members={members}"), format!("--address={address}")])
            .output()?;
        let text = String::from_utf8([output.stdout, output.stderr].concat())?;
        ensure!(!output.status.success() && text.contains(words), "{text}");
    }
    Ok(())
}

/// Members of a cluster that another installation has made, as Kube-OVN's scripts do it: addresses in brackets. Ends when dropped.
struct Others(Vec<Child>);

impl Drop for Others {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }
}

/// A schema as it was in an older release: another version, and without a column.
fn another_schema(site: &Site, short: &str, version: &str, lacks: (&str, &str)) -> Result<PathBuf> {
    let text = fs::read_to_string(format!("/usr/share/ovn/ovn-{short}.ovsschema"))?;
    let mut schema: serde_json::Value = serde_json::from_str(&text)?;
    schema["version"] = version.into();
    let columns = schema["tables"][lacks.0]["columns"].as_object_mut().context("a table")?;
    columns.remove(lacks.1).with_context(|| format!("no column {}", lacks.1))?;
    schema.as_object_mut().context("an object")?.remove("cksum");
    let path = site.dir.path().join(format!("{short}.ovsschema"));
    fs::write(&path, schema.to_string())?;
    Ok(path)
}

/// Founds both clusters and lets all members join; then they end, and their files stay. The northbound one's id.
fn others_cluster(site: &Site) -> Result<String> {
    let run = |program: &str, args: &[&str]| -> Result<String> {
        let output = Command::new(program).args(args).output()?;
        ensure!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let schemas = [
        ("nb", "OVN_Northbound", 6643, another_schema(site, "nb", "5.0.0", ("Logical_Switch", "copp"))?),
        ("sb", "OVN_Southbound", 6644, another_schema(site, "sb", "999.0.0", ("Chassis", "other_config"))?),
    ];
    let mut servers = Others(Vec::new());
    let mut cluster = String::new();
    for (short, name, port, schema) in &schemas {
        let at = |member: usize| format!("tcp:[{}]:{port}", site.address(member));
        for member in 1..=3 {
            let (etc, run_dir) = (site.path(member, "etc"), site.path(member, "theirs"));
            fs::create_dir_all(&etc)?;
            fs::create_dir_all(&run_dir)?;
            let file = etc.join(format!("ovn{short}_db.db")).display().to_string();
            match member {
                1 => {
                    run("ovsdb-tool", &["create-cluster", &file, &schema.display().to_string(), &at(member)])?
                }
                _ => run("ovsdb-tool", &["join-cluster", &file, name, &at(member), &at(1)])?,
            };
            let socket = |kind: &str| run_dir.join(format!("{short}.{kind}")).display().to_string();
            let server = Command::new("ovsdb-server")
                .args([
                    format!("--unixctl={}", socket("ctl")),
                    format!("--remote=punix:{}", socket("sock")),
                    file,
                ])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            servers.0.push(server);
            let unix = format!("unix:{}", socket("sock"));
            eventually("a member of theirs", SOON, || {
                Ok(run("ovsdb-client", &["--timeout=10", "wait", &unix, name, "connected"]).ok())
            })?;
            if (member, *short) == (1, "nb") {
                run("ovn-nbctl", &["--timeout=10", &format!("--db={unix}"), "ls-add", "kept"])?;
                cluster = run("ovs-appctl", &["-t", &socket("ctl"), "cluster/cid", name])?;
            }
        }
    }
    Ok(cluster)
}

#[test]
fn a_cluster_that_another_installation_has_made_goes_on_in_its_place() -> Result<()> {
    let mut site = needs!(Site::start(74)?);
    let theirs = others_cluster(&site)?;
    (1..=3).try_for_each(|member| site.run(member))?;
    site.members(&[1, 2, 3])?;
    ensure!(site.cluster("nb")? == theirs, "{} in place of {theirs}", site.cluster("nb")?);
    ensure!(site.nbctl(&["ls-list"])?.contains("(kept)"));

    // The image's schema comes into it; a newer one than that stays.
    let schema = |port: u16, name: &str| -> Result<serde_json::Value> {
        let server = format!("tcp:{}:{port}", site.address(2));
        let args = ["--timeout=10", "--no-leader-only", "get-schema", &server, name];
        let output = Command::new("ovsdb-client").args(args).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let file: serde_json::Value =
        serde_json::from_str(&fs::read_to_string("/usr/share/ovn/ovn-nb.ovsschema")?)?;
    let now = eventually("the image's schema", SOON, || {
        let now = schema(6641, "OVN_Northbound")?;
        Ok((now["version"] == file["version"]).then_some(now))
    })
    .with_context(|| format!("{}\n{}\n{}", site.log(1), site.log(2), site.log(3)))?;
    ensure!(now["tables"]["Logical_Switch"]["columns"]["copp"].is_object(), "the column isn't there");
    ensure!(site.nbctl(&["ls-list"])?.contains("(kept)"));
    ensure!(schema(6642, "OVN_Southbound")?["version"] == "999.0.0");

    // One whose disk is replaced takes the place of the member in brackets.
    site.stop(3, "-KILL");
    fs::remove_dir_all(site.path(3, "etc"))?;
    site.run(3)?;
    site.members(&[3])?;
    eventually("three members, each once", SOON, || {
        let text = site.status(1, "nb")? + &site.status(1, "sb")?;
        let at = |form: &str| text.matches(&format!(" at {form}")).count();
        Ok((at("tcp:[127.0.74.") == 4 && at("tcp:127.0.74.3") == 2).then_some(()))
    })
    .with_context(|| format!("{:?} {}", site.status(1, "nb"), site.log(1)))
}

#[test]
fn a_file_that_may_not_be_opened_is_left_and_the_reason_is_said() -> Result<()> {
    let mut site = needs!(Site::start(75)?);
    // Kube-OVN's pods run as nobody, and root has no rights beyond its own in ours.
    site.without_rights = true;
    let file = site.path(1, "etc/ovnnb_db.db");
    fs::create_dir_all(site.path(1, "etc"))?;
    fs::write(&file, "another's")?;
    std::os::unix::fs::chown(&file, Some(65534), Some(65534))?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    (1..=3).try_for_each(|member| site.run(member))?;
    site.says(1, "the file must be root's, and readable")?;
    // The others wait for its word, and found no cluster without it.
    site.says(2, "not yet heard of: 127.0.75.1")?;
    ensure!(fs::read_to_string(&file)? == "another's" && !site.path(2, "etc/ovnnb_db.db").exists());
    // As the sentence says.
    std::os::unix::fs::chown(&file, Some(0), Some(0))?;
    fs::remove_file(&file)?;
    site.members(&[1, 2, 3])
}
