//! A restore drill: a backup is restored into a database that is made for it, compared with what its
//! manifest says, and the database is dropped. What anybody else has in the server stays untouched.

use std::fmt::Display;

use backuper::archive::Manifest;
use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::runtime::failure::Verdict;
use backuper::text::sql::quote;
use jiff::{Timestamp, ToSpan as _};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use crate::target::creation;

/// What the names of databases of drills begin with; then the time in UTC and something random.
const PREFIX: &str = "restore_drill_";
const TIME: &str = "%Y%m%d_%H%M%S";
/// How many differences a sentence names.
const NAMED: usize = 10;
/// How the sentence of a drill that has passed begins.
const PASSED: &str = "restore drill passed: ";
/// How that of one begins whose backup has come back and is not as it should be.
const FAILED: &str = "restore drill failed: ";
/// What stands behind the key in the one, and in the other.
const RESTORED: &str = " was restored into ";
const CAME_BACK: &str = " came back";

/// What was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Tables that are there as they were dumped, or at all where the backup does not say how many rows they had.
    pub tables: usize,
    /// Their rows.
    pub rows: u64,
    /// Tables of which the backup does not say how many rows they had.
    pub uncounted: usize,
}

impl Compared {
    /// What a drill has shown, for the line that ends the log.
    #[must_use]
    pub fn sentence(self, key: &str, target: impl Display) -> String {
        let Self {
            tables,
            rows,
            uncounted,
        } = self;
        let not_known = match uncounted {
            0 => String::new(),
            _ => format!(
                "; of {uncounted} of them the backup does not say how many rows they had, so that they are there is all that is known"
            ),
        };
        format!(
            "{PASSED}{key}{RESTORED}{target}, all {tables} tables are there with {rows} rows{not_known}; that database is dropped again"
        )
    }
}

/// Reads the sentence that ends the log of a drill that has passed: how many tables were compared, and how many
/// rows.
#[must_use]
pub fn told(sentence: &str) -> Option<(u64, u64)> {
    // A key may have any words in it.
    let (_key, rest) = sentence.strip_prefix(PASSED)?.rsplit_once(", all ")?;
    let (tables, rest) = rest.split_once(" tables are there with ")?;
    let rows: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((tables.parse().ok()?, rows.parse().ok()?))
}

/// The key of the backup that a drill's last sentence judges; none: the drill has come to no judgement.
#[must_use]
pub fn judged(sentence: &str) -> Option<&str> {
    if let Some(rest) = sentence.strip_prefix(FAILED) {
        return Some(rest.split_once(CAME_BACK)?.0);
    }
    let (restored, _compared) = sentence.strip_prefix(PASSED)?.rsplit_once(", all ")?;
    Some(restored.rsplit_once(RESTORED)?.0)
}

/// The database that a drill restores into: one that nobody has, on the same server.
#[must_use]
pub fn database(target: &Target, now: Timestamp) -> Target {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let time = now.strftime(TIME);
    target.with_database(&format!("{PREFIX}{time}_{}", &random[..8]))
}

/// When the drill began that has made a database of this name; none: no drill has.
fn begun(name: &str) -> Option<Timestamp> {
    let (time, random) = name.strip_prefix(PREFIX)?.rsplit_once('_')?;
    let is_random = random.len() == 8
        && random
            .bytes()
            .all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it));
    let time = jiff::civil::DateTime::strptime(TIME, time).ok()?;
    let begun = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    is_random.then_some(begun)
}

/// Drops what drills have left that were killed, a day ago and longer, if it is the role's own and nobody is
/// connected to it. What cannot be dropped stays, with a warning.
pub async fn drop_leftovers(target: &Target, now: Timestamp) {
    let dropped = async {
        let (session, other) = creation::maintenance(target).await?;
        let sql = "SELECT datname FROM pg_catalog.pg_database d WHERE starts_with(datname, $1) \
             AND pg_catalog.pg_has_role(datdba, 'USAGE') AND NOT EXISTS \
             (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)";
        let found = session.query(sql, &[&PREFIX]).await;
        let found = found.map_err(|it| postgres::Error::new("looking in", &other, &it))?;
        let names = found.iter().map(|it| it.get::<_, String>(0));
        let yesterday = now.checked_sub(24.hours()).unwrap_or(now);
        for name in names.filter(|it| begun(it).is_some_and(|it| it < yesterday)) {
            let sql = format!("DROP DATABASE {}", quote(&name));
            let dropped = session.batch_execute(&sql).await;
            dropped.map_err(|it| postgres::Error::new("dropping a database in", &other, &it))?;
            tracing::info!(database = %name, "dropped what a restore drill had left");
        }
        Ok::<_, Failure>(())
    };
    if let Err(error) = dropped.await {
        tracing::warn!(%error, "what restore drills have left stays");
    }
}

/// Compares what a database has with what a backup's manifest says, and asks what a person wants to be asked.
///
/// # Errors
/// [`Verdict::Incomplete`] with the differences; what the server said.
pub async fn compare(
    (session, target): (&Client, &Target),
    (key, manifest): (&str, Option<&Manifest>),
    question: Option<&str>,
    stop: &CancellationToken,
) -> Result<Compared, Failure> {
    let comparing = async {
        let compared = match manifest {
            Some(manifest) => tables((session, target), key, manifest).await?,
            None => Compared::default(),
        };
        if let Some(question) = question {
            ask(target, key, question).await?;
        }
        Ok(compared)
    };
    tokio::select! {
        compared = comparing => compared,
        () = stop.cancelled() => Err(Failure::try_again("stopped before all was compared")),
    }
}

async fn tables(
    (session, target): (&Client, &Target),
    key: &str,
    manifest: &Manifest,
) -> Result<Compared, Failure> {
    // What an extension has made again with its rows is not what was dumped alone.
    let sql = "SELECT pg_catalog.format('\"%s\".\"%s\"', replace(n.nspname, '\"', '\"\"'), replace(c.relname, '\"', '\"\"')) \
         FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e'";
    let found = session.query(sql, &[]).await;
    let found = found.map_err(|it| postgres::Error::new("looking in", target, &it))?;
    let of_extensions: Vec<String> = found.iter().map(|it| it.get(0)).collect();
    let mut compared = Compared::default();
    let mut differences = Vec::new();
    for stream in &manifest.streams {
        for (number, table) in stream.tables.iter().enumerate() {
            if of_extensions.contains(table) {
                continue;
            }
            let dumped = stream.rows.get(number).copied().flatten();
            match count(session, target, table).await? {
                None => differences.push(format!("table {table} is not there")),
                Some(found) if dumped.is_none_or(|it| it == found) => {
                    compared.tables += 1;
                    compared.rows += found;
                    compared.uncounted += usize::from(dumped.is_none());
                }
                Some(found) => differences.push(format!(
                    "table {table} has {found} rows, and {} were dumped",
                    dumped.unwrap_or_default()
                )),
            }
        }
    }
    if differences.is_empty() {
        return Ok(compared);
    }
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Err(Failure {
        verdict: Verdict::Incomplete,
        sentence: format!(
            "{FAILED}{key}{CAME_BACK} otherwise than it was dumped: {}; do not rely on this backup, and make another one",
            differences.join(", ")
        ),
    })
}

/// The rows of a table; none: there is no such table.
async fn count(session: &Client, target: &Target, table: &str) -> Result<Option<u64>, Failure> {
    let sql = format!("SELECT pg_catalog.count(*) FROM ONLY {table}");
    match session.query_one(&sql, &[]).await {
        Ok(row) => Ok(Some(
            u64::try_from(row.get::<_, i64>(0)).unwrap_or_default(),
        )),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        Err(error) => {
            let denied = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
            let error = postgres::Error::new("counting rows in", target, &error);
            Err(match denied {
                true => Failure::refused(format!(
                    "{error}: table {table} belongs to a role whose rights the role that restores does not have; set RESTORE_OWNERS=none for the drill"
                )),
                false => error.into(),
            })
        }
    }
}

/// Runs a person's SQL, which passes where it succeeds and no statement's last row, if it has one, begins with false
/// or null.
async fn ask(target: &Target, key: &str, question: &str) -> Result<(), Failure> {
    let failed = |why: String| Failure {
        verdict: Verdict::Incomplete,
        sentence: format!("{FAILED}{key}{CAME_BACK}, and the drill's own SQL says no: {why}"),
    };
    // As whoever connects to it finds it, with the settings that were restored with it.
    let session = target.connect("restorer").await?;
    let reset = session.batch_execute("RESET search_path").await;
    reset.map_err(|it| postgres::Error::new("preparing", target, &it))?;
    let answered = session.simple_query(question).await;
    let answered = answered.map_err(|error| {
        failed(
            error
                .as_db_error()
                .map_or_else(|| error.to_string(), |it| it.message().to_owned()),
        )
    })?;
    if says_no(&answered) {
        return Err(failed(
            "the first column of a statement's last row is false or null".to_owned(),
        ));
    }
    Ok(())
}

/// Whether the last row of any statement begins with false or null.
fn says_no(answered: &[SimpleQueryMessage]) -> bool {
    let mut last = None;
    for message in answered {
        match message {
            SimpleQueryMessage::Row(row) => last = Some(matches!(row.get(0), None | Some("f"))),
            SimpleQueryMessage::CommandComplete(_) if last == Some(true) => return true,
            SimpleQueryMessage::CommandComplete(_) => last = None,
            _ => {}
        }
    }
    last == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_drill_has_compared_is_read_back_from_its_sentence() {
        for uncounted in [0, 1] {
            let compared = Compared {
                tables: 9,
                rows: 100_063,
                uncounted,
            };
            let sentence = compared.sentence("a, all 3 tables/b", "db:5432/x");
            assert_eq!(told(&format!("{sentence} (1.5 s)")), Some((9, 100_063)));
            assert_eq!(judged(&sentence), Some("a, all 3 tables/b"));
        }
        assert_eq!(told("restore drill failed: a, all 3 tables"), None);
        let failed =
            "restore drill failed: a/1 came back, and the drill's own SQL says no: x came back";
        assert_eq!(judged(failed), Some("a/1"));
        assert_eq!(judged("there is no database shop"), None);
    }

    #[test]
    fn only_what_a_drill_has_made_is_known_as_such() {
        let now: Timestamp = "2026-11-27T10:15:00Z".parse().unwrap();
        let name = format!("{PREFIX}{}_0a1b2c3d", now.strftime(TIME));
        assert_eq!(name, "restore_drill_20261127_101500_0a1b2c3d");
        assert_eq!(begun(&name), Some(now));
        for other in [
            "restore_drill_",
            "restore_drill_results",
            "restore_drill_20261127_101500",
            "restore_drill_20261127_101500_0A1B2C3D",
            "restore_drill_20269927_101500_0a1b2c3d",
            "my_restore_drill_20261127_101500_0a1b2c3d",
        ] {
            assert_eq!(begun(other), None, "{other}");
        }
    }
}
