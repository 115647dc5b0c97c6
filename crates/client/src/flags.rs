//! Command lines as Kube-OVN's programs read theirs: the last of two equal flags counts, values have Go's notations, and a flag
//! without an effect here is accepted, so that an existing manifest starts: the log names it where its value isn't the default,
//! and `--help` lists it.
//!
//! Each program has its own list of such flags, beside the flags that act; [`KLOG`] holds those of the logging library, common
//! to all of Kube-OVN's programs.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use tracing::info;

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
    ("log_dir", Shape::Value, ""),
    ("log_flush_frequency", Shape::Value, "5s"),
    ("add_dir_header", Shape::Bool, "false"),
    ("one_output", Shape::Bool, "false"),
    ("skip_headers", Shape::Bool, "false"),
    ("skip_log_headers", Shape::Bool, "false"),
    ("stderrthreshold", Shape::Value, "2"),
    ("legacy_stderr_threshold_behavior", Shape::Bool, "true"),
    ("vmodule", Shape::Value, ""),
    ("log_backtrace_at", Shape::Value, ":0"),
];

/// `command` with the flags of `T`, those of `inert` and klog's. Its help lists the latter two.
#[must_use]
pub fn command<T: Args>(command: Command, inert: &[Inert]) -> Command {
    // clap takes the comment on `T` for the program's purpose.
    let about = command.get_about().cloned().unwrap_or_default();
    let mut command = T::augment_args(command.args_override_self(true)).about(about);
    for (name, shape, default) in inert.iter().chain(KLOG) {
        let mut arg = Arg::new(*name)
            .long(*name)
            .hide(true)
            .action(ArgAction::Set)
            .default_value(*default)
            .allow_hyphen_values(true);
        if let Some(other) = respelled(name) {
            // clap takes names that live as long as the program; it asks for them once.
            arg = arg.alias(&*other.leak());
        }
        if let (1, Some(letter)) = (name.len(), name.chars().next()) {
            arg = arg.short(letter);
        }
        command = command.arg(match shape {
            Shape::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Shape::Value => arg,
        });
    }
    let names: Vec<String> = inert.iter().chain(KLOG).map(|(name, ..)| format!("--{name}")).collect();
    command.after_help(format!(
        "Flags of Kube-OVN's that are accepted and have no effect in this version: {}.",
        names.join(", ")
    ))
}

/// With underscores for dashes, or the other way round: Kube-OVN's charts have klog's names with either.
fn respelled(name: &str) -> Option<String> {
    match (name.contains('-'), name.contains('_')) {
        (true, _) => Some(name.replace('-', "_")),
        (_, true) => Some(name.replace('_', "-")),
        _ => None,
    }
}

/// Reads a command line, whose first element is the program's name: the flags of `T`, and `--name=value` for each of `inert` with
/// another value than Kube-OVN's default.
///
/// # Errors
/// clap's answer, which is also that to `--help` and `--version`.
pub fn read<T: Args>(
    program: Command,
    inert: &[Inert],
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<(T, Vec<String>), clap::Error> {
    let matches = command::<T>(program, inert).try_get_matches_from(args)?;
    Ok((T::from_arg_matches(&matches)?, set(&matches, inert)))
}

fn set(matches: &ArgMatches, flags: &[Inert]) -> Vec<String> {
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

/// Names the flags without an effect in the log, as [`read`] returns them.
pub fn log_inert(set: &[String]) {
    if !set.is_empty() {
        info!("flags of Kube-OVN's that have no effect in this version: {}", set.join(" "));
    }
}

/// The addresses to listen on: those of a flag, separated by commas; else, where Kube-OVN's `ENABLE_BIND_LOCAL_IP` is true, the
/// pod's own (`POD_IPS`); else all of both families (`::`).
///
/// # Errors
/// Names the part that can't be read.
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

/// A bool as Go's `strconv.ParseBool` reads it.
///
/// # Errors
/// Names the fault.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

/// A duration as Go's `time.ParseDuration` reads it, without signs: `1m30s`, `500ms`, `24h`, `0`.
///
/// # Errors
/// Names the fault.
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

    const SOME: &[Inert] =
        &[("enable-x", Shape::Bool, "true"), ("x-name", Shape::Value, "a"), ("v", Shape::Value, "0")];

    /// Flags that act.
    #[derive(Args)]
    struct Acting {
        #[arg(long, default_value = "")]
        acts: String,
    }

    fn given(args: &[&str]) -> Result<Vec<String>, clap::Error> {
        let all = ["x"].iter().chain(args);
        let (acting, set) = read::<Acting>(Command::new("x"), SOME, all)?;
        assert!(["", "b"].contains(&acting.acts.as_str()));
        Ok(set)
    }

    #[test]
    fn what_was_set_is_named_and_defaults_are_not() {
        assert!(given(&[]).unwrap().is_empty());
        let defaults =
            ["--enable-x", "--enable-x=T", "--x-name=a", "--vmodule=", "--log-file=/x", "--log_file=/x"];
        assert!(given(&defaults).unwrap().is_empty());
        let set = given(&["--enable_x=0", "--x-name", "-b", "--acts=a", "--acts=b", "-v=3"]).unwrap();
        assert_eq!(set, ["--enable-x=0", "--x-name=-b", "--v=3"]);
        // A word after a switch is not its value, and a mistyped flag is still an error.
        assert!(given(&["--enable-x", "false"]).is_err());
        assert!(given(&["--enable-y"]).is_err());
    }

    #[test]
    fn help_lists_them() {
        let help = command::<Acting>(Command::new("x").about("Does x"), SOME).render_help().to_string();
        assert!(help.starts_with("Does x\n"), "{help}");
        let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            flat.contains("no effect in this version: --enable-x, --x-name, --v, --logtostderr"),
            "{help}"
        );
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
