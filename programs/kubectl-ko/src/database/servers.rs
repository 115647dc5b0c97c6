//! `ko nb|sb status`, `dbstatus`, `kick`: the servers of a database, by their control sockets where a pod or a node of this
//! cluster has them, else by what each says of itself over the wire.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tombolo_names::workloads::CENTRAL;

use super::{Database, Place, Servers, cannot_start};
use crate::kubectl::Kubectl;
use crate::node;
use crate::process::{Captured, capture};
use crate::tls::Tls;

/// For one answer of a server.
const DEADLINE: Duration = Duration::from_secs(20);

/// The servers of a database.
pub fn status(kubectl: &Kubectl, database: Database) -> Result<ExitCode> {
    match Place::of(kubectl, database)? {
        Place::Pod(pod) => {
            let text = control(kubectl, &pod, database, "cluster/status")?;
            print!("{text}");
            let storage = control(kubectl, &pod, database, "ovsdb-server/get-db-storage-status")?;
            println!("{}", storage.trim_end());
            Ok(if storage.contains("status: ok") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Place::Here(servers) => table(&servers, database),
    }
}

/// Both databases' state in each `ovn-central` pod, or at each endpoint.
pub fn storage(kubectl: &Kubectl) -> Result<ExitCode> {
    let pods = pods(kubectl)?;
    let mut code = ExitCode::SUCCESS;
    for database in [Database::Nb, Database::Sb] {
        if pods.is_empty() {
            println!("{}", database.schema());
            if table(&super::servers(kubectl, database)?, database)? != ExitCode::SUCCESS {
                code = ExitCode::FAILURE;
            }
        }
        for pod in &pods {
            let said = control(kubectl, pod, database, "ovsdb-server/get-db-storage-status");
            let said = said.unwrap_or_else(|error| format!("{error:#}"));
            println!("{pod} {}: {}", database.schema(), said.trim());
            if !said.contains("status: ok") {
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Removes a server from the database's cluster.
pub fn kick(kubectl: &Kubectl, database: Database, server: &str) -> Result<ExitCode> {
    let words = ["ovs-appctl", "-t", database.control(), "cluster/kick", database.schema(), server];
    let got = match Place::of(kubectl, database)? {
        Place::Pod(pod) => exec(kubectl, &pod, &words)?,
        Place::Here(servers) => {
            let Some(node) = node_of(kubectl, &servers, database)? else {
                bail!(
                    "no node of this cluster runs a server of {} ({}): on one of its hosts run {}",
                    database.schema(),
                    servers.endpoints.join(","),
                    words.join(" ")
                );
            };
            node::capture(kubectl, &node, &words, DEADLINE)?
        }
    };
    let said = got.success(&format!("removing server {server} from the cluster of {}", database.schema()))?;
    print!("{}", String::from_utf8_lossy(&said));
    Ok(ExitCode::SUCCESS)
}

/// A node that is a host of the database, the leader's first.
fn node_of(kubectl: &Kubectl, servers: &Servers, database: Database) -> Result<Option<String>> {
    let nodes = kubectl.json(&["get", "nodes"])?;
    let leads = |endpoint: &&String| server(endpoint, database, &servers.tls).is_ok_and(|s| s.leader);
    let first = servers.endpoints.iter().find(leads);
    Ok(first.into_iter().chain(&servers.endpoints).find_map(|endpoint| at(&nodes, endpoint)))
}

/// The node with an endpoint's address.
fn at(nodes: &Value, endpoint: &str) -> Option<String> {
    let host = endpoint.split_once(':')?.1.rsplit_once(':')?.0.trim_matches(['[', ']']);
    let has = |node: &&Value| {
        let all = node["status"]["addresses"].as_array().into_iter().flatten();
        all.into_iter().any(|address| address["type"] == "InternalIP" && address["address"] == host)
    };
    Some(nodes["items"].as_array()?.iter().find(has)?["metadata"]["name"].as_str()?.to_owned())
}

/// What the control socket of a database's server in a pod answers.
pub fn control(kubectl: &Kubectl, pod: &str, database: Database, command: &str) -> Result<String> {
    let words = ["ovs-appctl", "-t", database.control(), command, database.schema()];
    let said = exec(kubectl, pod, &words)?.success(&format!("{command} in pod {pod}"))?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn exec(kubectl: &Kubectl, pod: &str, words: &[&str]) -> Result<Captured> {
    let mut command = kubectl.command(&["exec", "-n", kubectl.namespace(), pod, "-c", CENTRAL, "--"]);
    capture(command.args(words), b"", DEADLINE, &kubectl.cannot_start())
}

fn table(servers: &Servers, database: Database) -> Result<ExitCode> {
    let Servers { endpoints, tls } = servers;
    let width = endpoints.iter().map(String::len).max().unwrap_or(0).max("ENDPOINT".len());
    println!("{:width$}  {:10}  {:9}  {:6}  {:>8}", "ENDPOINT", "MODEL", "CONNECTED", "LEADER", "INDEX");
    let mut leaders = 0;
    for endpoint in endpoints {
        match server(endpoint, database, tls) {
            Ok(server) => {
                leaders += u32::from(server.leader);
                println!(
                    "{endpoint:width$}  {:10}  {:9}  {:6}  {:>8}",
                    server.model, server.connected, server.leader, server.index
                );
            }
            Err(error) => println!("{endpoint:width$}  {error:#}"),
        }
    }
    if leaders == 0 {
        eprintln!("no server of {} leads: nothing can be written", database.schema());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `clustered`, `standalone` or `relay`.
    pub model: String,
    /// Whether it is in touch with its cluster's majority.
    pub connected: bool,
    /// Whether it leads.
    pub leader: bool,
    /// The cluster's id.
    pub cluster: Option<String>,
    /// Of the last record of its log; `-` without a log.
    pub index: String,
}

/// A server's own row in the database `_Server` (ovsdb-server(5)).
pub fn server(endpoint: &str, database: Database, tls: &Tls) -> Result<Server> {
    let mut command = Command::new("ovsdb-client");
    command.arg("--timeout=3").args(tls.options()).args(["query", endpoint, &own_row(database)]);
    said(&capture(&mut command, b"", DEADLINE, &cannot_start("ovsdb-client"))?)
}

/// The same of the server in an `ovn-central` pod.
pub fn server_in(kubectl: &Kubectl, pod: &str, database: Database) -> Result<Server> {
    let mut command = Place::Pod(pod.to_owned()).client(kubectl, database, "query", &[&own_row(database)]);
    said(&capture(&mut command, b"", DEADLINE, &kubectl.cannot_start())?)
}

/// Names of all `ovn-central` pods.
pub fn pods(kubectl: &Kubectl) -> Result<Vec<String>> {
    let selector = format!("app={CENTRAL}");
    let pods = kubectl.json(&["get", "pods", "-n", kubectl.namespace(), "-l", &selector])?;
    let names = pods["items"].as_array().into_iter().flatten();
    let names = names.filter_map(|pod| pod["metadata"]["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

fn own_row(database: Database) -> String {
    format!(
        r#"["_Server",{{"op":"select","table":"Database","where":[["name","==","{}"]],"columns":["model","connected","leader","index","cid"]}}]"#,
        database.schema()
    )
}

fn said(got: &Captured) -> Result<Server> {
    if !got.status.success() {
        let last = got.stderr.trim().lines().last().unwrap_or("no answer");
        bail!("{}", last.trim_start_matches("ovsdb-client: "));
    }
    parse_server(&serde_json::from_slice(&got.stdout).context("reading a server's answer")?)
}

fn parse_server(reply: &Value) -> Result<Server> {
    let row = &reply[0]["rows"][0];
    let model = row["model"].as_str().context("the server doesn't have this database")?;
    Ok(Server {
        model: model.to_owned(),
        connected: row["connected"].as_bool().unwrap_or(false),
        leader: row["leader"].as_bool().unwrap_or(false),
        cluster: row["cid"][1].as_str().map(str::to_owned),
        // A set when there is none, as in a standalone database.
        index: row["index"].as_u64().map_or_else(|| "-".to_owned(), |i| i.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_server_says_of_itself() {
        let reply = json!([{ "rows": [{ "model": "clustered", "connected": true, "leader": true, "index": 19,
            "cid": ["uuid", "c"] }] }]);
        let server = parse_server(&reply).unwrap();
        assert!(server.leader && server.connected);
        assert_eq!((server.model.as_str(), server.index.as_str()), ("clustered", "19"));
        assert_eq!(server.cluster.as_deref(), Some("c"));
        assert!(parse_server(&json!([{ "rows": [] }])).is_err());
    }

    #[test]
    fn the_node_that_is_a_databases_host() {
        let address =
            |a: &str| json!([{ "type": "Hostname", "address": "x" }, { "type": "InternalIP", "address": a }]);
        let node = |name: &str, a: &str| json!({ "metadata": { "name": name }, "status": { "addresses": address(a) } });
        let nodes = json!({ "items": [node("a", "10.0.0.1"), node("b", "fd00::2")] });
        assert_eq!(at(&nodes, "ssl:10.0.0.1:6641").as_deref(), Some("a"));
        assert_eq!(at(&nodes, "tcp:[fd00::2]:6641").as_deref(), Some("b"));
        assert_eq!(at(&nodes, "tcp:10.0.0.3:6641"), None);
    }
}
