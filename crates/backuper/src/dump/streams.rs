//! All streams of a backup side by side: how many, whose turn it is to be read, and what stops them.

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio_util::sync::CancellationToken;

use super::Dump;
use super::explain::Questions;
use super::pump::{Ready, Share};
use super::queue::{Queue, Turn};
use super::start::Started;
use super::unlocked::Watched;
use crate::archive::manifest::{Content, Stream};
use crate::postgres::Session;
use crate::runtime::{Failure, parallelism};

/// Threads of each stream that compress beside its own. One pays only where cores would idle
/// otherwise: pg_dump and its server process want one each.
fn threads(cores: usize, streams: usize) -> u32 {
    match cores / streams.max(1) {
        0..4 => 0,
        spare => u32::try_from(spare / 2).unwrap_or(0),
    }
}

/// Threads of the one stream in gzip: it is slower than pg_dump on every machine, so each core helps.
fn threads_of_gzip(cores: usize) -> u32 {
    const MOST: usize = 8;
    u32::try_from(cores.min(MOST)).unwrap_or(1)
}

/// Stores all streams, in their order; `jobs` of them are read at once. The first that fails stops
/// the others.
///
/// # Errors
/// Why the first one failed.
pub async fn store(
    dump: &Dump,
    started: Started,
    witness: &Session,
    jobs: u16,
    stop: &CancellationToken,
) -> Result<Vec<Stream>, Failure> {
    let stop = stop.child_token();
    let (streams, before) = (started.streams, started.unlocked);
    let watched = Watched { before, witness };
    let queue = Queue::new(jobs);
    let mut turns = turns(&streams, &queue).await;
    let cores = parallelism::cores();
    let (mut data_streams, mut script) = (0_usize, false);
    for part in streams.iter().map(Ready::part) {
        data_streams += usize::from(part.content != Content::Schema);
        script |= part.content == Content::Script;
    }
    let threads = if script {
        threads_of_gzip(cores)
    } else {
        threads(cores, data_streams.min(usize::from(jobs)))
    };
    let count = streams.len();
    let mut under_way: FuturesUnordered<_> = streams
        .into_iter()
        .enumerate()
        .map(|(number, stream)| {
            let (stop, watched, turn) = (&stop, &watched, turns[number].take());
            let share = Share { threads, turn };
            async move { (number, stream.store(dump, share, Some(watched), stop).await) }
        })
        .collect();
    let mut done: Vec<(usize, Stream)> = Vec::with_capacity(count);
    let mut failure = None;
    while let Some((number, ended)) = under_way.next().await {
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
                queue.close();
                // The others fail because this one did.
                failure.get_or_insert(error);
            }
        }
    }
    match failure {
        Some(error) => Err(Questions { dump, witness }.explain(error).await),
        None => {
            done.sort_by_key(|(number, _)| *number);
            Ok(done.into_iter().map(|(_, stream)| stream).collect())
        }
    }
}

/// A turn for each stream of rows, the largest first: the last to end decides.
async fn turns(streams: &[Ready], queue: &Queue) -> Vec<Option<Turn>> {
    let mut largest: Vec<(u64, usize, u16)> = streams
        .iter()
        .map(Ready::part)
        .enumerate()
        .filter(|(_, part)| part.content != Content::Schema)
        .map(|(number, part)| (part.bytes() + part.large_objects, number, part.sessions))
        .collect();
    largest.sort_unstable_by_key(|(bytes, number, _)| (std::cmp::Reverse(*bytes), *number));
    let mut turns: Vec<Option<Turn>> = streams.iter().map(|_| None).collect();
    for (_, number, sessions) in largest {
        turns[number] = Some(queue.take(sessions).await);
    }
    turns
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
