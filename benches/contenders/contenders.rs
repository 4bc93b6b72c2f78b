//! Who runs: ours, what people use instead, and the floors that nobody can go below.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::databases::{Loaded, rows};
use super::measure::{Figures, measured};
use super::servers::Servers;
use super::testbed::programs;
use super::testbed::{Env, folder};

/// What is restored into.
const TARGET: &str = "target";
/// Where the bytes are that raw transfers carry.
const RAW: &str = "raw";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Backup,
    /// Into an empty database.
    Restore,
    /// Into a database that has everything already.
    InPlace,
}

impl Direction {
    pub(crate) const ALL: [Self; 3] = [Self::Backup, Self::Restore, Self::InPlace];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::InPlace => "in place",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) direction: Direction,
    /// A script for bash; ours have none.
    script: &'static str,
    /// Whether it fills the target.
    fills: bool,
}

pub(crate) const OURS: &str = "ours";
/// Ours as it is without a format of COPY that costs the server less.
const AS_TEXT: &str = "ours, rows as text";
/// Ours with that format wherever it can be had.
const IN_BINARY: &str = "ours, rows in binary";
/// Ours with one session for each table.
const UNSPLIT: &str = "ours, one session a table";
/// Ours as it is without COPYs of its own.
const BY_PG_DUMP: &str = "ours, rows by pg_dump";
pub(crate) const PUBLISHED: &str = "published path";
pub(crate) const FLOOR: &str = "floor: COPY and zstd -1";
pub(crate) const PARALLEL: &str = "pg_restore -Fd -j";
pub(crate) const LOAD_FLOOR: &str = "floor: COPY and indexes";

const fn backup(name: &'static str, script: &'static str) -> Contender {
    Contender {
        name,
        direction: Direction::Backup,
        script,
        fills: false,
    }
}

const fn restore(name: &'static str, script: &'static str) -> Contender {
    Contender {
        name,
        direction: Direction::Restore,
        script,
        fills: true,
    }
}

const CONTENDERS: [Contender; 23] = [
    backup(OURS, ""),
    backup(AS_TEXT, ""),
    backup(IN_BINARY, ""),
    backup(UNSPLIT, ""),
    backup(BY_PG_DUMP, ""),
    backup(
        PUBLISHED,
        "pg_dump -F c -f $WORK/dump; $CLIENT put-file $WORK/dump published/dump",
    ),
    backup("pg_dump | gzip", "pg_dump | gzip | $CLIENT put gzip/dump"),
    backup(
        "pg_dump -Fc | S3",
        "pg_dump --format=custom | $CLIENT put custom/dump",
    ),
    backup(
        "pg_dump -Fd -j",
        "pg_dump -Fd -j $CORES -f $WORK/d; $CLIENT put-all $WORK/d directory/",
    ),
    backup(
        "floor: COPY",
        "for list in $LISTS/*; do psql -qXf $list >/dev/null & done; wait",
    ),
    backup(
        FLOOR,
        "for list in $LISTS/*; do psql -qXf $list | zstd -q -1 >/dev/null & done; wait",
    ),
    backup("floor: PUT", "$CLIENT put-file $RAW raw/dump"),
    restore(OURS, ""),
    restore(AS_TEXT, ""),
    restore(
        PUBLISHED,
        // --clean complains of an empty database, and goes on.
        "$CLIENT get published/dump >$WORK/dump; pg_restore --clean --no-owner -d target $WORK/dump || [ $? = 1 ]",
    ),
    restore(
        "gunzip | psql",
        "$CLIENT get gzip/dump | gunzip | psql -qX -v ON_ERROR_STOP=1 -d target >/dev/null",
    ),
    restore(
        "S3 | pg_restore",
        "$CLIENT get custom/dump | pg_restore --no-owner -d target",
    ),
    restore(
        PARALLEL,
        "$CLIENT get-all directory/ $WORK/d; pg_restore --no-owner -j $CORES -d target $WORK/d",
    ),
    restore(
        LOAD_FLOOR,
        "PGOPTIONS='-c synchronous_commit=off' pg_restore --no-owner --no-acl -j $CORES -d target $FLOOR",
    ),
    Contender {
        fills: false,
        ..restore("floor: GET", "$CLIENT get raw/dump >/dev/null")
    },
    Contender {
        direction: Direction::InPlace,
        ..restore(OURS, "")
    },
    Contender {
        direction: Direction::InPlace,
        ..restore(
            PUBLISHED,
            "$CLIENT get published/dump >$WORK/dump; pg_restore --clean --no-owner -d target $WORK/dump || [ $? = 1 ]",
        )
    },
    Contender {
        direction: Direction::InPlace,
        ..restore(
            "pg_restore -1",
            "$CLIENT get custom/dump | pg_restore --clean --if-exists --no-owner --single-transaction -d target",
        )
    },
];

/// Those that are asked for. What a restore needs, its backup has left.
pub(crate) fn wanted(_loaded: &Loaded) -> Vec<Contender> {
    let only: String = super::setting("BENCH_ONLY", String::new());
    let words: Vec<&str> = only.split_whitespace().collect();
    let asked =
        |it: &Contender| words.is_empty() || words.iter().any(|word| it.name.contains(word));
    CONTENDERS.into_iter().filter(asked).collect()
}

/// Where the contenders for one database play.
pub(crate) struct Stage<'a> {
    servers: &'a Servers,
    loaded: &'a Loaded,
    folder: PathBuf,
    /// How many streams ours has; none: its default.
    pub(crate) streams: Option<u16>,
    /// How strongly ours compresses; none: its default.
    pub(crate) level: Option<i32>,
    /// The port of S3 that ours knows; none: the server's own.
    pub(crate) through: Option<u16>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(servers: &'a Servers, loaded: &'a Loaded) -> Self {
        let stage = Self {
            servers,
            loaded,
            folder: folder("bench"),
            streams: None,
            level: None,
            through: None,
        };
        stage.list_tables();
        stage
    }

    /// What the floors need and what is not measured: lists of tables, one for each core.
    fn list_tables(&self) {
        let lists = self.folder.join("lists");
        std::fs::create_dir(&lists).unwrap();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let tables = self.servers.postgres.sql(
            &self.loaded.name,
            "SELECT pg_table_size(oid) || ' ' || oid::regclass FROM pg_class \
             WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY pg_table_size(oid) DESC",
        );
        let mut loads = vec![(0_u64, String::new()); cores];
        for line in tables.lines() {
            let (bytes, table) = line.split_once(' ').unwrap();
            let least = loads.iter_mut().min_by_key(|it| it.0).unwrap();
            least.0 += bytes.parse::<u64>().unwrap();
            least.1.push_str(&format!("COPY {table} TO STDOUT;\n"));
        }
        for (number, (_, list)) in loads.iter().enumerate() {
            std::fs::write(lists.join(number.to_string()), list).unwrap();
        }
    }

    /// And the rows as plain files.
    fn lay_floor(&self) {
        if !self.folder.join("floor").exists() {
            let mut command = self.bash("pg_dump -Fd -Z0 -j $CORES -f $FLOOR", &self.folder);
            assert!(command.status().unwrap().success(), "the floor's files");
        }
    }

    pub(crate) fn run(&self, name: &str, direction: Direction) -> Figures {
        let contender = CONTENDERS
            .into_iter()
            .find(|it| it.name == name && it.direction == direction);
        let contender = contender.unwrap();
        let work = self.folder.join("work");
        std::fs::create_dir(&work).unwrap();
        match direction {
            Direction::Backup => self.forget(name),
            Direction::Restore => self.servers.fresh(TARGET),
            Direction::InPlace => {
                self.servers.drop(TARGET);
                let copy = format!("CREATE DATABASE {TARGET} TEMPLATE \"{}\"", self.loaded.name);
                self.servers.postgres.sql("postgres", &copy);
            }
        }
        match name {
            "floor: PUT" => self.gather_raw(),
            LOAD_FLOOR => self.lay_floor(),
            _ => {}
        }
        self.servers.settle();
        let before = self.servers.server_cpu();
        let command = match (name, direction) {
            (OURS, Direction::Backup) => self.ours("backuper", &self.loaded.name, &[]),
            (AS_TEXT | IN_BINARY, Direction::Backup) => {
                let format = if name == AS_TEXT { "text" } else { "binary" };
                let more = [("BACKUP_COPY_FORMAT", format)];
                self.ours("backuper", &self.loaded.name, &more)
            }
            (UNSPLIT, _) => {
                let more = [("BACKUP_SPLIT_TABLES", "never")];
                self.ours("backuper", &self.loaded.name, &more)
            }
            (BY_PG_DUMP, _) => {
                let more = [("BACKUP_ROWS", "pg_dump")];
                self.ours("backuper", &self.loaded.name, &more)
            }
            (OURS, _) => {
                let key = self.newest();
                self.ours("restorer", TARGET, &[("BACKUP_REVISION", &key)])
            }
            (AS_TEXT, _) => {
                let key = self.newest();
                let more = [
                    ("BACKUP_REVISION", key.as_str()),
                    ("RESTORE_COPY_FORMAT", "text"),
                ];
                self.ours("restorer", TARGET, &more)
            }
            _ => self.bash(contender.script, &work),
        };
        let mut figures = measured(command, &work, &self.folder.join("log"));
        figures.server_cpu = self.servers.server_cpu() - before;
        if direction == Direction::Backup {
            figures.stored = self.servers.stored(self.prefix(name));
        }
        if contender.fills {
            assert_eq!(
                rows(self.servers, TARGET),
                self.loaded.rows,
                "{name}: rows are missing"
            );
        }
        self.servers.drop(TARGET);
        std::fs::remove_dir_all(&work).unwrap();
        figures
    }

    /// Where a contender's objects are.
    fn prefix(&self, name: &str) -> &str {
        match name {
            OURS | AS_TEXT | IN_BINARY | UNSPLIT | BY_PG_DUMP => &self.loaded.name,
            PUBLISHED => "published",
            "pg_dump | gzip" => "gzip",
            "pg_dump -Fc | S3" => "custom",
            "pg_dump -Fd -j" => "directory",
            "floor: PUT" => RAW,
            _ => "nothing",
        }
    }

    fn forget(&self, name: &str) {
        self.servers.forget(self.prefix(name));
    }

    fn raw(&self) -> PathBuf {
        self.folder.join("raw")
    }

    /// The bytes that ours has stored, for raw transfers.
    fn gather_raw(&self) {
        if self.raw().exists() {
            return;
        }
        let bytes = self.servers.stored(&self.loaded.name);
        let mut noise = std::fs::File::open("/dev/urandom").unwrap();
        let mut file = std::fs::File::create(self.raw()).unwrap();
        std::io::copy(&mut std::io::Read::take(&mut noise, bytes), &mut file).unwrap();
    }

    /// The key of our backup's manifest.
    fn newest(&self) -> String {
        let below = self.servers.bucket().join(&self.loaded.name);
        let folders = std::fs::read_dir(below).unwrap().flatten();
        let names = folders.map(|it| it.file_name().to_string_lossy().into_owned());
        let newest = names.max().expect("a backup of ours");
        format!("{}/{newest}/manifest.json", self.loaded.name)
    }

    pub(crate) fn ours(&self, program: &str, database: &str, more: &[(&str, &str)]) -> Command {
        let postgres = &self.servers.postgres;
        let mut command = Command::new(programs::folder().join(program));
        command
            .env_clear()
            .envs(self.servers.s3_env(self.through))
            .env("PATH", "/usr/bin:/bin")
            .env("DB_HOST", "127.0.0.1")
            .env("DB_PORT", postgres.port().to_string())
            .env("DB_USER", "postgres")
            .env("DB_PASSWORD", postgres.password())
            .env("DB_NAME", database)
            .env("TMPDIR", self.folder.join("work"))
            .current_dir(self.folder.join("work"))
            .envs(more.iter().copied());
        if let Some(level) = self.level {
            command.env("COMPRESSION_LEVEL", level.to_string());
        }
        if let Some(streams) = self.streams {
            command.env("BACKUP_JOBS", streams.to_string());
            command.env("RESTORE_JOBS", streams.to_string());
        }
        command
    }

    pub(crate) fn bash(&self, script: &str, work: &Path) -> Command {
        let client = std::env::current_exe().unwrap();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut env: Env = self.servers.libpq_env(&self.loaded.name);
        env.extend(self.servers.s3_env(None));
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", script])
            .env_clear()
            .envs(env)
            .env("CLIENT", format!("{} client", client.display()))
            .env("CORES", cores.to_string())
            .env("WORK", work)
            .env("TMPDIR", work)
            .env("LISTS", self.folder.join("lists"))
            .env("FLOOR", self.folder.join("floor"))
            .env("RAW", self.raw());
        command
    }
}
