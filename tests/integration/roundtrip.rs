//! What goes through a backup comes back to the byte: stock pg_dump of both sides says so.

use super::testbed::postgres::shared;
use super::testbed::{env, unique};
use super::workers::Stage;

const EVERYTHING: &str = include_str!("everything.sql");

/// A database with one of everything, and three tables that are worth streams of their own.
fn everything() -> Stage {
    let stage = Stage::new("everything ");
    let reader = unique("reader_");
    stage.database.sql(&format!("CREATE ROLE {reader}"));
    stage.database.sql(&EVERYTHING.replace("@READER@", &reader));
    for (table, mebibytes) in [("large_1", 20), ("large_2", 21), ("large_3", 24)] {
        stage.fill(table, mebibytes);
    }
    stage
}

/// The first line that differs says more than two dumps.
#[track_caller]
fn same(before: &str, after: &str) {
    let mut lines = before.lines().zip(after.lines()).enumerate();
    if let Some((number, (wanted, found))) = lines.find(|(_, (one, other))| one != other) {
        panic!("line {number}: {wanted:.200}\nis now: {found:.200}");
    }
    assert_eq!(before.len(), after.len());
}

#[test]
fn everything_comes_back_into_a_missing_an_empty_and_a_full_database() {
    let stage = everything();
    let before = stage.database.dump();
    let folder = stage.back_up(&env([("BACKUP_JOBS", "4")]));
    let streams = stage.s3.keys();
    let streams = streams.iter().filter(|it| it.starts_with(&folder)).count();
    assert!(
        streams >= 5,
        "several data streams, a schema and a manifest: {streams}"
    );
    let (name, cluster) = (stage.database.name(), shared());

    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    stage.restore(&env([])).expect_code(0);
    same(&before, &stage.database.dump());

    cluster.sql("postgres", &format!("DROP DATABASE \"{name}\""));
    cluster.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
    stage.restore(&env([("RESTORE_JOBS", "4")])).expect_code(0);
    same(&before, &stage.database.dump());

    stage.restore(&env([])).expect_code(0);
    same(&before, &stage.database.dump());

    stage.database.sql(
        "DELETE FROM part; DROP TABLE collated; ALTER TABLE app.types DROP COLUMN c07;
         ALTER TYPE app.color ADD VALUE 'blue'; DROP VIEW app.v2;
         CREATE OR REPLACE VIEW app.v WITH (security_barrier) AS
           SELECT id, c FROM app.parent WHERE EXISTS (SELECT FROM ex);
         ALTER TABLE app.parent ADD FOREIGN KEY (p) REFERENCES app.self NOT VALID;
         SELECT lo_put(424242, 0, 'changed'), setval('app.s', 500);
         GRANT INSERT ON app.parent TO PUBLIC; COMMENT ON TABLE zero IS 'new'",
    );
    stage.restore(&env([])).expect_code(0);
    same(&before, &stage.database.dump());
}

#[test]
fn the_published_archive_of_everything_comes_back_too() {
    let stage = everything();
    let before = stage.database.dump();
    let key = format!("{}/2026-01-01-00-00-00-backup.sql", stage.database.name());
    stage.s3.put(&key, &stage.database.custom_dump());
    stage.database.sql("DELETE FROM part");
    stage.restore(&env([])).expect_code(0);
    same(&before, &stage.database.dump());
}

#[test]
fn everything_is_the_data_of_one_moment() {
    let stage = Stage::new("moment");
    stage.fill("a", 12);
    stage.fill("b", 12);
    stage
        .database
        .sql("CREATE TABLE pairs_a (n int); CREATE TABLE pairs_b (n int)");
    let writer = shared()
        .tool("psql", stage.database.name())
        .args(["-q", "-c", "DO $$ BEGIN FOR i IN 1..2000 LOOP INSERT INTO pairs_a VALUES (i); INSERT INTO pairs_b VALUES (i); COMMIT; END LOOP; END $$"])
        .start();
    stage.back_up(&env([("BACKUP_JOBS", "3")]));
    writer.wait().expect_code(0);
    stage.restore(&env([])).expect_code(0);
    let difference = "SELECT count(*) FROM pairs_a FULL JOIN pairs_b ON pairs_a.n = pairs_b.n
                       WHERE pairs_a.n IS NULL OR pairs_b.n IS NULL";
    assert_eq!(stage.database.sql(difference).trim(), "0");
}
