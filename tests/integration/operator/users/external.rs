//! Users whose roles others make.

use std::time::Duration;

use serde_json::json;

use super::super::{Stage, named, served};
use super::said;
use crate::testbed::unique;

/// operator-rules.md, decided 12: what a provider has made is given its privileges, and nothing else is done to it.
#[test]
fn a_role_that_others_make_is_waited_for_given_its_privileges_and_left() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace.clone()).await;
        let server = stage.server;
        let (database, name) = stage.ready_database("iam", json!({})).await;
        let (other, elsewhere) = stage.ready_database("iam_else", json!({})).await;
        server.sql(&name, "CREATE TABLE public.t (a int)");
        let role = format!("{}@example.com", unique("Alice-"));
        let (user, _) = named("iam");
        let spec = json!({"database": {"name": database}, "username": role, "external": true});
        stage.user(&user, spec.clone()).await;
        stage.user_says(&user, "waiting for role").await;
        server.sql("postgres", &format!(r#"CREATE ROLE "{role}" LOGIN CONNECTION LIMIT 7"#));
        // What somebody else has given it elsewhere is his to say.
        let connect = format!(r#"GRANT CONNECT ON DATABASE "{elsewhere}" TO "{role}""#);
        server.sql("postgres", &connect);
        let as_made = || {
            let sql = format!(
                "SELECT rolconnlimit, rolpassword IS NULL, shobj_description(oid, 'pg_authid') IS NULL, rolcanlogin
                   FROM pg_authid WHERE rolname = '{role}'"
            );
            server.sql("postgres", &sql) == "7|t|t|t"
        };
        let may = |what: &str| {
            let sql = format!("SELECT has_table_privilege('{role}', 'public.t', '{what}')");
            server.sql(&name, &sql) == "t"
        };
        let connects = |database: &str| {
            let sql = format!(
                "SELECT count(*) FROM pg_database d, aclexplode(d.datacl) a
                  WHERE d.datname = '{database}' AND a.grantee = (SELECT oid FROM pg_roles WHERE rolname = '{role}')"
            );
            server.sql("postgres", &sql) == "1"
        };
        stage.annotate_user(&user, "look", "again").await;
        let ready = stage.user_in(&user, "Ready").await;
        assert!(may("SELECT") && !may("INSERT") && as_made());
        assert!(connects(&name) && connects(&elsewhere));
        assert_eq!(ready.secret_name, None);
        assert_eq!(ready.password_updated_at, None);
        assert!(stage.secret_of(&format!("{user}-credentials")).await.is_none());
        // One object for a role and a Database: two would undo each other's grants for ever.
        let (second, _) = named("iam_second");
        // The older one keeps it, and Kubernetes' times have seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        stage.user(&second, spec).await;
        let refused = stage.user_in(&second, "Failed").await;
        assert!(said(&refused).contains("one object for a role"), "{refused:?}");
        stage.delete_user(&second).await;
        assert!(may("SELECT"));
        // Another Database: what it had in the first one goes, and what it owns stays its own.
        server.sql(&name, "CREATE TABLE public.own (a int)");
        server.sql(&name, &format!(r#"ALTER TABLE public.own OWNER TO "{role}""#));
        let moved = json!({"spec": {"database": {"name": other}, "privileges": "readwrite"}});
        stage.change_user(&user, moved).await;
        stage.user_in(&user, "Ready").await;
        assert!(!may("SELECT") && !connects(&name) && connects(&elsewhere));
        let of = "SELECT relowner::regrole FROM pg_class WHERE relname = 'own'";
        assert_eq!(server.sql(&name, of).trim_matches('"'), role);
        // It goes, and the role stays as others have made it.
        stage.delete_user(&user).await;
        assert!(as_made() && !connects(&elsewhere));
        // A role that an object has is no other's.
        let (app, app_role) = named("managed");
        stage.user(&app, json!({"database": {"name": database}})).await;
        stage.user_in(&app, "Ready").await;
        let (thief, _) = named("iam_thief");
        let spec = json!({"database": {"name": other}, "username": app_role, "external": true});
        stage.user(&thief, spec).await;
        let refused = stage.user_in(&thief, "Failed").await;
        assert!(said(&refused).contains("belongs to"), "{refused:?}");
    });
}
