//! A database of the table on a server, and the programs that work on it.

use std::path::PathBuf;

use super::databases::Sample;
use super::picture::{self, Own, Picture};
use super::publisher::Publisher;
use super::server::{PASSWORD_OF_APP, Server};
use crate::testbed::postgres::{Database, quoted};
use crate::testbed::programs::{Ended, backuper, restorer};
use crate::testbed::{Env, env, folder};
use crate::workers::{var, with};

/// A script as somebody keeps it in the store.
const SCRIPT: &str = "scripts/script.sql";

/// Who owns what somebody has made; a partition, an index and a row type have no owner of their own.
const OWNERS: &str = "\
    SELECT string_agg(DISTINCT pg_get_userbyid(owner), ', ') FROM ( \
        SELECT relowner AS owner FROM pg_class WHERE oid >= 16384 \
        UNION ALL SELECT proowner FROM pg_proc WHERE oid >= 16384 \
        UNION ALL SELECT typowner FROM pg_type WHERE oid >= 16384 \
        UNION ALL SELECT nspowner FROM pg_namespace WHERE oid >= 16384 \
        UNION ALL SELECT oprowner FROM pg_operator WHERE oid >= 16384 \
        UNION ALL SELECT collowner FROM pg_collation WHERE oid >= 16384 \
        UNION ALL SELECT cfgowner FROM pg_ts_config WHERE oid >= 16384 \
        UNION ALL SELECT srvowner FROM pg_foreign_server \
        UNION ALL SELECT pubowner FROM pg_publication \
        UNION ALL SELECT lomowner FROM pg_largeobject_metadata) every";

pub(super) struct Subject {
    pub(super) server: &'static Server,
    pub(super) sample: Sample,
    pub(super) publisher: Publisher,
    database: Database<'static>,
    /// A directory is the store: what a store does is not what these tests are about.
    store: PathBuf,
}

/// What a restore is told to take.
#[derive(Clone, Copy)]
pub(super) enum Revision {
    /// The newest backup.
    Latest,
    /// A single archive as the published adapter stores it.
    Archive,
    /// A plain script.
    Script,
}

impl Subject {
    pub(super) fn new(server: &'static Server, sample: Sample) -> Self {
        Self {
            server,
            sample,
            publisher: Publisher::start(),
            database: server.cluster.existing(sample.name),
            store: folder("store"),
        }
    }

    /// A new database in the place of what is there, with these parts of the file in it; gives what
    /// belongs to the database itself.
    pub(super) fn create(&self, parts: &[Option<&str>]) -> Own {
        let name = quoted(self.sample.name);
        let owner = if self.sample.as_app { "OWNER app" } else { "" };
        let with = self.sample.made_with;
        let dropping = self.dropping();
        let mut script = format!(
            "{dropping}CREATE DATABASE {name} TEMPLATE template0 {owner} {with};\n\\connect {name}\n"
        );
        self.add(&mut script, parts);
        Own::after(&self.server.cluster.existing("postgres"), &script)
    }

    /// Runs a part of the file, where there is one; gives what belongs to the database itself.
    pub(super) fn run(&self, part: Option<&str>) -> Own {
        let mut script = String::new();
        self.add(&mut script, &[part]);
        Own::after(&self.database, &script)
    }

    /// Adds parts of the file, and before them what they may count on.
    fn add(&self, script: &mut String, parts: &[Option<&str>]) {
        script.push_str(&format!(
            "\\set publisher '{}'\n",
            self.publisher.connection()
        ));
        for version in 14..=18 {
            let on = if self.server.major >= version {
                "on"
            } else {
                "off"
            };
            script.push_str(&format!("\\set from_{version} {on}\n"));
        }
        for part in parts.iter().flatten() {
            script.push_str(part);
            script.push('\n');
        }
    }

    /// The database is missing afterwards.
    pub(super) fn drop(&self) {
        self.server.cluster.sql("postgres", &self.dropping());
    }

    /// The statements that drop it. PostgreSQL drops no template, and none that has a subscription.
    fn dropping(&self) -> String {
        if self.sample.text.contains("CREATE SUBSCRIPTION") && self.is_there() {
            self.database.sql(
                "SELECT format('ALTER SUBSCRIPTION %I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I', subname)
                   FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \\gexec",
            );
        }
        let name = self.sample.name;
        format!(
            "UPDATE pg_database SET datistemplate = false WHERE datname = '{name}';
             DROP DATABASE IF EXISTS {} WITH (FORCE);\n",
            quoted(name)
        )
    }

    pub(super) fn is_there(&self) -> bool {
        let name = self.sample.name;
        let count = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        self.server.cluster.sql("postgres", &count) == "1"
    }

    pub(super) fn look(&self) -> Picture {
        Picture::of(&self.database, self.worker())
    }

    /// Who owns what somebody has made.
    pub(super) fn owners(&self) -> String {
        self.database.sql(OWNERS)
    }

    pub(super) fn owner_of(&self, table: &str) -> String {
        let owner =
            format!("SELECT relowner::regrole FROM pg_class WHERE oid = '{table}'::regclass");
        self.database.sql(&owner)
    }

    fn worker(&self) -> &'static str {
        if self.sample.as_app {
            "app"
        } else {
            "postgres"
        }
    }

    /// Puts a stock archive and a script into the store.
    pub(super) fn store_singles(&self) {
        let script = match self.sample.part("script") {
            Some(script) => script.as_bytes().to_owned(),
            None => picture::dump(&self.database, &[]),
        };
        let archive = picture::dump(&self.database, &["-Fc"]);
        for (key, bytes) in [(SCRIPT.to_owned(), script), (self.archive_key(), archive)] {
            let path = self.store.join(key);
            std::fs::create_dir_all(path.parent().expect("the store")).expect("a folder");
            std::fs::write(path, bytes).expect("a file");
        }
    }

    /// As the published adapter names it; older than any backup of ours.
    fn archive_key(&self) -> String {
        format!("{}/2020-02-02-02-02-02-backup.sql", self.sample.name)
    }

    pub(super) fn back_up(&self) -> Ended {
        let [rows, format, split, _] = self.steps();
        let told = env([
            ("BACKUP_JOBS", "2"),
            ("BACKUP_ROWS", rows),
            ("BACKUP_COPY_FORMAT", format),
            ("BACKUP_SPLIT_TABLES", split),
        ]);
        backuper(&with(&self.env(), &told)).run()
    }

    /// How rows go: `BACKUP_ROWS`, `BACKUP_COPY_FORMAT`, `BACKUP_SPLIT_TABLES` and `RESTORE_COPY_FORMAT`. Small as the tables
    /// are, by themselves none would be worth anything of it. Two versions have all of it, and on the others each
    /// combination is had by some databases, by other ones on each.
    fn steps(&self) -> [&'static str; 4] {
        const OTHERS: [[&str; 4]; 9] = [
            ["copy", "binary", "always", "text"],
            ["copy", "binary", "never", "binary"],
            ["copy", "binary", "never", "text"],
            ["copy", "text", "always", "text"],
            ["copy", "text", "never", "binary"],
            ["copy", "text", "never", "text"],
            ["pg_dump", "text", "always", "binary"],
            ["pg_dump", "text", "always", "text"],
            ["auto", "auto", "auto", "auto"],
        ];
        match self.server.major {
            15 => ["copy", "text", "always", "binary"],
            18 => ["copy", "binary", "always", "binary"],
            major => {
                let name = self.sample.name.bytes().map(usize::from).sum::<usize>();
                OTHERS[(name + major as usize) % OTHERS.len()]
            }
        }
    }

    /// The version of the pg_dump that made the newest backup.
    pub(super) fn made_with(&self) -> String {
        let folders = std::fs::read_dir(self.store.join(self.sample.name)).expect("backups");
        let manifests = folders.flatten().map(|it| it.path().join("manifest.json"));
        let manifest = manifests
            .filter(|it| it.exists())
            .max()
            .expect("a manifest");
        let manifest = std::fs::read(manifest).expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        let version = manifest["tools"]["pg_dump"].as_str().unwrap_or_default();
        version.to_owned()
    }

    pub(super) fn restore(&self, revision: Revision, more: &Env) -> Ended {
        let revision = match revision {
            Revision::Latest => "latest".to_owned(),
            Revision::Archive => self.archive_key(),
            Revision::Script => SCRIPT.to_owned(),
        };
        let told = env([
            ("BACKUP_REVISION", revision.as_str()),
            ("RESTORE_JOBS", "2"),
            ("RESTORE_COPY_FORMAT", self.steps()[3]),
        ]);
        restorer(&with(&with(&self.env(), &told), more)).run()
    }

    /// With stock tools alone; the database is missing before.
    pub(super) fn restore_with_pg_restore(&self) -> Ended {
        let tool = self.server.cluster.tool("pg_restore", "postgres");
        tool.env("PGUSER", self.worker())
            .args(["--create", "--exit-on-error", "--dbname=postgres"])
            .arg(self.store.join(self.archive_key()))
            .run()
    }

    fn env(&self) -> Env {
        let store = format!("file://{}", self.store.display());
        let mut all = with(&self.database.env(), &var("S3_ENDPOINT", &store));
        if self.sample.as_app {
            let app = env([("DB_USER", "app"), ("DB_PASSWORD", PASSWORD_OF_APP)]);
            all = with(&all, &app);
        }
        with(&all, &self.server.clients)
    }
}
