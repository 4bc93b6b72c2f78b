//! Filters that are refused before a byte is stored.

use super::*;

type Settings = &'static [(&'static str, &'static str)];

/// What is set, and what is said of it.
const CASES: &[(Settings, &[&str])] = &[
    (
        &[("INCLUDE_SCHEMAS", "shop,shpo")],
        &[
            "INCLUDE_SCHEMAS: shpo matches no schema",
            "would be missing",
        ],
    ),
    (
        &[("EXCLUDE_SCHEMAS", "Secret,\"Secret\"")],
        &[
            "EXCLUDE_SCHEMAS: \"Secret\" matches no schema",
            "would be backed up",
        ],
    ),
    (
        &[("EXCLUDE_TABLES", "log")],
        &["EXCLUDE_TABLES: log matches no table", "schema.table"],
    ),
    (
        &[("EXCLUDE_TABLE_DATA", "shop.lg")],
        &["EXCLUDE_TABLE_DATA: shop.lg matches no table", "rows"],
    ),
    (&[("INCLUDE_TABLES", "shop.nothing")], &["matches no table"]),
    (
        &[("INCLUDE_TABLES", "*")],
        &["also matches", "pg_catalog", "belongs to the server"],
    ),
    (&[("INCLUDE_SCHEMAS", "*")], &["belongs to the server"]),
    (
        &[("INCLUDE_TABLES", "shop.events")],
        &[
            "INCLUDE_TABLES names shop.events, which is partitioned",
            "shop.events_24",
        ],
    ),
    (
        &[("EXCLUDE_TABLES", "shop.events")],
        &["EXCLUDE_TABLES names shop.events", "shop.events_25"],
    ),
    (
        &[("EXCLUDE_TABLES", "shop.events_2?")],
        &["shop.events is partitioned", "all of its partitions"],
    ),
    // Its partitions are in another schema.
    (
        &[("INCLUDE_SCHEMAS", "apart")],
        &["apart.split is partitioned", "parts.split_1"],
    ),
    (
        &[("EXCLUDE_SCHEMAS", "parts")],
        &["apart.split is partitioned", "parts.split_1"],
    ),
    (
        &[("INCLUDE_SCHEMAS", "shop"), ("EXCLUDE_SCHEMAS", "shop")],
        &["nothing would be backed up"],
    ),
    (
        &[("EXCLUDE_TABLE_DATA", "shop.events,shop.events_24")],
        &["EXCLUDE_TABLE_DATA names shop.events", "shop.events_25;"],
    ),
    (
        &[("EXCLUDE_TABLE_DATA", "shop.customers")],
        &[
            "orders_customer_fkey",
            "shop.orders refers to shop.customers",
            "no restore",
        ],
    ),
    (
        &[("INCLUDE_TABLES", "shop.*"), ("EXCLUDE_SCHEMAS", "secret")],
        &["INCLUDE_TABLES and EXCLUDE_SCHEMAS"],
    ),
    (
        &[
            ("INCLUDE_TABLES", "shop.log"),
            ("EXCLUDE_TABLES", "shop.log"),
        ],
        &["nothing would be backed up"],
    ),
    (
        &[("EXCLUDE_SCHEMAS", "secret")],
        &["extension hstore is in schema secret"],
    ),
    (
        &[("EXCLUDE_TABLES", "shop.(log")],
        &["shop.(log is no pattern"],
    ),
    (
        &[("EXCLUDE_TABLES", "shop.\"log")],
        &["EXCLUDE_TABLES", "never closed"],
    ),
    (
        &[("EXCLUDE_TABLES", "a.b.c")],
        &["EXCLUDE_TABLES", "a dot too many"],
    ),
    (
        &[
            ("EXCLUDE_TABLES", "shop.log"),
            ("FORMAT", "sql.gz"),
            ("SQL_CLEAN", "true"),
        ],
        &["SQL_CLEAN"],
    ),
];

#[test]
fn a_filter_that_does_not_say_what_is_meant_is_refused_and_nothing_is_stored() {
    let stage = filled(Stage::new("filters_refused"));
    stage.database.sql(
        "CREATE EXTENSION hstore SCHEMA secret; CREATE SCHEMA apart; CREATE SCHEMA parts;
         CREATE TABLE apart.split (id int) PARTITION BY RANGE (id);
         CREATE TABLE parts.split_1 PARTITION OF apart.split FOR VALUES FROM (0) TO (9)",
    );
    for (settings, words) in CASES {
        let ended = stage.backup(&listed(settings));
        is_refused(&ended, words);
        stage.nothing_is_stored();
    }
}

/// What changes all the time, and is locked for long, is what people leave out.
#[test]
fn a_locked_table_that_is_left_out_holds_nobody_up() {
    let stage = filled(Stage::new("filters_locked"));
    let mut holder = stage
        .database
        .cluster()
        .tool("psql", stage.database.name())
        .args([
            "-c",
            "BEGIN; LOCK TABLE secret.keys; SELECT 'it is locked'; SELECT pg_sleep(600)",
        ])
        .start();
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'secret.keys'::regclass AND mode = 'AccessExclusiveLock' AND granted";
    super::super::testbed::wait_for("the lock", || {
        (stage.database.sql(waiting).trim() == "1").then_some(())
    });
    let settings = env([("EXCLUDE_SCHEMAS", "secret"), ("LOCK_WAIT_TIMEOUT", "2s")]);
    stage.backup(&settings).expect_code(0);
    assert!(!holder.ended());
    holder.signal(nix::sys::signal::Signal::SIGTERM);
    holder.wait();
}
