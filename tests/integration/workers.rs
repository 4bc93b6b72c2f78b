//! What tests of the two workers share: a source, a store, and both programs on them.

use super::testbed::postgres::{Cluster, Database, shared};
use super::testbed::programs::{Ended, backuper, restorer};
use super::testbed::s3::S3;
use super::testbed::{Env, env};

/// A database and a bucket.
pub(crate) struct Stage {
    pub(crate) database: Database<'static>,
    pub(crate) s3: S3,
}

impl Stage {
    /// On the shared cluster, with an S3 server of its own.
    pub(crate) fn new(prefix: &str) -> Self {
        Self::on(shared(), prefix)
    }

    pub(crate) fn on(cluster: &'static Cluster, prefix: &str) -> Self {
        Self {
            database: cluster.database(prefix),
            s3: S3::start(),
        }
    }

    /// How a worker reaches both.
    pub(crate) fn env(&self) -> Env {
        with(&self.database.env(), &self.s3.env())
    }

    /// Makes a backup, which must succeed; gives its folder.
    #[track_caller]
    pub(crate) fn back_up(&self, more: &Env) -> String {
        let before = self.s3.manifests();
        backuper(&with(&self.env(), more)).succeed();
        let new = self.s3.manifests();
        let made = new.iter().find(|it| !before.contains(it));
        let manifest = made.expect("a backup has a manifest");
        manifest.trim_end_matches("/manifest.json").to_owned()
    }

    pub(crate) fn backup(&self, more: &Env) -> Ended {
        backuper(&with(&self.env(), more)).run()
    }

    pub(crate) fn restore(&self, more: &Env) -> Ended {
        restorer(&with(&self.env(), more)).run()
    }

    /// Rows that do not compress, this many MiB of them, in one table.
    pub(crate) fn fill(&self, table: &str, mebibytes: u32) {
        self.database.sql(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, data bytea);
             ALTER TABLE {table} ALTER data SET STORAGE EXTERNAL;
             INSERT INTO {table} SELECT i, decode(string_agg(md5(i::text || j), ''), 'hex')
               FROM generate_series(1, {mebibytes} * 16) i, generate_series(1, 4096) j GROUP BY i"
        ));
    }

    /// Nothing of ours is in the bucket.
    #[track_caller]
    pub(crate) fn nothing_is_stored(&self) {
        assert_eq!(self.s3.keys(), Vec::<String>::new());
        assert_eq!(self.s3.uploads_under_way(), 0, "an upload stays");
    }
}

/// One environment over another.
pub(crate) fn with(base: &Env, more: &Env) -> Env {
    let mut all = base.clone();
    for (name, value) in more {
        all.retain(|(it, _)| it != name);
        all.push((name.clone(), value.clone()));
    }
    all
}

/// One variable.
pub(crate) fn var(name: &str, value: &str) -> Env {
    env([(name, value)])
}
