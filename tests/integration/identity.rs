//! Whose backups are whose: a server is known by what it says of itself, not by its name.

use backuper::archive::{Folder, SourceId};

use super::testbed::postgres::{Cluster, Database, shared, shared_with_tls};
use super::testbed::programs::{Ended, backuper, restorer};
use super::testbed::proxy::Proxy;
use super::testbed::s3::S3;
use super::testbed::{Env, env, unique};
use super::workers::{Stage, var, with};

/// Several servers that are all called `127.0.0.1:PORT`, and one bucket for them.
struct Namesakes {
    proxy: Proxy,
    s3: S3,
    name: String,
}

impl Namesakes {
    fn new() -> Self {
        Self {
            proxy: Proxy::start(shared().port()),
            s3: S3::start(),
            name: unique("namesake"),
        }
    }

    /// The database of this name on a server, whose only row says which server it is.
    fn database(&self, cluster: &'static Cluster, row: &str) -> Database<'static> {
        let database = cluster.named(&self.name);
        database.sql(&format!("CREATE TABLE t AS SELECT '{row}' AS v"));
        database
    }

    /// How a worker reaches the server that is called so now.
    fn env(&self, of: &Database<'_>) -> Env {
        self.proxy.lead_to(of.cluster().port());
        let port = var("DB_PORT", &self.proxy.port().to_string());
        with(&with(&of.env(), &port), &self.s3.env())
    }

    #[track_caller]
    fn back_up(&self, of: &Database<'_>, more: &Env) -> Ended {
        let ended = backuper(&with(&self.env(of), more)).run();
        ended.expect_code(0);
        ended
    }

    fn restore(&self, into: &Database<'_>, more: &Env) -> Ended {
        restorer(&with(&self.env(into), more)).run()
    }
}

fn row(database: &Database<'_>) -> String {
    database.sql("SELECT v FROM t")
}

/// F06.
#[test]
fn two_servers_of_one_name_neither_delete_nor_restore_each_others_backups() {
    let names = Namesakes::new();
    let one = names.database(shared(), "one");
    let other = names.database(shared_with_tls(), "other");
    let keep_one = var("MAX_BACKUP_COUNT", "1");
    for database in [&one, &other, &one, &other] {
        names.back_up(database, &keep_one);
    }
    assert_eq!(names.s3.manifests().len(), 2, "one of each server");
    for (database, was) in [(&one, "one"), (&other, "other")] {
        database.sql("UPDATE t SET v = 'changed'");
        names.restore(database, &env([])).expect_code(0);
        assert_eq!(row(database), was);
    }
    // A database that is missing is asked about at its server all the same.
    let drop = format!("DROP DATABASE \"{}\"", names.name);
    other.cluster().sql("postgres", &drop);
    names.restore(&other, &env([])).expect_code(0);
    assert_eq!(row(&other), "other");
}

/// F06: what the sentence names is ready to copy.
#[test]
fn a_third_server_of_that_name_is_asked_which_one_is_meant() {
    let names = Namesakes::new();
    let one = names.database(shared(), "one");
    let other = names.database(shared_with_tls(), "other");
    for database in [&one, &other] {
        names.back_up(database, &env([]));
    }
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
    let third = cluster.existing(&names.name);
    let ended = names.restore(&third, &env([]));
    ended.expect_code(2);
    let offered: Vec<&str> = ended
        .last_line()
        .split(' ')
        .filter(|it| it.contains("-backup-"))
        .collect();
    assert_eq!(offered.len(), 2, "{ended}");
    for revision in offered {
        names
            .restore(&third, &var("BACKUP_REVISION", revision))
            .expect_code(0);
        let manifest = names.s3.read(&format!("{revision}/manifest.json"));
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let of_one = manifest["source"]["system_identifier"] == identifier(&one).as_str();
        assert_eq!(row(&third), if of_one { "one" } else { "other" });
    }
    cluster.crash();
}

fn identifier(database: &Database<'_>) -> String {
    database.sql("SELECT system_identifier FROM pg_control_system()")
}

/// F06: retention and numbers do not care how a server is spelt.
#[test]
fn u03_one_server_under_two_names_is_one_source() {
    let stage = Stage::new("spelling");
    stage.database.sql("CREATE TABLE t AS SELECT 'old' AS v");
    let keep = var("MAX_BACKUP_COUNT", "2");
    let spelt = |host: &str| with(&keep, &var("DB_HOST", host));
    let made: Vec<String> = ["127.0.0.1", "localhost", "127.0.0.1"]
        .map(|host| stage.back_up(&spelt(host)))
        .to_vec();
    let kept = stage.s3.manifests();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(!kept.iter().any(|it| it.starts_with(made[0].as_str())));
    stage.database.sql("UPDATE t SET v = 'new'");
    let asked = with(&var("DB_HOST", "localhost"), &var("BACKUP_REVISION", "1"));
    stage.restore(&asked).expect_code(0);
    assert_eq!(row(&stage.database), "old");
}

/// Makes a backup look as the adapter made them before it knew servers by their identifier.
fn age(s3: &S3, folder: &str, host: &str, port: u16) -> String {
    let (made, _) = Folder::parse_key(&format!("{folder}/")).unwrap();
    let id = SourceId::of_name(host, port, made.database());
    // Of before: what is made next may have its second.
    let before = made.started() - jiff::SignedDuration::from_secs(60);
    let old = Folder::new(made.database(), before, id).prefix();
    for key in s3.keys() {
        let Some(name) = key.strip_prefix(&format!("{folder}/")) else {
            continue;
        };
        let mut bytes = s3.read(&key);
        if name == "manifest.json" {
            let mut manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let source = manifest["source"].as_object_mut().unwrap();
            assert!(source.remove("system_identifier").is_some());
            bytes = serde_json::to_vec(&manifest).unwrap();
        }
        s3.put(&format!("{old}{name}"), &bytes);
        s3.remove(&key);
    }
    old.trim_end_matches('/').to_owned()
}

/// F06.
#[test]
fn folders_of_before_the_identifier_go_on_counting_by_their_name() {
    let stage = Stage::new("before");
    stage.database.sql("CREATE TABLE t AS SELECT 'old' AS v");
    let made = stage.back_up(&env([]));
    let port = stage.database.cluster().port();
    let old = age(&stage.s3, &made, "127.0.0.1", port);
    stage.database.sql("UPDATE t SET v = 'new'");
    stage.restore(&env([])).expect_code(0);
    assert_eq!(row(&stage.database), "old");
    stage.back_up(&env([]));
    stage.database.sql("UPDATE t SET v = 'newer'");
    stage.restore(&var("BACKUP_REVISION", "1")).expect_code(0);
    stage.back_up(&var("MAX_BACKUP_COUNT", "2"));
    let kept = stage.s3.manifests();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(!kept.iter().any(|it| it.starts_with(old.as_str())));
}

/// F06: nobody knows whose they are where two servers have the name.
#[test]
fn folders_that_may_be_of_either_of_two_servers_are_left_alone() {
    let names = Namesakes::new();
    let one = names.database(shared(), "one");
    let other = names.database(shared_with_tls(), "other");
    names.back_up(&other, &env([]));
    let made = names.s3.manifests()[0].clone();
    let made = made.trim_end_matches("/manifest.json");
    let old = age(&names.s3, made, "127.0.0.1", names.proxy.port());
    for database in [&other, &one] {
        names.back_up(database, &env([]));
    }
    let ended = names.back_up(&one, &var("MAX_BACKUP_COUNT", "1"));
    assert!(
        ended.printed().contains("two servers of one name"),
        "{ended}"
    );
    let kept = names.s3.manifests();
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(kept.iter().any(|it| it.starts_with(old.as_str())));
    let ended = names.restore(&one, &var("BACKUP_REVISION", "1"));
    ended.expect_code(2);
    assert!(ended.last_line().contains("there are 1"), "{ended}");
    let ended = names.restore(&one, &env([]));
    ended.expect_code(0);
    assert!(ended.printed().contains(old.as_str()), "{ended}");
    assert_eq!(row(&one), "one");
}

/// F06: some services do not let their users ask; then the name has to do, and the log says so.
#[test]
fn a_server_that_does_not_tell_its_identifier_is_known_by_its_name() {
    let stage = Stage::new("untold");
    let role = unique("untold_");
    stage.database.sql(&format!(
        "CREATE TABLE t AS SELECT 'old' AS v;
         CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT pg_read_all_data TO {role};
         REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC"
    ));
    let as_role = env([("DB_USER", &role), ("DB_PASSWORD", "p")]);
    let ended = stage.backup(&as_role);
    ended.expect_code(0);
    assert!(ended.printed().contains("system identifier"), "{ended}");
    let key = stage.s3.manifests()[0].clone();
    let manifest: serde_json::Value = serde_json::from_slice(&stage.s3.read(&key)).unwrap();
    assert_eq!(manifest["source"].get("system_identifier"), None);
    let (folder, _) = Folder::parse_key(&key).unwrap();
    let port = stage.database.cluster().port();
    let by_name = SourceId::of_name("127.0.0.1", port, stage.database.name());
    assert_eq!(folder.source(), by_name);
    stage.back_up(&with(&as_role, &var("MAX_BACKUP_COUNT", "1")));
    assert_eq!(stage.s3.manifests().len(), 1);
    stage.database.sql("UPDATE t SET v = 'new'");
    stage.restore(&env([])).expect_code(0);
    assert_eq!(row(&stage.database), "old");
}

/// F06.
#[test]
fn the_manifest_says_which_server_it_was() {
    let stage = Stage::new("identifier");
    let folder = stage.back_up(&env([]));
    let manifest = stage.s3.read(&format!("{folder}/manifest.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let wanted = identifier(&stage.database);
    assert_eq!(manifest["source"]["system_identifier"], wanted.as_str());
}
