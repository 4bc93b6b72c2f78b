//! All streams of a backup show one moment.

use crate::testbed::env;
use crate::testbed::postgres::shared;
use crate::workers::Stage;

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
    let folder = stage.back_up(&env([("BACKUP_JOBS", "3")]));
    writer.wait().expect_code(0);
    let streams = format!("{folder}/data-");
    let streams = stage
        .s3
        .keys()
        .iter()
        .filter(|it| it.starts_with(&streams))
        .count();
    assert!(streams > 1, "only {streams} stream of rows");
    stage.restore(&env([])).expect_code(0);
    let difference = "SELECT count(*) FROM pairs_a FULL JOIN pairs_b ON pairs_a.n = pairs_b.n
                       WHERE pairs_a.n IS NULL OR pairs_b.n IS NULL";
    assert_eq!(stage.database.sql(difference).trim(), "0");
}
