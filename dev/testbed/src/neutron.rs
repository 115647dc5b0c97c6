//! Rows as Neutron writes them.

use anyhow::{Context, Result};

/// What a router and a network of Neutron's look like (ML2/OVN, read off a running one): router `name`
/// with a port on a network with the given CIDR. `n` makes uuids and MACs, 1 to 255. Returns the names
/// `neutron-<uuid>` of router and network.
pub fn router(
    ctl: impl Fn(&[&str]) -> Result<String>,
    n: u8,
    name: &str,
    cidr: &str,
) -> Result<(String, String)> {
    let uuid = |kind: u8| format!("{kind:02x}0000{n:02x}-1111-4222-8333-0000000000{n:02x}");
    let (router, network, port, subnet) = (uuid(1), uuid(2), uuid(3), uuid(4));
    let (lr, ls) = (format!("neutron-{router}"), format!("neutron-{network}"));
    let lrp = format!("lrp-{port}");
    let mac = format!("fa:16:3e:00:00:{n:02x}");
    let (gateway, length) = cidr.split_once('/').context("a CIDR")?;
    let gateway = gateway.rsplit_once('.').map(|(net, _)| format!("{net}.1")).context("an IPv4 CIDR")?;
    let ids = |pairs: &[(&str, &str)]| -> Vec<String> {
        pairs.iter().map(|(k, v)| format!("external_ids:\"{k}\"=\"{v}\"")).collect()
    };
    let mut args: Vec<String> = Vec::new();
    let mut add = |words: &[&str], more: Vec<String>| {
        if !args.is_empty() {
            args.push("--".to_owned());
        }
        args.extend(words.iter().map(|w| (*w).to_owned()));
        args.extend(more);
    };
    add(&["ls-add", &ls], vec![]);
    add(
        &["set", "Logical_Switch", &ls],
        ids(&[
            ("neutron:network_name", "provider"),
            ("neutron:mtu", "1442"),
            ("neutron:revision_number", "2"),
        ]),
    );
    add(&["lr-add", &lr], vec![]);
    add(
        &["set", "Logical_Router", &lr],
        ids(&[("neutron:router_name", name), ("neutron:gw_port_id", ""), ("neutron:revision_number", "3")]),
    );
    add(&["lrp-add", &lr, &lrp, &mac, &format!("{gateway}/{length}")], vec![]);
    let network_name = ls.clone();
    add(
        &["set", "Logical_Router_Port", &lrp],
        ids(&[
            ("neutron:network_name", &network_name),
            ("neutron:router_name", &router),
            ("neutron:subnet_ids", &subnet),
            ("neutron:revision_number", "3"),
        ]),
    );
    add(&["lsp-add", &ls, &port], vec![]);
    add(
        &[
            "set",
            "Logical_Switch_Port",
            &port,
            "type=router",
            "addresses=router",
            &format!("options:router-port={lrp}"),
        ],
        ids(&[
            ("neutron:cidrs", &format!("{gateway}/{length}")),
            ("neutron:device_id", &router),
            ("neutron:device_owner", "network:router_interface"),
            ("neutron:network_name", &network_name),
            ("neutron:port_name", ""),
            ("neutron:revision_number", "3"),
        ]),
    );
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    ctl(&args)?;
    Ok((lr, ls))
}
