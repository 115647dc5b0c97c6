//! Canaries: a transaction of ours that touches a foreign row of any table of NB, SB or Open_vSwitch, in any column, or takes the
//! row away, on a real ovsdb-server, is caught, also that of a program that gave its client no name. The same by others isn't
//! blamed on us.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tombolo_foreign_rows::plant::Plant;
use tombolo_foreign_rows::server::Server;
use tombolo_foreign_rows::{Database, Guard};
use tombolo_needs::needs;
use tombolo_ovsdb::Uuid;
use tombolo_plan::ClusterId;

const NB_23_03: &str = include_str!("../../../schemas/ovn-23.03/ovn-nb.ovsschema");
const SB_23_03: &str = include_str!("../../../schemas/ovn-23.03/ovn-sb.ovsschema");

// invariant 1
#[test]
fn northbound() -> Result<()> {
    canaries(Database::Northbound, tombolo_ovn::nb::SCHEMA, "tombolo-controller: epoch 1 of c", true)?;
    canaries(Database::Northbound, NB_23_03, "tombolo-controller: epoch 1 of c", false)
}

// invariant 1
#[test]
fn southbound() -> Result<()> {
    canaries(Database::Southbound, tombolo_ovn::sb::SCHEMA, "tombolo-controller: tombolo 1 of c: x", false)?;
    canaries(Database::Southbound, SB_23_03, tombolo_ovsdb::txn::UNNAMED, true)
}

// invariant 1
#[test]
fn open_vswitch() -> Result<()> {
    canaries(Database::Vswitch, tombolo_ovn::vswitch::SCHEMA, "tombolo-agent: pod", false)
}

fn canaries(database: Database, schema: &str, ours: &str, clustered: bool) -> Result<()> {
    let server = needs!(Server::start(database, schema, clustered)?);
    let plant = Plant::all(&server.schema, 1);
    server.transact("", &plant.operations()).context("planting a row in each table")?;
    let guard = {
        let cluster = ClusterId::new("c").map_err(anyhow::Error::msg)?;
        Guard::of(cluster).watch(database, "db", &[&server.file]).start()?
    };

    let (mut caught, mut tables) = (0, BTreeSet::new());
    for (table, its) in &server.schema.tables {
        let uuid = plant.uuid(table).context("planted")?;
        for (column, schema) in its.columns.iter().filter(|(_, schema)| schema.mutable && !schema.ephemeral) {
            let Some(other) = plant.other(table, column) else {
                // Nothing else can be in it.
                let only = schema.ty.key.ref_table.is_some() || schema.ty.key.allowed.len() == 1;
                ensure!(schema.ty.min > 0 && only, "{table}.{column}: no other value");
                continue;
            };
            let before = read(&server, table, uuid, column)?;
            ensure!(before != other, "{table}.{column} is {other} already");
            write(&server, ours, table, uuid, column, &other)?;
            let said = guard
                .check()
                .map(|_| ())
                .err()
                .with_context(|| format!("{table}.{column} was not caught"))?;
            ensure!(said.to_string().contains(&format!("{table} {uuid}")), "{table}.{column}: {said}");
            // Back again, by its owner.
            restore(&server, &plant, table, uuid, column, &before)?;
            guard.check().with_context(|| format!("{table}.{column} by its owner"))?;
            tables.insert(table.clone());
            caught += 1;
        }
    }
    println!("{}: changes of {caught} columns in {} tables caught", server.schema.name, tables.len());
    ensure!(tables.len() == server.schema.tables.len(), "of some tables no column was tried: {tables:?}");

    // Rows that we make without our marks.
    let unmarked = Plant::all(&server.schema, 2);
    let free = |table: &str| server.schema.tables[table].max_rows.is_none();
    server.transact(ours, &unmarked.operations_for(free))?;
    let said = guard.check().map(|_| ()).err().context("rows without our marks were not caught")?.to_string();
    for table in
        server.schema.tables.iter().filter(|(table, its)| its.is_root && free(table)).map(|(name, _)| name)
    {
        ensure!(
            said.contains(&format!("{table} {}", unmarked.uuid(table).context("made")?)),
            "{table}: {said}"
        );
    }

    // Rows taken away, one by one.
    let mut left: Vec<&String> = server.schema.tables.keys().collect();
    while !left.is_empty() {
        let before = left.len();
        let mut later = Vec::new();
        for table in left {
            let uuid = plant.uuid(table).context("planted")?;
            if read(&server, table, uuid, "_uuid").is_err() {
                continue; // gone with the last that referred to it, in a transaction that was caught
            }
            match server.transact(ours, &take_away(&server, &plant, table, uuid)?) {
                Ok(_) => ensure!(guard.check().is_err(), "{table}: not caught when it was taken away"),
                // Something refers to it that must.
                Err(_) => later.push(table),
            }
        }
        left = later;
        ensure!(left.len() < before, "these rows can't be taken away: {left:?}");
    }
    Ok(())
}

fn read(server: &Server, table: &str, uuid: Uuid, column: &str) -> Result<Value> {
    let condition = json!([["_uuid", "==", ["uuid", uuid.to_string()]]]);
    let select = json!({"op": "select", "table": table, "where": condition, "columns": [column]});
    let results = server.transact("", &[select])?;
    let row = results[0]["rows"][0].get(column);
    row.cloned().with_context(|| format!("{table} {uuid} isn't there"))
}

fn write(server: &Server, comment: &str, table: &str, uuid: Uuid, column: &str, value: &Value) -> Result<()> {
    let condition = json!([["_uuid", "==", ["uuid", uuid.to_string()]]]);
    let update = json!({"op": "update", "table": table, "where": condition, "row": {column: value}});
    let undone = server.transact(comment, &[update]);
    undone.map(drop).with_context(|| format!("writing {value} into {table}.{column}"))
}

/// Writes what was there, and makes rows anew that went with the reference to them.
fn restore(
    server: &Server,
    plant: &Plant,
    table: &str,
    uuid: Uuid,
    column: &str,
    value: &Value,
) -> Result<()> {
    let is_missing =
        |table: &str| plant.uuid(table).is_some_and(|uuid| read(server, table, uuid, "_uuid").is_err());
    let refers = server.schema.tables[table].columns[column].ty.key.ref_table.is_some()
        || server.schema.tables[table].columns[column]
            .ty
            .value
            .as_ref()
            .is_some_and(|v| v.ref_table.is_some());
    let mut operations = if refers { plant.operations_for(is_missing) } else { Vec::new() };
    let condition = json!([["_uuid", "==", ["uuid", uuid.to_string()]]]);
    operations.push(json!({"op": "update", "table": table, "where": condition, "row": {column: value}}));
    server.transact("neutron", &operations).map(drop).with_context(|| format!("restoring {table}.{column}"))
}

/// Deletes a row, or, of a table that is no root, all references to it.
fn take_away(server: &Server, plant: &Plant, table: &str, uuid: Uuid) -> Result<Vec<Value>> {
    let its = &server.schema.tables[table];
    if its.is_root {
        let condition = json!([["_uuid", "==", ["uuid", uuid.to_string()]]]);
        return Ok(vec![json!({"op": "delete", "table": table, "where": condition})]);
    }
    let mut operations = Vec::new();
    for (parent, its) in &server.schema.tables {
        for (column, schema) in &its.columns {
            let refers = |base: &tombolo_ovsdb::schema::BaseType| base.ref_table.as_deref() == Some(table);
            if !(refers(&schema.ty.key) || schema.ty.value.as_ref().is_some_and(refers)) || !schema.mutable {
                continue;
            }
            let Some(holder) = plant.uuid(parent) else { continue };
            let condition = json!([["_uuid", "==", ["uuid", holder.to_string()]]]);
            operations.push(
                json!({"op": "update", "table": parent, "where": condition, "row": {column.as_str(): ["set", []]}}),
            );
        }
    }
    Ok(operations)
}
