//! `ko doctor` on a real API server and NB, and what it prints.

mod bed;

use anyhow::{Context as _, Result};
use bed::{Bed, text};
use serde_json::Value;
use tombolo_needs::needs;

fn finding<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let all = report["findings"].as_array().context("no findings")?;
    all.iter()
        .find(|finding| finding["name"] == name)
        .with_context(|| format!("no finding {name} in {report}"))
}

#[test]
fn what_can_be_seen_is_judged_and_what_cannot_is_said() -> Result<()> {
    let bed = needs!(Bed::start()?);
    bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    // Neutron attaches a network that has a Subnet's inside.
    bed.nb.ctl(&["lr-add", "other", "--", "lrp-add", "other", "a", "02:00:00:00:00:01", "10.1.0.1/16"])?;
    let report: Value = serde_json::from_slice(&bed.ko(&["doctor", "-o", "json"])?.stdout)?;
    assert_eq!(report["version"], 1, "{report}");
    assert_eq!(finding(&report, "cidr-router")?["severity"], "ok", "{report}");
    assert_eq!(finding(&report, "databases-tls")?["severity"], "note", "{report}");
    assert_eq!(
        finding(&report, "databases-tls")?["checked"],
        false,
        "the SB's endpoint is unknown: {report}"
    );

    bed.nb.ctl(&["lrp-add", "other", "b", "02:00:00:00:00:02", "10.1.2.1/24"])?;
    let output = bed.ko(&["doctor", "--no-nodes"])?;
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("error    cidr-router  router/other: port a has 10.1.0.0/16, port b has 10.1.2.0/24"),
        "{said}"
    );
    assert!(said.contains("hosts-settings  cluster: not checked: nodes were not to be looked at"), "{said}");
    assert!(said.contains("databases-members  cluster: 1 servers"), "{said}");
    Ok(())
}
