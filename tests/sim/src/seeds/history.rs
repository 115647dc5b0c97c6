//! Random histories: who does what when.

use tombolo_plan::Kind;

use serde_json::json;

use crate::actions::edit::Field;
use crate::actions::{Action, NAMESPACES, namespace, node, pod, subnet};
use crate::fault::Fault;
use crate::rng::Rng;
use crate::{Knobs, Sim, standing};

/// Chances of a run: half of the kinds of trouble don't strike in it at all, so that each meets the others in all
/// combinations, and some runs are calm.
fn weather(rng: &mut Rng) -> Knobs {
    let calm = rng.permille(200);
    let mut chance = |most: u64| if calm || rng.permille(500) { 0 } else { rng.within((1, most)) };
    let mut knobs = Knobs {
        api_lost: chance(80),
        api_answer_lost: chance(80),
        nb_lost: chance(80),
        nb_answer_lost: chance(80),
        api_late: chance(60),
        api_repeated: chance(80),
        api_conflict: chance(80),
        watch_repeated: chance(200),
        split: chance(400),
        nb_refused: chance(200),
        crash: chance(40),
        ..Knobs::default()
    };
    knobs.latency = (0, *rng.pick(&[1, 10, 40, 120]).unwrap_or(&1));
    knobs.answers_later = rng.below(40);
    knobs
}

/// A controller.
fn any(sim: &Sim, rng: &mut Rng) -> usize {
    usize::try_from(rng.below(sim.controllers() as u64)).unwrap_or(0)
}

fn small(rng: &mut Rng) -> u8 {
    u8::try_from(rng.below(12)).unwrap_or(0)
}

pub(super) fn play(sim: &mut Sim, rng: &mut Rng) {
    sim.knobs = weather(rng);
    for _ in 0..rng.within((1, 2)) {
        sim.start_controller();
    }
    // As a rule people make a namespace before they use it.
    for n in 0..NAMESPACES {
        if rng.permille(200) {
            continue;
        }
        sim.namespace(&namespace(n));
        if rng.permille(400) {
            Action::Label(n, small(rng)).act(sim);
        }
    }
    let first = any(sim, rng);
    sim.elect(first);
    for _ in 0..rng.within((12, 45)) {
        match rng.below(10) {
            0..=4 => build(sim, rng),
            5..=6 => take_away(sim, rng),
            _ => trouble(sim, rng),
        }
        let gap = match rng.below(8) {
            0..=2 => 0,
            3..=4 => rng.below(6),
            5..=6 => rng.within((50, 400)),
            _ => rng.within((400, 4_000)),
        };
        sim.advance(gap);
        if rng.permille(100) && !(0..sim.controllers()).any(|it| sim.engine(it).health().leading) {
            let next = any(sim, rng);
            sim.elect(next);
        }
    }
}

/// Does it, and counts the kind of trouble if anything came of it. Whether something did.
fn doing(sim: &mut Sim, action: &Action, fault: Option<Fault>) -> bool {
    let before = sim.effects();
    action.act(sim);
    let did = sim.effects() != before;
    if let Some(fault) = fault.filter(|_| did) {
        sim.hits.hit(fault);
    }
    did
}

/// An address of the Subnet is in use.
fn is_used(sim: &Sim, name: &str) -> bool {
    sim.api.list(Kind::Ip).any(|(_, ip)| ip["spec"]["subnet"] == json!(name))
}

/// A node's address lies in a Subnet's network.
fn is_inside(sim: &Sim, node: &str) -> bool {
    let Some(object) = sim.api.get(Kind::Node, node) else { return false };
    let addresses = object["status"]["addresses"].as_array().into_iter().flatten();
    let addresses: Vec<std::net::IpAddr> =
        addresses.filter_map(|it| it["address"].as_str()?.parse().ok()).collect();
    sim.api.list(Kind::Subnet).any(|(_, it)| {
        let cidrs = it["spec"]["cidrBlock"].as_str().unwrap_or_default().split(',');
        cidrs.filter_map(standing::network).any(|net| addresses.iter().any(|it| standing::holds(net, *it)))
    })
}

fn build(sim: &mut Sim, rng: &mut Rng) {
    let (a, b, c, d) = (small(rng), small(rng), small(rng), small(rng));
    let used = is_used(sim, &subnet(a));
    let (action, fault) = match rng.below(30) {
        0 => (Action::AddNode(a), None),
        1 => (Action::AddNamespace(a), None),
        2..=4 => (Action::AddSubnet(a, b, c), used.then_some(Fault::SubnetEdited)),
        5..=8 => {
            let field = *rng.pick(&Field::ALL).unwrap_or(&Field::Cidr);
            let number = u8::try_from(rng.below(256)).unwrap_or(0);
            (Action::EditSubnet(a, field, number), used.then_some(Fault::SubnetEdited))
        }
        9 => (Action::UndoSubnet(a), used.then_some(Fault::SubnetEditTakenBack)),
        10..=12 => (Action::VpcNamespaces(a, b), None),
        13..=20 => (Action::AddPod(a, b, c, d), (d == 7 || d == 10).then_some(Fault::SubnetNamed)),
        21..=22 => (Action::AddRouter(a), Some(Fault::NeutronWrote)),
        23..=24 => (Action::Attach(a, b, c), Some(Fault::NeutronWrote)),
        25 => (Action::AddVm(a, b), Some(Fault::NeutronWrote)),
        26 => (Action::RenameRouter(a, b), Some(Fault::NeutronWrote)),
        27 => (Action::Label(a, b), Some(Fault::NamespaceLabeled)),
        28 => {
            if doing(sim, &Action::MoveNode(a, b), Some(Fault::NodeMoved)) && is_inside(sim, &node(a)) {
                sim.hits.hit(Fault::NodeInside);
            }
            return;
        }
        _ => (Action::Maintenance, Some(Fault::NeutronMaintained)),
    };
    doing(sim, &action, fault);
}

fn take_away(sim: &mut Sim, rng: &mut Rng) {
    let (a, b) = (small(rng), small(rng));
    let key = format!("{}/{}", namespace(a), pod(b));
    let lives =
        sim.api.get(Kind::Pod, &key).is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_null());
    let round_trip = (sim.knobs.latency.1 + 2) * 4;
    let (action, fault) = match rng.below(21) {
        0 => (Action::RemoveNode(a), None),
        1 => (Action::RemoveNamespace(a), None),
        2..=3 => (Action::RemoveSubnet(a), Some(Fault::SubnetDeleted)),
        4 => (Action::RemoveVpc(a), None),
        5..=7 => (Action::RemovePod(a, b), lives.then_some(Fault::PodForceDeleted)),
        8..=9 => (Action::TerminatePod(a, b), lives.then_some(Fault::PodNeverDeleted)),
        10 => (Action::FinishPod(a, b), lives.then_some(Fault::PodFinished)),
        11..=12 => (Action::RemoveIp(a, b), Some(Fault::IpDeleted)),
        13..=14 => (Action::RemoveRouter(a), Some(Fault::NeutronDeleted)),
        15 => (Action::Detach(a, b), Some(Fault::NeutronDeleted)),
        16 => {
            // Often just when the Subnet's own switch is on its way.
            if rng.permille(600) {
                Action::AddSubnet(a, 0, small(rng)).act(sim);
                sim.advance(rng.below(round_trip));
            }
            let present = rng.permille(700);
            (Action::ForeignSwitch(a, present), present.then_some(Fault::NameTaken))
        }
        18 => {
            // Often just when the switch is to go.
            if rng.permille(600) {
                Action::AddSubnet(a, 0, small(rng)).act(sim);
                sim.advance(round_trip * 4);
                Action::RemoveSubnet(a).act(sim);
                sim.advance(rng.below(round_trip));
            }
            let present = rng.permille(700);
            (Action::ForeignPort(a, present), present.then_some(Fault::ForeignPort))
        }
        17 => {
            // Kubelet says goodbye twice.
            Action::TerminatePod(a, b).act(sim);
            sim.advance(rng.below(200));
            let went = doing(sim, &Action::RemovePod(a, b), None);
            sim.advance(rng.below(50));
            let again = doing(sim, &Action::RemovePod(a, b), None);
            if lives && went && !again {
                sim.hits.hit(Fault::PodDeletedTwice);
            }
            return;
        }
        _ => {
            // A StatefulSet's controller is quick; the new pod may be on another node.
            if !lives {
                return;
            }
            let before = sim.api.get(Kind::Pod, &key).cloned().unwrap_or_default();
            Action::RemovePod(a, b).act(sim);
            sim.advance(rng.below(4));
            if doing(sim, &Action::AddPod(a, b, small(rng), small(rng)), Some(Fault::PodReplaced))
                && let Some(after) = sim.api.get(Kind::Pod, &key)
                && after["metadata"]["ownerReferences"].is_array()
                && after["spec"]["nodeName"] != before["spec"]["nodeName"]
            {
                sim.hits.hit(Fault::StatefulMoved);
            }
            return;
        }
    };
    doing(sim, &action, fault);
}

/// What came of it all, by the end.
pub(super) fn take_stock(sim: &mut Sim) {
    let told = |object: &serde_json::Value, key: &str| {
        object["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned()
    };
    let mut met = Vec::new();
    for (_, pod) in sim.api.list(Kind::Pod) {
        let address = told(pod, "ovn.kubernetes.io/ip_address");
        if told(pod, "ovn.kubernetes.io/routed") == "true" {
            if told(pod, "ovn.kubernetes.io/ip_pool").split(',').any(|it| it == address) {
                met.push(Fault::PoolOffered);
            }
            if address.contains(',') {
                met.push(Fault::DualStack);
            }
        }
    }
    for (_, object) in sim.api.list(Kind::Namespace) {
        let subnets = told(object, "ovn.kubernetes.io/logical_switch");
        if subnets.contains(',') {
            met.push(Fault::ManySubnets);
        }
        let chosen_by_label = |subnet: &str| {
            let Some(subnet) = sim.api.get(Kind::Subnet, subnet) else { return false };
            let listed = subnet["spec"]["namespaces"]
                .as_array()
                .is_some_and(|all| all.contains(&object["metadata"]["name"]));
            subnet["spec"]["namespaceSelectors"].is_array() && !listed
        };
        if subnets.split(',').any(chosen_by_label) {
            met.push(Fault::ChosenByLabel);
        }
    }
    met.into_iter().for_each(|fault| sim.hits.hit(fault));
}

fn trouble(sim: &mut Sim, rng: &mut Rng) {
    let number = any(sim, rng);
    let kind = *rng.pick(&Kind::ALL).unwrap_or(&Kind::Pod);
    match rng.below(20) {
        0 => sim.crash(number),
        1 => sim.freeze(number, rng.within((500, 30_000))),
        2 => {
            sim.hits.hit(Fault::WallClockSet);
            let seconds = i64::try_from(rng.within((1, 7_200))).unwrap_or(1);
            sim.wall_ahead += if rng.permille(700) { seconds } else { -seconds };
        }
        3 => {
            if sim.engine(number).health().leading {
                sim.hits.hit(Fault::LeaseLost);
            }
            sim.depose(number);
            sim.elect_later(number, rng.within((100, 3_000)));
        }
        4..=5 if sim.controllers() > 1 => {
            if (0..sim.controllers()).any(|it| it != number && sim.engine(it).health().leading) {
                sim.hits.hit(Fault::LeaseUsurped);
            }
            sim.elect(number);
        }
        6 => {
            // All of them at once.
            for number in 0..sim.controllers() {
                sim.depose(number);
            }
            sim.advance(rng.below(100));
            (0..sim.controllers()).for_each(|number| sim.elect(number));
        }
        7 => {
            sim.hits.hit(Fault::Relisted);
            sim.break_watch(number, kind);
            sim.advance(rng.below(2_000));
            sim.resume_watch(number, kind);
        }
        8 => {
            let read = sim.begin_list(number, kind);
            let events = sim.api.log().len();
            for _ in 0..rng.within((1, 3)) {
                build(sim, rng);
                take_away(sim, rng);
                sim.advance(rng.below(300));
            }
            if sim.api.log()[events..].iter().any(|entry| entry.kind == kind) {
                sim.hits.hit(Fault::ListCrossed);
            }
            sim.end_list(number, kind, read);
        }
        9 => sim.stall_watch(number, kind, rng.within((500, 8_000))),
        10..=11 => sim.cut_connection(number),
        12 => {
            let (inward, outward) =
                *rng.pick(&[(true, true), (true, false), (false, true)]).unwrap_or(&(true, true));
            sim.stall_connection(number, inward, outward, rng.within((500, 40_000)));
        }
        13..=14 => sim.change_nb_leader(None),
        15..=16 => {
            let millis = rng.within((500, 6_000));
            sim.change_nb_leader(Some(millis));
            if rng.permille(500) {
                // The way back to the old leader.
                sim.advance(rng.below(millis));
                sim.cut_connection(number);
            }
        }
        17 => sim.compact_nb(),
        _ => sim.advance(rng.within((1_000, 20_000))),
    }
}
