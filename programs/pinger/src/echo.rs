//! ICMP's echo messages, RFC 792 and RFC 4443: of a datagram socket, where the kernel fills in the identifier and the checksum.

/// Which family's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    /// ICMP.
    V4,
    /// ICMPv6.
    V6,
}

/// What each request carries after its header, so that it isn't the smallest packet there is: as much as ping(8) sends.
const PAYLOAD: [u8; 56] = [0x54; 56];

/// A request with a number.
#[must_use]
pub fn request(family: Icmp, sequence: u16) -> Vec<u8> {
    let kind = match family {
        Icmp::V4 => 8,
        Icmp::V6 => 128,
    };
    let [high, low] = sequence.to_be_bytes();
    let mut packet = vec![kind, 0, 0, 0, 0, 0, high, low];
    packet.extend_from_slice(&PAYLOAD);
    packet
}

/// The number of the request that a packet answers; none if it is something else.
#[must_use]
pub fn answered(family: Icmp, packet: &[u8]) -> Option<u16> {
    let kind = match family {
        Icmp::V4 => 0,
        Icmp::V6 => 129,
    };
    match packet {
        [first, 0, _, _, _, _, high, low, ..] if *first == kind => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_number() {
        let mut packet = request(Icmp::V4, 0x1234);
        assert_eq!(packet.len(), 64);
        assert_eq!(answered(Icmp::V4, &packet), None, "the request itself");
        packet[0] = 0;
        assert_eq!(answered(Icmp::V4, &packet), Some(0x1234));
        assert_eq!(answered(Icmp::V6, &packet), None);
        assert_eq!(answered(Icmp::V4, &packet[..7]), None);
        // Destination unreachable.
        assert_eq!(answered(Icmp::V4, &[3, 0, 0, 0, 0, 0, 0x12, 0x34]), None);
        assert_eq!(request(Icmp::V6, 1)[0], 128);
    }
}
