//! The built plugin, started as a runtime starts it, against a socket that answers as the agent would.

#![allow(clippy::unwrap_used)] // a test may: a panic is its failure

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value, json};

/// Serves one request with `answer`; gives the path asked for and the body.
fn agent(socket: &Path, answer: String) -> JoinHandle<(String, Value)> {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        let (head, length) = loop {
            let n = stream.read(&mut buffer).unwrap();
            text.extend_from_slice(&buffer[..n]);
            if let Some(end) = text.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8(text[..end].to_vec()).unwrap();
                let line = head.lines().find(|l| l.starts_with("Content-Length")).unwrap();
                let length: usize = line.split(": ").nth(1).unwrap().parse().unwrap();
                if text.len() >= end + 4 + length {
                    break (head, length);
                }
            }
        };
        let body = serde_json::from_slice(&text[text.len() - length..]).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body)
    })
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

struct Call {
    code: i32,
    out: Value,
}

fn call(command: &str, conf: &Value, netns: &str) -> Call {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tombolo-cni"))
        .env_clear()
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", "0f3c5f1f2a4b9d")
        .env("CNI_NETNS", netns)
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", "/opt/cni/bin")
        .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=net2;K8S_POD_NAME=ubuntu;K8S_POD_UID=u1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(conf.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let out =
        if output.stdout.is_empty() { Value::Null } else { serde_json::from_slice(&output.stdout).unwrap() };
    Call { code: output.status.code().unwrap(), out }
}

fn conf(socket: &Path, version: &str) -> Value {
    json!({"cniVersion": version, "name": "kube-ovn", "type": "kube-ovn", "server_socket": socket})
}

fn socket(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("agent.sock")
}

/// Some namespace that exists.
const NETNS: &str = "/proc/self/ns/net";

const ANSWER: &str = r#"{"ips":[{"protocol":"IPv4","ip":"12.0.1.2","cidr":"12.0.1.0/24","gateway":"12.0.1.1"}],
    "mac_address":"00:00:00:7A:2E:93","routes":[],"mtu":1400,"nicname":"eth0","dns":{}}"#;

#[test]
fn add() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir);
    let agent = agent(&socket, http("200 OK", ANSWER));
    let got = call("ADD", &conf(&socket, "1.0.0"), NETNS);
    let (path, body) = agent.join().unwrap();
    assert_eq!(path, "/api/v1/add");
    assert_eq!(
        body,
        json!({"cni_type": "kube-ovn", "pod_name": "ubuntu", "pod_namespace": "net2", "pod_uid": "u1",
               "container_id": "0f3c5f1f2a4b9d", "net_ns": NETNS, "if_name": "eth0", "provider": "ovn"})
    );
    assert_eq!(got.code, 0);
    assert_eq!(got.out["cniVersion"], "1.0.0");
    assert_eq!(got.out["ips"], json!([{"address": "12.0.1.2/24", "gateway": "12.0.1.1", "interface": 0}]));
    assert_eq!(got.out["interfaces"][0]["sandbox"], NETNS);
}

#[test]
fn the_agents_reason_reaches_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir);
    let agent =
        agent(&socket, http("500 Internal Server Error", r#"{"error":"no address for net2/ubuntu"}"#));
    let got = call("ADD", &conf(&socket, "0.3.1"), NETNS);
    agent.join().unwrap();
    assert_eq!(got.code, 1);
    assert_eq!(got.out, json!({"cniVersion": "0.3.1", "code": 11, "msg": "no address for net2/ubuntu"}));
}

#[test]
fn without_an_agent_the_runtime_tries_again() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir);
    let netns = "/proc/self/ns/net"; // some namespace that exists
    for command in ["ADD", "DEL"] {
        let got = call(command, &conf(&socket, "1.0.0"), netns);
        assert_eq!((got.code, &got.out["code"]), (1, &json!(11)), "{command}");
        assert!(got.out["msg"].as_str().unwrap().contains("kube-ovn-cni"), "says what to look at");
    }
    let status = call("STATUS", &conf(&socket, "1.1.0"), "");
    assert_eq!(status.out["code"], 50);
}

#[test]
fn del_with_nothing_left_succeeds_without_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir);
    assert_eq!(call("DEL", &conf(&socket, "1.0.0"), "").code, 0, "no namespace was given");
    assert_eq!(call("DEL", &conf(&socket, "1.0.0"), "/run/netns/surely-not-there").code, 0, "it is gone");
    let unmounted = dir.path().join("netns");
    std::fs::write(&unmounted, "").unwrap();
    assert_eq!(call("DEL", &conf(&socket, "1.0.0"), unmounted.to_str().unwrap()).code, 0, "it is unmounted");
}

#[test]
fn del_asks_the_agent_also_without_a_namespace() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir);
    let agent = agent(&socket, "HTTP/1.1 204 No Content\r\n\r\n".into());
    let got = call("DEL", &conf(&socket, "1.0.0"), "");
    let (path, body) = agent.join().unwrap();
    assert_eq!((path.as_str(), &body["net_ns"]), ("/api/v1/del", &json!("")));
    assert_eq!((got.code, got.out), (0, Value::Null));
}

#[test]
fn check_passes_what_add_promised() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir);
    let agent = agent(&socket, "HTTP/1.1 204 No Content\r\n\r\n".into());
    let mut conf = conf(&socket, "0.4.0");
    conf["prevResult"] = json!({
        "cniVersion": "0.4.0",
        "interfaces": [{"name": "eth0", "sandbox": "/run/netns/x"}, {"name": "0f3c5f1f2a4b_h"}],
        "ips": [{"version": "4", "address": "12.0.1.2/24", "interface": 0},
                {"version": "4", "address": "10.0.0.1/24", "interface": 1}]
    });
    let got = call("CHECK", &conf, NETNS);
    let (path, body) = agent.join().unwrap();
    assert_eq!((path.as_str(), &body["expected_ips"]), ("/api/v1/check", &json!(["12.0.1.2/24"])));
    assert_eq!(got.code, 0);
}

#[test]
fn commands_newer_than_the_configuration_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir);
    for (command, version) in [("CHECK", "0.3.1"), ("STATUS", "1.0.0"), ("GC", "1.0.0")] {
        let got = call(command, &conf(&socket, version), "/run/netns/x");
        assert_eq!((got.code, &got.out["code"]), (1, &json!(1)), "{command} {version}");
    }
    let got = call("ADD", &conf(&socket, "2.0.0"), "/run/netns/x");
    assert_eq!((&got.out["code"], &got.out["cniVersion"]), (&json!(1), &json!("2.0.0")));
    let got = call("CHECK", &conf(&socket, "1.0.0"), "/run/netns/x");
    assert_eq!(got.out["code"], 7, "no prevResult");
    let got = call("GC", &conf(&socket, "1.1.0"), "");
    assert_eq!(got.out["code"], 7, "no list is not an empty list");
}

#[test]
fn gc_passes_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let socket = socket(&dir);
    let agent = agent(&socket, "HTTP/1.1 204 No Content\r\n\r\n".into());
    let mut conf = conf(&socket, "1.1.0");
    conf["cni.dev/valid-attachments"] = json!([{"containerID": "a", "ifname": "eth0"}]);
    assert_eq!(call("GC", &conf, "").code, 0);
    let (path, body) = agent.join().unwrap();
    assert_eq!(path, "/api/v1/gc");
    assert_eq!(body["valid_attachments"], json!([{"containerID": "a", "ifname": "eth0"}]));
}

#[test]
fn version() {
    let got = call("VERSION", &json!({"cniVersion": "1.0.0"}), "");
    assert_eq!(got.code, 0);
    assert_eq!(got.out["cniVersion"], "1.0.0");
    assert_eq!(got.out["supportedVersions"], json!(["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
}
