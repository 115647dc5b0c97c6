//! Flags of connections to OVN's databases, and the connections that they mean.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tombolo_ovsdb::{ClientConfig, Endpoints, TlsConfig, Wanted};

/// How the databases are reached. Their addresses are flags of their own.
#[derive(Args, Clone, Debug)]
pub struct Databases {
    /// Private key for "ssl:" addresses
    #[arg(long, value_name = "FILE", default_value = "/var/run/tls/key")]
    ovn_ssl_key: PathBuf,
    /// Certificate for "ssl:" addresses
    #[arg(long, value_name = "FILE", default_value = "/var/run/tls/cert")]
    ovn_ssl_cert: PathBuf,
    /// CA certificates that the OVN servers are checked against
    #[arg(long, value_name = "FILE", default_value = "/var/run/tls/cacert")]
    ovn_ssl_cacert: PathBuf,
    /// A server certificate of OVN's counts only with one of these names or addresses, separated by commas (default: any that
    /// the CA has signed)
    #[arg(long, value_name = "NAMES", default_value = "", hide_default_value = true)]
    ovn_ssl_names: String,
    /// Seconds for one attempt to connect to an OVN database
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    ovsdb_con_timeout: u64,
    /// Seconds of silence after which an OVN database is probed
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    ovsdb_inactivity_timeout: u64,
}

impl Databases {
    /// A connection to a database; with keys and certificates if an endpoint needs them.
    #[must_use]
    pub fn client(&self, endpoints: Endpoints, database: &str, wanted: Wanted) -> ClientConfig {
        let tls = endpoints.list().iter().any(|endpoint| endpoint.to_string().starts_with("ssl:"));
        let mut config = ClientConfig::new(endpoints, database, wanted)
            .probe_interval(Duration::from_secs(self.ovsdb_inactivity_timeout));
        config.session.connect_timeout = Duration::from_secs(self.ovsdb_con_timeout);
        config.tls = tls.then(|| self.tls());
        config
    }

    fn tls(&self) -> TlsConfig {
        let names = self.ovn_ssl_names.split(',').map(str::trim).filter(|name| !name.is_empty());
        TlsConfig {
            private_key: self.ovn_ssl_key.clone(),
            certificate: self.ovn_ssl_cert.clone(),
            ca_certificate: self.ovn_ssl_cacert.clone(),
            names: names.map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    #[test]
    fn keys_are_read_where_an_endpoint_needs_them() {
        let args = ["x", "--ovn-ssl-names=ovn, 10.0.0.1,", "--ovsdb-con-timeout=7"];
        let matches = Databases::augment_args(Command::new("x")).get_matches_from(args);
        let flags = Databases::from_arg_matches(&matches).unwrap();
        let client =
            |endpoints: &str| flags.client(endpoints.parse().unwrap(), "OVN_Northbound", Wanted::new());
        assert_eq!(client("tcp:10.0.0.1:6641").tls, None);
        let config = client("tcp:10.0.0.1:6641,ssl:10.0.0.2:6641");
        assert_eq!(config.tls.unwrap().names, ["ovn", "10.0.0.1"]);
        assert_eq!(config.session.connect_timeout, Duration::from_secs(7));
    }
}
