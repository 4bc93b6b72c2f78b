//! Which data streams a dump has and which tables each takes: sizes in, plan out.
//!
//! Every stream is a pg_dump of its own, and every pg_dump reads the whole catalogue. So a stream
//! is added only where it shortens the longest one by more than it costs, and a table gets out of
//! the common stream only when it is large. There are more streams than are read at once where that
//! pays: what the store does at the end of an object passes while the next one is read.

mod split;

use std::fmt;
use std::str::FromStr;

use crate::postgres::Target;
use crate::postgres::snapshot::Table;

pub use split::Split;

/// What reading the catalogue costs a stream, in bytes of rows that could have been dumped
/// meanwhile: a fixed part, and one for each table. 100 MB/s and 0.3 ms a table, as measured on
/// PostgreSQL 15 with 5,000 tables.
const STREAM_COST: u64 = 8 << 20;
const TABLE_COST: u64 = 32 << 10;

/// A table that is smaller stays in the common stream.
const LARGE: u64 = 8 << 20;

/// Streams with fewer bytes stay with pg_dump.
const WORTH_A_COPY: u64 = 32 << 20;

/// What the end of an object costs, as a part of its rows' bytes: a store puts its parts together, and
/// nobody reads rows meanwhile when it is the last. versitygw takes a quarter to a third.
const FINISHING: u64 = 4;

/// What rows cost more that pg_dump reads and a COPY of ours could, as a part of their bytes: an eighth of the time of
/// a backup of *mixed* (docs/performance.md).
const MORE_BY_PG_DUMP: u64 = 8;

/// Streams for each one that is read: more are more programs that wait, each with a connection.
const STREAMS_PER_JOB: usize = 2;

/// How many tables leave the common stream at most: each is an argument of two programs.
const LARGE_TABLES: usize = 512;

/// Who reads the rows of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// COPYs of our own those of large tables, and pg_dump all others.
    #[default]
    Auto,
    /// COPYs of our own those of small tables too.
    Copy,
    /// pg_dump all.
    PgDump,
}

const READINGS: [(Reading, &str); 3] = [
    (Reading::Auto, "auto"),
    (Reading::Copy, "copy"),
    (Reading::PgDump, "pg_dump"),
];

impl fmt::Display for Reading {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = READINGS.iter().find(|(reading, _)| reading == self);
        formatter.write_str(word.map_or("auto", |(_, word)| word))
    }
}

impl FromStr for Reading {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        READINGS
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(reading, _)| *reading)
            .ok_or_else(|| "one of auto, copy and pg_dump is needed".to_owned())
    }
}

impl Reading {
    /// As it is for a server: over a Unix socket, tokio-postgres lets us take no rows out.
    pub(crate) fn of(self, target: &Target) -> Self {
        if target.is_by_socket() {
            Self::PgDump
        } else {
            self
        }
    }

    /// From how many bytes on a table leaves the common stream.
    fn large(self) -> u64 {
        match self {
            Self::Auto | Self::PgDump => LARGE,
            Self::Copy => 1,
        }
    }

    /// Whether a COPY of our own reads a stream of so many bytes that has large tables alone. It costs a
    /// session, and what pg_dump has begun.
    pub(super) fn is_by_copy(self, bytes: u64) -> bool {
        match self {
            Self::Auto => bytes >= WORTH_A_COPY,
            Self::Copy => true,
            Self::PgDump => false,
        }
    }
}

/// Who takes what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything that no other stream takes: tables, sequences, large objects.
    pub rest: Vec<Table>,
    /// The tables of each further stream, largest first; none is empty.
    pub streams: Vec<Vec<Table>>,
    /// How many sessions read each of them.
    pub sessions: Vec<u16>,
}

/// How rows are read.
#[derive(Clone, Copy, Debug)]
struct Terms {
    jobs: usize,
    reading: Reading,
    split: Split,
    /// Bytes of all streams.
    all: u64,
}

impl Terms {
    /// How many sessions read a stream of these tables.
    fn sessions<'a>(&self, tables: impl Iterator<Item = &'a Table> + Clone) -> usize {
        if !self
            .reading
            .is_by_copy(tables.clone().map(|it| it.bytes).sum())
        {
            return 1;
        }
        let mut split = tables.filter(|it| self.split.takes(it.of_trusted_owner));
        split.next().map_or(1, |largest| {
            self.split.sessions(largest.bytes, self.all, self.jobs)
        })
    }
}

/// Distributes the tables over streams of which `jobs` are read at once: one where that is one, two
/// for each at most, and no more than there may be `programs` that dump rows. The common stream has what only
/// pg_dump knows, so tables whose rows a COPY of ours is to read are in others, where that pays: one job
/// may have two streams then.
#[must_use]
pub fn distribute(
    mut tables: Vec<Table>,
    jobs: u16,
    programs: usize,
    (reading, split): (Reading, Split),
    large_objects: u64,
) -> Plan {
    let overhead = STREAM_COST + TABLE_COST * tables.len() as u64;
    // By size, and by name among equals, so that the same database gives the same plan.
    tables.sort_by(|a, b| {
        let size = b.bytes.cmp(&a.bytes);
        size.then_with(|| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)))
    });
    let (large, small): (Vec<Table>, Vec<Table>) = tables
        .into_iter()
        .partition(|it| it.bytes >= reading.large() && !it.of_extension);
    let mut large = large;
    let overflow = large.split_off(large.len().min(LARGE_TABLES));
    let small: Vec<Table> = small.into_iter().chain(overflow).collect();
    let common = small.iter().map(|it| it.bytes).sum::<u64>() + large_objects;
    let jobs = usize::from(jobs.max(1));
    let all: u64 = large.iter().map(|it| it.bytes).sum();
    let by_copy = reading.is_by_copy(all);
    let most = match jobs {
        1 => 1 + usize::from(by_copy),
        jobs => jobs * STREAMS_PER_JOB,
    };
    let most = most.min(programs).clamp(1, large.len() + 1);
    let may_be = |(count, apart): &(usize, bool)| match reading {
        Reading::PgDump => !apart,
        Reading::Auto => !apart || *count > 1,
        Reading::Copy => most == 1 || (*apart && *count > 1),
    };
    let terms = |split| Terms {
        jobs,
        reading,
        split,
        all: common + all,
    };
    // One session for each where several are no faster.
    let splits = match split {
        Split::Auto | Split::AnyOwner => vec![Split::Never, split],
        Split::Always | Split::Never => vec![split],
    };
    let best = (1..=most)
        .flat_map(|count| [(count, false), (count, true)])
        .filter(may_be)
        .map(|(count, apart)| (count, assign(&large, common, count, apart)))
        .flat_map(|(count, bins)| splits.iter().map(move |it| (count, bins.clone(), *it)))
        .min_by_key(|(count, bins, split)| {
            let loads = loads(&large, common, bins, *count).into_iter().enumerate();
            let loads = loads.map(|(bin, bytes)| {
                let its = large.iter().zip(bins).filter(|(_, it)| **it == bin);
                let sessions = terms(*split).sessions(its.map(|(it, _)| it));
                (bytes, if bin == 0 { 1 } else { sessions })
            });
            let more = if by_copy {
                left_to_pg_dump(&large, bins, *count, reading) / MORE_BY_PG_DUMP
            } else {
                0
            };
            duration(loads.collect(), jobs) + overhead * *count as u64 + more
        });
    let (bins, split) = best.map_or((Vec::new(), split), |(_, bins, split)| (bins, split));
    let mut plan = gather(large, small, &bins);
    // What they need beside a program for each stream, as long as there is room.
    let mut room = programs.saturating_sub(plan.streams.len() + 1);
    let sessions = plan.streams.iter().map(|tables| {
        let more = (terms(split).sessions(tables.iter()) - 1).min(room);
        room -= more;
        u16::try_from(more).map_or(u16::MAX, |it| it.saturating_add(1))
    });
    plan.sessions = sessions.collect();
    plan
}

/// Bytes of large tables in the common stream, and in others that no COPY reads.
fn left_to_pg_dump(large: &[Table], bins: &[usize], count: usize, reading: Reading) -> u64 {
    let streams = loads(large, 0, bins, count).into_iter().enumerate();
    let left = streams.filter(|(bin, bytes)| *bin == 0 || !reading.is_by_copy(*bytes));
    left.map(|(_, bytes)| bytes).sum()
}

/// Longest processing time first: each table, largest first, to the stream with the least so far.
/// Stream 0 is the common one and begins with all that is small; with `apart` it takes nothing else.
fn assign(large: &[Table], common: u64, count: usize, apart: bool) -> Vec<usize> {
    let mut loads = vec![0; count];
    if let Some(first) = loads.first_mut() {
        *first = common;
    }
    let mut bins = Vec::with_capacity(large.len());
    for table in large {
        // Of equal ones the last: the common stream is never a COPY's.
        let least = (usize::from(apart)..count)
            .rev()
            .min_by_key(|it| loads[*it])
            .unwrap_or(0);
        loads[least] += table.bytes;
        bins.push(least);
    }
    bins
}

fn loads(large: &[Table], common: u64, bins: &[usize], count: usize) -> Vec<u64> {
    let mut loads = vec![0; count];
    if let Some(first) = loads.first_mut() {
        *first = common;
    }
    for (table, bin) in large.iter().zip(bins) {
        loads[*bin] += table.bytes;
    }
    loads
}

/// When the last object is finished, in bytes of rows that a session reads: the largest first, each with so many
/// sessions as soon as these are free, which they are when its rows are read.
fn duration(mut loads: Vec<(u64, usize)>, jobs: usize) -> u64 {
    loads.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let mut free = vec![0; jobs];
    let mut last = 0;
    for (bytes, sessions) in loads {
        free.sort_unstable();
        let sessions = sessions.clamp(1, jobs.max(1));
        let mut taken = free.iter_mut().take(sessions);
        let begun = taken.next_back().map_or(0, |it| *it);
        let read = begun + bytes / sessions as u64;
        free.iter_mut().take(sessions).for_each(|it| *it = read);
        last = last.max(read + bytes / FINISHING);
    }
    last
}

fn gather(large: Vec<Table>, small: Vec<Table>, bins: &[usize]) -> Plan {
    let count = bins.iter().max().map_or(1, |it| it + 1);
    let mut sorted: Vec<Vec<Table>> = vec![Vec::new(); count];
    for (table, bin) in large.into_iter().zip(bins) {
        sorted[*bin].push(table);
    }
    let mut sorted = sorted.into_iter();
    let mut rest = sorted.next().unwrap_or_default();
    rest.extend(small);
    Plan {
        rest,
        streams: sorted.filter(|it| !it.is_empty()).collect(),
        sessions: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// More programs than any plan wants.
    const MANY: usize = 1_000;

    fn table(oid: u32, mebibytes: u64) -> Table {
        Table {
            oid,
            schema: "public".to_owned(),
            name: format!("t{oid}"),
            bytes: mebibytes << 20,
            of_extension: false,
            of_trusted_owner: true,
            pattern: format!("t{oid}").into(),
        }
    }

    #[test]
    fn many_tiny_tables_are_one_stream() {
        let plan = distribute(
            (0..5_000).map(|oid| table(oid, 0)).collect(),
            4,
            MANY,
            (Reading::PgDump, Split::Never),
            0,
        );
        assert!(plan.streams.is_empty());
        assert_eq!(plan.rest.len(), 5_000);
    }

    #[test]
    fn one_large_table_leaves_the_rest_to_itself() {
        let plan = distribute(
            vec![table(1, 1_000), table(2, 500), table(3, 1)],
            2,
            MANY,
            (Reading::PgDump, Split::Never),
            0,
        );
        assert_eq!(plan.streams, [[table(1, 1_000)]]);
        assert_eq!(plan.rest, [table(2, 500), table(3, 1)]);
    }

    #[test]
    fn three_of_a_size_are_not_two_of_them_in_one() {
        let plan = distribute(
            vec![table(1, 250), table(2, 245), table(3, 215), table(4, 1)],
            2,
            MANY,
            (Reading::PgDump, Split::Never),
            0,
        );
        assert_eq!(plan.streams.len(), 2);
        assert_eq!(
            plan.rest.len() + plan.streams.iter().map(Vec::len).sum::<usize>(),
            4
        );
        assert!(plan.streams.iter().all(|it| it.len() == 1), "{plan:?}");
    }

    #[test]
    fn what_is_finished_early_costs_nothing() {
        assert_eq!(duration(vec![(400, 1), (400, 1)], 2), 500);
        assert_eq!(duration(vec![(200, 1), (400, 1), (200, 1)], 2), 500);
        assert_eq!(duration(vec![(200, 1); 4], 2), 450);
    }

    #[test]
    fn what_several_sessions_read_takes_their_time() {
        assert_eq!(duration(vec![(400, 2)], 2), 300);
        assert_eq!(duration(vec![(400, 9)], 2), 300);
        // It has both, and the others wait.
        assert_eq!(duration(vec![(100, 1), (400, 2), (100, 1)], 2), 325);
        // It waits for the second.
        assert_eq!(duration(vec![(500, 1), (400, 2)], 2), 800);
    }

    #[test]
    fn there_are_no_more_streams_than_programs_or_tables_of_their_own() {
        let tables: Vec<_> = (0..10).map(|oid| table(oid, 10_000)).collect();
        let streams = |jobs, programs| {
            distribute(
                tables.clone(),
                jobs,
                programs,
                (Reading::PgDump, Split::Never),
                0,
            )
            .streams
            .len()
        };
        assert_eq!(streams(1_000, MANY), 9);
        assert_eq!(streams(1_000, 4), 3);
        assert_eq!(streams(1_000, 0), 0);
    }

    #[test]
    fn one_job_is_one_stream() {
        assert!(
            distribute(
                vec![table(1, 1_000), table(2, 900)],
                1,
                MANY,
                (Reading::PgDump, Split::Never),
                0
            )
            .streams
            .is_empty()
        );
    }

    #[test]
    fn a_table_of_an_extension_stays_with_the_rest() {
        let mut mine = table(1, 1_000);
        mine.of_extension = true;
        let plan = distribute(
            vec![mine.clone(), table(2, 1_000)],
            4,
            MANY,
            (Reading::PgDump, Split::Never),
            0,
        );
        assert!(plan.rest.contains(&mine));
    }

    #[test]
    fn an_empty_database_has_one_stream_with_nothing_in_it() {
        assert_eq!(
            distribute(Vec::new(), 4, MANY, (Reading::PgDump, Split::Never), 0),
            Plan {
                rest: vec![],
                streams: vec![],
                sessions: vec![]
            }
        );
    }

    #[test]
    fn what_a_copy_reads_is_none_of_the_common_stream() {
        let plan = distribute(
            vec![table(1, 1_000), table(2, 500), table(3, 1)],
            2,
            MANY,
            (Reading::Auto, Split::Never),
            0,
        );
        assert_eq!(plan.rest, [table(3, 1)]);
        assert_eq!(plan.streams.iter().flatten().count(), 2);
        let one = distribute(
            vec![table(1, 80)],
            4,
            MANY,
            (Reading::Auto, Split::Never),
            0,
        );
        assert_eq!(one.streams, [[table(1, 80)]]);
        let one = distribute(
            vec![table(1, 80)],
            1,
            MANY,
            (Reading::Auto, Split::Never),
            0,
        );
        assert_eq!(one.streams, [[table(1, 80)]]);
        let two = distribute(
            vec![table(1, 40), table(2, 9)],
            2,
            MANY,
            (Reading::Auto, Split::Never),
            0,
        );
        assert_eq!(two.streams, [[table(1, 40)]]);
        // Two side by side are worth more than a COPY for both.
        let two = vec![table(1, 500), table(2, 500)];
        let plan = distribute(two, 4, 2, (Reading::Auto, Split::Never), 0);
        assert_eq!((plan.rest.len(), plan.streams.len()), (1, 1));
        // Another pg_dump would read so many tables' definitions.
        let mut many: Vec<_> = (2..100_000).map(|oid| table(oid, 0)).collect();
        many.push(table(1, 40));
        assert!(
            distribute(many, 4, MANY, (Reading::Auto, Split::Never), 0)
                .streams
                .is_empty()
        );
        // Too little for a session more.
        let small = distribute(
            vec![table(1, 20)],
            4,
            MANY,
            (Reading::Auto, Split::Never),
            0,
        );
        assert!(small.streams.is_empty());
        let all = distribute(
            vec![table(1, 1), table(2, 0)],
            4,
            MANY,
            (Reading::Copy, Split::Never),
            0,
        );
        assert_eq!(
            (all.rest, all.streams),
            (vec![table(2, 0)], vec![vec![table(1, 1)]])
        );
    }

    #[test]
    fn one_huge_table_is_read_by_as_many_sessions_as_it_deserves() {
        let plan = |sizes: &[u64], jobs, programs, large_objects: u64| {
            let tables = (1..).zip(sizes).map(|(oid, it)| table(oid, *it)).collect();
            distribute(
                tables,
                jobs,
                programs,
                (Reading::Auto, Split::Auto),
                large_objects << 20,
            )
        };
        let one = plan(&[10_000, 1], 4, MANY, 0);
        assert_eq!((one.streams.len(), one.sessions), (1, vec![4]));
        assert_eq!(plan(&[10_000, 1], 4, 4, 0).sessions, [3]);
        assert_eq!(plan(&[10_000, 1], 4, 2, 0).sessions, [1]);
        // Large objects are read beside it.
        assert_eq!(plan(&[10_000, 1], 2, MANY, 10_000).sessions, [1]);
        // The others are read meanwhile, and by no fewer sessions than before.
        let shared = plan(&[6_000, 1_000, 1_000, 1_000, 1_000], 4, MANY, 0);
        let huge = shared.streams.iter().position(|it| it[0].oid == 1).unwrap();
        assert_eq!(shared.sessions[huge], 2);
        assert_eq!(
            shared.sessions.iter().sum::<u16>(),
            u16::try_from(shared.sessions.len()).unwrap() + 1
        );
        assert!(shared.streams.len() >= 3, "{shared:?}");
        // Alike, they need nobody's help.
        let alike = plan(&[1_000; 8], 4, MANY, 0);
        assert!(alike.sessions.iter().all(|it| *it == 1), "{alike:?}");
        let halves = plan(&[5_000, 5_000], 3, MANY, 0);
        assert_eq!(halves.sessions, [1, 1]);
    }

    #[test]
    fn a_table_of_somebody_elses_is_read_by_one_session() {
        let plan = |split| {
            let mut other = table(1, 10_000);
            other.of_trusted_owner = false;
            distribute(vec![other], 4, MANY, (Reading::Auto, split), 0).sessions
        };
        assert_eq!(plan(Split::Auto), [1]);
        assert_eq!(plan(Split::AnyOwner), [4]);
        assert_eq!(plan(Split::Always), [4]);
        let by_pg_dump = distribute(
            vec![table(1, 10_000)],
            4,
            MANY,
            (Reading::PgDump, Split::Always),
            0,
        );
        assert!(by_pg_dump.sessions.iter().all(|it| *it == 1));
    }

    proptest! {
        #[test]
        fn every_table_is_taken_once(
            sizes in prop::collection::vec(0u64..2_000, 0..60),
            jobs in 0u16..9,
            reading in prop::sample::select(READINGS.map(|it| it.0).to_vec()),
            split in prop::sample::select(split::WORDS.map(|it| it.0).to_vec()),
        ) {
            let tables: Vec<_> = (0u32..).zip(&sizes).map(|(oid, size)| table(oid, *size)).collect();
            let plan = distribute(tables.clone(), jobs, MANY, (reading, split), 0);
            let most = if jobs < 2 { 2 } else { usize::from(jobs) * STREAMS_PER_JOB };
            prop_assert!(plan.streams.len() < most);
            let mut taken: Vec<u32> = plan.rest.iter().chain(plan.streams.iter().flatten()).map(|it| it.oid).collect();
            taken.sort_unstable();
            let all: Vec<u32> = tables.iter().map(|it| it.oid).collect();
            prop_assert_eq!(taken, all);
        }
    }
}
