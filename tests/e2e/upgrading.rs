//! From the chart as it was before (tests/integration/chart/before) to this one and back, with Helm's ways to
//! have the values of a release: its schedules go on.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;

use super::site::Site;
use super::world::{World, block_on, eventually, images, kubectl, repository, run, try_run};

const NAMESPACE: &str = "e2e-upgrading";
const RELEASE: &str = "upgrading";
const NAME: &str = "upgrading-postgres-adapter";

/// What the release's owner has set.
const VALUES: [&str; 3] = [
    "--set=logFormat=json",
    "--set=workers.backupJobs=1",
    "--set=podLabels.team=e2e",
];

fn helm(arguments: &[&str]) {
    let place = ["--namespace", NAMESPACE, "--wait", "--timeout=180s"];
    run("helm", &[arguments, &place].concat());
}

/// A command of Helm's with all that the release's owner says.
fn helm_with_values(arguments: &[&str]) {
    let images = images();
    let images: Vec<&str> = images.iter().map(String::as_str).collect();
    helm(&[arguments, &images, &VALUES].concat());
}

/// A release of the chart before, and a schedule of it.
struct Release {
    site: Site,
    cron_job: CronJob,
}

impl Release {
    fn of_the_chart_before() -> Self {
        let site = Site::new("upgrading");
        site.fill(10);
        let _left = try_run("helm", &["uninstall", RELEASE, "-n", NAMESPACE]);
        kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found"]);
        let before = repository().join("tests/integration/chart/before/postgres-adapter.tgz");
        let before = before.to_str().unwrap();
        helm_with_values(&["install", RELEASE, before, "--create-namespace"]);
        let services: Api<Service> = Api::namespaced(site.world.client.clone(), NAMESPACE);
        let address = block_on(services.get(NAME)).unwrap();
        let address = address.spec.unwrap().cluster_ip.unwrap();
        // A Service follows its pods with some delay.
        let made = eventually("the scheduler answers", async || {
            let mut scheduler = World::scheduler_at(&address);
            scheduler.backup(site.request()).await.ok()
        });
        let name = made.into_inner().cronjob_name;
        let cron_jobs: Api<CronJob> = Api::namespaced(site.world.client.clone(), NAMESPACE);
        let cron_job = block_on(cron_jobs.get(&name)).unwrap();
        Self { site, cron_job }
    }

    /// The schedule is the one that it was, and backs up; the scheduler answers, with what its owner has set.
    fn goes_on(&self, after: &str) {
        let client = || self.site.world.client.clone();
        let cron_jobs: Api<CronJob> = Api::namespaced(client(), NAMESPACE);
        let name = self.cron_job.metadata.name.as_ref().unwrap();
        let now = block_on(cron_jobs.get(name)).unwrap();
        assert_eq!(now.metadata.uid, self.cron_job.metadata.uid, "{after}");
        let spec = now.spec.unwrap();
        assert_eq!(spec.suspend, Some(false), "{after}");
        let before = self.site.backups().len();
        let job = format!("now-{before}");
        let from = format!("--from=cronjob/{name}");
        kubectl(&["-n", NAMESPACE, "create", "job", &job, &from]);
        let done = "--for=condition=complete";
        let job = format!("job/{job}");
        kubectl(&["-n", NAMESPACE, "wait", done, "--timeout=180s", &job]);
        assert_eq!(self.site.backups().len(), before + 1, "{after}");

        let deployments: Api<Deployment> = Api::namespaced(client(), NAMESPACE);
        let template = block_on(deployments.get(NAME))
            .unwrap()
            .spec
            .unwrap()
            .template;
        let labels = template.metadata.unwrap().labels.unwrap();
        assert_eq!(labels["team"], "e2e", "{after}");
        let env = template.spec.unwrap().containers[0].env.clone().unwrap();
        for (variable, value) in [("LOG_FORMAT", "json"), ("BACKUP_JOBS", "1")] {
            let found = env.iter().find(|it| it.name == variable);
            let found = found.and_then(|it| it.value.as_deref());
            assert_eq!(found, Some(value), "{after}: {variable}");
        }
        run(
            "helm",
            &["test", RELEASE, "-n", NAMESPACE, "--timeout=120s"],
        );
    }
}

#[test]
fn a_release_of_the_chart_before_becomes_one_of_this_one_and_goes_back() {
    let release = Release::of_the_chart_before();
    release.goes_on("as it was");
    let chart = repository().join("charts/postgres-adapter");
    let chart = chart.to_str().unwrap();
    let upgrade = ["upgrade", RELEASE, chart];
    helm(&[&upgrade[..], &["--reuse-values"]].concat());
    release.goes_on("with the old chart's defaults");
    helm(&["rollback", RELEASE, "1"]);
    release.goes_on("as it was again");
    helm(&[&upgrade[..], &["--reset-then-reuse-values"]].concat());
    release.goes_on("with this chart's defaults");
    helm_with_values(&upgrade);
    release.goes_on("with values that are said again");
    kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]);
}
