//! A new version of the scheduler, and what a crashed one has left.

use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt;
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::record::Parameters;
use scheduler::engine::kubernetes::template::Template;
use scheduler::engine::{Engine as _, Refreshed};

use super::runs::Told;
use super::{engine, limited_client, schedule, settings};
use crate::cluster::{Cluster, Namespace, eventually};

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
            old.ensure(&schedule(name, "hunter2")).await.expect("made");
        }
        let before = all(&namespace).await;
        let unchanged = old.refresh().await.expect("refreshed");
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
        let refreshed = newer.refresh().await.expect("refreshed");
        let expected = Refreshed {
            updated: 3,
            ..Refreshed::default()
        };
        assert_eq!(refreshed, expected);
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
        assert_eq!(newer.refresh().await.expect("refreshed").unchanged, 3);

        assert_eq!(old.refresh().await.expect("refreshed").updated, 3);
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
        let mut theirs = scheduler::engine::kubernetes::render::cron_job(
            &settings(&namespace),
            "theirs",
            &Parameters {
                schedule: "0 0 * * *".to_owned(),
                vars: Vec::new(),
                secret: "theirs".to_owned(),
            },
        );
        theirs.labels_mut().clear();
        let api = namespace.api::<CronJob>();
        api.create(&kube::api::PostParams::default(), &theirs)
            .await
            .expect("new");
        assert_eq!(
            engine.refresh().await.expect("refreshed"),
            Refreshed::default()
        );
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
        engine.ensure(&wanted).await.expect("made");
        let before = all(&namespace).await.remove(0);
        edit(&namespace, "backup-1").await;
        assert_eq!(engine.refresh().await.expect("refreshed").updated, 1);
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
        assert_eq!(engine.refresh().await.expect("refreshed").unchanged, 1);
    });
}

#[test]
fn s20_what_an_old_replica_writes_during_an_update_is_put_right_while_the_new_one_runs() {
    Cluster::shared().within(async |namespace| {
        let old = engine(&namespace).await;
        let mut newer = settings(&namespace);
        newer.backuper_image = "registry.local/backuper:2".to_owned();
        newer.refresh_every = std::time::Duration::from_millis(200);
        let newer = Kubernetes::new(limited_client(&namespace).await, newer);
        newer
            .ensure(&schedule("backup-1", "it"))
            .await
            .expect("made");
        let _running = Told::by(&newer);
        let wanted = schedule("backup-1", "it");
        let updated = old.update(&namespace.name, &wanted).await;
        updated.expect("the last call of the old one");
        eventually("the image is the new one", async || {
            let text = format!("{:?}", all(&namespace).await[0]);
            text.contains("registry.local/backuper:2").then_some(())
        })
        .await;
    });
}
