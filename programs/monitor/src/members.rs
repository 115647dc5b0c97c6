//! What each server says of itself and of its database's cluster: the table Database of `_Server`, ovsdb-server(5).

use tombolo_ovsdb::{Datum, Snapshot, Uuid, Wanted};

/// The database in which a server describes itself.
pub const SERVER: &str = "_Server";
/// Its one table, and the columns that are read.
const TABLE: &str = "Database";
const COLUMNS: &[&str] = &["name", "model", "connected", "leader", "cid", "sid", "index"];

/// What is read of it.
#[must_use]
pub fn wanted() -> Wanted {
    Wanted::new().table(TABLE, COLUMNS)
}

/// One server, as one of its endpoints shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Where it is asked.
    pub endpoint: String,
    /// What it says; none while it doesn't answer.
    pub says: Option<Says>,
}

/// A server's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Says {
    /// One of a cluster, not a server on its own.
    pub clustered: bool,
    /// In contact with the majority of its cluster.
    pub connected: bool,
    /// The leader of its cluster; a server on its own always is.
    pub leads: bool,
    /// The cluster.
    pub cluster: Option<Uuid>,
    /// The server.
    pub server: Option<Uuid>,
    /// Where its log ends.
    pub index: Option<i64>,
}

/// What a server says of `database`; none if it is away, or hasn't the database.
#[must_use]
pub fn says(snapshot: &Snapshot, database: &str) -> Option<Says> {
    if !snapshot.fresh {
        return None;
    }
    let mut rows = snapshot.replica.rows(TABLE);
    let (_, row) = rows.find(|(_, row)| row.str("name") == Some(database))?;
    let flag = |column| row.get(column).and_then(Datum::as_bool).unwrap_or(false);
    let id = |column| row.get(column).and_then(Datum::as_uuid);
    Some(Says {
        clustered: row.str("model") == Some("clustered"),
        connected: flag("connected"),
        leads: flag("leader"),
        cluster: id("cid"),
        server: id("sid"),
        index: row.get("index").and_then(Datum::as_i64),
    })
}

impl Member {
    /// Whether it answers, and can serve: a server on its own, or one in contact with its cluster.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.says.as_ref().is_some_and(|says| !says.clustered || says.connected)
    }

    /// Whether it takes itself for the leader.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.says.as_ref().is_some_and(|says| says.leads)
    }

    /// `leader` or `follower`, of a cluster.
    #[must_use]
    pub fn role(&self) -> &'static str {
        if self.leads() { "leader" } else { "follower" }
    }

    /// The host of its endpoint: `10.0.0.1` of `tcp:10.0.0.1:6641`.
    #[must_use]
    pub fn host(&self) -> &str {
        let Some((method, rest)) = self.endpoint.split_once(':') else { return &self.endpoint };
        if method == "unix" {
            return rest;
        }
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// How many members lead: 1 as it should be, 0 where nothing can be written, 2 after a split. Endpoints of one server count once.
#[must_use]
pub fn leaders(members: &[Member]) -> usize {
    let mut all: Vec<_> = members.iter().filter(|member| member.leads()).collect();
    all.sort_by_key(|member| key(member));
    all.dedup_by_key(|member| key(member));
    all.len()
}

/// A server on its own has no id: there its endpoint stands for it.
fn key(member: &Member) -> (Option<Uuid>, &str) {
    let server = member.says.as_ref().and_then(|says| says.server);
    (server, if server.is_some() { "" } else { &member.endpoint })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(endpoint: &str, server: u128, connected: bool, leads: bool) -> Member {
        let says = Says {
            clustered: true,
            connected,
            leads,
            server: Some(Uuid::from_u128(server)),
            ..Says::default()
        };
        Member { endpoint: endpoint.to_owned(), says: Some(says) }
    }

    #[test]
    fn leaders_are_counted_by_server() {
        let gone = Member { endpoint: "tcp:c:1".to_owned(), says: None };
        let mut all = vec![member("tcp:a:1", 1, true, true), member("tcp:b:1", 2, true, false), gone];
        assert_eq!(leaders(&all), 1);
        all.push(member("ssl:a:2", 1, true, true));
        assert_eq!(leaders(&all), 1, "another way to the same server");
        all.push(member("tcp:d:1", 4, true, true));
        assert_eq!(leaders(&all), 2);
        all.retain(|member| !member.leads());
        assert_eq!(leaders(&all), 0);
    }

    #[test]
    fn one_that_is_cut_off_does_not_serve() {
        assert!(member("tcp:a:1", 1, true, false).serves());
        assert!(!member("tcp:a:1", 1, false, true).serves());
        assert!(!Member::default().serves());
        let alone = Says { leads: true, ..Says::default() };
        assert!(Member { endpoint: String::new(), says: Some(alone) }.serves());
    }

    #[test]
    fn the_host_of_an_endpoint() {
        for (endpoint, host) in
            [("tcp:10.0.0.1:6641", "10.0.0.1"), ("ssl:[fd00::1]:6641", "fd00::1"), ("unix:/run/x", "/run/x")]
        {
            assert_eq!(member(endpoint, 1, true, true).host(), host);
        }
    }
}
