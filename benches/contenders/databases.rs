//! The databases that are backed up.

use super::servers::Servers;
use super::testbed::programs::Prepared;

/// A database that is there.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) described: String,
    /// Rows in all tables, counted.
    pub(crate) rows: u64,
    /// Bytes of the tables without indexes.
    pub(crate) bytes: f64,
}

/// The names of those that are asked for.
pub(crate) fn wanted() -> Vec<String> {
    let names = super::setting("BENCH_DATABASES", "mixed wide many schema".to_owned());
    let mut names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    if !super::setting("BENCH_DUMP", String::new()).is_empty() {
        names.push("own".to_owned());
    }
    names
}

pub(crate) fn load(servers: &Servers, name: &str) -> Loaded {
    load_at(servers, name, super::setting("BENCH_SCALE", 1.0))
}

/// As [`load`], of another scale than that which is asked for.
pub(crate) fn load_at(servers: &Servers, name: &str, scale: f64) -> Loaded {
    servers.fresh(name);
    eprintln!("loading {name} at scale {scale} …");
    match name {
        "mixed" => {
            let script = format!("\\set scale {scale}\n{}", include_str!("../mixed.sql"));
            servers.postgres.sql(name, &script);
        }
        "wide" => {
            let factor = scaled(100.0, scale).to_string();
            libpq(servers, "pgbench", name)
                .args([
                    "--initialize",
                    "--quiet",
                    "--foreign-keys",
                    "--scale",
                    &factor,
                ])
                .succeed();
        }
        "many" => {
            servers.postgres.sql(name, &many(scaled(5000.0, scale)));
        }
        "schema" => {
            servers.postgres.sql(name, &schema(scaled(600.0, scale)));
        }
        "own" => {
            let dump: String = super::setting("BENCH_DUMP", String::new());
            libpq(servers, "pg_restore", name)
                .args(["--no-owner", "--no-acl", "--jobs=2", "--dbname=own", &dump])
                .succeed();
        }
        other => panic!("BENCH_DATABASES: there is no {other}"),
    }
    loaded(servers, name)
}

/// So many at this scale, and one at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a scale is small and positive"
)]
fn scaled(all: f64, scale: f64) -> u32 {
    ((all * scale) as u32).max(1)
}

/// So many tables with one row each.
pub(crate) fn load_many(servers: &Servers, tables: u32) -> Loaded {
    servers.fresh("many");
    servers.postgres.sql("many", &many(tables));
    loaded(servers, "many")
}

fn loaded(servers: &Servers, name: &str) -> Loaded {
    servers.postgres.sql(name, "VACUUM ANALYZE");
    Loaded {
        described: servers.postgres.sql(name, DESCRIPTION),
        rows: rows(servers, name),
        bytes: servers.postgres.sql(name, BYTES).parse().unwrap(),
        name: name.to_owned(),
    }
}

/// So many tables with one row each. A transaction's locks fit a server's table of them.
fn many(tables: u32) -> String {
    let one = |n: u32| {
        format!(
            "CREATE TABLE t{n} (id int PRIMARY KEY, name text); INSERT INTO t{n} VALUES (1, 'one');\n"
        )
    };
    let script: Vec<String> = (0..tables).map(one).collect();
    let batches = script.chunks(500);
    batches
        .map(|it| format!("BEGIN;\n{}COMMIT;\n", it.concat()))
        .collect()
}

/// So many tables without rows, twelve entries of an archive each.
fn schema(tables: u32) -> String {
    let one = |n: u32| {
        format!(
            "CREATE TABLE t{n} (id serial PRIMARY KEY, a int REFERENCES t{}, b text); CREATE INDEX ON t{n} (a);
             CREATE FUNCTION f{n}(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; COMMENT ON TABLE t{n} IS 'one';
             CREATE VIEW v{n} AS SELECT * FROM t{n};\n",
            n.saturating_sub(1)
        )
    };
    let script: Vec<String> = (0..tables).map(one).collect();
    let batches = script.chunks(100);
    batches
        .map(|it| format!("BEGIN;\n{}COMMIT;\n", it.concat()))
        .collect()
}

fn libpq(servers: &Servers, program: &str, database: &str) -> Prepared {
    let bin = super::testbed::postgres::installed();
    Prepared::new(bin.join(program)).envs(&servers.libpq_env(database))
}

/// All rows of all tables, which a restore must have brought back.
pub(crate) fn rows(servers: &Servers, database: &str) -> u64 {
    let counted = servers.postgres.sql(database, COUNT);
    counted.parse().unwrap()
}

const COUNT: &str = "\
    SELECT coalesce(sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', oid::regclass), \
           false, true, '')))[1]::text::int8), 0) \
    FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";

const BYTES: &str = "\
    SELECT coalesce(sum(pg_table_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";

const DESCRIPTION: &str = "\
    SELECT format('%s tables, %s rows, %s; rows alone %s', count(*), sum(greatest(reltuples, 0))::bigint, \
           pg_size_pretty(pg_database_size(current_database())), \
           pg_size_pretty(sum(pg_table_size(oid)))) \
    FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
