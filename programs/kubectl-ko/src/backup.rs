//! `ko nb|sb backup`: a database's contents into a file of this machine, whole or not at all.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::database::{Database, Place, cannot_start};
use crate::kubectl::Kubectl;
use crate::process::capture;
use crate::snapshot::Snapshot;
use crate::times;

/// For reading a whole database.
const DEADLINE: Duration = Duration::from_secs(180);

/// Writes a backup and says where.
pub fn command(kubectl: &Kubectl, database: Database, file: Option<PathBuf>) -> Result<ExitCode> {
    let place = Place::of(kubectl, database)?;
    take(kubectl, &place, database, file)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a backup, says where, and returns what is in it.
pub fn take(kubectl: &Kubectl, place: &Place, database: Database, file: Option<PathBuf>) -> Result<Snapshot> {
    let path = file.unwrap_or_else(|| default_name(database, times::now()));
    let bytes = dump(kubectl, place, database)?;
    write(&path, &bytes)?;
    let read = fs::read(&path).with_context(|| format!("reading {} again", path.display()))?;
    ensure!(read == bytes, "{} doesn't hold what was written into it", path.display());
    println!("backup ovn-{} db to {}", database.word(), path.display());
    Snapshot::read(&read).with_context(|| format!("the backup {}", path.display()))
}

/// The database's contents as a file's, checked.
pub fn dump(kubectl: &Kubectl, place: &Place, database: Database) -> Result<Vec<u8>> {
    let mut command = place.client(kubectl, database, "backup", &[database.schema()]);
    let start = match place {
        Place::Pod(_) => kubectl.cannot_start(),
        Place::Here(_) => cannot_start("ovsdb-client"),
    };
    let bytes =
        capture(&mut command, b"", DEADLINE, &start)?.success(&format!("reading {}", database.schema()))?;
    let snapshot = Snapshot::read(&bytes).with_context(|| format!("what {} sent", database.schema()))?;
    let [name, ..] = snapshot.kind();
    ensure!(name == database.schema(), "the server sent {name}, {} was asked for", database.schema());
    Ok(bytes)
}

/// Kube-OVN's name: `./ovnnb_db.<mmddHHMMss>.backup`.
fn default_name(database: Database, seconds: i64) -> PathBuf {
    let when = times::Civil::of(seconds);
    let stamp =
        format!("{:02}{:02}{:02}{:02}{:02}", when.month, when.day, when.hour, when.minute, when.second);
    PathBuf::from(format!("./ovn{}_db.{stamp}.backup", database.word()))
}

/// Into a file beside the place, which then takes it: a reader finds the whole or nothing. Only its owner can read it: a
/// database has addresses and names of all tenants.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().with_context(|| format!("{} is no file's name", path.display()))?;
    let beside = path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let result = write_new(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path).with_context(|| format!("naming {}", path.display())));
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let what = || format!("writing {}", path.display());
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(what)?;
    file.set_permissions(Permissions::from_mode(0o600)).with_context(what)?;
    file.write_all(bytes).with_context(what)?;
    file.sync_all().with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_kube_ovns() {
        let name = default_name(Database::Sb, 1_795_831_243);
        assert_eq!(name, PathBuf::from("./ovnsb_db.1128020043.backup"));
    }

    #[test]
    fn whole_or_not_at_all_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.backup");
        fs::write(&path, "older").unwrap();
        write(&path, b"newer").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // A directory can't be replaced: nothing stays beside it.
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write(&taken, b"x").is_err());
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}
