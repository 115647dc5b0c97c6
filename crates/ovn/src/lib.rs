//! Typed tables of OVN_Northbound, OVN_Southbound and Open_vSwitch, generated from pinned schemas (pure).
//!
//! Decides how a row reads in Rust: `min 0 max 1` is an `Option`, a set a `BTreeSet`, a map a `BTreeMap`,
//! a reference a [`Ref`], an enumeration an enum with `Other`. Doesn't decide which columns are
//! monitored: the client chooses, and columns that the server lacks read as their default.
//!
//! `nb`, `sb` and `vswitch` are written by `cargo xtask gen` from `schemas/`; don't edit them.

mod table;

pub mod addresses;
pub mod nb;
pub mod sb;
pub mod vswitch;

pub use table::{AtomField, Facts, Field, Ref, Reference, TypedRow};

#[cfg(test)]
mod tests;
