//! Announcing addresses: the frames that make neighbors forget the MAC they remember for an address (RFC 5227 §2.3,
//! RFC 4861 §7.2.6), and the socket that sends them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, sendto, socket};
use tombolo_net::Mac;

use crate::error::{Error, Result};
use crate::netns::Netns;

/// "All nodes" of a link (RFC 4291 §2.7.1), and the group address that Ethernet makes of it (RFC 2464 §7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;

/// The frame that announces `ip` at `mac`: an ARP request for one's own address to all (gratuitous ARP), or an
/// unsolicited neighbor advertisement to all nodes with the flag "override".
pub fn announcement(mac: Mac, ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => gratuitous_arp(mac, v4),
        IpAddr::V6(v6) => unsolicited_advertisement(mac, v6),
    }
}

fn ethernet(to: [u8; 6], from: Mac, kind: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(to);
    frame.extend(from.octets());
    frame.extend(kind.to_be_bytes());
    frame
}

fn gratuitous_arp(mac: Mac, ip: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], mac, 0x0806);
    // Ethernet, IPv4, lengths of their addresses, request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac.octets());
    frame.extend(ip.octets());
    // The target's MAC doesn't matter in a request (RFC 5227 §2.3: zero); its address is the sender's.
    frame.extend([0; 6]);
    frame.extend(ip.octets());
    frame
}

fn unsolicited_advertisement(mac: Mac, ip: Ipv6Addr) -> Vec<u8> {
    let mut icmp = vec![136, 0, 0, 0];
    icmp.extend([0x20, 0, 0, 0]); // flags: override, neither router nor solicited
    icmp.extend(ip.octets());
    icmp.extend([2, 1]); // option: the target's link-layer address, one unit of eight bytes
    icmp.extend(mac.octets());
    let sum = checksum(ip, ALL_NODES, &icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut frame = ethernet(ALL_NODES_MAC, mac, 0x86dd);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((icmp.len() as u16).to_be_bytes());
    // A neighbor drops an advertisement that a router could have passed on: the hop limit proves that none has.
    frame.extend([ICMPV6, 255]);
    frame.extend(ip.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(icmp);
    frame
}

/// The Internet checksum over IPv6's pseudo header and `payload` (RFC 8200 §8.1).
fn checksum(from: Ipv6Addr, to: Ipv6Addr, payload: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c.get(1).copied().unwrap_or(0)]))).sum()
    };
    let mut sum = words(&from.octets()) + words(&to.octets()) + words(payload);
    sum += payload.len() as u32 + u32::from(ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Sends announcements out of one link; stays in the link's namespace wherever it is used.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    link: LinkAddr,
    what: String,
}

impl Announcer {
    /// For the link `ifname` of `netns`.
    pub async fn open_in(netns: &Netns, ifname: &str) -> Result<Self> {
        let ifname = ifname.to_owned();
        netns.run(move || Self::open(&ifname)).await
    }

    fn open(ifname: &str) -> Result<Self> {
        let what = format!("announcing addresses on {ifname}");
        // Protocol 0: it receives nothing, so nothing piles up in it.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)
            .map_err(|e| Error::errno(what.clone(), e))?;
        let link = getifaddrs()
            .map_err(|e| Error::errno(what.clone(), e))?
            .filter(|i| i.interface_name == ifname)
            .find_map(|i| i.address.filter(|a| a.family() == Some(AddressFamily::Packet)))
            .and_then(|a| a.as_link_addr().copied())
            .ok_or_else(|| Error::errno(what.clone(), Errno::ENODEV))?;
        Ok(Self { socket, link, what })
    }

    /// Announces each address once. The link must be up.
    pub fn send(&self, mac: Mac, addresses: &[IpAddr]) -> Result<()> {
        for ip in addresses {
            let frame = announcement(mac, *ip);
            sendto(self.socket.as_raw_fd(), &frame, &self.link, MsgFlags::empty())
                .map_err(|e| Error::errno(format!("{}: {ip}", self.what), e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac::new([0, 0, 0, 0x7a, 0x2e, 0x93]);

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn a_gratuitous_arp_is_a_request_for_ones_own_address() {
        let want = [
            "ffffffffffff 0000007a2e93 0806", // to all, from us, ARP
            "0001 0800 06 04 0001",           // Ethernet, IPv4, request
            "0000007a2e93 0c000102",          // sender
            "000000000000 0c000102",          // target
        ];
        assert_eq!(hex(&announcement(MAC, "12.0.1.2".parse().unwrap())), want.concat().replace(' ', ""));
    }

    #[test]
    fn an_unsolicited_advertisement_overrides() {
        let frame = announcement(MAC, "fd00::2".parse().unwrap());
        let want = [
            "333300000001 0000007a2e93 86dd",
            "60000000 0020 3a ff", // 32 bytes of ICMPv6, hop limit 255
            "fd000000000000000000000000000002",
            "ff020000000000000000000000000001",
            "88 00 2d8d 20000000", // advertisement, checksum, override alone
            "fd000000000000000000000000000002",
            "02 01 0000007a2e93",
        ];
        assert_eq!(hex(&frame), want.concat().replace(' ', ""));
        // What a receiver does: over all of it, the sum is zero.
        let (ip, all) = ("fd00::2".parse().unwrap(), ALL_NODES);
        assert_eq!(checksum(ip, all, &frame[54..]), 0);
    }
}
