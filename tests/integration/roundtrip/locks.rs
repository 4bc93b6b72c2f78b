//! More large objects than the server has locks for.

use crate::testbed::env;
use crate::testbed::postgres::Cluster;
use crate::unfinished::restoring;
use crate::workers::Stage;

/// F29, on a server that has room for fewer.
#[test]
fn more_large_objects_than_locks_are_refused_beforehand() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(false)));
    for setting in [
        "max_locks_per_transaction = 10",
        "max_connections = 25",
        "max_prepared_transactions = 0",
    ] {
        cluster.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
    }
    // A crash takes what was not waited for, the password among it.
    cluster.sql("postgres", "CHECKPOINT");
    cluster.crash();
    cluster.boot();
    let stage = Stage::on(cluster, "locks");
    // Each in a transaction of its own: making them takes locks too.
    stage
        .database
        .sql("SELECT format('SELECT lo_from_bytea(%s, %L)', 1000 + i, i::text) FROM generate_series(1, 11000) i \\gexec");
    let folder = stage.back_up(&env([]));
    stage.database.sql("SELECT lo_put(1001, 0, 'changed')");
    let before = stage.database.dump();
    let ended = stage.restore(&env([]));
    ended.expect_code(2);
    for words in ["replace 11000 large objects", "max_locks_per_transaction"] {
        assert!(ended.last_line().contains(words), "{ended}");
    }
    assert!(stage.database.dump() == before, "the contents have changed");
    let empty = Stage::on(cluster, "unlocked");
    restoring(&stage, &folder, &empty.database, &env([]))
        .run()
        .expect_code(0);
    let changed = "SELECT convert_from(lo_get(1001), 'UTF8')";
    assert_eq!(empty.database.sql(changed).trim(), "1");
    cluster.crash();
}
