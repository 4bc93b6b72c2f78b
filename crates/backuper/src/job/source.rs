//! Which database's backups are meant.

use std::str::FromStr;

/// The database whose backups are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSource {
    /// Host name or IP address, as the backups name it.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The database's name.
    pub database: String,
}

impl FromStr for BackupSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = || {
            let (server, database) = text.split_once('/')?;
            let (host, port) = server.rsplit_once(':')?;
            let is_whole = !host.is_empty() && !database.is_empty();
            is_whole.then_some(Self {
                host: host.to_owned(),
                port: port.parse().ok()?,
                database: database.to_owned(),
            })
        };
        parts().ok_or("HOST:PORT/DBNAME is needed")
    }
}

impl std::fmt::Display for BackupSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            host,
            port,
            database,
        } = self;
        write!(formatter, "{host}:{port}/{database}")
    }
}
