//! From rows to series, at each request for metrics: names, labels and values.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_observe::Family;
use tombolo_ovn::{Ref, nb, sb};
use tombolo_ovsdb::{Replica, Uuid, Wanted};

/// What is read of the NB. With `ports`, each port as well.
#[must_use]
pub fn wanted_nb(ports: bool) -> Wanted {
    use nb::{LogicalSwitch, LogicalSwitchPort, NbGlobal};
    let switch = [LogicalSwitch::NAME, LogicalSwitch::PORTS, LogicalSwitch::EXTERNAL_IDS];
    let wanted = Wanted::new()
        .table(NbGlobal::TABLE, &[NbGlobal::NB_CFG, NbGlobal::SB_CFG, NbGlobal::HV_CFG])
        .table(LogicalSwitch::TABLE, &switch);
    if !ports {
        return wanted;
    }
    wanted.table(LogicalSwitchPort::TABLE, &[LogicalSwitchPort::NAME, LogicalSwitchPort::ADDRESSES])
}

/// What is read of the SB. With `ports`, each port as well.
#[must_use]
pub fn wanted_sb(ports: bool) -> Wanted {
    use sb::{Chassis, ChassisPrivate, DatapathBinding, Encap, PortBinding, SbGlobal};
    let wanted = Wanted::new()
        .table(SbGlobal::TABLE, &[SbGlobal::NB_CFG])
        .table(Chassis::TABLE, &[Chassis::NAME, Chassis::HOSTNAME, Chassis::ENCAPS])
        .table(Encap::TABLE, &[Encap::IP])
        .table(
            ChassisPrivate::TABLE,
            &[ChassisPrivate::NAME, ChassisPrivate::CHASSIS, ChassisPrivate::NB_CFG],
        )
        .table(DatapathBinding::TABLE, &[DatapathBinding::TUNNEL_KEY, DatapathBinding::EXTERNAL_IDS])
        .table(PortBinding::TABLE, &[PortBinding::LOGICAL_PORT, PortBinding::CHASSIS]);
    if !ports {
        return wanted;
    }
    wanted.table(PortBinding::TABLE, &[PortBinding::DATAPATH, PortBinding::TUNNEL_KEY])
}

fn text(of: impl ToString) -> String {
    of.to_string()
}

fn id(of: Option<Uuid>) -> String {
    of.map(|uuid| uuid.to_string()).unwrap_or_default()
}

fn number(of: usize) -> f64 {
    of as f64
}

fn rows<T: tombolo_ovn::TypedRow>(replica: Option<&Replica>) -> Vec<T> {
    let rows = replica.into_iter().flat_map(|replica| replica.rows(T::TABLE));
    rows.map(|(uuid, row)| T::from_row(uuid, row)).collect()
}

/// NB's `nb_cfg` and `sb_cfg`.
#[must_use]
pub fn cfg(nb: &Replica) -> Option<(i64, i64)> {
    rows::<nb::NbGlobal>(Some(nb)).first().map(|global| (global.nb_cfg, global.sb_cfg))
}

/// The datapath's key in tunnels, by logical switch.
fn tunnel_keys(sb: &Replica) -> BTreeMap<Uuid, i64> {
    let all = rows::<sb::DatapathBinding>(Some(sb)).into_iter();
    all.filter_map(|datapath| {
        let switch = datapath.external_ids.get("logical-switch")?.parse().ok()?;
        Some((switch, datapath.tunnel_key))
    })
    .collect()
}

/// Logical switches that have no datapath.
#[must_use]
pub fn without_datapath(nb: &Replica, sb: &Replica) -> BTreeSet<Uuid> {
    let keys = tunnel_keys(sb);
    nb.rows(nb::LogicalSwitch::TABLE).map(|(uuid, _)| uuid).filter(|uuid| !keys.contains_key(uuid)).collect()
}

/// What the databases hold, each if it can be read now. `host` is where this program runs, as Kube-OVN's label has it.
#[must_use]
pub fn of_rows(host: &str, nb: Option<&Replica>, sb: Option<&Replica>) -> Vec<Family> {
    let mut all = of_switches(host, nb, sb);
    all.extend(of_chassis(sb));
    all.push(Family::gauge(
        "tombolo_northd_nb_cfg_distance",
        "How many requests for a sign of northd it hasn't answered: NB_Global's nb_cfg less its sb_cfg",
        nb.and_then(cfg).map(|(nb, sb)| (Vec::new(), (nb - sb) as f64)).into_iter().collect(),
    ));
    all
}

fn of_switches(host: &str, nb: Option<&Replica>, sb: Option<&Replica>) -> Vec<Family> {
    let switches: Vec<nb::LogicalSwitch> = rows(nb);
    let keys = sb.map(tunnel_keys).unwrap_or_default();
    let of = |switch: &nb::LogicalSwitch, name: &'static str| {
        vec![("hostname", text(host)), ("uuid", text(switch.uuid)), (name, switch.name.clone())]
    };
    let ids = switches.iter().flat_map(|switch| {
        switch.external_ids.iter().map(|(key, value)| {
            let mut labels = of(switch, "logical_switch_name");
            labels.extend([("key", key.clone()), ("value", value.clone())]);
            (labels, 1.0)
        })
    });
    vec![
        Family::gauge(
            "kube_ovn_logical_switch_info",
            "Always 1; the labels name a logical switch",
            switches.iter().map(|switch| (of(switch, "name"), 1.0)).collect(),
        ),
        Family::gauge(
            "kube_ovn_logical_switch_external_id",
            "Always 1; the labels are an entry of a logical switch's external_ids",
            ids.collect(),
        ),
        Family::gauge(
            "kube_ovn_logical_switch_ports_num",
            "Ports of a logical switch",
            switches.iter().map(|s| (of(s, "logical_switch_name"), number(s.ports.len()))).collect(),
        ),
        Family::gauge(
            "kube_ovn_logical_switch_tunnel_key",
            "The key of a logical switch in tunnels",
            switches
                .iter()
                .filter_map(|s| keys.get(&s.uuid).map(|key| (of(s, "logical_switch_name"), *key as f64)))
                .collect(),
        ),
    ]
}

fn of_chassis(sb: Option<&Replica>) -> Vec<Family> {
    let chassis: BTreeMap<Uuid, sb::Chassis> =
        rows::<sb::Chassis>(sb).into_iter().map(|c| (c.uuid, c)).collect();
    let encaps: BTreeMap<Uuid, String> = rows::<sb::Encap>(sb).into_iter().map(|e| (e.uuid, e.ip)).collect();
    let asked = rows::<sb::SbGlobal>(sb).first().map(|global| global.nb_cfg);
    let info = chassis.values().map(|one| {
        let ips: BTreeSet<&str> =
            one.encaps.iter().filter_map(|encap| encaps.get(&encap.uuid())).map(String::as_str).collect();
        let labels = vec![
            ("hostname", one.hostname.clone()),
            ("uuid", text(one.uuid)),
            ("name", one.name.clone()),
            ("ip", ips.into_iter().collect::<Vec<_>>().join(",")),
        ];
        (labels, 1.0)
    });
    // One whose chassis is gone is left over of a host that was taken out.
    let private = rows::<sb::ChassisPrivate>(sb).into_iter();
    let distance = private.filter_map(|own| {
        let there = chassis.get(&own.chassis.map(Ref::uuid)?)?;
        let labels = vec![("hostname", there.hostname.clone()), ("chassis", own.name)];
        Some((labels, (asked? - own.nb_cfg) as f64))
    });
    vec![
        Family::gauge(
            "kube_ovn_chassis_info",
            "Always 1; the labels are a chassis: a host with ovn-controller",
            info.collect(),
        ),
        Family::gauge(
            "tombolo_chassis_nb_cfg_distance",
            "How many requests for a sign of ovn-controller a chassis hasn't answered: SB_Global's nb_cfg less its own",
            distance.collect(),
        ),
    ]
}

/// A series for each port, several times over; empty where ports aren't read.
#[must_use]
pub fn of_ports(host: &str, nb: Option<&Replica>, sb: Option<&Replica>) -> Vec<Family> {
    let bindings: BTreeMap<String, sb::PortBinding> = rows::<sb::PortBinding>(sb)
        .into_iter()
        .map(|binding| (binding.logical_port.clone(), binding))
        .collect();
    let chassis: BTreeMap<Uuid, String> =
        rows::<sb::Chassis>(sb).into_iter().map(|c| (c.uuid, c.name)).collect();
    let ports: BTreeMap<Uuid, nb::LogicalSwitchPort> =
        rows::<nb::LogicalSwitchPort>(nb).into_iter().map(|port| (port.uuid, port)).collect();
    let (mut info, mut keys, mut on) = (Vec::new(), Vec::new(), Vec::new());
    for switch in rows::<nb::LogicalSwitch>(nb) {
        for port in switch.ports.iter().filter_map(|port| ports.get(&port.uuid())) {
            let binding = bindings.get(&port.name);
            let (macs, ips) = addresses(&port.addresses);
            let base = || {
                vec![
                    ("hostname", text(host)),
                    ("uuid", text(port.uuid)),
                    ("logical_switch_name", switch.name.clone()),
                ]
            };
            let at = binding.and_then(|b| b.chassis.as_ref()).and_then(|at| chassis.get(&at.uuid()));
            let mut labels = base();
            labels.extend([
                ("name", port.name.clone()),
                ("chassis", at.cloned().unwrap_or_default()),
                ("datapath", id(binding.map(|b| b.datapath.uuid()))),
                ("port_binding", id(binding.map(|b| b.uuid))),
                ("mac_address", macs),
                ("ip_address", ips),
            ]);
            info.push((labels, 1.0));
            on.push(([base(), vec![("port", port.name.clone())]].concat(), 1.0));
            if let Some(binding) = binding {
                keys.push((
                    [base(), vec![("port_name", port.name.clone())]].concat(),
                    binding.tunnel_key as f64,
                ));
            }
        }
    }
    vec![
        Family::gauge(
            "kube_ovn_logical_switch_port_info",
            "Always 1; the labels are a port of a logical switch",
            info,
        ),
        Family::gauge(
            "kube_ovn_logical_switch_port_binding",
            "Always 1; the labels are a port and its logical switch",
            on,
        ),
        Family::gauge("kube_ovn_logical_switch_port_tunnel_key", "The key of a port in tunnels", keys),
    ]
}

/// MACs and addresses of `MAC IP IP …` elements, each list separated by blanks.
fn addresses(all: &BTreeSet<String>) -> (String, String) {
    let (mut macs, mut ips) = (Vec::new(), Vec::new());
    for element in all {
        let mut words = element.split_whitespace();
        macs.extend(words.next().filter(|word| word.contains(':')));
        ips.extend(words);
    }
    (macs.join(" "), ips.join(" "))
}
