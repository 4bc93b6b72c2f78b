//! Schedules that the chart's values declare, with Secrets that the workers read and the scheduler does not.

use k8s_openapi::api::batch::v1::CronJob;
use kube::api::Api;
use serde_json::json;

use super::access::schedulers;
use super::site::Site;
use super::world::{RELEASE, SYSTEM, World, eventually, kubectl};

/// The Secrets of a site, as an administrator makes them.
fn make_secrets(site: &Site) {
    let (password, keys) = secrets_of(site);
    let create = ["-n", SYSTEM, "create", "secret", "generic"];
    let literal = |it: &str| format!("--from-literal={it}");
    kubectl(&[&create[..], &[&password, &literal("pass=e2e-password")]].concat());
    let id = literal("AWS_ACCESS_KEY_ID=e2e");
    let secret = literal("AWS_SECRET_ACCESS_KEY=e2e-secret");
    kubectl(&[&create[..], &[&keys, &id, &secret]].concat());
}

fn secrets_of(site: &Site) -> (String, String) {
    (
        format!("{}-database", site.name),
        format!("{}-store", site.name),
    )
}

/// The value that declares a site's schedule; the policy lets workers read what is named in it.
fn declare(site: &Site, cron: &str) {
    let request = site.request();
    let (password, keys) = secrets_of(site);
    let schedule = json!({
        "name": site.name,
        "database": {
            "host": request.db_uri,
            "port": request.db_port,
            "dbname": request.db_name,
            "user": request.db_user,
            "passwordSecret": {"name": password, "key": "pass"},
        },
        "store": {
            "endpoint": request.s3_endpoint,
            "bucket": request.s3_bucket_name,
            "keysSecret": {"name": keys},
        },
        "cron": cron,
        "timeZone": "Europe/Berlin",
        "maxBackupCount": 3,
        "labels": {"team": "e2e"},
    });
    upgrade(&format!("schedules:=[{schedule}]"));
}

fn upgrade(schedules: &str) {
    World::upgrade(&["admissionPolicy.enabled=true", schedules]);
}

/// Which Secrets, and which keys in them, a schedule's pods read.
fn read_by(cron_job: &CronJob) -> Vec<(String, String)> {
    let job = cron_job
        .spec
        .as_ref()
        .and_then(|it| it.job_template.spec.as_ref());
    let pod = job.and_then(|it| it.template.spec.as_ref()).unwrap();
    let variables = pod.containers[0].env.iter().flatten();
    let references = variables.filter_map(|it| it.value_from.as_ref()?.secret_key_ref.as_ref());
    let mut all: Vec<_> = references
        .map(|it| (it.name.clone(), it.key.clone()))
        .collect();
    all.sort();
    all
}

/// What a command in the scheduler's own pod says.
fn command(words: &str) -> String {
    World::shell(&format!(
        "kubectl -n {SYSTEM} exec deploy/{RELEASE} -- /scheduler {words}"
    ))
}

fn names_of_schedulers(world: &World) -> Vec<Option<String>> {
    let pods = schedulers(world).into_iter();
    let mut names: Vec<_> = pods.map(|it| it.metadata.name).collect();
    names.sort();
    names
}

#[test]
fn a_declared_schedule_runs_with_secrets_that_are_named_and_goes_with_its_declaration() {
    let site = Site::new("declared");
    let sum = site.fill(10);
    make_secrets(&site);
    declare(&site, "0 0 1 1 *");
    let cron_jobs: Api<CronJob> = site.world.api();
    let made = eventually("it is made", async || {
        let found = cron_jobs.get_opt(&site.name).await.ok()??;
        (found.spec.as_ref()?.suspend != Some(true)).then_some(found)
    });
    let spec = made.spec.clone().unwrap();
    assert_eq!(spec.time_zone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(made.metadata.labels.clone().unwrap()["team"], "e2e");
    let (password, keys) = secrets_of(&site);
    assert_eq!(
        read_by(&made),
        [
            (password, "pass".to_owned()),
            (keys.clone(), "AWS_ACCESS_KEY_ID".to_owned()),
            (keys, "AWS_SECRET_ACCESS_KEY".to_owned()),
        ]
    );
    site.succeeds(&site.run_now(&site.name));
    assert_eq!(site.backups().len(), 1, "{:?}", site.keys());
    // Their pods read the same Secrets, under the same policy.
    let listed = command(&format!("backups {}", site.name));
    assert!(listed.contains("verified"), "{listed}");
    site.sql("DROP TABLE items");
    let back = command(&format!("restore {} --in-place --wait", site.name));
    assert!(back.contains("succeeded: restore complete"), "{back}");
    assert_eq!(site.checksum(), sum);

    let before = names_of_schedulers(site.world);
    declare(&site, "0 0 2 1 *");
    eventually("it changes with its declaration", async || {
        let spec = cron_jobs.get(&site.name).await.ok()?.spec?;
        (spec.schedule == "0 0 2 1 *").then_some(())
    });
    assert_eq!(before, names_of_schedulers(site.world), "no pod is new");

    upgrade("schedules:=[]");
    // A kubelet shows the pod the new list within a minute or two, and what is missing in it goes two
    // minutes later.
    std::thread::sleep(std::time::Duration::from_secs(120));
    eventually("it goes with its declaration", async || {
        let found = cron_jobs.get_opt(&site.name).await.ok()?;
        found.is_none().then_some(())
    });
    assert_eq!(before, names_of_schedulers(site.world), "no pod is new");
    assert_eq!(site.backups().len(), 1, "{:?}", site.keys());
    World::upgrade(&[]);
}
