//! The ConfigMap in which members find each other: the clusters that were founded, and which members have a file.
//!
//! Its only purpose is that a cluster is founded once ([`crate::decide`]). Whoever has a file doesn't need it to start.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tombolo_client::{is_conflict, within};
use tombolo_names::workloads::CENTRAL;
use tombolo_ovsdb::Uuid;

use crate::database::Database;
use crate::decide::{File, Known, Report};
use crate::options::method;

/// Attempts to write a cluster down while others write, too.
const ATTEMPTS: usize = 10;

/// The ConfigMap.
#[derive(Clone)]
pub struct Registry {
    api: Api<ConfigMap>,
}

/// A member's word without a file, and with one: followed by its id in the cluster.
const EMPTY: &str = "empty";
const HAS: &str = "has";

type Data = BTreeMap<String, String>;

impl Registry {
    /// That of a namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }

    /// The ids that members have in their cluster, as they last said.
    ///
    /// # Errors
    /// The API server's.
    pub async fn servers(&self, database: Database, members: &[IpAddr]) -> Result<BTreeMap<IpAddr, Uuid>> {
        let map = within(&doing("reading"), self.api.get_opt(CENTRAL)).await?;
        let data = map.and_then(|map| map.data).unwrap_or_default();
        let server = |member: &IpAddr| {
            let id = data.get(&key(database, *member))?.strip_prefix(HAS)?.trim().parse().ok()?;
            Some((*member, id))
        };
        Ok(members.iter().filter_map(server).collect())
    }

    /// Says whether a member has a file, and its id in the cluster; what is known of the database then. Writes only what isn't
    /// there yet.
    ///
    /// # Errors
    /// The API server's.
    pub async fn report(
        &self,
        database: Database,
        member: IpAddr,
        file: &File,
        members: &[IpAddr],
    ) -> Result<Known> {
        let (key, word) = (key(database, member), word(file));
        let mut map = within(&doing("reading"), self.api.get_opt(CENTRAL)).await?;
        if map.is_none() {
            self.create(Data::new()).await?;
        }
        if map.as_ref().and_then(|map| map.data.as_ref()?.get(&key)) != Some(&word) {
            let patch = Patch::Merge(json!({ "data": { key: word } }));
            map = Some(
                within(&doing("writing"), self.api.patch(CENTRAL, &PatchParams::default(), &patch)).await?,
            );
        }
        known(&map.and_then(|map| map.data).unwrap_or_default(), database, members)
    }

    /// Writes down a cluster, and whether its members speak TLS with each other, unless there is one already; the one that is there then.
    ///
    /// # Errors
    /// The API server's.
    pub async fn claim(&self, database: Database, cluster: Uuid, tls: bool) -> Result<Uuid> {
        for _ in 0..ATTEMPTS {
            let Some(mut map) = within(&doing("reading"), self.api.get_opt(CENTRAL)).await? else {
                self.create(Data::new()).await?;
                continue;
            };
            let data = map.data.get_or_insert_default();
            if let Some(there) = data.get(database.short()) {
                return parse(database, there);
            }
            data.insert(database.short().to_owned(), cluster.to_string());
            data.insert(method_key(database), method(tls).to_owned());
            // It bears the version that was read: between that and now, no other member has written.
            match within(&doing("writing"), self.api.replace(CENTRAL, &PostParams::default(), &map)).await {
                Ok(_) => return Ok(cluster),
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error),
            }
        }
        bail!("writing the {database}'s cluster down: others write the ConfigMap {CENTRAL} all the time")
    }

    async fn create(&self, data: Data) -> Result<()> {
        let metadata = ObjectMeta { name: Some(CENTRAL.to_owned()), ..ObjectMeta::default() };
        let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
        match within(&doing("creating"), self.api.create(&PostParams::default(), &map)).await {
            Err(error) if !is_conflict(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn doing(what: &str) -> String {
    format!("{what} the ConfigMap {CENTRAL}")
}

/// A key may have no colon.
fn key(database: Database, member: IpAddr) -> String {
    format!("{}.{}", database.short(), member.to_string().replace(':', "-"))
}

/// The key of the method by which members reach each other. Of a cluster that was founded before it was written, `tcp`.
fn method_key(database: Database) -> String {
    format!("{}.method", database.short())
}

fn word(file: &File) -> String {
    match file {
        File::Missing => EMPTY.to_owned(),
        File::Clustered { server, .. } => format!("{HAS} {server}"),
        File::Standalone | File::Unreadable(_) => HAS.to_owned(),
    }
}

fn parse(database: Database, text: &str) -> Result<Uuid> {
    text.parse().with_context(|| {
        format!("the ConfigMap {CENTRAL} names the {database}'s cluster {text:?}, which is no id: correct or delete that key")
    })
}

fn known(data: &Data, database: Database, members: &[IpAddr]) -> Result<Known> {
    let cluster = data.get(database.short()).map(|text| parse(database, text)).transpose()?;
    let report = |member: &IpAddr| match data.get(&key(database, *member))?.as_str() {
        EMPTY => Some((*member, Report::Empty)),
        // A word of a later version's says more than that it is empty.
        _ => Some((*member, Report::Has)),
    };
    let tls = data.get(&method_key(database)).is_some_and(|word| word == method(true));
    Ok(Known { cluster, answers: false, tls, reports: members.iter().filter_map(report).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_for_listed_members_of_both_families() {
        let members: Vec<IpAddr> = ["10.0.0.1", "fd00::2"].map(|ip| ip.parse().unwrap()).into();
        let mut data = Data::new();
        data.insert(key(Database::Nb, members[0]), word(&File::Missing));
        data.insert(key(Database::Nb, members[1]), word(&File::Standalone));
        data.insert("nb.10.0.0.9".to_owned(), "empty".to_owned());
        assert!(data.keys().all(|key| !key.contains(':')));
        let reports = [(members[0], Report::Empty), (members[1], Report::Has)].into();
        assert_eq!(known(&data, Database::Nb, &members).unwrap(), Known { reports, ..Known::default() });
        assert_eq!(known(&data, Database::Sb, &members).unwrap(), Known::default());
        data.insert("nb".to_owned(), "no id".to_owned());
        assert!(known(&data, Database::Nb, &members).unwrap_err().to_string().contains("correct or delete"));
    }
}
