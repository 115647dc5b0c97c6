//! What users do to Subnets that are there, in use or not: change a field to something sensible, to something wrong, to
//! what another one has, and take it back.

use serde_json::{Value, json};
use tombolo_plan::Kind;

use super::{CIDRS, NAMESPACES, namespace, vpc};
use crate::sim::Sim;

/// A field of a Subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words say it
pub enum Field {
    Cidr,
    Gateway,
    ExcludeIps,
    Vpc,
    Mtu,
    Namespaces,
    Selectors,
    NatOutgoing,
    GatewayType,
}

impl Field {
    /// All of them.
    pub const ALL: [Field; 9] = [
        Field::Cidr,
        Field::Gateway,
        Field::ExcludeIps,
        Field::Vpc,
        Field::Mtu,
        Field::Namespaces,
        Field::Selectors,
        Field::NatOutgoing,
        Field::GatewayType,
    ];
}

/// Networks that users mistype, or that are others': no CIDR, too long, the whole world, Services, `join`, the nodes'
/// own, the default Subnet's, Neutron's.
const WRONG: [&str; 8] = [
    "12.0.1.0",
    "12.0.1.0/33",
    "0.0.0.0/1",
    "10.96.0.0/16",
    "100.64.0.0/24",
    "172.16.0.0/24",
    "10.16.0.0/24",
    "192.168.1.0/24",
];

/// The same network, twice as big; and with a second family.
fn grown(cidr: &str, number: u8) -> Option<String> {
    let first = cidr.split(',').next()?;
    let (address, length) = first.split_once('/')?;
    let (address, length): (std::net::Ipv4Addr, u32) = (address.parse().ok()?, length.parse().ok()?);
    if number % 2 == 1 {
        return Some(format!("{first},fd00:{}::/120", u32::from(address) >> 8 & 0xff));
    }
    let length = length.checked_sub(1)?;
    let base = u32::from(address) & u32::MAX.checked_shl(32 - length)?;
    Some(format!("{}/{length}", std::net::Ipv4Addr::from(base)))
}

/// An address of the first network, so far from its beginning.
fn inside(cidr: &str, offset: u32) -> Option<String> {
    let (address, _) = cidr.split(',').next()?.split_once('/')?;
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    Some(std::net::Ipv4Addr::from(u32::from(address).wrapping_add(offset)).to_string())
}

/// The change of a field to its `number`th value, as a merge patch of the spec.
#[must_use]
pub fn patch(sim: &Sim, spec: &Value, field: Field, number: u8) -> Value {
    let cidr = spec["cidrBlock"].as_str().unwrap_or_default();
    let near = |offset: u32| inside(cidr, offset);
    match field {
        Field::Cidr => {
            let new = match number % 12 {
                0..=3 => grown(cidr, number).unwrap_or_default(),
                4..=7 => WRONG[usize::from(number / 12) % WRONG.len()].to_owned(),
                _ => CIDRS[usize::from(number / 12) % CIDRS.len()].to_owned(),
            };
            // Some think of the gateway, most don't.
            match number / 12 % 3 {
                0 => json!({ "cidrBlock": new, "gateway": null, "excludeIps": null }),
                1 => json!({ "cidrBlock": new, "gateway": inside(&new, 1) }),
                _ => json!({ "cidrBlock": new }),
            }
        }
        Field::Gateway => {
            let new = match number % 12 {
                0 => None,
                1..=7 => near(u32::from(number % 12)),
                8 => Some("10.9.9.9".to_owned()),
                9 => Some("gateway".to_owned()),
                10 => near(0),
                _ => Some("12.0.1.1,fd00:1::1".to_owned()),
            };
            json!({ "gateway": new })
        }
        Field::ExcludeIps => {
            let new = match number % 6 {
                0 => json!(null),
                // Of a network that isn't one there are no addresses; a list of nothing no API server takes.
                _ if near(2).is_none() => json!(null),
                1 => json!([near(2)]),
                2 => json!([format!("{}..{}", near(2).unwrap_or_default(), near(4).unwrap_or_default())]),
                3 => json!(["x"]),
                4 => json!([near(1), near(3), near(9)]),
                _ => json!(["10.9.9.9"]),
            };
            json!({ "excludeIps": new })
        }
        Field::Vpc => json!({ "vpc": vpc(sim, number) }),
        Field::Mtu => json!({ "mtu": ([0, 1_300, 1_400, 70_000, 1][usize::from(number % 5)]) }),
        Field::Namespaces => {
            let names: Vec<String> =
                (0..NAMESPACES).filter(|bit| number >> bit & 1 == 1).map(namespace).collect();
            json!({ "namespaces": names })
        }
        Field::Selectors => {
            let labels = |value: &str| json!([{ "matchLabels": { "team": value } }]);
            let new = match number % 5 {
                0 => json!(null),
                1 => labels("a"),
                2 => labels("b"),
                3 => json!([{ "matchExpressions": [{ "key": "team", "operator": "Exists" }] }]),
                _ => {
                    json!([{ "matchExpressions": [{ "key": "team", "operator": "In", "values": ["a", "b"] }] }])
                }
            };
            json!({ "namespaceSelectors": new })
        }
        Field::NatOutgoing => json!({ "natOutgoing": number.is_multiple_of(2) }),
        Field::GatewayType => {
            json!({ "gatewayType": (["distributed", "centralized", "both"][usize::from(number % 3)]) })
        }
    }
}

/// A patch that makes `now` what `then` was.
#[must_use]
pub fn back(now: &Value, then: &Value) -> Value {
    let mut patch = then.clone();
    if let (Some(patch), Some(now)) = (patch.as_object_mut(), now.as_object()) {
        for key in now.keys().filter(|key| then.get(key).is_none()) {
            patch.insert(key.clone(), Value::Null);
        }
    }
    patch
}

/// Edits a Subnet that is there. What it was before is remembered for [`undo`].
pub fn edit(sim: &mut Sim, name: &str, field: Field, number: u8) {
    let Some(object) = sim.api.get(Kind::Subnet, name) else { return };
    let spec = object["spec"].clone();
    let patch = patch(sim, &spec, field, number);
    sim.before_edits.insert(name.to_owned(), spec);
    sim.subnet(name, &patch);
}

/// Takes the last edit of a Subnet back.
pub fn undo(sim: &mut Sim, name: &str) {
    let Some(object) = sim.api.get(Kind::Subnet, name) else { return };
    let Some(then) = sim.before_edits.remove(name) else { return };
    let patch = back(&object["spec"], &then);
    sim.subnet(name, &patch);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_neighbors() {
        assert_eq!(grown("12.0.1.0/29", 0).unwrap(), "12.0.0.0/28".replace(".0.0/", ".1.0/"));
        assert_eq!(grown("12.0.3.128/25", 0).unwrap(), "12.0.3.0/24");
        assert_eq!(grown("12.0.2.0/24", 1).unwrap(), "12.0.2.0/24,fd00:2::/120");
        assert_eq!(grown("12.0.2.0", 0), None);
        assert_eq!(inside("12.0.3.128/25,fd00::/120", 2).unwrap(), "12.0.3.130");
    }

    #[test]
    fn back_is_as_before() {
        let (mut now, then) = (json!({ "a": 1, "b": 2 }), json!({ "a": 3, "c": [4] }));
        let patch = back(&now, &then);
        crate::api::merge(&mut now, &patch);
        assert_eq!(now, then);
    }
}
