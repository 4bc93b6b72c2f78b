//! What belongs to the database itself stays with its name.

use super::{beside, one, says, shared, stage, swap};
use crate::owners::login;
use crate::testbed::{env, unique};
use crate::versions::{clients, empty_stage};
use crate::workers::{Stage, var, with};

/// All of it, but for what differs from database to database.
const ITS_OWN: &str = "
    SELECT concat_ws('|', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype,
                     datistemplate, datallowconn, datconnlimit, shobj_description(d.oid, 'pg_database'),
                     (SELECT string_agg(concat_ws(' ', a.grantor::regrole, a.grantee::regrole, a.privilege_type, a.is_grantable), ', '
                             ORDER BY a.grantor, a.grantee, a.privilege_type)
                        FROM aclexplode(datacl) a),
                     (SELECT string_agg(setrole::regrole || ' ' || array_to_string(setconfig, ','), ', ' ORDER BY setrole)
                        FROM pg_db_role_setting WHERE setdatabase = d.oid))
      FROM pg_database d WHERE datname = current_database()";

#[test]
fn owner_privileges_settings_comment_and_encoding_are_those_of_the_database_that_was_there() {
    let cluster = shared();
    let [owner, granting, granted] = ["owner_", "granting_", "granted_"].map(unique);
    for role in [&owner, &granting, &granted] {
        cluster.sql("postgres", &format!("CREATE ROLE \"{role} x\""));
    }
    let stage = Stage {
        database: cluster.encoded("carried", "LATIN1"),
        s3: crate::testbed::s3::S3::start(),
    };
    super::changed(&stage);
    let name = stage.database.name();
    cluster.sql(
        "postgres",
        &format!(
            r#"ALTER DATABASE "{name}" OWNER TO "{owner} x";
               REVOKE ALL ON DATABASE "{name}" FROM PUBLIC;
               GRANT CONNECT ON DATABASE "{name}" TO "{granting} x" WITH GRANT OPTION;
               BEGIN; SET LOCAL ROLE "{granting} x"; GRANT CONNECT ON DATABASE "{name}" TO "{granted} x"; COMMIT;
               REVOKE TEMPORARY ON DATABASE "{name}" FROM "{owner} x";
               ALTER DATABASE "{name}" SET search_path TO "$user", "odd, ""one""", public;
               ALTER DATABASE "{name}" SET "my.key" TO 'it''s \ a "secret"';
               ALTER DATABASE "{name}" SET statement_timeout TO '1h';
               ALTER ROLE "{owner} x" IN DATABASE "{name}" SET work_mem TO '7MB';
               COMMENT ON DATABASE "{name}" IS E'ours, "really"\nand ''more''';
               ALTER DATABASE "{name}" CONNECTION LIMIT 17;
               ALTER DATABASE "{name}" IS_TEMPLATE true"#
        ),
    );
    let own = stage.database.sql(ITS_OWN);
    for words in ["LATIN1", "my.key", "granted_", "ours", "|17|", "work_mem"] {
        assert!(own.contains(words), "{words}: {own}");
    }
    let ended = swap(&stage, &env([]));
    ended.expect_code(0);
    assert_eq!(says(&stage), "backup");
    assert_eq!(stage.database.sql(ITS_OWN), own, "{ended}");
    assert!(!ended.printed().contains("secret"), "{ended}");
    assert!(!ended.printed().contains("WARN"), "{ended}");

    // What was changed while it was loaded counts too; the backup's own does not. A template can be dropped.
    let changed = format!(
        "ALTER DATABASE \"{name}\" RESET statement_timeout; GRANT CREATE ON DATABASE \"{name}\" TO PUBLIC"
    );
    cluster.sql("postgres", &changed);
    let own = stage.database.sql(ITS_OWN);
    let kept = beside(&stage, "old");
    let ended = swap(&stage, &var("KEEP_OLD", "0"));
    ended.expect_code(0);
    assert!(ended.last_line().contains("is dropped"), "{ended}");
    assert_eq!(stage.database.sql(ITS_OWN), own);
    assert_eq!(beside(&stage, "old"), [one(&kept)]);
}

#[test]
fn what_was_changed_while_the_new_one_was_loaded_is_carried_over_too() {
    let cluster = shared();
    let stage = Stage::new("meanwhile");
    let hold = super::Hold::prepared(&stage);
    super::changed(&stage);
    let name = stage.database.name();
    let (reader, owner) = (unique("reader_"), unique("owner_"));
    cluster.sql(
        "postgres",
        &format!("CREATE ROLE {reader}; CREATE ROLE {owner}; GRANT CREATE ON DATABASE \"{name}\" TO {reader}"),
    );
    hold.begin();
    let running = super::swapping(&stage, &env([])).start();
    hold.wait(&stage);
    cluster.sql(
        "postgres",
        &format!(
            "REVOKE ALL ON DATABASE \"{name}\" FROM PUBLIC, {reader}; GRANT CONNECT ON DATABASE \"{name}\" TO {reader};
             ALTER DATABASE \"{name}\" SET work_mem = '6MB'; ALTER DATABASE \"{name}\" OWNER TO {owner};
             COMMENT ON DATABASE \"{name}\" IS 'new'"
        ),
    );
    let own = stage.database.sql(ITS_OWN);
    hold.end();
    running.wait().expect_code(0);
    assert_eq!(stage.database.sql(ITS_OWN), own);
    assert_eq!(says(&stage), "backup");
}

/// Another encoding in the backup: the one that is there stays.
#[test]
fn a_backup_of_another_encoding_is_restored_into_the_one_that_is_there() {
    let stage = stage("encoded");
    let name = stage.database.name();
    let folder = stage.s3.manifests();
    let other = Stage {
        database: shared().encoded("latin", "LATIN1"),
        s3: crate::testbed::s3::S3::start(),
    };
    other.database.sql("CREATE TABLE t AS SELECT 'mine' AS v");
    let more = with(
        &other.database.env(),
        &env([("RESTORE_MODE", "swap"), ("BACKUP_REVISION", &folder[0])]),
    );
    let ended = stage.restore(&more);
    ended.expect_code(0);
    assert!(ended.printed().contains("whose own stay"), "{ended}");
    let asked = "SELECT v || ' ' || getdatabaseencoding() FROM t";
    assert_eq!(other.database.sql(asked), "backup LATIN1");
    assert_eq!(stage.database.name(), name);
}

/// What PostgreSQL's catalogue has differs from major to major.
#[test]
fn the_oldest_and_the_newest_server_swap_too() {
    for major in [13, 18] {
        let more = clients(&[18]);
        let stage = empty_stage(major);
        let cluster = stage.database.cluster();
        let name = stage.database.name();
        stage.database.sql("CREATE TABLE t AS SELECT 'backup' AS v");
        stage.back_up(&more);
        stage.database.sql("UPDATE t SET v = 'later'");
        let (role, me) = login(cluster, "CREATEDB");
        cluster.sql(
            "postgres",
            &format!(
                "CREATE ROLE owning; GRANT owning TO \"{role}\"; ALTER DATABASE \"{name}\" OWNER TO owning;
                 ALTER DATABASE \"{name}\" SET work_mem = '7MB'; COMMENT ON DATABASE \"{name}\" IS 'ours';
                 REVOKE ALL ON DATABASE \"{name}\" FROM PUBLIC"
            ),
        );
        let own = stage.database.sql(ITS_OWN);
        let mine = with(&with(&more, &me), &var("RESTORE_OWNERS", "none"));
        let ended = swap(&stage, &mine);
        ended.expect_code(0);
        assert_eq!(stage.database.sql(ITS_OWN), own, "{major}: {ended}");
        assert_eq!(says(&stage), "backup", "{major}");
        super::swap_back(&stage, &mine).expect_code(0);
        assert_eq!(says(&stage), "later", "{major}");
        assert_eq!(stage.database.sql(ITS_OWN), own, "{major}: {ended}");
        cluster.crash();
    }
}
