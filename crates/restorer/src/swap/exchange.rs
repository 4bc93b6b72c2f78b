//! Two databases change names, in one transaction.
//!
//! PostgreSQL renames a database while nobody else is in it: it takes the database's lock, on which new connections
//! wait from then on, and gives the sessions that are there five seconds (`CountOtherDBBackends`). Meanwhile a second
//! session of ours ends them. So nothing has to be switched off before, which a kill could leave so.
//! PostgreSQL manual: ALTER DATABASE.

use std::convert::Infallible;
use std::time::Duration;

use backuper::postgres::{self, Target};
use backuper::runtime::{Failure, Shutdown, Verdict};
use backuper::text::sql::{literal, quote};
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Client;

use super::obstacles::session_of;
use super::removal;
use crate::summary::Swapped;
use crate::target::beside::{self, Mark, Standing};
use crate::target::creation;
use crate::target::likeness::Given;
use crate::target::tolerant::few;

/// How often it is tried.
const ATTEMPTS: u32 = 3;
/// From one try to the next, while whoever waits is let in: also where another session holds the database's lock, or
/// another database has the name that was to be the old one's.
const BETWEEN: Duration = Duration::from_secs(1);
/// From one look for sessions to the next.
const LOOKING: Duration = Duration::from_millis(50);
/// How long the server waits for the lock of a database, while new connections wait behind it.
const LOCK: &str = "2s";
/// How often the server is asked what has become of a transaction that was lost.
const LOST: u32 = 30;

/// Ends what the role may end, and what is no worker of autovacuum, which goes by itself: see `obstacles.rs`. An error
/// for one would spare the others.
const END: &str = "
    SELECT count(pg_terminate_backend(a.pid))
      FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
     WHERE a.datname = ANY ($1) AND a.backend_type IS DISTINCT FROM 'autovacuum worker'
       AND ((SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
            OR NOT coalesce(r.rolsuper, true)
               AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))";

const THERE: &str = "
    SELECT coalesce(a.usename::text, a.backend_type), coalesce(nullif(a.application_name, ''), a.backend_type),
           a.pid, host(a.client_addr)
      FROM pg_stat_activity a WHERE a.datname = ANY ($1) ORDER BY a.pid";

/// The new owner of the name once it has it, by OID.
const HOLDER: &str = "SELECT oid FROM pg_database WHERE datname = $1";

/// What is to happen.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    /// The name, and how the server is reached.
    pub(super) target: &'a Target,
    /// Who has the name: the OID, and the comment; none: nobody.
    pub(super) old: Option<(u32, Option<String>)>,
    /// Who is to have it, by its name until then.
    pub(super) new: &'a str,
    /// What the new one is given first.
    pub(super) prepared: Vec<Given>,
    /// The new one's comment from then on.
    pub(super) comment: Option<String>,
    /// How long the old one is kept.
    pub(super) keep_old: Duration,
}

/// Why two databases have not changed names.
#[derive(Debug)]
pub(super) enum Failed {
    /// Both have their names as before.
    Undone(Failure),
    /// Nobody knows.
    Unknown(Failure),
}

impl Failed {
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Undone(failure) | Self::Unknown(failure) => failure,
        }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Undone(failure)
    }
}

/// Why one try has not done it.
#[derive(Debug)]
enum Refused {
    /// Another one may.
    Passing(String),
    /// No other one will.
    Lasting(Failed),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        match failure.verdict {
            Verdict::TryAgain => Self::Passing(failure.sentence),
            _ => Self::Lasting(failure.into()),
        }
    }
}

impl From<postgres::Error> for Refused {
    fn from(error: postgres::Error) -> Self {
        Failure::from(error).into()
    }
}

impl Exchange<'_> {
    /// Lets them change names; gives what has become of the old one, where there was one.
    ///
    /// # Errors
    /// Who is still there after several tries; what the server said.
    pub(super) async fn run(&self, shutdown: &Shutdown) -> Result<Option<Swapped>, Failed> {
        let (target, stop) = (self.target, shutdown.token());
        let mut refusal = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            if stop.is_cancelled() {
                return Err(Failure::try_again("stopped").into());
            }
            shutdown.says_instead(Some(self.open_question()));
            let attempted = Box::pin(self.attempt()).await;
            match &attempted {
                Ok(_) => shutdown.says_instead(Some(format!(
                    "the swap is done, and {target} is the database that was {}",
                    quote(self.new)
                ))),
                Err(Refused::Lasting(Failed::Unknown(_))) => {}
                Err(_) => shutdown.says_instead(None),
            }
            match attempted {
                Ok(swapped) => return Ok(swapped),
                Err(Refused::Lasting(failed)) => return Err(failed),
                Err(Refused::Passing(reason)) => {
                    tracing::warn!(database = %target, %reason, "the databases have not changed names");
                    refusal = reason;
                }
            }
        }
        let there = match self.there().await {
            Ok(there) => there,
            Err(error) => error.sentence,
        };
        Err(Failure::try_again(format!(
            "{target} could not be renamed, {ATTEMPTS} times ({refusal}); {there}; {target} is as it was"
        ))
        .into())
    }

    /// One try, during which sessions in both databases are ended: the first rename waits for them.
    async fn attempt(&self) -> Result<Option<Swapped>, Refused> {
        let (entrance, other) = creation::enter_maintenance(self.target).await?;
        let session = &entrance.session;
        let process = process(session, &other).await?;
        let oid = holder_of(self.new, session, &other).await?;
        if oid.is_none() {
            return Err(Refused::Lasting(gone(self.new, self.target).into()));
        }
        let holder = holder_of(self.target.database(), session, &other).await?;
        if holder != self.old.as_ref().map(|it| it.0) {
            return Err(Refused::Lasting(replaced(self.target).into()));
        }
        let mark = self.mark(Timestamp::now());
        let sql = self.sql(mark.as_ref())?;
        let done = tokio::select! {
            biased;
            done = session.batch_execute(&sql) => done,
            never = self.end_sessions(&entrance.witness) => match never {},
        };
        let Err(error) = done else {
            return Ok(self.done((session, &other), mark).await);
        };
        let is_told = error.code().is_some();
        let error = postgres::Error::new("renaming a database in", &other, &error);
        if is_told && session.batch_execute("ROLLBACK").await.is_ok() {
            return Err(error.into());
        }
        // It is decided in the server, whether it hears from us or not.
        match self.after_loss(process, oid).await {
            Some(true) => {
                let anew = creation::maintenance(self.target).await;
                let (session, other) = anew.map_err(|why| self.unknown(&why))?;
                Ok(self.done((&session, &other), mark).await)
            }
            Some(false) => Err(error.into()),
            None => Err(self.unknown(&error.into())),
        }
    }

    /// All of it, in one round trip: nobody waits for us, and nothing of ours can come between.
    fn sql(&self, mark: Option<&Mark>) -> Result<String, Failure> {
        let name = quote(self.target.database());
        let mut sql = format!("BEGIN; SET LOCAL lock_timeout = '{LOCK}';\n");
        for Given { sql: given, .. } in &self.prepared {
            sql.push_str(&format!("{given};\n"));
        }
        if let Some(mark) = mark {
            let (kept, text) = (quote(&mark.name), literal(&mark.text()?));
            sql.push_str(&format!(
                "ALTER DATABASE {name} RENAME TO {kept};
                 ALTER DATABASE {kept} ALLOW_CONNECTIONS false;
                 COMMENT ON DATABASE {kept} IS {text};\n"
            ));
        }
        let comment = self.comment.as_deref();
        let comment = comment.map_or_else(|| "NULL".to_owned(), literal);
        sql.push_str(&format!(
            "ALTER DATABASE {} RENAME TO {name};
             ALTER DATABASE {name} ALLOW_CONNECTIONS true;
             COMMENT ON DATABASE {name} IS {comment};
             COMMIT",
            quote(self.new)
        ));
        Ok(sql)
    }

    /// How the old one is kept from now on; none: there is none.
    fn mark(&self, now: Timestamp) -> Option<Mark> {
        let (oid, comment) = self.old.clone()?;
        // People read it.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let kept = SignedDuration::try_from(self.keep_old).unwrap_or(SignedDuration::MAX);
        let database = self.target.database();
        Some(Mark {
            oiler: Standing::Kept,
            database: database.to_owned(),
            oid,
            name: beside::name_of_old(database, now),
            since: now,
            until: Some(now.checked_add(kept).unwrap_or(Timestamp::MAX)),
            comment,
        })
    }

    async fn end_sessions(&self, witness: &Client) -> Infallible {
        loop {
            if let Err(error) = witness.query(END, &[&self.names()]).await {
                tracing::debug!(%error, "sessions are not ended");
            }
            tokio::time::sleep(LOOKING).await;
        }
    }

    fn names(&self) -> Vec<&str> {
        vec![self.target.database(), self.new]
    }

    /// What has become of the old one. One that is not to be kept is dropped.
    async fn done(
        &self,
        (session, other): (&Client, &Target),
        mark: Option<Mark>,
    ) -> Option<Swapped> {
        let Mark { name, until, .. } = mark?;
        tracing::info!(database = %self.target, kept = %quote(&name), "the databases have changed names");
        let until = until.filter(|_| !self.keep_old.is_zero());
        let mut swapped = Swapped {
            kept: quote(&name),
            until,
            dropped: false,
        };
        if until.is_none() {
            match removal::drop_database((session, other), &name).await {
                Ok(()) => swapped.dropped = true,
                Err(error) => {
                    tracing::warn!(database = %quote(&name), %error, "the database that was there is not dropped; the next swap restore drops it");
                }
            }
        }
        Some(swapped)
    }

    /// Whether they have changed names, as the server says when it has done with our process; none: it does not say.
    async fn after_loss(&self, process: i32, oid: Option<u32>) -> Option<bool> {
        for _ in 0..LOST {
            tokio::time::sleep(BETWEEN).await;
            let Ok((session, other)) = creation::maintenance(self.target).await else {
                continue;
            };
            let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
            let running = session.query_one(sql, &[&process]).await;
            if !running.is_ok_and(|it| !it.get::<_, bool>(0)) {
                continue;
            }
            let name = self.target.database();
            if let Ok(found) = holder_of(name, &session, &other).await {
                return Some(found == oid);
            }
        }
        None
    }

    /// Trying again might bring back what somebody has written since.
    fn unknown(&self, why: &Failure) -> Refused {
        let open = self.open_question();
        Refused::Lasting(Failed::Unknown(Failure::refused(format!("{why}; {open}"))))
    }

    fn open_question(&self) -> String {
        let (target, new) = (self.target, quote(self.new));
        format!(
            "it is not known whether {target} is the new database or still the old one: where there is no database {new} any more, it is the new one"
        )
    }

    /// Who is in the databases, and what to do about it.
    async fn there(&self) -> Result<String, Failure> {
        let (session, other) = creation::maintenance(self.target).await?;
        let rows = session.query(THERE, &[&self.names()]).await;
        let rows = rows.map_err(|error| postgres::Error::new("examining", &other, &error))?;
        if rows.is_empty() {
            return Ok("nobody is in it any more, so begin again".to_owned());
        }
        let sessions = few(rows.iter().map(session_of));
        Ok(format!(
            "these sessions are in it: {sessions}; end them, and begin again"
        ))
    }
}

/// Somebody else has changed who has the name.
pub(super) fn replaced(target: &Target) -> Failure {
    Failure::refused(format!(
        "{target} is no more the database that it was when this began: somebody has renamed, dropped or made it meanwhile; nothing was changed"
    ))
}

fn gone(new: &str, target: &Target) -> Failure {
    Failure::refused(format!(
        "database {} is there no more, which was to take the place of {target}: somebody has renamed or dropped it meanwhile; nothing was changed",
        quote(new)
    ))
}

async fn holder_of(name: &str, session: &Client, other: &Target) -> Result<Option<u32>, Failure> {
    let found = session.query_opt(HOLDER, &[&name]).await;
    let found = found.map_err(|error| postgres::Error::new("examining", other, &error))?;
    Ok(found.map(|it| it.get(0)))
}

async fn process(session: &Client, other: &Target) -> Result<i32, Failure> {
    let row = session.query_one("SELECT pg_backend_pid()", &[]).await;
    let row = row.map_err(|error| postgres::Error::new("examining", other, &error))?;
    Ok(row.get(0))
}
