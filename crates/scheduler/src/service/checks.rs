//! What a worker would meet first, found out while the caller waits: is the database there, does the
//! password let in, is the bucket there, which backup is meant. With the workers' own code, so in their
//! own words. Nothing is written anywhere, and nothing is locked.
//!
//! The scheduler may stand elsewhere than its workers. So only what the other side has answered is
//! [`Outcome::Wrong`]; what our own way to it, our files or our credentials may be the cause of is
//! [`Outcome::Unknown`].

mod found;
mod trouble;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backuper::archive::key;
use backuper::databases::found as found_databases;
use backuper::job::{BackupJob, StoreSettings};
use backuper::postgres::selection::{Filters, may_read_all};
use backuper::postgres::{Kind, Target, identity, probe};
use backuper::runtime::Failure;
use backuper::selection::{Databases, Selection};
use backuper::storage::{self, Access, AzureCredentials, Config, GcsCredentials, Place, Storage};
use restorer::job::RestoreJob;
use restorer::resolve;
use restorer::target::server;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use found::Backup;
use trouble::{Trouble, both};

/// How long all of it may take.
pub const LIMIT: Duration = Duration::from_secs(5);
/// What sessions of ours are called in the server.
const APPLICATION: &str = "scheduler";
/// Requests that are looked at at once: each holds two connections to a server of the caller's choice.
static PLACES: Semaphore = Semaphore::const_new(32);

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// All that could be tried is as it should be; what was found.
    Sound(T),
    /// The other side has said what is wrong: the worker's own sentence, with what to do.
    Wrong(String),
    /// It cannot be known from here; why.
    Unknown(String),
}

/// A database that can be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Its server's major version: 15 of 15.18.
    pub major: u32,
    /// The names of those that are meant, where several are.
    pub several: Option<Vec<String>>,
}

/// Whose disk a `file://` store is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// This machine's, which the workers share; the engine has permitted the directory that is named.
    Shared,
    /// Other machines'. Nothing of ours is looked at in its stead.
    Apart,
}

/// Tries what a backuper would try first.
pub async fn backup(job: &BackupJob, disk: Disk) -> Outcome<Database> {
    let deadline = Instant::now() + LIMIT;
    let mut target = job.database.target();
    match job.database.databases() {
        Ok(Databases::One(name)) => target.database = name,
        Ok(Databases::Several(selection)) => {
            let looked = looking(deadline, several(job, &selection, disk, deadline));
            return outcome(Box::pin(looked).await);
        }
        Err(sentence) => return Outcome::Wrong(sentence),
    }
    let looked = looking(deadline, async {
        let prefix = format!("{}/", key::encode(target.database()));
        let filters = job.filters.filters();
        let (database, store) = tokio::join!(
            within(deadline, &target, source(&target, &filters)),
            within(deadline, "the store", store(&job.store, &prefix, disk)),
        );
        both(database, store)
    });
    outcome(Box::pin(looked).await.map(|(database, _storage)| database))
}

/// Tries what a restorer would try first, and finds the backup that is meant.
pub async fn restore(job: &RestoreJob, disk: Disk) -> Outcome<Backup> {
    let deadline = Instant::now() + LIMIT;
    let target = job.database.target();
    let looked = looking(deadline, async {
        let prefix = resolve::prefix(job);
        let (server, store) = tokio::join!(
            within(deadline, &target, server_of(&target)),
            within(deadline, "the store", store(&job.store, &prefix, disk)),
        );
        let backup = match store {
            Ok(storage) => {
                let system = server.as_ref().ok().copied();
                found::backup(job, &target, storage.as_ref(), system, deadline).await
            }
            Err(trouble) => Err(trouble),
        };
        both(server, backup)
    });
    outcome(Box::pin(looked).await.map(|(_system, backup)| backup))
}

fn outcome<T>(looked: Result<T, Trouble>) -> Outcome<T> {
    match looked {
        Ok(found) => Outcome::Sound(found),
        Err(Trouble::Wrong(sentence)) => Outcome::Wrong(sentence),
        Err(Trouble::Unknown(sentence)) => Outcome::Unknown(sentence),
    }
}

/// Waits for a place, and looks.
async fn looking<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let place = tokio::time::timeout_at(deadline, PLACES.acquire()).await;
    let Ok(Ok(_place)) = place else {
        let sentence = "too many other requests are being looked at";
        return Err(Trouble::Unknown(sentence.to_owned()));
    };
    work.await
}

/// Whoever does not answer in time may answer a worker all the same.
async fn within<T>(
    deadline: Instant,
    whom: impl std::fmt::Display,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let done = tokio::time::timeout_at(deadline, work).await;
    done.unwrap_or_else(|_elapsed| {
        let seconds = LIMIT.as_secs();
        Err(Trouble::Unknown(format!(
            "{whom} did not answer within {seconds} s"
        )))
    })
}

/// A database of which the role may read all that is to be backed up.
async fn source(target: &Target, filters: &Filters) -> Result<Database, Trouble> {
    let entrance = Box::pin(target.enter(APPLICATION)).await?;
    let session = &entrance.session;
    probe::has_readable_names(session, target).await?;
    may_read_all(session, target, filters).await?;
    Ok(Database {
        major: session.major(),
        several: None,
    })
}

/// The databases that a list means now, and a store that may be listed.
async fn several(
    job: &BackupJob,
    selection: &Selection,
    disk: Disk,
    deadline: Instant,
) -> Result<Database, Trouble> {
    let target = job.database.target();
    let finding = async { Ok(Box::pin(found_databases::meant(job, selection)).await?) };
    let found_databases::Found { major, meant } = within(deadline, &target, finding).await?;
    let names: Vec<String> = meant.into_iter().map(|it| it.name).collect();
    let first = names.first().map(|it| format!("{}/", key::encode(it)));
    let prefix = first.unwrap_or_default();
    let listed = within(deadline, "the store", store(&job.store, &prefix, disk));
    Box::pin(listed).await?;
    Ok(Database {
        major,
        several: Some(names),
    })
}

/// The identifier of the server that is restored to. A database that is missing is made by the
/// restorer, and so is nothing wrong.
async fn server_of(target: &Target) -> Result<Option<u64>, Trouble> {
    match Box::pin(target.enter(APPLICATION)).await {
        Ok(entrance) => Ok(identity::system_identifier(&entrance.session, target).await?),
        Err(error) if error.kind == Kind::NoDatabase => {
            Ok(server::system_identifier(target).await?)
        }
        Err(error) => Err(error.into()),
    }
}

fn not_here() -> Trouble {
    let sentence = "no credentials were given, and the workers' own are not here to be tried";
    Trouble::Unknown(sentence.to_owned())
}

fn is_at_hand_at_google(credentials: &GcsCredentials) -> bool {
    match credentials {
        GcsCredentials::Key(_) | GcsCredentials::Anonymous => true,
        GcsCredentials::Ambient | GcsCredentials::File(_) => false,
    }
}

fn is_at_hand_at_azure(credentials: &AzureCredentials) -> bool {
    match credentials {
        AzureCredentials::Key(_) | AzureCredentials::Sas(_) => true,
        AzureCredentials::Secret { .. }
        | AzureCredentials::Federated { .. }
        | AzureCredentials::Ambient { .. } => false,
    }
}

/// Whether a store lets us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It does, and may be listed.
    Reached,
    /// It does not, or does not answer; the sentence says what to do.
    Refused(String),
    /// Only workers can try it; why.
    Untried(String),
}

/// Tries a store for as long as this.
pub(super) async fn reach(settings: &StoreSettings, disk: Disk, limit: Duration) -> Reach {
    let config = match settings.config() {
        Ok(config) => config,
        Err(sentence) => return Reach::Refused(sentence),
    };
    if let Err(Trouble::Wrong(why) | Trouble::Unknown(why)) = can_be_tried(&config, disk) {
        return Reach::Untried(why);
    }
    let trying = async {
        let storage = storage::connect_for_one_try(&config).await?;
        storage.probe("", Access::Read).await
    };
    match tokio::time::timeout(limit, trying).await {
        Ok(Ok(())) => Reach::Reached,
        Ok(Err(error)) => Reach::Refused(Failure::from(error).sentence),
        Err(_elapsed) => {
            let seconds = limit.as_secs();
            let name = config.name();
            Reach::Refused(format!("{name} did not answer within {seconds} s"))
        }
    }
}

/// Whether a store can be tried from here.
fn can_be_tried(config: &Config, disk: Disk) -> Result<(), Trouble> {
    match &config.place {
        Place::Directory { .. } if disk == Disk::Apart => {
            let sentence = "the directory is on the workers' machines, where only they can look";
            Err(Trouble::Unknown(sentence.to_owned()))
        }
        // Ours would be others than theirs, and are not for callers to use.
        Place::S3(place) if place.access_key.is_none() => {
            let sentence = "no S3 keys were given, and the workers' own are not here to be tried";
            Err(Trouble::Unknown(sentence.to_owned()))
        }
        Place::Gcs(place) if !is_at_hand_at_google(&place.credentials) => Err(not_here()),
        Place::Azure(place) if !is_at_hand_at_azure(&place.credentials) => Err(not_here()),
        Place::Directory { .. } | Place::S3(_) | Place::Gcs(_) | Place::Azure(_) => Ok(()),
    }
}

/// A store that may be listed. Whether it may be written to is not tried, since that leaves an object
/// where keys may not delete, or where time is up in the middle.
async fn store(
    settings: &StoreSettings,
    prefix: &str,
    disk: Disk,
) -> Result<Arc<dyn Storage>, Trouble> {
    let config = settings.config().map_err(Trouble::Wrong)?;
    can_be_tried(&config, disk)?;
    let storage = storage::connect(&config).await?;
    storage.probe(prefix, Access::Read).await?;
    Ok(storage)
}
