//! What is made of the list of values: values.yaml, values.schema.json and the page for operators.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::values::{Served, Table};

/// The files, from the checkout's root, with their text.
#[must_use]
pub fn files(table: &Table) -> Vec<(&'static str, String)> {
    vec![
        ("charts/tombolo/values.yaml", values(table)),
        ("charts/tombolo/values.schema.json", schema(table)),
        ("docs/operate/values.md", page(table)),
    ]
}

/// All values with their defaults, as comments: a value that is set is one that the user has set.
fn values(table: &Table) -> String {
    let mut out = "# The chart's values with their defaults. Made from files/values.yaml, which also has the other spellings; write down only\n\
                   # what differs. Kube-OVN's values, of both its charts, are understood: docs/operate/values.md lists them.\n"
        .to_owned();
    let mut tree = Vec::new();
    for value in &table.served {
        hang(&mut tree, value.paths[0].split('.').collect::<Vec<_>>().as_slice(), value);
    }
    for node in &tree {
        out.push('\n');
        write_node(&mut out, node, 0);
    }
    out
}

/// A key of values.yaml, in the order of the list.
struct Node<'a> {
    key: &'a str,
    value: Option<&'a Served>,
    below: Vec<Node<'a>>,
}

fn hang<'a>(nodes: &mut Vec<Node<'a>>, keys: &[&'a str], value: &'a Served) {
    let Some((key, rest)) = keys.split_first() else { return };
    let at = nodes.iter().position(|node| node.key == *key).unwrap_or_else(|| {
        nodes.push(Node { key, value: None, below: Vec::new() });
        nodes.len() - 1
    });
    match rest.is_empty() {
        true => nodes[at].value = Some(value),
        false => hang(&mut nodes[at].below, rest, value),
    }
}

fn write_node(out: &mut String, node: &Node<'_>, depth: usize) {
    let indent = "  ".repeat(depth);
    match node.value {
        Some(value) => {
            let _ = writeln!(out, "#{indent}# {}", value.about);
            let _ = writeln!(out, "#{indent}{}: {}", node.key, value.default);
        }
        None => {
            let _ = writeln!(out, "#{indent}{}:", node.key);
            node.below.iter().for_each(|node| write_node(out, node, depth + 1));
        }
    }
}

/// The JSON schema by which Helm refuses a key or a type that there isn't.
fn schema(table: &Table) -> String {
    let mut root = Map::new();
    for value in &table.served {
        for path in &value.paths {
            put(&mut root, path, leaf(value));
        }
    }
    for value in &table.unserved {
        for path in &value.paths {
            put(&mut root, path, json!({ "description": format!("Without effect. {}", value.why) }));
        }
    }
    let mut all = close(root);
    all["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    // Of a chart that has this one as its part, this is shared with the other parts.
    all["properties"]["global"]["additionalProperties"] = json!(true);
    let text = serde_json::to_string_pretty(&all).expect("invariant: a JSON value is written");
    text + "\n"
}

fn leaf(value: &Served) -> Value {
    let mut leaf = json!({ "type": value.kind, "description": value.about });
    if !value.choices.is_empty() {
        leaf["enum"] = json!(value.choices);
    }
    match value.kind.as_str() {
        "array" => leaf["items"] = json!({ "type": value.items }),
        "integer" => leaf["minimum"] = json!(0),
        _ => {}
    }
    leaf
}

/// Puts a leaf at a path of dots; inner nodes are plain maps until [`close`].
fn put(root: &mut Map<String, Value>, path: &str, leaf: Value) {
    let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
    match rest {
        None => drop(root.insert(key.to_owned(), json!({ "leaf": leaf }))),
        Some(rest) => {
            let node = root.entry(key).or_insert_with(|| json!({ "node": {} }));
            if let Some(node) = node["node"].as_object_mut() {
                put(node, rest, leaf);
            }
        }
    }
}

fn close(nodes: Map<String, Value>) -> Value {
    let close_one = |value: Value| match value {
        Value::Object(mut one) => match one.remove("leaf") {
            Some(leaf) => leaf,
            None => match one.remove("node") {
                Some(Value::Object(below)) => close(below),
                _ => Value::Null,
            },
        },
        other => other,
    };
    let properties: Map<String, Value> =
        nodes.into_iter().map(|(key, value)| (key, close_one(value))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// The page of all values, Kube-OVN's spellings beside them.
fn page(table: &Table) -> String {
    let mut out = "# The chart's values\n\n\
        Made from `charts/tombolo/files/values.yaml`. The first column is how this chart spells a value: as Kube-OVN's chart v2 where it \
        has it. The spellings of Kube-OVN's chart v1 are accepted, too; if two of one value are set, they must say the same. What isn't listed \
        here is refused.\n\n\
        | value | default | also written | meaning |\n|---|---|---|---|\n"
        .to_owned();
    let cell = |text: &str| text.replace('|', "\\|");
    for value in &table.served {
        let also: Vec<String> = value.paths[1..].iter().map(|path| format!("`{path}`")).collect();
        let _ = writeln!(
            out,
            "| `{}` | `{}` | {} | {} |",
            value.paths[0],
            cell(&value.default.to_string()),
            also.join(", "),
            cell(&value.about)
        );
    }
    out.push_str(
        "\n## Kube-OVN's values that have no effect\n\n\
         A value of Kube-OVN's charts that asks for something else than the cluster would get is refused; the others are accepted, and \
         `helm install` lists them.\n\n| value | accepted | reason |\n|---|---|---|\n",
    );
    for value in &table.unserved {
        let paths: Vec<String> = value.paths.iter().map(|path| format!("`{path}`")).collect();
        let only = value.only.as_ref().map_or("any".to_owned(), |only| {
            only.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
        });
        let _ = writeln!(out, "| {} | {only} | {} |", paths.join(", "), cell(&value.why));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values;

    #[test]
    fn the_schema_knows_both_spellings_and_no_other_key() {
        let schema: Value = serde_json::from_str(&schema(&values::read().unwrap())).unwrap();
        let networking = &schema["properties"]["networking"];
        assert_eq!(networking["properties"]["ENABLE_SSL"]["type"], "boolean");
        assert_eq!(networking["properties"]["enableSsl"]["type"], "boolean");
        assert_eq!(networking["properties"]["pods"]["properties"]["cidr"]["additionalProperties"], false);
        assert_eq!(
            (&schema["additionalProperties"], &networking["additionalProperties"]),
            (&json!(false), &json!(false))
        );
    }

    #[test]
    fn the_comments_of_values_yaml_are_the_defaults() {
        let table = values::read().unwrap();
        let text = values(&table);
        assert!(serde_yaml::from_str::<Value>(&text).unwrap().is_null(), "all of it is comments");
        // Without one "#" each it is YAML, and has every default at its first path.
        let plain: String = text
            .lines()
            .skip(2)
            .map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line)))
            .collect();
        let all: Value = serde_yaml::from_str(&plain).unwrap();
        for value in &table.served {
            let found = value.paths[0].split('.').fold(&all, |node, key| &node[key]);
            assert_eq!(*found, value.default, "{}", value.paths[0]);
        }
    }
}
