//! What goes wrong, and how its user sees that.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};

use super::site::Site;
use super::world::{SYSTEM, block_on, eventually, kubectl, try_run};

#[test]
fn a_wrong_password_and_a_missing_bucket_are_one_sentence_each_and_not_tried_again() {
    let site = Site::new("wrong");
    site.fill(10);
    let mut password = site.request();
    // As one that was changed after the schedule was made.
    password.skip_checks = true;
    password.db_pass = "not-it".to_owned();
    let mut bucket = site.request();
    bucket.skip_checks = true;
    bucket.s3_bucket_name = "no-such-bucket".to_owned();
    for (request, words) in [
        (
            password,
            &["password authentication failed", "DB_PASSWORD"][..],
        ),
        (bucket, &["no-such-bucket", "S3_BUCKET_NAME"]),
    ] {
        let name = site.schedule(&request).cronjob_name;
        let job = site.run_now(&name);
        assert!(!site.end_of(&job), "{job}");
        assert_eq!(site.pods_of(&job).len(), 1, "it would not help");
        let said = site.last_words(&job);
        assert_eq!(said.trim().lines().count(), 1, "{said}");
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
    let address = site.world.metrics.clone();
    // Of two schedulers one leads, and tells; the Service asks either.
    eventually("the metric", async || {
        let url = format!("http://{address}:8080/metrics");
        let (_, metrics, _) = try_run("curl", &["--silent", "--max-time", "10", &url]);
        let counted = |it: &str| {
            it.starts_with("postgres_adapter_runs_finished_total")
                && it.contains("exit_code=\"2\"")
                && it.contains("component=\"backup\"")
        };
        metrics.lines().any(counted).then_some(())
    });
}

#[test]
fn an_image_that_cannot_be_pulled_is_an_event_that_names_it() {
    let site = Site::new("image");
    let name = site.schedule(&site.request()).cronjob_name;
    let missing = "registry.local/no/such-image:1";
    let dry = kubectl(&[
        "-n",
        SYSTEM,
        "create",
        "job",
        "no-image",
        &format!("--from=cronjob/{name}"),
        "--dry-run=client",
        "-o",
        "json",
    ]);
    let mut job: Job = serde_json::from_str(&dry).unwrap();
    let spec = job.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    spec.containers[0].image = Some(missing.to_owned());
    job.metadata.name = Some(format!("no-image-{}", site.name));
    let jobs: Api<Job> = site.world.api();
    let made = block_on(jobs.create(&Default::default(), &job)).unwrap();
    let events: Api<Event> = site.world.api();
    let message = eventually("an event", async || {
        let all = events.list(&ListParams::default()).await.ok()?.items;
        let failed = all.into_iter().find(|it| {
            it.reason.as_deref() == Some("Failed")
                && it.message.as_deref().is_some_and(|it| it.contains(missing))
        });
        failed?.message
    });
    assert!(message.contains("pull"), "{message}");
    kubectl(&[
        "-n",
        SYSTEM,
        "delete",
        "job",
        &made.metadata.name.unwrap(),
        "--wait=false",
    ]);
}

#[test]
fn a_restore_that_fails_is_not_run_again_and_changes_nothing() {
    let site = Site::new("norepeat");
    let sum = site.fill(1_000);
    let name = site.schedule(&site.request()).cronjob_name;
    site.succeeds(&site.run_now(&name));
    let refused = site.restore("nothing/here.sql").expect_err("there is none");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert!(refused.message().contains("nothing/here.sql"), "{refused}");
    // What stands in the way: found out only within the transaction.
    site.sql("CREATE TABLE newer (item int REFERENCES items)");
    let job = site.restore("0").unwrap();
    assert!(!site.end_of(&job));
    let said = site.last_words(&job);
    assert!(said.contains("newer"), "{said}");
    assert_eq!(site.pods_of(&job).len(), 1);
    assert_eq!(site.checksum(), sum);
    let jobs: Api<Job> = site.world.api();
    let spec = block_on(jobs.get(&job)).unwrap().spec.unwrap();
    assert_eq!(spec.backoff_limit, Some(0));
}

#[test]
fn a_pod_that_violates_the_restricted_profile_is_refused_here() {
    let site = Site::new("profile");
    let (let_in, _, why) = try_run(
        "kubectl",
        &[
            "-n",
            SYSTEM,
            "run",
            "root",
            "--image=registry.local/e2e/postgres:1",
            "--privileged",
        ],
    );
    assert!(!let_in);
    assert!(why.contains("restricted"), "{why}");
    // And ours are let in, of both kinds.
    let sum = site.fill(10);
    let name = site.schedule(&site.request()).cronjob_name;
    let job = site.run_now(&name);
    site.succeeds(&job);
    let restore = site.restore("0").unwrap();
    site.succeeds(&restore);
    assert_eq!(site.checksum(), sum);
    for pod in site.pods_of(&job).iter().chain(&site.pods_of(&restore)) {
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        let volumes = spec.volumes.iter().flatten();
        assert_eq!(
            volumes.filter(|it| it.projected.is_some()).count(),
            0,
            "a token"
        );
        let plain = spec.containers[0].env.iter().flatten();
        assert!(
            plain
                .filter_map(|it| it.value.as_deref())
                .all(|it| !it.contains("e2e-password"))
        );
    }
}

#[test]
fn a_password_with_what_kubernetes_expands_arrives_as_it_is() {
    let site = Site::new("dollars");
    site.fill(10);
    let password = "a$$b$(DB_HOST)c'd\\e f";
    let role = site.name.replace('-', "_");
    site.sql(&format!(
        "CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{}'",
        password.replace('\'', "''")
    ));
    let mut request = site.request();
    request.db_user = role;
    request.db_pass = password.to_owned();
    let name = site.schedule(&request).cronjob_name;
    site.succeeds(&site.run_now(&name));
    let patch = serde_json::json!({"spec": {"suspend": true}});
    let cron_jobs: Api<k8s_openapi::api::batch::v1::CronJob> = site.world.api();
    block_on(cron_jobs.patch(&name, &PatchParams::default(), &Patch::Merge(patch))).unwrap();
    site.update(&name, site.request());
    assert_eq!(
        site.cron_job(&name).spec.unwrap().suspend,
        Some(true),
        "a person wanted that"
    );
}
