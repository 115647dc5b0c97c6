//! The connection to rtnetlink of one network namespace, and its addresses.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use tokio::task::JoinHandle;
use tombolo_net::IfAddr;

use crate::error::{Error, Result};
use crate::netns::Netns;

/// How long a question to the kernel may take. It answers in microseconds unless somebody holds the lock on its
/// network configuration, for instance while a thousand namespaces are being torn down.
const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for `answer` until the deadline, and words the error.
pub(crate) async fn bounded<T>(
    answer: impl Future<Output = std::result::Result<T, rtnetlink::Error>>,
    doing: impl Fn() -> String,
) -> Result<T> {
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(Error::netlink(doing(), e)),
        Err(_) => Err(Error::timeout(doing())),
    }
}

/// Asks the kernel about one network namespace. Clones share the connection, which goes with the last one.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: rtnetlink::Handle,
    _driver: Arc<Driver>,
}

/// The task that reads the socket: ends with its owner.
#[derive(Debug)]
pub(crate) struct Driver(pub(crate) JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Netlink {
    /// Connects in the calling thread's namespace; needs a tokio runtime.
    pub fn open() -> Result<Self> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|e| Error::new("connecting to rtnetlink", e))?;
        Ok(Self { handle, _driver: Arc::new(Driver(tokio::spawn(connection))) })
    }

    /// Connects in `netns`.
    pub async fn open_in(netns: &Netns) -> Result<Self> {
        netns.run(Self::open).await
    }

    pub(crate) fn handle(&self) -> &rtnetlink::Handle {
        &self.handle
    }

    /// The link that has this address, by index.
    pub async fn link_with_address(&self, ip: std::net::IpAddr) -> Result<Option<u32>> {
        let answer = self.handle.address().get().execute().try_collect::<Vec<_>>();
        let messages = bounded(answer, || format!("looking for the link with address {ip}")).await?;
        Ok(messages.iter().find(|m| if_addr(m).is_some_and(|a| a.addr() == ip)).map(|m| m.header.index))
    }

    /// The addresses of a link that somebody assigned: without IPv6 link-local ones.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IfAddr>> {
        let answer =
            self.handle.address().get().set_link_index_filter(index).execute().try_collect::<Vec<_>>();
        let messages = bounded(answer, || format!("listing addresses of link {index}")).await?;
        Ok(messages.iter().filter_map(if_addr).filter(|a| !is_link_local(*a)).collect())
    }

    /// Assigns an address (usable at once: IPv6 without duplicate address detection, which OVN makes needless).
    /// It is fine when the link has it already.
    pub async fn add_address(&self, index: u32, address: IfAddr) -> Result<()> {
        let mut request = self.handle.address().add(index, address.addr(), address.prefix()).replace();
        if address.addr().is_ipv6() {
            request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        bounded(request.execute(), || format!("assigning {address} to link {index}")).await
    }

    /// Takes an address away; `false` when it wasn't there.
    pub async fn delete_address(&self, index: u32, address: IfAddr) -> Result<bool> {
        let answer =
            self.handle.address().get().set_link_index_filter(index).execute().try_collect::<Vec<_>>();
        let doing = || format!("taking {address} from link {index}");
        let messages = bounded(answer, doing).await?;
        let Some(message) = messages.into_iter().find(|m| if_addr(m) == Some(address)) else {
            return Ok(false);
        };
        match bounded(self.handle.address().del(message).execute(), doing).await {
            Ok(()) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }
}

pub(crate) fn if_addr(message: &AddressMessage) -> Option<IfAddr> {
    // IFA_LOCAL is the address itself where IFA_ADDRESS is a point-to-point peer (rtnetlink(7)).
    let local = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    let address = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Address(ip) => Some(*ip),
        _ => None,
    });
    IfAddr::new(local.or(address)?, message.header.prefix_len)
}

pub(crate) fn is_link_local(address: IfAddr) -> bool {
    matches!(address.addr(), std::net::IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}
