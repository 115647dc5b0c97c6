//! Reasons: the one word that says why an object is not, or not fully, served.
//!
//! A reason is API: it stands in conditions and Events, it is a metric's label, it is in the logs, and operators write
//! alerts by it. So each is here once, with its word on the wire, how bad it is, what it means and what to do.
//! `docs/operate/reasons.md` is made from this table (`cargo xtask gen`).

use std::cmp::Ordering;
use std::fmt;

/// How bad it is for the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The object is as it should be.
    Fine,
    /// The object is in effect, but for a part.
    Partly,
    /// The object is not in effect, or its network doesn't work.
    Refused,
}

impl Severity {
    /// The word in the docs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Partly => "partly served",
            Self::Refused => "not served",
        }
    }
}

macro_rules! reasons {
    ($($title:literal {
        $($name:ident $word:literal $severity:ident on $on:literal: $meaning:literal; $remedy:literal)*
    })*) => {
        /// A reason. Written and compared as its word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[doc = $meaning] $name,)*)*
        }

        impl Reason {
            /// All of them, in the order and with the headings of the docs.
            pub const GROUPS: &'static [(&'static str, &'static [Reason])] =
                &[$(($title, &[$(Self::$name),*])),*];

            /// All of them.
            pub fn all() -> impl Iterator<Item = Reason> {
                Self::GROUPS.iter().flat_map(|(_, reasons)| reasons.iter().copied())
            }

            /// The word on the wire: in conditions, Events, metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$name => $word,)*)* }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $($(Self::$name => Severity::$severity,)*)* }
            }

            /// The objects that show it.
            #[must_use]
            pub const fn on(self) -> &'static str {
                match self { $($(Self::$name => $on,)*)* }
            }

            /// What it means. One sentence without a full stop.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $($(Self::$name => $meaning,)*)* }
            }

            /// What the reader can do, where the message on the object doesn't say more.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $($(Self::$name => $remedy,)*)* }
            }
        }
    };
}

reasons! {
    "The spec by itself, and beside others" {
        InvalidCidr "InvalidCidr" Refused on "Subnet":
            "`cidrBlock` is missing or no network";
            "write it like `10.16.0.0/16`, or `10.16.0.0/16,fd00:10:16::/112` for both families"
        InvalidGateway "InvalidGateway" Refused on "Subnet":
            "the gateway isn't an address that a gateway of this network can have";
            "leave `gateway` out for the first address, or name one inside of the network"
        InvalidExcludeIps "InvalidExcludeIps" Refused on "Subnet":
            "an element of `excludeIps` is no address and no range";
            "write it like `10.16.0.5` or `10.16.0.5..10.16.0.9`"
        InvalidValue "InvalidValue" Refused on "Subnet, Vpc, Pod":
            "a field's value is out of its range";
            "the message names the field and the range"
        InvalidAnnotation "InvalidAnnotation" Refused on "Pod, Subnet":
            "an annotation can't be read";
            "the message names it and what it should be like"
        InvalidName "InvalidName" Refused on "Subnet, Vpc, IP, Pod":
            "the name clashes with those of another kind of object, or of Neutron";
            "choose another name"
        ConflictingFields "ConflictingFields" Refused on "Subnet":
            "two fields exclude each other";
            "take one of them away"
        ForbiddenRange "ForbiddenRange" Refused on "Subnet":
            "pods can't have addresses of this network (loopback, multicast …)";
            "choose another network"
        AddressOutsideSubnet "AddressOutsideSubnet" Refused on "Subnet, Pod":
            "an address lies outside of the Subnet";
            "choose one inside"
        CidrConflict "CidrConflict" Refused on "Subnet":
            "the network overlaps another one on the router (Neutron's included), the Services' or a node's address; what stood stays, and pods keep working";
            "choose another network, or move the one that the message names"
        InUse "InUse" Refused on "Subnet":
            "the edit would leave out addresses in use or take away the gateway of running pods (what stood stays in effect); or the Subnet is being deleted and addresses are in use";
            "delete the holders that the message names, or undo the edit"
        UnknownVpc "UnknownVpc" Refused on "Subnet":
            "there is no Vpc of that name";
            "`kubectl get vpc` lists those that exist"
        VpcNotReady "VpcNotReady" Refused on "Subnet":
            "the Vpc has no router, or it isn't in OpenStack any more, or the operator keeps it from the cluster";
            "set `spec.vpc` to another one; pods keep their addresses"
        NamespaceNotInVpc "NamespaceNotInVpc" Refused on "Subnet, Pod, Namespace":
            "the namespace isn't in the Vpc's `spec.namespaces`";
            "add it there first"
        NamespaceNotInSubnet "NamespaceNotInSubnet" Refused on "Pod, Namespace":
            "the Subnet neither lists nor selects the namespace";
            "add it to the Subnet's `spec.namespaces`, or name another Subnet"
        NotPossibleOnNeutronRouter "NotPossibleOnNeutronRouter" Refused on "Subnet, Vpc":
            "Neutron would remove it or be harmed by it";
            "the message says what to do in OpenStack instead"
        NotSupportedYet "NotSupportedYet" Refused on "Subnet, Vpc, Pod":
            "this version doesn't do it";
            "take the field away"
    }
    "Addresses of pods" {
        AcquireAddressFailed "AcquireAddressFailed" Refused on "Pod, Node, IP":
            "the address asked for is taken, or outside of the Subnet";
            "the message names the holder; the pod goes on by itself when the address is free"
        NoAvailableAddress "NoAvailableAddress" Refused on "Pod":
            "the Subnet is full, or all addresses of the pod's pool are taken";
            "enlarge the Subnet, or delete pods; the pod goes on by itself"
        AddressConflict "AddressConflict" Refused on "IP":
            "the address that the IP object is to reserve is another's";
            "choose another address, or delete the holder"
        SubnetNotFound "SubnetNotFound" Refused on "Pod, IP, Namespace":
            "the Subnet that is named isn't there";
            "create it, or name another one"
        SubnetNotReady "SubnetNotReady" Refused on "Pod, Namespace":
            "the pod's Subnet is refused or being deleted; the message has the Subnet's own reason";
            "put the Subnet right; the pod goes on by itself"
        SubnetIsForNodes "SubnetIsForNodes" Refused on "Pod":
            "the join Subnet is the nodes' own";
            "name another Subnet"
        NoSubnetInVpc "NoSubnetInVpc" Refused on "Pod":
            "the namespace's Vpc has no Subnet for it";
            "create a Subnet in the Vpc that lists the namespace"
        DefaultSubnetOfAnotherVpc "DefaultSubnetOfAnotherVpc" Partly on "Namespace":
            "the Vpc's `defaultSubnet` is a Subnet of another Vpc, and isn't used";
            "set it to a Subnet of this Vpc"
    }
    "Routers of Neutron's" {
        RouterFound "RouterFound" Fine on "Vpc":
            "the Vpc's router stands";
            ""
        RouterNotFound "RouterNotFound" Refused on "Vpc":
            "the router isn't in OpenStack (any more); what was written in the Vpc is kept for `--external-vpc-retention`";
            "move its Subnets by `spec.vpc`, or delete it"
        RouterNotShown "RouterNotShown" Refused on "Vpc":
            "`--external-vpc-selector` or `--enable-external-vpc` keeps the router from the cluster";
            "ask the operator, or choose another Vpc"
        RouterNameAmbiguous "RouterNameAmbiguous" Refused on "Vpc":
            "several routers in OVN have this name";
            "rename or delete all but one"
        RouterNameUnusable "RouterNameUnusable" Refused on "log, metric":
            "a router says that it is Neutron's, but its name can't be a Vpc's";
            "rename or delete it; no other one is held up"
        RouterDisabled "RouterDisabled" Refused on "Vpc, Subnet":
            "the router is switched off in OpenStack: what stands stays, and nothing passes";
            "`openstack router set --enable ID`"
        RouteConflict "RouteConflict" Partly on "Subnet, Vpc":
            "the router has a route inside the Subnet's network: those addresses are led elsewhere";
            "`openstack router remove route …`, or move the Subnet"
    }
    "Rows in OVN" {
        NameTaken "NameTaken" Refused on "all":
            "a row of another writer, or of another cluster in the same OVN, has the name";
            "rename one of them; the other goes on by itself"
        RowNotOurs "RowNotOurs" Refused on "all":
            "a row with the identity of ours doesn't bear our mark";
            "the message names the row; delete it if it is a leftover"
        HangsOnForeignRow "HangsOnForeignRow" Refused on "all":
            "another writer hung a row of ours on a row that isn't ours";
            "take it off that row"
        HoldsForeignRows "HoldsForeignRows" Refused on "Subnet, Vpc":
            "another writer hung rows (ACLs, NAT rules, a gateway chassis) on ours that would go with it";
            "take them off; the deletion then goes on by itself"
        ConflictingWriter "ConflictingWriter" Partly on "all":
            "another writer changes or deletes our rows as often as they are restored; they are restored with pauses";
            "find who does it (ovsdb-server's log, Neutron's), and end it there"
        RefusedByOvn "RefusedByOVN" Refused on "all":
            "OVN's database refuses the rows";
            "the message has the database's words"
        DeletionsHeld "DeletionsHeld" Partly on "the default Vpc":
            "more rows would be deleted than any event explains";
            "check that no objects are missing, then `kubectl ko brake release`"
    }
    "Kubernetes' API" {
        Malformed "Malformed" Refused on "all":
            "the object can't be read";
            "put right what the message names"
        CrdTooOld "CRDTooOld" Partly on "Vpc, Subnet, IP":
            "the API server drops what this version writes: its CRDs are older";
            "`helm upgrade`, or `kubectl apply --server-side -f charts/tombolo/files/crds/`"
        WriteWithoutEffect "WriteWithoutEffect" Partly on "Pod, Node, Namespace":
            "a write changes nothing: an admission plugin undoes it";
            "find the plugin"
        WriteNotDone "WriteNotDone" Refused on "all":
            "a write fails again and again; it is tried further, with pauses";
            "if another object has the name, delete it or rename this one"
        WriteRefused "WriteRefused" Refused on "all":
            "the API server refuses a write";
            "the message has the API server's words"
        HeldByFinalizer "HeldByFinalizer" Partly on "IP":
            "a finalizer of another program keeps an IP object that is being deleted: its address stays taken";
            "whoever put it there takes it away"
    }
    "What this version doesn't serve" {
        NetworkPolicyNotEnforced "NetworkPolicyNotEnforced" Refused on "NetworkPolicy":
            "nothing enforces NetworkPolicies";
            "`--enable-np=false` says that another program does"
        ServiceNotServed "ServiceNotServed" Partly on "Service":
            "an annotation of Kube-OVN's on a Service has no effect";
            "take it away: Services are kube-proxy's"
        ServiceCannotReachPods "ServiceCannotReachPods" Refused on "Service":
            "the Service's pods are behind a router of Neutron's, to which nodes have no route";
            "reach them by their own addresses; a headless Service tells them"
        ProbesNotServed "ProbesNotServed" Partly on "Pod":
            "the kubelet can't dial the pod: its probes fail";
            "use `exec` probes"
        HostPortNotServed "HostPortNotServed" Partly on "Pod":
            "no hostPort leads to a pod behind a router of Neutron's";
            "use a floating IP, or a Subnet of the default Vpc"
        AnnotationNotServed "AnnotationNotServed" Partly on "Pod, Node":
            "an annotation of Kube-OVN's has no effect";
            "take it away"
    }
    "Nodes" {
        MtuBounded "MtuBounded" Partly on "Pod":
            "the network's MTU is above what the node's tunnels carry; the pod has the smaller one";
            "lower the Subnet's `mtu`, or raise the hosts' MTU"
        NodeMtuBounded "MTUBounded" Partly on "Node":
            "`--mtu` is more than this node's tunnels carry";
            "lower it, or raise the MTU of the tunnels' interface on all nodes"
        NetworkRefused "NetworkRefused" Partly on "Node":
            "a Subnet's network would cut this node off from what the message names: no route and no NAT for it here, the other Subnets go on";
            "give the Subnet another network, or move what is there"
        RouteTaken "RouteTaken" Partly on "Node":
            "a route that isn't ours leads to a Subnet's network";
            "remove it; ours comes by itself"
        NodeNetworksMissing "NodeNetworksMissing" Partly on "Node":
            "the default Vpc has no `status.nodeNetworks`: controller or CRDs are older than the agent, or `--cluster-router` differs";
            "upgrade them; what stands stays meanwhile"
        SysctlRefused "SysctlRefused" Partly on "Node":
            "a kernel parameter can't be set";
            "set the one that the message names"
        ForwardingDropped "ForwardingDropped" Partly on "Node":
            "a firewall's table that an accept elsewhere can't overrule drops what is forwarded";
            "accept `ovn0` in the chain that the message names, in both directions"
        MasqueradingFailed "MasqueradingFailed" Partly on "Node":
            "`nft` is missing or refuses our table: pods don't get out";
            "the message has nft's words"
        AsItShouldBe "AsItShouldBe" Fine on "Node":
            "the node's part of the network is as it should be";
            ""
        JoinSubnetGatewayReachable "JoinSubnetGatewayReachable" Fine on "Node":
            "the join Subnet's gateway answers on `ovn0`";
            ""
        JoinSubnetGatewayUnreachable "JoinSubnetGatewayUnreachable" Refused on "Node":
            "the join Subnet's gateway doesn't answer on `ovn0`, or the agent has no address yet";
            "`kubectl -n kube-system logs ds/kube-ovn-cni`"
    }
    "As it should be, in Kube-OVN's words" {
        ReconcileLogicalSwitchSuccess "ReconcileLogicalSwitchSuccess" Fine on "Subnet":
            "the Subnet is in effect";
            ""
        ValidateLogicalSwitchSuccess "ValidateLogicalSwitchSuccess" Fine on "Subnet":
            "the spec is valid";
            ""
        ValidateVpcSuccess "ValidateVpcSuccess" Fine on "Vpc":
            "the spec is valid";
            ""
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// By the alphabet, as a reader of a list expects it.
impl Ord for Reason {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Reason {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> String {
        reason.as_str().to_owned()
    }
}

impl PartialEq<str> for Reason {
    fn eq(&self, word: &str) -> bool {
        self.as_str() == word
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, word: &&str) -> bool {
        self.as_str() == *word
    }
}

/// The page of the docs that lists all reasons.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Reasons\n\n\
         Made by `cargo xtask gen` from `crates/names/src/reason.rs`; edit that.\n\n\
         A reason stands in conditions and Events (`kubectl describe`), in the logs, and as a label in \
         `tombolo_engine_problems_total`, `tombolo_unserved_objects_total` and `tombolo_agent_problems`. The message beside it \
         names what is concerned. More symptoms: [troubleshooting](troubleshooting.md).\n",
    );
    for (title, reasons) in Reason::GROUPS {
        page.push_str(&format!("\n## {title}\n\n| reason | on | | it means | do |\n|---|---|---|---|---|\n"));
        for reason in *reasons {
            page.push_str(&format!(
                "| `{reason}` | {} | {} | {} | {} |\n",
                reason.on(),
                reason.severity().as_str(),
                reason.meaning(),
                reason.remedy(),
            ));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_word_is_one_reasons_and_can_be_one() {
        let words: BTreeSet<&str> = Reason::all().map(Reason::as_str).collect();
        assert_eq!(words.len(), Reason::all().count());
        for reason in Reason::all() {
            // metav1.Condition: CamelCase, at most 1,024 characters.
            let word = reason.as_str();
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()), "{word}");
            assert!(!reason.meaning().is_empty() && !reason.meaning().ends_with('.'), "{word}");
            let needs_remedy = reason.severity() != Severity::Fine;
            assert_eq!(needs_remedy, !reason.remedy().is_empty(), "{word}: a remedy, if something is wrong");
        }
    }

    #[test]
    fn the_page_has_a_line_for_each() {
        let page = page();
        for reason in Reason::all() {
            assert_eq!(page.matches(&format!("| `{reason}` |")).count(), 1, "{reason}");
        }
    }
}
