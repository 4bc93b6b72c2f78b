//! Which backup a restore means, as far as that can be known.

use std::fmt;

use backuper::archive::key::Published;
use backuper::catalog::{self, Found, Listing, Request, Resolution, Revision};
use backuper::postgres::Target;
use backuper::runtime::Failure;
use backuper::storage::{self, Storage};
use jiff::Timestamp;
use restorer::job::RestoreJob;
use restorer::resolve;
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::trouble::Trouble;
use super::within;

/// A backup that can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its folder, or the key of a single object.
    pub key: String,
    /// The moment whose data it holds, as far as it says so itself.
    pub taken_at: Timestamp,
    /// What it takes in the store.
    pub bytes: u64,
}

impl fmt::Display for Backup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            taken_at,
            bytes,
        } = self;
        write!(formatter, "{key} of {taken_at:.0}, {bytes} bytes")
    }
}

/// Finds it. `system` is what the target's server says of itself; none: nobody could ask it, and then
/// only what does not depend on it is an answer.
pub(super) async fn backup(
    job: &RestoreJob,
    target: &Target,
    storage: &dyn Storage,
    system: Option<Option<u64>>,
    deadline: Instant,
) -> Result<Backup, Trouble> {
    let layout = job
        .layout
        .layout()
        .map_err(backuper::runtime::Failure::refused)?;
    let listing = within(deadline, "the store", async {
        Ok(catalog::list(storage, resolve::database(job), &layout).await?)
    });
    let listing = listing.await?;
    let identity = resolve::source(job, target, system.flatten());
    let request = Request {
        revision: &job.revision,
        target: &identity,
        layout: &layout,
        as_of: job.as_of,
        now: Timestamp::now(),
        by_name: job.source.is_some(),
    };
    let resolving = tokio::time::timeout_at(deadline, catalog::resolve(storage, request));
    let resolved = match resolving.await {
        Ok(resolved) => resolved,
        // What else the store holds takes long to list, and is no more than advice.
        Err(_elapsed) if has_none(&listing, &job.revision) => Err(none(job, storage)),
        Err(_elapsed) => {
            let sentence = "the store took too long to say which backup is meant";
            return Err(Trouble::Unknown(sentence.to_owned()));
        }
    };
    match resolved {
        Ok(resolution) => {
            is_whole(storage, &resolution, deadline).await?;
            opens(job, storage, &resolution, deadline).await?;
            Ok(described(resolve::database(job), &resolution.found))
        }
        Err(error @ catalog::Error::Storage(_)) => Err(error.into()),
        Err(error) if system.is_some() || does_not_depend(&listing, &job.revision) => {
            Err(error.into())
        }
        Err(error) => Err(Trouble::Unknown(error.to_string())),
    }
}

fn has_none(listing: &Listing, revision: &Revision) -> bool {
    let named = matches!(revision, Revision::Named(_));
    !named && listing.complete.is_empty() && listing.published.is_empty()
}

/// Whether there is no such backup, whichever server the target is on.
fn does_not_depend(listing: &Listing, revision: &Revision) -> bool {
    let all = listing.complete.len() + listing.published.len();
    match revision {
        Revision::Named(_) => true,
        Revision::Count(count) => usize::try_from(*count).is_ok_and(|it| it >= all),
        Revision::At(_) => all == 0,
    }
}

fn none(job: &RestoreJob, storage: &dyn Storage) -> catalog::Error {
    catalog::Error::NoSuch {
        revision: job.revision.to_string(),
        database: resolve::database(job).to_owned(),
        location: storage.location(),
        reason: "there is none at all".to_owned(),
    }
}

/// That no stream is missing or cut. The restorer looks too, so that time may be up meanwhile.
async fn is_whole(
    storage: &dyn Storage,
    resolution: &Resolution,
    deadline: Instant,
) -> Result<(), Trouble> {
    let Found::Ours(folder, manifest) = &resolution.found else {
        return Ok(());
    };
    let looking = resolve::whole(storage, folder, manifest);
    let looked = tokio::time::timeout_at(deadline, looking).await;
    Ok(looked.unwrap_or(Ok(()))?)
}

/// That the key is there which opens it. One that lies where only the restorer looks is tried there.
async fn opens(
    job: &RestoreJob,
    storage: &dyn Storage,
    resolution: &Resolution,
    deadline: Instant,
) -> Result<(), Trouble> {
    let Found::Ours(folder, manifest) = &resolution.found else {
        return Ok(());
    };
    let given = job.identity.age_identity.as_ref();
    let is_elsewhere = given.is_some_and(|it| it.expose_secret().is_empty());
    if is_elsewhere || job.identity.age_identity_file.is_some() {
        return Ok(());
    }
    let identities = job.identity.identities().map_err(Failure::refused)?;
    let looking = resolve::opens(storage, folder, manifest, &identities);
    let looked = tokio::time::timeout_at(deadline, looking).await;
    Ok(looked.unwrap_or(Ok(()))?)
}

fn described(database: &str, found: &Found) -> Backup {
    match found {
        Found::Ours(folder, manifest) => Backup {
            key: folder.prefix().trim_end_matches('/').to_owned(),
            taken_at: manifest.snapshot_at,
            bytes: manifest.objects().map(|it| it.stored_bytes).sum(),
        },
        Found::Object(storage::Object {
            key,
            size,
            modified,
            ..
        }) => {
            let published = Published::parse_key(database, key);
            Backup {
                taken_at: published.map_or(*modified, |it| it.started),
                key: key.clone(),
                bytes: *size,
            }
        }
    }
}
