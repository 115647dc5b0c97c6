//! `ovn-nbctl show` as a shape: what is where, without what differs from one run to the next.
//!
//! Decides what may differ: UUIDs, MACs of each kind, which address of a pool a node or pod got. The expectation is
//! written by hand, from the document; nothing here makes one.

use std::collections::{BTreeMap, BTreeSet};

/// Switches and routers by their heading; in each, ports by their heading; in each, its lines in order.
type Blocks = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// What the expectation's words stand for.
#[derive(Debug, Clone, Default)]
pub struct Names {
    names: Vec<(String, String)>,
}

impl Names {
    /// Lets `word` in an expectation stand for `value`.
    #[must_use]
    pub fn with(mut self, word: &str, value: &str) -> Self {
        self.names.push((word.to_owned(), value.to_owned()));
        self
    }

    fn fill(&self, expected: &str) -> String {
        self.names.iter().fold(expected.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

/// What `actual` (printed by `ovn-nbctl show`) has less (`-`) and more (`+`) than `expected`; empty when the shapes
/// are the same. In `expected`, `#` begins a comment, `UUID` stands for any UUID, `MAC` for one of Kube-OVN's kind
/// (`00:00:00:7A:2E:93`: upper case), `mac` for one of Neutron's (`fa:16:3e:f4:82:3c`), and `N` for the last number
/// of an address in the subnets `join` and `ovn-default`.
pub fn difference(expected: &str, names: &Names, actual: &str) -> Vec<String> {
    let expected = parse(&names.fill(expected));
    let actual = parse(&normal(actual));
    let mut lines = Vec::new();
    let headings: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
    for heading in headings {
        let (Some(want), Some(have)) = (expected.get(heading), actual.get(heading)) else {
            let (sign, ports) = match expected.get(heading) {
                Some(ports) => ('-', ports),
                None => ('+', &actual[heading]),
            };
            lines.push(format!("{sign} {heading}"));
            for (port, attributes) in ports {
                lines.extend(block(sign, port, attributes));
            }
            continue;
        };
        if want == have {
            continue;
        }
        lines.push(format!("  {heading}"));
        let ports: BTreeSet<&String> = want.keys().chain(have.keys()).collect();
        for port in ports {
            let (want, have) = (want.get(port), have.get(port));
            if want != have {
                lines.extend(want.into_iter().flat_map(|attributes| block('-', port, attributes)));
                lines.extend(have.into_iter().flat_map(|attributes| block('+', port, attributes)));
            }
        }
    }
    lines
}

fn block(sign: char, port: &str, attributes: &[String]) -> Vec<String> {
    let lines = attributes.iter().map(|attribute| format!("{sign}         {attribute}"));
    std::iter::once(format!("{sign}     {port}")).chain(lines).collect()
}

fn parse(text: &str) -> Blocks {
    let mut blocks = Blocks::new();
    let (mut heading, mut port) = (String::new(), String::new());
    for line in text.lines() {
        let line = line.split_once('#').map_or(line, |(line, _)| line).trim_end();
        let words = line.trim_start().to_owned();
        match line.len() - words.len() {
            _ if words.is_empty() => {}
            0 => {
                heading = words;
                blocks.entry(heading.clone()).or_default();
            }
            4 => {
                port = words;
                blocks.entry(heading.clone()).or_default().entry(port.clone()).or_default();
            }
            _ => blocks.entry(heading.clone()).or_default().entry(port.clone()).or_default().push(words),
        }
    }
    blocks
}

/// Replaces what differs between runs. The UUID of a switch or router is its heading's second word; those of Neutron's
/// objects are part of names and stay: an expectation names them.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = if line.starts_with(' ') {
            addresses(line)
        } else {
            let mut words: Vec<&str> = line.split(' ').collect();
            if let Some(word) = words.get_mut(1)
                && is_uuid(word)
            {
                *word = "UUID";
            }
            words.join(" ")
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn addresses(line: &str) -> String {
    let plain = |word: &str| {
        let (Some(start), Some(end)) =
            (word.find(|c: char| c.is_ascii_hexdigit()), word.rfind(|c: char| c.is_ascii_hexdigit()))
        else {
            return word.to_owned();
        };
        let (before, core, after) = (&word[..start], &word[start..=end], &word[end + 1..]);
        let core = match mac_kind(core) {
            Some(kind) => kind.to_owned(),
            None => pool(core),
        };
        format!("{before}{core}{after}")
    };
    line.split(' ').map(plain).collect::<Vec<_>>().join(" ")
}

/// `MAC` for one as Kube-OVN writes them, `mac` for one as Neutron does; nothing for anything else.
fn mac_kind(word: &str) -> Option<&'static str> {
    let bytes: Vec<&str> = word.split(':').collect();
    let all = |digit: fn(char) -> bool| bytes.iter().all(|b| b.len() == 2 && b.chars().all(digit));
    if bytes.len() != 6 {
        None
    } else if word.starts_with("00:00:00:") && all(|c| c.is_ascii_digit() || ('A'..='F').contains(&c)) {
        Some("MAC")
    } else if word.starts_with("fa:16:3e:") && all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)) {
        Some("mac")
    } else {
        None
    }
}

/// An address of the cluster's own pools without its last number; gateways (`…0.1`) and all else as they are.
fn pool(word: &str) -> String {
    for subnet in ["10.16.0.", "100.64.0."] {
        if let Some(last) = word.strip_prefix(subnet)
            && last != "1"
            && last.parse::<u8>().is_ok()
        {
            return format!("{subnet}N");
        }
    }
    word.to_owned()
}

fn is_uuid(word: &str) -> bool {
    let parts: Vec<usize> = word.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// The value of an attribute (`mac`, `addresses` …) of a port, as printed.
pub fn attribute(shown: &str, port: &str, name: &str) -> Option<String> {
    let heading = format!("port {port}");
    let mut lines = shown.lines().map(str::trim).skip_while(|line| *line != heading).skip(1);
    lines
        .by_ref()
        .take_while(|line| !line.starts_with("port "))
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
switch b830c07e-ab42-44f9-9843-c393d6584628 (net2)
    port net2-neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93
        type: router
        addresses: [\"00:00:00:91:4D:DF\"]
        router-port: neutron-22040ed5-0598-4f77-bffd-e7fd4db47e93-net2
    port ubuntu.net2
        addresses: [\"00:00:00:7A:2E:93 12.0.1.2\"]
switch 08ded71a-8360-4d0a-9ecb-a6dbf89ca16a (join)
    port node-host1
        addresses: [\"00:00:00:6E:53:FD 100.64.0.3\"]
";
    const EXPECTED: &str = "\
switch UUID (join)
    port node-host1
        addresses: [\"MAC 100.64.0.N\"]   # any of them
switch UUID (net2)  # ours
    port ubuntu.net2
        addresses: [\"MAC 12.0.1.2\"]
    port net2-neutron-ROUTER
        type: router
        addresses: [\"MAC\"]
        router-port: neutron-ROUTER-net2
";

    fn names() -> Names {
        Names::default().with("ROUTER", "22040ed5-0598-4f77-bffd-e7fd4db47e93")
    }

    #[test]
    fn order_ids_and_macs_may_differ() {
        assert_eq!(difference(EXPECTED, &names(), SHOWN), [""; 0]);
    }

    #[test]
    fn all_else_may_not() {
        for (from, to) in [
            ("12.0.1.2", "12.0.1.3"),
            ("type: router\n", "type: localnet\n"),
            ("7A:2E:93", "7a:2e:93"),
            ("00:00:00:91", "02:00:00:91"),
            ("100.64.0.3", "100.65.0.3"),
            ("100.64.0.3\"", "100.64.0.3\", \"unknown\""),
            ("(net2)", "(net3)"),
            ("port ubuntu.net2\n", "port ubuntu.net2\n    port more\n"),
            ("22040ed5-0598-4f77-bffd-e7fd4db47e93-net2", "22040ed5-0598-4f77-bffd-e7fd4db47e90-net2"),
            ("switch 08", "router 08"),
        ] {
            let other = SHOWN.replacen(from, to, 1);
            assert_ne!(other, SHOWN);
            assert_ne!(difference(EXPECTED, &names(), &other), [""; 0], "{from} as {to}");
        }
    }

    #[test]
    fn attributes_are_found_in_their_port_only() {
        assert_eq!(
            attribute(SHOWN, "ubuntu.net2", "addresses").as_deref(),
            Some("[\"00:00:00:7A:2E:93 12.0.1.2\"]")
        );
        assert_eq!(attribute(SHOWN, "ubuntu.net2", "router-port"), None);
        assert_eq!(attribute(SHOWN, "nobody", "addresses"), None);
    }
}
