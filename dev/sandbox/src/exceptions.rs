//! The reviewed list of columns of foreign rows that may change: `exceptions.txt`, one line each, `database table
//! column[:key] who`.

use std::sync::LazyLock;

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The database.
    pub database: &'static str,
    /// The table, or `*`.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// Of a map, the key that is meant; all of the column if there is none.
    pub key: Option<&'static str>,
    /// Who writes it; `us` is our programs, `counter` means that its presence counts and its value doesn't.
    pub who: &'static str,
}

/// The list as text.
pub const TEXT: &str = include_str!("../exceptions.txt");

/// The list, read once: each cell of each dump is looked up.
pub static ALL: LazyLock<Vec<Exception>> = LazyLock::new(|| {
    let lines = TEXT.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    // Lines that aren't in the notation are left out, which a test forbids.
    let read = |line: &'static str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [database, table, column, who] = words[..] else { return None };
        let (column, key) = column.split_once(':').map_or((column, None), |(c, k)| (c, Some(k)));
        Some(Exception { database, table, column, key, who })
    };
    lines.filter_map(read).collect()
});

/// The lines about a column.
pub fn about<'a>(
    database: &'a str,
    table: &'a str,
    column: &'a str,
) -> impl Iterator<Item = &'static Exception> + 'a {
    ALL.iter()
        .filter(move |e| e.database == database && (e.table == table || e.table == "*") && e.column == column)
}
