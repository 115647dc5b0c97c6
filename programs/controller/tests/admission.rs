//! Admission, with a real API server: refusals, what stays allowed, and the same without it.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use common::{Bed, Controller};
use tombolo_needs::needs;
use tombolo_testbed::{eventually, free_port};

const SOON: Duration = Duration::from_secs(20);
/// Such a request once held the loop up for more than a minute.
const HELD_UP: Duration = Duration::from_secs(30);

/// The manifest as users apply it, except that this API server reaches the webhook by its address: nothing routes
/// Services here.
fn manifest(port: u16) -> Result<String> {
    let text = tombolo_chart::cases::part("admission", "admission.yaml")?;
    let service = "      service:\n        name: kube-ovn-webhook\n        namespace: kube-system\n";
    ensure!(text.matches(service).count() == 1, "the manifest has changed");
    Ok(text.replace(service, &format!("      url: https://127.0.0.1:{port}\n")))
}

fn subnet(name: &str, vpc: &str, cidr: &str) -> String {
    format!(
        "apiVersion: kubeovn.io/v1\nkind: Subnet\nmetadata: {{name: {name}}}\nspec: {{vpc: {vpc}, cidrBlock: {cidr}}}\n"
    )
}

/// The webhook's URL and its bundle of certificates, as the API server has them.
fn configuration(bed: &Bed) -> Result<(String, String)> {
    let get = |field: &str| {
        let path = format!("jsonpath={{.webhooks[0].clientConfig.{field}}}");
        bed.api.kubectl(&["get", "validatingwebhookconfiguration", "kube-ovn-webhook", "-o", &path])
    };
    let bundle = Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut bundle = bundle?;
    std::io::Write::write_all(&mut bundle.stdin.take().context("no pipe")?, get("caBundle")?.as_bytes())?;
    Ok((get("url")?, String::from_utf8(bundle.wait_with_output()?.stdout)?))
}

/// The status code of a POST by any client that reaches the port; 0 when there is no answer.
fn post(url: &str, file: &Path) -> Result<(u32, Duration)> {
    let started = Instant::now();
    let data = format!("@{}", file.display());
    let args =
        ["-sk", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Content-Type: application/json"];
    let out = Command::new("curl").args(args).args(["--data-binary", &data, url]).output().context("curl")?;
    Ok((String::from_utf8(out.stdout)?.parse()?, started.elapsed()))
}

#[test]
fn no_request_holds_the_loop_up_and_strangers_are_not_answered() -> Result<()> {
    // invariant 12
    let bed = needs!(Bed::start()?);
    let port = free_port()?;
    let controller = Controller::start(&bed, "a", &[&format!("--admission-port={port}")])?;
    bed.defaults()?;
    bed.api.apply(&manifest(port)?)?;
    let url = eventually("the path to be there", SOON, || {
        Ok(Some(configuration(&bed)?.0).filter(|url| url.contains("/subnets/")))
    })?;
    // Old and new have nothing in common, and everything is wrong: as many problems as there is room for.
    let review = |size: usize| -> Result<std::path::PathBuf> {
        let many = |text: &str| {
            serde_json::json!({ "metadata": { "name": "x" }, "spec": {
            "cidrBlock": "10.7.0.0/16", "excludeIps": vec![text; size / 8] } })
        };
        let request = serde_json::json!({ "uid": "u", "object": many("a"), "oldObject": many("b") });
        let file = bed.dir.path().join(format!("review-{size}"));
        std::fs::write(&file, serde_json::json!({ "request": request }).to_string())?;
        Ok(file)
    };
    let (large, fits) = (review(2_000_000)?, review(900_000)?);
    let stranger = format!("https://127.0.0.1:{port}/subnets");
    let guess = format!("{stranger}/{}", "0".repeat(32));

    let flood = std::thread::scope(|scope| -> Result<()> {
        let posts: Vec<_> = [&url, &stranger, &guess]
            .into_iter()
            .flat_map(|url| [(url, &large), (url, &fits), (url, &fits)])
            .map(|(url, file)| scope.spawn(move || -> Result<_> { Ok((url, file, post(url, file)?)) }))
            .collect();
        // The loop turns on meanwhile.
        let started = Instant::now();
        bed.api.apply(&subnet("meanwhile", "ovn-cluster", "12.0.1.0/24"))?;
        ready(&bed, "meanwhile")?;
        ensure!(started.elapsed() < HELD_UP, "{:?}", started.elapsed());
        ensure!(controller.get("/livez")?.0 == 200);
        for post in posts {
            let (asked, file, (code, took)) = post.join().map_err(|_| anyhow::anyhow!("panic"))??;
            let expected: &[u32] = match (asked == &url, file == &large) {
                // Refused by its length: curl sees the answer, or its connection closed while it still sends.
                (true, true) => &[413, 100, 0],
                (true, false) => &[200],
                // Refused before it is read, so curl may see its connection closed.
                _ => &[403, 404, 0],
            };
            ensure!(expected.contains(&code), "{asked} {}: {code}", file.display());
            ensure!(took < HELD_UP, "{asked}: {took:?}");
        }
        Ok(())
    });
    flood.with_context(|| controller.log())?;
    ensure!(controller.metric("tombolo_admission_reviews_total{outcome=\"stranger\"}")? >= 2.0);
    let live = controller.get("/livez")?.1;
    ensure!(live.contains("[+]engine ok"), "{live}");
    Ok(())
}

#[test]
fn the_api_server_may_be_asked_for_a_certificate() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let port = free_port()?;
    let authority = rcgen_ca(&bed)?;
    let flag = format!("--admission-client-ca={}", authority.display());
    let controller = Controller::start(&bed, "a", &[&format!("--admission-port={port}"), &flag])?;
    bed.defaults()?;
    let file = bed.dir.path().join("empty");
    std::fs::write(&file, "{}")?;
    // The handshake fails: the path isn't even checked.
    ensure!(post(&format!("https://127.0.0.1:{port}/subnets/x"), &file)?.0 == 0);
    ensure!(controller.metric("tombolo_admission_reviews_total")? == 0.0);
    let mut wrong = Controller::start(&bed, "b", &["--admission-port=1", "--admission-client-ca=/nowhere"])?;
    eventually("the controller to end", SOON, || Ok((!wrong.is_running()).then_some(())))?;
    ensure!(wrong.log().contains("--admission-client-ca=/nowhere"), "{}", wrong.log());
    Ok(())
}

/// A CA's certificate in a file.
fn rcgen_ca(bed: &Bed) -> Result<std::path::PathBuf> {
    let made = tombolo_controller::admission::certificate("x")?;
    let file = bed.dir.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem())?;
    Ok(file)
}

/// The words of a refusal.
fn refused(result: Result<impl Sized>) -> Result<String> {
    match result {
        Ok(_) => anyhow::bail!("it was not refused"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

/// Waits until the API server asks us: new webhooks and policies take it a moment.
fn in_force(bed: &Bed, router: &str) -> Result<()> {
    let probe = subnet("probe", router, "127.0.0.0/8");
    eventually("the webhook to be asked", SOON, || {
        let dry = bed.api.kubectl_input(&["create", "--dry-run=server", "-f", "-"], &probe);
        Ok(dry
            .is_err_and(|error| {
                error.to_string().contains("ForbiddenRange") || error.to_string().contains("127.0.0.0")
            })
            .then_some(()))
    })?;
    eventually("the policy to be in force", SOON, || {
        let dry = bed.api.kubectl(&["delete", "vpc", "ovn-cluster", "--dry-run=server"]);
        Ok(dry.is_err_and(|error| error.to_string().contains("hang on this Vpc")).then_some(()))
    })
}

fn ready(bed: &Bed, name: &str) -> Result<()> {
    eventually(&format!("Subnet {name} to be ready"), SOON, || {
        Ok((bed.ready("subnet", name)?.status == "True").then_some(()))
    })
}

fn uid(bed: &Bed, vpc: &str) -> Result<String> {
    let object = bed.api.json(&["get", "vpc", vpc])?;
    object["metadata"]["uid"].as_str().map(str::to_owned).context("no uid")
}

/// The Vpc goes at once, with nothing to wait for, and comes back from its router.
fn comes_back(bed: &Bed, vpc: &str) -> Result<()> {
    let before = uid(bed, vpc)?;
    bed.api.kubectl(&["delete", "vpc", vpc, "--wait=true", "--timeout=10s"]).with_context(|| {
        let object = bed.api.kubectl(&["get", "vpc", vpc, "-o", "yaml", "--show-managed-fields"]);
        format!("it was {before}; it is {object:?}")
    })?;
    eventually(&format!("Vpc {vpc} to come back"), SOON, || {
        let object = bed.api.json(&["get", "vpc", vpc])?;
        let meta = &object["metadata"];
        Ok((meta["uid"] != before.as_str() && meta["deletionTimestamp"].is_null()).then_some(()))
    })
}

#[test]
fn what_is_wrong_is_refused_before_it_is_stored() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let (port_a, port_b) = (free_port()?, free_port()?);
    let mut leader = Controller::start(&bed, "a", &[&format!("--admission-port={port_a}")])?;
    bed.defaults()?;
    let (router, network) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    eventually("the router's Vpc", SOON, || bed.api.json(&["get", "vpc", &router]).map(Some))?;
    bed.api.apply(&manifest(port_a)?)?;
    in_force(&bed, &router)?;

    // Create: Neutron's network, a gateway outside, a field that no router of Neutron's can have.
    let message = refused(bed.api.apply(&subnet("net2", &router, "192.168.1.128/25")))?;
    ensure!(message.contains("192.168.1.0/24") && message.contains("provider"), "{message}");
    let outside = subnet("net2", &router, "12.0.1.0/24").replace("cidrBlock", "gateway: 12.0.9.1, cidrBlock");
    let message = refused(bed.api.apply(&outside))?;
    ensure!(message.contains("spec.gateway: 12.0.9.1 is outside of 12.0.1.0/24"), "{message}");
    let nat = subnet("net2", &router, "12.0.1.0/24").replace("cidrBlock", "natOutgoing: true, cidrBlock");
    let message = refused(bed.api.apply(&nat))?;
    ensure!(message.contains("spec.natOutgoing"), "{message}");
    ensure!(bed.api.kubectl(&["get", "subnets", "-o", "name"])?.lines().count() == 2, "nothing was stored");

    // What is right is stored; so is what waits for something.
    bed.api.apply(&subnet("net2", &router, "12.0.1.0/24"))?;
    ready(&bed, "net2")?;
    bed.api.apply(&subnet("net3", &router, "12.0.3.0/24"))?;
    ready(&bed, "net3")?;
    bed.api.apply(&subnet("early", "vpc-to-come", "12.0.5.0/24"))?;
    // Update: another Subnet's network, whichever Subnet is older, and by a dry run too.
    let patch = r#"{"spec":{"cidrBlock":"12.0.3.0/25","gateway":"12.0.3.1","excludeIps":[]}}"#;
    for dry in ["none", "server"] {
        let args = ["patch", "subnet", "net2", "--type=merge", "-p", patch, &format!("--dry-run={dry}")];
        let message = refused(bed.api.kubectl(&args))?;
        ensure!(message.contains("Subnet net3"), "{message}");
    }
    // Neutron comes later: a Subnet in conflict can still be changed, step by step, and deleted.
    bed.nb.ctl(&["lrp-add", &router, "lrp-late", "fa:16:3e:00:00:77", "12.0.3.129/25"])?;
    eventually("the late network to be seen", SOON, || {
        let ready = bed.ready("subnet", "net3")?;
        Ok((ready.status == "False" && ready.reason == "CidrConflict").then_some(()))
    })?;
    bed.api.kubectl(&["patch", "subnet", "net3", "--type=merge", "-p", r#"{"spec":{"enableLb":false}}"#])?;
    bed.api.kubectl(&["delete", "subnet", "net3", "--wait=true", "--timeout=20s"])?;

    // The Vpc: no user can delete it while a Subnet hangs on it, dry run or not; Neutron's networks don't count.
    for dry in ["none", "server"] {
        let message = refused(bed.api.kubectl(&["delete", "vpc", &router, &format!("--dry-run={dry}")]))?;
        ensure!(message.contains("Subnets hang on this Vpc: net2;"), "{message}");
    }
    bed.api.kubectl(&["delete", "subnet", "net2", "--wait=true", "--timeout=20s"])?;
    eventually("the Vpc to show Neutron's network alone", SOON, || {
        let vpc = bed.api.json(&["get", "vpc", &router])?;
        Ok((vpc["status"]["subnets"] == serde_json::json!([network])).then_some(()))
    })?;
    comes_back(&bed, &router)?;
    let shown = bed.nb.ctl(&["show"])?;
    ensure!(shown.contains(&format!("({router})")), "{shown}");

    // The controller itself takes away what shows a router that is gone.
    let (other, _) = bed.nb.neutron_router(2, "router1", "192.168.2.0/24")?;
    eventually("the other router's Vpc", SOON, || bed.api.json(&["get", "vpc", &other]).map(Some))?;
    bed.nb.ctl(&["lr-del", &other])?;
    eventually("its Vpc to go", SOON, || {
        Ok((!bed.api.kubectl(&["get", "vpc", "-o", "name"])?.contains(&other)).then_some(()))
    })?;

    // A replica that doesn't lead answers as well.
    let standby = Controller::start(&bed, "b", &[&format!("--admission-port={port_b}")])?;
    eventually("the second replica to be ready", SOON, || {
        Ok((standby.get("/readyz")?.0 == 200).then_some(()))
    })?;
    bed.api.apply(&manifest(port_b)?)?;
    in_force(&bed, &router)?;
    // Both trust and answer the same path, and each has its certificate there once, however often it starts.
    let bundle = configuration(&bed)?.1;
    ensure!(
        bundle.matches("# replica a\n").count() == 1 && bundle.matches("# replica b\n").count() == 1,
        "{bundle}"
    );
    let message = refused(bed.api.apply(&subnet("net2", &router, "192.168.1.128/25")))?;
    ensure!(message.contains("192.168.1.0/24"), "{message}");
    let count = |replica: &Controller| -> Result<bool> {
        Ok(replica.get("/metrics")?.1.contains("tombolo_admission_reviews_total{outcome=\"refused\"}"))
    };
    ensure!(count(&leader)? && count(&standby)?);
    let leading = |replica: &Controller| -> Result<bool> {
        Ok(replica
            .get("/metrics")?
            .1
            .contains("leader_election_master_status{name=\"tombolo-controller\"} 1"))
    };
    ensure!(leading(&leader)? && !leading(&standby)?);

    // No webhook answers: objects are stored all the same, and the reconciler reports what is wrong with them.
    let mut standby = standby;
    standby.kill();
    bed.api.apply(&subnet("net2", &router, "192.168.1.128/25"))?;
    eventually("the reconciler to refuse it", SOON, || {
        let ready = bed.ready("subnet", "net2")?;
        Ok((ready.status == "False" && ready.reason == "CidrConflict").then_some(()))
    })?;
    bed.api.kubectl(&["delete", "subnet", "net2", "--wait=true", "--timeout=20s"])?;

    // Uninstalled with or without its manifest: our kinds can be taken away, and nothing sticks.
    ensure!(leader.stop()?.success());
    for name in ["join", "ovn-default", "early"] {
        let patch = r#"{"metadata":{"finalizers":[]}}"#;
        bed.api.kubectl(&["patch", "subnet", name, "--type=merge", "-p", patch])?;
    }
    bed.api.kubectl(&[
        "delete",
        "crd",
        "vpcs.kubeovn.io",
        "subnets.kubeovn.io",
        "--wait=true",
        "--timeout=30s",
    ])?;
    bed.api.kubectl_input(&["delete", "-f", "-"], &manifest(port_b)?)?;
    Ok(())
}

#[test]
fn without_admission_nothing_sticks_either() -> Result<()> {
    let bed = needs!(Bed::start()?);
    let controller = Controller::start(&bed, "a", &[])?;
    bed.defaults()?;
    let (router, _) = bed.nb.neutron_router(1, "router0", "192.168.1.0/24")?;
    eventually("the router's Vpc", SOON, || bed.api.json(&["get", "vpc", &router]).map(Some))?;
    bed.api.apply(&subnet("net2", &router, "12.0.1.0/24"))?;
    ready(&bed, "net2")?;
    let before = bed.nb.ctl(&["show"])?;
    comes_back(&bed, &router)?;
    // With a finalizer that a Kube-OVN before us left: it goes before a user deletes the Vpc. (`kubectl delete` waits
    // in vain for an object that goes late and comes back at once: it takes the new one for the old.)
    let finalizer = r#"{"metadata":{"finalizers":["kubeovn.io/kube-ovn-controller"]}}"#;
    bed.api.kubectl(&["patch", "vpc", &router, "--type=merge", "-p", finalizer])?;
    eventually("the finalizer to go", SOON, || {
        let vpc = bed.api.json(&["get", "vpc", &router])?;
        Ok(vpc["metadata"]["finalizers"].is_null().then_some(()))
    })?;
    comes_back(&bed, &router).with_context(|| controller.log())?;
    // Neither the router nor what hangs on it was touched.
    assert_eq!(bed.nb.ctl(&["show"])?, before);
    ready(&bed, "net2")?;
    bed.api.kubectl(&["delete", "subnet", "net2", "--wait=true", "--timeout=20s"])?;
    Ok(())
}
