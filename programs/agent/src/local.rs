//! Gathers the node's [`Surroundings`]: from the kernel, Open vSwitch's database, resolv.conf, and the names in them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tombolo_linux::{Link, LinkAddress, Route};
use tombolo_net::Cidr;
use tombolo_ovsdb::Replica;

use crate::host::Host;
use crate::surroundings::{Role, Surroundings, name_servers};

/// How long a name may take, and how long an answer counts. A name that doesn't resolve keeps its last addresses.
const RESOLVE: Duration = Duration::from_secs(2);
const KEPT: Duration = Duration::from_secs(60);

/// The sources.
#[derive(Debug)]
pub struct Local {
    host: Arc<Host>,
    api_server: Option<String>,
    services: Vec<Cidr>,
    resolv_conf: PathBuf,
    names: BTreeMap<String, (Instant, Vec<IpAddr>)>,
}

/// The kernel's links, addresses and routes.
#[derive(Debug, Default)]
pub struct Kernel {
    /// Links.
    pub links: Vec<Link>,
    /// Their addresses.
    pub addresses: Vec<LinkAddress>,
    /// The main table.
    pub routes: Vec<Route>,
}

impl Local {
    /// `api_server` is the host of the API server's URL; `services` the cluster's Service range.
    pub fn new(host: Arc<Host>, api_server: Option<String>, services: Vec<Cidr>) -> Self {
        Self { host, api_server, services, resolv_conf: "/etc/resolv.conf".into(), names: BTreeMap::new() }
    }

    /// The kernel's links, addresses and routes now.
    pub async fn kernel(&self) -> tombolo_linux::Result<Kernel> {
        let netlink = &self.host.netlink;
        Ok(Kernel {
            links: netlink.links().await?,
            addresses: netlink.all_addresses().await?,
            routes: netlink.routes(None).await?,
        })
    }

    /// All destinations that must stay reachable past ovn0, as far as this node knows them.
    pub async fn surroundings(&mut self, kernel: &Kernel, replica: &Replica) -> Surroundings {
        let mut around = Surroundings { services: self.services.clone(), ..Surroundings::default() };
        let addresses: Vec<_> = kernel.addresses.iter().map(|a| (a.link, a.address)).collect();
        around.add_kernel(&kernel.links, &addresses, &kernel.routes);
        let text = std::fs::read_to_string(&self.resolv_conf).unwrap_or_default();
        // One on loopback forwards to others.
        around
            .hosts
            .extend(name_servers(&text).filter(|ip| !ip.is_loopback()).map(|ip| (ip, Role::NameServer)));
        for name in around.add_vswitch(replica) {
            around.hosts.extend(self.resolve(&name).await.into_iter().map(|ip| (ip, Role::Ovn)));
        }
        if let Some(name) = self.api_server.clone() {
            around.hosts.extend(self.resolve(&name).await.into_iter().map(|ip| (ip, Role::ApiServer)));
        }
        // A destination behind loopback (a test's API server, a proxy on the node) needs no route.
        around.hosts.retain(|(ip, _)| !ip.is_loopback());
        around
    }

    async fn resolve(&mut self, name: &str) -> Vec<IpAddr> {
        if let Ok(ip) = name.trim_matches(['[', ']']).parse() {
            return vec![ip];
        }
        let entry = self.names.get(name).cloned();
        if let Some((until, addresses)) = &entry
            && Instant::now() < *until
        {
            return addresses.clone();
        }
        let mut addresses = match timeout(RESOLVE, tokio::net::lookup_host((name, 0))).await {
            Ok(Ok(found)) => found.map(|at| at.ip()).collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        if addresses.is_empty() {
            addresses = entry.map(|(_, before)| before).unwrap_or_default();
        }
        self.names.insert(name.to_owned(), (Instant::now() + KEPT, addresses.clone()));
        addresses
    }
}
