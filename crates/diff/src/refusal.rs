//! Why an owner's rows can't be brought to what is desired.

use tombolo_ovsdb::Uuid;
use tombolo_plan::owner::Owner;

/// Why the rows can't be brought to what is desired. Nothing is written then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A row that isn't ours has the name (invariants 1 and 2).
    #[error(
        "the name {name} in the northbound table {table} is taken by {holder} (row {uuid}); \
         choose another name, or remove that row with the system that made it"
    )]
    NameTaken {
        /// The table.
        table: &'static str,
        /// The name.
        name: String,
        /// The row that has it.
        uuid: Uuid,
        /// Who, as far as the row says.
        holder: String,
    },
    /// A row has the uuid that is ours by construction, but not our marks.
    #[error(
        "row {uuid} of the northbound table {table} has lost its owner key, so it may not be changed; \
         restore its external_ids or delete it by hand"
    )]
    NotOurs {
        /// The table.
        table: &'static str,
        /// The row.
        uuid: Uuid,
    },
    /// The row that ours hangs on isn't there (yet).
    #[error("row {uuid} of the northbound table {table} is not there")]
    NoParent {
        /// The parent's table.
        table: &'static str,
        /// The parent.
        uuid: Uuid,
    },
    /// Deleting the row would delete what others hung on it.
    #[error(
        "{name} in the northbound table {table} holds {count} entries in {column} that are not ours, and they \
         would go with it; remove them with the system that made them"
    )]
    HoldsForeign {
        /// The table.
        table: &'static str,
        /// The row's name.
        name: String,
        /// The column.
        column: &'static str,
        /// How many.
        count: usize,
    },
    /// The row hangs on a foreign row, where no version of ours put it.
    #[error(
        "row {uuid} of the northbound table {table} hangs on {parent}, which is not ours; take it out there by hand"
    )]
    HangsOnForeign {
        /// The table.
        table: &'static str,
        /// The row.
        uuid: Uuid,
        /// What it hangs on.
        parent: String,
    },
    /// Another owner of ours has this key with another value; who came first keeps it.
    #[error(
        "{element} in {column} of a shared row of the northbound table {table} is that of {holder}; choose another one"
    )]
    EntryTaken {
        /// The shared row's table.
        table: &'static str,
        /// Its column.
        column: &'static str,
        /// The key.
        element: String,
        /// Whose it is.
        holder: Owner,
    },
    /// Rows of others of our owners hang on the row: they go first, each with its own owner.
    #[error("{name} in the northbound table {table} is still used by {user} and goes after it")]
    InUse {
        /// The table.
        table: &'static str,
        /// The row's name.
        name: String,
        /// One of the owners.
        user: Owner,
    },
}
