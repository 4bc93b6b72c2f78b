//! Secrets of users: of others, of several databases, of other names and keys.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use super::super::{Stage, named, served};
use super::{said, texts};
use crate::cluster::eventually;

async fn foreign(stage: &Stage, name: &str) {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        string_data: Some(
            [("theirs", "kept"), ("user", "somebody")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        ),
        ..Secret::default()
    };
    let api = stage.namespace.api::<Secret>();
    api.create(&PostParams::default(), &secret).await.unwrap();
}

/// operator.md, U16 and W14: a password that nobody can be told would lock its user out, another one each minute; and
/// what has failed is not left so.
#[test]
fn a_password_stays_where_its_secret_cannot_be_written() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (database, _) = stage.ready_database("kept", json!({})).await;
        let (user, _) = named("kept");
        stage
            .user(&user, json!({"database": {"name": database}}))
            .await;
        stage.user_in(&user, "Ready").await;
        let secret = format!("{user}-credentials");
        let before = stage.data_of(&secret).await;
        let api = stage.namespace.api::<Secret>();
        let immutable = Patch::Merge(json!({"immutable": true}));
        let params = PatchParams::default();
        api.patch(&secret, &params, &immutable).await.unwrap();
        stage
            .annotate_user(&user, "dbtether.io/rotate", "now")
            .await;
        stage.user_says(&user, "secret error: ").await;
        assert_eq!(stage.data_of(&secret).await, before);
        assert!(stage.log_in(&before).await.is_some());
        let deleting = kube::api::DeleteParams::default();
        api.delete(&secret, &deleting).await.unwrap();
        stage.user_in(&user, "Ready").await;
        let after = stage.data_of(&secret).await;
        assert_ne!(after, before);
        assert!(stage.log_in(&after).await.is_some());
    });
}

/// operator.md, U10, U11, U17, U18, W4 and W7.
#[test]
fn a_secret_of_somebody_else_is_left_adopted_or_merged_into() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (database, _) = stage.ready_database("shared", json!({})).await;
        let spec =
            |secret: serde_json::Value| json!({"database": {"name": database}, "secret": secret});
        foreign(&stage, "theirs").await;
        let (first, first_role) = named("first");
        stage.user(&first, spec(json!({"name": "theirs"}))).await;
        let failed = stage.user_in(&first, "Failed").await;
        assert_eq!(
            said(&failed),
            "secret error: secret theirs already exists and is not owned by this DatabaseUser"
        );
        assert!(!stage.has_role(&first_role));
        // Its role is not there yet: it is made before its password is set.
        let merge = json!({"spec": {"secret": {"onConflict": "Merge"}}});
        stage.change_user(&first, merge).await;
        stage.user_in(&first, "Ready").await;
        let data = stage.data_of("theirs").await;
        assert_eq!(
            (data["theirs"].as_str(), data["user"].as_str()),
            ("kept", "somebody")
        );
        assert!(stage.log_in(&data).await.is_some());
        let secret = stage.secret_of("theirs").await.unwrap();
        assert!(secret.owner_references().is_empty());
        assert_eq!(secret.annotations()["dbtether.io/conflict-policy"], "Merge");
        assert_eq!(
            secret.annotations()["dbtether.io/managed-keys"],
            "database,host,password,port,username"
        );
        // Another user gets it by no policy, as long as the first one is there.
        let (second, second_role) = named("second");
        for policy in ["Fail", "Merge", "Adopt"] {
            let secret = json!({"name": "theirs", "onConflict": policy});
            stage.user(&second, spec(secret)).await;
            let failed = stage.user_in(&second, "Failed").await;
            assert!(
                said(&failed).starts_with("secret error: "),
                "{}",
                said(&failed)
            );
            stage.delete_user(&second).await;
            assert_eq!(stage.data_of("theirs").await, data, "{policy}");
        }
        assert!(!stage.has_role(&second_role));
        // What was theirs stays theirs.
        stage.delete_user(&first).await;
        let left = stage.data_of("theirs").await;
        assert_eq!(left.keys().collect::<Vec<_>>(), ["theirs", "user"]);
        let adopt = spec(json!({"name": "theirs", "onConflict": "Adopt", "template": "POSTGRES"}));
        stage.user(&second, adopt).await;
        stage.user_in(&second, "Ready").await;
        let data = stage.data_of("theirs").await;
        assert_eq!(data["POSTGRES_USER"], second_role);
        assert!(!data.contains_key("theirs"));
        let secret = stage.secret_of("theirs").await.unwrap();
        assert_eq!(secret.owner_references()[0].name, second);
    });
}

/// operator.md, U6, U7, U9, U19, U20, W27 and §5.7.
#[test]
fn a_user_of_several_databases_has_one_secret_or_one_for_each() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (one, one_name) = stage.ready_database("one", json!({})).await;
        let (two, two_name) = stage.ready_database("two", json!({})).await;
        stage.server.sql(&two_name, "CREATE TABLE public.only_here (a int)");
        let (user, role) = named("both");
        let spec = json!({
            "databases": [{"name": one, "privileges": "admin"}, {"name": two}],
            "additionalGrants": [{"tables": ["only_here"], "privileges": ["INSERT"]}],
        });
        stage.user(&user, spec).await;
        let status = stage.user_in(&user, "Ready").await;
        assert_eq!(status.databases_summary, Some(format!("{one_name} (+1)")));
        assert_eq!(super::condition(&status, "Granted"), super::is("True", "Granted"));
        let secret = format!("{user}-credentials");
        let data = stage.data_of(&secret).await;
        assert_eq!(data["databases"], format!("{one_name},{two_name}"));
        let password = data["password"].clone();
        let mut second = data.clone();
        second.insert("database".to_owned(), two_name.clone());
        let session = stage.log_in(&second).await.unwrap();
        assert!(super::may(&session, "INSERT INTO public.only_here VALUES (1)").await);
        assert!(!super::may(&session, "DELETE FROM public.only_here").await);
        // A table that is nowhere is told.
        let grants = json!({"spec": {"additionalGrants": [{"tables": ["nowhere"], "privileges": ["INSERT"]}]}});
        stage.change_user(&user, grants).await;
        let status = stage.user_in(&user, "Ready").await;
        assert_eq!(super::condition(&status, "Granted"), super::is("False", "Incomplete"));
        // Another template and another name keep the password.
        let shape = json!({"spec": {"additionalGrants": [], "secret": {"name": "renamed", "template": "dsn"}}});
        stage.change_user(&user, shape).await;
        let status = stage.user_in(&user, "Ready").await;
        assert_eq!(status.secret_name.as_deref(), Some("renamed"));
        let data = stage.data_of("renamed").await;
        let port = stage.server.port();
        let dsn = format!("postgres://{role}:{password}@127.0.0.1:{port}/{one_name}?sslmode=prefer");
        assert_eq!(data["dsn"], dsn);
        assert!(stage.secret_of(&secret).await.is_none());
        // One for each.
        let each = json!({"spec": {"secret": null, "secretGeneration": "perDatabase"}});
        stage.change_user(&user, each).await;
        let status = stage.user_in(&user, "Ready").await;
        let names = [format!("{user}-{one}-credentials"), format!("{user}-{two}-credentials")];
        let told: Vec<String> = status.databases.unwrap().into_iter().filter_map(|it| it.secret_name).collect();
        assert_eq!(told, names);
        assert!(stage.secret_of("renamed").await.is_none());
        for (name, database, of) in [(&names[0], &one_name, &one), (&names[1], &two_name, &two)] {
            let data = stage.data_of(name).await;
            assert_eq!((&data["database"], data.contains_key("databases")), (database, false));
            assert!(stage.log_in(&data).await.is_some());
            let secret = stage.secret_of(name).await.unwrap();
            assert_eq!(&secret.annotations()["dbtether.io/database"], of);
        }
        // A database less: nothing is left there, and what was made stays.
        let made = stage.log_in(&stage.data_of(&names[0]).await).await.unwrap();
        assert!(super::may(&made, "CREATE TABLE public.mine (a int)").await);
        let fewer = json!({"spec": {"databases": [{"name": two}]}});
        stage.change_user(&user, fewer).await;
        let status = stage.user_in(&user, "Ready").await;
        assert_eq!(status.kept.unwrap().databases, std::slice::from_ref(&two_name));
        let left = format!("SELECT count(*) FROM pg_shdepend WHERE dbid = (SELECT oid FROM pg_database WHERE datname = '{one_name}') AND refobjid = '{role}'::regrole");
        assert_eq!(stage.server.sql("postgres", &left), "0");
        assert_eq!(stage.server.sql(&one_name, "SELECT count(*) FROM public.mine"), "0");
        eventually("its Secret goes", async || {
            stage.secret_of(&names[0]).await.is_none().then_some(())
        })
        .await;
        assert!(stage.secret_of(&names[1]).await.is_some_and(|it| !texts(&it).is_empty()));
    });
}
