//! All rows of a backup: its streams side by side, and the indexes that can be built meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use backuper::archive::manifest::Stream;
use backuper::archive::{Folder, Manifest};
use backuper::runtime::Failure;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;

use super::indexes;
use super::restoring::{POST_DATA, Restoring};
use crate::archive::use_list::UseList;
use crate::diagnostics::Failed;
use crate::feed::Expected;

/// What is loaded at once.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) stream: &'a Stream,
    /// Its entries that are loaded; none: all of them.
    pub(super) list: Option<UseList>,
}

/// What is in the database when all rows are.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Their bytes.
    pub(super) bytes: u64,
    /// The entries of the schema that are done with.
    pub(super) built: BTreeSet<i64>,
    /// Those of them that failed.
    pub(super) failed: Vec<Failed>,
}

/// All streams, the largest first: the last to end decides.
pub(super) fn parts(manifest: &Manifest) -> Vec<Part<'_>> {
    let mut streams: Vec<&Stream> = manifest.data().collect();
    streams.sort_by_key(|it| std::cmp::Reverse(it.raw_bytes));
    let part = |stream| Part { stream, list: None };
    streams.into_iter().map(part).collect()
}

/// Loads them, as many at once as there are jobs; the first that fails stops the others. Of what comes
/// after the rows, `post_data` may be built meanwhile.
pub(super) async fn load(
    folder: &Folder,
    parts: &[Part<'_>],
    restoring: &Restoring<'_>,
    post_data: &BTreeSet<i64>,
) -> Result<Rows, Failure> {
    let stop = restoring.stop.child_token();
    let restoring = &Restoring {
        stop: &stop,
        ..*restoring
    };
    let turns = &Semaphore::new(restoring.loading.jobs);
    let unfinished = &AtomicUsize::new(parts.len());
    let mut under_way: FuturesUnordered<_> = parts
        .iter()
        .map(|part| async move {
            let _turn = turns.acquire().await;
            let key = folder.key(&part.stream.name);
            let expected = Expected::of(part.stream, key);
            let bytes = restoring.stream(part, &expected).await?;
            let early = early(restoring, part.stream, post_data, unfinished).await?;
            unfinished.fetch_sub(1, Ordering::Relaxed);
            Ok((bytes, early))
        })
        .collect();
    let (mut all, mut failure) = (Rows::default(), None);
    while let Some(ended) = under_way.next().await {
        match ended {
            Ok((bytes, mut early)) => {
                all.bytes += bytes;
                all.built.append(&mut early.built);
                all.failed.append(&mut early.failed);
            }
            Err(error) => {
                stop.cancel();
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(all), Err)
}

/// Builds what can be built of a stream's tables while others are at work.
async fn early(
    restoring: &Restoring<'_>,
    stream: &Stream,
    post_data: &BTreeSet<i64>,
    unfinished: &AtomicUsize,
) -> Result<Rows, Failure> {
    let mut early = Rows::default();
    for mut step in indexes::ready(&restoring.schema.toc, &stream.tables) {
        // All jobs share what is left.
        if restoring.loading.jobs == 1 || unfinished.load(Ordering::Relaxed) == 1 {
            break;
        }
        step.retain(|it| post_data.contains(it));
        let mut failed = restoring.entries(POST_DATA, 1, &step).await?;
        early.failed.append(&mut failed);
        early.built.append(&mut step);
    }
    if !early.built.is_empty() {
        tracing::info!(stream = %stream.name, entries = early.built.len(), "indexes of its tables are built");
    }
    Ok(early)
}
