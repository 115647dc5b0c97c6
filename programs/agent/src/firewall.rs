//! Keeps our nftables table ([`crate::nat`]) and the rules in iptables' FORWARD ([`crate::forward`]): checks them when
//! the configuration in force changes, when the kernel reports a change of our table, and every few seconds. A check reads;
//! it writes missing rules only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tombolo_linux::{NftMonitor, nft_generation};
use tombolo_names::Reason;

use crate::forward::{self, Verdict};
use crate::host::Host;
use crate::metrics::Metrics;
use crate::nat::{TABLE, ruleset};
use crate::nft::{self, NftError};
use crate::node_task::Accepted;
use crate::troubles::{Trouble, Troubles};

/// Between two checks: some changes have no event.
const AGAIN: Duration = Duration::from_secs(8);
/// First and longest pause after `nft` failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A flushed ruleset, or a program that rewrites its own, sends many events: one check is for all of them.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the table is put in place, in a row, until no other program was seen to change nftables meanwhile.
const ATTEMPTS: usize = 5;
/// Without counters, so that a listing of the same rules is the same text.
const LIST: [&str; 5] = ["-s", "list", "table", "inet", TABLE];
/// The name of this task as a source of troubles.
const SOURCE: &str = "firewall";

/// Keeps the node's firewall as pods need it; see [`Firewall::run`].
#[derive(Debug)]
pub struct Firewall {
    /// The node.
    pub host: Arc<Host>,
    /// Whether traffic that leaves Subnets with `natOutgoing` is masqueraded; all else is kept in any case.
    pub nat_outgoing: bool,
    /// The configuration in force.
    pub accepted: watch::Receiver<Accepted>,
    /// Receives this task's troubles.
    pub troubles: Troubles,
    /// Counts restored rules.
    pub metrics: Metrics,
}

/// The table in place: its script, and nft's listing of it.
#[derive(Debug, Default)]
struct Applied {
    script: String,
    listing: String,
    /// The families whose FORWARD has had our rules.
    forward: BTreeSet<String>,
}

impl Firewall {
    /// Runs until the source ends.
    pub async fn run(mut self) {
        let mut applied = Applied::default();
        let mut pause = RETRY.0;
        let mut monitor = NftMonitor::open_in(&self.host.netns, TABLE).await;
        if let Err(e) = &monitor {
            tracing::info!("{e}; checking the table every {AGAIN:?} instead");
        }
        loop {
            let now = self.accepted.borrow_and_update().clone();
            let mut troubles = BTreeSet::new();
            let mut wait = AGAIN;
            if let Some(wanted) = ruleset(&now, self.nat_outgoing) {
                match self.check(wanted, &mut applied, &mut troubles).await {
                    Ok(()) => pause = RETRY.0,
                    Err(e) => {
                        let message = match e.downcast_ref::<NftError>().is_some_and(NftError::is_missing) {
                            true => "masquerading for pods needs the program nft (package nftables), which is not there; \
                                     --nat-outgoing=false states that this is intended"
                                .to_owned(),
                            false => format!("masquerading for pods: {e:#}"),
                        };
                        troubles.insert(Trouble { reason: Reason::MasqueradingFailed, message });
                        wait = pause;
                        pause = (pause * 2).min(RETRY.1);
                    }
                }
            }
            self.troubles.set(SOURCE, troubles);
            let touched = async {
                match &mut monitor {
                    Ok(monitor) => monitor.touched().await,
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.accepted.changed() => if changed.is_err() { return },
                () = touched => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn check(
        &self,
        wanted: String,
        applied: &mut Applied,
        troubles: &mut BTreeSet<Trouble>,
    ) -> anyhow::Result<()> {
        let again = applied.script == wanted;
        let listing = match again {
            true => {
                nft::run(&self.host, "nft", &LIST, String::new()).await.or_else(|e| match e.is_refused() {
                    true => Ok(String::new()), // there is no such table
                    false => Err(e),
                })?
            }
            false => String::new(),
        };
        if !again || listing != applied.listing {
            applied.listing = self.put_in_place(&wanted).await?;
            match again {
                true => {
                    self.metrics.put_back("nftables");
                    tracing::warn!(
                        "the nftables table inet {TABLE} was changed or removed by others: it is back"
                    );
                }
                false => tracing::info!("masquerading for pods is in place (nftables table inet {TABLE})"),
            }
            applied.script = wanted;
        }
        self.forward(applied, troubles).await
    }

    /// Puts the table in place; nft's listing of it, to which later ones are compared. A rule that another program takes
    /// before the listing would be missing from it, and so for ever: a listing counts when the table's own transaction
    /// was the only one, or when two in a row gave the same.
    async fn put_in_place(&self, script: &str) -> anyhow::Result<String> {
        let generation = async || nft_generation(&self.host.netns).await.ok();
        let mut previous = None;
        for _ in 0..ATTEMPTS {
            let before = generation().await;
            nft::apply(&self.host, script.to_owned()).await?;
            let listing = nft::run(&self.host, "nft", &LIST, String::new()).await.ok();
            let alone = before.is_some() && generation().await == before.map(|b| b.wrapping_add(1));
            if let Some(text) = &listing
                && (alone || previous == listing)
            {
                return Ok(text.clone());
            }
            previous = listing;
        }
        anyhow::bail!("other programs change nftables' table inet {TABLE} as fast as it is put in place")
    }

    async fn forward(&self, applied: &mut Applied, troubles: &mut BTreeSet<Trouble>) -> anyhow::Result<()> {
        let all = nft::run(&self.host, "nft", &["-j", "list", "chains"], String::new()).await?;
        for chain in forward::chains(&all)? {
            // A chain that can't be read, or is gone again, stops no other.
            let Ok(listing) = nft::run(&self.host, "nft", &chain.listing(), String::new()).await else {
                continue;
            };
            match chain.verdict(&listing)? {
                Verdict::Passes => {}
                Verdict::Insert(rules) => {
                    nft::apply(&self.host, rules).await?;
                    tracing::info!(
                        family = chain.family,
                        "iptables' FORWARD drops: pods' traffic is let through there"
                    );
                    if !applied.forward.insert(chain.family) {
                        self.metrics.put_back("forward");
                    }
                }
                Verdict::Drops(message) => {
                    troubles.insert(Trouble { reason: Reason::ForwardingDropped, message });
                }
            }
        }
        for (names, program) in
            [("ip_tables_names", "iptables-legacy"), ("ip6_tables_names", "ip6tables-legacy")]
        {
            self.legacy(names, program, applied).await?;
        }
        Ok(())
    }

    /// The tables of the old kind, which nft doesn't show. Only their program lists them.
    async fn legacy(&self, names: &'static str, program: &str, applied: &mut Applied) -> anyhow::Result<()> {
        let read = move || Ok(std::fs::read_to_string(format!("/proc/thread-self/net/{names}")));
        let tables = self.host.netns.run(read).await?.unwrap_or_default();
        if !tables.lines().any(|table| table == "filter") {
            return Ok(());
        }
        let rules = match nft::run(&self.host, program, &["-w", "5", "-S", "FORWARD"], String::new()).await {
            Err(e) if e.is_missing() => return Ok(()),
            rules => rules?,
        };
        let missing = forward::legacy(&rules);
        if missing.is_empty() {
            return Ok(());
        }
        for args in missing {
            nft::run(&self.host, program, &args, String::new()).await?;
        }
        tracing::info!(program, "FORWARD drops: pods' traffic is let through there");
        if !applied.forward.insert(program.to_owned()) {
            self.metrics.put_back("forward");
        }
        Ok(())
    }
}
