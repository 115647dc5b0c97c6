//! What servers say of themselves, as series.

use tombolo_observe::{Family, Series};
use tombolo_ovn::nb;

use crate::members::{Member, leaders};

/// The servers of a database, with its name.
pub type Servers = (&'static str, Vec<Member>);

/// The series of all servers of both databases.
#[must_use]
pub fn series(all: &[Servers]) -> Vec<Family> {
    [of_each(all), of_clusters(all), ours(all)].concat()
}

fn each(all: &[Servers]) -> impl Iterator<Item = (&'static str, &Member)> {
    all.iter().flat_map(|(db, members)| members.iter().map(move |member| (*db, member)))
}

fn place(db: &str, member: &Member) -> Vec<(&'static str, String)> {
    vec![("hostname", member.host().to_owned()), ("db_name", db.to_owned())]
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

fn status(member: &Member) -> f64 {
    match (member.serves(), member.leads()) {
        (false, _) => 0.0,
        (true, true) => 1.0,
        (true, false) => 2.0,
    }
}

fn component(db: &str) -> String {
    let direction = if db == nb::DATABASE { "northbound" } else { "southbound" };
    format!("ovsdb-server-{direction}")
}

fn of_each(all: &[Servers]) -> Vec<Family> {
    let enabled = |(db, member): (&'static str, &Member)| {
        let says = member.says.as_ref()?;
        Some((place(db, member), flag(says.clustered)))
    };
    let statuses = each(all).map(|(db, member)| {
        let labels = vec![("hostname", member.host().to_owned()), ("component", component(db))];
        (labels, status(member))
    });
    vec![
        Family::gauge(
            "kube_ovn_ovn_status",
            "State of a server: 1 leader, 2 follower, 0 of no use",
            statuses.collect(),
        ),
        Family::gauge(
            "kube_ovn_db_status",
            "Whether a server serves its database: it answers, and is in contact with its cluster",
            each(all).map(|(db, member)| (place(db, member), flag(member.serves()))).collect(),
        ),
        Family::gauge(
            "kube_ovn_cluster_enabled",
            "Whether a server is a member of a cluster",
            each(all).filter_map(enabled).collect(),
        ),
    ]
}

/// A further label of a member, and a value.
type Said = (Option<(&'static str, String)>, f64);

/// The members of clusters, each with what `of` says of it.
fn members(all: &[Servers], of: fn(&Member) -> Said) -> Vec<Series> {
    let series = each(all).filter_map(|(db, member)| {
        let says = member.says.as_ref().filter(|says| says.clustered)?;
        let id = |id: Option<tombolo_ovsdb::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let (more, value) = of(member);
        let mut labels = place(db, member);
        labels.extend([("server_id", id(says.server)), ("cluster_id", id(says.cluster))]);
        labels.extend(more);
        Some((labels, value))
    });
    series.collect()
}

fn of_clusters(all: &[Servers]) -> Vec<Family> {
    vec![
        Family::gauge(
            "kube_ovn_cluster_role",
            "Always 1; the label says whether a member leads",
            members(all, |member| (Some(("server_role", member.role().to_owned())), 1.0)),
        ),
        Family::gauge(
            "kube_ovn_cluster_status",
            "Always 1; the label says whether a member is in contact with its cluster",
            members(all, |member| {
                let status = if member.serves() { "cluster member" } else { "disconnected" };
                (Some(("server_status", status.to_owned())), 1.0)
            }),
        ),
        Family::gauge(
            "kube_ovn_cluster_leader_self",
            "Whether a member takes itself for the leader",
            members(all, |member| (None, flag(member.leads()))),
        ),
    ]
}

fn ours(all: &[Servers]) -> Vec<Family> {
    let at =
        |db: &str, member: &Member| vec![("db_name", db.to_owned()), ("endpoint", member.endpoint.clone())];
    let index =
        |(db, member): (&'static str, &Member)| Some((at(db, member), member.says.as_ref()?.index? as f64));
    let counted =
        all.iter().map(|(db, members)| (vec![("db_name", (*db).to_owned())], leaders(members) as f64));
    vec![
        Family::gauge(
            "tombolo_ovn_leaders",
            "How many servers lead: 1 as it should be, 0 where nothing can be written, 2 after a split",
            counted.collect(),
        ),
        Family::gauge(
            "tombolo_ovn_member_connected",
            "Whether a configured endpoint answers and serves its database",
            each(all).map(|(db, member)| (at(db, member), flag(member.serves()))).collect(),
        ),
        Family::gauge(
            "tombolo_ovn_member_log_index",
            "Where a member's log ends; one that stays behind the others doesn't follow",
            each(all).filter_map(index).collect(),
        ),
    ]
}
