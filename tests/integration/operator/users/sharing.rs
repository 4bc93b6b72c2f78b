//! Databases that several users want, of one namespace and of others.

use serde_json::json;

use super::super::{Stage, named, served};
use super::{condition, is, said};
use crate::cluster::Namespace;
use kube::api::{Patch, PatchParams};

/// operator.md, O1 to O8 on a cluster: one owner, and the next one when it goes.
#[test]
fn a_database_has_one_owner_and_the_next_one_follows() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace.clone()).await;
        let (database, name) = stage.ready_database("owned", json!({})).await;
        stage.server.sql(&name, "CREATE TABLE public.t (a int)");
        let owner = json!({"database": {"name": database}, "privileges": "owner"});
        let (second, second_role) = named("b-second");
        let (first, first_role) = named("a-first");
        stage.user(&first, owner.clone()).await;
        stage.user_in(&first, "Ready").await;
        let of = "SELECT relowner::regrole FROM pg_class WHERE relname = 't'";
        assert_eq!(stage.server.sql(&name, of), first_role);
        stage.user(&second, owner).await;
        let failed = stage.user_in(&second, "Failed").await;
        let ns = &namespace.name;
        assert_eq!(
            said(&failed),
            format!("owner conflict: DatabaseUser {ns}/{first} already holds privileges=owner on Database {ns}/{database}; only one owner per database")
        );
        assert_eq!(condition(&failed, "Ready"), is("False", "OwnerConflict"));
        let entry = &failed.databases.unwrap()[0];
        assert_eq!(entry.phase.as_deref(), Some("Failed"));
        assert_eq!(entry.privileges.as_deref(), Some("admin"));
        // All else is done.
        let data = stage.data_of(&format!("{second}-credentials")).await;
        let session = stage.log_in(&data).await.unwrap();
        assert!(super::may(&session, "INSERT INTO public.t VALUES (1)").await);
        stage.delete_user(&first).await;
        stage.user_in(&second, "Ready").await;
        assert_eq!(stage.server.sql(&name, of), second_role);
    });
}

/// operator-rules.md, decided 6; operator.md, U29, D14.
#[test]
fn a_user_of_another_namespace_needs_the_databases_consent() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace.clone()).await;
        let nobody = json!({"allowedNamespaces": {"names": []}, "revokePublicConnect": true});
        let (database, name) = stage.ready_database("private", nobody).await;
        let other = Namespace::create(namespace.cluster).await;
        let beside = Stage {
            namespace: other.clone(),
            cluster: stage.cluster.clone(),
            server: stage.server,
        };
        let (user, role) = named("guest");
        let spec = json!({
            "database": {"name": database, "namespace": namespace.name}, "privileges": "owner",
        });
        beside.user(&user, spec).await;
        let failed = beside.user_in(&user, "Failed").await;
        assert_eq!(condition(&failed, "Ready"), is("False", "NotAllowed"));
        assert!(
            said(&failed).contains("allowedNamespaces"),
            "{}",
            said(&failed)
        );
        assert!(!stage.has_role(&role));
        // Who may not be on it takes nobody's place there, however old.
        let (own, _) = named("own");
        let owner = json!({"database": {"name": database}, "privileges": "owner"});
        stage.user(&own, owner).await;
        stage.user_in(&own, "Ready").await;
        stage.delete_user(&own).await;
        let names = json!({"spec": {"allowedNamespaces": {"names": [other.name]}}});
        stage.change(&database, names).await;
        let ready = beside.user_in(&user, "Ready").await;
        let entry = &ready.databases.unwrap()[0];
        assert_eq!(entry.namespace.as_ref(), Some(&namespace.name));
        let data = beside.data_of(&format!("{user}-credentials")).await;
        assert_eq!(data["database"], name);
        assert!(beside.log_in(&data).await.is_some());
        // Where the server moves, the Secret says it.
        let clusters = stage.clusters();
        let moved = Patch::Merge(json!({"spec": {"endpoint": "localhost"}}));
        let params = PatchParams::default();
        clusters
            .patch(&stage.cluster, &params, &moved)
            .await
            .unwrap();
        crate::cluster::eventually("the Secret follows", async || {
            let data = beside.data_of(&format!("{user}-credentials")).await;
            (data["host"] == "localhost").then_some(())
        })
        .await;
        beside.user_in(&user, "Ready").await;
        beside.delete_user(&user).await;
        assert!(!stage.has_role(&role));
        other.remove().await;
    });
}
