use std::collections::{BTreeMap, BTreeSet};

use tombolo_ovsdb::{Datum, Row, Schema, Uuid};

use crate::{TypedRow, nb, sb, vswitch};

#[test]
fn a_row_reads_back_as_written() {
    let port = nb::LogicalSwitchPort {
        uuid: Uuid::from_u128(7),
        name: "ubuntu.net2".to_owned(),
        addresses: BTreeSet::from(["00:00:00:AA:BB:CC 12.0.1.2".to_owned()]),
        external_ids: BTreeMap::from([("vendor".to_owned(), "kube-ovn".to_owned())]),
        up: Some(true),
        tag: Some(7),
        ..Default::default()
    };
    assert_eq!(nb::LogicalSwitchPort::from_row(port.uuid, &port.to_full_row()), port);
    let written: Vec<_> = port.to_row().iter().map(|(column, _)| column).collect();
    assert_eq!(written, ["addresses", "external_ids", "name", "tag", "up"]);
    // What an insert leaves out reads back as the default.
    assert_eq!(nb::LogicalSwitchPort::from_row(port.uuid, &port.to_row()), port);
}

#[test]
fn listed_values_are_enums_and_unlisted_ones_survive() {
    let row = Row::new().with(nb::Nat::TYPE, Datum::string("dnat_and_snat"));
    assert_eq!(nb::Nat::from_row(Uuid::nil(), &row).r#type, nb::NatType::DnatAndSnat);
    let row = Row::new().with(nb::Nat::TYPE, Datum::string("newer"));
    let nat = nb::Nat::from_row(Uuid::nil(), &row);
    assert_eq!(nat.r#type, nb::NatType::Other("newer".to_owned()));
    assert_eq!(nat.to_row(), row);
}

#[test]
fn facts_of_the_schema_are_constants() {
    const { assert!(nb::LogicalSwitch::IS_ROOT && !nb::LogicalSwitchPort::IS_ROOT) };
    assert_eq!(nb::LogicalSwitchPort::INDEXES, [["name"]]);
    const { assert!(nb::Acl::HAS_EXTERNAL_IDS && !nb::StaticMacBinding::HAS_EXTERNAL_IDS) };
    let ports = nb::PortGroup::REFERENCES.iter().find(|r| r.column == nb::PortGroup::PORTS).unwrap();
    assert!(ports.weak && ports.table == nb::LogicalSwitchPort::TABLE);
}

fn check<T: TypedRow + Default>(schema: &Schema) {
    let table = &schema.tables[T::TABLE];
    assert!(T::COLUMNS.iter().copied().eq(table.columns.keys().map(String::as_str)), "{}", T::TABLE);
    assert_eq!(T::IS_ROOT, table.is_root, "{}", T::TABLE);
    // The defaults of the struct are those of the database, or an insert would differ from its plan.
    for (column, datum) in T::default().to_full_row().iter() {
        let ty = &table.columns[column].ty;
        let expected = if ty.min > 0 && ty.max > 1 { Datum::empty_set() } else { ty.default_datum() };
        assert_eq!(*datum, expected, "{}.{column}", T::TABLE);
    }
}

#[test]
fn tables_agree_with_the_pinned_schemas() {
    let schema = Schema::parse(nb::SCHEMA).unwrap();
    assert_eq!(schema.name, nb::DATABASE);
    check::<nb::LogicalSwitch>(&schema);
    check::<nb::LogicalSwitchPort>(&schema);
    check::<nb::LogicalRouter>(&schema);
    check::<nb::LogicalRouterPort>(&schema);
    check::<nb::LogicalRouterPolicy>(&schema);
    check::<nb::LoadBalancer>(&schema);
    check::<nb::AddressSet>(&schema);
    check::<nb::PortGroup>(&schema);
    check::<nb::Acl>(&schema);
    check::<nb::Nat>(&schema);
    check::<nb::DhcpOptions>(&schema);
    check::<nb::Dns>(&schema);
    let schema = Schema::parse(sb::SCHEMA).unwrap();
    check::<sb::PortBinding>(&schema);
    check::<sb::Chassis>(&schema);
    let schema = Schema::parse(vswitch::SCHEMA).unwrap();
    check::<vswitch::OpenVSwitch>(&schema);
    check::<vswitch::Interface>(&schema);
    check::<vswitch::Bridge>(&schema);
}

#[test]
fn the_older_generation_lacks_only_what_capabilities_tell() {
    let old = Schema::parse(include_str!("../../../schemas/ovn-23.03/ovn-nb.ovsschema")).unwrap();
    let new = Schema::parse(nb::SCHEMA).unwrap();
    for (name, table) in &old.tables {
        for column in table.columns.keys() {
            assert!(new.column(name, column).is_some(), "{name}.{column} is gone in the newer schema");
        }
    }
    let caps = tombolo_ovsdb::Capabilities::new(old);
    assert!(!caps.has_column(nb::Acl::TABLE, nb::Acl::TIER));
    assert!(caps.has_column(nb::Acl::TABLE, nb::Acl::MATCH));
}
