//! A new version of the scheduler beside an old one, and what a crashed one has left.

use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt;
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::record::Spec;
use scheduler::engine::kubernetes::render;
use scheduler::engine::kubernetes::template::Template;
use scheduler::engine::{Engine as _, Tidied, Whose};
use std::collections::BTreeMap;

use super::{engine, limited_client, schedule, settings};
use crate::cluster::{Cluster, Namespace};

async fn all(namespace: &Namespace) -> Vec<CronJob> {
    let mut all = namespace.cron_jobs().await;
    all.sort_by_key(ResourceExt::name_any);
    all
}

#[test]
fn u45_a_new_version_brings_its_image_to_the_cron_jobs_that_exist() {
    Cluster::shared().within(async |namespace| {
        let old = engine(&namespace).await;
        for name in ["backup-1", "backup-2", "backup-3"] {
            old.put(&schedule(name, "hunter2"), Whose::Its)
                .await
                .expect("made");
        }
        let before = all(&namespace).await;
        let unchanged = old.tidy().await.expect("tidied");
        assert_eq!(unchanged.unchanged, 3);
        let versions = |of: &[CronJob]| {
            of.iter()
                .map(ResourceExt::resource_version)
                .collect::<Vec<_>>()
        };
        assert_eq!(versions(&before), versions(&all(&namespace).await));

        let mut newer = settings(&namespace);
        newer.backuper_image = "registry.local/backuper:2".to_owned();
        newer.template = Template::parse("spec: {nodeSelector: {disk: fast}}").expect("a template");
        let newer = Kubernetes::new(limited_client(&namespace).await, newer);
        let tidied = newer.tidy().await.expect("tidied");
        let expected = Tidied {
            updated: 3,
            ..Tidied::default()
        };
        assert_eq!(tidied, expected);
        for (before, after) in before.into_iter().zip(all(&namespace).await) {
            let (before, after) = (before.spec.expect("a spec"), after.spec.expect("a spec"));
            assert_eq!(before.schedule, after.schedule);
            let pod = |it: &k8s_openapi::api::batch::v1::CronJobSpec| {
                it.job_template
                    .spec
                    .as_ref()
                    .and_then(|it| it.template.spec.clone())
                    .expect("a pod")
            };
            let (before, after) = (pod(&before), pod(&after));
            assert_eq!(
                after.containers[0].image.as_deref(),
                Some("registry.local/backuper:2")
            );
            assert_eq!(
                after.containers[0].env, before.containers[0].env,
                "the request stays"
            );
            assert!(after.node_selector.is_some());
        }
        assert_eq!(newer.tidy().await.expect("tidied").unchanged, 3);

        assert_eq!(old.tidy().await.expect("tidied").updated, 3);
        for cron_job in all(&namespace).await {
            let spec = cron_job
                .spec
                .expect("a spec")
                .job_template
                .spec
                .expect("a Job");
            let selector = spec.template.spec.expect("a pod").node_selector;
            assert_eq!(selector, None, "what the template no longer says is gone");
        }
    });
}

#[test]
fn other_peoples_cron_jobs_are_not_refreshed() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let spec = Spec {
            schedule: schedule("theirs", "it"),
            secret: "theirs".to_owned(),
            held: BTreeMap::new(),
        };
        let mut theirs = render::cron_job(&settings(&namespace), &spec);
        theirs.labels_mut().clear();
        let api = namespace.api::<CronJob>();
        api.create(&kube::api::PostParams::default(), &theirs)
            .await
            .expect("new");
        assert_eq!(engine.tidy().await.expect("tidied"), Tidied::default());
    });
}

/// What `kubectl edit` does to a schedule.
async fn edit(namespace: &Namespace, name: &str) {
    let mut edited: CronJob = namespace.api().get(name).await.expect("the CronJob");
    edited.metadata.managed_fields = None;
    let spec = edited.spec.as_mut().expect("a spec");
    spec.schedule = "0 0 1 1 *".to_owned();
    let job = spec.job_template.spec.as_mut().expect("a Job");
    let pod = job.template.spec.as_mut().expect("a pod");
    pod.containers[0].image = Some("registry.local/theirs:1".to_owned());
    let env = pod.containers[0].env.as_mut().expect("variables");
    env.retain(|it| it.name != "MAX_BACKUP_COUNT");
    edited
        .labels_mut()
        .insert("team".to_owned(), "data".to_owned());
    let api = namespace.api::<CronJob>();
    api.replace(name, &kube::api::PostParams::default(), &edited)
        .await
        .expect("edited");
}

#[test]
fn s29_an_edited_cron_job_is_put_right_and_keeps_what_others_have_added() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let wanted = schedule("backup-1", "it");
        engine.put(&wanted, Whose::Its).await.expect("made");
        let before = all(&namespace).await.remove(0);
        edit(&namespace, "backup-1").await;
        assert_eq!(engine.tidy().await.expect("tidied").updated, 1);
        let after = all(&namespace).await.remove(0);
        assert_eq!(after.labels()["team"], "data");
        let spec = |it: CronJob| {
            let mut spec = it.spec.expect("a spec");
            // The first apply after the CronJob is made lets go of it, and it is a person's.
            spec.suspend = None;
            spec
        };
        let (mut before, mut after) = (spec(before), spec(after));
        for it in [&mut before, &mut after] {
            let job = it.job_template.spec.as_mut().expect("a Job");
            let pod = job.template.spec.as_mut().expect("a pod");
            let env = pod.containers[0].env.as_mut().expect("variables");
            env.sort_by(|one, other| one.name.cmp(&other.name));
        }
        assert_eq!(before, after);
        assert_eq!(engine.tidy().await.expect("tidied").unchanged, 1);
    });
}

/// One of another version.
async fn of_version(namespace: &Namespace, version: &str) -> Kubernetes {
    let mut settings = settings(namespace);
    settings.version = version.to_owned();
    settings.backuper_image = format!("registry.local/backuper:{version}");
    Kubernetes::new(limited_client(namespace).await, settings)
}

#[test]
fn s20_an_older_replica_does_not_write_over_what_a_newer_one_has_rendered() {
    Cluster::shared().within(async |namespace| {
        let (old, new) = (
            of_version(&namespace, "0.9.0").await,
            of_version(&namespace, "0.10.0").await,
        );
        let wanted = schedule("backup-1", "it");
        old.put(&wanted, Whose::Its).await.expect("made");
        assert_eq!(new.tidy().await.expect("tidied").updated, 1);
        let of = async || format!("{:?}", all(&namespace).await[0]);
        for _ in 0..2 {
            assert_eq!(old.tidy().await.expect("tidied").unchanged, 1);
            assert!(of().await.contains("registry.local/backuper:0.10.0"));
        }
        // A call is answered by whoever gets it, and the newer one mends what it looks like.
        let answered = old.put(&wanted, Whose::Anybodys).await;
        answered.expect("the last call of the old one");
        assert!(of().await.contains("registry.local/backuper:0.9.0"));
        assert_eq!(new.tidy().await.expect("tidied").updated, 1);
        assert!(of().await.contains("registry.local/backuper:0.10.0"));
    });
}

/// What the version before this one writes while an update rolls: its own annotations alone, with the
/// variables that it was given.
#[test]
fn s20_what_the_version_before_writes_over_ours_is_read_back_whole() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        let mut wanted = schedule("backup-1", "it");
        wanted.counts_apart = true;
        engine.put(&wanted, Whose::Its).await.expect("made");
        let mut written: CronJob = namespace.api().get("backup-1").await.expect("it");
        written.metadata.managed_fields = None;
        let before = |key: &str| !key.starts_with("postgres-adapter.io/");
        written.annotations_mut().retain(|key, _| before(key));
        let rendered = "postgres-adapter/rendered".to_owned();
        written
            .annotations_mut()
            .insert(rendered, "before".to_owned());
        let params = kube::api::PatchParams::apply("postgres-adapter").force();
        let api = namespace.api::<CronJob>();
        written.metadata.resource_version = None;
        let patch = kube::api::Patch::Apply(&written);
        let applied = api
            .patch("backup-1", &params, &patch)
            .await
            .expect("applied");
        assert!(
            applied.annotations().keys().all(|it| before(it)),
            "{applied:?}"
        );
        let name = wanted.name.clone();
        let kept = engine.schedule(&name).await.expect("read").expect("known");
        assert!(kept.counts_apart && kept.changes_from(&wanted).is_empty());
        assert_eq!(engine.tidy().await.expect("tidied").updated, 1);
        let put = engine.put(&wanted, Whose::Its).await.expect("found");
        assert_eq!(put, scheduler::engine::Put::Unchanged);
    });
}

#[test]
fn s28_two_releases_in_one_namespace_leave_each_others_schedules_alone() {
    Cluster::shared().within(async |namespace| {
        let release = async |name: &str| {
            let mut settings = settings(&namespace);
            settings.release = Some(name.to_owned());
            settings.backuper_image = format!("registry.local/backuper:{name}");
            Kubernetes::new(limited_client(&namespace).await, settings)
        };
        let (one, other) = (release("one").await, release("other").await);
        one.put(&schedule("backup-1", "it"), Whose::Its)
            .await
            .expect("made");
        other
            .put(&schedule("backup-2", "it"), Whose::Its)
            .await
            .expect("made");
        for engine in [&one, &other, &one] {
            let tidied = engine.tidy().await.expect("tidied");
            assert_eq!((tidied.unchanged, tidied.updated), (1, 0));
        }
        let error = other
            .put(&schedule("backup-1", "it"), Whose::Anybodys)
            .await;
        let error = error.expect_err("another release's");
        assert_eq!(error.kind(), scheduler::engine::Kind::Precondition);
        let started = one
            .start(&super::restore("shop", "0"))
            .await
            .expect("started");
        assert!(other.cancel(&started.name).await.is_err());
        assert_eq!(
            namespace.jobs().await[0].labels()["app.kubernetes.io/instance"],
            "one"
        );
    });
}
