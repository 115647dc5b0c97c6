//! Completion and manual pages, out of the command line's own definition.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory as _};

use crate::cli::Cli;

/// The name by which kubectl asks a plugin for completions: with the words so far, of which the last is to be completed.
const ASKED_AS: &str = "kubectl_complete-ko";
/// This program's file.
const PROGRAM: &str = "kubectl-ko";

/// Whether kubectl asks, by the program's name.
pub fn asked(args: &[OsString]) -> bool {
    args.first().and_then(|name| Path::new(name).file_name()).is_some_and(|name| name == ASKED_AS)
}

/// The answer, as Cobra has it: a candidate a line with its help, then a directive (0: files may follow, 4: they don't).
pub fn answer(words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let (candidates, files) = candidates(Cli::command(), before, last);
    let mut text: String = candidates.iter().map(|line| format!("{line}\n")).collect();
    text += if files { ":0\n" } else { ":4\n" };
    text
}

fn candidates(mut command: Command, before: &[String], last: &str) -> (Vec<String>, bool) {
    for word in before.iter().filter(|word| !word.starts_with('-')) {
        let Some(next) = command.find_subcommand(word) else { break };
        command = next.clone();
    }
    let line = |name: &str, help: Option<String>| match help.as_deref().and_then(|h| h.lines().next()) {
        Some(help) => format!("{name}\t{help}"),
        None => name.to_owned(),
    };
    let mut all = Vec::new();
    for sub in command.get_subcommands().filter(|sub| sub.get_name().starts_with(last)) {
        all.push(line(sub.get_name(), sub.get_about().map(ToString::to_string)));
    }
    for option in command.get_arguments().filter(|_| last.starts_with('-')) {
        if let Some(name) = option.get_long().map(|long| format!("--{long}")).filter(|n| n.starts_with(last))
        {
            all.push(line(&name, option.get_help().map(ToString::to_string)));
        }
    }
    // Words of a value, where an argument has a choice.
    let positional = command.get_positionals().flat_map(clap::Arg::get_possible_values);
    let values = positional.filter(|value| value.get_name().starts_with(last));
    all.extend(values.map(|value| line(value.get_name(), value.get_help().map(ToString::to_string))));
    let files = command.get_positionals().any(|argument| argument.get_id() == "file");
    (all, files)
}

/// Prints a shell's script.
pub fn script(shell: clap_complete::Shell) -> Result<ExitCode> {
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual's pages.
pub fn manual(directory: &Path) -> Result<ExitCode> {
    let command = Cli::command().name(PROGRAM).bin_name(PROGRAM);
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("writing manual pages into {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        answer(&words).lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn words_of_every_kind() {
        assert_eq!(ask("n"), ["nbctl", "nb", ":4"]);
        assert_eq!(ask("nb "), ["status", "dbstatus", "kick", "backup", "restore", ":4"]);
        assert_eq!(ask("nb restore --y"), ["--yes", ":0"]);
        assert_eq!(ask("log ku"), ["kube-ovn", ":4"]);
        assert_eq!(ask("doctor --no"), ["--no-nodes", ":4"]);
        assert!(ask("").len() > 15);
    }

    #[test]
    fn kubectl_asks_by_the_name() {
        assert!(asked(&["/usr/local/bin/kubectl_complete-ko".into(), "n".into()]));
        assert!(!asked(&["/usr/local/bin/kubectl-ko".into()]));
    }

    #[test]
    fn a_page_for_each_command() {
        let dir = tempfile::tempdir().unwrap();
        manual(dir.path()).unwrap();
        let page = std::fs::read_to_string(dir.path().join("kubectl-ko-nb-restore.1")).unwrap();
        assert!(page.contains("Neutron"), "{page}");
        assert!(dir.path().join("kubectl-ko.1").exists());
    }
}
