//! What is written into `Open_vSwitch.external_ids` (ovn-controller(8)).
//!
//! A key that is set stays as it is: `system-id` is the chassis' name in a database that Neutron shares, `hostname` is what Neutron
//! binds ports by, and an operator may have set any of them. What this program wrote itself follows its flags, as long as nobody
//! has changed it since. `ovn-match-northd-version`, hw-offload and thread counts are never written.

/// Before the name of a key whose value this program wrote: `tombolo.io/ovn-remote` notes that value.
const NOTE: &str = "tombolo.io/";

/// A key that has to have a value, and whether it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// Its value where there is none.
    pub value: String,
    /// Whether a value that this program wrote changes when its own does. One that names the node is written once.
    pub follows: bool,
}

impl Setting {
    /// One that is written once.
    #[must_use]
    pub fn once(key: &'static str, value: impl Into<String>) -> Self {
        Self { key, value: value.into(), follows: false }
    }

    /// One that follows.
    #[must_use]
    pub fn following(key: &'static str, value: impl Into<String>) -> Self {
        Self { key, value: value.into(), follows: true }
    }
}

/// The words for ovs-vsctl(8). It takes them as one transaction in which the database itself decides: `add` doesn't change a key
/// that is there, and `remove` takes a key only with the value that is named. `noted` has the value that was noted for a key.
#[must_use]
pub fn words(settings: &[Setting], noted: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut words = Vec::new();
    let mut say = |verb: &str, key: &str, value: &str| {
        let pair = format!("{key}={}", quoted(value));
        words.extend(["--", verb, "Open_vSwitch", ".", "external_ids", &pair].map(str::to_owned));
    };
    for Setting { key, value, follows } in settings {
        let note = format!("{NOTE}{key}");
        if let Some(old) = noted(&note).filter(|old| *follows && old != value) {
            say("remove", key, &old);
            say("remove", &note, &old);
        }
        say("add", key, value);
        if *follows {
            say("add", &note, value);
        }
    }
    words
}

/// A value as ovs-vsctl reads it, whatever is in it.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(settings: &[Setting], noted: &[(&str, &str)]) -> String {
        let found = |key: &str| noted.iter().find(|(k, _)| *k == key).map(|(_, value)| (*value).to_owned());
        words(settings, found).join(" ").replace("Open_vSwitch . external_ids ", "")
    }

    #[test]
    fn keys_are_added_and_never_set() {
        let all = [Setting::once("hostname", "n1"), Setting::following("ovn-remote", "tcp:10.0.0.1:6642")];
        assert_eq!(
            line(&all, &[]),
            "-- add hostname=\"n1\" -- add ovn-remote=\"tcp:10.0.0.1:6642\" -- add tombolo.io/ovn-remote=\"tcp:10.0.0.1:6642\""
        );
    }

    #[test]
    fn only_what_was_noted_is_taken_away() {
        let remote = [Setting::following("ovn-remote", "tcp:10.0.0.2:6642")];
        let note = [("tombolo.io/ovn-remote", "tcp:10.0.0.1:6642")];
        let text = line(&remote, &note);
        assert!(
            text.starts_with("-- remove ovn-remote=\"tcp:10.0.0.1:6642\" -- remove tombolo.io/ovn-remote="),
            "{text}"
        );
        assert!(!line(&remote, &[("tombolo.io/ovn-remote", "tcp:10.0.0.2:6642")]).contains("remove"));
        let name = [Setting::once("hostname", "n2")];
        assert!(!line(&name, &[("tombolo.io/hostname", "n1")]).contains("remove"));
    }
}
