//! pg_dump's arguments, and what a stream of a backup is.

mod copy_out;
mod explain;
mod globals;
mod part;
pub mod plan;
mod pump;
mod queue;
mod rows;
mod script;
pub mod start;
pub mod streams;
mod unlocked;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use crate::archive::codec::CompressionLevel;
use crate::archive::encryption::{self, Recipients};
use crate::archive::manifest::{Compression, Content};
use crate::archive::{Folder, key};
use crate::child::{self, Output, Program};
use crate::dump::plan::{Plan, Reading, Split};
use crate::postgres::selection::{Filters, Selection};
use crate::postgres::snapshot::Table;
use crate::postgres::tools::Tools;
use crate::postgres::{self, CopyFormat, Target, Traffic, Way};
use crate::progress::Progress;
use crate::storage::{self, Storage};

/// What pg_dump's sessions call themselves.
const APPLICATION: &str = "backuper pg_dump";

/// What all streams of a backup share.
#[derive(Clone, Debug)]
pub struct Dump {
    /// The database.
    pub target: Target,
    /// How pg_dump gets there.
    pub way: Way,
    /// Whose pg_dump.
    pub tools: Tools,
    /// How long to wait for a lock; zero: without a limit.
    pub lock_wait_timeout: Duration,
    /// The database's encoding, such as `UTF8`.
    pub encoding: String,
    /// Who reads the rows.
    pub reading: Reading,
    /// Whether several sessions read the rows of one table.
    pub split: Split,
    /// In which of COPY's formats a COPY of our own has them sent.
    pub copy_format: CopyFormat,
    /// How strongly rows are compressed.
    pub level: CompressionLevel,
    /// What pg_dump writes.
    pub form: Form,
    /// Which part of the database it is of.
    pub filters: Filters,
    /// Who alone can read the streams; none: whoever reads the store.
    pub recipients: Option<Recipients>,
    /// Where the streams go.
    pub storage: Arc<dyn Storage>,
    /// The folder they go to.
    pub folder: Folder,
    /// How far all streams together are.
    pub progress: Arc<Progress>,
}

/// What pg_dump writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Archives, in several streams.
    Archives,
    /// Plain SQL, in one.
    Script {
        /// Whether it sets owners and privileges, which other servers may not have the roles for.
        owners: bool,
        /// Whether it drops what it is about to make, where that is there.
        clean: bool,
    },
}

/// One stream: what it holds and how pg_dump is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The object's name in the folder.
    pub name: String,
    /// What it holds.
    pub content: Content,
    /// The tables whose rows it carries.
    pub tables: Vec<Table>,
    /// How many sessions read its rows, where COPYs of our own do.
    sessions: u16,
    /// Bytes on the server's disk of the large objects that it carries.
    large_objects: u64,
    selection: Vec<OsString>,
}

/// Why a stream is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// pg_dump failed, or was stopped.
    #[error("dumping {name}: {source}")]
    Child {
        /// The stream.
        name: String,
        /// How it ended.
        source: child::Error,
    },
    /// A COPY of our own failed.
    #[error("dumping {name}: {source}")]
    Copy {
        /// The stream.
        name: String,
        /// What the server said.
        source: postgres::Error,
    },
    /// The server has sent rows that have no place in an archive.
    #[error("dumping {name}: {reason}")]
    Unfit {
        /// The stream.
        name: String,
        /// Of which table, and what helps.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The bytes got lost between pg_dump and the store.
    #[error("dumping {name}: {reason}")]
    Broken {
        /// The stream.
        name: String,
        /// What broke.
        reason: String,
    },
}

/// How pg_dump is told which part of a database is meant.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// To one that speaks UTF-8.
    pub of_names: Vec<OsString>,
    /// To one that speaks the database's encoding.
    pub of_rows: Vec<OsString>,
}

/// The streams of a plan, the schema first, in a database with so many bytes of large objects.
#[must_use]
pub fn parts(plan: &Plan, large_objects: u64, encrypted: bool, options: &Options) -> Vec<Part> {
    let suffix = if encrypted { encryption::SUFFIX } else { "" };
    let sections = ["--section=pre-data", "--section=post-data"].map(OsString::from);
    let schema = Part {
        name: format!("{}{suffix}", key::SCHEMA),
        content: Content::Schema,
        tables: Vec::new(),
        sessions: 1,
        large_objects: 0,
        selection: sections
            .into_iter()
            .chain(options.of_names.iter().cloned())
            .collect(),
    };
    let mut rest = vec!["--section=data".into()];
    rest.extend(options.of_rows.iter().cloned());
    for table in plan.streams.iter().flatten() {
        rest.push(option("--exclude-table-data=", table));
    }
    let rest = Part {
        name: format!("{}{suffix}", key::data(0)),
        content: Content::Rest,
        tables: plan.rest.clone(),
        sessions: 1,
        large_objects,
        selection: rest,
    };
    // Each of them is in the part, or it would not be in the plan.
    let own = plan.streams.iter().zip(&plan.sessions);
    let own = own.zip(1..).map(|((tables, sessions), number)| Part {
        name: format!("{}{suffix}", key::data(number)),
        content: Content::Tables,
        tables: tables.clone(),
        sessions: *sessions,
        large_objects: 0,
        selection: std::iter::once("--section=data".into())
            .chain(tables.iter().map(|it| option("--table=", it)))
            .collect(),
    });
    [schema, rest].into_iter().chain(own).collect()
}

impl Dump {
    /// The streams of a plan.
    fn parts(&self, plan: &Plan, large_objects: u64, chosen: Option<&Selection>) -> Vec<Part> {
        // Only what has no schema is none of a part that is named.
        let large_objects = if self.filters.names_what_is_dumped() {
            0
        } else {
            large_objects
        };
        let of_rows = chosen.map_or_else(Vec::new, |it| it.arguments.clone());
        let Form::Script { owners, clean } = self.form else {
            let options = Options {
                of_names: if self.encoding == RAW {
                    of_rows.clone()
                } else {
                    self.filters.arguments()
                },
                of_rows,
            };
            return parts(plan, large_objects, self.recipients.is_some(), &options);
        };
        let options = [
            (!owners, "--no-owner"),
            (!owners, "--no-acl"),
            (clean, "--clean"),
            (clean, "--if-exists"),
        ];
        let selection = options.iter().filter(|(is_set, _)| *is_set);
        let own = plan.streams.iter().flatten();
        vec![Part {
            name: self.folder.name(),
            content: Content::Script,
            tables: plan.rest.iter().chain(own).cloned().collect(),
            sessions: 1,
            large_objects,
            selection: selection
                .map(|(_, option)| option.into())
                .chain(of_rows)
                .collect(),
        }]
    }
}

impl Part {
    /// About how many bytes it stores. Rows compress to a quarter most often, and what does not
    /// compress takes little more than on the server's disk.
    fn expected(&self) -> u64 {
        (self.bytes() + self.large_objects) / 2
    }

    /// Bytes on the server's disk of the rows that it carries.
    fn bytes(&self) -> u64 {
        self.tables.iter().map(|it| it.bytes).sum()
    }
}

fn option(option: &str, table: &Table) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(&table.pattern);
    argument
}

/// From this major on pg_dump can bring the planner's statistics along, and a server takes them.
/// PostgreSQL 18 manual, pg_dump: `--statistics`.
const STATISTICS: u32 = 18;

/// The encoding that takes any bytes and converts none.
const RAW: &str = "SQL_ASCII";

impl Dump {
    /// pg_dump for one stream of a snapshot.
    fn program(&self, part: &Part, snapshot: &str) -> Program {
        let format = match self.form {
            Form::Archives => "--format=custom",
            Form::Script { .. } => "--format=plain",
        };
        let mut arguments: Vec<OsString> = vec![
            format.into(),
            "--compress=0".into(),
            "--no-password".into(),
            // Says which table it is at.
            "--verbose".into(),
            format!("--encoding={}", self.encoding_of(part)).into(),
            format!("--snapshot={snapshot}").into(),
            self.target.connection_argument(Traffic::Reads),
        ];
        // To pg_dump, a time of zero is none at all.
        if !self.lock_wait_timeout.is_zero() {
            let limit = self.lock_wait_timeout.as_millis();
            arguments.push(format!("--lock-wait-timeout={limit}").into());
        }
        // A script may go anywhere, and other servers have no function that takes statistics.
        let bears_statistics = self.form == Form::Archives;
        if bears_statistics && self.tools.major().min(self.way.major) >= STATISTICS {
            arguments.push("--statistics".into());
        }
        arguments.extend(part.selection.iter().cloned());
        let mut environment = self.target.child_environment(APPLICATION);
        // What is below a warning is for those who have asked for it, and fills our log.
        if let Some(options) = self.way.options(&[("client_min_messages", "warning")]) {
            environment.set("PGOPTIONS", options);
        }
        Program {
            path: self.tools.program("pg_dump"),
            arguments,
            environment,
            stdin: false,
            stdout: Output::Piped,
        }
    }

    /// Rows go in the database's own encoding: not every byte that PostgreSQL takes can be converted,
    /// and what comes back must be the same bytes. Names and definitions go in UTF-8, which those who
    /// read them know. What the role has set for its clients would be a third one.
    fn encoding_of(&self, part: &Part) -> &str {
        match part.content {
            Content::Schema | Content::Globals if self.encoding != RAW => "UTF8",
            Content::Schema
            | Content::Globals
            | Content::Tables
            | Content::Rest
            | Content::Script => &self.encoding,
        }
    }
}

fn compression(part: &Part) -> Compression {
    match part.content {
        Content::Schema => Compression::None,
        Content::Tables | Content::Rest | Content::Globals => Compression::Zstd,
        Content::Script => Compression::Gzip,
    }
}

fn failed(part: &Part, source: child::Error) -> Error {
    Error::Child {
        name: part.name.clone(),
        source,
    }
}

fn broken(part: &Part, reason: impl Into<String>) -> Error {
    Error::Broken {
        name: part.name.clone(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_stream_takes_the_common_one_leaves() {
        let table = |oid, name: &str| Table {
            oid,
            schema: "public".to_owned(),
            name: name.to_owned(),
            bytes: 0,
            of_extension: false,
            of_trusted_owner: false,
            pattern: crate::text::sql::pattern("public", name).into(),
        };
        let plan = Plan {
            rest: vec![table(1, "small")],
            streams: vec![vec![table(2, "La*rge \"x\"")]],
            sessions: vec![3],
        };
        let [schema, rest, own] = parts(&plan, 7, false, &Options::default())
            .try_into()
            .unwrap();
        assert_eq!(
            schema.selection,
            ["--section=pre-data", "--section=post-data"]
        );
        let name = r#""public"."La*rge ""x""""#;
        let excluded = format!("--exclude-table-data={name}");
        assert_eq!(rest.selection, ["--section=data", excluded.as_str()]);
        assert_eq!(
            own.selection,
            ["--section=data", format!("--table={name}").as_str()]
        );
        assert_eq!(
            (rest.name.as_str(), own.name.as_str()),
            ("data-000.dump.zst", "data-001.dump.zst")
        );
        let names: Vec<String> = parts(&plan, 7, true, &Options::default())
            .into_iter()
            .map(|it| it.name)
            .collect();
        assert_eq!(
            names,
            [
                "schema.dump.age",
                "data-000.dump.zst.age",
                "data-001.dump.zst.age"
            ]
        );
    }
}
