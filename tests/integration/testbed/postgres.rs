//! Throw-away PostgreSQL clusters, databases in them, and questions to those.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::programs::Prepared;
use super::server::{self, Server};
use super::tls::Authority;
use super::{Env, env, folder, unique, wait_for};

/// Our own connections go over the socket and need no password; those of the programs go over
/// TCP and do.
const HBA: &str =
    "local all postgres trust\nlocal all all trust\nlocal replication postgres trust\n";

/// What makes a cluster quick and lets tests do what they must.
const SETTINGS: &str = "
fsync = off
password_encryption = scram-sha-256
synchronous_commit = off
full_page_writes = off
max_connections = 200
max_prepared_transactions = 20
wal_level = logical
max_wal_size = 4GB
shared_buffers = 256MB
listen_addresses = '127.0.0.1'
timezone = UTC
log_line_prefix = '%m [%p] %d '
";

/// A server with a data folder of its own.
#[derive(Debug)]
pub struct Cluster {
    pub(super) version: Version,
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    pub(super) password: String,
    pub(super) authority: Option<Authority>,
    /// Where its locales are, apart from the system's.
    pub(super) locales: Option<PathBuf>,
    pub(super) server: std::sync::Mutex<Option<Server>>,
}

/// The programs that a cluster is made of and spoken to with.
#[derive(Clone, Debug)]
pub struct Version {
    pub(super) server: PathBuf,
    clients: PathBuf,
}

impl Version {
    /// The newest one that Debian has installed.
    pub fn installed() -> Self {
        Self {
            server: installed(),
            clients: installed(),
        }
    }

    /// A server's programs, and those of its clients where it comes without.
    pub fn at(server: &Path, clients: Option<&Path>) -> Self {
        Self {
            server: server.to_owned(),
            clients: clients.unwrap_or(server).to_owned(),
        }
    }
}

/// The cluster that the tests of this process share.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(false))
}

/// A shared cluster that takes TCP connections with TLS alone; see [`Cluster::authority`].
pub fn shared_with_tls() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(true))
}

/// A program of the installed PostgreSQL.
pub fn program(name: &str) -> PathBuf {
    installed().join(name)
}

/// The programs of the installed PostgreSQL: the newest one that has a server.
pub fn installed() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: run `make tools`");
    versions
        .flatten()
        .filter(|it| it.path().join("bin/initdb").exists())
        .max_by_key(|it| it.file_name().to_string_lossy().parse::<u32>().unwrap_or(0))
        .expect("a PostgreSQL server: run `make tools`")
        .path()
        .join("bin")
}

/// PostgreSQL refuses to run as root.
pub(super) fn user() -> Option<&'static str> {
    nix::unistd::Uid::effective()
        .is_root()
        .then_some("postgres")
}

/// Gives a path to the user that the servers run as.
pub(super) fn own(path: &Path) {
    if let Some(user) = user() {
        let user = nix::unistd::User::from_name(user)
            .expect("the list of users")
            .expect("a user postgres: run `make tools`");
        let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("root may chown");
    }
}

impl Cluster {
    /// A cluster of one's own, for tests that stop and break it.
    pub fn start(tls: bool) -> Self {
        Self::of(Version::installed(), tls)
    }

    /// A cluster of one's own, of any version.
    pub fn of(version: Version, tls: bool) -> Self {
        Self::made(version, tls, None, "")
    }

    /// A cluster of one's own with settings of its own, as lines of `postgresql.conf`.
    pub fn with_settings(settings: &str) -> Self {
        Self::made(Version::installed(), false, None, settings)
    }

    /// A cluster of one's own whose messages are German; see `scripts/tools/postgres-servers.sh`
    /// for where the locale is.
    pub fn german(locales: &Path, settings: &str) -> Self {
        let settings = format!("{settings}\nlc_messages = 'de_DE.UTF-8'\n");
        let cluster = Self::made(Version::installed(), false, Some(locales), &settings);
        let spoken = cluster
            .psql("postgres")
            .args(["-c", "SELECT 1/0"])
            .run()
            .stderr;
        assert!(spoken.contains("Division durch Null"), "{spoken}");
        cluster
    }

    fn made(version: Version, tls: bool, locales: Option<&Path>, settings: &str) -> Self {
        let folder = folder("postgres");
        own(&folder);
        let data = folder.join("data");
        let mut initdb = as_server(&version.server.join("initdb"));
        initdb = initdb.args(["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]);
        initdb = initdb.args(["--auth=trust", "--no-sync", "-D"]).arg(&data);
        initdb.succeed();
        let cluster = Self {
            version,
            port: free_port(),
            password: unique("s3cr3t-"),
            authority: tls.then(Authority::new),
            locales: locales.map(Path::to_owned),
            folder,
            server: std::sync::Mutex::new(None),
        };
        cluster.configure(&data, settings);
        cluster.boot();
        let sql = format!("ALTER ROLE postgres PASSWORD '{}'", cluster.password);
        cluster.sql("postgres", &sql);
        cluster
    }

    fn configure(&self, data: &Path, more: &str) {
        let mut hba = HBA.to_owned();
        let mut settings = format!("{SETTINGS}{more}\n");
        writeln!(settings, "port={}", self.port).expect("a string takes all");
        let socket = self.folder.display();
        writeln!(settings, "unix_socket_directories='{socket}'").expect("a string takes all");
        if let Some(authority) = &self.authority {
            let certificate = authority.sign(&["localhost", "127.0.0.1"]);
            self.present(&certificate.pem, &certificate.key_pem);
            settings.push_str("ssl=on\n");
            hba.push_str("hostssl all all 127.0.0.1/32 scram-sha-256\n");
        } else {
            hba.push_str("host all all 127.0.0.1/32 scram-sha-256\n");
        }
        fs::write(data.join("postgresql.auto.conf"), settings).expect("a file");
        fs::write(data.join("pg_hba.conf"), hba).expect("a file");
    }

    /// Gives the server a certificate, which it shows from its next start on.
    pub fn present(&self, certificate: &str, key: &str) {
        let data = self.folder.join("data");
        give(&data.join("server.crt"), certificate);
        give(&data.join("server.key"), key);
    }

    /// A folder that the server may write to.
    pub fn make_folder(&self, path: &Path) {
        fs::create_dir(path).expect("a new folder");
        own(path);
    }

    /// Starts the server; for a cluster that was stopped.
    pub fn boot(&self) {
        let data = self.folder.join("data");
        let program = self.version.server.join("postgres");
        let locales = self.locales.as_ref();
        let locales = locales.map(|it| format!("LOCPATH={}", it.display()));
        let mut arguments = vec![program.to_str().expect("a plain path")];
        arguments.splice(..0, locales.as_deref());
        arguments.extend(["-D", data.to_str().expect("a plain path")]);
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a file");
        let mut started = server::start(user(), Path::new("/usr/bin/env"), &arguments, log);
        wait_for("PostgreSQL answers", || {
            assert!(!started.ended(), "PostgreSQL ended: {}", self.log());
            let asked = self.psql("postgres").args(["-c", "SELECT 1"]).run();
            asked.status.success().then_some(())
        });
        *self.server.lock().expect("no test panics with it") = Some(started);
    }

    /// Stops the server at once, as a crash would.
    pub fn crash(&self) {
        let mut held = self.server.lock().expect("no test panics with it");
        drop(held.take());
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        let path = self.folder.join("log");
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the role `postgres`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Who signed the certificate of a cluster with TLS.
    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("a cluster with TLS")
    }

    /// A new role with this name, which may log in with the password `p`.
    pub fn role(&self, prefix: &str, attributes: &str) -> String {
        let name = unique(prefix);
        let sql = format!("CREATE ROLE {name} LOGIN PASSWORD 'p' {attributes}");
        self.sql("postgres", &sql);
        name
    }

    /// A new, empty database with a name that begins like this.
    pub fn database(&self, prefix: &str) -> Database<'_> {
        self.named(&unique(prefix))
    }

    /// A new, empty database with this very name.
    pub fn named(&self, name: &str) -> Database<'_> {
        let sql = format!("CREATE DATABASE {} TEMPLATE template0", quoted(name));
        self.sql("postgres", &sql);
        Database {
            cluster: self,
            name: name.to_owned(),
        }
    }

    /// A new, empty database of another encoding than UTF-8.
    pub fn encoded(&self, prefix: &str, encoding: &str) -> Database<'_> {
        let name = unique(prefix);
        let sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'",
            quoted(&name)
        );
        self.sql("postgres", &sql);
        Database {
            cluster: self,
            name,
        }
    }

    /// A handle on a database that is, or will be, there.
    pub fn existing(&self, name: &str) -> Database<'_> {
        Database {
            cluster: self,
            name: name.to_owned(),
        }
    }

    /// Runs SQL in a database and gives what psql prints, unaligned.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let script = folder("sql").join("script.sql");
        fs::write(&script, sql).expect("a file");
        let mut answer = self
            .psql(database)
            .stdin(fs::File::open(&script).expect("the file"))
            .succeed()
            .stdout;
        fs::remove_file(&script).expect("the file is there");
        answer.truncate(answer.trim_end_matches('\n').len());
        answer
    }

    fn psql(&self, database: &str) -> Prepared {
        self.tool("psql", database)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
    }

    /// A tool of PostgreSQL that speaks to a database as the superuser.
    pub fn tool(&self, name: &str, database: &str) -> Prepared {
        // The name goes through the environment: as an argument it could be a conninfo string.
        Prepared::new(self.version.clients.join(name))
            .env("PGHOST", self.folder.to_str().expect("a plain path"))
            .env("PGPORT", &self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", database)
            .env("PGOPTIONS", self.no_timeouts())
            .env("LC_ALL", "C.UTF-8")
    }

    /// For stock programs, whatever a database under test has for others: a busy machine keeps them waiting between
    /// two statements. Those that are not named here they turn off themselves.
    pub fn no_timeouts(&self) -> &'static str {
        let major = fs::read_to_string(self.folder.join("data/PG_VERSION")).expect("a cluster");
        match major.trim().parse().expect("a number") {
            ..=13_u32 => "",
            14..=16 => "-c idle_session_timeout=0",
            17.. => "-c idle_session_timeout=0 -c transaction_timeout=0",
        }
    }
}

/// One database of a cluster.
#[derive(Clone, Debug)]
pub struct Database<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl Database<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn cluster(&self) -> &Cluster {
        self.cluster
    }

    /// Runs SQL and gives what psql prints, unaligned.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    /// How a worker reaches it.
    pub fn env(&self) -> Env {
        env([
            ("DB_HOST", "127.0.0.1"),
            ("DB_PORT", &self.cluster.port.to_string()),
            ("DB_USER", "postgres"),
            ("DB_PASSWORD", &self.cluster.password),
            ("DB_NAME", &self.name),
        ])
    }

    /// All of it as pg_dump's plain text, without what differs from run to run.
    #[track_caller]
    pub fn dump(&self) -> String {
        self.dump_with(&[])
    }

    /// As [`Database::dump`], with more arguments.
    #[track_caller]
    pub fn dump_with(&self, arguments: &[&str]) -> String {
        let dump = self
            .cluster
            .tool("pg_dump", &self.name)
            .args(arguments)
            .succeed();
        let mut text = String::with_capacity(dump.stdout.len());
        for line in dump.stdout.lines() {
            if !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict") {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// A stock dump in the custom format, as the published adapter made it.
    #[track_caller]
    pub fn custom_dump(&self) -> Vec<u8> {
        let path = folder("dump").join("archive");
        self.cluster
            .tool("pg_dump", &self.name)
            .args(["-F", "c", "-f"])
            .arg(&path)
            .succeed();
        fs::read(path).expect("the file")
    }

    /// A checksum over the rows of every table, one line each, sorted by name.
    #[track_caller]
    pub fn checksums(&self) -> String {
        let queries = self.sql(
            "SELECT format('SELECT %L || '' '' || count(*) || '' '' || \
                coalesce(md5(string_agg(md5(t::text), '''' ORDER BY md5(t::text) COLLATE \"C\")), ''-'') \
                FROM ONLY %s t;', oid::regclass, oid::regclass) \
             FROM pg_class WHERE relkind IN ('r', 'm') AND relnamespace NOT IN \
                (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema') \
             ORDER BY oid::regclass::text COLLATE \"C\"",
        );
        self.sql(&queries)
    }
}

/// An SQL identifier, quoted.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A program that runs as the servers do.
pub(super) fn as_server(program: &Path) -> Prepared {
    let prepared = match user() {
        Some(user) => Prepared::new("setpriv")
            .args(["--reuid", user, "--regid", user, "--clear-groups", "--"])
            .arg(program),
        None => Prepared::new(program),
    };
    prepared
        .env("LC_ALL", "C.UTF-8")
        .current_dir(Path::new("/"))
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|it| it.local_addr())
        .expect("a port")
        .port()
}

/// Writes a file that only the server's user may read.
pub(super) fn give(path: &Path, content: &str) {
    fs::write(path, content).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permissions");
    if let Some(parent) = path.parent() {
        use std::os::unix::fs::MetadataExt as _;
        let owner = fs::metadata(parent).expect("the folder");
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
            .expect("root may chown");
    }
}
