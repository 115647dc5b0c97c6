//! kubectl ko
