//! What pg_dumpall has written, and what it never does.

use super::*;

/// As pg_dumpall 18.6 has written it.
const WRITTEN: &str = r#"--
-- PostgreSQL database cluster dump
--

\restrict 4YSEMWrkqjcLBLShKr9SSdakrKDOG9BDySamlS0qDS1QeU3EgKtSKfELUoskPPd

SET default_transaction_read_only = off;

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

CREATE ROLE app_rw;
ALTER ROLE app_rw WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
COMMENT ON ROLE app_rw IS 'multi
line; GRANT';
CREATE ROLE "new
line";
ALTER ROLE "new
line" WITH NOSUPERUSER NOINHERIT NOCREATEROLE CREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
CREATE ROLE "Über ""q"" o'x";
ALTER ROLE "Über ""q"" o'x" WITH SUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 3 PASSWORD 'SCRAM-SHA-256$4096:QiSZn3941E+2PLzIG1Po7g==$qwYk/Bok60X3VRErgOsvTwtOL2QKsMzkH87oU+HVsfE=:pC7KARhB3gL+IEfhSCIMx4BvRH/NaIDLVcEufsh9U5g=' VALID UNTIL '2030-01-01 00:00:00+00';

--
-- User Config "app_rw"
--

ALTER ROLE app_rw SET search_path TO 'a b', '$user', 'public';
ALTER ROLE app_rw SET "app.Tenant" TO E'x''y\\z';
ALTER ROLE app_rw IN DATABASE d SET work_mem TO '1MB';

GRANT app_rw TO "Über ""q"" o'x" WITH ADMIN OPTION, INHERIT FALSE, SET FALSE GRANTED BY postgres;
GRANT app_rw TO "new
line" GRANTED BY postgres;
GRANT SET ON PARAMETER log_statement TO app_rw;

CREATE TABLESPACE "ts ö" OWNER app_rw LOCATION '/tmp/ts';
ALTER TABLESPACE "ts ö" SET (random_page_cost=1.1);
GRANT ALL ON TABLESPACE "ts ö" TO app_rw;

\unrestrict 4YSEMWrkqjcLBLShKr9SSdakrKDOG9BDySamlS0qDS1QeU3EgKtSKfELUoskPPd
"#;

#[test]
fn what_pg_dumpall_writes_is_known_by_role() {
    let globals = Globals::read(WRITTEN).unwrap();
    let names: Vec<&str> = globals.roles.keys().map(String::as_str).collect();
    assert_eq!(names, ["app_rw", "new\nline", "Über \"q\" o'x"]);
    let (rw, line, odd) = (
        &globals.roles["app_rw"],
        &globals.roles["new\nline"],
        &globals.roles["Über \"q\" o'x"],
    );
    assert_eq!(rw.comment.as_deref(), Some("multi\nline; GRANT"));
    assert!(rw.has(Attribute::Inherit) && !rw.has(Attribute::Login));
    assert!(line.has(Attribute::CreateDb) && !line.has(Attribute::Inherit));
    assert!(odd.has(Attribute::Superuser) && odd.password.is_some());
    assert_eq!(odd.connection_limit, Some(3));
    assert_eq!(odd.valid_until.as_deref(), Some("2030-01-01 00:00:00+00"));
    let setting = |name: &str, values: &[&str]| Setting {
        name: name.to_owned(),
        values: values.iter().map(|it| (*it).to_owned()).collect(),
    };
    assert_eq!(
        rw.settings,
        [
            setting("search_path", &["a b", "$user", "public"]),
            setting("app.Tenant", &["x'y\\z"]),
        ]
    );
    let member = |name: &str| Membership {
        role: "app_rw".to_owned(),
        member: name.to_owned(),
        ..Membership::default()
    };
    assert_eq!(
        globals.memberships,
        [
            Membership {
                admin: true,
                inherit: Some(false),
                set: Some(false),
                ..member("Über \"q\" o'x")
            },
            member("new\nline"),
        ]
    );
}

#[test]
fn no_hash_is_shown() {
    let shown = format!("{:?}", Globals::read(WRITTEN).unwrap());
    assert!(!shown.contains("SCRAM"), "{shown}");
}

#[test]
fn what_pg_dumpall_does_not_write_is_refused_with_its_line() {
    for (text, why) in [
        ("\n\\! rm -rf /\n", "line 2: it has a command of psql's"),
        ("SET x = $$;$$;", "line 1: it has a character"),
        ("CREATE ROLE a", "ends in the middle"),
        ("CREATE ROLE \"a;", "has no end"),
        ("CREATE ROLE a SUPERUSER;", "in another way"),
        ("CREATE ROLE a; CREATE ROLE a;", "twice"),
        ("CREATE ROLE a; ALTER ROLE a WITH GODLIKE;", "does not know"),
        ("CREATE ROLE a; ALTER ROLE a WITH PASSWORD 'x';", "no hash"),
        (
            "CREATE ROLE a; ALTER ROLE a WITH PASSWORD 'SCRAM-SHA-256$4096:c2E=$QUJD:REVG';",
            "no hash",
        ),
        (
            "CREATE ROLE a;\nALTER ROLE a SET x TO 'y', ;",
            "line 2: a role's setting",
        ),
        (
            "CREATE ROLE a; ALTER ROLE a SET x TO (SELECT 1);",
            "setting",
        ),
        (
            "CREATE ROLE a; ALTER ROLE a SET x TO E'\\x41';",
            "an escape",
        ),
        (
            "GRANT a TO b WITH ADMIN OPTION; GRANT a TO b, c;",
            "a membership",
        ),
    ] {
        let error = Globals::read(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn what_is_not_of_roles_has_no_effect() {
    let text =
        "DROP ROLE a; ALTER ROLE postgres WITH NOLOGIN; ALTER SYSTEM SET x TO 'y'; CREATE USER u;
        ALTER ROLE ALL SET x TO 'y'; REVOKE a FROM b; DELETE FROM pg_authid;";
    let globals = Globals::read(text).unwrap();
    assert!(globals.roles.is_empty() && globals.memberships.is_empty());
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String) {
        drop(Globals::read(&text));
    }
}
