//! OVSDB client: values, transactions, wire, replica, sans-IO session, tokio driver.
//!
//! The crate decides how an OVSDB database is mirrored and written (RFC 7047, with the extensions of
//! ovsdb-server(7)); it doesn't know any schema: `tombolo-ovn` brings typed tables, callers say which
//! tables and columns they want. Without the feature `client` it is pure: no sockets, no clock, no
//! randomness. The layers, from the bottom:
//!
//! - [`value`]: [`Atom`] and [`Datum`], canonical so that `==` is the database's equality;
//! - [`row`]: [`Row`], columns to data;
//! - [`schema`]: [`Schema`], what the server has, and [`Wanted`], what the client asks for;
//! - [`ops`] and [`txn`]: typed operations, [`Txn`], and typed reading of the answer;
//! - [`replica`]: [`Replica`], the one cache, cheap to clone, with declared indexes;
//! - [`wire`]: JSON-RPC messages and the resumable frame scanner;
//! - [`session`]: the protocol as a state machine;
//! - `driver` (feature `client`): sockets, TLS and timers around the session.

#[cfg(feature = "client")]
pub mod driver;
pub mod name;
pub mod ops;
pub mod replica;
pub mod row;
pub mod schema;
pub mod session;
pub mod txn;
pub mod value;
pub mod wire;

#[cfg(feature = "client")]
pub use driver::{
    Changes, Client, ClientConfig, ClientError, Endpoints, NotReady, Snapshot, Status, TlsConfig, Update,
};
pub use name::Name;
pub use ops::{Condition, Function, Mutation, Mutator, Op, Until};
pub use replica::{Change, ChangeSet, Inconsistency, IndexSpec, Keys, Replica, Table};
pub use row::Row;
pub use schema::{Capabilities, Schema, Wanted};
pub use txn::{OpResult, Retry, Txn, TxnError, TxnErrorKind, TxnReply};
pub use value::{Atom, Datum, Uuid};
