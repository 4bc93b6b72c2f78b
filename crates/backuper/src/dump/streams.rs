//! All streams of a backup side by side: how many, whose turn it is to be read, and what stops them.

use futures::future::{FusedFuture as _, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::archive::manifest::{Content, Stream};
use crate::dump::queue::{Queue, Turn};
use crate::dump::{Beginning, Dump, Part};
use crate::postgres::snapshot::Snapshot;
use crate::runtime::Failure;

/// Threads of each stream that compress beside its own. One pays only where cores would idle
/// otherwise: pg_dump and its server process want one each.
#[must_use]
pub fn threads(cores: usize, streams: usize) -> u32 {
    match cores / streams.max(1) {
        0..4 => 0,
        spare => u32::try_from(spare / 2).unwrap_or(0),
    }
}

/// Stores all streams, in their order; `jobs` of them are read at once. The first that fails stops
/// the others.
///
/// # Errors
/// Why the first one failed.
pub async fn store(
    dump: &Dump,
    parts: &[Part],
    snapshot: &Snapshot,
    jobs: u16,
    stop: &CancellationToken,
) -> Result<Vec<Stream>, Failure> {
    let stop = stop.child_token();
    let (queue, mut turns) = turns(parts, jobs);
    let mut under_way: FuturesUnordered<_> = parts
        .iter()
        .enumerate()
        .map(|(number, part)| {
            let (stop, turn) = (&stop, turns[number].take());
            async move { (number, checked(dump, part, snapshot, turn, stop).await) }
        })
        .collect();
    let mut done: Vec<(usize, Stream)> = Vec::with_capacity(parts.len());
    let mut failure = None;
    let calling = queue.call().fuse();
    tokio::pin!(calling);
    loop {
        let next = tokio::select! {
            next = under_way.next() => next,
            () = &mut calling, if !calling.is_terminated() => continue,
        };
        let Some((number, ended)) = next else { break };
        match ended {
            Ok(stream) => {
                tracing::info!(
                    key = %stream.key, raw = stream.raw_bytes, stored = stream.stored_bytes,
                    "a stream is stored and verified"
                );
                done.push((number, stream));
            }
            Err(error) => {
                stop.cancel();
                // The others fail because this one did.
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None => {
            done.sort_by_key(|(number, _)| *number);
            Ok(done.into_iter().map(|(_, stream)| stream).collect())
        }
    }
}

/// A turn for each stream of rows, the largest first: the last to end decides.
fn turns(parts: &[Part], jobs: u16) -> (Queue, Vec<Option<Turn>>) {
    let mut largest: Vec<(u64, usize)> = parts
        .iter()
        .enumerate()
        .filter(|(_, part)| part.content != Content::Schema)
        .map(|(number, part)| (part.tables.iter().map(|it| it.bytes).sum(), number))
        .collect();
    largest.sort_unstable_by_key(|(bytes, number)| (std::cmp::Reverse(*bytes), *number));
    let (queue, called) = Queue::new(largest.len(), usize::from(jobs));
    let mut turns: Vec<Option<Turn>> = parts.iter().map(|_| None).collect();
    for ((_, number), turn) in largest.into_iter().zip(called) {
        turns[number] = Some(turn);
    }
    (queue, turns)
}

/// One stream, and the proof that its tables are those of the snapshot.
async fn checked(
    dump: &Dump,
    part: &Part,
    snapshot: &Snapshot,
    turn: Option<Turn>,
    stop: &CancellationToken,
) -> Result<Stream, Failure> {
    let (locked, heard) = oneshot::channel();
    let check = async {
        match heard.await {
            Ok(()) => snapshot.check(&part.tables, &dump.target).await,
            // It ended before its first byte, and says so itself.
            Err(_dropped) => Ok(()),
        }
    };
    let (stream, check) = tokio::join!(dump.stream(part, Beginning { locked, turn }, stop), check);
    let stream = stream?;
    check?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU16;

    use crate::runtime::parallelism::jobs;

    #[test]
    fn streams_and_threads_are_what_the_cores_bear() {
        assert_eq!([1, 2, 4, 64].map(|cores| jobs(None, cores)), [1, 2, 4, 4]);
        assert_eq!(jobs(NonZeroU16::new(7), 2), 7);
        let threads = |cores| threads(cores, usize::from(jobs(None, cores)));
        assert_eq!([1, 2, 8, 16, 32].map(threads), [0, 0, 0, 2, 4]);
    }
}
