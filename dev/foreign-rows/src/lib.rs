//! The guard of foreign rows (invariant 1) around databases of real servers, where other clients write too.
//!
//! Each transaction of our programs bears its program's name in its comment, and ovsdb-server keeps the comment in the
//! database's file with what the transaction did. [`Guard`] follows the files of NB, SB and Open_vSwitch as they grow
//! and judges each transaction of ours by the rows before and after it ([`rule`]): concurrent writes of Neutron,
//! northd, ovn-controller or the test itself aren't blamed on us, and nothing of ours hides behind them.
//!
//! Guaranteed: each committed transaction with our signature is judged. The guard follows a compacted file into its
//! successor, and a missed record is always an error: in a cluster because entries are numbered and all members are
//! followed, in a standalone database because the successor must have the known rows. Not covered: columns that the
//! schema calls ephemeral, which are in no file. Every transaction of our OVSDB client is signed, with a program's name
//! or the client's own (`tombolo_ovsdb::txn::UNNAMED`); the guard also notices a transaction that bypassed it and makes
//! rows with our marks.
//!
//! `dev/sandbox/exceptions.txt` is the one reviewed list of columns of foreign rows that may change: by our programs
//! (edges) or by any client (what OVN's own daemons report). [`Guard::foreign`] returns all else of foreign rows as
//! text, for tests that compare two moments.

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
