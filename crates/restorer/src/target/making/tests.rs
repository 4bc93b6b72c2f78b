//! What of a role is given and what is told instead.

use super::*;

const TEXT: &str = r#"
CREATE ROLE app; ALTER ROLE app WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS
  CONNECTION LIMIT 3 PASSWORD 'SCRAM-SHA-256$4096:QiSZn3941E+2PLzIG1Po7g==$qwYk/Bok60X3VRErgOsvTwtOL2QKsMzkH87oU+HVsfE=:pC7KARhB3gL+IEfhSCIMx4BvRH/NaIDLVcEufsh9U5g=' VALID UNTIL '2031-01-01';
CREATE ROLE "o""x"; ALTER ROLE "o""x" WITH NOSUPERUSER NOINHERIT NOCREATEROLE NOCREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
CREATE ROLE there;
ALTER ROLE app SET "Work_Mem" TO '1MB'; ALTER ROLE app SET search_path TO 'a', '$user';
ALTER ROLE app SET "x.secret" TO 'hunter2'; ALTER ROLE app SET role TO 'postgres';
ALTER ROLE there SET work_mem TO '1MB';
GRANT "o""x" TO app WITH ADMIN OPTION, INHERIT FALSE, SET FALSE GRANTED BY postgres;
GRANT pg_monitor TO app; GRANT there TO app; GRANT app TO there; GRANT app TO nowhere; GRANT app TO me WITH ADMIN OPTION;
"#;

fn maker(superuser: bool, major: u32) -> Maker {
    Maker {
        name: "me".to_owned(),
        superuser,
        creates_roles: true,
        creates_databases: false,
        major,
        settable: ["work_mem", "search_path"].map(str::to_owned).into(),
    }
}

fn making(maker: &Maker, missing: &[&str]) -> Making {
    let globals = Globals::read(TEXT).unwrap();
    let missing = missing.iter().map(|it| (*it).to_owned()).collect();
    Making::of(&missing, &globals, maker, &there()).unwrap()
}

fn there() -> Roles {
    Roles::sample(true, &[("there", false)])
}

fn sql(making: &Making) -> Vec<&str> {
    making
        .steps
        .iter()
        .map(|it| it.sql.expose_secret())
        .collect()
}

#[test]
fn a_role_is_made_with_what_is_its_own_and_no_more() {
    let making = making(&maker(true, 16), &["app", "o\"x"]);
    assert_eq!(making.names(), ["app", "o\"x"]);
    assert_eq!(
        sql(&making),
        [
            "CREATE ROLE \"app\" LOGIN INHERIT CREATEDB CONNECTION LIMIT 3 PASSWORD 'SCRAM-SHA-256$4096:QiSZn3941E+2PLzIG1Po7g==$qwYk/Bok60X3VRErgOsvTwtOL2QKsMzkH87oU+HVsfE=:pC7KARhB3gL+IEfhSCIMx4BvRH/NaIDLVcEufsh9U5g=' VALID UNTIL '2031-01-01'",
            "ALTER ROLE \"app\" SET \"Work_Mem\" TO '1MB'",
            "ALTER ROLE \"app\" SET \"search_path\" TO 'a', '$user'",
            "CREATE ROLE \"o\"\"x\" NOLOGIN NOINHERIT NOCREATEDB",
            "GRANT \"o\"\"x\" TO \"app\" WITH ADMIN OPTION, INHERIT FALSE, SET FALSE",
        ]
    );
    assert_eq!(
        making.withheld["app"],
        [
            "ALTER ROLE \"app\" SUPERUSER REPLICATION BYPASSRLS CREATEROLE",
            "ALTER ROLE \"app\" SET \"x.secret\" TO …",
            "ALTER ROLE \"app\" SET \"role\" TO …",
            "GRANT \"pg_monitor\" TO \"app\"",
            "GRANT \"there\" TO \"app\"",
        ]
    );
    // Who is nowhere has no membership to be told of.
    assert_eq!(
        making.outside,
        [
            "GRANT \"app\" TO \"there\"",
            "GRANT \"app\" TO \"me\" WITH ADMIN OPTION"
        ]
    );
    assert!(!format!("{making:?}").contains("SCRAM"));
}

#[test]
fn what_our_role_may_not_give_is_told_and_what_it_makes_it_can_become() {
    let making = making(&maker(false, 16), &["app"]);
    let all = sql(&making);
    assert!(!all[0].contains("CREATEDB"), "{all:?}");
    assert_eq!(
        all[1],
        "GRANT \"app\" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"
    );
    assert_eq!(making.outside, ["GRANT \"app\" TO \"there\""]);
    let told = &making.withheld["app"];
    assert!(
        told.contains(&"ALTER ROLE \"app\" CREATEDB".to_owned()),
        "{told:?}"
    );
    // A server before 16 lets whoever makes roles give it.
    let making = self::making(&maker(false, 15), &["app"]);
    assert!(sql(&making)[0].contains(" CREATEDB"));
    assert_eq!(sql(&making)[1], "GRANT \"app\" TO CURRENT_USER");
}

#[test]
fn a_role_that_is_not_needed_or_not_known_is_not_made() {
    let making = making(&maker(true, 18), &["gone"]);
    assert!(making.names().is_empty() && making.steps.is_empty());
    let none = Maker {
        creates_roles: false,
        ..maker(false, 18)
    };
    assert!(self::making(&none, &["gone"]).names().is_empty());
    let globals = Globals::read(TEXT).unwrap();
    let refused = Making::of(
        &BTreeSet::from(["app".to_owned()]),
        &globals,
        &none,
        &there(),
    );
    assert!(refused.unwrap_err().sentence.contains("CREATEROLE"));
}
