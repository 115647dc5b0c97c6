//! The address of an OVN database as users write it: OVN's own notation, Kube-OVN's environment, and the
//! bracketed list in Kube-OVN's OpenStack document (`tcp:[IP1,IP2,IP3]:6641`).
//!
//! Decides which endpoints are meant and refuses what can't be dialed. Doesn't dial, and doesn't resolve names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which database an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// OVN_Northbound, port 6641.
    Nb,
    /// OVN_Southbound, port 6642.
    Sb,
}

impl Database {
    fn flag(self) -> &'static str {
        match self {
            Database::Nb => "--ovn-nb-addr",
            Database::Sb => "--ovn-sb-addr",
        }
    }

    fn port(self) -> u16 {
        match self {
            Database::Nb => 6641,
            Database::Sb => 6642,
        }
    }

    /// The variables Kubernetes sets for a Service of that name (`ovn-nb`, `ovn-sb`).
    fn service(self) -> (&'static str, &'static str) {
        match self {
            Database::Nb => ("OVN_NB_SERVICE_HOST", "OVN_NB_SERVICE_PORT"),
            Database::Sb => ("OVN_SB_SERVICE_HOST", "OVN_SB_SERVICE_PORT"),
        }
    }
}

/// An address that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    source_name: String,
    part: String,
    why: &'static str,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source_name, part, why } = self;
        write!(
            f,
            "{source_name}: {part:?} is not an OVN database address ({why}); write tcp:IP:PORT, ssl:IP:PORT or unix:PATH, several separated by commas"
        )
    }
}

impl std::error::Error for AddressError {}

/// The endpoints of `database`: from the flag's `value`, else from `OVN_DB_IPS`, else from the Service's variables;
/// none if there is nothing. `ENABLE_SSL=true` makes addresses from the environment `ssl:`.
///
/// # Errors
/// A part that can't be dialed, with the reason.
pub fn resolve(
    database: Database,
    value: &str,
    env: &impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, AddressError> {
    if !value.trim().is_empty() {
        return parse(database.flag(), value);
    }
    let get = |name: &str| env(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    let method =
        if get("ENABLE_SSL").is_some_and(|v| v.eq_ignore_ascii_case("true")) { "ssl" } else { "tcp" };
    if let Some(ips) = get("OVN_DB_IPS") {
        return ips
            .split(',')
            .map(str::trim)
            .filter(|ip| !ip.is_empty())
            .map(|ip| endpoint("OVN_DB_IPS", method, ip, database.port()))
            .collect();
    }
    let (host_var, port_var) = database.service();
    let Some(host) = get(host_var) else { return Ok(Vec::new()) };
    let port = match get(port_var) {
        None => database.port(),
        Some(text) => text.parse().map_err(|_| AddressError {
            source_name: port_var.to_owned(),
            part: text,
            why: "the port is not a number up to 65535",
        })?,
    };
    Ok(vec![endpoint(host_var, method, &host, port)?])
}

/// Reads a list of endpoints. `tcp:[A,B]:PORT` stands for `tcp:A:PORT,tcp:B:PORT`.
fn parse(source_name: &str, value: &str) -> Result<Vec<String>, AddressError> {
    let mut endpoints = Vec::new();
    for part in split_outside_brackets(value) {
        let part = part.trim();
        let wrong = |why| AddressError { source_name: source_name.to_owned(), part: part.to_owned(), why };
        if part.is_empty() {
            return Err(wrong("it is empty"));
        }
        let (method, rest) = part.split_once(':').ok_or_else(|| wrong("the method is missing"))?;
        match method {
            "unix" if rest.is_empty() => return Err(wrong("the path is missing")),
            "unix" => endpoints.push(part.to_owned()),
            "tcp" | "ssl" => {
                let (hosts, port) = rest.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
                let port: u16 = port.parse().map_err(|_| wrong("the port is not a number up to 65535"))?;
                let inner = match hosts.strip_prefix('[') {
                    Some(open) => open.strip_suffix(']').ok_or_else(|| wrong("a bracket is not closed"))?,
                    None if hosts.contains(':') => return Err(wrong("an IPv6 address needs brackets")),
                    None => hosts,
                };
                for host in inner.split(',') {
                    endpoints.push(
                        endpoint(source_name, method, host.trim(), port)
                            .map_err(|e| AddressError { part: part.to_owned(), ..e })?,
                    );
                }
            }
            _ => return Err(wrong("the method is not tcp, ssl or unix")),
        }
    }
    Ok(endpoints)
}

fn split_outside_brackets(value: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_u32, 0, Vec::new());
    for (at, c) in value.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&value[start..]);
    parts
}

fn endpoint(source_name: &str, method: &str, host: &str, port: u16) -> Result<String, AddressError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => Ipv4Addr::to_string(&ip),
        Ok(IpAddr::V6(ip)) => format!("[{}]", Ipv6Addr::to_string(&ip)),
        // A DNS name: the resolver decides at each attempt to connect.
        Err(_)
            if !bare.is_empty()
                && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') =>
        {
            bare.to_owned()
        }
        Err(_) => {
            return Err(AddressError {
                source_name: source_name.to_owned(),
                part: host.to_owned(),
                why: "the host is neither an IP address nor a name",
            });
        }
    };
    Ok(format!("{method}:{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nb(value: &str) -> Result<Vec<String>, AddressError> {
        resolve(Database::Nb, value, &|_| None)
    }

    #[test]
    fn every_notation_users_have() {
        for (value, want) in [
            ("tcp:10.0.0.1:6641", vec!["tcp:10.0.0.1:6641"]),
            ("tcp:10.0.0.1:6641,tcp:10.0.0.2:6641", vec!["tcp:10.0.0.1:6641", "tcp:10.0.0.2:6641"]),
            ("tcp:[10.0.0.1,10.0.0.2]:6641", vec!["tcp:10.0.0.1:6641", "tcp:10.0.0.2:6641"]),
            ("ssl:[fd00::1]:6641, ssl:[FD00:0::2]:6641", vec!["ssl:[fd00::1]:6641", "ssl:[fd00::2]:6641"]),
            ("tcp:[fd00::1,10.0.0.2]:1", vec!["tcp:[fd00::1]:1", "tcp:10.0.0.2:1"]),
            ("unix:/run/ovn/ovnnb_db.sock", vec!["unix:/run/ovn/ovnnb_db.sock"]),
            ("tcp:ovn-nb.kube-system.svc:6641", vec!["tcp:ovn-nb.kube-system.svc:6641"]),
        ] {
            assert_eq!(nb(value).unwrap(), want, "{value}");
        }
    }

    #[test]
    fn what_cannot_be_dialed_is_refused_with_the_reason() {
        for value in [
            "10.0.0.1",
            "tcp:10.0.0.1",
            "tcp:10.0.0.1:x",
            "tcp:10.0.0.1:70000",
            "http:10.0.0.1:1",
            "unix:",
            "tcp:fd00::1:6641",
            "tcp:[10.0.0.1:6641",
            "tcp:10.0.0.1:1,,tcp:10.0.0.2:1",
            "tcp:a b:1",
            "tcp::1",
        ] {
            let error = nb(value).unwrap_err().to_string();
            assert!(error.contains("--ovn-nb-addr"), "{value}: {error}");
        }
    }

    #[test]
    fn the_environment_of_kube_ovns_manifests() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string())
        };
        let ips = env(&[("OVN_DB_IPS", "10.0.0.1,fd00::1"), ("ENABLE_SSL", "true")]);
        assert_eq!(resolve(Database::Sb, "", &ips).unwrap(), ["ssl:10.0.0.1:6642", "ssl:[fd00::1]:6642"]);
        assert_eq!(resolve(Database::Sb, "tcp:1.1.1.1:1", &ips).unwrap(), ["tcp:1.1.1.1:1"]);
        let service = env(&[
            ("OVN_NB_SERVICE_HOST", "10.96.0.9"),
            ("OVN_NB_SERVICE_PORT", "16641"),
            ("ENABLE_SSL", "false"),
        ]);
        assert_eq!(resolve(Database::Nb, "", &service).unwrap(), ["tcp:10.96.0.9:16641"]);
        assert!(resolve(Database::Sb, "", &service).unwrap().is_empty());
    }
}
