//! What stands against a swap, and what to do about it.

use super::{Hold, Session, beside, changed, oid, says, shared, stage, swap, swap_back, swapping};
use crate::owners::login;
use crate::testbed::postgres::Cluster;
use crate::testbed::{env, unique};
use crate::workers::{Stage, var, with};

#[test]
fn all_that_stands_against_a_swap_is_told_at_once() {
    // A slot is made when no transaction runs any more that has begun before it, in the whole server.
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
    let stage = Stage::on(cluster, "obstacles");
    changed(&stage);
    let manifest = stage.s3.manifests().remove(0);
    let before = oid(&stage);
    let name = unique("one_");
    stage.database.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput');
         CREATE SUBSCRIPTION {name} CONNECTION 'host=/nonexistent dbname=none' PUBLICATION p WITH (connect = false);
         ALTER SUBSCRIPTION {name} ENABLE;
         BEGIN; INSERT INTO t VALUES ('x'); PREPARE TRANSACTION '{name}'"
    ));
    let ended = swap(&stage, &env([]));
    ended.expect_code(2);
    for words in [
        "slots of logical replication",
        "subscriptions",
        "prepared transactions",
        "pg_drop_replication_slot",
        "ALTER SUBSCRIPTION",
        "COMMIT PREPARED",
        "RESTORE_MODE=auto",
        "nothing was changed",
    ] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    assert_eq!(ended.last_line().matches(&name).count(), 3, "{ended}");
    assert_eq!((oid(&stage), beside(&stage, "new")), (before, vec![]));

    stage.database.sql(&format!(
        "ROLLBACK PREPARED '{name}'; SELECT pg_drop_replication_slot('{name}'); ALTER SUBSCRIPTION {name} DISABLE"
    ));
    // One that is disabled stays with the old database, which can be dropped all the same.
    swap(&stage, &var("KEEP_OLD", "0")).expect_code(0);
    assert_eq!(
        (says(&stage), beside(&stage, "old")),
        ("backup".to_owned(), vec![])
    );

    // The one that a swap needs itself.
    cluster.sql("postgres", "CREATE TABLE t ()");
    let more = env([("DB_NAME", "postgres"), ("BACKUP_REVISION", &manifest)]);
    let ended = swap(&stage, &more);
    ended.expect_code(2);
    assert!(ended.last_line().contains("programs connect to"), "{ended}");
}

/// Whoever renames the target while the new one is loaded, and makes another, keeps both.
#[test]
fn what_somebody_else_has_put_under_the_name_meanwhile_stays() {
    let stage = Stage::new("replaced");
    let hold = Hold::prepared(&stage);
    changed(&stage);
    let name = stage.database.name();
    for made in [false, true] {
        hold.begin();
        let running = swapping(&stage, &env([])).start();
        hold.wait(&stage);
        let away = unique("away_");
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'; SELECT pg_sleep(0.2)"
        );
        shared().sql("postgres", &end);
        shared().sql(
            "postgres",
            &format!("ALTER DATABASE \"{name}\" RENAME TO {away}"),
        );
        if made {
            shared().sql("postgres", &format!("CREATE DATABASE \"{name}\""));
        }
        hold.end();
        let ended = running.wait();
        assert_ne!(ended.code(), Some(0), "{ended}");
        let last = ended.last_line();
        assert!(!last.contains("check DB_"), "{last}");
        assert_eq!(beside(&stage, "new"), Vec::<String>::new(), "{ended}");
        assert_eq!(beside(&stage, "old"), Vec::<String>::new(), "{ended}");
        assert_eq!(shared().sql(&away, "SELECT v FROM t"), "later", "{ended}");
        if made {
            let sql = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
            assert_eq!(stage.database.sql(sql), "0", "{ended}");
            shared().sql("postgres", &format!("DROP DATABASE \"{name}\""));
        }
        shared().sql(
            "postgres",
            &format!("ALTER DATABASE {away} RENAME TO \"{name}\""),
        );
    }
}

#[test]
fn a_part_of_a_database_takes_no_ones_place() {
    let stage = Stage::new("partly");
    stage
        .database
        .sql("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS n; CREATE TABLE u AS SELECT 2 AS n");
    let folder = stage.back_up(&var("INCLUDE_SCHEMAS", "s"));
    let ended = swap(&stage, &var("BACKUP_REVISION", &folder));
    ended.expect_code(2);
    assert!(
        ended.last_line().contains("a part of a database"),
        "{ended}"
    );
    assert_eq!(stage.database.sql("SELECT n FROM u"), "2");
}

#[test]
fn a_role_that_is_no_superuser_needs_createdb_and_the_owners_rights_and_may_end_what_it_may() {
    let cluster = shared();
    let stage = stage("lesser");
    let name = stage.database.name();
    let (role, me) = login(cluster, "");
    let refused = |words: &[&str]| {
        let ended = swap(&stage, &me);
        ended.expect_code(2);
        for words in words {
            assert!(ended.last_line().contains(words), "{words}: {ended}");
        }
        assert_eq!(
            (says(&stage), beside(&stage, "new")),
            ("later".to_owned(), vec![])
        );
    };
    let createdb = format!("ALTER ROLE \"{role}\" CREATEDB");
    let member = format!("GRANT \"postgres\" TO \"{role}\"");
    refused(&[&createdb, &member]);
    let owned = format!(
        "{createdb}; ALTER DATABASE \"{name}\" OWNER TO \"{role}\"; ALTER DATABASE \"{name}\" SET work_mem = '6MB'"
    );
    cluster.sql("postgres", &owned);
    stage.database.sql(&format!(
        "ALTER TABLE t OWNER TO \"{role}\"; ALTER SCHEMA public OWNER TO \"{role}\""
    ));

    // Others' sessions, a superuser's among them.
    let (other, _) = login(cluster, "");
    let of_other = Session::begin(name, Some(&other), "SELECT 1");
    let of_superuser = Session::begin(name, None, "SELECT 1");
    let signal = format!("GRANT pg_signal_backend TO \"{role}\"");
    let quoted = format!("\"{other}\"");
    refused(&[&signal, &quoted, "only a superuser", "\"postgres\""]);
    of_superuser.end();
    refused(&[&signal]);
    cluster.sql("postgres", &signal);

    let ours = Session::begin(name, Some(&role), "SELECT 1");
    let ended = swap(&stage, &me);
    ended.expect_code(0);
    for session in [of_other, ours] {
        session.0.wait();
    }
    assert_eq!(says(&stage), "backup");
    swap_back(&stage, &me).expect_code(0);
    assert_eq!(says(&stage), "later");

    // What a superuser has set, it cannot carry over.
    cluster.sql(
        "postgres",
        &format!("ALTER DATABASE \"{name}\" SET log_statement = 'none'"),
    );
    refused(&["setting log_statement", "RESTORE_MODE=auto"]);
}

/// It came when the load was under way.
#[test]
fn who_cannot_be_ended_is_named_and_the_target_is_as_it_was() {
    let cluster = shared();
    let stage = Stage::new("held");
    let hold = Hold::prepared(&stage);
    super::changed(&stage);
    let name = stage.database.name();
    let (role, me) = login(cluster, "CREATEDB");
    stage.database.sql(&format!(
        "ALTER DATABASE \"{name}\" OWNER TO \"{role}\"; ALTER SCHEMA public OWNER TO \"{role}\""
    ));
    let before = oid(&stage);
    hold.begin();
    let running = swapping(&stage, &with(&me, &env([("RESTORE_OWNERS", "none")]))).start();
    hold.wait(&stage);
    let staying = Session::begin(name, None, "SELECT 1");
    hold.end();
    let ended = running.wait();
    ended.expect_code(1);
    for words in [
        "could not be renamed",
        "\"postgres\" (psql, pid ",
        "as it was",
    ] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    assert_eq!((says(&stage), oid(&stage)), ("later".to_owned(), before));
    for kind in ["new", "old"] {
        assert_eq!(beside(&stage, kind), Vec::<String>::new(), "{ended}");
    }
    staying.end();
}

/// Every owner may give his database a comment.
#[test]
fn a_database_of_another_role_does_not_come_back_unless_it_is_named() {
    let cluster = shared();
    let stage = stage("forged");
    let name = stage.database.name();
    swap(&stage, &env([])).expect_code(0);
    let kept = beside(&stage, "old").remove(0);
    let (other, _) = login(cluster, "");
    let forged = unique("forged_");
    cluster.sql(
        "postgres",
        &format!(
            "CREATE DATABASE {forged} OWNER {other};
             DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE {forged} IS %L',
               (SELECT regexp_replace(replace(replace(shobj_description(d.oid, 'pg_database'), '{kept}', '{forged}'), d.oid::text, f.oid::text),
                                      '\"since\":\"20', '\"since\":\"21')
                  FROM pg_database d, pg_database f WHERE d.datname = '{kept}' AND f.datname = '{forged}')); END $$;
             ALTER DATABASE \"{kept}\" OWNER TO {other}"
        ),
    );
    let ended = swap_back(&stage, &env([]));
    ended.expect_code(2);
    for words in [kept.as_str(), &forged, "SWAP_BACK_TO"] {
        assert!(ended.last_line().contains(words), "{words}: {ended}");
    }
    cluster.sql(
        "postgres",
        &format!("ALTER DATABASE \"{kept}\" OWNER TO postgres"),
    );
    swap_back(&stage, &env([])).expect_code(0);
    assert_eq!(says(&stage), "later");
    let sql = format!("SELECT count(*) FROM pg_database WHERE datname IN ('{name}', '{forged}')");
    assert_eq!(cluster.sql("postgres", &sql), "2");
}
