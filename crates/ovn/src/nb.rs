//! Tables of `OVN_Northbound` 7.11.0.
//!
//! Written by `cargo xtask gen` from `schemas/ovn-25.03/ovn-nb.ovsschema`; don't edit.

use std::collections::{BTreeMap, BTreeSet};

use crate::Ref;
use crate::table::{Facts, choice, table};

/// The database's name.
pub const DATABASE: &str = "OVN_Northbound";

/// The pinned schema, as `.ovsschema` text.
pub const SCHEMA: &str = include_str!("../../../schemas/ovn-25.03/ovn-nb.ovsschema");

/// What the schema says of each table, ascending by name.
pub const TABLES: &[Facts] = &[
    Facts::of::<Acl>(),
    Facts::of::<AddressSet>(),
    Facts::of::<Bfd>(),
    Facts::of::<ChassisTemplateVar>(),
    Facts::of::<Connection>(),
    Facts::of::<Copp>(),
    Facts::of::<DhcpOptions>(),
    Facts::of::<DhcpRelay>(),
    Facts::of::<Dns>(),
    Facts::of::<ForwardingGroup>(),
    Facts::of::<GatewayChassis>(),
    Facts::of::<HaChassis>(),
    Facts::of::<HaChassisGroup>(),
    Facts::of::<LoadBalancer>(),
    Facts::of::<LoadBalancerGroup>(),
    Facts::of::<LoadBalancerHealthCheck>(),
    Facts::of::<LogicalRouter>(),
    Facts::of::<LogicalRouterPolicy>(),
    Facts::of::<LogicalRouterPort>(),
    Facts::of::<LogicalRouterStaticRoute>(),
    Facts::of::<LogicalSwitch>(),
    Facts::of::<LogicalSwitchPort>(),
    Facts::of::<Meter>(),
    Facts::of::<MeterBand>(),
    Facts::of::<Mirror>(),
    Facts::of::<Nat>(),
    Facts::of::<NbGlobal>(),
    Facts::of::<PortGroup>(),
    Facts::of::<QoS>(),
    Facts::of::<Ssl>(),
    Facts::of::<Sample>(),
    Facts::of::<SampleCollector>(),
    Facts::of::<SamplingApp>(),
    Facts::of::<StaticMacBinding>(),
];

choice! {
    /// Values of `ACL.action`.
    AclAction {
        Allow = "allow",
        AllowRelated = "allow-related",
        AllowStateless = "allow-stateless",
        Drop = "drop",
        Reject = "reject",
        Pass = "pass",
    }
}

choice! {
    /// Values of `ACL.direction`.
    AclDirection {
        FromLport = "from-lport",
        ToLport = "to-lport",
    }
}

choice! {
    /// Values of `ACL.severity`.
    AclSeverity {
        Alert = "alert",
        Warning = "warning",
        Notice = "notice",
        Info = "info",
        Debug = "debug",
    }
}

table! {
    /// A row of `OVN_Northbound.ACL`.
    Acl = "ACL",
    root: false,
    indexes: [],
    references: ["sample_est" => "Sample" strong, "sample_new" => "Sample" strong],
    external_ids: true,
    columns: {
        /// `action`: one of `allow`, `allow-related`, `allow-stateless`, `drop`, `reject`, `pass`.
        action: AclAction = ACTION "action",
        /// `direction`: one of `from-lport`, `to-lport`.
        direction: AclDirection = DIRECTION "direction",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `label`: one integer.
        label: i64 = LABEL "label",
        /// `log`: one boolean.
        log: bool = LOG "log",
        /// `match`: one string.
        r#match: String = MATCH "match",
        /// `meter`: at most one string.
        meter: Option<String> = METER "meter",
        /// `name`: at most one string.
        name: Option<String> = NAME "name",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `priority`: one integer.
        priority: i64 = PRIORITY "priority",
        /// `sample_est`: at most one strong reference to `Sample`.
        sample_est: Option<Ref<Sample>> = SAMPLE_EST "sample_est",
        /// `sample_new`: at most one strong reference to `Sample`.
        sample_new: Option<Ref<Sample>> = SAMPLE_NEW "sample_new",
        /// `severity`: at most one of `alert`, `warning`, `notice`, `info`, `debug`.
        severity: Option<AclSeverity> = SEVERITY "severity",
        /// `tier`: one integer.
        tier: i64 = TIER "tier",
    }
}

table! {
    /// A row of `OVN_Northbound.Address_Set`.
    AddressSet = "Address_Set",
    root: true,
    indexes: [["name"]],
    references: [],
    external_ids: true,
    columns: {
        /// `addresses`: any number of string.
        addresses: BTreeSet<String> = ADDRESSES "addresses",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `name`: one string.
        name: String = NAME "name",
    }
}

choice! {
    /// Values of `BFD.status`.
    BfdStatus {
        Down = "down",
        Init = "init",
        Up = "up",
        AdminDown = "admin_down",
    }
}

table! {
    /// A row of `OVN_Northbound.BFD`.
    Bfd = "BFD",
    root: true,
    indexes: [["logical_port", "dst_ip"]],
    references: [],
    external_ids: true,
    columns: {
        /// `detect_mult`: at most one integer.
        detect_mult: Option<i64> = DETECT_MULT "detect_mult",
        /// `dst_ip`: one string.
        dst_ip: String = DST_IP "dst_ip",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `logical_port`: one string.
        logical_port: String = LOGICAL_PORT "logical_port",
        /// `min_rx`: at most one integer.
        min_rx: Option<i64> = MIN_RX "min_rx",
        /// `min_tx`: at most one integer.
        min_tx: Option<i64> = MIN_TX "min_tx",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `status`: at most one of `down`, `init`, `up`, `admin_down`.
        status: Option<BfdStatus> = STATUS "status",
    }
}

table! {
    /// A row of `OVN_Northbound.Chassis_Template_Var`.
    ChassisTemplateVar = "Chassis_Template_Var",
    root: true,
    indexes: [["chassis"]],
    references: [],
    external_ids: true,
    columns: {
        /// `chassis`: one string.
        chassis: String = CHASSIS "chassis",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `variables`: any number of string → string.
        variables: BTreeMap<String, String> = VARIABLES "variables",
    }
}

table! {
    /// A row of `OVN_Northbound.Connection`.
    Connection = "Connection",
    root: false,
    indexes: [["target"]],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `inactivity_probe`: at most one integer.
        inactivity_probe: Option<i64> = INACTIVITY_PROBE "inactivity_probe",
        /// `is_connected`: one boolean; lost when the server restarts.
        is_connected: bool = IS_CONNECTED "is_connected",
        /// `max_backoff`: at most one integer.
        max_backoff: Option<i64> = MAX_BACKOFF "max_backoff",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `status`: any number of string → string; lost when the server restarts.
        status: BTreeMap<String, String> = STATUS "status",
        /// `target`: one string.
        target: String = TARGET "target",
    }
}

table! {
    /// A row of `OVN_Northbound.Copp`.
    Copp = "Copp",
    root: true,
    indexes: [["name"]],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `meters`: any number of string → string.
        meters: BTreeMap<String, String> = METERS "meters",
        /// `name`: one string.
        name: String = NAME "name",
    }
}

table! {
    /// A row of `OVN_Northbound.DHCP_Options`.
    DhcpOptions = "DHCP_Options",
    root: true,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `cidr`: one string.
        cidr: String = CIDR "cidr",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
    }
}

table! {
    /// A row of `OVN_Northbound.DHCP_Relay`.
    DhcpRelay = "DHCP_Relay",
    root: true,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `name`: one string.
        name: String = NAME "name",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `servers`: at most one string.
        servers: Option<String> = SERVERS "servers",
    }
}

table! {
    /// A row of `OVN_Northbound.DNS`.
    Dns = "DNS",
    root: true,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `records`: any number of string → string.
        records: BTreeMap<String, String> = RECORDS "records",
    }
}

table! {
    /// A row of `OVN_Northbound.Forwarding_Group`.
    ForwardingGroup = "Forwarding_Group",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `child_port`: 1 or more string.
        child_port: BTreeSet<String> = CHILD_PORT "child_port",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `liveness`: one boolean.
        liveness: bool = LIVENESS "liveness",
        /// `name`: one string.
        name: String = NAME "name",
        /// `vip`: one string.
        vip: String = VIP "vip",
        /// `vmac`: one string.
        vmac: String = VMAC "vmac",
    }
}

table! {
    /// A row of `OVN_Northbound.Gateway_Chassis`.
    GatewayChassis = "Gateway_Chassis",
    root: false,
    indexes: [["name"]],
    references: [],
    external_ids: true,
    columns: {
        /// `chassis_name`: one string.
        chassis_name: String = CHASSIS_NAME "chassis_name",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `name`: one string.
        name: String = NAME "name",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `priority`: one integer.
        priority: i64 = PRIORITY "priority",
    }
}

table! {
    /// A row of `OVN_Northbound.HA_Chassis`.
    HaChassis = "HA_Chassis",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `chassis_name`: one string.
        chassis_name: String = CHASSIS_NAME "chassis_name",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `priority`: one integer.
        priority: i64 = PRIORITY "priority",
    }
}

table! {
    /// A row of `OVN_Northbound.HA_Chassis_Group`.
    HaChassisGroup = "HA_Chassis_Group",
    root: true,
    indexes: [["name"]],
    references: ["ha_chassis" => "HA_Chassis" strong],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ha_chassis`: any number of strong reference to `HA_Chassis`.
        ha_chassis: BTreeSet<Ref<HaChassis>> = HA_CHASSIS "ha_chassis",
        /// `name`: one string.
        name: String = NAME "name",
    }
}

choice! {
    /// Values of `Load_Balancer.protocol`.
    LoadBalancerProtocol {
        Tcp = "tcp",
        Udp = "udp",
        Sctp = "sctp",
    }
}

table! {
    /// A row of `OVN_Northbound.Load_Balancer`.
    LoadBalancer = "Load_Balancer",
    root: true,
    indexes: [],
    references: ["health_check" => "Load_Balancer_Health_Check" strong],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `health_check`: any number of strong reference to `Load_Balancer_Health_Check`.
        health_check: BTreeSet<Ref<LoadBalancerHealthCheck>> = HEALTH_CHECK "health_check",
        /// `ip_port_mappings`: any number of string → string.
        ip_port_mappings: BTreeMap<String, String> = IP_PORT_MAPPINGS "ip_port_mappings",
        /// `name`: one string.
        name: String = NAME "name",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `protocol`: at most one of `tcp`, `udp`, `sctp`.
        protocol: Option<LoadBalancerProtocol> = PROTOCOL "protocol",
        /// `selection_fields`: any number of of `eth_src`, `eth_dst`, `ip_src`, `ip_dst`, `ipv6_src`, `ipv6_dst`, `tp_src`, `tp_dst`.
        selection_fields: BTreeSet<String> = SELECTION_FIELDS "selection_fields",
        /// `vips`: any number of string → string.
        vips: BTreeMap<String, String> = VIPS "vips",
    }
}

table! {
    /// A row of `OVN_Northbound.Load_Balancer_Group`.
    LoadBalancerGroup = "Load_Balancer_Group",
    root: true,
    indexes: [["name"]],
    references: ["load_balancer" => "Load_Balancer" weak],
    external_ids: false,
    columns: {
        /// `load_balancer`: any number of weak reference to `Load_Balancer`.
        load_balancer: BTreeSet<Ref<LoadBalancer>> = LOAD_BALANCER "load_balancer",
        /// `name`: one string.
        name: String = NAME "name",
    }
}

table! {
    /// A row of `OVN_Northbound.Load_Balancer_Health_Check`.
    LoadBalancerHealthCheck = "Load_Balancer_Health_Check",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `vip`: one string.
        vip: String = VIP "vip",
    }
}

table! {
    /// A row of `OVN_Northbound.Logical_Router`.
    LogicalRouter = "Logical_Router",
    root: true,
    indexes: [],
    references: ["copp" => "Copp" weak, "load_balancer" => "Load_Balancer" weak, "load_balancer_group" => "Load_Balancer_Group" strong, "nat" => "NAT" strong, "policies" => "Logical_Router_Policy" strong, "ports" => "Logical_Router_Port" strong, "static_routes" => "Logical_Router_Static_Route" strong],
    external_ids: true,
    columns: {
        /// `copp`: at most one weak reference to `Copp`.
        copp: Option<Ref<Copp>> = COPP "copp",
        /// `enabled`: at most one boolean.
        enabled: Option<bool> = ENABLED "enabled",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `load_balancer`: any number of weak reference to `Load_Balancer`.
        load_balancer: BTreeSet<Ref<LoadBalancer>> = LOAD_BALANCER "load_balancer",
        /// `load_balancer_group`: any number of strong reference to `Load_Balancer_Group`.
        load_balancer_group: BTreeSet<Ref<LoadBalancerGroup>> = LOAD_BALANCER_GROUP "load_balancer_group",
        /// `name`: one string.
        name: String = NAME "name",
        /// `nat`: any number of strong reference to `NAT`.
        nat: BTreeSet<Ref<Nat>> = NAT "nat",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `policies`: any number of strong reference to `Logical_Router_Policy`.
        policies: BTreeSet<Ref<LogicalRouterPolicy>> = POLICIES "policies",
        /// `ports`: any number of strong reference to `Logical_Router_Port`.
        ports: BTreeSet<Ref<LogicalRouterPort>> = PORTS "ports",
        /// `static_routes`: any number of strong reference to `Logical_Router_Static_Route`.
        static_routes: BTreeSet<Ref<LogicalRouterStaticRoute>> = STATIC_ROUTES "static_routes",
    }
}

choice! {
    /// Values of `Logical_Router_Policy.action`.
    LogicalRouterPolicyAction {
        Allow = "allow",
        Drop = "drop",
        Reroute = "reroute",
        Jump = "jump",
    }
}

table! {
    /// A row of `OVN_Northbound.Logical_Router_Policy`.
    LogicalRouterPolicy = "Logical_Router_Policy",
    root: false,
    indexes: [],
    references: ["bfd_sessions" => "BFD" weak],
    external_ids: true,
    columns: {
        /// `action`: one of `allow`, `drop`, `reroute`, `jump`.
        action: LogicalRouterPolicyAction = ACTION "action",
        /// `bfd_sessions`: any number of weak reference to `BFD`.
        bfd_sessions: BTreeSet<Ref<Bfd>> = BFD_SESSIONS "bfd_sessions",
        /// `chain`: at most one string.
        chain: Option<String> = CHAIN "chain",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `jump_chain`: at most one string.
        jump_chain: Option<String> = JUMP_CHAIN "jump_chain",
        /// `match`: one string.
        r#match: String = MATCH "match",
        /// `nexthop`: at most one string.
        nexthop: Option<String> = NEXTHOP "nexthop",
        /// `nexthops`: any number of string.
        nexthops: BTreeSet<String> = NEXTHOPS "nexthops",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `priority`: one integer.
        priority: i64 = PRIORITY "priority",
    }
}

table! {
    /// A row of `OVN_Northbound.Logical_Router_Port`.
    LogicalRouterPort = "Logical_Router_Port",
    root: false,
    indexes: [["name"]],
    references: ["dhcp_relay" => "DHCP_Relay" strong, "gateway_chassis" => "Gateway_Chassis" strong, "ha_chassis_group" => "HA_Chassis_Group" strong],
    external_ids: true,
    columns: {
        /// `dhcp_relay`: at most one strong reference to `DHCP_Relay`.
        dhcp_relay: Option<Ref<DhcpRelay>> = DHCP_RELAY "dhcp_relay",
        /// `enabled`: at most one boolean.
        enabled: Option<bool> = ENABLED "enabled",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `gateway_chassis`: any number of strong reference to `Gateway_Chassis`.
        gateway_chassis: BTreeSet<Ref<GatewayChassis>> = GATEWAY_CHASSIS "gateway_chassis",
        /// `ha_chassis_group`: at most one strong reference to `HA_Chassis_Group`.
        ha_chassis_group: Option<Ref<HaChassisGroup>> = HA_CHASSIS_GROUP "ha_chassis_group",
        /// `ipv6_prefix`: any number of string.
        ipv6_prefix: BTreeSet<String> = IPV6_PREFIX "ipv6_prefix",
        /// `ipv6_ra_configs`: any number of string → string.
        ipv6_ra_configs: BTreeMap<String, String> = IPV6_RA_CONFIGS "ipv6_ra_configs",
        /// `mac`: one string.
        mac: String = MAC "mac",
        /// `name`: one string.
        name: String = NAME "name",
        /// `networks`: any number of string.
        networks: BTreeSet<String> = NETWORKS "networks",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `peer`: at most one string.
        peer: Option<String> = PEER "peer",
        /// `status`: any number of string → string.
        status: BTreeMap<String, String> = STATUS "status",
    }
}

choice! {
    /// Values of `Logical_Router_Static_Route.policy`.
    LogicalRouterStaticRoutePolicy {
        SrcIp = "src-ip",
        DstIp = "dst-ip",
    }
}

table! {
    /// A row of `OVN_Northbound.Logical_Router_Static_Route`.
    LogicalRouterStaticRoute = "Logical_Router_Static_Route",
    root: false,
    indexes: [],
    references: ["bfd" => "BFD" weak],
    external_ids: true,
    columns: {
        /// `bfd`: at most one weak reference to `BFD`.
        bfd: Option<Ref<Bfd>> = BFD "bfd",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ip_prefix`: one string.
        ip_prefix: String = IP_PREFIX "ip_prefix",
        /// `nexthop`: one string.
        nexthop: String = NEXTHOP "nexthop",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `output_port`: at most one string.
        output_port: Option<String> = OUTPUT_PORT "output_port",
        /// `policy`: at most one of `src-ip`, `dst-ip`.
        policy: Option<LogicalRouterStaticRoutePolicy> = POLICY "policy",
        /// `route_table`: one string.
        route_table: String = ROUTE_TABLE "route_table",
        /// `selection_fields`: any number of of `eth_src`, `eth_dst`, `ip_proto`, `ip_src`, `ip_dst`, `ipv6_src`, `ipv6_dst`, `tp_src`, `tp_dst`.
        selection_fields: BTreeSet<String> = SELECTION_FIELDS "selection_fields",
    }
}

table! {
    /// A row of `OVN_Northbound.Logical_Switch`.
    LogicalSwitch = "Logical_Switch",
    root: true,
    indexes: [],
    references: ["acls" => "ACL" strong, "copp" => "Copp" weak, "dns_records" => "DNS" weak, "forwarding_groups" => "Forwarding_Group" strong, "load_balancer" => "Load_Balancer" weak, "load_balancer_group" => "Load_Balancer_Group" strong, "ports" => "Logical_Switch_Port" strong, "qos_rules" => "QoS" strong],
    external_ids: true,
    columns: {
        /// `acls`: any number of strong reference to `ACL`.
        acls: BTreeSet<Ref<Acl>> = ACLS "acls",
        /// `copp`: at most one weak reference to `Copp`.
        copp: Option<Ref<Copp>> = COPP "copp",
        /// `dns_records`: any number of weak reference to `DNS`.
        dns_records: BTreeSet<Ref<Dns>> = DNS_RECORDS "dns_records",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `forwarding_groups`: any number of strong reference to `Forwarding_Group`.
        forwarding_groups: BTreeSet<Ref<ForwardingGroup>> = FORWARDING_GROUPS "forwarding_groups",
        /// `load_balancer`: any number of weak reference to `Load_Balancer`.
        load_balancer: BTreeSet<Ref<LoadBalancer>> = LOAD_BALANCER "load_balancer",
        /// `load_balancer_group`: any number of strong reference to `Load_Balancer_Group`.
        load_balancer_group: BTreeSet<Ref<LoadBalancerGroup>> = LOAD_BALANCER_GROUP "load_balancer_group",
        /// `name`: one string.
        name: String = NAME "name",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `ports`: any number of strong reference to `Logical_Switch_Port`.
        ports: BTreeSet<Ref<LogicalSwitchPort>> = PORTS "ports",
        /// `qos_rules`: any number of strong reference to `QoS`.
        qos_rules: BTreeSet<Ref<QoS>> = QOS_RULES "qos_rules",
    }
}

table! {
    /// A row of `OVN_Northbound.Logical_Switch_Port`.
    LogicalSwitchPort = "Logical_Switch_Port",
    root: false,
    indexes: [["name"]],
    references: ["dhcpv4_options" => "DHCP_Options" weak, "dhcpv6_options" => "DHCP_Options" weak, "ha_chassis_group" => "HA_Chassis_Group" strong, "mirror_rules" => "Mirror" weak],
    external_ids: true,
    columns: {
        /// `addresses`: any number of string.
        addresses: BTreeSet<String> = ADDRESSES "addresses",
        /// `dhcpv4_options`: at most one weak reference to `DHCP_Options`.
        dhcpv4_options: Option<Ref<DhcpOptions>> = DHCPV4_OPTIONS "dhcpv4_options",
        /// `dhcpv6_options`: at most one weak reference to `DHCP_Options`.
        dhcpv6_options: Option<Ref<DhcpOptions>> = DHCPV6_OPTIONS "dhcpv6_options",
        /// `dynamic_addresses`: at most one string.
        dynamic_addresses: Option<String> = DYNAMIC_ADDRESSES "dynamic_addresses",
        /// `enabled`: at most one boolean.
        enabled: Option<bool> = ENABLED "enabled",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ha_chassis_group`: at most one strong reference to `HA_Chassis_Group`.
        ha_chassis_group: Option<Ref<HaChassisGroup>> = HA_CHASSIS_GROUP "ha_chassis_group",
        /// `mirror_rules`: any number of weak reference to `Mirror`.
        mirror_rules: BTreeSet<Ref<Mirror>> = MIRROR_RULES "mirror_rules",
        /// `name`: one string.
        name: String = NAME "name",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `parent_name`: at most one string.
        parent_name: Option<String> = PARENT_NAME "parent_name",
        /// `peer`: at most one string.
        peer: Option<String> = PEER "peer",
        /// `port_security`: any number of string.
        port_security: BTreeSet<String> = PORT_SECURITY "port_security",
        /// `tag`: at most one integer.
        tag: Option<i64> = TAG "tag",
        /// `tag_request`: at most one integer.
        tag_request: Option<i64> = TAG_REQUEST "tag_request",
        /// `type`: one string.
        r#type: String = TYPE "type",
        /// `up`: at most one boolean.
        up: Option<bool> = UP "up",
    }
}

choice! {
    /// Values of `Meter.unit`.
    MeterUnit {
        Kbps = "kbps",
        Pktps = "pktps",
    }
}

table! {
    /// A row of `OVN_Northbound.Meter`.
    Meter = "Meter",
    root: true,
    indexes: [["name"]],
    references: ["bands" => "Meter_Band" strong],
    external_ids: true,
    columns: {
        /// `bands`: 1 or more strong reference to `Meter_Band`.
        bands: BTreeSet<Ref<MeterBand>> = BANDS "bands",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `fair`: at most one boolean.
        fair: Option<bool> = FAIR "fair",
        /// `name`: one string.
        name: String = NAME "name",
        /// `unit`: one of `kbps`, `pktps`.
        unit: MeterUnit = UNIT "unit",
    }
}

choice! {
    /// Values of `Meter_Band.action`.
    MeterBandAction {
        Drop = "drop",
    }
}

table! {
    /// A row of `OVN_Northbound.Meter_Band`.
    MeterBand = "Meter_Band",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `action`: one of `drop`.
        action: MeterBandAction = ACTION "action",
        /// `burst_size`: one integer.
        burst_size: i64 = BURST_SIZE "burst_size",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `rate`: one integer.
        rate: i64 = RATE "rate",
    }
}

choice! {
    /// Values of `Mirror.filter`.
    MirrorFilter {
        FromLport = "from-lport",
        ToLport = "to-lport",
        Both = "both",
    }
}

choice! {
    /// Values of `Mirror.type`.
    MirrorType {
        Gre = "gre",
        Erspan = "erspan",
        Local = "local",
    }
}

table! {
    /// A row of `OVN_Northbound.Mirror`.
    Mirror = "Mirror",
    root: true,
    indexes: [["name"]],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `filter`: one of `from-lport`, `to-lport`, `both`.
        filter: MirrorFilter = FILTER "filter",
        /// `index`: one integer.
        index: i64 = INDEX "index",
        /// `name`: one string.
        name: String = NAME "name",
        /// `sink`: one string.
        sink: String = SINK "sink",
        /// `type`: one of `gre`, `erspan`, `local`.
        r#type: MirrorType = TYPE "type",
    }
}

choice! {
    /// Values of `NAT.type`.
    NatType {
        Dnat = "dnat",
        Snat = "snat",
        DnatAndSnat = "dnat_and_snat",
    }
}

table! {
    /// A row of `OVN_Northbound.NAT`.
    Nat = "NAT",
    root: false,
    indexes: [],
    references: ["allowed_ext_ips" => "Address_Set" strong, "exempted_ext_ips" => "Address_Set" strong, "gateway_port" => "Logical_Router_Port" weak],
    external_ids: true,
    columns: {
        /// `allowed_ext_ips`: at most one strong reference to `Address_Set`.
        allowed_ext_ips: Option<Ref<AddressSet>> = ALLOWED_EXT_IPS "allowed_ext_ips",
        /// `exempted_ext_ips`: at most one strong reference to `Address_Set`.
        exempted_ext_ips: Option<Ref<AddressSet>> = EXEMPTED_EXT_IPS "exempted_ext_ips",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `external_ip`: one string.
        external_ip: String = EXTERNAL_IP "external_ip",
        /// `external_mac`: at most one string.
        external_mac: Option<String> = EXTERNAL_MAC "external_mac",
        /// `external_port_range`: one string.
        external_port_range: String = EXTERNAL_PORT_RANGE "external_port_range",
        /// `gateway_port`: at most one weak reference to `Logical_Router_Port`.
        gateway_port: Option<Ref<LogicalRouterPort>> = GATEWAY_PORT "gateway_port",
        /// `logical_ip`: one string.
        logical_ip: String = LOGICAL_IP "logical_ip",
        /// `logical_port`: at most one string.
        logical_port: Option<String> = LOGICAL_PORT "logical_port",
        /// `match`: one string.
        r#match: String = MATCH "match",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `priority`: one integer.
        priority: i64 = PRIORITY "priority",
        /// `type`: one of `dnat`, `snat`, `dnat_and_snat`.
        r#type: NatType = TYPE "type",
    }
}

table! {
    /// A row of `OVN_Northbound.NB_Global`.
    NbGlobal = "NB_Global",
    root: true,
    indexes: [],
    references: ["connections" => "Connection" strong, "ssl" => "SSL" strong],
    external_ids: true,
    columns: {
        /// `connections`: any number of strong reference to `Connection`.
        connections: BTreeSet<Ref<Connection>> = CONNECTIONS "connections",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `hv_cfg`: one integer.
        hv_cfg: i64 = HV_CFG "hv_cfg",
        /// `hv_cfg_timestamp`: one integer.
        hv_cfg_timestamp: i64 = HV_CFG_TIMESTAMP "hv_cfg_timestamp",
        /// `ipsec`: one boolean.
        ipsec: bool = IPSEC "ipsec",
        /// `name`: one string.
        name: String = NAME "name",
        /// `nb_cfg`: one integer.
        nb_cfg: i64 = NB_CFG "nb_cfg",
        /// `nb_cfg_timestamp`: one integer.
        nb_cfg_timestamp: i64 = NB_CFG_TIMESTAMP "nb_cfg_timestamp",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `sb_cfg`: one integer.
        sb_cfg: i64 = SB_CFG "sb_cfg",
        /// `sb_cfg_timestamp`: one integer.
        sb_cfg_timestamp: i64 = SB_CFG_TIMESTAMP "sb_cfg_timestamp",
        /// `ssl`: at most one strong reference to `SSL`.
        ssl: Option<Ref<Ssl>> = SSL "ssl",
    }
}

table! {
    /// A row of `OVN_Northbound.Port_Group`.
    PortGroup = "Port_Group",
    root: true,
    indexes: [["name"]],
    references: ["acls" => "ACL" strong, "ports" => "Logical_Switch_Port" weak],
    external_ids: true,
    columns: {
        /// `acls`: any number of strong reference to `ACL`.
        acls: BTreeSet<Ref<Acl>> = ACLS "acls",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `name`: one string.
        name: String = NAME "name",
        /// `ports`: any number of weak reference to `Logical_Switch_Port`.
        ports: BTreeSet<Ref<LogicalSwitchPort>> = PORTS "ports",
    }
}

choice! {
    /// Values of `QoS.direction`.
    QoSDirection {
        FromLport = "from-lport",
        ToLport = "to-lport",
    }
}

table! {
    /// A row of `OVN_Northbound.QoS`.
    QoS = "QoS",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `action`: any number of of `dscp`, `mark` → integer.
        action: BTreeMap<String, i64> = ACTION "action",
        /// `bandwidth`: any number of of `rate`, `burst` → integer.
        bandwidth: BTreeMap<String, i64> = BANDWIDTH "bandwidth",
        /// `direction`: one of `from-lport`, `to-lport`.
        direction: QoSDirection = DIRECTION "direction",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `match`: one string.
        r#match: String = MATCH "match",
        /// `priority`: one integer.
        priority: i64 = PRIORITY "priority",
    }
}

table! {
    /// A row of `OVN_Northbound.SSL`.
    Ssl = "SSL",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `bootstrap_ca_cert`: one boolean.
        bootstrap_ca_cert: bool = BOOTSTRAP_CA_CERT "bootstrap_ca_cert",
        /// `ca_cert`: one string.
        ca_cert: String = CA_CERT "ca_cert",
        /// `certificate`: one string.
        certificate: String = CERTIFICATE "certificate",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `private_key`: one string.
        private_key: String = PRIVATE_KEY "private_key",
        /// `ssl_ciphers`: one string.
        ssl_ciphers: String = SSL_CIPHERS "ssl_ciphers",
        /// `ssl_ciphersuites`: one string.
        ssl_ciphersuites: String = SSL_CIPHERSUITES "ssl_ciphersuites",
        /// `ssl_protocols`: one string.
        ssl_protocols: String = SSL_PROTOCOLS "ssl_protocols",
    }
}

table! {
    /// A row of `OVN_Northbound.Sample`.
    Sample = "Sample",
    root: false,
    indexes: [["metadata"]],
    references: ["collectors" => "Sample_Collector" strong],
    external_ids: false,
    columns: {
        /// `collectors`: any number of strong reference to `Sample_Collector`.
        collectors: BTreeSet<Ref<SampleCollector>> = COLLECTORS "collectors",
        /// `metadata`: one integer.
        metadata: i64 = METADATA "metadata",
    }
}

table! {
    /// A row of `OVN_Northbound.Sample_Collector`.
    SampleCollector = "Sample_Collector",
    root: true,
    indexes: [["id"]],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `id`: one integer.
        id: i64 = ID "id",
        /// `name`: one string.
        name: String = NAME "name",
        /// `probability`: one integer.
        probability: i64 = PROBABILITY "probability",
        /// `set_id`: one integer.
        set_id: i64 = SET_ID "set_id",
    }
}

choice! {
    /// Values of `Sampling_App.type`.
    SamplingAppType {
        Drop = "drop",
        AclNew = "acl-new",
        AclEst = "acl-est",
    }
}

table! {
    /// A row of `OVN_Northbound.Sampling_App`.
    SamplingApp = "Sampling_App",
    root: true,
    indexes: [["type"]],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `id`: one integer.
        id: i64 = ID "id",
        /// `type`: one of `drop`, `acl-new`, `acl-est`.
        r#type: SamplingAppType = TYPE "type",
    }
}

table! {
    /// A row of `OVN_Northbound.Static_MAC_Binding`.
    StaticMacBinding = "Static_MAC_Binding",
    root: true,
    indexes: [["logical_port", "ip"]],
    references: [],
    external_ids: false,
    columns: {
        /// `ip`: one string.
        ip: String = IP "ip",
        /// `logical_port`: one string.
        logical_port: String = LOGICAL_PORT "logical_port",
        /// `mac`: one string.
        mac: String = MAC "mac",
        /// `override_dynamic_mac`: one boolean.
        override_dynamic_mac: bool = OVERRIDE_DYNAMIC_MAC "override_dynamic_mac",
    }
}
