//! What all keys of one user of a bucket begin with.

use std::fmt;
use std::str::FromStr;

/// The most characters that a prefix may have: keys have 1,024, and a backup's own part of one needs
/// the rest.
const LONGEST: usize = 256;

/// Names of folders, each with a slash behind it, or nothing at all: never the beginning of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// What keys begin with: empty, or with a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether keys begin with nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Prefix {
    type Err = String;

    /// Nothing is mended in it: a spelling that two programs read differently is another place to one
    /// of them.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > LONGEST {
            return Err(format!("a prefix has at most {LONGEST} characters"));
        }
        if text.starts_with('/') {
            return Err("a prefix does not begin with a slash".to_owned());
        }
        let folders = text.strip_suffix('/').unwrap_or(text);
        for folder in folders.split('/') {
            if folder.is_empty() {
                return Err("a prefix has no empty parts, as between two slashes".to_owned());
            }
            if folder.starts_with('.') {
                return Err("no part of a prefix begins with a dot".to_owned());
            }
        }
        let plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '+' | '@');
        if let Some(wrong) = folders.chars().find(|c| *c != '/' && !plain(*c)) {
            return Err(format!(
                "a prefix has letters, digits, '-', '_', '.', '=', '+', '@' and slashes, and not {wrong:?}"
            ));
        }
        Ok(Self(format!("{folders}/")))
    }
}

impl fmt::Display for Prefix {
    /// As settings have it: without the slash at the end.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.strip_suffix('/').unwrap_or(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_whole_folders() {
        for (text, keys) in [
            ("", ""),
            ("a", "a/"),
            ("a/", "a/"),
            ("team-a/env=prod/v1.2_x", "team-a/env=prod/v1.2_x/"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.as_str(), keys, "{text}");
            assert_eq!(prefix.to_string(), keys.trim_end_matches('/'), "{text}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_no_prefix() {
        let long = "a".repeat(LONGEST + 1);
        for wrong in [
            "/", "/a", "a//b", "a//", "..", "a/..", "../a", "a/./b", ".hidden", "a/.b", "a%2Fb",
            "a%", "a\\b", "a b", "a?b", "a#b", "a\0", "a\n", "ä", &long,
        ] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong:?}");
        }
    }
}
