//! A second store in a cluster: a backup whose copy failed has succeeded, and the second store's keys are in
//! Secrets alone.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use scheduler::domain::run::{Ending, Run, State};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Engine as _, Whose};
use scheduler::metrics::Metrics;

use super::runs::{run_now, wait_for};
use super::{engine, limited_client, schedule, secret_of, settings};
use crate::cluster::{Cluster, eventually};
use crate::told::Told;

const NAME: &str = "backup-0a1b2c3d-postgres";
const SENTENCE: &str = "backup complete and verified: app/1 (1 tables, 2 bytes dumped, 3 bytes stored, 0.1 s); it is not copied to s3://two: down";

#[test]
fn a_backup_whose_copy_failed_is_not_made_twice_and_has_succeeded() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("made");
        run_now(&namespace, "now").await;
        let pod = eventually("a pod", async || namespace.pods().await.pop())
            .await
            .name_any();
        namespace.end_pod(&pod, 5, SENTENCE).await;
        let jobs = namespace.api::<Job>();
        eventually("the Job ends", async || {
            let job = jobs.get("now").await.expect("the Job");
            let conditions = job.status?.conditions?;
            conditions
                .iter()
                .find(|it| it.type_ == "Failed")
                .map(|_| ())
        })
        .await;
        assert_eq!(namespace.pods().await.len(), 1);
        let told = Told::by(Arc::new(engine.clone()));
        let seen = wait_for(&told, 1).await;
        let message = Some(SENTENCE.to_owned());
        assert_eq!(seen[0].state, State::Ended(Ending::Succeeded { message }));
    });
}

/// Its node may be gone before anybody has looked.
#[test]
fn a_backup_whose_copy_failed_has_succeeded_without_its_pod_too() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("made");
        for (job, code, word) in [("copied", 5, "succeeded"), ("wrong", 2, "failed")] {
            run_now(&namespace, job).await;
            let pod = namespace.pod_of(job).await.name_any();
            namespace.end_pod(&pod, code, "").await;
            let jobs = namespace.api::<Job>();
            eventually("the Job ends", async || {
                let job = jobs.get(job).await.expect("the Job");
                let conditions = job.status?.conditions?;
                conditions
                    .iter()
                    .find(|it| it.type_ == "Failed")
                    .map(|_| ())
            })
            .await;
            let pods = namespace.api::<Pod>();
            let now = DeleteParams::default().grace_period(0);
            pods.delete(&pod, &now).await.expect("deleted");
            eventually("the pod is gone", async || {
                pods.get_opt(&pod)
                    .await
                    .expect("an answer")
                    .is_none()
                    .then_some(())
            })
            .await;
            let told = Told::by(Arc::new(engine.clone()));
            eventually("it is told", async || {
                let seen = told.seen();
                let run = seen.iter().find(|it| it.name == job)?;
                assert_eq!(run.state.word(), word);
                is_counted_by(run, code);
                Some(())
            })
            .await;
        }
    });
}

/// Whoever watches the copies by this number sees it also where nobody has said why.
fn is_counted_by(run: &Run, code: i32) {
    let metrics = Metrics::new().expect("metrics");
    let ending = run.state.ending().expect("it has ended");
    metrics.count(run, ending);
    let text = metrics.text(|| unreachable!("it does not lead"));
    let text = text.expect("text");
    assert!(text.contains(&format!("exit_code=\"{code}\"")), "{text}");
}

#[test]
fn the_second_stores_keys_are_in_a_secret_and_in_no_pod() {
    Cluster::shared().within(async |namespace| {
        let mut settings: Settings = settings(&namespace);
        let copy = &mut settings.workers.settings.copy.store;
        copy.url = Some("s3://two/prefix".parse().expect("a store"));
        copy.access_key = Some("copy-key".into());
        copy.secret_key = Some("copy-secret".into());
        let engine = Kubernetes::new(limited_client(&namespace).await, settings);
        engine
            .put(&schedule(NAME, "it"), Whose::Its)
            .await
            .expect("made");
        let found: CronJob = namespace.api().get(NAME).await.expect("the CronJob");
        let text = serde_json::to_string(&found).expect("JSON");
        for secret in ["copy-key", "copy-secret"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("s3://two/prefix"), "{text}");
        let name = secret_of(&found);
        let secret: Secret = namespace.api().get(&name).await.expect("the Secret");
        let data = secret.data.expect("data");
        assert_eq!(data["COPY_S3_ACCESS_KEY"].0, b"copy-key");
        assert_eq!(data["COPY_S3_SECRET_KEY"].0, b"copy-secret");
        let template = found
            .spec
            .expect("a spec")
            .job_template
            .spec
            .expect("a Job");
        let pod = template.template.spec.expect("a pod");
        let vars = pod.containers[0].env.as_ref().expect("variables");
        let of = |name: &str| vars.iter().find(|it| it.name == name).expect("it is there");
        let from = of("COPY_S3_SECRET_KEY")
            .value_from
            .as_ref()
            .expect("from a Secret");
        assert_eq!(from.secret_key_ref.as_ref().expect("a Secret").name, name);
    });
}
