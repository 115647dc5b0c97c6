//! Ownership, fenced transactions and the delete brake (pure)
