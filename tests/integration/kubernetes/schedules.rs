//! CronJobs: made once, changed in all they are, gone with their owner.

use std::sync::Arc;
use std::time::Duration;

use backuper::retention::Retention;
use http::Method;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::{Engine as _, Kind, Whose};
use serde_json::json;
use tokio::sync::Semaphore;

use super::between::{Between, Fate};
use super::{
    engine, is_suspended, nothing_runs_without_its_secret, schedule, secret_of, settings, user,
};
use crate::cluster::{Cluster, Namespace, eventually};

const NAME: &str = "backup-0a1b2c3d-postgres";

async fn found(namespace: &Namespace) -> CronJob {
    namespace.api().get(NAME).await.expect("the CronJob")
}

async fn password(namespace: &Namespace) -> String {
    let name = secret_of(&found(namespace).await);
    let secret: Secret = namespace.api().get(&name).await.expect("the Secret");
    let data = secret.data.expect("data");
    String::from_utf8(data["DB_PASSWORD"].0.clone()).expect("text")
}

#[test]
fn u35_the_same_request_twice_makes_one_cron_job() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "hunter2"), Whose::Its)
            .await
            .expect("made");
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(found(&namespace).await);
            let again = engine.put(&schedule(NAME, "hunter2"), Whose::Its).await;
            again.expect("there");
        }
        assert_eq!(namespace.cron_jobs().await.len(), 1);
        assert!(!is_suspended(&seen[0]));
        let generation = |it: &CronJob| it.metadata.generation;
        assert_eq!(generation(&seen[0]), generation(&seen[1]), "it is the same");
        // The first repetition lets go of `suspend`, which is then a person's to set.
        let version = ResourceExt::resource_version;
        assert_eq!(version(&seen[1]), version(&seen[2]), "nothing was written");
        nothing_runs_without_its_secret(&namespace).await;
    });
}

#[test]
fn u35_u36_callers_at_the_same_time_make_one_cron_job_that_runs() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let calls = (0..8).map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.put(&schedule(NAME, "hunter2"), Whose::Its).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.expect("no panic").expect("made");
        }
        assert_eq!(namespace.cron_jobs().await.len(), 1);
        assert_eq!(namespace.secrets().await.len(), 1);
        assert!(!is_suspended(&found(&namespace).await));
        nothing_runs_without_its_secret(&namespace).await;
    });
}

#[test]
fn u40_the_password_is_in_the_secret_and_nowhere_else() {
    Cluster::shared().within(async |namespace| {
        engine(&namespace)
            .await
            .put(&schedule(NAME, "hunter2"), Whose::Its)
            .await
            .expect("made");
        let cron_job = serde_json::to_string(&found(&namespace).await).expect("JSON");
        assert!(!cron_job.contains("hunter2") && !cron_job.contains("aHVudGVyMg"));
        assert_eq!(password(&namespace).await, "hunter2");
    });
}

/// What the core does after Backup: it reads, appends itself as an owner, and puts all of it back.
async fn adopt_like_the_core(namespace: &Namespace, request: &DynamicObject) {
    let api = namespace.api::<CronJob>();
    let mut cron_job = found(namespace).await;
    cron_job.owner_references_mut().push(OwnerReference {
        api_version: "backup.oiler.backup/v1".to_owned(),
        kind: "BackupRequest".to_owned(),
        name: request.name_any(),
        uid: request.uid().expect("a uid"),
        controller: Some(true),
        block_owner_deletion: Some(true),
    });
    api.replace(NAME, &PostParams::default(), &cron_job)
        .await
        .expect("the core's PUT");
}

#[test]
fn u33_an_update_after_the_cores_put_changes_everything_and_keeps_the_owner() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "old"), Whose::Its)
            .await
            .expect("made");
        let request = namespace.cluster.create_backup_request().await;
        adopt_like_the_core(&namespace, &request).await;

        let mut changed = schedule(NAME, "new");
        changed.plan.cron = "5 4 * * 1".parse().expect("a cron");
        changed.plan.keep = Retention(9);
        engine
            .put(&changed, Whose::Anybodys)
            .await
            .expect("changed");

        let cron_job = found(&namespace).await;
        assert_eq!(
            cron_job.owner_references().len(),
            1,
            "{:?}",
            cron_job.metadata
        );
        let spec = cron_job.spec.expect("a spec");
        assert_eq!(spec.schedule, "5 4 * * 1");
        let pod = spec
            .job_template
            .spec
            .expect("a Job")
            .template
            .spec
            .expect("a pod");
        let env = pod.containers[0].env.clone().expect("variables");
        let count = env
            .iter()
            .find(|it| it.name == "MAX_BACKUP_COUNT")
            .expect("it");
        assert_eq!(count.value.as_deref(), Some("9"));
        assert_eq!(password(&namespace).await, "new");

        let params = DeleteParams::background();
        let requests = namespace.cluster.backup_requests();
        requests
            .delete(&request.name_any(), &params)
            .await
            .expect("deleted");
        eventually("the CronJob and its Secret follow", async || {
            let left = namespace.cron_jobs().await.len() + namespace.secrets().await.len();
            (left == 0).then_some(())
        })
        .await;
    });
}

#[test]
fn s23_a_backup_that_was_checked_before_an_update_does_not_undo_it() {
    Cluster::shared().within(async |namespace| {
        let wanted = schedule(NAME, "first");
        let quick = engine(&namespace).await;
        quick.put(&wanted, Whose::Its).await.expect("made");
        let permits = Arc::new(Semaphore::new(0));
        let held = permits.clone();
        let slow = Between::new(move |it| {
            match it.method() == Method::PATCH && it.uri().path().contains("/cronjobs/") {
                true => Fate::Held(held.clone()),
                false => Fate::Sent,
            }
        });
        let slow = slow.engine(&namespace, settings(&namespace)).await;
        let call = tokio::spawn(async move { slow.put(&wanted, Whose::Its).await });
        // It has looked, found its own place, and is about to write.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut elsewhere = schedule(NAME, "second");
        elsewhere.plan.source.host = "other.example".to_owned();
        let updated = quick.put(&elsewhere, Whose::Anybodys).await;
        updated.expect("changed");
        permits.add_permits(8);
        let error = call.await.expect("no panic").expect_err("it is another's");
        assert_eq!(error.kind(), Kind::Occupied, "{error:?}");
        let text = format!("{:?}", found(&namespace).await);
        assert!(text.contains("other.example"), "{text}");
    });
}

#[test]
fn a_schedule_that_a_person_suspended_stays_suspended() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("made");
        let suspend = Patch::Merge(json!({"spec": {"suspend": true}}));
        let api = namespace.api::<CronJob>();
        api.patch(NAME, &PatchParams::default(), &suspend)
            .await
            .expect("suspended");
        engine
            .put(&schedule(NAME, "it"), Whose::Anybodys)
            .await
            .expect("changed");
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("changed");
        assert!(is_suspended(&found(&namespace).await));
    });
}

#[test]
fn an_update_of_a_cron_job_that_is_gone_is_not_found() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let error = engine.put(&schedule(NAME, "it"), Whose::Anybodys).await;
        assert_eq!(error.expect_err("there is none").kind(), Kind::NotFound);
        assert!(namespace.cron_jobs().await.is_empty());
        assert!(namespace.secrets().await.is_empty());
    });
}

#[test]
fn u39_a_cron_job_that_is_not_ours_is_left_alone() {
    Cluster::shared().within(async |namespace| {
        let theirs: CronJob = serde_json::from_value(json!({
            "metadata": {"name": NAME},
            "spec": {"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "it", "image": "registry.local/theirs:1"}]}}}}},
        }))
        .expect("a CronJob");
        let api = namespace.api::<CronJob>();
        let before = api
            .create(&PostParams::default(), &theirs)
            .await
            .expect("new");
        let engine = engine(&namespace).await;
        let error = engine.put(&schedule(NAME, "it"), Whose::Its).await;
        assert_eq!(error.expect_err("theirs").kind(), Kind::Precondition);
        let error = engine.put(&schedule(NAME, "it"), Whose::Anybodys).await;
        assert_eq!(error.expect_err("theirs").kind(), Kind::Precondition);
        let after = found(&namespace).await;
        assert_eq!(before.resource_version(), after.resource_version());
        assert!(namespace.secrets().await.is_empty());
    });
}

#[test]
fn what_the_role_does_not_give_is_denied() {
    Cluster::shared().within(async |namespace| {
        let client = namespace.cluster.client_as(&user(&namespace));
        let engine = Kubernetes::new(client, settings(&namespace));
        let error = engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect_err("no Role");
        assert_eq!(error.kind(), Kind::Denied, "{error:?}");
    });
}
