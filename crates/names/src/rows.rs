//! Keys in `external_ids` of rows in OVN's and Open vSwitch's databases.

/// The prefix of all keys that only we write.
pub const PREFIX: &str = "tombolo.io/";
/// The cluster's id. A row with another cluster's id is foreign.
pub const CLUSTER: &str = "tombolo.io/cluster";
/// `<kind>/<name>` of the owner.
pub const OWNER: &str = "tombolo.io/owner";
/// The uuid of the row that refers to a row which is in no root table: its switch or router. Taking such a row away
/// means taking the reference away, there.
pub const PARENT: &str = "tombolo.io/parent";
/// What the row's owner has put into rows that it shares with other owners, where it isn't a reference to the row itself:
/// `<uuid of the shared row>/<element>`, separated by blanks.
pub const ENTRIES: &str = "tombolo.io/entries";
/// On a row taken over from Kube-OVN, which keeps its own uuid: the one that a row of ours in its place has.
pub const STANDS_FOR: &str = "tombolo.io/stands-for";
/// The key by which Kube-OVN's tools know a row.
pub const VENDOR_KEY: &str = "vendor";
/// Its value. It alone proves nothing: a Kube-OVN beside us writes it too.
pub const VENDOR: &str = "kube-ovn";
/// On a Subnet's switch: the accepted spec with all defaults, as JSON.
pub const SPEC: &str = "tombolo.io/spec";
/// On the epoch row: the number of the leader.
pub const EPOCH: &str = "tombolo.io/epoch";
/// On a port in Open vSwitch: the container's id.
pub const CONTAINER: &str = "tombolo.io/container-id";
/// On a port in Open vSwitch: the interface's name in the container.
pub const IFNAME: &str = "tombolo.io/ifname";
/// On a port in Open vSwitch: the MAC of the container's side. On a router's port taken over from Kube-OVN: its MAC, which pods
/// have in their neighbor tables.
pub const MAC: &str = "tombolo.io/mac";
