//! CNI types (spec 0.3.1 to 1.1) and the agent's protocol (no async)
