//! All rows of a backup: its streams side by side, and the indexes that can be built meanwhile; what
//! may need others' rows in the order that [`rows`] says.
//!
//! pg_restore does not say with which SQLSTATE rows were refused, and words may be of any language. So
//! what decides whether others' rows may have been missing is what the table calls: rows of a table
//! that calls nothing end the load at once. Others are loaded again after the rest, for as long as that
//! helps. A COPY that fails leaves no row behind, so nothing has to be emptied before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backuper::archive::codec::Decoding;
use backuper::archive::manifest::Stream;
use backuper::archive::{Folder, Manifest};
use backuper::postgres;
use backuper::progress::Progress;
use backuper::runtime::Failure;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Semaphore;

use super::indexes;
use super::restoring::{Arrived, POST_DATA, Restoring};
use crate::archive::binary::Tables;
use crate::archive::head;
use crate::archive::rows::{self, Calls, Order, Place, Portion};
use crate::archive::toc::Toc;
use crate::archive::use_list::UseList;
use crate::diagnostics::Failed;
use crate::feed::Expected;
use crate::target::tolerant::few;
use crate::target::unwritable::{self, Written};

/// What one pg_restore loads.
#[derive(Debug)]
pub(super) struct Part<'a> {
    stream: &'a Stream,
    archive: usize,
    pub(super) expected: Expected,
    /// Its entries that are loaded; none: all of them.
    pub(super) list: Option<UseList>,
    /// The entries whose rows are only counted.
    pub(super) counted: BTreeSet<i64>,
    pub(super) mode: Mode,
    /// What its bytes count into: a stream that is read again has been counted.
    pub(super) progress: Arc<Progress>,
    /// The tables whose rows are made binary.
    pub(super) binary: Option<Arc<Tables>>,
}

/// What happens when rows are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It ends.
    Ends,
    /// It goes on with the next table.
    GoesOn,
    /// It ends, and leaves no row behind.
    OneTransaction,
}

impl Part<'_> {
    /// Another one of a stream that is counted where it is read as a whole.
    fn again(&mut self) {
        self.mode = Mode::GoesOn;
        self.progress = Arc::default();
        self.counted.clear();
        self.binary = None;
    }
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

/// Loads all rows. Of what comes after them, `post_data` may be built meanwhile.
pub(super) async fn load(
    (folder, manifest): (&Folder, &Manifest),
    restoring: &Restoring<'_>,
    post_data: &BTreeSet<i64>,
    made: Arc<Tables>,
) -> Result<Rows, Failure> {
    let mut rows = Loader {
        folder,
        manifest,
        restoring,
        calls: Calls::of(&restoring.schema.toc),
        archives: None,
        left_out: BTreeSet::new(),
        counted: BTreeMap::new(),
        made,
    };
    rows.load(post_data).await
}

struct Loader<'a> {
    folder: &'a Folder,
    manifest: &'a Manifest,
    restoring: &'a Restoring<'a>,
    calls: Calls,
    /// What the streams have, once somebody wanted to know it.
    archives: Option<Vec<Toc>>,
    /// What our role may not write.
    left_out: BTreeSet<Place>,
    counted: BTreeMap<Place, u64>,
    /// Tables that this load has made.
    made: Arc<Tables>,
}

/// Rows that were refused.
#[derive(Debug)]
struct Refused {
    place: Place,
    failed: Failed,
}

impl<'a> Loader<'a> {
    async fn load(&mut self, post_data: &BTreeSet<i64>) -> Result<Rows, Failure> {
        let order = self.order().await?;
        let mut waiting = order.last;
        let first = self.in_turn(order.first).await?;
        let (mut rows, refused) = self.side_by_side(&order.then, &waiting, post_data).await?;
        let mut refused: Vec<Refused> = first.into_iter().chain(refused).collect();
        waiting.extend(refused.iter().map(|it| it.place));
        if !refused.is_empty() {
            tell(&refused);
        }
        // Each round but the last has fewer of them.
        while !waiting.is_empty() {
            self.archives().await?;
            refused = self.round(&waiting).await?;
            match refused.first() {
                Some(Refused { failed, .. }) if refused.len() >= waiting.len() => {
                    return Err(Failure::try_again(format!(
                        "restoring {}: {}",
                        failed.entry, failed.reason
                    )));
                }
                _ => waiting = refused.iter().map(|it| it.place).collect(),
            }
        }
        rows.bytes = self.manifest.data().map(|it| it.raw_bytes).sum();
        if let Some(archives) = &self.archives {
            let target = self.restoring.loading.target;
            unwritable::warn(target, archives, &self.left_out, &self.counted);
        }
        Ok(rows)
    }

    /// Loads what waits, configuration tables first. These may refer to each other in a circle that is
    /// checked at the end of a transaction, so it is one that they are loaded in.
    async fn round(&mut self, waiting: &BTreeSet<Place>) -> Result<Vec<Refused>, Failure> {
        let archives = self.archives.as_deref().unwrap_or_default();
        let configuration = rows::configuration(&self.calls, archives);
        let (together, others): (BTreeSet<Place>, BTreeSet<Place>) =
            waiting.iter().partition(|it| configuration.contains(it));
        let together = rows::in_turn(archives, &together);
        let others = rows::in_turn(archives, &others);
        for portion in together {
            if let Some(mut part) = self.part(&portion)? {
                part.again();
                part.mode = Mode::OneTransaction;
                self.restoring.stream(&part).await?;
            }
        }
        self.in_turn(others).await
    }

    /// What comes before what. The streams are looked into only where that may make a difference.
    async fn order(&mut self) -> Result<Order, Failure> {
        let tables = self.manifest.data().flat_map(|it| &it.tables);
        if !self.calls.want_an_order(tables) {
            return Ok(Order::any(self.manifest.data().count()));
        }
        self.archives().await?;
        let archives = self.archives.as_deref().unwrap_or_default();
        let configuration = rows::configuration(&self.calls, archives);
        if !configuration.is_empty() {
            let loading = self.restoring.loading;
            let query = unwritable::query(archives, &configuration, Written::Filled);
            let answer = loading.session.query_one(&query, &[]).await;
            let answer = answer
                .map_err(|error| postgres::Error::new("examining", loading.target, &error))?;
            self.left_out = unwritable::places(&configuration, answer.get(0));
        }
        Ok(Order::of(&self.calls, archives, &self.left_out, false))
    }

    async fn archives(&mut self) -> Result<&[Toc], Failure> {
        if self.archives.is_none() {
            let Restoring { loading, stop, .. } = self.restoring;
            let storage = loading.storage.as_ref();
            let keys = loading.identities;
            let tocs = head::all(storage, self.folder, self.manifest, keys, stop).await?;
            self.archives = Some(tocs);
        }
        Ok(self.archives.as_deref().unwrap_or_default())
    }

    /// Loads one portion after the other; gives what was refused.
    async fn in_turn(&mut self, portions: Vec<Portion>) -> Result<Vec<Refused>, Failure> {
        let mut all = Vec::new();
        for portion in portions {
            let archive = portion.archive;
            let Some(mut part) = self.part(&portion)? else {
                continue;
            };
            part.again();
            let arrived = self.restoring.stream(&part).await?;
            all.extend(self.refused(archive, arrived.refused).await?);
        }
        Ok(all)
    }

    /// Loads as many streams at once as there are jobs, the largest first: the last to end decides. The
    /// first that fails stops the others.
    async fn side_by_side(
        &mut self,
        portions: &[Portion],
        later: &BTreeSet<Place>,
        post_data: &BTreeSet<i64>,
    ) -> Result<(Rows, Vec<Refused>), Failure> {
        let parts = portions.iter().filter_map(|it| self.part(it).transpose());
        let mut parts: Vec<Part<'_>> = parts.collect::<Result<_, _>>()?;
        parts.sort_by_key(|it| std::cmp::Reverse(it.stream.raw_bytes));
        let stop = self.restoring.stop.child_token();
        let restoring = &Restoring {
            stop: &stop,
            ..*self.restoring
        };
        let turns = &Semaphore::new(restoring.loading.jobs);
        let unfinished = &AtomicUsize::new(parts.len());
        let this = &*self;
        let mut under_way: FuturesUnordered<_> = parts
            .iter()
            .map(|part| async move {
                let _turn = turns.acquire().await;
                let arrived = restoring.stream(part).await?;
                let missing = this.missing(part, later, &arrived);
                let early = early(restoring, part.stream, &missing, post_data, unfinished).await?;
                unfinished.fetch_sub(1, Ordering::Relaxed);
                Ok((part.archive, arrived, early))
            })
            .collect();
        let (mut all, mut refused, mut failure) = (Rows::default(), Vec::new(), None);
        let mut counted = BTreeMap::new();
        while let Some(ended) = under_way.next().await {
            match ended {
                Ok((archive, arrived, mut early)) => {
                    let rows = arrived.counted.into_iter();
                    counted.extend(rows.map(|(id, count)| ((archive, id), count)));
                    refused.push((archive, arrived.refused));
                    all.built.append(&mut early.built);
                    all.failed.append(&mut early.failed);
                }
                Err(error) => {
                    stop.cancel();
                    failure.get_or_insert(error);
                }
            }
        }
        drop(under_way);
        if let Some(failure) = failure {
            return Err(failure);
        }
        drop(parts);
        self.counted = counted;
        let mut found = Vec::new();
        for (archive, failed) in refused {
            found.extend(self.refused(archive, failed).await?);
        }
        Ok((all, found))
    }

    fn part(&self, portion: &Portion) -> Result<Option<Part<'a>>, Failure> {
        let archive = portion.archive;
        let Some(stream) = self.manifest.data().nth(archive) else {
            return Ok(None);
        };
        let toc = self.archives.as_ref().and_then(|it| it.get(archive));
        let list = match (&portion.entries, toc) {
            (Some(entries), Some(toc)) => Some(UseList::of(toc, |it| entries.contains(&it.id))?),
            _ => None,
        };
        let left_out = self.left_out.iter().filter(|it| it.0 == archive);
        let identities = self.restoring.loading.identities;
        let decoding = Decoding::of(self.manifest, stream, identities);
        let mode = if stream.tables.iter().any(|it| self.calls.may_be_refused(it)) {
            Mode::GoesOn
        } else {
            Mode::Ends
        };
        let binary = list.is_none() && !self.made.columns.is_empty();
        Ok(Some(Part {
            stream,
            archive,
            expected: Expected::of(stream, self.folder.key(&stream.name), decoding),
            list,
            counted: left_out.map(|it| it.1).collect(),
            mode,
            binary: binary.then(|| Arc::clone(&self.made)),
            progress: Arc::clone(self.restoring.loading.progress),
        }))
    }

    /// The tables of a part whose rows are not there yet; of those that were refused, all that might
    /// be meant.
    fn missing(
        &self,
        part: &Part<'_>,
        later: &BTreeSet<Place>,
        arrived: &Arrived,
    ) -> BTreeSet<String> {
        let stream = part.stream;
        let Some(toc) = self.archives.as_ref().and_then(|it| it.get(part.archive)) else {
            let refused = !arrived.refused.is_empty();
            let tables = stream
                .tables
                .iter()
                .filter(|it| refused && self.calls.may_be_refused(it));
            return tables.cloned().collect();
        };
        let refused: BTreeSet<i64> = arrived.refused.iter().filter_map(|it| it.number).collect();
        let entries = toc.entries.iter();
        entries
            .filter(|it| refused.contains(&it.id) || later.contains(&(part.archive, it.id)))
            .map(rows::name)
            .collect()
    }

    /// What was refused, where that may be for want of others' rows.
    async fn refused(
        &mut self,
        archive: usize,
        failed: Vec<Failed>,
    ) -> Result<Vec<Refused>, Failure> {
        if failed.is_empty() {
            return Ok(Vec::new());
        }
        self.archives().await?;
        let archives = self.archives.as_deref().unwrap_or_default();
        let refused = failed.into_iter().map(|failed| {
            let place = (archive, failed.number.unwrap_or_default());
            let entry = rows::entry(archives, place);
            let entry = entry.filter(|it| rows::is_rows(it));
            if entry.is_some_and(|it| self.calls.may_be_refused(&rows::name(it))) {
                return Ok(Refused { place, failed });
            }
            Err(Failure::try_again(format!(
                "restoring {}: {}",
                failed.entry, failed.reason
            )))
        });
        refused.collect()
    }
}

fn tell(refused: &[Refused]) {
    let named = refused
        .iter()
        .map(|Refused { failed, .. }| format!("{} ({})", failed.entry, failed.reason));
    tracing::warn!(
        "rows were refused: {}; their tables call functions, which may read other tables, so they are loaded again after all others, one after the other in pg_dump's order",
        few(named)
    );
}

/// Builds what can be built of a stream's tables while others are at work.
async fn early(
    restoring: &Restoring<'_>,
    stream: &Stream,
    missing: &BTreeSet<String>,
    post_data: &BTreeSet<i64>,
    unfinished: &AtomicUsize,
) -> Result<Rows, Failure> {
    let mut early = Rows::default();
    let loaded = stream.tables.iter().filter(|it| !missing.contains(*it));
    let loaded: Vec<String> = loaded.cloned().collect();
    for mut step in indexes::ready(&restoring.schema.toc, &loaded) {
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
