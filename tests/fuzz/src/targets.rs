//! What is run, and what must hold.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use serde_json::value::RawValue;
use tombolo_api::validate::{self, Place, SubnetContext};
use tombolo_api::{Subnet, Vpc, annotations as keys};
use tombolo_cni::{Args, NetConf, Outcome};
use tombolo_foreign_rows::log;
use tombolo_foreign_rows::rows::Rows;
use tombolo_net::{AddrRange, Cidr, DualCidr, IfAddr, Mac, parse_addr, parse_addr_pair};
use tombolo_neutron as neutron;
use tombolo_ovsdb::schema::Layout;
use tombolo_ovsdb::wire::{Frames, Message, table_updates};
use tombolo_ovsdb::{Datum, Replica, Schema};
use tombolo_plan::config::Selector;
use tombolo_plan::{ClusterId, Owner, nb};

pub const MESSAGES: [&str; 4] = [
    r#"{"id":1,"error":null,"result":[{},{"count":1},{"uuid":["uuid","6cf95839-d270-4a59-b4f0-42f06ddf419a"]}]}"#,
    r#"{"id":null,"method":"update3","params":[["monid","x"],"00000000-0000-0000-0000-000000000000",{}]}{"id":"echo","method":"echo","params":[]}"#,
    r#"{"id":7,"result":null,"error":{"error":"unknown database","details":"a \"quoted\\\" \u00e9"}}"#,
    r#" [1] {"a":{"b":[[],{},"}"]}} "#,
];

/// Messages are the same however the stream is cut.
pub fn ovsdb_frames(data: &[u8]) {
    let all = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut frames, mut found) = (Frames::new(1 << 20), Vec::new());
        for piece in pieces {
            frames.push(piece);
            loop {
                match frames.next_frame() {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(_) => return found,
                }
            }
        }
        found
    };
    let whole = all(&mut std::iter::once(data));
    let step = usize::from(data.first().copied().unwrap_or(1) % 7) + 1;
    assert_eq!(whole, all(&mut data.chunks(step)), "cut into pieces of {step}");
    for frame in &whole {
        let _ = Message::parse(frame);
    }
    let _ = Message::parse(data);
}

pub const VALUES: [&str; 5] = [
    r#"["set",[["uuid","6cf95839-d270-4a59-b4f0-42f06ddf419a"],["uuid","dd50e3e7-0acb-4892-8900-db2224fa94c7"]]]"#,
    r#"["map",[["a","b"],["c","d"]]]"#,
    r#""text""#,
    "1.5",
    r#"["set",[true]]"#,
];

/// A value reads back as it is written, and fits a column's type or not, by that type alone.
pub fn ovsdb_values(data: &[u8]) {
    static SCHEMA: LazyLock<Schema> =
        LazyLock::new(|| Schema::parse(tombolo_ovn::nb::SCHEMA).expect("the pinned schema"));
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Schema::parse(text);
    let Ok(datum) = Datum::from_json(text) else { return };
    assert_eq!(Datum::from_json(&datum.to_json().to_string()).ok(), Some(datum.clone()), "{text}");
    for (column, schema) in &SCHEMA.tables["Logical_Switch_Port"].columns {
        let Ok(fits) = schema.ty.conform(datum.clone()) else { continue };
        assert_eq!(schema.ty.conform(fits.clone()), Ok(fits), "{column}");
    }
}

pub const UPDATES: [&str; 2] = [
    r#"{"Logical_Router":{"6cf95839-d270-4a59-b4f0-42f06ddf419a":{"initial":{"name":"neutron-a","ports":["uuid","dd50e3e7-0acb-4892-8900-db2224fa94c7"],"external_ids":["map",[["neutron:router_name","r"],["neutron:gw_port_id","x"]]]}}},"Logical_Router_Port":{"dd50e3e7-0acb-4892-8900-db2224fa94c7":{"initial":{"name":"lrp-x","networks":["set",["10.0.0.1/24","garbage"]],"external_ids":["map",[["neutron:network_name","neutron-n"]]]}}},"Logical_Switch":{"a94f6740-e378-45dc-b536-2f811803683a":{"initial":{"name":"neutron-n","external_ids":["map",[["neutron:network_name","n"],["neutron:mtu","1442"]]]}}}}"#,
    r#"{"Logical_Router":{"6cf95839-d270-4a59-b4f0-42f06ddf419a":{"insert":{"name":"neutron-a"}}},"Logical_Switch":{"a94f6740-e378-45dc-b536-2f811803683a":{"delete":null}}}"#,
];

/// Any update is an error or a replica that can be read.
pub fn neutron_rows(data: &[u8]) {
    let _ = routers(data);
}

/// How many routers of Neutron's an update brings.
fn routers(data: &[u8]) -> Option<usize> {
    static LAYOUT: LazyLock<Layout> = LazyLock::new(|| {
        let schema = Schema::parse(tombolo_ovn::nb::SCHEMA).expect("the pinned schema");
        nb::wanted(&ClusterId::new("c").expect("an id")).intersect(&schema)
    });
    let Ok(json) = serde_json::from_slice::<Box<RawValue>>(data) else { return None };
    let Ok(updates) = table_updates(&json, &LAYOUT) else { return None };
    let mut replica = Replica::new(&LAYOUT, &nb::indexes());
    let Ok(changes) = replica.apply(updates) else { return None };
    let _ = neutron::routers_touched(&replica, &changes);
    let mut count = 0;
    for (_, row) in replica.rows(neutron::table::ROUTER) {
        let named = row.str("name").and_then(|name| neutron::router_named(&replica, name));
        let Some((uuid, row)) = named else { continue };
        count += 1;
        let router = neutron::read_router(&replica, uuid, row);
        let ports = router.ports.iter().map(|port| port.uuid);
        let _ = (neutron::router_mtu(&replica, row, ports), router.networks());
        let _: Vec<Cidr> = router.ports.iter().flat_map(|port| port.cidrs()).collect();
    }
    Some(count)
}

pub const FILES: [&str; 3] = [
    "OVSDB JSON 130 0000000000000000000000000000000000000000\n{\"name\":\"D\",\"version\":\"1.0.0\",\"tables\":{\"T\":{\"columns\":{\"s\":{\"type\":{\"key\":\"string\",\"min\":0,\"max\":\"unlimited\"}}},\"isRoot\":true}}}\n",
    "OVSDB JSON 130 0000000000000000000000000000000000000000\n{\"name\":\"D\",\"version\":\"1.0.0\",\"tables\":{\"T\":{\"columns\":{\"s\":{\"type\":{\"key\":\"string\",\"min\":0,\"max\":\"unlimited\"}}},\"isRoot\":true}}}\nOVSDB JSON 93 0000000000000000000000000000000000000000\n{\"T\":{\"6cf95839-d270-4a59-b4f0-42f06ddf419a\":{\"s\":[\"set\",[\"a\"]]}},\"_is_diff\":true,\"_date\":1}\n",
    "OVSDB CLUSTER 23 0000000000000000000000000000000000000000\n{\"term\":1,\"index\":200}\nOVSDB CLUSTER 21 0000000000000000000000000000000000000000\n{\"commit_index\":211}\n",
];

/// The guard's reader of a server's files.
pub fn database_file(data: &[u8]) {
    let (mut at, mut rows) = (0, None);
    while let Ok(Some((format, value, length))) = log::record(&data[at..], at) {
        match log::meaning(format, at == 0, value) {
            Ok(log::Record::Snapshot { schema, .. }) => rows = Some(Rows::new(&schema)),
            Ok(log::Record::Transaction(txn)) => {
                if rows.as_mut().is_some_and(|rows| rows.apply(&txn).is_err()) {
                    return;
                }
            }
            Ok(_) => {}
            Err(_) => return,
        }
        at += length;
    }
}

pub const ADDRESSES: [&str; 12] = [
    "10.0.0.0/8",
    "10.0.0.1",
    "fd00::/64",
    "10.0.0.0/8,fd00::/64",
    "10.0.0.1..10.0.0.9",
    "fa:16:3e:00:00:01",
    "::1/128",
    "0.0.0.0/0",
    "10.0.0.1,fd00::1",
    "255.255.255.255/32",
    "::ffff:1.2.3.4",
    "fd00::1..fd00::ff",
];

/// What parses is written so that it parses to the same, and its edges are within it.
pub fn addresses(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(addr) = parse_addr(text) {
        assert_eq!(parse_addr(&addr.to_string()).ok(), Some(addr));
    }
    if let Ok(pair) = parse_addr_pair(text) {
        assert!(pair.len() <= 2);
    }
    if let Ok(cidr) = text.parse::<Cidr>() {
        assert_eq!(cidr.to_string().parse::<Cidr>().ok(), Some(cidr));
        assert!(cidr.contains(cidr.network()) && cidr.contains(cidr.last()) && cidr.contains_net(cidr));
        let _ = (cidr.size(), cidr.usable());
    }
    if let Ok(dual) = text.parse::<DualCidr>() {
        assert_eq!(dual.to_string().parse::<DualCidr>().ok(), Some(dual));
    }
    if let Ok(addr) = text.parse::<IfAddr>() {
        assert!(addr.cidr().contains(addr.addr()));
    }
    if let Ok(range) = AddrRange::parse_exclude(text) {
        assert!(range.contains(range.first()) && range.contains(range.last()));
        assert_eq!(AddrRange::parse_exclude(&range.to_exclude()).ok(), Some(range));
    }
    if let Ok(mac) = text.parse::<Mac>() {
        assert_eq!(mac.to_string().parse::<Mac>().ok(), Some(mac));
        assert_eq!(mac.to_kube_ovn().parse::<Mac>().ok(), Some(mac));
    }
}

pub const SUBNETS: [&str; 2] = [
    r#"{"apiVersion":"kubeovn.io/v1","kind":"Subnet","metadata":{"name":"net2"},"spec":{"vpc":"neutron-a","cidrBlock":"12.0.1.0/24","gateway":"12.0.1.1","excludeIps":["12.0.1.1..12.0.1.9"],"natOutgoing":false,"namespaces":["net2"],"protocol":"IPv4","private":true,"allowSubnets":["10.0.0.0/8"],"mtu":1400}}"#,
    r#"{"apiVersion":"kubeovn.io/v1","kind":"Subnet","metadata":{"name":"dual"},"spec":{"cidrBlock":"10.1.0.0/16,fd00:1::/112","gateway":"10.1.0.1,fd00:1::1","protocol":"Dual","natOutgoingPolicyRules":[{"match":{"srcIPs":"10.1.0.0/24"},"action":"nat"}]},"status":{"conditions":[]}}"#,
];

/// An object of a user's is decoded or not; its rules say what they say.
pub fn subnet(data: &[u8]) {
    let Ok(subnet) = serde_json::from_slice::<Subnet>(data) else { return };
    let name = subnet.metadata.name.clone().unwrap_or_default();
    let context = SubnetContext {
        default_vpc: "ovn-cluster".to_owned(),
        services: vec!["10.96.0.0/12".parse().expect("invariant: a CIDR")],
        nodes: vec![("host1".to_owned(), IpAddr::from([172, 30, 0, 1]))],
    };
    let problems = validate::subnet(&name, &subnet.spec, &context);
    let _ = (validate::summary(&problems), validate::blocks(&problems));
    for place in [Place::DefaultVpc, Place::CustomVpc, Place::NeutronRouter] {
        let _ = validate::subnet_limits(&subnet.spec, place);
    }
    let _ = validate::subnet_in_vpc(&subnet.spec, None, false, "ovn-cluster");
    let again = serde_json::to_vec(&subnet).expect("what was decoded can be encoded");
    serde_json::from_slice::<Subnet>(&again).expect("and decoded again");
}

pub const VPCS: [&str; 1] = [
    r#"{"apiVersion":"kubeovn.io/v1","kind":"Vpc","metadata":{"name":"neutron-a","labels":{"ovn.kubernetes.io/vpc_external":"true"}},"spec":{"namespaces":["net2"],"staticRoutes":[{"cidr":"0.0.0.0/0","nextHopIP":"10.0.0.1","policy":"policyDst"}],"policyRoutes":[{"priority":10,"match":"ip4.src==10.0.0.1","action":"reroute","nextHopIP":"10.0.0.2"}],"vpcPeerings":[{"remoteVpc":"b","localConnectIP":"10.0.1.1/30"}]},"status":{"standby":true,"subnets":["a"]}}"#,
];

/// As [`subnet`].
pub fn vpc(data: &[u8]) {
    let Ok(vpc) = serde_json::from_slice::<Vpc>(data) else { return };
    let name = vpc.metadata.name.clone().unwrap_or_default();
    for external in [false, true] {
        let _ = validate::vpc(&name, &vpc.spec, external);
    }
    for place in [Place::DefaultVpc, Place::CustomVpc, Place::NeutronRouter] {
        let _ = validate::vpc_limits(&vpc.spec, place);
    }
    let again = serde_json::to_vec(&vpc).expect("what was decoded can be encoded");
    serde_json::from_slice::<Vpc>(&again).expect("and decoded again");
}

pub const ANNOTATIONS: [&str; 2] = [
    r#"{"ovn.kubernetes.io/logical_switch":"net2","ovn.kubernetes.io/ip_address":"12.0.1.5","ovn.kubernetes.io/mac_address":"00:00:00:AA:BB:CC","ovn.kubernetes.io/ip_pool":"12.0.1.5,12.0.1.6","ovn.kubernetes.io/port_security":"true"}"#,
    r#"{"a.b.ovn.kubernetes.io/ip_address":"10.1.0.5,fd00:1::5","ovn.kubernetes.io/ip_pool":"10.1.0.5..10.1.0.9;fd00:1::5"}"#,
];

/// Annotations of a pod.
pub fn annotations(data: &[u8]) {
    let Ok(map) = serde_json::from_slice::<BTreeMap<String, String>>(data) else { return };
    for provider in ["ovn", "a.b.ovn", ""] {
        let _ = validate::pod(&map, provider);
        let _ = validate::pod_limits(&map, provider, Place::NeutronRouter);
    }
    for key in map.keys() {
        let _ = keys::suffix(key);
    }
}

pub const CONFIGS: [&str; 3] = [
    r#"{"cniVersion":"1.0.0","name":"kube-ovn","type":"kube-ovn","server_socket":"/run/openvswitch/kube-ovn-daemon.sock","provider":"ovn"}"#,
    r#"{"cniVersion":"0.3.1","name":"n","type":"kube-ovn","ipam":{"type":"kube-ovn"},"prevResult":{"cniVersion":"0.3.1","interfaces":[{"name":"eth0"}],"ips":[{"version":"4","address":"10.0.0.1/8","gateway":"10.0.0.2"}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}}"#,
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=net2;K8S_POD_NAME=ubuntu;K8S_POD_UID=x",
];

/// What the container runtime hands to the plugin: its standard input, and `CNI_ARGS`.
pub fn cni(data: &[u8]) {
    if let Ok(conf) = NetConf::parse(data) {
        let _ = (conf.version(), conf.socket(), conf.provider(), conf.validate(), conf.prev());
    }
    if let Ok(value) = serde_json::from_slice(data) {
        let _ = Outcome::from_json(&value);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Args::parse(text);
    }
}

pub const OWNERS: [&str; 4] = [
    "pod/net2/ubuntu",
    "subnet/net2",
    "name=router0,neutron:x!=az2,key",
    "18d4c654-f511-4def-a3a0-a6434d237c1e",
];

/// Owner keys in rows, cluster ids, the flag's selector.
pub fn owner_and_selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(owner) = Owner::parse(text) {
        assert_eq!(Owner::parse(&owner.to_string()), Some(owner));
    }
    let _ = ClusterId::new(text);
    if let Ok(selector) = Selector::parse(text) {
        let _ = selector.selects(|_| Some("router0"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs that don't get past the first step test nothing behind it.
    #[test]
    fn the_corpus_parses() {
        assert_eq!(UPDATES.map(|text| routers(text.as_bytes())), [Some(1), None]);
        assert!(VALUES.iter().all(|text| Datum::from_json(text).is_ok()));
        assert!(SUBNETS.iter().all(|text| serde_json::from_str::<Subnet>(text).is_ok()));
        assert!(VPCS.iter().all(|text| serde_json::from_str::<Vpc>(text).is_ok()));
        assert!(CONFIGS[..2].iter().all(|text| NetConf::parse(text.as_bytes()).is_ok()));
        assert!(Args::parse(CONFIGS[2]).is_ok());
        for text in ANNOTATIONS {
            let map: BTreeMap<String, String> = serde_json::from_str(text).expect("a map");
            assert!(validate::pod(&map, "ovn").is_ok() || validate::pod(&map, "a.b.ovn").is_ok(), "{text}");
        }
        for text in FILES {
            let mut at = 0;
            while at < text.len() {
                let (format, value, length) =
                    log::record(&text.as_bytes()[at..], at).expect(text).expect(text);
                log::meaning(format, at == 0, value).expect(text);
                at += length;
            }
        }
    }
}
