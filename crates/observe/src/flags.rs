//! Flags of Kube-OVN's manifests that have no effect here: they are accepted, so that an existing manifest starts, named
//! in the log where they were set to something, and listed by `--help`.
//!
//! Decides how such flags are taken, and how values are read that Go's programs read. Which flags there are is each
//! program's business; those of the logging library, which every program of Kube-OVN's has, are [`KLOG`].

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

/// How a flag without an effect takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `--x`, `--x=true`, `--x=F`.
    Bool,
    /// `--x=value`, `--x value`.
    Value,
}

/// A flag without an effect: its name, how it takes its value, and Kube-OVN's default, which isn't worth a line in the log.
pub type Inert = (&'static str, Shape, &'static str);

/// klog's flags. Our log goes to stderr, and rotation is the container runtime's business.
pub const KLOG: &[Inert] = &[
    ("logtostderr", Shape::Bool, "true"),
    ("alsologtostderr", Shape::Bool, "false"),
    ("alsologtostderrthreshold", Shape::Value, "0"),
    ("log_file", Shape::Value, ""),
    ("log_file_max_size", Shape::Value, "1800"),
    ("log-file", Shape::Value, ""),
    ("log-file-max-size", Shape::Value, "1800"),
    ("log_dir", Shape::Value, ""),
    ("add_dir_header", Shape::Bool, "false"),
    ("one_output", Shape::Bool, "false"),
    ("skip_headers", Shape::Bool, "false"),
    ("skip_log_headers", Shape::Bool, "false"),
    ("stderrthreshold", Shape::Value, "2"),
    ("legacy_stderr_threshold_behavior", Shape::Bool, "true"),
    ("vmodule", Shape::Value, ""),
    ("log_backtrace_at", Shape::Value, ":0"),
];

/// `command` with these flags, and a list of them in its help. klog's are always among them.
#[must_use]
pub fn accept(mut command: Command, flags: &[Inert]) -> Command {
    for (name, shape, default) in flags.iter().chain(KLOG) {
        let arg = Arg::new(*name)
            .long(*name)
            .hide(true)
            .action(ArgAction::Set)
            .default_value(*default)
            .allow_hyphen_values(true);
        command = command.arg(match shape {
            Shape::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Shape::Value => arg,
        });
    }
    let names: Vec<String> = flags.iter().chain(KLOG).map(|(name, ..)| format!("--{name}")).collect();
    command.after_help(format!(
        "Flags of Kube-OVN's that are accepted and have no effect in this version: {}.",
        names.join(", ")
    ))
}

/// Those of `flags` that were set to something but Kube-OVN's default: `--name=value`.
#[must_use]
pub fn set(matches: &ArgMatches, flags: &[Inert]) -> Vec<String> {
    let mut set = Vec::new();
    for (name, shape, default) in flags {
        let Some(value) = matches.get_one::<String>(name) else { continue };
        let same = match shape {
            Shape::Bool => go_bool(value).is_ok_and(|v| v == (*default == "true")),
            Shape::Value => value == default,
        };
        if !same {
            set.push(format!("--{name}={value}"));
        }
    }
    set
}

/// The addresses to listen on: those of a flag, separated by commas; else, where Kube-OVN's `ENABLE_BIND_LOCAL_IP` is true, the
/// pod's own (`POD_IPS`); else all of both families (`::`, see [`crate::listen::bind`]).
///
/// # Errors
/// What can't be read.
pub fn addresses(flag: &str, env: impl Fn(&str) -> Option<String>) -> Result<Vec<IpAddr>, String> {
    let read = |text: &str| -> Result<Vec<IpAddr>, String> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(|word| word.parse::<IpAddr>().map_err(|_| format!("{word:?} is no IP address"))).collect()
    };
    let mut all = read(flag)?;
    if all.is_empty() && env("ENABLE_BIND_LOCAL_IP").is_some_and(|on| go_bool(&on) == Ok(true)) {
        all = read(&env("POD_IPS").unwrap_or_default())?;
    }
    if all.is_empty() {
        all.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    Ok(all)
}

/// What Go's `strconv.ParseBool` takes.
///
/// # Errors
/// What is wrong with it.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

/// What Go's `time.ParseDuration` takes, without signs: `1m30s`, `500ms`, `24h`, `0`.
///
/// # Errors
/// What is wrong with it.
pub fn go_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 30s, 1m30s or 24h");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |offset| digits + offset);
        let seconds = match &rest[digits..unit_end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(wrong()),
        };
        total += number * seconds;
        rest = &rest[unit_end..];
    }
    if text.is_empty() {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &[Inert] = &[("enable-x", Shape::Bool, "true"), ("x-name", Shape::Value, "a")];

    fn given(args: &[&str]) -> Vec<String> {
        let all = ["x"].iter().chain(args);
        set(&accept(Command::new("x").args_override_self(true), SOME).get_matches_from(all), SOME)
    }

    #[test]
    fn what_was_set_is_named_and_defaults_are_not() {
        assert!(given(&[]).is_empty());
        assert!(
            given(&["--enable-x", "--enable-x=T", "--x-name=a", "--vmodule=", "--log-file=/x"]).is_empty()
        );
        assert_eq!(given(&["--enable-x=0", "--x-name", "-b"]), ["--enable-x=0", "--x-name=-b"]);
    }

    #[test]
    fn help_lists_them() {
        let help = accept(Command::new("x"), SOME).render_help().to_string();
        let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("no effect in this version: --enable-x, --x-name, --logtostderr"), "{help}");
    }

    #[test]
    fn addresses_to_listen_on() {
        let env = |on: &'static str| {
            move |name: &str| match name {
                "ENABLE_BIND_LOCAL_IP" => Some(on.to_owned()),
                "POD_IPS" => Some("10.0.0.1,fd00::1".to_owned()),
                _ => None,
            }
        };
        let texts = |flag, on| {
            addresses(flag, env(on)).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(texts("", "false").unwrap(), ["::"]);
        assert_eq!(texts("", "true").unwrap(), ["10.0.0.1", "fd00::1"]);
        assert_eq!(texts("127.0.0.1, ::1", "true").unwrap(), ["127.0.0.1", "::1"]);
        assert!(texts("host1", "false").is_err());
    }

    #[test]
    fn durations_as_go_reads_them() {
        for (text, ms) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("24h", 86_400_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("0", 0),
            ("1h0m1s", 3_601_000),
        ] {
            assert_eq!(go_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "1s2", ".s"] {
            assert!(go_duration(text).is_err(), "{text}");
        }
    }
}
