//! Tables of `Open_vSwitch` 8.3.1.
//!
//! Written by `cargo xtask gen` from `schemas/ovs-3.1/vswitch.ovsschema`; don't edit.

use std::collections::{BTreeMap, BTreeSet};

use crate::Ref;
use crate::table::{Facts, choice, table};

/// The database's name.
pub const DATABASE: &str = "Open_vSwitch";

/// The pinned schema, as `.ovsschema` text.
pub const SCHEMA: &str = include_str!("../../../schemas/ovs-3.1/vswitch.ovsschema");

/// What the schema says of each table, ascending by name.
pub const TABLES: &[Facts] = &[
    Facts::of::<AutoAttach>(),
    Facts::of::<Bridge>(),
    Facts::of::<CtTimeoutPolicy>(),
    Facts::of::<CtZone>(),
    Facts::of::<Controller>(),
    Facts::of::<Datapath>(),
    Facts::of::<FlowSampleCollectorSet>(),
    Facts::of::<FlowTable>(),
    Facts::of::<Ipfix>(),
    Facts::of::<Interface>(),
    Facts::of::<Manager>(),
    Facts::of::<Mirror>(),
    Facts::of::<NetFlow>(),
    Facts::of::<OpenVSwitch>(),
    Facts::of::<Port>(),
    Facts::of::<QoS>(),
    Facts::of::<Queue>(),
    Facts::of::<Ssl>(),
    Facts::of::<SFlow>(),
];

table! {
    /// A row of `Open_vSwitch.AutoAttach`.
    AutoAttach = "AutoAttach",
    root: false,
    indexes: [],
    references: [],
    external_ids: false,
    columns: {
        /// `mappings`: any number of integer → integer.
        mappings: BTreeMap<i64, i64> = MAPPINGS "mappings",
        /// `system_description`: one string.
        system_description: String = SYSTEM_DESCRIPTION "system_description",
        /// `system_name`: one string.
        system_name: String = SYSTEM_NAME "system_name",
    }
}

choice! {
    /// Values of `Bridge.fail_mode`.
    BridgeFailMode {
        Standalone = "standalone",
        Secure = "secure",
    }
}

table! {
    /// A row of `Open_vSwitch.Bridge`.
    Bridge = "Bridge",
    root: false,
    indexes: [["name"]],
    references: ["auto_attach" => "AutoAttach" strong, "controller" => "Controller" strong, "flow_tables" => "Flow_Table" strong, "ipfix" => "IPFIX" strong, "mirrors" => "Mirror" strong, "netflow" => "NetFlow" strong, "ports" => "Port" strong, "sflow" => "sFlow" strong],
    external_ids: true,
    columns: {
        /// `auto_attach`: at most one strong reference to `AutoAttach`.
        auto_attach: Option<Ref<AutoAttach>> = AUTO_ATTACH "auto_attach",
        /// `controller`: any number of strong reference to `Controller`.
        controller: BTreeSet<Ref<Controller>> = CONTROLLER "controller",
        /// `datapath_id`: at most one string; lost when the server restarts.
        datapath_id: Option<String> = DATAPATH_ID "datapath_id",
        /// `datapath_type`: one string.
        datapath_type: String = DATAPATH_TYPE "datapath_type",
        /// `datapath_version`: one string.
        datapath_version: String = DATAPATH_VERSION "datapath_version",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `fail_mode`: at most one of `standalone`, `secure`.
        fail_mode: Option<BridgeFailMode> = FAIL_MODE "fail_mode",
        /// `flood_vlans`: 0 to 4096 integer.
        flood_vlans: BTreeSet<i64> = FLOOD_VLANS "flood_vlans",
        /// `flow_tables`: any number of integer → strong reference to `Flow_Table`.
        flow_tables: BTreeMap<i64, Ref<FlowTable>> = FLOW_TABLES "flow_tables",
        /// `ipfix`: at most one strong reference to `IPFIX`.
        ipfix: Option<Ref<Ipfix>> = IPFIX "ipfix",
        /// `mcast_snooping_enable`: one boolean.
        mcast_snooping_enable: bool = MCAST_SNOOPING_ENABLE "mcast_snooping_enable",
        /// `mirrors`: any number of strong reference to `Mirror`.
        mirrors: BTreeSet<Ref<Mirror>> = MIRRORS "mirrors",
        /// `name`: one string; can't be changed after insertion.
        name: String = NAME "name",
        /// `netflow`: at most one strong reference to `NetFlow`.
        netflow: Option<Ref<NetFlow>> = NETFLOW "netflow",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `ports`: any number of strong reference to `Port`.
        ports: BTreeSet<Ref<Port>> = PORTS "ports",
        /// `protocols`: any number of of `OpenFlow10`, `OpenFlow11`, `OpenFlow12`, `OpenFlow13`, `OpenFlow14`, `OpenFlow15`.
        protocols: BTreeSet<String> = PROTOCOLS "protocols",
        /// `rstp_enable`: one boolean.
        rstp_enable: bool = RSTP_ENABLE "rstp_enable",
        /// `rstp_status`: any number of string → string; lost when the server restarts.
        rstp_status: BTreeMap<String, String> = RSTP_STATUS "rstp_status",
        /// `sflow`: at most one strong reference to `sFlow`.
        sflow: Option<Ref<SFlow>> = SFLOW "sflow",
        /// `status`: any number of string → string; lost when the server restarts.
        status: BTreeMap<String, String> = STATUS "status",
        /// `stp_enable`: one boolean.
        stp_enable: bool = STP_ENABLE "stp_enable",
    }
}

table! {
    /// A row of `Open_vSwitch.CT_Timeout_Policy`.
    CtTimeoutPolicy = "CT_Timeout_Policy",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `timeouts`: any number of of `tcp_syn_sent`, `tcp_syn_recv`, `tcp_established`, `tcp_fin_wait`, `tcp_close_wait`, `tcp_last_ack`, `tcp_time_wait`, `tcp_close`, `tcp_syn_sent2`, `tcp_retransmit`, `tcp_unack`, `udp_first`, `udp_single`, `udp_multiple`, `icmp_first`, `icmp_reply` → integer.
        timeouts: BTreeMap<String, i64> = TIMEOUTS "timeouts",
    }
}

table! {
    /// A row of `Open_vSwitch.CT_Zone`.
    CtZone = "CT_Zone",
    root: false,
    indexes: [],
    references: ["timeout_policy" => "CT_Timeout_Policy" strong],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `timeout_policy`: at most one strong reference to `CT_Timeout_Policy`.
        timeout_policy: Option<Ref<CtTimeoutPolicy>> = TIMEOUT_POLICY "timeout_policy",
    }
}

choice! {
    /// Values of `Controller.connection_mode`.
    ControllerConnectionMode {
        InBand = "in-band",
        OutOfBand = "out-of-band",
    }
}

choice! {
    /// Values of `Controller.role`.
    ControllerRole {
        OtherValue = "other",
        Master = "master",
        Slave = "slave",
    }
}

choice! {
    /// Values of `Controller.type`.
    ControllerType {
        Primary = "primary",
        Service = "service",
    }
}

table! {
    /// A row of `Open_vSwitch.Controller`.
    Controller = "Controller",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `connection_mode`: at most one of `in-band`, `out-of-band`.
        connection_mode: Option<ControllerConnectionMode> = CONNECTION_MODE "connection_mode",
        /// `controller_burst_limit`: at most one integer.
        controller_burst_limit: Option<i64> = CONTROLLER_BURST_LIMIT "controller_burst_limit",
        /// `controller_queue_size`: at most one integer.
        controller_queue_size: Option<i64> = CONTROLLER_QUEUE_SIZE "controller_queue_size",
        /// `controller_rate_limit`: at most one integer.
        controller_rate_limit: Option<i64> = CONTROLLER_RATE_LIMIT "controller_rate_limit",
        /// `enable_async_messages`: at most one boolean.
        enable_async_messages: Option<bool> = ENABLE_ASYNC_MESSAGES "enable_async_messages",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `inactivity_probe`: at most one integer.
        inactivity_probe: Option<i64> = INACTIVITY_PROBE "inactivity_probe",
        /// `is_connected`: one boolean; lost when the server restarts.
        is_connected: bool = IS_CONNECTED "is_connected",
        /// `local_gateway`: at most one string.
        local_gateway: Option<String> = LOCAL_GATEWAY "local_gateway",
        /// `local_ip`: at most one string.
        local_ip: Option<String> = LOCAL_IP "local_ip",
        /// `local_netmask`: at most one string.
        local_netmask: Option<String> = LOCAL_NETMASK "local_netmask",
        /// `max_backoff`: at most one integer.
        max_backoff: Option<i64> = MAX_BACKOFF "max_backoff",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `role`: at most one of `other`, `master`, `slave`; lost when the server restarts.
        role: Option<ControllerRole> = ROLE "role",
        /// `status`: any number of string → string; lost when the server restarts.
        status: BTreeMap<String, String> = STATUS "status",
        /// `target`: one string.
        target: String = TARGET "target",
        /// `type`: at most one of `primary`, `service`.
        r#type: Option<ControllerType> = TYPE "type",
    }
}

table! {
    /// A row of `Open_vSwitch.Datapath`.
    Datapath = "Datapath",
    root: false,
    indexes: [],
    references: ["ct_zones" => "CT_Zone" strong],
    external_ids: true,
    columns: {
        /// `capabilities`: any number of string → string.
        capabilities: BTreeMap<String, String> = CAPABILITIES "capabilities",
        /// `ct_zones`: any number of integer → strong reference to `CT_Zone`.
        ct_zones: BTreeMap<i64, Ref<CtZone>> = CT_ZONES "ct_zones",
        /// `datapath_version`: one string.
        datapath_version: String = DATAPATH_VERSION "datapath_version",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
    }
}

table! {
    /// A row of `Open_vSwitch.Flow_Sample_Collector_Set`.
    FlowSampleCollectorSet = "Flow_Sample_Collector_Set",
    root: true,
    indexes: [["id", "bridge"]],
    references: ["bridge" => "Bridge" strong, "ipfix" => "IPFIX" strong],
    external_ids: true,
    columns: {
        /// `bridge`: one strong reference to `Bridge`.
        bridge: Ref<Bridge> = BRIDGE "bridge",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `id`: one integer.
        id: i64 = ID "id",
        /// `ipfix`: at most one strong reference to `IPFIX`.
        ipfix: Option<Ref<Ipfix>> = IPFIX "ipfix",
    }
}

choice! {
    /// Values of `Flow_Table.overflow_policy`.
    FlowTableOverflowPolicy {
        Refuse = "refuse",
        Evict = "evict",
    }
}

table! {
    /// A row of `Open_vSwitch.Flow_Table`.
    FlowTable = "Flow_Table",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `flow_limit`: at most one integer.
        flow_limit: Option<i64> = FLOW_LIMIT "flow_limit",
        /// `groups`: any number of string.
        groups: BTreeSet<String> = GROUPS "groups",
        /// `name`: at most one string.
        name: Option<String> = NAME "name",
        /// `overflow_policy`: at most one of `refuse`, `evict`.
        overflow_policy: Option<FlowTableOverflowPolicy> = OVERFLOW_POLICY "overflow_policy",
        /// `prefixes`: 0 to 3 string.
        prefixes: BTreeSet<String> = PREFIXES "prefixes",
    }
}

table! {
    /// A row of `Open_vSwitch.IPFIX`.
    Ipfix = "IPFIX",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `cache_active_timeout`: at most one integer.
        cache_active_timeout: Option<i64> = CACHE_ACTIVE_TIMEOUT "cache_active_timeout",
        /// `cache_max_flows`: at most one integer.
        cache_max_flows: Option<i64> = CACHE_MAX_FLOWS "cache_max_flows",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `obs_domain_id`: at most one integer.
        obs_domain_id: Option<i64> = OBS_DOMAIN_ID "obs_domain_id",
        /// `obs_point_id`: at most one integer.
        obs_point_id: Option<i64> = OBS_POINT_ID "obs_point_id",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `sampling`: at most one integer.
        sampling: Option<i64> = SAMPLING "sampling",
        /// `targets`: any number of string.
        targets: BTreeSet<String> = TARGETS "targets",
    }
}

choice! {
    /// Values of `Interface.admin_state`.
    InterfaceAdminState {
        Up = "up",
        Down = "down",
    }
}

choice! {
    /// Values of `Interface.cfm_remote_opstate`.
    InterfaceCfmRemoteOpstate {
        Up = "up",
        Down = "down",
    }
}

choice! {
    /// Values of `Interface.duplex`.
    InterfaceDuplex {
        Half = "half",
        Full = "full",
    }
}

choice! {
    /// Values of `Interface.link_state`.
    InterfaceLinkState {
        Up = "up",
        Down = "down",
    }
}

table! {
    /// A row of `Open_vSwitch.Interface`.
    Interface = "Interface",
    root: false,
    indexes: [["name"]],
    references: [],
    external_ids: true,
    columns: {
        /// `admin_state`: at most one of `up`, `down`; lost when the server restarts.
        admin_state: Option<InterfaceAdminState> = ADMIN_STATE "admin_state",
        /// `bfd`: any number of string → string.
        bfd: BTreeMap<String, String> = BFD "bfd",
        /// `bfd_status`: any number of string → string; lost when the server restarts.
        bfd_status: BTreeMap<String, String> = BFD_STATUS "bfd_status",
        /// `cfm_fault`: at most one boolean; lost when the server restarts.
        cfm_fault: Option<bool> = CFM_FAULT "cfm_fault",
        /// `cfm_fault_status`: any number of string; lost when the server restarts.
        cfm_fault_status: BTreeSet<String> = CFM_FAULT_STATUS "cfm_fault_status",
        /// `cfm_flap_count`: at most one integer.
        cfm_flap_count: Option<i64> = CFM_FLAP_COUNT "cfm_flap_count",
        /// `cfm_health`: at most one integer; lost when the server restarts.
        cfm_health: Option<i64> = CFM_HEALTH "cfm_health",
        /// `cfm_mpid`: at most one integer.
        cfm_mpid: Option<i64> = CFM_MPID "cfm_mpid",
        /// `cfm_remote_mpids`: any number of integer; lost when the server restarts.
        cfm_remote_mpids: BTreeSet<i64> = CFM_REMOTE_MPIDS "cfm_remote_mpids",
        /// `cfm_remote_opstate`: at most one of `up`, `down`; lost when the server restarts.
        cfm_remote_opstate: Option<InterfaceCfmRemoteOpstate> = CFM_REMOTE_OPSTATE "cfm_remote_opstate",
        /// `duplex`: at most one of `half`, `full`; lost when the server restarts.
        duplex: Option<InterfaceDuplex> = DUPLEX "duplex",
        /// `error`: at most one string.
        error: Option<String> = ERROR "error",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `ifindex`: at most one integer; lost when the server restarts.
        ifindex: Option<i64> = IFINDEX "ifindex",
        /// `ingress_policing_burst`: one integer.
        ingress_policing_burst: i64 = INGRESS_POLICING_BURST "ingress_policing_burst",
        /// `ingress_policing_kpkts_burst`: one integer.
        ingress_policing_kpkts_burst: i64 = INGRESS_POLICING_KPKTS_BURST "ingress_policing_kpkts_burst",
        /// `ingress_policing_kpkts_rate`: one integer.
        ingress_policing_kpkts_rate: i64 = INGRESS_POLICING_KPKTS_RATE "ingress_policing_kpkts_rate",
        /// `ingress_policing_rate`: one integer.
        ingress_policing_rate: i64 = INGRESS_POLICING_RATE "ingress_policing_rate",
        /// `lacp_current`: at most one boolean; lost when the server restarts.
        lacp_current: Option<bool> = LACP_CURRENT "lacp_current",
        /// `link_resets`: at most one integer; lost when the server restarts.
        link_resets: Option<i64> = LINK_RESETS "link_resets",
        /// `link_speed`: at most one integer; lost when the server restarts.
        link_speed: Option<i64> = LINK_SPEED "link_speed",
        /// `link_state`: at most one of `up`, `down`; lost when the server restarts.
        link_state: Option<InterfaceLinkState> = LINK_STATE "link_state",
        /// `lldp`: any number of string → string.
        lldp: BTreeMap<String, String> = LLDP "lldp",
        /// `mac`: at most one string.
        mac: Option<String> = MAC "mac",
        /// `mac_in_use`: at most one string; lost when the server restarts.
        mac_in_use: Option<String> = MAC_IN_USE "mac_in_use",
        /// `mtu`: at most one integer; lost when the server restarts.
        mtu: Option<i64> = MTU "mtu",
        /// `mtu_request`: at most one integer.
        mtu_request: Option<i64> = MTU_REQUEST "mtu_request",
        /// `name`: one string; can't be changed after insertion.
        name: String = NAME "name",
        /// `ofport`: at most one integer.
        ofport: Option<i64> = OFPORT "ofport",
        /// `ofport_request`: at most one integer.
        ofport_request: Option<i64> = OFPORT_REQUEST "ofport_request",
        /// `options`: any number of string → string.
        options: BTreeMap<String, String> = OPTIONS "options",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `statistics`: any number of string → integer; lost when the server restarts.
        statistics: BTreeMap<String, i64> = STATISTICS "statistics",
        /// `status`: any number of string → string; lost when the server restarts.
        status: BTreeMap<String, String> = STATUS "status",
        /// `type`: one string.
        r#type: String = TYPE "type",
    }
}

choice! {
    /// Values of `Manager.connection_mode`.
    ManagerConnectionMode {
        InBand = "in-band",
        OutOfBand = "out-of-band",
    }
}

table! {
    /// A row of `Open_vSwitch.Manager`.
    Manager = "Manager",
    root: false,
    indexes: [["target"]],
    references: [],
    external_ids: true,
    columns: {
        /// `connection_mode`: at most one of `in-band`, `out-of-band`.
        connection_mode: Option<ManagerConnectionMode> = CONNECTION_MODE "connection_mode",
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
    /// A row of `Open_vSwitch.Mirror`.
    Mirror = "Mirror",
    root: false,
    indexes: [],
    references: ["output_port" => "Port" weak, "select_dst_port" => "Port" weak, "select_src_port" => "Port" weak],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `name`: one string.
        name: String = NAME "name",
        /// `output_port`: at most one weak reference to `Port`.
        output_port: Option<Ref<Port>> = OUTPUT_PORT "output_port",
        /// `output_vlan`: at most one integer.
        output_vlan: Option<i64> = OUTPUT_VLAN "output_vlan",
        /// `select_all`: one boolean.
        select_all: bool = SELECT_ALL "select_all",
        /// `select_dst_port`: any number of weak reference to `Port`.
        select_dst_port: BTreeSet<Ref<Port>> = SELECT_DST_PORT "select_dst_port",
        /// `select_src_port`: any number of weak reference to `Port`.
        select_src_port: BTreeSet<Ref<Port>> = SELECT_SRC_PORT "select_src_port",
        /// `select_vlan`: 0 to 4096 integer.
        select_vlan: BTreeSet<i64> = SELECT_VLAN "select_vlan",
        /// `snaplen`: at most one integer.
        snaplen: Option<i64> = SNAPLEN "snaplen",
        /// `statistics`: any number of string → integer; lost when the server restarts.
        statistics: BTreeMap<String, i64> = STATISTICS "statistics",
    }
}

table! {
    /// A row of `Open_vSwitch.NetFlow`.
    NetFlow = "NetFlow",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `active_timeout`: one integer.
        active_timeout: i64 = ACTIVE_TIMEOUT "active_timeout",
        /// `add_id_to_interface`: one boolean.
        add_id_to_interface: bool = ADD_ID_TO_INTERFACE "add_id_to_interface",
        /// `engine_id`: at most one integer.
        engine_id: Option<i64> = ENGINE_ID "engine_id",
        /// `engine_type`: at most one integer.
        engine_type: Option<i64> = ENGINE_TYPE "engine_type",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `targets`: 1 or more string.
        targets: BTreeSet<String> = TARGETS "targets",
    }
}

table! {
    /// A row of `Open_vSwitch.Open_vSwitch`.
    OpenVSwitch = "Open_vSwitch",
    root: true,
    indexes: [],
    references: ["bridges" => "Bridge" strong, "datapaths" => "Datapath" strong, "manager_options" => "Manager" strong, "ssl" => "SSL" strong],
    external_ids: true,
    columns: {
        /// `bridges`: any number of strong reference to `Bridge`.
        bridges: BTreeSet<Ref<Bridge>> = BRIDGES "bridges",
        /// `cur_cfg`: one integer.
        cur_cfg: i64 = CUR_CFG "cur_cfg",
        /// `datapath_types`: any number of string.
        datapath_types: BTreeSet<String> = DATAPATH_TYPES "datapath_types",
        /// `datapaths`: any number of string → strong reference to `Datapath`.
        datapaths: BTreeMap<String, Ref<Datapath>> = DATAPATHS "datapaths",
        /// `db_version`: at most one string.
        db_version: Option<String> = DB_VERSION "db_version",
        /// `dpdk_initialized`: one boolean.
        dpdk_initialized: bool = DPDK_INITIALIZED "dpdk_initialized",
        /// `dpdk_version`: at most one string.
        dpdk_version: Option<String> = DPDK_VERSION "dpdk_version",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `iface_types`: any number of string.
        iface_types: BTreeSet<String> = IFACE_TYPES "iface_types",
        /// `manager_options`: any number of strong reference to `Manager`.
        manager_options: BTreeSet<Ref<Manager>> = MANAGER_OPTIONS "manager_options",
        /// `next_cfg`: one integer.
        next_cfg: i64 = NEXT_CFG "next_cfg",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `ovs_version`: at most one string.
        ovs_version: Option<String> = OVS_VERSION "ovs_version",
        /// `ssl`: at most one strong reference to `SSL`.
        ssl: Option<Ref<Ssl>> = SSL "ssl",
        /// `statistics`: any number of string → string; lost when the server restarts.
        statistics: BTreeMap<String, String> = STATISTICS "statistics",
        /// `system_type`: at most one string.
        system_type: Option<String> = SYSTEM_TYPE "system_type",
        /// `system_version`: at most one string.
        system_version: Option<String> = SYSTEM_VERSION "system_version",
    }
}

choice! {
    /// Values of `Port.bond_mode`.
    PortBondMode {
        BalanceTcp = "balance-tcp",
        BalanceSlb = "balance-slb",
        ActiveBackup = "active-backup",
    }
}

choice! {
    /// Values of `Port.lacp`.
    PortLacp {
        Active = "active",
        Passive = "passive",
        Off = "off",
    }
}

choice! {
    /// Values of `Port.vlan_mode`.
    PortVlanMode {
        Trunk = "trunk",
        Access = "access",
        NativeTagged = "native-tagged",
        NativeUntagged = "native-untagged",
        Dot1qTunnel = "dot1q-tunnel",
    }
}

table! {
    /// A row of `Open_vSwitch.Port`.
    Port = "Port",
    root: false,
    indexes: [["name"]],
    references: ["interfaces" => "Interface" strong, "qos" => "QoS" strong],
    external_ids: true,
    columns: {
        /// `bond_active_slave`: at most one string.
        bond_active_slave: Option<String> = BOND_ACTIVE_SLAVE "bond_active_slave",
        /// `bond_downdelay`: one integer.
        bond_downdelay: i64 = BOND_DOWNDELAY "bond_downdelay",
        /// `bond_fake_iface`: one boolean.
        bond_fake_iface: bool = BOND_FAKE_IFACE "bond_fake_iface",
        /// `bond_mode`: at most one of `balance-tcp`, `balance-slb`, `active-backup`.
        bond_mode: Option<PortBondMode> = BOND_MODE "bond_mode",
        /// `bond_updelay`: one integer.
        bond_updelay: i64 = BOND_UPDELAY "bond_updelay",
        /// `cvlans`: 0 to 4096 integer.
        cvlans: BTreeSet<i64> = CVLANS "cvlans",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `fake_bridge`: one boolean.
        fake_bridge: bool = FAKE_BRIDGE "fake_bridge",
        /// `interfaces`: 1 or more strong reference to `Interface`.
        interfaces: BTreeSet<Ref<Interface>> = INTERFACES "interfaces",
        /// `lacp`: at most one of `active`, `passive`, `off`.
        lacp: Option<PortLacp> = LACP "lacp",
        /// `mac`: at most one string.
        mac: Option<String> = MAC "mac",
        /// `name`: one string; can't be changed after insertion.
        name: String = NAME "name",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `protected`: one boolean.
        protected: bool = PROTECTED "protected",
        /// `qos`: at most one strong reference to `QoS`.
        qos: Option<Ref<QoS>> = QOS "qos",
        /// `rstp_statistics`: any number of string → integer; lost when the server restarts.
        rstp_statistics: BTreeMap<String, i64> = RSTP_STATISTICS "rstp_statistics",
        /// `rstp_status`: any number of string → string; lost when the server restarts.
        rstp_status: BTreeMap<String, String> = RSTP_STATUS "rstp_status",
        /// `statistics`: any number of string → integer; lost when the server restarts.
        statistics: BTreeMap<String, i64> = STATISTICS "statistics",
        /// `status`: any number of string → string; lost when the server restarts.
        status: BTreeMap<String, String> = STATUS "status",
        /// `tag`: at most one integer.
        tag: Option<i64> = TAG "tag",
        /// `trunks`: 0 to 4096 integer.
        trunks: BTreeSet<i64> = TRUNKS "trunks",
        /// `vlan_mode`: at most one of `trunk`, `access`, `native-tagged`, `native-untagged`, `dot1q-tunnel`.
        vlan_mode: Option<PortVlanMode> = VLAN_MODE "vlan_mode",
    }
}

table! {
    /// A row of `Open_vSwitch.QoS`.
    QoS = "QoS",
    root: true,
    indexes: [],
    references: ["queues" => "Queue" strong],
    external_ids: true,
    columns: {
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
        /// `queues`: any number of integer → strong reference to `Queue`.
        queues: BTreeMap<i64, Ref<Queue>> = QUEUES "queues",
        /// `type`: one string.
        r#type: String = TYPE "type",
    }
}

table! {
    /// A row of `Open_vSwitch.Queue`.
    Queue = "Queue",
    root: true,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `dscp`: at most one integer.
        dscp: Option<i64> = DSCP "dscp",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `other_config`: any number of string → string.
        other_config: BTreeMap<String, String> = OTHER_CONFIG "other_config",
    }
}

table! {
    /// A row of `Open_vSwitch.SSL`.
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
    }
}

table! {
    /// A row of `Open_vSwitch.sFlow`.
    SFlow = "sFlow",
    root: false,
    indexes: [],
    references: [],
    external_ids: true,
    columns: {
        /// `agent`: at most one string.
        agent: Option<String> = AGENT "agent",
        /// `external_ids`: any number of string → string.
        external_ids: BTreeMap<String, String> = EXTERNAL_IDS "external_ids",
        /// `header`: at most one integer.
        header: Option<i64> = HEADER "header",
        /// `polling`: at most one integer.
        polling: Option<i64> = POLLING "polling",
        /// `sampling`: at most one integer.
        sampling: Option<i64> = SAMPLING "sampling",
        /// `targets`: 1 or more string.
        targets: BTreeSet<String> = TARGETS "targets",
    }
}
