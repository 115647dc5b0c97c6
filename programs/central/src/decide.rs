//! What a member does with a database before it starts it: start what it has, found the cluster, join it, or wait.
//!
//! Pure. The dangers are a second cluster beside the first one, which splits OVN in two, and a file that is gone. So:
//!
//! - A cluster is founded once: only when the registry knows none and **every** listed member has said that it has no file.
//! - An empty member joins the cluster that the registry names, by its id, and no other one.
//! - A file that doesn't fit is put aside only where another member of the cluster answers, which holds all that it has; where
//!   it may be the only copy, the member waits and says so.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use tombolo_ovsdb::Uuid;

/// A member's file of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// There is none.
    Missing,
    /// Of a RAFT cluster.
    Clustered {
        /// The cluster; none as long as a member that was told no id hasn't joined.
        cluster: Option<Uuid>,
        /// The member's id in it.
        server: Uuid,
        /// Its address in it, `tcp:IP:PORT` or `ssl:IP:PORT`: it never changes.
        address: String,
    },
    /// Of no cluster: a backup that was put in place, or the database of a single server.
    Standalone,
    /// Another database's, or no database's.
    Unreadable(String),
}

/// What a member has said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It has no file.
    Empty,
    /// It has one.
    Has,
}

/// What is known outside of this member, of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The cluster that was founded.
    pub cluster: Option<Uuid>,
    /// Whether another member answers that it has joined that cluster.
    pub answers: bool,
    /// Whether that cluster's members speak TLS with each other.
    pub tls: bool,
    /// What members have said.
    pub reports: BTreeMap<IpAddr, Report>,
}

/// This member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Its address.
    pub address: IpAddr,
    /// Its place in the cluster, `IP:PORT`. The method before it is the one by which the cluster was founded.
    pub place: String,
    /// All members, ascending, this one among them.
    pub members: Vec<IpAddr>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Start the server on the file. `claim`: the registry doesn't know the cluster yet.
    Start {
        /// The cluster to be written down first.
        claim: Option<Uuid>,
    },
    /// Found the cluster, out of the standalone file if there is one; write it down; start.
    Create {
        /// Whether there is.
        from_standalone: bool,
    },
    /// Make a file that joins this cluster by these members; start.
    Join {
        /// The cluster.
        cluster: Uuid,
        /// The other members.
        others: Vec<IpAddr>,
    },
    /// Put the file aside, and decide anew.
    Archive(String),
    /// Not yet.
    Wait(String),
    /// Not without an operator.
    Refuse(String),
}

/// A member's address without its method. Kube-OVN puts IPv4 addresses in brackets, too, which means the same.
#[must_use]
pub fn place(address: &str) -> Cow<'_, str> {
    let bare = address.strip_prefix("tcp:").or_else(|| address.strip_prefix("ssl:")).unwrap_or(address);
    match bare.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((ip, port)) if ip.parse::<Ipv4Addr>().is_ok() => Cow::Owned(format!("{ip}:{port}")),
        _ => Cow::Borrowed(bare),
    }
}

/// Decides.
#[must_use]
pub fn next(me: &Me, file: &File, known: &Known) -> Next {
    let others: Vec<IpAddr> = me.members.iter().copied().filter(|ip| *ip != me.address).collect();
    match (file, known.cluster) {
        (File::Missing, Some(cluster)) if others.is_empty() => Next::Refuse(format!(
            "the file is gone, and with it cluster {cluster}, whose only member this is: put a backup in its place, or delete \
             the ConfigMap to begin with an empty database"
        )),
        (File::Missing, Some(cluster)) => Next::Join { cluster, others },
        (File::Missing, None) => found(me, &others, known, false),
        (File::Standalone, None) => found(me, &others, known, true),
        (File::Standalone, Some(cluster)) => Next::Refuse(format!(
            "the file is a standalone database, but cluster {cluster} is in use: to restore a backup, stop all members and \
             delete the ConfigMap first; otherwise move the file away"
        )),
        (File::Unreadable(why), Some(_)) if known.answers => Next::Archive(why.clone()),
        (File::Unreadable(why), Some(cluster)) if !others.is_empty() => only_copy(why, cluster),
        (File::Unreadable(why), _) => Next::Refuse(format!(
            "{why}, and no other member is known to have the database: put a backup in its place, or move the file away"
        )),
        (File::Clustered { cluster, address, .. }, Some(named)) => match cluster {
            Some(cluster) if *cluster != named => Next::Refuse(format!(
                "the file is of cluster {cluster}, but the ConfigMap names {named}; which one is right only you can know: move \
                 the file away to join {named}, or delete the ConfigMap to go on with the files, if those of all members agree"
            )),
            _ if place(address) == me.place => Next::Start { claim: None },
            _ if others.is_empty() => moved(me, address),
            _ => {
                let why = format!("it is that of the member {address}, and this one is {}", me.place);
                if known.answers { Next::Archive(why) } else { only_copy(&why, named) }
            }
        },
        (File::Clustered { address, .. }, None) if place(address) != me.place => moved(me, address),
        (File::Clustered { cluster, .. }, None) => Next::Start { claim: *cluster },
    }
}

/// The file may be all that is left.
fn only_copy(why: &str, cluster: Uuid) -> Next {
    Next::Wait(format!(
        "the file can't be used: {why}. It stays in its place, since no other member of cluster {cluster} answers: start one \
         that has the database, or put a backup in its place"
    ))
}

fn moved(me: &Me, address: &str) -> Next {
    Next::Refuse(format!(
        "the file is that of the member {address}, and this one is {}: a member keeps its address. Give the host its address \
         back, or make a standalone database of the file (ovsdb-tool cluster-to-standalone) and put it in its place",
        me.place
    ))
}

/// No cluster is known. Whoever has data founds it, else the first one.
fn found(me: &Me, others: &[IpAddr], known: &Known, from_standalone: bool) -> Next {
    let silent: Vec<String> =
        others.iter().filter(|ip| !known.reports.contains_key(ip)).map(IpAddr::to_string).collect();
    if !silent.is_empty() {
        return Next::Wait(format!(
            "no cluster was founded yet, and none is before every member has said that it has no database; not yet heard of: {}",
            silent.join(", ")
        ));
    }
    if let Some(other) = others.iter().find(|ip| known.reports.get(ip) == Some(&Report::Has)) {
        return match from_standalone {
            true => Next::Refuse(format!("both this member and {other} have a database: keep one of them")),
            false => Next::Wait(format!("{other} has the database and is to write its cluster down")),
        };
    }
    match from_standalone || me.members.first() == Some(&me.address) {
        true => Next::Create { from_standalone },
        false => Next::Wait("the first member is to found the cluster".to_owned()),
    }
}

/// Checks the list of members, which decides how many may fail.
///
/// # Errors
/// A sentence for the operator.
pub fn check_members(address: IpAddr, members: &[IpAddr]) -> Result<(), String> {
    if !members.contains(&address) {
        let all: Vec<String> = members.iter().map(IpAddr::to_string).collect();
        return Err(format!(
            "{address} isn't among the members {}: list this host, or label it no member",
            all.join(", ")
        ));
    }
    if members.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err("a member is listed twice".to_owned());
    }
    match members.len() {
        1 | 3 | 5 => Ok(()),
        even if even % 2 == 0 => {
            Err(format!("{even} members tolerate no more failures than {}: have 1, 3 or 5", even - 1))
        }
        many => Err(format!("{many} members make each write slow: have 1, 3 or 5")),
    }
}
