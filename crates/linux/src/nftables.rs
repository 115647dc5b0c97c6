//! Tells when somebody takes rules from a table of nftables.

use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::error::{Error, Result};
use crate::netns::Netns;

/// linux/netfilter/nfnetlink.h: `NFNLGRP_NFTABLES`, `NFNL_SUBSYS_NFTABLES`.
const GROUP: u32 = 7;
const SUBSYSTEM: u8 = 10;
/// linux/netfilter/nf_tables.h: the messages that tell the end of a table, chain, rule, set, or element of a set.
const DELETIONS: [u8; 5] = [2, 5, 8, 11, 14];
/// netlink(7): length, type, flags, sequence, port of a message.
const HEADER: usize = 16;
/// Pause after an error.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

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
                // Messages came faster than they were read. Whoever is told looks; not without pause if it goes on.
                Err(_) => return tokio::time::sleep(PAUSE).await,
            }
        }
    }
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
        assert!(!takes(b"short") && !takes(&message(0x0a02, named)[..20]));
    }
}
