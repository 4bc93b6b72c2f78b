//! DatabaseUser: from its manifest to a login that may do what it says, and back.

mod external;
mod faults;
mod going;
mod overlap;
mod secrets;
mod sharing;
pub(super) mod takeover;
mod versions;

use std::collections::BTreeMap;

use backuper::postgres::{Session, SslMode, Target};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use scheduler::operator::crd::{DatabaseUser, DatabaseUserStatus};
use serde_json::{Value, json};

use super::{Stage, named, served};
use crate::cluster::eventually;
use crate::testbed::postgres::shared;

impl Stage {
    fn users(&self) -> Api<DatabaseUser> {
        self.namespace.api()
    }

    /// Makes a DatabaseUser as kubectl does: what is not written is not there.
    async fn user(&self, name: &str, spec: Value) {
        let gvk = GroupVersionKind::gvk("dbtether.io", "v1alpha1", "DatabaseUser");
        let resource = ApiResource::from_gvk(&gvk);
        let client = self.namespace.cluster.client();
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace.name, &resource);
        let mut object = DynamicObject::new(name, &resource);
        object.data = json!({});
        object.data["spec"] = spec;
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    async fn change_user(&self, name: &str, patch: Value) {
        let (api, patch) = (self.users(), Patch::Merge(patch));
        let params = PatchParams::default();
        api.patch(name, &params, &patch).await.unwrap();
    }

    async fn annotate_user(&self, name: &str, annotation: &str, value: &str) {
        let mut patch = json!({"metadata": {"annotations": {}}});
        patch["metadata"]["annotations"][annotation] = json!(value);
        self.change_user(name, patch).await;
    }

    /// A user's status as soon as this is so of it and of its newest spec.
    async fn user_with(
        &self,
        name: &str,
        what: &str,
        is: impl Fn(&DatabaseUserStatus) -> bool,
    ) -> DatabaseUserStatus {
        let api = self.users();
        let mut last = None;
        let found = async || {
            let found = api.get(name).await.unwrap();
            let status = found.status.unwrap_or_default();
            let is = status.observed_generation == found.metadata.generation && is(&status);
            if last.as_ref() != Some(&status) {
                eprintln!("{name}: {:?} {:?}", status.phase, status.message);
                last = Some(status.clone());
            }
            is.then_some(status)
        };
        eventually(&format!("{name} {what}"), found).await
    }

    async fn user_in(&self, name: &str, phase: &str) -> DatabaseUserStatus {
        let is = |it: &DatabaseUserStatus| it.phase.as_deref() == Some(phase);
        self.user_with(name, &format!("is {phase}"), is).await
    }

    async fn user_says(&self, name: &str, words: &str) -> DatabaseUserStatus {
        let is = |it: &DatabaseUserStatus| said(it).contains(words);
        self.user_with(name, &format!("says {words:?}"), is).await
    }

    async fn delete_user(&self, name: &str) {
        let api = self.users();
        api.delete(name, &DeleteParams::default()).await.unwrap();
        eventually("the DatabaseUser is gone", async || {
            api.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    async fn secret_of(&self, name: &str) -> Option<Secret> {
        self.namespace.api::<Secret>().get_opt(name).await.unwrap()
    }

    /// What a Secret has, as soon as it is there.
    async fn data_of(&self, name: &str) -> BTreeMap<String, String> {
        let what = format!("Secret {name}");
        let found = eventually(&what, async || self.secret_of(name).await);
        texts(&found.await)
    }

    /// Logs in with what a Secret has.
    async fn log_in(&self, data: &BTreeMap<String, String>) -> Option<Session> {
        let target = Target {
            host: data["host"].clone(),
            port: data["port"].parse().unwrap(),
            user: data["username"].clone(),
            password: Some(data["password"].as_str().into()),
            database: data["database"].clone(),
            sslmode: SslMode::Disable,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            at: None,
        };
        target.connect("app").await.ok()
    }

    fn has_role(&self, name: &str) -> bool {
        let sql = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{name}'");
        self.server.sql("postgres", &sql) == "1"
    }

    /// What the server keeps for a role's password.
    fn verifier(&self, name: &str) -> String {
        let sql = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'");
        self.server.sql("postgres", &sql)
    }

    /// A Database that is ready: the object's name, and the database's.
    async fn ready_database(&self, prefix: &str, spec: Value) -> (String, String) {
        let (object, name) = named(prefix);
        self.database(&object, spec).await;
        self.phase(&object, "Ready").await;
        (object, name)
    }
}

/// A DatabaseUser of a Database, from its beginning to its end.
pub(super) async fn one(stage: &Stage, database: &str) {
    let (user, _) = named("rights");
    let spec = json!({"database": {"name": database}});
    stage.user(&user, spec).await;
    stage.user_in(&user, "Ready").await;
    let secret = format!("{user}-credentials");
    let before = stage.data_of(&secret).await;
    stage.annotate_user(&user, "dbtether.io/rotate", "1").await;
    eventually("the password is another", async || {
        (stage.data_of(&secret).await != before).then_some(())
    })
    .await;
    // The Secret goes and comes again, as a Secret of another name does.
    let renamed = json!({"spec": {"secret": {"name": format!("{user}-renamed")}}});
    stage.change_user(&user, renamed).await;
    eventually("the Secret of the old name is gone", async || {
        stage.secret_of(&secret).await.is_none().then_some(())
    })
    .await;
    stage.delete_user(&user).await;
}

fn texts(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.clone().unwrap_or_default().into_iter();
    data.map(|(key, it)| (key, String::from_utf8(it.0).unwrap()))
        .collect()
}

fn said(status: &DatabaseUserStatus) -> &str {
    status.message.as_deref().unwrap_or_default()
}

/// A condition's status and reason.
fn condition(status: &DatabaseUserStatus, type_: &str) -> (String, String) {
    let conditions = status.conditions.iter().flatten();
    let it = conditions.into_iter().find(|it| it.type_ == type_).unwrap();
    (it.status.clone(), it.reason.clone())
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

async fn may(session: &Session, sql: &str) -> bool {
    match session.batch_execute(sql).await {
        Ok(()) => true,
        Err(error) => {
            let code = error.code().map(|it| it.code().to_owned());
            assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error:?}");
            false
        }
    }
}

const READ: &str = "SELECT * FROM public.t";
const WRITE: &str = "INSERT INTO public.t VALUES (1)";
const CREATE: &str = "CREATE TABLE public.made (a int)";

/// operator.md, U1, U26 to U28, §5.3, W3, W10, W13, W15; the seed's quick start: from manifests to a login.
async fn is_served(stage: &Stage, admin: &str) {
    let (user, role) = named("app");
    let (database, name) = named("orders");
    stage
        .user(
            &user,
            json!({"database": {"name": database}, "privileges": "readwrite"}),
        )
        .await;
    // The Database comes later.
    stage
        .user_says(&user, &format!("waiting for Database '{database}'"))
        .await;
    stage.database(&database, json!({})).await;
    stage.phase(&database, "Ready").await;
    let make = format!("SET ROLE {admin}; CREATE TABLE public.t (a int)");
    stage.server.sql(&name, &make);
    let status = stage.user_in(&user, "Ready").await;
    assert_eq!(said(&status), "user created with access to 1 database(s)");
    assert_eq!(status.cluster_name.as_ref(), Some(&stage.cluster));
    assert_eq!(status.username.as_ref(), Some(&role));
    assert_eq!(status.databases_summary.as_ref(), Some(&name));
    assert!(status.password_updated_at.is_some() && status.pending_since.is_none());
    let entry = &status.databases.as_ref().unwrap()[0];
    assert_eq!(entry.privileges.as_deref(), Some("readwrite"));
    assert_eq!(condition(&status, "Ready"), is("True", "Ready"));
    assert_eq!(condition(&status, "Granted"), is("True", "Granted"));
    // PUBLIC may connect to `postgres`, as it may by default.
    assert_eq!(condition(&status, "Isolated"), is("False", "Public"));
    let secret = format!("{user}-credentials");
    let data = stage.data_of(&secret).await;
    let keys: Vec<&str> = data.keys().map(String::as_str).collect();
    assert_eq!(keys, ["database", "host", "password", "port", "username"]);
    assert_eq!((&data["database"], &data["username"]), (&name, &role));
    let verifier = stage.verifier(&role);
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{verifier}");
    assert!(!stage.server.log().contains(&data["password"]));
    // Where the table was made after the user was: the repair sees it.
    stage.annotate_user(&user, "again", "1").await;
    let app = stage.log_in(&data).await.unwrap();
    eventually("it may write", async || {
        may(&app, WRITE).await.then_some(())
    })
    .await;
    assert!(may(&app, READ).await && !may(&app, CREATE).await);
    is_repaired(stage, (&user, &role, &name), &app).await;
    is_downgraded_and_dropped(stage, (&user, &role, &name)).await;
}

/// W13, rules 7 and 8: what somebody has changed is seen and nothing else is written.
async fn is_repaired(stage: &Stage, (user, role, name): (&str, &str, &str), app: &Session) {
    let secret = format!("{user}-credentials");
    let before = stage.users().get(user).await.unwrap().status;
    let (version, verifier) = (
        stage
            .secret_of(&secret)
            .await
            .unwrap()
            .metadata
            .resource_version,
        stage.verifier(role),
    );
    let revoke = format!(
        "REVOKE INSERT ON public.t FROM {role}; GRANT DELETE, TRUNCATE ON public.t TO {role}"
    );
    stage.server.sql(name, &revoke);
    stage.server.sql(
        "postgres",
        &format!("ALTER ROLE {role} NOLOGIN CONNECTION LIMIT 3"),
    );
    stage.annotate_user(user, "again", "2").await;
    let limit =
        format!("SELECT rolconnlimit FROM pg_roles WHERE rolname = '{role}' AND rolcanlogin");
    eventually("it is repaired", async || {
        let is = may(app, WRITE).await && !may(app, "TRUNCATE public.t").await;
        (is && stage.server.sql("postgres", &limit) == "-1").then_some(())
    })
    .await;
    let found = stage.secret_of(&secret).await.unwrap();
    assert_eq!(found.metadata.resource_version, version);
    assert_eq!(stage.verifier(role), verifier);
    assert_eq!(stage.users().get(user).await.unwrap().status, before);
    // A password that is not the Secret's any more.
    stage
        .server
        .sql("postgres", &format!("ALTER ROLE {role} PASSWORD 'another'"));
    stage.annotate_user(user, "again", "3").await;
    let data = stage.data_of(&secret).await;
    eventually("the Secret's password is right again", async || {
        stage.log_in(&data).await.map(drop)
    })
    .await;
    // A Secret that is deleted: the way to another password.
    let secrets = stage.namespace.api::<Secret>();
    secrets
        .delete(&secret, &DeleteParams::default())
        .await
        .unwrap();
    let new = stage.data_of(&secret).await;
    assert_ne!(new["password"], data["password"]);
    assert!(stage.log_in(&new).await.is_some() && stage.log_in(&data).await.is_none());
    // W31: and on demand.
    stage.annotate_user(user, "dbtether.io/rotate", "now").await;
    let status = stage
        .user_with(user, "is rotated", |it| {
            it.rotated_for.as_deref() == Some("now")
        })
        .await;
    assert_eq!(status.phase.as_deref(), Some("Ready"));
    let rotated = stage.data_of(&secret).await;
    assert_ne!(rotated["password"], new["password"]);
    assert!(stage.log_in(&rotated).await.is_some());
}

async fn is_downgraded_and_dropped(stage: &Stage, (user, role, name): (&str, &str, &str)) {
    let secret = format!("{user}-credentials");
    let to = |spec: Value| json!({"spec": spec});
    stage
        .change_user(user, to(json!({"privileges": "readonly", "connectionLimit": 5, "idleInTransactionTimeout": "1m30s"})))
        .await;
    stage.user_in(user, "Ready").await;
    let app = stage.log_in(&stage.data_of(&secret).await).await.unwrap();
    assert!(may(&app, READ).await && !may(&app, WRITE).await);
    let settings = format!("SELECT rolconnlimit, rolconfig FROM pg_roles WHERE rolname = '{role}'");
    assert_eq!(
        stage.server.sql("postgres", &settings),
        "5|{idle_in_transaction_session_timeout=90000ms}"
    );
    stage
        .change_user(user, to(json!({"privileges": "admin"})))
        .await;
    stage.user_in(user, "Ready").await;
    assert!(may(&app, CREATE).await);
    // What a migration makes, a reader of the same database sees.
    let (reader, _) = named("reader");
    let spec = json!({"database": {"name": stage.users().get(user).await.unwrap().spec.database.unwrap().name}});
    stage.user(&reader, spec).await;
    stage.user_in(&reader, "Ready").await;
    assert!(may(&app, "CREATE TABLE public.later (a int)").await);
    let reads = stage.data_of(&format!("{reader}-credentials")).await;
    let reads = stage.log_in(&reads).await.unwrap();
    assert!(
        may(&reads, "SELECT FROM public.later").await,
        "by default privileges"
    );
    stage.delete_user(user).await;
    assert!(!stage.has_role(role));
    assert_eq!(
        stage.server.sql(name, "SELECT count(*) FROM public.made"),
        "0"
    );
    let owners = "SELECT relowner::regrole::text LIKE 'dbtether_owner_%' FROM pg_class WHERE relname = 'made'";
    assert_eq!(stage.server.sql(name, owners), "t");
    assert!(stage.secret_of(&secret).await.is_none());
    assert!(may(&reads, "SELECT FROM public.later").await);
    let events = stage.events(user).await;
    assert!(
        events.iter().any(|it| it.starts_with("Dropped: ")),
        "{events:?}"
    );
}

#[test]
fn a_user_logs_in_and_may_do_what_its_preset_says_where_a_superuser_administers() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        is_served(&stage, "postgres").await;
    });
}

/// operator-rules.md, 4.1 and 4.6.
#[test]
fn a_user_logs_in_and_may_do_what_its_preset_says_where_a_lesser_role_administers() {
    served().within(async |namespace| {
        let admin = shared().role("admin", "CREATEDB CREATEROLE");
        let stage = Stage::on(namespace, shared(), (&admin, "p")).await;
        is_served(&stage, &admin).await;
    });
}

/// operator.md, W1: a role that is not the object's is neither altered nor dropped.
#[test]
fn a_role_of_somebody_else_is_refused_and_stays() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace.clone()).await;
        let (database, _) = stage.ready_database("hijack", json!({})).await;
        let there = shared().role("there_", "");
        let verifier = stage.verifier(&there);
        let spec = |name: &str| json!({"database": {"name": database}, "username": name});
        stage.user("thief", spec(&there)).await;
        let failed = stage.user_in("thief", "Failed").await;
        assert!(
            said(&failed).contains("exists already"),
            "{}",
            said(&failed)
        );
        assert_eq!(condition(&failed, "Ready"), is("False", "NotOwned"));
        assert!(stage.secret_of("thief-credentials").await.is_none());
        for name in ["postgres", "pg_monitor"] {
            let user = format!("as-{}", name.replace('_', "-"));
            stage.user(&user, spec(name)).await;
            stage
                .annotate_user(&user, "dbtether.io/force-adopt", "true")
                .await;
            stage.user_in(&user, "Failed").await;
            stage.delete_user(&user).await;
        }
        stage.delete_user("thief").await;
        assert!(stage.has_role(&there));
        assert_eq!(stage.verifier(&there), verifier);
        // By an administrator's word.
        stage.user("heir", spec(&there)).await;
        stage.user_in("heir", "Failed").await;
        stage
            .annotate_user("heir", "dbtether.io/force-adopt", "true")
            .await;
        stage.user_in("heir", "Ready").await;
        assert_ne!(stage.verifier(&there), verifier);
        assert!(
            stage
                .log_in(&stage.data_of("heir-credentials").await)
                .await
                .is_some()
        );
        // Which takes nothing from another namespace's object.
        let other = crate::cluster::Namespace::create(namespace.cluster).await;
        let beside = Stage {
            namespace: other.clone(),
            cluster: stage.cluster.clone(),
            server: stage.server,
        };
        let (own, _) = beside.ready_database("own", json!({})).await;
        beside
            .user(
                "robber",
                json!({"database": {"name": own}, "username": there}),
            )
            .await;
        beside.user_in("robber", "Failed").await;
        beside
            .annotate_user("robber", "dbtether.io/force-adopt", "true")
            .await;
        let words = "an annotation takes nothing from another namespace's object";
        beside.user_says("robber", words).await;
        beside.delete_user("robber").await;
        assert!(
            stage
                .log_in(&stage.data_of("heir-credentials").await)
                .await
                .is_some()
        );
        other.remove().await;
        stage.delete_user("heir").await;
        assert!(!stage.has_role(&there));
    });
}
