//! A swap restore: the backup is loaded into a new database beside the target, as into any empty one, and when it
//! is complete the two change names in one transaction. Whatever ends us, one of them has the name.
//!
//! ```text
//! begin    the target's session holds the gate; obstacles are told; what earlier ones have left goes
//! (load)   run.rs, as into a database that is missing; creation.rs makes it like the target
//! finish   obstacles once more; sessions are ended while the first rename waits for them; commit
//! ```

mod back;
mod exchange;
mod obstacles;
mod removal;

use std::time::Duration;

use backuper::archive::manifest::Part;
use backuper::postgres::{self};
use backuper::postgres::{Entrance, Kind, Target, lock, mark};
use backuper::runtime::{Failure, Shutdown};
use backuper::text::sql::quote;
use jiff::Timestamp;
use tokio_postgres::Client;

pub use back::swap_back;

use crate::summary::Swapped;
use crate::target::beside::{self, Beside, Mark, Standing};
use crate::target::creation;
use crate::target::likeness::Likeness;
use crate::target::preflight::OBJECTS;

use exchange::Exchange;
use obstacles::{Obstacles, Way};

/// A swap that has begun: the target is as it was, and nobody else restores into it.
#[derive(Debug)]
pub struct Swap {
    /// Its session holds the gate of the target.
    gate: Entrance,
    target: Target,
    new: Target,
    beside: Beside,
}

impl Swap {
    /// Looks for all that stands against a swap, and removes what earlier ones have left. None where there is nothing
    /// whose place could be taken: the target is missing, empty, or what a restore has left that was cut short.
    ///
    /// # Errors
    /// All that stands against it, and what to do; what the server said.
    pub async fn begin(target: &Target, part: Option<&Part>) -> Result<Option<Self>, Failure> {
        let gate = match target.enter("restorer").await {
            Ok(entrance) => entrance,
            Err(error) if error.kind == Kind::NoDatabase => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let target = gate.target.clone();
        let session = &gate.session;
        if !holds_contents(session, &target).await? {
            return Ok(None);
        }
        lock::enter_for_restore(session, &target).await?;
        let mut obstacles = Obstacles::of(session, &target).await?;
        obstacles.add(obstacles::of_way(gate.way.options));
        obstacles.add(part.map(obstacles::of_part));
        obstacles.refuse(&target, Way::Restore)?;
        let likeness = Likeness::of(session, &target).await?;
        let (other, maintenance) = creation::maintenance(&target).await?;
        leave_no_leftovers((&other, &maintenance), &target).await?;
        tracing::info!(
            database = %target, bytes = likeness.size_bytes,
            "a swap: the database that is there stays as it is until the new one beside it is complete, and both need room"
        );
        let new = beside::name_of_new(target.database(), Timestamp::now());
        Ok(Some(Self {
            new: target.with_database(&new),
            beside: Beside {
                database: target.database().to_owned(),
                likeness,
            },
            gate,
            target,
        }))
    }

    /// The database to load into, and what it is to be like.
    #[must_use]
    pub fn new_database(&self) -> (&Target, &Beside) {
        (&self.new, &self.beside)
    }

    /// Puts the new database, which is complete, into the target's place. Where that cannot be, the new one is
    /// dropped, and the target is as it was.
    ///
    /// # Errors
    /// Who holds the target, and what else stands against it; what the server said.
    pub async fn finish(
        self,
        keep_old: Duration,
        shutdown: &Shutdown,
    ) -> Result<Option<Swapped>, Failure> {
        let new = self.new.clone();
        let exchanged = self.exchange(keep_old, shutdown).await;
        if let Err(exchange::Failed::Undone(_)) = &exchanged {
            removal::drop_new(&new, shutdown.clean_up_by()).await;
        }
        exchanged.map_err(exchange::Failed::into_failure)
    }

    async fn exchange(
        self,
        keep_old: Duration,
        shutdown: &Shutdown,
    ) -> Result<Option<Swapped>, exchange::Failed> {
        let Self {
            mut gate,
            target,
            new,
            beside,
        } = self;
        if shutdown.token().is_cancelled() {
            return Err(Failure::try_again("stopped").into());
        }
        if gate.session.is_closed() {
            tracing::info!(database = %target, "the session that kept others out was ended; entering again");
            gate = match target.enter("restorer").await {
                Ok(entrance) => entrance,
                Err(error) if error.kind == Kind::NoDatabase => {
                    return Err(exchange::replaced(&target).into());
                }
                Err(error) => return Err(Failure::from(error).into()),
            };
            let locked = lock::enter_for_restore(&gate.session, &target).await;
            locked.map_err(Failure::from)?;
        }
        // Hours may have passed. Sessions are ended now, so who cannot be ended shows by itself.
        let session = &gate.session;
        let obstacles = Obstacles::of(session, &target).await?;
        obstacles.but_sessions().refuse(&target, Way::Restore)?;
        let now = Likeness::of(session, &target).await?;
        if now.oid != beside.likeness.oid {
            return Err(exchange::replaced(&target).into());
        }
        let name = new.database();
        let mut prepared = now.since(&beside.likeness, name);
        prepared.extend(now.rest(name));
        let exchange = Exchange {
            target: &target,
            old: Some((now.oid, now.comment.clone())),
            new: name,
            prepared,
            comment: now.comment,
            keep_old,
        };
        // A backup that begins now is ended with all other sessions.
        drop(gate);
        exchange.run(shutdown).await
    }
}

/// Whether there is anything that is worth to be kept.
async fn holds_contents(session: &Client, target: &Target) -> Result<bool, Failure> {
    let failed = |error: tokio_postgres::Error| postgres::Error::new("examining", target, &error);
    let mark = mark::find(session).await.map_err(failed)?;
    if mark.is_some_and(|it| it.is_trusted) {
        return Ok(false);
    }
    let row = session.query_one(OBJECTS, &[]).await.map_err(failed)?;
    Ok(row.get(0))
}

/// Drops what swap restores of this target have left that were cut short, and what they have kept long enough. What
/// cannot be dropped stays, with a warning.
async fn leave_no_leftovers(
    (session, other): (&Client, &Target),
    target: &Target,
) -> Result<(), Failure> {
    for name in beside::unmarked(session, other, target.database()).await? {
        tracing::warn!(
            "database {} may be what a swap restore has left that was cut short as it made it, and has no comment that says so: drop it where nobody needs it",
            quote(&name)
        );
    }
    let now = Timestamp::now();
    for marked in beside::marked(session, other, target.database()).await? {
        let Mark {
            oiler, name, until, ..
        } = marked.mark;
        let why = match oiler {
            // We have the gate, so whoever made it is gone.
            Standing::Loading => "a swap restore that was cut short has left it",
            Standing::Kept if until.is_some_and(|it| it <= now) => {
                "it was kept as long as it was to be"
            }
            Standing::Kept => continue,
        };
        if oiler == Standing::Kept && removal::is_in_use(session, &name).await {
            tracing::warn!(database = %quote(&name), "a database stays although {why}: somebody is connected to it");
            continue;
        }
        match removal::drop_database((session, other), &name).await {
            Ok(()) => tracing::info!(database = %quote(&name), "dropped a database: {why}"),
            Err(error) => {
                tracing::warn!(database = %quote(&name), %error, "a database stays, and {why}; drop it");
            }
        }
    }
    Ok(())
}
