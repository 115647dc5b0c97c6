//! A restart keeps the datapath as it is until ovn-controller has given the new ovs-vswitchd its flows: without that the first
//! packet of each connection would meet empty tables (ovs-vswitchd.conf.db(5), `flow-restore-wait`).

use std::time::{Duration, Instant};

use anyhow::Result;
use tombolo_daemons::{tool, vsctl};
use tracing::{info, warn};

/// OVN's bridge.
const BRIDGE: &str = "br-int";
/// The longest that the datapath stays so: a new connection isn't made in that time.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(300);

/// Before ovs-vswitchd starts. Does nothing on a node without OVN's bridge.
///
/// # Errors
/// ovs-vsctl's.
pub async fn hold() -> Result<bool> {
    if vsctl(&["--no-wait", "list-br"]).await?.lines().all(|bridge| bridge != BRIDGE) {
        return Ok(false);
    }
    vsctl(&["--no-wait", "set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true"]).await?;
    Ok(true)
}

/// After ovn-controller has started: waits for its flows, then lets packets through.
///
/// # Errors
/// ovs-vsctl's.
pub async fn release() -> Result<()> {
    let began = Instant::now();
    let mut last = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = flows().await;
        if now > 0 && now == last {
            info!("ovs-vswitchd has {now} flows after {:?}", began.elapsed());
            break;
        }
        if began.elapsed() > PATIENCE {
            warn!(
                "ovn-controller hasn't written its flows within {PATIENCE:?}; packets pass as far as there are some ({now})"
            );
            break;
        }
        last = now;
    }
    vsctl(&["--no-wait", "remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait"]).await.map(drop)
}

/// How many flows OVN's bridge has; none while ovs-vswitchd doesn't answer.
async fn flows() -> u64 {
    let text = tool("ovs-ofctl", &["--timeout=2", "dump-aggregate", BRIDGE]).await.unwrap_or_default();
    count(&text)
}

fn count(text: &str) -> u64 {
    let after = text.split_once("flow_count=").map(|(_, after)| after.trim());
    after.and_then(|number| number.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn flows_are_counted() {
        let text = "NXST_AGGREGATE reply (xid=0x4): packet_count=12 byte_count=1180 flow_count=342\n";
        assert_eq!(super::count(text), 342);
        assert_eq!(super::count("ovs-ofctl: br-int is not a bridge or a socket"), 0);
    }
}
