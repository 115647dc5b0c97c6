//! Open vSwitch's own figures of this node, under the names that Kube-OVN's pinger gives them: its datapaths, and the packets of each
//! of their ports. ovs-vswitchd is asked when somebody asks for metrics, and never in between (invariant 9).

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tombolo_observe::{Family, Series, Source};
use tombolo_ovsdb::driver::unixctl;

/// For its answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// The latest answer.
#[derive(Debug)]
pub struct Vswitchd {
    run_dir: PathBuf,
    hostname: String,
    seen: Mutex<Option<Vec<Datapath>>>,
}

/// A datapath, as `dpctl/show -s` prints it (ovs-dpctl(8)).
#[derive(Clone, Debug, Default, PartialEq)]
struct Datapath {
    name: String,
    kind: String,
    /// Values of its own lines, `lookups hit` and the like.
    values: Vec<(String, f64)>,
    ports: Vec<Port>,
}

/// One of its ports.
#[derive(Clone, Debug, Default, PartialEq)]
struct Port {
    number: String,
    name: String,
    kind: String,
    /// `RX packets` and the like.
    values: Vec<(String, f64)>,
}

/// Name, meaning, and which line of a datapath has it.
const OF_DATAPATHS: [(&str, &str, &str); 7] = [
    ("kube_ovn_dp_flows_total", "Flows in the datapath", "flows"),
    ("kube_ovn_dp_flows_lookup_hit", "Packets that matched a flow", "lookups hit"),
    (
        "kube_ovn_dp_flows_lookup_missed",
        "Packets that matched none, and went to ovs-vswitchd",
        "lookups missed",
    ),
    (
        "kube_ovn_dp_flows_lookup_lost",
        "Packets that were to go to ovs-vswitchd, and were dropped",
        "lookups lost",
    ),
    ("kube_ovn_dp_masks_hit", "Masks that packets were compared with", "masks hit"),
    ("kube_ovn_dp_masks_total", "Masks in the datapath", "masks total"),
    ("kube_ovn_dp_masks_hit_ratio", "Masks that a packet was compared with, on average", "masks hit/pkt"),
];

/// The same of a port.
const OF_PORTS: [(&str, &str, &str); 13] = [
    ("kube_ovn_interface_rx_packets", "Packets received", "RX packets"),
    ("kube_ovn_interface_rx_bytes", "Bytes received", "RX bytes"),
    ("kube_ovn_interface_rx_errors", "Errors at receiving", "RX errors"),
    ("kube_ovn_interface_rx_dropped", "Packets dropped at receiving", "RX dropped"),
    ("kube_ovn_interface_rx_over_err", "Packets that overran the receiver", "RX overruns"),
    ("kube_ovn_interface_rx_frame_err", "Frames that were aligned badly", "RX frame"),
    ("kube_ovn_interface_tx_packets", "Packets sent", "TX packets"),
    ("kube_ovn_interface_tx_bytes", "Bytes sent", "TX bytes"),
    ("kube_ovn_interface_tx_errors", "Errors at sending", "TX errors"),
    ("kube_ovn_interface_tx_dropped", "Packets dropped at sending", "TX dropped"),
    ("tombolo_interface_tx_aborted", "Packets whose sending was given up", "TX aborted"),
    ("tombolo_interface_tx_carrier_err", "Packets not sent for want of a carrier", "TX carrier"),
    ("kube_ovn_interface_collisions", "Collisions at sending", "collisions"),
];

impl Vswitchd {
    /// Of the node; its socket lies beside that of Open vSwitch's database.
    #[must_use]
    pub fn new(run_dir: &Path, hostname: &str) -> Self {
        Self { run_dir: run_dir.to_owned(), hostname: hostname.to_owned(), seen: Mutex::new(None) }
    }

    /// Asks it. Where it doesn't answer, there are no figures.
    pub async fn look(&self) {
        let answer = self.ask().await;
        if answer.is_none() {
            tracing::debug!("ovs-vswitchd says nothing of its datapaths");
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    async fn ask(&self) -> Option<Vec<Datapath>> {
        let pid = std::fs::read_to_string(self.run_dir.join("ovs-vswitchd.pid")).ok()?;
        let socket = self.run_dir.join(format!("ovs-vswitchd.{}.ctl", pid.trim()));
        let text = unixctl::call(&socket, "dpctl/show", &["-s"], DEADLINE).await.ok()?;
        Some(parse(&text))
    }
}

impl Source for Vswitchd {
    fn families(&self) -> Vec<Family> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let host = || ("hostname", self.hostname.clone());
        let datapaths = seen.as_deref().unwrap_or_default();
        let gauge = Family::gauge;
        let mut families = vec![
            gauge(
                "kube_ovn_ovs_status",
                "Whether a program of Open vSwitch answers on this node",
                vec![(
                    vec![host(), ("component", "ovs-vswitchd".to_owned())],
                    f64::from(u8::from(seen.is_some())),
                )],
            ),
            gauge("kube_ovn_dp_total", "Datapaths", vec![(vec![host()], datapaths.len() as f64)]),
            gauge("kube_ovn_datapath", "A datapath, always 1", {
                let series = |it: &Datapath| {
                    (vec![host(), ("datapath", it.name.clone()), ("type", it.kind.clone())], 1.0)
                };
                datapaths.iter().map(series).collect()
            }),
            gauge("kube_ovn_dp_if_total", "Ports of a datapath", {
                let series =
                    |it: &Datapath| (vec![host(), ("datapath", it.name.clone())], it.ports.len() as f64);
                datapaths.iter().map(series).collect()
            }),
            gauge("kube_ovn_dp_if", "A port of a datapath, always 1", {
                let port = |it: &Datapath, port: &Port| {
                    let labels = vec![
                        host(),
                        ("datapath", it.name.clone()),
                        ("port", port.name.clone()),
                        ("type", port.kind.clone()),
                        ("ofPort", port.number.clone()),
                    ];
                    (labels, 1.0)
                };
                datapaths.iter().flat_map(|it| it.ports.iter().map(move |one| port(it, one))).collect()
            }),
        ];
        for (name, help, key) in OF_DATAPATHS {
            let series =
                |it: &Datapath| Some((vec![host(), ("datapath", it.name.clone())], value(&it.values, key)?));
            families.push(gauge(name, help, datapaths.iter().filter_map(series).collect()));
        }
        for (name, help, key) in OF_PORTS {
            let series = |it: &Port| -> Option<Series> {
                Some((vec![host(), ("interfaceName", it.name.clone())], value(&it.values, key)?))
            };
            families.push(gauge(
                name,
                help,
                datapaths.iter().flat_map(|it| &it.ports).filter_map(series).collect(),
            ));
        }
        families
    }
}

fn value(values: &[(String, f64)], key: &str) -> Option<f64> {
    values.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
}

/// Reads what `dpctl/show -s` prints. A value that isn't known is `?`, and left out.
fn parse(text: &str) -> Vec<Datapath> {
    let mut datapaths: Vec<Datapath> = Vec::new();
    for line in text.lines() {
        let words = line.trim();
        if let (false, Some((kind, name))) =
            (line.starts_with(' '), words.trim_end_matches(':').split_once('@'))
        {
            datapaths.push(Datapath { name: name.to_owned(), kind: kind.to_owned(), ..Datapath::default() });
            continue;
        }
        let Some(datapath) = datapaths.last_mut() else { continue };
        if let Some(port) = words.strip_prefix("port ").and_then(port) {
            datapath.ports.push(port);
            continue;
        }
        match datapath.ports.last_mut() {
            Some(port) => port.values.extend(of_port(words)),
            None => datapath.values.extend(of_datapath(words)),
        }
    }
    datapaths
}

/// `3: ab12_h (system)`, `0: ovs-netdev (tap)`; `br-int` without a kind is of the system's.
fn port(words: &str) -> Option<Port> {
    let (number, rest) = words.split_once(": ")?;
    let (name, kind) = rest.split_once(" (").unwrap_or((rest, "system)"));
    let kind = kind.split([':', ')']).next().unwrap_or_default();
    Some(Port { number: number.to_owned(), name: name.to_owned(), kind: kind.to_owned(), values: Vec::new() })
}

/// `lookups: hit:143 missed:50 lost:0`, `flows: 5`.
fn of_datapath(words: &str) -> Vec<(String, f64)> {
    let Some((line, rest)) = words.split_once(": ") else { return Vec::new() };
    if let Ok(value) = rest.trim().parse() {
        return vec![(line.to_owned(), value)];
    }
    pairs(rest).map(|(key, value)| (format!("{line} {key}"), value)).collect()
}

/// `RX packets:1 errors:0`, `collisions:0`, `RX bytes:76 (76.0 B)  TX bytes:0`.
fn of_port(words: &str) -> Vec<(String, f64)> {
    let mut way = "";
    let mut found = Vec::new();
    for word in words.split_whitespace() {
        if word == "RX" || word == "TX" {
            way = word;
        } else if let Some((key, value)) = pairs(word).next() {
            let key = if way.is_empty() { key.to_owned() } else { format!("{way} {key}") };
            found.push((key, value));
        }
    }
    found
}

/// The `key:number` among words.
fn pairs(words: &str) -> impl Iterator<Item = (&str, f64)> {
    words.split_whitespace().filter_map(|word| {
        let (key, value) = word.rsplit_once(':')?;
        Some((key, value.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str = "system@ovs-system:
  lookups: hit:1430 missed:50 lost:2
  flows: 5
  masks: hit:4000 total:7 hit/pkt:2.70
  caches:
    masks-cache: size:256
  port 0: ovs-system (internal)
    RX packets:0 errors:0 dropped:0 overruns:0 frame:0
    TX packets:0 errors:0 dropped:0 aborted:0 carrier:0
    collisions:0
    RX bytes:0  TX bytes:0
  port 1: genev_sys_6081 (geneve: packet_type=ptap)
    RX packets:12 errors:? dropped:? overruns:? frame:?
    TX packets:34 errors:1 dropped:2 aborted:3 carrier:4
    collisions:5
    RX bytes:1234 (1.2 KiB)  TX bytes:5678 (5.5 KiB)
  port 2: ab12_h
    RX packets:9 errors:0 dropped:0 overruns:0 frame:0
";

    #[test]
    fn what_is_printed_of_datapaths_and_ports_is_read() {
        let all = parse(KERNEL);
        assert_eq!(all.len(), 1);
        let (datapath, ports) = (&all[0], &all[0].ports);
        assert_eq!((datapath.kind.as_str(), datapath.name.as_str()), ("system", "ovs-system"));
        for (key, expected) in [
            ("lookups hit", 1430.0),
            ("lookups lost", 2.0),
            ("flows", 5.0),
            ("masks total", 7.0),
            ("masks hit/pkt", 2.7),
        ] {
            assert_eq!(value(&datapath.values, key), Some(expected), "{key}");
        }
        let names: Vec<_> = ports.iter().map(|port| (port.name.as_str(), port.kind.as_str())).collect();
        assert_eq!(names, [("ovs-system", "internal"), ("genev_sys_6081", "geneve"), ("ab12_h", "system")]);
        for (key, expected) in [
            ("RX packets", Some(12.0)),
            ("RX errors", None),
            ("TX dropped", Some(2.0)),
            ("RX bytes", Some(1234.0)),
            ("TX bytes", Some(5678.0)),
            ("collisions", Some(5.0)),
        ] {
            assert_eq!(value(&ports[1].values, key), expected, "{key}");
        }
        assert!(parse("").is_empty() && parse("no datapath\n").is_empty());
    }

    #[test]
    fn all_names_are_there_without_an_answer_and_series_with_one() {
        let program = Vswitchd::new(Path::new("/nowhere"), "host1");
        let without = program.families();
        assert!(without.iter().any(|it| it.name == "kube_ovn_interface_rx_bytes" && it.series.is_empty()));
        *program.seen.lock().unwrap() = Some(parse(KERNEL));
        let with = program.families();
        assert_eq!(without.len(), with.len());
        let of = |name: &str| with.iter().find(|it| it.name == name).unwrap().series.clone();
        assert_eq!(of("kube_ovn_ovs_status")[0].1, 1.0);
        assert_eq!(of("kube_ovn_dp_if_total")[0].1, 3.0);
        let bytes = of("kube_ovn_interface_rx_bytes");
        assert_eq!(bytes.len(), 2);
        assert!(bytes[1].0.contains(&("interfaceName", "genev_sys_6081".to_owned())));
    }
}
