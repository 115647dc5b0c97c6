//! Names of tables and columns, interned for the life of the process.
//!
//! Decides: a name is a `&'static str`, so rows, operations and change sets carry it for the price of a
//! pointer, and the constants of generated tables are names as they stand. Names that only a server
//! knows are interned once; they come from schemas, a closed and small set, so the pool stays small.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex};

/// The name of a table or a column.
pub type Name = &'static str;

static POOL: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);

/// Returns the one `'static` copy of `name`. Call it for names out of schemas only, never for data: a
/// name is kept until the process ends.
pub fn intern(name: &str) -> Name {
    let mut pool = match POOL.lock() {
        Ok(pool) => pool,
        // A panic elsewhere can't leave the set half-written: an insert is the only thing done under the lock.
        Err(poisoned) => poisoned.into_inner(),
    };
    if let Some(known) = pool.get(name) {
        return known;
    }
    let leaked: &'static str = Box::leak(name.to_owned().into_boxed_str());
    pool.insert(leaked);
    leaked
}

#[cfg(test)]
mod tests {
    use super::intern;

    #[test]
    fn one_copy_per_name() {
        let a = intern(&String::from("ports"));
        let b = intern(&String::from("ports"));
        assert!(std::ptr::eq(a, b));
    }
}
