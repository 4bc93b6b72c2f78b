//! Whether the server has committed the transaction: what it says of its number, whoever else says what.

use std::time::Duration;

use backuper::postgres::{self, Target};
use backuper::runtime::{Failure, Shutdown};
use tokio::time::Instant;
use tokio_postgres::Client;

/// How long a server may take to end a transaction whose session is gone, or to be there again.
const ENDING: Duration = Duration::from_secs(20);
/// After how long it is asked again.
const AGAIN: Duration = Duration::from_millis(50);

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
        self.shutdown.undecided(Some(undecided(number)));
    }

    /// `committed`, `aborted` or, where it takes longer, `in progress`. PostgreSQL manual, 9.26.8: transaction ID functions.
    ///
    /// # Errors
    /// Where nobody could ask.
    pub(super) async fn status(&self, number: &str) -> Result<String, Failure> {
        let begun = Instant::now();
        let mut anew = None;
        loop {
            let session = anew.as_deref().unwrap_or(self.session);
            let query = "SELECT coalesce(pg_xact_status($1::text::xid8), 'too old to be known')";
            let asked = session.query_one(query, &[&number]).await;
            let is_late = begun.elapsed() > ENDING;
            match asked.map(|row| row.get::<_, String>(0)) {
                Ok(status) if status == "in progress" && !is_late => {}
                Ok(status) => {
                    if status != "in progress" {
                        self.shutdown.undecided(None);
                    }
                    return Ok(status);
                }
                Err(error) if is_late => {
                    let error = postgres::Error::new("asking", self.target, &error);
                    return Err(Failure::try_again(format!(
                        "{error}; {}",
                        undecided(number)
                    )));
                }
                // It may be the session alone that is lost, or a server that comes back.
                Err(_) => anew = self.target.connect("restorer").await.ok(),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// What a person has to know where nobody has heard how it ended.
pub(super) fn undecided(number: &str) -> String {
    format!(
        "the server was committing all of it, and nobody has heard whether it did: ask it in that database (SELECT pg_xact_status('{number}')) before you write to it or restore again"
    )
}
