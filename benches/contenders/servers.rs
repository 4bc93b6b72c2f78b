//! The PostgreSQL and the S3 server that every contender speaks to.

use std::path::{Path, PathBuf};

use super::testbed::postgres::{Cluster, installed};
use super::testbed::programs::{Prepared, Running, repository};
use super::testbed::{Env, folder, wait_for};

pub(crate) const ACCESS: &str = "bench";
pub(crate) const SECRET: &str = "bench-secret";
pub(crate) const BUCKET: &str = "bench";

pub(crate) struct Servers {
    pub(crate) postgres: Cluster,
    postmaster: u32,
    pub(crate) s3_port: u16,
    store: PathBuf,
    _s3: Running,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let postgres = Cluster::start(false);
        // A restore in place locks each of many tables.
        let locks = "ALTER SYSTEM SET max_locks_per_transaction = 512";
        postgres.sql("postgres", locks);
        // A crash takes what was not waited for, the password among it.
        postgres.sql("postgres", "CHECKPOINT");
        postgres.crash();
        postgres.boot();
        let pid = postgres.sql(
            "postgres",
            "SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)",
        );
        let (store, attributes) = (folder("s3"), folder("s3-attributes"));
        std::fs::create_dir(store.join(BUCKET)).unwrap();
        let s3_port = free_port();
        // It ends with us, however we end.
        let s3 = Prepared::new("setpriv")
            .env("ROOT_ACCESS_KEY", ACCESS)
            .env("ROOT_SECRET_KEY", SECRET)
            .args(["--pdeathsig", "KILL", "--"])
            .arg(versitygw())
            .args([
                "--port",
                &format!("127.0.0.1:{s3_port}"),
                "--quiet",
                "posix",
                "--sidecar",
            ])
            .arg(&attributes)
            .arg(&store)
            .start();
        wait_for("the S3 server answers", || {
            std::net::TcpStream::connect(("127.0.0.1", s3_port)).ok()
        });
        Self {
            postmaster: pid.trim().parse().unwrap(),
            postgres,
            s3_port,
            store,
            _s3: s3,
        }
    }

    /// What was measured on.
    pub(crate) fn described(&self) -> String {
        let version = self.postgres.sql("postgres", "SHOW server_version");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
        let memory: u64 = memory
            .lines()
            .find_map(|it| {
                it.strip_prefix("MemTotal:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .unwrap();
        format!(
            "{}, {cores} cores, {} GiB; PostgreSQL {version} (fsync = off, shared_buffers = 256MB) and versitygw on loopback",
            jiff::Timestamp::now().strftime("%Y-%m-%d"),
            memory >> 20,
        )
    }

    pub(crate) fn s3_env(&self, through: Option<u16>) -> Env {
        let port = through.unwrap_or(self.s3_port);
        [
            ("S3_ENDPOINT", format!("http://127.0.0.1:{port}")),
            ("S3_BUCKET_NAME", BUCKET.to_owned()),
            ("S3_ACCESS_KEY", ACCESS.to_owned()),
            ("S3_SECRET_KEY", SECRET.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// For libpq's programs: TCP, as ours.
    pub(crate) fn libpq_env(&self, database: &str) -> Env {
        [
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.postgres.port().to_string()),
            ("PGUSER", "postgres".to_owned()),
            ("PGPASSWORD", self.postgres.password().to_owned()),
            ("PGDATABASE", database.to_owned()),
            (
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin", installed().display()),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Seconds of CPU that the server and all its backends have had.
    pub(crate) fn server_cpu(&self) -> f64 {
        super::measure::cpu_with_children(self.postmaster)
    }

    /// The folder that the bucket is.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.store.join(BUCKET)
    }

    /// The bytes of all objects whose keys begin like this.
    pub(crate) fn stored(&self, prefix: &str) -> u64 {
        super::measure::bytes_below(&self.bucket().join(prefix))
    }

    /// Removes what lies below a prefix.
    pub(crate) fn forget(&self, prefix: &str) {
        let path = self.bucket().join(prefix);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }

    /// An empty database of this name.
    pub(crate) fn fresh(&self, database: &str) {
        self.drop(database);
        self.postgres.named(database);
    }

    pub(crate) fn drop(&self, database: &str) {
        self.postgres.sql(
            "postgres",
            &format!("DROP DATABASE IF EXISTS \"{database}\" (FORCE)"),
        );
    }

    /// What one contender has made dirty, the next does not pay for.
    pub(crate) fn settle(&self) {
        self.postgres.sql("postgres", "CHECKPOINT");
        nix::unistd::sync();
    }
}

fn versitygw() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let cache = std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{home}/.cache"));
    let script = repository().join("scripts/tools/go-program.sh");
    let ended = Prepared::new(script)
        .env("HOME", &home)
        .env("XDG_CACHE_HOME", &cache)
        .args(["versitygw"])
        .succeed();
    Path::new(ended.stdout.lines().last().unwrap()).join("versitygw")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
