//! What the version before this one has made is taken over: its objects, as its own program wrote them
//! (tests/integration/kubernetes/before, of commit b193bdd).

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use scheduler::domain::schedule::Schedule;
use scheduler::engine::{Engine as _, Kind, Put, StartedBy, Whose};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::runs::wait_for;
use super::{engine, nothing_runs_without_its_secret, secret_of};
use crate::calls::requests;
use crate::cluster::{Cluster, Namespace, eventually};
use crate::testbed::programs::repository;
use crate::told::Told;

/// An object as it was written, before the API server gave it its own fields.
fn written(name: &str) -> Value {
    let path = repository().join(format!("tests/integration/kubernetes/before/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("the object")).expect("JSON")
}

/// Writes it as the version before did: by an apply of the manager that it had.
async fn apply<K>(namespace: &Namespace, name: &str, owner: Option<&Value>) -> K
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let mut object = written(name);
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"][0]["uid"] = owner.clone();
    }
    let named = object["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let params = PatchParams::apply("postgres-adapter").force();
    let api = namespace.api::<K>();
    let applied = api.patch(&named, &params, &Patch::Apply(&object)).await;
    applied.expect("applied")
}

/// The schedule and the restore that it had made.
async fn made(namespace: &Namespace) -> (CronJob, Job) {
    let cron_job: CronJob = apply(namespace, "cron_job", None).await;
    let uid = cron_job.uid().expect("a uid").into();
    apply::<Secret>(namespace, "cron_job_secret", Some(&uid)).await;
    let job: Job = apply(namespace, "job", None).await;
    let uid = job.uid().expect("a uid").into();
    apply::<Secret>(namespace, "job_secret", Some(&uid)).await;
    (cron_job, job)
}

#[test]
fn a_schedule_of_the_version_before_is_read_kept_and_brought_up_to_date() {
    Cluster::shared().within(async |namespace| {
        let (cron_job, _) = made(&namespace).await;
        let engine = engine(&namespace).await;
        let name = cron_job.name_any().parse().expect("a name");
        let kept = engine.schedule(&name).await.expect("read").expect("known");
        let plan = scheduler::api::oiler::convert::plan(requests::backup(), None).expect("a plan");
        let asked = Schedule::new(kept.name.clone(), plan.clone());
        assert!(kept.changes_from(&asked).is_empty(), "{kept:?}");
        assert!(!kept.counts_apart, "its backups are counted as they were");
        let tidied = engine.tidy().await.expect("tidied");
        assert_eq!((tidied.updated, tidied.left), (1, 0), "{tidied:?}");
        nothing_runs_without_its_secret(&namespace).await;
        let now: CronJob = namespace.api().get(&cron_job.name_any()).await.expect("it");
        assert_eq!(
            secret_of(&now),
            secret_of(&cron_job),
            "nobody else has its content"
        );
        assert_eq!(now.labels()["postgres-adapter.io/database"], "shop");
        let text = format!("{now:?}");
        assert!(text.contains("registry.local/backuper:1"), "{text}");
        assert_eq!(engine.tidy().await.expect("tidied").unchanged, 1);
        // The core's repeated call finds it, by the name that it always had.
        assert_eq!(plan.name(0), name);
        let wanted = scheduler::domain::schedule::Schedule::new(name, plan);
        let put = engine.put(&wanted, Whose::Its).await.expect("found");
        assert_eq!(put, Put::Unchanged);
        assert_eq!(namespace.cron_jobs().await.len(), 1);
    });
}

#[test]
fn a_restore_that_the_version_before_has_begun_is_under_way_and_its_end_is_told() {
    Cluster::shared().within(async |namespace| {
        let (_, job) = made(&namespace).await;
        namespace.pod_of(&job.name_any()).await;
        let engine = engine(&namespace).await;
        let other = scheduler::api::oiler::convert::restore(requests::restore("1"), None)
            .expect("a restore");
        let error = engine.start(&other).await.expect_err("one is under way");
        assert_eq!(error.kind(), Kind::Precondition, "{error:?}");
        let tidied = engine.tidy().await.expect("tidied");
        assert_eq!(tidied.removed, 0, "it has begun");
        let told = Told::by(std::sync::Arc::new(engine.clone()));
        // Only what ends from now on is news.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let pod = namespace.pod_of(&job.name_any()).await.name_any();
        namespace.end_pod(&pod, 2, "no such backup").await;
        let seen = wait_for(&told, 1).await;
        assert_eq!(seen[0].name, job.name_any());
        assert_eq!(seen[0].database, "db.example:5432/shop");
        assert_eq!(seen[0].state.word(), "failed");
        eventually("its Secret goes", async || {
            let secret = namespace.api::<Secret>().get_opt(&job.name_any()).await;
            secret.expect("an answer").is_none().then_some(())
        })
        .await;
        let again = engine.start(&other).await.expect("nothing is under way");
        assert_eq!(again.by, StartedBy::ThisCall);
    });
}

#[test]
fn what_the_version_before_has_seen_end_is_no_news() {
    Cluster::shared().within(async |namespace| {
        let (_, job) = made(&namespace).await;
        let pod = namespace.pod_of(&job.name_any()).await.name_any();
        namespace.end_pod(&pod, 1, "it failed").await;
        eventually("the Job has failed", async || {
            let job: Job = namespace.api().get(&job.name_any()).await.expect("it");
            job.status?.failed.filter(|it| *it > 0)
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let engine = engine(&namespace).await;
        let told = Told::by(std::sync::Arc::new(engine.clone()));
        let wanted = super::restore("crm", "0");
        let started = engine.start(&wanted).await.expect("started").name;
        let pod = namespace.pod_of(&started).await.name_any();
        namespace.end_pod(&pod, 0, "").await;
        let seen = wait_for(&told, 1).await;
        assert_eq!(
            seen.iter().map(|it| &it.name).collect::<Vec<_>>(),
            [&started]
        );
    });
}
