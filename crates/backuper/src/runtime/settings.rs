//! Settings from the environment, and `--help` as a table of them.
//!
//! clap does the reading. Each of its arguments gets the name of its variable, so that its
//! errors speak of variables; nothing but `--help` and `--version` is taken from the command
//! line, where anybody could read it.

pub mod misspelt;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::str::FromStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches};
use secrecy::SecretString;

use super::logging::LogFormat;

/// Why a program does not begin its work.
#[derive(Debug)]
pub enum Instead {
    /// The text that `--help` or `--version` asked for.
    Print(String),
    /// One sentence that names the setting that is missing or wrong.
    Refuse(String),
}

/// Reads the settings of `T`.
///
/// # Errors
/// What to do instead of the program's work.
pub fn read<T: CommandFactory + FromArgMatches>() -> Result<T, Instead> {
    let command = named_after_variables(T::command());
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next()) {
        (None, _) => parse(command, &[]),
        (Some(word), None) if word == "--help" || word == "-h" => {
            Err(Instead::Print(help(&command)))
        }
        (Some(word), None) if word == "--version" || word == "-V" => {
            Err(Instead::Print(command.render_version()))
        }
        _ => Err(Instead::Refuse(format!(
            "{} takes no arguments but --help and --version; its settings are environment variables",
            command.get_name()
        ))),
    }
}

/// Reads the settings of `T` from pairs of names and values; what is not among them comes from
/// the environment.
///
/// # Errors
/// As [`read`].
pub fn read_from<'a, T, I>(pairs: I) -> Result<T, Instead>
where
    T: CommandFactory + FromArgMatches,
    I: IntoIterator<Item = (&'a str, &'a str)>,
{
    let arguments: Vec<OsString> = pairs
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}").into())
        .collect();
    parse(named_after_variables(T::command()), &arguments)
}

/// What LOG_FORMAT says, for a program whose other settings cannot be read.
#[must_use]
pub fn log_format() -> LogFormat {
    #[expect(clippy::disallowed_methods, reason = "clap reads all settings or none")]
    let set = std::env::var("LOG_FORMAT");
    let format = set.ok().and_then(|it| it.parse().ok());
    format.unwrap_or_default()
}

/// A variable that somebody else has named; none: it is not set, or empty.
///
/// # Errors
/// When it is a setting of ours: whoever may name one would be told what it holds.
pub fn named(name: &str) -> Result<Option<SecretString>, String> {
    if misspelt::NAMES.contains(&name) {
        return Err(format!(
            "environment variable {name} is a setting of this program, and no credential of yours"
        ));
    }
    #[expect(clippy::disallowed_methods, reason = "nobody knows its name before")]
    let set = std::env::var(name);
    Ok(set.ok().filter(|it| !it.is_empty()).map(SecretString::from))
}

/// The word for a backup that only those make which know encryption, locks, rules of retention and several
/// databases.
pub const PROTECTED: &str = "protected-backup";

/// What a backuper is to do: its settings are others for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Make a backup. With the second word for it, one that backupers do not make which do not know that
    /// word: they would pass over the settings that protect it.
    Backup,
    /// List backups.
    List,
    /// Show one backup.
    Show,
    /// Delete one backup.
    Delete,
    /// Pin one backup.
    Pin,
    /// Take one backup's pin away.
    Unpin,
    /// Say what retention would remove.
    Retention,
    /// Look for what would make a backup or a restore fail.
    Check,
}

impl FromStr for Task {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "backup" | PROTECTED => Ok(Self::Backup),
            "list" => Ok(Self::List),
            "show" => Ok(Self::Show),
            "delete" => Ok(Self::Delete),
            "pin" => Ok(Self::Pin),
            "unpin" => Ok(Self::Unpin),
            "retention" => Ok(Self::Retention),
            "check" => Ok(Self::Check),
            _ => {
                Err("one of backup, list, show, delete, pin, unpin, retention and check is needed")
            }
        }
    }
}

/// What a backuper is to do, by `BACKUPER_TASK`.
///
/// # Errors
/// A sentence where the variable has none of the words.
pub fn task() -> Result<Task, Instead> {
    task_of("BACKUPER_TASK")
}

/// What a worker is to do, by a variable of its own.
///
/// # Errors
/// A sentence where the variable has none of the words.
pub fn task_of<T: FromStr<Err = &'static str>>(variable: &str) -> Result<T, Instead> {
    #[expect(
        clippy::disallowed_methods,
        reason = "it says which settings clap is to read"
    )]
    let task = std::env::var(variable).unwrap_or_default();
    task.parse()
        .map_err(|needed| Instead::Refuse(format!("{variable} is wrong: {needed}")))
}

/// A secret that is no argument of a command; none where it is not set or empty.
#[must_use]
pub fn secret(name: &str) -> Option<SecretString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "clap would let it be an argument too"
    )]
    let set = std::env::var(name);
    set.ok().filter(|it| !it.is_empty()).map(SecretString::from)
}

/// Warns of variables that look like settings and are none. For when logging has been started.
pub fn warn_of_misspelt() {
    #[expect(
        clippy::disallowed_methods,
        reason = "clap cannot be asked for the variables that are nobody's"
    )]
    let environment = std::env::vars_os();
    for misspelt::Misspelt { name, nearest } in misspelt::among(environment) {
        tracing::warn!(
            "{name} is none of the settings, so it changes nothing; is {nearest} meant?"
        );
    }
}

/// The names of the variables that `T` reads.
#[must_use]
pub fn names_of<T: CommandFactory>() -> Vec<String> {
    T::command().get_arguments().filter_map(variable).collect()
}

/// The table that `--help` prints.
#[must_use]
pub fn help_of<T: CommandFactory>() -> String {
    help(&named_after_variables(T::command()))
}

fn parse<T: FromArgMatches>(command: Command, arguments: &[OsString]) -> Result<T, Instead> {
    let name = OsString::from(command.get_name());
    let refuse = |error: clap::Error| Instead::Refuse(sentence(&error));
    let matches: ArgMatches = command
        .try_get_matches_from(std::iter::once(&name).chain(arguments))
        .map_err(refuse)?;
    T::from_arg_matches(&matches).map_err(refuse)
}

fn named_after_variables(command: Command) -> Command {
    command
        .mut_args(|arg| match variable(&arg) {
            Some(name) => arg.long(name.clone()).value_name(name),
            None => arg,
        })
        .disable_help_flag(true)
        .disable_version_flag(true)
}

fn variable(arg: &Arg) -> Option<String> {
    Some(arg.get_env()?.to_string_lossy().into_owned())
}

/// clap's errors name `--DB_HOST <DB_HOST>`; a person has set a variable.
fn sentence(error: &clap::Error) -> String {
    let names = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => vec![bare(name)],
        Some(ContextValue::Strings(names)) => names.iter().map(|it| bare(it)).collect(),
        _ => Vec::new(),
    };
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return format!(
            "{} must be set; see --help for what each setting means",
            names.join(" and ")
        );
    }
    if let Some(ContextValue::String(other)) = error.get(ContextKind::PriorArg) {
        let (name, other) = (names.join(" and "), bare(other));
        return format!("{name} and {other} are both set, and only one of them may be");
    }
    let reason = std::error::Error::source(error).map_or_else(
        || error.kind().as_str().unwrap_or("not understood").to_owned(),
        ToString::to_string,
    );
    format!("{} is wrong: {reason}", names.join(" and "))
}

fn bare(name: &str) -> String {
    let word = name.split_whitespace().next().unwrap_or(name);
    word.trim_start_matches("--").to_owned()
}

fn help(command: &Command) -> String {
    let mut text = String::new();
    let mut heading = None;
    if let Some(about) = command.get_about() {
        let _infallible = writeln!(text, "{about}\n");
    }
    let _infallible = writeln!(
        text,
        "Usage: {}\n\nSettings are environment variables; an empty one counts as unset. The only\narguments are --help and --version.",
        command.get_name()
    );
    for arg in command.get_arguments() {
        let Some(name) = variable(arg) else { continue };
        if heading != arg.get_help_heading() {
            heading = arg.get_help_heading();
            let _infallible = writeln!(text, "\n{}:", heading.unwrap_or("Settings"));
        }
        let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let default = arg
            .get_default_values()
            .first()
            .filter(|it| !it.is_empty())
            .map(|it| format!(" [default: {}]", it.to_string_lossy()));
        let required = arg.is_required_set().then(|| " [required]".to_owned());
        let remark = required.or(default).unwrap_or_default();
        let _infallible = writeln!(
            text,
            "  {name:<26} {}{remark}",
            meaning.trim_end_matches('.')
        );
    }
    if let Some(after) = command.get_after_help() {
        let _infallible = writeln!(text, "\n{after}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::BackupJob;

    fn refusal(pairs: &[(&str, &str)]) -> String {
        match read_from::<BackupJob, _>(pairs.iter().copied()) {
            Err(Instead::Refuse(sentence)) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_setting_is_named() {
        let sentence = refusal(&[("DB_USER", "me"), ("DB_NAME", "app")]);
        assert!(sentence.starts_with("DB_HOST must be set"), "{sentence}");
    }

    #[test]
    fn a_wrong_setting_is_named_with_what_is_needed() {
        let base = [("DB_HOST", "h"), ("DB_USER", "me"), ("DB_NAME", "app")];
        for (name, value, needed) in [
            ("DB_PORT", "0", "a port from 1 to 65535 is needed"),
            ("MAX_BACKUP_COUNT", "-1", "a count of 0 or more"),
            ("COMPRESSION_LEVEL", "20", "1 to 19"),
            ("S3_ENDPOINT", "ftp://x", "http, https or file"),
        ] {
            let sentence = refusal(&[&base[..], &[(name, value)]].concat());
            assert!(sentence.starts_with(name), "{sentence}");
            assert!(sentence.contains(needed), "{sentence}");
        }
    }

    #[test]
    fn u21_help_and_debug_show_no_secret() {
        let job: BackupJob = read_from([
            ("DB_HOST", "h"),
            ("DB_USER", "me"),
            ("DB_NAME", "app"),
            ("DB_PASSWORD", "hunter2"),
            ("S3_SECRET_KEY", "hunter2"),
        ])
        .unwrap();
        assert!(!format!("{job:?}").contains("hunter2"));
        let help = help_of::<BackupJob>();
        assert!(
            help.contains("DB_PASSWORD") && !help.contains("hunter2"),
            "{help}"
        );
    }
}
