//! Announcing a pod's addresses once its port works. Decides how often: neighbors on the pod's switch, virtual machines
//! among them, may remember another MAC for an address that has moved, and OVN doesn't notify them.

use std::net::IpAddr;
use std::time::Duration;

use tombolo_linux::{Announcer, Netns, Result};

use crate::network::PodNetwork;

/// Pauses before each announcement. The first one may meet a bridge that is still learning of the port.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(1)];

/// Announces in the background; the pod need not wait for it.
pub fn start(netns: Netns, ifname: &str, network: &PodNetwork, pod: String) {
    let addresses: Vec<IpAddr> = network.addresses.iter().map(|a| a.address.addr()).collect();
    let (ifname, mac) = (ifname.to_owned(), network.mac);
    let work = async move {
        let announcer = Announcer::open_in(&netns, &ifname).await?;
        drop(netns);
        for pause in PAUSES {
            tokio::time::sleep(pause).await;
            announcer.send(mac, &addresses)?;
        }
        Result::Ok(())
    };
    tokio::spawn(async move {
        match work.await {
            Ok(()) => {}
            // A pod may end within these seconds.
            Err(e) if e.is_not_found() => {}
            Err(error) => {
                tracing::warn!(%error, pod, "neighbors that remember another MAC for the pod's address find out later");
            }
        }
    });
}
