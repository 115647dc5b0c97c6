//! The definitions in `charts/tombolo/files/crds` are what the types say, and what users of Kube-OVN expect.

#![allow(clippy::unwrap_used)] // A test program; helpers of tests aren't recognized as such.

use std::collections::BTreeSet;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use tombolo_api::crds;

fn crd(plural: &str) -> CustomResourceDefinition {
    crds::all().into_iter().map(|(_, c)| c).find(|c| c.spec.names.plural == plural).unwrap()
}

#[test]
fn the_files_are_what_the_types_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/tombolo/files/crds");
    let mut expected = BTreeSet::new();
    for (name, crd) in crds::all() {
        let file = std::fs::read_to_string(dir.join(&name)).unwrap_or_default();
        assert!(
            file == crds::to_yaml(&crd).unwrap(),
            "{name}: run `cargo run -p tombolo-api --bin gen-crds`"
        );
        expected.insert(name);
    }
    let found: BTreeSet<String> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected, "charts/tombolo/files/crds has files that no type stands for");
}

#[test]
fn the_yaml_reads_back() {
    for (name, crd) in crds::all() {
        let yaml = crds::to_yaml(&crd).unwrap();
        let back: serde_json::Value = serde_yaml::from_str(&yaml).unwrap();
        assert_eq!(back, serde_json::to_value(&crd).unwrap(), "{name}");
    }
}

/// What `kubectl get` prints as the header, without and with `-o wide`.
fn headers(plural: &str) -> (Vec<String>, Vec<String>) {
    let crd = crd(plural);
    let columns = crd.spec.versions[0].additional_printer_columns.clone().unwrap();
    let names = |wide: bool| {
        let shown = columns.iter().filter(|c| wide || c.priority.unwrap_or(0) == 0);
        std::iter::once("NAME".to_owned()).chain(shown.map(|c| c.name.to_uppercase())).collect()
    };
    (names(false), names(true))
}

#[test]
fn vpc_has_the_documents_columns() {
    // NAME   STANDBY   SUBNETS
    let (short, wide) = headers("vpcs");
    assert_eq!(short, ["NAME", "STANDBY", "SUBNETS"]);
    for column in ["ROUTER", "READY", "ENABLEEXTERNAL", "NAMESPACES", "DEFAULTSUBNET", "AGE"] {
        assert!(wide.contains(&column.to_owned()), "{column}");
    }
    let crd = crd("vpcs");
    let columns = crd.spec.versions[0].additional_printer_columns.as_ref().unwrap();
    let shown: Vec<_> = columns[..2].iter().map(|c| (c.type_.as_str(), c.json_path.as_str())).collect();
    // An array under a column of type string is printed as JSON: ["join","ovn-default"].
    assert_eq!(shown, [("boolean", ".status.standby"), ("string", ".status.subnets")]);
}

#[test]
fn subnet_and_ip_have_kube_ovns_columns() {
    let (subnet, _) = headers("subnets");
    assert_eq!(
        subnet,
        [
            "NAME",
            "PROVIDER",
            "VPC",
            "VLAN",
            "PROTOCOL",
            "CIDR",
            "PRIVATE",
            "NAT",
            "DEFAULT",
            "GATEWAYTYPE",
            "V4USED",
            "V4AVAILABLE",
            "V6USED",
            "V6AVAILABLE",
            "EXCLUDEIPS",
            "U2OINTERCONNECTIONIP",
        ]
    );
    assert_eq!(headers("ips").0, ["NAME", "V4IP", "V6IP", "MAC", "NODE", "SUBNET"]);
}

#[test]
fn names_and_subresources() {
    for (plural, kind, short, status) in
        [("vpcs", "Vpc", "vpc", true), ("subnets", "Subnet", "subnet", true), ("ips", "IP", "ip", false)]
    {
        let crd = crd(plural);
        assert_eq!(crd.spec.names.kind, kind);
        assert_eq!(crd.spec.names.short_names.unwrap(), [short]);
        assert_eq!(crd.spec.scope, "Cluster");
        assert_eq!(crd.spec.group, "kubeovn.io");
        assert_eq!(crd.spec.versions.len(), 1);
        let version = &crd.spec.versions[0];
        assert!(version.name == "v1" && version.served && version.storage);
        assert_eq!(version.subresources.as_ref().is_some_and(|s| s.status.is_some()), status, "{kind}");
    }
}

/// Each property of a schema as a dotted path, `[]` for elements.
fn paths(props: &JSONSchemaProps, at: &str, out: &mut BTreeSet<String>) {
    for (name, child) in props.properties.iter().flatten() {
        let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        out.insert(path.clone());
        paths(child, &path, out);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &props.items {
        paths(items, &format!("{at}[]"), out);
    }
}

#[test]
fn nothing_of_kube_ovns_is_pruned() {
    // The fields of Kube-OVN's API, by hand.
    let vpc = "spec.defaultSubnet spec.namespaces spec.staticRoutes[].policy spec.staticRoutes[].cidr \
        spec.staticRoutes[].nextHopIP spec.staticRoutes[].ecmpMode spec.staticRoutes[].bfdId \
        spec.staticRoutes[].routeTable spec.policyRoutes[].priority spec.policyRoutes[].match \
        spec.policyRoutes[].action spec.policyRoutes[].nextHopIP spec.vpcPeerings[].remoteVpc \
        spec.vpcPeerings[].localConnectIP spec.enableExternal spec.extraExternalSubnets spec.enableBfd \
        spec.bfdPort.enabled spec.bfdPort.ip spec.bfdPort.nodeSelector.matchLabels \
        spec.bfdPort.nodeSelector.matchExpressions[].key spec.bfdPort.nodeSelector.matchExpressions[].operator \
        spec.bfdPort.nodeSelector.matchExpressions[].values status.conditions[].type status.conditions[].status \
        status.conditions[].reason status.conditions[].message status.conditions[].lastUpdateTime \
        status.conditions[].lastTransitionTime status.standby status.default status.defaultLogicalSwitch \
        status.router status.tcpLoadBalancer status.udpLoadBalancer status.sctpLoadBalancer \
        status.tcpSessionLoadBalancer status.udpSessionLoadBalancer status.sctpSessionLoadBalancer status.subnets \
        status.vpcPeerings status.enableExternal status.extraExternalSubnets status.enableBfd status.bfdPort.name \
        status.bfdPort.ip status.bfdPort.nodes";
    let subnet = "spec.default spec.vpc spec.protocol spec.namespaces spec.namespaceSelectors[].matchLabels \
        spec.cidrBlock spec.gateway spec.excludeIps spec.provider spec.gatewayType spec.gatewayNode \
        spec.gatewayNodeSelectors[].matchExpressions spec.natOutgoing spec.natOutgoingPolicyRules[].match.srcIPs \
        spec.natOutgoingPolicyRules[].match.dstIPs spec.natOutgoingPolicyRules[].action \
        spec.externalEgressGateway spec.policyRoutingPriority spec.policyRoutingTableID spec.mtu spec.private \
        spec.allowSubnets spec.vlan spec.vips spec.logicalGateway spec.disableGatewayCheck \
        spec.disableInterConnection spec.enableDHCP spec.dhcpV4Options spec.dhcpV6Options spec.enableIPv6RA \
        spec.ipv6RAConfigs spec.acls[].direction spec.acls[].priority spec.acls[].match spec.acls[].action \
        spec.allowEWTraffic spec.u2oInterconnection spec.u2oInterconnectionIP spec.u2oFeatures.overlayOnlyRouting \
        spec.enableLb spec.enableEcmp spec.enableMulticastSnoop spec.enableExternalLBAddress spec.routeTable \
        spec.nodeNetwork status.conditions[].type status.v4availableIPs status.v4availableIPrange status.v4usingIPs \
        status.v4usingIPrange status.v6availableIPs status.v6availableIPrange status.v6usingIPs \
        status.v6usingIPrange status.activateGateway status.dhcpV4OptionsUUID status.dhcpV6OptionsUUID \
        status.u2oInterconnectionIP status.u2oInterconnectionMAC status.u2oInterconnectionVPC \
        status.natOutgoingPolicyRules[].ruleID status.natOutgoingPolicyRules[].match.srcIPs \
        status.natOutgoingPolicyRules[].action status.mcastQuerierIP status.mcastQuerierMAC";
    let ip = "spec.podName spec.namespace spec.subnet spec.attachSubnets spec.nodeName spec.ipAddress \
        spec.v4IpAddress spec.v6IpAddress spec.attachIps spec.macAddress spec.attachMacs spec.containerID \
        spec.podType";
    for (plural, fields) in [("vpcs", vpc), ("subnets", subnet), ("ips", ip)] {
        let crd = crd(plural);
        let mut have = BTreeSet::new();
        let schema = crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
        paths(schema, "", &mut have);
        for field in fields.split_whitespace() {
            assert!(have.contains(field), "{plural}: {field} is missing");
        }
        for field in &have {
            let ours = field.starts_with("status.neutron")
                || field.starts_with("status.nodeNetworks")
                || field.starts_with("spec.dynamicRouting");
            let parent = fields.split_whitespace().any(|f| f.starts_with(field.as_str()));
            assert!(
                parent
                    || ours
                    || field.contains("atch")
                    || field.contains("ondition")
                    || field.contains("elector"),
                "{plural}: {field} is not Kube-OVN's: a misspelt name?"
            );
        }
    }
}
