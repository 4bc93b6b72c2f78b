//! From the published adapter's release to this chart and back, as docs/moving.md has it.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;
use tonic::Code;

use super::readme::{blocks, page};
use super::site::Site;
use super::world::{World, block_on, eventually, image, kubectl, repository, run, try_run};

const NAMESPACE: &str = "e2e-moving";
const SCHEDULE: &str = "backup-0a1b2c3d-postgres";

fn helm(arguments: &[&str]) {
    run("helm", &[arguments, &["--namespace", NAMESPACE]].concat());
}

/// A release with the objects that the published chart makes, and a schedule as its scheduler makes
/// it: nothing says whose it is.
fn published(cron_jobs: &Api<CronJob>) {
    let _left = try_run("helm", &["uninstall", "published", "-n", NAMESPACE]);
    let gone = ["delete", "namespace", NAMESPACE, "--ignore-not-found"];
    kubectl(&gone);
    let chart = repository().join("tests/e2e/published");
    let stand_in = format!("--set=image={}", image("backuper"));
    let chart = chart.to_str().unwrap();
    helm(&[
        "install",
        "published",
        chart,
        "--create-namespace",
        &stand_in,
    ]);
    let cron_job = json!({
        "metadata": {"name": SCHEDULE},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "OnFailure",
            "containers": [{
                "name": "backup-job",
                "image": "published",
                "env": [{"name": "DB_NAME", "value": "shop"}],
            }],
        }}}}},
    });
    let cron_job = serde_json::from_value(cron_job).unwrap();
    block_on(cron_jobs.create(&PostParams::default(), &cron_job)).unwrap();
}

/// The page's command, for this release.
fn upgrade() {
    let commands = blocks(&page("docs/moving.md"));
    let command = commands.iter().find(|it| it.starts_with("helm upgrade"));
    let command = command.expect("the upgrade");
    let command = command.replace("RELEASE", "published");
    World::helm_as_written(&command.replace("oiler-backup-system", NAMESPACE));
}

fn image_of(cron_job: CronJob) -> Option<String> {
    let job = cron_job.spec?.job_template.spec?;
    job.template.spec?.containers.remove(0).image
}

#[test]
fn the_published_release_becomes_ours_and_goes_back() {
    let site = Site::new("moving");
    let client = || site.world.client.clone();
    let cron_jobs: Api<CronJob> = Api::namespaced(client(), NAMESPACE);
    let services: Api<Service> = Api::namespaced(client(), NAMESPACE);
    published(&cron_jobs);
    let service = || block_on(services.get("postgres-scheduler-service")).unwrap();
    let before = service().metadata.uid;
    upgrade();

    let after = service();
    assert_eq!(before, after.metadata.uid, "the core finds it where it was");
    let address = after.spec.unwrap().cluster_ip.unwrap();
    helm(&["test", "published", "--timeout=120s"]);
    let mut scheduler = World::scheduler_at(&address);
    let kept = block_on(cron_jobs.get(SCHEDULE)).unwrap();
    assert_eq!(image_of(kept).as_deref(), Some("published"));
    let refused = block_on(scheduler.update(site.update_of(SCHEDULE, NAMESPACE)));
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    let made = block_on(scheduler.backup(site.request())).unwrap();
    let made = made.into_inner();
    assert_eq!(made.cronjob_namespace, NAMESPACE);
    assert_ne!(made.cronjob_name, SCHEDULE);

    helm(&["rollback", "published"]);
    let deployments: Api<Deployment> = Api::namespaced(client(), NAMESPACE);
    eventually("the published scheduler is back, alone", async || {
        let all = deployments.list(&ListParams::default()).await.ok()?.items;
        let names: Vec<_> = all.into_iter().filter_map(|it| it.metadata.name).collect();
        (names == ["postgres-scheduler-deployment"]).then_some(())
    });
    assert_eq!(before, service().metadata.uid);
    kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]);
}
