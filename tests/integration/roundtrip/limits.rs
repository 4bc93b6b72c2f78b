//! What pg_dump does not write, and so is lost by stock tools and by us alike.

use super::databases::Sample;
use super::server;
use super::subject::{Revision, Subject};

/// Why something is lost, what makes it, and the question whose answer changes.
const LIMITS: [(&str, &str, &str); 5] = [
    (
        "every new database has a schema public",
        "DROP SCHEMA public",
        "SELECT count(*) FROM pg_namespace WHERE nspname = 'public'",
    ),
    (
        "an extension comes in the version that the server installs by default",
        "CREATE EXTENSION roundtrip_signatures SCHEMA app VERSION '1.0'",
        "SELECT extversion FROM pg_extension WHERE extname = 'roundtrip_signatures'",
    ),
    (
        "an extension belongs to whoever makes it",
        "SET ROLE app; CREATE EXTENSION hstore SCHEMA app; RESET ROLE",
        "SELECT extowner::regrole FROM pg_extension WHERE extname = 'hstore'",
    ),
    (
        "tables of an extension that it has not marked are its own",
        "CREATE EXTENSION roundtrip_settings SCHEMA app; INSERT INTO app.settings_fixed VALUES (2)",
        "SELECT count(*) FROM app.settings_fixed",
    ),
    (
        "an index that is not valid is none",
        "CREATE TABLE app.t (a int); CREATE INDEX broken ON app.t (a); \
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.broken'::regclass",
        "SELECT to_regclass('app.broken')",
    ),
];

#[test]
fn what_no_dump_knows_is_lost_by_stock_tools_and_by_us() {
    let server = server::of(15);
    let subject = Subject::new(server, Sample::bare("limits"));
    let contents: Vec<&str> = LIMITS.iter().map(|(_, contents, _)| *contents).collect();
    let contents = format!(
        "CREATE SCHEMA app; GRANT CREATE ON SCHEMA app TO app; GRANT CREATE ON DATABASE :\"DBNAME\" TO app;\n{};",
        contents.join(";\n")
    );
    subject.create(&[Some(&contents)]);
    let answers = || LIMITS.map(|(_, _, question)| server.cluster.sql("limits", question));
    let before = answers();
    subject.store_singles();
    subject.back_up().expect_code(0);
    subject.drop();
    assert!(subject.restore_with_pg_restore().status.success());
    let with_stock_tools = answers();
    subject.drop();
    subject
        .restore(Revision::Latest, &Vec::new())
        .expect_code(0);
    let with_ours = answers();
    for (place, (reason, ..)) in LIMITS.iter().enumerate() {
        assert_ne!(before[place], with_stock_tools[place], "{reason}");
        assert_eq!(with_ours[place], with_stock_tools[place], "{reason}");
    }
    subject.drop();
}
