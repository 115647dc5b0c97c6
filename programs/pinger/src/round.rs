//! One round: everything is looked at, at once, and what was found is shown, and said where it has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, anyhow};
use futures::future::join_all;
use kube::Client;
use tracing::{info, warn};

use crate::checks;
use crate::metrics::{Labels, Metrics, Pings};
use crate::options::Options;
use crate::ping::{COUNT, ping};
use crate::sample::choose;
use crate::siblings::{Sibling, Siblings};
use crate::targets::{Protocol, Target};

/// Who measures.
pub struct Pinger {
    options: Options,
    client: Client,
    siblings: Siblings,
    metrics: Metrics,
    /// What failed in the last round.
    failing: BTreeSet<String>,
}

/// What was looked at, and what is wrong with it.
type Found = (String, Result<()>);

impl Pinger {
    /// One that has measured nothing yet.
    #[must_use]
    pub fn new(options: Options, client: Client, siblings: Siblings, metrics: Metrics) -> Self {
        Self { options, client, siblings, metrics, failing: BTreeSet::new() }
    }

    /// Measures once. Returns whether all was well.
    pub async fn round(&mut self) -> bool {
        let all = self.siblings.all();
        let ports = self.ports_of(&all);
        let (checks, pings, ports) = futures::join!(self.look(), self.ping_all(&all), self.reach(&ports));
        let mut failing = BTreeSet::new();
        for (what, result) in [checks, pings, ports].into_iter().flatten() {
            if let Err(error) = result {
                if !self.failing.contains(&what) {
                    warn!("{what}: {error:#}");
                }
                failing.insert(what);
            }
        }
        for what in self.failing.difference(&failing) {
            info!("{what}: well again, or no target any more");
        }
        self.failing = failing;
        self.failing.is_empty()
    }

    async fn look(&self) -> Vec<Found> {
        let node = &self.options.acting.node_name;
        let (inside, outside) = (&self.options.acting.internal_dns, &self.options.acting.external_dns);
        let api = async {
            let result = checks::api_server(&self.client).await;
            self.metrics.api_server.seen(node, result.as_ref().ok().copied());
            vec![("the API server".to_owned(), result.map(drop))]
        };
        let dns = async |name: &String, check: &crate::metrics::Check| {
            if name.is_empty() {
                return Vec::new();
            }
            let result = checks::name(name).await;
            check.seen(node, result.as_ref().ok().copied());
            vec![(format!("the name {name}"), result.map(drop))]
        };
        let all = futures::join!(
            api,
            dns(inside, &self.metrics.internal_dns),
            dns(outside, &self.metrics.external_dns)
        );
        [all.0, all.1, all.2].into_iter().flatten().collect()
    }

    /// Pings all kinds of targets.
    async fn ping_all(&self, all: &BTreeMap<String, Sibling>) -> Vec<Found> {
        let named = |name: &'static str, ips: &[IpAddr]| -> Vec<(IpAddr, Labels)> {
            ips.iter().map(|ip| (*ip, [self.source(), vec![(name, ip.to_string())]].concat())).collect()
        };
        let found = futures::join!(
            kind("pod", &self.metrics.pods, self.pods(all)),
            kind("node", &self.metrics.nodes, self.nodes(all)),
            kind("external address", &self.metrics.external, named("target_address", &self.options.external)),
            kind("VM", &self.metrics.vms, named("target_address", &self.options.vms)),
        );
        [found.0, found.1, found.2, found.3].into_iter().flatten().collect()
    }

    fn source(&self) -> Labels {
        vec![
            ("src_node_name", self.options.acting.node_name.clone()),
            ("src_node_ip", self.options.acting.host_ip.clone()),
            ("src_pod_ip", self.options.pod_ip()),
        ]
    }

    fn chosen<'a>(&self, all: &'a BTreeMap<String, Sibling>) -> Vec<&'a Sibling> {
        let names = all.keys().map(String::as_str);
        let chosen = choose(&self.options.acting.pod_name, names, self.options.acting.targets);
        chosen.into_iter().filter_map(|name| all.get(name)).collect()
    }

    fn pods(&self, all: &BTreeMap<String, Sibling>) -> Vec<(IpAddr, Labels)> {
        let mut targets = Vec::new();
        for sibling in self.chosen(all) {
            for ip in sibling.pod_ips.iter().filter(|ip| self.options.speaks(ip)) {
                let labels =
                    [self.source(), node_labels(sibling), vec![("target_pod_ip", ip.to_string())]].concat();
                targets.push((*ip, labels));
            }
        }
        targets
    }

    /// The chosen ones' nodes, and its own: the way there is another one.
    fn nodes(&self, all: &BTreeMap<String, Sibling>) -> Vec<(IpAddr, Labels)> {
        let own = all.get(&self.options.acting.pod_name);
        let mut targets = Vec::new();
        for sibling in self.chosen(all).into_iter().chain(own) {
            for ip in sibling.node_ips.iter().filter(|ip| self.options.speaks(ip)) {
                targets.push((*ip, [self.source(), node_labels_with(sibling, ip)].concat()));
            }
        }
        targets
    }

    /// Ports that were named, and with verbose checks those of the chosen siblings.
    fn ports_of(&self, all: &BTreeMap<String, Sibling>) -> Vec<Target> {
        let acting = &self.options.acting;
        let mut targets = self.options.ports.clone();
        if acting.enable_verbose_conn_check {
            let ips = self.chosen(all).into_iter().flat_map(|sibling| sibling.pod_ips.clone());
            for ip in ips.filter(|ip| self.options.speaks(ip)) {
                for (protocol, port) in
                    [(Protocol::Tcp, acting.tcp_conn_check_port), (Protocol::Udp, acting.udp_conn_check_port)]
                {
                    targets.push(Target { protocol, address: SocketAddr::new(ip, port) });
                }
            }
        }
        targets
    }

    async fn reach(&self, targets: &[Target]) -> Vec<Found> {
        join_all(targets.iter().map(|target| async {
            let result = checks::port(*target).await;
            // Those of siblings come and go, and are said in the log alone.
            if self.options.ports.contains(target) {
                let labels = vec![
                    ("nodeName", self.options.acting.node_name.clone()),
                    ("protocol", target.protocol.to_string()),
                    ("address", target.address.to_string()),
                ];
                self.metrics.port(&labels, result.is_ok());
            }
            (format!("{} {}", target.protocol, target.address), result)
        }))
        .await
    }
}

fn node_labels(sibling: &Sibling) -> Labels {
    let ip = sibling.node_ips.first().map(IpAddr::to_string).unwrap_or_default();
    vec![("target_node_name", sibling.node.clone()), ("target_node_ip", ip)]
}

fn node_labels_with(sibling: &Sibling, ip: &IpAddr) -> Labels {
    vec![("target_node_name", sibling.node.clone()), ("target_node_ip", ip.to_string())]
}

async fn kind(what: &str, pings: &Pings, targets: Vec<(IpAddr, Labels)>) -> Vec<Found> {
    pings.keep(&targets.iter().map(|(_, labels)| labels.clone()).collect());
    join_all(targets.iter().map(|(ip, labels)| async move {
        let result = match ping(*ip).await {
            Ok(times) => {
                pings.seen(labels, &times);
                let lost = times.iter().filter(|time| time.is_none()).count();
                if lost == 0 { Ok(()) } else { Err(anyhow!("{lost} of {COUNT} pings are lost")) }
            }
            Err(error) => Err(error),
        };
        (format!("the {what} {ip}"), result)
    }))
    .await
}
