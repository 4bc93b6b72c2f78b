//! What is there, and whether we may read all of it: asked before anything is started.

use tokio_postgres::Client;

use super::{Error, Kind, Target};

/// A database as its server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// `server_version`, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    /// `server_version_num`, such as 150018.
    pub server_version_num: u32,
    /// The database's encoding, such as `UTF8`.
    pub encoding: String,
    /// How the database collates.
    pub locale: Locale,
    /// Names and versions of what is installed, sorted by name.
    pub extensions: Vec<(String, String)>,
    /// `pg_database_size`, bytes.
    pub size_bytes: u64,
    /// The roles among the owners in the database that are superusers, sorted.
    pub superusers: Vec<String>,
}

impl Description {
    /// The server's major version: 15 of 15.18.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.server_version_num / 10_000
    }
}

/// A database's locale, as `CREATE DATABASE` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locale {
    /// `libc`, `icu` or `builtin`.
    pub provider: &'static str,
    /// `LC_COLLATE`.
    pub collate: String,
    /// `LC_CTYPE`.
    pub ctype: String,
    /// The ICU or builtin locale, where the provider has one.
    pub locale: Option<String>,
    /// ICU rules of the database, where it has some.
    pub icu_rules: Option<String>,
}

/// How many names a sentence holds before it only counts.
const NAMED: usize = 5;

/// Tables, sequences and large objects that pg_dump would read and this role may not.
const UNREADABLE: &str = "
    SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END,
                  n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.deptype = 'e')
       AND NOT (has_schema_privilege(n.oid, 'USAGE')
                AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                                   ELSE has_table_privilege(c.oid, 'SELECT') END)
     ORDER BY 1";

/// Tables whose policies would hide rows from this role: pg_dump refuses to dump those.
/// PostgreSQL manual, 5.9: row security policies.
const HIDDEN: &str = "
    SELECT format('table %I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND row_security_active(c.oid)
     ORDER BY 1";

/// Superusers that own something here. What belongs to the role of initdb is recorded nowhere, so it
/// is always one of them. PostgreSQL manual, 53.48: `pg_shdepend`.
const SUPERUSERS: &str = "
    SELECT rolname::text FROM pg_roles r
     WHERE rolsuper AND (oid = 10 OR EXISTS (
           SELECT FROM pg_shdepend d
            WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = r.oid AND d.deptype = 'o'
              AND (d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                   OR (d.classid = 'pg_database'::regclass
                       AND d.objid = (SELECT oid FROM pg_database WHERE datname = current_database())))))
     ORDER BY rolname::text COLLATE \"C\"";

/// Asks the server about the database.
///
/// # Errors
/// What the server said.
pub async fn describe(client: &Client, target: &Target) -> Result<Description, Error> {
    let failed = |error: tokio_postgres::Error| Error::new("examining", target, &error);
    let row = client
        .query_one(
            "SELECT current_setting('server_version'), current_setting('server_version_num')::int4,
                    pg_database_size(current_database()), to_jsonb(d),
                    pg_encoding_to_char(d.encoding)::text
               FROM pg_database d WHERE d.datname = current_database()",
            &[],
        )
        .await
        .map_err(failed)?;
    let extensions = client
        .query(
            "SELECT extname::text, extversion FROM pg_extension ORDER BY extname::text COLLATE \"C\"",
            &[],
        )
        .await
        .map_err(failed)?;
    let superusers = client.query(SUPERUSERS, &[]).await.map_err(failed)?;
    let number: i32 = row.get(1);
    let size: i64 = row.get(2);
    Ok(Description {
        server_version: row.get(0),
        server_version_num: number.unsigned_abs(),
        encoding: row.get(4),
        locale: locale(&row.get(3)),
        extensions: extensions
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect(),
        size_bytes: size.unsigned_abs(),
        superusers: superusers.iter().map(|row| row.get(0)).collect(),
    })
}

/// The columns came one by one: provider in 15, ICU rules in 16, `daticulocale` became
/// `datlocale` in 17.
fn locale(database: &serde_json::Value) -> Locale {
    let text = |name: &str| {
        let value = database.get(name).and_then(serde_json::Value::as_str);
        value.filter(|it| !it.is_empty()).map(str::to_owned)
    };
    let provider = match text("datlocprovider").as_deref() {
        Some("i") => "icu",
        Some("b") => "builtin",
        _ => "libc",
    };
    Locale {
        provider,
        collate: text("datcollate").unwrap_or_default(),
        ctype: text("datctype").unwrap_or_default(),
        locale: text("datlocale").or_else(|| text("daticulocale")),
        icu_rules: text("daticurules"),
    }
}

/// Proves that the role may read everything.
///
/// # Errors
/// `Kind::Denied`, naming what it may not read.
pub async fn may_read_all(client: &Client, target: &Target) -> Result<(), Error> {
    for (query, what) in [
        (UNREADABLE, "may not read"),
        (HIDDEN, "may not see all rows of"),
    ] {
        let rows = client
            .query(query, &[])
            .await
            .map_err(|error| Error::new("examining", target, &error))?;
        if rows.is_empty() {
            continue;
        }
        let mut names: Vec<String> = rows.iter().take(NAMED).map(|row| row.get(0)).collect();
        if rows.len() > NAMED {
            names.push(format!("{} more", rows.len() - NAMED));
        }
        let reason = format!(
            "role {} {what} {}; grant it pg_read_all_data (and BYPASSRLS for tables with row security), or use the owner",
            target.user(),
            names.join(", ")
        );
        return Err(Error::because(Kind::Denied, "reading", target, reason));
    }
    Ok(())
}
