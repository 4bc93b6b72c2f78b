//! Rows that are left out of a part, and what is not left out with them.

use super::*;

/// A sequence that begins anew gives keys that are there already, and a materialized view without rows is no answer.
#[test]
fn patterns_of_rows_mean_tables_and_neither_sequences_nor_materialized_views() {
    let stage = filled(Stage::new("filters_spared"));
    stage.database.sql(
        "CREATE SEQUENCE shop.lost; SELECT setval('shop.lost', 77);
         CREATE MATERIALIZED VIEW shop.more AS SELECT n FROM shop.lines",
    );
    for format in ["archive", "sql.gz"] {
        let settings = env([
            ("EXCLUDE_TABLE_DATA", "shop.l*,shop.orders*"),
            ("FORMAT", format),
        ]);
        let before = stage.s3.keys();
        stage.backup(&settings).expect_code(0);
        let new = stage.s3.keys().into_iter();
        let mut new = new.filter(|it| !before.contains(it) && it.ends_with("manifest.json"));
        let manifest = new.next().unwrap();
        let key = manifest.trim_end_matches("manifest.json");
        let name = unique("filters_spared");
        into(&stage, &name, key.trim_end_matches(['/', '.']), &env([])).expect_code(0);
        let back = shared().existing(&name);
        for (question, answer) in [
            ("SELECT last_value FROM shop.lost", "77"),
            ("SELECT last_value FROM shop.orders_id_seq", "3"),
            ("SELECT count(*) FROM shop.orders", "0"),
            ("SELECT count(*) FROM shop.log", "0"),
            ("SELECT n FROM shop.lines", "0"),
            ("SELECT n FROM shop.more", "0"),
        ] {
            assert_eq!(back.sql(question), answer, "{format} {question}");
        }
    }
    for pattern in ["shop.lines", "shop.lost", "shop.*_seq"] {
        let refused = stage.backup(&var("EXCLUDE_TABLE_DATA", pattern));
        is_refused(
            &refused,
            &["matches no table", "sequences always have their value"],
        );
    }
}

/// A query of the table reads theirs too.
#[test]
fn tables_that_inherit_from_one_of_a_part_and_are_left_out_are_named() {
    let stage = filled(Stage::new("filters_heirs"));
    stage.database.sql(
        "CREATE TABLE secret.more () INHERITS (shop.log); CREATE TABLE secret.most () INHERITS (secret.more);
         CREATE TABLE shop.own () INHERITS (shop.log)",
    );
    let ended = stage.backup(&var("INCLUDE_SCHEMAS", "shop"));
    ended.expect_code(0);
    let said = "rows of tables that others inherit from are left out with those: secret.more of shop.log; secret.most of shop.log";
    assert!(ended.printed().contains(said), "{ended}");
    let ended = stage.backup(&var("EXCLUDE_TABLES", "shop.big"));
    ended.expect_code(0);
    assert!(!ended.printed().contains("inherit"), "{ended}");
}

/// pg_dump takes it along.
#[test]
fn the_sequence_of_a_column_comes_with_its_table() {
    let stage = filled(Stage::new("filters_owned"));
    stage.database.sql(
        "CREATE TABLE shop.same (id int GENERATED ALWAYS AS IDENTITY); INSERT INTO shop.same DEFAULT VALUES",
    );
    let only = var("INCLUDE_TABLES", "shop.orders\nshop.customers\nshop.same");
    let ended = stage.backup(&only);
    ended.expect_code(0);
    assert!(!ended.printed().contains("needs sequence"), "{ended}");
    let folder = stage.back_up(&only);
    let target = shared().database("filters_owned");
    target.sql("CREATE SCHEMA shop");
    into(&stage, target.name(), &folder, &env([])).expect_code(0);
    let next = "INSERT INTO shop.orders (customer) VALUES (1) RETURNING id";
    assert_eq!(target.sql(next).lines().next(), Some("4"));
    assert_eq!(target.sql("SELECT last_value FROM shop.same_id_seq"), "1");

    let role = unique("reader_");
    stage.database.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA shop TO {role};
         GRANT SELECT ON shop.orders, shop.customers, shop.same TO {role}"
    ));
    let login = env([("DB_USER", role.as_str()), ("DB_PASSWORD", "p")]);
    let refused = stage.backup(&with(&only, &login));
    is_refused(&refused, &["may not read sequence"]);
}
