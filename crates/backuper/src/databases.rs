//! Backs up each of the databases that DB_NAME means, and tells how all of that ended. One database's failure
//! is that database's.

mod ended;
pub mod found;

use std::time::Instant;

use futures::{StreamExt as _, stream};
use tracing::Instrument as _;

use crate::job::{BackupJob, SeveralSettings};
use crate::run;
use crate::runtime::{Failure, Shutdown, Verdict};
use crate::selection::{Databases, Selection};
use crate::summary;

use ended::{Ended, How};
use found::Meant;

/// Backs up the database of a job, or all that it means; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn backup(job: &BackupJob, shutdown: &Shutdown) -> Result<String, Failure> {
    match job.database.databases().map_err(Failure::refused)? {
        Databases::One(name) => {
            let mut job = of(job, &name);
            // Nothing is beside it.
            job.several = SeveralSettings::default();
            run::backup(&job, shutdown).await
        }
        Databases::Several(selection) => several(job, &selection, shutdown).await,
    }
}

/// The same for one database, by its name as PostgreSQL knows it.
fn of(job: &BackupJob, name: &str) -> BackupJob {
    let mut job = job.clone();
    name.clone_into(&mut job.database.name);
    job
}

async fn several(
    job: &BackupJob,
    selection: &Selection,
    shutdown: &Shutdown,
) -> Result<String, Failure> {
    let begun = Instant::now();
    let all = job.database.target();
    let reporter = summary::reporter(job, &all);
    let outcome = each(job, selection, shutdown, begun).await;
    let elapsed = begun.elapsed();
    let is_uncopied = |it: &Failure| it.verdict == Verdict::Uncopied;
    let is_complete = outcome.as_ref().err().is_none_or(is_uncopied);
    let gauges = summary::gauges_of_all(is_complete, elapsed);
    reporter.report(is_complete, elapsed, gauges).await;
    outcome
}

async fn each(
    job: &BackupJob,
    selection: &Selection,
    shutdown: &Shutdown,
    begun: Instant,
) -> Result<String, Failure> {
    let meant = tokio::select! {
        found = Box::pin(found::meant(job, selection)) => found?.meant,
        () = shutdown.token().cancelled() => {
            let nothing = Failure::try_again("stopped before it began");
            return Err(nothing.or_stopped(shutdown, "backup"));
        }
    };
    let at_once = job.several.database_jobs.get();
    tracing::info!(databases = meant.len(), of = %job.database.target(), at_once, "backing up");
    let backups = meant.iter().map(|it| one(job, it, shutdown));
    let backups = stream::iter(backups).buffer_unordered(at_once.into());
    let mut ended: Vec<Ended> = Box::pin(backups.collect()).await;
    ended.sort_by(|one, other| one.name.cmp(&other.name));
    if shutdown.signal().is_none() {
        let failed = ended.iter_mut().filter(|it| it.has_failed());
        Box::pin(found::tell_gone(job, failed.collect())).await;
    }
    ended::conclude(&ended, begun.elapsed(), shutdown)
}

/// One of them, unless we are asked to stop before its turn.
async fn one(job: &BackupJob, meant: &Meant, shutdown: &Shutdown) -> Ended {
    let job = of(job, &meant.name);
    let target = job.database.target();
    let how = async {
        if shutdown.signal().is_some() {
            return How::NotBegun;
        }
        let outcome = match &meant.unreadable {
            Some(why) => Err(Failure::refused(why)),
            None => Box::pin(run::backup(&job, shutdown)).await,
        };
        match &outcome {
            Ok(sentence) => tracing::info!("{sentence}"),
            Err(failure) => tracing::error!("{}", failure.sentence),
        }
        How::Ended(outcome)
    };
    let how = how
        .instrument(tracing::info_span!("backup", database = %target))
        .await;
    Ended {
        name: meant.name.clone(),
        oid: meant.oid,
        is_named: meant.is_named,
        how,
    }
}
