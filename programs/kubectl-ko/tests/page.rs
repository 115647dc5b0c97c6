//! docs/operate/kubectl-ko.md against the code: each command, and the table of doctor's checks. `UPDATE=1` writes the table.

use anyhow::{Context as _, Result, ensure};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operate/kubectl-ko.md");
/// What stands before and behind the table.
const MARKS: [&str; 2] = ["<!-- checks: begin -->\n", "<!-- checks: end -->"];

#[test]
fn each_command_has_a_line() -> Result<()> {
    let page = std::fs::read_to_string(PAGE)?;
    for name in tombolo_kubectl_ko::names() {
        let there = page.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{name}")));
        ensure!(there, "{PAGE} has no line for `{name}`");
    }
    Ok(())
}

#[test]
fn the_table_of_checks() -> Result<()> {
    let page = std::fs::read_to_string(PAGE)?;
    let (before, rest) = page.split_once(MARKS[0]).context("no table")?;
    let (table, after) = rest.split_once(MARKS[1]).context("no end of the table")?;
    let wanted = tombolo_kubectl_ko::doctor::table();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, format!("{before}{}{wanted}{}{after}", MARKS[0], MARKS[1]))?;
        return Ok(());
    }
    ensure!(table == wanted, "{PAGE}: the table differs from the code; UPDATE=1 writes it\n{wanted}");
    Ok(())
}
