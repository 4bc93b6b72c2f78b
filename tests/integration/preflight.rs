//! What a restore finds out before it loads anything, and what belongs to the database itself.

use super::owners::{drop_database, into, login};
use super::testbed::postgres::shared;
use super::testbed::{env, folder, unique};
use super::workers::{Stage, var, with};

/// What belongs to a database itself, in a form that two can be compared by.
fn own(name: &str) -> String {
    shared().sql(
        "postgres",
        &format!(
            "SELECT datdba::regrole, datconnlimit, ARRAY(SELECT x::text FROM unnest(datacl) x ORDER BY 1), shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}';
             SELECT setrole::regrole, setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase
              WHERE datname = '{name}' ORDER BY 1"
        ),
    )
}

/// Rows F04 and F28.
#[test]
fn what_belongs_to_a_database_goes_to_one_that_we_make_and_to_no_other() {
    let role = unique("role_");
    let cluster = shared();
    // A role of the same name, quotes, and a semicolon: none of it is taken for another.
    let name = format!("p\"r;od {role}");
    let database = cluster.named(&name);
    let stage = Stage {
        database,
        s3: super::testbed::s3::S3::start(),
    };
    let quoted = format!("\"p\"\"r;od {role}\"");
    let odd = format!("\"{role} IN DATABASE x\"");
    cluster.sql(
        "postgres",
        &format!(
            "CREATE ROLE {role}; CREATE ROLE {quoted}; CREATE ROLE {odd};
             ALTER DATABASE {quoted} SET work_mem = '5MB';
             ALTER DATABASE {quoted} SET search_path = s, \"we;ird\", public;
             ALTER DATABASE {quoted} SET default_transaction_read_only = on;
             ALTER DATABASE {quoted} SET my.text = 'it''s \\ {quoted}; ON DATABASE x';
             ALTER ROLE {role} IN DATABASE {quoted} SET work_mem = '6MB';
             ALTER ROLE {quoted} IN DATABASE {quoted} SET application_name = 'it''s; \"x\"';
             ALTER ROLE {odd} IN DATABASE {quoted} SET work_mem = '7MB';
             COMMENT ON DATABASE {quoted} IS 'about; {quoted} it''s';
             REVOKE TEMPORARY ON DATABASE {quoted} FROM PUBLIC; GRANT CONNECT ON DATABASE {quoted} TO {role};
             ALTER DATABASE {quoted} CONNECTION LIMIT 7; ALTER DATABASE {quoted} OWNER TO {role}"
        ),
    );
    stage
        .database
        .sql("SET default_transaction_read_only = off; CREATE TABLE public.t AS SELECT 1 AS a");
    let wanted = own(&name);
    let backup = stage.back_up(&env([]));

    // The source goes on living.
    cluster.sql(
        "postgres",
        &format!("REVOKE CONNECT ON DATABASE {quoted} FROM {role}; ALTER DATABASE {quoted} SET work_mem = '9MB'"),
    );
    let live = own(&name);
    let there = cluster.database("there");
    let before = own(there.name());
    let ended = into(&stage, &backup, there.name(), &env([]));
    ended.expect_code(0);
    assert_eq!(
        own(there.name()),
        before,
        "one that was there keeps its own"
    );
    assert!(ended.printed().contains("keeps its own"), "{ended}");
    assert_eq!(own(&name), live, "the source has changed");

    let made = unique("ma\"de");
    into(&stage, &backup, &made, &env([])).expect_code(0);
    assert_eq!(own(&made), wanted);
    assert_eq!(own(&name), live, "the source has changed");
    assert_eq!(cluster.sql(&made, "SELECT a FROM public.t"), "1");

    // Without one of its roles, and without owners.
    cluster.sql("postgres", &format!("DROP OWNED BY {odd}; DROP ROLE {odd}"));
    let again = unique("again");
    let ended = into(&stage, &backup, &again, &var("RESTORE_OWNERS", "none"));
    ended.expect_code(0);
    let warned = ended.printed();
    assert!(
        warned.contains(&format!("not restored: \"{role} IN DATABASE x\"")),
        "{ended}"
    );
    assert!(own(&again).starts_with("postgres|7|"), "{}", own(&again));
}

/// Row F26: a role of a policy or a user mapping.
#[test]
fn a_policy_for_a_missing_role_is_refused_or_left_out() {
    let stage = Stage::new("policy");
    let (role, here) = (unique("Gone; "), unique("here_"));
    stage.database.sql(&format!(
        "CREATE ROLE \"{role}\"; CREATE ROLE {here};
         CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
         CREATE POLICY first ON t TO {here}, \"{role}\" USING (a = 1); COMMENT ON POLICY first ON t IS 'x';
         CREATE POLICY second ON t TO {here} USING (a = 2);
         CREATE FOREIGN DATA WRAPPER w; CREATE SERVER srv FOREIGN DATA WRAPPER w;
         CREATE USER MAPPING FOR \"{role}\" SERVER srv OPTIONS (password 'hunter2');
         CREATE USER MAPPING FOR {here} SERVER srv; CREATE USER MAPPING FOR PUBLIC SERVER srv;
         GRANT SELECT ON t TO \"{role}\"; ALTER DEFAULT PRIVILEGES FOR ROLE \"{role}\" GRANT SELECT ON TABLES TO {here}"
    ));
    let folder = stage.back_up(&env([]));
    drop_database(&stage.database);
    shared().sql("postgres", &format!("DROP ROLE \"{role}\""));
    let target = shared().database("policy_there");
    for (name, left) in [(stage.database.name(), "0"), (target.name(), "1")] {
        let ended = into(&stage, &folder, name, &env([]));
        ended.expect_code(2);
        for word in [
            "policy public.t first",
            "user mapping",
            &role,
            "RESTORE_KEEP_GOING",
        ] {
            assert!(ended.last_line().contains(word), "{word}: {ended}");
        }
        assert!(!ended.printed().contains("hunter2"), "{ended}");
        let databases = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(shared().sql("postgres", &databases), left);
    }
    assert_eq!(
        target.sql("SELECT count(*) FROM pg_class WHERE relname = 't'"),
        "0"
    );
    for place in ["empty", "in place"] {
        let ended = into(
            &stage,
            &folder,
            target.name(),
            &var("RESTORE_KEEP_GOING", "true"),
        );
        ended.expect_code(3);
        assert!(
            ended.last_line().contains("policy public.t first"),
            "{ended}"
        );
        assert!(
            ended
                .printed()
                .contains(&format!("not restored: \"{role}\"")),
            "{ended}"
        );
        assert_eq!(target.sql("SELECT a FROM t"), "1", "{place}");
        assert_eq!(
            target.sql("SELECT string_agg(polname, ' ') FROM pg_policy"),
            "second"
        );
        assert_eq!(target.sql("SELECT count(*) FROM pg_user_mapping"), "2");
    }
}

/// Row F26: a tablespace.
#[test]
fn a_missing_tablespace_is_a_warning() {
    let stage = Stage::new("space");
    let (space, place) = (unique("space_"), folder("space").join("in"));
    shared().make_folder(&place);
    shared().sql(
        "postgres",
        &format!("CREATE TABLESPACE {space} LOCATION '{}'", place.display()),
    );
    stage.database.sql(&format!(
        "CREATE TABLE t (a int PRIMARY KEY USING INDEX TABLESPACE {space}) TABLESPACE {space}; INSERT INTO t VALUES (1)"
    ));
    stage.back_up(&env([]));
    let spaces = format!(
        "SELECT count(*) FROM pg_class c JOIN pg_tablespace s ON s.oid = reltablespace WHERE spcname = '{space}' AND relkind IN ('r', 'i')"
    );
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql(&spaces), "2", "it is there");
    drop_database(&stage.database);
    shared().sql("postgres", &format!("DROP TABLESPACE {space}"));
    for place in ["into nothing", "in place"] {
        let ended = stage.restore(&env([]));
        ended.expect_code(0);
        assert!(
            ended.printed().contains(&format!("tablespaces {space}")),
            "{ended}"
        );
        assert_eq!(stage.database.sql("SELECT a FROM t"), "1", "{place}");
    }
}

/// Row F26: a function of a grant, whose arguments are others in the version of the target; and the
/// version itself.
#[test]
fn a_grant_on_a_function_that_is_not_there_is_a_warning() {
    let stage = Stage::new("signature");
    let role = unique("reader_");
    stage.database.sql(&format!(
        "CREATE ROLE {role}; CREATE EXTENSION pg_stat_statements VERSION '1.6';
         GRANT EXECUTE ON FUNCTION pg_stat_statements_reset() TO {role};
         CREATE TABLE t (a int); GRANT SELECT ON t TO {role}"
    ));
    let folder = stage.back_up(&env([]));
    let key = format!("{folder}/manifest.json");
    let manifest = String::from_utf8(stage.s3.read(&key)).unwrap();
    let newer = manifest.replace("\"1.6\"", "\"0.6\"");
    assert_ne!(newer, manifest);
    stage.s3.put(&key, newer.as_bytes());
    drop_database(&stage.database);
    let granted = format!("SELECT has_table_privilege('{role}', 't', 'SELECT')");
    for place in ["into nothing", "in place"] {
        let ended = stage.restore(&env([]));
        ended.expect_code(0);
        assert_eq!(stage.database.sql(&granted), "t", "{place}");
        let printed = ended.printed();
        for word in [
            "pg_stat_statements_reset() does not exist",
            "pg_stat_statements 0.6, which the server does not have",
        ] {
            assert!(printed.contains(word), "{place}: {ended}");
        }
    }
}

/// Row F26: a locale of the database, and of a collation.
#[test]
fn a_locale_that_the_server_lacks_is_refused_with_what_to_do() {
    let stage = Stage::new("locale");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let backup = stage.back_up(&env([]));
    let key = format!("{backup}/manifest.json");
    let manifest = String::from_utf8(stage.s3.read(&key)).unwrap();
    stage.s3.put(
        &key,
        manifest
            .replace("\"C.UTF-8\"", "\"xx_XX.UTF-8\"")
            .as_bytes(),
    );
    drop_database(&stage.database);
    let ended = stage.restore(&env([]));
    ended.expect_code(2);
    for word in ["xx_XX.UTF-8", "create it by hand"] {
        assert!(ended.last_line().contains(word), "{ended}");
    }
    let name = stage.database.name();
    shared().sql("postgres", &format!("CREATE DATABASE \"{name}\""));
    stage.restore(&env([])).expect_code(0);
    assert_eq!(stage.database.sql("SELECT a FROM t"), "1");

    stage
        .database
        .sql("CREATE COLLATION co (provider = libc, locale = 'C.UTF-8'); CREATE VIEW v AS SELECT 'a' COLLATE co AS a");
    let archive = stage.database.custom_dump();
    let (wanted, other) = (b"locale = 'C.UTF-8'", b"locale = 'xx_XX.8'");
    let at = archive
        .windows(wanted.len())
        .position(|it| it == wanted)
        .unwrap();
    let mut changed = archive.clone();
    changed[at..at + other.len()].copy_from_slice(other);
    stage.s3.put("archive.dump", &changed);
    let by_key = var("BACKUP_REVISION", "archive.dump");
    let before = stage.database.dump();
    let ended = stage.restore(&by_key);
    ended.expect_code(2);
    assert!(ended.last_line().contains("collation public.co"), "{ended}");
    assert_eq!(stage.database.dump(), before);
    // The view that needs it goes with it; the rows do not.
    let ended = stage.restore(&with(&by_key, &var("RESTORE_KEEP_GOING", "true")));
    ended.expect_code(3);
    assert!(ended.last_line().contains("view public.v"), "{ended}");
    assert_eq!(stage.database.sql("SELECT a FROM t"), "1");
}

/// A database that an archive makes is as its own was, too.
#[test]
fn an_archive_makes_its_database_as_it_was() {
    let stage = Stage::new("latin");
    drop_database(&stage.database);
    let name = stage.database.name();
    shared().sql(
        "postgres",
        &format!("CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' CONNECTION LIMIT 9"),
    );
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    stage.s3.put("archive.dump", &stage.database.custom_dump());
    drop_database(&stage.database);
    stage
        .restore(&var("BACKUP_REVISION", "archive.dump"))
        .expect_code(0);
    let kind = "SELECT pg_encoding_to_char(encoding), datcollate, datconnlimit FROM pg_database WHERE datname = current_database()";
    assert_eq!(stage.database.sql(kind), "LATIN1|C|9");
}

/// Row F26, its kind: what only a superuser may make.
#[test]
fn what_the_role_may_not_make_is_refused_by_name_or_left_out() {
    let stage = Stage::new("rights");
    let (worker, as_worker) = login(shared(), "CREATEDB");
    stage.database.sql(
        "CREATE TABLE t AS SELECT 1 AS a;
         CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER watching ON ddl_command_start EXECUTE FUNCTION watch();
         CREATE PUBLICATION everything FOR ALL TABLES; CREATE PUBLICATION one_table FOR TABLE t;
         CREATE FOREIGN DATA WRAPPER w; CREATE SERVER srv FOREIGN DATA WRAPPER w;
         CREATE FUNCTION inner_workings() RETURNS int LANGUAGE internal AS 'pg_backend_pid';
         CREATE VIEW uses AS SELECT inner_workings();
         CREATE OPERATOR FAMILY family USING btree",
    );
    let folder = stage.back_up(&env([]));
    let name = unique("rights_made_");
    let ended = into(&stage, &folder, &name, &as_worker);
    ended.expect_code(2);
    for word in [
        "event trigger watching",
        "publication of all tables everything",
        "foreign data wrapper w",
        "function in an untrusted language public.inner_workings()",
        "operator class public.family",
        &worker,
    ] {
        assert!(ended.printed().contains(word), "{word}: {ended}");
    }
    for allowed in ["one_table", "watch()", "view"] {
        assert!(
            !ended.last_line().contains(&format!("{allowed} (role")),
            "{ended}"
        );
    }
    let going = with(&as_worker, &var("RESTORE_KEEP_GOING", "true"));
    let ended = into(&stage, &folder, &name, &going);
    ended.expect_code(3);
    for word in ["server srv", "view public.uses"] {
        assert!(ended.printed().contains(word), "{word}: {ended}");
    }
    let made = shared().existing(&name);
    assert_eq!(made.sql("SELECT a FROM t"), "1");
    assert_eq!(made.sql("SELECT pubname FROM pg_publication"), "one_table");
}

/// Row F26, its kind: an extension that only a superuser may install.
#[test]
fn an_extension_that_the_role_may_not_install_is_refused_by_name() {
    let stage = Stage::new("untrusted");
    let (_, as_worker) = login(shared(), "CREATEDB");
    stage
        .database
        .sql("CREATE EXTENSION pg_stat_statements; CREATE EXTENSION hstore; CREATE TABLE t AS SELECT 1 AS a");
    let folder = stage.back_up(&env([]));
    let name = unique("untrusted_made_");
    let ended = into(&stage, &folder, &name, &as_worker);
    ended.expect_code(2);
    assert!(
        ended
            .last_line()
            .contains("may not install the extension pg_stat_statements in"),
        "{ended}"
    );
}

/// A hint that points the right way: a role without CREATEDB.
#[test]
fn a_role_that_may_not_create_databases_is_told_what_helps() {
    let stage = Stage::new("nocreate");
    let (worker, as_worker) = login(shared(), "");
    stage.database.sql("CREATE TABLE t AS SELECT 1 AS a");
    let folder = stage.back_up(&env([]));
    let name = unique("nocreate_made_");
    let ended = into(&stage, &folder, &name, &as_worker);
    ended.expect_code(2);
    let last = ended.last_line();
    assert!(
        last.contains(&format!("grant role {worker} CREATEDB")),
        "{ended}"
    );
    shared().sql(
        "postgres",
        &format!("CREATE DATABASE {name} OWNER {worker}"),
    );
    let ended = into(&stage, &folder, &name, &as_worker);
    ended.expect_code(0);
    assert!(
        ended.printed().contains("1 object of \"postgres\""),
        "{ended}"
    );
}
