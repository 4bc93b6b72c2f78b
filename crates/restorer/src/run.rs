//! One restore from top to bottom.

mod ending;

use std::sync::Arc;
use std::time::Instant;

use backuper::archive::Manifest;
use backuper::archive::encryption::Identities;
use backuper::catalog::Revision;
use backuper::catalog::activity::{self, Restoring};
use backuper::postgres::Target;
use backuper::progress::Progress;
use backuper::runtime::failure::Verdict;
use backuper::runtime::parallelism;
use backuper::runtime::{Failure, Shutdown};
use backuper::storage::{self, Access, Storage};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::drill::{self, Compared};
use crate::in_place::Replacing;
use crate::job::{CreateRoles, KEEP_OLD, Mode, RestoreJob};
use crate::parallel::Loading;
use crate::resolve::{self, Backup};
use crate::summary::{self, Done, Loaded};
use crate::swap::Swap;
use crate::target::beside::Beside;
use crate::target::made::Made;
use crate::target::plan::{Roled, Wishes};
use crate::target::preflight::{self, Ready};
use crate::target::{database, server, statistics};

/// Restores one backup and tells about it; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn restore(job: &RestoreJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let begun = Instant::now();
    let target = job.database.target();
    let reporter = summary::reporter(job, &target);
    let progress = Arc::new(Progress::default());
    let made = Made::default();
    let outcome = tokio::select! {
        outcome = attempt(job, (&target, &made), &progress, shutdown) => outcome,
        never = progress.report(&reporter) => match never {},
        () = shutdown.overdue() => Err(Failure::try_again("not ended in time")),
    };
    let outcome = outcome.map_err(|it| made.told_with(it.or_stopped(shutdown, "restore")));
    let outcome = outcome.and_then(|done| done.complete(&target));
    let elapsed = begun.elapsed();
    let gauges = summary::gauges(job.drill, &outcome, elapsed);
    reporter.report(outcome.is_ok(), elapsed, gauges).await;
    outcome.map(|done| done.sentence(&target, begun.elapsed()))
}

async fn attempt(
    job: &RestoreJob,
    (target, made): (&Target, &Made),
    progress: &Arc<Progress>,
    shutdown: &Shutdown,
) -> Result<Done, Failure> {
    let stop = shutdown.token();
    let config = job.store.config().map_err(Failure::refused)?;
    let identities = &job.identity.identities().map_err(Failure::refused)?;
    begins_in_time(job, Timestamp::now())?;
    let preparing = async {
        let (storage, system) = tokio::join!(store(job, &config), system(job, target));
        let (storage, system) = (storage?, system?);
        let identity = resolve::source(job, target, system);
        let found = resolve::backup(job, &storage, &identity, identities, stop).await?;
        tracing::info!(key = %found.0.key(), from = %storage.location(), "found the backup");
        Ok::<_, Failure>((storage, found))
    };
    let (storage, (backup, older)) = tokio::select! {
        found = preparing => found?,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before it began")),
    };
    let restoring = match backup.place() {
        Some(place) => Some(Restoring::announce(storage.as_ref(), &place).await),
        None => None,
    };
    let into = async {
        backup.is_still_there(storage.as_ref()).await?;
        let from = From {
            storage: &storage,
            identities,
            backup: &backup,
            made,
            beside: None,
        };
        if job.mode == Mode::Swap {
            return swap(job, target, from, progress, shutdown).await;
        }
        if !job.drill {
            return put(job, target, from, progress, shutdown).await;
        }
        let now = Timestamp::now();
        drill::drop_leftovers(target, now).await;
        let own = drill::database(target, now);
        tracing::info!(database = %own, "a restore drill");
        put(job, &own, from, progress, shutdown).await
    };
    let outcome = match &restoring {
        Some(restoring) => tokio::select! {
            outcome = Box::pin(into) => outcome,
            never = restoring.renew(activity::INTERVAL) => match never {},
        },
        None => Box::pin(into).await,
    };
    if let Some(restoring) = restoring {
        restoring.withdraw().await;
    }
    // Nothing but its last byte says of an object without a manifest whether it is whole.
    outcome.map_err(|failure| match backup {
        Backup::Script(_, _, None) if shutdown.instead().is_none() => older.named_in(failure),
        _ => failure,
    })
}

/// Puts the backup into a new database, and that into the target's place, where somebody has something there.
async fn swap(
    job: &RestoreJob,
    target: &Target,
    from: From<'_>,
    progress: &Arc<Progress>,
    shutdown: &Shutdown,
) -> Result<Done, Failure> {
    let Some(swap) = Swap::begin(target, from.backup.part()).await? else {
        return put(job, target, from, progress, shutdown).await;
    };
    let (new, beside) = swap.new_database();
    let from = From {
        beside: Some(beside),
        ..from
    };
    let done = Box::pin(put(job, new, from, progress, shutdown)).await?;
    // What it did there is nothing to the target yet.
    shutdown.says_instead(None);
    let keep_old = if job.keep_old.is_zero() && !done.omissions.is_empty() {
        tracing::warn!(kept = ?KEEP_OLD, "something was left out, so the database that was there is kept, whatever KEEP_OLD says");
        KEEP_OLD
    } else {
        job.keep_old
    };
    let swapped = Box::pin(swap.finish(keep_old, shutdown)).await?;
    Ok(Done { swapped, ..done })
}

/// Puts the backup that was found into the target.
async fn put(
    job: &RestoreJob,
    target: &Target,
    from: From<'_>,
    progress: &Arc<Progress>,
    shutdown: &Shutdown,
) -> Result<Done, Failure> {
    let stop = shutdown.token();
    let backup = from.backup;
    let globals = match job.roles {
        CreateRoles::None => None,
        CreateRoles::Missing => {
            resolve::globals(from.storage.as_ref(), backup, from.identities, stop).await?
        }
    };
    let wishes = Wishes {
        mode: job.mode,
        owners: job.owners,
        keep_going: job.keep_going,
        roles: match job.roles {
            CreateRoles::None => Roled::None,
            CreateRoles::Missing => Roled::Missing(globals.as_ref()),
        },
        made: from.made,
        beside: from.beside,
    };
    let programs = &job.database.connection.programs;
    let preparing = preflight::target(target, programs, backup, wishes, shutdown);
    let ready = Box::pin(preparing).await?;
    let session = &ready.entrance.session;
    if let Some(toc) = backup.toc().filter(|_| ready.made) {
        database::give_owner_and_privileges(session, target, toc, &ready.plan).await;
    }
    let loading = ready.entrance.while_held("restorer", stop, async |stop| {
        let loading = load((job, target), &ready, from, progress, shutdown, stop);
        let loaded = Box::pin(loading).await?;
        let compared = compare(job, target, &ready, backup, (shutdown, stop)).await?;
        Ok::<_, Failure>((loaded, compared))
    });
    let loaded = Box::pin(loading).await.unwrap_or_else(|(lost, stopped)| {
        Err(match shutdown.instead() {
            Some(_) => stopped,
            None => ending::ended_by(lost.into(), &stopped),
        })
    });
    let loaded = if ready.created && (loaded.is_err() || job.drill) {
        ending::without_it(loaded, (session, target), shutdown).await
    } else {
        loaded
    };
    let (loaded, drilled) = loaded?;
    let Loaded {
        bytes,
        mut omissions,
    } = loaded;
    omissions.extend(ready.plan.omissions());
    if drilled.is_none() && from.beside.is_none() {
        shutdown.says_instead(Some(ending::restored(target, &omissions)));
    }
    if drilled.is_none() {
        if let Some(toc) = backup.toc().filter(|_| !ready.made) {
            database::leave(target, toc);
        }
        statistics::complete(session, target, jobs(job), stop).await;
    }
    Ok(Done {
        key: backup.key(),
        tables: tables(backup),
        bytes,
        omissions,
        part: backup.part().map(ToString::to_string),
        drilled: drilled.map(|it| it.sentence(&backup.key(), target)),
        swapped: None,
    })
}

/// What a drill has compared; none: it is no drill.
async fn compare(
    job: &RestoreJob,
    target: &Target,
    ready: &Ready,
    backup: &Backup,
    (shutdown, stop): (&Shutdown, &CancellationToken),
) -> Result<Option<Compared>, Failure> {
    if !job.drill {
        return Ok(None);
    }
    shutdown.says_instead(None);
    let session = (&*ready.entrance.session, target);
    let key = backup.key();
    let what = (key.as_str(), backup.manifest());
    let compared = drill::compare(session, what, job.drill_sql.as_deref(), stop).await?;
    Ok(Some(compared))
}

/// A restore may wait in a queue, or for a scheduler that was stopped, while the database goes on.
fn begins_in_time(job: &RestoreJob, now: Timestamp) -> Result<(), Failure> {
    match job.begin_by {
        Some(begin_by) if now > begin_by => Err(Failure {
            verdict: Verdict::Expired,
            sentence: format!(
                "expired: this restore was to begin by {begin_by}, and it is {now} on this machine; what was written to the database since it was asked for would be lost, so ask for it again if it is still wanted; nothing was changed"
            ),
        }),
        _ => Ok(()),
    }
}

async fn store(job: &RestoreJob, config: &storage::Config) -> Result<Arc<dyn Storage>, Failure> {
    let storage = storage::connect(config).await?;
    storage.probe(&resolve::prefix(job), Access::Read).await?;
    Ok(storage)
}

/// The target's server decides whose backups count, where they are counted.
async fn system(job: &RestoreJob, target: &Target) -> Result<Option<u64>, Failure> {
    match job.revision {
        Revision::Named(_) => Ok(None),
        Revision::Count(_) | Revision::At(_) => Ok(server::system_identifier(target).await?),
    }
}

/// What is loaded, and where it is.
#[derive(Clone, Copy)]
struct From<'a> {
    storage: &'a Arc<dyn Storage>,
    identities: &'a Identities,
    backup: &'a Backup,
    made: &'a Made,
    beside: Option<&'a Beside>,
}

/// An empty target is loaded by many hands; one that holds something is replaced in one
/// transaction, and so is everything that comes as a single object.
#[expect(
    clippy::too_many_arguments,
    reason = "it only hands on what the story has gathered"
)]
async fn load(
    (job, target): (&RestoreJob, &Target),
    ready: &Ready,
    from: From<'_>,
    progress: &Arc<Progress>,
    shutdown: &Shutdown,
    stop: &CancellationToken,
) -> Result<Loaded, Failure> {
    let From {
        storage,
        identities,
        backup,
        ..
    } = from;
    let replacing = Replacing {
        target,
        session: &ready.entrance.session,
        tools: &ready.tools,
        storage,
        identities,
        lock_wait_timeout: job.lock_wait_timeout,
        progress,
        shutdown,
        copy_format: job.copy_format,
        keep_going: job.keep_going,
        way: ready.entrance.way,
        plan: &ready.plan,
        part: backup.part(),
        made: ready.made,
        created: ready.created,
    };
    match backup {
        Backup::Folder(folder, manifest, schema) if ready.empty && ready.parallel => {
            tracing::info!(database = %target, created = ready.created, "loading into an empty database");
            let loading = Loading {
                target,
                session: &ready.entrance.session,
                way: ready.entrance.way,
                tools: &ready.tools,
                storage,
                identities,
                jobs: jobs(job),
                keep_going: job.keep_going,
                copy_format: job.copy_format,
                major: ready.major,
                created: ready.created,
                shutdown,
                progress,
                plan: &ready.plan,
            };
            loading.run(folder, manifest, schema, stop).await
        }
        Backup::Folder(folder, manifest, schema) => {
            tracing::info!(database = %target, "replacing the contents in one transaction");
            replacing.folder(folder, manifest, schema, stop).await
        }
        Backup::Archive(object, toc, head) => {
            tracing::info!(database = %target, "restoring an archive in one transaction");
            replacing.archive(object, toc, head, stop).await
        }
        Backup::Script(object, encoding, manifest) => {
            tracing::info!(database = %target, "running a script in one transaction");
            if job.keep_going {
                tracing::warn!(
                    "RESTORE_KEEP_GOING has no effect on a script, which is all or nothing"
                );
            }
            let manifest = manifest.as_deref();
            replacing.script((object, manifest), *encoding, stop).await
        }
    }
}

fn jobs(job: &RestoreJob) -> usize {
    usize::from(parallelism::jobs(job.jobs, parallelism::cores()))
}

fn tables(backup: &Backup) -> usize {
    match backup {
        Backup::Folder(_, manifest, _) => manifest.data().map(|it| it.tables.len()).sum(),
        Backup::Archive(_, toc, _) => toc.tables().1.len(),
        Backup::Script(_, _, manifest) => {
            let script = manifest.as_deref().and_then(Manifest::script);
            script.map_or(0, |it| it.tables.len())
        }
    }
}
