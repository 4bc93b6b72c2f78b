//! What a Restore does with what is no whole backup, and what a whole one brings where no superuser restores it.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{Scene, Stage, served};
use crate::cluster::Namespace;
use crate::roundtrip::server;
use crate::sql_gz::{packed, unpacked};
use crate::testbed::folder;

const SOUND: &str = "SELECT string_agg(n::text, ',') || ' ' || current_setting('work_mem') || ' ' || \
    (SELECT count(*) FROM pg_largeobject_metadata) || ' ' || \
    (SELECT string_agg(nspname, ',') FROM pg_namespace WHERE nspname = 'half') IS NULL FROM t";

/// Fails where it is at the end of a script.
const AT_THE_END: &str = "CREATE SCHEMA half;\nSELECT lo_from_bytea(0, 'left');\nSELECT 1/0;\n";

impl Scene {
    /// A custom archive of a database, by stock pg_dump.
    fn archive(&self, database: &str) -> Vec<u8> {
        let file = folder("archive").join("dump");
        let tool = self.stage.server.tool("pg_dump", database);
        tool.args(["-Fc", "-f"]).arg(&file).succeed();
        std::fs::read(file).unwrap()
    }

    fn by_path(&self, path: &str) -> Value {
        json!({"path": path, "storageRef": {"name": self.storage}})
    }
}

/// operator.md, R10, R11, R13 and W26: nothing is taken from the target, its settings and large objects included.
#[test]
fn what_is_no_whole_backup_leaves_the_target_as_it_is() {
    served().within(async |namespace| {
        let scene = Scene::new(namespace).await;
        let (object, name) = scene.database("torn").await;
        scene.sql(
            &name,
            "CREATE TABLE t AS SELECT generate_series(1, 20000) n",
        );
        let done = scene.back_up("b", &object, json!({})).await;
        let path = done["path"].as_str().unwrap();
        let whole = scene.s3.read(path);
        let script = unpacked(&whole);
        let quoted = format!("ALTER DATABASE \"{name}\" SET work_mem = '5MB'");
        scene.sql(&name, &quoted);
        scene.sql(
            &name,
            "TRUNCATE t; INSERT INTO t VALUES (7); SELECT lo_from_bytea(0, 'mine')",
        );
        let sound = scene.sql(&name, SOUND);
        let half = script.len() / 2;
        let cut = script.chars().take(half).collect::<String>();
        let (before_rows, _) = script.split_once("COPY ").unwrap();
        let archive = scene.archive(&name);
        let manifest = format!("{path}.manifest.json");
        assert!(scene.s3.keys().contains(&manifest), "{:?}", scene.s3.keys());
        // The first is with its manifest, which knows better.
        let cases: [(&str, Vec<u8>); 9] = [
            ("cut", whole[..whole.len() / 2].to_vec()),
            ("cut-without-manifest", whole[..whole.len() / 2].to_vec()),
            ("within-a-copy", packed(&cut)),
            ("of-a-pg-dump-that-was-killed", packed(before_rows)),
            ("empty", Vec::new()),
            ("nothing-in-it", packed("-- no statement\n")),
            ("half-an-archive", archive[..archive.len() / 2].to_vec()),
            (
                "fails-at-its-end",
                packed(&format!("{script}\n{AT_THE_END}")),
            ),
            ("no-sql", packed(&format!("{script}\nSELEC 1;\n"))),
        ];
        for (case, bytes) in cases {
            scene.s3.put(path, &bytes);
            scene
                .restore(case, scene.by_path(path), &object, "drop")
                .await;
            let failed = scene.phase("Restore", case, "Failed").await;
            assert_eq!(scene.sql(&name, SOUND), sound, "{case}: {failed}");
            let said = failed["message"].as_str().unwrap();
            assert!(!said.contains(scene.stage.server.password()), "{said}");
            if scene.s3.keys().contains(&manifest) {
                scene.s3.remove(&manifest);
            }
        }
        scene.s3.put(path, &whole);
        scene
            .restore("whole", scene.by_path(path), &object, "drop")
            .await;
        scene.phase("Restore", "whole", "Completed").await;
        let restored = "SELECT count(*) || ' ' || current_setting('work_mem') FROM t";
        assert_eq!(scene.sql(&name, restored), "20000 5MB");
    });
}

/// operator.md, R14: somebody has dropped it behind the operator's back.
#[test]
fn a_database_that_is_missing_comes_back_as_it_was() {
    served().within(async |namespace| {
        let scene = Scene::new(namespace).await;
        let (object, name) = scene.database("gone").await;
        scene.sql(&name, "CREATE TABLE t AS SELECT 7 AS n");
        scene.back_up("b", &object, json!({})).await;
        // Its owner, its mark and who may connect.
        let whose = format!(
            "SELECT pg_get_userbyid(datdba), shobj_description(oid, 'pg_database'), datacl FROM pg_database WHERE datname = '{name}'"
        );
        let before = scene.sql("postgres", &whose);
        scene.sql("postgres", &format!("DROP DATABASE \"{name}\""));
        let source = json!({"backupRef": {"name": "b"}});
        scene.restore("r", source, &object, "fail").await;
        scene.phase("Restore", "r", "Completed").await;
        assert_eq!(scene.sql(&name, "SELECT n FROM t"), "7");
        assert_eq!(scene.sql("postgres", &whose), before);
    });
}

/// operator.md, R9 and R12; W26: an extension, large objects, and text that looks like statements.
#[test]
fn a_role_that_is_no_superuser_restores_all_that_a_database_has() {
    served().within(async |namespace| {
        let cluster = namespace.cluster;
        let majors = [15, 16, 17, 18].map(|major| async move {
            let namespace = Namespace::create(cluster).await;
            let tried = AssertUnwindSafe(comes_back(namespace.clone(), major)).catch_unwind();
            let tried = tried.await;
            namespace.remove().await;
            tried.err().map(|why| {
                let why = why.downcast_ref::<String>().cloned();
                format!("{major}: {}", why.unwrap_or_default())
            })
        });
        let wrong: Vec<String> = join_all(majors).await.into_iter().flatten().collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

async fn comes_back(namespace: Namespace, major: u32) {
    let server = &server::of(major).cluster;
    let role = server.role("dbc", "CREATEDB CREATEROLE");
    let stage = Stage::on(namespace, server, (&role, "p")).await;
    let scene = Scene::of(stage).await;
    let (object, name) = scene.database("tricky").await;
    let make = format!(
            "SET ROLE {role};
             CREATE EXTENSION hstore;
             CREATE TABLE t (n int, s text, h hstore);
             INSERT INTO t VALUES (1, E'COMMIT;\\nBEGIN;\\n\\\\.\\nCOMMENT ON EXTENSION hstore IS ''x'';', 'a=>1');
             CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
COMMENT ON EXTENSION hstore IS 'of a function';
SET transaction_timeout = 0;
RETURN $x$\nCOMMIT;\n$x$;
END $f$;
             SELECT lo_from_bytea(4711, '\\x00ff5c');
             CREATE VIEW v AS SELECT count(*) FROM t;"
        );
    scene.sql(&name, &make);
    let facts = "SELECT md5(string_agg(t::text, ',')) || md5(pg_get_functiondef('f'::regproc)) \
            || lo_get(4711)::text || (SELECT string_agg(extname, ',' ORDER BY 1) FROM pg_extension) FROM t";
    let before = scene.sql(&name, facts);
    scene.back_up("b", &object, json!({})).await;
    let (target, into) = scene.database("copied").await;
    // What is in another schema is something too.
    scene.sql(
        &into,
        "CREATE SCHEMA other; CREATE TABLE other.mine (a int)",
    );
    let source = json!({"backupRef": {"name": "b"}});
    scene.restore("r", source.clone(), &target, "fail").await;
    let failed = scene.phase("Restore", "r", "Failed").await;
    assert_eq!(
        scene.sql(&into, "SELECT to_regclass('t') IS NULL"),
        "t",
        "{failed}"
    );
    scene.sql(&into, "DROP SCHEMA other CASCADE");
    scene
        .restore("again", source.clone(), &target, "fail")
        .await;
    scene.phase("Restore", "again", "Completed").await;
    assert_eq!(scene.sql(&into, facts), before);
    scene.restore("over", source, &target, "drop").await;
    scene.phase("Restore", "over", "Completed").await;
    assert_eq!(scene.sql(&into, facts), before);
}
