//! What the server answered, in the classes that a caller acts on.

use tokio_postgres::error::SqlState;

/// A statement or a question that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{action}: {reason}")]
pub struct Error {
    /// What the caller can act on.
    pub class: Class,
    /// What was being done, to what: never a secret.
    pub action: String,
    /// What the server or the network said.
    pub reason: String,
    /// The server's code for it, which does not depend on its language.
    pub state: Option<SqlState>,
}

/// What a caller can act on. PostgreSQL manual, appendix A: error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The administering role may not do this: it is tried again at the normal interval.
    InsufficientPrivileges,
    /// It passes by itself: a lock, the network, a server that starts.
    Transient,
    /// Something else depends on the object.
    DependentObjects,
    /// It exists already, and is not ours to say whose it is.
    Conflict,
    /// It does not exist: done, where it was to be removed.
    Missing,
    /// Anything else.
    Other,
}

impl Error {
    /// What a failed call means.
    #[must_use]
    pub fn new(action: impl Into<String>, error: &tokio_postgres::Error) -> Self {
        let (reason, state) = match error.as_db_error() {
            Some(answer) => {
                let mut reason = answer.message().to_owned();
                for more in [answer.detail(), answer.hint()].into_iter().flatten() {
                    reason.push_str("; ");
                    reason.push_str(more);
                }
                (reason, Some(answer.code().clone()))
            }
            None => (backuper::text::deepest_cause(error), None),
        };
        let class = match &state {
            Some(state) => class_of(state.code(), &reason),
            None => Class::Transient,
        };
        Self {
            class,
            action: action.into(),
            reason: reason.replace('\n', " "),
            state,
        }
    }

    /// A refusal of our own.
    #[must_use]
    pub fn because(class: Class, action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            class,
            action: action.into(),
            reason: reason.into(),
            state: None,
        }
    }

    /// Whether it failed because somebody else holds a lock.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        self.state.as_ref() == Some(&SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether the session is of no use any more.
    #[must_use]
    pub fn ends_the_session(&self) -> bool {
        match &self.state {
            None => self.class == Class::Transient,
            Some(state) => state.code().starts_with("57P") || state.code().starts_with("08"),
        }
    }
}

fn class_of(code: &str, reason: &str) -> Class {
    match code {
        "42501" => Class::InsufficientPrivileges,
        "55006" | "55P03" | "40P01" | "40001" => Class::Transient,
        // elog()'s own text, which is not translated: two statements on one row of a catalogue.
        "XX000" if reason.contains("tuple concurrently") => Class::Transient,
        "2BP01" => Class::DependentObjects,
        "42710" | "42P04" => Class::Conflict,
        "3D000" | "42704" => Class::Missing,
        _ if ["08", "53", "57"].contains(&code.get(..2).unwrap_or_default()) => Class::Transient,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_what_a_caller_acts_on() {
        for (code, class) in [
            ("42501", Class::InsufficientPrivileges),
            ("55P03", Class::Transient),
            ("57P01", Class::Transient),
            ("08006", Class::Transient),
            ("2BP01", Class::DependentObjects),
            ("42710", Class::Conflict),
            ("42704", Class::Missing),
            ("22023", Class::Other),
            ("", Class::Other),
        ] {
            assert_eq!(class_of(code, ""), class, "{code}");
        }
        let twice = "tuple concurrently updated";
        assert_eq!(class_of("XX000", twice), Class::Transient);
        assert_eq!(class_of("XX000", "cache lookup failed"), Class::Other);
    }
}
