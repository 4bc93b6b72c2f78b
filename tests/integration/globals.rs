//! The server's roles as a part of a backup, and what a restore makes of them.

use nix::sys::signal::Signal;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::encryption::Pair;
use super::testbed::postgres::{Cluster, Database};
use super::testbed::programs::{Ended, backuper, restorer};
use super::testbed::{Env, env, wait_for};
use super::versions;
use super::workers::{Stage, var, with};

mod lesser;

/// Names that no careless program bears; `'` and `"` are doubled where they stand in SQL.
const OWNER: &str = "Öwner \"\"q\"\" o'x; --";
const LINE: &str = "new\nline";

const ROLES: &str = r#"
    CREATE ROLE "@OWNER@" LOGIN PASSWORD 'hunter2' CREATEDB CONNECTION LIMIT 3 VALID UNTIL '2031-01-01';
    CREATE ROLE "@LINE@" NOINHERIT;
    CREATE ROLE auditor; CREATE ROLE chief LOGIN SUPERUSER PASSWORD 'hunter3';
    CREATE ROLE bystander LOGIN PASSWORD 'hunter4'; CREATE ROLE "by\default";
    GRANT auditor TO "@OWNER@" WITH ADMIN OPTION; GRANT "@LINE@" TO auditor;
    GRANT auditor TO bystander; CREATE ROLE elders; GRANT elders TO auditor; GRANT pg_monitor TO auditor;
    ALTER ROLE auditor SET search_path = 'a b', "$user", public; ALTER ROLE auditor SET work_mem = '7MB';
    ALTER ROLE auditor SET session_preload_libraries = ''; ALTER ROLE auditor SET "app.tenant" = 's3cr3t';
    COMMENT ON ROLE "@OWNER@" IS 'it''s; \ '"#;

const OBJECTS: &str = r#"
    CREATE SCHEMA s AUTHORIZATION "@OWNER@";
    CREATE TABLE s.t (id int PRIMARY KEY, who text); INSERT INTO s.t SELECT n, 'x' FROM generate_series(1, 1000) n;
    ALTER TABLE s.t OWNER TO "@OWNER@"; GRANT SELECT ON s.t TO auditor;
    CREATE TABLE chiefs (id int); ALTER TABLE chiefs OWNER TO chief;
    CREATE POLICY p ON s.t TO "@LINE@" USING (true); ALTER TABLE s.t ENABLE ROW LEVEL SECURITY;
    ALTER DEFAULT PRIVILEGES FOR ROLE "by\default" IN SCHEMA s GRANT SELECT ON TABLES TO auditor"#;

const MADE: [&str; 5] = [OWNER, LINE, "auditor", "chief", "by\\default"];

fn named(sql: &str) -> String {
    sql.replace("@OWNER@", OWNER).replace("@LINE@", LINE)
}

fn cluster() -> &'static Cluster {
    Box::leak(Box::new(Cluster::start(false)))
}

/// Roles and a database that needs them, on a server of its own.
fn filled(cluster: &'static Cluster) -> Stage {
    cluster.sql("postgres", &named(ROLES));
    // A name that a careless program would take for a connection string.
    let stage = Stage::on(cluster, "glo=bals host=evil'");
    stage.database.sql(&named(OBJECTS));
    stage
}

/// Roles and what they have, by name.
fn roles(cluster: &Cluster, names: &[&str]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|it| format!("'{}'", it.replace("\"\"", "\"").replace('\'', "''")))
        .collect();
    cluster.sql(
        "postgres",
        &format!(
            "SELECT to_jsonb(r) - 'oid', shobj_description(oid, 'pg_authid'),
                    (SELECT setconfig FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0)
               FROM pg_authid r WHERE rolname IN ({}) ORDER BY rolname",
            names.join(", ")
        ),
    )
}

/// Which of our roles is a member of which, with what options.
fn memberships(cluster: &Cluster) -> String {
    cluster.sql(
        "postgres",
        "SELECT r.rolname, m.rolname, to_jsonb(a) - 'oid' - 'roleid' - 'member' - 'grantor'
           FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
          WHERE r.oid >= 16384 OR m.oid >= 16384 ORDER BY 1, 2",
    )
}

fn forget(stage: &Stage) {
    let cluster = stage.database.cluster();
    let name = stage.database.name().replace('"', "\"\"");
    cluster.sql(
        "postgres",
        &format!("DROP DATABASE \"{name}\" WITH (FORCE)"),
    );
    for role in MADE {
        cluster.sql("postgres", &format!("DROP ROLE \"{role}\""));
    }
}

fn globals(words: &str) -> Env {
    env([("GLOBALS", "true"), ("GLOBALS_PASSWORDS", words)])
}

fn missing() -> Env {
    var("RESTORE_ROLES", "missing")
}

fn text(stage: &Stage, folder: &str) -> String {
    let bytes = stage.s3.read(&format!("{folder}/globals.sql.zst"));
    String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap()
}

fn manifest(stage: &Stage, folder: &str) -> Value {
    serde_json::from_slice(&stage.s3.read(&format!("{folder}/manifest.json"))).unwrap()
}

/// Puts another text in the place of the roles, as somebody would who can write to the store.
fn replaced(stage: &Stage, folder: &str, text: &str) {
    let bytes = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let mut manifest = manifest(stage, folder);
    let globals = manifest["globals"].as_object_mut().unwrap();
    globals.insert(
        "sha256".to_owned(),
        hex::encode(Sha256::digest(&bytes)).into(),
    );
    globals.insert("stored_bytes".to_owned(), bytes.len().into());
    stage.s3.put(&format!("{folder}/globals.sql.zst"), &bytes);
    let json = serde_json::to_vec(&manifest).unwrap();
    stage.s3.put(&format!("{folder}/manifest.json"), &json);
}

#[track_caller]
fn is_refused(ended: &Ended, words: &[&str]) {
    ended.expect_code(2);
    for word in words {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
}

/// Nothing of a hash, nor of a setting's value, is told to anybody.
#[track_caller]
fn is_discreet(ended: &Ended) {
    for secret in ["SCRAM-SHA-256", "s3cr3t", "hunter"] {
        assert!(!ended.printed().contains(secret), "{secret}: {ended}");
    }
}

fn come_back(major: Option<u32>) {
    let (stage, clients) = match major {
        None => (filled(cluster()), env([])),
        Some(major) => {
            let stage = versions::stage(major);
            let cluster = stage.database.cluster();
            cluster.sql("postgres", &named(ROLES));
            stage.database.sql(&named(OBJECTS));
            (
                stage,
                versions::clients(&[if major == 16 { 17 } else { major }]),
            )
        }
    };
    let cluster = stage.database.cluster();
    if major >= Some(16) {
        let options = "GRANT \"by\\default\" TO auditor WITH INHERIT FALSE, SET FALSE";
        cluster.sql("postgres", options);
    }
    let before = (
        roles(cluster, &MADE),
        memberships(cluster),
        stage.database.dump(),
    );
    let bystander = roles(cluster, &["bystander"]);
    let backed_up = backuper(&with(
        &stage.env(),
        &with(&clients, &globals("unencrypted")),
    ))
    .run();
    backed_up.expect_code(0);
    is_discreet(&backed_up);
    forget(&stage);

    let ended = stage.restore(&with(&clients, &missing()));
    ended.expect_code(0);
    is_discreet(&ended);
    assert!(
        stage.database.dump() == before.2,
        "owners, privileges and policies"
    );
    let wanted = before
        .0
        .replace("\"rolsuper\": true", "\"rolsuper\": false")
        .replace(",\"app.tenant=s3cr3t\"", "")
        .replace(",app.tenant=s3cr3t", "")
        .replace(",\"session_preload_libraries=\\\"\\\"\"", "")
        .replace(",session_preload_libraries=", "");
    let found = roles(cluster, &MADE);
    assert_eq!(found, wanted);
    assert_eq!(roles(cluster, &["bystander"]), bystander);
    // Those with a role that was there are left to whoever wants them.
    let mut wanted: Vec<&str> = before.1.lines().collect();
    wanted.retain(|it| {
        !["bystander", "elders", "pg_monitor"]
            .iter()
            .any(|name| it.contains(name))
    });
    let found = memberships(cluster);
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found, wanted);
    for told in [
        "ALTER ROLE \"chief\" SUPERUSER",
        "GRANT \"pg_monitor\" TO \"auditor\"",
        "GRANT \"elders\" TO \"auditor\"",
        "GRANT \"auditor\" TO \"bystander\"",
        "ALTER ROLE \"auditor\" SET \"app.tenant\" TO …",
        "SET \"session_preload_libraries\" TO …",
        "\"Öwner \"\"q\"\" o'x; --\"",
    ] {
        assert!(ended.printed().contains(told), "{told}: {ended}");
    }
    cluster.crash();
}

#[test]
fn roles_of_13_come_back_where_they_are_missing() {
    come_back(Some(13));
}

#[test]
fn roles_of_debians_own_server_come_back_where_they_are_missing() {
    come_back(None);
}

#[test]
fn roles_of_16_come_back_where_they_are_missing() {
    come_back(Some(16));
}

#[test]
fn roles_of_18_come_back_where_they_are_missing() {
    come_back(Some(18));
}

#[test]
fn password_hashes_go_into_no_open_store_unless_that_is_said() {
    let stage = filled(cluster());
    let ended = stage.backup(&var("GLOBALS", "true"));
    let ways = [
        "ENCRYPT_TO",
        "GLOBALS_PASSWORDS=none",
        "GLOBALS_PASSWORDS=unencrypted",
    ];
    is_refused(&ended, &ways);
    let ended = stage.backup(&with(&globals("none"), &var("FORMAT", "sql.gz")));
    is_refused(&ended, &["FORMAT=archive", "GLOBALS=false"]);
    is_refused(&stage.backup(&globals("some")), &["GLOBALS_PASSWORDS"]);
    stage.nothing_is_stored();

    let without = stage.back_up(&globals("none"));
    let written = text(&stage, &without);
    assert!(written.contains("CREATE ROLE auditor;") && !written.contains("SCRAM"));
    assert_eq!(manifest(&stage, &without)["globals"]["passwords"], false);
    assert_eq!(manifest(&stage, &without)["format_version"], 1);
    forget(&stage);
    stage.restore(&missing()).expect_code(0);
    let hash = "SELECT coalesce(rolpassword, 'none') FROM pg_authid WHERE rolname = 'chief'";
    assert_eq!(stage.database.sql(hash), "none");
}

#[test]
fn encrypted_roles_open_with_the_private_key_alone() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    let hashes =
        "SELECT rolname, rolpassword FROM pg_authid WHERE rolname <> 'postgres' ORDER BY 1";
    let before = cluster.sql("postgres", hashes);
    let pair = Pair::new();
    let settings = env([
        ("GLOBALS", "true"),
        ("ENCRYPT_TO", pair.public.as_str()),
        ("ENCRYPT_MANIFEST", "true"),
    ]);
    let folder = stage.back_up(&settings);
    let key = format!("{folder}/globals.sql.zst.age");
    assert!(stage.s3.read(&key).starts_with(b"age-encryption.org/v1\n"));
    let said = manifest(&stage, &folder);
    assert_eq!(said["globals"]["name"], "globals.sql.zst.age");
    assert_eq!(said["globals"]["passwords"], true);
    forget(&stage);
    is_refused(&stage.restore(&missing()), &["is encrypted"]);
    stage.restore(&with(&missing(), &pair.env())).expect_code(0);
    assert_eq!(cluster.sql("postgres", hashes), before);
    assert_eq!(stage.database.sql("SELECT count(*) FROM s.t"), "1000");
}

#[test]
fn a_role_that_may_not_read_hashes_backs_roles_up_without_them_and_says_so() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    let role = cluster.role("backup_", "");
    stage.database.sql(&format!(
        "GRANT USAGE ON SCHEMA s TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA s, public TO {role}; ALTER ROLE {role} BYPASSRLS"
    ));
    let me = env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]);
    let ended = stage.backup(&with(&globals("unencrypted"), &me));
    ended.expect_code(0);
    assert!(
        ended.printed().contains("may not read pg_authid"),
        "{ended}"
    );
    let folder = stage.s3.manifests().remove(0);
    let folder = folder.trim_end_matches("/manifest.json");
    assert!(!text(&stage, folder).contains("PASSWORD"));
    assert_eq!(manifest(&stage, folder)["globals"]["passwords"], false);
    let ended = stage.backup(&with(&globals("none"), &me));
    ended.expect_code(0);
    assert!(!ended.printed().contains("pg_authid"), "{ended}");
}

#[test]
fn a_restore_that_may_make_no_roles_changes_nothing_and_one_that_may_gives_them_their_objects() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    stage.database.sql("DROP TABLE chiefs");
    stage.back_up(&globals("none"));
    let dump = stage.database.dump();
    forget(&stage);
    for (attributes, may) in [("CREATEDB", false), ("CREATEDB CREATEROLE", true)] {
        let role = cluster.role("restores_", attributes);
        let me = env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]);
        let ended = stage.restore(&with(&missing(), &me));
        let there = "SELECT count(*) FROM pg_roles WHERE rolname IN ('auditor', 'chief')";
        if may {
            ended.expect_code(0);
            // Nothing is the superuser's that was none of his objects.
            assert_eq!(cluster.sql("postgres", there), "1");
            let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 't'";
            assert_eq!(stage.database.sql(owner), OWNER.replace("\"\"", "\""));
            assert_eq!(stage.database.dump(), dump);
        } else {
            is_refused(
                &ended,
                &["may not make them", "CREATEROLE", "RESTORE_ROLES=none"],
            );
            assert_eq!(cluster.sql("postgres", there), "0");
        }
    }
}

#[test]
fn a_hostile_text_of_roles_makes_nobody_mightier_and_runs_nothing() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    let folder = stage.back_up(&globals("unencrypted"));
    let hash = "SCRAM-SHA-256$4096:QiSZn3941E+2PLzIG1Po7g==$qwYk/Bok60X3VRErgOsvTwtOL2QKsMzkH87oU+HVsfE=:pC7KARhB3gL+IEfhSCIMx4BvRH/NaIDLVcEufsh9U5g=";
    let hostile = format!(
        "CREATE ROLE auditor; ALTER ROLE auditor WITH SUPERUSER CREATEROLE REPLICATION BYPASSRLS LOGIN PASSWORD '{hash}';
         ALTER ROLE auditor SET session_preload_libraries TO '/tmp/evil'; ALTER ROLE auditor SET role TO 'postgres';
         CREATE ROLE evil; ALTER ROLE evil WITH SUPERUSER LOGIN PASSWORD '{hash}';
         CREATE ROLE bystander; ALTER ROLE bystander WITH SUPERUSER PASSWORD '{hash}';
         ALTER ROLE postgres WITH NOLOGIN; ALTER ROLE ALL SET search_path TO 'evil';
         GRANT postgres TO auditor; GRANT pg_execute_server_program TO auditor; GRANT auditor TO bystander;
         ALTER SYSTEM SET log_statement TO 'all'; CREATE TABLE evil (); DROP TABLE t; DO 'evil';
         CREATE TABLESPACE evil LOCATION '/tmp';"
    );
    replaced(&stage, &folder, &hostile);
    forget(&stage);
    let bystander = roles(cluster, &["bystander", "postgres"]);
    let ended = stage.restore(&missing());
    // What the text does not have stays missing, and so do its policy's rows: nothing else is refused.
    is_refused(&ended, &["policy", "RESTORE_KEEP_GOING"]);
    assert_eq!(
        cluster.sql(
            "postgres",
            "SELECT count(*) FROM pg_roles WHERE rolname = 'auditor'"
        ),
        "0"
    );
    let going = var("RESTORE_KEEP_GOING", "true");
    stage.restore(&with(&missing(), &going)).expect_code(3);
    let may = "SELECT rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls, rolpassword FROM pg_authid WHERE rolname = 'auditor'";
    assert_eq!(cluster.sql("postgres", may), format!("f|{hash}"));
    let had = "SELECT (SELECT count(*) FROM pg_db_role_setting), (SELECT count(*) FROM pg_auth_members WHERE roleid >= 16384 OR member >= 16384),
        (SELECT count(*) FROM pg_roles WHERE rolname = 'evil'), (SELECT count(*) FROM pg_tablespace)";
    assert_eq!(cluster.sql("postgres", had), "0|0|0|2");
    assert_eq!(roles(cluster, &["bystander", "postgres"]), bystander);

    let touched = super::testbed::folder("touched").join("file");
    let shell = format!("\\! touch {}\nCREATE ROLE auditor;", touched.display());
    for (text, why) in [
        (shell.as_str(), "command of psql"),
        (
            "CREATE ROLE auditor; ALTER ROLE auditor WITH PASSWORD 'plain'",
            "RESTORE_ROLES=none",
        ),
        ("CREATE ROLE auditor SUPERUSER;", "another way"),
    ] {
        replaced(&stage, &folder, text);
        is_refused(&stage.restore(&missing()), &[why, "globals.sql.zst"]);
    }
    assert!(!touched.exists());
    stage
        .s3
        .put(&format!("{folder}/globals.sql.zst"), b"other bytes");
    is_refused(
        &stage.restore(&missing()),
        &["is damaged", "RESTORE_ROLES=none"],
    );
}

#[test]
fn a_role_that_is_there_is_not_changed() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    stage.back_up(&globals("unencrypted"));
    forget(&stage);
    cluster.sql("postgres", "CREATE ROLE auditor PASSWORD 'another' CONNECTION LIMIT 1 NOINHERIT; CREATE ROLE outer_one; GRANT outer_one TO auditor");
    let before = (roles(cluster, &["auditor"]), memberships(cluster));
    stage.restore(&missing()).expect_code(0);
    assert_eq!(roles(cluster, &["auditor"]), before.0);
    assert_eq!(memberships(cluster), before.1);
    assert_eq!(
        cluster.sql(
            "postgres",
            "SELECT count(*) FROM pg_roles WHERE rolname = 'chief'"
        ),
        "1"
    );
}

#[test]
fn a_backup_without_roles_is_refused_where_one_is_missing_and_only_there() {
    let stage = filled(cluster());
    stage.back_up(&env([]));
    stage.restore(&missing()).expect_code(0);
    forget(&stage);
    let ended = stage.restore(&missing());
    is_refused(&ended, &["auditor", "GLOBALS=true", "RESTORE_ROLES=none"]);
    let there = "SELECT count(*) FROM pg_database WHERE datname LIKE 'glo%'";
    assert_eq!(stage.database.cluster().sql("postgres", there), "0");
}

#[test]
fn a_restore_that_fails_after_it_says_which_roles_stay() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    let folder = stage.back_up(&globals("none"));
    forget(&stage);
    let key = format!("{folder}/data-000.dump.zst");
    let mut bytes = stage.s3.read(&key);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    stage.s3.put(&key, &bytes);
    let ended = stage.restore(&missing());
    assert_ne!(ended.code(), Some(0));
    for word in ["the roles that it has made stay", "auditor", "chief"] {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
    assert_eq!(
        cluster.sql(
            "postgres",
            "SELECT count(*) FROM pg_roles WHERE rolname = 'chief'"
        ),
        "1"
    );
}

#[test]
fn roles_that_are_lost_count_as_damage_and_the_rest_is_restored_all_the_same() {
    let stage = filled(cluster());
    let folder = stage.back_up(&globals("none"));
    stage.s3.remove(&format!("{folder}/globals.sql.zst"));
    let source = format!(
        "127.0.0.1:{}/{}",
        stage.database.cluster().port(),
        stage.database.name()
    );
    let asked = env([
        ("BACKUPER_TASK", "list"),
        ("BACKUP_SOURCE", source.as_str()),
    ]);
    let listed = backuper(&with(&stage.s3.env(), &asked)).succeed().stdout;
    assert!(listed.contains("globals.sql.zst is missing"), "{listed}");
    is_refused(
        &stage.restore(&missing()),
        &["globals.sql.zst is missing", "RESTORE_ROLES=none"],
    );
    stage.database.sql("DELETE FROM s.t");
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql("SELECT count(*) FROM s.t"), "1000");
}

/// Holds a lock on a catalog until it is dropped, and waits until somebody waits for it.
fn held(database: &Database<'_>, catalog: &str) -> super::testbed::programs::Running {
    let lock =
        format!("BEGIN; LOCK TABLE pg_catalog.{catalog} IN EXCLUSIVE MODE; SELECT pg_sleep(600)");
    let holder = database
        .cluster()
        .tool("psql", "postgres")
        .args(["-c", &lock])
        .start();
    let locks = format!(
        "SELECT count(*) FROM pg_locks WHERE relation = '{catalog}'::regclass AND mode = 'ExclusiveLock' AND granted"
    );
    wait_for("the lock", || {
        (database.cluster().sql("postgres", &locks) == "1").then_some(())
    });
    holder
}

#[test]
fn a_restore_that_is_killed_while_it_makes_roles_has_made_none() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    stage.back_up(&globals("unencrypted"));
    forget(&stage);
    let holder = held(&cluster.existing("postgres"), "pg_db_role_setting");
    let running = restorer(&with(&stage.env(), &missing())).start();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER ROLE%' AND wait_event_type = 'Lock'";
    wait_for("the restore waits", || {
        (cluster.sql("postgres", waiting) == "1").then_some(())
    });
    running.signal(Signal::SIGKILL);
    running.wait();
    holder.signal(Signal::SIGKILL);
    holder.wait();
    cluster.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()");
    wait_for("the session ends", || {
        (cluster.sql("postgres", waiting) == "0").then_some(())
    });
    let its = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'restorer%'";
    wait_for("its sessions are over", || {
        (cluster.sql("postgres", its) == "0").then_some(())
    });
    let there = "SELECT count(*) FROM pg_roles WHERE rolname IN ('auditor', 'chief')";
    assert_eq!(cluster.sql("postgres", there), "0");
    stage.restore(&missing()).expect_code(0);
    assert_eq!(stage.database.sql("SELECT count(*) FROM s.t"), "1000");
}

#[test]
fn a_backup_that_is_stopped_while_it_reads_roles_leaves_nothing() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    let lock = "BEGIN; LOCK TABLE pg_catalog.pg_shdescription; SELECT pg_sleep(600)";
    let holder = cluster.tool("psql", "postgres").args(["-c", lock]).start();
    let locks =
        "SELECT count(*) FROM pg_locks WHERE relation = 'pg_shdescription'::regclass AND granted";
    wait_for("the lock", || {
        (cluster.sql("postgres", locks) == "1").then_some(())
    });
    let running = backuper(&with(&stage.env(), &globals("none"))).start();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'backuper pg_dumpall' AND wait_event_type = 'Lock'";
    wait_for("pg_dumpall waits", || {
        (cluster.sql("postgres", waiting) == "1").then_some(())
    });
    running.signal(Signal::SIGTERM);
    running.wait().expect_code(143);
    stage.nothing_is_stored();
    let ended = stage.backup(&with(&globals("none"), &var("LOCK_WAIT_TIMEOUT", "1s")));
    ended.expect_code(1);
    assert!(ended.last_line().contains("lock timeout"), "{ended}");
    stage.nothing_is_stored();
    holder.signal(Signal::SIGKILL);
}
