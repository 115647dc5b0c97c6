//! The kernel parameters that the node's part needs: forwarding, and IPv6 on ovn0. Set when they differ, so that a
//! look is silent otherwise.

use std::collections::BTreeSet;

use tombolo_linux::{Link, LinkAddress, Result, Route, get_sysctl, set_sysctl};
use tombolo_names::Reason;

use crate::host::Host;
use crate::node::OVN0;
use crate::troubles::Trouble;

/// rtnetlink(7), `RTPROT_RA`.
const BY_ADVERTISEMENT: u8 = 9;

/// The parameters that are needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Pods have IPv6: the node forwards it.
    pub forward_v6: bool,
    /// ovn0 has an IPv6 address.
    pub ovn0_v6: bool,
    /// Links that live on router advertisements; see [`advertised`].
    pub advertised: BTreeSet<String>,
}

/// The outcome of a check.
#[derive(Debug, Default)]
pub struct Found {
    /// Parameters that had to be set.
    pub set: Vec<&'static str>,
    /// Those that couldn't be.
    pub troubles: BTreeSet<Trouble>,
    /// ovn0 can't have IPv6 addresses.
    pub no_v6: bool,
}

/// Links whose addresses or routes came by router advertisements that the kernel itself takes. A host that forwards
/// takes none where `accept_ra` is 1 (ip-sysctl), so such a link would lose its default route.
pub fn advertised(links: &[Link], addresses: &[LinkAddress], routes: &[Route]) -> BTreeSet<String> {
    let by_route = routes.iter().filter(|r| r.dst.network().is_ipv6() && r.protocol == BY_ADVERTISEMENT);
    let indexes = by_route.map(|r| r.link).chain(addresses.iter().filter(|a| a.advertised).map(|a| a.link));
    let name = |index| links.iter().find(|l| l.index == index).map(|l| l.name.clone());
    indexes.filter_map(name).filter(|name| name != OVN0).collect()
}

/// Sets parameters that differ.
pub async fn keep(host: &Host, wish: Wish) -> Result<Found> {
    host.netns.run(move || Ok(keep_here(&wish))).await
}

fn keep_here(wish: &Wish) -> Found {
    let mut found = Found::default();
    let need = |what: &'static str, key: &str, value: &str, why: &str, found: &mut Found| {
        let trouble = |message: String| Trouble { reason: Reason::SysctlRefused, message };
        match get_sysctl(key) {
            Ok(Some(now)) if now == value => true,
            Ok(None) => false,
            Ok(Some(_)) => match set_sysctl(key, value) {
                Ok(()) => {
                    tracing::info!("sysctl {key} is {value} now: {why}");
                    found.set.push(what);
                    true
                }
                Err(e) => {
                    found.troubles.insert(trouble(format!("{e}; {why}: set it on this node")));
                    false
                }
            },
            Err(e) => {
                found.troubles.insert(trouble(e.to_string()));
                false
            }
        }
    };
    need("ip_forward", "net/ipv4/ip_forward", "1", "pods' traffic passes this node", &mut found);
    let v6 = "net/ipv6/conf/all/forwarding";
    if wish.forward_v6 && get_sysctl(v6).is_ok_and(|now| now.is_some_and(|now| now != "1")) {
        for link in &wish.advertised {
            let key = format!("net/ipv6/conf/{link}/accept_ra");
            // 0 is the administrator's choice: a program in user space does it there. 2 is the value that works here.
            if get_sysctl(&key).is_ok_and(|now| now.as_deref() == Some("1")) {
                let why = "this link lives on router advertisements, which a node that forwards would ignore";
                if !need("accept_ra", &key, "2", why, &mut found) {
                    return found; // rather no forwarding than a node without its default route
                }
            }
        }
    }
    if wish.forward_v6 {
        need("forwarding_v6", v6, "1", "pods' IPv6 traffic passes this node", &mut found);
    }
    if wish.ovn0_v6 {
        let key = format!("net/ipv6/conf/{OVN0}/disable_ipv6");
        if !need("disable_ipv6", &key, "0", "the node has an IPv6 address in the join subnet", &mut found) {
            found.no_v6 = true;
            if found.troubles.is_empty() {
                let message =
                    format!("the kernel has no IPv6 (no sysctl {key}), which the join subnet needs");
                found.troubles.insert(Trouble { reason: Reason::SysctlRefused, message });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tombolo_linux::{LinkChange, Netns};

    use super::*;

    #[tokio::test]
    async fn a_host_that_lives_on_advertisements_keeps_doing_so() {
        tombolo_needs::needs!(tombolo_needs::root());
        let netns = Netns::create().await.unwrap();
        let host = Host::of(netns).await.unwrap();
        let peer = Netns::create().await.unwrap();
        for name in ["uplink", "quiet"] {
            let pair = tombolo_linux::Veth {
                name,
                peer: name,
                netns: &peer,
                peer_mac: "02:00:00:00:00:09".parse().unwrap(),
                mtu: 1500,
            };
            host.netlink.create_veth(&pair).await.unwrap();
        }
        let there = tombolo_linux::Netlink::open_in(&peer).await.unwrap();
        let far = there.link("uplink").await.unwrap().unwrap().index;
        there.change_link(far, &LinkChange { up: Some(true), ..LinkChange::default() }).await.unwrap();
        let uplink = host.netlink.link("uplink").await.unwrap().unwrap().index;
        host.netlink.add_address(uplink, "2001:db8::2/64".parse().unwrap()).await.unwrap();
        // As the kernel would by an advertisement.
        let default = Route {
            dst: "::/0".parse().unwrap(),
            gateway: Some("2001:db8::1".parse().unwrap()),
            link: uplink,
            protocol: BY_ADVERTISEMENT,
            source: None,
        };
        host.netlink.add_route(&default).await.unwrap();
        let value = async |key: &'static str| host.netns.run(move || get_sysctl(key)).await.unwrap().unwrap();
        let links = host.netlink.links().await.unwrap();
        let addresses = host.netlink.all_addresses().await.unwrap();
        let routes = host.netlink.routes(None).await.unwrap();
        let advertised = advertised(&links, &addresses, &routes);
        assert_eq!(advertised, ["uplink".to_owned()].into());

        let wish = Wish { forward_v6: true, ovn0_v6: false, advertised };
        let found = keep(&host, wish.clone()).await.unwrap();
        assert!(found.troubles.is_empty(), "{found:?}");
        assert_eq!(value("net/ipv4/ip_forward").await, "1");
        assert_eq!(value("net/ipv6/conf/all/forwarding").await, "1");
        assert_eq!(value("net/ipv6/conf/uplink/accept_ra").await, "2");
        assert_eq!(value("net/ipv6/conf/quiet/accept_ra").await, "1", "other links are left alone");
        assert_eq!(keep(&host, wish.clone()).await.unwrap().set, [] as [&str; 0], "nothing the second time");
        // Another program switches it off: the next look finds it.
        host.netns.run(|| set_sysctl("net/ipv6/conf/all/forwarding", "0")).await.unwrap();
        assert_eq!(keep(&host, wish).await.unwrap().set, ["forwarding_v6"]);
        let none = keep(&host, Wish { ovn0_v6: true, ..Wish::default() }).await.unwrap();
        assert!(none.no_v6 && none.troubles.len() == 1, "there is no ovn0: {none:?}");
    }
}
