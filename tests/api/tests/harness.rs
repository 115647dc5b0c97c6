//! The harness itself: what it starts answers, keeps its data over a pause, and leaves nothing behind.

use tombolo_tests_api::{ApiServer, Nb};

#[test]
fn api_server() -> anyhow::Result<()> {
    let Some(mut api) = ApiServer::start()? else { return Ok(()) };
    api.apply_crds()?;
    api.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: net2}\n")?;
    api.pause();
    assert!(api.kubectl(&["get", "namespace", "net2", "--request-timeout=1s"]).is_err());
    api.resume()?;
    assert_eq!(api.json(&["get", "namespace", "net2"])?["metadata"]["name"], "net2");
    Ok(())
}

#[test]
fn nb() -> anyhow::Result<()> {
    for start in [Nb::start, Nb::start_clustered] {
        let Some(mut nb) = start()? else { return Ok(()) };
        let (router, network) = nb.neutron_router(1, "router0", "192.168.1.0/24")?;
        nb.pause();
        nb.resume()?;
        let shown = nb.ctl(&["show"])?;
        assert!(shown.contains(&format!("({router})")) && shown.contains(&format!("({network})")), "{shown}");
        assert!(shown.contains("networks: [\"192.168.1.1/24\"]"), "{shown}");
    }
    Ok(())
}
