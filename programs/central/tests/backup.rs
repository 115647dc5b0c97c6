//! The chart's backup of OVN's databases, on real servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tombolo_needs::needs;
use tombolo_testbed::eventually;

struct Servers {
    dir: TempDir,
    running: Vec<Child>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in &mut self.running {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Servers {
    fn start() -> Result<Option<Self>> {
        if !["ovsdb-server", "ovsdb-tool", "ovsdb-client"]
            .into_iter()
            .all(|name| tombolo_needs::program(name, "ovn-central"))
        {
            return Ok(None);
        }
        let mut servers =
            Self { dir: tempfile::Builder::new().prefix("backup-").tempdir()?, running: Vec::new() };
        fs::create_dir(servers.path("copies"))?;
        for (short, name, table) in
            [("nb", "OVN_Northbound", "NB_Global"), ("sb", "OVN_Southbound", "SB_Global")]
        {
            let (file, schema) = (servers.path(short), format!("/usr/share/ovn/ovn-{short}.ovsschema"));
            let row = format!(
                r#"["{name}", {{"op": "insert", "table": "{table}", "row": {{"external_ids": ["map", [["of", "{short}"]]]}}}}]"#
            );
            for args in [&["create", text(&file)?, &schema][..], &["transact", text(&file)?, &row]] {
                ensure!(Command::new("ovsdb-tool").args(args).stdout(Stdio::null()).status()?.success());
            }
            let socket = servers.path(&format!("{short}.sock"));
            let control = servers.path(&format!("{short}.ctl"));
            let args =
                [format!("--remote=punix:{}", socket.display()), format!("--unixctl={}", control.display())];
            servers.running.push(Command::new("ovsdb-server").args(args).arg(&file).spawn()?);
            eventually(&format!("a server of {name}"), Duration::from_secs(20), || {
                Ok(socket.exists().then_some(()))
            })?;
        }
        Ok(Some(servers))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the chart's script with these sockets.
    fn backup(&self, nb: &str, sb: &str) -> Result<Output> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/tombolo/files/backup.sh");
        let remote = |socket: &str| format!("unix:{}", self.path(socket).display());
        let mut command = Command::new("sh");
        command.arg(script).env("NB", remote(nb)).env("SB", remote(sb)).env("DIR", self.path("copies"));
        Ok(command.env("KEEP_DAYS", "30").env("KEEP_AT_LEAST", "2").output()?)
    }

    fn copies(&self, of: &str) -> Result<Vec<String>> {
        let entries = fs::read_dir(self.path("copies"))?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names: Vec<String> = names.collect::<Result<_>>()?;
        names.retain(|name| name.starts_with(of));
        names.sort();
        Ok(names)
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

#[test]
fn copies_are_whole_and_old_ones_go_as_long_as_enough_stay() -> Result<()> {
    let servers = needs!(Servers::start()?);
    // Three of the last year, and what an interrupted run left.
    for month in ["01", "02", "03"] {
        let old = servers.path(&format!("copies/ovnnb_db.2025{month}01T031700Z.backup"));
        fs::write(&old, "old")?;
        ensure!(Command::new("touch").args(["-d", "2025-04-01"]).arg(&old).status()?.success());
    }
    fs::write(servers.path("copies/ovnnb_db.20260101T031700Z.backup.new"), "half")?;
    let done = servers.backup("nb.sock", "sb.sock")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (nb, sb) = (servers.copies("ovnnb")?, servers.copies("ovnsb")?);
    ensure!(nb.len() == 2 && sb.len() == 1, "the newest old one stays beside the new one: {nb:?} {sb:?}");
    ensure!(nb[0].contains("20250301"), "{nb:?}");
    for (name, database, table) in
        [(&nb[1], "OVN_Northbound", "NB_Global"), (&sb[0], "OVN_Southbound", "SB_Global")]
    {
        let copy = servers.path("copies").join(name);
        let query = format!(r#"["{database}", {{"op": "select", "table": "{table}", "where": []}}]"#);
        let rows = Command::new("ovsdb-tool").args(["query", text(&copy)?, &query]).output()?;
        let of = if database == "OVN_Northbound" { r#"["of","nb"]"# } else { r#"["of","sb"]"# };
        ensure!(String::from_utf8(rows.stdout)?.contains(of), "{name}");
        use std::os::unix::fs::PermissionsExt as _;
        ensure!(fs::metadata(&copy)?.permissions().mode() & 0o077 == 0, "{name} is readable by others");
    }
    Ok(())
}

#[test]
fn a_copy_that_fails_leaves_nothing_and_removes_nothing() -> Result<()> {
    let servers = needs!(Servers::start()?);
    for number in 1..6 {
        let old = servers.path(&format!("copies/ovnsb_db.2025010{number}T031700Z.backup"));
        fs::write(&old, "old")?;
        ensure!(Command::new("touch").args(["-d", "2025-04-01"]).arg(&old).status()?.success());
    }
    // The addresses are exchanged, and a server that isn't there.
    for (nb, sb) in [("sb.sock", "nb.sock"), ("nb.sock", "nobody.sock")] {
        let failed = servers.backup(nb, sb)?;
        ensure!(!failed.status.success(), "{nb} {sb}: {}", String::from_utf8_lossy(&failed.stdout));
        ensure!(servers.copies("ovnsb")?.iter().filter(|name| name.ends_with(".backup")).count() == 5);
    }
    ensure!(
        servers.copies("ovnnb")?.iter().filter(|name| name.ends_with(".backup")).count() == 1,
        "NB was copied"
    );
    Ok(())
}
