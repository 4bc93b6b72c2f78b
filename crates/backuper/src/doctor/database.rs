//! The database, from its address to the rights of the role.

mod reach;
mod restore;
mod rights;
mod room;
mod state;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use tokio_postgres::Client;
use tokio_util::task::TaskTracker;

use super::finding::{Finding, Findings, within};
use super::{Check, LIMIT, Subject};
use crate::job::{BackupSource, CheckJob};
use crate::postgres::{Entrance, Error, Kind, Target};
use crate::runtime::Deadline;

const NAMES: &[&str] = &[
    "address",
    "tls",
    "login",
    "pooler",
    "version",
    "names",
    "tables",
    "large_objects",
    "row_security",
    "lock_table",
    "connections",
    "extensions",
    "unlogged_tables",
    "prepared_transactions",
    "locks",
    "size",
    "clock",
    "restore_mark",
    "runs",
    "restore_rights",
];

/// How long the address may take to answer.
const REACHING: Duration = Duration::from_secs(3);
/// How long two sessions may take to come about.
const ENTERING: Duration = Duration::from_secs(4);
/// How long each question may take.
const ASKING: Duration = Duration::from_secs(5);

/// How long a session may take to forget what was set for it.
const FORGETTING: Duration = Duration::from_secs(2);

/// What the server itself keeps our sessions from: to work on a question that nobody waits for any
/// more, and to change anything.
const HARMLESS: &str =
    "SET statement_timeout = '5s'; SET lock_timeout = '2s'; SET default_transaction_read_only = on";

/// Two sessions that forget what was set for them before they close, also where the checks are given up: a
/// pooler in session mode may hand the server's process to the next client as it is.
struct Guarded<'a> {
    entrance: Arc<Entrance>,
    tidying: &'a TaskTracker,
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        let entrance = Arc::clone(&self.entrance);
        self.tidying.spawn(async move {
            let forgetting = async {
                let sessions = [&entrance.session, &entrance.witness];
                join_all(sessions.map(|it| it.batch_execute("RESET ALL"))).await
            };
            // One that still works on a question is closed in the middle, and then no pooler keeps it.
            match tokio::time::timeout(FORGETTING, forgetting).await {
                Ok(forgotten) => {
                    for error in forgotten.into_iter().filter_map(Result::err) {
                        tracing::debug!(%error, "a session was closed as it was");
                    }
                }
                Err(_elapsed) => tracing::debug!("a session was closed as it was"),
            }
        });
    }
}

/// Whom to ask, and what for.
#[derive(Clone, Copy)]
struct Asking<'a> {
    entrance: &'a Entrance,
    target: &'a Target,
    job: &'a CheckJob,
}

impl Asking<'_> {
    fn client(&self) -> &Client {
        &self.entrance.session
    }

    /// A question of our own that was not answered: that is no worker's failure.
    fn unanswered(&self, error: &tokio_postgres::Error) -> Finding {
        Finding::unknown(Error::new("examining", self.target, error).to_string())
    }
}

/// All checks, and the database's size.
pub(super) async fn check(
    job: &CheckJob,
    source: &BackupSource,
    tidying: &TaskTracker,
) -> (Vec<Check>, Option<u64>) {
    let end = Deadline::within(LIMIT);
    let mut findings = Findings::new(Subject::Database, NAMES);
    let target = job
        .connection
        .target(source, job.user.as_deref().unwrap_or_default());
    let address = within(REACHING, end, reach::address(&target)).await;
    let reached = address.outcome == super::Outcome::Ok;
    findings.add("address", address);
    if !reached {
        return (findings.all("the address does not answer"), None);
    }
    if job.user.is_none() {
        return (findings.all("no role is named to log in as"), None);
    }
    let entering = target.enter("backuper check");
    let limit = ENTERING.min(end.left());
    let entrance = match tokio::time::timeout(limit, entering).await {
        Ok(Ok(entrance)) => entrance,
        Ok(Err(error)) => return (kept_out(findings, error), None),
        Err(_elapsed) => {
            let sentence = format!(
                "the port was opened, and nothing answered within {} s; look at the server and at what stands before it",
                limit.as_secs()
            );
            findings.add("login", Finding::wrong(sentence));
            return (findings.all("nobody was logged in"), None);
        }
    };
    let guarded = Guarded {
        entrance: Arc::new(entrance),
        tidying,
    };
    let entrance = guarded.entrance.as_ref();
    let asking = Asking {
        entrance,
        target: &target,
        job,
    };
    for session in [&entrance.session, &entrance.witness] {
        if let Err(error) = session.batch_execute(HARMLESS).await {
            findings.add("login", asking.unanswered(&error));
            return (findings.all("the session was lost"), None);
        }
    }
    // The size may take the server a while, and the others do not wait behind it.
    let measuring = tokio::time::timeout(ASKING.min(end.left()), room::bytes(asking));
    let (tried, bytes) = tokio::join!(join_all(questions(asking, end)), measuring);
    for (name, finding) in tried {
        findings.add(name, finding);
    }
    let bytes = bytes.unwrap_or_else(|_elapsed| Err(Finding::unknown("no answer in time")));
    findings.add("size", room::size(&bytes));
    (findings.all("nobody has asked"), bytes.ok())
}

/// What is asked once a session is there, side by side.
fn questions(asking: Asking<'_>, end: Deadline) -> Vec<BoxFuture<'_, (&'static str, Finding)>> {
    let all: Vec<(&'static str, BoxFuture<'_, Finding>)> = vec![
        ("tls", reach::tls(asking).boxed()),
        ("login", reach::login(asking).boxed()),
        ("pooler", reach::pooler(asking).boxed()),
        ("version", room::version(asking).boxed()),
        ("names", rights::names(asking).boxed()),
        ("tables", rights::tables(asking).boxed()),
        ("large_objects", rights::large_objects(asking).boxed()),
        ("row_security", rights::row_security(asking).boxed()),
        ("lock_table", room::lock_table(asking).boxed()),
        ("connections", room::connections(asking).boxed()),
        ("extensions", state::extensions(asking).boxed()),
        ("unlogged_tables", state::unlogged_tables(asking).boxed()),
        (
            "prepared_transactions",
            state::prepared_transactions(asking).boxed(),
        ),
        ("locks", state::locks(asking).boxed()),
        ("clock", state::clock(asking).boxed()),
        ("restore_mark", restore::mark(asking).boxed()),
        ("runs", restore::runs(asking).boxed()),
        ("restore_rights", restore::rights(asking).boxed()),
    ];
    all.into_iter()
        .map(|(name, asked)| async move { (name, within(ASKING, end, asked).await) }.boxed())
        .collect()
}

/// Which check has failed where the server does not let us in.
fn kept_out(mut findings: Findings, error: Error) -> Vec<Check> {
    let (name, reason) = match error.kind {
        Kind::NoTls | Kind::Untrusted | Kind::Misconfigured => ("tls", "TLS did not come about"),
        Kind::Unsupported => {
            findings.add("login", Finding::ok("the role is let in"));
            ("pooler", "a pooler stands before the server")
        }
        _ if error.state == Some(tokio_postgres::error::SqlState::TOO_MANY_CONNECTIONS) => {
            ("connections", "there is no connection left")
        }
        _ => ("login", "nobody was logged in"),
    };
    // Also what may pass: a backup would fail of it now.
    let sentence = crate::runtime::Failure::from(error).sentence;
    findings.add(name, Finding::wrong(sentence));
    findings.all(reason)
}
