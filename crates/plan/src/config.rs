//! The operator's settings: the values of the program's flags on which the plan depends.

use std::net::IpAddr;

use tombolo_net::DualCidr;

use crate::owner::ClusterId;

/// Values of the controller's flags, under Kube-OVN's names.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Identity of this cluster in the database.
    pub cluster: ClusterId,
    /// `--default-ls`.
    pub default_subnet: String,
    /// `--default-cidr`.
    pub default_cidr: DualCidr,
    /// `--default-gateway`; the first address when empty.
    pub default_gateway: Vec<IpAddr>,
    /// `--default-exclude-ips`, as in `spec.excludeIps`.
    pub default_exclude: Vec<String>,
    /// `--cluster-router`.
    pub cluster_router: String,
    /// `--node-switch`.
    pub join_subnet: String,
    /// `--node-switch-cidr`.
    pub join_cidr: DualCidr,
    /// `--node-switch-gateway`.
    pub join_gateway: Vec<IpAddr>,
    /// `--service-cluster-ip-range`.
    pub service_cidr: Option<DualCidr>,
    /// `--enable-lb`.
    pub enable_lb: bool,
    /// `--enable-port-security`: pods send from their own addresses only, in all Vpcs. On routers of Neutron's they always do.
    pub port_security: bool,
    /// `--enable-external-vpc`.
    pub external_vpcs: bool,
    /// `--external-vpc-selector`: which of Neutron's routers are shown. Empty for all.
    pub router_selector: Selector,
    /// `--external-vpc-retention`, seconds: how long a Vpc with `spec.namespaces` outlives its router.
    pub retention_secs: u64,
    /// `--take-over`: rows that Kube-OVN made for this cluster become ours.
    pub take_over: bool,
    /// `--uninstall`: nothing of this cluster is to stand any more.
    pub leaving: bool,
}

/// Selects routers: every term must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    key: String,
    /// `None`: the key must exist.
    value: Option<String>,
    negated: bool,
}

impl Selector {
    /// Reads `id=UUID1|UUID2,neutron:availability_zone_hints!=az2,key`: keys of the router's `external_ids`, `id` for
    /// its uuid in OpenStack, or `name` for its name there (which is its owner's to choose). Several values are
    /// separated by `|`; each may end in `*`.
    ///
    /// # Errors
    /// The term that can't be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for term in text.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            let (key, value, negated) = match term.split_once("!=") {
                Some((key, value)) => (key, Some(value), true),
                None => match term.split_once('=') {
                    Some((key, value)) => (key, Some(value.strip_prefix('=').unwrap_or(value)), false),
                    None => match term.strip_prefix('!') {
                        Some(key) => (key, None, true),
                        None => (term, None, false),
                    },
                },
            };
            if key.is_empty() {
                return Err(format!("{term:?} names no key; write key=value, key!=value, key or !key"));
            }
            terms.push(Term { key: key.to_owned(), value: value.map(str::to_owned), negated });
        }
        Ok(Selector { terms })
    }

    /// Whether a router is selected; `lookup` gives the value of a key.
    pub fn selects<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms.iter().all(|term| {
            let value = lookup(&term.key);
            let holds = match (&term.value, value) {
                (None, value) => value.is_some(),
                (Some(_), None) => false,
                (Some(wanted), Some(value)) => {
                    wanted.split('|').map(str::trim).any(|wanted| match wanted.strip_suffix('*') {
                        Some(prefix) => value.starts_with(prefix),
                        None => value == wanted,
                    })
                }
            };
            holds != term.negated
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select() {
        let lookup = |key: &str| match key {
            "name" => Some("router0"),
            "az" => Some("nova"),
            _ => None,
        };
        for (text, selected) in [
            ("", true),
            ("name=router0", true),
            ("name==router0,az=nova", true),
            ("name=router*", true),
            ("name=other", false),
            ("name=other|router0", true),
            ("name=other | rout*", true),
            ("name=other|third", false),
            ("name!=other|router0", false),
            ("az", true),
            ("!az", false),
            ("az!=nova", false),
            ("missing!=x", true),
            ("missing=x", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().selects(lookup), selected, "{text}");
        }
        assert!(Selector::parse("=x").is_err());
    }
}
