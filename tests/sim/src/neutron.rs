//! Neutron as seen in the database: rows as ML2/OVN (release 21) writes them, read off a running one.
//!
//! Decides the shape of its rows and what its API operations do to them. Ids are any texts; rows of the same id have the
//! same uuid, so that runs can be compared.

use tombolo_ovsdb::{Datum, Name, Op, Row, Txn, Uuid};
use tombolo_plan::nb::table;

use crate::sim::Sim;

/// The uuid of the row that Neutron keeps for an object.
#[must_use]
pub fn row_uuid(table: &str, id: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{table}/{id}").as_bytes())
}

/// A MAC as Neutron makes them, from any text.
#[must_use]
pub fn mac(seed: &str) -> String {
    let bytes = row_uuid("mac", seed).into_bytes();
    format!("fa:16:3e:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2])
}

fn ids<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Datum {
    Datum::map_of_strings(pairs)
}

const PORT: Name = table::SWITCH_PORT;

/// Neutron's hand on a simulated database.
#[derive(Debug)]
pub struct Neutron<'a>(pub &'a mut Sim);

impl Neutron<'_> {
    fn run(&mut self, ops: Vec<Op>) {
        self.0.foreign(&Txn::new(ops));
    }

    /// Creates a network, of this MTU.
    pub fn network(&mut self, id: &str, name: &str, mtu: u32) {
        let row = Row::new()
            .with("name", Datum::string(format!("neutron-{id}")))
            .with(
                "external_ids",
                ids([
                    ("neutron:network_name", name),
                    ("neutron:mtu", &mtu.to_string()),
                    ("neutron:availability_zone_hints", ""),
                    ("neutron:revision_number", "2"),
                ]),
            )
            .with(
                "other_config",
                ids([
                    ("mcast_snoop", "false"),
                    ("mcast_flood_unregistered", "false"),
                    ("vlan-passthru", "false"),
                ]),
            );
        self.run(vec![Op::insert(table::SWITCH, row_uuid(table::SWITCH, id), row)]);
    }

    /// Deletes a network and what is on it.
    pub fn delete_network(&mut self, id: &str) {
        self.run(vec![Op::delete(table::SWITCH, row_uuid(table::SWITCH, id))]);
    }

    /// Creates a router.
    pub fn router(&mut self, id: &str, name: &str) {
        let row = Row::new()
            .with("name", Datum::string(format!("neutron-{id}")))
            .with("enabled", Datum::boolean(true))
            .with("external_ids", router_ids(name, "3"))
            .with(
                "options",
                ids([("always_learn_from_arp_request", "false"), ("dynamic_neigh_routers", "true")]),
            );
        self.run(vec![Op::insert(table::ROUTER, row_uuid(table::ROUTER, id), row)]);
    }

    /// Whether a router is there.
    #[must_use]
    pub fn has_router(&self, id: &str) -> bool {
        self.0.nb().rows().row(table::ROUTER, &row_uuid(table::ROUTER, id)).is_some()
    }

    /// Renames a router: Neutron replaces `external_ids` as a whole.
    pub fn rename_router(&mut self, id: &str, name: &str) {
        let row = Row::new().with("external_ids", router_ids(name, "4"));
        self.run(vec![Op::update(table::ROUTER, row_uuid(table::ROUTER, id), row)]);
    }

    /// Deletes a router: the row goes, and with it whatever is on it, also others' ports. Neutron's own interfaces
    /// are removed before.
    pub fn delete_router(&mut self, id: &str) {
        self.run(vec![Op::delete(table::ROUTER, row_uuid(table::ROUTER, id))]);
    }

    /// Connects a network to a router with an address like `192.168.1.1/24`.
    pub fn attach(&mut self, router: &str, network: &str, port: &str, address: &str) {
        let (switch, mac) = (format!("neutron-{network}"), mac(port));
        let lrp = Row::new()
            .with("name", Datum::string(format!("lrp-{port}")))
            .with("mac", Datum::string(&*mac))
            .with("networks", Datum::set_of_strings([address]))
            .with(
                "external_ids",
                ids([
                    ("neutron:network_name", &*switch),
                    ("neutron:router_name", router),
                    ("neutron:subnet_ids", &format!("subnet-of-{network}")),
                    ("neutron:revision_number", "3"),
                ]),
            );
        let lsp = Row::new()
            .with("name", Datum::string(port))
            .with("type", Datum::string("router"))
            .with("addresses", Datum::set_of_strings(["router"]))
            .with("options", ids([("router-port", &*format!("lrp-{port}"))]))
            .with("enabled", Datum::boolean(true))
            .with(
                "external_ids",
                ids([
                    ("neutron:port_name", ""),
                    ("neutron:network_name", &*switch),
                    ("neutron:cidrs", address),
                    ("neutron:device_id", router),
                    ("neutron:device_owner", "network:router_interface"),
                    ("neutron:project_id", "fake_project_id"),
                    ("neutron:security_group_ids", ""),
                    ("neutron:revision_number", "3"),
                ]),
            );
        let (lrp_uuid, lsp_uuid) = (row_uuid(table::ROUTER_PORT, port), row_uuid(PORT, port));
        self.run(vec![
            Op::insert(table::ROUTER_PORT, lrp_uuid, lrp),
            Op::add_edge(table::ROUTER, row_uuid(table::ROUTER, router), "ports", lrp_uuid),
            Op::insert(PORT, lsp_uuid, lsp),
            Op::add_edge(table::SWITCH, row_uuid(table::SWITCH, network), "ports", lsp_uuid),
        ]);
    }

    /// Disconnects what [`Neutron::attach`] connected.
    pub fn detach(&mut self, router: &str, network: &str, port: &str) {
        let edge = |parent: Name, of: &str, child: Name| {
            Op::remove_edge(parent, row_uuid(parent, of), "ports", row_uuid(child, port))
        };
        self.run(vec![edge(table::ROUTER, router, table::ROUTER_PORT), edge(table::SWITCH, network, PORT)]);
    }

    /// Gives a router its gateway on an external network: port, chassis, default route, SNAT of `inside`.
    pub fn gateway(&mut self, router: &str, network: &str, port: &str, address: &str, inside: &str) {
        self.attach(router, network, port, address);
        let lrp = row_uuid(table::ROUTER_PORT, port);
        let router_row = row_uuid(table::ROUTER, router);
        let outside = address.split('/').next().unwrap_or_default();
        let chassis = Row::new()
            .with("name", Datum::string(format!("lrp-{port}_chassis-1")))
            .with("chassis_name", Datum::string("chassis-1"))
            .with("priority", Datum::integer(1));
        let route = Row::new()
            .with("ip_prefix", Datum::string("0.0.0.0/0"))
            .with("nexthop", Datum::string("203.0.113.1"))
            .with("external_ids", ids([("neutron:is_ext_gw", "true"), ("neutron:subnet_id", "external")]));
        let nat = Row::new()
            .with("type", Datum::string("snat"))
            .with("external_ip", Datum::string(outside))
            .with("logical_ip", Datum::string(inside));
        let (chassis_uuid, route_uuid, nat_uuid) =
            (row_uuid("Gateway_Chassis", port), row_uuid(table::STATIC_ROUTE, port), row_uuid("NAT", port));
        self.run(vec![
            Op::insert("Gateway_Chassis", chassis_uuid, chassis),
            Op::add_edge(table::ROUTER_PORT, lrp, "gateway_chassis", chassis_uuid),
            Op::insert(table::STATIC_ROUTE, route_uuid, route),
            Op::add_edge(table::ROUTER, router_row, "static_routes", route_uuid),
            Op::insert("NAT", nat_uuid, nat),
            Op::add_edge(table::ROUTER, router_row, "nat", nat_uuid),
            Op::mutate(
                table::ROUTER,
                router_row,
                tombolo_ovsdb::Mutation::set_keys(
                    "external_ids",
                    [("neutron:gw_port_id", port), ("neutron:gw_network_id", network)],
                ),
            ),
        ]);
    }

    /// Creates a VM's port, in the default security group.
    pub fn vm(&mut self, network: &str, port: &str, address: &str) {
        let both = format!("{} {address}", mac(port));
        let row = Row::new()
            .with("name", Datum::string(port))
            .with("addresses", Datum::set_of_strings([&*both]))
            .with("port_security", Datum::set_of_strings([&*both]))
            .with("enabled", Datum::boolean(true))
            .with("up", Datum::boolean(true))
            .with("options", ids([("requested-chassis", "host1"), ("mcast_flood_reports", "true")]))
            .with(
                "external_ids",
                ids([
                    ("neutron:port_name", ""),
                    ("neutron:network_name", &*format!("neutron-{network}")),
                    ("neutron:cidrs", &*format!("{address}/24")),
                    ("neutron:device_id", "vm"),
                    ("neutron:device_owner", "compute:nova"),
                    ("neutron:project_id", "fake_project_id"),
                    ("neutron:security_group_ids", "default"),
                    ("neutron:revision_number", "4"),
                ]),
            );
        let uuid = row_uuid(PORT, port);
        let mut ops = vec![
            Op::insert(PORT, uuid, row),
            Op::add_edge(table::SWITCH, row_uuid(table::SWITCH, network), "ports", uuid),
        ];
        let group = row_uuid(table::PORT_GROUP, "default");
        if self.0.nb().rows().row(table::PORT_GROUP, &group).is_some() {
            ops.push(Op::add_edge(table::PORT_GROUP, group, "ports", uuid));
        }
        self.run(ops);
    }

    /// Creates the default security group.
    pub fn security_group(&mut self) {
        let group = Row::new()
            .with("name", Datum::string("pg_default"))
            .with("external_ids", ids([("neutron:security_group_id", "default")]));
        let acl = Row::new()
            .with("direction", Datum::string("from-lport"))
            .with("priority", Datum::integer(1002))
            .with("match", Datum::string("inport == @pg_default && ip4"))
            .with("action", Datum::string("allow-related"))
            .with("external_ids", ids([("neutron:security_group_rule_id", "rule")]));
        let (group_uuid, acl_uuid) = (row_uuid(table::PORT_GROUP, "default"), row_uuid("ACL", "rule"));
        let drop = Row::new().with("name", Datum::string("neutron_pg_drop"));
        self.run(vec![
            Op::insert(table::PORT_GROUP, group_uuid, group),
            Op::insert("ACL", acl_uuid, acl),
            Op::add_edge(table::PORT_GROUP, group_uuid, "acls", acl_uuid),
            Op::insert(table::PORT_GROUP, row_uuid(table::PORT_GROUP, "drop"), drop),
        ]);
    }

    /// What the maintenance worker does at each start to rows of everybody (facts of its source).
    pub fn maintenance(&mut self) {
        let mut ops = Vec::new();
        let rows = self.0.nb().rows();
        for (uuid, _) in rows.rows(table::SWITCH) {
            let keys = [("mcast_snoop", "false"), ("mcast_flood_unregistered", "false")];
            ops.push(Op::mutate(
                table::SWITCH,
                uuid,
                tombolo_ovsdb::Mutation::set_keys("other_config", keys),
            ));
        }
        for (uuid, row) in rows.rows(PORT) {
            if row.str("type") == Some("") {
                let keys = [("mcast_flood_reports", "true")];
                ops.push(Op::mutate(PORT, uuid, tombolo_ovsdb::Mutation::set_keys("options", keys)));
            }
        }
        for (uuid, _) in rows.rows(table::ROUTER) {
            let keys = [("always_learn_from_arp_request", "false"), ("dynamic_neigh_routers", "true")];
            ops.push(Op::mutate(table::ROUTER, uuid, tombolo_ovsdb::Mutation::set_keys("options", keys)));
        }
        self.run(ops);
    }
}

fn router_ids(name: &str, revision: &str) -> Datum {
    ids([
        ("neutron:router_name", name),
        ("neutron:revision_number", revision),
        ("neutron:availability_zone_hints", ""),
        ("neutron:gw_port_id", ""),
        ("neutron:gw_network_id", ""),
    ])
}
