//! The links in the project's pages: each leads to a file that is there, and to a heading that it has.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::walk;

/// Folders without pages of ours.
const LEFT_OUT: &[&str] = &["target", ".git", "node_modules"];

/// Fails with one line for each link that leads nowhere, or when there is no link at all.
pub fn run(root: &Path) -> Result<()> {
    let mut pages = walk::files(root, LEFT_OUT)?;
    pages.retain(|page| page.extension().is_some_and(|it| it == "md"));
    let (mut count, mut broken) = (0, Vec::new());
    for page in &pages {
        let text = std::fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
        for link in links(&text) {
            count += 1;
            if let Some(why) = wrong(page, link)? {
                broken.push(format!("{}: {link}: {why}", page.display()));
            }
        }
    }
    if count == 0 {
        bail!("no page has a link: the pages were looked for in {}", root.display());
    }
    if broken.is_empty() {
        println!("{count} links in {} pages lead somewhere", pages.len());
        return Ok(());
    }
    bail!("links that lead nowhere:\n{}", broken.join("\n"))
}

/// The relative targets of `[text](target)` outside of code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    let prose = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !fence && !in_code
    });
    prose
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// Why a link leads nowhere.
fn wrong(page: &Path, link: &str) -> Result<Option<String>> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_path_buf(),
        file => page.parent().unwrap_or(page).join(file),
    };
    if !target.exists() {
        return Ok(Some(format!("{} isn't there", target.display())));
    }
    if heading.is_empty() || target.extension().is_none_or(|it| it != "md") {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&target).with_context(|| format!("reading {}", target.display()))?;
    let has = headings(&text).contains(heading);
    Ok((!has).then(|| format!("{} has no heading #{heading}", target.display())))
}

/// The anchors of a page's headings, as GitHub makes them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_file_and_a_heading() {
        let dir = std::env::temp_dir().join(format!("tombolo-links-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("docs")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
        write("docs/a.md", "# A page\n## TLS to OVN: how\n[home](../README.md)\n```\n[code](nowhere)\n```\n");
        write("README.md", "[a](docs/a.md#tls-to-ovn-how) [b](https://example.com) [c](#none)");
        let error = run(&dir).unwrap_err().to_string();
        assert!(error.contains("no heading #none") && error.lines().count() == 2, "{error}");
        write("README.md", "[a](docs/a.md#a-page) [gone](docs/b.md)");
        let error = run(&dir).unwrap_err().to_string();
        assert!(error.contains("b.md isn't there") && error.lines().count() == 2, "{error}");
        write("README.md", "[a](docs/a.md#a-page)");
        run(&dir).unwrap();
        write("docs/a.md", "");
        write("README.md", "");
        assert!(run(&dir).is_err(), "nothing was checked");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
