//! An edit of a Subnet that stands, made when all is at rest, and taken back: a refused one leaves no trace of itself
//! (rows, IP objects, annotations, other objects' reports, what a new pod gets), undone it leaves none either, and an
//! accepted one leaves what is running as it is (invariant 11).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tombolo_plan::Kind;

use crate::actions::edit::{self, Field};
use crate::fault::Fault;
use crate::rng::Rng;
use crate::sim::Sim;
use crate::{dump, marks, standing};

/// What must not follow a wish that is refused, by its place.
fn state(sim: &Sim, edited: &str) -> BTreeMap<String, String> {
    let cluster = sim.config().cluster.as_str();
    let mut all = BTreeMap::new();
    let ours = dump::rows(sim.nb().rows(), |_, row| {
        marks::is_ours(cluster, row) && row.key("external_ids", "tombolo.io/epoch").is_none()
    });
    // A paragraph each, the first line of which is its name.
    let mut place = String::new();
    for line in ours.lines() {
        if line.starts_with(' ') {
            *all.entry(place.clone()).or_default() += line;
        } else {
            place = format!("row {line}");
            all.insert(place.clone(), String::new());
        }
    }
    for kind in Kind::ALL {
        for (name, object) in sim.api.list(kind) {
            let mut object = object.clone();
            let metadata = &object["metadata"];
            let told = json!({ "annotations": metadata["annotations"], "labels": metadata["labels"] });
            if kind == Kind::Subnet && name == edited {
                // Its own report is where the refusal is said; how many addresses are in use is no matter of the wish.
                let status = &object["status"];
                let used = json!([status["v4usingIPrange"], status["v6usingIPrange"]]);
                all.insert(format!("{kind:?} {name} in use"), used.to_string());
                continue;
            }
            // A condition's content counts, but not its times and its observed generation.
            if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
                for condition in conditions {
                    condition["lastUpdateTime"] = Value::Null;
                    condition["lastTransitionTime"] = Value::Null;
                    condition["observedGeneration"] = Value::Null;
                }
            }
            let text = json!([told, object["spec"], object["status"]]).to_string();
            all.insert(format!("{kind:?} {name}"), text);
        }
    }
    all
}

fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let all = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    all.filter(|key| before.get(*key) != after.get(*key))
        .map(|key| format!("{key}: from {:?} to {:?}", before.get(key), after.get(key)))
        .collect()
}

/// Addresses of pods' and nodes' ports.
fn running(sim: &Sim) -> BTreeMap<String, Vec<String>> {
    let cluster = sim.config().cluster.as_str();
    let ports = sim.nb().rows().rows("Logical_Switch_Port");
    ports
        .filter(|(_, row)| matches!(marks::owner(cluster, row), Some(("pod" | "node", _))))
        .map(|(_, row)| {
            let addresses = row.get("addresses").into_iter().flat_map(|it| it.strings());
            (row.str("name").unwrap_or_default().to_owned(), addresses.map(str::to_owned).collect())
        })
        .collect()
}

fn rest(sim: &mut Sim) {
    sim.settle();
    // Reports are late on purpose.
    sim.advance(5_000);
    sim.settle();
}

/// A pod that comes now, on the Subnet if it may: it gets what fits what stands, or nothing.
fn guest(sim: &mut Sim, subnet: &str, namespace: &str) {
    let wish = [("ovn.kubernetes.io/logical_switch", subnet)];
    sim.pod_with(namespace, "guest", "host0", &wish);
    rest(sim);
    standing::check(sim);
    sim.delete(Kind::Pod, namespace, "guest");
    rest(sim);
}

/// Edits a Subnet that is served, and takes the edit back.
///
/// # Panics
/// When something of a refused edit, or of one that was taken back, is left.
pub fn an_edit(sim: &mut Sim, rng: &mut Rng) {
    let served: Vec<String> = sim
        .api
        .list(Kind::Subnet)
        .filter(|(_, it)| it["metadata"]["deletionTimestamp"].is_null())
        .map(|(name, _)| name.to_owned())
        .filter(|name| sim.condition(Kind::Subnet, name, "Ready").is_some_and(|it| it.0 == "True"))
        .collect();
    let Some(name) = rng.pick(&served).cloned() else { return };
    let spec = sim.object(Kind::Subnet, &name)["spec"].clone();
    let used = sim.api.list(Kind::Ip).any(|(_, ip)| ip["spec"]["subnet"] == json!(name));
    let namespace = match spec["namespaces"][0].as_str() {
        Some(namespace) if sim.api.get(Kind::Namespace, namespace).is_some() => namespace.to_owned(),
        _ => "ns0".to_owned(),
    };
    let field = *rng
        .pick(&[Field::Cidr, Field::Cidr, Field::Gateway, Field::ExcludeIps, Field::Vpc, Field::Mtu])
        .unwrap_or(&Field::Cidr);
    let number = u8::try_from(rng.below(256)).unwrap_or(0);
    if rng.permille(500) {
        guest(sim, &name, &namespace);
    }
    let (before, ran) = (state(sim, &name), running(sim));
    let patch = edit::patch(sim, &spec, field, number);
    sim.subnet(&name, &patch);
    let what = format!("the edit {patch} of {name} ({})", spec["cidrBlock"]);
    rest(sim);
    standing::check(sim);
    let verdict = sim.condition(Kind::Subnet, &name, "Ready").map(|it| (it.0.to_owned(), it.2.to_owned()));
    let refused = verdict.as_ref().is_none_or(|it| it.0 != "True");
    if refused {
        sim.hits.hit(Fault::EditRefused);
        let changed = differences(&before, &state(sim, &name));
        assert!(
            changed.is_empty(),
            "invariant 11: {what} is refused ({verdict:?}), and changed {changed:#?}"
        );
    } else {
        sim.hits.hit(if used { Fault::EditInUse } else { Fault::EditAccepted });
        let now = running(sim);
        let cut: Vec<&String> =
            ran.iter().filter(|(port, it)| now.get(*port) != Some(it)).map(|it| it.0).collect();
        assert!(cut.is_empty(), "invariant 11: {what} was done, and cut {cut:?}");
    }
    if rng.permille(700) {
        guest(sim, &name, &namespace);
    }
    let now = sim.object(Kind::Subnet, &name)["spec"].clone();
    sim.subnet(&name, &edit::back(&now, &spec));
    rest(sim);
    standing::check(sim);
    if refused {
        sim.hits.hit(Fault::EditUndone);
        let changed = differences(&before, &state(sim, &name));
        assert!(changed.is_empty(), "invariant 11: {what} was refused and taken back, and left {changed:#?}");
        assert_eq!(sim.object(Kind::Subnet, &name)["spec"], spec, "invariant 11: {what} was taken back");
        let ready = sim.condition(Kind::Subnet, &name, "Ready").map(|it| it.0);
        assert_eq!(ready, Some("True"), "invariant 11: {what} was taken back");
    }
}
