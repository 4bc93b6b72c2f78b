//! Restores: one at a time into a database, one pod each.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use scheduler::domain::restore::Restore;
use scheduler::engine::{Engine as _, Kind, StartedBy};

use super::between::Between;
use super::{engine, nothing_runs_without_its_secret, restore, settings};
use crate::cluster::{Cluster, Namespace, eventually};

async fn wait_until_finished(namespace: &Namespace, job: &str) -> Job {
    let api = namespace.api::<Job>();
    eventually("the Job has finished", async || {
        let job = api.get(job).await.expect("the Job");
        let conditions = job.status.clone()?.conditions?;
        let end = |it: &str| matches!(it, "Complete" | "Failed");
        conditions.iter().any(|it| end(&it.type_)).then_some(job)
    })
    .await
}

#[test]
fn u34_the_same_restore_again_is_answered_with_the_running_job() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let first = engine
            .start(&restore("aaaa1111", "0"))
            .await
            .expect("started");
        let again = engine
            .start(&restore("aaaa1111", "0"))
            .await
            .expect("found");
        assert_eq!(first.name, again.name);
        assert_eq!(
            (first.by, again.by),
            (StartedBy::ThisCall, StartedBy::Earlier)
        );
        assert_eq!(namespace.jobs().await.len(), 1);
        namespace.pod_of(&first.name).await;
        nothing_runs_without_its_secret(&namespace).await;
    });
}

#[test]
fn callers_at_the_same_time_start_one_restore() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let calls = (0..6).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.start(&restore("aaaa1111", "0")).await })
        });
        let mut names = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            names.push(call.await.expect("no panic").expect("one for all").name);
        }
        names.dedup();
        assert_eq!(names.len(), 1);
        assert_eq!(namespace.jobs().await.len(), 1);
        namespace.pod_of(&names[0]).await;
    });
}

#[test]
fn different_restores_at_the_same_time_leave_one() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let calls = (0..6).map(|number| {
            let engine = engine.clone();
            let wanted = restore("aaaa1111", &number.to_string());
            tokio::spawn(async move { engine.start(&wanted).await })
        });
        let mut started = 0;
        for call in calls.collect::<Vec<_>>() {
            match call.await.expect("no panic") {
                Ok(_) => started += 1,
                Err(error) => assert_eq!(error.kind(), Kind::Precondition, "{error:?}"),
            }
        }
        assert_eq!(started, 1);
        assert_eq!(namespace.jobs().await.len(), 1);
    });
}

#[test]
fn a_different_restore_into_the_database_is_refused_and_into_another_is_not() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .start(&restore("aaaa1111", "0"))
            .await
            .expect("started");
        let error = engine
            .start(&restore("aaaa1111", "1"))
            .await
            .expect_err("refused");
        assert_eq!(error.kind(), Kind::Precondition);
        engine
            .start(&restore("bbbb2222", "1"))
            .await
            .expect("another database");
        assert_eq!(namespace.jobs().await.len(), 2);
    });
}

/// Ends a restore well.
async fn end_well(namespace: &Namespace, job: &str) {
    let pod = namespace.pod_of(job).await;
    namespace.end_pod(&pod.name_any(), 0, "").await;
    wait_until_finished(namespace, job).await;
}

#[test]
fn s14_the_same_request_right_after_its_good_end_is_answered_with_that() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let first = engine.start(&restore("shop", "0")).await.expect("started");
        end_well(&namespace, &first.name).await;
        let again = engine.start(&restore("shop", "0")).await.expect("found");
        assert_eq!(
            (again.name, again.by),
            (first.name, StartedBy::EarlierEnded)
        );
        let other = engine.start(&restore("shop", "1")).await;
        assert_eq!(other.expect("another one").by, StartedBy::ThisCall);
    });
}

#[test]
fn s14_a_minute_later_the_same_request_is_a_new_one_unless_it_has_a_name() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let named = |id: &str| Restore {
            request_id: id.to_owned(),
            ..restore("crm", "0")
        };
        let later = Between::clock_ahead(Duration::from_secs(61));
        let later = later.engine(&namespace, settings(&namespace)).await;
        let first = engine.start(&restore("shop", "0")).await.expect("started");
        end_well(&namespace, &first.name).await;
        let second = later.start(&restore("shop", "0")).await.expect("started");
        assert_eq!(second.by, StartedBy::ThisCall);
        let first = engine.start(&named("a")).await.expect("started");
        end_well(&namespace, &first.name).await;
        let again = later.start(&named("a")).await.expect("found");
        assert_eq!(
            (again.name, again.by),
            (first.name, StartedBy::EarlierEnded)
        );
        let other = later.start(&named("b")).await.expect("started");
        assert_eq!(other.by, StartedBy::ThisCall);
    });
}

/// The core asks once for each of its objects, and puts that on the Job when it has heard the answer.
#[test]
fn s14_what_the_core_asks_for_once_more_is_restored_once_more() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let request = namespace.cluster.create_backup_request().await;
        let first = engine.start(&restore("shop", "0")).await.expect("started");
        let jobs = namespace.api::<Job>();
        let mut job = jobs.get(&first.name).await.expect("the Job");
        job.owner_references_mut().push(OwnerReference {
            api_version: "backup.oiler.backup/v1".to_owned(),
            kind: "BackupRequest".to_owned(),
            name: request.name_any(),
            uid: request.uid().expect("a uid"),
            ..OwnerReference::default()
        });
        let put = jobs.replace(&first.name, &Default::default(), &job).await;
        put.expect("the core's PUT");
        end_well(&namespace, &first.name).await;
        let again = engine.start(&restore("shop", "0")).await.expect("started");
        assert_eq!(again.by, StartedBy::ThisCall);
    });
}

#[test]
fn after_a_restore_has_failed_the_same_request_starts_a_new_one() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let first = engine.start(&restore("shop", "0")).await.expect("started");
        let pod = namespace.pod_of(&first.name).await;
        namespace
            .end_pod(&pod.name_any(), 2, "no such backup")
            .await;
        wait_until_finished(&namespace, &first.name).await;
        let second = engine.start(&restore("shop", "0")).await.expect("started");
        assert_ne!(first.name, second.name);
        assert_eq!(second.by, StartedBy::ThisCall);
        namespace.pod_of(&second.name).await;
    });
}

/// Gives the controllers time to do what they must not.
async fn there_is_only_ever_one_pod(namespace: &Namespace) {
    for _ in 0..30 {
        assert!(namespace.pods().await.len() <= 1);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[test]
fn u26_a_restore_that_fails_is_not_run_again() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let job = engine
            .start(&restore("aaaa1111", "0"))
            .await
            .expect("started")
            .name;
        let pod = namespace.pod_of(&job).await;
        namespace
            .end_pod(&pod.name_any(), 1, "the server went away")
            .await;
        let job = wait_until_finished(&namespace, &job).await;
        assert_eq!(job.status.and_then(|it| it.failed), Some(1));
        there_is_only_ever_one_pod(&namespace).await;
    });
}

#[test]
fn u26_a_restore_whose_node_is_drained_is_not_run_again() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let job = engine
            .start(&restore("aaaa1111", "0"))
            .await
            .expect("started")
            .name;
        let pod = namespace.pod_of(&job).await;
        namespace.disrupt_pod(&pod.name_any()).await;
        wait_until_finished(&namespace, &job).await;
        there_is_only_ever_one_pod(&namespace).await;
    });
}

#[test]
fn u26_a_restore_whose_pod_is_deleted_is_not_run_again() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let job = engine
            .start(&restore("aaaa1111", "0"))
            .await
            .expect("started")
            .name;
        let pod = namespace.pod_of(&job).await.name_any();
        let params = kube::api::DeleteParams::default().grace_period(0);
        let pods = namespace.api::<k8s_openapi::api::core::v1::Pod>();
        pods.delete(&pod, &params).await.expect("deleted");
        wait_until_finished(&namespace, &job).await;
        let others = namespace
            .pods()
            .await
            .into_iter()
            .filter(|it| it.name_any() != pod);
        assert_eq!(others.count(), 0);
    });
}
