//! What the scheduler's account may make, by the ValidatingAdmissionPolicy of the chart on a real API server.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use scheduler::engine::kubernetes::render::run_now;
use serde_json::{Value, json};

use super::{documents, read, render};
use crate::cluster::{Cluster, Namespace, eventually};

const ACCOUNT: &str = "adapter-postgres-adapter";
const VALUES: &[&str] = &[
    "admissionPolicy.enabled=true",
    "admissionPolicy.extraImages:=[\"registry.local/sidecar:1\"]",
    "images.backuper.repository=registry.local/backuper",
    "images.backuper.tag:=\"1\"",
    "images.restorer.repository=registry.local/restorer",
    "images.restorer.tag:=\"1\"",
    "secretReferences={team-a-*}",
    "schedules:=[{\"name\":\"shop\",\"cron\":\"@daily\",\"database\":{\"host\":\"db\",\"dbname\":\"b\",\"user\":\"u\",\"passwordSecret\":{\"name\":\"shop.db\"}},\"store\":{\"bucket\":\"b\"}}]",
    "workers.podTemplate.spec.volumes:=[{\"name\":\"ca\",\"secret\":{\"secretName\":\"given\"}}]",
];

/// Objects that the policy is about, or that let the account make any.
const KINDS: [&str; 4] = [
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// What the engine applies, with the workers' account.
fn golden<K: serde::de::DeserializeOwned>(name: &str, pod: &str) -> K {
    let text = read(&format!("tests/golden/{name}.snap"));
    let (_, yaml) = text[3..].split_once("\n---\n").unwrap();
    let mut object: Value = serde_yaml_ng::from_str(yaml).unwrap();
    if let Some(pod) = object.pointer_mut(pod) {
        pod["serviceAccountName"] = json!(format!("{ACCOUNT}-workers"));
    }
    serde_json::from_value(object).unwrap()
}

/// A restore's Job, suspended as it is made first.
fn restore(number: usize) -> Job {
    let job: Job = golden("restore_job", "/spec/template/spec");
    let name = job.metadata.name.clone().unwrap();
    let text = serde_json::to_string(&job).unwrap();
    let own = text.replace(&name, &format!("restore-{number:08x}-postgres"));
    serde_json::from_str(&own).unwrap()
}

/// Installs the policy, and gives a client of the scheduler's account once it holds.
async fn installed(namespace: &Namespace) -> Client {
    let rendered = render(&namespace.name, "1.34.0", VALUES)
        .expect_code(0)
        .stdout
        .clone();
    for document in documents(&rendered) {
        if !KINDS.contains(&document["kind"].as_str().unwrap()) {
            continue;
        }
        let object: DynamicObject = serde_yaml_ng::from_value(document).unwrap();
        let kind = GroupVersionKind::try_from(object.types.as_ref().unwrap()).unwrap();
        let (client, kind) = (namespace.cluster.client(), ApiResource::from_gvk(&kind));
        let objects: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &kind),
            None => Api::all_with(client, &kind),
        };
        objects
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }
    let user = format!("system:serviceaccount:{}:{ACCOUNT}", namespace.name);
    let client = namespace.cluster.client_as(&user);
    let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace.name);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut bad = restore(0);
    bad.metadata.name = Some("no-worker".to_owned());
    eventually("the policy holds", async || {
        jobs.create(&dry, &bad).await.is_err().then_some(())
    })
    .await;
    client
}

/// Where in a pod's spec, what stands there, and a word of the refusal.
fn other_pods() -> Vec<(&'static str, Value, &'static str)> {
    let volume = |it: Value| {
        let mut it = it;
        it["name"] = json!("worker-tmp");
        json!([it])
    };
    let projected = |it: Value| volume(json!({"projected": {"sources": [it]}}));
    let token = json!({"serviceAccountToken": {"path": "t"}});
    let secret = json!({"secret": {"name": "of-others"}});
    vec![
        (
            "volumes",
            volume(json!({"hostPath": {"path": "/"}})),
            "hostPath",
        ),
        ("hostNetwork", json!(true), "hostNetwork"),
        ("hostPID", json!(true), "hostPID"),
        ("serviceAccountName", json!("default"), "ServiceAccount"),
        ("automountServiceAccountToken", json!(true), "no token"),
        ("volumes", projected(token), "no token"),
        (
            "volumes",
            volume(json!({"secret": {"secretName": "of-others"}})),
            "their own Secret",
        ),
        ("volumes", projected(secret), "their own Secret"),
        (
            "initContainers",
            json!([{"name": "a", "image": "docker.io/miner:1"}]),
            "images of workers",
        ),
        (
            "securityContext",
            json!({"runAsUser": 0}),
            "restricted profile",
        ),
        (
            "securityContext/seccompProfile",
            json!({"type": "Unconfined"}),
            "restricted profile",
        ),
    ]
}

/// The same of the worker's container.
fn other_containers() -> Vec<(&'static str, Value, &'static str)> {
    let hook = json!({"postStart": {"exec": {"command": ["sh"]}}});
    let variable =
        json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "of-others", "key": "k"}}}]);
    let all = json!([{"secretRef": {"name": "of-others"}}]);
    let added = json!({"drop": ["ALL"], "add": ["NET_ADMIN"]});
    vec![
        ("image", json!("docker.io/miner:1"), "images of workers"),
        ("command", json!(["sh"]), "what their images run"),
        ("lifecycle", hook, "what their images run"),
        ("envFrom", all, "their own Secret"),
        ("env", variable, "their own Secret"),
        (
            "securityContext",
            json!({"privileged": true}),
            "not privileged",
        ),
        ("securityContext", json!({}), "restricted profile"),
        ("securityContext/capabilities", added, "not privileged"),
        ("securityContext/runAsUser", json!(0), "restricted profile"),
    ]
}

/// Jobs that are no worker's: where in them, what stands there, and a word of the refusal.
fn others() -> Vec<(String, Value, &'static str)> {
    let pod = "/spec/template/spec";
    let pods = other_pods().into_iter();
    let containers = other_containers().into_iter();
    let name = (
        "/metadata/name".to_owned(),
        json!("mine"),
        "none of a schedule",
    );
    pods.map(|(path, value, words)| (format!("{pod}/{path}"), value, words))
        .chain(
            containers
                .map(|(path, value, words)| (format!("{pod}/containers/0/{path}"), value, words)),
        )
        .chain([name])
        .collect()
}

/// Puts a value where it stands, or where nothing does.
fn with(job: &Job, path: &str, value: Value) -> Job {
    let mut object = serde_json::to_value(job).unwrap();
    let (parent, field) = path.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    serde_json::from_value(object).unwrap()
}

/// S04.
#[test]
fn the_schedulers_account_makes_workers_and_nothing_else() {
    Cluster::shared().within(async |namespace| {
        let client = installed(&namespace).await;
        let jobs: Api<Job> = Api::namespaced(client, &namespace.name);
        let create = PostParams::default();
        for (number, (path, value, words)) in others().into_iter().enumerate() {
            let job = with(&restore(number), &path, value.clone());
            let refused = jobs.create(&create, &job).await;
            let refused = refused.expect_err(&path).to_string();
            assert!(refused.contains(words), "{path} {value}: {refused}");
        }
        let sidecar = json!({"name": "sidecar", "image": "registry.local/sidecar:1", "securityContext":
            {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}});
        for (path, value) in [
            ("/spec/template/spec/containers/1", sidecar),
            ("/spec/template/spec/volumes/1", json!({"name": "ca", "secret": {"secretName": "given"}})),
        ] {
            let (list, _) = path.rsplit_once('/').unwrap();
            let job = restore(200);
            let mut object = serde_json::to_value(&job).unwrap();
            let list = object.pointer_mut(list).unwrap().as_array_mut().unwrap();
            list.push(value);
            let dry = PostParams {
                dry_run: true,
                ..PostParams::default()
            };
            let job = serde_json::from_value(object).unwrap();
            jobs.create(&dry, &job).await.expect(path);
        }
        // Others are none of its concern.
        let theirs = with(&restore(300), "/metadata/name", json!("somebody-elses"));
        namespace.api::<Job>().create(&create, &theirs).await.unwrap();
    });
}

#[test]
fn all_that_the_engine_renders_is_let_in_and_nothing_half_made_runs() {
    Cluster::shared().within(async |namespace| {
        let client = installed(&namespace).await;
        let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace.name);
        let cron_jobs: Api<CronJob> = Api::namespaced(client, &namespace.name);
        let create = PostParams::default();
        let (patch, merge) = (PatchParams::default(), |it: Value| Patch::Merge(it));
        let apply = PatchParams::apply("postgres-adapter").force();

        let gated: CronJob = golden("cron_job_being_made", "/none");
        let name = gated.metadata.name.clone().unwrap();
        cron_jobs
            .create(&create, &gated)
            .await
            .expect("bare and suspended");
        let run = merge(json!({"spec": {"suspend": false}}));
        let refused = cron_jobs.patch(&name, &patch, &run).await.unwrap_err();
        assert!(refused.to_string().contains("ServiceAccount"), "{refused}");
        let mut whole: CronJob = golden("cron_job", "/spec/jobTemplate/spec/template/spec");
        whole.spec.as_mut().unwrap().suspend = Some(false);
        cron_jobs
            .patch(&name, &apply, &Patch::Apply(&whole))
            .await
            .expect("whole");

        let made = cron_jobs.get(&name).await.unwrap();
        let now = run_now(&made, &format!("{name}-now-0a1b2c"));
        jobs.create(&create, &now).await.expect("run now");
        let variables = "/spec/template/spec/containers/0/env";
        let others = json!([{"name": "A", "valueFrom":
            {"secretKeyRef": {"name": "backup-ffffffff-postgres-0011", "key": "k"}}}]);
        let other = with(&now, variables, others);
        let other = with(
            &other,
            "/metadata/name",
            json!(format!("{name}-now-0a1b2d")),
        );
        let refused = jobs.create(&create, &other).await.unwrap_err();
        assert!(
            refused.to_string().contains("their own Secret"),
            "{refused}"
        );

        let list = with(&now, "/metadata/name", json!(format!("{name}-lst-0a1b2c")));
        jobs.create(&create, &list).await.expect("a list");
        // A schedule lends a restore what it has.
        let lent = json!([{"name": "S3_SECRET_KEY", "valueFrom": {"secretKeyRef":
            {"name": "backup-0a1b2c3d-postgres-0011223344556677", "key": "S3_SECRET_KEY"}}}]);
        let lent = with(&restore(2), variables, lent);
        jobs.create(&create, &lent)
            .await
            .expect("a restore of a schedule's");

        let restore = restore(1);
        let name = restore.metadata.name.clone().unwrap();
        jobs.create(&create, &restore).await.expect("suspended");
        jobs.patch(&name, &patch, &run).await.expect("let go");

        // Of an older version, or an administrator's: it is told of, and stays what it is.
        let old = with(
            &restore,
            "/spec/template/spec/containers/0/image",
            json!("registry.local/old:1"),
        );
        let old = with(&old, "/metadata/name", json!("restore-0b-postgres"));
        namespace.api::<Job>().create(&create, &old).await.unwrap();
        let noted = merge(json!({"metadata": {"annotations": {"a": "b"}}}));
        jobs.patch("restore-0b-postgres", &patch, &noted)
            .await
            .expect("noted");
    });
}

/// A worker's variables that read a key of a Secret.
fn reading(secret: &str) -> Value {
    json!([{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": secret, "key": "password"}}}])
}

#[test]
fn schedules_of_any_name_read_their_own_secret_and_those_that_may_be_named() {
    Cluster::shared().within(async |namespace| {
        let client = installed(&namespace).await;
        let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace.name);
        let cron_jobs: Api<CronJob> = Api::namespaced(client, &namespace.name);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let mut whole: CronJob = golden("cron_job", "/spec/jobTemplate/spec/template/spec");
        whole.metadata.name = Some("shop".to_owned());
        let run = |name: &str, secret: &str| {
            let job = with(&restore(0), "/metadata/name", json!(name));
            with(
                &job,
                "/spec/template/spec/containers/0/env",
                reading(secret),
            )
        };
        let own = "shop-0123456789abcdef";
        for (secret, is_let_in) in [
            (own, true),
            ("shop.db", true),
            ("team-a-shop", true),
            // A dot stands for itself, and a name for all of it.
            ("shopxdb", false),
            ("shop.db.old", false),
            ("of-team-a-shop", false),
            ("shop-token", false),
            ("other-0123456789abcdef", false),
        ] {
            let path = "/spec/jobTemplate/spec/template/spec/containers/0/env";
            let mut schedule = serde_json::to_value(&whole).unwrap();
            *schedule.pointer_mut(path).unwrap() = reading(secret);
            let schedule = serde_json::from_value(schedule).unwrap();
            let made = cron_jobs.create(&dry, &schedule).await;
            assert_eq!(made.is_ok(), is_let_in, "{secret}: {made:?}");
            for job in ["shop-now-0a1b2c", "shop-lst-0a1b2c"] {
                let made = jobs.create(&dry, &run(job, secret)).await;
                assert_eq!(made.is_ok(), is_let_in, "{job} {secret}: {made:?}");
            }
        }
        let restores = "restore-0000000a-postgres";
        jobs.create(&dry, &run(restores, own)).await.expect("lent");
        let question = "backup-0011223344556677-postgres-lst";
        jobs.create(&dry, &run(question, question))
            .await
            .expect("of what a caller gave");
        jobs.create(&dry, &run("shop", own))
            .await
            .expect_err("no run's name");
        // As a volume, a Secret has more than the key that is meant.
        let volume = json!([{"name": "worker-tmp", "secret": {"secretName": "shop.db"}}]);
        let mounted = with(&restore(1), "/spec/template/spec/volumes", volume);
        jobs.create(&dry, &mounted).await.expect_err("a volume");
    });
}
