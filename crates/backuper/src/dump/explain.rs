//! Why a pg_dump failed. Its own words are in the server's language and without a code, so what can
//! be asked of the server again is asked, through a session of ours.

use std::time::Duration;

use super::{Dump, Error};
use crate::child;
use crate::postgres::{Kind, MAX_LOCKS, Session, selection};
use crate::runtime::Failure;

/// How long asking may take: a server that is gone answers nothing.
const ASKING: Duration = Duration::from_secs(5);

/// Whom to ask.
#[derive(Clone, Copy)]
pub(super) struct Questions<'a> {
    pub(super) dump: &'a Dump,
    pub(super) witness: &'a Session,
}

impl Questions<'_> {
    /// What an error means to the person who reads the last line.
    pub(super) async fn explain(self, error: Error) -> Failure {
        let sentence = error.to_string();
        let sentence = match error {
            Error::Child {
                source: child::Error::Failed { stderr, .. },
                ..
            } if stderr.iter().any(|it| it.contains(MAX_LOCKS)) => {
                return Failure::refused(format!(
                    "{sentence}: the server has no room for a lock on each table; raise its {MAX_LOCKS}, which takes a restart of the server"
                ));
            }
            Error::Child {
                source: child::Error::Failed { .. },
                ..
            } => sentence,
            // What we have found out by ourselves needs no other explanation.
            Error::Copy { name, source } if source.kind == Kind::Busy => {
                return Failure::try_again(format!("dumping {name}: {source}"));
            }
            Error::Copy { name, source } => {
                format!("dumping {name}: {}", Failure::from(source))
            }
            _ => return error.into(),
        };
        match tokio::time::timeout(ASKING, self.ask(&sentence)).await {
            Ok(failure) => failure,
            Err(_elapsed) => Failure::try_again(sentence),
        }
    }

    async fn ask(self, sentence: &str) -> Failure {
        let Dump {
            target, filters, ..
        } = self.dump;
        if let Err(denied) = selection::may_read_all(self.witness, target, filters).await
            && !denied.kind.is_transient()
        {
            return Failure::refused(format!("{sentence}; {}", denied.reason));
        }
        if sentence.contains("permission denied") {
            return Failure::refused(sentence.to_owned());
        }
        if self.is_standby().await {
            return Failure::try_again(format!(
                "{sentence}; the server is a standby, where replay ends sessions that it would have to wait for: raise its max_standby_streaming_delay, or set hot_standby_feedback"
            ));
        }
        Failure::try_again(sentence.to_owned())
    }

    async fn is_standby(self) -> bool {
        let asked = self.witness.query_one("SELECT pg_is_in_recovery()", &[]);
        asked.await.is_ok_and(|row| row.get(0))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(error) => error.into(),
            unfit @ Error::Unfit { .. } => Self::refused(unfit.to_string()),
            other => Self::try_again(other.to_string()),
        }
    }
}
