//! One backup from top to bottom.

mod copied;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::archive::encryption::Recipients;
use crate::archive::manifest::{
    self, Encryption, Extension, Globals, Locale, Manifest, Part, Source, Stream, Tools as Made,
};
use crate::archive::{Layout, SystemIdentifier, codec};
use crate::catalog::activity;
use crate::cleanup::claim::{self, Claim};
use crate::cleanup::{self, Deletions, Made as Kept};
use crate::dump::start::{Limits, Sessions};
use crate::dump::{Dump, streams};
use crate::job::{BackupJob, Format, Passwords};
use crate::postgres::probe::{self, Room};
use crate::postgres::selection;
use crate::postgres::tools::Tools;
use crate::postgres::{Entrance, Target, identity, lock};
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
    let second = copied::second(job).await?;
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
    let done = outcome?;
    match second {
        Some(second) => copied::copied(job, &second, (&done, elapsed), &reporter, shutdown).await,
        None => Ok(done.sentence(elapsed)),
    }
}

async fn attempt(
    job: &BackupJob,
    target: &Target,
    progress: &Arc<Progress>,
    shutdown: &Shutdown,
) -> Result<Done, Failure> {
    let stop = shutdown.token();
    let store = job.store().map_err(Failure::refused)?;
    let recipients = job.encryption.recipients().map_err(Failure::refused)?;
    let layout = job.layout.layout().map_err(Failure::refused)?;
    let layout = layout.of_new_dumps(recipients.is_some());
    let globals = job
        .globals
        .wanted(job.format.format, recipients.is_some())
        .map_err(Failure::refused)?;
    job.check_part().map_err(Failure::refused)?;
    let beginning = async {
        let ready = Box::pin(prepare(job, &store, &layout, target, recipients)).await?;
        let dumps = (job.format.format == Format::SqlGz).then_some(&layout);
        let session = &ready.entrance.session;
        let source = ready.source.identity().id();
        let claim = claim::claim(session, ready.storage.as_ref(), (target, source), dumps).await?;
        Ok::<_, Failure>(Begun {
            ready,
            claim,
            globals,
        })
    };
    let begun = tokio::select! {
        begun = beginning => begun?,
        () = stop.cancelled() => return Err(Failure::try_again("stopped before it began")),
    };
    let Begun { ready, claim, .. } = &begun;
    let folder = &claim.folder;
    let writing = ready.entrance.while_held("backuper", stop, async |stop| {
        write(job, &begun, progress, shutdown, stop).await
    });
    let outcome = Box::pin(writing)
        .await
        .unwrap_or_else(|(lost, _stopped)| Err(lost.into()));
    let manifest = match outcome {
        Ok(manifest) => manifest,
        Err(failure) => {
            let deadline = shutdown.clean_up_by();
            cleanup::clean_up(ready.storage.as_ref(), claim, deadline).await;
            return Err(failure);
        }
    };
    let made = Kept {
        folder,
        manifest: &manifest,
        rules: &job.retention.rules(),
        objects: job.retention.objects,
        layout: &layout,
    };
    let deletions = tokio::select! {
        deletions = cleanup::retain(ready.storage.as_ref(), made) => deletions,
        () = stop.cancelled() => {
            tracing::warn!("stopped after the backup was complete; the next one's retention deletes what is too much");
            Deletions::default()
        }
    };
    Ok(Done {
        folder: begun.claim.folder,
        manifest,
        deletions,
    })
}

/// Everything that is known before the first byte is dumped.
struct Ready {
    started_at: Timestamp,
    storage: Arc<dyn Storage>,
    /// Its session holds our advisory locks.
    entrance: Entrance,
    source: Source,
    tools: Tools,
    room: Room,
    /// Who alone can read it.
    recipients: Option<Recipients>,
}

/// What a backup has before its first byte.
struct Begun {
    ready: Ready,
    claim: Claim,
    /// What becomes of password hashes in the server's globals; none: these are not wanted.
    globals: Option<Passwords>,
}

/// Looks for everything that could make the backup fail later.
async fn prepare(
    job: &BackupJob,
    store: &storage::Config,
    layout: &Layout,
    target: &Target,
    recipients: Option<Recipients>,
) -> Result<Ready, Failure> {
    let started_at = Timestamp::now();
    let database = async {
        let entrance = target.enter("backuper").await?;
        let session = &entrance.session;
        probe::has_readable_names(session, target).await?;
        let system = identity::system_identifier(session, target).await?;
        let source = source(target, system, probe::describe(session, target).await?);
        selection::may_read_all(session, target, &job.filters.filters()).await?;
        let tools = Tools::find(source.major(), &job.database.connection.programs)
            .await
            .map_err(|error| Failure::refused(error.to_string()))?;
        let room = probe::room(session, target).await?;
        lock::enter_for_backup(session, target).await?;
        Ok::<_, Failure>((entrance, source, tools, room))
    };
    let store = async {
        let storage = storage::connect(store).await?;
        let prefix = match job.format.format {
            Format::Archive => format!("{}/", crate::archive::key::encode(target.database())),
            Format::SqlGz => layout.folder(target.database()),
        };
        storage.probe(&prefix, Access::Write).await?;
        Ok::<_, Failure>(storage)
    };
    // Both to their end: a probe that is given up would leave its object.
    let (database, store) = tokio::join!(database, store);
    let (entrance, source, tools, room) = database?;
    let storage = store?;
    tracing::info!(
        database = %target, server = %source.server_version, pg_dump = %tools.version(),
        bytes = source.size_bytes, to = %storage.location(),
        encrypted_to = recipients.as_ref().map(|it| it.hints().join(" or ")), "ready"
    );
    Ok(Ready {
        started_at,
        storage,
        entrance,
        source,
        tools,
        room,
        recipients,
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
    stop: &CancellationToken,
) -> Result<Manifest, Failure> {
    let Begun { ready, claim, .. } = begun;
    let folder = &claim.folder;
    let storage = ready.storage.as_ref();
    let began = Instant::now();
    let (taken_at, part, streams, globals) = tokio::select! {
        dumped = dump_all(job, begun, progress, stop) => dumped?,
        never = activity::announce(storage, folder, &claim.word, activity::INTERVAL) => match never {},
    };
    if folder.is_of_dump() {
        // Nobody who begins an archive sees a dump, but the lock of its second.
        claim::next_second(folder.started()).await;
    } else if began.elapsed() >= activity::INTERVAL {
        activity::withdraw(storage, folder).await;
    }
    let encryption = ready.recipients.as_ref().map(Encryption::to);
    let manifest = Manifest {
        format_version: if part.is_some() {
            manifest::PARTIAL
        } else if encryption.is_some() {
            manifest::ENCRYPTED
        } else if folder.is_of_dump() {
            manifest::SCRIPT
        } else {
            manifest::ARCHIVES
        },
        source: ready.source.clone(),
        snapshot_at: taken_at,
        // A dump's key need not say when it was begun.
        started_at: if folder.is_of_dump() {
            folder.started()
        } else {
            ready.started_at
        },
        finished_at: Timestamp::now(),
        tools: Made {
            backuper: env!("CARGO_PKG_VERSION").to_owned(),
            pg_dump: ready.tools.version().to_owned(),
            zstd: codec::zstd_version(),
        },
        encryption,
        part,
        streams,
        globals,
    };
    let schedule = job.schedule.as_ref().map(|it| it.as_str());
    publish::count_apart(storage, folder, schedule, manifest.part.as_ref()).await?;
    let hidden = match &ready.recipients {
        Some(recipients) if job.encryption.encrypt_manifest => {
            let hidden = manifest.clone().hide(recipients);
            Some(hidden.map_err(|error| Failure::try_again(error.to_string()))?)
        }
        _ => None,
    };
    let published = hidden.as_ref().unwrap_or(&manifest);
    publish::publish(storage, folder, published, shutdown).await?;
    if folder.is_of_dump() {
        activity::withdraw(storage, folder).await;
    }
    Ok(manifest)
}

/// Dumps the server's globals, where they are wanted, and then all tables into the store; gives the moment that
/// the tables show, and which part of the database they are.
async fn dump_all(
    job: &BackupJob,
    begun: &Begun,
    progress: &Arc<Progress>,
    stop: &CancellationToken,
) -> Result<(Timestamp, Option<Part>, Vec<Stream>, Option<Globals>), Failure> {
    let Begun {
        ready,
        claim,
        globals,
    } = begun;
    let Entrance {
        witness,
        way,
        target,
        ..
    } = &ready.entrance;
    let sessions = Sessions {
        holder: Arc::new(target.connect("backuper snapshot").await?),
        witness,
    };
    let dump = Dump {
        target: target.clone(),
        way: *way,
        tools: ready.tools.clone(),
        lock_wait_timeout: job.lock_wait_timeout,
        encoding: ready.source.encoding.clone(),
        reading: job.rows.of(target),
        split: job.split,
        copy_format: job.copy_format,
        level: job.compression_level,
        form: job.format.form(),
        filters: job.filters.filters(),
        recipients: ready.recipients.clone(),
        storage: Arc::clone(&ready.storage),
        folder: claim.folder.clone(),
        progress: Arc::clone(progress),
    };
    let jobs = parallelism::jobs(job.jobs, parallelism::cores());
    let limits = Limits {
        jobs,
        programs: ready.room.programs(*way, job.several.database_jobs),
    };
    let globals = match globals {
        Some(passwords) => {
            let passwords = *passwords != Passwords::None;
            Some(dump.globals(witness, passwords, stop).await?)
        }
        None => None,
    };
    let started = dump.start(&sessions, limits, stop).await?;
    // Its session is free for others, and the server need not keep old rows for it any longer than
    // until the last COPY has its snapshot.
    drop(sessions);
    let taken_at = started.taken_at;
    let part = started.part.clone();
    compare_clocks(Timestamp::now(), taken_at);
    let streams = streams::store(&dump, started, witness, jobs, stop).await?;
    Ok((taken_at, part, streams, globals))
}
