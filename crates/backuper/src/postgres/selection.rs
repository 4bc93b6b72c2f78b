//! Which part of a database a dump has: pg_dump's patterns, resolved by the server as pg_dump resolves them.
//!
//! Several pg_dumps make one backup, and who says which rows each of them takes has to know what the patterns of
//! the others mean. So they are resolved in the snapshot that all of them share, by the expressions that pg_dump
//! makes of them (`expand_schema_name_patterns`, `expand_table_name_patterns`), and with its rules for what is dumped
//! (`selectDumpableNamespace`, `selectDumpableTable`).

mod checks;
mod matches;
mod rights;

use std::collections::HashSet;
use std::ffi::OsString;

use tokio_postgres::Client;

use super::{Error, Kind, Target};
use crate::text::patterns::Patterns;

use matches::Matches;
pub use rights::may_read_all;

/// What is asked for; each is empty where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Schemas that are dumped.
    pub include_schemas: Patterns,
    /// Schemas that are not.
    pub exclude_schemas: Patterns,
    /// Tables that are dumped.
    pub include_tables: Patterns,
    /// Tables that are not.
    pub exclude_tables: Patterns,
    /// Tables whose rows are not.
    pub exclude_table_data: Patterns,
}

impl Filters {
    /// Whether all of the database is dumped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether only what is named is dumped: then nothing is that has no schema, such as large objects, extensions
    /// and publications. PostgreSQL manual, pg_dump: `--schema`, `--table`.
    #[must_use]
    pub fn names_what_is_dumped(&self) -> bool {
        !self.include_schemas.is_empty() || !self.include_tables.is_empty()
    }

    /// Each kind, by the variable that sets it, with pg_dump's option.
    fn kinds(&self) -> [(Setting, &Patterns); 5] {
        [
            (Setting::IncludeSchemas, &self.include_schemas),
            (Setting::ExcludeSchemas, &self.exclude_schemas),
            (Setting::IncludeTables, &self.include_tables),
            (Setting::ExcludeTables, &self.exclude_tables),
            (Setting::ExcludeTableData, &self.exclude_table_data),
        ]
    }

    /// What a pg_dump is told that speaks UTF-8 with the server and takes no rows.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let kinds = self.kinds().into_iter();
        let kinds = kinds.filter(|(setting, _)| *setting != Setting::ExcludeTableData);
        let each = kinds.flat_map(|(setting, patterns)| {
            patterns
                .iter()
                .map(move |it| format!("{}{}", setting.option(), it.as_str()).into())
        });
        each.collect()
    }
}

/// One of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    IncludeSchemas,
    ExcludeSchemas,
    IncludeTables,
    ExcludeTables,
    ExcludeTableData,
}

impl Setting {
    fn option(self) -> &'static str {
        match self {
            Self::IncludeSchemas => "--schema=",
            Self::ExcludeSchemas => "--exclude-schema=",
            Self::IncludeTables => "--table=",
            Self::ExcludeTables => "--exclude-table=",
            Self::ExcludeTableData => "--exclude-table-data=",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::IncludeSchemas => "INCLUDE_SCHEMAS",
            Self::ExcludeSchemas => "EXCLUDE_SCHEMAS",
            Self::IncludeTables => "INCLUDE_TABLES",
            Self::ExcludeTables => "EXCLUDE_TABLES",
            Self::ExcludeTableData => "EXCLUDE_TABLE_DATA",
        }
    }

    fn is_of_schemas(self) -> bool {
        matches!(self, Self::IncludeSchemas | Self::ExcludeSchemas)
    }

    fn includes(self) -> bool {
        matches!(self, Self::IncludeSchemas | Self::IncludeTables)
    }
}

/// What is dumped, by the catalog of a session's snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The tables whose rows are dumped.
    rows: HashSet<u32>,
    /// The relations that are dumped, and the schemas whose other objects are.
    dumped: (Vec<u32>, Vec<u32>),
    /// The tables whose rows are not dumped, although they are, as SQL writes their names.
    pub without_rows: Vec<String>,
    without: Vec<u32>,
    /// The patterns for a pg_dump that speaks the database's own encoding with the server.
    pub arguments: Vec<OsString>,
    /// Partitions that are left out of a table that is dumped, in words.
    pub left_out_partitions: Vec<String>,
    /// Whether there is more than what is named.
    is_of_names: bool,
}

/// What can have a definition or rows of its own. PostgreSQL manual, 53.32: pg_inherits has partitions too.
const RELATIONS: &str = "
    SELECT c.oid, c.relkind::text, n.oid, format('%I.%I', n.nspname, c.relname), i.inhparent,
           EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'),
           (SELECT d.refobjid FROM pg_depend d
             WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
               AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid <> 0 AND d.deptype IN ('a', 'i') LIMIT 1)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND c.relispartition
     WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND c.relpersistence <> 't'
       AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
     ORDER BY 4";

const SCHEMAS: &str = "
    SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'";

/// A relation of the database.
#[derive(Clone, Debug)]
struct Relation {
    oid: u32,
    kind: String,
    schema: u32,
    name: String,
    /// What it is a partition of.
    parent: Option<u32>,
    /// Whether it comes with an extension, and only some of its rows are dumped.
    of_extension: bool,
    /// The table that has this sequence, which comes with it: `getOwnedSeqs` in PostgreSQL's
    /// `src/bin/pg_dump/pg_dump.c`.
    owner: Option<u32>,
}

impl Relation {
    fn has_rows(&self) -> bool {
        self.kind == "r"
    }

    fn is_partitioned(&self) -> bool {
        self.kind == "p"
    }
}

impl Selection {
    /// Resolves the patterns in the transaction that the session is in.
    ///
    /// # Errors
    /// `Kind::Unsupported` where one matches nothing, or what is left cannot be restored; what the server said.
    pub async fn resolve(
        session: &Client,
        target: &Target,
        filters: &Filters,
    ) -> Result<Self, Error> {
        let failed =
            |error: tokio_postgres::Error| Error::new("choosing the tables of", target, &error);
        let rows = session.query(RELATIONS, &[]).await.map_err(failed)?;
        let relations: Vec<Relation> = rows
            .iter()
            .map(|row| Relation {
                oid: row.get(0),
                kind: row.get(1),
                schema: row.get(2),
                name: row.get(3),
                parent: row.get(4),
                of_extension: row.get(5),
                owner: row.get(6),
            })
            .collect();
        let schemas = session.query(SCHEMAS, &[]).await.map_err(failed)?;
        let schemas = schemas.iter().map(|row| row.get(0)).collect();
        let matches = Matches::of(session, target, filters).await?;
        checks::extensions(session, target, filters, &matches).await?;
        let mut chosen = Self::of(&relations, schemas, filters, &matches);
        let refuse = |why: String| refusal(target, why);
        checks::partitions(&relations, &chosen, &matches).map_err(refuse)?;
        let left_out = checks::left_out_partitions(&relations, &chosen);
        chosen.left_out_partitions = left_out.map_err(refuse)?;
        if !filters.include_schemas.is_empty() && chosen.dumped.1.is_empty() {
            return Err(refusal(
                target,
                "EXCLUDE_SCHEMAS leaves out everything that INCLUDE_SCHEMAS names, so nothing would be backed up; correct one of them",
            ));
        }
        if !filters.include_tables.is_empty() && chosen.dumped.0.is_empty() {
            return Err(refusal(
                target,
                "EXCLUDE_TABLES leaves out everything that INCLUDE_TABLES names, so nothing would be backed up; correct one of them",
            ));
        }
        Ok(chosen)
    }

    /// What pg_dump dumps.
    fn of(
        relations: &[Relation],
        mut schemas: Vec<u32>,
        filters: &Filters,
        matches: &Matches,
    ) -> Self {
        let by_table = !filters.include_tables.is_empty();
        schemas.retain(|it| {
            let named = filters.include_schemas.is_empty() || matches.include_schemas.contains(it);
            !by_table && named && !matches.exclude_schemas.contains(it)
        });
        let is_named = |it: &Relation| {
            let named = if by_table {
                matches.include_tables.contains(&it.oid)
            } else {
                schemas.contains(&it.schema)
            };
            named && !matches.exclude_tables.contains(&it.oid)
        };
        let named = relations.iter().filter(|it| is_named(it));
        let named: HashSet<u32> = named.map(|it| it.oid).collect();
        let is_dumped = |it: &&Relation| {
            named.contains(&it.oid) || it.owner.is_some_and(|owner| named.contains(&owner))
        };
        let dumped: Vec<&Relation> = relations.iter().filter(is_dumped).collect();
        // Of a foreign table pg_dump takes no rows, and a partitioned one has none of its own.
        let with_rows = dumped.iter().copied().filter(|it| it.has_rows());
        let (without, with): (Vec<&Relation>, Vec<&Relation>) =
            with_rows.partition(|it| matches.exclude_table_data.contains(&it.oid));
        // An extension brings them, whatever is left out.
        let brought = relations
            .iter()
            .filter(|it| it.of_extension && it.has_rows() && !is_dumped(it))
            .filter(|_| !filters.names_what_is_dumped());
        let nameless = without.iter().copied().chain(brought);
        Self {
            rows: with.iter().map(|it| it.oid).collect(),
            without_rows: nameless.map(|it| it.name.clone()).collect(),
            without: without.iter().map(|it| it.oid).collect(),
            dumped: (dumped.iter().map(|it| it.oid).collect(), schemas.clone()),
            arguments: matches.arguments.clone(),
            left_out_partitions: Vec::new(),
            is_of_names: filters.names_what_is_dumped(),
        }
    }

    /// Whether rows of this table are dumped.
    #[must_use]
    pub fn has_rows_of(&self, oid: u32) -> bool {
        self.rows.contains(&oid)
    }

    /// The tables whose rows are dumped.
    #[must_use]
    pub fn oids(&self) -> Vec<u32> {
        self.rows.iter().copied().collect()
    }

    /// What the part needs and does not bring, each in words; it cannot be restored where that is missing.
    ///
    /// # Errors
    /// What the server said.
    pub async fn needs(&self, session: &Client, target: &Target) -> Result<Vec<String>, Error> {
        let (relations, schemas) = &self.dumped;
        checks::needs(session, target, (relations, schemas), self.is_of_names).await
    }

    /// Tables that inherit from one that is dumped and are not, each in words: its rows are theirs too.
    ///
    /// # Errors
    /// What the server said.
    pub async fn left_out_heirs(
        &self,
        session: &Client,
        target: &Target,
    ) -> Result<Vec<String>, Error> {
        checks::heirs(session, target, &self.dumped.0).await
    }

    /// Refuses rows that refer to rows which are left out: no restore could make their foreign key.
    ///
    /// # Errors
    /// `Kind::Unsupported` with the names, and what the server said.
    pub async fn refers_to_its_own_rows(
        &self,
        session: &Client,
        target: &Target,
    ) -> Result<(), Error> {
        checks::foreign_keys(session, target, &self.oids(), &self.without).await
    }
}

fn refusal(target: &Target, why: impl Into<String>) -> Error {
    Error::because(
        Kind::Unsupported,
        "choosing the tables of",
        target,
        format!("{}; nothing was backed up", why.into()),
    )
}
