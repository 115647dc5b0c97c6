//! What must hold in small worlds, by the plans' own words.

mod addresses;
mod admission;
mod apply;
mod kind;
mod leave;
mod namespace;
mod node;
mod overlaps;
mod reads;
mod reservations;
pub(crate) mod small;
mod vpc;
