//! Database and DatabaseUser on every major of PostgreSQL, by a superuser and by a lesser role, with the privileges
//! of schema `public` of a new server and of one that came by upgrades.

use std::fmt;
use std::panic::AssertUnwindSafe;

use backuper::postgres::{Session, SslMode, Target};
use futures::FutureExt as _;
use futures::future::join_all;
use serde_json::json;

use super::super::{Stage, served};
use super::{condition, is, may};
use crate::cluster::{Namespace, eventually};
use crate::roundtrip::server;
use crate::testbed::postgres::Cluster;

/// Where it is tried.
#[derive(Clone, Copy)]
struct Cell {
    major: u32,
    /// The administering role has CREATEDB and CREATEROLE and no more.
    lesser: bool,
    /// Schema `public` as servers have it that were made before 15: it belongs to the bootstrap superuser, and
    /// everybody may create there.
    upgraded: bool,
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.lesser {
            "a lesser role"
        } else {
            "a superuser"
        };
        let of = if self.upgraded { "upgraded" } else { "fresh" };
        write!(formatter, "{} by {role}, {of}", self.major)
    }
}

/// operator-rules.md, 4.1, 4.2 and 4.6; operator.md, W3, W15 and W30.
#[test]
fn databases_and_users_are_the_same_on_each_version_by_each_role_and_after_upgrades() {
    served().within(async |namespace| {
        let namespace = &namespace;
        let cells = [14, 15, 16, 17, 18].into_iter().flat_map(|major| {
            let of = |lesser| {
                [false, true].map(|upgraded| Cell {
                    major,
                    lesser,
                    upgraded,
                })
            };
            [of(false), of(true)].concat()
        });
        let tried = cells.map(|cell| async move {
            let tried = AssertUnwindSafe(cell.holds(namespace)).catch_unwind();
            tried.await.err().map(|why| {
                let why = why.downcast_ref::<String>().cloned();
                format!("{cell}: {}", why.unwrap_or_default())
            })
        });
        let wrong: Vec<String> = join_all(tried).await.into_iter().flatten().collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

/// A database, and who is in it.
struct Scene<'a> {
    stage: &'a Stage,
    /// The Database's name, and the database's.
    database: (String, String),
    login: (String, String),
    superuser: Session,
}

impl Cell {
    /// Whether the administering role may say what is granted in schema `public`.
    fn is_closed(self) -> bool {
        self.lesser && (self.upgraded || self.major == 14)
    }

    async fn holds(self, of: &Namespace) {
        let namespace = Namespace::create(of.cluster).await;
        let server: &'static Cluster = &server::of(self.major).cluster;
        let login = if self.lesser {
            (server.role("admin", "CREATEDB CREATEROLE"), "p".to_owned())
        } else {
            ("postgres".to_owned(), server.password().to_owned())
        };
        let stage = Stage::on(namespace.clone(), server, (&login.0, &login.1)).await;
        let spec = json!({
            "revokePublicConnect": true, "deletionPolicy": "Delete", "extensions": ["hstore"],
        });
        let database = stage.ready_database("shop", spec).await;
        let superuser = ("postgres", server.password());
        let scene = Scene {
            superuser: enter(server, superuser, &database.1).await,
            stage: &stage,
            database,
            login,
        };
        if self.upgraded {
            let sql = "ALTER SCHEMA public OWNER TO postgres; GRANT ALL ON SCHEMA public TO PUBLIC";
            scene.superuser.batch_execute(sql).await.unwrap();
        }
        let (writer, _reads) = self.gives_what_each_preset_says(&scene).await;
        self.serves_what_others_make(&scene, &writer).await;
        let (user, role) = (scene.user_object("reader"), scene.user_name("reader"));
        let (object, name) = scene.database.clone();
        let oid = "SELECT oid FROM pg_database WHERE datname = current_database()";
        let oid = server.sql(&name, oid);
        // A superuser's session nobody else may end; a user's own is ended.
        drop(scene);
        stage.delete(&object).await;
        assert!(!stage.has(&name) && !stage.has_role(&format!("dbtether_owner_{oid}")));
        stage.delete_user(&user).await;
        assert!(!stage.has_role(&role));
        namespace.remove().await;
    }

    /// From an `admin` that makes tables to those that use them; gives the role of the `readwrite` one, and the
    /// session of the `readonly` one.
    async fn gives_what_each_preset_says(self, scene: &Scene<'_>) -> (String, Session) {
        let us = scene.enter().await;
        us.batch_execute("CREATE SCHEMA app").await.unwrap();
        let (_, maker) = scene.user("maker", "admin").await;
        let make = "CREATE TABLE %.t (id serial, a int); CREATE VIEW %.v AS SELECT * FROM %.t; \
                    INSERT INTO %.t (a) VALUES (1); CREATE FUNCTION %.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
                    CREATE TYPE %.e AS ENUM ('a')";
        for schema in ["public", "app"] {
            let make = make.replace('%', schema);
            maker
                .batch_execute(&make)
                .await
                .expect("an admin makes tables");
        }
        // With no other user there, whose privileges would need it too.
        scene.is_dumped("an admin's tables");
        let (reader, reads) = scene.user("reader", "readonly").await;
        let (writer, writes) = scene.user("writer", "readwrite").await;
        for (user, session, of_preset) in [
            (&reader, &reads, "rrrr---------"),
            (&writer, &writes, "rrrrwwwwnn---"),
        ] {
            // Where nobody lets us, everybody still creates in `public`, and that is told.
            let open = if self.is_closed() { "c" } else { "-" };
            let expected = format!("{of_preset}{open}");
            assert_eq!(rights(session).await, expected, "{user}");
            let status = scene.stage.users().get(user).await.unwrap().status.unwrap();
            let isolated = condition(&status, "Isolated");
            // PUBLIC may connect to `postgres`.
            assert_eq!(isolated, is("False", "Public"));
            let said = format!("{:?}", status.conditions);
            assert_eq!(
                said.contains("create in schema public"),
                self.is_closed(),
                "{said}"
            );
        }
        assert_eq!(rights(&maker).await, "rrrrwwwwnnttcc");
        // What is made later is there for them too.
        let later = "CREATE TABLE app.later AS SELECT 1 a; CREATE TABLE public.later AS SELECT 1 a";
        maker.batch_execute(later).await.unwrap();
        us.batch_execute("CREATE TABLE app.ours AS SELECT 1 a")
            .await
            .unwrap();
        for table in ["app.later", "public.later", "app.ours"] {
            assert!(
                may(&reads, &format!("SELECT FROM {table}")).await,
                "{table}"
            );
            assert!(
                !may(&reads, &format!("DELETE FROM {table}")).await,
                "{table}"
            );
            assert!(
                may(&writes, &format!("DELETE FROM {table}")).await,
                "{table}"
            );
        }
        self.changes_hands(scene).await;
        assert!(may(&reads, "SELECT FROM app.t").await);
        assert!(may(&reads, "SELECT FROM app.ours").await);
        (scene.user_name("writer"), reads)
    }

    /// An `admin` becomes the owner, less than it was, and nobody.
    async fn changes_hands(self, scene: &Scene<'_>) {
        let stage = scene.stage;
        let (user, role) = (scene.user_object("maker"), scene.user_name("maker"));
        let owners = async || {
            let sql = "SELECT string_agg(DISTINCT CASE WHEN relowner::regrole::text LIKE 'dbtether_owner_%' THEN 'database' ELSE relowner::regrole::text END, ',')
                         FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname IN ('app', 'public') AND relkind IN ('r', 'v', 'S')";
            let row = scene.superuser.query_one(sql, &[]).await.unwrap();
            row.get::<_, String>(0)
        };
        // A view would get the rights of its new owner.
        let less = format!("database,{role}");
        for (preset, owner) in [("owner", &role), ("readonly", &less)] {
            let spec = json!({"spec": {"privileges": preset}});
            stage.change_user(&user, spec).await;
            stage.user_in(&user, "Ready").await;
            assert_eq!(owners().await, *owner, "{preset}");
        }
        let data = stage.data_of(&format!("{user}-credentials")).await;
        let session = stage.log_in(&data).await.unwrap();
        let open = if self.is_closed() { "c" } else { "-" };
        assert_eq!(rights(&session).await, format!("rrrr---------{open}"));
        // It goes with what it has made again meanwhile.
        stage
            .change_user(&user, json!({"spec": {"privileges": "admin"}}))
            .await;
        stage.user_in(&user, "Ready").await;
        let own = "CREATE TABLE app.last AS SELECT 1 a; CREATE FUNCTION app.last() RETURNS int LANGUAGE sql AS 'SELECT 1'";
        session.batch_execute(own).await.unwrap();
        stage.delete_user(&user).await;
        assert!(!stage.has_role(&role));
        assert_eq!(owners().await, "database");
        scene.is_dumped("what a user has left");
    }

    /// A role that nobody has told us of makes tables too.
    async fn serves_what_others_make(self, scene: &Scene<'_>, writer: &str) {
        let stage = scene.stage;
        let other = stage.server.role("other", "");
        let sql = format!(
            "GRANT CREATE, USAGE ON SCHEMA app TO {other}; SET ROLE {other};
             CREATE TABLE app.others AS SELECT 1 a; RESET ROLE"
        );
        scene.superuser.batch_execute(&sql).await.unwrap();
        let user = scene.user_object("writer");
        stage.annotate_user(&user, "again", "1").await;
        if self.lesser && self.major >= 16 {
            let admin = &scene.login.0;
            let helps = format!("GRANT \"{other}\" TO \"{admin}\"");
            let failed = stage.user_with(&user, "says what helps", |it| {
                format!("{:?}", it.databases)
                    .replace('\\', "")
                    .contains(&helps)
            });
            let failed = failed.await;
            assert_eq!(condition(&failed, "Ready"), is("False", "PrivilegesFailed"));
            scene.superuser.batch_execute(&helps).await.unwrap();
            stage.annotate_user(&user, "again", "2").await;
        }
        let has = format!("SELECT has_table_privilege('{writer}', 'app.others', 'INSERT')");
        eventually("it may write there", async || {
            let row = scene.superuser.query_one(&has, &[]).await.unwrap();
            row.get::<_, bool>(0).then_some(())
        })
        .await;
        stage.user_in(&user, "Ready").await;
        scene.is_dumped("others' tables");
        stage.delete_user(&user).await;
        assert!(!stage.has_role(writer));
        // What is not ours stays.
        assert!(stage.has_role(&other));
    }
}

impl Scene<'_> {
    /// The administering role, in the database.
    async fn enter(&self) -> Session {
        let login = (self.login.0.as_str(), self.login.1.as_str());
        enter(self.stage.server, login, &self.database.1).await
    }

    fn user_object(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.database.0)
    }

    fn user_name(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.database.1)
    }

    /// Makes a user of two schemas, and logs in as it.
    async fn user(&self, prefix: &str, preset: &str) -> (String, Session) {
        let user = self.user_object(prefix);
        let spec = json!({
            "database": {"name": self.database.0}, "privileges": preset, "schemas": ["public", "app"],
        });
        self.stage.user(&user, spec).await;
        self.stage.user_in(&user, "Ready").await;
        let data = self.stage.data_of(&format!("{user}-credentials")).await;
        let session = self.stage.log_in(&data).await.unwrap();
        (user, session)
    }

    /// As a Backup does it: by the DBCluster's role.
    fn is_dumped(&self, what: &str) {
        let tool = self.stage.server.tool("pg_dump", &self.database.1);
        let port = self.stage.server.port().to_string();
        let tool = tool.env("PGHOST", "127.0.0.1").env("PGPORT", &port);
        let tool = tool
            .env("PGUSER", &self.login.0)
            .env("PGPASSWORD", &self.login.1);
        let ended = tool.run();
        assert!(ended.status.success(), "{what}: {}", ended.stderr);
        assert!(ended.stdout.contains("COPY app.t "), "{what}");
    }
}

async fn enter(server: &Cluster, (user, password): (&str, &str), database: &str) -> Session {
    let target = Target {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        user: user.to_owned(),
        password: Some(password.into()),
        database: database.to_owned(),
        sslmode: SslMode::Disable,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
        at: None,
    };
    target.connect("test").await.unwrap()
}

/// What a session may do with what an `admin` has made, a letter for each that it may. Nothing stays of it.
async fn rights(session: &Session) -> String {
    let tries = [
        ('r', "SELECT FROM public.t"),
        ('r', "SELECT FROM app.t"),
        ('r', "SELECT FROM public.v"),
        ('r', "SELECT FROM app.v"),
        ('w', "INSERT INTO public.t (id, a) VALUES (1, 1)"),
        ('w', "INSERT INTO app.t (id, a) VALUES (1, 1)"),
        ('w', "UPDATE public.t SET a = 2"),
        ('w', "DELETE FROM app.t"),
        ('n', "SELECT nextval('public.t_id_seq')"),
        ('n', "SELECT nextval('app.t_id_seq')"),
        ('t', "TRUNCATE public.t"),
        ('t', "TRUNCATE app.t"),
        ('c', "CREATE TABLE app.made (a int)"),
        ('c', "CREATE TABLE public.made (a int)"),
    ];
    let mut all = String::new();
    for (letter, sql) in tries {
        session.batch_execute("BEGIN").await.unwrap();
        let may = may(session, sql).await;
        session.batch_execute("ROLLBACK").await.unwrap();
        all.push(if may { letter } else { '-' });
    }
    all
}
