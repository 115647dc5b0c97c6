//! The network namespace that Open vSwitch's links are in: the agent's own (its pod has the node's network), or
//! another one in tests.

use tombolo_linux::{Monitor, Netlink, Netns, Result};

/// The node's network namespace and the connection to it.
#[derive(Debug)]
pub struct Host {
    /// The namespace.
    pub netns: Netns,
    /// Reads and changes it.
    pub netlink: Netlink,
}

impl Host {
    /// The namespace that this process is in.
    pub async fn own() -> Result<Self> {
        Self::of(Netns::open("/proc/self/ns/net")?).await
    }

    /// Another one.
    pub async fn of(netns: Netns) -> Result<Self> {
        let netlink = Netlink::open_in(&netns).await?;
        Ok(Self { netns, netlink })
    }

    /// Its changes.
    pub async fn monitor(&self) -> Result<Monitor> {
        Monitor::open_in(&self.netns).await
    }
}
