//! Links: what they are, making veth pairs, changing and deleting.

use std::os::fd::AsRawFd;

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};
use tombolo_net::Mac;

use crate::error::{Error, Result};
use crate::netlink::{Netlink, bounded};
use crate::netns::Netns;

/// A network interface as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Index within its namespace.
    pub index: u32,
    /// Name within its namespace.
    pub name: String,
    /// MAC address, for links that have one of six octets.
    pub mac: Option<Mac>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Length of the transmit queue in packets.
    pub txqueuelen: u32,
    /// Administratively up.
    pub up: bool,
    /// Up with carrier.
    pub carrier: bool,
    /// `veth`, `tun`, …; empty for hardware.
    pub kind: String,
}

impl Link {
    pub(crate) fn from_message(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            txqueuelen: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            kind: String::new(),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::TxQueueLen(len) => link.txqueuelen = *len,
                LinkAttribute::Address(bytes) => {
                    link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(Mac::new);
                }
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        if let LinkInfo::Kind(kind) = info {
                            link.kind = kind.to_string();
                        }
                    }
                }
                _ => {}
            }
        }
        link
    }
}

/// A veth pair to make: one end here and up, the other in a network namespace and down (the kernel can't bring
/// both up at birth: ENOTCONN).
#[derive(Debug, Clone)]
pub struct Veth<'a> {
    /// Name of this end, 1 to 15 bytes.
    pub name: &'a str,
    /// Name of the other end.
    pub peer: &'a str,
    /// Where the other end goes: it is made there at once, so its name can't clash here.
    pub netns: &'a Netns,
    /// MAC of the other end.
    pub peer_mac: Mac,
    /// MTU of both ends in bytes.
    pub mtu: u32,
}

/// What to change of a link; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// Administratively up or down.
    pub up: Option<bool>,
    /// MAC address.
    pub mac: Option<Mac>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Length of the transmit queue in packets.
    pub txqueuelen: Option<u32>,
}

impl Netlink {
    /// The link of that name, if there is one.
    pub async fn link(&self, name: &str) -> Result<Option<Link>> {
        let doing = || format!("looking for link {name}");
        if name.len() > 15 {
            return Ok(None); // the kernel would call such a question malformed
        }
        let answer = self.handle().link().get().match_name(name.to_owned()).execute().try_collect::<Vec<_>>();
        match bounded(answer, doing).await {
            Ok(messages) => Ok(messages.first().map(Link::from_message)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All links of the namespace.
    pub async fn links(&self) -> Result<Vec<Link>> {
        let messages =
            self.list(|| self.handle().link().get().execute(), || "listing links".to_owned()).await?;
        Ok(messages.iter().map(Link::from_message).collect())
    }

    /// Makes a veth pair. [`Error::is_exists`] when either name is taken.
    pub async fn create_veth(&self, veth: &Veth<'_>) -> Result<()> {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(veth.peer)
            .address(veth.peer_mac.octets().to_vec())
            .mtu(veth.mtu)
            .setns_by_fd(veth.netns.as_raw_fd())
            .build();
        let message = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(veth.name)
            .mtu(veth.mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .up()
            .build();
        bounded(self.handle().link().add(message).execute(), || {
            format!(
                "creating veth pair {} here and {} in {} (MTU {})",
                veth.name,
                veth.peer,
                veth.netns.path().display(),
                veth.mtu
            )
        })
        .await
    }

    /// Changes a link.
    pub async fn change_link(&self, index: u32, change: &LinkChange) -> Result<()> {
        let mut builder = LinkUnspec::new_with_index(index);
        match change.up {
            Some(true) => builder = builder.up(),
            Some(false) => builder = builder.down(),
            None => {}
        }
        if let Some(mac) = change.mac {
            builder = builder.address(mac.octets().to_vec());
        }
        if let Some(mtu) = change.mtu {
            builder = builder.mtu(mtu);
        }
        if let Some(len) = change.txqueuelen {
            builder = builder.txqueuelen(len);
        }
        bounded(self.handle().link().set(builder.build()).execute(), || {
            format!("changing link {index} ({change:?})")
        })
        .await
    }

    /// Deletes the link of that name; `false` when there was none.
    pub async fn delete_link(&self, name: &str) -> Result<bool> {
        let Some(link) = self.link(name).await? else { return Ok(false) };
        match bounded(self.handle().link().del(link.index).execute(), || format!("deleting link {name}"))
            .await
        {
            Ok(()) => Ok(true),
            Err(e) if Error::is_not_found(&e) => Ok(false), // gone in between, with its peer's namespace perhaps
            Err(e) => Err(e),
        }
    }
}
