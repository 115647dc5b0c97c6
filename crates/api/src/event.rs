//! Kubernetes Events: the one form in which our programs post them.
//!
//! Decides names, and the namespace of an Event; which Events there are is each program's business.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use tombolo_names::Reason;

use crate::text::{LONGEST_EVENT, one_line};

/// Longest name of an object.
const LONGEST_NAME: usize = 253;
/// Longest end of a name that stands for object and reason.
const LONGEST_SUFFIX: usize = 100;

/// The object that an Event is about.
#[derive(Clone, Copy, Debug)]
pub struct Involved<'a> {
    /// Group and version of its kind.
    pub api_version: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// Its namespace; empty for a cluster-scoped object.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// The program that reports it.
#[derive(Clone, Copy, Debug)]
pub struct Reporter<'a> {
    /// The program's name.
    pub component: &'a str,
    /// The replica, or the node.
    pub instance: &'a str,
    /// The node, where the Event is about that.
    pub host: Option<&'a str>,
}

/// How often Kubernetes takes an Event.
#[derive(Clone, Copy, Debug)]
pub enum Often {
    /// Once for each object and reason while Kubernetes keeps it, whichever process posts it again.
    Once,
    /// Each time; the number distinguishes those of one process and microsecond.
    Each(u64),
}

/// The namespace of Events about an object of `namespace`. Those about cluster-scoped objects live in `default`, where
/// `kubectl describe` looks for them.
#[must_use]
pub fn namespace_of(namespace: &str) -> &str {
    if namespace.is_empty() { "default" } else { namespace }
}

/// An Event of type Warning, for the API server. Its message is one line that the API takes.
#[must_use]
pub fn warning(
    about: &Involved<'_>,
    reporter: &Reporter<'_>,
    reason: Reason,
    message: &str,
    often: Often,
    now: Timestamp,
) -> Event {
    let suffix = match often {
        Often::Once => {
            let mut suffix = format!("{reason}.{}", about.uid).to_ascii_lowercase();
            suffix.truncate(LONGEST_SUFFIX);
            suffix
        }
        Often::Each(number) => format!("{:x}.{number:x}", now.as_microsecond()),
    };
    let mut stem = about.name.to_owned();
    stem.truncate(LONGEST_NAME - suffix.len() - 1);
    let text = |text: &str| Some(text.to_owned());
    // To the second, as Kubernetes has it.
    let time = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{suffix}", stem.trim_end_matches(['.', '-']))),
            namespace: text(namespace_of(about.namespace)),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: text(about.api_version),
            kind: text(about.kind),
            // `kubectl describe` looks for cluster-scoped objects by an empty one.
            namespace: text(about.namespace).filter(|namespace| !namespace.is_empty()),
            name: text(about.name),
            uid: text(about.uid),
            ..ObjectReference::default()
        },
        type_: text("Warning"),
        reason: Some(reason.into()),
        message: Some(one_line(message, LONGEST_EVENT).into_owned()),
        source: Some(EventSource {
            component: text(reporter.component),
            host: reporter.host.map(str::to_owned),
        }),
        reporting_component: text(reporter.component),
        reporting_instance: text(reporter.instance),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        count: Some(1),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const REPORTER: Reporter<'_> = Reporter { component: "c", instance: "me", host: None };

    fn event(namespace: &str, kind: &str, name: &str, often: Often) -> Value {
        let about = Involved { api_version: "v1", kind, namespace, name, uid: "U" };
        let event =
            warning(&about, &REPORTER, Reason::ServiceNotServed, "a\nb", often, Timestamp::UNIX_EPOCH);
        serde_json::to_value(event).unwrap()
    }

    #[test]
    fn about_cluster_scoped_objects_in_default() {
        let one = event("", "Node", "n", Often::Each(17));
        assert_eq!(one["metadata"], json!({ "name": "n.0.11", "namespace": "default" }));
        assert_eq!(
            one["involvedObject"],
            json!({ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "U" })
        );
        assert_eq!(one["firstTimestamp"], "1970-01-01T00:00:00Z");
        assert_eq!((&one["type"], &one["message"]), (&json!("Warning"), &json!("a\\nb")));
        let pods = event("a", "Pod", "n", Often::Once);
        assert_eq!(pods["metadata"], json!({ "name": "n.servicenotserved.u", "namespace": "a" }));
        assert_eq!(pods["involvedObject"]["namespace"], "a");
    }

    #[test]
    fn names_are_such_as_the_api_takes() {
        let name = format!("{}-", "a".repeat(252));
        for often in [Often::Once, Often::Each(u64::MAX)] {
            let event = event("a", "Pod", &name, often);
            let name = event["metadata"]["name"].as_str().unwrap();
            assert!(name.len() <= LONGEST_NAME && name.starts_with("aaa") && !name.contains("-."), "{name}");
        }
    }
}
