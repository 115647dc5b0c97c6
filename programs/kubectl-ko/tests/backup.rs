//! Backups, and the way back, with real databases.

mod bed;

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};
use bed::{Bed, over_tls, run, secret, text};
use tombolo_needs::needs;

/// Rows of one switch, as the database has them.
fn uuid(bed: &Bed, name: &str) -> Result<String> {
    bed.nb.ctl(&["--bare", "--columns=_uuid", "find", "Logical_Switch", &format!("name={name}")])
}

#[test]
fn a_backup_brings_back_what_others_deleted_with_the_same_uuids() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let dir = tempfile::tempdir()?;
    let ko = |args: &[&str]| -> Result<_> { Ok(bed.command(args).current_dir(dir.path()).output()?) };
    let (router, switch) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    bed.nb.ctl(&["ls-add", "net2", "--", "lsp-add", "net2", "ubuntu.net2"])?;
    bed.nb.ctl(&["set", "NB_Global", ".", "nb_cfg=5"])?;

    let taken = ko(&["nb", "backup", "here.backup"])?;
    assert!(taken.status.success(), "{}", text(&taken));
    assert_eq!(text(&taken), "backup ovn-nb db to here.backup\n");
    let file = dir.path().join("here.backup");
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let same = ko(&["nb", "restore", "here.backup"])?;
    assert!(same.status.success() && text(&same).contains("nothing to restore"), "{}", text(&same));

    // What is lost: a router of Neutron's; what has come since: a switch. What stays: net2.
    let (before, kept) = (uuid(&bed, &switch)?, uuid(&bed, "net2")?);
    bed.nb.ctl(&["lr-del", &router, "--", "ls-del", &switch, "--", "ls-add", "since"])?;
    bed.nb.ctl(&["set", "NB_Global", ".", "nb_cfg=9"])?;
    let asked = ko(&["nb", "restore", "here.backup"])?;
    assert_eq!(asked.status.code(), Some(1), "{}", text(&asked));
    for words in [
        "Neutron's",
        &format!("Logical_Router {router} (router0) comes back"),
        "others' Logical_Switch since is removed",
        "nothing was changed; to restore it repeat the command with --yes",
    ] {
        assert!(text(&asked).contains(words), "{words}: {}", text(&asked));
    }
    assert!(uuid(&bed, &switch)?.trim().is_empty());

    let done = ko(&["nb", "restore", "here.backup", "--yes"])?;
    assert!(done.status.success(), "{}", text(&done));
    assert!(text(&done).contains("neutron_sync_mode=repair"), "{}", text(&done));
    assert_eq!((uuid(&bed, &switch)?, uuid(&bed, "net2")?), (before, kept));
    assert!(uuid(&bed, "since")?.trim().is_empty());
    assert_eq!(bed.nb.ctl(&["get", "NB_Global", ".", "nb_cfg"])?.trim(), "9", "a counter doesn't step back");

    // The state before is in a file, too, and leads forward again.
    let line = text(&done).lines().find(|line| line.starts_with("backup ")).map(str::to_owned);
    let line = line.context("no backup of the present state")?;
    let before = line.rsplit(' ').next().context("no path")?;
    assert!(before.starts_with("./ovnnb_db.") && before.ends_with(".backup"), "{before}");
    assert!(ko(&["nb", "restore", before, "--yes"])?.status.success());
    assert!(!uuid(&bed, "since")?.trim().is_empty());
    Ok(())
}

#[test]
fn files_that_are_none_of_this_database_are_refused() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let dir = tempfile::tempdir()?;
    let ko = |args: &[&str]| -> Result<_> { Ok(bed.command(args).current_dir(dir.path()).output()?) };
    let schema = |name: &str| format!("{}/../../schemas/{name}.ovsschema", env!("CARGO_MANIFEST_DIR"));
    run(dir.path(), "ovsdb-tool", &["create", "newer", &schema("ovn-25.03/ovn-nb")])?;
    run(dir.path(), "ovsdb-tool", &["create", "south", &schema("ovn-23.03/ovn-sb")])?;
    run(
        dir.path(),
        "ovsdb-tool",
        &["create-cluster", "member", &schema("ovn-23.03/ovn-nb"), "tcp:127.0.0.1:1"],
    )?;
    for (file, why) in [
        ("newer", "the servers have 7.0.0"),
        ("south", "northd makes it from the northbound"),
        ("member", "cluster-to-standalone"),
        ("absent", "reading absent"),
    ] {
        let refused = ko(&["nb", "restore", file, "--yes"])?;
        assert!(!refused.status.success() && text(&refused).contains(why), "{file}: {}", text(&refused));
    }

    let south = ko(&["sb", "restore", "south", "--yes"])?;
    assert!(!south.status.success() && text(&south).contains("northd makes it"), "{}", text(&south));

    // Where no file can be written, none is.
    let nowhere = ko(&["nb", "backup", "no/such/directory"])?;
    assert!(!nowhere.status.success() && text(&nowhere).contains("writing no/such/"), "{}", text(&nowhere));
    // Without a node or a pod of the database there is no control socket, which is said.
    let kick = ko(&["nb", "kick", "abcd"])?;
    assert!(
        text(&kick).contains("on one of its hosts run ovs-appctl -t /run/ovn/ovnnb_db.ctl"),
        "{}",
        text(&kick)
    );
    Ok(())
}

#[test]
fn backup_and_restore_over_tls() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let dir = tempfile::tempdir()?;
    let _server = over_tls(&bed, dir.path())?;
    secret(&bed, dir.path())?;
    let ko = |args: &[&str]| -> Result<_> { Ok(bed.command(args).current_dir(dir.path()).output()?) };
    assert!(ko(&["nbctl", "init", "--", "ls-add", "was"])?.status.success());
    assert!(ko(&["nb", "backup", "b"])?.status.success());
    assert!(ko(&["nbctl", "ls-del", "was", "--", "ls-add", "since"])?.status.success());
    let done = ko(&["nb", "restore", "b", "--yes"])?;
    assert!(done.status.success(), "{}", text(&done));
    let shown = text(&ko(&["nbctl", "show"])?);
    assert!(shown.contains("(was)") && !shown.contains("(since)"), "{shown}");
    Ok(())
}
