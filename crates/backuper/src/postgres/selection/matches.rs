//! What each pattern matches.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::super::{Error, Target};
use super::{Filters, Setting, refusal};
use crate::text::patterns::Pattern;

/// As pg_dump asks. Whether it is the server's own, and the pattern in the database's encoding: pg_dump hands its
/// arguments to the server as they are.
const SCHEMAS: &str = "
    SELECT n.oid, n.nspname::pg_catalog.text
      FROM pg_catalog.pg_namespace n
     WHERE n.nspname OPERATOR(pg_catalog.~) $1::pg_catalog.text COLLATE pg_catalog.\"default\"";

/// A name without a schema means what is found by the role's own search path, as in pg_dump. The last column is what
/// matches this one alone, in the database's encoding.
const TABLES: &str = "
    SELECT c.oid, n.nspname::pg_catalog.text, c.relkind::pg_catalog.text,
           pg_catalog.convert_to(
             pg_catalog.format('\"%s\".\"%s\"', pg_catalog.replace(n.nspname::pg_catalog.text, '\"', '\"\"'),
                               pg_catalog.replace(c.relname::pg_catalog.text, '\"', '\"\"')),
             pg_catalog.getdatabaseencoding())
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
     WHERE c.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'S', 'v', 'm', 'f', 'p']::pg_catalog.\"char\"[])
       AND c.relname OPERATOR(pg_catalog.~) $1::pg_catalog.text COLLATE pg_catalog.\"default\"
       AND CASE WHEN $2::pg_catalog.text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid)
                ELSE n.nspname OPERATOR(pg_catalog.~) $2::pg_catalog.text COLLATE pg_catalog.\"default\" END";

const ENCODED: &str = "
    SELECT pg_catalog.convert_to($1::pg_catalog.text, pg_catalog.getdatabaseencoding())";

/// What the patterns match, by oid.
#[derive(Clone, Debug, Default)]
pub(super) struct Matches {
    pub(super) include_schemas: HashSet<u32>,
    pub(super) exclude_schemas: HashSet<u32>,
    pub(super) include_tables: HashSet<u32>,
    pub(super) exclude_tables: HashSet<u32>,
    pub(super) exclude_table_data: HashSet<u32>,
    /// pg_dump's options, in the database's encoding.
    pub(super) arguments: Vec<OsString>,
}

impl Matches {
    /// Asks the server for all of them.
    pub(super) async fn of(
        session: &Client,
        target: &Target,
        filters: &Filters,
    ) -> Result<Self, Error> {
        let failed =
            |error: tokio_postgres::Error| Error::new("choosing the tables of", target, &error);
        let mut matches = Self::default();
        let reset = session.batch_execute("RESET search_path").await;
        reset.map_err(failed)?;
        for (setting, patterns) in filters.kinds() {
            for pattern in patterns.iter() {
                let found = one(session, target, setting, pattern).await?;
                let texts = match found.one_by_one {
                    Some(texts) => texts,
                    None => {
                        let row = session.query_one(ENCODED, &[&pattern.as_str()]).await;
                        vec![row.map_err(failed)?.get(0)]
                    }
                };
                matches.set(setting).extend(found.oids);
                let option = setting.option().as_bytes();
                let arguments = texts.iter().map(|it| [option, it].concat());
                let arguments = arguments.map(OsString::from_vec);
                matches.arguments.extend(arguments);
            }
        }
        let back = session.batch_execute("SET search_path = pg_catalog").await;
        back.map_err(failed)?;
        Ok(matches)
    }

    fn set(&mut self, setting: Setting) -> &mut HashSet<u32> {
        match setting {
            Setting::IncludeSchemas => &mut self.include_schemas,
            Setting::ExcludeSchemas => &mut self.exclude_schemas,
            Setting::IncludeTables => &mut self.include_tables,
            Setting::ExcludeTables => &mut self.exclude_tables,
            Setting::ExcludeTableData => &mut self.exclude_table_data,
        }
    }
}

/// What one pattern matches.
struct Found {
    oids: Vec<u32>,
    /// What matches each of them alone, where pg_dump would take the pattern for more.
    one_by_one: Option<Vec<Vec<u8>>>,
}

/// What one pattern matches, which is something. Rows are those of tables: pg_dump would leave out the value of a
/// sequence too, which then gives keys that are there already, and would not fill a materialized view, so that what
/// reads it fails.
async fn one(
    session: &Client,
    target: &Target,
    setting: Setting,
    pattern: &Pattern,
) -> Result<Found, Error> {
    let found = if setting.is_of_schemas() {
        session.query(SCHEMAS, &[&pattern.name()]).await
    } else {
        let schema = pattern.schema();
        session.query(TABLES, &[&pattern.name(), &schema]).await
    };
    let name = setting.name();
    let text = pattern.as_str();
    let found = found.map_err(|error| match error.code() {
        Some(code) if is_of_the_pattern(code) => {
            let why = error.as_db_error().map_or("", |it| it.message());
            refusal(target, format!("{name}: {text} is no pattern: {why}"))
        }
        _ => Error::new("choosing the tables of", target, &error),
    })?;
    let is_of_rows = setting == Setting::ExcludeTableData;
    let has_no_rows = |row: &Row| is_of_rows && matches!(row.get(2), "S" | "m");
    let (spared, found): (Vec<Row>, Vec<Row>) = found.into_iter().partition(has_no_rows);
    if found.is_empty() {
        return Err(refusal(target, nothing(setting, pattern)));
    }
    let of_server = |row: &&Row| {
        let schema: &str = row.get(1);
        schema.starts_with("pg_") || schema == "information_schema"
    };
    if let Some(row) = found.iter().find(of_server).filter(|_| setting.includes()) {
        let schema: &str = row.get(1);
        return Err(refusal(
            target,
            format!(
                "{name}: {text} also matches what is in {schema}, which belongs to the server and not to a backup; name what is meant, tables with their schema"
            ),
        ));
    }
    let alone = || found.iter().map(|row| row.get(3)).collect();
    Ok(Found {
        oids: found.iter().map(|row| row.get(0)).collect(),
        one_by_one: (!spared.is_empty()).then(alone),
    })
}

fn is_of_the_pattern(code: &SqlState) -> bool {
    *code == SqlState::INVALID_REGULAR_EXPRESSION
        || *code == SqlState::UNTRANSLATABLE_CHARACTER
        || *code == SqlState::CHARACTER_NOT_IN_REPERTOIRE
}

/// What comes of a pattern that matches nothing, and how it may have been meant.
fn nothing(setting: Setting, pattern: &Pattern) -> String {
    let (what, so) = match (setting.is_of_schemas(), setting.includes()) {
        (true, true) => ("schema", "what it is to bring in would be missing"),
        (false, true) => ("table", "what it is to bring in would be missing"),
        (true, false) => ("schema", "what it is to leave out would be backed up"),
        (false, false) if setting == Setting::ExcludeTableData => (
            "table",
            "the rows that it is to leave out would be backed up (sequences always have their value, and materialized views are filled anew)",
        ),
        (false, false) => ("table", "what it is to leave out would be backed up"),
    };
    let hint = if !setting.is_of_schemas() && pattern.schema().is_none() {
        "; a name without a schema means what the role finds by its search_path: write schema.table for others"
    } else {
        ""
    };
    format!(
        "{}: {} matches no {what}, so {so}; correct it or take it out (capitals and other signs need double quotes){hint}",
        setting.name(),
        pattern.as_str()
    )
}
