//! Plans of fixtures.

use std::collections::BTreeMap;

use super::catalogue::{Item, Object, Relation, Schema};
use super::*;
use crate::postgres::membership::tests::administrator;
use crate::postgres::membership::{Reach, Role};

const OWNER: u32 = 20_001;
const USER: u32 = 20_002;
const CLOSED: u32 = 20_003;
const GROUP: u32 = 20_004;

fn item(grantee: u32, privilege: &str) -> Item {
    Item {
        grantee,
        grantor: OWNER,
        privilege: privilege.to_owned(),
        grantable: false,
    }
}

fn relation(name: &str, kind: char, acl: &[&str]) -> Relation {
    Relation {
        schema: "public".to_owned(),
        name: name.to_owned(),
        kind,
        owner: OWNER,
        acl: acl.iter().map(|it| item(USER, it)).collect(),
        columns: Vec::new(),
        of_extension: false,
        of_column: false,
        definer: false,
    }
}

fn server() -> Found {
    let role = |name: &str, reach| Role {
        name: name.to_owned(),
        reach,
    };
    Found {
        us: administrator(160_000),
        role: USER,
        owner_role: Some(GROUP),
        roles: BTreeMap::from([
            (OWNER, role("owner", Reach::Grantable)),
            (USER, role("app", Reach::Usable)),
            (CLOSED, role("stranger", Reach::Closed)),
            (GROUP, role("group", Reach::Usable)),
        ]),
        schemas: vec![Schema {
            name: "public".to_owned(),
            owner: OWNER,
            acl: vec![item(USER, "USAGE")],
            open_to_owner_role: true,
        }],
        relations: Vec::new(),
        objects: Vec::new(),
        defaults: Vec::new(),
        creators: BTreeSet::new(),
    }
}

fn wanted(preset: Preset) -> Wanted {
    Wanted {
        role: "app".to_owned(),
        preset,
        schemas: vec!["public".to_owned()],
        grants: Vec::new(),
        owner_role: "group".to_owned(),
        public_may_create: false,
    }
}

fn sql(plan: &Plan) -> Vec<&str> {
    plan.statements().map(Statement::sql).collect()
}

#[test]
fn w3_a_lower_preset_revokes_what_a_higher_one_had() {
    let mut found = server();
    found.schemas[0].acl.push(item(USER, "CREATE"));
    found.relations = vec![
        relation("t", 'r', &["SELECT", "INSERT", "MAINTAIN"]),
        relation("s", 'S', &["USAGE"]),
        relation("same", 'v', &["SELECT"]),
    ];
    let plan = plan(&wanted(Preset::Readonly), &found);
    assert_eq!(
        sql(&plan),
        [
            r#"GRANT "owner" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"#,
            r#"REVOKE CREATE ON SCHEMA "public" FROM "app""#,
            r#"REVOKE INSERT, MAINTAIN ON TABLE "public"."t" FROM "app""#,
            r#"REVOKE USAGE ON SEQUENCE "public"."s" FROM "app""#,
        ]
    );
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
}

/// operator-rules.md, 4.1: ADMIN on a role that was created is neither INHERIT nor SET.
#[test]
fn whoever_may_make_tables_is_joined_so_that_they_are_backed_up() {
    let mut found = server();
    for (preset, joins) in [
        (Preset::Readwrite, false),
        (Preset::Admin, true),
        (Preset::Owner, true),
    ] {
        if let Some(app) = found.roles.get_mut(&USER) {
            app.reach = Reach::Grantable;
        }
        let plan = plan(&wanted(preset), &found);
        let join = r#"GRANT "app" TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"#;
        assert_eq!(sql(&plan).contains(&join), joins, "{preset:?}");
    }
}

#[test]
fn what_we_may_not_grant_on_is_said_once_for_each_owner() {
    let mut found = server();
    for name in ["a", "b"] {
        let mut table = relation(name, 'r', &[]);
        table.owner = CLOSED;
        found.relations.push(table);
    }
    let plan = plan(&wanted(Preset::Readonly), &found);
    assert!(sql(&plan).is_empty(), "{plan:?}");
    let [problem] = &plan.problems[..] else {
        panic!("{:?}", plan.problems);
    };
    assert_eq!(problem.kind, Kind::NotAllowed);
    assert!(
        problem.sentence.contains("public.a, public.b"),
        "{problem:?}"
    );
}

#[test]
fn w30_public_may_not_create_and_it_is_said_where_that_is_not_ours_to_change() {
    let mut found = server();
    found.schemas[0].acl.push(item(0, "CREATE"));
    let statement = r#"REVOKE CREATE ON SCHEMA "public" FROM PUBLIC"#;
    assert!(sql(&plan(&wanted(Preset::Readonly), &found)).contains(&statement));
    found.schemas[0].owner = CLOSED;
    let closed = plan(&wanted(Preset::Readonly), &found);
    assert!(
        closed.problems.iter().any(|it| it.kind == Kind::Public),
        "{closed:?}"
    );
    let keeping = Wanted {
        public_may_create: true,
        ..wanted(Preset::Readonly)
    };
    found.schemas[0].owner = OWNER;
    assert!(sql(&plan(&keeping, &found)).is_empty());
}

#[test]
fn w15_each_creator_has_default_privileges_and_what_is_beyond_goes() {
    let mut found = server();
    found.creators = BTreeSet::from([OWNER]);
    found.defaults = vec![catalogue::Default {
        creator: OWNER,
        schema: None,
        kind: 'r',
        acl: vec![item(USER, "DELETE")],
    }];
    assert_eq!(
        sql(&plan(&wanted(Preset::Readonly), &found))[1..],
        [
            r#"ALTER DEFAULT PRIVILEGES FOR ROLE "owner" REVOKE DELETE ON TABLES FROM "app""#,
            r#"ALTER DEFAULT PRIVILEGES FOR ROLE "owner" IN SCHEMA "public" GRANT SELECT ON TABLES TO "app""#,
        ]
    );
}

#[test]
fn additional_grants_go_to_the_first_schema_that_has_the_table_and_missing_ones_are_said() {
    let mut found = server();
    found.relations = vec![relation("t", 'r', &["SELECT"])];
    let mut more = wanted(Preset::Readonly);
    more.grants = vec![Additional {
        tables: vec!["t".to_owned(), "absent".to_owned()],
        privileges: BTreeSet::from([Privilege::Insert, Privilege::Usage]),
    }];
    let plan = plan(&more, &found);
    assert_eq!(
        sql(&plan)[1..],
        [r#"GRANT INSERT ON TABLE "public"."t" TO "app""#]
    );
    let kinds: Vec<Kind> = plan.problems.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Kind::Missing, Kind::NoTable], "{:?}", plan.problems);
}

#[test]
fn an_owner_takes_over_and_one_who_is_no_longer_gives_up() {
    let mut found = server();
    found.schemas[0].acl.push(item(USER, "CREATE"));
    let all = [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
        "REFERENCES",
        "TRIGGER",
    ];
    found.relations = vec![relation("t", 'p', &all)];
    assert_eq!(
        sql(&plan(&wanted(Preset::Owner), &found))[1..],
        [r#"ALTER TABLE "public"."t" OWNER TO "app""#]
    );
    found.relations[0].owner = USER;
    assert!(sql(&plan(&wanted(Preset::Owner), &found)).is_empty());
    assert!(sql(&plan(&wanted(Preset::Admin), &found)).is_empty());
    let lower = plan(&wanted(Preset::Readonly), &found);
    assert_eq!(
        sql(&lower)[1..],
        [
            r#"ALTER TABLE "public"."t" OWNER TO "group""#,
            r#"REVOKE CREATE ON SCHEMA "public" FROM "app""#,
            r#"GRANT SELECT ON TABLE "public"."t" TO "app""#,
        ]
    );
}

#[test]
fn a_function_with_its_owners_rights_stays_his_and_it_is_said_why() {
    let mut found = server();
    for (owner, preset) in [(USER, Preset::Readonly), (OWNER, Preset::Owner)] {
        found.objects = vec![Object {
            sql: r#"FUNCTION "public"."f"()"#.to_owned(),
            schema: "public".to_owned(),
            owner,
            definer: true,
        }];
        let plan = plan(&wanted(preset), &found);
        assert!(
            sql(&plan).iter().all(|it| !it.contains("OWNER TO")),
            "{preset:?}"
        );
        let [problem] = &plan.problems[..] else {
            panic!("{:?}", plan.problems);
        };
        assert_eq!(problem.kind, Kind::Definer);
        assert!(problem.sentence.contains("SECURITY DEFINER"), "{problem:?}");
    }
}

#[test]
fn a_view_with_its_owners_rights_stays_his_too_unless_it_is_ours() {
    let mut found = server();
    let mut view = relation("v", 'v', &[]);
    view.definer = true;
    found.relations = vec![view];
    let taken = |found: &Found| {
        let plan = plan(&wanted(Preset::Owner), found);
        let taken = sql(&plan).iter().any(|it| it.contains("OWNER TO"));
        (taken, plan.problems.len())
    };
    assert_eq!(taken(&found), (false, 1));
    found.relations[0].definer = false;
    assert_eq!(taken(&found), (true, 0));
    found.relations[0].definer = true;
    found.us.name = "owner".to_owned();
    assert_eq!(taken(&found), (true, 0));
}

#[test]
fn o8_a_second_owner_gets_admin_and_the_others_what_they_have() {
    assert_eq!(Preset::Owner.of_second_owner(), Preset::Admin);
    assert_eq!(Preset::Readonly.of_second_owner(), Preset::Readonly);
    assert!(
        "insert"
            .parse::<Privilege>()
            .is_ok_and(|it| it == Privilege::Insert)
    );
    assert!("ALL".parse::<Privilege>().is_err());
}
