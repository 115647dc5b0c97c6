//! The first stage of a plan: an address is chosen, and persisted as an IP object, before any row uses it (invariant 5).

use serde_json::json;
use tombolo_api::annotations::{EPOCH, IP_RESERVED_LABEL, NODE_NAME_LABEL, POD_UID, SUBNET_LABEL};
use tombolo_api::{Ip, IpSpec};
use tombolo_names::Reason;
use tombolo_net::{Addresses, ReserveError, SubnetPoolError};
use tombolo_plan::world::Dirty;
use tombolo_plan::{AddressRequest, Intent, Kind, Owner, Plan, Problem};

use crate::Engine;
use crate::io::{Millis, Verb};

impl Engine {
    /// A reservation whose owner no longer asks for it is free again.
    pub(crate) fn forget_reservation(&mut self, now: Millis, owner: &Owner, plan: &Plan) {
        let Some((subnet, ip)) = self.reign.work.state(owner).reserved.clone() else { return };
        if self.world.ips().contains(&ip) {
            self.reign.work.state(owner).reserved = None;
        } else if plan.address().is_none() {
            self.reign.work.state(owner).reserved = None;
            let mut dirty = Dirty::default();
            self.world.release(owner, &subnet, &ip, &mut dirty);
            self.take_in(now, dirty);
        }
    }

    /// Chooses an address and persists it; the Subnet it is in, or why there is none.
    pub(crate) fn allocate(
        &mut self,
        now: Millis,
        owner: &Owner,
        request: &AddressRequest,
    ) -> Result<String, Problem> {
        match self.world.allocate(request) {
            Ok((subnet, addresses)) => {
                let new = (subnet.clone(), request.ip_name.clone());
                let before = self.reign.work.state(owner).reserved.replace(new.clone());
                if let Some((subnet, ip)) = before.filter(|before| *before != new) {
                    // The first attempt wasn't persisted, and by now another subnet is the right one.
                    let mut dirty = Dirty::default();
                    self.world.release(owner, &subnet, &ip, &mut dirty);
                    self.take_in(now, dirty);
                }
                let object = ip_object(request, &subnet, &addresses, self.world.epoch());
                self.write(
                    owner,
                    Intent {
                        kind: Kind::Ip,
                        namespace: String::new(),
                        name: request.ip_name.clone(),
                        uid: None,
                        verb: Verb::Create(object),
                    },
                );
                Ok(subnet)
            }
            Err(no) => {
                self.reign.waiters.wait(owner, request, &no.tried);
                let full =
                    no.tried.iter().all(|(_, e)| matches!(e, SubnetPoolError::NoAvailableAddress { .. }));
                let reason = if full { Reason::NoAvailableAddress } else { Reason::AcquireAddressFailed };
                let told = |(subnet, error): &(String, SubnetPoolError)| {
                    let first = kube_ovns_word(error);
                    format!("{first}Subnet {subnet}: {error}")
                };
                let message = no.tried.iter().map(told).collect::<Vec<_>>().join("; ");
                Err(Problem { reason, message })
            }
        }
    }
}

/// How Kube-OVN's error begins, for those who look for it.
fn kube_ovns_word(error: &SubnetPoolError) -> &'static str {
    match error {
        SubnetPoolError::Reserve(ReserveError::Conflict { .. }) | SubnetPoolError::MacConflict { .. } => {
            "AddressConflict: "
        }
        SubnetPoolError::Reserve(ReserveError::OutOfRange { .. }) => "AddressOutOfRange: ",
        _ => "",
    }
}

/// The IP object that persists a choice.
fn ip_object(request: &AddressRequest, subnet: &str, addresses: &Addresses, epoch: u64) -> serde_json::Value {
    let text = |address: Option<std::net::IpAddr>| address.map(|a| a.to_string()).unwrap_or_default();
    let spec = IpSpec {
        pod_name: request.pod_name.clone(),
        namespace: request.namespace.clone(),
        subnet: subnet.to_owned(),
        node_name: request.node.clone(),
        ip_address: addresses.ip_text(),
        v4_ip_address: text(addresses.v4),
        v6_ip_address: text(addresses.v6),
        mac_address: addresses.mac.to_kube_ovn(),
        pod_type: request.pod_type.clone(),
        ..IpSpec::default()
    };
    let mut ip = Ip::new(&request.ip_name, spec);
    let labels = [
        (SUBNET_LABEL, subnet),
        (NODE_NAME_LABEL, request.node.as_str()),
        (subnet, ""),
        (IP_RESERVED_LABEL, "false"),
    ];
    // A node or subnet with a name that no label can hold goes without.
    let fits = |(key, value): &(&str, &str)| {
        key.rsplit('/').next().is_some_and(|name| name.len() <= 63) && value.len() <= 63
    };
    ip.metadata.labels =
        Some(labels.into_iter().filter(fits).map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
    let annotations = [(EPOCH, epoch.to_string()), (POD_UID, request.pod_uid.clone())];
    ip.metadata.annotations = Some(annotations.into_iter().map(|(k, v)| (k.to_owned(), v)).collect());
    json!(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(subnet: &str, node: &str) -> serde_json::Value {
        let request = AddressRequest {
            ip_name: "p.n".to_owned(),
            node: node.to_owned(),
            pod_uid: "u".to_owned(),
            ..AddressRequest::default()
        };
        let addresses = Addresses {
            v4: Some("10.0.0.7".parse().unwrap()),
            v6: Some("fd00::7".parse().unwrap()),
            mac: "00:00:00:00:00:01".parse().unwrap(),
        };
        ip_object(&request, subnet, &addresses, 3)
    }

    #[test]
    fn the_object_says_all_of_the_choice() {
        // invariant 5
        let ip = object("s", "host1");
        assert_eq!(ip["spec"]["ipAddress"], "10.0.0.7,fd00::7");
        assert_eq!(
            (&ip["spec"]["v4IpAddress"], &ip["spec"]["v6IpAddress"]),
            (&json!("10.0.0.7"), &json!("fd00::7"))
        );
        assert_eq!(ip["metadata"]["annotations"], json!({ (EPOCH): "3", (POD_UID): "u" }));
        let labels =
            json!({ (SUBNET_LABEL): "s", (NODE_NAME_LABEL): "host1", "s": "", (IP_RESERVED_LABEL): "false" });
        assert_eq!(ip["metadata"]["labels"], labels);
    }

    #[test]
    fn a_name_that_no_label_holds_goes_without() {
        // Else the API server would refuse the object, and the pod had no address.
        let (fits, long) = ("x".repeat(63), "y".repeat(64));
        let labels = object(&fits, &long)["metadata"]["labels"].clone();
        assert_eq!(labels, json!({ (SUBNET_LABEL): fits, (&fits): "", (IP_RESERVED_LABEL): "false" }));
        let labels = object(&long, &fits)["metadata"]["labels"].clone();
        assert_eq!(labels, json!({ (NODE_NAME_LABEL): fits, (IP_RESERVED_LABEL): "false" }));
    }

    #[test]
    fn errors_begin_with_the_words_of_kube_ovn() {
        let addr = "10.0.0.7".parse().unwrap();
        let (holder, cidr) = (String::new(), String::new());
        let word = |error: ReserveError| kube_ovns_word(&error.into());
        assert_eq!(word(ReserveError::Conflict { addr, holder }), "AddressConflict: ");
        assert_eq!(word(ReserveError::OutOfRange { addr, cidr }), "AddressOutOfRange: ");
        assert_eq!(kube_ovns_word(&SubnetPoolError::NoMac), "");
    }
}
