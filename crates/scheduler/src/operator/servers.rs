//! The session with each DBCluster's server: one, made anew where the DBCluster says something else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use backuper::postgres::{Error, Session, Target};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::pace::Pace;
use crate::postgres::server::{self, Facts};

/// The sessions, by the name of the DBCluster.
#[derive(Debug, Default)]
pub(super) struct Servers {
    by_cluster: Mutex<HashMap<String, Arc<Server>>>,
}

/// A server as a DBCluster names it.
#[derive(Debug)]
pub(super) struct Server {
    /// Its maintenance database.
    pub(super) target: Target,
    /// What the session was made with.
    made_with: [u8; 32],
    /// The DBCluster's uid, and the generation of its spec.
    of: (String, i64),
    session: tokio::sync::Mutex<Option<(Session, Facts)>>,
    pub(super) pace: Pace,
}

impl Servers {
    /// The server that a DBCluster names now. Where that says anything else than it did, the session is another.
    pub(super) fn set(&self, cluster: &str, of: (String, i64), target: Target) -> Arc<Server> {
        let made_with = digest(&target);
        let mut all = self
            .by_cluster
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(cluster)
            && known.made_with == made_with
            && known.of == of
        {
            return known.clone();
        }
        let server = Arc::new(Server {
            target,
            made_with,
            of,
            session: tokio::sync::Mutex::default(),
            pace: Pace::default(),
        });
        all.insert(cluster.to_owned(), server.clone());
        server
    }

    /// The server of a DBCluster, if it is known as its spec says now.
    pub(super) fn get(&self, cluster: &str, of: &(String, i64)) -> Option<Arc<Server>> {
        let all = self
            .by_cluster
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.get(cluster).filter(|it| it.of == *of).cloned()
    }

    /// Ends the session of a DBCluster that is gone or cannot be reached.
    pub(super) fn forget(&self, cluster: &str) {
        let mut all = self
            .by_cluster
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.remove(cluster);
    }

    /// Ends all sessions.
    pub(super) fn forget_all(&self) {
        let mut all = self
            .by_cluster
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.clear();
    }
}

impl Server {
    /// Works in the maintenance database while no other administration of the server does. A session whose work has
    /// not ended is not used again.
    pub(super) async fn in_turn<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&Session, &Facts) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut kept = self.session.lock().await;
        let (session, facts) = match kept.take().filter(|(it, _)| !it.is_closed()) {
            Some(known) => known,
            None => {
                let session = server::enter(&self.target).await?;
                let facts = server::facts(&session, &self.target).await?;
                (session, facts)
            }
        };
        server::begin_turn(&session, &self.target).await?;
        let begun = Instant::now();
        let done = work(&session, &facts).await;
        if server::end_turn(&session, &self.target).await.is_ok() {
            *kept = Some((session, facts));
        }
        self.pace.took(begun.elapsed());
        done
    }

    /// What the server is, asked anew.
    pub(super) async fn examine(&self) -> Result<Facts, Error> {
        let mut kept = self.session.lock().await;
        let session = match kept.take().filter(|(it, _)| !it.is_closed()) {
            Some((session, _)) => session,
            None => server::enter(&self.target).await?,
        };
        let facts = server::facts(&session, &self.target).await?;
        *kept = Some((session, facts.clone()));
        Ok(facts)
    }

    /// A session in another database of the server.
    pub(super) async fn enter(&self, database: &str) -> Result<(Session, Target), Error> {
        let target = self.target.with_database(database);
        let session = server::connect(&target).await?;
        Ok((session, target))
    }
}

/// Whatever makes a session another one, and no secret.
fn digest(target: &Target) -> [u8; 32] {
    let Target {
        host,
        port,
        user,
        password,
        database,
        sslmode,
        sslrootcert,
        sslcert,
        sslkey,
        at,
    } = target;
    let password = password.as_ref().map(|it| it.expose_secret());
    let authorities = sslrootcert.as_ref().map(ToString::to_string);
    let text = format!(
        "{:?}",
        (
            (host, port, user, password, database),
            (sslmode.to_string(), authorities, sslcert, sslkey, at),
        )
    );
    Sha256::digest(text).into()
}
