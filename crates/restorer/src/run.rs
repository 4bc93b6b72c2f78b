//! One restore from top to bottom.

use std::sync::Arc;
use std::time::Instant;

use backuper::postgres::Target;
use backuper::progress::Progress;
use backuper::runtime::parallelism;
use backuper::runtime::{Failure, Shutdown};
use backuper::storage::{self, Access, Storage};
use tokio_util::sync::CancellationToken;

use crate::in_place::Replacing;
use crate::job::RestoreJob;
use crate::parallel::Loading;
use crate::resolve::{self, Backup};
use crate::summary::{self, Done, Loaded};
use crate::target::preflight::{self, Ready};
use crate::target::statistics;

/// Restores one backup and tells about it; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn restore(job: &RestoreJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let begun = Instant::now();
    let target = job.database.target();
    let reporter = summary::reporter(job, &target);
    let progress = Arc::new(Progress::default());
    let outcome = tokio::select! {
        outcome = attempt(job, &target, &progress, shutdown.token()) => outcome,
        never = progress.report(&reporter) => match never {},
    };
    let outcome = outcome.map_err(|failure| failure.or_stopped(shutdown, "restore"));
    let outcome = outcome.and_then(|done| done.complete(&target));
    let elapsed = begun.elapsed();
    let gauges = summary::gauges(&outcome, elapsed);
    reporter.report(outcome.is_ok(), elapsed, gauges).await;
    outcome.map(|done| done.sentence(&target, begun.elapsed()))
}

async fn attempt(
    job: &RestoreJob,
    target: &Target,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Done, Failure> {
    job.store.check().map_err(Failure::refused)?;
    let preparing = async {
        let storage = storage::connect(&job.store.config()).await?;
        storage.probe("", Access::Read).await?;
        let backup = resolve::backup(job, &storage).await?;
        tracing::info!(key = %backup.key(), from = %storage.location(), "found the backup");
        Ok::<_, Failure>((storage, backup))
    };
    let (storage, backup) = tokio::select! {
        found = preparing => found?,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before it began")),
    };
    let ready = preflight::target(target, &job.database.programs, &backup).await?;
    let session = &ready.entrance.session;
    let loading = ready.entrance.while_held("restorer", stop, async |stop| {
        load(job, target, &ready, &storage, &backup, progress, stop).await
    });
    let loaded = Box::pin(loading)
        .await
        .unwrap_or_else(|lost| Err(lost.into()));
    if loaded.is_err() && ready.created {
        preflight::drop_database(session, target).await;
    }
    let Loaded { bytes, omissions } = loaded?;
    statistics::complete(session, target, jobs(job), stop).await;
    Ok(Done {
        key: backup.key(),
        tables: tables(&backup),
        bytes,
        omissions,
    })
}

/// An empty target is loaded by many hands; one that holds something is replaced in one
/// transaction, and so is everything that comes as a single object.
#[expect(
    clippy::too_many_arguments,
    reason = "it only hands on what the story has gathered"
)]
async fn load(
    job: &RestoreJob,
    target: &Target,
    ready: &Ready,
    storage: &Arc<dyn Storage>,
    backup: &Backup,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Loaded, Failure> {
    let replacing = Replacing {
        target,
        session: &ready.entrance.session,
        tools: &ready.tools,
        storage,
        lock_wait_timeout: job.lock_wait_timeout,
        progress,
        keep_going: job.keep_going,
    };
    match backup {
        Backup::Folder(folder, manifest) if ready.empty && ready.parallel => {
            tracing::info!(database = %target, created = ready.created, "loading into an empty database");
            let loading = Loading {
                target,
                session: &ready.entrance.session,
                way: ready.entrance.way,
                tools: &ready.tools,
                storage,
                jobs: jobs(job),
                progress,
            };
            loading
                .run(folder, manifest, stop)
                .await
                .map(|bytes| Loaded {
                    bytes,
                    ..Loaded::default()
                })
        }
        Backup::Folder(folder, manifest) => {
            tracing::info!(database = %target, "replacing the contents in one transaction");
            replacing.folder(folder, manifest, stop).await
        }
        Backup::Archive(object, toc, head) => {
            tracing::info!(database = %target, "restoring an archive in one transaction");
            replacing.archive(object, toc, head, stop).await
        }
        Backup::Script(object, encoding) => {
            tracing::info!(database = %target, "running a script in one transaction");
            replacing.script(object, *encoding, stop).await
        }
    }
}

fn jobs(job: &RestoreJob) -> usize {
    usize::from(parallelism::jobs(job.jobs, parallelism::cores()))
}

fn tables(backup: &Backup) -> usize {
    match backup {
        Backup::Folder(_, manifest) => manifest.data().map(|it| it.tables.len()).sum(),
        Backup::Archive(_, toc, _) => toc.tables().1.len(),
        Backup::Script(..) => 0,
    }
}
