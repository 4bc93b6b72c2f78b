//! What goes well: schedules, runs, restores, and what goes with an owner.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;

use super::site::Site;
use super::world::{RELEASE, SYSTEM, World, block_on, eventually, repository, run};

#[test]
fn helm_says_that_it_answers() {
    World::get();
    run(
        "helm",
        &["test", RELEASE, "--namespace", SYSTEM, "--timeout=120s"],
    );
}

#[test]
fn a_backup_comes_back_into_an_emptied_database_and_into_a_full_one() {
    let site = Site::new("whole");
    let sum = site.fill(20_000);
    let answer = site.schedule(&site.request());
    assert_eq!(answer.cronjob_namespace, SYSTEM);
    site.succeeds(&site.run_now(&answer.cronjob_name));
    assert_eq!(site.backups().len(), 1, "{:?}", site.keys());
    site.sql("DROP TABLE items");
    let job = site.restore("0").unwrap();
    site.succeeds(&job);
    assert_eq!(site.checksum(), sum);
    site.sql("DELETE FROM items WHERE id % 2 = 0; CREATE TABLE newer (n int)");
    let job = site.restore("latest").unwrap();
    site.succeeds(&job);
    assert_eq!(site.checksum(), sum);
    assert_eq!(site.one("SELECT count(*) FROM newer"), "0", "it stays");
    let words = site.last_words(&job);
    assert!(words.contains("restore complete"), "{words}");
}

#[test]
fn a_schedule_fires_by_itself_and_an_update_of_all_of_it_takes_effect() {
    let site = Site::new("fires");
    site.fill(10);
    let mut request = site.request();
    request.schedule = "* * * * *".to_owned();
    let name = site.schedule(&request).cronjob_name;
    eventually("the schedule fires", async || {
        let cron_jobs: Api<CronJob> = site.world.api();
        let status = cron_jobs.get(&name).await.ok()?.status?;
        status.last_successful_time
    });
    request.schedule = "0 0 1 1 *".to_owned();
    request.max_backup_count = 1;
    site.update(&name, request);
    let spec = site.cron_job(&name).spec.unwrap();
    assert_eq!(spec.schedule, "0 0 1 1 *");
    site.succeeds(&site.run_now(&name));
    site.succeeds(&site.run_now(&name));
    assert_eq!(site.backups().len(), 1, "{:?}", site.keys());
}

#[test]
fn what_was_made_for_a_request_goes_with_it() {
    let site = Site::new("owner");
    site.fill(10);
    let name = site.schedule(&site.request()).cronjob_name;
    site.succeeds(&site.run_now(&name));
    let example = repository().join("deploy/examples/backup-request.yaml");
    let example = std::fs::read_to_string(example).unwrap();
    let mut owner: DynamicObject = serde_yaml_ng::from_str(&example).unwrap();
    owner.metadata.name = Some(format!("e2e-{}", site.name));
    let kind = GroupVersionKind::try_from(owner.types.as_ref().unwrap()).unwrap();
    let kind = ApiResource::from_gvk(&kind);
    let owners: Api<DynamicObject> = Api::all_with(site.world.client.clone(), &kind);
    let owner = block_on(owners.create(&PostParams::default(), &owner)).unwrap();
    let cron_jobs: Api<CronJob> = site.world.api();
    let mut cron_job = site.cron_job(&name);
    let references = cron_job.metadata.owner_references.get_or_insert_default();
    references.push(OwnerReference {
        api_version: kind.api_version.clone(),
        kind: kind.kind.clone(),
        name: owner.metadata.name.clone().unwrap(),
        uid: owner.metadata.uid.clone().unwrap(),
        block_owner_deletion: Some(true),
        ..OwnerReference::default()
    });
    block_on(cron_jobs.replace(&name, &PostParams::default(), &cron_job)).unwrap();
    // The core updates each request when it starts; that must not take the owner away.
    site.update(&name, site.request());
    let owned = site.cron_job(&name).metadata.owner_references.unwrap();
    assert_eq!(owned.len(), 1);
    let owner_name = owner.metadata.name.unwrap();
    block_on(owners.delete(&owner_name, &DeleteParams::default())).unwrap();
    let (secrets, jobs): (Api<Secret>, Api<Job>) = (site.world.api(), site.world.api());
    eventually("everything is gone", async || {
        let cron_job = cron_jobs.get_opt(&name).await.ok()?;
        let secret = secrets.get_opt(&name).await.ok()?;
        let labelled = format!("postgres-adapter.io/schedule={name}");
        let labelled = ListParams::default().labels(&labelled);
        let jobs = jobs.list(&labelled).await.ok()?.items;
        (cron_job.is_none() && secret.is_none() && jobs.is_empty()).then_some(())
    });
}

#[test]
fn a_core_takes_the_examples_with_its_own_fields() {
    World::get();
    for example in [
        "backup-request.yaml",
        "backup-restore.yaml",
        "before-may-2025/backup-request.yaml",
        "before-may-2025/backup-restore.yaml",
    ] {
        let path = repository().join("deploy/examples").join(example);
        let path = path.to_str().unwrap();
        let strict = "--validate=strict";
        super::world::kubectl(&["create", "--dry-run=server", strict, "-f", path]);
    }
}

#[test]
fn fifty_identical_calls_to_two_schedulers_make_one_schedule() {
    let site = Site::new("fifty");
    let pods = super::access::scheduler_addresses(site.world);
    assert_eq!(pods.len(), 2, "{pods:?}");
    let clients = [World::scheduler_at(&pods[0]), World::scheduler_at(&pods[1])];
    let names = block_on(async {
        let calls = (0..50).map(|number: usize| {
            let (mut client, request) = (clients[number % 2].clone(), site.request());
            tokio::spawn(async move { client.backup(request).await })
        });
        let mut names = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            let answer = call.await.unwrap().expect("each is answered");
            names.push(answer.into_inner().cronjob_name);
        }
        names
    });
    assert!(names.iter().all(|it| *it == names[0]), "{names:?}");
    let cron_jobs: Api<CronJob> = site.world.api();
    let all = block_on(cron_jobs.list(&ListParams::default())).unwrap();
    let ours = all.items.iter().filter(|it| {
        let parameters = it.metadata.annotations.iter().flatten();
        parameters
            .into_iter()
            .any(|(_, text)| text.contains(&site.name))
    });
    assert_eq!(ours.count(), 1);
    site.fill(10);
    site.succeeds(&site.run_now(&names[0]));
}
