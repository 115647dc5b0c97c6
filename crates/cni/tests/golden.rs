//! Texts written by hand after the CNI specification and Kube-OVN's protocol, against what we print and read.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

use serde_json::{Value, json};
use tombolo_cni::agent::{IpReply, Request, Response};
use tombolo_cni::{Attachment, CniError, Code, NetConf, Outcome, SUPPORTED, Version, version_report};

fn answer() -> Response {
    Response {
        ips: vec![IpReply {
            protocol: "IPv4".into(),
            ip: "12.0.1.2".parse().unwrap(),
            cidr: "12.0.1.0/24".parse().unwrap(),
            gateway: Some("12.0.1.1".parse().unwrap()),
        }],
        mac_address: "00:00:00:7A:2E:93".into(),
        routes: vec![tombolo_cni::Route {
            dst: "0.0.0.0/0".parse().unwrap(),
            gw: Some("12.0.1.1".parse().unwrap()),
        }],
        mtu: 1400,
        nicname: "eth0".into(),
        host_nicname: "0f3c5f1f2a4b_h".into(),
        ..Response::default()
    }
}

fn result(version: Version) -> Value {
    answer().to_outcome("/run/netns/cni-1", "eth0").to_json(version)
}

#[test]
fn results_before_1_0_name_the_family_of_an_address() {
    for version in [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0] {
        assert_eq!(
            result(version),
            json!({
                "cniVersion": version.as_str(),
                "interfaces": [
                    {"name": "eth0", "mac": "00:00:00:7A:2E:93", "sandbox": "/run/netns/cni-1"},
                    {"name": "0f3c5f1f2a4b_h", "mac": ""},
                ],
                "ips": [{"version": "4", "address": "12.0.1.2/24", "gateway": "12.0.1.1", "interface": 0}],
                "routes": [{"dst": "0.0.0.0/0", "gw": "12.0.1.1"}],
                "dns": {},
            })
        );
    }
}

#[test]
fn result_1_0() {
    assert_eq!(
        result(Version::V1_0_0),
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "eth0", "mac": "00:00:00:7A:2E:93", "sandbox": "/run/netns/cni-1"},
                {"name": "0f3c5f1f2a4b_h", "mac": ""},
            ],
            "ips": [{"address": "12.0.1.2/24", "gateway": "12.0.1.1", "interface": 0}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "12.0.1.1"}],
            "dns": {},
        })
    );
}

#[test]
fn result_1_1_has_the_mtu() {
    let value = result(Version::V1_1_0);
    assert_eq!(value["cniVersion"], "1.1.0");
    assert_eq!(value["interfaces"][0]["mtu"], 1400);
    assert_eq!(value["interfaces"][1].get("mtu"), None);
}

#[test]
fn results_are_read_back_in_every_version() {
    let want = answer().to_outcome("/run/netns/cni-1", "eth0");
    for version in SUPPORTED {
        let mut read = Outcome::from_json(&result(version)).unwrap();
        if version < Version::V1_1_0 {
            read.interfaces[0].mtu = Some(1400); // not printed there
        }
        assert_eq!(read, want, "{version}");
    }
}

#[test]
fn a_result_behind_another_plugin_keeps_its_indexes() {
    // The specification's own example of a result, shortened.
    let prev = Outcome::from_json(&json!({
        "cniVersion": "1.0.0",
        "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 2}],
        "routes": [{"dst": "0.0.0.0/0"}],
        "interfaces": [
            {"name": "cni0", "mac": "00:11:22:33:44:55"},
            {"name": "veth3243", "mac": "55:44:33:22:11:11"},
            {"name": "eth0", "mac": "99:88:77:66:55:44", "sandbox": "/var/run/netns/blue"}
        ],
        "dns": {"nameservers": ["10.1.0.1"]}
    }))
    .unwrap();
    let merged = answer().to_outcome("/var/run/netns/blue", "net1").after(prev);
    assert_eq!(merged.interfaces.len(), 5);
    assert_eq!(merged.ips[0].interface, Some(2));
    assert_eq!(merged.ips[1].interface, Some(3));
    assert_eq!(merged.interfaces[3].sandbox, "/var/run/netns/blue");
    assert_eq!(merged.dns.nameservers, ["10.1.0.1"]);
}

#[test]
fn errors() {
    let err = CniError::new(Code::InvalidConfig, "Invalid Configuration")
        .details("Network 192.168.0.0/31 too small to allocate from.");
    assert_eq!(
        err.to_json("1.1.0"),
        json!({
            "cniVersion": "1.1.0",
            "code": 7,
            "msg": "Invalid Configuration",
            "details": "Network 192.168.0.0/31 too small to allocate from."
        })
    );
    assert_eq!(
        CniError::new(Code::TryAgainLater, "x").to_json("0.9.9"),
        json!({"cniVersion": "0.9.9", "code": 11, "msg": "x"}),
        "the caller's version comes back even when it isn't ours"
    );
}

#[test]
fn version() {
    assert_eq!(
        version_report(Some("0.4.0")),
        json!({"cniVersion": "0.4.0", "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]})
    );
    assert_eq!(version_report(None)["cniVersion"], "1.1.0");
    let err = Version::parse("2.0.0").unwrap_err();
    assert_eq!(err.code, Code::IncompatibleVersion);
    assert!(err.details.contains("1.0.0"));
}

#[test]
fn configuration_of_kube_ovn() {
    let conf = NetConf::parse(
        br#"{"cniVersion": "0.3.1", "name": "kube-ovn", "type": "kube-ovn",
             "server_socket": "/run/openvswitch/kube-ovn-daemon.sock",
             "capabilities": {"portMappings": true}, "somebody": {"else": "s"}}"#,
    )
    .unwrap();
    conf.validate().unwrap();
    assert_eq!(conf.version().unwrap(), Version::V0_3_1);
    assert_eq!(conf.socket(), "/run/openvswitch/kube-ovn-daemon.sock");
    assert_eq!(conf.provider(), "ovn");
    assert_eq!(conf.prev().unwrap(), None);
}

#[test]
fn configuration_of_an_attachment_with_our_ipam() {
    let conf = NetConf::parse(
        br#"{"cniVersion": "1.0.0", "name": "n", "type": "macvlan",
             "ipam": {"type": "kube-ovn", "server_socket": "/s", "provider": "net1.default",
                      "routes": [{"dst": "19.10.0.0/16", "gw": "12.0.1.254"}, {"dst": "::/0"}]}}"#,
    )
    .unwrap();
    assert_eq!((conf.socket(), conf.provider()), ("/s", "net1.default"));
    assert_eq!(conf.ipam.routes.len(), 2);
}

#[test]
fn bad_configurations_say_why() {
    assert_eq!(NetConf::parse(b"{").unwrap_err().code, Code::Decode);
    let no_version = NetConf::parse(br#"{"name": "n", "type": "kube-ovn"}"#).unwrap();
    assert_eq!(no_version.version().unwrap_err().code, Code::IncompatibleVersion);
    let no_name = NetConf::parse(br#"{"cniVersion": "1.0.0"}"#).unwrap();
    assert_eq!(no_name.validate().unwrap_err().code, Code::InvalidConfig);
    let relative = NetConf::parse(br#"{"name": "n", "server_socket": "x.sock"}"#).unwrap();
    assert!(relative.validate().unwrap_err().msg.contains("x.sock"));
    let vf = NetConf::parse(br#"{"name": "n", "deviceID": "0000:05:00.1"}"#).unwrap();
    assert_eq!(vf.validate().unwrap_err().code, Code::UnsupportedField);
    let prev = NetConf::parse(br#"{"name": "n", "prevResult": {"ips": [{"address": "no"}]}}"#).unwrap();
    assert_eq!(prev.prev().unwrap_err().code, Code::Decode);
}

#[test]
fn gc_lists_what_is_in_use() {
    let conf = NetConf::parse(
        br#"{"cniVersion": "1.1.0", "name": "kube-ovn", "type": "kube-ovn",
             "cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}]}"#,
    )
    .unwrap();
    let want = vec![Attachment { container_id: "a".into(), ifname: "eth0".into() }];
    assert_eq!(conf.valid_attachments, Some(want));
}

#[test]
fn request_as_kube_ovn_words_it() {
    let request = Request {
        cni_type: "kube-ovn".into(),
        pod_name: "ubuntu".into(),
        pod_namespace: "net2".into(),
        container_id: "0f3c".into(),
        net_ns: "/run/netns/cni-1".into(),
        if_name: "eth0".into(),
        provider: "ovn".into(),
        ..Request::default()
    };
    assert_eq!(
        serde_json::to_value(&request).unwrap(),
        json!({
            "cni_type": "kube-ovn", "pod_name": "ubuntu", "pod_namespace": "net2", "container_id": "0f3c",
            "net_ns": "/run/netns/cni-1", "if_name": "eth0", "provider": "ovn"
        })
    );
    // And from Kube-OVN's plugin, which prints more.
    let theirs: Request = serde_json::from_value(json!({
        "cni_type": "kube-ovn", "pod_name": "p", "pod_namespace": "n", "container_id": "c", "net_ns": "/x",
        "if_name": "eth0", "provider": "ovn", "routes": [], "dns": {}, "vf_driver": "", "deviceID": "",
        "vhost_user_socket_volume_name": "", "vhost_user_socket_name": "", "vhost_user_socket_consumption": ""
    }))
    .unwrap();
    assert_eq!(theirs.pod_name, "p");
}

#[test]
fn response_as_kube_ovn_words_it() {
    assert_eq!(
        serde_json::to_value(answer()).unwrap(),
        json!({
            "ips": [{"protocol": "IPv4", "ip": "12.0.1.2", "cidr": "12.0.1.0/24", "gateway": "12.0.1.1"}],
            "mac_address": "00:00:00:7A:2E:93",
            "routes": [{"dst": "0.0.0.0/0", "gw": "12.0.1.1"}],
            "mtu": 1400, "nicname": "eth0", "host_nicname": "0f3c5f1f2a4b_h", "dns": {}
        })
    );
    let theirs: Response = serde_json::from_value(json!({"error": "no available pod ip"})).unwrap();
    let err = theirs.to_error(500);
    assert_eq!((err.code, err.msg.as_str()), (Code::TryAgainLater, "no available pod ip"));
    let ours = Response::failed(Code::UnknownContainer, "gone").to_error(404);
    assert_eq!(ours.code, Code::UnknownContainer);
    assert!(Response::default().to_error(502).msg.contains("502"));
}
