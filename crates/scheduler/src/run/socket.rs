//! The socket in DATA_DIR: commands on this machine reach the scheduler without a word.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use backuper::runtime::Failure;
use tokio::net::UnixListener;

use crate::config::local::SOCKET;
use crate::config::{Choice, Config};
use crate::listener::{Limits, Listener};
use crate::metrics::Metrics;

/// Clients of the socket at once.
const CONNECTIONS: usize = 64;
/// What a socket's path may have, in bytes, with the NUL at its end: unix(7).
const LONGEST: usize = 108;

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
pub(super) fn listen(
    config: &Config,
    metrics: &Metrics,
) -> Result<Option<(Listener, Socket)>, Failure> {
    if config.choice() == Choice::Kubernetes {
        return Ok(None);
    }
    let path = config.machine.data_dir.join(SOCKET);
    if path.as_os_str().len() >= LONGEST {
        tracing::warn!(path = %path.display(), "this path is too long for a socket: commands on this machine need ADAPTER_ADDRESS");
        return Ok(None);
    }
    let socket = bound(&path).map_err(|error| {
        let sentence = format!("{} cannot be listened on: {error}", path.display());
        Failure::refused(sentence)
    })?;
    let limits = Limits {
        connections: CONNECTIONS,
        ..Limits::of_this_process()
    };
    let listener = Listener::new(socket, limits, metrics.connections("socket"));
    Ok(Some((listener, Socket(path))))
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
