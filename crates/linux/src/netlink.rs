//! The connection to rtnetlink of one network namespace, and its addresses.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tombolo_net::IfAddr;

use crate::error::{Error, Result};
use crate::netns::Netns;

/// How long a request to the kernel may take. It answers in microseconds unless the lock on its network configuration
/// (RTNL) is held, for instance while a thousand namespaces are being torn down.
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

/// How long to wait before asking again for a list while another one is still being sent on the same socket: one
/// whose asker went away in the middle. The kernel doesn't tell when it is through.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// Asks the kernel about one network namespace. Clones share the connection, which goes with the last one.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: rtnetlink::Handle,
    /// A netlink socket serves one list at a time and calls a second one busy (netlink(7), `NLM_F_DUMP`).
    listing: Arc<Mutex<()>>,
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
        Ok(Self { handle, listing: Arc::default(), _driver: Arc::new(Driver(tokio::spawn(connection))) })
    }

    /// Connects in `netns`.
    pub async fn open_in(netns: &Netns) -> Result<Self> {
        netns.run(Self::open).await
    }

    /// Asks for a list, one at a time.
    pub(crate) async fn list<T, S>(&self, ask: impl Fn() -> S, doing: impl Fn() -> String) -> Result<Vec<T>>
    where
        S: Stream<Item = std::result::Result<T, rtnetlink::Error>>,
    {
        let all = async {
            let _turn = self.listing.lock().await;
            loop {
                match bounded(ask().try_collect::<Vec<_>>(), &doing).await {
                    Err(e) if e.is_busy() => tokio::time::sleep(BUSY_PAUSE).await,
                    other => return other,
                }
            }
        };
        tokio::time::timeout(DEADLINE, all).await.unwrap_or_else(|_| Err(Error::timeout(doing())))
    }

    pub(crate) fn handle(&self) -> &rtnetlink::Handle {
        &self.handle
    }

    /// The link that has this address, by index.
    pub async fn link_with_address(&self, ip: std::net::IpAddr) -> Result<Option<u32>> {
        let ask = || self.handle.address().get().execute();
        let messages = self.list(ask, || format!("looking for the link with address {ip}")).await?;
        Ok(messages.iter().find(|m| if_addr(m).is_some_and(|a| a.addr() == ip)).map(|m| m.header.index))
    }

    /// The explicitly assigned addresses of a link: without IPv6 link-local ones.
    pub async fn addresses(&self, index: u32) -> Result<Vec<IfAddr>> {
        let ask = || self.handle.address().get().set_link_index_filter(index).execute();
        let messages = self.list(ask, || format!("listing addresses of link {index}")).await?;
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
        let doing = || format!("taking {address} from link {index}");
        let ask = || self.handle.address().get().set_link_index_filter(index).execute();
        let messages = self.list(ask, doing).await?;
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
