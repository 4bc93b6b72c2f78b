//! Which backup a person means.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

/// Which backup is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// Counted from the newest, which is 0. `latest` is 0.
    Count(u32),
    /// The newest whose snapshot is at or before this time.
    At(Timestamp),
    /// A folder's name, or a key with at least one slash.
    Named(String),
}

impl Default for Revision {
    fn default() -> Self {
        Self::Count(0)
    }
}

/// The revision is none of the forms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the revision must be a number counted from the newest (0 or latest), a folder's name, an object's key, or a time such as 2026-11-20T21:05:27Z"
)]
pub struct NotARevision;

impl FromStr for Revision {
    type Err = NotARevision;

    fn from_str(text: &str) -> Result<Self, NotARevision> {
        if text.is_empty() || text == "latest" {
            return Ok(Self::Count(0));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Count).map_err(|_huge| NotARevision);
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        // `-1` would otherwise become a key that nobody has.
        let number = text.strip_prefix(['-', '+']).unwrap_or(text);
        if number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotARevision);
        }
        if text.contains(|c: char| c.is_control()) || text.starts_with('/') {
            return Err(NotARevision);
        }
        Ok(Self::Named(text.to_owned()))
    }
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
        assert_eq!("-1".parse::<Revision>(), Err(NotARevision));
        assert_eq!("99999999999999".parse::<Revision>(), Err(NotARevision));
        let time = "2026-11-20T21:05:27Z";
        assert_eq!(time.parse(), Ok(Revision::At(time.parse().unwrap())));
        let folder = "2026-11-20-21-05-27-backup-1f3a9c0e";
        assert_eq!(folder.parse(), Ok(Revision::Named(folder.to_owned())));
        // All digits and still a name: written with its folder.
        assert_eq!("app/123".parse(), Ok(Revision::Named("app/123".to_owned())));
    }
}
