//! The list of callers as it stands in its file: read anew when that changes, since Kubernetes swaps
//! what a mounted ConfigMap's link leads to, and tells nobody.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backuper::runtime::Failure;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::callers::Callers;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What callers can show at the port that is served.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// Only this machine reaches it.
    pub is_loopback: bool,
    /// Nobody on the way reads along.
    pub has_tls: bool,
    /// Clients are asked for a certificate.
    pub asks_for_certificates: bool,
    /// There is a cluster to ask about its accounts' tokens.
    pub has_cluster: bool,
}

impl Port {
    /// Whether the callers of a list can be told apart here, and nobody else reads their tokens.
    fn suits(self, callers: &Callers) -> Result<(), &'static str> {
        if callers.have_certificates() && !self.asks_for_certificates {
            return Err(
                "callers are known by certificates, and nobody is asked for one; set GRPC_TLS_CERT, GRPC_TLS_KEY and GRPC_TLS_CLIENT_CA",
            );
        }
        if callers.have_tokens() && !self.has_tls && !self.is_loopback {
            return Err(
                "callers are known by tokens, which everybody on the way could read; set GRPC_TLS_CERT and GRPC_TLS_KEY",
            );
        }
        if callers.have_users() && !self.has_cluster {
            return Err(
                "callers are known by serviceAccount or group, and there is no cluster to ask about their tokens; give them a token or a certificate",
            );
        }
        Ok(())
    }
}

/// A file with a list of callers.
#[derive(Debug)]
pub struct List {
    path: PathBuf,
    port: Port,
    read: Read,
    current: watch::Sender<Arc<Callers>>,
    /// Whether some callers have tokens, and may come without a certificate.
    anonymous: Arc<AtomicBool>,
}

/// What was found the last time: the bytes, or why there were none.
type Read = Result<Vec<u8>, String>;

impl List {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub async fn open(path: PathBuf, port: Port) -> Result<Self, Failure> {
        let read = read(&path).await;
        let callers = parse(&read, port);
        let callers = callers
            .map_err(|why| Failure::refused(format!("ACCESS_FILE: {}: {why}", path.display())))?;
        Ok(Self {
            path,
            port,
            read,
            anonymous: Arc::new(callers.have_tokens().into()),
            current: watch::Sender::new(Arc::new(callers)),
        })
    }

    /// Who may call now.
    #[must_use]
    pub fn callers(&self) -> watch::Receiver<Arc<Callers>> {
        self.current.subscribe()
    }

    /// Whether somebody may call without a certificate now.
    #[must_use]
    pub fn anonymous(&self) -> Arc<AtomicBool> {
        self.anonymous.clone()
    }

    /// Reads the file again whenever it has changed, until stopped. One that cannot be used changes
    /// nothing, and is told of once.
    pub async fn follow(mut self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _now = look.tick() => {}
            }
            let read = read(&self.path).await;
            if read == self.read {
                continue;
            }
            self.read = read;
            let file = self.path.display();
            match parse(&self.read, self.port) {
                Ok(callers) => {
                    let count = callers.len();
                    self.anonymous
                        .store(callers.have_tokens(), Ordering::Relaxed);
                    self.current.send_replace(Arc::new(callers));
                    tracing::info!(%file, callers = count, "the list of callers has changed");
                }
                Err(error) => {
                    tracing::error!(%file, error, "the list of callers cannot be used and stays as it was; mend the file (ACCESS_FILE)");
                }
            }
        }
    }
}

async fn read(path: &PathBuf) -> Read {
    let read = tokio::fs::read(path).await;
    read.map_err(|error| format!("it cannot be read: {error}"))
}

fn parse(read: &Read, port: Port) -> Result<Callers, String> {
    let bytes = read.as_ref().map_err(String::clone)?;
    let callers = Callers::parse(&String::from_utf8_lossy(bytes));
    let callers = callers.map_err(|why| why.to_string())?;
    port.suits(&callers)?;
    Ok(callers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_whose_callers_cannot_be_told_apart_is_none() {
        let list = |identity: &str| {
            let text = format!("callers: [{{name: a, {identity}, role: operator}}]");
            Callers::parse(&text).unwrap()
        };
        let token = list(&format!("token: 'sha256:{}'", "0".repeat(64)));
        let (certificate, account) = (list("certificate: a"), list("serviceAccount: a/b"));
        let bare = Port {
            is_loopback: false,
            has_tls: false,
            asks_for_certificates: false,
            has_cluster: true,
        };
        let tls = Port {
            has_tls: true,
            ..bare
        };
        let suits = |port: Port, list: &Callers| port.suits(list).is_ok();
        assert!(!suits(bare, &token), "in plain text");
        assert!(!suits(bare, &account), "in plain text");
        let here = Port {
            is_loopback: true,
            ..bare
        };
        assert!(suits(here, &token) && suits(tls, &token) && suits(tls, &account));
        let alone = Port {
            has_cluster: false,
            ..here
        };
        assert!(!suits(alone, &account));
        assert!(!suits(tls, &certificate) && !suits(here, &certificate));
        let asks = Port {
            asks_for_certificates: true,
            ..tls
        };
        assert!(suits(asks, &certificate));
    }
}
