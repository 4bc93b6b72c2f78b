//! One of several standbys that a host leads to by turns: a Service of replicas, a name with several addresses.
//!
//! A snapshot is known to the server alone that has exported it (PostgreSQL manual, 9.28.5: snapshot synchronization
//! functions), and so are locks. So where the server is a standby, all sessions of a run go to the address that it has
//! itself.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::entrance::{PINNED, ask};
use super::session::Session;
use super::{Error, Kind, Target};
use crate::link_local::is_link_local;

/// Its beginning, which no two servers have to a microsecond, and its own address; none of a primary. Over a socket in
/// a folder it has no address.
const STANDBY: &str = "
    SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN
           (extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint::text || ' ' ||
           coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), '-') || ' ' ||
           coalesce(pg_catalog.inet_server_port(), 0) END";

/// How long a standby's own address may take to answer: behind a proxy it may be nobody's here.
const REACHED_WITHIN: Duration = Duration::from_secs(3);

/// Why several servers under one name are refused, and what to do.
const SEVERAL: &str = "its host leads to several servers by turns, and the one that has answered first cannot be reached by its own address: name one server, or let each client keep its own (sessionAffinity: ClientIP of a Service)";

/// A standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    began: String,
    at: Option<SocketAddr>,
}

impl Replica {
    /// The standby that a session is with; none: it is a primary.
    pub(super) async fn of(session: &Session, target: &Target) -> Result<Option<Self>, Error> {
        let told = ask(session, &format!("{PINNED}{STANDBY}"), target).await?;
        Ok(told.as_deref().and_then(read))
    }
}

fn read(told: &str) -> Option<Replica> {
    let mut words = told.split(' ');
    let began = words.next()?.to_owned();
    let address: Option<IpAddr> = words.next()?.parse().ok();
    let port: u16 = words.next()?.parse().ok()?;
    let at = address.filter(|_| port > 0);
    Some(Replica {
        began,
        at: at.map(|it| SocketAddr::new(it, port)),
    })
}

impl Target {
    /// A session beside `first`, with the same server, and the target whose further sessions are with it too.
    ///
    /// # Errors
    /// As of [`Target::connect`], and `Kind::Unavailable` where the host leads to another server.
    pub(super) async fn beside(
        &self,
        first: &Session,
        application_name: &str,
        major: &mut u32,
    ) -> Result<(Session, Self), Error> {
        let replica = Replica::of(first, self).await?;
        if let Some(pinned) = replica.as_ref().and_then(|it| self.pinned(it)) {
            let opened = pinned.open_without_timeouts(application_name, major);
            match tokio::time::timeout(REACHED_WITHIN, opened).await {
                Ok(Ok(session)) if Replica::of(&session, self).await? == replica => {
                    return Ok((session, pinned));
                }
                Ok(Ok(_anothers)) => {
                    tracing::info!(server = %self, "the standby's own address is another server's here");
                }
                Ok(Err(error)) => {
                    tracing::info!(server = %self, %error, "the standby cannot be reached by its own address");
                }
                Err(_elapsed) => {
                    tracing::info!(server = %self, "the standby's own address does not answer");
                }
            }
        }
        let session = self.open_without_timeouts(application_name, major).await?;
        if Replica::of(&session, self).await? != replica {
            // Or it was promoted just now, and the next try finds it so.
            return Err(Error::because(Kind::Unavailable, "entering", self, SEVERAL));
        }
        Ok((session, self.clone()))
    }

    /// None where it has been found already, has no address, or says one that is no server's: whoever calls himself a
    /// server may say any.
    fn pinned(&self, replica: &Replica) -> Option<Self> {
        let at = replica.at.filter(|it| !is_link_local(it.ip()));
        let at = at.filter(|_| self.at.is_none())?;
        Some(Self {
            at: Some(at),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::SslMode;
    use super::*;

    #[test]
    fn a_standby_is_known_by_its_beginning_and_its_address() {
        let one = read("1764289000.123456 10.89.0.7 5432").unwrap();
        assert_eq!(one.began, "1764289000.123456");
        assert_eq!(one.at, Some("10.89.0.7:5432".parse().unwrap()));
        let six = read("1764289000.123456 fd00::7 5432").unwrap();
        assert_eq!(six.at, Some("[fd00::7]:5432".parse().unwrap()));
        assert_ne!(one, six);
        // What it says of itself is where no database is.
        let metadata = read("1764289000.123456 169.254.169.254 80").unwrap();
        let target = Target {
            host: "db".to_owned(),
            port: 5432,
            user: "me".to_owned(),
            password: None,
            database: "shop".to_owned(),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
            at: None,
        };
        assert!(target.pinned(&metadata).is_none());
        assert_eq!(target.pinned(&one).unwrap().at, one.at);
        // Over a socket in a folder.
        assert_eq!(read("1764289000.123456 - 0").unwrap().at, None);
    }
}
