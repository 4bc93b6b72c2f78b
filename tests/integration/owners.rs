//! Who owns what is restored, and who may do what with it.

use super::testbed::postgres::{Cluster, Database, shared};
use super::testbed::programs::restorer;
use super::testbed::{Env, env, unique};
use super::versions;
use super::workers::{Stage, var, with};

const OBJECTS: &str = include_str!("owners.sql");

/// Roles of one test.
struct Roles {
    owner: String,
    other: String,
    reader: String,
}

impl Roles {
    fn new(cluster: &Cluster) -> Self {
        let roles = Self {
            owner: unique("owner_"),
            other: unique("Other role \"\""),
            reader: unique("reader_"),
        };
        for role in [&roles.owner, &roles.quoted_other(), &roles.reader] {
            cluster.sql("postgres", &format!("CREATE ROLE {role}"));
        }
        roles
    }

    fn quoted_other(&self) -> String {
        format!("\"{}\"", self.other)
    }

    fn in_sql(&self, sql: &str) -> String {
        sql.replace("@OWNER@", &self.owner)
            .replace("@OTHER@", &self.quoted_other())
            .replace("@READER@", &self.reader)
    }
}

/// A role that may log in, and how a worker reaches the database as it.
pub(super) fn login(cluster: &Cluster, options: &str) -> (String, Env) {
    let (role, password) = (unique("worker_"), unique("s3cr3t-"));
    let sql = format!("CREATE ROLE {role} LOGIN PASSWORD '{password}' {options}");
    cluster.sql("postgres", &sql);
    let env = env([("DB_USER", &role), ("DB_PASSWORD", &password)]);
    (role, env)
}

pub(super) fn drop_database(database: &Database<'_>) {
    let sql = format!("DROP DATABASE \"{}\" WITH (FORCE)", database.name());
    database.cluster().sql("postgres", &sql);
}

#[track_caller]
fn same(wanted: &str, found: &str) {
    for (wanted, found) in wanted.lines().zip(found.lines()) {
        assert_eq!(wanted, found);
    }
    assert_eq!(wanted.len(), found.len());
}

/// Row F11, and the grantors of privileges.
#[test]
fn every_object_gets_its_owner_and_its_privileges_back() {
    let stage = Stage::new("owners");
    let roles = Roles::new(shared());
    stage.database.sql(&roles.in_sql(OBJECTS));
    let before = stage.database.dump();
    assert!(before.contains("SET SESSION AUTHORIZATION"));
    stage.back_up(&env([]));

    stage.restore(&env([])).expect_code(0);
    same(&before, &stage.database.dump());

    let changed = "ALTER TABLE s.z_table OWNER TO postgres; ALTER SCHEMA s OWNER TO @READER@;
        ALTER VIEW s.v OWNER TO @OTHER@; ALTER LARGE OBJECT 810001 OWNER TO postgres;
        REVOKE ALL ON s.keyed FROM PUBLIC; ALTER FUNCTION s.f(int, text) OWNER TO postgres;
        DROP EVENT TRIGGER watching; ALTER SERVER server OWNER TO postgres";
    stage.database.sql(&roles.in_sql(changed));
    stage.restore(&env([])).expect_code(0);
    same(&before, &stage.database.dump());

    drop_database(&stage.database);
    let ended = stage.restore(&env([]));
    ended.expect_code(0);
    assert!(!ended.printed().contains("WARN"), "{ended}");
    same(&before, &stage.database.dump());

    let archive = stage.database.custom_dump();
    stage.s3.put("archive.dump", &archive);
    drop_database(&stage.database);
    stage
        .restore(&var("BACKUP_REVISION", "archive.dump"))
        .expect_code(0);
    same(&before, &stage.database.dump());
}

/// Row F11: with `none` all is ours, as before.
#[test]
fn without_owners_everything_belongs_to_the_role_that_restores() {
    let stage = Stage::new("unowned");
    let roles = Roles::new(shared());
    stage.database.sql(&roles.in_sql(OBJECTS));
    stage.back_up(&env([]));
    let others =
        "SELECT count(*) FROM pg_class WHERE relnamespace = 's'::regnamespace AND relowner <> 10";
    drop_database(&stage.database);
    stage.restore(&var("RESTORE_OWNERS", "none")).expect_code(0);
    assert_eq!(stage.database.sql(others), "0");
}

/// Row F11: what would run with a superuser's rights, since its owner is missing, is refused by name.
#[test]
fn a_missing_owner_is_a_refusal_where_it_would_give_rights_and_else_a_warning() {
    let stage = Stage::new("definer");
    let owner = unique("owner_");
    let objects = format!(
        "CREATE ROLE {owner};
         CREATE TABLE plain (a int); ALTER TABLE plain OWNER TO {owner};
         CREATE VIEW invoking WITH (security_invoker) AS SELECT 1 AS a; ALTER VIEW invoking OWNER TO {owner};
         CREATE FUNCTION harmless(a text DEFAULT 'SECURITY DEFINER') RETURNS int LANGUAGE sql AS 'SELECT 1';
         ALTER FUNCTION harmless OWNER TO {owner}"
    );
    stage.database.sql(&objects);
    stage.back_up(&env([]));
    let more = format!(
        "CREATE FUNCTION definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         ALTER FUNCTION definer OWNER TO {owner};
         CREATE VIEW seen AS SELECT * FROM plain; ALTER VIEW seen OWNER TO {owner}"
    );
    stage.database.sql(&more);
    stage.back_up(&env([]));
    drop_database(&stage.database);
    shared().sql("postgres", &format!("DROP ROLE {owner}"));

    let ended = stage.restore(&env([]));
    ended.expect_code(2);
    for word in [
        "function public.definer()",
        "view public.seen",
        &owner,
        "RESTORE_OWNERS=none",
    ] {
        assert!(ended.last_line().contains(word), "{word}: {ended}");
    }
    for harmless in ["harmless", "invoking", "plain"] {
        assert!(!ended.last_line().contains(harmless), "{ended}");
    }
    let there = format!(
        "SELECT count(*) FROM pg_database WHERE datname = '{}'",
        stage.database.name()
    );
    assert_eq!(
        shared().sql("postgres", &there),
        "0",
        "it was dropped again"
    );

    let ended = stage.restore(&var("BACKUP_REVISION", "1"));
    ended.expect_code(0);
    let printed = ended.printed();
    let warnings: Vec<&str> = printed.lines().filter(|it| it.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{ended}");
    assert!(
        warnings[0].contains(&format!("3 objects of \"{owner}\"")),
        "{ended}"
    );

    let none = var("RESTORE_OWNERS", "none");
    stage.restore(&none).expect_code(0);
    assert_eq!(stage.database.sql("SELECT definer() FROM seen"), "");
}

/// Row F11: whoever was a superuser had all rights before, too.
#[test]
fn what_a_superuser_had_owned_may_belong_to_another_one() {
    let stage = Stage::new("super");
    let owner = unique("chief_");
    stage.database.sql(&format!(
        "CREATE ROLE {owner} SUPERUSER;
         CREATE FUNCTION definer() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         ALTER FUNCTION definer OWNER TO {owner}"
    ));
    let folder = stage.back_up(&env([]));
    let manifest = stage.s3.read(&format!("{folder}/manifest.json"));
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let superusers = manifest["source"]["superusers"].to_string();
    assert!(superusers.contains(&owner), "{superusers}");
    assert!(superusers.contains("postgres"), "{superusers}");
    drop_database(&stage.database);
    shared().sql("postgres", &format!("DROP ROLE {owner}"));
    let ended = stage.restore(&env([]));
    ended.expect_code(0);
    assert!(
        ended
            .printed()
            .contains(&format!("1 object of \"{owner}\"")),
        "{ended}"
    );
}

/// Row F11: a role that is no superuser gives what it may, and says what it may not.
#[test]
fn a_role_gives_to_those_that_it_is_a_member_of() {
    let stage = Stage::new("member");
    let (worker, as_worker) = login(shared(), "CREATEDB");
    let (mine, theirs) = (unique("mine_"), unique("theirs_"));
    stage.database.sql(&format!(
        "CREATE ROLE {mine}; CREATE ROLE {theirs}; GRANT {mine} TO {worker};
         CREATE SCHEMA s; GRANT USAGE, CREATE ON SCHEMA s TO {mine};
         CREATE TABLE s.a (id serial PRIMARY KEY, n int); ALTER TABLE s.a OWNER TO {mine};
         INSERT INTO s.a (n) SELECT generate_series(1, 10);
         CREATE TABLE s.b (id int PRIMARY KEY REFERENCES s.a); ALTER TABLE s.b OWNER TO {theirs};
         CREATE VIEW s.v AS SELECT * FROM s.b; ALTER VIEW s.v OWNER TO {theirs};
         GRANT SELECT ON s.a TO {theirs}; GRANT SELECT ON s.b TO {mine}"
    ));
    stage.back_up(&env([]));
    let owners = "SELECT string_agg(relname || ' ' || relowner::regrole, ', ' ORDER BY relname)
        FROM pg_class WHERE relnamespace = 's'::regnamespace AND relkind IN ('r', 'v', 'S')";
    let wanted = format!("a {mine}, a_id_seq {mine}, b {worker}, v {worker}");
    let granted = format!(
        "SELECT has_table_privilege('{theirs}', 's.a', 'SELECT'), has_table_privilege('{mine}', 's.b', 'SELECT')"
    );
    drop_database(&stage.database);
    for place in ["into nothing", "in place"] {
        let ended = stage.restore(&as_worker);
        ended.expect_code(0);
        assert_eq!(stage.database.sql(owners), wanted, "{place}");
        assert_eq!(stage.database.sql(&granted), "t|t", "{place}");
        let printed = ended.printed();
        let warnings: Vec<&str> = printed.lines().filter(|it| it.contains("WARN")).collect();
        let about_owners = warnings
            .iter()
            .filter(|it| it.contains(&format!("2 objects of \"{theirs}\"")));
        assert_eq!(about_owners.count(), 1, "{ended}");
        assert!(warnings.iter().any(|it| it.contains("view s.v")), "{ended}");
    }
}

/// Row F34: what was granted after the backup on what stays in place is gone with it.
#[test]
fn privileges_and_comments_of_what_stays_in_place_are_those_of_the_backup() {
    let stage = Stage::new("kept");
    let roles = Roles::new(shared());
    stage.database.sql(&roles.in_sql(
        "CREATE SCHEMA s; CREATE SCHEMA owned AUTHORIZATION @OWNER@; CREATE SCHEMA quiet;
         GRANT USAGE ON SCHEMA s TO @READER@; COMMENT ON SCHEMA s IS 'as it was';
         CREATE EXTENSION pg_stat_statements;
         GRANT EXECUTE ON FUNCTION pg_stat_statements_reset(oid, oid, bigint) TO @READER@;
         REVOKE SELECT ON pg_stat_statements FROM PUBLIC; GRANT SELECT ON pg_stat_statements TO @READER@",
    ));
    let before = stage.database.dump();
    stage.back_up(&env([]));
    stage.database.sql(&roles.in_sql(
        "GRANT ALL ON SCHEMA s, quiet, public TO PUBLIC; REVOKE USAGE ON SCHEMA s FROM @READER@;
         GRANT CREATE ON SCHEMA owned TO @READER@ WITH GRANT OPTION;
         SET ROLE @READER@; GRANT CREATE ON SCHEMA owned TO @OTHER@; RESET ROLE;
         ALTER SCHEMA quiet OWNER TO @OWNER@; ALTER SCHEMA owned OWNER TO @OTHER@;
         COMMENT ON SCHEMA s IS 'another'; COMMENT ON SCHEMA quiet IS 'said'; COMMENT ON SCHEMA public IS 'changed';
         COMMENT ON EXTENSION pg_stat_statements IS 'changed';
         GRANT EXECUTE ON FUNCTION pg_stat_statements_reset(oid, oid, bigint) TO PUBLIC;
         GRANT ALL ON pg_stat_statements TO PUBLIC; GRANT UPDATE (calls) ON pg_stat_statements TO @OTHER@;
         GRANT SELECT ON pg_stat_statements_info TO @OTHER@",
    ));
    assert_ne!(stage.database.dump(), before);
    stage.restore(&env([])).expect_code(0);
    same(&before, &stage.database.dump());
}

/// Row F12: the text of a statement may be a secret, and stays out of the log.
/// What the backup says of other roles' default privileges is nothing that it says of ours.
#[test]
fn our_default_privileges_stay_unless_the_backup_has_them() {
    let stage = Stage::new("defaults");
    let roles = Roles::new(shared());
    let sql = |sql: &str| stage.database.sql(&roles.in_sql(sql));
    sql("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS a;
         ALTER DEFAULT PRIVILEGES FOR ROLE @OWNER@ GRANT SELECT ON TABLES TO @READER@;
         ALTER DEFAULT PRIVILEGES FOR ROLE @OWNER@ IN SCHEMA s GRANT USAGE ON SEQUENCES TO @READER@;
         ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO @READER@");
    stage.back_up(&env([]));
    sql("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO @OTHER@;
         ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT USAGE ON SEQUENCES TO @OTHER@;
         ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
         ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO @OTHER@");
    let defaults = "SELECT r.rolname, n.nspname, defaclobjtype, a.grantee::regrole, a.privilege_type
          FROM pg_default_acl d JOIN pg_roles r ON r.oid = defaclrole LEFT JOIN pg_namespace n ON n.oid = defaclnamespace,
               aclexplode(defaclacl) a
         WHERE NOT (a.grantee = '@OTHER@'::regrole AND defaclobjtype = 'T') ORDER BY 1, 2, 3, 4, 5";
    let before = sql(defaults);
    stage.restore(&env([])).expect_code(0);
    same(&before, &sql(defaults));
    // What the backup has of ours is as it was then.
    let added = "SELECT count(*) FROM pg_default_acl, aclexplode(defaclacl) a
                  WHERE a.grantee = '@OTHER@'::regrole AND defaclobjtype = 'T'";
    assert_eq!(sql(added), "0");
    let given = "SELECT count(*) FROM pg_class, aclexplode(relacl) a WHERE relname = 't' AND a.grantee = '@OTHER@'::regrole";
    assert_eq!(sql(given), "0", "nothing is added to what comes back");
}

/// PostgreSQL 18 has default privileges for large objects too.
#[test]
fn default_privileges_add_nothing_to_large_objects_that_come_back() {
    let stage = versions::stage(18);
    let clients = versions::clients(&[18]);
    stage.database.sql("SELECT lo_from_bytea(4711, 'x')");
    stage.back_up(&clients);
    stage
        .database
        .sql("ALTER DEFAULT PRIVILEGES GRANT SELECT ON LARGE OBJECTS TO PUBLIC");
    stage.restore(&clients).expect_code(0);
    let left =
        "SELECT lomacl IS NULL, (SELECT count(*) FROM pg_default_acl WHERE defaclobjtype = 'L')
                  FROM pg_largeobject_metadata WHERE oid = 4711";
    assert_eq!(stage.database.sql(left), "t|1");
}

#[test]
fn no_statement_of_a_backup_is_logged() {
    let stage = Stage::new("quiet");
    let role = unique("reader_");
    stage.database.sql(&format!(
        "CREATE ROLE {role}; CREATE TABLE hunter2 (a int); GRANT SELECT ON hunter2 TO {role}"
    ));
    stage.back_up(&env([]));
    stage
        .database
        .sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    let ended = stage.restore(&env([]));
    ended.expect_code(0);
    assert!(ended.printed().contains(&role), "{ended}");
    assert!(!ended.printed().contains("hunter2"), "{ended}");
}

/// A restore into another database of the same server, by a folder of this one's.
pub(super) fn into(
    stage: &Stage,
    folder: &str,
    name: &str,
    more: &Env,
) -> super::testbed::programs::Ended {
    let key = format!("{folder}/manifest.json");
    let other = env([("DB_NAME", name), ("BACKUP_REVISION", &key)]);
    restorer(&with(&with(&stage.env(), &other), more)).run()
}
