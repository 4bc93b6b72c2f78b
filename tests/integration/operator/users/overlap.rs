//! Passwords that become others while the ones before still let in.

use std::collections::BTreeMap;

use backuper::postgres::Session;
use futures::future::join_all;
use scheduler::operator::crd::DatabaseUserStatus;
use serde_json::json;

use super::super::{Stage, named, served};
use super::READ;
use crate::cluster::{Namespace, eventually};
use crate::roundtrip::server;

/// operator.md, W31; operator-rules.md, "Rotation without downtime". By a role with CREATEDB and CREATEROLE alone.
#[test]
fn with_an_overlap_both_passwords_let_in_and_then_the_new_one_alone() {
    served().within(async |namespace| {
        join_all([14, 16, 18].map(|major| holds(&namespace, major))).await;
    });
}

/// A user with an overlap, and its database's name.
struct Rotating {
    stage: Stage,
    user: String,
    role: String,
    second: String,
    database: String,
}

type Data = BTreeMap<String, String>;

async fn holds(of: &Namespace, major: u32) {
    let namespace = Namespace::create(of.cluster).await;
    let server = &server::of(major).cluster;
    let lesser = server.role("admin", "CREATEDB CREATEROLE");
    let stage = Stage::on(namespace.clone(), server, (&lesser, "p")).await;
    let spec = json!({"deletionPolicy": "Retain", "revokePublicConnect": true});
    let (object, database) = stage.ready_database("shop", spec).await;
    let (user, role) = named("turns");
    let spec = json!({
        "database": {"name": object}, "privileges": "admin",
        "rotation": {"days": 30, "overlap": "1h"},
    });
    stage.user(&user, spec).await;
    stage.user_in(&user, "Ready").await;
    let rotating = Rotating {
        second: format!("{role}__2"),
        stage,
        user,
        role,
        database,
    };
    let first = rotating.data().await;
    let session = rotating.stage.log_in(&first).await.unwrap();
    let make = "CREATE TABLE public.t AS SELECT 1 a";
    session.batch_execute(make).await.unwrap();
    rotating.goes_there_and_back(&first).await;
    rotating.shuts_the_one_before(&session).await;
    rotating.repairs_and_goes().await;
    namespace.remove().await;
}

impl Rotating {
    async fn data(&self) -> Data {
        let secret = format!("{}-credentials", self.user);
        self.stage.data_of(&secret).await
    }

    async fn lets_in(&self, data: &Data) -> bool {
        self.stage.log_in(data).await.is_some()
    }

    /// What the Secret has after a rotation, and the login before.
    async fn rotate(&self, value: &str) -> (Data, Option<String>) {
        let key = "dbtether.io/rotate";
        self.stage.annotate_user(&self.user, key, value).await;
        let is_done = |it: &DatabaseUserStatus| {
            it.rotated_for.as_deref() == Some(value) && it.phase.as_deref() == Some("Ready")
        };
        let done = self.stage.user_with(&self.user, "is rotated", is_done);
        let status = done.await;
        let data = self.data().await;
        let login = status.login.as_ref().unwrap_or(&self.role);
        assert_eq!(*login, data["username"]);
        (data, status.former_login.map(|it| it.name))
    }

    async fn goes_there_and_back(&self, first: &Data) {
        let (next, former) = self.rotate("1").await;
        assert_eq!(
            (&next["username"], former.as_ref()),
            (&self.second, Some(&self.role))
        );
        assert!(self.lets_in(first).await, "the one before lets in");
        let session = self.stage.log_in(&next).await;
        let session = session.expect("the new one lets in");
        let make =
            "INSERT INTO public.t VALUES (2); CREATE TABLE public.u AS SELECT * FROM public.t";
        session.batch_execute(make).await.unwrap();
        let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'u'";
        let owner = self.stage.server.sql(&self.database, owner);
        assert_eq!(owner, self.role, "what it makes is the role's");
        // And back: the login of two passwords before has another one now.
        let (third, former) = self.rotate("2").await;
        assert_eq!(
            (&third["username"], former.as_ref()),
            (&self.role, Some(&self.second))
        );
        assert!(!self.lets_in(first).await);
        assert!(self.lets_in(&next).await && self.lets_in(&third).await);
    }

    async fn shuts_the_one_before(&self, session: &Session) {
        let third = self.data().await;
        let short = json!({"spec": {"rotation": {"overlap": "1s"}}});
        self.stage.change_user(&self.user, short).await;
        let (last, _) = self.rotate("3").await;
        let is_shut = |it: &DatabaseUserStatus| it.former_login.is_none();
        let shut = self.stage.user_with(&self.user, "has one login", is_shut);
        shut.await;
        assert!(!self.lets_in(&third).await && self.lets_in(&last).await);
        session.batch_execute(READ).await.expect("sessions stay");
    }

    /// What somebody has taken from the second login is given back; both go with the object.
    async fn repairs_and_goes(&self) {
        let Self {
            stage,
            user,
            role,
            second,
            database,
        } = self;
        let data = self.data().await;
        let taken = format!("REVOKE {role} FROM {second}; ALTER ROLE {second} RESET role");
        stage.server.sql("postgres", &taken);
        stage.annotate_user(user, "again", "1").await;
        eventually("the second login acts for the role again", async || {
            let session = stage.log_in(&data).await?;
            let asked = session.query_one("SELECT current_user::text", &[]);
            let row = asked.await.ok()?;
            (row.get::<_, String>(0) == *role).then_some(())
        })
        .await;
        // Made again, the object takes up both again, by the Secret alone.
        let retain = json!({"spec": {"deletionPolicy": "Retain"}});
        stage.change_user(user, retain).await;
        stage.user_in(user, "Ready").await;
        let spec = stage.users().get(user).await.unwrap().spec;
        let mut spec = serde_json::to_value(spec).unwrap();
        stage.delete_user(user).await;
        spec["deletionPolicy"] = json!("Delete");
        stage.user(user, spec).await;
        stage.user_in(user, "Ready").await;
        assert_eq!(self.data().await, data);
        assert!(self.lets_in(&data).await);
        stage.delete_user(user).await;
        assert!(!stage.has_role(role) && !stage.has_role(second));
        assert_eq!(stage.server.sql(database, "SELECT count(*) FROM u"), "2");
    }
}
