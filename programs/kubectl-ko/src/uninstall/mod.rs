//! `ko uninstall-ovn`: the end of OVN as pods. `helm uninstall` keeps `ovn-central` and `ovs-ovn`, since they carry Neutron's network;
//! this removes them once they carry nobody's. [`gather`] reads, [`judge`] refuses, [`act`] deletes. Files on the hosts stay.

mod act;
mod facts;
mod gather;
mod judge;
mod objects;

use std::process::ExitCode;

use anyhow::Result;
use tombolo_names::workloads::{CENTRAL, HYPERVISOR};

use crate::kubectl::Kubectl;
use objects::{Found, directory};

/// Removes them; without `yes` it only says whether it would, and what.
pub fn command(kubectl: &Kubectl, yes: bool, cluster: Option<&str>) -> Result<ExitCode> {
    let mut facts = gather::gather(kubectl, cluster);
    let refusals = judge::refusals(&facts);
    for refusal in &refusals {
        println!("{refusal}");
    }
    if !refusals.is_empty() {
        println!("OVN stays, and nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    let found = facts.found.as_mut().map(std::mem::take).unwrap_or_default();
    print!("{}", plan(&found, kubectl.namespace()));
    if found.ours.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !yes {
        println!("nothing was changed; to delete this repeat the command with --yes");
        return Ok(ExitCode::FAILURE);
    }
    act::delete(kubectl, &mut facts, &found)?;
    print!("{}", rest(&found));
    Ok(ExitCode::SUCCESS)
}

/// What goes, and what of its names stays.
fn plan(found: &Found, namespace: &str) -> String {
    let mut text = match found.ours.len() {
        0 => format!(
            "nothing of {CENTRAL} and {HYPERVISOR} is in namespace {namespace} (KUBE_OVN_NS names another)\n"
        ),
        _ => {
            format!("nobody's network is in OVN. To be deleted, from namespace {namespace} in this order:\n")
        }
    };
    for (object, _) in &found.ours {
        text += &format!("  {object}\n");
    }
    for object in &found.others {
        text += &format!("{object} stays: {CENTRAL} and the chart haven't made it\n");
    }
    text
}

/// What is left on hosts, and how it goes by hand.
fn rest(found: &Found) -> String {
    let of = |workload: &str, volume: &str, usual: &'static str| {
        let there = found.workload(workload).and_then(|have| directory(have, volume));
        there.unwrap_or(usual).to_owned()
    };
    let ovn = of(CENTRAL, "etc-ovn", "/etc/origin/ovn");
    let ovs = of(HYPERVISOR, "etc-openvswitch", "/etc/origin/openvswitch");
    format!(
        "OVN is gone from the cluster. Left on the hosts:\n\
         \x20 {ovn}: the databases' files, on the hosts of {CENTRAL}, which goes on with them if it is installed there again\n\
         \x20 {ovs}: Open vSwitch's database, with br-int and the settings that point to OVN; and the kernel's datapath with its interfaces\n\
         By hand, where no other Open vSwitch runs, after a copy of what you want to keep:\n\
         \x20 ovs-dpctl del-dp system@ovs-system    (or restart the host)\n\
         \x20 rm -r {ovn} {ovs} /run/ovn /run/openvswitch\n"
    )
}

#[cfg(test)]
mod tests;
