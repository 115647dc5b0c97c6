//! Names of metrics: what our programs export (`charts/metrics`, a list for each), and what alerts and dashboards ask for. An
//! alert on a name that nobody exports never fires, and nobody notices.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Words of PromQL that are no names, beside functions, which are followed by a parenthesis.
const WORDS: &[&str] = &["and", "or", "unless", "bool", "offset", "inf", "nan"];
/// Those that are followed by a list of labels.
const BEFORE_LABELS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Prometheus makes it itself.
const UP: &str = "up";

fn folder() -> PathBuf {
    crate::workspace().join("charts/metrics")
}

/// Compares what a program exports with its list; with the environment variable `UPDATE`, writes the list.
///
/// # Errors
/// The names that differ.
pub fn agree(program: &str, exported: &BTreeSet<String>) -> Result<()> {
    let path = folder().join(format!("{program}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        let text: String = exported.iter().map(|name| format!("{name}\n")).collect();
        return fs::write(&path, text).with_context(|| format!("writing {}", path.display()));
    }
    let listed = read(&path)?;
    let differ: Vec<_> = listed.symmetric_difference(exported).collect();
    ensure!(
        differ.is_empty(),
        "{} isn't what {program} exports; UPDATE=1 writes it. They differ in: {differ:?}",
        path.display()
    );
    Ok(())
}

fn read(path: &std::path::Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// All names that any of our programs exports.
///
/// # Errors
/// Lists that can't be read; none.
pub fn exported() -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(folder()).with_context(|| format!("reading {}", folder().display()))? {
        all.extend(read(&entry?.path())?);
    }
    ensure!(!all.is_empty(), "{} has no list", folder().display());
    Ok(all)
}

/// An alert's name and expression, of the chart's alerts.
///
/// # Errors
/// A file that can't be read.
pub fn alerts() -> Result<BTreeMap<String, String>> {
    let path = crate::chart().join("files/alerts.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let file: Value = serde_yaml::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
    let rules = file["groups"].as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array());
    let each = rules.flatten().map(|rule| {
        let word = |key: &str| rule[key].as_str().with_context(|| format!("a rule without {key}: {rule}"));
        Ok((word("alert")?.to_owned(), word("expr")?.to_owned()))
    });
    each.collect()
}

/// The expressions of each dashboard, by its file's name.
///
/// # Errors
/// A file that can't be read.
pub fn dashboards() -> Result<BTreeMap<String, Vec<String>>> {
    let mut all = BTreeMap::new();
    let folder = crate::chart().join("files/dashboards");
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let board: Value =
            serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
        let panels = board["panels"].as_array().cloned().unwrap_or_default();
        let targets =
            panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
        let exprs = targets.filter_map(|target| target["expr"].as_str().map(str::to_owned)).collect();
        all.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned(), exprs);
    }
    Ok(all)
}

/// The metrics that an expression asks for.
#[must_use]
pub fn names(expr: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = expr;
    let mut labels_follow = false;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '{' => until(rest, '}'),
            '[' => until(rest, ']'),
            '(' if labels_follow => until(rest, ')'),
            '"' | '\'' => 1 + until(&rest[1..], first),
            c if c.is_ascii_digit() => {
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len())
            }
            c if is_of_name(c) => {
                let length = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
                let word = &rest[..length];
                labels_follow = BEFORE_LABELS.contains(&word);
                // `max(…)`, and `max by (…) (…)`.
                let after = rest[length..].trim_start();
                let aggregates =
                    ["by ", "by(", "without ", "without("].iter().any(|it| after.starts_with(it));
                let function = after.starts_with('(') || aggregates;
                if !labels_follow && !function && !WORDS.contains(&word) {
                    names.insert(word.to_owned());
                }
                rest = &rest[length..];
                continue;
            }
            c => c.len_utf8(),
        };
        labels_follow &= first.is_whitespace();
        rest = &rest[length..];
    }
    names
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Up to and with the next `end`.
fn until(text: &str, end: char) -> usize {
    text.find(end).map_or(text.len(), |at| at + end.len_utf8())
}

/// The names that an expression asks for and nobody exports.
#[must_use]
pub fn unknown(expr: &str, exported: &BTreeSet<String>) -> Vec<String> {
    names(expr).into_iter().filter(|name| name != UP && !exported.contains(name)).collect()
}

/// The tests of the alerts, for promtool.
#[must_use]
pub fn tests() -> PathBuf {
    crate::workspace().join("charts/alerts.test.yaml")
}

/// The alerts that the tests of alerts lack: for each, a case in which it fires, and one in which it doesn't.
///
/// # Errors
/// A file that can't be read.
pub fn untested() -> Result<Vec<String>> {
    let path = tests();
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let file: Value = serde_yaml::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
    let mut tested: BTreeSet<(String, bool)> = BTreeSet::new();
    for case in file["tests"].as_array().into_iter().flatten() {
        for look in case["promql_expr_test"].as_array().into_iter().flatten() {
            let (Some(expr), Some(samples)) = (look["expr"].as_str(), look["exp_samples"].as_array()) else {
                continue;
            };
            let name = expr.split_once("alertname=\"").and_then(|(_, rest)| rest.split_once('"'));
            tested.extend(name.map(|(name, _)| (name.to_owned(), !samples.is_empty())));
        }
    }
    let mut lacking = Vec::new();
    for alert in alerts()?.into_keys() {
        for (fires, what) in [(true, "fires"), (false, "doesn't fire")] {
            if !tested.contains(&(alert.clone(), fires)) {
                lacking.push(format!("{alert} {what}"));
            }
        }
    }
    Ok(lacking)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_expressions() {
        let of = |expr: &str| names(expr).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(
            of("sum by (a, b) (rate(x_total{c=\"d\"}[5m])) / on (a) group_left () y > 1e9"),
            "x_total y"
        );
        assert_eq!(of("absent(up{job=\"k\"} == 1) or max(z offset 5m) > bool 0.5"), "up z");
        assert_eq!(of("sum(x) by (l) and y unless z"), "x y z");
        assert_eq!(of("histogram_quantile(0.95, sum by (le) (rate(x_bucket[10m]))) > 500"), "x_bucket");
    }

    #[test]
    fn alerts_and_dashboards_ask_for_what_our_programs_export() {
        let exported = exported().unwrap();
        for (alert, expr) in alerts().unwrap() {
            assert!(!names(&expr).is_empty(), "{alert} asks for nothing: {expr}");
            assert_eq!(
                unknown(&expr, &exported),
                Vec::<String>::new(),
                "nobody exports what {alert} asks for"
            );
        }
        let dashboards = dashboards().unwrap();
        assert_eq!(dashboards.len(), 5);
        for (board, exprs) in dashboards {
            assert!(exprs.len() > 5, "{board}");
            for expr in exprs {
                assert_eq!(
                    unknown(&expr, &exported),
                    Vec::<String>::new(),
                    "nobody exports what {board} shows"
                );
            }
        }
        assert_eq!(unknown("max(never_exported) > 0", &exported), ["never_exported"]);
    }

    #[test]
    fn each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
        assert_eq!(untested().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_page_for_operators_has_each_alert() {
        let path = crate::workspace().join("docs/operate/monitoring.md");
        let page = fs::read_to_string(path).unwrap();
        for alert in alerts().unwrap().into_keys() {
            assert!(
                page.contains(&format!("`{alert}`")),
                "docs/operate/monitoring.md says nothing of {alert}"
            );
        }
    }
}
