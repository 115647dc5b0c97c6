//! A host's own ovn-controller that ends is started again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::hosts;
use crate::progress::say;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Does `work`, and starts a host's own ovn-controller that ends meanwhile again, as its monitor (`ovn-ctl`) does on a host. That of
/// 23.03 ends now and then in the first second after its database has appeared.
///
/// # Errors
/// Those of `work`.
pub fn revived_while<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                if let Err(error) = revive() {
                    say(format_args!("{error:#}"));
                }
                thread::sleep(LOOK);
            }
        });
        let result = work();
        is_done.store(true, Ordering::Relaxed);
        result
    })
}

fn revive() -> Result<()> {
    for host in hosts::all() {
        let own = host.daemons().iter().any(|name| name == "ovn-controller");
        if own && host.daemon_pid("ovn-controller").is_none() {
            say(format_args!("ovn-controller on {host} has ended, and is started again"));
            host.start_again("ovn-controller")?;
        }
    }
    Ok(())
}
