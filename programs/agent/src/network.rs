//! The controller's decision for a pod's interface, read from the pod's annotations. Pure.
//!
//! The protocol is Kube-OVN's: `allocated` when addresses are chosen, `routed` when the port row is in OVN; only
//! with both may the pod be attached (invariant 5).

use std::net::IpAddr;

use serde::Deserialize;
use tombolo_api::annotations as keys;
use tombolo_net::{Cidr, DualCidr, Family, IfAddr, Mac, parse_addr_pair};

/// An address and its subnet's gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodAddress {
    /// The address with the subnet's prefix length.
    pub address: IfAddr,
    /// The subnet's gateway; none in an underlay without one.
    pub gateway: Option<IpAddr>,
}

/// A route beside the connected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodRoute {
    /// Destination.
    pub dst: Cidr,
    /// Next hop.
    pub gateway: IpAddr,
}

/// One interface of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNetwork {
    /// Its subnet.
    pub subnet: String,
    /// Its MAC address.
    pub mac: Mac,
    /// Its addresses, IPv4 first; at least one.
    pub addresses: Vec<PodAddress>,
    /// MTU in bytes, where the subnet wants another than the node's.
    pub mtu: Option<u32>,
    /// Routes, default ones included.
    pub routes: Vec<PodRoute>,
}

/// Why a pod can't be attached yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// No address yet.
    #[error(
        "the controller has not given it an address yet (annotation {0}): see the pod's events and kube-ovn-controller"
    )]
    NotAllocated(String),
    /// No port in OVN yet.
    #[error(
        "its port is not in OVN yet (annotation {0}): see kube-ovn-controller and the northbound database"
    )]
    NotRouted(String),
    /// An annotation that doesn't read.
    #[error("annotation {key} is {value:?}: {why}")]
    Invalid {
        /// The annotation.
        key: String,
        /// Its value.
        value: String,
        /// The fault in it.
        why: String,
    },
}

/// Kube-OVN's wording of a route in the annotation `routes`.
#[derive(Deserialize)]
struct RouteText {
    #[serde(default)]
    dst: String,
    #[serde(default)]
    gw: String,
}

impl PodNetwork {
    /// Reads the annotations of the interface of `provider` (`ovn` for the first) through `get`.
    pub fn read<'a>(provider: &str, get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, NotReady> {
        let key = |default_key: &str| keys::for_provider(provider, default_key);
        let text = |default_key: &str| get(&key(default_key)).map(str::trim).unwrap_or_default();
        let invalid = |default_key: &str, why: String| NotReady::Invalid {
            key: key(default_key),
            value: text(default_key).to_owned(),
            why,
        };
        if text(keys::ALLOCATED) != keys::TRUE {
            return Err(NotReady::NotAllocated(key(keys::ALLOCATED)));
        }
        if text(keys::ROUTED) != keys::TRUE {
            return Err(NotReady::NotRouted(key(keys::ROUTED)));
        }
        let mac = text(keys::MAC_ADDRESS).parse().map_err(|e| invalid(keys::MAC_ADDRESS, format!("{e}")))?;
        let cidr: DualCidr = text(keys::CIDR).parse().map_err(|e| invalid(keys::CIDR, format!("{e}")))?;
        let gateways = match text(keys::GATEWAY) {
            "" => Vec::new(),
            both => parse_addr_pair(both).map_err(|e| invalid(keys::GATEWAY, format!("{e}")))?,
        };
        let ips =
            parse_addr_pair(text(keys::IP_ADDRESS)).map_err(|e| invalid(keys::IP_ADDRESS, format!("{e}")))?;
        let mut addresses = Vec::new();
        for ip in ips {
            let family = Family::of(ip);
            let address = cidr.of(family).and_then(|c| IfAddr::within(ip, c)).ok_or_else(|| {
                invalid(keys::IP_ADDRESS, format!("{ip} is not within the subnet's network {cidr}"))
            })?;
            let gateway = gateways.iter().copied().find(|g| Family::of(*g) == family);
            addresses.push(PodAddress { address, gateway });
        }
        if addresses.is_empty() {
            return Err(invalid(keys::IP_ADDRESS, "there is no address".to_owned()));
        }
        addresses.sort_by_key(|a| a.address.family());

        let first = provider == tombolo_api::OVN_PROVIDER;
        let mut routes = Vec::new();
        if first || text(keys::DEFAULT_ROUTE) == keys::TRUE {
            for a in &addresses {
                if let Some(gateway) = a.gateway {
                    routes.push(PodRoute { dst: default_route(Family::of(gateway)), gateway });
                }
            }
        }
        routes.extend(own_routes(text(keys::ROUTES), &addresses).map_err(|why| invalid(keys::ROUTES, why))?);
        let mtu = match get(keys::MTU).filter(|_| first) {
            None => None,
            Some(value) => {
                Some(value.parse().ok().filter(|m| (68..=65535).contains(m)).ok_or_else(|| {
                    NotReady::Invalid {
                        key: keys::MTU.to_owned(),
                        value: value.to_owned(),
                        why: "it is not an MTU in bytes (68 to 65535)".to_owned(),
                    }
                })?)
            }
        };
        Ok(Self { subnet: text(keys::LOGICAL_SWITCH).to_owned(), mac, addresses, mtu, routes })
    }

    /// The addresses alone, as the switch port's `ip` shows them: `v4`, `v6` or `v4,v6`.
    pub fn ip_text(&self) -> String {
        let ips: Vec<String> = self.addresses.iter().map(|a| a.address.addr().to_string()).collect();
        ips.join(",")
    }
}

/// `0.0.0.0/0` or `::/0`.
pub fn default_route(family: Family) -> Cidr {
    let any: IpAddr = match family {
        Family::V4 => std::net::Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    Cidr::new(any, 0).expect("invariant: no prefix is longer than an address when it is 0")
}

/// The annotation `routes`: JSON `[{"dst": "10.0.0.0/8", "gw": "12.0.1.254"}]`, where `dst` may be missing (the
/// default route) and `gw` may be (the subnet's gateway).
fn own_routes(text: &str, addresses: &[PodAddress]) -> Result<Vec<PodRoute>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let wanted: Vec<RouteText> = serde_json::from_str(text)
        .map_err(|e| format!("it is not JSON like [{{\"dst\":…,\"gw\":…}}]: {e}"))?;
    wanted
        .into_iter()
        .map(|route| {
            let gateway = match route.gw.as_str() {
                "" => None,
                gw => Some(gw.parse::<IpAddr>().map_err(|_| format!("gw {gw:?} is not an address"))?),
            };
            let dst = match (route.dst.as_str(), gateway) {
                ("" | "default", Some(gateway)) => default_route(Family::of(gateway)),
                ("" | "default", None) => return Err("a route has neither dst nor gw".to_owned()),
                (dst, _) => dst.parse::<Cidr>().map_err(|e| e.to_string())?,
            };
            let family = dst.family();
            let gateway = gateway
                .or_else(|| addresses.iter().filter_map(|a| a.gateway).find(|g| Family::of(*g) == family))
                .filter(|g| Family::of(*g) == family)
                .ok_or_else(|| format!("the route to {dst} has no gateway of its family"))?;
            Ok(PodRoute { dst, gateway })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn annotations(extra: &[(&str, &str)]) -> BTreeMap<String, String> {
        let mut all: BTreeMap<String, String> = [
            (keys::ALLOCATED, "true"),
            (keys::ROUTED, "true"),
            (keys::IP_ADDRESS, "12.0.1.2"),
            (keys::MAC_ADDRESS, "00:00:00:7A:2E:93"),
            (keys::CIDR, "12.0.1.0/24"),
            (keys::GATEWAY, "12.0.1.1"),
            (keys::LOGICAL_SWITCH, "net2"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        for (k, v) in extra {
            all.insert((*k).to_owned(), (*v).to_owned());
        }
        all
    }

    fn read(extra: &[(&str, &str)]) -> Result<PodNetwork, NotReady> {
        let all = annotations(extra);
        PodNetwork::read("ovn", |k| all.get(k).map(String::as_str))
    }

    #[test]
    fn a_pod_of_the_document() {
        let network = read(&[]).unwrap();
        assert_eq!(network.subnet, "net2");
        assert_eq!(network.mac.to_kube_ovn(), "00:00:00:7A:2E:93");
        let address = PodAddress {
            address: "12.0.1.2/24".parse().unwrap(),
            gateway: Some("12.0.1.1".parse().unwrap()),
        };
        assert_eq!(network.addresses, [address]);
        let route = PodRoute { dst: "0.0.0.0/0".parse().unwrap(), gateway: "12.0.1.1".parse().unwrap() };
        assert_eq!(network.routes, [route]);
        assert_eq!(network.mtu, None);
        assert_eq!(network.ip_text(), "12.0.1.2");
    }

    #[test]
    fn both_steps_of_the_controller_are_waited_for() {
        // invariant 5
        assert!(matches!(read(&[(keys::ALLOCATED, "")]), Err(NotReady::NotAllocated(_))));
        assert!(matches!(read(&[(keys::ROUTED, "false")]), Err(NotReady::NotRouted(_))));
    }

    #[test]
    fn dual_stack_and_mtu() {
        let network = read(&[
            (keys::IP_ADDRESS, "fd00::2,12.0.1.2"),
            (keys::CIDR, "12.0.1.0/24,fd00::/64"),
            (keys::GATEWAY, "12.0.1.1,fd00::1"),
            (keys::MTU, "1442"),
        ]);
        let network = network.unwrap();
        assert_eq!(network.ip_text(), "12.0.1.2,fd00::2", "IPv4 first");
        let dst: Vec<String> = network.routes.iter().map(|r| r.dst.to_string()).collect();
        assert_eq!(dst, ["0.0.0.0/0", "::/0"]);
        assert_eq!(network.mtu, Some(1442));
    }

    #[test]
    fn what_does_not_read_is_named() {
        for (key, value) in [
            (keys::MAC_ADDRESS, "zz"),
            (keys::CIDR, "12.0.1.0"),
            (keys::IP_ADDRESS, "12.0.2.2"),
            (keys::IP_ADDRESS, ""),
            (keys::GATEWAY, "gw"),
            (keys::MTU, "9"),
            (keys::ROUTES, "{}"),
            (keys::ROUTES, r#"[{"dst":"::/0","gw":"12.0.1.1"}]"#),
        ] {
            let err = read(&[(key, value)]).unwrap_err();
            assert!(err.to_string().contains(key), "{key}={value}: {err}");
        }
    }

    #[test]
    fn routes_of_the_user() {
        let network =
            read(&[(keys::ROUTES, r#"[{"dst":"10.9.0.0/16"},{"dst":"10.8.0.0/16","gw":"12.0.1.9"}]"#)]);
        let routes: Vec<String> =
            network.unwrap().routes.iter().map(|r| format!("{} {}", r.dst, r.gateway)).collect();
        assert_eq!(routes, ["0.0.0.0/0 12.0.1.1", "10.9.0.0/16 12.0.1.1", "10.8.0.0/16 12.0.1.9"]);
    }

    #[test]
    fn a_further_interface_has_keys_of_its_own_and_no_default_route() {
        let all: BTreeMap<String, String> = [
            ("net1.ns1.ovn.kubernetes.io/allocated", "true"),
            ("net1.ns1.ovn.kubernetes.io/routed", "true"),
            ("net1.ns1.ovn.kubernetes.io/ip_address", "19.0.0.2"),
            ("net1.ns1.ovn.kubernetes.io/mac_address", "00:00:00:00:00:09"),
            ("net1.ns1.ovn.kubernetes.io/cidr", "19.0.0.0/24"),
            ("net1.ns1.ovn.kubernetes.io/gateway", "19.0.0.1"),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
        let network = PodNetwork::read("net1.ns1.ovn", |k| all.get(k).map(String::as_str)).unwrap();
        assert_eq!(network.routes, []);
        assert!(PodNetwork::read("ovn", |k| all.get(k).map(String::as_str)).is_err());
    }
}
