//! How long a worker may take to end: it has 30 s from the signal, whatever stands still.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::testbed::programs::{Prepared, Running, backuper, restorer};
use super::testbed::proxy::Proxy;
use super::testbed::{Env, env, folder, wait_for};
use super::workers::{Stage, var, with};

/// What Kubernetes waits before it kills.
const WITHIN: Duration = Duration::from_secs(30);

#[track_caller]
fn ends_when_asked(running: Running, code: i32) {
    running.signal(Signal::SIGTERM);
    let ended = running.wait_within(WITHIN);
    ended.expect_code(code);
    if code == 143 {
        assert!(ended.last_line().contains("stopped"), "{ended}");
    }
}

/// Starts a worker whose store stands still from the moment when so many bytes have passed.
fn stalled_after(
    program: fn(&Env) -> Prepared,
    stage: &Stage,
    moved: impl Fn(&Proxy) -> bool,
) -> (Running, Proxy) {
    let proxy = Proxy::start(stage.s3.port());
    let endpoint = format!("http://127.0.0.1:{}", proxy.port());
    let running = program(&with(&stage.env(), &var("S3_ENDPOINT", &endpoint))).start();
    wait_for("the store is spoken to", || moved(&proxy).then_some(()));
    proxy.stall(true);
    (running, proxy)
}

/// F55: nothing answers any more, neither the upload that is aborted nor the clean-up.
#[test]
fn a_stopped_backup_ends_though_its_store_stands_still() {
    let stage = Stage::new("stillbackup");
    stage.fill("t", 64);
    for bytes in [1, 9 << 20] {
        let (running, _proxy) = stalled_after(backuper, &stage, |it| it.sent() > bytes);
        ends_when_asked(running, 143);
    }
}

/// F55.
#[test]
fn a_stopped_restore_ends_though_its_store_stands_still() {
    let stage = Stage::new("stillrestore");
    stage.fill("t", 64);
    stage.back_up(&env([]));
    for empty in [false, true] {
        if empty {
            stage.database.sql("DROP TABLE t");
        }
        for bytes in [1, 9 << 20] {
            let (running, _proxy) = stalled_after(restorer, &stage, |it| it.received() > bytes);
            ends_when_asked(running, 143);
        }
    }
}

/// F55: both sides stand still at once.
#[test]
fn a_stopped_restore_ends_though_store_and_server_stand_still() {
    let stage = Stage::new("stillboth");
    stage.fill("t", 64);
    stage.back_up(&env([]));
    stage.database.sql("DROP TABLE t");
    let server = Proxy::start(stage.database.cluster().port());
    let port = var("DB_PORT", &server.port().to_string());
    let store = Proxy::start(stage.s3.port());
    let endpoint = format!("http://127.0.0.1:{}", store.port());
    let env = with(&with(&stage.env(), &port), &var("S3_ENDPOINT", &endpoint));
    let running = restorer(&env).start();
    wait_for("rows are loaded", || {
        (server.sent() > 9 << 20).then_some(())
    });
    server.stall(true);
    store.stall(true);
    ends_when_asked(running, 143);
}

/// The one file of this name in a store.
fn find(root: &Path, name: &str) -> PathBuf {
    let found = Prepared::new("find")
        .arg(root)
        .args(["-name", name])
        .succeed();
    PathBuf::from(found.stdout.trim())
}

/// F55: a file server that is gone leaves a thread in a call that never comes back, as a FIFO without
/// a writer does.
#[test]
fn a_thread_that_hangs_in_the_store_keeps_no_worker() {
    let stage = Stage::new("hung");
    let root = folder("hung");
    let endpoint = format!("file://{}", root.display());
    let store = env([("S3_ENDPOINT", endpoint.as_str()), ("S3_BUCKET_NAME", "")]);
    stage.backup(&store).expect_code(0);
    let manifest = find(&root, "manifest.json");
    std::fs::remove_file(&manifest).unwrap();
    nix::unistd::mkfifo(&manifest, Mode::from_bits_truncate(0o600)).unwrap();
    let env = with(&stage.env(), &store);
    let running = restorer(&env).start();
    wait_for("it reads the manifest", || hangs(&running));
    ends_when_asked(running, 143);
    // The new backup is complete by then; what hangs is retention, which looks at the old one.
    let running = backuper(&with(&env, &var("MAX_BACKUP_COUNT", "1"))).start();
    wait_for("it reads the manifest", || hangs(&running));
    ends_when_asked(running, 0);
}

/// Whether a thread of the process waits for the other end of a FIFO.
fn hangs(running: &Running) -> Option<()> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.id())).ok()?;
    tasks.flatten().find_map(|task| {
        let waits = std::fs::read_to_string(task.path().join("wchan")).ok()?;
        (waits == "wait_for_partner").then_some(())
    })
}
