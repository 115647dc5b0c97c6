//! Hostile rows.
