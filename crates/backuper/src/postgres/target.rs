//! One database of one server: how we connect.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tokio_postgres::config::{SslMode as Wire, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use super::authorities::Authorities;
use super::children::Way;
use super::entrance::PROBE;
use super::session::{Beginnings, Session};
use super::tap::{self, Passed, Tapped};
use super::{Error, Kind, tls};

/// How long a connection may take to come about.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What an error says was being done while there was no session yet.
pub(super) const CONNECTING: &str = "connecting to";

/// How a connection on which nothing passes is kept, and how soon a dead peer is noticed: firewalls
/// forget connections, and a stream may wait for hours.
pub(super) const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    count: 3,
    unacknowledged: Duration::from_secs(60),
};

/// tcp(7): TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT and TCP_USER_TIMEOUT.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keepalive {
    pub(super) idle: Duration,
    pub(super) interval: Duration,
    pub(super) count: u32,
    pub(super) unacknowledged: Duration,
}

/// One database of one server. `Display` is `host:port/dbname`, never a credential.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Role to connect as.
    pub user: String,
    /// None for trust, peer and certificate authentication.
    pub password: Option<SecretString>,
    /// The database's name, exactly as PostgreSQL knows it.
    pub database: String,
    /// How TLS is used.
    pub sslmode: SslMode,
    /// The authorities that sign the server's certificate.
    pub sslrootcert: Option<Authorities>,
    /// PEM file with the client's certificate.
    pub sslcert: Option<PathBuf>,
    /// PEM file with its key.
    pub sslkey: Option<PathBuf>,
    /// The address of one of several servers that the host leads to; none: wherever it leads. The host is still whom
    /// a certificate has to name.
    pub at: Option<SocketAddr>,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}/{}", self.host, self.port, self.database)
    }
}

impl Target {
    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self {
            database: database.to_owned(),
            ..self.clone()
        }
    }

    /// The host's name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is a directory with a socket of this machine. PostgreSQL manual, 34.1.2: `host`.
    pub(crate) fn is_by_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// The role.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Connects: one session more in a database that the run has entered ([`Target::enter`]).
    ///
    /// # Errors
    /// What the server, the network or TLS said.
    pub async fn connect(&self, application_name: &str) -> Result<Session, Error> {
        let mut beginnings = Beginnings::default();
        loop {
            match self
                .try_to_connect(application_name, &mut beginnings.major)
                .await
            {
                Err(error) if beginnings.again(&error) => {}
                other => return other,
            }
        }
    }

    /// Logs in, and does nothing there: whether the server takes the password.
    ///
    /// # Errors
    /// What the server, the network or TLS said.
    pub async fn log_in(&self, application_name: &str) -> Result<(), Error> {
        self.open(application_name, None).await.map(drop)
    }

    async fn try_to_connect(
        &self,
        application_name: &str,
        major: &mut u32,
    ) -> Result<Session, Error> {
        let session = if *major == 0 {
            self.open(application_name, None).await?
        } else {
            self.open_without_timeouts(application_name, major).await?
        };
        *major = session.major();
        session.prepare().await?;
        Ok(session)
    }

    /// Connects to a server of this version, as far as it is known, and asks that nothing which is set
    /// for the role or the database ends the session; poolers that refuse startup options are not asked.
    pub(super) async fn open_without_timeouts(
        &self,
        application_name: &str,
        major: &mut u32,
    ) -> Result<Session, Error> {
        let way = Way {
            major: *major,
            options: true,
            plain: false,
            language: false,
        };
        let options = way.options(&[(PROBE, "yes")]);
        let session = match self.open(application_name, options.as_deref()).await {
            // pgbouncer's word for a startup parameter that it does not know.
            Err(error) if error.state == Some(SqlState::PROTOCOL_VIOLATION) => {
                self.open(application_name, None).await?
            }
            other => other?,
        };
        *major = session.major();
        Ok(session)
    }

    /// Connects for a COPY of our own, with startup options where they arrive: its rows come out of the receiver and
    /// not out of the session, and so many chunks of them wait there.
    ///
    /// # Errors
    /// As [`Target::connect`].
    pub(crate) async fn connect_for_copy(
        &self,
        application_name: &str,
        options: Option<&str>,
        ahead: usize,
    ) -> Result<(Session, mpsc::Receiver<Passed>), Error> {
        let (sender, receiver) = mpsc::channel(ahead.max(1));
        let config = self.config(application_name, options);
        let session = self.open_as(config, Some(&sender)).await?;
        session.prepare().await?;
        Ok((session, receiver))
    }

    /// Connects, and sets nothing.
    pub(super) async fn open(
        &self,
        application_name: &str,
        options: Option<&str>,
    ) -> Result<Session, Error> {
        self.open_as(self.config(application_name, options), None)
            .await
    }

    fn config(&self, application_name: &str, options: Option<&str>) -> Config {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.at.map_or(self.port, |it| it.port()))
            .user(&self.user)
            .dbname(&self.database)
            .application_name(application_name)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(KEEPALIVE.idle)
            .keepalives_interval(KEEPALIVE.interval)
            .keepalives_retries(KEEPALIVE.count)
            .tcp_user_timeout(KEEPALIVE.unacknowledged);
        if let Some(at) = self.at {
            config.hostaddr(at.ip());
        }
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        if let Some(options) = options {
            config.options(options);
        }
        config
    }

    async fn open_as(
        &self,
        mut config: Config,
        rows: Option<&mpsc::Sender<Passed>>,
    ) -> Result<Session, Error> {
        match self.sslmode {
            SslMode::Disable => self.open_clear(&mut config, rows).await,
            // libpq's order: plain text first, TLS when the server will not have it.
            SslMode::Allow => match self.open_clear(&mut config, rows).await {
                Err(plain) if plain.kind == Kind::Rejected => self
                    .open_encrypted(&mut config, Wire::Require, rows)
                    .await
                    .map_err(|encrypted| plain.or_else(&encrypted)),
                opened => opened,
            },
            // The other way round. libpq goes on in plain text too when it does not trust the server.
            SslMode::Prefer => {
                let wish = match rows {
                    Some(_) => Wire::Require,
                    None => Wire::Prefer,
                };
                match self.open_encrypted(&mut config, wish, rows).await {
                    Err(encrypted)
                        if encrypted.may_do_without_tls() || encrypted.kind == Kind::NoTls =>
                    {
                        self.open_clear(&mut config, rows)
                            .await
                            .map_err(|plain| encrypted.or_else(&plain))
                    }
                    opened => opened,
                }
            }
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                self.open_encrypted(&mut config, Wire::Require, rows).await
            }
        }
    }

    async fn open_clear(
        &self,
        config: &mut Config,
        rows: Option<&mpsc::Sender<Passed>>,
    ) -> Result<Session, Error> {
        let Some(sender) = rows.cloned() else {
            config.ssl_mode(Wire::Disable);
            return self.open_with(config, NoTls).await;
        };
        config.ssl_mode(Wire::Require);
        config.ssl_negotiation(SslNegotiation::Direct);
        let connector = tap::Clear;
        let opened = self.open_with(config, Tapped { connector, sender }).await;
        config.ssl_negotiation(SslNegotiation::Postgres);
        opened
    }

    async fn open_encrypted(
        &self,
        config: &mut Config,
        mode: Wire,
        rows: Option<&mpsc::Sender<Passed>>,
    ) -> Result<Session, Error> {
        config.ssl_mode(mode);
        let connector = tls::connector(self)?;
        match rows.cloned() {
            Some(sender) => self.open_with(config, Tapped { connector, sender }).await,
            None => self.open_with(config, connector).await,
        }
    }

    /// Cancels the statement that a session runs. One that nobody waits for any more would go on in
    /// the server. PostgreSQL manual, 55.2.8: canceling requests in progress.
    ///
    /// # Errors
    /// What the network or TLS said. The server does not say whether there was a statement.
    pub async fn cancel(&self, session: &Client) -> Result<(), Error> {
        let token = session.cancel_token();
        let asked = match self.sslmode {
            SslMode::Disable => token.cancel_query(NoTls).await,
            _ => token.cancel_query(tls::connector(self)?).await,
        };
        asked.map_err(|error| Error::new("canceling a statement in", self, &error))
    }

    async fn open_with<T>(&self, config: &Config, tls: T) -> Result<Session, Error>
    where
        T: tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>,
        T::Stream: Unpin + Send + 'static,
    {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, config.connect(tls));
        let (client, connection) = connecting
            .await
            .map_err(|_elapsed| {
                let reason = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
                Error::because(Kind::Unavailable, CONNECTING, self, reason)
            })?
            .map_err(|error| Error::new(CONNECTING, self, &error))?;
        Ok(Session::over(self, client, connection))
    }
}

/// libpq's `sslmode`. PostgreSQL manual, 34.19.3: protection in different modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS when the server refuses plain text.
    Allow,
    /// TLS when the server has it.
    #[default]
    Prefer,
    /// TLS or nothing; any certificate, unless a root file is given.
    Require,
    /// TLS with a certificate that a known authority signed.
    VerifyCa,
    /// The same, and the certificate names the host.
    VerifyFull,
}

const SSL_MODES: [(SslMode, &str); 6] = [
    (SslMode::Disable, "disable"),
    (SslMode::Allow, "allow"),
    (SslMode::Prefer, "prefer"),
    (SslMode::Require, "require"),
    (SslMode::VerifyCa, "verify-ca"),
    (SslMode::VerifyFull, "verify-full"),
];

impl fmt::Display for SslMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = SSL_MODES.iter().find(|(mode, _)| mode == self);
        formatter.write_str(word.map_or("prefer", |(_, word)| word))
    }
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        SSL_MODES
            .iter()
            .find(|(_, word)| *word == text)
            .map(|(mode, _)| *mode)
            .ok_or_else(|| {
                "one of disable, allow, prefer, require, verify-ca and verify-full is needed"
                    .to_owned()
            })
    }
}
