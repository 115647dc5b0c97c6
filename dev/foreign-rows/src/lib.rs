//! The guard of foreign rows (invariant 1) around databases of real servers, where others write too.
//!
//! Each transaction of our programs bears its program's name in its comment, and ovsdb-server keeps the comment in the
//! database's file with what the transaction did. [`Guard`] follows the files of NB, SB and Open_vSwitch as they grow
//! and judges each transaction of ours by the rows before and after it ([`rule`]): whoever else writes meanwhile,
//! Neutron, northd, ovn-controller or a test itself, isn't blamed on us, and nothing of ours hides behind them.
//!
//! What holds: each committed transaction with our signature is judged. A file that is compacted is followed into its
//! successor, and a record that went by unseen is an error, never silence: of a cluster because entries are numbered and all members
//! are followed, of a standalone database because the successor's rows must be those that were known. What doesn't:
//! columns that the schema calls ephemeral are in no file. Every transaction of our OVSDB client is signed, with a
//! program's name or the client's own (`tombolo_ovsdb::txn::UNNAMED`); what didn't go through it, and makes rows with our marks, is
//! noticed too.
//!
//! `exceptions.txt` is the one list, to be reviewed, of columns of foreign rows that may change: by our hand (edges) or
//! under anybody's (what OVN's own daemons report). [`Guard::foreign`] gives all else of foreign rows as text, for
//! tests that compare two moments.

mod database;
pub mod exceptions;
mod follow;
mod guard;
pub mod hostile;
pub mod log;
pub mod plant;
pub mod rows;
pub mod rule;
pub mod server;
pub mod wire;

pub use database::Database;
pub use guard::{Builder, Guard, Seen};
