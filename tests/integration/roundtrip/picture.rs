//! What is compared: a database's dump, the rows of each table, the planner's statistics, and what
//! belongs to the database itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::testbed::folder;
use crate::testbed::postgres::Database;

/// Nothing of the database's own settings may change how its contents read.
const PLAIN: &str = "\
    SET search_path = pg_catalog; SET standard_conforming_strings = on; SET datestyle = 'ISO, MDY'; \
    SET intervalstyle = postgres; SET timezone = 'UTC'; SET bytea_output = hex; SET extra_float_digits = 1; \
    SET lc_monetary = 'C'; SET xmloption = content; SET row_security = off; SET quote_all_identifiers = off;\n";

/// The time-outs that a database may have would end what only looks at it.
const NO_TIMEOUTS: &str =
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0";

/// The same for pg_dump, which does not set these itself.
const UNSET: &str = "-c standard_conforming_strings=on -c timezone=UTC -c bytea_output=hex \
    -c quote_all_identifiers=off -c xmloption=content -c array_nulls=on -c default_text_search_config=pg_catalog.simple";

/// Asks each table that holds rows for their number and a checksum: extensions' tables and
/// materialized views too, which pg_dump does not write.
const ROWS: &str = "\
    SELECT format('SELECT %L, count(*), coalesce(md5(string_agg(md5(t::text), '''' ORDER BY md5(t::text) COLLATE \"C\")), ''-'') \
                     FROM ONLY %s AS t', name, name) \
      FROM (SELECT format('%I.%I', n.nspname, c.relname) AS name \
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'm') AND c.relispopulated \
               AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema') every \
     ORDER BY name COLLATE \"C\" \\gexec\n";

/// The tables of a role that hold rows and have no statistics.
const UNANALYZED: &str = "\
    SELECT format('SELECT %L WHERE EXISTS (SELECT FROM ONLY %s)', name, name) \
      FROM (SELECT format('%I.%I', n.nspname, c.relname) AS name \
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'm') AND c.relispopulated \
               AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
               AND pg_has_role(:'worker', c.relowner, 'USAGE') \
               AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 \
                             AND NOT a.attisdropped AND coalesce(a.attstattarget, -1) <> 0) \
               AND NOT EXISTS (SELECT FROM pg_statistic s WHERE s.starelid = c.oid)) every \
     ORDER BY name COLLATE \"C\" \\gexec\n";

/// What belongs to the database itself, a line each.
const OF_THE_DATABASE: &str = "\
    SELECT each.key || ' ' || coalesce(each.value, '-') \
      FROM pg_database d CROSS JOIN LATERAL jsonb_each_text(to_jsonb(d)) each \
     WHERE d.datname = current_database() AND each.key NOT IN \
       ('oid', 'datdba', 'datacl', 'datlastsysoid', 'datfrozenxid', 'datminmxid', 'dathasloginevt', 'dattablespace') \
     ORDER BY 1; \
    SELECT 'owner ' || pg_get_userbyid(datdba) || ', tablespace ' || t.spcname || coalesce(', comment ' || shobj_description(d.oid, 'pg_database'), '') \
      FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = current_database(); \
    SELECT 'privilege ' || item FROM pg_database CROSS JOIN LATERAL unnest(datacl) item \
     WHERE datname = current_database() ORDER BY item::text COLLATE \"C\"; \
    SELECT 'setting ' || CASE setrole WHEN 0 THEN 'of all' ELSE 'of ' || pg_get_userbyid(setrole) END || ' ' || setting \
      FROM pg_db_role_setting CROSS JOIN LATERAL unnest(setconfig) setting \
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     ORDER BY setrole <> 0, 1;\n";

const SEPARATOR: &str = "=== what follows is something else ===";

/// How many differences one failure names.
const NAMED: usize = 6;

/// Everything that can be compared of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picture {
    /// The entries of a dump, in their order.
    entries: Vec<Entry>,
    rows: String,
    own: Own,
    /// See [`UNANALYZED`].
    unanalyzed: String,
}

/// What belongs to the database itself; see [`OF_THE_DATABASE`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Own(String);

impl Own {
    /// Runs SQL and looks at what is then.
    #[track_caller]
    pub(super) fn after(database: &Database, sql: &str) -> Self {
        let asked = format!(
            "SET client_min_messages = warning;\n{sql}\n\\echo {SEPARATOR}\nRESET SESSION AUTHORIZATION;\n{PLAIN}{OF_THE_DATABASE}"
        );
        let answers = psql(database, &asked);
        let (_, own) = answers.rsplit_once(SEPARATOR).expect("an answer");
        Self(own.trim_start().to_owned())
    }
}

/// What stands between two comments of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// `t; Type: TABLE; Schema: public`; the owner is in the text.
    name: String,
    text: String,
}

impl Picture {
    /// Looks at a database; `worker` is the role whose tables are to have statistics.
    #[track_caller]
    pub(super) fn of(database: &Database, worker: &str) -> Self {
        let dump = text(&compared(database));
        let asked = format!(
            "\\set worker {worker}\n{PLAIN}{ROWS}\\echo {SEPARATOR}\n{OF_THE_DATABASE}\\echo {SEPARATOR}\n{UNANALYZED}"
        );
        let answers = psql(database, &asked);
        let mut answers = answers
            .split(SEPARATOR)
            .map(|it| it.trim_start().to_owned());
        let mut next = || answers.next().expect("three answers");
        Self {
            entries: entries(&dump),
            rows: next(),
            own: Own(next()),
            unanalyzed: next(),
        }
    }

    /// What belongs to the database itself.
    pub(super) fn own(&self) -> &Own {
        &self.own
    }

    /// How the contents differ from what they are to be; nothing where they do not.
    pub(super) fn contents_differ(&self, wanted: &Self) -> Vec<String> {
        let mut found = entries_differ(&wanted.contents(), &self.contents());
        found.extend(lines_differ("rows", &wanted.rows, &self.rows));
        found
    }

    /// How what belongs to the database itself differs.
    pub(super) fn own_differs(&self, wanted: &Own) -> Vec<String> {
        lines_differ("of the database", &wanted.0, &self.own.0)
    }

    /// How what `pg_dump --create` says of the database itself differs.
    pub(super) fn creation_differs(&self, wanted: &Self) -> Vec<String> {
        entries_differ(&wanted.of_the_database(), &self.of_the_database())
    }

    /// The tables that have no statistics.
    pub(super) fn unanalyzed(&self) -> Vec<String> {
        let tables = self.unanalyzed.lines().filter(|it| !it.is_empty());
        tables.map(|it| format!("no statistics of {it}")).collect()
    }

    fn contents(&self) -> Vec<&Entry> {
        self.entries
            .iter()
            .filter(|it| !it.is_of_the_database())
            .collect()
    }

    fn of_the_database(&self) -> Vec<&Entry> {
        self.entries
            .iter()
            .filter(|it| it.is_of_the_database())
            .collect()
    }
}

impl Entry {
    fn is_of_the_database(&self) -> bool {
        self.name.starts_with("DATABASE ") || self.name.contains("; Type: DATABASE")
    }
}

/// Runs SQL in a database and gives what psql prints, unaligned.
#[track_caller]
fn psql(database: &Database, sql: &str) -> String {
    let script = folder("sql").join("script.sql");
    std::fs::write(&script, sql).expect("a file");
    let psql = database.cluster().tool("psql", database.name());
    let psql = psql.env("PGOPTIONS", &options(database, ""));
    let psql = psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f"]);
    psql.arg(&script).succeed().stdout
}

/// A dump as pg_dump writes it, which is not always UTF-8; a plain one without what differs from run
/// to run.
#[track_caller]
pub(super) fn dump(database: &Database, arguments: &[&str]) -> Vec<u8> {
    dump_with(database, arguments, "")
}

/// As `PGOPTIONS` has them: no time-out of any kind, and these.
fn options(database: &Database, more: &str) -> String {
    let others = database.cluster().no_timeouts();
    format!("{NO_TIMEOUTS} {others} {more}")
}

#[track_caller]
fn dump_with(database: &Database, arguments: &[&str], settings: &str) -> Vec<u8> {
    let path = folder("dump").join("dump");
    database
        .cluster()
        .tool("pg_dump", database.name())
        .env("PGOPTIONS", &options(database, settings))
        .args(arguments)
        .arg("-f")
        .arg(&path)
        .succeed();
    let bytes = std::fs::read(&path).expect("the dump");
    std::fs::remove_file(&path).expect("the dump is there");
    if bytes.starts_with(b"PGDMP") {
        return bytes;
    }
    let restricts = |it: &&[u8]| it.starts_with(b"\\restrict ") || it.starts_with(b"\\unrestrict ");
    let lines = bytes.split_inclusive(|it| *it == b'\n');
    let lines = lines.filter(|it| !restricts(it));
    lines.flatten().copied().collect()
}

/// A whole dump in which nothing reads otherwise for a setting that only one of two databases has: one
/// that was there before gets none.
#[track_caller]
fn compared(database: &Database) -> Vec<u8> {
    let encoding = psql(database, "SHOW server_encoding");
    let encoding = format!("--encoding={}", encoding.trim());
    dump_with(database, &["--create", &encoding], UNSET)
}

/// Bytes that are not UTF-8 as one character each, so that no difference is lost.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|it| char::from(*it)).collect(),
    }
}

fn entries(dump: &str) -> Vec<Entry> {
    let parts = dump.trim_start_matches("--\n-- ").split("\n--\n-- ");
    let entry = |part: &str| {
        let (head, body) = part.split_once("\n--\n").unwrap_or(("the end", part));
        let name = head.trim_start_matches("Name: ");
        let name = name.split("; Owner: ").next().unwrap_or(name);
        let mut lines: Vec<&str> = body.trim().lines().collect();
        if name.contains("; Type: DATABASE PROPERTIES") {
            // pg_dump asks for the settings of roles in no order: a plan decides.
            lines.sort_unstable();
        }
        Entry {
            name: name.to_owned(),
            text: lines.join("\n"),
        }
    };
    parts.map(entry).collect()
}

/// Differences of two dumps, entry by entry.
fn entries_differ(wanted: &[&Entry], found: &[&Entry]) -> Vec<String> {
    if wanted == found {
        return Vec::new();
    }
    let (wanted, found) = (by_name(wanted), by_name(found));
    let mut differences = Vec::new();
    for (name, text) in &wanted {
        match found.get(name) {
            None => differences.push(format!("is missing: {name}")),
            Some(other) => differences.extend(lines_differ(name, text, other)),
        }
    }
    let more = found.keys().filter(|it| !wanted.contains_key(*it));
    differences.extend(more.map(|it| format!("is too much: {it}")));
    if differences.is_empty() {
        differences.push("the same entries in another order".to_owned());
    }
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    differences.extend((more > 0).then(|| format!("and {more} more differences")));
    differences
}

/// The texts by their names; a name may come several times.
fn by_name<'a>(entries: &[&'a Entry]) -> BTreeMap<String, &'a str> {
    let mut all = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let mut name = entry.name.clone();
        if all.contains_key(&name) {
            write!(name, " ({place})").expect("a string takes all");
        }
        all.insert(name, entry.text.as_str());
    }
    all
}

/// The first line that differs.
fn lines_differ(what: &str, wanted: &str, found: &str) -> Vec<String> {
    if wanted == found {
        return Vec::new();
    }
    let pairs = wanted.lines().zip(found.lines());
    let same = pairs.take_while(|(one, other)| one == other).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(nothing)").to_owned();
    vec![format!(
        "{what}: {:.160} is now {:.160}",
        line(wanted),
        line(found)
    )]
}
