//! Versions of the CNI specification.

use serde_json::json;

use crate::error::{CniError, Code};

/// A version of the CNI specification that we speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.3.0: results with `interfaces`.
    V0_3_0,
    /// 0.3.1: the same result; lists of plugins.
    V0_3_1,
    /// 0.4.0: CHECK.
    V0_4_0,
    /// 1.0.0: no `version` in `ips`.
    V1_0_0,
    /// 1.1.0: STATUS, GC, `mtu` of interfaces and routes.
    V1_1_0,
}

/// All of them, oldest first.
pub const SUPPORTED: [Version; 5] =
    [Version::V0_3_0, Version::V0_3_1, Version::V0_4_0, Version::V1_0_0, Version::V1_1_0];

impl Version {
    /// The newest.
    pub const LATEST: Version = Version::V1_1_0;

    /// As it stands in `cniVersion`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V0_3_0 => "0.3.0",
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }

    /// Reads `cniVersion`; code 1 when we don't speak it.
    pub fn parse(text: &str) -> Result<Self, CniError> {
        SUPPORTED.into_iter().find(|v| v.as_str() == text).ok_or_else(|| {
            CniError::new(Code::IncompatibleVersion, format!("CNI version {text:?} is not supported"))
                .details(format!("supported: {}", SUPPORTED.map(Version::as_str).join(", ")))
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer to `VERSION`. `asked` is the `cniVersion` of the request, which the specification wants back.
pub fn version_report(asked: Option<&str>) -> serde_json::Value {
    json!({
        "cniVersion": asked.filter(|v| !v.is_empty()).unwrap_or(Version::LATEST.as_str()),
        "supportedVersions": SUPPORTED.map(Version::as_str),
    })
}
