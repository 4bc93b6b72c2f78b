//! What came in the place of an answer.

use bytes::Bytes;

use super::Answer;
use crate::storage::Kind;
use crate::storage::http::{Broken, permanent};
use crate::text::deepest_cause;

/// As much of a server's words as a person reads.
const LONGEST: usize = 300;

/// Reads a service's refusal.
pub(in crate::storage) type Meaning = fn(&Answer<Bytes>) -> Failed;

/// One try that came to nothing.
#[derive(Debug)]
pub(in crate::storage) struct Failed {
    pub(in crate::storage) kind: Kind,
    pub(in crate::storage) reason: String,
    /// Whether the same request a little later may succeed.
    pub(in crate::storage) is_transient: bool,
}

impl Failed {
    /// A failure that another try does not mend.
    pub(in crate::storage) fn permanent(kind: Kind, reason: &str) -> Self {
        Self {
            kind,
            reason: one_line(reason),
            is_transient: false,
        }
    }

    /// A failure that another try may mend.
    pub(in crate::storage) fn transient(reason: &str) -> Self {
        Self {
            kind: Kind::Unavailable,
            reason: one_line(reason),
            is_transient: true,
        }
    }

    /// What a connection failed of.
    pub(in crate::storage) fn of_connection(error: &Broken) -> Self {
        if error.is_timeout() {
            return Self::transient("no answer in time");
        }
        match permanent(error) {
            Some(kind) => Self::permanent(kind, &deepest_cause(error)),
            None if matches!(error, Broken::Unsendable(_)) => {
                Self::permanent(Kind::Misconfigured, &deepest_cause(error))
            }
            None => Self::transient(&deepest_cause(error)),
        }
    }

    /// A refusal with these words. Whether it is transient is the status's alone.
    pub(in crate::storage) fn of_status(
        answer: &Answer<Bytes>,
        kind: Kind,
        code: &str,
        message: &str,
    ) -> Self {
        let status = answer.status.as_u16();
        Self {
            kind,
            reason: one_line(&format!("HTTP {status} {code} {message}")),
            is_transient: kind == Kind::Unavailable,
        }
    }
}

/// Whether a page for people came, or nothing that a program writes.
pub(in crate::storage) fn is_page(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let begins = |with: &[u8]| {
        let found = start.get(..with.len());
        found.is_some_and(|it| it.eq_ignore_ascii_case(with))
    };
    begins(b"<!doctype html") || begins(b"<html")
}

/// A server's words in one line of a bearable length.
pub(in crate::storage) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
