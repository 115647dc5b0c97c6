//! The objects of `ovn-central` and `ovs-ovn`, which `helm uninstall` keeps: which they are, and in which order they go. Pure.

use std::fmt;

use serde_json::Value;
use tombolo_names::annotations::{ISSUED_BY, UNINSTALLS_OVN};
use tombolo_names::workloads::{
    AUTHORITY_SECRET, CENTRAL, CENTRAL_TLS_SECRET, CHASSIS_TLS_SECRET, HYPERVISOR, NEUTRON_TLS_SECRET,
    TLS_SECRET,
};

/// What the chart's Role, its binding, and the policy of members are called.
const ROLE: &str = "tombolo:ovn-central";
const POLICY: &str = "tombolo-central-own-pod";
/// The chart's label.
const PART_OF: &str = "app.kubernetes.io/part-of";
/// Its value.
pub const CHART: &str = "tombolo";
/// How many seconds after the databases were looked at they may be gone without another look. After that, somebody may have
/// installed them again, and Neutron filled them.
const BEGUN: u64 = 3600;

/// By what an object is known to be this installation's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The chart's label.
    Label,
    /// The annotation of the members, on their Secrets.
    Issued,
    /// Its name: what members make without a mark.
    Name,
}

/// An object that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its kind in the API.
    pub kind: &'static str,
    /// The group of its kind; none of the core's.
    group: &'static str,
    /// Its name.
    pub name: &'static str,
    mark: Mark,
}

impl Object {
    const fn of(kind: &'static str, group: &'static str, name: &'static str, mark: Mark) -> Self {
        Self { kind, group, name, mark }
    }

    /// As an argument of `kubectl`: `deployment.apps/ovn-central`.
    pub fn word(&self) -> String {
        let kind = self.kind.to_lowercase();
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        format!("{kind}{group}/{}", self.name)
    }

    /// Whether it has pods, and so something runs: the value of their label `app`.
    pub fn pods(&self) -> Option<&'static str> {
        matches!(self.kind, "DaemonSet" | "Deployment").then_some(self.name)
    }

    fn is(&self, object: &Value) -> bool {
        object["kind"] == self.kind && object["metadata"]["name"] == self.name
    }

    fn is_ours(&self, object: &Value) -> bool {
        let meta = &object["metadata"];
        match self.mark {
            Mark::Label => meta["labels"][PART_OF] == CHART,
            Mark::Issued => meta["annotations"][ISSUED_BY].is_string(),
            Mark::Name => true,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.to_lowercase(), self.name)
    }
}

const APPS: &str = "apps";
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

/// All, in the order in which they go. Open vSwitch goes first, while its ovn-controllers have databases. Then what members use, once
/// they are gone, since they would make it anew: certificates at the end, and last the ConfigMap, which names the databases' clusters.
pub const ORDER: [Object; 16] = [
    Object::of("DaemonSet", APPS, HYPERVISOR, Mark::Label),
    Object::of("Deployment", APPS, CENTRAL, Mark::Label),
    Object::of("Service", "", "ovn-nb", Mark::Label),
    Object::of("Service", "", "ovn-sb", Mark::Label),
    Object::of("Service", "", "ovn-northd", Mark::Label),
    Object::of("ValidatingAdmissionPolicyBinding", ADMISSION, POLICY, Mark::Label),
    Object::of("ValidatingAdmissionPolicy", ADMISSION, POLICY, Mark::Label),
    Object::of("RoleBinding", RBAC, ROLE, Mark::Label),
    Object::of("Role", RBAC, ROLE, Mark::Label),
    Object::of("ServiceAccount", "", CENTRAL, Mark::Label),
    Object::of("Secret", "", CHASSIS_TLS_SECRET, Mark::Issued),
    Object::of("Secret", "", NEUTRON_TLS_SECRET, Mark::Issued),
    Object::of("Secret", "", TLS_SECRET, Mark::Issued),
    Object::of("Secret", "", CENTRAL_TLS_SECRET, Mark::Issued),
    Object::of("Secret", "", AUTHORITY_SECRET, Mark::Issued),
    Object::of("ConfigMap", "", CENTRAL, Mark::Name),
];

/// What of [`ORDER`] there is.
#[derive(Debug, Default, PartialEq)]
pub struct Found {
    /// This installation's, in their order.
    pub ours: Vec<(Object, Value)>,
    /// By one of these names, but without the mark: somebody else's.
    pub others: Vec<Object>,
}

impl Found {
    /// Sorts what the API server has.
    pub fn sort(objects: &[Value]) -> Self {
        let mut found = Self::default();
        for object in ORDER {
            match objects.iter().find(|have| object.is(have)) {
                Some(have) if object.is_ours(have) => found.ours.push((object, have.clone())),
                Some(_) => found.others.push(object),
                None => {}
            }
        }
        found
    }

    /// The workload `name`.
    pub fn workload(&self, name: &str) -> Option<&Value> {
        self.ours.iter().find(|(object, _)| object.pods() == Some(name)).map(|(_, have)| have)
    }

    /// Whether an earlier attempt has looked at the databases, found nobody's network, and begun to delete. `now`: seconds since 1970.
    pub fn has_begun(&self, now: i64) -> bool {
        let at = |have: &Value| have["metadata"]["annotations"][UNINSTALLS_OVN].as_str()?.parse::<i64>().ok();
        self.ours.iter().filter_map(|(_, have)| at(have)).any(|at| at.abs_diff(now) < BEGUN)
    }
}

/// The hosts' directory that a workload mounts as the volume `name`.
pub fn directory<'a>(workload: &'a Value, name: &str) -> Option<&'a str> {
    let volumes = workload["spec"]["template"]["spec"]["volumes"].as_array()?;
    volumes.iter().find(|volume| volume["name"] == name)?["hostPath"]["path"].as_str()
}

/// Names of what of Tombolo itself is still installed, among Deployments, DaemonSets, Jobs and CronJobs: by the chart's label, or by the
/// name of a program.
pub fn of_tombolo(workloads: &[Value], programs: &[&str]) -> Vec<String> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let theirs = |object: &&Value| {
        let kept = ORDER.iter().any(|kept| kept.is(object));
        let labelled = object["metadata"]["labels"][PART_OF] == CHART;
        !kept && (labelled || programs.contains(&name(object).as_str()))
    };
    let word = |object: &Value| {
        let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
        format!("{kind}/{}", name(object))
    };
    workloads.iter().filter(theirs).map(word).collect()
}
