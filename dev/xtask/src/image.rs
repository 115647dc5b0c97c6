//! `cargo xtask image`: builds our programs and all images, and says where they are.

use anyhow::Result;
use tombolo_sandbox::images::OvnRelease;
use tombolo_sandbox::progress::Phase;
use tombolo_sandbox::{images, paths, programs, release};

/// Builds what changed. Takes no arguments yet.
///
/// # Errors
/// When a program doesn't compile or an image can't be packed.
pub fn run(args: &[&str]) -> Result<()> {
    anyhow::ensure!(args.is_empty(), "cargo xtask image takes no arguments");
    let log = paths::logs().join("image.log");
    let programs = Phase::run("our programs", &log, release::build)?;
    let all = Phase::run("images", &log, |phase| {
        let mut all = images::base(&programs::images_dir(), phase)?;
        let images = programs::images(phase, &programs, Some(OvnRelease::Debian13))?;
        all.push(images.ours);
        all.extend(images.ovn.map(|pods| pods.central));
        Ok(all)
    })?;
    for image in all {
        println!("{}  {}", image.archive.display(), image.tags.join(" "));
    }
    Ok(())
}
