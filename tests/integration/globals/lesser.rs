//! What a restore makes of roles and owners where its own role is no superuser, and what it says of the
//! roles that it has made when it does not end well.

use super::super::owners::drop_database;
use super::super::testbed::unique;
use super::*;

/// A role that may log in, and how a worker reaches the database as it.
fn lesser(cluster: &Cluster, attributes: &str) -> (String, Env) {
    let role = cluster.role("restores_", attributes);
    let me = env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]);
    (role, me)
}

/// An empty server of this major, none: Debian's own; and the clients for it.
fn server(major: Option<u32>) -> (Stage, Env) {
    match major {
        None => (Stage::on(cluster(), "lesser"), env([])),
        Some(major) => {
            let client = if major == 16 { 17 } else { major };
            (versions::empty_stage(major), versions::clients(&[client]))
        }
    }
}

fn there(stage: &Stage) -> String {
    let name = stage.database.name();
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    stage.database.cluster().sql("postgres", &sql)
}

fn damaged(stage: &Stage, folder: &str) -> Vec<u8> {
    let key = format!("{folder}/data-000.dump.zst");
    let whole = stage.s3.read(&key);
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    stage.s3.put(&key, &bytes);
    whole
}

const OWNERS: &str = "SELECT string_agg(relname || ' ' || relowner::regrole, ', ' ORDER BY relname)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S')";

fn own_what_is_in_public(major: u32) {
    let (stage, clients) = server(Some(major));
    let cluster = stage.database.cluster();
    let owner = unique("owner_");
    let (role, me) = lesser(cluster, "CREATEROLE CREATEDB");
    let me = with(&clients, &me);
    let name = stage.database.name();
    cluster.sql(
        "postgres",
        &format!("CREATE ROLE {owner}; GRANT {owner} TO {role}; ALTER DATABASE \"{name}\" OWNER TO {owner}"),
    );
    stage.database.sql(&format!(
        "SET ROLE {owner}; CREATE TABLE t (id serial PRIMARY KEY, n int); INSERT INTO t (n) SELECT generate_series(1, 1000);
         CREATE VIEW v AS SELECT * FROM t; CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    ));
    let dump = stage.database.dump_with(&["--create"]);
    let folder = stage.back_up(&clients);
    drop_database(&stage.database);
    let ended = stage.restore(&me);
    ended.expect_code(0);
    assert!(!ended.printed().contains("WARN"), "{ended}");
    assert!(
        stage.database.dump_with(&["--create"]) == dump,
        "{major}: {ended}"
    );

    drop_database(&stage.database);
    let whole = damaged(&stage, &folder);
    let ended = stage.restore(&me);
    assert_ne!(ended.code(), Some(0));
    assert_eq!(there(&stage), "0", "it is dropped again: {ended}");
    stage.s3.put(&format!("{folder}/data-000.dump.zst"), &whole);

    // The owner of a database that was there is who he is.
    cluster.sql(
        "postgres",
        &format!("CREATE DATABASE \"{name}\" OWNER {role} TEMPLATE template0"),
    );
    for place in ["into an empty database", "in place"] {
        let ended = stage.restore(&me);
        ended.expect_code(0);
        let wanted = format!("t {role}, t_id_seq {role}, v {role}");
        assert_eq!(stage.database.sql(OWNERS), wanted, "{place}");
        for told in [
            format!("role \"{owner}\" needs CREATE on schema \"public\""),
            format!("GRANT CREATE ON SCHEMA \"public\" TO \"{owner}\""),
            format!("ALTER TABLE \"public\".\"t\" OWNER TO \"{owner}\""),
            "belongs to the role that restores".to_owned(),
        ] {
            assert!(ended.printed().contains(&told), "{place}: {told}: {ended}");
        }
    }
    stage
        .database
        .sql(&format!("GRANT CREATE ON SCHEMA public TO {owner}"));
    let ended = stage.restore(&me);
    ended.expect_code(0);
    assert!(!ended.printed().contains("needs CREATE"), "{ended}");
    let wanted = format!("t {owner}, t_id_seq {owner}, v {owner}");
    assert_eq!(stage.database.sql(OWNERS), wanted);
    cluster.crash();
}

#[test]
fn the_owner_of_a_database_of_16_gets_what_is_in_public_from_a_role_that_is_no_superuser() {
    own_what_is_in_public(16);
}

#[test]
fn the_owner_of_a_database_of_18_gets_what_is_in_public_from_a_role_that_is_no_superuser() {
    own_what_is_in_public(18);
}

/// Makes a role that is missing as one that does not inherit; gives how it ended and who owns the table.
fn not_inheriting(major: Option<u32>) -> (Ended, String, String) {
    let (stage, clients) = server(major);
    let cluster = stage.database.cluster();
    stage.database.sql(
        "CREATE ROLE app; CREATE SCHEMA s AUTHORIZATION app; CREATE TABLE s.t (id int); ALTER TABLE s.t OWNER TO app",
    );
    stage.back_up(&with(&clients, &globals("none")));
    drop_database(&stage.database);
    cluster.sql("postgres", "DROP ROLE app");
    let (role, me) = lesser(cluster, "CREATEROLE CREATEDB NOINHERIT");
    let ended = stage.restore(&with(&with(&clients, &me), &missing()));
    ended.expect_code(0);
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 't'";
    let owner = stage.database.sql(owner);
    cluster.crash();
    (ended, owner, role)
}

#[test]
fn a_role_of_18_that_does_not_inherit_gives_what_it_restores_to_the_roles_that_it_makes() {
    let (ended, owner, _) = not_inheriting(Some(18));
    assert_eq!(owner, "app", "{ended}");
    assert!(!ended.printed().contains("not all owners"), "{ended}");
}

#[test]
fn a_role_of_debians_own_server_that_does_not_inherit_says_what_stays_its_own() {
    let (ended, owner, role) = not_inheriting(None);
    assert_eq!(owner, role);
    for told in [
        "not all owners can be restored",
        "2 objects of \"app\"",
        "does not inherit",
        &format!("ALTER ROLE \"{role}\" INHERIT"),
    ] {
        assert!(ended.printed().contains(told), "{told}: {ended}");
    }
}

#[test]
fn a_restore_that_is_stopped_after_it_has_made_roles_says_which_stay() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    stage.back_up(&globals("none"));
    forget(&stage);
    let database = cluster.named(stage.database.name());
    database.sql("CREATE SCHEMA s; CREATE TABLE s.t (id int)");
    let lock = "BEGIN; LOCK TABLE s.t; SELECT pg_sleep(600)";
    let holder = cluster
        .tool("psql", database.name())
        .args(["-c", lock])
        .start();
    let locks = "SELECT count(*) FROM pg_locks WHERE relation = 's.t'::regclass AND mode = 'AccessExclusiveLock' AND granted";
    wait_for("the lock", || (database.sql(locks) == "1").then_some(()));
    let running = restorer(&with(&stage.env(), &missing())).start();
    let waiting = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted";
    wait_for("the restore waits", || {
        (cluster.sql("postgres", waiting) == "t").then_some(())
    });
    running.signal(Signal::SIGTERM);
    let ended = running.wait();
    ended.expect_code(143);
    for word in [
        "stopped by signal 15",
        "the roles that it has made stay",
        "\"auditor\"",
        "\"chief\"",
    ] {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
    holder.signal(Signal::SIGKILL);
}

#[test]
fn a_conflict_is_refused_before_a_role_is_made() {
    let stage = filled(cluster());
    let cluster = stage.database.cluster();
    stage.back_up(&globals("none"));
    let part = env([("EXCLUDE_TABLE_DATA", "s.t")]);
    let part = stage.back_up(&with(&globals("none"), &part));
    forget(&stage);
    let database = cluster.named(stage.database.name());
    let of_part = var("BACKUP_REVISION", &format!("{part}/manifest.json"));
    for (make, asked, word) in [
        (
            "CREATE SCHEMA s; CREATE TABLE s.t (id int, who text); CREATE SEQUENCE s.more OWNED BY s.t.id",
            env([]),
            "sequence s.more",
        ),
        (
            "DROP SEQUENCE s.more; INSERT INTO s.t VALUES (1)",
            of_part,
            "the rows of table s.t",
        ),
    ] {
        database.sql(make);
        let before = database.dump();
        let ended = stage.restore(&with(&missing(), &asked));
        is_refused(&ended, &[word, "nothing was changed"]);
        assert!(!ended.last_line().contains("stay"), "{ended}");
        let made = "SELECT count(*) FROM pg_roles WHERE rolname IN ('auditor', 'chief')";
        assert_eq!(cluster.sql("postgres", made), "0", "{ended}");
        assert!(database.dump() == before);
    }
}

#[test]
fn a_backup_that_goes_into_no_older_server_makes_nothing_there() {
    let stage = versions::empty_stage(17);
    let cluster = stage.database.cluster();
    stage.database.sql(
        "CREATE ROLE app; CREATE SCHEMA s AUTHORIZATION app; CREATE TABLE s.t (id int); ALTER TABLE s.t OWNER TO app",
    );
    let clients = versions::clients(&[17]);
    let folder = stage.back_up(&with(&clients, &globals("none")));
    let old = Cluster::of(versions::version(14), false);
    let target = old.existing("not_there");
    let key = format!("{folder}/manifest.json");
    let asked = with(&target.env(), &var("BACKUP_REVISION", &key));
    let ended = stage.restore(&with(&with(&clients, &asked), &missing()));
    is_refused(&ended, &["does not go back to an older server"]);
    for word in ["created the database", "dropped the database"] {
        assert!(!ended.printed().contains(word), "{word}: {ended}");
    }
    let found = "SELECT count(*) FROM pg_database WHERE datname = 'not_there'";
    assert_eq!(old.sql("postgres", found), "0");

    // Nor does one for which the program is missing.
    let ended = stage.restore(&with(&asked, &versions::clients(&[13])));
    ended.expect_code(2);
    assert!(!ended.printed().contains("created the database"), "{ended}");
    cluster.crash();
    old.crash();
}
