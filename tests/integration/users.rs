//! Roles and privileges on real servers: what a user may do is tried as that user.

use scheduler::postgres::database::owner_role;
use scheduler::postgres::owner::Owner;
use scheduler::postgres::privileges::{self, Preset, Wanted, access};
use scheduler::postgres::role::{self, Claim, Evidence, removal};
use scheduler::postgres::scram::{Form, encode};
use scheduler::postgres::statement::{execute_each, execute_together};
use scheduler::postgres::{membership, password};

use backuper::postgres::{Session, SslMode, Target};
use secrecy::{ExposeSecret as _, SecretString};

use super::testbed::postgres::{Cluster, Database, shared};
use super::testbed::unique;
use super::versions::version;

struct Stage<'a> {
    database: Database<'a>,
    admin: String,
    admin_password: String,
    user: String,
    owner: Owner,
    password: SecretString,
}

fn owner(name: &str) -> Owner {
    Owner {
        namespace: "team".to_owned(),
        name: name.to_owned(),
        uid: "0f1e2d3c".to_owned(),
        cluster: "here".to_owned(),
    }
}

impl<'a> Stage<'a> {
    /// A server that is administered by its superuser, or by a role that may create roles and databases.
    async fn new(cluster: &'a Cluster, superuser: bool) -> Self {
        let (admin, admin_password) = if superuser {
            ("postgres".to_owned(), cluster.password().to_owned())
        } else {
            (
                cluster.role("operator_", "CREATEDB CREATEROLE"),
                "p".to_owned(),
            )
        };
        let database = cluster.database("users_");
        let name = database.name().to_owned();
        cluster.sql(
            "postgres",
            &format!("ALTER DATABASE {name} OWNER TO {admin}"),
        );
        let user = unique("app_");
        let stage = Self {
            owner: owner(&user),
            password: password::generate(0).unwrap(),
            database,
            admin,
            admin_password,
            user,
        };
        let client = stage.administer("postgres").await;
        let found = role::found(&client, &stage.user).await.unwrap();
        let claimed = role::claim(&stage.user, found.as_ref(), &stage.owner, Evidence::None);
        assert_eq!(claimed, Claim::Create);
        let verifier = encode(&stage.password, &stage.user, Form::Scram);
        let create = role::create(&stage.user, &verifier, &stage.owner);
        execute_together(&client, &create).await.unwrap();
        let group = role::create_group(&stage.owner_role(), &owner("db"));
        execute_together(&client, &group).await.unwrap();
        let kept = format!(
            "SELECT rolpassword FROM pg_authid WHERE rolname = '{}'",
            stage.user
        );
        assert_eq!(cluster.sql("postgres", &kept), verifier.expose_secret());
        assert!(!cluster.log().contains(stage.password.expose_secret()));
        stage
    }

    fn owner_role(&self) -> String {
        let oid = self
            .database
            .sql("SELECT oid FROM pg_database WHERE datname = current_database()");
        owner_role(oid.parse().unwrap())
    }

    fn target(&self, user: &str, password: &str, database: &str) -> Target {
        Target {
            host: "127.0.0.1".to_owned(),
            port: self.database.cluster().port(),
            user: user.to_owned(),
            password: Some(password.into()),
            database: database.to_owned(),
            sslmode: SslMode::Disable,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            at: None,
        }
    }

    async fn administer(&self, database: &str) -> Session {
        let target = self.target(&self.admin, &self.admin_password, database);
        target.connect("operator").await.unwrap()
    }

    async fn log_in(&self) -> Session {
        let password = self.password.expose_secret();
        let target = self.target(&self.user, password, self.database.name());
        target.connect("app").await.unwrap()
    }

    fn wanted(&self, preset: Preset) -> Wanted {
        Wanted {
            role: self.user.clone(),
            preset,
            schemas: vec!["public".to_owned()],
            grants: Vec::new(),
            owner_role: self.owner_role(),
            public_may_create: false,
        }
    }

    /// Makes privileges so, and sees that nothing is left to do then.
    async fn give(&self, preset: Preset) {
        let client = self.administer(self.database.name()).await;
        let wanted = self.wanted(preset);
        let found = privileges::found(&client, &wanted).await.unwrap();
        let outcome = privileges::plan(&wanted, &found)
            .apply(&client)
            .await
            .unwrap();
        assert!(
            outcome.failed.is_empty(),
            "{preset:?}: {:?}",
            outcome.failed
        );
        let found = privileges::found(&client, &wanted).await.unwrap();
        let again = privileges::plan(&wanted, &found);
        let left: Vec<String> = again.statements().map(ToString::to_string).collect();
        assert!(left.is_empty(), "{preset:?}: {left:?}");
    }

    /// Which of these the user may do.
    async fn may(&self, statements: &[&str]) -> Vec<bool> {
        let user = self.log_in().await;
        let mut may = Vec::new();
        for sql in statements {
            let done = user.batch_execute(sql).await;
            if let Err(error) = &done {
                assert_eq!(
                    error.code().map(|it| it.code()),
                    Some("42501"),
                    "{sql}: {error:?}"
                );
            }
            may.push(done.is_ok());
        }
        may
    }
}

const TRIED: [&str; 5] = [
    "SELECT * FROM public.t",
    "INSERT INTO public.t VALUES (1)",
    "SELECT nextval('public.numbers')",
    "TRUNCATE public.t",
    "CREATE TABLE public.made (a int); DROP TABLE public.made",
];

/// They are found from those who have CREATE down to their members; PostgreSQL is asked about each role of the server.
async fn who_may_create_is_whom_postgresql_names(cluster: &Cluster) {
    let stage = Stage::new(cluster, true).await;
    let role = |what: &str, attributes: &str| cluster.role(&format!("{what}_"), attributes);
    let (maker, owner) = (role("maker", ""), role("owner", ""));
    let (member, far, behind) = (role("member", ""), role("far", ""), role("behind", ""));
    let (apart, clerk) = (role("apart", "NOINHERIT"), role("clerk", ""));
    let (above, superuser) = (role("above", ""), role("super", "SUPERUSER"));
    stage.database.sql(&format!(
        "ALTER DATABASE {} OWNER TO {owner};
         GRANT CREATE ON SCHEMA public TO {maker};
         GRANT {maker} TO {member}, {apart}, {superuser}; GRANT {member} TO {far}; GRANT {apart} TO {behind};
         GRANT {owner} TO {clerk}; GRANT {above} TO {maker}",
        stage.database.name()
    ));
    let client = stage.administer(stage.database.name()).await;
    let wanted = stage.wanted(Preset::Readonly);
    let found = privileges::found(&client, &wanted).await.unwrap();
    let oids: Vec<u32> = found.creators.into_iter().collect();
    let named =
        "SELECT coalesce(array_agg(rolname::text ORDER BY rolname), '{}') FROM pg_roles WHERE ";
    let of_oids = format!("{named} oid = ANY($1)");
    let row = client.query_one(&of_oids, &[&oids]).await.unwrap();
    let found: Vec<String> = row.get(0);
    let as_postgresql_says = format!(
        "{named} rolname !~ '^pg_' AND (rolname = current_user OR NOT rolsuper AND EXISTS (
             SELECT FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
              WHERE n.nspname = 'public' AND (pg_has_role(pg_roles.oid, n.nspowner, 'USAGE')
                 OR a.privilege_type = 'CREATE' AND a.grantee <> 0 AND pg_has_role(pg_roles.oid, a.grantee, 'USAGE'))))"
    );
    let row = client.query_one(&as_postgresql_says, &[]).await.unwrap();
    let said: Vec<String> = row.get(0);
    assert_eq!(found, said);
    for (name, may) in [
        (&maker, true),
        (&member, true),
        (&far, true),
        (&apart, false),
        (&behind, false),
        (&above, false),
        (&superuser, false),
    ] {
        assert_eq!(found.contains(name), may, "{name}: {found:?}");
    }
    // From 15 on schema public is the database's owner's, by a role whose member is the owner.
    let is_the_owners = client.major() >= 15;
    for name in [&owner, &clerk] {
        assert_eq!(found.contains(name), is_the_owners, "{name}: {found:?}");
    }
}

/// W3, W10, W15, W30: each preset gives what it says and a lower one takes it back.
async fn presets_are_exact(cluster: &Cluster, superuser: bool, public_creates: bool) {
    let stage = Stage::new(cluster, superuser).await;
    // The schema is the administering role's where an upgrade or a restore has left it so.
    let admin = &stage.admin;
    stage
        .database
        .sql(&format!("ALTER SCHEMA public OWNER TO {admin}"));
    let verb = if public_creates {
        "GRANT CREATE ON SCHEMA public TO"
    } else {
        "REVOKE CREATE ON SCHEMA public FROM"
    };
    stage.database.sql(&format!("{verb} PUBLIC"));
    let make = format!(
        "SET ROLE {admin}; CREATE TABLE public.t (a int); CREATE SEQUENCE public.numbers;
         CREATE TYPE public.mood AS ENUM ('good'); CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    );
    stage.database.sql(&make);
    for (preset, allowed) in [
        (Preset::Readonly, [true, false, false, false, false]),
        (Preset::Readwrite, [true, true, true, false, false]),
        (Preset::Admin, [true; 5]),
        (Preset::Readwrite, [true, true, true, false, false]),
        (Preset::Readonly, [true, false, false, false, false]),
        (Preset::Owner, [true; 5]),
    ] {
        stage.give(preset).await;
        assert_eq!(stage.may(&TRIED).await, allowed, "{preset:?}");
    }
    let of_user = format!(
        "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'numbers') AND relowner = '{}'::regrole",
        stage.user
    );
    assert_eq!(stage.database.sql(&of_user), "2");
    // One who may not own gives up what it has, and reads on.
    stage.give(Preset::Readonly).await;
    assert_eq!(stage.database.sql(&of_user), "0");
    assert_eq!(stage.may(&TRIED[..2]).await, [true, false]);
    // What another role makes later is covered.
    let other = cluster.role("other_", "");
    stage
        .database
        .sql(&format!("GRANT CREATE, USAGE ON SCHEMA public TO {other}"));
    if !superuser {
        cluster.sql(
            "postgres",
            &format!("GRANT {other} TO {admin} WITH ADMIN OPTION"),
        );
    }
    stage.give(Preset::Readonly).await;
    stage.database.sql(&format!(
        "SET ROLE {other}; CREATE TABLE public.later (a int)"
    ));
    assert_eq!(
        stage
            .may(&["SELECT * FROM public.later", "DELETE FROM public.later"])
            .await,
        [true, false]
    );
}

#[tokio::test]
async fn w3_presets_are_exact_for_each_administrator_and_each_schema_public() {
    for superuser in [true, false] {
        for public_creates in [true, false] {
            presets_are_exact(shared(), superuser, public_creates).await;
        }
    }
}

#[tokio::test]
async fn who_may_create_is_found_by_the_members_of_who_does() {
    who_may_create_is_whom_postgresql_names(shared()).await;
}

#[tokio::test]
async fn w3_presets_are_exact_on_the_oldest_server_and_where_roles_are_reached_by_admin_option() {
    for major in [14, 16] {
        let cluster = Cluster::of(version(major), false);
        who_may_create_is_whom_postgresql_names(&cluster).await;
        for superuser in [true, false] {
            presets_are_exact(&cluster, superuser, true).await;
            a_removed_user_leaves_its_objects(&cluster, superuser).await;
        }
        cluster.crash();
    }
}

/// W1, W28, rules 4 and 13: a role that goes leaves what it owns to a role that cannot log in.
async fn a_removed_user_leaves_its_objects(cluster: &Cluster, superuser: bool) {
    let stage = Stage::new(cluster, superuser).await;
    let admin = &stage.admin;
    stage
        .database
        .sql(&format!("ALTER SCHEMA public OWNER TO {admin}"));
    stage.give(Preset::Admin).await;
    let user = stage.log_in().await;
    let make = "CREATE TABLE public.mine AS SELECT 1 AS a;
        CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
        CREATE VIEW public.seen AS TABLE public.mine; GRANT SELECT ON public.seen TO PUBLIC";
    user.batch_execute(make).await.unwrap();
    let client = stage.administer(stage.database.name()).await;
    let stranger = owner("stranger");
    let refused = removal::begin(&client, &stage.user, &stranger)
        .await
        .unwrap_err();
    assert!(refused.reason.contains("belongs to team/"), "{refused}");
    removal::begin(&client, &stage.user, &stage.owner)
        .await
        .unwrap();
    assert!(
        user.batch_execute("SELECT 1").await.is_err(),
        "its session goes on"
    );
    let early = removal::finish(&client, &stage.user, &stage.owner)
        .await
        .unwrap_err();
    assert!(
        early.reason.contains("it owns 3 objects in database"),
        "{early}"
    );
    let owner_role = stage.owner_role();
    let definers = removal::leave_database(&client, &stage.user, &stage.owner, &owner_role);
    let definers = definers.await.unwrap();
    let turns = stage
        .database
        .sql("SELECT current_setting('server_version_num')::int >= 150000");
    let seen = "SELECT coalesce(reloptions::text, '') || coalesce(array_to_string(relacl, ' ') ~ '(^| )=', false) FROM pg_class WHERE relname = 'seen'";
    let seen = stage.database.sql(seen);
    if turns == "t" {
        assert_eq!(definers.turned, ["public.mine()", "public.seen"]);
        assert_eq!(seen, "{security_invoker=true}true");
    } else {
        assert_eq!(definers.turned, ["public.mine()"]);
        assert_eq!(definers.closed, ["public.seen"]);
        assert_eq!(seen, "false", "everybody may still read it");
    }
    removal::finish(&client, &stage.user, &stage.owner)
        .await
        .unwrap();
    removal::finish(&client, &stage.user, &stage.owner)
        .await
        .unwrap();
    let owners = "SELECT relowner::regrole || ' ' || proowner::regrole || ' ' || prosecdef
        FROM pg_class, pg_proc WHERE relname = 'mine' AND proname = 'mine'";
    assert_eq!(
        stage.database.sql(owners),
        format!("{owner_role} {owner_role} false")
    );
    assert_eq!(stage.database.sql("SELECT a FROM public.mine"), "1");
}

#[tokio::test]
async fn w28_a_removed_user_leaves_its_objects_to_the_owner_role() {
    for superuser in [true, false] {
        a_removed_user_leaves_its_objects(shared(), superuser).await;
    }
}

/// D14: CONNECT is given where it is wanted and taken where only the user has it.
#[tokio::test]
async fn d14_a_user_connects_to_its_databases_and_to_no_other() {
    let stage = Stage::new(shared(), false).await;
    let name = stage.database.name().to_owned();
    stage
        .database
        .sql(&format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"));
    let client = stage.administer("postgres").await;
    let us = membership::administrator(&client).await.unwrap();
    for (wanted, connects) in [(vec![name.clone()], true), (Vec::new(), false)] {
        for round in 0..2 {
            let found = access::found(&client, &stage.user, &wanted).await.unwrap();
            let (statements, _) = access::plan(&stage.user, &wanted, &found, &us);
            assert_eq!(statements.is_empty(), round == 1, "{statements:?}");
            let failed = execute_each(&client, &statements).await.unwrap();
            assert!(failed.is_empty(), "{failed:?}");
        }
        let password = stage.password.expose_secret();
        let target = stage.target(&stage.user, password, &name);
        assert_eq!(target.connect("app").await.is_ok(), connects);
    }
}

#[tokio::test]
async fn w1_roles_of_others_are_refused_on_a_real_server() {
    let stage = Stage::new(shared(), false).await;
    let client = stage.administer("postgres").await;
    let stranger = shared().role("stranger_", "");
    let elevated = shared().role("elevated_", "CREATEROLE");
    // As a member of a member of one, or of a superuser.
    let (nearer, further) = (shared().role("nearer_", ""), shared().role("further_", ""));
    let (superuser, monitor) = (
        shared().role("super_", "SUPERUSER"),
        shared().role("mon_", ""),
    );
    let acting = shared().role("acting_", "");
    let granted = format!(
        "GRANT {elevated} TO {nearer}; GRANT {nearer} TO {further}; GRANT {superuser} TO {acting}; GRANT pg_monitor TO {monitor}"
    );
    shared().sql("postgres", &granted);
    for (name, evidence, is_refused) in [
        (stranger.as_str(), Evidence::None, true),
        (&stranger, Evidence::Secret, false),
        (&elevated, Evidence::Annotation, true),
        (&nearer, Evidence::Annotation, true),
        (&further, Evidence::Annotation, true),
        (&acting, Evidence::Annotation, true),
        (&monitor, Evidence::Annotation, true),
        (&stage.admin, Evidence::Annotation, true),
        ("postgres", Evidence::Annotation, true),
    ] {
        let found = role::found(&client, name).await.unwrap();
        let claimed = role::claim(name, found.as_ref(), &stage.owner, evidence);
        assert_eq!(
            matches!(claimed, Claim::Refused(_)),
            is_refused,
            "{name}: {claimed:?}"
        );
    }
    let found = role::found(&client, &stage.user).await.unwrap();
    let claimed = role::claim(&stage.user, found.as_ref(), &stage.owner, Evidence::None);
    assert_eq!(claimed, Claim::Ours);
}
