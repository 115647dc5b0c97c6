//! Routes of the main table.

use std::net::IpAddr;

use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use tombolo_net::{Cidr, Family};

use crate::error::{Error, Result};
use crate::netlink::{Netlink, bounded};

/// A unicast route of the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Destination.
    pub dst: Cidr,
    /// Next hop; none for what is on the link itself.
    pub gateway: Option<IpAddr>,
    /// Index of the link.
    pub link: u32,
    /// Who made it (rtnetlink(7), `rtm_protocol`): 2 is the kernel, 3 boot, 4 the administrator. Programs pick a
    /// number of their own and leave the routes of others alone.
    pub protocol: u8,
    /// Source address for packets that have none yet.
    pub source: Option<IpAddr>,
}

impl Route {
    pub(crate) fn from_message(message: &RouteMessage) -> Option<Self> {
        let header = &message.header;
        let mut table = u32::from(header.table);
        let (mut dst, mut gateway, mut link, mut source) = (None, None, None, None);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Table(t) => table = *t,
                RouteAttribute::Destination(a) => dst = ip(a),
                RouteAttribute::Gateway(a) => gateway = ip(a),
                RouteAttribute::PrefSource(a) => source = ip(a),
                RouteAttribute::Oif(index) => link = Some(*index),
                _ => {}
            }
        }
        if table != u32::from(RouteHeader::RT_TABLE_MAIN) || header.kind != RouteType::Unicast {
            return None;
        }
        let any: IpAddr = match header.address_family {
            AddressFamily::Inet => std::net::Ipv4Addr::UNSPECIFIED.into(),
            AddressFamily::Inet6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
            _ => return None,
        };
        Some(Self {
            dst: Cidr::new(dst.unwrap_or(any), header.destination_prefix_length)?,
            gateway,
            link: link?,
            protocol: header.protocol.into(),
            source,
        })
    }

    fn message(&self) -> Result<RouteMessage> {
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(self.dst.network(), self.dst.prefix())
            .map_err(|e| mixed(self, e))?
            .output_interface(self.link)
            .protocol(RouteProtocol::from(self.protocol));
        builder = match self.gateway {
            Some(gateway) => builder.gateway(gateway).map_err(|e| mixed(self, e))?,
            // The kernel wants to hear that there is no next hop (IPv4).
            None if self.dst.family() == Family::V4 => builder.scope(RouteScope::Link),
            None => builder,
        };
        if let Some(source) = self.source {
            builder = builder.pref_source(source).map_err(|e| mixed(self, e))?;
        }
        Ok(builder.build())
    }
}

/// The families of a route's parts don't fit together.
fn mixed(route: &Route, e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(format!("describing {route}"), std::io::Error::other(e))
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "route to {}", self.dst)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        write!(f, " on link {} (protocol {})", self.link, self.protocol)
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

impl Netlink {
    /// The unicast routes of the main table, of both families; of one protocol when given.
    pub async fn routes(&self, protocol: Option<u8>) -> Result<Vec<Route>> {
        let mut all = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            let ask = || self.handle().route().get(message.clone()).execute();
            let messages = self.list(ask, || "listing routes".to_owned()).await?;
            all.extend(messages.iter().filter_map(Route::from_message));
        }
        all.retain(|r| protocol.is_none_or(|p| r.protocol == p));
        Ok(all)
    }

    /// Adds a route. [`Error::is_exists`] when there is one to that destination already, whatever its origin: another
    /// program's route is never replaced.
    pub async fn add_route(&self, route: &Route) -> Result<()> {
        bounded(self.handle().route().add(route.message()?).execute(), || format!("adding {route}")).await
    }

    /// Deletes exactly this route; `false` when it wasn't there.
    pub async fn delete_route(&self, route: &Route) -> Result<bool> {
        let deleted =
            bounded(self.handle().route().del(route.message()?).execute(), || format!("deleting {route}"));
        match deleted.await {
            Ok(()) => Ok(true),
            Err(e) if e.is_not_found() => Ok(false),
            Err(e) => Err(e),
        }
    }
}
