//! Defaults, validation and limits, as tables.

#![allow(clippy::unwrap_used)] // A test program; helpers of tests aren't recognized as such.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use tombolo_api::defaults::{Defaults, subnet_defaults, vpc_defaults};
use tombolo_api::validate::{self, IpPool, Place, Problem, Reason, Severity, SubnetContext};
use tombolo_api::{SubnetSpec, Vpc, VpcSpec};
use tombolo_net::Family;

fn spec(value: serde_json::Value) -> SubnetSpec {
    serde_json::from_value(value).unwrap()
}

fn filled(name: &str, value: serde_json::Value) -> serde_json::Value {
    serde_json::to_value(subnet_defaults(name, &spec(value), &Defaults::default())).unwrap()
}

#[test]
fn defaults() {
    // The document's subnet, behind Neutron's router.
    assert_eq!(
        filled(
            "net2",
            json!({"vpc": "neutron-1", "namespaces": ["net2"], "cidrBlock": "12.0.1.0/24", "natOutgoing": false})
        ),
        json!({"default": false, "vpc": "neutron-1", "protocol": "IPv4", "namespaces": ["net2"],
            "cidrBlock": "12.0.1.0/24", "gateway": "12.0.1.1", "excludeIps": ["12.0.1.1"], "provider": "ovn",
            "natOutgoing": false, "private": false})
    );
    assert_eq!(
        filled("ovn-default", json!({"cidrBlock": "FD00::1/112,10.16.0.7/16", "natOutgoing": true})),
        json!({"default": true, "vpc": "ovn-cluster", "protocol": "Dual", "cidrBlock": "10.16.0.0/16,fd00::/112",
            "gateway": "10.16.0.1,fd00::1", "excludeIps": ["10.16.0.1", "fd00::1"], "provider": "ovn",
            "gatewayType": "distributed", "natOutgoing": true, "private": false, "enableLb": true})
    );
    let join = filled("join", json!({"cidrBlock": "100.64.0.0/16", "disableInterConnection": true}));
    assert_eq!((&join["gatewayType"], &join["enableLb"]), (&json!(null), &json!(null)));
    // What is given stays; a gateway within an excluded range isn't repeated.
    let given = filled(
        "a",
        json!({"cidrBlock": "10.1.0.0/24", "gateway": "10.1.0.254", "default": true,
        "excludeIps": ["10.1.0.200..10.1.0.254"], "enableLb": false, "gatewayType": "centralized"}),
    );
    assert_eq!(given["gateway"], "10.1.0.254");
    assert_eq!(given["excludeIps"], json!(["10.1.0.200..10.1.0.254"]));
    assert_eq!(
        (&given["enableLb"], &given["gatewayType"], &given["default"]),
        (&json!(false), &json!("centralized"), &json!(false))
    );
    // One gateway of two is given.
    let half = filled("a", json!({"cidrBlock": "10.1.0.0/24,fd00::/64", "gateway": "10.1.0.9"}));
    assert_eq!(half["gateway"], "10.1.0.9,fd00::1");
    // Not in OVN: no VPC.
    assert_eq!(
        filled("a", json!({"provider": "macvlan.default", "cidrBlock": "10.1.0.0/24"}))["vpc"],
        json!(null)
    );
    assert_eq!(filled("a", json!({"provider": "x.default.ovn"}))["vpc"], "ovn-cluster");
    // Underlay settings without a VLAN.
    let u2o = filled("a", json!({"u2oInterconnection": true, "u2oInterconnectionIP": "1.1.1.1"}));
    assert_eq!((&u2o["u2oInterconnection"], &u2o["u2oInterconnectionIP"]), (&json!(null), &json!(null)));
    // Nonsense stays, for validation to complain about.
    let bad = filled("a", json!({"cidrBlock": "10.1.0/24", "gateway": "x"}));
    assert_eq!(
        (&bad["cidrBlock"], &bad["gateway"], &bad["excludeIps"]),
        (&json!("10.1.0/24"), &json!("x"), &json!(null))
    );
}

#[test]
fn vpc_default_routes() {
    let vpc: VpcSpec = serde_json::from_value(json!({
        "staticRoutes": [{"cidr": "0.0.0.0/0", "nextHopIP": "1.1.1.1"}, {"policy": "policySrc"}],
        "policyRoutes": [{"action": "drop", "nextHopIP": "1.1.1.1"}, {"action": "reroute", "nextHopIP": "1.1.1.1"}]
    }))
    .unwrap();
    let vpc = vpc_defaults(&vpc);
    assert_eq!(
        vpc.static_routes.iter().map(|r| r.policy.as_str()).collect::<Vec<_>>(),
        ["policyDst", "policySrc"]
    );
    assert_eq!(vpc.policy_routes.iter().map(|r| r.next_hop_ip.as_str()).collect::<Vec<_>>(), ["", "1.1.1.1"]);
}

fn reasons(problems: &[Problem]) -> Vec<(&str, &'static str)> {
    problems.iter().map(|p| (p.field.as_str(), p.reason.as_str())).collect()
}

fn context() -> SubnetContext {
    SubnetContext {
        default_vpc: "ovn-cluster".into(),
        services: vec!["10.96.0.0/12".parse().unwrap()],
        nodes: vec![("n1".into(), "172.30.0.1".parse().unwrap())],
    }
}

#[test]
fn valid_subnets() {
    for (name, value) in [
        ("net2", json!({"vpc": "neutron-1", "cidrBlock": "12.0.1.0/24", "natOutgoing": false})),
        ("join", json!({"cidrBlock": "100.64.0.0/16", "disableInterConnection": true})),
        (
            "ovn-default",
            json!({"cidrBlock": "10.16.0.0/16,fd00:10:16::/112", "excludeIps": ["10.16.0.1..10.16.0.9"]}),
        ),
        ("upper", json!({"cidrBlock": "FD00:AB::/64", "gateway": "FD00:AB::1"})),
        ("p2p", json!({"cidrBlock": "10.1.0.0/31", "gateway": "10.1.0.1"})),
        // The API server's address matters in the default VPC only.
        ("other", json!({"vpc": "tenant", "cidrBlock": "10.96.0.0/16"})),
    ] {
        let spec = subnet_defaults(name, &spec(value), &Defaults::default());
        assert_eq!(validate::subnet(name, &spec, &context()), [], "{name}");
    }
}

#[test]
fn invalid_subnets() {
    for (value, field, reason) in [
        (json!({}), "spec.cidrBlock", "InvalidCidr"),
        (json!({"cidrBlock": "10.1.0.0"}), "spec.cidrBlock", "InvalidCidr"),
        (json!({"cidrBlock": "10.1.0.0/16,10.2.0.0/16"}), "spec.cidrBlock", "InvalidCidr"),
        (json!({"cidrBlock": "10.1.0.0/32"}), "spec.cidrBlock", "InvalidCidr"),
        (json!({"cidrBlock": "fd00::/128"}), "spec.cidrBlock", "InvalidCidr"),
        (json!({"cidrBlock": "127.1.0.0/16"}), "spec.cidrBlock", "ForbiddenRange"),
        (json!({"cidrBlock": "169.254.3.0/24"}), "spec.cidrBlock", "ForbiddenRange"),
        (json!({"cidrBlock": "239.0.0.0/24"}), "spec.cidrBlock", "ForbiddenRange"),
        (json!({"cidrBlock": "fe80::/64"}), "spec.cidrBlock", "ForbiddenRange"),
        (json!({"cidrBlock": "10.96.0.0/12"}), "spec.cidrBlock", "CidrConflict"),
        (json!({"cidrBlock": "172.30.0.0/24"}), "spec.cidrBlock", "CidrConflict"),
        (json!({"cidrBlock": "10.1.0.0/24", "gateway": "10.2.0.1"}), "spec.gateway", "InvalidGateway"),
        (json!({"cidrBlock": "10.1.0.0/24", "gateway": "10.1.0.0"}), "spec.gateway", "InvalidGateway"),
        (json!({"cidrBlock": "10.1.0.0/24", "gateway": "10.1.0.255"}), "spec.gateway", "InvalidGateway"),
        (json!({"cidrBlock": "10.1.0.0/24", "gateway": "fd00::1"}), "spec.gateway", "InvalidGateway"),
        (json!({"cidrBlock": "10.1.0.0/24", "gateway": "gw"}), "spec.gateway", "InvalidGateway"),
        (
            json!({"cidrBlock": "10.1.0.0/24", "excludeIps": ["10.1.0.9..10.1.0.2"]}),
            "spec.excludeIps[0]",
            "InvalidExcludeIps",
        ),
        (
            json!({"cidrBlock": "10.1.0.0/24", "excludeIps": ["10.1.0.2", "x"]}),
            "spec.excludeIps[1]",
            "InvalidExcludeIps",
        ),
        (
            json!({"cidrBlock": "10.1.0.0/24", "allowSubnets": ["10.1.0.1"]}),
            "spec.allowSubnets[0]",
            "InvalidValue",
        ),
        (json!({"cidrBlock": "10.1.0.0/24", "gatewayType": "central"}), "spec.gatewayType", "InvalidValue"),
        (json!({"cidrBlock": "fd00::/64", "mtu": 1000}), "spec.mtu", "InvalidValue"),
        (json!({"cidrBlock": "10.1.0.0/24", "mtu": 70000}), "spec.mtu", "InvalidValue"),
        (
            json!({"cidrBlock": "10.1.0.0/24", "policyRoutingPriority": 40000}),
            "spec.policyRoutingPriority",
            "InvalidValue",
        ),
        (json!({"cidrBlock": "10.1.0.0/24", "vips": ["10.2.0.1"]}), "spec.vips[0]", "AddressOutsideSubnet"),
        (
            json!({"cidrBlock": "10.1.0.0/24", "externalEgressGateway": "fd00::1"}),
            "spec.externalEgressGateway",
            "InvalidValue",
        ),
        (
            json!({"cidrBlock": "10.1.0.0/24", "externalEgressGateway": "9.9.9.9", "natOutgoing": true}),
            "spec.externalEgressGateway",
            "ConflictingFields",
        ),
        (
            json!({"cidrBlock": "10.1.0.0/24", "vlan": "v", "logicalGateway": true, "u2oInterconnection": true}),
            "spec.logicalGateway",
            "ConflictingFields",
        ),
        (
            json!({"cidrBlock": "10.1.0.0/24", "vlan": "v", "u2oInterconnectionIP": "10.2.0.1"}),
            "spec.u2oInterconnectionIP",
            "AddressOutsideSubnet",
        ),
        (
            json!({"cidrBlock": "10.1.0.0/24", "acls": [{"direction": "up", "action": "drop"}]}),
            "spec.acls[0].direction",
            "InvalidValue",
        ),
        (
            json!({"cidrBlock": "10.1.0.0/24", "natOutgoingPolicyRules": [{"match": {"srcIPs": "10.1.0.1,fd00::1"}, "action": "nat"}]}),
            "spec.natOutgoingPolicyRules[0].match",
            "InvalidValue",
        ),
        (
            json!({"cidrBlock": "10.1.0.0/24", "natOutgoingPolicyRules": [{"match": {"dstIPs": "all"}, "action": "nat"}]}),
            "spec.natOutgoingPolicyRules[0].match.dstIPs",
            "InvalidValue",
        ),
    ] {
        let spec = subnet_defaults("s", &spec(value.clone()), &Defaults::default());
        let problems = validate::subnet("s", &spec, &context());
        assert_eq!(reasons(&problems), [(field, reason)], "{value}");
        assert!(problems[0].message.starts_with(field), "{}", problems[0].message);
        assert!(validate::blocks(&problems));
    }
    for name in ["ovn-cluster", "neutron-x", "provnet-x", &"x".repeat(64)] {
        let spec = subnet_defaults(name, &spec(json!({"cidrBlock": "10.1.0.0/24"})), &Defaults::default());
        assert_eq!(reasons(&validate::subnet(name, &spec, &context())), [("metadata.name", "InvalidName")]);
    }
}

#[test]
fn overlap_names_the_other_one() {
    let taken = [
        ("Neutron's network provider", "192.168.1.0/24".parse().unwrap()),
        ("Subnet a", "10.0.0.0/8".parse().unwrap()),
    ];
    let problems = validate::overlaps("192.168.0.0/16".parse().unwrap(), taken);
    assert_eq!(reasons(&problems), [("spec.cidrBlock", "CidrConflict")]);
    assert!(problems[0].message.contains("192.168.1.0/24 of Neutron's network provider"), "{}", problems[0]);
    assert_eq!(validate::overlaps("12.0.1.0/24".parse().unwrap(), taken), []);
}

#[test]
fn subnet_and_its_vpc() {
    let subnet = spec(json!({"vpc": "neutron-1", "namespaces": ["net2", "net3"]}));
    let vpc = |namespaces: &[&str], standby: bool| -> Vpc {
        serde_json::from_value(
            json!({"apiVersion": "kubeovn.io/v1", "kind": "Vpc", "metadata": {"name": "neutron-1"},
            "spec": {"namespaces": namespaces}, "status": {"standby": standby}}),
        )
        .unwrap()
    };
    let check = |vpc: Option<&Vpc>| {
        let standby = vpc.and_then(|vpc| vpc.status.as_ref()).is_some_and(|status| status.standby);
        let found = validate::subnet_in_vpc(&subnet, vpc.map(|vpc| &vpc.spec), standby, "ovn-cluster");
        found.into_iter().map(|p| p.reason).collect::<Vec<_>>()
    };
    assert_eq!(check(None), [Reason::UnknownVpc]);
    assert_eq!(check(Some(&vpc(&["net2", "net3"], false))), [Reason::VpcNotReady]);
    assert_eq!(check(Some(&vpc(&["net2"], true))), [Reason::NamespaceNotInVpc]);
    assert!(check(Some(&vpc(&["net3", "net2"], true))).is_empty());
}

#[test]
fn limits_on_a_neutron_router() {
    use Reason::{NotPossibleOnNeutronRouter as Never, NotSupportedYet as NotYet};
    for (value, field, neutron, ours) in [
        (json!({"natOutgoing": true}), "spec.natOutgoing", Never, None),
        (
            json!({"natOutgoingPolicyRules": [{"action": "nat"}]}),
            "spec.natOutgoingPolicyRules",
            Never,
            Some(NotYet),
        ),
        (json!({"externalEgressGateway": "1.1.1.1"}), "spec.externalEgressGateway", Never, Some(NotYet)),
        (json!({"gatewayType": "centralized"}), "spec.gatewayType", Never, Some(NotYet)),
        (json!({"enableEcmp": true}), "spec.enableEcmp", Never, Some(NotYet)),
        (json!({"routeTable": "t"}), "spec.routeTable", Never, Some(NotYet)),
        (json!({"vlan": "v"}), "spec.vlan", NotYet, Some(NotYet)),
        (json!({"u2oInterconnection": true}), "spec.u2oInterconnection", NotYet, Some(NotYet)),
        (json!({"private": true}), "spec.private", NotYet, Some(NotYet)),
        (json!({"acls": [{}]}), "spec.acls", NotYet, Some(NotYet)),
        (json!({"allowEWTraffic": true}), "spec.allowEWTraffic", NotYet, Some(NotYet)),
        (json!({"enableDHCP": true}), "spec.enableDHCP", NotYet, Some(NotYet)),
        (json!({"provider": "a.b.ovn"}), "spec.provider", NotYet, Some(NotYet)),
    ] {
        let problems = validate::subnet_limits(&spec(value.clone()), Place::NeutronRouter);
        assert_eq!(
            problems.iter().map(|p| (p.field.as_str(), p.reason)).collect::<Vec<_>>(),
            [(field, neutron)],
            "{value}"
        );
        let problems = validate::subnet_limits(&spec(value), Place::DefaultVpc);
        assert_eq!(problems.iter().map(|p| p.reason).next(), ours, "{field}");
    }
    // What Kube-OVN writes back into any subnet, and what says nothing, is no reason to refuse it.
    let harmless = json!({"vpc": "neutron-1", "cidrBlock": "12.0.1.0/24", "provider": "ovn", "gatewayType": "distributed",
        "gatewayNode": "n1", "enableLb": true, "allowSubnets": ["10.0.0.0/8"], "mtu": 1400, "excludeIps": ["12.0.1.1"]});
    assert_eq!(validate::subnet_limits(&spec(harmless), Place::NeutronRouter), []);

    for (value, field, reason) in [
        (json!({"staticRoutes": [{}]}), "spec.staticRoutes", Never),
        (json!({"policyRoutes": [{}]}), "spec.policyRoutes", NotYet),
        (json!({"vpcPeerings": [{}]}), "spec.vpcPeerings", Never),
        (json!({"enableExternal": true}), "spec.enableExternal", Never),
        (json!({"extraExternalSubnets": ["e"]}), "spec.extraExternalSubnets", Never),
        (json!({"enableBfd": true}), "spec.enableBfd", Never),
        (json!({"bfdPort": {"enabled": true}}), "spec.bfdPort", Never),
        (json!({"dynamicRouting": {"enabled": true}}), "spec.dynamicRouting", Never),
    ] {
        let vpc: VpcSpec = serde_json::from_value(value).unwrap();
        let problems = validate::vpc_limits(&vpc, Place::NeutronRouter);
        assert_eq!(
            problems.iter().map(|p| (p.field.as_str(), p.reason)).collect::<Vec<_>>(),
            [(field, reason)]
        );
    }
    let plain: VpcSpec = serde_json::from_value(json!({"namespaces": ["net2"], "bfdPort": {}})).unwrap();
    assert_eq!(validate::vpc_limits(&plain, Place::NeutronRouter), []);
}

#[test]
fn invalid_vpcs() {
    for (value, field) in [
        (json!({"staticRoutes": [{"cidr": "x", "nextHopIP": "1.1.1.1"}]}), "spec.staticRoutes[0].cidr"),
        (
            json!({"staticRoutes": [{"cidr": "10.0.0.0/8", "nextHopIP": ""}]}),
            "spec.staticRoutes[0].nextHopIP",
        ),
        (
            json!({"staticRoutes": [{"policy": "dst", "cidr": "10.0.0.0/8", "nextHopIP": "1.1.1.1"}]}),
            "spec.staticRoutes[0].policy",
        ),
        (json!({"policyRoutes": [{"action": "jump"}]}), "spec.policyRoutes[0].action"),
        (json!({"policyRoutes": [{"action": "allow", "priority": 32768}]}), "spec.policyRoutes[0].priority"),
        (
            json!({"policyRoutes": [{"action": "reroute", "nextHopIP": "1.1.1.1,x"}]}),
            "spec.policyRoutes[0].nextHopIP",
        ),
        (
            json!({"vpcPeerings": [{"remoteVpc": "b", "localConnectIP": "1.1.1.1"}]}),
            "spec.vpcPeerings[0].localConnectIP",
        ),
        (
            json!({"vpcPeerings": [{"remoteVpc": "a", "localConnectIP": "1.1.1.1/30"}]}),
            "spec.vpcPeerings[0].remoteVpc",
        ),
    ] {
        let spec: VpcSpec = serde_json::from_value(value).unwrap();
        assert_eq!(reasons(&validate::vpc("a", &spec, false)), [(field, "InvalidValue")]);
    }
    assert_eq!(
        reasons(&validate::vpc("neutron-a", &VpcSpec::default(), false)),
        [("metadata.name", "InvalidName")]
    );
    assert_eq!(validate::vpc("neutron-a", &VpcSpec::default(), true), []);
    let good: VpcSpec = serde_json::from_value(json!({
        "staticRoutes": [{"cidr": "0.0.0.0/0", "nextHopIP": "1.1.1.1", "policy": "policyDst"}],
        "policyRoutes": [{"priority": 10, "match": "ip4", "action": "reroute", "nextHopIP": "1.1.1.1,1.1.1.2"}],
        "vpcPeerings": [{"remoteVpc": "b", "localConnectIP": "169.254.0.1/30"}]
    }))
    .unwrap();
    assert_eq!(validate::vpc("a", &good, false), []);
}

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (format!("ovn.kubernetes.io/{k}"), (*v).to_owned())).collect()
}

#[test]
fn pods() {
    let none = validate::pod(&BTreeMap::new(), "ovn").unwrap();
    assert_eq!((none.addresses.len(), none.families.len(), none.pool), (0, 2, None));
    let all = annotations(&[
        ("logical_switch", "net2"),
        ("ip_address", "fd00::9,12.0.1.9/24"),
        ("mac_address", "00:00:00:7A:2E:93"),
        ("port_security", "true"),
    ]);
    let request = validate::pod(&all, "ovn").unwrap();
    assert_eq!(request.subnet.as_deref(), Some("net2"));
    assert_eq!(request.addresses.iter().map(|a| a.to_string()).collect::<Vec<_>>(), ["12.0.1.9", "fd00::9"]);
    assert_eq!(request.mac.unwrap().to_kube_ovn(), "00:00:00:7A:2E:93");
    assert_eq!(request.families, [Family::V4, Family::V6]);
    assert!(request.port_security);
    for (family, expected) in [("IPv4", Family::V4), ("ipv6", Family::V6)] {
        let request = validate::pod(&annotations(&[("ip_family", family)]), "ovn").unwrap();
        assert_eq!(request.families, [expected]);
    }
    // Those of the first interface say nothing about a further one.
    assert_eq!(validate::pod(&all, "net1.ns1.ovn").unwrap().subnet, None);

    let pool = |text: &str| validate::pod(&annotations(&[("ip_pool", text)]), "ovn").unwrap().pool.unwrap();
    let sizes = |p: IpPool| match p {
        IpPool::Addresses(all) => all.iter().map(Vec::len).collect::<Vec<_>>(),
        IpPool::Named(name) => panic!("a name: {name}"),
    };
    assert_eq!(sizes(pool("12.0.1.9")), [1]);
    assert_eq!(sizes(pool("12.0.1.9, 12.0.1.10,12.0.1.11")), [1, 1, 1]);
    assert_eq!(sizes(pool("12.0.1.9,fd00::9")), [2]);
    assert_eq!(sizes(pool("12.0.1.9,fd00::9;12.0.1.10,fd00::a")), [2, 2]);
    assert_eq!(pool("pool-1"), IpPool::Named("pool-1".into()));
    // An entry that can't be read keeps its place.
    assert_eq!(sizes(pool("12.0.1.9,x,12.0.1.11")), [1, 0, 1]);
    let many = |n: usize| vec!["12.0.1.9"; n].join(",");
    assert_eq!(sizes(pool(&many(validate::POOL_ENTRIES))).len(), validate::POOL_ENTRIES);
    let too_many = many(validate::POOL_ENTRIES + 1);

    for (key, value) in [
        ("ip_address", "12.0.1"),
        ("ip_address", "12.0.1.1,12.0.1.2"),
        ("mac_address", "00:00"),
        ("mac_address", "01:00:00:00:00:01"),
        ("ip_pool", "y,x"),
        ("ip_pool", "Pool_1"),
        ("ip_pool", &too_many),
        ("ip_family", "4"),
        ("logical_switch", "net2\nlevel=error"),
        ("logical_switch", "Net2"),
        ("logical_switch", "net2,net3"),
    ] {
        let problems = validate::pod(&annotations(&[(key, value)]), "ovn").unwrap_err();
        assert!(problems[0].message.len() < 300 && !problems[0].message.contains('\n'), "{problems:?}");
        assert_eq!(
            reasons(&problems),
            [(format!("metadata.annotations[ovn.kubernetes.io/{key}]").as_str(), "InvalidAnnotation")]
        );
    }
}

#[test]
fn texts_of_pods_are_cut_and_quoted_and_contradictions_refused() {
    let long = "A\n".repeat(100_000);
    for key in ["logical_switch", "ip_address", "mac_address", "ip_pool", "ip_family"] {
        let problems = validate::pod(&annotations(&[(key, &long)]), "ovn").unwrap_err();
        let message = &problems[0].message;
        assert!(message.len() < 400 && !message.contains('\n'), "{key}: {message}");
    }
    let both = annotations(&[("ip_family", "ipv6"), ("ip_address", "12.0.1.9")]);
    let problems = validate::pod(&both, "ovn").unwrap_err();
    assert!(problems[0].message.contains("12.0.1.9"), "{problems:?}");
}

#[test]
fn limits_of_pods() {
    let check = |pairs: &[(&str, &str)], place| {
        validate::pod_limits(&annotations(pairs), "ovn", place)
            .into_iter()
            .map(|p| (p.reason, p.severity))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        check(&[("eip", "1.1.1.1")], Place::NeutronRouter),
        [(Reason::NotPossibleOnNeutronRouter, Severity::Ignored)]
    );
    assert_eq!(
        check(&[("eip", "1.1.1.1")], Place::DefaultVpc),
        [(Reason::NotSupportedYet, Severity::Ignored)]
    );
    assert_eq!(
        check(&[("security_groups", "sg")], Place::NeutronRouter),
        [(Reason::NotSupportedYet, Severity::Refuse)]
    );
    assert_eq!(
        check(
            &[
                ("mirror", "false"),
                ("allocated", "true"),
                ("ip_address", "1.1.1.1"),
                ("eip", ""),
                ("pod_nic_type", "veth-pair")
            ],
            Place::DefaultVpc
        ),
        []
    );
    assert_eq!(
        check(&[("pod_nic_type", "internal-port")], Place::DefaultVpc),
        [(Reason::NotSupportedYet, Severity::Ignored)]
    );
    let elsewhere = [("v1.multus-cni.io/default-network", "macvlan"), ("net1.a.ovn.kubernetes.io/vip", "v")];
    let elsewhere = elsewhere.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let fields: Vec<String> =
        validate::pod_limits(&elsewhere, "ovn", Place::DefaultVpc).into_iter().map(|p| p.field).collect();
    assert_eq!(
        fields,
        [
            "metadata.annotations[v1.multus-cni.io/default-network]",
            "metadata.annotations[net1.a.ovn.kubernetes.io/vip]"
        ]
    );
}

#[test]
fn limits_of_other_annotations() {
    use tombolo_api::validate::{UNSERVED_ON_VPCS, annotation_limits};
    let dropped = |value: &str| {
        let all = [("ovn.kubernetes.io/vpc_lb".to_owned(), value.to_owned())].into();
        annotation_limits(&UNSERVED_ON_VPCS, Some(&all)).into_iter().map(|p| p.severity).collect::<Vec<_>>()
    };
    assert_eq!(dropped("on"), [Severity::Ignored]);
    assert_eq!((dropped("off"), dropped("")), (Vec::new(), Vec::new()));
    assert_eq!(annotation_limits(&UNSERVED_ON_VPCS, None), []);
}

#[test]
fn summaries() {
    let mild = Problem::ignored("a", Reason::NotSupportedYet, "x");
    let hard = Problem::refuse("b", Reason::InvalidCidr, "y");
    assert_eq!(validate::summary(&[]), None);
    assert_eq!(validate::summary(&[mild.clone(), hard]), Some((Reason::InvalidCidr, "a: x; b: y".into())));
    assert!(!validate::blocks(&[mild]));
}

fn any_spec() -> impl Strategy<Value = SubnetSpec> {
    let text = |all: &'static [&'static str]| prop::sample::select(all);
    (
        text(&[
            "",
            "10.1.0.9/24",
            "10.1.0.0/31",
            "fd00::/64",
            "FD00::/64,10.1.0.0/24",
            "10.0.0/8",
            "0.0.0.0/0",
            "::/0",
        ]),
        text(&["", "10.1.0.7", "fd00::7", "10.1.0.7,fd00::7", "x", " "]),
        prop::collection::vec(text(&["10.1.0.1", "10.1.0.2..10.1.0.30", "fd00::1", "y"]), 0..3),
        text(&["", "ovn-cluster", "neutron-1"]),
        text(&["", "ovn", "a.b.ovn", "macvlan.x"]),
        any::<bool>(),
    )
        .prop_map(|(cidr, gateway, exclude, vpc, provider, flag)| SubnetSpec {
            cidr_block: cidr.into(),
            gateway: gateway.into(),
            exclude_ips: exclude.into_iter().map(Into::into).collect(),
            vpc: vpc.into(),
            provider: provider.into(),
            u2o_interconnection: flag,
            default: flag,
            ..Default::default()
        })
}

proptest! {
    // invariant 9: what is written back isn't changed again.
    #[test]
    fn defaults_are_idempotent(spec in any_spec(), name in prop::sample::select(vec!["join", "ovn-default", "x"])) {
        let once = subnet_defaults(name, &spec, &Defaults::default());
        prop_assert_eq!(&subnet_defaults(name, &once, &Defaults::default()), &once);
        // Validation takes anything without a panic, and what has no problem has a usable gateway.
        let problems = validate::subnet(name, &once, &context());
        if problems.is_empty() {
            let cidr: tombolo_net::DualCidr = once.cidr_block.parse().unwrap();
            let gateways = tombolo_net::parse_addr_pair(&once.gateway).unwrap();
            prop_assert_eq!(gateways.len(), cidr.iter().count());
            prop_assert!(gateways.iter().all(|g| cidr.contains(*g)));
        }
    }
}

#[test]
fn an_invalid_entry_is_found_wherever_it_stands_in_its_list() {
    let last = |list: &str, good: serde_json::Value, bad: serde_json::Value| {
        let mut entries = vec![good; 50];
        entries.push(bad);
        let spec = json!({"cidrBlock": "10.0.0.0/24", "gateway": "10.0.0.1", list: entries});
        let spec: SubnetSpec = serde_json::from_value(spec).unwrap();
        let found = validate::subnet("x", &spec, &SubnetContext::default());
        assert_eq!(found.len(), 1, "{list}: {found:?}");
        assert!(found[0].field.starts_with(&format!("spec.{list}[50]")), "{found:?}");
    };
    last("excludeIps", json!("10.0.0.9"), json!("x"));
    last("allowSubnets", json!("10.1.0.0/16"), json!("x"));
    let acl = |action| json!({"direction": "to-lport", "action": action, "priority": 1, "match": "ip"});
    last("acls", acl("allow"), acl("alow"));
    let rule = |action, ips| json!({"action": action, "match": {"srcIPs": ips}});
    last("natOutgoingPolicyRules", rule("nat", "10.0.0.2"), rule("nta", "10.0.0.2"));
    last("natOutgoingPolicyRules", rule("nat", "10.0.0.2"), rule("nat", "10.0.0"));
}

#[test]
fn however_much_is_wrong_the_answer_has_bounds() {
    let many = |text: &str| vec![text.to_owned(); 100_000];
    let spec = SubnetSpec {
        cidr_block: "10.0.0.0/24".to_owned(),
        exclude_ips: many("a"),
        allow_subnets: many("b"),
        namespaces: (0..100_000).map(|n| format!("n{n}")).collect(),
        ..SubnetSpec::default()
    };
    let started = std::time::Instant::now();
    let found = validate::subnet("x", &spec, &SubnetContext::default());
    assert!((2..200).contains(&found.len()), "{}", found.len());
    let vpc = tombolo_api::VpcSpec {
        namespaces: (0..100_000).map(|n| format!("m{n}")).collect(),
        ..Default::default()
    };
    let found = validate::subnet_in_vpc(&spec, Some(&vpc), true, "ovn-cluster");
    assert!((1..200).contains(&found.len()), "{}", found.len());
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    let routes = |n: usize| vec![tombolo_api::StaticRoute { cidr: "x".into(), ..Default::default() }; n];
    let vpc = tombolo_api::VpcSpec { static_routes: routes(100_000), ..Default::default() };
    assert!((2..200).contains(&validate::vpc("x", &vpc, false).len()));
    // A value of any length is quoted in part.
    let spec = SubnetSpec { cidr_block: "é".repeat(500_000), ..SubnetSpec::default() };
    let found = validate::subnet("x", &spec, &SubnetContext::default());
    assert!(!found.is_empty() && found.iter().all(|problem| problem.message.len() < 5_000));
}
