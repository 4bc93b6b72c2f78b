//! The socket in DATA_DIR: commands on this machine reach the scheduler without a word.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::config::local::SOCKET;
use crate::config::{Choice, Config};
use crate::listener::{Limits, Listener};
use crate::metrics::Metrics;

/// Clients of the socket at once.
const CONNECTIONS: usize = 64;

/// A socket's file, which goes with the value.
#[derive(Debug)]
pub(super) struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "the socket's file stays");
        }
    }
}

/// Listens, where workers are on this machine; the engine has DATA_DIR for itself by now, so a file that is
/// there is one of a scheduler that was killed.
pub(super) fn listen(config: &Config, metrics: &Metrics) -> Option<(Listener, Socket)> {
    if config.choice() == Choice::Kubernetes {
        return None;
    }
    let path = config.machine.data_dir.join(SOCKET);
    let socket = match bound(&path) {
        Ok(socket) => socket,
        // The port is served all the same.
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "commands on this machine need ADAPTER_ADDRESS: their socket cannot be listened on");
            return None;
        }
    };
    let limits = Limits {
        connections: CONNECTIONS,
        ..Limits::of_this_process()
    };
    let listener = Listener::new(socket, limits, metrics.connections("socket"));
    Some((listener, Socket(path)))
}

/// The folder is ours alone, so that nobody else comes in before the file is ours alone too.
fn bound(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(socket)
}
