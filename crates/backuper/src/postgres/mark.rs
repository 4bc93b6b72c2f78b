//! The mark of a database whose contents are not complete.
//!
//! A restore into an empty database sets it first and removes it last, so that nobody takes a half for
//! the whole, whatever ends the restore. It is a schema of this name; its comment names the backup, and says
//! whether a restore has made the database, which then has its settings and privileges to come.

use tokio_postgres::Client;

use crate::text::sql::{literal, quote};

/// The schema's name.
pub const SCHEMA: &str = "oiler_restore_incomplete";

const BEFORE: &str = "The contents are not complete: a restore of ";
const AFTER: &str = " is under way here, or was cut short.";
const AFTER_MADE: &str = " is under way here, or was cut short, and has made the database.";

/// The statements that set the mark for the backup with this key.
#[must_use]
pub fn set(key: &str, made: bool) -> String {
    let after = if made { AFTER_MADE } else { AFTER };
    let schema = quote(SCHEMA);
    let comment = literal(&format!("{BEFORE}{key}{after}"));
    format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS {comment}")
}

/// The statement that removes it.
#[must_use]
pub fn remove() -> String {
    format!("DROP SCHEMA IF EXISTS {}", quote(SCHEMA))
}

/// A mark that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it says.
    pub comment: String,
    /// Whether only those can have made it who could drop the database as well: it belongs to its owner, to a
    /// superuser, or to the role that asks. Whoever may make schemas may make this one.
    pub is_trusted: bool,
}

/// The mark, in the transaction that is open; none where there is no mark.
///
/// # Errors
/// What the server said.
pub async fn find(client: &Client) -> Result<Option<Found>, tokio_postgres::Error> {
    const FIND: &str = "
        SELECT coalesce(obj_description(n.oid, 'pg_namespace'), ''),
               coalesce(r.rolsuper OR r.rolname = current_user OR r.oid = d.datdba, false)
          FROM pg_namespace n JOIN pg_database d ON d.datname = current_database()
          LEFT JOIN pg_roles r ON r.oid = n.nspowner
         WHERE n.nspname = $1";
    let row = client.query_opt(FIND, &[&SCHEMA]).await?;
    Ok(row.map(|it| Found {
        comment: it.get(0),
        is_trusted: it.get(1),
    }))
}

/// The key of the backup that a mark names.
#[must_use]
pub fn key(comment: &str) -> Option<&str> {
    let rest = comment.strip_prefix(BEFORE)?;
    rest.strip_suffix(AFTER_MADE)
        .or_else(|| rest.strip_suffix(AFTER))
}

/// Whether a mark says that a restore has made the database.
#[must_use]
pub fn is_of_made(comment: &str) -> bool {
    comment.ends_with(AFTER_MADE)
}

/// Why a marked database is not backed up, and what to do.
#[must_use]
pub fn refusal(comment: &str) -> String {
    let whose = key(comment).map_or_else(
        || "a restore".to_owned(),
        |it| format!("a restore of {}", it.trim_end_matches('/')),
    );
    format!(
        "its contents are not complete: {whose} was cut short here; run the restore again, or, where the contents are known to be whole, drop the schema {SCHEMA}; nothing was dumped, and no backup was deleted"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_names_its_backup() {
        let name = "it's a \"shop\"/2026-11-20-21-05-27-backup-1f3a9c0e/";
        let comment = format!("{BEFORE}{name}{AFTER}");
        assert_eq!(key(&comment), Some(name));
        assert!(!is_of_made(&comment));
        let made = format!("{BEFORE}{name}{AFTER_MADE}");
        assert_eq!(key(&made), Some(name));
        assert!(is_of_made(&made));
        assert!(refusal(&comment).contains("restore of it's a \"shop\"/2026"));
        assert_eq!(key("made by hand"), None);
        assert!(refusal("made by hand").contains("a restore was cut short"));
    }
}
