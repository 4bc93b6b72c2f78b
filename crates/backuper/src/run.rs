//! One backup from top to bottom.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{self, Extension, Locale, Manifest, Source, Stream, Tools as Made};
use crate::archive::{Folder, SystemIdentifier, codec};
use crate::catalog::activity;
use crate::cleanup::{self, Deletions, Made as Kept};
use crate::dump::{self, Dump, plan, streams};
use crate::job::BackupJob;
use crate::postgres::snapshot::Snapshot;
use crate::postgres::target::Target;
use crate::postgres::tools::Tools;
use crate::postgres::{identity, lock, probe};
use crate::progress::Progress;
use crate::publish;
use crate::runtime::{Failure, Shutdown, parallelism};
use crate::storage::{self, Access, Storage};
use crate::summary::{self, Done};

/// From here on clocks that differ are told of.
const CLOCKS_APART: Duration = Duration::from_secs(3_600);

/// Makes one backup and tells about it; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn backup(job: &BackupJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let begun = Instant::now();
    let target = job.database.target();
    let reporter = summary::reporter(job, &target);
    let progress = Arc::new(Progress::default());
    let outcome = tokio::select! {
        outcome = attempt(job, &target, &progress, shutdown) => outcome,
        never = progress.report(&reporter) => match never {},
        () = shutdown.overdue() => Err(Failure::try_again("not ended in time")),
    };
    let outcome = outcome.map_err(|failure| failure.or_stopped(shutdown, "backup"));
    let elapsed = begun.elapsed();
    let gauges = summary::gauges(&outcome, elapsed);
    reporter.report(outcome.is_ok(), elapsed, gauges).await;
    outcome.map(|done| done.sentence(begun.elapsed()))
}

async fn attempt(
    job: &BackupJob,
    target: &Target,
    progress: &Arc<Progress>,
    shutdown: &Shutdown,
) -> Result<Done, Failure> {
    let stop = shutdown.token();
    job.store.check().map_err(Failure::refused)?;
    let beginning = async {
        let ready = Box::pin(prepare(job, target)).await?;
        let (folder, snapshot) = claim(&ready, target, job.lock_wait_timeout).await?;
        Ok::<_, Failure>(Begun {
            ready,
            folder,
            snapshot,
        })
    };
    let begun = tokio::select! {
        begun = beginning => begun?,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before it began")),
    };
    let outcome = write(job, &begun, progress, shutdown).await;
    let Begun {
        ready,
        folder,
        snapshot,
    } = begun;
    // The server need not keep old rows for it any longer.
    drop(snapshot);
    let manifest = match outcome {
        Ok(manifest) => manifest,
        Err(failure) => {
            let deadline = shutdown.clean_up_by();
            cleanup::clean_up(ready.storage.as_ref(), &folder, deadline).await;
            return Err(failure);
        }
    };
    let made = Kept {
        folder: &folder,
        manifest: &manifest,
        keep: job.max_backup_count,
    };
    let deletions = tokio::select! {
        deletions = cleanup::retain(ready.storage.as_ref(), made) => deletions,
        () = stop.cancelled() => {
            tracing::warn!("stopped after the backup was complete; the next one's retention deletes what is too much");
            Deletions::default()
        }
    };
    Ok(Done {
        folder,
        manifest,
        deletions,
    })
}

/// Everything that is known before the first byte is dumped.
struct Ready {
    started_at: Timestamp,
    storage: Arc<dyn Storage>,
    /// Holds our advisory locks.
    session: Client,
    source: Source,
    tools: Tools,
}

/// What a backup has before its first byte.
struct Begun {
    ready: Ready,
    folder: Folder,
    snapshot: Snapshot,
}

/// Looks for everything that could make the backup fail later.
async fn prepare(job: &BackupJob, target: &Target) -> Result<Ready, Failure> {
    let started_at = Timestamp::now();
    let database = async {
        let session = target.connect("backuper").await?;
        let system = identity::system_identifier(&session, target).await?;
        let source = source(target, system, probe::describe(&session, target).await?);
        probe::may_read_all(&session, target).await?;
        let tools = Tools::find(source.major(), &job.database.programs)
            .await
            .map_err(|error| Failure::refused(error.to_string()))?;
        lock::enter_for_backup(&session, target).await?;
        Ok::<_, Failure>((session, source, tools))
    };
    let store = async {
        let storage = storage::connect(&job.store.config()).await?;
        let prefix = format!("{}/", crate::archive::key::encode(target.database()));
        storage.probe(&prefix, Access::Write).await?;
        Ok::<_, Failure>(storage)
    };
    // Both to their end: a probe that is given up would leave its object.
    let (database, store) = tokio::join!(database, store);
    let (session, source, tools) = database?;
    let storage = store?;
    tracing::info!(
        database = %target, server = %source.server_version, pg_dump = %tools.version(),
        bytes = source.size_bytes, to = %storage.location(), "ready"
    );
    Ok(Ready {
        started_at,
        storage,
        session,
        source,
        tools,
    })
}

fn source(target: &Target, system: Option<u64>, description: probe::Description) -> Source {
    let probe::Description {
        server_version,
        server_version_num,
        encoding,
        locale,
        extensions,
        size_bytes,
        superusers,
    } = description;
    Source {
        host: target.host.clone(),
        port: target.port,
        database: target.database.clone(),
        system_identifier: system.map(SystemIdentifier::from),
        server_version,
        server_version_num,
        encoding,
        locale: Locale {
            provider: locale.provider.to_owned(),
            collate: locale.collate,
            ctype: locale.ctype,
            locale: locale.locale,
            icu_rules: locale.icu_rules,
        },
        extensions: extensions
            .into_iter()
            .map(|(name, version)| Extension { name, version })
            .collect(),
        size_bytes,
        superusers: Some(superusers),
    }
}

/// Finds a second that no other backup of this source has: its folder is ours alone. The snapshot is
/// taken in it or later, so that a time finds the backup that shows it.
async fn claim(
    ready: &Ready,
    target: &Target,
    patience: Duration,
) -> Result<(Folder, Snapshot), Failure> {
    loop {
        let now = Timestamp::now();
        let folder = Folder::new(target.database(), now, ready.source.identity().id());
        // Seconds since 1970 fit until 2038; after that they wrap, and still tell two seconds apart.
        #[expect(clippy::cast_possible_truncation, reason = "wrapping is meant")]
        let second = now.as_second() as i32;
        if lock::claim_second(&ready.session, target, second).await? {
            let prefix = folder.prefix();
            let listing = ready.storage.list(&prefix);
            let (listed, snapshot) = tokio::join!(listing, Snapshot::take(target, patience));
            if listed?.is_empty() {
                let snapshot = snapshot?;
                compare_clocks(now, snapshot.taken_at());
                return Ok((folder, snapshot));
            }
        }
        let elapsed = u64::try_from(now.subsec_millisecond()).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(1_001 - elapsed.min(1_000))).await;
    }
}

/// Folders are named by this machine's clock, and found again by their names.
fn compare_clocks(here: Timestamp, there: Timestamp) {
    let apart = here.duration_since(there).unsigned_abs();
    if apart >= CLOCKS_APART {
        tracing::warn!(
            %here, server = %there,
            "the clocks of this machine and of the database server are far apart; backups are named by the clock here, so set it right"
        );
    }
}

/// Writes every stream, then the manifest that makes them a backup.
async fn write(
    job: &BackupJob,
    begun: &Begun,
    progress: &Arc<Progress>,
    shutdown: &Shutdown,
) -> Result<Manifest, Failure> {
    let Begun {
        ready,
        folder,
        snapshot,
    } = begun;
    let storage = ready.storage.as_ref();
    let began = Instant::now();
    let streams = tokio::select! {
        streams = dump_all(job, begun, progress, shutdown.token()) => streams?,
        never = activity::announce(storage, folder, activity::INTERVAL) => match never {},
    };
    if began.elapsed() >= activity::INTERVAL {
        activity::withdraw(storage, folder).await;
    }
    let manifest = Manifest {
        format_version: manifest::FORMAT_VERSION,
        source: ready.source.clone(),
        snapshot_at: snapshot.taken_at(),
        started_at: ready.started_at,
        finished_at: Timestamp::now(),
        tools: Made {
            backuper: env!("CARGO_PKG_VERSION").to_owned(),
            pg_dump: ready.tools.version().to_owned(),
            zstd: codec::zstd_version(),
        },
        streams,
    };
    publish::publish(storage, folder, &manifest, shutdown).await?;
    Ok(manifest)
}

/// Dumps all tables into the store.
async fn dump_all(
    job: &BackupJob,
    begun: &Begun,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<Vec<Stream>, Failure> {
    let Begun {
        ready,
        folder,
        snapshot,
    } = begun;
    let cores = parallelism::cores();
    let jobs = parallelism::jobs(job.jobs, cores);
    let parts = dump::parts(&plan::distribute(snapshot.tables().to_vec(), jobs));
    let data_streams = parts.len() - 1;
    tracing::info!(
        key = %folder.prefix(), streams = data_streams, tables = snapshot.tables().len(),
        snapshot = %snapshot.taken_at(), "dumping"
    );
    progress.dumping(snapshot.tables());
    let dump = Dump {
        target: job.database.target(),
        tools: ready.tools.clone(),
        snapshot: snapshot.id().to_owned(),
        lock_wait_timeout: job.lock_wait_timeout,
        server_major: ready.source.major(),
        level: job.compression_level,
        threads: streams::threads(cores, data_streams.min(usize::from(jobs))),
        storage: Arc::clone(&ready.storage),
        folder: folder.clone(),
        large_objects: snapshot.large_objects(),
        progress: Arc::clone(progress),
    };
    streams::store(&dump, &parts, snapshot, jobs, stop).await
}
