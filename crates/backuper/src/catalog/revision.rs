//! Which backup a person means.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use crate::archive::Folder;

/// Which backup is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// Counted from the newest, which is 0. `latest` is 0.
    Count(u32),
    /// The newest whose snapshot is at or before this time.
    At(Timestamp),
    /// A folder's name, or a key.
    Named(String),
}

impl Default for Revision {
    fn default() -> Self {
        Self::Count(0)
    }
}

/// The revision is none of the forms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARevision {
    /// A number that counts nothing.
    #[error("{0} counts no backup; the newest is 0, the one before it 1, {max} at most", max = u32::MAX)]
    Number(String),
    /// A day without a time.
    #[error(
        "{0} is a day, and a time is needed to find the newest backup at or before it, such as {0}T23:59:59Z"
    )]
    Day(Date),
    /// A time that may be of any place.
    #[error(
        "{0} is a time without a zone; write {0}Z if it is UTC, or an offset such as {0}+02:00"
    )]
    NoZone(DateTime),
    /// Anything else.
    #[error(
        "{0:?} is no backup; write a number counted from the newest (0 or latest), a folder's name such as 2026-11-20-21-05-27-backup-1f3a9c0e, an object's whole key, or a time such as 2026-11-20T21:05:27Z"
    )]
    Else(String),
}

impl FromStr for Revision {
    type Err = NotARevision;

    fn from_str(text: &str) -> Result<Self, NotARevision> {
        if text.is_empty() || text == "latest" {
            return Ok(Self::Count(0));
        }
        // `-1` would otherwise become a key that nobody has.
        let number = text.strip_prefix(['-', '+']).unwrap_or(text);
        if number.bytes().all(|byte| byte.is_ascii_digit()) {
            let count = number.parse().ok().filter(|_| number == text);
            return count
                .map(Self::Count)
                .ok_or_else(|| NotARevision::Number(text.to_owned()));
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        if text.contains('/') {
            let odd = text.contains(|c: char| c.is_control()) || text.starts_with('/');
            return if odd {
                Err(NotARevision::Else(text.to_owned()))
            } else {
                Ok(Self::Named(text.to_owned()))
            };
        }
        if Folder::parse("", text).is_ok() {
            return Ok(Self::Named(text.to_owned()));
        }
        Err(match (text.parse::<Date>(), text.parse::<DateTime>()) {
            (Ok(day), _) if text.len() <= "2026-11-20".len() => NotARevision::Day(day),
            (_, Ok(time)) => NotARevision::NoZone(time),
            // An object at the root of the bucket.
            _ if is_file_name(text) => return Ok(Self::Named(text.to_owned())),
            _ => NotARevision::Else(text.to_owned()),
        })
    }
}

/// Whether a word without a slash may be an object's key: it has a suffix that dumps have.
fn is_file_name(text: &str) -> bool {
    let suffix = text.rsplit_once('.').map(|(_, suffix)| suffix);
    suffix
        .is_some_and(|it| ["sql", "gz", "dump", "backup", "bak", "pgdump", "custom"].contains(&it))
        && !text.contains(|c: char| c.is_control())
}

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(formatter, "{count}"),
            Self::At(time) => write!(formatter, "{time}"),
            Self::Named(name) => formatter.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn u29_a_revision_is_what_it_says() {
        assert_eq!("latest".parse(), Ok(Revision::Count(0)));
        assert_eq!("".parse(), Ok(Revision::Count(0)));
        assert_eq!("12".parse(), Ok(Revision::Count(12)));
        let time = "2026-11-20T21:05:27Z";
        assert_eq!(time.parse(), Ok(Revision::At(time.parse().unwrap())));
        for name in [
            "2026-11-20-21-05-27-backup-1f3a9c0e",
            // All digits and still a name: written with its folder.
            "app/123",
            "dump.sql",
            "2026-11-20.dump",
        ] {
            assert_eq!(name.parse(), Ok(Revision::Named(name.to_owned())));
        }
    }

    #[test]
    fn what_is_no_revision_is_told_what_it_may_be() {
        for (text, hint) in [
            ("-1", "the newest is 0"),
            ("+1", "the newest is 0"),
            ("99999999999999", "4294967295 at most"),
            ("newest", "0 or latest"),
            ("1.5", "0 or latest"),
            ("/app/x", "whole key"),
            ("a\nb/c", "whole key"),
            ("2026-11-25", "such as 2026-11-25T23:59:59Z"),
            (
                "2026-11-25T21:05:27",
                "write 2026-11-25T21:05:27Z if it is UTC",
            ),
            (
                "2026-11-25 21:05",
                "write 2026-11-25T21:05:00Z if it is UTC",
            ),
            ("2026-11-20-21-05-27", "a folder's name such as"),
        ] {
            let error = text.parse::<Revision>().unwrap_err().to_string();
            assert!(error.contains(hint), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
