//! Rows that no client should have written: half-written, dangling, of unknown shape, with names of 60 kB and control
//! characters, ports that are their own peers. Generated from a seed, so that a failure can be reproduced.

use serde_json::{Value, json};
use tombolo_names::rows;

/// A row to insert, by a transaction of its own: a server may refuse it.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// The operations that make it and hang it somewhere.
    pub operations: Vec<Value>,
}

/// Numbers out of a seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number (SplitMix64).
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.number() % n.max(1) as u64).unwrap_or_default()
    }

    /// One of these.
    pub fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// The generator.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    count: u64,
    cluster: String,
    /// Names of rows that are ours, to be had by others too where OVN allows it.
    taken: Vec<String>,
    /// A foreign router to add ports to.
    router: String,
}

const NETWORKS: [&str; 14] = [
    "",
    "garbage",
    "1.2.3.4",
    "1.2.3.4/33",
    "1.2.3.4/-1",
    "1.2.3.4/0x8",
    "::1/129",
    "fe80::1/64",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "198.51.100.1/24/24",
    "198.51.100.1 /24",
    "\u{661}.2.3.4/8",
    "[::]/0",
];
const VALUES: [&str; 12] = [
    "",
    "[",
    "]",
    "{}",
    "\u{0}x",
    "-1",
    "99999999999999999999",
    "true",
    "\u{1b}[31m",
    "a b",
    "\u{202e}",
    "null",
];

impl Generator {
    /// Rows beside those of the cluster with this id; `taken` are names of rows of ours, `router` is a foreign router.
    #[must_use]
    pub fn new(seed: u64, cluster: &str, taken: &[&str], router: &str) -> Generator {
        Generator {
            random: Random::new(seed),
            count: 0,
            cluster: cluster.to_owned(),
            taken: taken.iter().map(|name| (*name).to_owned()).collect(),
            router: router.to_owned(),
        }
    }

    fn text(&mut self) -> String {
        match self.random.below(4) {
            0 => VALUES[self.random.below(VALUES.len())].to_owned(),
            1 => "x".repeat(self.random.below(60_000)),
            2 => (0..self.random.below(20))
                .filter_map(|_| char::from_u32(self.random.below(0x11_0000) as u32))
                .filter(|c| *c != '\0')
                .collect(),
            _ => format!("v{}", self.random.below(5)),
        }
        .replace('\0', "")
    }

    fn name(&mut self, unique: bool) -> String {
        self.count += 1;
        let n = self.count;
        match self.random.below(if unique { 6 } else { 8 }) {
            0 => format!("neutron-{n}{}", self.text()),
            1 => format!("neutron-00000000-0000-0000-0000-{n:012}"),
            2 => format!("NEUTRON_{n}"),
            3 => format!("neutron-{n}-{}", "long.".repeat(self.random.below(12_000))),
            4 => format!("{n}\u{7}\n\t[{}", self.text()),
            5 => format!("lrp-{n}"),
            6 => String::new(),
            _ => self.taken[self.random.below(self.taken.len())].clone(),
        }
    }

    fn ids(&mut self) -> Value {
        let mut pairs = std::collections::BTreeMap::new();
        let keys = [
            "neutron:router_name",
            "neutron:network_name",
            "neutron:gw_port_id",
            "neutron:is_ext_gw",
            "neutron:mtu",
            "neutron:revision_number",
            "neutron:subnet_ids",
            "neutron:cidrs",
            "vendor",
            "ls",
            "lr",
            "pod",
            rows::OWNER,
            rows::PARENT,
            rows::CLUSTER,
            rows::EPOCH,
            "",
        ];
        for _ in 0..self.random.below(6) {
            let key = self.random.pick(&keys);
            pairs.insert(key.to_owned(), self.text());
        }
        match self.random.below(6) {
            // A version of ours that isn't born yet: an orphan.
            0 => {
                pairs.insert(rows::CLUSTER.to_owned(), self.cluster.clone());
                pairs.insert(rows::OWNER.to_owned(), "thing/of-the-future".to_owned());
            }
            // The right owner of another cluster.
            1 => {
                pairs.insert(rows::CLUSTER.to_owned(), "another".to_owned());
                pairs.insert(rows::OWNER.to_owned(), "subnet/ovn-default".to_owned());
            }
            2 => {
                pairs.insert("vendor".to_owned(), "kube-ovn".to_owned());
                pairs.insert("ls".to_owned(), "ovn-default".to_owned());
            }
            _ => {}
        }
        if self.random.below(2) == 0 {
            pairs.insert("neutron:router_name".to_owned(), self.text());
        }
        json!(["map", pairs.into_iter().collect::<Vec<_>>()])
    }

    fn networks(&mut self) -> Value {
        let some: std::collections::BTreeSet<&str> =
            (0..=self.random.below(3)).map(|_| NETWORKS[self.random.below(NETWORKS.len())]).collect();
        json!(["set", some])
    }

    fn port_of_router(&mut self) -> Value {
        let (name, ids, networks, mac) = (self.name(true), self.ids(), self.networks(), self.text());
        let peer = if self.random.below(3) == 0 { json!(name) } else { json!(["set", []]) };
        let row = json!({"name": name, "mac": mac, "networks": networks, "external_ids": ids, "peer": peer});
        json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "port", "row": row})
    }

    /// The next row.
    pub fn row(&mut self) -> Hostile {
        let port = json!(["named-uuid", "port"]);
        let operations = match self.random.below(6) {
            0 => {
                let (name, ids, port_row) = (self.name(false), self.ids(), self.port_of_router());
                let row = json!({"name": name, "external_ids": ids, "ports": port});
                vec![port_row, json!({"op": "insert", "table": "Logical_Router", "row": row})]
            }
            1 => {
                let row = json!({"name": self.name(false), "external_ids": self.ids()});
                vec![json!({"op": "insert", "table": "Logical_Router", "row": row})]
            }
            2 => {
                // On a router that is in use.
                let insert = self.port_of_router();
                let condition = json!([["name", "==", self.router]]);
                let edge = json!({"op": "mutate", "table": "Logical_Router", "where": condition, "mutations": [["ports", "insert", port]]});
                vec![insert, edge]
            }
            3 => {
                let (name, ids, addresses) = (self.name(true), self.ids(), self.text());
                let options = json!(["map", [["router-port", self.text()], ["peer", name]]]);
                let kind = self.random.pick(&["", "router", "localnet", "no-such-type", "\u{1}"]);
                let row = json!({"name": name, "type": kind, "addresses": addresses, "options": options, "external_ids": ids});
                let switch = json!({"name": self.name(false), "external_ids": self.ids(), "ports": port});
                vec![
                    json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "port", "row": row}),
                    json!({"op": "insert", "table": "Logical_Switch", "row": switch}),
                ]
            }
            4 => {
                let row =
                    json!({"name": self.name(true), "external_ids": self.ids(), "addresses": self.text()});
                vec![json!({"op": "insert", "table": "Address_Set", "row": row})]
            }
            _ => {
                let row = json!({"name": self.name(true), "external_ids": self.ids()});
                vec![json!({"op": "insert", "table": "Port_Group", "row": row})]
            }
        };
        Hostile { operations }
    }
}
