//! What /proc says of processes.

use std::fs;

pub(super) struct Process {
    pub pid: u32,
    /// Its pid in the innermost pid namespace.
    pub inner: u32,
    /// Neither a zombie nor dead.
    pub alive: bool,
}

pub(super) fn process(pid: u32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
    let inner = field("NSpid:")?.split_whitespace().last()?.parse().ok()?;
    Some(Process { pid, inner, alive: !field("State:")?.starts_with(['Z', 'X']) })
}

pub(super) fn processes() -> Vec<Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| process(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}
