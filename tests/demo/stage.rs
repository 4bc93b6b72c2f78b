//! What the demo plays on: PostgreSQL, S3, a core, the scheduler.

use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::screen::{during, say, step, wait};
use crate::testbed::core::{Core, Mood};
use crate::testbed::postgres::{self, Database};
use crate::testbed::programs::{self, Running};
use crate::testbed::s3::S3;
use crate::testbed::{block_on, env, folder};

/// The scheduler, where a signal finds it.
static SCHEDULER: Mutex<Option<Running>> = Mutex::new(None);

/// All that the acts of the story share.
pub(crate) struct Stage {
    pub(crate) database: Database<'static>,
    pub(crate) s3: S3,
    pub(crate) core: Core,
    pub(crate) client: BackupServiceClient<Channel>,
    /// Where the scheduler serves HTTP.
    pub(crate) admin: String,
}

impl Stage {
    /// PostgreSQL's port, as the calls take it.
    pub(crate) fn port(&self) -> i64 {
        i64::from(postgres::shared().port())
    }
}

/// Starts everything and loads the database; gives the checksums of its tables too.
///
/// # Errors
/// The first thing that is not as it should be.
pub(crate) fn set() -> Result<(Stage, String), String> {
    step(1, "Start PostgreSQL and S3");
    let cluster = during("PostgreSQL answers", postgres::shared)?;
    let s3 = S3::start();
    say(format_args!(
        "PostgreSQL on port {}, S3 on {}",
        cluster.port(),
        s3.endpoint()
    ));

    step(2, "Load a shop");
    let database = cluster.named("shop");
    let load = || database.sql(include_str!("shop.sql"));
    during("the rows are loaded", load)?;
    let before = during("the checksums are taken", || database.checksums())?;
    say(rows(&before));

    step(3, "Start the scheduler with the local engine");
    let (client, admin) = scheduler()?;
    let core = Core::start(Mood::Recording);
    let stage = Stage {
        database,
        s3,
        core,
        client,
        admin,
    };
    Ok((stage, before))
}

fn scheduler() -> Result<(BackupServiceClient<Channel>, String), String> {
    during("the programs are built", programs::folder)?;
    let (port, admin_port) = (postgres::free_port(), postgres::free_port());
    let data = folder("data");
    let scheduler = programs::scheduler(&env([
        ("ENGINE", "local"),
        ("DATA_DIR", data.to_str().ok_or("a plain path")?),
        ("PORT", &port.to_string()),
        ("ADMIN_PORT", &admin_port.to_string()),
    ]));
    *SCHEDULER.lock().map_err(|error| error.to_string())? = Some(scheduler.start());
    let admin = format!("http://127.0.0.1:{admin_port}");
    wait("the scheduler is ready", Duration::from_secs(30), || {
        alive()?;
        Ok(get(&format!("{admin}/readyz")).ok())
    })?;
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))
        .map_err(|error| error.to_string())?
        .timeout(Duration::from_secs(30));
    let channel = block_on(endpoint.connect()).map_err(|error| error.to_string())?;
    say(format_args!(
        "gRPC on port {port}, metrics on {admin}/metrics"
    ));
    Ok((BackupServiceClient::new(channel), admin))
}

/// Stops the scheduler, if it runs.
pub(crate) fn stop() {
    let running = SCHEDULER.lock().ok().and_then(|mut it| it.take());
    if let Some(mut running) = running
        && !running.ended()
    {
        running.signal(Signal::SIGTERM);
        let ended = running.wait_within(Duration::from_secs(30));
        say(format_args!("the scheduler stopped: {}", ended.status));
    }
}

/// Tables and rows, in short.
pub(crate) fn rows(checksums: &str) -> String {
    let count = |line: &str| line.split(' ').rev().nth(1)?.parse::<u64>().ok();
    let rows: u64 = checksums.lines().filter_map(count).sum();
    format!("{} tables, {rows} rows", checksums.lines().count())
}

pub(crate) fn get(url: &str) -> Result<String, String> {
    let answer = block_on(async {
        let answer = reqwest::get(url).await?.error_for_status()?;
        answer.text().await
    });
    answer.map_err(|error| error.to_string())
}

/// An error when the scheduler has ended.
///
/// # Errors
/// Then.
pub(crate) fn alive() -> Result<(), String> {
    let mut held = SCHEDULER.lock().map_err(|error| error.to_string())?;
    match held.as_mut() {
        Some(running) => {
            if running.ended() {
                return Err(format!("the scheduler ended:\n{}", running.printed()));
            }
            Ok(())
        }
        None => Err("the scheduler was stopped".to_owned()),
    }
}

/// What the scheduler has printed; its workers' lines are among it.
pub(crate) fn printed() -> String {
    let held = SCHEDULER.lock().ok();
    held.and_then(|it| it.as_ref().map(Running::printed))
        .unwrap_or_default()
}
