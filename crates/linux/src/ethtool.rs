//! Offload settings (SIOCETHTOOL, ethtool(7)).

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::error::{Error, Result};

/// `ETHTOOL_STXCSUM` of linux/ethtool.h: set transmit checksum offload.
const STXCSUM: u32 = 0x17;

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

#[allow(unsafe_code)] // the macro declares an unsafe function; its one call says why that is sound
mod ioctl {
    nix::ioctl_readwrite_bad!(siocethtool, nix::libc::SIOCETHTOOL, nix::libc::ifreq);
}

/// Switches transmit checksum offload of `ifname` off, in the calling thread's network namespace (use
/// [`crate::Netns::run`]). Segmentation offload goes with it: the kernel doesn't do that without checksums.
///
/// Open vSwitch's userspace datapath receives packets before the deferred checksum is filled in, and forwards them
/// broken.
pub fn disable_tx_checksum(ifname: &str) -> Result<()> {
    let doing = || format!("switching transmit checksum offload of {ifname} off");
    // Any socket of this namespace will do: the ioctl only needs one to find the namespace.
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|e| Error::errno(doing(), e))?;
    let mut value = EthtoolValue { cmd: STXCSUM, data: 0 };
    let mut name = [0 as libc::c_char; libc::IFNAMSIZ];
    if ifname.is_empty() || ifname.len() >= name.len() {
        return Err(Error::errno(doing(), Errno::EINVAL));
    }
    for (to, from) in name.iter_mut().zip(ifname.bytes()) {
        *to = from as libc::c_char;
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut value).cast() },
    };
    // The kernel has no safe interface to ethtool but generic netlink, which would be a dependency for one bit.
    #[allow(unsafe_code)]
    // SAFETY: `request` is a full `ifreq` with a name that ends in NUL (checked above), its data points to an
    // `ethtool_value` as `ETHTOOL_STXCSUM` wants it; both outlive the call.
    unsafe { ioctl::siocethtool(socket.as_raw_fd(), &mut request) }.map_err(|e| Error::errno(doing(), e))?;
    Ok(())
}
