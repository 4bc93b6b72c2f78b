//! How far a run is: bytes, tables, and when it may end; told every ten seconds, in the log and,
//! where there is one, to the Pushgateway.
//!
//! Nobody knows beforehand how many bytes pg_dump will write. What it has written for tables that are
//! done, by their size on disk, is the measure for those that are not.

mod moment;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::archive::Manifest;
use crate::child::Listener;
use crate::postgres::snapshot::Table;
use crate::report::Reporter;

use moment::Last;
pub use moment::{After, Moment};

/// How often a long run says how far it is.
pub const EVERY: Duration = Duration::from_secs(10);

/// How far one run is. All its streams count into it.
#[derive(Debug, Default)]
pub struct Progress {
    work: Mutex<Option<Work>>,
    state: Mutex<State>,
    /// What is under way since the rows have passed.
    beyond: Mutex<Option<After>>,
}

#[derive(Debug)]
struct Work {
    /// When rows began to pass.
    begun: Option<Instant>,
    tables: u64,
    size: Size,
}

#[derive(Debug)]
enum Size {
    /// Bytes that will pass, exactly.
    Known(u64),
    /// Bytes of each table on disk, by schema and name with a dot between, and of all together.
    OnDisk(HashMap<String, u64>, u64),
    Unknown,
}

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    tables: u64,
    /// Of the tables that are done, and of which the size is known: bytes that passed, on disk.
    done: (u64, u64),
}

impl Progress {
    /// A backup tries to begin, of these tables. Nothing is reported before rows pass: as long as
    /// it waits for locks nobody knows how long it takes.
    pub fn dumping(&self, tables: &[Table]) {
        let all = tables.iter().map(|it| it.bytes).sum();
        let sizes = tables
            .iter()
            .map(|it| (named(&it.schema, &it.name), it.bytes));
        // What pg_dumps of a try before this one have reported does not count.
        *self.state() = State::default();
        *self.work() = Some(Work {
            begun: None,
            tables: tables.len() as u64,
            size: Size::OnDisk(sizes.collect(), all),
        });
    }

    /// Its rows pass from now on.
    pub fn rows_pass(&self) {
        if let Some(work) = &mut *self.work() {
            work.begun = Some(Instant::now());
        }
    }

    /// A restore begins, of so many tables and bytes of rows; none: nobody knows how many.
    pub fn loading(&self, tables: u64, bytes: Option<u64>) {
        self.begin(tables, bytes.map_or(Size::Unknown, Size::Known));
    }

    /// The rows have passed, and this follows.
    pub fn goes_on_with(&self, after: After) {
        *self.beyond() = Some(after);
    }

    /// A restore of one of our backups begins.
    pub fn loading_of(&self, manifest: &Manifest) {
        let tables: usize = manifest.data().map(|it| it.tables.len()).sum();
        let bytes = manifest.data().map(|it| it.raw_bytes).sum();
        self.loading(tables as u64, Some(bytes));
    }

    /// What has passed was undone, and passes again.
    pub fn begin_again(&self) {
        *self.state() = State::default();
        *self.beyond() = None;
    }

    fn begin(&self, tables: u64, size: Size) {
        // A run has one beginning; a second one changes nothing.
        self.work().get_or_insert(Work {
            begun: Some(Instant::now()),
            tables,
            size,
        });
    }

    fn work(&self) -> MutexGuard<'_, Option<Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beyond(&self) -> MutexGuard<'_, Option<After>> {
        self.beyond.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of the run, which counts into it.
    #[must_use]
    pub fn stream(self: &Arc<Self>) -> Arc<Stream> {
        Arc::new(Stream {
            whole: Arc::clone(self),
            current: Mutex::default(),
        })
    }

    /// How far it is after `elapsed`; none before it begins.
    #[must_use]
    pub fn after(&self, elapsed: impl Fn(Instant) -> Duration) -> Option<Moment> {
        let work = self.work();
        let work = work.as_ref()?;
        let begun = work.begun?;
        let state = self.state();
        let after = *self.beyond();
        let seconds = elapsed(begun).as_secs_f64().max(0.001);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate and an estimate are rough"
        )]
        let (rate, left) = {
            let rate = state.bytes as f64 / seconds;
            let left = expected(&work.size, &state)
                .filter(|_| state.bytes > 0 && after.is_none())
                .map(|all| all.saturating_sub(state.bytes) as f64 / rate)
                .and_then(|it| Duration::try_from_secs_f64(it).ok());
            (rate, left)
        };
        Some(Moment {
            bytes: state.bytes,
            rate,
            tables: state.tables,
            of: work.tables,
            left,
            after,
        })
    }

    /// Reports every ten seconds, for as long as it is polled, and says so where nothing passes any more.
    pub async fn report(&self, reporter: &Reporter) -> std::convert::Infallible {
        let mut last = Last::default();
        let mut clock = tokio::time::interval(EVERY);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        clock.tick().await;
        loop {
            clock.tick().await;
            let Some(moment) = self.after(|begun| begun.elapsed()) else {
                continue;
            };
            match last.stands_still(&moment, Instant::now()) {
                Some(time) => {
                    let since = humantime::format_duration(Duration::from_secs(time.as_secs()));
                    tracing::info!(bytes = moment.bytes, tables = moment.tables, of = moment.of, %since, "no row has passed: an index is built, older backups are deleted, or the server, the store or a session does not go on; pg_stat_activity shows what the sessions of this run wait for");
                }
                None => moment.log(),
            }
            reporter.push(moment.gauges(reporter.job)).await;
        }
    }
}

/// The bytes that will have passed at the end.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate is rough, and a size is positive"
)]
fn expected(size: &Size, state: &State) -> Option<u64> {
    match size {
        Size::Known(bytes) => Some(*bytes),
        Size::Unknown => None,
        Size::OnDisk(_, all) => {
            let (passed, on_disk) = state.done;
            // Before the first table is done, a byte on disk is taken for a byte.
            let ratio = if on_disk == 0 {
                1.0
            } else {
                passed as f64 / on_disk as f64
            };
            let rest = all.saturating_sub(on_disk) as f64 * ratio;
            Some((passed + rest as u64).max(state.bytes))
        }
    }
}

fn named(schema: &str, name: &str) -> String {
    format!("{schema}.{name}")
}

/// One stream's part: which table it is at, and what has passed since that began.
#[derive(Debug)]
pub struct Stream {
    whole: Arc<Progress>,
    current: Mutex<Option<Current>>,
}

/// The table that a stream is at.
#[derive(Debug)]
struct Current {
    name: String,
    /// Bytes on the server's disk, where they are known.
    size: Option<u64>,
    /// Bytes that have passed since it began.
    passed: u64,
}

impl Stream {
    /// So many bytes have passed.
    pub fn add(&self, bytes: u64) {
        if let Some(current) = &mut *self.current() {
            current.passed += bytes;
        }
        self.whole.state().bytes += bytes;
    }

    /// The rows of a table begin, and those of the one before have passed. One whose rows come in two pieces is told
    /// twice.
    pub fn table(&self, name: &str) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|it| it.name == name) {
            return;
        }
        let size = match self.whole.work().as_ref().map(|it| &it.size) {
            Some(Size::OnDisk(sizes, _)) => sizes.get(name).copied(),
            Some(Size::Known(_) | Size::Unknown) | None => None,
        };
        let before = current.replace(Current {
            name: name.to_owned(),
            size,
            passed: 0,
        });
        drop(current);
        self.done(before.as_ref());
    }

    /// So many tables have passed, of a stream that nobody says more of.
    pub fn tables(&self, count: u64) {
        self.whole.state().tables += count;
    }

    /// All of the stream has passed.
    pub fn end(&self) {
        let last = self.current().take();
        self.done(last.as_ref());
    }

    fn done(&self, table: Option<&Current>) {
        let Some(&Current { size, passed, .. }) = table else {
            return;
        };
        let mut state = self.whole.state();
        state.tables += 1;
        if let Some(size) = size {
            state.done.0 += passed;
            state.done.1 += size;
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears from pg_dump's and pg_restore's `--verbose` which table they are at, and keeps what is
    /// no more than that out of the log.
    #[must_use]
    pub fn listener(self: &Arc<Self>) -> Listener {
        let stream = Arc::clone(self);
        Listener::new(move |line| match message(line) {
            Message::Table(name) => {
                stream.table(name);
                true
            }
            Message::Verbose => true,
            Message::Else => false,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Message<'a> {
    Table(&'a str),
    Verbose,
    Else,
}

/// What a line of stderr says. PostgreSQL's programs put their name before each line of their own,
/// and a word behind it before those that matter (`pg_log_error` and the like, as `error: `).
fn message(line: &str) -> Message<'_> {
    let Some(rest) = line
        .strip_prefix("pg_dump: ")
        .or_else(|| line.strip_prefix("pg_restore: "))
    else {
        return Message::Else;
    };
    if ["error:", "warning:", "detail:", "hint:", "fatal:"]
        .iter()
        .any(|it| rest.starts_with(it))
    {
        return Message::Else;
    }
    let table = rest
        .strip_prefix("dumping contents of table \"")
        .or_else(|| rest.strip_prefix("processing data for table \""));
    match table.and_then(|it| it.strip_suffix('"')) {
        Some(name) => Message::Table(name),
        None => Message::Verbose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, bytes: u64) -> Table {
        Table {
            oid: 1,
            schema: "public".to_owned(),
            name: name.to_owned(),
            bytes,
            of_extension: false,
            of_trusted_owner: false,
            pattern: name.into(),
        }
    }

    fn second(_begun: Instant) -> Duration {
        Duration::from_secs(1)
    }

    #[test]
    fn what_is_done_is_the_measure_of_what_is_not() {
        let progress = Arc::new(Progress::default());
        assert_eq!(progress.after(second), None, "not begun");
        progress.dumping(&[table("a", 100), table("b", 300)]);
        assert_eq!(progress.after(second), None, "it waits for its locks");
        progress.rows_pass();
        let stream = progress.stream();
        assert_eq!(
            progress.after(second).unwrap().left,
            None,
            "nothing shows it"
        );
        stream.table("public.a");
        stream.add(50);
        let left = progress.after(second).unwrap().left.unwrap();
        assert_eq!(
            left,
            Duration::from_secs(7),
            "350 bytes of 400 at 50 a second"
        );
        stream.table("public.b");
        stream.add(50);
        let moment = progress.after(second).unwrap();
        assert_eq!((moment.bytes, moment.tables, moment.of), (100, 1, 2));
        // A half of what is on disk: 150 for b, of which 50 are there.
        assert_eq!(moment.left.unwrap(), Duration::from_secs(1));
        stream.end();
        stream.end();
        assert_eq!(progress.after(second).unwrap().tables, 2);
    }

    #[test]
    fn a_restore_knows_its_bytes() {
        let progress = Arc::new(Progress::default());
        progress.loading(1, Some(1_000));
        progress.stream().add(250);
        assert_eq!(
            progress.after(second).unwrap().left,
            Some(Duration::from_secs(3))
        );
    }

    #[test]
    fn lines_that_matter_stay_in_the_log() {
        assert_eq!(
            message("pg_dump: dumping contents of table \"public.a b\""),
            Message::Table("public.a b")
        );
        assert_eq!(
            message("pg_restore: processing data for table \"s.t\""),
            Message::Table("s.t")
        );
        assert_eq!(message("pg_dump: reading schemas"), Message::Verbose);
        for line in [
            "pg_dump: error: query failed: ERROR:  canceled",
            "pg_restore: warning: x",
            "DETAIL: y",
            "pg_dump: detail: z",
        ] {
            assert_eq!(message(line), Message::Else, "{line}");
        }
    }
}
