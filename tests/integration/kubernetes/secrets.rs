//! Secrets belong to renderings: no Job ever reads what is meant for another server, and none stays
//! longer than somebody reads it.

use std::time::Duration;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use scheduler::domain::schedule::Schedule;
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Engine as _, Whose};

use super::runs::run_now;
use super::{
    engine, limited_client, nothing_runs_without_its_secret, restore, schedule, secret_in,
    secret_of, settings,
};
use crate::cluster::{Cluster, Namespace, eventually};
use crate::told::Told;

const NAME: &str = "backup-0a1b2c3d-postgres";

/// One that waits for no controller's cache.
async fn impatient(namespace: &Namespace) -> Kubernetes {
    let settings = Settings {
        abandoned_after: Duration::ZERO,
        ..settings(namespace)
    };
    Kubernetes::new(limited_client(namespace).await, settings)
}

fn elsewhere(password: &str) -> Schedule {
    let mut schedule = schedule(NAME, password);
    schedule.plan.source.host = "other.example".to_owned();
    schedule
}

async fn current(namespace: &Namespace) -> String {
    let found: CronJob = namespace.api().get(NAME).await.expect("the CronJob");
    secret_of(&found)
}

async fn password_in(namespace: &Namespace, secret: &str) -> Option<String> {
    let api = namespace.api::<Secret>();
    let found = api.get_opt(secret).await.expect("an answer")?;
    let data = found.data.expect("data")["DB_PASSWORD"].0.clone();
    Some(String::from_utf8(data).expect("text"))
}

#[test]
fn s22_the_job_of_before_an_update_reads_the_password_of_its_own_server() {
    Cluster::shared().within(async |namespace| {
        let engine = impatient(&namespace).await;
        engine
            .put(&schedule(NAME, "old"), Whose::Its)
            .await
            .expect("made");
        run_now(&namespace, "now").await;
        let updated = engine.put(&elsewhere("new"), Whose::Anybodys).await;
        updated.expect("changed");
        let job: Job = namespace.api().get("now").await.expect("the Job");
        let old = secret_in(job.spec.and_then(|it| it.template.spec).as_ref());
        let old = old.expect("a Secret");
        for _ in 0..2 {
            let password = password_in(&namespace, &old).await;
            assert_eq!(password.as_deref(), Some("old"), "its retries read it");
            let new = password_in(&namespace, &current(&namespace).await).await;
            assert_eq!(new.as_deref(), Some("new"));
            engine.tidy().await.expect("tidied");
        }
        let pod = namespace.pod_of("now").await.name_any();
        namespace.end_pod(&pod, 0, "").await;
        eventually("the old Secret goes when the Job has ended", async || {
            let tidied = engine.tidy().await.expect("tidied");
            (tidied.removed == 1).then_some(())
        })
        .await;
        assert_eq!(password_in(&namespace, &old).await, None);
        nothing_runs_without_its_secret(&namespace).await;
        let again = engine.tidy().await.expect("tidied");
        assert_eq!((again.unchanged, again.removed, again.updated), (1, 0, 0));
    });
}

#[test]
fn s22_a_secret_of_before_stays_while_a_cache_may_still_make_a_job_of_it() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "old"), Whose::Its)
            .await
            .expect("made");
        let updated = engine.put(&elsewhere("new"), Whose::Anybodys).await;
        updated.expect("changed");
        engine.tidy().await.expect("tidied");
        assert_eq!(namespace.secrets().await.len(), 2);
    });
}

#[test]
fn s22_a_new_password_for_the_same_server_is_for_running_jobs_as_well() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        engine
            .put(&schedule(NAME, "old"), Whose::Its)
            .await
            .expect("made");
        let before = current(&namespace).await;
        let updated = engine.put(&schedule(NAME, "new"), Whose::Anybodys).await;
        updated.expect("changed");
        assert_eq!(current(&namespace).await, before);
        let password = password_in(&namespace, &before).await;
        assert_eq!(password.as_deref(), Some("new"));
        assert_eq!(namespace.secrets().await.len(), 1);
    });
}

#[test]
fn s22_updates_at_the_same_time_leave_no_secret_behind() {
    Cluster::shared().within(async |namespace| {
        let engine = impatient(&namespace).await;
        engine
            .put(&schedule(NAME, "old"), Whose::Its)
            .await
            .expect("made");
        let calls = (0..4).map(|number| {
            let engine = engine.clone();
            let mut wanted = schedule(NAME, "new");
            wanted.plan.source.host = format!("db{number}.example").to_owned();
            tokio::spawn(async move { engine.put(&wanted, Whose::Anybodys).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.expect("no panic").expect("changed");
        }
        nothing_runs_without_its_secret(&namespace).await;
        engine.tidy().await.expect("tidied");
        assert_eq!(namespace.secrets().await.len(), 1);
        nothing_runs_without_its_secret(&namespace).await;
    });
}

/// As the version before made it: its Secret has its own name, and no annotation says so.
async fn made_by_the_version_before(namespace: &Namespace) {
    let whole = engine(namespace).await;
    whole
        .put(&schedule(NAME, "old"), Whose::Its)
        .await
        .expect("made");
    let crons = namespace.api::<CronJob>();
    let found = crons.get(NAME).await.expect("the CronJob");
    let now = secret_of(&found);
    let secrets = namespace.api::<Secret>();
    let mut secret = secrets.get(&now).await.expect("the Secret");
    secret.metadata = kube::api::ObjectMeta {
        name: Some(NAME.to_owned()),
        owner_references: secret.metadata.owner_references,
        ..Default::default()
    };
    secrets
        .create(&Default::default(), &secret)
        .await
        .expect("new");
    let params = kube::api::DeleteParams::default();
    secrets.delete(&now, &params).await.expect("gone");
    let text = &found.annotations()["postgres-adapter/parameters"];
    let mut parameters: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let named = parameters
        .as_object_mut()
        .expect("an object")
        .remove("secret");
    assert_eq!(named, Some(now.clone().into()));
    let mut spec = serde_json::to_value(&found.spec).expect("JSON").to_string();
    spec = spec.replace(&now, NAME);
    let spec: serde_json::Value = serde_json::from_str(&spec).expect("JSON");
    let patch = serde_json::json!({
        "metadata": {"annotations": {
            "postgres-adapter/parameters": parameters.to_string(), "postgres-adapter/rendered": "before",
            "postgres-adapter.io/spec": null, "postgres-adapter.io/rendered": null,
            "postgres-adapter.io/version": null}},
        "spec": spec,
    });
    crons
        .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .expect("patched");
}

#[test]
fn s22_a_schedule_of_the_version_before_keeps_its_secret_until_it_is_written_anew() {
    Cluster::shared().within(async |namespace| {
        made_by_the_version_before(&namespace).await;
        let engine = impatient(&namespace).await;
        assert_eq!(engine.tidy().await.expect("tidied").updated, 1);
        assert_eq!(
            current(&namespace).await,
            NAME,
            "nobody else has its content"
        );
        nothing_runs_without_its_secret(&namespace).await;
        engine
            .put(&schedule(NAME, "old"), Whose::Its)
            .await
            .expect("kept");
        assert_ne!(current(&namespace).await, NAME);
        engine.tidy().await.expect("tidied");
        assert_eq!(password_in(&namespace, NAME).await, None);
        nothing_runs_without_its_secret(&namespace).await;
    });
}

/// What is secret of the administrator's settings is in no request, and pods must find it.
#[test]
fn a_setting_that_is_made_or_changed_reaches_the_secrets_that_exist() {
    Cluster::shared().within(async |namespace| {
        let with = async |url: Option<&str>| {
            let mut settings = settings(&namespace);
            settings.workers.settings.pushgateway_url = url.map(|it| it.parse().expect("a URL"));
            Kubernetes::new(limited_client(&namespace).await, settings)
        };
        let wanted = schedule(NAME, "hunter2");
        let engine = with(None).await;
        engine.put(&wanted, Whose::Its).await.expect("made");
        for url in [
            "http://user:first@gateway:9091",
            "http://user:second@gateway:9091",
        ] {
            let engine = with(Some(url)).await;
            assert_eq!(engine.tidy().await.expect("tidied").updated, 1);
            let secret = current(&namespace).await;
            let found: Secret = namespace.api().get(&secret).await.expect("the Secret");
            let data = found.data.expect("data");
            let text = |name: &str| String::from_utf8(data[name].0.clone()).expect("text");
            assert_eq!(text("PUSHGATEWAY_URL"), url);
            assert_eq!(text("DB_PASSWORD"), "hunter2", "the request's own stays");
            let cron_job = format!("{:?}", namespace.cron_jobs().await);
            assert!(!cron_job.contains("gateway:9091"), "{cron_job}");
            nothing_runs_without_its_secret(&namespace).await;
            assert_eq!(engine.tidy().await.expect("tidied").unchanged, 1);
            let put = engine.put(&wanted, Whose::Its).await.expect("put");
            assert_eq!(put, scheduler::engine::Put::Unchanged);
        }
    });
}

#[test]
fn s22_the_secret_of_a_restore_goes_when_it_has_ended() {
    Cluster::shared().within(async |namespace| {
        let engine = engine(&namespace).await;
        // This one ends while nobody watches.
        let early = engine.start(&restore("aaaa1111", "0")).await;
        let early = early.expect("started").name;
        let pod = namespace.pod_of(&early).await.name_any();
        namespace.end_pod(&pod, 0, "").await;
        let running = engine.start(&restore("bbbb2222", "0")).await;
        let running = running.expect("started").name;
        let _told = Told::by(std::sync::Arc::new(engine.clone()));
        eventually("the first Secret goes", async || {
            password_in(&namespace, &early)
                .await
                .is_none()
                .then_some(())
        })
        .await;
        assert!(password_in(&namespace, &running).await.is_some());
        let pod = namespace.pod_of(&running).await.name_any();
        namespace.end_pod(&pod, 1, "it failed").await;
        eventually("the second Secret goes", async || {
            password_in(&namespace, &running)
                .await
                .is_none()
                .then_some(())
        })
        .await;
    });
}
