//! Whether the node's firewall lets pods' traffic through, and the two rules that let it. Pure.
//!
//! Docker, ufw and others set the policy of iptables' FORWARD to DROP. As Kube-OVN does, two rules for ovn0 are put at
//! the head of that chain then: they bear our comment, and nothing else of it is touched. An accept there is no help
//! against another table's drop, since a packet must pass all chains: the Node's condition reports that, with the chain.

use serde::Deserialize;
use serde_json::Value;

use crate::node::OVN0;

/// The comment that our rules bear.
pub const COMMENT: &str = "tombolo: pods' traffic";

/// A chain that forwarded packets pass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Chain {
    /// `ip`, `ip6` or `inet`.
    pub family: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    hook: String,
    #[serde(default)]
    policy: String,
}

/// The verdict on a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It lets pods' traffic through, as far as its rules show.
    Passes,
    /// iptables' FORWARD, which would drop it: these rules are wanted.
    Insert(String),
    /// It drops pods' traffic, and no rule of ours can help.
    Drops(String),
}

/// The chains with hook forward of `nft -j list chains`.
pub fn chains(json: &str) -> Result<Vec<Chain>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Item {
        chain: Option<Chain>,
    }
    #[derive(Deserialize)]
    struct List {
        nftables: Vec<Item>,
    }
    let list: List = serde_json::from_str(json)?;
    let forward = |c: &Chain| {
        c.hook == "forward" && c.kind == "filter" && ["ip", "ip6", "inet"].contains(&c.family.as_str())
    };
    Ok(list.nftables.into_iter().filter_map(|item| item.chain).filter(forward).collect())
}

impl Chain {
    /// The chain of iptables, in its nftables form.
    fn is_iptables(&self) -> bool {
        self.table == "filter" && self.name == "FORWARD" && self.family != "inet"
    }

    /// The arguments that list it for [`Chain::verdict`]: iptables' own chain suffices; in others' tables a rule with ovn0 may be
    /// in any chain.
    pub fn listing(&self) -> Vec<&str> {
        match self.is_iptables() {
            true => vec!["-j", "list", "chain", &self.family, &self.table, &self.name],
            false => vec!["-j", "list", "table", &self.family, &self.table],
        }
    }

    /// Judges the chain by its listing.
    pub fn verdict(&self, json: &str) -> Result<Verdict, serde_json::Error> {
        let list: Value = serde_json::from_str(json)?;
        let rules: Vec<&Value> = list["nftables"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item.get("rule"))
            .filter(|rule| rule["chain"] == self.name.as_str())
            .collect();
        let stop = rules.iter().position(|rule| stops_everything(rule));
        if self.policy != "drop" && stop.is_none() {
            return Ok(Verdict::Passes);
        }
        let Self { family, table, name, .. } = self;
        if !self.is_iptables() {
            // The administrator has thought of ovn0 there.
            if json.contains(&format!("\"{OVN0}\"")) {
                return Ok(Verdict::Passes);
            }
            return Ok(Verdict::Drops(format!(
                "the firewall's table {family} {table}, chain {name}, drops forwarded packets, pods' traffic through this node \
                 too; accept the interface {OVN0} there in both directions (firewalld: put {OVN0} into the zone trusted; else \
                 `nft insert rule {family} {table} {name} iifname {OVN0} accept` and the same with oifname)"
            )));
        }
        let ours = |key: &str| {
            rules.iter().position(|rule| rule["comment"] == COMMENT && rule.to_string().contains(key))
        };
        let missing: Vec<&str> =
            ["iifname", "oifname"].into_iter().filter(|key| ours(key).is_none()).collect();
        if missing.is_empty() {
            let before = |key| ours(key).zip(stop).is_some_and(|(ours, stop)| stop < ours);
            if before("iifname") || before("oifname") {
                return Ok(Verdict::Drops(format!(
                    "iptables' chain FORWARD ({family}) has a rule before ours that drops everything, pods' traffic through this \
                     node too: remove it, or put it after those with the comment {COMMENT:?}"
                )));
            }
            return Ok(Verdict::Passes);
        }
        let rule = |key: &&str| {
            format!(
                "insert rule {family} {table} {name} {key} \"{OVN0}\" counter accept comment \"{COMMENT}\"\n"
            )
        };
        Ok(Verdict::Insert(missing.iter().map(rule).collect()))
    }
}

/// A rule without a condition that drops or rejects. iptables' own REJECT is shown as `xt`, and so is its LOG, which
/// stops nothing: an accept more does no harm then.
fn stops_everything(rule: &Value) -> bool {
    let all = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is = |e: &Value, keys: &[&str]| keys.iter().any(|key| e.get(key).is_some());
    all.iter().all(|e| is(e, &["counter", "drop", "reject", "xt", "log"]))
        && all.iter().any(|e| is(e, &["drop", "reject", "xt"]))
}

/// The rules that iptables-legacy's FORWARD lacks, as arguments; from `iptables-legacy -S FORWARD`.
pub fn legacy(rules: &str) -> Vec<Vec<&'static str>> {
    let drops = |line: &str| {
        line == "-P FORWARD DROP" || line == "-A FORWARD -j DROP" || line.starts_with("-A FORWARD -j REJECT")
    };
    if !rules.lines().any(drops) {
        return Vec::new();
    }
    let rule = |flag: &'static str| {
        vec!["-w", "5", "-I", "FORWARD", flag, OVN0, "-m", "comment", "--comment", COMMENT, "-j", "ACCEPT"]
    };
    let there =
        |flag: &str| rules.lines().any(|l| l.contains(&format!("{flag} {OVN0} ")) && l.contains(COMMENT));
    ["-i", "-o"].into_iter().filter(|flag| !there(flag)).map(rule).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain(family: &str, table: &str, name: &str, policy: &str) -> Chain {
        Chain {
            family: family.into(),
            table: table.into(),
            name: name.into(),
            kind: "filter".into(),
            hook: "forward".into(),
            policy: policy.into(),
        }
    }

    fn listing(chain: &Chain, rules: &[Value]) -> String {
        let mut all = vec![json!({"metainfo": {}})];
        all.extend(rules.iter().map(|rule| {
            let mut rule = rule.clone();
            rule["chain"] = json!(chain.name);
            json!({ "rule": rule })
        }));
        json!({ "nftables": all }).to_string()
    }

    fn accept(key: &str) -> Value {
        json!({"comment": COMMENT, "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": OVN0}}, {"counter": {}}, {"accept": null}]})
    }

    #[test]
    fn only_chains_of_forwarding_count() {
        let json = json!({"nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter",
                "hook": "forward", "prio": 0, "policy": "drop"}},
            {"chain": {"family": "ip", "table": "filter", "name": "DOCKER", "handle": 2}},
            {"chain": {"family": "inet", "table": "x", "name": "i", "type": "filter", "hook": "input", "policy": "drop"}},
            {"chain": {"family": "bridge", "table": "x", "name": "f", "type": "filter", "hook": "forward", "policy": "drop"}},
        ]});
        assert_eq!(chains(&json.to_string()).unwrap(), [chain("ip", "filter", "FORWARD", "drop")]);
        assert!(chains("no").is_err());
    }

    #[test]
    fn iptables_forward_gets_two_rules_when_it_drops() {
        let verdict = |policy: &str, rules: &[Value]| {
            let chain = chain("ip", "filter", "FORWARD", policy);
            chain.verdict(&listing(&chain, rules)).unwrap()
        };
        let docker = json!({"expr": [{"match": {}}, {"counter": {}}, {"accept": null}]});
        let drop = json!({"expr": [{"counter": {}}, {"drop": null}]});
        let some = json!({"expr": [{"match": {}}, {"drop": null}]});
        let reject = json!({"expr": [{"counter": {}}, {"xt": null}]});
        assert_eq!(
            verdict("accept", &[docker.clone(), some]),
            Verdict::Passes,
            "a drop of some is the administrator's will"
        );
        let Verdict::Insert(both) = verdict("drop", std::slice::from_ref(&docker)) else { panic!() };
        assert_eq!(both.lines().count(), 2, "{both}");
        assert!(
            both.starts_with("insert rule ip filter FORWARD iifname \"ovn0\" counter accept comment"),
            "{both}"
        );
        assert!(matches!(verdict("accept", std::slice::from_ref(&drop)), Verdict::Insert(_)));
        assert!(matches!(verdict("accept", &[docker, reject]), Verdict::Insert(_)));
        let (i, o) = (accept("iifname"), accept("oifname"));
        assert_eq!(verdict("drop", &[i.clone(), o.clone(), drop.clone()]), Verdict::Passes);
        let Verdict::Insert(one) = verdict("drop", std::slice::from_ref(&i)) else { panic!() };
        assert!(one.lines().count() == 1 && one.contains("oifname"), "{one}");
        assert!(
            matches!(verdict("accept", &[drop, i, o]), Verdict::Drops(_)),
            "no fight for the first place"
        );
    }

    #[test]
    fn another_tables_drop_is_told_until_ovn0_is_named_there() {
        let chain = chain("ip", "c16", "forward", "drop");
        let Verdict::Drops(why) = chain.verdict(&listing(&chain, &[])).unwrap() else { panic!() };
        assert!(
            why.contains("table ip c16, chain forward") && why.contains("nft insert rule ip c16 forward"),
            "{why}"
        );
        let mended = listing(&chain, &[accept("iifname"), accept("oifname")]);
        assert_eq!(chain.verdict(&mended).unwrap(), Verdict::Passes);
    }

    #[test]
    fn the_old_tables() {
        assert_eq!(legacy("-P FORWARD ACCEPT\n-A FORWARD -s 192.0.2.0/24 -j DROP\n"), [[""; 0]; 0]);
        let both = legacy("-P FORWARD DROP\n");
        assert_eq!(both.len(), 2);
        assert!(both[0].join(" ").contains("-I FORWARD -i ovn0 -m comment"));
        let half =
            "-P FORWARD DROP\n-A FORWARD -i ovn0 -m comment --comment \"tombolo: pods' traffic\" -j ACCEPT\n";
        assert_eq!(legacy(half).len(), 1);
    }
}
