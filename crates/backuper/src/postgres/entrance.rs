//! The first two sessions of a run, and what they find out about the way to the server.
//!
//! Poolers that share server processes between sessions are recognised here, before anything is set
//! or locked: in pgbouncer's transaction mode whatever a session sets stays with a server process that
//! the next client gets, and a lock with it.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use super::children::Way;
use super::session::{Beginnings, Session};
use super::{Error, Kind, Target, waits};

/// How often both sessions are compared: twice is enough where nobody else uses the pool, which
/// hands out the process that was given back last.
const ROUNDS: usize = 2;
/// The same where something stands before the server that does not pass startup options on.
const ROUNDS_WITH_A_POOLER: usize = 8;

/// A setting that nobody has, to see whether startup options arrive.
pub(super) const PROBE: &str = "oiler.arrived";

/// Why a pool is refused, and what to do.
pub(super) const POOLED: &str = "a connection pooler in transaction or statement mode stands before the server: what one session locks and sets there meets other clients; name the server itself, or a pool in session mode";

/// Two sessions that have their server processes to themselves.
#[derive(Debug)]
pub struct Entrance {
    /// For what has to be held.
    pub session: Session,
    /// For questions that must not wait behind it.
    pub witness: Session,
    /// How libpq's programs get there.
    pub way: Way,
    /// The server that both are with, also where its host leads to several.
    pub target: Target,
}

impl Entrance {
    /// Does work for as long as the session lives, with the locks that it holds, and reports what
    /// sessions of this application wait for meanwhile. Work that has to end is asked to stop and
    /// waited for.
    ///
    /// # Errors
    /// Why the session is lost, and what became of the work then, unless it succeeds all the same.
    pub async fn while_held<T, E>(
        &self,
        application: &str,
        stop: &CancellationToken,
        work: impl AsyncFnOnce(&CancellationToken) -> Result<T, E>,
    ) -> Result<Result<T, E>, (Error, E)> {
        let stop = stop.child_token();
        let work = work(&stop);
        tokio::pin!(work);
        let lost = tokio::select! {
            outcome = &mut work => return Ok(outcome),
            lost = self.session.lost() => lost,
            never = waits::report(&self.witness, application) => match never {},
        };
        stop.cancel();
        match work.await {
            Ok(done) => Ok(Ok(done)),
            Err(stopped) => {
                let lost = Error {
                    kind: Kind::Other,
                    action: "holding the lock in",
                    reason: format!(
                        "{}; without it another run may enter, so this one was ended; run it again",
                        lost.reason
                    ),
                    ..lost
                };
                Err((lost, stopped))
            }
        }
    }
}

impl Target {
    /// Enters the database: the first sessions of a run, with nothing locked yet.
    ///
    /// # Errors
    /// As [`Target::connect`], and `Kind::Unsupported` where a pooler shares server processes.
    pub async fn enter(&self, application_name: &str) -> Result<Entrance, Error> {
        let mut beginnings = Beginnings::default();
        loop {
            let entering = self.try_to_enter(application_name, &mut beginnings.major);
            match Box::pin(entering).await {
                Err(error) if beginnings.again(&error) => {}
                other => return other,
            }
        }
    }

    async fn try_to_enter(
        &self,
        application_name: &str,
        major: &mut u32,
    ) -> Result<Entrance, Error> {
        let witness_name = format!("{application_name} witness");
        let witness = self.open_without_timeouts(&witness_name, major).await?;
        let options = has_arrived(&witness, self).await?;
        let (session, target) = if options {
            self.beside(&witness, application_name, major).await?
        } else {
            (self.open(application_name, None).await?, self.clone())
        };
        let rounds = if options {
            ROUNDS
        } else {
            ROUNDS_WITH_A_POOLER
        };
        for _ in 0..rounds {
            share_nothing(&session, &witness, self).await?;
        }
        let way = examine(&session, self, options).await?;
        tokio::try_join!(session.prepare(), witness.prepare())?;
        if !options {
            tracing::info!(server = %self, "startup options do not arrive there: a connection pooler in session mode");
        }
        Ok(Entrance {
            session,
            witness,
            way,
            target,
        })
    }
}

/// For the statements of one message, which are a transaction: whoever may make operators in a schema that the role or
/// the database has in its path would have them called otherwise, since one of the very types wins.
/// PostgreSQL manual, 10.2: operators.
pub(super) const PINNED: &str = "SET LOCAL search_path = pg_catalog;";

/// The first value of an answer. By the simple protocol: prepared statements are among what a pool
/// may mix up.
pub(super) async fn ask(
    client: &Client,
    sql: &str,
    target: &Target,
) -> Result<Option<String>, Error> {
    let answer = client.simple_query(sql).await.map_err(|error| {
        if error.code() == Some(&SqlState::PROTOCOL_VIOLATION) {
            // pgbouncer in statement mode has no transactions.
            return pooled(target);
        }
        Error::new("examining", target, &error)
    })?;
    Ok(answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}

async fn has_arrived(witness: &Client, target: &Target) -> Result<bool, Error> {
    let sql = format!("SELECT pg_catalog.current_setting('{PROBE}', true)");
    let found = ask(witness, &sql, target).await?;
    Ok(found.as_deref() == Some("yes"))
}

/// Proves that a session keeps its server process while another one is in a transaction, and that the
/// other one does not get it meanwhile.
async fn share_nothing(session: &Client, other: &Client, target: &Target) -> Result<(), Error> {
    const PROCESS: &str = "SELECT pg_catalog.pg_backend_pid()";
    let before = ask(session, PROCESS, target).await?;
    let others = ask(other, &format!("BEGIN; {PROCESS}"), target).await?;
    // A pool with one process would let the session wait for the other one's transaction.
    let mut shared = before == others;
    if !shared {
        shared = ask(session, PROCESS, target).await? != before;
    }
    ask(other, "COMMIT", target).await?;
    if shared { Err(pooled(target)) } else { Ok(()) }
}

fn pooled(target: &Target) -> Error {
    Error::because(Kind::Unsupported, "entering", target, POOLED)
}

/// What libpq's programs will find. Before our own settings are made: where startup options do not
/// arrive, those of the role, the database and the server are what counts.
async fn examine(session: &Session, target: &Target, options: bool) -> Result<Way, Error> {
    let major = session.major();
    // has_parameter_privilege came in 15.
    let language = if major >= 15 {
        "pg_catalog.has_parameter_privilege('lc_messages', 'SET')"
    } else {
        "(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)"
    };
    let sql = format!(
        "{PINNED} SELECT count(*) || ' ' || {language}
           FROM pg_catalog.pg_settings
           JOIN (VALUES ('default_transaction_read_only', 'off'), ('array_nulls', 'on'),
                        ('default_transaction_isolation', 'read committed'),
                        ('idle_session_timeout', '0'), ('transaction_timeout', '0')) AS w (name, value)
             USING (name)
          WHERE setting <> value"
    );
    let found = ask(session, &sql, target).await?.unwrap_or_default();
    let (others, language) = found.split_once(' ').unwrap_or_default();
    Ok(Way {
        major,
        options,
        plain: others == "0",
        language: language == "true",
    })
}
