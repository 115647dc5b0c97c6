//! What a check says, and its two forms: lines for people, JSON for programs. Pure.

use serde_json::{Value, json};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Looked at, and as it should be.
    Ok,
    /// To be known; nothing to do now.
    Note,
    /// Works, but something will break it, or a part doesn't work.
    Warning,
    /// Doesn't work, or loses traffic.
    Error,
}

impl Severity {
    /// The word in both forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// What a check says about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Whether the check saw its subject; one that didn't has looked at nothing and says why.
    pub checked: bool,
    /// What it is about: `node/host1`, `subnet/net2`, `chassis/…`, `nb`, `cluster`.
    pub object: String,
    /// What was found.
    pub sentence: String,
    /// What to do; empty if there is nothing to.
    pub fix: String,
}

/// A finding of a check, before its name is put on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    severity: Severity,
    object: String,
    sentence: String,
    fix: String,
}

/// A finding.
pub fn say(severity: Severity, object: impl Into<String>, sentence: String, fix: impl Into<String>) -> Said {
    Said { severity, object: object.into(), sentence, fix: fix.into() }
}

/// What a check that saw its subject has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What was looked at: `3 nodes`. Said where nothing was found.
    pub looked_at: String,
    /// What was found.
    pub found: Vec<Said>,
    /// What of its subject it could not see, and why.
    pub unseen: Vec<(String, String)>,
}

/// A check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its name, which programs rely on.
    pub name: &'static str,
    /// What holds if it finds nothing.
    pub expects: &'static str,
    /// The worst that it can find.
    pub worst: Severity,
    /// What it looks at.
    pub run: fn(&super::facts::Facts) -> Result<Seen, String>,
}

impl Check {
    /// Its findings: at least one, and `ok` only about what was seen.
    pub fn findings(&self, facts: &super::facts::Facts) -> Vec<Finding> {
        let named = |said: Said, checked| Finding {
            name: self.name,
            severity: said.severity,
            checked,
            object: said.object,
            sentence: said.sentence,
            fix: said.fix,
        };
        let unseen = |object: &str, why: &str| {
            let fix = "make it readable from here, or look at it by hand";
            named(say(Severity::Note, object, format!("not checked: {why}"), fix), false)
        };
        let seen = match (self.run)(facts) {
            Ok(seen) => seen,
            Err(why) => return vec![unseen("cluster", &why)],
        };
        let mut all: Vec<Finding> = seen.unseen.iter().map(|(object, why)| unseen(object, why)).collect();
        if seen.looked_at.is_empty() && seen.found.is_empty() && all.is_empty() {
            return vec![unseen("cluster", "there is nothing to look at")];
        }
        if seen.found.is_empty() && !seen.looked_at.is_empty() {
            let sentence = format!("{}: {}", seen.looked_at, self.expects);
            all.push(named(say(Severity::Ok, "cluster", sentence, ""), true));
        }
        all.extend(seen.found.into_iter().map(|said| named(said, true)));
        all
    }
}

/// The exit code: 1 with an error, else 2 if something could not be checked.
pub fn exit(findings: &[Finding]) -> u8 {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return 1;
    }
    if findings.iter().any(|finding| !finding.checked) { 2 } else { 0 }
}

/// The stable form: fields are added, never renamed or removed within a version.
pub fn as_json(findings: &[Finding]) -> Value {
    let one = |finding: &Finding| {
        let Finding { name, severity, checked, object, sentence, fix } = finding;
        json!({ "name": name, "severity": severity.as_str(), "checked": checked, "object": object,
            "sentence": sentence, "fix": fix })
    };
    json!({ "version": 1, "findings": findings.iter().map(one).collect::<Vec<_>>(), "summary": counts(findings) })
}

fn counts(findings: &[Finding]) -> Value {
    let of = |severity| findings.iter().filter(|f| f.checked && f.severity == severity).count();
    json!({ "ok": of(Severity::Ok), "note": of(Severity::Note), "warning": of(Severity::Warning),
        "error": of(Severity::Error), "unchecked": findings.iter().filter(|f| !f.checked).count() })
}

/// Lines, the worst last, where a reader's eye is.
pub fn as_text(findings: &[Finding]) -> String {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by_key(|finding| finding.severity);
    let mut text = String::new();
    for Finding { name, severity, object, sentence, fix, .. } in sorted {
        text += &format!("{:8} {name}  {object}: {sentence}\n", severity.as_str());
        if !fix.is_empty() {
            text += &format!("{:8} -> {fix}\n", "");
        }
    }
    let counts = counts(findings);
    let number = |key: &str| counts[key].as_u64().unwrap_or_default();
    text += &format!(
        "{} errors, {} warnings, {} notes, {} ok, {} not checked\n",
        number("error"),
        number("warning"),
        number("note"),
        number("ok"),
        number("unchecked")
    );
    text
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::*;

    fn check(run: fn(&Facts) -> Result<Seen, String>) -> Vec<Finding> {
        Check { name: "x", expects: "all is well", worst: Severity::Error, run }.findings(&Facts::default())
    }

    #[test]
    fn never_ok_where_nothing_was_seen() {
        let blind = check(|_| Err("no rights".into()));
        assert_eq!((blind[0].checked, blind[0].severity), (false, Severity::Note));
        assert_eq!(blind[0].sentence, "not checked: no rights");
        assert!(!check(|_| Ok(Seen::default()))[0].checked);
        let part = check(|_| {
            Ok(Seen {
                looked_at: "2 nodes".into(),
                unseen: vec![("node/c".into(), "down".into())],
                ..Seen::default()
            })
        });
        assert_eq!(part.len(), 2);
        assert_eq!(exit(&part), 2);
        let well = check(|_| Ok(Seen { looked_at: "3 nodes".into(), ..Seen::default() }));
        assert_eq!((well[0].severity, well[0].sentence.as_str()), (Severity::Ok, "3 nodes: all is well"));
        assert_eq!(exit(&well), 0);
    }

    #[test]
    fn both_forms() {
        let mut all = check(|_| {
            let found = vec![say(Severity::Error, "node/a", "it is broken".into(), "mend it")];
            Ok(Seen { looked_at: "1 node".into(), found, ..Seen::default() })
        });
        all.extend(check(|_| Err("no".into())));
        assert_eq!(exit(&all), 1);
        let json = as_json(&all);
        assert_eq!(json["version"], 1);
        assert_eq!(
            json["findings"][0],
            json!({ "name": "x", "severity": "error", "checked": true, "object": "node/a",
            "sentence": "it is broken", "fix": "mend it" })
        );
        assert_eq!(json["summary"]["unchecked"], 1);
        let text = as_text(&all);
        assert!(text.contains("error    x  node/a: it is broken\n         -> mend it\n"), "{text}");
        assert!(text.ends_with("1 errors, 0 warnings, 0 notes, 0 ok, 1 not checked\n"), "{text}");
    }
}
