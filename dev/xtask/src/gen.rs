//! `cargo xtask gen`: writes the typed tables of `crates/ovn` from the pinned schemas, the page of reasons, what is made of
//! the list of the chart's values, and the CRDs.
//!
//! Decides the Rust type of each column and the names; what a table is made of is `crates/ovn/src/table.rs`.
//! With `--check` nothing is written and drift is an error, so that tables and schemas can't part.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

/// A schema and the module made from it.
struct Module {
    schema: &'static str,
    file: &'static str,
}

const MODULES: [Module; 3] = [
    Module { schema: "schemas/ovn-25.03/ovn-nb.ovsschema", file: "crates/ovn/src/nb.rs" },
    Module { schema: "schemas/ovn-25.03/ovn-sb.ovsschema", file: "crates/ovn/src/sb.rs" },
    Module { schema: "schemas/ovs-3.1/vswitch.ovsschema", file: "crates/ovn/src/vswitch.rs" },
];

/// The page of all reasons.
const REASONS: &str = "docs/operate/reasons.md";

/// Writes all generated files, or, with `check`, fails if they differ from what would be written.
pub fn run(check: bool) -> Result<()> {
    let root = crate::root()?;
    sources(root, check)?;
    crds(root, check)
}

/// Fails if a generated file differs from what would be written, but for the CRDs: a test of `crates/api` compares those,
/// and their program would be compiled with all it uses for this alone.
pub fn check_sources() -> Result<()> {
    sources(crate::root()?, true)
}

/// Tables, the page of reasons and what is made of the chart's values.
fn sources(root: &Path, check: bool) -> Result<()> {
    let mut made = vec![(REASONS, tombolo_names::reason::page())];
    made.extend(tombolo_chart::generated::files(&tombolo_chart::values::read()?));
    for module in MODULES {
        let path = root.join(module.schema);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let schema: Value =
            serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
        made.push((module.file, rustfmt(root, &generate(&schema, module.schema)?)?));
    }
    let mut drifted = Vec::new();
    for (file, text) in made {
        let target: PathBuf = root.join(file);
        if std::fs::read_to_string(&target).unwrap_or_default() == text {
            continue;
        }
        if check {
            drifted.push(file);
        } else {
            std::fs::write(&target, text).with_context(|| format!("writing {}", target.display()))?;
            println!("wrote {file}");
        }
    }
    if !drifted.is_empty() {
        bail!(
            "{} differ from what they are made of; run `cargo xtask gen` and commit the result",
            drifted.join(", ")
        );
    }
    Ok(())
}

/// The CustomResourceDefinitions, by the program of the crate that has their types: xtask is to stay small.
fn crds(root: &Path, check: bool) -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--package", "tombolo-api", "--bin", "gen-crds", "--"]);
    let status =
        command.args(check.then_some("--check")).current_dir(root).status().context("starting cargo")?;
    if !status.success() {
        bail!(
            "charts/tombolo/files/crds differ from their types; run `cargo xtask gen` and commit the result"
        );
    }
    Ok(())
}

fn rustfmt(root: &Path, source: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout", "--config-path"])
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt (a component of the Rust toolchain)")?;
    let mut stdin = child.stdin.take().context("invariant: stdin is piped")?;
    let text = source.to_owned();
    // Written from a thread: both pipes are bounded, one loop for both could block for good.
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().context("waiting for rustfmt")?;
    writer.join().map_err(|_| anyhow!("writing to rustfmt panicked"))?.context("writing to rustfmt")?;
    if !output.status.success() {
        bail!("rustfmt refused the generated source: {}", output.status);
    }
    String::from_utf8(output.stdout).context("rustfmt's output is UTF-8")
}

fn generate(schema: &Value, origin: &str) -> Result<String> {
    let name = text(schema, "name")?;
    let version = text(schema, "version")?;
    let tables = schema["tables"].as_object().context("schema without tables")?;
    let mut out = String::new();
    writeln!(out, "//! Tables of `{name}` {version}.\n//!")?;
    writeln!(out, "//! Written by `cargo xtask gen` from `{origin}`; don't edit.\n")?;
    writeln!(out, "use std::collections::{{BTreeMap, BTreeSet}};\n")?;
    writeln!(out, "use crate::Ref;\nuse crate::table::{{Facts, choice, table}};\n")?;
    writeln!(out, "/// The database's name.\npub const DATABASE: &str = {name:?};\n")?;
    writeln!(out, "/// The pinned schema, as `.ovsschema` text.")?;
    writeln!(out, "pub const SCHEMA: &str = include_str!(\"../../../{origin}\");\n")?;
    let mut sorted: Vec<(&String, &Value)> = tables.iter().collect();
    sorted.sort_by_key(|(table, _)| *table);
    writeln!(out, "/// What the schema says of each table, ascending by name.")?;
    writeln!(out, "pub const TABLES: &[Facts] = &[")?;
    for (table, _) in &sorted {
        writeln!(out, "    Facts::of::<{}>(),", camel(table))?;
    }
    writeln!(out, "];\n")?;
    for (table, spec) in sorted {
        generate_table(&mut out, name, table, spec).with_context(|| format!("table {table}"))?;
    }
    Ok(out)
}

fn generate_table(out: &mut String, database: &str, table: &str, spec: &Value) -> Result<()> {
    let columns = spec["columns"].as_object().context("table without columns")?;
    let mut columns: Vec<(&String, &Value)> = columns.iter().collect();
    columns.sort_by_key(|(column, _)| *column);
    let type_name = camel(table);
    let mut fields = String::new();
    let mut references = Vec::new();
    for (column, spec) in &columns {
        let ty = ColumnType::read(spec).with_context(|| format!("column {column}"))?;
        for base in [Some(&ty.key), ty.value.as_ref()].into_iter().flatten() {
            if let Some(target) = &base.ref_table {
                let kind = if base.weak { "weak" } else { "strong" };
                references.push(format!("{column:?} => {target:?} {kind}"));
            }
        }
        let mut choice = None;
        if !ty.key.allowed.is_empty() && ty.value.is_none() && ty.max == Some(1) {
            let enum_name = format!("{type_name}{}", camel(column));
            writeln!(out, "choice! {{\n    /// Values of `{table}.{column}`.\n    {enum_name} {{")?;
            for value in &ty.key.allowed {
                writeln!(out, "        {} = {value:?},", variant(value))?;
            }
            writeln!(out, "    }}\n}}\n")?;
            choice = Some(enum_name);
        }
        let flag = |key: &str, default: bool| spec[key].as_bool().unwrap_or(default);
        let mut notes = ty.describe();
        if !flag("mutable", true) {
            notes.push_str("; can't be changed after insertion");
        }
        if flag("ephemeral", false) {
            notes.push_str("; lost when the server restarts");
        }
        let rust = ty.rust(choice.as_deref())?;
        writeln!(fields, "        /// `{column}`: {notes}.")?;
        writeln!(fields, "        {}: {rust} = {} {column:?},", field(column), constant(column))?;
    }
    let indexes = spec["indexes"].as_array().into_iter().flatten().map(|index| {
        let columns = index.as_array().into_iter().flatten();
        format!("[{}]", columns.map(Value::to_string).collect::<Vec<_>>().join(", "))
    });
    let indexes = indexes.collect::<Vec<_>>().join(", ");
    let root = spec["isRoot"].as_bool().unwrap_or(false);
    let has_ids = columns.iter().any(|(column, _)| *column == "external_ids");
    writeln!(out, "table! {{\n    /// A row of `{database}.{table}`.\n    {type_name} = {table:?},")?;
    writeln!(out, "    root: {root},\n    indexes: [{indexes}],")?;
    writeln!(out, "    references: [{}],", references.join(", "))?;
    writeln!(out, "    external_ids: {has_ids},\n    columns: {{\n{fields}    }}\n}}\n")?;
    Ok(())
}

struct ColumnType {
    key: BaseType,
    value: Option<BaseType>,
    min: u64,
    /// `None` is "unlimited".
    max: Option<u64>,
}

struct BaseType {
    kind: String,
    allowed: Vec<String>,
    ref_table: Option<String>,
    weak: bool,
}

impl ColumnType {
    fn read(spec: &Value) -> Result<ColumnType> {
        let ty = &spec["type"];
        if ty.is_string() {
            return Ok(ColumnType { key: BaseType::read(ty)?, value: None, min: 1, max: Some(1) });
        }
        let value = ty.get("value").map(BaseType::read).transpose()?;
        let max = match ty.get("max") {
            Some(Value::String(_)) => None,
            Some(number) => Some(number.as_u64().context("max")?),
            None => Some(1),
        };
        let min = ty.get("min").and_then(Value::as_u64).unwrap_or(1);
        Ok(ColumnType { key: BaseType::read(&ty["key"])?, value, min, max })
    }

    fn rust(&self, choice: Option<&str>) -> Result<String> {
        let key = match choice {
            Some(choice) => choice.to_owned(),
            None => self.key.rust()?,
        };
        Ok(match (&self.value, self.min, self.max) {
            (Some(value), _, _) => format!("BTreeMap<{key}, {}>", value.rust()?),
            (None, 1, Some(1)) => key,
            (None, 0, Some(1)) => format!("Option<{key}>"),
            _ => format!("BTreeSet<{key}>"),
        })
    }

    fn describe(&self) -> String {
        let count = match (self.min, self.max) {
            (1, Some(1)) => "one".to_owned(),
            (0, Some(1)) => "at most one".to_owned(),
            (0, None) => "any number of".to_owned(),
            (min, None) => format!("{min} or more"),
            (min, Some(max)) => format!("{min} to {max}"),
        };
        match &self.value {
            Some(value) => format!("{count} {} → {}", self.key.describe(), value.describe()),
            None => format!("{count} {}", self.key.describe()),
        }
    }
}

impl BaseType {
    fn read(spec: &Value) -> Result<BaseType> {
        if let Some(kind) = spec.as_str() {
            return Ok(BaseType { kind: kind.to_owned(), allowed: Vec::new(), ref_table: None, weak: false });
        }
        let allowed = match spec.get("enum") {
            None => Vec::new(),
            Some(Value::String(one)) => vec![one.clone()],
            Some(set) => {
                let values = set[1].as_array().context("enum")?;
                values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
        };
        Ok(BaseType {
            kind: text(spec, "type")?.to_owned(),
            allowed,
            ref_table: spec.get("refTable").and_then(Value::as_str).map(str::to_owned),
            weak: spec.get("refType").and_then(Value::as_str) == Some("weak"),
        })
    }

    fn rust(&self) -> Result<String> {
        Ok(match (self.kind.as_str(), &self.ref_table) {
            ("uuid", Some(table)) => format!("Ref<{}>", camel(table)),
            ("uuid", None) => "tombolo_ovsdb::Uuid".to_owned(),
            ("string", _) => "String".to_owned(),
            ("integer", _) => "i64".to_owned(),
            ("boolean", _) => "bool".to_owned(),
            (other, _) => bail!("no Rust type is chosen yet for columns of type {other}"),
        })
    }

    fn describe(&self) -> String {
        match &self.ref_table {
            Some(table) => format!("{} reference to `{table}`", if self.weak { "weak" } else { "strong" }),
            None if !self.allowed.is_empty() => format!("of `{}`", self.allowed.join("`, `")),
            None => self.kind.clone(),
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("schema without {key}"))
}

/// `Logical_Switch_Port` → `LogicalSwitchPort`, `ACL` → `Acl`, `from-lport` → `FromLport`.
fn camel(name: &str) -> String {
    let words = name.split(['_', '-', '.']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let shouted = word.chars().all(|c| !c.is_lowercase());
            let (head, tail) = word.split_at(1);
            let tail = if shouted { tail.to_lowercase() } else { tail.to_owned() };
            head.to_uppercase() + &tail
        })
        .collect()
}

/// A column as a field: Rust's keywords need the raw form.
fn field(column: &str) -> String {
    match column {
        "type" | "match" | "ref" | "use" | "in" | "mod" | "static" | "where" | "priv" | "virtual" => {
            format!("r#{column}")
        }
        other => other.to_owned(),
    }
}

/// A listed value as an enum's variant; `Other` is taken by values that aren't listed.
fn variant(value: &str) -> String {
    match value {
        "other" => "OtherValue".to_owned(),
        value => camel(value),
    }
}

/// A column as a constant; `TABLE` is taken by the table's own name.
fn constant(column: &str) -> String {
    match column {
        "table" | "columns" => format!("COLUMN_{}", column.to_uppercase()),
        column => column.to_uppercase(),
    }
}
