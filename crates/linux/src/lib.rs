//! What the node agent asks of the kernel: network namespaces, links, addresses, routes, neighbors (rtnetlink),
//! sysctls, announcements of addresses, open files that come by a socket, and the one ethtool setting it needs.
//!
//! This crate decides how to ask; it doesn't decide what a pod or a node should look like. Every call has a
//! deadline, and errors say what was being done. It is the only crate of the workspace where `unsafe` may be
//! allowed, each time with its reason.

mod addresses;
mod announce;
mod error;
mod ethtool;
mod link;
mod monitor;
mod neighbor;
mod netlink;
mod netns;
mod nftables;
mod passed;
mod resolve;
mod route;
mod sysctl;

pub use addresses::LinkAddress;
pub use announce::{Announcer, announcement};
pub use error::{Error, Result};
pub use ethtool::disable_tx_checksum;
pub use link::{Link, LinkChange, Veth};
pub use monitor::{Event, Monitor};
pub use netlink::Netlink;
pub use netns::{Netns, NetnsId};
pub use nftables::{NftMonitor, nft_generation};
pub use passed::receive;
pub use route::Route;
pub use sysctl::{get_sysctl, set_sysctl};
