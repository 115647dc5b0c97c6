//! The controller's decisions as one state machine: events in, effects out (pure)
