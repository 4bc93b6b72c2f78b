//! PostgreSQL: whom to ask, and what is there.

pub mod authorities;
pub mod children;
pub mod copy_format;
pub mod databases;
pub mod entrance;
pub mod identity;
pub mod lock;
pub mod mark;
pub mod probe;
mod replica;
pub mod selection;
pub mod session;
pub mod snapshot;
pub(crate) mod tap;
pub mod target;
mod tls;
pub mod tools;
pub mod unlocked;
pub mod waits;

pub use authorities::Authorities;
pub use children::{Traffic, Way};
pub use copy_format::CopyFormat;
pub use entrance::Entrance;
pub use session::Session;
pub use target::{SslMode, Target};

use target::CONNECTING;
use tokio_postgres::error::SqlState;

use crate::text::deepest_cause;

/// What went wrong between us and a PostgreSQL server.
#[derive(Debug, thiserror::Error)]
#[error("{action} {target}: {reason}")]
pub struct Error {
    /// What the caller can act on.
    pub kind: Kind,
    /// A verb phrase, such as `connecting to`.
    pub action: &'static str,
    /// `host:port/dbname`.
    pub target: String,
    /// What the server or the network said, in one line, without secrets.
    pub reason: String,
    /// The server's code for it, which does not depend on the server's language.
    pub state: Option<SqlState>,
}

/// The setting that the server's hint names, in any language, where its table of locks is full. PostgreSQL manual,
/// 20.12.
pub const MAX_LOCKS: &str = "max_locks_per_transaction";

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No such database.
    NoDatabase,
    /// Wrong password, no entry in pg_hba.conf, no such role.
    Rejected,
    /// The server asks for a password and there is none.
    NoPassword,
    /// The server speaks no TLS, which we must have.
    NoTls,
    /// The role may not do this.
    Denied,
    /// TLS: a certificate that cannot be trusted.
    Untrusted,
    /// Settings of TLS that cannot be followed: a file that is missing or cannot be read.
    Misconfigured,
    /// The server does not answer, is starting or stopping, or has no connection to spare.
    Unavailable,
    /// Somebody else holds what we need.
    Busy,
    /// A request that this server cannot serve.
    Unsupported,
    /// Anything else the server answered.
    Other,
}

impl Kind {
    /// Whether the same call later may succeed.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Unavailable | Self::Busy | Self::Other => true,
            Self::NoDatabase
            | Self::Rejected
            | Self::NoPassword
            | Self::NoTls
            | Self::Denied
            | Self::Untrusted
            | Self::Misconfigured
            | Self::Unsupported => false,
        }
    }
}

impl Error {
    /// What a failed call means.
    #[must_use]
    pub fn new(action: &'static str, target: &Target, error: &tokio_postgres::Error) -> Self {
        let (kind, reason) = match error.code() {
            Some(state) if is_of_a_pool(state) => (kind_of(error), entrance::POOLED.to_owned()),
            _ => match reason_of(error) {
                // The one encoding of servers that has no conversion to ours; what is in the server's language is around it.
                reason
                    if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED)
                        && reason.contains("MULE_INTERNAL") =>
                {
                    let why = "; a database of this encoding can be backed up and restored by pg_dump and pg_restore alone";
                    (Kind::Unsupported, reason + why)
                }
                reason if is_of_its_encoding(error, &reason) => {
                    let why =
                        "; it takes a database whose encoding has that character, such as UTF8";
                    (Kind::Unsupported, reason + why)
                }
                reason => (kind_of(error), reason),
            },
        };
        Self {
            kind,
            action,
            target: target.to_string(),
            reason,
            state: error.code().cloned(),
        }
    }

    /// An error of our own making.
    #[must_use]
    pub fn because(
        kind: Kind,
        action: &'static str,
        target: &Target,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            action,
            target: target.to_string(),
            reason: reason.into(),
            state: None,
        }
    }

    /// Whether there was no session yet.
    pub(crate) fn is_of_connecting(&self) -> bool {
        self.action == CONNECTING
    }

    /// Whether libpq would try again without TLS in `prefer`: the server is not trusted, or has no
    /// entry for such connections.
    fn may_do_without_tls(&self) -> bool {
        let no_entry = Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        self.kind == Kind::Untrusted || self.state == no_entry
    }

    /// Both refusals, of a connection that was tried in two ways.
    fn or_else(self, other: &Self) -> Self {
        if self.reason == other.reason {
            return self;
        }
        let reason = format!("{}; and the other way: {}", self.reason, other.reason);
        Self { reason, ..self }
    }
}

/// What the next client of a shared server process meets: statements that another one has prepared,
/// or not its own.
fn is_of_a_pool(state: &SqlState) -> bool {
    *state == SqlState::DUPLICATE_PSTATEMENT || *state == SqlState::INVALID_SQL_STATEMENT_NAME
}

/// Whether the server cannot write a character that we have sent, all of which is UTF8: the first of both encodings that it
/// names, in whichever language.
fn is_of_its_encoding(error: &tokio_postgres::Error, reason: &str) -> bool {
    error.code() == Some(&SqlState::UNTRANSLATABLE_CHARACTER)
        && first_encoding(reason) == Some("UTF8")
}

/// The first word of capitals: bytes are written as `0xe2`.
fn first_encoding(reason: &str) -> Option<&str> {
    let of_name = |it: char| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_';
    let mut words = reason.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    words.find(|it| {
        it.len() > 2
            && it.starts_with(|it: char| it.is_ascii_uppercase())
            && it.chars().all(of_name)
    })
}

/// PostgreSQL manual, appendix A: error codes.
fn kind_of(error: &tokio_postgres::Error) -> Kind {
    let Some(state) = error.code() else {
        return if tls::is_untrusted(error) {
            Kind::Untrusted
        } else {
            kind_without_code(&deepest_cause(error))
        };
    };
    if is_of_a_pool(state) {
        Kind::Unsupported
    } else if *state == SqlState::INVALID_CATALOG_NAME {
        Kind::NoDatabase
    } else if *state == SqlState::INVALID_PASSWORD
        || *state == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        Kind::Rejected
    } else if *state == SqlState::INSUFFICIENT_PRIVILEGE {
        Kind::Denied
    } else if *state == SqlState::LOCK_NOT_AVAILABLE || *state == SqlState::OBJECT_IN_USE {
        Kind::Busy
    } else if ["08", "53", "57"].contains(&&state.code()[..2])
        // A session that its time-outs in a transaction have ended.
        || ["25P03", "25P04"].contains(&state.code())
    {
        Kind::Unavailable
    } else {
        Kind::Other
    }
}

/// What tokio-postgres finds out by itself it tells by texts alone.
fn kind_without_code(cause: &str) -> Kind {
    match cause {
        "password missing" => Kind::NoPassword,
        "server does not support TLS" => Kind::NoTls,
        _ => Kind::Unavailable,
    }
}

/// The server's own words where it has some, the deepest cause otherwise: the outer texts of
/// tokio-postgres say only `db error` or `error connecting to server`.
fn reason_of(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        let mut reason = answer.message().to_owned();
        for more in [answer.detail(), answer.hint()].into_iter().flatten() {
            reason.push_str("; ");
            reason.push_str(more);
        }
        return reason.replace('\n', " ");
    }
    deepest_cause(error).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_both_encodings_is_found_in_any_language() {
        for (reason, first) in [
            (
                "character with byte sequence 0xe2 0x82 0xac in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"",
                Some("UTF8"),
            ),
            (
                "Zeichen mit Bytefolge 0x8e 0xe0 in Kodierung »EUC_JP« hat keine Entsprechung in Kodierung »UTF8«",
                Some("EUC_JP"),
            ),
            (
                "le caractère dont la séquence d'octets est 0xe2 dans l'encodage « UTF8 » n'a pas d'équivalent dans l'encodage « WIN1252 »",
                Some("UTF8"),
            ),
            ("nothing of the kind", None),
        ] {
            assert_eq!(first_encoding(reason), first, "{reason}");
        }
    }
}
