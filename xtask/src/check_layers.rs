//! Not in place yet.

use anyhow::{Result, bail};

/// Not in place yet.
pub fn run() -> Result<()> {
    bail!("this command is not in place yet")
}
