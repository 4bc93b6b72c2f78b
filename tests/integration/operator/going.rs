//! A Database whose object goes.

use kube::api::DeleteParams;
use serde_json::json;

use super::{Stage, message, named, served};
use crate::cluster::eventually;
use crate::testbed::postgres::shared;

/// operator.md, D6.
#[test]
fn what_the_object_has_made_goes_with_it_where_it_says_so() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        for (policy, stays) in [("Delete", false), ("Retain", true)] {
            let (object, name) = named(&policy.to_lowercase());
            stage
                .database(&object, json!({"deletionPolicy": policy}))
                .await;
            stage.phase(&object, "Ready").await;
            let oid = format!("SELECT oid FROM pg_database WHERE datname = '{name}'");
            let oid = shared().sql("postgres", &oid);
            let owners =
                format!("SELECT count(*) FROM pg_roles WHERE rolname = 'dbtether_owner_{oid}'");
            assert_eq!(shared().sql("postgres", &owners), "1", "{policy}");
            // Somebody who is connected does not hinder it.
            let sleeping = name.clone();
            let holding = std::thread::spawn(move || {
                let program = shared().tool("psql", &sleeping);
                program.args(["-c", "SELECT pg_sleep(5)"]).run();
            });
            stage.delete(&object).await;
            assert_eq!(stage.has(&name), stays, "{policy}");
            assert_eq!(shared().sql("postgres", &owners), "0", "{policy}");
            if stays {
                assert_eq!(stage.comment(&name), "");
            }
            holding.join().unwrap();
        }
    });
}

/// operator.md, W2; operator-rules.md, decided 1.
#[test]
fn what_the_object_has_not_made_is_never_dropped_unasked() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        // It was there before.
        let (object, name) = named("before");
        let _database = shared().named(&name);
        stage
            .database(&object, json!({"deletionPolicy": "Delete"}))
            .await;
        stage.phase(&object, "Ready").await;
        stage.delete(&object).await;
        assert!(stage.has(&name));
        let events = stage.events(&object).await;
        assert!(
            events
                .iter()
                .any(|it| it.starts_with("Retained: ") && it.contains("force-adopt")),
            "{events:?}"
        );
        // The object made it, and somebody has put another one of that name in its place.
        let (object, name) = named("swapped");
        stage
            .database(&object, json!({"deletionPolicy": "Delete"}))
            .await;
        stage.phase(&object, "Ready").await;
        let marker = stage.comment(&name);
        shared().sql("postgres", &format!("DROP DATABASE \"{name}\""));
        let _database = shared().named(&name);
        shared().sql(
            "postgres",
            &format!("COMMENT ON DATABASE \"{name}\" IS '{marker}'"),
        );
        stage.delete(&object).await;
        assert!(stage.has(&name));
        // The mark was given to another object.
        let (object, name) = named("given");
        stage
            .database(&object, json!({"deletionPolicy": "Delete"}))
            .await;
        stage.phase(&object, "Ready").await;
        let theirs = "dbtether:elsewhere/it";
        shared().sql(
            "postgres",
            &format!("COMMENT ON DATABASE \"{name}\" IS '{theirs}'"),
        );
        stage.delete(&object).await;
        assert_eq!(stage.comment(&name), theirs);
    });
}

/// What never had a database holds nobody up: neither a namespace that goes, nor the kind.
#[test]
fn an_object_that_can_have_no_database_goes_at_once() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let long = format!("{}{}", named("long").0, "x".repeat(60));
        stage
            .database(&long, json!({"deletionPolicy": "Delete"}))
            .await;
        let failed = stage.phase(&long, "Failed").await;
        assert_eq!(super::readiness(&failed).1, "InvalidName");
        stage.delete(&long).await;
    });
}

#[test]
fn an_object_whose_server_is_gone_is_let_go_or_says_what_holds_it() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (object, name) = named("alone");
        let (held, _) = named("held");
        for it in [&object, &held] {
            stage
                .database(it, json!({"deletionPolicy": "Delete"}))
                .await;
            stage.phase(it, "Ready").await;
        }
        let unreachable = json!({"spec": {"port": 1}});
        let clusters = stage.clusters();
        let patch = kube::api::Patch::Merge(unreachable);
        let params = kube::api::PatchParams::default();
        clusters
            .patch(&stage.cluster, &params, &patch)
            .await
            .unwrap();
        stage.cluster_phase("Failed").await;
        let databases = stage.databases();
        databases
            .delete(&held, &DeleteParams::default())
            .await
            .unwrap();
        let deleting = stage.phase(&held, "Deleting").await;
        let said = message(&deleting);
        assert!(said.contains("dbtether.io/force-release"), "{said}");
        let release = json!({"metadata": {"annotations": {"dbtether.io/force-release": "true"}}});
        stage.change(&held, release).await;
        eventually("it is let go", async || {
            databases
                .get_opt(&held)
                .await
                .unwrap()
                .is_none()
                .then_some(())
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
        stage.delete(&object).await;
        assert!(stage.has(&name));
    });
}
