//! A session with a server: what is set for it, and when it ends.

use std::ops::Deref;

use tokio::sync::watch;
use tokio_postgres::{Client, Connection, Socket};

use super::target::CONNECTING;
use super::{Error, Kind, Target, reason_of};

/// A session, for as long as it lives. The connection is driven by a task that ends with it.
#[derive(Debug)]
pub struct Session {
    client: Client,
    target: Target,
    server_version: String,
    /// Why the connection has ended, as soon as it has.
    ended: watch::Receiver<Option<String>>,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Session {
    pub(super) fn over<T>(
        target: &Target,
        client: Client,
        connection: Connection<Socket, T>,
    ) -> Self
    where
        T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
    {
        let server_version = connection.parameter("server_version").unwrap_or_default();
        let server_version = server_version.to_owned();
        let (sender, ended) = watch::channel(None);
        tokio::spawn(async move {
            let reason = match connection.await {
                Ok(()) => "the server closed the connection".to_owned(),
                Err(error) => reason_of(&error),
            };
            // Nobody listens when the session was dropped, which is the common end.
            sender.send_replace(Some(reason));
        });
        Self {
            client,
            target: target.clone(),
            server_version,
            ended,
        }
    }

    /// The server's major version: 15 of 15.18.
    #[must_use]
    pub fn major(&self) -> u32 {
        let digits = self.server_version.split(|it: char| !it.is_ascii_digit());
        digits
            .into_iter()
            .next()
            .and_then(|it| it.parse().ok())
            .unwrap_or(0)
    }

    /// Waits until the connection is lost, for whatever reason; gives why. What the session held,
    /// advisory locks and transactions, is gone then.
    pub async fn lost(&self) -> Error {
        let mut ended = self.ended.clone();
        let reason = match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_task_gone) => "the connection is closed".to_owned(),
        };
        Error::because(
            Kind::Unavailable,
            "holding a session in",
            &self.target,
            reason,
        )
    }

    /// Sets what [`SETTINGS`] says.
    pub(super) async fn prepare(&self) -> Result<(), Error> {
        let sql = format!("SET search_path = pg_catalog; {SETTINGS}");
        let prepared = self.client.batch_execute(&sql).await;
        prepared.map_err(|error| Error::new("preparing the session in", &self.target, &error))
    }
}

/// How often sessions are begun whose own time-outs end them before they are turned off.
const BEGINNINGS: usize = 5;

/// Whether sessions are begun anew: a role or a database may have time-outs that a busy machine does not
/// keep. Nothing is held or changed before a session is prepared.
#[derive(Debug, Default)]
pub(super) struct Beginnings {
    ended: usize,
    /// The server's major version, as a session that has ended found it, 0 at first: not every version
    /// knows every time-out.
    pub(super) major: u32,
}

impl Beginnings {
    /// Whether to begin anew after this. What does not connect at all is not tried again.
    pub(super) fn again(&mut self, error: &Error) -> bool {
        self.ended += 1;
        let again = self.ended < BEGINNINGS
            && error.kind == Kind::Unavailable
            && error.action != CONNECTING;
        if again {
            tracing::debug!(%error, "a session ended before it was prepared; begun anew");
        }
        again
    }
}

/// All that a role, a database or a server can set and that would end a session which only waits,
/// or give our statements another meaning; and no compilation, which costs more than any of our statements gains. It goes by SQL, since poolers refuse startup options that
/// they do not know, and in one round trip; what a server does not have is not set. psql takes it too.
/// PostgreSQL manual, 20.11: client connection defaults.
pub const SETTINGS: &str = "
    SELECT pg_catalog.set_config(s.name, w.value, false)
      FROM (VALUES ('statement_timeout', '0'),
                   ('lock_timeout', '0'),
                   ('idle_in_transaction_session_timeout', '0'),
                   ('idle_session_timeout', '0'),
                   ('transaction_timeout', '0'),
                   ('default_transaction_read_only', 'off'),
                   ('default_transaction_isolation', 'read committed'),
                   ('default_transaction_deferrable', 'off'),
                   ('standard_conforming_strings', 'on'),
                   ('escape_string_warning', 'off'),
                   ('quote_all_identifiers', 'off'),
                   ('transform_null_equals', 'off'),
                   ('array_nulls', 'on'),
                   ('xmloption', 'content'),
                   ('jit', 'off'),
                   ('session_replication_role', 'origin'),
                   ('lc_messages', 'C')) AS w (name, value)
      JOIN pg_catalog.pg_settings s ON s.name = w.name
     WHERE s.context = 'user' OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user);\n";
