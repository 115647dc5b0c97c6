//! Tables of `OVN_Southbound` 20.41.0.
//!
//! Written by `cargo xtask gen` from `schemas/ovn-25.03/ovn-sb.ovsschema`; don't edit.

use std::collections::{BTreeMap, BTreeSet};

use crate::Ref;
use crate::table::{Facts, choice, table};

/// The database's name.
pub const DATABASE: &str = "OVN_Southbound";

/// The pinned schema, as `.ovsschema` text.
pub const SCHEMA: &str = include_str!("../../../schemas/ovn-25.03/ovn-sb.ovsschema");

/// What the schema says of each table, ascending by name.
pub const TABLES: &[Facts] = &[
    Facts::of::<AclId>(),
    Facts::of::<AddressSet>(),
    Facts::of::<AdvertisedRoute>(),
    Facts::of::<Bfd>(),
    Facts::of::<Chassis>(),
    Facts::of::<ChassisPrivate>(),
    Facts::of::<ChassisTemplateVar>(),
    Facts::of::<Connection>(),
    Facts::of::<ControllerEvent>(),
    Facts::of::<DhcpOptions>(),
    Facts::of::<DHCPv6Options>(),
    Facts::of::<Dns>(),
    Facts::of::<DatapathBinding>(),
    Facts::of::<EcmpNexthop>(),
    Facts::of::<Encap>(),
    Facts::of::<Fdb>(),
    Facts::of::<GatewayChassis>(),
    Facts::of::<HaChassis>(),
    Facts::of::<HaChassisGroup>(),
    Facts::of::<IgmpGroup>(),
    Facts::of::<IpMulticast>(),
    Facts::of::<LearnedRoute>(),
    Facts::of::<LoadBalancer>(),
    Facts::of::<LogicalDpGroup>(),
    Facts::of::<LogicalFlow>(),
    Facts::of::<MacBinding>(),
    Facts::of::<Meter>(),
    Facts::of::<MeterBand>(),
    Facts::of::<Mirror>(),
    Facts::of::<MulticastGroup>(),
    Facts::of::<PortBinding>(),
    Facts::of::<PortGroup>(),
    Facts::of::<RbacPermission>(),
    Facts::of::<RbacRole>(),
    Facts::of::<SbGlobal>(),
    Facts::of::<Ssl>(),
    Facts::of::<ServiceMonitor>(),
    Facts::of::<StaticMacBinding>(),
];

table! {
    /// A row of `OVN_Southbound.ACL_ID`.
    AclId = "ACL_ID",
    root: true,
    indexes: [],
    references: [],
    external_ids: false,
    columns: {
        /// `id`: one integer.
        id: i64 = ID "id",
    }
}

table! {
    /// A row of `OVN_Southbound.Address_Set`.
    AddressSet = "Address_Set",
    root: true,
    indexes: [["name"]],
    references: [],
    external_ids: false,
    columns: {
        /// `addresses`: any number of string.
        addresses: BTreeSet<String> = ADDRESSES "addresses",
        /// `name`: one string.
        name: String = NAME "name",
    }
}

table! {
    /// A row of `OVN_Southbound.Advertised_Route`.
    AdvertisedRoute = "Advertised_Route",
    root: true,
    indexes: [["datapath", "logical_port", "ip_prefix", "tracked_port"]],
    references: ["datapath" => "Datapath_Binding" strong, "logical_port" => "Port_Binding" strong, "tracked_port" => "Port_Binding" strong],
    external_ids: true,
    columns: {
        /// `datapath`: one strong reference to `Datapath_Binding`.
        datapath: Ref<DatapathBinding> = DATAPATH "datapath",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ip_prefix`: one string.
        ip_prefix: String = IP_PREFIX "ip_prefix",
        /// `logical_port`: one strong reference to `Port_Binding`.
        logical_port: Ref<PortBinding> = LOGICAL_PORT "logical_port",
        /// `tracked_port`: at most one strong reference to `Port_Binding`.
        tracked_port: Option<Ref<PortBinding>> = TRACKED_PORT "tracked_port",
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
    /// A row of `OVN_Southbound.BFD`.
    Bfd = "BFD",
    root: true,
    indexes: [["logical_port", "dst_ip", "src_port", "disc"]],
    references: [],
    external_ids: true,
    columns: {
        /// `chassis_name`: one string.
        chassis_name: String = CHASSIS_NAME "chassis_name",
        /// `detect_mult`: one integer.
        detect_mult: i64 = DETECT_MULT "detect_mult",
        /// `disc`: one integer.
        disc: i64 = DISC "disc",
        /// `dst_ip`: one string.
        dst_ip: String = DST_IP "dst_ip",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `logical_port`: one string.
        logical_port: String = LOGICAL_PORT "logical_port",
        /// `min_rx`: one integer.
        min_rx: i64 = MIN_RX "min_rx",
        /// `min_tx`: one integer.
        min_tx: i64 = MIN_TX "min_tx",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `src_port`: one integer.
        src_port: i64 = SRC_PORT "src_port",
        /// `status`: one of `down`, `init`, `up`, `admin_down`.
        status: BfdStatus = STATUS "status",
    }
}

table! {
    /// A row of `OVN_Southbound.Chassis`.
    Chassis = "Chassis",
    root: true,
    indexes: [["name"]],
    references: ["encaps" => "Encap" strong],
    external_ids: true,
    columns: {
        /// `encaps`: 1 or more strong reference to `Encap`.
        encaps: BTreeSet<Ref<Encap>> = ENCAPS "encaps",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `hostname`: one string.
        hostname: String = HOSTNAME "hostname",
        /// `name`: one string.
        name: String = NAME "name",
        /// `nb_cfg`: one integer.
        nb_cfg: i64 = NB_CFG "nb_cfg",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `transport_zones`: any number of string.
        transport_zones: BTreeSet<String> = TRANSPORT_ZONES "transport_zones",
        /// `vtep_logical_switches`: any number of string.
        vtep_logical_switches: BTreeSet<String> = VTEP_LOGICAL_SWITCHES "vtep_logical_switches",
    }
}

table! {
    /// A row of `OVN_Southbound.Chassis_Private`.
    ChassisPrivate = "Chassis_Private",
    root: true,
    indexes: [["name"]],
    references: ["chassis" => "Chassis" weak],
    external_ids: true,
    columns: {
        /// `chassis`: at most one weak reference to `Chassis`.
        chassis: Option<Ref<Chassis>> = CHASSIS "chassis",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `name`: one string.
        name: String = NAME "name",
        /// `nb_cfg`: one integer.
        nb_cfg: i64 = NB_CFG "nb_cfg",
        /// `nb_cfg_timestamp`: one integer.
        nb_cfg_timestamp: i64 = NB_CFG_TIMESTAMP "nb_cfg_timestamp",
    }
}

table! {
    /// A row of `OVN_Southbound.Chassis_Template_Var`.
    ChassisTemplateVar = "Chassis_Template_Var",
    root: true,
    indexes: [["chassis"]],
    references: [],
    external_ids: false,
    columns: {
        /// `chassis`: one string.
        chassis: String = CHASSIS "chassis",
        /// `variables`: any number of string → string.
        variables: BTreeMap<String, String> = VARIABLES "variables",
    }
}

table! {
    /// A row of `OVN_Southbound.Connection`.
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
        /// `read_only`: one boolean.
        read_only: bool = READ_ONLY "read_only",
        /// `role`: one string.
        role: String = ROLE "role",
        /// `status`: any number of string → string; lost when the server restarts.
        status: BTreeMap<String, String> = STATUS "status",
        /// `target`: one string.
        target: String = TARGET "target",
    }
}

choice! {
    /// Values of `Controller_Event.event_type`.
    ControllerEventEventType {
        EmptyLbBackends = "empty_lb_backends",
    }
}

table! {
    /// A row of `OVN_Southbound.Controller_Event`.
    ControllerEvent = "Controller_Event",
    root: true,
    indexes: [],
    references: ["chassis" => "Chassis" weak],
    external_ids: false,
    columns: {
        /// `chassis`: at most one weak reference to `Chassis`.
        chassis: Option<Ref<Chassis>> = CHASSIS "chassis",
        /// `event_info`: any number of string → string.
        event_info: BTreeMap<String, String> = EVENT_INFO "event_info",
        /// `event_type`: one of `empty_lb_backends`.
        event_type: ControllerEventEventType = EVENT_TYPE "event_type",
        /// `seq_num`: one integer.
        seq_num: i64 = SEQ_NUM "seq_num",
    }
}

choice! {
    /// Values of `DHCP_Options.type`.
    DhcpOptionsType {
        Bool = "bool",
        Uint8 = "uint8",
        Uint16 = "uint16",
        Uint32 = "uint32",
        Ipv4 = "ipv4",
        StaticRoutes = "static_routes",
        Str = "str",
        HostId = "host_id",
        Domains = "domains",
    }
}

table! {
    /// A row of `OVN_Southbound.DHCP_Options`.
    DhcpOptions = "DHCP_Options",
    root: true,
    indexes: [],
    references: [],
    external_ids: false,
    columns: {
        /// `code`: one integer.
        code: i64 = CODE "code",
        /// `name`: one string.
        name: String = NAME "name",
        /// `type`: one of `bool`, `uint8`, `uint16`, `uint32`, `ipv4`, `static_routes`, `str`, `host_id`, `domains`.
        r#type: DhcpOptionsType = TYPE "type",
    }
}

choice! {
    /// Values of `DHCPv6_Options.type`.
    DHCPv6OptionsType {
        Ipv6 = "ipv6",
        Str = "str",
        Mac = "mac",
        Domain = "domain",
    }
}

table! {
    /// A row of `OVN_Southbound.DHCPv6_Options`.
    DHCPv6Options = "DHCPv6_Options",
    root: true,
    indexes: [],
    references: [],
    external_ids: false,
    columns: {
        /// `code`: one integer.
        code: i64 = CODE "code",
        /// `name`: one string.
        name: String = NAME "name",
        /// `type`: one of `ipv6`, `str`, `mac`, `domain`.
        r#type: DHCPv6OptionsType = TYPE "type",
    }
}

table! {
    /// A row of `OVN_Southbound.DNS`.
    Dns = "DNS",
    root: true,
    indexes: [],
    references: ["datapaths" => "Datapath_Binding" strong],
    external_ids: true,
    columns: {
        /// `datapaths`: 1 or more strong reference to `Datapath_Binding`.
        datapaths: BTreeSet<Ref<DatapathBinding>> = DATAPATHS "datapaths",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `records`: any number of string → string.
        records: BTreeMap<String, String> = RECORDS "records",
    }
}

table! {
    /// A row of `OVN_Southbound.Datapath_Binding`.
    DatapathBinding = "Datapath_Binding",
    root: true,
    indexes: [["tunnel_key"]],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `load_balancers`: any number of uuid.
        load_balancers: BTreeSet<tombolo_ovsdb::Uuid> = LOAD_BALANCERS "load_balancers",
        /// `tunnel_key`: one integer.
        tunnel_key: i64 = TUNNEL_KEY "tunnel_key",
    }
}

table! {
    /// A row of `OVN_Southbound.ECMP_Nexthop`.
    EcmpNexthop = "ECMP_Nexthop",
    root: true,
    indexes: [["nexthop", "port"]],
    references: ["datapath" => "Datapath_Binding" strong, "port" => "Port_Binding" strong],
    external_ids: true,
    columns: {
        /// `datapath`: one strong reference to `Datapath_Binding`.
        datapath: Ref<DatapathBinding> = DATAPATH "datapath",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `mac`: one string.
        mac: String = MAC "mac",
        /// `nexthop`: one string.
        nexthop: String = NEXTHOP "nexthop",
        /// `port`: one strong reference to `Port_Binding`.
        port: Ref<PortBinding> = PORT "port",
    }
}

choice! {
    /// Values of `Encap.type`.
    EncapType {
        Geneve = "geneve",
        Stt = "stt",
        Vxlan = "vxlan",
    }
}

table! {
    /// A row of `OVN_Southbound.Encap`.
    Encap = "Encap",
    root: false,
    indexes: [["type", "ip"]],
    references: [],
    external_ids: false,
    columns: {
        /// `chassis_name`: one string.
        chassis_name: String = CHASSIS_NAME "chassis_name",
        /// `ip`: one string.
        ip: String = IP "ip",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `type`: one of `geneve`, `stt`, `vxlan`.
        r#type: EncapType = TYPE "type",
    }
}

table! {
    /// A row of `OVN_Southbound.FDB`.
    Fdb = "FDB",
    root: true,
    indexes: [["mac", "dp_key"]],
    references: [],
    external_ids: false,
    columns: {
        /// `dp_key`: one integer.
        dp_key: i64 = DP_KEY "dp_key",
        /// `mac`: one string.
        mac: String = MAC "mac",
        /// `port_key`: one integer.
        port_key: i64 = PORT_KEY "port_key",
        /// `timestamp`: one integer.
        timestamp: i64 = TIMESTAMP "timestamp",
    }
}

table! {
    /// A row of `OVN_Southbound.Gateway_Chassis`.
    GatewayChassis = "Gateway_Chassis",
    root: false,
    indexes: [["name"]],
    references: ["chassis" => "Chassis" weak],
    external_ids: true,
    columns: {
        /// `chassis`: at most one weak reference to `Chassis`.
        chassis: Option<Ref<Chassis>> = CHASSIS "chassis",
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
    /// A row of `OVN_Southbound.HA_Chassis`.
    HaChassis = "HA_Chassis",
    root: false,
    indexes: [],
    references: ["chassis" => "Chassis" weak],
    external_ids: true,
    columns: {
        /// `chassis`: at most one weak reference to `Chassis`.
        chassis: Option<Ref<Chassis>> = CHASSIS "chassis",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `priority`: one integer.
        priority: i64 = PRIORITY "priority",
    }
}

table! {
    /// A row of `OVN_Southbound.HA_Chassis_Group`.
    HaChassisGroup = "HA_Chassis_Group",
    root: true,
    indexes: [["name"]],
    references: ["ha_chassis" => "HA_Chassis" strong, "ref_chassis" => "Chassis" weak],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ha_chassis`: any number of strong reference to `HA_Chassis`.
        ha_chassis: BTreeSet<Ref<HaChassis>> = HA_CHASSIS "ha_chassis",
        /// `name`: one string.
        name: String = NAME "name",
        /// `ref_chassis`: any number of weak reference to `Chassis`.
        ref_chassis: BTreeSet<Ref<Chassis>> = REF_CHASSIS "ref_chassis",
    }
}

table! {
    /// A row of `OVN_Southbound.IGMP_Group`.
    IgmpGroup = "IGMP_Group",
    root: true,
    indexes: [["address", "datapath", "chassis"]],
    references: ["chassis" => "Chassis" weak, "datapath" => "Datapath_Binding" weak, "ports" => "Port_Binding" weak],
    external_ids: false,
    columns: {
        /// `address`: one string.
        address: String = ADDRESS "address",
        /// `chassis`: at most one weak reference to `Chassis`.
        chassis: Option<Ref<Chassis>> = CHASSIS "chassis",
        /// `chassis_name`: one string.
        chassis_name: String = CHASSIS_NAME "chassis_name",
        /// `datapath`: at most one weak reference to `Datapath_Binding`.
        datapath: Option<Ref<DatapathBinding>> = DATAPATH "datapath",
        /// `ports`: any number of weak reference to `Port_Binding`.
        ports: BTreeSet<Ref<PortBinding>> = PORTS "ports",
        /// `protocol`: one string.
        protocol: String = PROTOCOL "protocol",
    }
}

table! {
    /// A row of `OVN_Southbound.IP_Multicast`.
    IpMulticast = "IP_Multicast",
    root: true,
    indexes: [["datapath"]],
    references: ["datapath" => "Datapath_Binding" weak],
    external_ids: false,
    columns: {
        /// `datapath`: one weak reference to `Datapath_Binding`.
        datapath: Ref<DatapathBinding> = DATAPATH "datapath",
        /// `enabled`: at most one boolean.
        enabled: Option<bool> = ENABLED "enabled",
        /// `eth_src`: one string.
        eth_src: String = ETH_SRC "eth_src",
        /// `idle_timeout`: at most one integer.
        idle_timeout: Option<i64> = IDLE_TIMEOUT "idle_timeout",
        /// `ip4_src`: one string.
        ip4_src: String = IP4_SRC "ip4_src",
        /// `ip6_src`: one string.
        ip6_src: String = IP6_SRC "ip6_src",
        /// `querier`: at most one boolean.
        querier: Option<bool> = QUERIER "querier",
        /// `query_interval`: at most one integer.
        query_interval: Option<i64> = QUERY_INTERVAL "query_interval",
        /// `query_max_resp`: at most one integer.
        query_max_resp: Option<i64> = QUERY_MAX_RESP "query_max_resp",
        /// `seq_no`: one integer.
        seq_no: i64 = SEQ_NO "seq_no",
        /// `table_size`: at most one integer.
        table_size: Option<i64> = TABLE_SIZE "table_size",
    }
}

table! {
    /// A row of `OVN_Southbound.Learned_Route`.
    LearnedRoute = "Learned_Route",
    root: true,
    indexes: [["datapath", "logical_port", "ip_prefix", "nexthop"]],
    references: ["datapath" => "Datapath_Binding" strong, "logical_port" => "Port_Binding" strong],
    external_ids: true,
    columns: {
        /// `datapath`: one strong reference to `Datapath_Binding`.
        datapath: Ref<DatapathBinding> = DATAPATH "datapath",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ip_prefix`: one string.
        ip_prefix: String = IP_PREFIX "ip_prefix",
        /// `logical_port`: one strong reference to `Port_Binding`.
        logical_port: Ref<PortBinding> = LOGICAL_PORT "logical_port",
        /// `nexthop`: one string.
        nexthop: String = NEXTHOP "nexthop",
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
    /// A row of `OVN_Southbound.Load_Balancer`.
    LoadBalancer = "Load_Balancer",
    root: true,
    indexes: [],
    references: ["datapath_group" => "Logical_DP_Group" strong, "datapaths" => "Datapath_Binding" strong, "lr_datapath_group" => "Logical_DP_Group" strong, "ls_datapath_group" => "Logical_DP_Group" strong],
    external_ids: true,
    columns: {
        /// `datapath_group`: at most one strong reference to `Logical_DP_Group`.
        datapath_group: Option<Ref<LogicalDpGroup>> = DATAPATH_GROUP "datapath_group",
        /// `datapaths`: any number of strong reference to `Datapath_Binding`.
        datapaths: BTreeSet<Ref<DatapathBinding>> = DATAPATHS "datapaths",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `lr_datapath_group`: at most one strong reference to `Logical_DP_Group`.
        lr_datapath_group: Option<Ref<LogicalDpGroup>> = LR_DATAPATH_GROUP "lr_datapath_group",
        /// `ls_datapath_group`: at most one strong reference to `Logical_DP_Group`.
        ls_datapath_group: Option<Ref<LogicalDpGroup>> = LS_DATAPATH_GROUP "ls_datapath_group",
        /// `name`: one string.
        name: String = NAME "name",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `protocol`: at most one of `tcp`, `udp`, `sctp`.
        protocol: Option<LoadBalancerProtocol> = PROTOCOL "protocol",
        /// `vips`: any number of string → string.
        vips: BTreeMap<String, String> = VIPS "vips",
    }
}

table! {
    /// A row of `OVN_Southbound.Logical_DP_Group`.
    LogicalDpGroup = "Logical_DP_Group",
    root: false,
    indexes: [],
    references: ["datapaths" => "Datapath_Binding" weak],
    external_ids: false,
    columns: {
        /// `datapaths`: any number of weak reference to `Datapath_Binding`.
        datapaths: BTreeSet<Ref<DatapathBinding>> = DATAPATHS "datapaths",
    }
}

choice! {
    /// Values of `Logical_Flow.pipeline`.
    LogicalFlowPipeline {
        Ingress = "ingress",
        Egress = "egress",
    }
}

table! {
    /// A row of `OVN_Southbound.Logical_Flow`.
    LogicalFlow = "Logical_Flow",
    root: true,
    indexes: [],
    references: ["logical_datapath" => "Datapath_Binding" strong, "logical_dp_group" => "Logical_DP_Group" strong],
    external_ids: true,
    columns: {
        /// `actions`: one string.
        actions: String = ACTIONS "actions",
        /// `controller_meter`: at most one string.
        controller_meter: Option<String> = CONTROLLER_METER "controller_meter",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `flow_desc`: at most one string.
        flow_desc: Option<String> = FLOW_DESC "flow_desc",
        /// `logical_datapath`: at most one strong reference to `Datapath_Binding`.
        logical_datapath: Option<Ref<DatapathBinding>> = LOGICAL_DATAPATH "logical_datapath",
        /// `logical_dp_group`: at most one strong reference to `Logical_DP_Group`.
        logical_dp_group: Option<Ref<LogicalDpGroup>> = LOGICAL_DP_GROUP "logical_dp_group",
        /// `match`: one string.
        r#match: String = MATCH "match",
        /// `pipeline`: one of `ingress`, `egress`.
        pipeline: LogicalFlowPipeline = PIPELINE "pipeline",
        /// `priority`: one integer.
        priority: i64 = PRIORITY "priority",
        /// `table_id`: one integer.
        table_id: i64 = TABLE_ID "table_id",
        /// `tags`: any number of string → string.
        tags: BTreeMap<String, String> = TAGS "tags",
    }
}

table! {
    /// A row of `OVN_Southbound.MAC_Binding`.
    MacBinding = "MAC_Binding",
    root: true,
    indexes: [["logical_port", "ip"]],
    references: ["datapath" => "Datapath_Binding" strong],
    external_ids: false,
    columns: {
        /// `datapath`: one strong reference to `Datapath_Binding`.
        datapath: Ref<DatapathBinding> = DATAPATH "datapath",
        /// `ip`: one string.
        ip: String = IP "ip",
        /// `logical_port`: one string.
        logical_port: String = LOGICAL_PORT "logical_port",
        /// `mac`: one string.
        mac: String = MAC "mac",
        /// `timestamp`: one integer.
        timestamp: i64 = TIMESTAMP "timestamp",
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
    /// A row of `OVN_Southbound.Meter`.
    Meter = "Meter",
    root: true,
    indexes: [["name"]],
    references: ["bands" => "Meter_Band" strong],
    external_ids: false,
    columns: {
        /// `bands`: 1 or more strong reference to `Meter_Band`.
        bands: BTreeSet<Ref<MeterBand>> = BANDS "bands",
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
    /// A row of `OVN_Southbound.Meter_Band`.
    MeterBand = "Meter_Band",
    root: false,
    indexes: [],
    references: [],
    external_ids: false,
    columns: {
        /// `action`: one of `drop`.
        action: MeterBandAction = ACTION "action",
        /// `burst_size`: one integer.
        burst_size: i64 = BURST_SIZE "burst_size",
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
    /// A row of `OVN_Southbound.Mirror`.
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

table! {
    /// A row of `OVN_Southbound.Multicast_Group`.
    MulticastGroup = "Multicast_Group",
    root: true,
    indexes: [["datapath", "tunnel_key"], ["datapath", "name"]],
    references: ["datapath" => "Datapath_Binding" strong, "ports" => "Port_Binding" weak],
    external_ids: false,
    columns: {
        /// `datapath`: one strong reference to `Datapath_Binding`.
        datapath: Ref<DatapathBinding> = DATAPATH "datapath",
        /// `name`: one string.
        name: String = NAME "name",
        /// `ports`: any number of weak reference to `Port_Binding`.
        ports: BTreeSet<Ref<PortBinding>> = PORTS "ports",
        /// `tunnel_key`: one integer.
        tunnel_key: i64 = TUNNEL_KEY "tunnel_key",
    }
}

table! {
    /// A row of `OVN_Southbound.Port_Binding`.
    PortBinding = "Port_Binding",
    root: true,
    indexes: [["datapath", "tunnel_key"], ["logical_port"]],
    references: ["additional_chassis" => "Chassis" weak, "additional_encap" => "Encap" weak, "chassis" => "Chassis" weak, "datapath" => "Datapath_Binding" strong, "encap" => "Encap" weak, "gateway_chassis" => "Gateway_Chassis" strong, "ha_chassis_group" => "HA_Chassis_Group" strong, "mirror_rules" => "Mirror" weak, "requested_additional_chassis" => "Chassis" weak, "requested_chassis" => "Chassis" weak],
    external_ids: true,
    columns: {
        /// `additional_chassis`: any number of weak reference to `Chassis`.
        additional_chassis: BTreeSet<Ref<Chassis>> = ADDITIONAL_CHASSIS "additional_chassis",
        /// `additional_encap`: any number of weak reference to `Encap`.
        additional_encap: BTreeSet<Ref<Encap>> = ADDITIONAL_ENCAP "additional_encap",
        /// `chassis`: at most one weak reference to `Chassis`.
        chassis: Option<Ref<Chassis>> = CHASSIS "chassis",
        /// `datapath`: one strong reference to `Datapath_Binding`.
        datapath: Ref<DatapathBinding> = DATAPATH "datapath",
        /// `encap`: at most one weak reference to `Encap`.
        encap: Option<Ref<Encap>> = ENCAP "encap",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `gateway_chassis`: any number of strong reference to `Gateway_Chassis`.
        gateway_chassis: BTreeSet<Ref<GatewayChassis>> = GATEWAY_CHASSIS "gateway_chassis",
        /// `ha_chassis_group`: at most one strong reference to `HA_Chassis_Group`.
        ha_chassis_group: Option<Ref<HaChassisGroup>> = HA_CHASSIS_GROUP "ha_chassis_group",
        /// `logical_port`: one string.
        logical_port: String = LOGICAL_PORT "logical_port",
        /// `mac`: any number of string.
        mac: BTreeSet<String> = MAC "mac",
        /// `mirror_rules`: any number of weak reference to `Mirror`.
        mirror_rules: BTreeSet<Ref<Mirror>> = MIRROR_RULES "mirror_rules",
        /// `nat_addresses`: any number of string.
        nat_addresses: BTreeSet<String> = NAT_ADDRESSES "nat_addresses",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `parent_port`: at most one string.
        parent_port: Option<String> = PARENT_PORT "parent_port",
        /// `port_security`: any number of string.
        port_security: BTreeSet<String> = PORT_SECURITY "port_security",
        /// `requested_additional_chassis`: any number of weak reference to `Chassis`.
        requested_additional_chassis: BTreeSet<Ref<Chassis>> = REQUESTED_ADDITIONAL_CHASSIS "requested_additional_chassis",
        /// `requested_chassis`: at most one weak reference to `Chassis`.
        requested_chassis: Option<Ref<Chassis>> = REQUESTED_CHASSIS "requested_chassis",
        /// `tag`: at most one integer.
        tag: Option<i64> = TAG "tag",
        /// `tunnel_key`: one integer.
        tunnel_key: i64 = TUNNEL_KEY "tunnel_key",
        /// `type`: one string.
        r#type: String = TYPE "type",
        /// `up`: at most one boolean.
        up: Option<bool> = UP "up",
        /// `virtual_parent`: at most one string.
        virtual_parent: Option<String> = VIRTUAL_PARENT "virtual_parent",
    }
}

table! {
    /// A row of `OVN_Southbound.Port_Group`.
    PortGroup = "Port_Group",
    root: true,
    indexes: [["name"]],
    references: [],
    external_ids: false,
    columns: {
        /// `name`: one string.
        name: String = NAME "name",
        /// `ports`: any number of string.
        ports: BTreeSet<String> = PORTS "ports",
    }
}

table! {
    /// A row of `OVN_Southbound.RBAC_Permission`.
    RbacPermission = "RBAC_Permission",
    root: true,
    indexes: [],
    references: [],
    external_ids: false,
    columns: {
        /// `authorization`: any number of string.
        authorization: BTreeSet<String> = AUTHORIZATION "authorization",
        /// `insert_delete`: one boolean.
        insert_delete: bool = INSERT_DELETE "insert_delete",
        /// `table`: one string.
        table: String = COLUMN_TABLE "table",
        /// `update`: any number of string.
        update: BTreeSet<String> = UPDATE "update",
    }
}

table! {
    /// A row of `OVN_Southbound.RBAC_Role`.
    RbacRole = "RBAC_Role",
    root: true,
    indexes: [],
    references: ["permissions" => "RBAC_Permission" weak],
    external_ids: false,
    columns: {
        /// `name`: one string.
        name: String = NAME "name",
        /// `permissions`: any number of string → weak reference to `RBAC_Permission`.
        permissions: BTreeMap<String, Ref<RbacPermission>> = PERMISSIONS "permissions",
    }
}

table! {
    /// A row of `OVN_Southbound.SB_Global`.
    SbGlobal = "SB_Global",
    root: true,
    indexes: [],
    references: ["connections" => "Connection" strong, "ssl" => "SSL" strong],
    external_ids: true,
    columns: {
        /// `connections`: any number of strong reference to `Connection`.
        connections: BTreeSet<Ref<Connection>> = CONNECTIONS "connections",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ipsec`: one boolean.
        ipsec: bool = IPSEC "ipsec",
        /// `nb_cfg`: one integer.
        nb_cfg: i64 = NB_CFG "nb_cfg",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `ssl`: at most one strong reference to `SSL`.
        ssl: Option<Ref<Ssl>> = SSL "ssl",
    }
}

table! {
    /// A row of `OVN_Southbound.SSL`.
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

choice! {
    /// Values of `Service_Monitor.protocol`.
    ServiceMonitorProtocol {
        Tcp = "tcp",
        Udp = "udp",
    }
}

choice! {
    /// Values of `Service_Monitor.status`.
    ServiceMonitorStatus {
        Online = "online",
        Offline = "offline",
        Error = "error",
    }
}

table! {
    /// A row of `OVN_Southbound.Service_Monitor`.
    ServiceMonitor = "Service_Monitor",
    root: true,
    indexes: [["logical_port", "ip", "port", "protocol"]],
    references: [],
    external_ids: true,
    columns: {
        /// `chassis_name`: one string.
        chassis_name: String = CHASSIS_NAME "chassis_name",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ip`: one string.
        ip: String = IP "ip",
        /// `logical_port`: one string.
        logical_port: String = LOGICAL_PORT "logical_port",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `port`: one integer.
        port: i64 = PORT "port",
        /// `protocol`: at most one of `tcp`, `udp`.
        protocol: Option<ServiceMonitorProtocol> = PROTOCOL "protocol",
        /// `src_ip`: one string.
        src_ip: String = SRC_IP "src_ip",
        /// `src_mac`: one string.
        src_mac: String = SRC_MAC "src_mac",
        /// `status`: at most one of `online`, `offline`, `error`.
        status: Option<ServiceMonitorStatus> = STATUS "status",
    }
}

table! {
    /// A row of `OVN_Southbound.Static_MAC_Binding`.
    StaticMacBinding = "Static_MAC_Binding",
    root: true,
    indexes: [["logical_port", "ip"]],
    references: ["datapath" => "Datapath_Binding" strong],
    external_ids: false,
    columns: {
        /// `datapath`: one strong reference to `Datapath_Binding`.
        datapath: Ref<DatapathBinding> = DATAPATH "datapath",
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
