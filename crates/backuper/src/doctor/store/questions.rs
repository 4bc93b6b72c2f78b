//! What is asked of a store that lets us in: whether it can be read and written, and what is left there.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;

use super::super::finding::{Finding, Findings, within};
use crate::archive::{Folder, Layout, SourceId};
use crate::catalog::{self, Listing, damage_of_published};
use crate::job::BackupSource;
use crate::runtime::Deadline;
use crate::storage::{Error, Storage, Survey};

/// How long each question may take.
const EACH: Duration = Duration::from_secs(4);

/// Whom to ask, and what for.
pub(super) struct Asking<'a> {
    pub(super) storage: &'a Arc<dyn Storage>,
    /// What goes on when nobody waits for it any more.
    pub(super) tidying: &'a TaskTracker,
    pub(super) source: Option<&'a BackupSource>,
    /// Where dumps in plain SQL lie.
    pub(super) layout: &'a Layout,
    /// What the keys of all that belongs to the database begin with; empty where none is checked.
    pub(super) prefix: String,
    /// The same from the root of the bucket, as permissions have it.
    pub(super) whole_prefix: String,
    pub(super) on_disk: bool,
    /// Who must be allowed what a backup does.
    pub(super) whom: &'static str,
    pub(super) end: Deadline,
}

impl Asking<'_> {
    /// Asks everything, side by side; gives how much room there is, where the store tells.
    pub(super) async fn all(&self, findings: &mut Findings) -> Option<u64> {
        let limit = EACH.min(self.end.left());
        let begun = Timestamp::now();
        let surveying = async {
            let surveyed = self.storage.survey(&self.prefix);
            let surveyed = tokio::time::timeout(limit, surveyed).await;
            (surveyed.unwrap_or_default(), Timestamp::now())
        };
        let listing = async {
            let listed = tokio::time::timeout(limit, self.list()).await;
            let listed = listed.unwrap_or_else(|_elapsed| {
                Err(Finding::unknown(format!(
                    "the backups were not listed within {} s",
                    limit.as_secs()
                )))
            });
            let read = match &listed {
                Ok(listing) => within(EACH, self.end, self.read(listing)).await,
                Err(finding) => finding.clone(),
            };
            (listed, read)
        };
        let writing = within(EACH, self.end, self.write());
        let ((survey, ended), (listed, read), write) = tokio::join!(surveying, listing, writing);
        findings.add("read", read);
        findings.add("write", write);
        findings.add("delete", self.delete());
        if !self.on_disk {
            let here = begun + ended.duration_since(begun) / 2;
            findings.add("clock", clock(here, survey));
        }
        findings.add(
            "leftovers",
            match &listed {
                Ok(listing) => leftovers(listing, survey, ended),
                Err(finding) => finding.clone(),
            },
        );
        survey.free
    }

    async fn list(&self) -> Result<Listing, Finding> {
        let Some(source) = self.source else {
            return Err(Finding::unknown("not tried, since no database is named"));
        };
        let listed = catalog::list(self.storage.as_ref(), &source.database, self.layout).await;
        listed.map_err(Finding::from)
    }

    /// Reads the newest manifest, as every restore does.
    async fn read(&self, listing: &Listing) -> Finding {
        let damaged = |what: &dyn std::fmt::Display| {
            Finding::warning(format!(
                "the newest backup cannot be restored: {what}; make another one"
            ))
        };
        let Some(newest) = listing.complete.first() else {
            let published = listing.published.first();
            return match published.and_then(|(_, object)| damage_of_published(object)) {
                Some(what) => damaged(&what),
                None => Finding::unknown("not tried, since there is no backup that could be read"),
            };
        };
        match catalog::read_manifest(self.storage.as_ref(), &newest.folder).await {
            Ok(manifest) => match newest.damage(&manifest) {
                Some(damage) => damaged(&damage),
                None => Finding::ok(format!(
                    "the newest of {} backups, of {}, says what it is made of, and all of it is there",
                    listing.complete.len(),
                    manifest.snapshot_at
                )),
            },
            Err(catalog::Error::Storage(error)) => error.into(),
            Err(error) => damaged(&error),
        }
    }

    /// Begins to write an object, and lets it be. To its end also where the store is slow and nobody
    /// waits for it any more: it would leave an upload.
    async fn write(&self) -> Finding {
        let Some(source) = self.source else {
            return Finding::unknown(
                "not tried, since no database is named: backups are written below its name alone",
            );
        };
        let (storage, key) = (Arc::clone(self.storage), key(source));
        let rehearsing = async move { storage.rehearse(&key).await };
        written(self.tidying.spawn(rehearsing).await)
    }

    fn delete(&self) -> Finding {
        let whom = self.whom;
        Finding::unknown(format!(
            "not tried, since it would change something; a backup deletes what retention finds too old, and before that the object by which it tries the store: allow it to {whom} below {:?}",
            self.whole_prefix
        ))
    }
}

/// A key such as a backup's, so that retention aborts what a crash would leave of it.
fn key(source: &BackupSource) -> String {
    let BackupSource {
        host,
        port,
        database,
    } = source;
    let source = SourceId::of_name(host, *port, database);
    Folder::new(database, Timestamp::now(), source).key("check")
}

fn written(rehearsed: Result<Result<(), Error>, JoinError>) -> Finding {
    match rehearsed {
        Ok(Ok(())) => Finding::ok("an upload was begun and aborted; no object was made"),
        Ok(Err(error)) => error.into(),
        Err(ended) => Finding::unknown(format!("trying it ended in the middle: {ended}")),
    }
}

fn clock(here: Timestamp, survey: Survey) -> Finding {
    match survey.clock {
        Some(there) => Finding::of_clocks(here, there, "the store's"),
        None => Finding::unknown("the store does not tell what time it has"),
    }
}

/// What runs that crashed have left, which the next backup's retention removes.
fn leftovers(listing: &Listing, survey: Survey, now: Timestamp) -> Finding {
    let now = survey.clock.unwrap_or(now);
    let all = &listing.incomplete;
    let active = all.iter().filter(|it| it.is_active(now)).count();
    let abandoned = all.iter().filter(|it| it.is_abandoned(now)).count();
    let uploads = survey.uploads.map_or_else(
        || "unfinished uploads, which the store does not list".to_owned(),
        |it| format!("{it} unfinished uploads"),
    );
    if all.is_empty() && survey.uploads == Some(0) {
        return Finding::ok("no run has left anything");
    }
    let found = format!(
        "{} folders of this database without a manifest ({active} of them are being written), and {uploads}",
        all.len()
    );
    if abandoned == 0 {
        return Finding::ok(found);
    }
    Finding::warning(format!(
        "{found}; {abandoned} are older than a day: the next backup of this database removes them where it may delete"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::super::Outcome;
    use super::*;

    #[tokio::test]
    async fn a_write_that_ends_in_the_middle_has_not_succeeded() {
        let panicking = tokio::spawn(async { panic!("out of paper") });
        let finding = written(panicking.await);
        assert_eq!(finding.outcome, Outcome::Unknown);
        assert!(finding.sentence.contains("out of paper"), "{finding:?}");
    }
}
