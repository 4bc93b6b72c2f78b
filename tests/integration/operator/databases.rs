//! DBCluster and Database: what is made, claimed and repaired.

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

use super::{Stage, message, named, readiness, served};
use crate::cluster::{Namespace, eventually, kept_by};
use crate::testbed::pgbouncer::Pgbouncer;
use crate::testbed::postgres::{Cluster, shared};
use crate::testbed::unique;

/// operator.md, D1, D7 and D8; the seed's quick start.
#[test]
fn a_database_is_made_marked_and_ready() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (object, name) = named("orders");
        let spec = json!({"extensions": ["uuid-ossp", "hstore"], "revokePublicConnect": true});
        stage.database(&object, spec).await;
        let ready = stage.phase(&object, "Ready").await;
        let status = ready.status.clone().unwrap();
        assert_eq!(message(&ready), "database is ready");
        assert_eq!(status.database_name.as_deref(), Some(name.as_str()));
        assert_eq!(status.ownership_tracked, Some(true));
        assert_eq!(readiness(&ready), ("True".to_owned(), "Ready".to_owned()));
        let finalizers = ready.metadata.finalizers.unwrap();
        assert_eq!(finalizers, ["dbtether.io/finalizer"]);
        let marker = format!("dbtether:{}/{object}", stage.namespace.name);
        assert_eq!(stage.comment(&name), marker);
        let sql = |sql: &str| stage.server.sql(&name, sql);
        let extensions = "SELECT string_agg(extname || ' ' || nspname, ',' ORDER BY extname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname <> 'plpgsql'";
        assert_eq!(sql(extensions), "hstore public,uuid-ossp public");
        let public = "SELECT has_database_privilege('public', current_database(), 'CONNECT')";
        assert_eq!(sql(public), "f");
        // What is changed behind its back is repaired.
        sql("DROP EXTENSION hstore");
        stage.server.sql(
            "postgres",
            &format!("GRANT CONNECT ON DATABASE \"{name}\" TO PUBLIC"),
        );
        let again = json!({"metadata": {"annotations": {"again": "1"}}});
        stage.change(&object, again).await;
        eventually("it is repaired", async || {
            (sql(public) == "f" && sql(extensions).contains("hstore")).then_some(())
        })
        .await;
        let events = stage.events(&object).await;
        assert!(events.iter().any(|it| it.starts_with("Ready: ")), "{events:?}");
    });
}

/// operator.md, D9 to D11, W29.
#[test]
fn what_is_there_is_adopted_and_what_is_anothers_is_refused() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (object, name) = named("there");
        let database = shared().named(&name);
        shared().sql(
            "postgres",
            &format!("COMMENT ON DATABASE \"{name}\" IS 'it''s the shop''s'"),
        );
        database.sql("CREATE TABLE t (); ");
        stage
            .database(&object, json!({"deletionPolicy": "Delete"}))
            .await;
        let ready = stage.phase(&object, "Ready").await;
        assert_eq!(ready.status.unwrap().kept.unwrap().origin, "adopted");
        let marker = stage.comment(&name);
        assert!(marker.ends_with(&format!("/{object}")), "{marker}");
        // Another object is not let, and its going changes nothing.
        let (other, _) = named("other");
        let spec = json!({"databaseName": name, "deletionPolicy": "Delete"});
        stage.database(&other, spec).await;
        let failed = stage.phase(&other, "Failed").await;
        let said = message(&failed);
        assert!(
            said.contains("force-adopt") && said.contains(&object),
            "{said}"
        );
        assert_eq!(readiness(&failed).1, "NotOwned");
        stage.delete(&other).await;
        assert_eq!(stage.comment(&name), marker);
        // With the owner's word it is taken over.
        let (third, _) = named("third");
        stage
            .database_of(
                &third,
                json!({"clusterRef": {"name": stage.cluster}, "databaseName": name}),
                json!({"dbtether.io/force-adopt": "true"}),
            )
            .await;
        stage.phase(&third, "Ready").await;
        assert!(stage.comment(&name).ends_with(&format!("/{third}")));
        // What it was called before comes back when it stays.
        stage.delete(&third).await;
        assert_eq!(stage.comment(&name), "it's the shop's");
        assert_eq!(
            database.sql("SELECT count(*) FROM pg_class WHERE relname = 't'"),
            "1"
        );
    });
}

/// operator.md, W8: an annotation is anybody's who may write the object.
#[test]
fn no_annotation_takes_what_an_object_of_another_namespace_has() {
    served().within(async |namespace| {
        let other = Namespace::create(namespace.cluster).await;
        let stage = Stage::new(namespace).await;
        let (object, name) = named("theirs");
        stage.database(&object, json!({})).await;
        stage.phase(&object, "Ready").await;
        let marker = stage.comment(&name);
        let thief = Stage {
            namespace: other.clone(),
            cluster: stage.cluster.clone(),
            server: stage.server,
        };
        let spec = json!({
            "clusterRef": {"name": stage.cluster}, "databaseName": name, "deletionPolicy": "Delete",
        });
        let force = json!({"dbtether.io/force-adopt": "true"});
        thief.database_of("thief", spec, force).await;
        let failed = thief.phase("thief", "Failed").await;
        assert!(
            message(&failed).contains("which is there"),
            "{}",
            message(&failed)
        );
        thief.delete("thief").await;
        assert_eq!(stage.comment(&name), marker);
        other.remove().await;
    });
}

/// A comment is anybody's who owns the database: the second mark still says whose it is.
#[test]
fn a_comment_over_the_mark_is_kept_and_the_mark_comes_back() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (object, name) = named("over");
        stage.database(&object, json!({"deletionPolicy": "Delete"})).await;
        stage.phase(&object, "Ready").await;
        let marker = stage.comment(&name);
        let sql = format!("COMMENT ON DATABASE \"{name}\" IS 'orders of the shop'");
        stage.server.sql("postgres", &sql);
        let again = json!({"metadata": {"annotations": {"again": "1"}}});
        stage.change(&object, again).await;
        eventually("the mark comes back", async || {
            (stage.comment(&name) == marker).then_some(())
        })
        .await;
        let kept = "SELECT count(*) FROM pg_shdescription WHERE description LIKE '%origin=created comment=orders of the shop'";
        assert_eq!(stage.server.sql("postgres", kept), "1");
        stage.delete(&object).await;
        assert!(!stage.has(&name));
    });
}

/// An empty database in the place of a full one is what nobody must overlook.
#[test]
fn a_database_that_was_dropped_is_made_again_and_that_is_told() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (object, name) = named("dropped");
        stage.database(&object, json!({})).await;
        stage.phase(&object, "Ready").await;
        let oid = format!("SELECT oid FROM pg_database WHERE datname = '{name}'");
        let oid = stage.server.sql("postgres", &oid);
        stage
            .server
            .sql("postgres", &format!("DROP DATABASE \"{name}\""));
        let again = json!({"metadata": {"annotations": {"again": "1"}}});
        stage.change(&object, again).await;
        eventually("it is told", async || {
            let events = stage.events(&object).await;
            let is_it =
                |it: &String| it.starts_with("Recreated: ") && it.contains("restore a backup");
            events.iter().any(is_it).then_some(())
        })
        .await;
        assert!(stage.has(&name));
        let roles = format!("SELECT count(*) FROM pg_roles WHERE rolname = 'dbtether_owner_{oid}'");
        assert_eq!(stage.server.sql("postgres", &roles), "0");
    });
}

#[test]
fn an_object_without_a_spec_says_so_and_keeps_no_other_from_being_served() {
    served().within(async |namespace| {
        let gvk = GroupVersionKind::gvk("dbtether.io", "v1alpha1", "Database");
        let resource = ApiResource::from_gvk(&gvk);
        let client = namespace.cluster.client();
        let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace.name, &resource);
        let mut empty = DynamicObject::new("empty", &resource);
        empty.data = json!({});
        api.create(&PostParams::default(), &empty).await.unwrap();
        eventually("it is told", async || {
            let found = api.get("empty").await.unwrap();
            let said = found.data["status"]["message"].as_str()?.to_owned();
            said.contains("spec").then_some(())
        })
        .await;
        let stage = Stage::new(namespace).await;
        let (object, _) = named("beside");
        stage.database(&object, json!({})).await;
        stage.phase(&object, "Ready").await;
    });
}

/// A lock that takes turns must not stay with a server process that the next client gets.
#[test]
fn a_pooler_that_shares_server_processes_is_refused() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let pooler = Pgbouncer::start(&kept_by("postgres-servers.sh"), shared(), "transaction");
        let to = Patch::Merge(json!({"spec": {"port": pooler.port()}}));
        let clusters = stage.clusters();
        let params = PatchParams::default();
        clusters.patch(&stage.cluster, &params, &to).await.unwrap();
        let failed = stage.cluster_phase("Failed").await.status.unwrap();
        let said = failed.message.unwrap();
        assert!(said.contains("pooler"), "{said}");
    });
}

/// operator.md, C2, D2 and W11.
#[test]
fn a_database_waits_for_its_server_and_follows_where_that_is() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (object, name) = named("waits");
        let (lost, _) = named("lost");
        let spec = json!({"clusterRef": {"name": "no-such-cluster"}});
        stage.database_of(&lost, spec, json!({})).await;
        let pending = stage.phase(&lost, "Pending").await;
        assert_eq!(message(&pending), "waiting for DBCluster 'no-such-cluster'");
        assert!(pending.status.unwrap().pending_since.is_some());
        // A Secret that is not there, and is then.
        let to = |spec| Patch::Merge(json!({"spec": spec}));
        let wrong = json!({"credentialsSecretRef": {"name": "none"}});
        let clusters = stage.clusters();
        let params = PatchParams::default();
        clusters
            .patch(&stage.cluster, &params, &to(wrong))
            .await
            .unwrap();
        let failed = stage.cluster_phase("Failed").await.status.unwrap();
        let said = failed.message.unwrap();
        assert!(said.starts_with("credentials error: secret "), "{said}");
        stage.database(&object, json!({})).await;
        let waiting = stage.phase(&object, "Waiting").await;
        assert!(message(&waiting).ends_with("to be connected"));
        let right = json!({"credentialsSecretRef": {"name": "admin"}});
        clusters
            .patch(&stage.cluster, &params, &to(right))
            .await
            .unwrap();
        stage.phase(&object, "Ready").await;
        assert!(stage.has(&name));
        // Another server: the database is made there, and the first one is told of.
        let other = Cluster::start(false);
        stage.secret("other", ("postgres", other.password())).await;
        let moved = json!({"port": other.port(), "credentialsSecretRef": {"name": "other"}});
        clusters
            .patch(&stage.cluster, &params, &to(moved))
            .await
            .unwrap();
        let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        eventually("it is made on the other server", async || {
            (other.sql("postgres", &sql) == "1").then_some(())
        })
        .await;
        eventually("what stays is told", async || {
            let found = stage.databases().get(&object).await.unwrap();
            let orphaned = found.status.unwrap().orphaned?;
            assert!(orphaned[0].contains(&name), "{orphaned:?}");
            Some(())
        })
        .await;
        assert!(stage.has(&name));
        let wrong = json!({"port": 1});
        clusters
            .patch(&stage.cluster, &params, &to(wrong))
            .await
            .unwrap();
        let said = stage
            .cluster_phase("Failed")
            .await
            .status
            .unwrap()
            .message
            .unwrap();
        assert!(said.starts_with("connection failed: "), "{said}");
    });
}

#[test]
fn a_namespace_that_a_server_is_not_for_is_refused_until_it_is() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let clusters = stage.clusters();
        let params = PatchParams::default();
        let to = |allowed| Patch::Merge(json!({"spec": {"allowedNamespaces": allowed}}));
        let others = json!({"names": ["others"], "selector": {"matchLabels": {"team": "b"}}});
        clusters
            .patch(&stage.cluster, &params, &to(others))
            .await
            .unwrap();
        stage.cluster_phase("Connected").await;
        let (object, name) = named("refused");
        stage.database(&object, json!({})).await;
        let failed = stage.phase(&object, "Failed").await;
        assert_eq!(readiness(&failed).1, "NotAllowed");
        assert!(message(&failed).contains(&stage.namespace.name));
        assert!(!stage.has(&name));
        let ours = json!({"names": [stage.namespace.name]});
        clusters
            .patch(&stage.cluster, &params, &to(ours))
            .await
            .unwrap();
        stage.phase(&object, "Ready").await;
        assert!(stage.has(&name));
    });
}

/// operator-rules.md, 4.6: a managed server's administrator is no superuser.
/// operator.md, D5 and D13.
#[test]
fn a_role_with_createdb_and_createrole_is_enough() {
    served().within(async |namespace| {
        let admin = shared().role("admin", "CREATEDB CREATEROLE");
        let stage = Stage::on(namespace, shared(), (&admin, "p")).await;
        let connected = stage.cluster_phase("Connected").await.status.unwrap();
        let conditions = connected.conditions.unwrap();
        let privileged = conditions.iter().find(|it| it.type_ == "Privileged");
        assert_eq!(privileged.unwrap().status, "True");
        let (object, name) = named("limited");
        stage
            .database(
                &object,
                json!({"revokePublicConnect": true, "extensions": ["hstore"]}),
            )
            .await;
        stage.phase(&object, "Ready").await;
        assert!(stage.comment(&name).starts_with("dbtether:"));
        // A superuser's own cannot be marked by it, and is served all the same; nothing is revoked there in silence.
        let (object, name) = named("supers");
        let _database = shared().named(&name);
        stage.database(&object, json!({})).await;
        let ready = stage.phase(&object, "Ready").await;
        assert_eq!(
            ready.status.as_ref().unwrap().ownership_tracked,
            Some(false)
        );
        assert_eq!(stage.comment(&name), "");
        stage
            .change(&object, json!({"spec": {"revokePublicConnect": true}}))
            .await;
        let failed = stage.phase(&object, "Failed").await;
        assert_eq!(readiness(&failed).1, "InsufficientPrivileges");
        assert!(
            message(&failed).contains("(not owner)"),
            "{}",
            message(&failed)
        );
    });
}

#[test]
fn a_role_that_lacks_a_right_is_told_with_what_helps() {
    served().within(async |namespace| {
        let admin = shared().role("weak", "");
        let stage = Stage::on(namespace, shared(), (&admin, "p")).await;
        let connected = stage.cluster_phase("Connected").await.status.unwrap();
        let conditions = connected.conditions.unwrap();
        let it = conditions
            .iter()
            .find(|it| it.type_ == "Privileged")
            .unwrap();
        assert_eq!(it.reason, "InsufficientPrivileges");
        assert!(it.message.contains("CREATEDB CREATEROLE"), "{}", it.message);
        let (object, name) = named("weak");
        stage.database(&object, json!({})).await;
        let failed = stage.phase(&object, "Failed").await;
        assert_eq!(readiness(&failed).1, "InsufficientPrivileges");
        assert!(!stage.has(&name));
    });
}

/// operator.md, W25.
#[test]
fn a_password_may_be_any_text() {
    served().within(async |namespace| {
        let admin = unique("odd");
        let password = "it's a \\ \"pass word\" host=evil";
        shared().sql(
            "postgres",
            &format!("CREATE ROLE {admin} LOGIN CREATEDB CREATEROLE PASSWORD E'it''s a \\\\ \"pass word\" host=evil'"),
        );
        let stage = Stage::on(namespace, shared(), (&admin, password)).await;
        stage.cluster_phase("Connected").await;
    });
}
