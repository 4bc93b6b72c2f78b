//! TLS to PostgreSQL: both sides of a worker, its own sessions and libpq's programs, give the same
//! verdict, and give it before anything is dumped. F47.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::testbed::postgres::{self, Cluster};
use super::testbed::programs::{Ended, Prepared};
use super::testbed::tls::{Authority, Certificate, self_signed};
use super::testbed::{Env, env, folder};
use super::workers::{Stage, with};

fn file(name: &str, pem: &str) -> PathBuf {
    let path = folder("pem").join(name);
    fs::write(&path, pem).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// What libpq says with the same settings.
fn stock(cluster: &Cluster, settings: &Env) -> Ended {
    let mut psql = Prepared::new(postgres::program("psql"))
        .args(["-XAt", "-c", "SELECT 1"])
        .env("HOME", "/nonexistent")
        .env("PGHOST", "localhost")
        .env("PGPORT", &cluster.port().to_string())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", cluster.password());
    for (name, value) in settings.iter().filter(|(_, value)| !value.is_empty()) {
        psql = psql.env(&name.replace("DB_", "PG"), value);
    }
    psql.run()
}

fn settings(host: &str, mode: &str, root: Option<&Path>) -> Env {
    let root = root.map_or("", |it| it.to_str().unwrap());
    env([
        ("DB_HOST", host),
        ("DB_SSLMODE", mode),
        ("DB_SSLROOTCERT", root),
    ])
}

#[track_caller]
fn both_say(stage: &Stage, settings: &Env, good: bool) {
    let stock = stock(stage.database.cluster(), settings);
    assert_eq!(stock.status.success(), good, "{settings:?}: {stock}");
    let ours = stage.backup(settings);
    assert_eq!(
        ours.code(),
        Some(if good { 0 } else { 2 }),
        "{settings:?}: {ours}"
    );
    assert!(
        good || !ours.printed().contains("dumping"),
        "not before pg_dump starts: {ours}"
    );
}

/// A cluster that shows a certificate, and the file to trust.
fn showing(certificate: &Certificate, root: &str) -> (Stage, PathBuf) {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(true)));
    // The test cluster does not wait for the disk, and a crash would forget its password.
    cluster.sql("postgres", "CHECKPOINT");
    cluster.crash();
    cluster.present(&certificate.pem, &certificate.key_pem);
    cluster.boot();
    (Stage::on(cluster, "tls"), file("root.pem", root))
}

#[test]
fn a_server_that_signed_itself_is_trusted_where_it_is_the_root() {
    let certificate = self_signed("localhost");
    let (stage, root) = showing(&certificate, &certificate.pem);
    for mode in ["require", "verify-ca", "verify-full"] {
        both_say(&stage, &settings("localhost", mode, Some(&root)), true);
    }
    // By its address it is another.
    let other = settings("127.0.0.1", "verify-full", Some(&root));
    both_say(&stage, &other, false);
    let stranger = file("stranger.pem", &self_signed("localhost").pem);
    for mode in ["require", "verify-ca", "verify-full"] {
        both_say(&stage, &settings("localhost", mode, Some(&stranger)), false);
    }
    stage.database.cluster().crash();
}

#[test]
fn a_certificate_with_a_common_name_alone_names_its_server() {
    let authority = Authority::new();
    let (stage, root) = showing(&authority.sign_common_name("localhost"), authority.pem());
    for (host, mode, good) in [
        ("localhost", "verify-full", true),
        ("LOCALHOST", "verify-full", true),
        ("127.0.0.1", "verify-full", false),
        ("127.0.0.1", "verify-ca", true),
    ] {
        both_say(&stage, &settings(host, mode, Some(&root)), good);
    }
    stage.database.cluster().crash();
}

/// As PostgreSQL's manual makes it, 19.9.5.
#[test]
fn a_certificate_of_x509_version_1_is_taken() {
    let authority = Authority::new();
    let (stage, root) = showing(&authority.sign_version_1("localhost"), authority.pem());
    for (host, mode, root, good) in [
        ("127.0.0.1", "require", None, true),
        ("localhost", "verify-full", Some(&root), true),
        ("127.0.0.1", "verify-full", Some(&root), false),
        (
            "localhost",
            "verify-ca",
            Some(&Authority::new().file()),
            false,
        ),
    ] {
        both_say(
            &stage,
            &settings(host, mode, root.map(PathBuf::as_path)),
            good,
        );
    }
    stage.database.cluster().crash();
}

#[test]
fn what_is_named_must_be_there_before_pg_dump_starts() {
    let cluster = postgres::shared_with_tls();
    let stage = Stage::on(cluster, "tlsfiles");
    for mode in ["verify-ca", "verify-full"] {
        let ended = stage.backup(&settings("localhost", mode, None));
        ended.expect_code(2);
        assert!(ended.last_line().contains("DB_SSLROOTCERT"), "{ended}");
        assert!(!ended.printed().contains("dumping"), "{ended}");
        both_say(&stage, &settings("localhost", mode, None), false);
    }
    let client = self_signed("postgres");
    let certificate = file("client.pem", &client.pem);
    let key = file("client.key", &client.key_pem);
    let alone = |name, path: &Path| {
        let ended = stage.backup(&with(
            &settings("localhost", "require", None),
            &env([(name, path.to_str().unwrap())]),
        ));
        ended.expect_code(2);
        let last = ended.last_line().to_owned();
        assert!(
            last.contains("DB_SSLCERT") && last.contains("DB_SSLKEY"),
            "{ended}"
        );
    };
    alone("DB_SSLCERT", &certificate);
    alone("DB_SSLKEY", &key);
    let both = env([
        ("DB_SSLCERT", certificate.to_str().unwrap()),
        ("DB_SSLKEY", key.to_str().unwrap()),
    ]);
    let both = with(&settings("localhost", "require", None), &both);
    both_say(&stage, &both, true);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    both_say(&stage, &both, false);
}

/// libpq reads these of its own accord, from the home of its user.
#[test]
fn prefer_with_a_root_file_goes_on_without_tls_where_the_server_allows_it() {
    let cluster = postgres::shared_with_tls();
    let stage = Stage::on(cluster, "prefer");
    let right = cluster.authority().file();
    let wrong = Authority::new().file();
    both_say(&stage, &settings("localhost", "prefer", Some(&right)), true);
    // This one takes no connection without TLS.
    both_say(
        &stage,
        &settings("localhost", "prefer", Some(&wrong)),
        false,
    );
}
