//! A new version of the scheduler, and what a crashed one has left.

use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt;
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::record::Parameters;
use scheduler::engine::kubernetes::template::Template;
use scheduler::engine::{Engine as _, Refreshed};

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
