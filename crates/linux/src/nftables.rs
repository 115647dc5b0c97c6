//! What the kernel reports of nftables: that a table lost rules, and how often the ruleset has changed.

use std::time::Duration;

use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::error::{Error, Result};
use crate::netns::Netns;

/// linux/netfilter/nfnetlink.h: `NFNLGRP_NFTABLES`, `NFNL_SUBSYS_NFTABLES`.
const GROUP: u32 = 7;
const SUBSYSTEM: u8 = 10;
/// linux/netfilter/nf_tables.h: the messages that report the end of a table, chain, rule, set, or element of a set.
const DELETIONS: [u8; 5] = [2, 5, 8, 11, 14];
/// linux/netfilter/nf_tables.h: `NFT_MSG_NEWGEN`, `NFT_MSG_GETGEN`, and `NFTA_GEN_ID`, a number in network order.
const NEW_GENERATION: u8 = 15;
const GET_GENERATION: u8 = 16;
const GENERATION_ID: u16 = 1;
/// linux/netlink.h: `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// linux/netfilter/nfnetlink.h: the length of `struct nfgenmsg`, which comes before a message's attributes.
const FAMILY_HEADER: usize = 4;
/// netlink(7): length, type, flags, sequence, port of a message.
const HEADER: usize = 16;
/// Pause after an error.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the kernel has to say the generation: it answers while the request is sent.
const DEADLINE: Duration = Duration::from_secs(5);

/// Follows what is taken from one table.
pub struct NftMonitor {
    socket: TokioSocket,
    /// As it lies in a message: a string attribute ends in 0.
    table: Vec<u8>,
}

impl std::fmt::Debug for NftMonitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NftMonitor({})", String::from_utf8_lossy(&self.table))
    }
}

impl NftMonitor {
    /// Follows the table of that name in `netns`.
    pub async fn open_in(netns: &Netns, table: &str) -> Result<Self> {
        let table = format!("{table}\0").into_bytes();
        netns
            .run(move || {
                let doing = || "following nftables' events";
                let mut socket = TokioSocket::new(NETLINK_NETFILTER).map_err(|e| Error::new(doing(), e))?;
                let inner = socket.socket_mut();
                inner.bind(&SocketAddr::new(0, 0)).map_err(|e| Error::new(doing(), e))?;
                inner.add_membership(GROUP).map_err(|e| Error::new(doing(), e))?;
                Ok(Self { socket, table })
            })
            .await
    }

    /// Returns when something was taken from the table, or may have been. Safe to cancel.
    pub async fn touched(&mut self) {
        loop {
            match self.socket.recv_from_full().await {
                Ok((messages, _)) if !takes_from(&messages, &self.table) => {}
                Ok(_) => return,
                // Messages came faster than they were read, and one may have been of this table. With a pause, so that
                // a storm of them isn't a storm of checks.
                Err(_) => return tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

/// How many transactions the ruleset of `netns` has had, all tables together, as a number that wraps: a program that
/// reads it before its own transaction and one more afterwards had the ruleset to itself.
pub async fn nft_generation(netns: &Netns) -> Result<u32> {
    let doing = || "reading the generation of nftables' ruleset";
    let open = move || TokioSocket::new(NETLINK_NETFILTER).map_err(|e| Error::new(doing(), e));
    let socket = netns.run(open).await?;
    let length = HEADER + FAMILY_HEADER;
    let mut request = (length as u32).to_ne_bytes().to_vec();
    request.extend(u16::from_le_bytes([GET_GENERATION, SUBSYSTEM]).to_ne_bytes());
    request.extend(REQUEST.to_ne_bytes());
    request.resize(length, 0);
    let asked = async {
        socket.send_to(&request, &SocketAddr::new(0, 0)).await?;
        socket.recv_from_full().await
    };
    let answer = tokio::time::timeout(DEADLINE, asked).await.map_err(|_| Error::timeout(doing()))?;
    let (answer, _) = answer.map_err(|e| Error::new(doing(), e))?;
    generation_in(&answer).ok_or_else(|| Error::new(doing(), std::io::ErrorKind::InvalidData.into()))
}

/// The generation that an answer of the kernel names.
fn generation_in(message: &[u8]) -> Option<u32> {
    let [kind, subsystem] = u16::from_ne_bytes([*message.get(4)?, *message.get(5)?]).to_le_bytes();
    let mut attributes = message.get(HEADER + FAMILY_HEADER..)?;
    if (kind, subsystem) != (NEW_GENERATION, SUBSYSTEM) {
        return None;
    }
    while let Some(&[l0, l1, k0, k1]) = attributes.get(..4) {
        let length = usize::from(u16::from_ne_bytes([l0, l1])).max(4);
        if u16::from_ne_bytes([k0, k1]) == GENERATION_ID {
            return Some(u32::from_be_bytes(attributes.get(4..8)?.try_into().ok()?));
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn takes_from(mut messages: &[u8], table: &[u8]) -> bool {
    while let Some(header) = messages.get(..HEADER) {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        // The type is the subsystem and its message, in the host's order.
        let [message, subsystem] = u16::from_ne_bytes([header[4], header[5]]).to_le_bytes();
        let Some(payload) = messages.get(HEADER..length.max(HEADER)) else { return false };
        let names = || payload.windows(table.len()).any(|window| window == table);
        if subsystem == SUBSYSTEM && DELETIONS.contains(&message) && names() {
            return true;
        }
        let next = length.max(HEADER).next_multiple_of(4);
        messages = messages.get(next..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + payload.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn only_what_takes_from_the_table_counts() {
        let named = b"\x01\0\0\0\x0c\0\x01\0mine\0";
        let takes = |bytes: &[u8]| takes_from(bytes, b"mine\0");
        assert!(takes(&message(0x0a02, named)));
        assert!(!takes(&message(0x0a00, named)), "a new table");
        assert!(!takes(&message(0x0a02, b"\x01\0\0\0\x0d\0\x01\0mine2\0")));
        assert!(!takes(&message(0x0102, named)), "another subsystem");
        assert!(takes(&[message(0x0a00, b"x"), message(0x0a08, named)].concat()), "the second of two");
        assert_eq!(
            generation_in(&message(0x0a0f, b"\0\0\0\0\x05\0\x02\0x\0\0\0\x08\0\x01\0\0\0\x01\x02")),
            Some(258)
        );
        assert_eq!(generation_in(&message(0x0a0f, b"\0\0\0\0\x08\0\x01\0")), None, "cut off");
        assert_eq!(generation_in(&message(2, b"\0\0\0\0\x08\0\x01\0\0\0\x01\x02")), None, "an error");
        assert!(!takes(b"short") && !takes(&message(0x0a02, named)[..20]));
    }
}
