//! Frames that a pod should not be able to send, and those that arrive at another.
//!
//! Sent and seen with packet sockets in the pods' network namespaces, from their hosts: as root in a container with
//! CAP_NET_RAW would.

use anyhow::{Context as _, Result};
use tombolo_sandbox::demo::watch::Watch;

use crate::Pod;

/// Sends one frame: KIND (`echo` or `arp`), the address that it claims to be from, the address that it is for.
const SEND: &str = r#"
import socket, struct, subprocess, sys
kind, source, target, gateway = sys.argv[1:5]
mac = lambda text: bytes.fromhex(text.replace(':', ''))
own = mac(open('/sys/class/net/eth0/address').read().strip())
subprocess.run(['ping', '-c1', '-W2', gateway], stdout=subprocess.DEVNULL)
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(('eth0', 0))
ip = socket.inet_aton
if kind == 'arp':
    link.send(b'\xff' * 6 + own + b'\x08\x06' + struct.pack('!HHBBH', 1, 0x0800, 6, 4, 2) + own + ip(source) + b'\xff' * 6 + ip(target))
    sys.exit()
neighbor = subprocess.run(['ip', 'neigh', 'show', gateway], capture_output=True, text=True, check=True).stdout.split()
gate = mac(neighbor[neighbor.index('lladdr') + 1])
def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff
icmp = struct.pack('!BBHHH', 8, 0, 0, 0x7a7a, 1) + b'forgery!'
icmp = icmp[:2] + struct.pack('!H', checksum(icmp)) + icmp[4:]
head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(icmp), 1, 0, 64, 1, 0, ip(source), ip(target))
head = head[:10] + struct.pack('!H', checksum(head)) + head[12:]
for _ in range(3):
    link.send(gate + own + b'\x08\x00' + head + icmp)
"#;

/// Prints `echo SOURCE` and `arp SOURCE` for each frame that arrives, and `ready` first.
const SEE: &str = r#"
import socket
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind(('eth0', 0))
print('ready', flush=True)
while True:
    frame, peer = link.recvfrom(2048)
    if peer[2] == 4:
        continue
    kind = frame[12:14]
    if kind == b'\x08\x06' and frame[20:22] == b'\x00\x02':
        print('arp', socket.inet_ntoa(frame[28:32]), flush=True)
    if kind == b'\x08\x00' and frame[23] == 1 and b'forgery!' in frame:
        print('echo', socket.inet_ntoa(frame[26:30]), flush=True)
"#;

/// The name of a pod's network namespace on its host.
///
/// # Errors
/// When there is none with its address.
pub fn namespace(of: &Pod) -> Result<String> {
    let find = format!(
        "for n in $(ip netns list | cut -d' ' -f1); do \
           ip -n $n -4 -o addr show | grep -qw 'inet {}' && echo $n && exit; done; exit 1",
        of.address
    );
    let name = of.host.script(&find).with_context(|| format!("the network namespace of {}", of.name))?;
    Ok(name.trim().to_owned())
}

/// Sends frames of a kind from a pod, as if they came from `source`.
///
/// # Errors
/// When they can't be sent.
pub fn send(from: &Pod, kind: &str, source: &str, target: &str, gateway: &str) -> Result<()> {
    let namespace = namespace(from)?;
    from.host
        .exec(["ip", "netns", "exec", &namespace, "python3", "-c", SEND, kind, source, target, gateway])
        .map(drop)
        .with_context(|| format!("sending {kind} from {} as {source}", from.name))
}

/// What arrives at a pod.
pub struct Arrivals(Watch);

impl Arrivals {
    /// Begins to look.
    ///
    /// # Errors
    /// When the pod has no namespace.
    pub fn at(pod: &Pod) -> Result<Self> {
        let namespace = namespace(pod)?;
        let mut command = pod.host.command("ip");
        command.args(["netns", "exec", &namespace, "python3", "-c", SEE]);
        let mut lines = Watch::start(&mut command)?;
        lines.next("the packet socket", crate::SOON, |line| (line == "ready").then_some(()))?;
        Ok(Self(lines))
    }

    /// Waits for the line `wanted` and returns those that came before it.
    ///
    /// # Errors
    /// When it doesn't come.
    pub fn until(&mut self, wanted: &str) -> Result<Vec<String>> {
        let mut before = Vec::new();
        self.0.next(wanted, crate::SOON, |line| {
            if line == wanted {
                return Some(());
            }
            before.push(line.to_owned());
            None
        })?;
        Ok(before)
    }
}
