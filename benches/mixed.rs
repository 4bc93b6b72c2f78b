//! `make bench-data`: loads the mixed database into a throw-away PostgreSQL and says how large it
//! is. The benchmarks stand on `load`; there are none yet.
//!
//! An argument scales it: `cargo bench --bench mixed -- 0.1`.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it speaks to a person, and stands on the testbed of the tests"
)]

#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests use all of it, and this what it needs"
)]
#[path = "../tests/integration/testbed.rs"]
mod testbed;

use std::time::Instant;

use testbed::postgres::{self, Database};

/// Loads the mixed database; at scale 1 it has about 1 GB.
fn load(database: &Database<'_>, scale: f64) {
    let script = format!("\\set scale {scale}\n{}", include_str!("mixed.sql"));
    database.sql(&script);
}

fn main() {
    // cargo bench adds an argument of its own.
    let scale = std::env::args()
        .find_map(|it| it.parse().ok())
        .unwrap_or(1.0);
    let database = postgres::shared().named("mixed");
    println!("loading the mixed database at scale {scale} …");
    let start = Instant::now();
    load(&database, scale);
    println!("loaded in {:.1} s", start.elapsed().as_secs_f64());
    println!("{}", database.sql(SIZES));
}

const SIZES: &str = "\
    SELECT format('%-12s %12s rows %10s', name, sum(rows), pg_size_pretty(sum(bytes))) FROM ( \
        SELECT CASE WHEN relname ~ '^small_' THEN '150 small' ELSE relname END AS name, \
               reltuples::bigint AS rows, pg_total_relation_size(oid) AS bytes \
        FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace) t \
    GROUP BY name ORDER BY sum(bytes) DESC; \
    SELECT 'all ' || pg_size_pretty(pg_database_size(current_database()))";
