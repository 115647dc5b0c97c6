//! The client over TLS, with certificates as sites have them: a CA of their own, names that fit nothing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tombolo_needs::needs;
use tombolo_ovn::nb;
use tombolo_ovsdb::{Client, ClientConfig, Endpoints, Op, TlsConfig, Txn, Uuid};
use tombolo_ovsdb_servers::{LIMIT, NB_23_03, Servers, all_of_nb, free_port};

fn openssl(dir: &Path, args: &[&str]) -> Result<()> {
    let output = Command::new("openssl").args(args).current_dir(dir).output().context("starting openssl")?;
    ensure!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A CA `<ca>.pem` in `dir`.
fn authority(dir: &Path, ca: &str) -> Result<()> {
    let (key, cert, subject) = (format!("{ca}-key.pem"), format!("{ca}.pem"), format!("/CN={ca}"));
    openssl(
        dir,
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-keyout",
            &key,
            "-out",
            &cert,
        ],
    )
}

/// A key and a certificate of `ca`, whose name is no host's.
fn certificate(dir: &Path, ca: &str, name: &str) -> Result<()> {
    let (key, request) = (format!("{name}-key.pem"), format!("{name}.csr"));
    let subject = format!("/CN={name} id:6f2b0d4c");
    openssl(
        dir,
        &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request],
    )?;
    std::fs::write(
        dir.join("ext"),
        format!("basicConstraints=CA:FALSE\nsubjectAltName=DNS:{name}.invalid\n"),
    )?;
    let (out, ca_cert, ca_key) = (format!("{name}.pem"), format!("{ca}.pem"), format!("{ca}-key.pem"));
    openssl(
        dir,
        &[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca_cert,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "ext",
            "-out",
            &out,
        ],
    )
}

fn tls(dir: &Path, name: &str, ca: &str) -> TlsConfig {
    TlsConfig {
        private_key: dir.join(format!("{name}-key.pem")),
        certificate: dir.join(format!("{name}.pem")),
        ca_certificate: dir.join(format!("{ca}.pem")),
        names: Vec::new(),
    }
}

/// A server on `ssl:127.0.0.1`, in whose directory the certificates are.
async fn server(pki: &Path) -> Result<(Servers, Endpoints)> {
    for _ in 0..5 {
        let port = free_port()?;
        let file = |option: &str, name: &str| format!("--{option}={}", pki.join(name).display());
        let extra = [
            file("private-key", "server-key.pem"),
            file("certificate", "server.pem"),
            file("ca-cert", "ca.pem"),
        ];
        let servers = Servers::standalone_with(NB_23_03, &[format!("pssl:{port}:127.0.0.1")], &extra).await?;
        // Another process may have taken the port in between.
        if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok((servers, format!("ssl:127.0.0.1:{port}").parse()?));
        }
    }
    anyhow::bail!("no free port")
}

#[tokio::test]
async fn both_sides_show_certificates_of_one_authority() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let dir = tempfile::tempdir()?;
    let pki = dir.path();
    authority(pki, "ca")?;
    authority(pki, "stranger")?;
    certificate(pki, "ca", "server")?;
    certificate(pki, "ca", "client")?;
    certificate(pki, "stranger", "intruder")?;
    let (_servers, endpoints) = server(pki).await?;
    let config = || ClientConfig::new(endpoints.clone(), nb::DATABASE, all_of_nb());

    let client = Client::connect(config().tls(tls(pki, "client", "ca")))?;
    client.ready(LIMIT).await?;
    let uuid = Uuid::from_u128(1);
    let switch = nb::LogicalSwitch { name: "over-tls".to_owned(), ..Default::default() };
    client.transact(Txn::new([Op::insert(nb::LogicalSwitch::TABLE, uuid, switch.to_row())]), LIMIT).await?;
    assert!(client.snapshot().replica.row(nb::LogicalSwitch::TABLE, &uuid).is_some());

    // A server whose chain doesn't lead to our authority is refused by us …
    let client = Client::connect(config().tls(tls(pki, "client", "stranger")))?;
    let mut status = client.watch_status();
    let refused =
        status.wait_for(|s| s.last_error.contains("not of a CA in") && s.last_error.contains("stranger.pem"));
    tokio::time::timeout(LIMIT, refused).await??;
    assert!(!client.snapshot().fresh);

    // … and a client whose chain doesn't is refused by the server.
    let client = Client::connect(config().tls(tls(pki, "intruder", "ca")))?;
    let mut status = client.watch_status();
    tokio::time::timeout(LIMIT, status.wait_for(|s| !s.last_error.is_empty())).await??;
    assert!(!client.snapshot().fresh);
    assert_eq!(client.status().connects, 0);
    Ok(())
}

#[tokio::test]
async fn mistakes_in_files_are_found_before_connecting() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let dir = tempfile::tempdir()?;
    let pki = dir.path();
    let endpoints: Endpoints = "ssl:127.0.0.1:1".parse()?;
    let config = || ClientConfig::new(endpoints.clone(), nb::DATABASE, all_of_nb());
    let error = Client::connect(config()).unwrap_err().to_string();
    assert!(error.contains("ssl:127.0.0.1:1 needs TLS"), "{error}");
    let error = Client::connect(config().tls(tls(pki, "client", "ca"))).unwrap_err().to_string();
    assert!(error.contains("ca.pem"), "{error}");
    authority(pki, "ca")?;
    certificate(pki, "ca", "client")?;
    std::fs::write(pki.join("client-key.pem"), "no key")?;
    let error = Client::connect(config().tls(tls(pki, "client", "ca"))).unwrap_err().to_string();
    assert!(error.contains("private key") && error.contains("client-key.pem"), "{error}");
    Ok(())
}

/// A site changes its CA and all keys while everything runs: first both CAs in the bundles, then new certificates, then
/// the new CA alone.
#[tokio::test]
async fn keys_and_authorities_change_while_we_run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = dir.path();
    for ca in ["old", "new"] {
        authority(pki, ca)?;
        certificate(pki, ca, &format!("{ca}-server"))?;
        certificate(pki, ca, &format!("{ca}-client"))?;
    }
    // As the kubelet does it: a link to a directory, which is replaced as a whole.
    let publish = |generation: &str, leaf: &str, authorities: &[&str]| -> Result<()> {
        let there = pki.join(generation);
        std::fs::create_dir(&there)?;
        for part in ["server", "client"] {
            std::fs::copy(pki.join(format!("{leaf}-{part}-key.pem")), there.join(format!("{part}-key.pem")))?;
            std::fs::copy(pki.join(format!("{leaf}-{part}.pem")), there.join(format!("{part}.pem")))?;
        }
        let mut bundle = String::new();
        for ca in authorities {
            bundle += &std::fs::read_to_string(pki.join(format!("{ca}.pem")))?;
        }
        std::fs::write(there.join("ca.pem"), bundle)?;
        std::os::unix::fs::symlink(&there, pki.join("next"))?;
        std::fs::rename(pki.join("next"), pki.join("now"))?;
        Ok(())
    };
    publish("1", "old", &["old"])?;
    let now = pki.join("now");
    let (mut servers, endpoints) = server(&now).await?;
    let config = ClientConfig::new(endpoints, nb::DATABASE, all_of_nb()).tls(tls(&now, "client", "ca"));
    let client = Client::connect(config)?;
    client.ready(LIMIT).await?;

    for (generation, leaf, authorities) in
        [("2", "old", &["old", "new"][..]), ("3", "new", &["old", "new"]), ("4", "new", &["new"])]
    {
        publish(generation, leaf, authorities)?;
        let connects = client.status().connects;
        // The server reads its files at its start, and the client connects anew.
        servers.kill(0);
        servers.start(0).await?;
        let mut status = client.watch_status();
        let again = status.wait_for(|status| status.fresh && status.connects > connects);
        tokio::time::timeout(LIMIT, again).await.with_context(|| format!("{leaf} {authorities:?}"))??;
    }

    // What can't be used (it is half written) leaves what was read before.
    std::fs::write(pki.join("4/client-key.pem"), "half a k")?;
    let connects = client.status().connects;
    servers.kill(0);
    servers.start(0).await?;
    let mut status = client.watch_status();
    let again = status.wait_for(|status| status.fresh && status.connects > connects);
    tokio::time::timeout(LIMIT, again).await??;
    Ok(())
}

#[tokio::test]
async fn names_are_pinned_where_some_are_given() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pki = dir.path();
    authority(pki, "ca")?;
    certificate(pki, "ca", "server")?;
    certificate(pki, "ca", "client")?;
    let (_servers, endpoints) = server(pki).await?;
    let connect = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let tls = TlsConfig { names, ..tls(pki, "client", "ca") };
        Client::connect(ClientConfig::new(endpoints.clone(), nb::DATABASE, all_of_nb()).tls(tls))
    };
    // The client's certificate is of the same CA, so a stolen one could else play the server.
    let client = connect(&["127.0.0.1", "client.invalid"])?;
    let mut status = client.watch_status();
    let refused = status.wait_for(|s| s.last_error.contains("none of the names 127.0.0.1, client.invalid"));
    tokio::time::timeout(LIMIT, refused).await??;
    assert!(!client.snapshot().fresh);
    connect(&["127.0.0.1", "server.invalid"])?.ready(LIMIT).await?;
    let error = connect(&["no name"]).unwrap_err().to_string();
    assert!(error.contains("no name"), "{error}");
    Ok(())
}

/// What `ovs-pki` makes is what most sites have.
#[tokio::test]
async fn certificates_of_ovs_pki_are_accepted() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let dir = tempfile::tempdir()?;
    let pki = dir.path();
    let run = |args: &[&str]| -> Result<()> {
        let base = format!("--dir={}", pki.join("pki").display());
        let log = format!("--log={}", pki.join("log").display());
        let output = Command::new("ovs-pki").args([&base, &log]).args(args).current_dir(pki).output()?;
        ensure!(output.status.success(), "ovs-pki {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    run(&["init"])?;
    for name in ["server", "client"] {
        run(&["req+sign", name, "switch"])?;
        std::fs::rename(pki.join(format!("{name}-privkey.pem")), pki.join(format!("{name}-key.pem")))?;
        std::fs::rename(pki.join(format!("{name}-cert.pem")), pki.join(format!("{name}.pem")))?;
    }
    std::fs::copy(pki.join("pki/switchca/cacert.pem"), pki.join("ca.pem"))?;
    let (_servers, endpoints) = server(pki).await?;
    let config = ClientConfig::new(endpoints, nb::DATABASE, all_of_nb()).tls(tls(pki, "client", "ca"));
    let client = Client::connect(config)?;
    client.ready(LIMIT).await?;
    Ok(())
}
