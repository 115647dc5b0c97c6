//! The pod's side of its veth pair: MAC, MTU, addresses, routes. Decides the order in which they are set and the
//! parts that CHECK compares.

use tombolo_linux::{Error, LinkChange, Netlink, Netns, Result, Route, disable_tx_checksum, set_sysctl};
use tombolo_net::Family;

use crate::network::PodNetwork;

/// `rtm_protocol` of a pod's routes: "boot", as every CNI plugin and DHCP client uses.
const PROTOCOL: u8 = 3;

/// Brings the pod's end up, with addresses and routes.
///
/// `userspace`: the bridge's datapath is ovs-vswitchd itself, which needs checksums filled in.
pub async fn configure(netns: &Netns, ifname: &str, network: &PodNetwork, userspace: bool) -> Result<()> {
    let name = ifname.to_owned();
    let v6 = network.addresses.iter().any(|a| a.address.family() == Family::V6);
    // One thread for all that must be done from within; the connection stays in the namespace when it comes out.
    let netlink = netns
        .run(move || {
            if userspace {
                disable_tx_checksum(&name)?;
            }
            if v6 {
                // Runtimes switch IPv6 off where they don't know of it.
                for scope in ["all", name.as_str()] {
                    set_sysctl(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "0")?;
                }
            }
            Netlink::open()
        })
        .await?;
    let link = netlink.link(ifname).await?.ok_or_else(|| gone(netns, ifname))?;
    netlink.change_link(link.index, &LinkChange { up: Some(true), ..LinkChange::default() }).await?;
    for a in &network.addresses {
        netlink.add_address(link.index, a.address).await?;
    }
    for route in routes(network, link.index) {
        match netlink.add_route(&route).await {
            Err(e) if !e.is_exists() => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn routes(network: &PodNetwork, link: u32) -> impl Iterator<Item = Route> {
    network.routes.iter().map(move |r| Route {
        dst: r.dst,
        gateway: Some(r.gateway),
        link,
        protocol: PROTOCOL,
        source: None,
    })
}

fn gone(netns: &Netns, ifname: &str) -> Error {
    Error::gone(format!("looking for {ifname} in {}", netns.path().display()))
}

/// Differences from the state that `configure` left.
pub async fn differences(netns: &Netns, ifname: &str, network: &PodNetwork) -> Result<Vec<String>> {
    let netlink = Netlink::open_in(netns).await?;
    let Some(link) = netlink.link(ifname).await? else {
        return Ok(vec![format!("there is no {ifname} in {}", netns.path().display())]);
    };
    let mut found = Vec::new();
    if !link.up {
        found.push(format!("{ifname} is down"));
    }
    if link.mac != Some(network.mac) {
        let mac = link.mac.map(|m| m.to_string()).unwrap_or_default();
        found.push(format!("{ifname} has MAC {mac} instead of {}", network.mac));
    }
    let addresses = netlink.addresses(link.index).await?;
    for a in &network.addresses {
        if !addresses.contains(&a.address) {
            found.push(format!("{ifname} lacks {}", a.address));
        }
    }
    let present = netlink.routes(None).await?;
    for route in routes(network, link.index) {
        if !present.iter().any(|r| r.dst == route.dst && r.gateway == route.gateway && r.link == route.link) {
            found.push(format!("the {route} is missing"));
        }
    }
    Ok(found)
}
