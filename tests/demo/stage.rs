//! What the demo plays on: PostgreSQL, S3, the scheduler and a shell to ask it from.

use std::sync::Mutex;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::proof::Rows;
use crate::screen::{during, prompt, say, step, wait};
use crate::shell::Shell;
use crate::testbed::postgres::{self, Database};
use crate::testbed::programs::{self, Ended, Running};
use crate::testbed::s3::S3;
use crate::testbed::{Env, env};

/// The scheduler, where a signal finds it.
static SCHEDULER: Mutex<Option<Running>> = Mutex::new(None);

/// All that the acts of the story share.
pub(crate) struct Stage {
    pub(crate) shop: Database<'static>,
    pub(crate) s3: S3,
    pub(crate) shell: Shell,
    /// Where the scheduler serves gRPC.
    pub(crate) port: u16,
}

impl Stage {
    /// PostgreSQL's port.
    pub(crate) fn postgres(&self) -> u16 {
        self.shop.cluster().port()
    }

    /// The store as commands take it.
    pub(crate) fn store(&self) -> String {
        format!("{}/{}", self.s3.endpoint(), self.s3.bucket())
    }
}

/// Starts everything and loads the database; gives its rows too.
///
/// # Errors
/// The first thing that is not as it should be.
pub(crate) fn set() -> Result<(Stage, Rows), String> {
    step(
        1,
        "A PostgreSQL server with two databases, and an S3 server",
    );
    let cluster = during("PostgreSQL answers", postgres::shared)?;
    let s3 = S3::start();
    let shop = cluster.named("shop");
    let load = || shop.sql(include_str!("shop.sql"));
    during("the rows are loaded", load)?;
    let before = during("the checksums are taken", || Rows::of(&shop))?;
    say(format_args!(
        "shop has {before}; PostgreSQL is on port {}, S3 on {}",
        cluster.port(),
        s3.endpoint()
    ));
    let stock = cluster.named("stock");
    stock.sql("CREATE TABLE stock AS SELECT n AS article, n % 90 AS pieces FROM generate_series(1, 5000) n");
    let mut shell = Shell::new();
    shell.secret("password", cluster.password())?;
    shell.secret("old-password", "from last year")?;
    let keys = format!("{}\n{}\n", s3.access_key(), s3.secret_key());
    shell.secret("s3.keys", &keys)?;
    let port = scheduler(&mut shell)?;
    let stage = Stage {
        shop,
        s3,
        shell,
        port,
    };
    Ok((stage, before))
}

/// Starts the scheduler as README does; only the ports are such that nobody has them.
fn scheduler(shell: &mut Shell) -> Result<u16, String> {
    step(2, "Start the scheduler, and ask it whether it is well");
    during("the programs are built", programs::folder)?;
    let (port, admin_port) = (postgres::free_port(), postgres::free_port());
    prompt(&format!("cd {}", shell.folder().display()));
    let data = shell.folder().join("adapter");
    shell.export(variables(&[
        ("DATA_DIR", data.display().to_string()),
        ("PORT", port.to_string()),
        ("ADMIN_PORT", admin_port.to_string()),
    ]));
    say("$ scheduler 2>adapter.log &");
    let running = shell.prepared("scheduler").start();
    *held()? = Some(running);
    wait("it answers", Duration::from_secs(30), || {
        alive()?;
        let asked = shell.prepared("scheduler probe").run();
        Ok(asked.status.success().then_some(()))
    })?;
    shell.run("scheduler probe", 0)?;
    Ok(port)
}

fn variables(pairs: &[(&str, String)]) -> Env {
    let pairs = pairs.iter();
    pairs
        .flat_map(|(name, value)| env([(name, value)]))
        .collect()
}

fn held() -> Result<std::sync::MutexGuard<'static, Option<Running>>, String> {
    SCHEDULER.lock().map_err(|error| error.to_string())
}

/// Stops the scheduler, if it was started: how it ended, and its log.
pub(crate) fn stop() -> Option<Ended> {
    let mut running = SCHEDULER.lock().ok()?.take()?;
    if !running.ended() {
        running.signal(Signal::SIGTERM);
    }
    Some(running.wait_within(Duration::from_secs(30)))
}

/// An error when the scheduler has ended.
fn alive() -> Result<(), String> {
    let mut held = held()?;
    let running = held.as_mut().ok_or("the scheduler was stopped")?;
    if running.ended() {
        return Err(format!("the scheduler ended:\n{}", running.printed()));
    }
    Ok(())
}
