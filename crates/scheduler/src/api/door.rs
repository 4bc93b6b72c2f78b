//! Reads messages field by field, and collects all that is wrong with them.

use std::fmt::Display;

use backuper::job::Maybe;
use secrecy::SecretString;

use super::status::Violation;
use crate::domain::name::{self, Wrong};

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Door {
    prefix: &'static str,
    violations: Vec<Violation>,
}

impl Door {
    /// One that has found this already.
    pub(super) fn having(violations: Vec<Violation>) -> Self {
        Self {
            prefix: "",
            violations,
        }
    }

    pub(super) fn opened<T>(self, value: Option<T>) -> Result<T, Vec<Violation>> {
        match value {
            Some(value) if self.violations.is_empty() => Ok(value),
            _ => Err(self.violations),
        }
    }

    pub(super) fn take<T>(&mut self, field: &str, value: Result<T, impl Display>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(why) => {
                self.violations.push(Violation {
                    field: format!("{}{field}", self.prefix),
                    why: why.to_string(),
                });
                None
            }
        }
    }

    /// The fields from here on are of a message in a message.
    pub(super) fn below(&mut self, prefix: &'static str) {
        self.prefix = prefix;
    }
}

pub(super) fn filled(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong("it is empty"));
    }
    name::without_nul(text)
}

pub(super) fn secret(text: String) -> Maybe<SecretString> {
    (!text.is_empty()).then(|| SecretString::from(text))
}
