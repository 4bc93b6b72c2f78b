//! What many Databases, DatabaseUsers and BackupSchedules cost the operator and what it asks: from its start to all
//! Ready, from another start when all is there, and with nothing to do. `make bench-operator`; the figures that it
//! prints stand in docs/performance.md.
//!
//! | variable | default | |
//! |---|---|---|
//! | `BENCH_OBJECTS` | 300 1500 | how many Databases, and as many DatabaseUsers; a fifth as many BackupSchedules |
//! | `BENCH_SERVERS` | 4 | PostgreSQL servers that they are on, by turns |
//! | `BENCH_IDLE` | 330 | seconds of nothing to do: each object is looked at again within them |

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "it speaks to a person, and stands on the testbed of the tests"
)]

#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../../tests/integration/cluster.rs"]
mod cluster;
#[expect(dead_code, reason = "the scheduler's bench uses all of it")]
#[path = "../scheduler/process.rs"]
mod process;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the tests use all of it, and the bench what it needs"
)]
#[path = "../../tests/integration/testbed.rs"]
mod testbed;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use scheduler::operator::crd;
use serde_json::{Value, json};

use cluster::{Cluster, Namespace, eventually};
use process::Process;
use testbed::env;
use testbed::postgres::Cluster as Server;

/// Made and let go at a time by the bench itself.
const AT_A_TIME: usize = 16;
/// How long another start may take for each user.
const PATIENCE: Duration = Duration::from_secs(2);
/// The servers' settings: many of them share one disk and one memory, so that none may have much of either.
const SETTINGS: &str = "max_connections = 50\nmax_wal_size = 128MB\nshared_buffers = 64MB\n";
/// What is made, and its phase when all is well.
const KINDS: [(&str, &str); 3] = [
    ("Database", "Ready"),
    ("DatabaseUser", "Ready"),
    ("BackupSchedule", "Active"),
];
/// BackupSchedules: one for so many Databases.
const SCHEDULED: usize = 5;
/// What the operator asks the API server for, and hardly anybody else.
const RESOURCES: [&str; 8] = [
    "dbclusters",
    "databases",
    "databaseusers",
    "backupschedules",
    "backups",
    "restores",
    "secrets",
    "events",
];

fn main() {
    println!(
        "| Databases | all Ready, s | API calls each | transactions each | transactions a second | operator's CPU, s | all looked at after another start, s | API calls each | transactions each | operator's CPU, s | memory, MiB | idle: API calls a minute | each | transactions a minute | each | operator's CPU a minute, s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for objects in setting("BENCH_OBJECTS", "300 1500").split_whitespace() {
        let objects = objects.parse().expect("a number");
        Cluster::shared().within(async |namespace| measure(&namespace, objects).await);
    }
}

fn setting(name: &str, default: &str) -> String {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text,
        _ => default.to_owned(),
    }
}

fn count(name: &str, default: &str) -> u32 {
    let text = setting(name, default);
    text.parse()
        .unwrap_or_else(|_| panic!("{name}={text} is not a number"))
}

async fn measure(namespace: &Namespace, objects: u32) {
    let servers: Vec<Server> = (0..count("BENCH_SERVERS", "4"))
        .map(|_| Server::with_settings(SETTINGS))
        .collect();
    define(namespace.cluster).await;
    let clusters = register(namespace, &servers).await;
    make_all(namespace, &clusters, objects).await;
    eprintln!("{objects} Databases with their users are made");
    let meter = Meter {
        namespace,
        servers: &servers,
    };
    let before = meter.read().await;
    let first = start(namespace);
    for (kind, phase) in KINDS {
        all_are(namespace, (kind, phase), wanted(kind, objects)).await;
    }
    let made = meter.read().await.since(&before);
    let making = (first.cpu(), first.memory().1);
    first.stop();
    eprintln!("all are ready after {:.0} s", made.seconds);

    let (before, had) = (meter.read().await, meter.sessions());
    let second = start(namespace);
    let again = meter.looked_at(&before, &had, objects).await;
    let looking = second.cpu();
    let now = meter.read().await;
    let idle = count("BENCH_IDLE", "330");
    tokio::time::sleep(Duration::from_secs(idle.into())).await;
    let nothing = meter.read().await.since(&now);
    let (waiting, memory) = (second.cpu() - looking, second.memory().1.max(making.1));
    second.stop();

    let each = |of: f64| of / f64::from(objects);
    let a_minute = |of: f64| of * 60.0 / f64::from(idle);
    println!(
        "| {objects} | {:.0} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} | {:.0} | {memory} | {:.0} | {:.2} | {:.0} | {:.2} | {:.1} |",
        made.seconds,
        each(made.calls),
        each(made.transactions),
        made.transactions / made.seconds,
        making.0,
        again.seconds,
        each(again.calls),
        each(again.transactions),
        looking,
        a_minute(nothing.calls),
        each(a_minute(nothing.calls)),
        a_minute(nothing.transactions),
        each(a_minute(nothing.transactions)),
        a_minute(waiting),
    );
    release(namespace, &clusters).await;
}

/// How many sessions each database of a server has had.
type Sessions = BTreeMap<String, u64>;

/// What was asked of the API server and the PostgreSQL servers, and when.
struct Meter<'a> {
    namespace: &'a Namespace,
    servers: &'a [Server],
}

/// A reading, or what lies between two of them.
struct Reading {
    at: Instant,
    seconds: f64,
    calls: f64,
    transactions: f64,
}

impl Reading {
    fn since(&self, before: &Self) -> Self {
        Self {
            at: self.at,
            seconds: (self.at - before.at).as_secs_f64(),
            calls: self.calls - before.calls,
            transactions: self.transactions - before.transactions,
        }
    }
}

impl Meter<'_> {
    async fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            seconds: 0.0,
            calls: self.calls().await,
            transactions: self.transactions(),
        }
    }

    /// Calls of the API server, by its own metrics, less the lists: those are the bench's own.
    async fn calls(&self) -> f64 {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let client = self.namespace.cluster.client();
        let text = client.request_text(request).await.unwrap();
        let all = text
            .lines()
            .filter(|it| it.starts_with("apiserver_request_total{"));
        let theirs = all.filter(|line| {
            let is = |name: &&str| line.contains(&format!("resource=\"{name}\""));
            RESOURCES.iter().any(is) && !line.contains("verb=\"LIST\"")
        });
        let counts = theirs.map(|it| it.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        counts.sum()
    }

    /// All transactions of all servers: a statement of ours is one, or several that travel together are.
    fn transactions(&self) -> f64 {
        let sql = "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database";
        let each = self.servers.iter().map(|it| it.sql("postgres", sql));
        each.map(|it| it.parse::<f64>().unwrap()).sum()
    }

    /// Those of each server.
    fn sessions(&self) -> Vec<Sessions> {
        let sql = "SELECT datname, sessions FROM pg_stat_database WHERE datname IS NOT NULL";
        let of = |line: &str| {
            let (name, count) = line.split_once('|').unwrap();
            (name.to_owned(), count.parse().unwrap())
        };
        let each = self.servers.iter();
        each.map(|it| it.sql("postgres", sql).lines().map(of).collect())
            .collect()
    }

    /// What was asked until each user's database has had another session: its role is looked at in there.
    async fn looked_at(&self, before: &Reading, had: &[Sessions], users: u32) -> Reading {
        let begun = Instant::now();
        loop {
            let asked = Instant::now();
            let has = self.sessions();
            let seen = had.iter().zip(&has).flat_map(|(had, has)| {
                has.iter()
                    .filter(|(name, count)| Some(*count) > had.get(*name) && *name != "postgres")
            });
            let seen = seen.count();
            if seen >= users as usize {
                return self.read().await.since(before);
            }
            eprintln!("{seen} of {users} were looked at again");
            assert!(begun.elapsed() < PATIENCE * users, "some are not looked at");
            rest(asked).await;
        }
    }
}

fn start(namespace: &Namespace) -> Process {
    let kubeconfig = namespace.cluster.kubeconfig();
    Process::start(env([
        ("KUBECONFIG", kubeconfig.to_str().unwrap()),
        ("SYSTEM_NAMESPACE", &namespace.name),
        ("BACKUPER_VERSION", "registry.local/backuper:1"),
        ("RESTORER_VERSION", "registry.local/restorer:1"),
        ("OPERATOR", "true"),
    ]))
}

async fn define(cluster: &Cluster) {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client());
    for definition in crd::definitions() {
        let params = PatchParams::apply("bench").force();
        let name = definition.name_any();
        api.patch(&name, &params, &Patch::Apply(&definition))
            .await
            .unwrap();
    }
}

fn api(namespace: &Namespace, kind: &str) -> (Api<DynamicObject>, ApiResource) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("dbtether.io", "v1alpha1", kind));
    let client = namespace.cluster.client();
    let api = match kind {
        "DBCluster" => Api::all_with(client, &resource),
        _ => Api::namespaced_with(client, &namespace.name, &resource),
    };
    (api, resource)
}

/// Makes an object, as soon as its kind is served.
async fn make(namespace: &Namespace, kind: &str, name: &str, spec: Value) {
    let (api, resource) = api(namespace, kind);
    let object = DynamicObject::new(name, &resource).data(json!({"spec": spec}));
    eventually(kind, async || {
        let made = api.create(&PostParams::default(), &object).await;
        made.ok().map(drop)
    })
    .await;
}

/// A DBCluster for each server.
async fn register(namespace: &Namespace, servers: &[Server]) -> Vec<String> {
    let mut names = Vec::new();
    for (index, server) in servers.iter().enumerate() {
        let secret: Secret = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("admin-{index}")},
            "stringData": {"username": "postgres", "password": server.password()},
        }))
        .unwrap();
        let secrets: Api<Secret> = namespace.api();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
        let name = format!("{}-{index}", namespace.name);
        let spec = json!({
            "endpoint": "127.0.0.1", "port": server.port(),
            "credentialsSecretRef": {"name": format!("admin-{index}"), "namespace": namespace.name},
        });
        make(namespace, "DBCluster", &name, spec).await;
        names.push(name);
    }
    names
}

fn wanted(kind: &str, objects: u32) -> usize {
    let objects = objects as usize;
    match kind {
        "BackupSchedule" => objects.div_ceil(SCHEDULED),
        _ => objects,
    }
}

async fn make_all(namespace: &Namespace, clusters: &[String], objects: u32) {
    let all = futures::stream::iter(0..objects as usize);
    let made = all.map(|index| async move {
        let cluster = &clusters[index % clusters.len()];
        let name = format!("{}-{index}", namespace.name);
        let spec = json!({"clusterRef": {"name": cluster}, "deletionPolicy": "Delete"});
        make(namespace, "Database", &name, spec).await;
        let spec = json!({"database": {"name": name}, "privileges": "readwrite"});
        make(namespace, "DatabaseUser", &name, spec).await;
        if index % SCHEDULED == 0 {
            let spec = json!({
                "databaseRef": {"name": name}, "storageRef": {"name": "none"}, "schedule": "0 0 1 1 *",
            });
            make(namespace, "BackupSchedule", &name, spec).await;
        }
    });
    made.buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
}

/// Waits until it may be looked again: the bench itself is to look for a tenth of the time at most.
async fn rest(since: Instant) {
    let rest = since.elapsed() * 9;
    tokio::time::sleep(rest.clamp(Duration::from_secs(1), Duration::from_secs(10))).await;
}

/// Waits until so many are in a phase.
async fn all_are(namespace: &Namespace, (kind, phase): (&str, &str), count: usize) {
    let (api, _) = api(namespace, kind);
    let mut told = Instant::now();
    loop {
        let asked = Instant::now();
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let ready = all.iter().filter(|it| it.data["status"]["phase"] == phase);
        let ready = ready.count();
        if ready >= count {
            return;
        }
        if told.elapsed() > Duration::from_secs(10) {
            eprintln!("{kind}: {ready} of {count}");
            told = Instant::now();
        }
        rest(asked).await;
    }
}

/// Lets all objects go without anybody who serves them; what they have in the servers goes with those.
async fn release(namespace: &Namespace, clusters: &[String]) {
    let (api_of_clusters, _) = api(namespace, "DBCluster");
    for name in clusters {
        let params = DeleteParams::default();
        drop(api_of_clusters.delete(name, &params).await.unwrap());
    }
    let patch = json!({"metadata": {"finalizers": null}});
    for (kind, _) in KINDS {
        let (api, _) = api(namespace, kind);
        let all = api.list(&ListParams::default()).await.unwrap().items;
        let let_go = futures::stream::iter(all).map(|it| {
            let (api, patch) = (&api, Patch::Merge(&patch));
            async move {
                let name = it.name_any();
                let params = PatchParams::default();
                drop(api.patch(&name, &params, &patch).await.unwrap());
                drop(api.delete(&name, &DeleteParams::default()).await.unwrap());
            }
        });
        let_go
            .buffer_unordered(AT_A_TIME)
            .collect::<Vec<()>>()
            .await;
    }
}
