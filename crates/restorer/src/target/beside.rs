//! Databases that a swap restore has made beside its target, or has kept of it: known by our mark in their comments,
//! and never by their names alone.
//!
//! A comment is a sentence for people, and below it a line that we read. It is of one database only: it names the
//! OID and the name, so that neither a copy of the database nor one that somebody has renamed passes for ours.

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text;
use backuper::text::sql::{literal, quote};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Row};

use super::likeness::{Given, Likeness};

/// Bytes of a name: `NAMEDATALEN` less one. PostgreSQL manual, 4.1.1.
const LONGEST: usize = 63;
const TIME: &str = "%Y%m%d_%H%M%S";

/// What a database is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// It is being loaded, or what is left of that.
    Loading,
    /// It has made room for another one.
    Kept,
}

/// What the comment of such a database says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// What it is.
    pub(crate) oiler: Standing,
    /// The target's name.
    pub(crate) database: String,
    /// The OID of the database with the mark.
    pub(crate) oid: u32,
    /// Its name.
    pub(crate) name: String,
    /// When it was made, or made room.
    pub(crate) since: Timestamp,
    /// Until when it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    /// The comment that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

impl Mark {
    /// The comment that it is.
    ///
    /// # Errors
    /// None that a test would not have shown.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        let database = quote(&self.database);
        let sentence = match self.oiler {
            Standing::Loading => format!(
                "A swap restore loads it, and it is to be database {database} then; if no restore runs, it is left of one that was cut short, and the next one removes it."
            ),
            Standing::Kept => {
                let until = self.until.unwrap_or(self.since);
                let since = self.since;
                format!(
                    "It was database {database} until {since}. RESTORER_TASK=swap-back of the restorer brings it back; the first swap restore of {database} after {until} drops it, unless it has another name or another comment by then."
                )
            }
        };
        let line = serde_json::to_string(self);
        let line = line.map_err(|error| Failure::refused(error.to_string()))?;
        Ok(format!("{sentence}\n{line}"))
    }

    /// Reads a comment of this database; none: it is not ours, or of another database.
    fn read(comment: &str, oid: u32, name: &str) -> Option<Self> {
        let (_sentence, line) = comment.rsplit_once('\n')?;
        let mark: Self = serde_json::from_str(line).ok()?;
        (mark.oid == oid && mark.name == name).then_some(mark)
    }
}

/// The name of a database that is loaded to become this one; nobody has it.
pub(crate) fn name_of_new(database: &str, now: Timestamp) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let time = now.strftime(TIME);
    ending(database, &format!("_new_{time}_{}", &random[..8]))
}

/// Whether a name is such a one. That alone makes no database ours.
pub(crate) fn is_name_of_new(database: &str, name: &str) -> bool {
    let model = name_of_new(database, Timestamp::UNIX_EPOCH);
    let is_like = |(it, model): (char, char)| match model {
        _ if !model.is_ascii_hexdigit() => it == model,
        _ => it.is_ascii_hexdigit(),
    };
    let end = model.rfind("_new_").unwrap_or_default();
    name.len() == model.len()
        && name.get(..end) == model.get(..end)
        && name
            .chars()
            .zip(model.chars())
            .skip(model[..end].chars().count())
            .all(is_like)
}

/// The name of a database that makes room at this time.
pub(crate) fn name_of_old(database: &str, now: Timestamp) -> String {
    ending(database, &format!("_old_{}", now.strftime(TIME)))
}

fn ending(database: &str, end: &str) -> String {
    format!("{}{end}", text::within(database, LONGEST - end.len()))
}

/// Databases whose names look as if a swap restore had begun to make them, and that have no comment at all: between
/// CREATE DATABASE and our mark is a moment.
///
/// # Errors
/// What the server said.
pub(crate) async fn unmarked(
    session: &Client,
    other: &Target,
    database: &str,
) -> Result<Vec<String>, Failure> {
    let sql =
        "SELECT datname::text FROM pg_database WHERE shobj_description(oid, 'pg_database') IS NULL";
    let rows = session.query(sql, &[]).await;
    let rows = rows.map_err(|error| postgres::Error::new("examining", other, &error))?;
    let names = rows.iter().map(|it| it.get::<_, String>(0));
    Ok(names.filter(|it| is_name_of_new(database, it)).collect())
}

/// A database with our mark.
#[derive(Debug)]
pub(crate) struct Marked {
    /// What it says.
    pub(crate) mark: Mark,
    /// Whether only those can have made the mark who could do anything to the target: it belongs to the target's owner, to
    /// a superuser, or to the role that asks. Every owner may give his database a comment.
    pub(crate) is_trusted: bool,
}

/// All that carry our mark for a database of this name.
///
/// # Errors
/// What the server said.
pub(crate) async fn marked(
    session: &Client,
    other: &Target,
    database: &str,
) -> Result<Vec<Marked>, Failure> {
    let sql = "
        SELECT d.oid, d.datname::text, shobj_description(d.oid, 'pg_database'),
               r.rolsuper OR r.rolname = current_user
               OR coalesce(d.datdba = (SELECT t.datdba FROM pg_database t WHERE t.datname = $1), false)
          FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
         WHERE shobj_description(d.oid, 'pg_database') LIKE '%\"oiler\":%'";
    let rows = session.query(sql, &[&database]).await;
    let rows = rows.map_err(|error| postgres::Error::new("examining", other, &error))?;
    let read = |row: &Row| {
        let mark = Mark::read(row.get(2), row.get(0), row.get(1))?;
        let is_trusted = row.get(3);
        Some(Marked { mark, is_trusted })
    };
    let read = rows.iter().filter_map(read);
    Ok(read.filter(|it| it.mark.database == database).collect())
}

/// A database that is to be made like another one, whose place it takes.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The name that it is to have in the end.
    pub(crate) database: String,
    /// What the other one is.
    pub(crate) likeness: Likeness,
}

impl Beside {
    /// Marks the new database, gives it the other one's privileges, and proves that it can be given all else.
    ///
    /// # Errors
    /// What of it our role may not give; what the server said.
    pub(super) async fn begin(
        &self,
        session: &Client,
        (other, new): (&Target, &Target),
    ) -> Result<(), Failure> {
        let failed = |error: tokio_postgres::Error| postgres::Error::new("marking", new, &error);
        let sql = "SELECT oid FROM pg_database WHERE datname = $1";
        let row = session.query_one(sql, &[&new.database()]).await;
        let mark = Mark {
            oiler: Standing::Loading,
            database: self.database.clone(),
            oid: row.map_err(failed)?.get(0),
            name: new.database().to_owned(),
            since: Timestamp::now(),
            until: None,
            comment: None,
        };
        let name = new.database();
        let (quoted, text) = (quote(name), literal(&mark.text()?));
        let sql = format!("COMMENT ON DATABASE {quoted} IS {text}");
        session.batch_execute(&sql).await.map_err(failed)?;
        let privileges = self.likeness.privileges(name, None);
        give(session, other, &privileges, "COMMIT").await?;
        give(session, other, &self.likeness.rest(name), "ROLLBACK").await
    }
}

/// Executes statements in a transaction that ends like this.
///
/// # Errors
/// A refusal with what cannot be given.
async fn give(
    session: &Client,
    other: &Target,
    statements: &[Given],
    end: &str,
) -> Result<(), Failure> {
    let failed = |error: tokio_postgres::Error| postgres::Error::new("preparing", other, &error);
    session.batch_execute("BEGIN").await.map_err(failed)?;
    for Given { what, sql } in statements {
        let Err(error) = session.batch_execute(sql).await else {
            continue;
        };
        let failure = postgres::Error::new("preparing", other, &error);
        session.batch_execute("ROLLBACK").await.map_err(failed)?;
        return Err(Failure::refused(format!(
            "the {what} of the database that is there cannot be carried over to the one that takes its place: {failure}; restore as a role that may set it, or reset it, or set RESTORE_MODE=auto, which replaces the contents in place; nothing was changed"
        )));
    }
    session.batch_execute(end).await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: &str) -> Mark {
        Mark {
            oiler: Standing::Kept,
            database: "sh\"op\nü".to_owned(),
            oid: 16_384,
            name: name.to_owned(),
            since: "2026-11-28T09:45:00Z".parse().unwrap(),
            until: Some("2026-11-29T09:45:00Z".parse().unwrap()),
            comment: Some("ours, \"really\"\nand 'more'".to_owned()),
        }
    }

    #[test]
    fn a_mark_is_read_back_and_is_of_one_database_alone() {
        let kept = mark("shop_old");
        let text = kept.text().unwrap();
        assert!(text.contains("2026-11-29T09:45:00Z"), "{text}");
        assert_eq!(Mark::read(&text, 16_384, "shop_old"), Some(kept));
        assert_eq!(Mark::read(&text, 16_385, "shop_old"), None, "a copy");
        assert_eq!(Mark::read(&text, 16_384, "shop_mine"), None, "renamed");
        for others in ["", "ours", "ours\n{}", "{\"oiler\":\"kept\"}"] {
            assert_eq!(Mark::read(others, 16_384, "shop_old"), None, "{others}");
        }
    }

    #[test]
    fn a_name_has_its_time_whole_and_no_more_bytes_than_postgresql_takes() {
        let now: Timestamp = "2026-11-28T09:45:00Z".parse().unwrap();
        assert_eq!(name_of_old("shop", now), "shop_old_20261128_094500");
        for database in ["x".repeat(63), "ü".repeat(31), "数据".repeat(10)] {
            let old = name_of_old(&database, now);
            let new = name_of_new(&database, now);
            for (name, end) in [
                (&old, "_old_20261128_094500"),
                (&new, "_new_20261128_094500_"),
            ] {
                assert!(name.len() <= LONGEST && name.contains(end), "{name}");
                assert!(name.len() > LONGEST - 4, "{name}");
            }
        }
        assert_ne!(name_of_new("shop", now), name_of_new("shop", now));
        for database in ["shop".to_owned(), "ü_new_".repeat(9)] {
            assert!(is_name_of_new(&database, &name_of_new(&database, now)));
            assert!(!is_name_of_new(&database, &name_of_old(&database, now)));
            assert!(!is_name_of_new(&database, &name_of_new("other", now)));
        }
        assert!(!is_name_of_new("shop", "shop_new_of_the_colleague_who_x"));
    }
}
