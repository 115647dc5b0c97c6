//! The databases that are guarded.

/// The databases that are guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Database {
    /// `OVN_Northbound`.
    Northbound,
    /// `OVN_Southbound`.
    Southbound,
    /// A host's `Open_vSwitch`.
    Vswitch,
}

impl Database {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Database::Northbound => "OVN_Northbound",
            Database::Southbound => "OVN_Southbound",
            Database::Vswitch => "Open_vSwitch",
        }
    }
}
