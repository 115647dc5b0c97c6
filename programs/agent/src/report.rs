//! The agent's writes to the API server, all of them on its own Node: the condition NetworkUnavailable, the annotations
//! with the chassis and with the keys of its interfaces, the condition for troubles beside that, and an Event for each new
//! trouble. Only differences are written (invariant 9).

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Node};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use tombolo_api::annotations as keys;
use tombolo_api::event::{self, Involved, Often};
use tombolo_api::text::one_line;
use tombolo_client::{Posted, chain};
use tombolo_names::Reason;

use crate::attach::NodeState;
use crate::kube_io::{Condition, Written};
use crate::notices::by;
use crate::troubles::{Trouble, Troubles};

/// Our condition of a Node: `True` while there is trouble that doesn't keep pods from being attached.
pub use tombolo_names::workloads::NETWORK_DEGRADED as DEGRADED;
/// How long the node's network must be away before the condition reports it: ovs-vswitchd's restart takes a second or two
/// and is no reason to move pods elsewhere.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(10);
/// How long one write may take.
const WRITE: Duration = Duration::from_secs(15);
/// Pause after a write that failed, and before one is repeated whose effect doesn't show.
const RETRY: Duration = Duration::from_secs(5);
const UNSEEN: Duration = Duration::from_secs(60);
/// Longest message of a condition.
const LONGEST: usize = 1000;

/// The sources of the Node's conditions and annotations.
#[derive(Debug)]
pub struct Sources {
    /// Whether pods can be attached.
    pub state: watch::Receiver<NodeState>,
    /// The chassis' name.
    pub chassis: watch::Receiver<Option<String>>,
    /// Present troubles.
    pub troubles: Troubles,
    /// The Node's present fields.
    pub written: watch::Receiver<Written>,
}

/// The last write of a kind: not repeated at once if the Node doesn't show it.
#[derive(Debug, Default)]
struct Last<T>(Option<(T, Instant)>);

impl<T: PartialEq> Last<T> {
    /// The earliest time to write this again.
    fn not_before(&self, what: &T) -> Option<Instant> {
        let (last, at) = self.0.as_ref()?;
        (last == what).then_some(*at + UNSEEN).filter(|until| Instant::now() < *until)
    }
}

/// Writes until the sources end.
pub async fn report(client: Client, node: &str, mut from: Sources) {
    let api: Api<Node> = Api::all(client.clone());
    let mut away_since: Option<Instant> = None;
    // A node that isn't ready yet reports it at once: nothing runs there.
    let mut was_ready = false;
    let mut troubles = from.troubles.watch();
    let mut posted: Option<BTreeSet<Trouble>> = None;
    let (mut last_condition, mut last_degraded, mut last_chassis) =
        (Last::default(), Last::default(), Last::default());
    loop {
        let mut wake: Option<Instant> = None;
        let mut later = |at: Instant| wake = Some(wake.map_or(at, |wake: Instant| wake.min(at)));
        let now = from.written.borrow_and_update().clone();
        let wanted = match &*from.state.borrow_and_update() {
            NodeState::Ready { .. } => {
                away_since = None;
                was_ready = true;
                Some(condition(
                    "False",
                    Reason::JoinSubnetGatewayReachable,
                    "the join subnet's gateway answers on ovn0",
                ))
            }
            NodeState::NotReady { why, .. } => {
                let until = *away_since.get_or_insert_with(Instant::now) + UNREACHABLE_AFTER;
                if was_ready && Instant::now() < until {
                    later(until);
                    None
                } else {
                    Some(condition("True", Reason::JoinSubnetGatewayUnreachable, why))
                }
            }
        };
        let id = from.chassis.borrow_and_update().clone();
        let all: BTreeSet<Trouble> = troubles.borrow_and_update().values().flatten().cloned().collect();
        let mut failed = false;
        if now.seen {
            if let Some(wanted) = wanted
                && now.condition.as_ref() != Some(&wanted)
            {
                failed |= once(&mut last_condition, wanted, &mut later, async |c| {
                    write("condition", set_condition(&api, node, "NetworkUnavailable", c)).await
                })
                .await;
            }
            let shows = |id: &String| {
                now.chassis.as_ref() == Some(id) && now.interface_version.as_deref() == Some(keys::TRUE)
            };
            if let Some(id) = id.filter(|id| !shows(id)) {
                failed |= once(&mut last_chassis, id, &mut later, async |id| {
                    write("annotation", annotate(&api, node, id)).await
                })
                .await;
            }
            let wanted = degraded(&all);
            // A node with which nothing was ever wrong has no such condition.
            let shown = now.degraded.clone().unwrap_or_else(|| degraded(&BTreeSet::new()));
            // A predecessor has posted Events for troubles that the Node's condition shows already.
            let before = posted.get_or_insert_with(|| match shown == wanted {
                true => all.clone(),
                false => BTreeSet::new(),
            });
            for (number, trouble) in all.difference(before).enumerate() {
                // Sent once, whether or not it arrives: the condition has the same message.
                match tombolo_client::post(&client, &event(node, &now.uid, trouble, number)).await {
                    Posted::Yes | Posted::Before => {}
                    Posted::Refused(error) | Posted::Later(error) => {
                        tracing::warn!(error, "writing an Event on this node");
                    }
                }
            }
            *before = all;
            if shown != wanted {
                failed |= once(&mut last_degraded, wanted, &mut later, async |c| {
                    write("condition", set_condition(&api, node, DEGRADED, c)).await
                })
                .await;
            }
        }
        if failed {
            later(Instant::now() + RETRY);
        }
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let alive = tokio::select! {
            changed = from.state.changed() => changed.is_ok(),
            changed = from.chassis.changed() => changed.is_ok(),
            changed = from.written.changed() => changed.is_ok(),
            changed = troubles.changed() => changed.is_ok(),
            () = timer => true,
        };
        if !alive {
            return;
        }
    }
}

/// Writes, but not the same again while it doesn't show. Whether it failed.
async fn once<T: PartialEq>(
    last: &mut Last<T>,
    what: T,
    later: &mut impl FnMut(Instant),
    write: impl AsyncFnOnce(&T) -> Result<(), ()>,
) -> bool {
    if let Some(until) = last.not_before(&what) {
        later(until);
        return false;
    }
    let failed = write(&what).await.is_err();
    last.0 = (!failed).then(|| (what, Instant::now()));
    failed
}

fn condition(status: &str, reason: Reason, message: &str) -> Condition {
    Condition {
        status: status.to_owned(),
        reason: reason.into(),
        message: one_line(message, LONGEST).into_owned(),
    }
}

/// All troubles in one condition.
fn degraded(all: &BTreeSet<Trouble>) -> Condition {
    let Some(first) = all.first() else {
        return condition("False", Reason::AsItShouldBe, "the node's part of the network is as it should be");
    };
    let messages: Vec<&str> = all.iter().map(|t| t.message.as_str()).collect();
    condition("True", first.reason, &messages.join("; "))
}

async fn write<T>(part: &str, request: impl Future<Output = kube::Result<T>>) -> Result<(), ()> {
    match tokio::time::timeout(WRITE, request).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), "writing this node's {part}");
            Err(())
        }
        Err(_) => {
            tracing::warn!("writing this node's {part}: no answer in {WRITE:?}");
            Err(())
        }
    }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

async fn set_condition(
    api: &Api<Node>,
    node: &str,
    type_: &str,
    condition: &Condition,
) -> kube::Result<Node> {
    let now = now();
    // A strategic merge: conditions are merged by their type, so kubelet's are left alone.
    let patch = serde_json::json!({ "status": { "conditions": [{
        "type": type_,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }] } });
    api.patch_status(node, &PatchParams::default(), &Patch::Strategic(patch)).await
}

async fn annotate(api: &Api<Node>, node: &str, chassis: &str) -> kube::Result<Node> {
    // Together: a reader that knows the chassis of a port also knows whether its interface will bear the pod's UID.
    let annotations = serde_json::json!({ keys::CHASSIS: chassis, keys::INTERFACE_VERSION: keys::TRUE });
    let patch = serde_json::json!({ "metadata": { "annotations": annotations } });
    api.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await
}

fn event(node: &str, uid: &str, trouble: &Trouble, number: usize) -> Event {
    let involved = Involved { api_version: "v1", kind: "Node", namespace: "", name: node, uid };
    let often = Often::Each(number as u64);
    event::warning(&involved, &by(node), trouble.reason, &trouble.message, often, Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(message: &str) -> Trouble {
        Trouble { reason: Reason::NetworkRefused, message: message.to_owned() }
    }

    #[test]
    fn troubles_share_one_condition() {
        let both = degraded(&[trouble("b"), trouble("a")].into());
        assert_eq!((both.status.as_str(), both.message.as_str()), ("True", "a; b"));
        assert_eq!(degraded(&BTreeSet::new()).status, "False");
    }

    #[tokio::test]
    async fn what_does_not_show_is_not_written_again_at_once() {
        let mut last = Last::default();
        let mut wake = None;
        assert!(!once(&mut last, "x", &mut |at| wake = Some(at), async |_| Ok(())).await);
        assert_eq!(wake, None);
        let written = async |_: &&str| panic!("written again");
        assert!(!once(&mut last, "x", &mut |at| wake = Some(at), written).await);
        let pause = wake.unwrap().duration_since(Instant::now());
        assert!(pause <= UNSEEN && pause > UNSEEN / 2, "{pause:?}");
        let mut writes = 0;
        let mut write = async |result: Result<(), ()>| {
            once(&mut last, "y", &mut |_| {}, async |_| {
                writes += 1;
                result
            })
            .await
        };
        assert!(write(Err(())).await, "another one is written, and it failed");
        assert!(!write(Ok(())).await, "so it is tried again");
        assert!(!write(Ok(())).await);
        assert_eq!(writes, 2);
    }
}
