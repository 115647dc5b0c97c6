//! The metrics of real ovsdb-servers: three members of a northbound database, and a southbound one on its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio_util::sync::CancellationToken;
use tombolo_monitor::options::Options;
use tombolo_monitor::run::Watcher;
use tombolo_needs::needs;
use tombolo_observe::{Family, Source};
use tombolo_ovn::{TypedRow, nb, sb};
use tombolo_ovsdb::{Client, ClientConfig, Condition, Datum, Op, Row, Schema, Txn, Uuid, Wanted};
use tombolo_ovsdb_servers::{LIMIT, Servers};

struct Site {
    nb: Servers,
    sb: Servers,
    nb_writer: Client,
    sb_writer: Client,
    watcher: Arc<Watcher>,
    stop: CancellationToken,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Site {
    async fn start(flags: &[&str]) -> Result<Self> {
        let nb = Servers::cluster(nb::SCHEMA, 3).await?;
        let sb = Servers::standalone(sb::SCHEMA).await?;
        let args = [format!("--ovn-nb-addr={}", nb.endpoints()), format!("--ovn-sb-addr={}", sb.endpoints())];
        let all = ["kube-ovn-monitor".to_owned()].into_iter().chain(args);
        let options = Options::read(all.chain(flags.iter().map(|f| (*f).to_owned())), &|_| None)?;
        let everything = Wanted::everything(&Schema::parse(sb::SCHEMA)?);
        let sb_writer = Client::connect(ClientConfig::new(sb.endpoints(), sb::DATABASE, everything))?;
        sb_writer.ready(LIMIT).await?;
        let nb_writer = nb.client().await?;
        let watcher = Arc::new(Watcher::start(&options)?);
        let stop = CancellationToken::new();
        tokio::spawn({
            let (watcher, stop) = (watcher.clone(), stop.clone());
            async move { watcher.follow(stop).await }
        });
        Ok(Self { nb, sb, nb_writer, sb_writer, watcher, stop })
    }

    /// Waits until a series has a value; its labels as `key=value`, of which those given must be there.
    async fn until(&self, name: &str, labels: &[&str], value: f64) -> Result<()> {
        let began = Instant::now();
        loop {
            let families = self.watcher.families();
            let family = families.iter().find(|family| family.name == name);
            let family = family.with_context(|| format!("{name} is exported"))?;
            if find(family, labels).is_some_and(|found| (found - value).abs() < 1e-9) {
                return Ok(());
            }
            if began.elapsed() > LIMIT {
                bail!("{name}{labels:?} never was {value}: {:?}", family.series);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn claim(&self, port: Uuid, chassis: Option<Uuid>) -> Result<()> {
        let cell = Datum::optional(chassis.map(tombolo_ovsdb::Atom::Uuid));
        let row = Row::from_cells([(sb::PortBinding::CHASSIS, cell)]);
        let conditions = vec![Condition::uuid(port)];
        let update = Op::Update { table: sb::PortBinding::TABLE, conditions, row };
        self.sb_writer.transact(Txn::new([update]), LIMIT).await?;
        // One at a time: what comes faster than it is read is read as one change.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    }
}

fn find(family: &Family, labels: &[&str]) -> Option<f64> {
    let has = |series: &[(&str, String)]| {
        labels.iter().all(|want| series.iter().any(|(key, value)| format!("{key}={value}") == *want))
    };
    family.series.iter().find(|(series, _)| has(series)).map(|(_, value)| *value)
}

fn insert<T: TypedRow>(uuid: Uuid, row: &T) -> Op {
    Op::Insert { table: T::TABLE, uuid: Some(uuid), uuid_name: None, row: row.to_row() }
}

const NB_DB: &str = "db_name=OVN_Northbound";

#[tokio::test]
async fn a_member_that_ends_is_seen_and_so_is_the_next_leader() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let mut site = Site::start(&[]).await?;
    site.until("tombolo_ovn_leaders", &[NB_DB], 1.0).await?;
    site.until("tombolo_ovn_leaders", &["db_name=OVN_Southbound"], 1.0).await?;
    site.until("kube_ovn_cluster_enabled", &["db_name=OVN_Southbound"], 0.0).await?;
    let leader = site.nb.leader().await?;
    let endpoint = format!("endpoint={}", site.nb.endpoint(leader));
    let host = format!("hostname={}", site.nb.socket(leader).display());
    site.until("tombolo_ovn_member_connected", &[NB_DB, &endpoint], 1.0).await?;
    site.until("kube_ovn_cluster_role", &[NB_DB, &host, "server_role=leader"], 1.0).await?;
    site.until("kube_ovn_ovn_status", &[&host, "component=ovsdb-server-northbound"], 1.0).await?;
    site.nb.kill(leader);
    site.until("tombolo_ovn_member_connected", &[NB_DB, &endpoint], 0.0).await?;
    site.until("kube_ovn_ovn_status", &[&host], 0.0).await?;
    site.nb.leader().await?;
    site.until("tombolo_ovn_leaders", &[NB_DB], 1.0).await?;
    // Two of three gone: the third knows that it can't serve.
    let next = site.nb.leader().await?;
    site.nb.kill(next);
    site.until("tombolo_ovn_leaders", &[NB_DB], 0.0).await?;
    site.nb.start(leader).await?;
    site.nb.start(next).await?;
    site.until("tombolo_ovn_leaders", &[NB_DB], 1.0).await?;
    site.until("tombolo_ovn_member_connected", &[NB_DB, &endpoint], 1.0).await
}

#[tokio::test]
async fn switches_chassis_and_what_northd_owes_are_read_from_the_rows() -> Result<()> {
    needs!(tombolo_ovsdb_servers::are_there());
    let site = Site::start(&["--port-series"]).await?;
    let (switch, port, datapath) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let addresses = ["0a:00:00:00:00:01 10.16.0.2".to_owned()].into();
    let ports = [tombolo_ovn::Ref::new(port)].into();
    let ids = [("vendor".to_owned(), "kube-ovn".to_owned())].into();
    let own =
        nb::LogicalSwitch { name: "ovn-default".into(), ports, external_ids: ids, ..Default::default() };
    let txn = Txn::new([
        insert(port, &nb::LogicalSwitchPort { name: "p.default".into(), addresses, ..Default::default() }),
        insert(switch, &own),
        insert(Uuid::from_u128(4), &nb::NbGlobal { nb_cfg: 3, sb_cfg: 1, ..Default::default() }),
    ]);
    site.nb_writer.transact(txn, LIMIT).await?;
    let name = "logical_switch_name=ovn-default";
    site.until("kube_ovn_logical_switch_ports_num", &[name], 1.0).await?;
    site.until("kube_ovn_logical_switch_external_id", &[name, "key=vendor", "value=kube-ovn"], 1.0).await?;
    site.until("tombolo_northd_nb_cfg_distance", &[], 2.0).await?;
    // The southbound database lacks the switch: that is lag, whatever anybody asked for.
    let began = Instant::now();
    let lag = || site.watcher.families().into_iter().find(|f| f.name == "tombolo_northd_lag_seconds");
    while lag().and_then(|family| find(&family, &[])).is_none_or(|seconds| seconds < 0.2) {
        assert!(began.elapsed() < LIMIT, "no lag is seen: {:?}", lag());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let key = |n: &str| [("logical-switch".to_owned(), n.to_owned())].into();
    let (a, b) = (Uuid::from_u128(11), Uuid::from_u128(12));
    let txn = Txn::new([
        insert(
            datapath,
            &sb::DatapathBinding {
                tunnel_key: 7,
                external_ids: key(&switch.to_string()),
                ..Default::default()
            },
        ),
        insert(Uuid::from_u128(21), &encap("192.0.2.1")),
        insert(Uuid::from_u128(22), &encap("192.0.2.2")),
        insert(a, &chassis("a", 21)),
        insert(b, &chassis("b", 22)),
        insert(
            Uuid::from_u128(31),
            &sb::ChassisPrivate {
                name: "a".into(),
                nb_cfg: 1,
                chassis: Some(tombolo_ovn::Ref::new(a)),
                ..Default::default()
            },
        ),
        insert(Uuid::from_u128(32), &sb::SbGlobal { nb_cfg: 3, ..Default::default() }),
        insert(
            Uuid::from_u128(41),
            &sb::PortBinding {
                logical_port: "p.default".into(),
                datapath: tombolo_ovn::Ref::new(datapath),
                tunnel_key: 5,
                ..Default::default()
            },
        ),
    ]);
    site.sb_writer.transact(txn, LIMIT).await?;
    site.until("kube_ovn_logical_switch_tunnel_key", &[name], 7.0).await?;
    site.until("kube_ovn_chassis_info", &["name=a", "ip=192.0.2.1", "hostname=host-a"], 1.0).await?;
    site.until("tombolo_chassis_nb_cfg_distance", &["chassis=a"], 2.0).await?;
    site.until("kube_ovn_logical_switch_port_tunnel_key", &["port_name=p.default"], 5.0).await?;

    // northd has taken over the switch and answered the requests.
    let answered = Row::from_cells([(nb::NbGlobal::SB_CFG, Datum::integer(3))]);
    let update = Op::Update { table: nb::NbGlobal::TABLE, conditions: Vec::new(), row: answered };
    site.nb_writer.transact(Txn::new([update]), LIMIT).await?;
    site.until("tombolo_northd_lag_seconds", &[], 0.0).await?;

    let binding = Uuid::from_u128(41);
    let moves = "tombolo_port_binding_moves";
    for chassis in [Some(a), None, Some(b), None] {
        site.claim(binding, chassis).await?;
    }
    let none = site.watcher.families().into_iter().find(|f| f.name == moves).context("exported")?;
    assert!(none.series.is_empty(), "a port that moved once doesn't flap: {:?}", none.series);
    for chassis in [Some(a), None, Some(b)] {
        site.claim(binding, chassis).await?;
    }
    site.until(moves, &["port=p.default"], 2.0).await?;
    let info = ["name=p.default", "chassis=b", "mac_address=0a:00:00:00:00:01", "ip_address=10.16.0.2"];
    site.until("kube_ovn_logical_switch_port_info", &info, 1.0).await?;
    assert!(!site.sb.log(0).contains("ERR"));
    Ok(())
}

fn encap(ip: &str) -> sb::Encap {
    sb::Encap { ip: ip.into(), r#type: sb::EncapType::Geneve, ..Default::default() }
}

fn chassis(name: &str, encap: u128) -> sb::Chassis {
    let encaps = [tombolo_ovn::Ref::new(Uuid::from_u128(encap))].into();
    sb::Chassis { name: name.into(), hostname: format!("host-{name}"), encaps, ..Default::default() }
}
