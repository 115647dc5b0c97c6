//! The two databases: their names, ports and files.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// One of OVN's central databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Database {
    /// Northbound.
    Nb,
    /// Southbound.
    Sb,
}

/// Both, in the order of starting.
pub const ALL: [Database; 2] = [Database::Nb, Database::Sb];

/// The port of the northbound database; the southbound one's is the next.
pub const PORT: u16 = 6641;

impl Database {
    /// `nb` or `sb`.
    #[must_use]
    pub fn short(self) -> &'static str {
        match self {
            Self::Nb => "nb",
            Self::Sb => "sb",
        }
    }

    /// Its name in the OVSDB protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nb => "OVN_Northbound",
            Self::Sb => "OVN_Southbound",
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn port(self) -> u16 {
        PORT + u16::from(self == Self::Sb)
    }

    /// Where members connect to each other.
    #[must_use]
    pub fn raft_port(self) -> u16 {
        self.port() + 2
    }

    /// A member's place in the cluster, without the method.
    #[must_use]
    pub fn place(self, member: IpAddr) -> String {
        SocketAddr::new(member, self.raft_port()).to_string()
    }

    /// A member's address in the cluster.
    #[must_use]
    pub fn raft(self, method: &str, member: IpAddr) -> String {
        endpoint(method, member, self.raft_port())
    }

    /// Where a member listens for clients, in OVSDB's notation: the port comes first.
    #[must_use]
    pub fn listener(self, method: &str, member: IpAddr) -> String {
        match member {
            IpAddr::V4(ip) => format!("p{method}:{}:{ip}", self.port()),
            IpAddr::V6(ip) => format!("p{method}:{}:[{ip}]", self.port()),
        }
    }

    /// Its file in a directory, under the name that OVN's own scripts use.
    #[must_use]
    pub fn file(self, dir: &Path) -> PathBuf {
        dir.join(format!("ovn{}_db.db", self.short()))
    }

    /// A member's socket of one kind (`sock`, `ctl`, `pid`).
    #[must_use]
    pub fn socket(self, dir: &Path, kind: &str) -> PathBuf {
        dir.join(format!("ovn{}_db.{kind}", self.short()))
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nb => "northbound database",
            Self::Sb => "southbound database",
        })
    }
}

/// `METHOD:IP:PORT`, an IPv6 address in brackets.
#[must_use]
pub fn endpoint(method: &str, ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{method}:{ip}:{port}"),
        IpAddr::V6(ip) => format!("{method}:[{ip}]:{port}"),
    }
}
