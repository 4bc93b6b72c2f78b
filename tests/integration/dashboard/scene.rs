//! A scheduler of one machine to which everything has happened that the dashboard shows.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::{BackupRequest, BackupRestore, v1};
use scheduler::domain::verified::Verified;
use scheduler::metrics::objects::Objects;
use scheduler::metrics::{Metrics, Shown};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint};

use super::JOBS;
use super::prometheus::Prometheus;
use crate::cluster::eventually;
use crate::operations;
use crate::testbed::postgres::{Database, free_port, shared as server};
use crate::testbed::programs::{Running, scheduler};
use crate::testbed::{block_on, env, folder, wait_for};

/// The scheduler, the Prometheus that scrapes it, and the databases (`host:port/dbname`).
pub(super) struct Scene {
    pub(super) prometheus: Prometheus,
    pub(super) good: String,
    pub(super) failing: String,
    pub(super) overdue: String,
    pub(super) suspended: String,
    pub(super) running: String,
    admin_port: u16,
    _scheduler: Running,
    _lock: Running,
}

/// The scene that the tests share. The programs of it die with the thread that started them, which so is
/// no test's.
pub(super) fn shared() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let (sender, played) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            sender.send(Scene::play()).unwrap();
            loop {
                std::thread::park();
            }
        });
        played.recv().expect("the scene is played")
    })
}

const FOUR_DAYS: i64 = 4 * 24 * 3600;

impl Scene {
    fn play() -> Self {
        let [good, failing, overdue, suspended, running] =
            ["orders", "billing", "ledger", "archive", "reports"].map(|it| server().database(it));
        for database in [&good, &running] {
            database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) n");
        }
        let (data, store) = (folder("data"), folder("store"));
        // It was made four days ago, and none of its runs has come.
        let (first, port, _) = start(&data);
        let old = block_on(made(port, request(&overdue, &store)));
        first.signal(Signal::SIGTERM);
        first.wait_within(Duration::from_secs(10)).expect_code(0);
        let file = rusqlite::Connection::open(data.join("scheduler.sqlite")).unwrap();
        let aged = "UPDATE schedules SET created = created - ?1 WHERE name = ?2";
        assert_eq!(file.execute(aged, (FOUR_DAYS, old)).unwrap(), 1);
        drop(file);
        let (scheduler, port, admin_port) = start(&data);
        let scraped = block_on(beside_an_operator(admin_port));
        let prometheus = Prometheus::start(scraped, &JOBS);
        // It begins some seconds after its start, and rates are of what changes from then on.
        wait_for("the first scrape", || {
            (prometheus.query("up == 1").len() == JOBS.len()).then_some(())
        });
        block_on(play(port, &store, [&good, &failing, &suspended]));
        let lock = lock(&running);
        block_on(async {
            let name = made(port, request(&running, &store)).await;
            run(port, &name).await;
        });
        // The last that happens; what was before has been scraped with it.
        wait_for("Prometheus has seen it", || {
            let found = prometheus.query(r#"postgres_adapter_runs{state="running"} == 1"#);
            (found.len() == JOBS.len()).then_some(())
        });
        // A rate is of what changes between two scrapes.
        wait_for("calls between two scrapes", || {
            block_on(async {
                let all = v1::ListSchedulesRequest::default();
                let mut operations = operations::client(port).await;
                operations.list_schedules(all).await.unwrap();
            });
            let rates =
                "sum by (job) (rate(postgres_adapter_call_duration_seconds_count[10m])) > 0";
            (prometheus.query(rates).len() == JOBS.len()).then_some(())
        });
        Self {
            prometheus,
            good: place(&good),
            failing: place(&failing),
            overdue: place(&overdue),
            suspended: place(&suspended),
            running: place(&running),
            admin_port,
            _scheduler: scheduler,
            _lock: lock,
        }
    }

    /// What the scheduler serves to a scrape.
    pub(super) fn metrics(&self) -> String {
        block_on(metrics(self.admin_port))
    }
}

async fn metrics(admin_port: u16) -> String {
    let url = format!("http://127.0.0.1:{admin_port}/metrics");
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    text + &of_an_operator()
}

/// What a scheduler's operator adds, which works on Kubernetes alone.
fn of_an_operator() -> String {
    let count = |kind: &str, phase: &str, count| ((kind.to_owned(), phase.to_owned()), count);
    let objects = Objects {
        counts: [
            count("Database", "Ready", 3),
            count("Database", "Failed", 2),
        ]
        .into(),
        servers: [("orders".to_owned(), true), ("billing".to_owned(), false)].into(),
        failures: [("Database".to_owned(), 1)].into(),
        schedules: Vec::new(),
    };
    let metrics = Metrics::new().unwrap();
    metrics.leads(true);
    metrics.operates(true).unwrap();
    let shown = || Shown {
        schedules: Vec::new(),
        runs: Vec::new(),
        under_way: Vec::new(),
        objects: Some(objects),
        verifications: vec![Verified {
            schedule: "shop/nightly".to_owned(),
            database: "orders:5432/orders".to_owned(),
            since: Timestamp::now(),
            last: Some(Timestamp::now()),
            passed: Some(true),
            interval: Some(SignedDuration::from_hours(24)),
        }],
    };
    let text = metrics.text(shown).unwrap();
    let lines = text.lines();
    let own =
        lines.filter(|it| it.contains("postgres_adapter_operator_") || it.contains("_verifi"));
    own.map(|it| format!("{it}\n")).collect()
}

/// A port that serves the scheduler's metrics, and those of an operator.
async fn beside_an_operator(admin_port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = get(move || metrics(admin_port));
    let router = axum::Router::new().route("/metrics", served);
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// A scheduler, its port and that of its metrics.
fn start(data: &Path) -> (Running, u16, u16) {
    let (port, admin_port) = (free_port(), free_port());
    let own = env([
        ("ENGINE", "local"),
        ("DATA_DIR", data.to_str().unwrap()),
        ("FILE_ROOT", "/tmp"),
        ("PORT", &port.to_string()),
        ("ADMIN_PORT", &admin_port.to_string()),
        ("CHECK_REQUESTS", "false"),
        ("LOCAL_MAX_WORKERS", "1"),
    ]);
    let mut running = scheduler(&own).start();
    running.wait_until_it_prints("serving");
    (running, port, admin_port)
}

/// Keeps backups of a database waiting.
fn lock(database: &Database<'_>) -> Running {
    let cluster = database.cluster();
    let sql = "BEGIN; LOCK TABLE t; SELECT pg_sleep(600)";
    let tool = cluster.tool("psql", database.name());
    let lock = tool.args(["-X", "-c", sql]).start();
    let held = "SELECT 1 FROM pg_locks WHERE relation = 't'::regclass AND granted";
    wait_for("the lock", || (database.sql(held) == "1").then_some(()));
    lock
}

fn value(database: &Database<'_>, name: &str) -> String {
    let found = database.env().into_iter().find(|(it, _)| it == name);
    found.unwrap().1
}

fn place(database: &Database<'_>) -> String {
    let value = |name| value(database, name);
    format!(
        "{}:{}/{}",
        value("DB_HOST"),
        value("DB_PORT"),
        value("DB_NAME")
    )
}

fn request(database: &Database<'_>, store: &Path) -> BackupRequest {
    let value = |name| value(database, name);
    BackupRequest {
        db_uri: value("DB_HOST"),
        db_port: value("DB_PORT").parse().unwrap(),
        db_user: value("DB_USER"),
        db_pass: value("DB_PASSWORD"),
        db_name: value("DB_NAME"),
        schedule: "@daily".to_owned(),
        s3_endpoint: format!("file://{}", store.display()),
        ..BackupRequest::default()
    }
}

fn restore(database: &Database<'_>, store: &Path) -> BackupRestore {
    let request = request(database, store);
    BackupRestore {
        db_uri: request.db_uri,
        db_port: request.db_port,
        db_user: request.db_user,
        db_pass: request.db_pass,
        db_name: request.db_name,
        s3_endpoint: request.s3_endpoint,
        backup_revision: "0".to_owned(),
        ..BackupRestore::default()
    }
}

async fn client(port: u16) -> BackupServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    BackupServiceClient::new(endpoint.connect().await.unwrap())
}

/// Makes a schedule, and waits until it is seen.
async fn made(port: u16, request: BackupRequest) -> String {
    let answer = client(port).await.backup(request).await.unwrap();
    let name = answer.into_inner().cronjob_name;
    let operations = operations::client(port).await;
    eventually("the schedule is seen", async || {
        operations::get(&mut operations.clone(), &name).await.ok()
    })
    .await;
    name
}

/// Starts a run of a schedule.
async fn run(port: u16, schedule: &str) -> String {
    let request = v1::RunScheduleRequest {
        name: schedule.to_owned(),
        request_id: String::new(),
    };
    let mut client = operations::client(port).await;
    client
        .run_schedule(request)
        .await
        .unwrap()
        .into_inner()
        .name
}

/// Waits for the end of a run, which must be this one.
async fn ended(port: u16, run: &str, state: v1::run::State) {
    use v1::run::State::{Running, Waiting};
    let client = operations::client(port).await;
    let what = format!("{run} has ended");
    let found = eventually(&what, async || {
        let found = operations::run(&mut client.clone(), run).await.ok()?;
        (![Running, Waiting].contains(&found.state())).then_some(found)
    })
    .await;
    assert_eq!(found.state(), state, "{found:?}");
}

/// One backup that succeeds and one that fails, a schedule that rests; a restore of each end, and one
/// that is refused.
async fn play(port: u16, store: &Path, [good, failing, suspended]: [&Database<'_>; 3]) {
    use v1::run::State::{Failed, Succeeded};
    let name = made(port, request(good, store)).await;
    ended(port, &run(port, &name).await, Succeeded).await;
    let wrong = BackupRequest {
        db_pass: "wrong".to_owned(),
        ..request(failing, store)
    };
    let name = made(port, wrong).await;
    ended(port, &run(port, &name).await, Failed).await;
    let name = made(port, request(suspended, store)).await;
    let request = v1::SuspendScheduleRequest { name };
    let mut operations = operations::client(port).await;
    operations.suspend_schedule(request).await.unwrap();
    let mut client = client(port).await;
    let begun = client.restore(restore(good, store)).await.unwrap();
    let begun = begun.into_inner();
    ended(port, &begun.job_name, Succeeded).await;
    let wrong = BackupRestore {
        db_pass: "wrong".to_owned(),
        ..restore(failing, store)
    };
    let begun = client.restore(wrong).await.unwrap().into_inner();
    ended(port, &begun.job_name, Failed).await;
    let nowhere = BackupRestore::default();
    client
        .restore(nowhere)
        .await
        .expect_err("it names no database");
}
