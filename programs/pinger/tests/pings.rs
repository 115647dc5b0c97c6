//! Pings of this machine, by real sockets: in a network namespace of its own where the test may make one.

use std::process::Command;

use anyhow::{Result, ensure};
use tombolo_needs::needs;
use tombolo_pinger::ping::{COUNT, ping};

/// Set in the copy of this test that runs in a namespace.
const INSIDE: &str = "TOMBOLO_PINGER_INSIDE";

#[test]
fn an_address_that_is_there_answers_and_one_that_is_not_does_not() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    needs!(tombolo_needs::root());
    needs!(tombolo_needs::program("unshare", "util-linux"));
    // As in a pod: the sysctl is the namespace's, and so are its addresses.
    let script = "ip link set lo up && ip address add 192.0.2.1/32 dev lo && \
                  echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range && exec \"$0\" --exact --nocapture \
                  an_address_that_is_there_answers_and_one_that_is_not_does_not";
    let status = Command::new("unshare")
        .args(["--net", "sh", "-ec", script])
        .arg(std::env::current_exe()?)
        .env(INSIDE, "1")
        .status()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn inside() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for there in ["192.0.2.1", "127.0.0.1", "::1"] {
            let times = ping(there.parse()?).await?;
            ensure!(
                times.len() == usize::from(COUNT) && times.iter().all(Option::is_some),
                "{there}: {times:?}"
            );
        }
        // No route: no error of the pinger's, but lost.
        let times = ping("198.51.100.1".parse()?).await?;
        ensure!(times.iter().all(Option::is_none), "{times:?}");
        Ok(())
    })
}
