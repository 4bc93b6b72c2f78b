//! Real servers for tests, started once per process or once per test, and gone with it.
//!
//! Nothing here is ever skipped because something is missing: it fails with a sentence.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::runtime::Runtime;

// The demo loads this file by its path, and only with paths does it find these too.
#[path = "testbed/clouds.rs"]
pub mod clouds;
#[path = "testbed/core.rs"]
pub mod core;
#[path = "testbed/disk.rs"]
pub mod disk;
#[path = "testbed/forward_proxy.rs"]
pub mod forward_proxy;
#[path = "testbed/pgbouncer.rs"]
pub mod pgbouncer;
#[path = "testbed/postgres.rs"]
pub mod postgres;
#[path = "testbed/programs.rs"]
pub mod programs;
#[path = "testbed/proxy.rs"]
pub mod proxy;
#[path = "testbed/s3.rs"]
pub mod s3;
#[path = "testbed/s3_faults.rs"]
pub mod s3_faults;
#[path = "testbed/server.rs"]
pub mod server;
#[path = "testbed/standby.rs"]
pub mod standby;
#[path = "testbed/tls.rs"]
pub mod tls;
#[path = "testbed/versitygw.rs"]
pub mod versitygw;

/// Variables of a worker's environment.
pub type Env = Vec<(String, String)>;

/// Variables from pairs.
pub fn env<const N: usize>(pairs: [(&str, &str); N]) -> Env {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The runtime of the servers that live in this process. Its threads outlast every test, so
/// that one test's end stops nobody else's server.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .expect("nobody has installed a rustls provider before");
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("testbed")
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

/// Runs a future on [`runtime`] and waits for it; for tests that are not async.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// A new folder in this process's own, which is removed when the process ends, however it ends.
pub fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = root().join(format!("{name}-{number}"));
    std::fs::create_dir(&path).expect("a folder");
    path
}

fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        sweep();
        let root = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir(&root).expect("a folder");
        // The servers among our children run as another user.
        open_to_all(&root);
        server::remove_when_we_end(&root);
        root
    })
}

const PREFIX: &str = "postgres-adapter-test-";

/// Lets every user look into a folder.
fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// Removes what processes left behind that are no more.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|it| it.strip_prefix(PREFIX));
        if process.is_some_and(|id| !Path::new("/proc").join(id).exists())
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            eprintln!("{}: {error}", entry.path().display());
        }
    }
}

/// A text that nothing else has in it: for names and for passwords to search for.
pub fn unique(prefix: &str) -> String {
    format!(
        "{prefix}{}",
        &uuid::Uuid::new_v4().simple().to_string()[..12]
    )
}

/// Waits until `question` has an answer, and fails with `what` when that takes too long.
pub fn wait_for<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(
            start.elapsed() < std::time::Duration::from_secs(60),
            "{what}: not within a minute"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
