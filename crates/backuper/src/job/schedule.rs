//! Which of a database's schedules a backup is for.

use std::str::FromStr;

/// What a name may have: it becomes part of an object's key.
const LONGEST: usize = 63;

/// The name of a schedule: a DNS label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleName(String);

impl ScheduleName {
    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScheduleName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (1..=LONGEST).contains(&text.len()) && text.chars().all(inside) {
            Ok(Self(text.to_owned()))
        } else {
            Err("a name of 1 to 63 lower-case letters, digits and hyphens is needed")
        }
    }
}
