//! One database of one server: how we connect, and how our children do.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, Config, NoTls};

use super::{Error, tls};
use crate::child::Environment;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Names in our queries are looked up where we mean them, and nothing that the role or the
/// database has set ends a session that only waits.
const SESSION: &str = "SET search_path = pg_catalog; SET statement_timeout = 0; \
     SET idle_in_transaction_session_timeout = 0; SET lock_timeout = 0";

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
    /// PEM file with the authorities that sign the server's certificate.
    pub sslrootcert: Option<PathBuf>,
    /// PEM file with the client's certificate.
    pub sslcert: Option<PathBuf>,
    /// PEM file with its key.
    pub sslkey: Option<PathBuf>,
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

    /// Connects. The connection is driven by a task that ends with the client.
    ///
    /// # Errors
    /// What the server, the network or TLS said.
    pub async fn connect(&self, application_name: &str) -> Result<Client, Error> {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(application_name)
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(Duration::from_secs(30));
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        config.ssl_mode(self.sslmode.on_the_wire());
        let client = match self.sslmode {
            SslMode::Disable => self.open(&config, NoTls).await,
            // libpq's order: plain text first, TLS when the server will not have it.
            SslMode::Allow => match self.open(&config, NoTls).await {
                Ok(client) => Ok(client),
                Err(plain) => {
                    config.ssl_mode(tokio_postgres::config::SslMode::Require);
                    self.open(&config, tls::connector(self)?)
                        .await
                        .map_err(|_tls_says_less| plain)
                }
            },
            SslMode::Prefer | SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                self.open(&config, tls::connector(self)?).await
            }
        }?;
        client
            .batch_execute(SESSION)
            .await
            .map_err(|error| Error::new("preparing the session on", self, &error))?;
        Ok(client)
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

    async fn open<T>(&self, config: &Config, tls: T) -> Result<Client, Error>
    where
        T: tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>,
        T::Stream: Send + 'static,
    {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, config.connect(tls));
        let (client, connection) = connecting
            .await
            .map_err(|_elapsed| {
                let reason = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
                Error::because(super::Kind::Unavailable, "connecting to", self, reason)
            })?
            .map_err(|error| Error::new("connecting to", self, &error))?;
        let target = self.to_string();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                // The client's next call fails with the same; this is for whoever reads the log.
                tracing::debug!(%target, %error, "the connection ended");
            }
        });
        Ok(client)
    }

    /// The environment in which libpq's programs reach the same database. The name goes through
    /// `PGDATABASE`, since `-d` would take a name with `=` in it for a connection string.
    /// PostgreSQL manual, 34.15: environment variables.
    #[must_use]
    pub fn child_environment(&self, application_name: &str) -> Environment {
        let mut environment = Environment::default();
        let mut set = |name: &'static str, value: OsString| environment.set(name, value);
        set("PGHOST", self.host.clone().into());
        set("PGPORT", self.port.to_string().into());
        set("PGUSER", self.user.clone().into());
        set("PGDATABASE", self.database.clone().into());
        set("PGSSLMODE", self.sslmode.to_string().into());
        set(
            "PGCONNECT_TIMEOUT",
            CONNECT_TIMEOUT.as_secs().to_string().into(),
        );
        set("PGAPPNAME", application_name.into());
        for (name, path) in [
            ("PGSSLROOTCERT", &self.sslrootcert),
            ("PGSSLCERT", &self.sslcert),
            ("PGSSLKEY", &self.sslkey),
        ] {
            if let Some(path) = path {
                set(name, path.clone().into_os_string());
            }
        }
        if let Some(password) = &self.password {
            environment.set_secret("PGPASSWORD", password);
        }
        environment
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

impl SslMode {
    fn on_the_wire(self) -> tokio_postgres::config::SslMode {
        use tokio_postgres::config::SslMode as Wire;
        match self {
            Self::Disable | Self::Allow => Wire::Disable,
            Self::Prefer => Wire::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => Wire::Require,
        }
    }
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
