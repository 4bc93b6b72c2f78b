//! What is there, and whether we may read all of it: asked before anything is started.

use std::num::NonZeroU16;

use tokio_postgres::Client;

use super::{Error, Kind, Target, Way};

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

/// Tables and sequences that pg_dump would read and this role may not; of an extension's, those that
/// it declares as its configuration.
const UNREADABLE: &str = "
    SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END,
                  n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
       AND ($1::oid[] IS NULL OR c.oid = ANY ($1))
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
       AND (NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                           AND d.objid = c.oid AND d.deptype = 'e')
            OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig)))
       AND NOT (has_schema_privilege(n.oid, 'USAGE')
                AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                                   ELSE has_table_privilege(c.oid, 'SELECT') END)
     ORDER BY 1";

/// Large objects that this role may not read: pg_read_all_data says nothing of them.
const UNREADABLE_LARGE_OBJECTS: &str = "
    SELECT format('large object %s', l.oid)
      FROM pg_largeobject_metadata l
     WHERE $1::oid[] IS NULL AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
       AND current_setting('lo_compat_privileges') <> 'on'
       AND NOT pg_has_role(l.lomowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM aclexplode(l.lomacl) a
                        WHERE a.privilege_type = 'SELECT'
                          AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
     ORDER BY l.oid";

/// Tables whose policies would hide rows from this role: pg_dump refuses to dump those.
/// PostgreSQL manual, 5.9: row security policies.
const HIDDEN: &str = "
    SELECT format('table %I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND row_security_active(c.oid)
       AND ($1::oid[] IS NULL OR c.oid = ANY ($1))
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

/// What a role has to be able to read for a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Tables and sequences.
    Tables,
    /// Large objects.
    LargeObjects,
    /// All rows of the tables, whatever their policies say.
    Rows,
}

impl Reading {
    /// Everything.
    pub const ALL: [Self; 3] = [Self::Tables, Self::LargeObjects, Self::Rows];

    /// What asks for those that may not be read, what is said of them, and what mends it.
    fn question(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Tables => (
                UNREADABLE,
                "may not read",
                "grant it pg_read_all_data, or use the owner",
            ),
            Self::LargeObjects => (
                UNREADABLE_LARGE_OBJECTS,
                "may not read",
                "grant it SELECT on each, or use their owner",
            ),
            Self::Rows => (
                HIDDEN,
                "may not see all rows of",
                "give it BYPASSRLS, or use the owner where the table has no FORCE ROW LEVEL SECURITY",
            ),
        }
    }
}

/// Proves that the role may read all of a kind; with relations, those alone and no large object.
///
/// # Errors
/// `Kind::Denied`, naming what it may not read.
pub async fn may_read(
    client: &Client,
    target: &Target,
    reading: Reading,
    only: Option<&[u32]>,
) -> Result<(), Error> {
    let (query, what, remedy) = reading.question();
    let rows = client
        .query(query, &[&only])
        .await
        .map_err(|error| Error::new("examining", target, &error))?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> = rows.iter().take(NAMED).map(|row| row.get(0)).collect();
    if rows.len() > NAMED {
        names.push(format!("{} more", rows.len() - NAMED));
    }
    let role = acting_role(client, target).await?;
    let reason = format!("role {role} {what} {}; {remedy}", names.join(", "));
    Err(Error::because(Kind::Denied, "reading", target, reason))
}

/// The role whose rights count, and why it is not the one that logged in, where it is not: a setting of
/// `role` is kept, since people set it on purpose. PostgreSQL manual, SET ROLE.
///
/// # Errors
/// What the server said.
pub async fn acting_role(client: &Client, target: &Target) -> Result<String, Error> {
    let row = client
        .query_one("SELECT current_user::text, session_user::text", &[])
        .await
        .map_err(|error| Error::new("examining", target, &error))?;
    let (acting, login): (String, String) = (row.get(0), row.get(1));
    if acting == login {
        return Ok(acting);
    }
    Ok(format!(
        "{acting} (which the setting `role` of role {login}, of the database or of the server makes of it)"
    ))
}

/// Names of all kinds with other than ASCII in them, as they are.
const NAMES: &str = "
    SELECT convert_to(name, 'SQL_ASCII')
      FROM (SELECT nspname::text FROM pg_namespace
            UNION ALL SELECT relname::text FROM pg_class
            UNION ALL SELECT attname::text FROM pg_attribute WHERE attrelid >= 16384
            UNION ALL SELECT proname::text FROM pg_proc WHERE oid >= 16384
            UNION ALL SELECT typname::text FROM pg_type WHERE oid >= 16384
            UNION ALL SELECT conname::text FROM pg_constraint
            UNION ALL SELECT tgname::text FROM pg_trigger
            UNION ALL SELECT polname::text FROM pg_policy
            UNION ALL SELECT rulename::text FROM pg_rewrite WHERE oid >= 16384) AS all_names (name)
     WHERE octet_length(regexp_replace(name, '[\\x01-\\x7f]', '', 'g')) > 0";

/// Proves that names are text. Only a database in SQL_ASCII may hold others: PostgreSQL takes and
/// gives any bytes there, and a manifest cannot.
///
/// # Errors
/// `Kind::Unsupported`, with a name.
pub async fn has_readable_names(client: &Client, target: &Target) -> Result<(), Error> {
    let encoding = client
        .query_one("SELECT getdatabaseencoding()::text", &[])
        .await
        .map_err(|error| Error::new("examining", target, &error))?;
    if encoding.get::<_, &str>(0) != "SQL_ASCII" {
        return Ok(());
    }
    let rows = client
        .query(NAMES, &[])
        .await
        .map_err(|error| Error::new("examining", target, &error))?;
    let names = rows.iter().map(|row| row.get::<_, Vec<u8>>(0));
    let unreadable = names.filter_map(|it| String::from_utf8(it).err()).next();
    match unreadable {
        None => Ok(()),
        Some(name) => {
            let shown = name.as_bytes().escape_ascii().to_string();
            let why = format!(
                "the database is in SQL_ASCII and the name {shown} is no UTF-8 in it, so no program knows what it says; rename it, or move the database to an encoding"
            );
            Err(Error::because(Kind::Unsupported, "reading", target, why))
        }
    }
}

/// What a server leaves to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Connections that the role may still open.
    pub connections: usize,
    /// Whether the server is a standby.
    pub standby: bool,
}

impl Room {
    /// How many programs may have a connection at once: half of those that are free, for others want some
    /// too, shared by the databases that are backed up at once. How many a pooler has, nobody can ask; pgbouncer
    /// has 20 unless it is told otherwise.
    pub(crate) fn programs(self, way: Way, databases: NonZeroU16) -> usize {
        const FEWEST: usize = 2;
        const POOLED: usize = 8;
        let half = self.connections.saturating_sub(1) / 2;
        let half = if way.options { half } else { half.min(POOLED) };
        (half / usize::from(databases.get())).max(FEWEST)
    }
}

/// PostgreSQL manual, 20.3: connection settings.
const ROOM: &str = "
    SELECT pg_is_in_recovery(),
           least(current_setting('max_connections')::int8
                   - CASE WHEN r.rolsuper THEN 0
                          ELSE current_setting('superuser_reserved_connections')::int8
                               + coalesce(current_setting('reserved_connections', true), '0')::int8 END
                   - a.used,
                 CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit - a.here END,
                 CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit - a.ours END)
      FROM pg_roles r, pg_database d,
           (SELECT count(*) FILTER (WHERE datid IS NOT NULL) AS used,
                   count(*) FILTER (WHERE datname = current_database()) AS here,
                   count(*) FILTER (WHERE usename = current_user) AS ours
              FROM pg_stat_activity) a
     WHERE r.rolname = current_user AND d.datname = current_database()";

/// Asks what the server leaves to the run.
///
/// # Errors
/// What the server said.
pub async fn room(client: &Client, target: &Target) -> Result<Room, Error> {
    let row = client
        .query_one(ROOM, &[])
        .await
        .map_err(|error| Error::new("examining", target, &error))?;
    Ok(Room {
        standby: row.get(0),
        connections: usize::try_from(row.get::<_, i64>(1)).unwrap_or(0),
    })
}
