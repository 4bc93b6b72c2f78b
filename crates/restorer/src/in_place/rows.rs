//! All rows of a backup, on their way into our transaction in the order that [`rows`] says.
//!
//! An error ends a transaction, and psql would take the rows of a COPY that does not begin for
//! statements. So rows that were refused are not loaded again behind the others: all of it begins again,
//! with an order that cannot be better.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use backuper::archive::codec::Decoding;
use backuper::archive::{Folder, Manifest};
use backuper::runtime::Failure;
use tokio_util::sync::CancellationToken;

use super::Replacing;
use super::pipes::{taken_apart, whole};
use super::sections::failed;
use super::transaction::Transaction;
use crate::archive::binary::{Marker, Tables, TakenBy};
use crate::archive::head;
use crate::archive::rows::{self, Calls, Order, Place, Portion};
use crate::archive::toc::Toc;
use crate::archive::use_list::UseList;
use crate::feed::{self, Expected, Fed, Taking, feed};
use crate::target::columns;
use crate::target::unwritable::{self, Written};

/// The rows of one backup.
pub(super) struct Rows {
    streams: Vec<Expected>,
    folder: Option<(Folder, Manifest)>,
    calls: Calls,
    /// The tables whose rows may go in binary.
    large: Vec<String>,
    /// What the streams have, where that is known.
    archives: Option<Vec<Toc>>,
    cautious: bool,
}

impl Rows {
    /// Of one of our backups. Its streams are looked into only where that may make a difference.
    pub(super) async fn of(
        replacing: &Replacing<'_>,
        folder: &Folder,
        manifest: &Manifest,
        schema: &Toc,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        let streams = manifest.data();
        let mut rows = Self {
            streams: streams
                .map(|it| {
                    let decoding = Decoding::of(manifest, it, replacing.identities);
                    Expected::of(it, folder.key(&it.name), decoding)
                })
                .collect(),
            folder: Some((folder.clone(), manifest.clone())),
            calls: Calls::of(schema),
            large: columns::wanted(replacing.copy_format, manifest, schema, |it| {
                replacing.plan.keeps(it)
            }),
            archives: None,
            cautious: false,
        };
        let tables = manifest.data().flat_map(|it| &it.tables);
        if rows.calls.want_an_order(tables) {
            rows.look_into(replacing, stop).await?;
        }
        Ok(rows)
    }

    /// Of a single archive.
    pub(super) fn of_one(expected: Expected, toc: &Toc) -> Self {
        Self {
            streams: vec![expected],
            folder: None,
            calls: Calls::of(toc),
            large: Vec::new(),
            archives: Some(vec![toc.clone()]),
            cautious: false,
        }
    }

    async fn look_into(
        &mut self,
        replacing: &Replacing<'_>,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        if let (None, Some((folder, manifest))) = (&self.archives, &self.folder) {
            let storage = replacing.storage.as_ref();
            let identities = replacing.identities;
            let tocs = head::all(storage, folder, manifest, identities, stop).await?;
            self.archives = Some(tocs);
        }
        Ok(())
    }

    /// The tables of which there are some, as far as that is known beforehand, as a manifest writes them.
    pub(super) fn tables(&self) -> Vec<String> {
        if let Some((_, manifest)) = &self.folder {
            let all = manifest.data().flat_map(|it| &it.tables);
            return all.cloned().collect();
        }
        let archives = self.archives.iter().flatten();
        let entries = archives.flat_map(|it| &it.entries);
        entries
            .filter(|it| rows::is_rows(it))
            .map(rows::name)
            .collect()
    }

    /// Whether what was refused may be taken in another order.
    pub(super) fn have_another_order(&self) -> bool {
        let archives = self.archives.as_deref().unwrap_or_default();
        self.calls.call_functions() || !rows::configuration(&self.calls, archives).is_empty()
    }

    /// From here on, what may need others comes after them.
    pub(super) async fn be_cautious(
        &mut self,
        replacing: &Replacing<'_>,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        self.cautious = true;
        // What refuses them may be FREEZE: a function that leaves a cursor open is enough.
        self.large.clear();
        self.look_into(replacing, stop).await
    }

    /// Loads them; gives their bytes.
    pub(super) async fn load(
        &self,
        replacing: &Replacing<'_>,
        transaction: &mut Transaction,
        stop: &CancellationToken,
    ) -> Result<u64, Failure> {
        let left_out = self.left_out(transaction).await?;
        let order = match &self.archives {
            Some(archives) => Order::of(&self.calls, archives, &left_out, self.cautious),
            None => Order::any(self.streams.len()),
        };
        let archives = self.archives.as_deref().unwrap_or_default();
        let last = rows::in_turn(archives, &order.last);
        let made = self.made(transaction).await?;
        transaction.rows_begin();
        // What refers to each other within an extension may be allowed to for as long as a
        // transaction lasts.
        transaction.write("SET CONSTRAINTS ALL DEFERRED;\n").await?;
        let mut read: BTreeMap<usize, u64> = BTreeMap::new();
        let mut counted = BTreeMap::new();
        for portion in order.first.iter().chain(&order.then).chain(&last) {
            let archive = portion.archive;
            let again = read.contains_key(&archive);
            let places = left_out.iter().filter(|it| it.0 == archive);
            let numbers = places.map(|it| it.1).collect();
            let part = self.part(portion, numbers, again, made.as_ref())?;
            let Some(part) = part else { continue };
            let fed = part.load(replacing, transaction, stop).await?;
            read.insert(archive, fed.bytes);
            let rows = fed.rows.into_iter();
            counted.extend(rows.map(|(id, count)| ((archive, id), count)));
        }
        transaction
            .write("SET CONSTRAINTS ALL IMMEDIATE;\n")
            .await?;
        transaction.rows_end();
        unwritable::warn(replacing.target, archives, &left_out, &counted);
        Ok(read.values().sum())
    }

    /// The large tables, which the transaction has made.
    async fn made(&self, transaction: &mut Transaction) -> Result<Option<Made>, Failure> {
        if self.large.is_empty() {
            return Ok(None);
        }
        let answer = transaction.ask(&columns::query(&self.large)).await?;
        let marker = Marker::new();
        let tables = Tables {
            columns: columns::parse(&answer)?,
            taken_by: TakenBy::Psql(marker.clone()),
        };
        Ok(Some(Made {
            tables: Arc::new(tables),
            marker,
        }))
    }

    /// Asked within the transaction, which may have made the extension.
    async fn left_out(&self, transaction: &mut Transaction) -> Result<BTreeSet<Place>, Failure> {
        let archives = self.archives.as_deref().unwrap_or_default();
        let configuration = rows::configuration(&self.calls, archives);
        if configuration.is_empty() {
            return Ok(configuration);
        }
        let query = unwritable::query(archives, &configuration, Written::Replaced);
        let answer = transaction.ask(&query).await?;
        Ok(unwritable::places(&configuration, &answer))
    }

    fn part(
        &self,
        portion: &Portion,
        counted: BTreeSet<i64>,
        again: bool,
        made: Option<&Made>,
    ) -> Result<Option<Part<'_>>, Failure> {
        let Some(expected) = self.streams.get(portion.archive) else {
            return Ok(None);
        };
        let toc = self
            .archives
            .as_ref()
            .and_then(|it| it.get(portion.archive));
        let list = match (&portion.entries, toc) {
            (Some(entries), Some(toc)) => Some(UseList::of(toc, |it| entries.contains(&it.id))?),
            _ => None,
        };
        Ok(Some(Part {
            expected,
            made: made.filter(|_| list.is_none()).cloned(),
            list,
            counted,
            again,
        }))
    }
}

/// Tables whose rows may go in binary, and what is before such rows.
#[derive(Clone, Debug)]
struct Made {
    tables: Arc<Tables>,
    marker: Marker,
}

/// What one pg_restore writes.
struct Part<'a> {
    expected: &'a Expected,
    /// Its entries that are loaded; none: all of them.
    list: Option<UseList>,
    counted: BTreeSet<i64>,
    made: Option<Made>,
    /// Whether its stream has been read before, and its bytes have been counted.
    again: bool,
}

impl Part<'_> {
    async fn load(
        self,
        replacing: &Replacing<'_>,
        transaction: &mut Transaction,
        stop: &CancellationToken,
    ) -> Result<Fed, Failure> {
        let expected = self.expected;
        let mut arguments = vec!["--section=data".into()];
        arguments.extend(self.list.as_ref().map(UseList::argument));
        let mut child = replacing.pg_restore(&arguments, true)?;
        let sink = feed::sink(&mut child)?;
        let marker = self.made.as_ref().map(|it| &it.marker);
        let (pieces, copying) = taken_apart(&mut child, marker)?;
        let progress = if self.again {
            Arc::default()
        } else {
            Arc::clone(replacing.progress)
        };
        let progress = progress.stream();
        let taking = Taking {
            all: self.list.is_none(),
            counted: self.counted,
            progress: Arc::clone(&progress),
            binary: self.made.map(|it| it.tables),
        };
        let ending = stop.child_token();
        let feeding = feed(replacing.storage, expected, sink, taking, &ending);
        let pouring = async {
            let poured = transaction.take(pieces).await;
            if poured.is_err() {
                // Nobody needs the rest of the stream any more.
                ending.cancel();
            }
            poured
        };
        let (fed, poured, copied) = tokio::join!(feeding, pouring, copying);
        // psql knows best why it took no more, unless what it was given is damaged.
        if let Err(failure) = poured {
            child.stop().await;
            if !stop.is_cancelled()
                && let Err(damaged @ feed::Error::Damaged { .. }) =
                    feed::prove(replacing.storage, expected, stop).await
            {
                return Err(damaged.into());
            }
            return Err(failure);
        }
        match fed {
            Ok(fed) => {
                child.finish(stop).await.map_err(|error| failed(&error))?;
                whole(&expected.key, copied)?;
                progress.tables(expected.tables as u64);
                fed.tell(&expected.key);
                Ok(fed)
            }
            Err(feed::Error::Closed { .. }) => {
                child.finish(stop).await.map_err(|error| failed(&error))?;
                let key = &expected.key;
                Err(Failure::try_again(format!(
                    "{key}: pg_restore read only a part of it"
                )))
            }
            Err(error) => {
                child.stop().await;
                Err(error.into())
            }
        }
    }
}
