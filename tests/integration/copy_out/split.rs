//! Rows of one table that several sessions read, each other pages: issue 16, step 4.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::super::testbed::postgres::{Database, quoted, shared};
use super::super::testbed::programs::{Ended, Running, backuper, restorer};
use super::super::testbed::s3_faults::{Fault, Faults};
use super::super::testbed::{Env, env, wait_for};
use super::super::versions;
use super::super::workers::{Stage, var, with};
use super::{KINDS, VALUES, backed_up, copying, counts_are_true, rows, sessions, styled};

/// Pages of every kind: full, half full, of rows that are gone or have another version, and with values out of line.
const PAGES: &str = "
    CREATE TABLE bloated AS SELECT n AS id, repeat('x', 500) AS v FROM generate_series(1, 3000) n;
    DELETE FROM bloated WHERE id BETWEEN 500 AND 1500 OR id > 2700;
    UPDATE bloated SET v = 'other' WHERE id % 7 = 0;
    CREATE TABLE emptied AS SELECT n FROM generate_series(1, 5000) n;
    DELETE FROM emptied;
    CREATE TABLE out_of_line (id int, v text);
    ALTER TABLE out_of_line ALTER v SET STORAGE EXTERNAL;
    INSERT INTO out_of_line SELECT n, repeat(md5(n::text), 3000) FROM generate_series(1, 300) n;
    CREATE TABLE one_page AS SELECT 1 AS id;
";

fn splitting(jobs: &str) -> Env {
    with(&copying(jobs), &var("BACKUP_SPLIT_TABLES", "always"))
}

/// How many sessions have read each of the streams that COPYs of ours have read.
fn sessions_of(ended: &Ended) -> Vec<usize> {
    let each = ended.stderr.split(" sessions=").skip(1);
    each.map(|it| it.split_whitespace().next().unwrap())
        .map(|it| it.parse().unwrap())
        .collect()
}

#[test]
fn rows_that_several_sessions_read_are_byte_for_byte_those_of_pg_dump() {
    for major in 13..=18 {
        let (stage, clients) = match major {
            15 => (Stage::new("split"), env([])),
            16 => (versions::empty_stage(16), versions::clients(&[17])),
            _ => (versions::empty_stage(major), versions::clients(&[major])),
        };
        stage.database.sql(&VALUES.replace(":count", "2000"));
        stage.database.sql(KINDS);
        stage.database.sql(PAGES);
        styled(&stage.database);
        let zone = format!(
            "ALTER DATABASE {} SET timezone = 'UTC'",
            quoted(stage.database.name())
        );
        stage.database.sql(&zone);
        let pg_dump = with(&clients, &var("BACKUP_ROWS", "pg_dump"));
        let (_, by_pg_dump) = backed_up(&stage, &pg_dump);
        let wanted = rows(&stage, &by_pg_dump);
        for (jobs, format) in [("2", "text"), ("3", "binary")] {
            let told = with(&splitting(jobs), &var("BACKUP_COPY_FORMAT", format));
            let (ended, ours) = backed_up(&stage, &with(&clients, &told));
            let found = rows(&stage, &ours);
            assert!(found.keys().eq(wanted.keys()));
            for (statement, rows) in &wanted {
                assert!(found[statement] == *rows, "{major}, {format}: {statement}");
            }
            counts_are_true(&stage, &ours);
            // 13 would read the whole table for each of them.
            let jobs = if major == 13 {
                1
            } else {
                jobs.parse().unwrap()
            };
            let of = sessions_of(&ended);
            assert!(!of.is_empty() && of.iter().all(|it| *it == jobs), "{ended}");
        }
        if major != 15 {
            stage.database.cluster().crash();
        }
    }
}

/// A backup by two sessions that is held up in the middle of one table.
fn held_up() -> (Stage, Running, Faults) {
    let stage = Stage::new("splitheld");
    stage.database.sql("CREATE SCHEMA live");
    stage.fill("t", 60);
    stage.database.sql("ALTER TABLE t SET SCHEMA live");
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "data-001", 1_000, Fault::Hold);
    let told = with(&splitting("2"), &var("S3_ENDPOINT", &faults.endpoint()));
    let running = backuper(&with(&stage.env(), &told)).start();
    wait_for("two COPYs are held up", || {
        let both = sessions(&stage.database, "backuper copy") == 2;
        (!faults.struck().is_empty() && both).then_some(())
    });
    (stage, running, faults)
}

fn sum(database: &Database) -> String {
    database.sql("SELECT count(*), md5(string_agg(md5(data), '' ORDER BY id)) FROM live.t")
}

/// The pages that are read later are those of the snapshot too, whatever the name leads to by then.
#[test]
fn what_others_write_meanwhile_and_other_names_change_no_row() {
    for meanwhile in [
        "UPDATE live.t SET data = 'changed' WHERE id % 3 = 0; DELETE FROM live.t WHERE id % 5 = 0;
         INSERT INTO live.t (id, data) SELECT -n, 'new' FROM generate_series(1, 9000) n; VACUUM live.t; CREATE INDEX ON live.t (id)",
        "ALTER SCHEMA live RENAME TO old; CREATE SCHEMA live; CREATE TABLE live.t (LIKE old.t)",
    ] {
        let (stage, running, faults) = held_up();
        let wanted = sum(&stage.database);
        for statement in meanwhile.split(';') {
            stage.database.sql(statement);
        }
        faults.heal();
        let ended = running.wait();
        ended.expect_code(0);
        assert_eq!(sessions_of(&ended), [2], "{ended}");
        let target = shared().database("split_target");
        let told = var("BACKUP_REVISION", &stage.s3.manifests().remove(0));
        restorer(&with(&with(&stage.env(), &target.env()), &told))
            .run()
            .expect_code(0);
        assert_eq!(sum(&target), wanted, "{meanwhile}");
    }
}

#[test]
fn one_of_them_that_is_lost_fails_the_backup() {
    let (stage, running, _faults) = held_up();
    let one = "SELECT pg_terminate_backend(max(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'backuper copy'";
    stage.database.sql(one);
    let ended = running.wait();
    ended.expect_code(1);
    assert!(ended.last_line().contains("copying rows of"), "{ended}");
    stage.nothing_is_stored();
    wait_for("the other one ends", || {
        (sessions(&stage.database, "backuper copy") == 0).then_some(())
    });
}

/// What plans queries of a table locks its indexes, and gives them back after each piece.
#[test]
fn an_index_that_is_made_anew_meanwhile_waits_for_a_piece_and_no_longer() {
    let (stage, running, faults) = held_up();
    let wanted = sum(&stage.database);
    let psql = stage.database.cluster().tool("psql", stage.database.name());
    let mut reindex = psql.args(["-qXc", "REINDEX TABLE live.t"]).start();
    wait_for("REINDEX waits", || {
        let sql = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'REINDEX%'";
        (stage.database.sql(sql).trim() == "1").then_some(())
    });
    // So slow that rows are still read when it has ended.
    faults.heal();
    faults.on(
        "PUT",
        "data-001",
        1_000,
        Fault::Wait(Duration::from_secs(2)),
    );
    wait_for("REINDEX ends", || reindex.ended().then_some(()));
    assert_eq!(sessions(&stage.database, "backuper copy"), 2);
    reindex.wait().expect_code(0);
    faults.heal();
    running.wait().expect_code(0);
    let target = shared().database("split_reindexed");
    let told = var("BACKUP_REVISION", &stage.s3.manifests().remove(0));
    restorer(&with(&with(&stage.env(), &target.env()), &told))
        .run()
        .expect_code(0);
    assert_eq!(sum(&target), wanted);
}

/// Each of them is one of the jobs, so another stream waits until they have read.
#[test]
fn there_are_no_more_sessions_than_jobs() {
    let stage = Stage::new("splitjobs");
    stage.fill("larger", 60);
    stage.fill("large", 30);
    let faults = Faults::start(stage.s3.port());
    faults.on("PUT", "data-00", 1_000, Fault::Hold);
    let told = with(&splitting("2"), &var("S3_ENDPOINT", &faults.endpoint()));
    let running = backuper(&with(&stage.env(), &told)).start();
    wait_for("two COPYs are held up", || {
        let both = sessions(&stage.database, "backuper copy") >= 2;
        (!faults.struck().is_empty() && both).then_some(())
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(sessions(&stage.database, "backuper copy"), 2);
    faults.heal();
    let ended = running.wait();
    ended.expect_code(0);
    assert_eq!(sessions_of(&ended), [2, 2], "{ended}");
}

/// Further sessions are a help, and no need: there are as many as the role may have.
#[test]
fn a_role_that_may_have_few_sessions_has_its_tables_read_by_fewer() {
    let stage = Stage::new("splitrefused");
    let role = shared().role("few", "");
    stage.database.sql(&format!(
        "CREATE TABLE t AS SELECT n AS id, repeat(md5(n::text), 10) AS v FROM generate_series(1, 20000) n;
         ALTER TABLE t OWNER TO {role}; ALTER SCHEMA public OWNER TO {role}"
    ));
    let sum = "SELECT count(*), md5(string_agg(md5(v), '' ORDER BY id)) FROM t";
    let wanted = stage.database.sql(sum);
    let login = env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]);
    let mut readers = Vec::new();
    for limit in [3, 5, 7, 9, 30] {
        stage
            .database
            .sql(&format!("ALTER ROLE {role} CONNECTION LIMIT {limit}"));
        let ended = stage.backup(&with(&splitting("4"), &login));
        if ended.code() != Some(0) {
            ended.expect_code(1);
            continue;
        }
        readers.push(sessions_of(&ended).into_iter().max().unwrap_or_default());
        let target = shared().database("splitrefused_target");
        let told = var("BACKUP_REVISION", stage.s3.manifests().last().unwrap());
        restorer(&with(&with(&stage.env(), &target.env()), &told)).succeed();
        assert_eq!(target.sql(sum), wanted, "{limit}");
    }
    assert!(readers.is_sorted(), "{readers:?}");
    assert!(readers[0] < 4, "{readers:?}");
    assert_eq!(readers.last(), Some(&4), "{readers:?}");
}

#[test]
fn a_backup_that_is_stopped_while_several_read_leaves_no_session() {
    let (stage, running, _faults) = held_up();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), Some(143));
    stage.nothing_is_stored();
    wait_for("its sessions end with it", || {
        (sessions(&stage.database, "backuper copy") == 0).then_some(())
    });
}

/// Whoever plans a query runs what the table's owner has written into its indexes, which no pg_dump does.
#[test]
fn a_table_of_somebody_elses_is_read_by_one_session_that_plans_nothing() {
    let stage = Stage::new("splitowner");
    stage.fill("large", 90);
    let owner = shared().role("owner", "");
    stage.database.sql(&format!(
        "CREATE FUNCTION evil(int) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
           IF current_setting('application_name') = 'backuper copy' THEN RAISE 'planned for a backup'; END IF;
           RETURN true; END $$;
         CREATE INDEX ON large (id) WHERE evil(1);
         ALTER TABLE large OWNER TO {owner}; ALTER FUNCTION evil OWNER TO {owner}"
    ));
    let database = stage.database.name();
    let log = || stage.database.cluster().log();
    let split = |more: &str| {
        let told = with(&var("BACKUP_JOBS", "2"), &var("BACKUP_SPLIT_TABLES", more));
        let before = log().len();
        let of = sessions_of(&backed_up(&stage, &told).0);
        (of, log()[before..].contains("planned for a backup"))
    };
    assert_eq!(split("auto"), (vec![1], false), "{database}");
    // It is asked for, and what cannot be planned is read as before.
    assert_eq!(split("any-owner"), (vec![1], true));
    stage.database.sql("DROP INDEX large_id_idx");
    assert_eq!(split("any-owner"), (vec![2], false));
    // Nor one in somebody else's schema, who may give that another name.
    stage
        .database
        .sql("ALTER TABLE large OWNER TO CURRENT_USER");
    assert_eq!(split("auto"), (vec![2], false));
    stage.database.sql(&format!(
        "CREATE SCHEMA theirs AUTHORIZATION {owner}; ALTER TABLE large SET SCHEMA theirs"
    ));
    assert_eq!(split("auto"), (vec![1], false));
}

/// It is not asked for: where jobs would idle behind a large table, and only there.
#[test]
fn a_table_that_decides_how_long_it_takes_is_split() {
    let stage = Stage::new("splitauto");
    stage.fill("large", 90);
    let jobs = var("BACKUP_JOBS", "2");
    let split = |more: &Env| sessions_of(&backed_up(&stage, &with(&jobs, more)).0);
    assert_eq!(split(&env([])), [2]);
    assert_eq!(split(&var("BACKUP_SPLIT_TABLES", "never")), [1]);
    stage.fill("as_large", 90);
    assert_eq!(split(&env([])), [1, 1]);
    let refused = stage.backup(&var("BACKUP_SPLIT_TABLES", "yes"));
    refused.expect_code(2);
    assert!(
        refused
            .printed()
            .contains("auto, any-owner, always or never"),
        "{refused}"
    );
}
