//! Whether the server has committed the transaction: what it says of its number, whoever else says what.

use std::time::Duration;

use backuper::postgres::{self, Target};
use backuper::runtime::shutdown::Deadline;
use backuper::runtime::{Failure, Shutdown};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

/// How long a server may take to end a transaction whose session is gone, or to be there again.
const ENDING: Duration = Duration::from_secs(20);
/// How long one answer of it may take.
const ANSWERING: Duration = Duration::from_secs(5);
/// After how long it is asked again.
const AGAIN: Duration = Duration::from_millis(250);

const STATUS: &str = "SELECT coalesce(pg_xact_status($1::text::xid8), 'too old to be known')";
/// Of a server that is reached anew. Another one may have taken over, which has given the number to somebody else: what the
/// transaction has made must be there too.
const STATUS_ANEW: &str = "
    SELECT CASE WHEN status = 'committed'
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_class WHERE xmin = number::xid)
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE xmin = number::xid)
                THEN 'unknown' ELSE coalesce(status, 'too old to be known') END
      FROM (SELECT number, pg_catalog.pg_xact_status(number) FROM (SELECT $1::text::xid8) AS given (number)) AS asked (number, status)";

/// Who is asked, and who hears that nobody knows it yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided<'a> {
    /// Beside the transaction.
    pub(super) session: &'a Client,
    pub(super) target: &'a Target,
    pub(super) shutdown: &'a Shutdown,
}

impl Decided<'_> {
    /// COMMIT is on its way: from here on the server alone decides.
    pub(super) fn by_the_server(&self, number: &str) {
        self.shutdown.says_instead(Some(undecided(number)));
    }

    /// `committed`, `aborted`, `in progress` where it takes longer, or what says that nobody knows it. PostgreSQL manual, 9.26.8: transaction ID functions.
    ///
    /// # Errors
    /// Where nobody could ask.
    pub(super) async fn status(&self, number: &str) -> Result<String, Failure> {
        let deadline = Deadline::within(ENDING);
        let mut said = self.asked(self.session, STATUS, number).await;
        loop {
            match &said {
                Ok(status) if status != "in progress" => {
                    if status == "aborted" {
                        self.shutdown.says_instead(None);
                    }
                    return said;
                }
                Ok(_) | Err(_) if deadline.left().is_zero() => return said,
                Ok(_) | Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
            // It may have been the session alone that is lost, or a server that comes back.
            let connecting = Box::pin(self.target.connect("restorer"));
            said = match Deadline::within(ANSWERING).limit(connecting).await {
                Some(Ok(anew)) => self.asked(&anew, STATUS_ANEW, number).await,
                Some(Err(error)) => Err(unheard(&error.to_string(), number)),
                None => Err(unheard("it does not answer", number)),
            };
        }
    }

    async fn asked(&self, session: &Client, query: &str, number: &str) -> Result<String, Failure> {
        let numbers: [&(dyn ToSql + Sync); 1] = [&number];
        let asking = session.query_one(query, &numbers);
        match Deadline::within(ANSWERING).limit(asking).await {
            Some(Ok(row)) => Ok(row.get(0)),
            Some(Err(error)) => {
                let error = postgres::Error::new("asking", self.target, &error);
                Err(unheard(&error.to_string(), number))
            }
            None => Err(unheard("it does not answer", number)),
        }
    }
}

/// Trying again might undo what somebody has written since.
pub(super) fn unheard(why: &str, number: &str) -> Failure {
    Failure::refused(format!("{why}; {}", undecided(number)))
}

/// What a person has to know where nobody has heard how it ended.
fn undecided(number: &str) -> String {
    format!(
        "the server was committing all of it, and nobody has heard whether it did: ask it in that database (SELECT pg_xact_status('{number}')) before you write to it or restore again"
    )
}
