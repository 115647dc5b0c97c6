//! Kubernetes Events for users: posts the engine's notices, once each, and never holds the engine up.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tombolo_api::event::{self, Involved, Often, Reporter};
use tombolo_client::Posted;
use tombolo_engine::Notice;
use tombolo_names::workloads::CONTROLLER;
use tombolo_plan::kind::Facts;
use tombolo_plan::unserved;
use tracing::{debug, info};

use crate::lanes::Lanes;

/// Events on their way to the task that posts them; it takes them at once.
pub const QUEUE: usize = 1024;
/// Events of one namespace waiting to be posted; beyond that they are dropped, since they only repeat
/// conditions. One tenant's are no reason to drop another's.
const OF_ONE: usize = 128;
/// Events waiting to be posted, in all.
const OF_ALL: usize = 8_192;
/// Posted at once.
const AT_ONCE: usize = 4;

/// Posts `notices` until `stop` is cancelled.
pub async fn run(
    client: Client,
    reporter: String,
    mut notices: mpsc::Receiver<Notice>,
    stop: CancellationToken,
) {
    let mut waiting = Waiting::default();
    let mut under_way: JoinSet<()> = JoinSet::new();
    let mut number = 0_u64;
    loop {
        while under_way.len() < AT_ONCE
            && let Some(notice) = waiting.0.pop()
        {
            number += 1;
            under_way.spawn(post(client.clone(), reporter.clone(), notice, number));
        }
        tokio::select! {
            notice = notices.recv() => match notice {
                Some(notice) => waiting.push(notice),
                None => return,
            },
            Some(_) = under_way.join_next() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Events that wait to be posted; namespaces take turns.
#[derive(Debug, Default)]
struct Waiting(Lanes<Notice>);

impl Waiting {
    fn push(&mut self, notice: Notice) {
        let lane = event::namespace_of(&notice.namespace).to_owned();
        if self.0.len_of(&lane) >= OF_ONE || self.0.len() >= OF_ALL {
            debug!(reason = %notice.reason, name = notice.name, "too many Events at once: one is dropped");
            return;
        }
        self.0.push(&lane, notice);
    }
}

async fn post(client: Client, reporter: String, notice: Notice, number: u64) {
    // These stand for as long as their object is as it is.
    let often = match unserved::REASONS.contains(&notice.reason) {
        true => Often::Once,
        false => Often::Each(number),
    };
    match tombolo_client::post(&client, &event(&notice, &reporter, often, Timestamp::now())).await {
        Posted::Yes | Posted::Before => {}
        // A namespace that is going away takes none: its users don't look there either.
        Posted::Refused(error) | Posted::Later(error) => {
            let Notice { reason, name, message, .. } = &notice;
            info!(error, %reason, name, message, "an Event was not posted");
        }
    }
}

/// This replica, as the source of an Event.
pub fn by(replica: &str) -> Reporter<'_> {
    Reporter { component: CONTROLLER, instance: replica, host: None }
}

fn event(notice: &Notice, reporter: &str, often: Often, now: Timestamp) -> Event {
    let Facts { api_version, kind, .. } = notice.kind.facts();
    let Notice { namespace, name, uid, .. } = notice;
    let involved = Involved { api_version, kind, namespace, name, uid };
    let mut event = event::warning(&involved, &by(reporter), notice.reason, &notice.message, often, now);
    if !notice.warning {
        event.type_ = Some("Normal".to_owned());
    }
    event
}

#[cfg(test)]
mod tests {
    use tombolo_names::Reason;

    use tombolo_engine::io::Kind;

    use super::*;

    fn notice() -> Notice {
        Notice {
            kind: Kind::Subnet,
            namespace: String::new(),
            name: "net2".into(),
            uid: "u".into(),
            warning: true,
            reason: Reason::CidrConflict,
            message: "m".into(),
        }
    }

    #[test]
    fn an_event_has_the_type_of_its_notice() {
        let of = |notice: &Notice| event(notice, "me", Often::Each(17), Timestamp::UNIX_EPOCH);
        let warning = of(&notice());
        assert_eq!(warning.metadata.name.as_deref(), Some("net2.0.11"));
        assert_eq!(warning.involved_object.kind.as_deref(), Some("Subnet"));
        assert_eq!(warning.type_.as_deref(), Some("Warning"));
        assert_eq!(of(&Notice { warning: false, ..notice() }).type_.as_deref(), Some("Normal"));
    }

    #[test]
    fn one_tenants_events_drop_no_others() {
        // invariant 12
        let mut waiting = Waiting::default();
        let of = |namespace: &str| Notice { kind: Kind::Pod, namespace: namespace.to_owned(), ..notice() };
        for _ in 0..10_000 {
            waiting.push(of("big"));
        }
        waiting.push(of("small"));
        let order: Vec<String> = (0..2).filter_map(|_| waiting.0.pop()).map(|it| it.namespace).collect();
        assert_eq!((order, waiting.0.len()), (vec!["big".to_owned(), "small".to_owned()], OF_ONE - 1));
    }
}
