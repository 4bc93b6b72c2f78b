//! The mark of a database that is half loaded, and what a load that was killed has left there.
//!
//! A schema stands in the database for as long as a load into an empty one lasts. Its comment names
//! the backup, so that the next restore knows what to take away, whichever backup it brings.

use std::sync::Arc;

use backuper::archive::Folder;
use backuper::catalog;
use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::storage::{Kind, Storage};
use backuper::text::sql::{literal, quote};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::archive::schema;
use crate::archive::toc::Toc;

/// The schema that stands in a database while it is half loaded.
pub const MARKER: &str = "oiler_restore_incomplete";

const BEFORE: &str = "The contents are not complete: a restore of ";
const AFTER: &str = " is under way here, or was cut short.";

/// The statements that set the mark.
#[must_use]
pub fn mark(folder: &Folder) -> String {
    let marker = quote(MARKER);
    let comment = literal(&format!("{BEFORE}{}{AFTER}", folder.prefix()));
    format!("CREATE SCHEMA {marker}; COMMENT ON SCHEMA {marker} IS {comment}")
}

/// The statement that takes the mark away.
#[must_use]
pub fn unmark() -> String {
    format!("DROP SCHEMA IF EXISTS {}", quote(MARKER))
}

/// What a load that was killed may have made in the target: the table of contents of its backup.
/// None where there is no mark.
///
/// # Errors
/// The mark says nothing of use, or the backup that it names is not in the store any more: then
/// nobody knows what is a half of what.
pub async fn left_by(
    session: &Client,
    target: &Target,
    storage: &Arc<dyn Storage>,
    stop: &CancellationToken,
) -> Result<Option<Toc>, Failure> {
    let found = session
        .query_opt(
            "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = $1",
            &[&MARKER],
        )
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let Some(row) = found else {
        return Ok(None);
    };
    let comment: String = row.get(0);
    let Some(folder) = named(&comment) else {
        return Err(Failure::refused(format!(
            "{target} holds a part of an unknown backup, as its schema {MARKER} says; drop the database and restore again"
        )));
    };
    let manifest = match catalog::read_manifest(storage.as_ref(), &folder).await {
        Ok(manifest) => manifest,
        Err(catalog::Error::Storage(error)) if error.kind == Kind::NotFound => {
            return Err(Failure::refused(format!(
                "{target} holds a part of {}, whose restore was cut short, and that backup is no longer in {}; drop the database and restore again",
                folder.prefix(),
                storage.location()
            )));
        }
        Err(catalog::Error::Storage(error)) => return Err(error.into()),
        Err(error) => return Err(Failure::refused(error.to_string())),
    };
    tracing::info!(key = %folder.prefix(), "what a restore that was cut short has left is taken away first");
    let schema = schema::fetch(storage, &folder, &manifest, stop).await?;
    Ok(Some(schema.toc))
}

fn named(comment: &str) -> Option<Folder> {
    let key = comment.strip_prefix(BEFORE)?.strip_suffix(AFTER)?;
    let (folder, _rest) = Folder::parse_key(key).ok()?;
    Some(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_names_its_backup() {
        let key = "it's a \"shop\"/2026-11-20-21-05-27-backup-1f3a9c0e/";
        let encoded = format!("{BEFORE}{key}{AFTER}");
        let folder = named(&encoded).map(|it| it.prefix());
        let direct = Folder::parse_key(key).ok().map(|(it, _)| it.prefix());
        assert_eq!(folder, direct);
        assert!(named("made by hand").is_none());
    }
}
