//! Whether a controller or agents of Kube-OVN's run beside ours. Pure.

use serde_json::Value;
use tombolo_names::workloads::KUBE_OVN_LEASE;

use super::facts::{Facts, name};
use super::finding::{Check, Seen, Severity, say};
use crate::kube_ovn;
use crate::times::Civil;

/// The check.
pub const CHECKS: &[Check] = &[Check {
    name: "kube-ovn-gone",
    expects: "no controller or agent of Kube-OVN's own runs in this cluster",
    worst: Severity::Error,
    run,
}];

/// What is done about one.
const STOP: &str = "stop it (docs/operate/take-over.md, the steps): kubectl -n kube-system delete it, never helm uninstall kube-ovn";
/// A Lease without a duration of its own is Kube-OVN's: 30 s.
const DURATION: i64 = 30;

fn run(facts: &Facts) -> Result<Seen, String> {
    let all = facts.rivals.as_ref().map_err(Clone::clone)?;
    let mut seen =
        Seen { looked_at: "Deployments, DaemonSets and the Lease of Kube-OVN".to_owned(), ..Seen::default() };
    for workload in all.iter().filter(|it| kube_ovn::is_theirs(it)) {
        let kind = workload["kind"].as_str().unwrap_or_default().to_lowercase();
        let sentence =
            "it is Kube-OVN's own: it deletes rows of Neutron's and of ours that it doesn't know, and ours waits for it".to_owned();
        seen.found.push(say(Severity::Error, format!("{kind}/{}", name(workload)), sentence, STOP));
    }
    match &facts.kube_ovn_lease {
        Ok(None) => {}
        Ok(Some(lease)) => seen.found.extend(held(lease, facts.now)),
        Err(why) => seen.unseen.push((format!("lease/{KUBE_OVN_LEASE}"), why.clone())),
    }
    Ok(seen)
}

/// What a Lease says: ours never holds that one.
fn held(lease: &Value, now: i64) -> Option<super::finding::Said> {
    let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?;
    let duration = lease["spec"]["leaseDurationSeconds"].as_i64().unwrap_or(DURATION);
    let renewed = lease["spec"]["renewTime"].as_str().unwrap_or_default();
    let object = format!("lease/{KUBE_OVN_LEASE}");
    // Both are written alike, so that the order of the words is that of the times.
    Some(if renewed >= moment(now - duration).as_str() {
        let sentence = format!(
            "{holder} holds it and renewed it at {renewed}: a controller of Kube-OVN's is alive, and ours doesn't lead beside it"
        );
        say(Severity::Error, object, sentence, STOP)
    } else {
        let sentence =
            format!("{holder} held it until {renewed}: a controller of Kube-OVN's that was killed left it");
        say(Severity::Note, object, sentence, format!("kubectl -n kube-system delete lease {KUBE_OVN_LEASE}"))
    })
}

/// As the API server writes it.
fn moment(seconds: i64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::of(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}
