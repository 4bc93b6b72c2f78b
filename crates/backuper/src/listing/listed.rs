//! What one backup says of itself in a list.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::archive::Manifest;
use crate::archive::key::Published;
use crate::archive::manifest::Source;
use crate::catalog::{self, Backup, damage_of_published};
use crate::storage::{Object, Storage};

/// A backup as it stands in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its folder, or the key of a single object: what a restore takes for a revision.
    pub key: String,
    /// The database's plain name, by the key.
    #[serde(default)]
    pub database: String,
    /// When its run began, UTC.
    pub started_at: Timestamp,
    /// The moment whose data it holds, UTC; none: it does not say.
    pub snapshot_at: Option<Timestamp>,
    /// When all of it was verified, UTC; none: it does not say.
    pub verified_at: Option<Timestamp>,
    /// What it takes in the store.
    pub stored_bytes: u64,
    /// What pg_dump wrote; none: it does not say.
    pub dumped_bytes: Option<u64>,
    /// How many tables have rows in it; none: it does not say.
    pub tables: Option<u64>,
    /// The database that was backed up, `host:port/dbname`; none: it does not say.
    pub source: Option<String>,
    /// The server's version, such as `15.18`; none: it does not say.
    pub server_version: Option<String>,
    /// The backuper's version and pg_dump's; none: it does not say.
    pub made_by: Option<String>,
    /// The schedule whose backup it is, where its database has several.
    pub schedule: Option<String>,
    /// Which part of its database it has, in words; none: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// Why it cannot be restored; none: it can.
    pub problem: Option<String>,
    /// Whether it is pinned: no retention removes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
}

pub(super) async fn described(storage: &dyn Storage, backup: &Backup) -> Listed {
    let bare = bare(backup);
    match catalog::read_manifest(storage, &backup.folder).await {
        Ok(manifest) => with(bare, backup, &manifest),
        Err(error) => Listed {
            problem: Some(error.to_string()),
            ..bare
        },
    }
}

pub(super) fn with(bare: Listed, backup: &Backup, manifest: &Manifest) -> Listed {
    let streams = manifest.objects();
    let tables: usize = streams.clone().map(|it| it.tables.len()).sum();
    let version = &manifest.source.server_version;
    Listed {
        snapshot_at: Some(manifest.snapshot_at),
        verified_at: Some(manifest.finished_at),
        dumped_bytes: Some(streams.map(|it| it.raw_bytes).sum()),
        tables: u64::try_from(tables).ok().filter(|_| !manifest.is_hidden()),
        source: Some(place(&manifest.source)),
        // Debian says its own version behind it.
        server_version: version.split(' ').next().map(str::to_owned),
        made_by: Some(format!(
            "backuper {}, pg_dump {}",
            manifest.tools.backuper, manifest.tools.pg_dump
        )),
        part: manifest.part.as_ref().map(ToString::to_string),
        problem: backup.damage(manifest).map(|it| it.to_string()),
        ..bare
    }
}

fn place(source: &Source) -> String {
    let Source {
        host,
        port,
        database,
        ..
    } = source;
    format!("{host}:{port}/{database}")
}

pub(super) fn bare(backup: &Backup) -> Listed {
    Listed {
        key: backup.folder.prefix().trim_end_matches('/').to_owned(),
        database: backup.folder.database().to_owned(),
        started_at: backup.folder.started(),
        snapshot_at: None,
        verified_at: None,
        stored_bytes: backup.objects.iter().map(|it| it.size).sum(),
        dumped_bytes: None,
        tables: None,
        source: None,
        server_version: None,
        made_by: None,
        schedule: backup.schedule().map(str::to_owned),
        part: None,
        problem: None,
        pinned: backup.is_pinned(),
    }
}

pub(super) fn unfinished(backup: &Backup, now: Timestamp) -> Listed {
    let why = if backup.is_active(now) {
        "it is being made, or its run was cut short within the last half hour"
    } else {
        "its run did not end: there is no manifest"
    };
    Listed {
        problem: Some(why.to_owned()),
        ..bare(backup)
    }
}

pub(super) fn of_published(database: &str, published: &Published, object: &Object) -> Listed {
    Listed {
        key: object.key.clone(),
        database: database.to_owned(),
        started_at: published.started,
        snapshot_at: None,
        verified_at: None,
        stored_bytes: object.size,
        dumped_bytes: None,
        tables: None,
        source: None,
        server_version: None,
        made_by: Some(published.by.name().to_owned()),
        schedule: None,
        part: None,
        problem: damage_of_published(object),
        pinned: false,
    }
}
