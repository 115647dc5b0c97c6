//! CNI errors: what the plugin prints when it fails (CNI spec, "Error").

use serde_json::json;

/// Error codes of the CNI specification (1 to 99 are reserved by it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// 1: `cniVersion` isn't ours.
    IncompatibleVersion = 1,
    /// 2: a field of the configuration isn't supported.
    UnsupportedField = 2,
    /// 3: the container is unknown or gone; the runtime needs no clean-up.
    UnknownContainer = 3,
    /// 4: a CNI_* variable is missing or malformed.
    InvalidEnvironment = 4,
    /// 5: reading standard input failed.
    Io = 5,
    /// 6: standard input isn't the JSON that was expected.
    Decode = 6,
    /// 7: the network configuration is invalid.
    InvalidConfig = 7,
    /// 11: nothing is wrong for good; the runtime should retry.
    TryAgainLater = 11,
    /// 50: (STATUS) no ADD can be served now.
    Unavailable = 50,
    /// 51: (STATUS) no ADD can be served now, and pods that run may have limited connectivity.
    UnavailableAndLimited = 51,
    /// 100: what we found in place differs from what we made (CHECK).
    CheckFailed = 100,
    /// 101: anything else.
    Internal = 101,
}

impl Code {
    /// The number.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The code with that number; numbers that aren't listed count as [`Code::Internal`].
    pub fn from_number(n: u32) -> Code {
        match n {
            1 => Code::IncompatibleVersion,
            2 => Code::UnsupportedField,
            3 => Code::UnknownContainer,
            4 => Code::InvalidEnvironment,
            5 => Code::Io,
            6 => Code::Decode,
            7 => Code::InvalidConfig,
            11 => Code::TryAgainLater,
            50 => Code::Unavailable,
            51 => Code::UnavailableAndLimited,
            100 => Code::CheckFailed,
            _ => Code::Internal,
        }
    }
}

/// An error as the plugin prints it to standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniError {
    /// What kind.
    pub code: Code,
    /// What was being done, to what, and what went wrong: kubelet puts it into the pod's events.
    pub msg: String,
    /// More, for who looks closer; may be empty.
    pub details: String,
}

impl CniError {
    /// An error without details.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The same with details.
    pub fn details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// The JSON object for standard output; `version` is the request's `cniVersion` as it was given, so that
    /// even a runtime whose version we don't speak can read the error.
    pub fn to_json(&self, version: &str) -> serde_json::Value {
        let mut v = json!({ "cniVersion": version, "code": self.code.number(), "msg": self.msg });
        if !self.details.is_empty() {
            v["details"] = self.details.clone().into();
        }
        v
    }
}

impl std::fmt::Display for CniError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.msg)?;
        if !self.details.is_empty() {
            write!(f, " ({})", self.details)?;
        }
        Ok(())
    }
}

impl std::error::Error for CniError {}
