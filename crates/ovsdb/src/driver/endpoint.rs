//! Where databases are: `tcp:`, `ssl:` and `unix:` in the notation of ovsdb(7) "Connection Methods".

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `tcp:10.0.0.1:6641`, `tcp:[fd00::1]:6641`.
    Tcp(Address),
    /// `ssl:10.0.0.1:6641`.
    Ssl(Address),
    /// `unix:/run/openvswitch/db.sock`.
    Unix(PathBuf),
}

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// An IP address or a name that is resolved at each attempt.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, self.port).fmt(f),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "tcp:{address}"),
            Endpoint::Ssl(address) => write!(f, "ssl:{address}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An endpoint that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "OVSDB endpoint {given:?}: {problem}; expected e.g. tcp:10.0.0.1:6641, ssl:[fd00::1]:6641, unix:/run/ovn/ovnnb_db.sock"
)]
pub struct EndpointError {
    given: String,
    problem: &'static str,
}

/// One or more places of one database, in the order given.
///
/// Read from `tcp:10.0.0.1:6641,tcp:10.0.0.2:6641`, from the short form with one port for several hosts
/// `tcp:[10.0.0.1,10.0.0.2,10.0.0.3]:6641`, or a mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints(Vec<Endpoint>);

impl Endpoints {
    /// The endpoints; at least one.
    pub fn list(&self) -> &[Endpoint] {
        &self.0
    }
}

impl From<Endpoint> for Endpoints {
    fn from(endpoint: Endpoint) -> Self {
        Endpoints(vec![endpoint])
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, endpoint) in self.0.iter().enumerate() {
            write!(f, "{}{endpoint}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Endpoints {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut list = Vec::new();
        for part in split_outside_brackets(text) {
            list.extend(parse(part.trim())?);
        }
        if list.is_empty() {
            return Err(EndpointError { given: text.to_owned(), problem: "it is empty" });
        }
        Ok(Endpoints(list))
    }
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn parse(text: &str) -> Result<Vec<Endpoint>, EndpointError> {
    let bad = |problem| EndpointError { given: text.to_owned(), problem };
    let (scheme, rest) = text.split_once(':').ok_or_else(|| bad("it has no method"))?;
    let make: fn(Address) -> Endpoint = match scheme {
        "unix" if rest.is_empty() => return Err(bad("the path is missing")),
        "unix" => return Ok(vec![Endpoint::Unix(rest.into())]),
        "tcp" => Endpoint::Tcp,
        "ssl" => Endpoint::Ssl,
        _ => return Err(bad("the method is none of tcp, ssl, unix")),
    };
    let (hosts, port) = rest.rsplit_once(':').ok_or_else(|| bad("the port is missing"))?;
    let port: u16 = port.parse().map_err(|_| bad("the port is no number from 1 to 65535"))?;
    if port == 0 {
        return Err(bad("the port is no number from 1 to 65535"));
    }
    let hosts = match hosts.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or_else(|| bad("a bracket is not closed"))?,
        None if hosts.contains(':') => return Err(bad("an IPv6 address needs brackets")),
        None => hosts,
    };
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    if hosts.iter().any(|host| host.is_empty()) {
        return Err(bad("the host is missing"));
    }
    // `tcp:[[fd00::1],[fd00::2]]:6641` is a list of bracketed addresses.
    let bare = |host: &&str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(hosts.iter().map(|host| make(Address { host: bare(host), port })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let endpoints: Endpoints = text.parse().unwrap();
        endpoints.list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_usual_notation() {
        assert_eq!(read("tcp:10.0.0.1:6641"), ["tcp:10.0.0.1:6641"]);
        assert_eq!(read("ssl:[fd00::1]:6641, tcp:ovn-nb:6641"), ["ssl:[fd00::1]:6641", "tcp:ovn-nb:6641"]);
        assert_eq!(read("unix:/run/ovn/ovnnb_db.sock"), ["unix:/run/ovn/ovnnb_db.sock"]);
    }

    #[test]
    fn several_hosts_with_one_port() {
        let expected = ["tcp:10.0.0.1:6641", "tcp:10.0.0.2:6641", "tcp:10.0.0.3:6641"];
        assert_eq!(read("tcp:[10.0.0.1,10.0.0.2, 10.0.0.3]:6641"), expected);
        assert_eq!(read("tcp:[[fd00::1],[fd00::2]]:6641"), ["tcp:[fd00::1]:6641", "tcp:[fd00::2]:6641"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, problem) in [
            ("", "empty"),
            ("10.0.0.1:6641", "method"),
            ("tcp:10.0.0.1", "port"),
            ("tcp:10.0.0.1:0", "port"),
            ("tcp:fd00::1:6641", "brackets"),
            ("tcp:[10.0.0.1:6641", "closed"),
            ("tcp::6641", "host"),
            ("unix:", "path"),
        ] {
            let error = text.parse::<Endpoints>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn written_as_read() {
        let endpoints: Endpoints = "tcp:[10.0.0.1,10.0.0.2]:1".parse().unwrap();
        assert_eq!(endpoints.to_string(), "tcp:10.0.0.1:1,tcp:10.0.0.2:1");
        assert_eq!(endpoints.to_string().parse::<Endpoints>().unwrap(), endpoints);
    }
}
