//! Restores that meet what another call, a crash or a person has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use scheduler::domain::restore::Restore;
use scheduler::engine::kubernetes::error::{answered, is_lost_race};
use scheduler::engine::kubernetes::render::started;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Engine as _, Kind, StartedBy};
use serde_json::json;
use tokio::sync::Semaphore;

use super::between::{Between, Fate, writes_a_secret};
use super::{engine, nothing_runs_without_its_secret, restore, settings};
use crate::cluster::{Cluster, Namespace, eventually};

const DATABASE: &str = "aaaa1111";

/// Those of a scheduler for which every Job that was not started yet is a crash's.
fn impatient(namespace: &Namespace) -> Settings {
    Settings {
        abandoned_after: Duration::ZERO,
        ..settings(namespace)
    }
}

fn as_of(restore: &Restore) -> String {
    restore.as_of.expect("a time").to_string()
}

fn variable(job: &Job, name: &str) -> Option<String> {
    let pod = job.spec.as_ref()?.template.spec.as_ref()?;
    let env = pod.containers[0].env.as_ref()?;
    env.iter().find(|it| it.name == name)?.value.clone()
}

async fn the_one_started(namespace: &Namespace) -> Job {
    let mut started = namespace.started_jobs().await;
    assert_eq!(started.len(), 1, "{started:?}");
    started.remove(0)
}

#[test]
fn s11_what_was_never_started_is_made_anew_with_the_new_calls_time() {
    Cluster::shared().within(async |namespace| {
        let unlucky = Between::new(|it| match writes_a_secret(it) {
            true => Fate::Lost,
            false => Fate::Sent,
        });
        let unlucky = unlucky.engine(&namespace, settings(&namespace)).await;
        let yesterday = restore(DATABASE, "0");
        let error = unlucky.start(&yesterday).await.expect_err("no Secret");
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        let today = restore(DATABASE, "0");
        assert_ne!(as_of(&yesterday), as_of(&today));
        let running = engine(&namespace).await.start(&today).await;
        assert_eq!(running.expect("made anew").by, StartedBy::ThisCall);
        let job = the_one_started(&namespace).await;
        assert_eq!(variable(&job, "RESTORE_AS_OF"), Some(as_of(&today)));
        assert_eq!(namespace.jobs().await.len(), 1);
    });
}

#[test]
fn s11_what_was_not_started_is_withdrawn_though_it_changes_meanwhile() {
    Cluster::shared().within(async |namespace| {
        let refusals = AtomicUsize::new(0);
        let unlucky = Between::new(move |it| {
            let is_removed = it.method() == Method::DELETE && it.uri().path().contains("/jobs/");
            if is_removed && refusals.fetch_add(1, Ordering::SeqCst) < 2 {
                Fate::Refused(409)
            } else if writes_a_secret(it) {
                Fate::Lost
            } else {
                Fate::Sent
            }
        });
        let unlucky = unlucky.engine(&namespace, settings(&namespace)).await;
        let error = unlucky.start(&restore(DATABASE, "0")).await;
        assert_eq!(error.expect_err("no Secret").kind(), Kind::Unavailable);
        assert_eq!(namespace.jobs().await.len(), 0);
    });
}

/// A Job that a scheduler has left that died before it could start it.
async fn left_by_a_crash(namespace: &Namespace) -> Restore {
    let never = Arc::new(Semaphore::new(0));
    let dying = Between::new(move |it| match writes_a_secret(it) {
        true => Fate::Held(never.clone()),
        false => Fate::Sent,
    });
    let dying = dying.engine(namespace, settings(namespace)).await;
    let wanted = restore(DATABASE, "0");
    let call = wanted.clone();
    let call = tokio::spawn(async move { dying.start(&call).await });
    eventually("its Job", async || {
        (namespace.jobs().await.len() == 1).then_some(())
    })
    .await;
    call.abort();
    wanted
}

#[test]
fn s11_the_age_of_what_a_crash_left_is_told_by_the_api_servers_clock() {
    Cluster::shared().within(async |namespace| {
        let yesterday = left_by_a_crash(&namespace).await;
        let now = engine(&namespace).await;
        let error = now.start(&restore(DATABASE, "1")).await;
        let error = error.expect_err("it may still be started");
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        let later = Between::clock_ahead(Duration::from_secs(60));
        let later = later.engine(&namespace, settings(&namespace)).await;
        let today = restore(DATABASE, "0");
        assert_ne!(as_of(&yesterday), as_of(&today));
        let running = later.start(&today).await.expect("made anew");
        assert_eq!(running.by, StartedBy::ThisCall);
        let job = the_one_started(&namespace).await;
        assert_eq!(variable(&job, "RESTORE_AS_OF"), Some(as_of(&today)));
    });
}

#[test]
fn s12_a_slow_secret_starts_no_other_callers_job() {
    Cluster::shared().within(async |namespace| {
        let permits = Arc::new(Semaphore::new(0));
        let held = permits.clone();
        let slow = Between::new(move |it| match writes_a_secret(it) {
            true => Fate::Held(held.clone()),
            false => Fate::Sent,
        });
        let slow = slow.engine(&namespace, settings(&namespace)).await;
        let first = tokio::spawn(async move { slow.start(&restore(DATABASE, "1")).await });
        eventually("the first Job", async || {
            (namespace.jobs().await.len() == 1).then_some(())
        })
        .await;
        // Its Secrets are slow as well, so that the first caller's write finds a Job of the same
        // age that was not started.
        let held = Arc::new(Semaphore::new(0));
        let later = held.clone();
        let second = Between::new(move |it| match writes_a_secret(it) {
            true => Fate::Held(later.clone()),
            false => Fate::Sent,
        });
        let second = second.engine(&namespace, impatient(&namespace)).await;
        let before = namespace.jobs().await[0].uid();
        let second = tokio::spawn(async move { second.start(&restore(DATABASE, "2")).await });
        eventually("the second Job", async || {
            let jobs = namespace.jobs().await;
            (jobs.len() == 1 && jobs[0].uid() != before).then_some(())
        })
        .await;
        permits.add_permits(8);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(namespace.started_jobs().await.len(), 0, "it is another's");
        held.add_permits(8);
        let running = second.await.expect("no panic").expect("started");
        let error = first.await.expect("no panic").expect_err("it lost");
        assert_eq!(error.kind(), Kind::Precondition, "{error:?}");
        let job = the_one_started(&namespace).await;
        assert_eq!(job.name_any(), running.name);
        assert_eq!(variable(&job, "BACKUP_REVISION").as_deref(), Some("2"));
        namespace.pod_of(&running.name).await;
        nothing_runs_without_its_secret(&namespace).await;
    });
}

#[test]
fn s12_two_requests_never_share_a_name() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let first = engine.start(&restore(DATABASE, "1")).await;
        let first = first.expect("started").name;
        let params = DeleteParams::background();
        let jobs = namespace.api::<Job>();
        jobs.delete(&first, &params).await.expect("deleted");
        eventually("it is gone", async || {
            namespace.pods().await.is_empty().then_some(())
        })
        .await;
        let second = engine.start(&restore(DATABASE, "2")).await;
        assert_ne!(first, second.expect("started").name);
    });
}

#[test]
fn s12_a_job_that_has_another_uid_by_now_is_not_started() {
    Cluster::shared().within(async |namespace| {
        drop(left_by_a_crash(&namespace).await);
        let jobs = namespace.api::<Job>();
        let name = namespace.jobs().await[0].name_any();
        let other = "6f9619ff-8b86-d011-b42d-00c04fc964ff".to_owned();
        let started = started(&settings(&namespace), other);
        let patch = Patch::Merge(&started);
        let refused = jobs.patch(&name, &PatchParams::default(), &patch).await;
        let error = answered("start it", refused.expect_err("another uid"));
        assert!(is_lost_race(&error), "{error:?}");
        assert!(namespace.started_jobs().await.is_empty());
    });
}

const HOLD: &str = "example.org/hold";

fn finalizers(of: &[&str]) -> Patch<serde_json::Value> {
    Patch::Merge(json!({"metadata": {"finalizers": of}}))
}

/// A restore whose Job is being deleted in the foreground and stays until its finalizers go.
async fn being_deleted(namespace: &Namespace) -> String {
    let engine = engine(namespace).await;
    let name = engine.start(&restore(DATABASE, "0")).await;
    let name = name.expect("started").name;
    namespace.pod_of(&name).await;
    let jobs = namespace.api::<Job>();
    let params = PatchParams::default();
    jobs.patch(&name, &params, &finalizers(&[HOLD]))
        .await
        .expect("held");
    jobs.delete(&name, &DeleteParams::foreground())
        .await
        .expect("deleted");
    name
}

#[test]
fn s15_a_job_that_is_being_deleted_is_not_adopted() {
    Cluster::shared().within(async |namespace| {
        let name = being_deleted(&namespace).await;
        let engine = engine(&namespace).await;
        let error = engine.start(&restore(DATABASE, "0")).await;
        let error = error.expect_err("it is being deleted");
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        let sentence = error.chain();
        assert!(
            sentence.contains(&format!("Job {name} is being deleted")),
            "{sentence}"
        );
        let jobs = namespace.api::<Job>();
        jobs.patch(&name, &PatchParams::default(), &finalizers(&[]))
            .await
            .expect("let go");
    });
}

#[test]
fn s15_a_job_that_is_being_deleted_is_waited_for_and_made_anew() {
    Cluster::shared().within(async |namespace| {
        let name = being_deleted(&namespace).await;
        let engine = engine(&namespace).await;
        let call = tokio::spawn(async move { engine.start(&restore(DATABASE, "0")).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        let jobs = namespace.api::<Job>();
        jobs.patch(&name, &PatchParams::default(), &finalizers(&[]))
            .await
            .expect("let go");
        let running = call.await.expect("no panic").expect("made anew");
        assert_eq!(running.by, StartedBy::ThisCall);
        assert_ne!(running.name, name);
        namespace.pod_of(&running.name).await;
    });
}

#[test]
fn s15_nothing_is_restored_beside_the_pod_of_a_job_that_was_deleted() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let first = engine.start(&restore(DATABASE, "0")).await;
        let first = first.expect("started").name;
        let pod = namespace.pod_of(&first).await.name_any();
        let pods = namespace.api::<Pod>();
        pods.patch(&pod, &PatchParams::default(), &finalizers(&[HOLD]))
            .await
            .expect("held");
        // One that is on no node is taken for ended as soon as it is deleted.
        let binding = serde_json::json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "somewhere"},
        });
        pods.create_subresource::<serde_json::Value, serde_json::Value>(
            "binding",
            &pod,
            &PostParams::default(),
            &binding,
        )
        .await
        .expect("on a node");
        let jobs = namespace.api::<Job>();
        jobs.delete(&first, &DeleteParams::background())
            .await
            .expect("deleted");
        eventually("the Job is gone", async || {
            namespace.jobs().await.is_empty().then_some(())
        })
        .await;
        let error = engine.start(&restore(DATABASE, "0")).await;
        let error = error.expect_err("its pod may still write");
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        assert!(error.chain().contains(&pod), "{}", error.chain());
        pods.patch(&pod, &PatchParams::default(), &finalizers(&[]))
            .await
            .expect("let go");
        // As the node's kubelet says that it has ended.
        pods.delete(&pod, &DeleteParams::default().grace_period(0))
            .await
            .expect("ended");
        engine
            .start(&restore(DATABASE, "0"))
            .await
            .expect("nothing is in its way");
    });
}

/// What the released core does right after our answer: it reads, appends itself as an owner, and
/// puts all of it back.
async fn put_like_the_core(jobs: &Api<Job>, name: &str, owner: &OwnerReference) -> bool {
    let mut job = jobs.get(name).await.expect("the Job");
    tokio::time::sleep(Duration::from_millis(20)).await;
    job.owner_references_mut().push(owner.clone());
    jobs.replace(name, &PostParams::default(), &job)
        .await
        .is_ok()
}

#[test]
fn s10_the_cores_put_right_after_the_answer_meets_no_conflict() {
    Cluster::shared().within(async |namespace| {
        let request = namespace.cluster.create_backup_request().await;
        let owner = OwnerReference {
            api_version: "backup.oiler.backup/v1".to_owned(),
            kind: "BackupRequest".to_owned(),
            name: request.name_any(),
            uid: request.uid().expect("a uid"),
            controller: Some(true),
            block_owner_deletion: Some(true),
        };
        let engine = engine(&namespace).await;
        // Connected, as the core is: a handshake would give the Job controller its time.
        let jobs = namespace.api::<Job>();
        jobs.get_opt("none").await.expect("an answer");
        let mut conflicts = 0;
        for number in 0..100 {
            let wanted = restore(&format!("{number:08x}"), "0");
            let running = engine.start(&wanted).await.expect("started");
            let put = put_like_the_core(&jobs, &running.name, &owner).await;
            conflicts += usize::from(!put);
        }
        assert_eq!(conflicts, 0);
    });
}

#[test]
fn s10_a_restore_that_gets_no_pod_is_answered_within_seconds() {
    Cluster::shared().within(async |namespace| {
        let limits = json!({
            "metadata": {"name": "no-pods"},
            "spec": {"limits": [{"type": "Pod", "min": {"memory": "1Gi"}}]},
        });
        let limits = serde_json::from_value(limits).expect("limits");
        let all = namespace.api::<k8s_openapi::api::core::v1::LimitRange>();
        all.create(&PostParams::default(), &limits)
            .await
            .expect("new");
        let engine = engine(&namespace).await;
        let start = std::time::Instant::now();
        engine
            .start(&restore(DATABASE, "0"))
            .await
            .expect("started");
        assert!(
            start.elapsed() < Duration::from_secs(6),
            "{:?}",
            start.elapsed()
        );
        assert!(namespace.pods().await.is_empty());
    });
}
