//! The plugin as a process, with a real `kubectl`, API server and NB.

mod bed;

use std::time::Duration;

use anyhow::Result;
use bed::{Bed, over_tls, secret, text};
use tombolo_needs::needs;

#[test]
fn commands_reach_both_sides() -> Result<()> {
    let mut bed = needs!(Bed::start()?);
    let (router, _) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;

    let show = bed.ko(&["nbctl", "show"])?;
    assert!(show.status.success(), "{}", text(&show));
    assert_eq!(String::from_utf8_lossy(&show.stdout), bed.nb.ctl(&["show"])?);
    assert!(text(&show).contains(&format!("({router}) (aka router0)")), "{}", text(&show));

    let list = bed.ko(&["nbctl", "--bare", "--columns=name", "list", "Logical_Router"])?;
    assert_eq!(String::from_utf8_lossy(&list.stdout).trim(), router);
    let wrong = bed.ko(&["nbctl", "lr-del", "no-such-router"])?;
    assert!(!wrong.status.success() && text(&wrong).contains("no-such-router"), "{}", text(&wrong));

    let status = bed.ko(&["nb", "status"])?;
    assert!(status.status.success(), "{}", text(&status));
    let words: Vec<String> =
        text(&status).lines().nth(1).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[..4], [bed.nb.address(), "clustered", "true", "true"], "{words:?}");

    bed.api.apply("apiVersion: kubeovn.io/v1\nkind: Vpc\nmetadata: {name: ovn-cluster}\nspec: {}\n")?;
    let release = bed.ko(&["brake", "release"])?;
    assert!(release.status.success(), "{}", text(&release));
    let vpc = bed.api.json(&["get", "vpc", "ovn-cluster"])?;
    assert!(vpc["metadata"]["annotations"]["tombolo.io/brake-release"].is_string(), "{vpc}");

    // A node without Open vSwitch of ours and a node that doesn't exist give different messages.
    bed.api.apply("apiVersion: v1\nkind: Node\nmetadata: {name: host1}\n")?;
    let host = bed.ko(&["vsctl", "host1", "show"])?;
    assert!(!host.status.success() && text(&host).contains("run it on the host itself"), "{}", text(&host));
    let nowhere = bed.ko(&["vsctl", "host9", "show"])?;
    assert!(!nowhere.status.success() && text(&nowhere).contains("not found"), "{}", text(&nowhere));

    // While no server leads, it waits for one.
    bed.nb.pause();
    let waiting = bed.command(&["nbctl", "show"]).stdout(std::process::Stdio::piped()).spawn()?;
    std::thread::sleep(Duration::from_secs(2));
    bed.nb.resume()?;
    let output = waiting.wait_with_output()?;
    assert!(output.status.success() && text(&output).contains(&router), "{}", text(&output));
    Ok(())
}

#[test]
fn ipam_check_finds_what_differs() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let uid = bed.api.cluster_uid()?;
    let mac = "00:00:00:AA:BB:CC";
    bed.api.apply(&format!(
        "apiVersion: kubeovn.io/v1\nkind: IP\nmetadata: {{name: u.default}}\nspec: {{podName: u, namespace: default, subnet: ovn-default, nodeName: host1, ipAddress: 10.16.0.2, v4IpAddress: 10.16.0.2, v6IpAddress: '', macAddress: '{mac}', containerID: '', podType: '', attachSubnets: [], attachIps: [], attachMacs: []}}\n"
    ))?;
    bed.api.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: u, namespace: default, annotations: {{ovn.kubernetes.io/allocated: 'true', ovn.kubernetes.io/ip_address: 10.16.0.2, ovn.kubernetes.io/mac_address: '{mac}'}}}}\nspec: {{nodeName: host1, containers: [{{name: c, image: none}}]}}\n"
    ))?;
    bed.api.apply(
        "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {name: ovn-default}\nspec: {cidrBlock: 10.16.0.0/16}\n",
    )?;
    bed.nb.ctl(&["ls-add", "ovn-default", "--", "lsp-add", "ovn-default", "u.default"])?;
    bed.nb.ctl(&["lsp-set-addresses", "u.default", &format!("{mac} 10.16.0.2")])?;
    let ids = [
        format!("external_ids:tombolo.io/cluster={uid}"),
        "external_ids:tombolo.io/owner=\"pod/default/u\"".to_owned(),
    ];
    bed.nb.ctl(&["set", "Logical_Switch_Port", "u.default", &ids[0], &ids[1]])?;

    let good = bed.ko(&["ipam", "check"])?;
    assert!(good.status.success(), "{}", text(&good));
    assert_eq!(text(&good).trim(), "1 IP objects, 1 pods, 1 switch ports: no difference");

    bed.nb.ctl(&["lsp-set-addresses", "u.default", &format!("{mac} 10.16.0.9")])?;
    let bad = bed.ko(&["ipam", "check"])?;
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad).contains("ip/u.default: the switch port has"), "{}", text(&bad));
    bed.nb.ctl(&["lsp-set-addresses", "u.default", &format!("{mac} 10.16.0.2")])?;

    // A foreign port takes the same address; the network in OVN differs from the Subnet's.
    bed.nb.ctl(&[
        "lsp-add",
        "ovn-default",
        "x",
        "--",
        // ovn-nbctl's own command would refuse it.
        "set",
        "Logical_Switch_Port",
        "x",
        "addresses=\"02:00:00:00:00:01 10.16.0.2\"",
    ])?;
    bed.nb.ctl(&["lr-add", "ovn-cluster"])?;
    bed.nb.ctl(&[
        "lrp-add",
        "ovn-cluster",
        "ovn-cluster-ovn-default",
        "02:00:00:00:00:02",
        "10.17.0.1/16",
    ])?;
    let owner = "external_ids:tombolo.io/owner=\"subnet/ovn-default\"";
    bed.nb.ctl(&["set", "Logical_Router_Port", "ovn-cluster-ovn-default", &ids[0], owner])?;
    let bad = text(&bed.ko(&["ipam", "check"])?);
    for line in [
        "port/u.default: 10.16.0.2 on switch ovn-default is also on port/x\n",
        "ip/u.default: 10.16.0.2 is outside of subnet ovn-default, which has 10.17.0.0/16\n",
        "1 IP objects, 1 pods, 1 switch ports: 2 differences",
    ] {
        assert!(bad.contains(line), "{bad}");
    }

    // Rows are known by the cluster's id: said here, or to the controller.
    let other = text(&bed.ko(&["ipam", "check", "--cluster-id=other"])?);
    assert!(other.contains("ip/u.default: the switch port of that name isn't this cluster's"), "{other}");
    bed.nb.ctl(&["set", "Logical_Switch_Port", "u.default", "external_ids:tombolo.io/cluster=other"])?;
    let left = "external_ids:tombolo.io/owner=\"pod/default/left\"";
    bed.nb.ctl(&["lsp-add", "ovn-default", "left.default"])?;
    bed.nb.ctl(&[
        "set",
        "Logical_Switch_Port",
        "left.default",
        "external_ids:tombolo.io/cluster=other",
        left,
    ])?;
    let patch = r#"[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--cluster-id=other"}]"#;
    bed.api.kubectl(&[
        "-n",
        "kube-system",
        "patch",
        "deployment",
        "kube-ovn-controller",
        "--type=json",
        "-p",
        patch,
    ])?;
    let left = text(&bed.ko(&["ipam", "check"])?);
    assert!(
        left.contains("port/left.default: belongs to pod/default/left, but there is no IP object"),
        "{left}"
    );
    assert!(left.contains("1 IP objects, 1 pods, 2 switch ports: "), "{left}");
    Ok(())
}

/// The brake of a cluster that follows docs/operate/install.md "Several clusters on one OVN".
#[test]
fn the_brake_of_a_cluster_with_another_router() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let released = |name: &str| -> Result<bool> {
        let vpc = bed.api.json(&["get", "vpc", name])?;
        Ok(vpc["metadata"]["annotations"]["tombolo.io/brake-release"].is_string())
    };
    for name in ["b-cluster", "c-cluster", "ovn-cluster"] {
        bed.api.apply(&format!(
            "apiVersion: kubeovn.io/v1\nkind: Vpc\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        ))?;
    }
    let patch = r#"[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--cluster-router=b-cluster"}]"#;
    let deployment = ["deployment", "-n", "kube-system", "kube-ovn-controller"];
    bed.api.kubectl(&[&["patch"], &deployment[..], &["--type=json", "-p", patch]].concat())?;
    let release = bed.ko(&["brake", "release"])?;
    assert!(release.status.success(), "{}", text(&release));
    assert!(released("b-cluster")? && !released("ovn-cluster")? && !released("c-cluster")?);

    // By its name.
    assert!(bed.ko(&["brake", "release", "--vpc=c-cluster"])?.status.success());
    assert!(released("c-cluster")?);

    // Run without the Deployment: a Vpc's status says which one it is, or the command fails.
    bed.api.kubectl(&[&["delete"], &deployment[..]].concat())?;
    let unknown = bed.ko(&["brake", "release"])?;
    assert!(!unknown.status.success() && text(&unknown).contains("--vpc=NAME"), "{}", text(&unknown));
    let status = r#"{"status":{"default":true}}"#;
    bed.api.kubectl(&[
        "patch",
        "vpc",
        "ovn-cluster",
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ])?;
    assert!(bed.ko(&["brake", "release"])?.status.success());
    assert!(released("ovn-cluster")?);
    Ok(())
}

/// An NB that speaks TLS only, whose keys are in the Secret as the controller mounts it.
#[test]
fn tools_reach_databases_over_tls() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let dir = tempfile::tempdir()?;
    let _server = over_tls(&bed, dir.path())?;
    let without = bed.ko(&["nbctl", "show"])?;
    assert!(
        !without.status.success() && text(&without).contains("Secret kube-system/kube-ovn-tls"),
        "{}",
        text(&without)
    );

    secret(&bed, dir.path())?;
    let added = bed.ko(&["nbctl", "ls-add", "over-tls"])?;
    assert!(added.status.success(), "{}", text(&added));
    assert!(text(&bed.ko(&["nbctl", "show"])?).contains("over-tls"));
    let status = bed.ko(&["nb", "status"])?;
    assert!(status.status.success() && text(&status).contains("standalone"), "{}", text(&status));
    let check = bed.ko(&["ipam", "check"])?;
    assert!(text(&check).contains("no difference"), "{}", text(&check));
    // The user's own keys win.
    let own = bed.ko(&["nbctl", "--private-key=/nowhere", "show"])?;
    assert!(!own.status.success() && text(&own).contains("PrivateKey"), "{}", text(&own));
    Ok(())
}
