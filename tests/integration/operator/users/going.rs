//! A DatabaseUser whose object goes.

use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::super::{Stage, named, served};
use super::said;
use crate::cluster::eventually;

/// operator.md, §5.8, W7; operator-rules.md, decided 2 and 12: what is retained is found again by its Secret.
#[test]
fn a_role_that_is_retained_stays_with_its_secret_and_is_taken_up_again() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (database, _) = stage.ready_database("kept", json!({})).await;
        let (user, role) = named("kept");
        let spec = json!({"database": {"name": database}, "deletionPolicy": "Retain"});
        stage.user(&user, spec.clone()).await;
        stage.user_in(&user, "Ready").await;
        let secret = format!("{user}-credentials");
        let data = stage.data_of(&secret).await;
        stage.delete_user(&user).await;
        assert!(stage.has_role(&role));
        let left = stage.secret_of(&secret).await.unwrap();
        assert!(left.owner_references().is_empty());
        assert!(stage.log_in(&data).await.is_some());
        let comment = format!("SELECT shobj_description('{role}'::regrole, 'pg_authid')");
        assert_eq!(stage.server.sql("postgres", &comment), "");
        // As objects of dbtether are taken over: no mark, and a Secret that logs in.
        let verifier = stage.verifier(&role);
        stage.user(&user, spec).await;
        stage.user_in(&user, "Ready").await;
        assert_eq!(stage.data_of(&secret).await, data);
        assert_eq!(stage.verifier(&role), verifier);
        assert!(
            stage
                .server
                .sql("postgres", &comment)
                .starts_with("dbtether:")
        );
        let again = stage.secret_of(&secret).await.unwrap();
        assert_eq!(again.owner_references()[0].name, user);
    });
}

/// operator.md, W28; operator-rules.md, decided 13.
#[test]
fn a_role_that_something_depends_on_says_what_and_can_be_let_go() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (database, _) = stage.ready_database("used", json!({})).await;
        let (_, elsewhere) = stage.ready_database("elsewhere", json!({})).await;
        let (user, role) = named("held");
        stage
            .user(&user, json!({"database": {"name": database}}))
            .await;
        stage.user_in(&user, "Ready").await;
        let own =
            format!("CREATE TABLE public.its (a int); ALTER TABLE public.its OWNER TO {role}");
        stage.server.sql(&elsewhere, &own);
        let users = stage.users();
        users.delete(&user, &DeleteParams::default()).await.unwrap();
        let words = format!("it owns 1 object in database {elsewhere}");
        let failed = stage.user_says(&user, &words).await;
        assert!(
            said(&failed).starts_with("failed to drop user: "),
            "{}",
            said(&failed)
        );
        stage
            .annotate_user(&user, "dbtether.io/force-release", "true")
            .await;
        eventually("it is let go", async || {
            users.get_opt(&user).await.unwrap().is_none().then_some(())
        })
        .await;
        assert!(stage.has_role(&role));
        assert_eq!(
            stage
                .server
                .sql(&elsewhere, "SELECT count(*) FROM public.its"),
            "0"
        );
    });
}

#[test]
fn a_user_whose_server_is_gone_is_let_go_or_says_what_holds_it() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (database, _) = stage.ready_database("lonely", json!({})).await;
        let (held, _) = named("held");
        let (free, role) = named("free");
        for user in [&held, &free] {
            stage
                .user(user, json!({"database": {"name": database}}))
                .await;
            stage.user_in(user, "Ready").await;
        }
        let clusters = stage.clusters();
        let patch = Patch::Merge(json!({"spec": {"port": 1}}));
        let params = PatchParams::default();
        clusters
            .patch(&stage.cluster, &params, &patch)
            .await
            .unwrap();
        stage.cluster_phase("Failed").await;
        let users = stage.users();
        users.delete(&held, &DeleteParams::default()).await.unwrap();
        let words = "so its role cannot be looked at";
        let failed = stage.user_says(&held, words).await;
        assert_eq!(failed.phase.as_deref(), Some("Failed"));
        stage
            .annotate_user(&held, "dbtether.io/force-release", "true")
            .await;
        eventually("it is let go", async || {
            users.get_opt(&held).await.unwrap().is_none().then_some(())
        })
        .await;
        clusters
            .delete(&stage.cluster, &DeleteParams::default())
            .await
            .unwrap();
        eventually("the DBCluster is gone", async || {
            clusters
                .get_opt(&stage.cluster)
                .await
                .unwrap()
                .is_none()
                .then_some(())
        })
        .await;
        stage.delete_user(&free).await;
        assert!(stage.has_role(&role));
        // One that never had a role.
        stage
            .user("never", json!({"database": {"name": "no-such"}}))
            .await;
        stage.user_in("never", "Pending").await;
        stage.delete_user("never").await;
    });
}
