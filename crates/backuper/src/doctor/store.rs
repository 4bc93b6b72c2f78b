//! The store of backups, from its address to what is left in it.

mod first;
mod questions;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::finding::{Finding, Findings};
use super::{Check, LIMIT, Subject};
use crate::archive::key;
use crate::job::CheckJob;
use crate::runtime::Deadline;
use crate::storage::{self, Access, Config, Error, Kind, Place, Storage};
use questions::Asking;

const BUCKET: &[&str] = &[
    "address",
    "tls",
    "keys",
    "bucket",
    "list",
    "read",
    "write",
    "delete",
    "clock",
    "leftovers",
];
const DIRECTORY: &[&str] = &[
    "directory",
    "list",
    "read",
    "write",
    "delete",
    "space",
    "leftovers",
];

/// How long the first request may take.
const FIRST: Duration = Duration::from_secs(4);

/// What was found, and what the database's size is still missing from.
pub(super) struct Found {
    findings: Findings,
    free: Option<u64>,
    reason: &'static str,
}

impl Found {
    /// All checks of a store that is to hold a database of so many bytes.
    pub(super) fn with_space_for(self, bytes: Option<u64>) -> Vec<Check> {
        let Self {
            mut findings,
            free,
            reason,
        } = self;
        if let Some(free) = free {
            findings.add("space", space(free, bytes));
        }
        findings.all(reason)
    }
}

fn space(free: u64, bytes: Option<u64>) -> Finding {
    match bytes {
        Some(bytes) if bytes > free => Finding::warning(format!(
            "the directory has room for {free} bytes, and the database has {bytes}: compressed, a backup may fit or not; make room"
        )),
        Some(bytes) => Finding::ok(format!(
            "the directory has room for {free} bytes, and the database has {bytes}"
        )),
        None => Finding::ok(format!("the directory has room for {free} bytes")),
    }
}

pub(super) async fn check(job: &CheckJob, tidying: &TaskTracker) -> Found {
    let end = Deadline::within(LIMIT);
    let ended = |findings, reason| Found {
        findings,
        free: None,
        reason,
    };
    let config = match job.store.config() {
        Ok(config) => config,
        Err(sentence) => {
            let has_bucket = job.store.url.is_some() || job.store.bucket.is_some();
            let name = if has_bucket { "keys" } else { "bucket" };
            let mut findings = Findings::new(Subject::Store, BUCKET);
            findings.add(name, Finding::wrong(sentence));
            return ended(findings, "the settings are wrong");
        }
    };
    let on_disk = matches!(config.place, Place::Directory { .. });
    let names = if on_disk { DIRECTORY } else { BUCKET };
    let mut findings = Findings::new(Subject::Store, names);
    let layout = match job.layout.layout() {
        Ok(layout) => layout,
        Err(sentence) => {
            findings.add("bucket", Finding::wrong(sentence));
            return ended(findings, "the settings are wrong");
        }
    };
    let source = job.source.as_ref();
    let prefix = source.map_or_else(String::new, |it| format!("{}/", key::encode(&it.database)));
    let limit = FIRST.min(end.left());
    let opened = tokio::time::timeout(limit, open(&config, &prefix)).await;
    let opened = opened.unwrap_or_else(|_elapsed| Err(unanswered(&config, limit)));
    let storage = match opened {
        Ok(storage) => storage,
        Err(error) => {
            let reason = first::refused(&mut findings, &config, source.is_some(), error);
            return ended(findings, reason);
        }
    };
    first::passed(&mut findings, &config);
    let asking = Asking {
        storage: &storage,
        tidying,
        source,
        whole_prefix: format!("{}{prefix}", config.prefix.as_str()),
        layout: &layout,
        prefix,
        on_disk,
        whom: whom(&config.place),
        end,
    };
    let free = asking.all(&mut findings).await;
    Found {
        findings,
        free,
        reason: "nobody has asked",
    }
}

/// Who must be allowed what a backup does.
fn whom(place: &Place) -> &'static str {
    match place {
        Place::S3(_) => "the owner of S3_ACCESS_KEY",
        Place::Gcs(_) => "the service account that the credentials are of",
        Place::Azure(_) => "the identity, key or signature that is used",
        Place::Directory { .. } => "the user that workers run as",
    }
}

async fn open(config: &Config, prefix: &str) -> Result<Arc<dyn Storage>, Error> {
    let storage = storage::connect_for_one_try(config).await?;
    storage.probe(prefix, Access::Read).await?;
    Ok(storage)
}

fn unanswered(config: &Config, limit: Duration) -> Error {
    Error {
        kind: Kind::Unavailable,
        action: "listing",
        location: config.place.location(),
        reason: format!("no answer within {} s", limit.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn room_is_compared_with_the_database() {
        for (free, bytes, outcome) in [
            (7, Some(7), Outcome::Ok),
            (7, Some(8), Outcome::Warning),
            (7, None, Outcome::Ok),
        ] {
            assert_eq!(space(free, bytes).outcome, outcome);
        }
    }
}
