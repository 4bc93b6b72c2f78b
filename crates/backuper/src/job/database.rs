//! What names a database: the `DB_*` variables of the contract.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use secrecy::SecretString;

use super::parse::{Maybe, maybe, non_empty, port, secret};
use super::source::BackupSource;
use super::var::Var;
use crate::postgres::tools::Directories;
use crate::postgres::{Authorities, SslMode, Target};

/// Which database, and how to reach it.
#[derive(Clone, Debug, Args)]
pub struct DatabaseSettings {
    /// Host name or IP address of the PostgreSQL server.
    #[arg(env = "DB_HOST", value_parser = non_empty)]
    pub host: String,

    /// Port of the PostgreSQL server.
    #[arg(env = "DB_PORT", default_value = "5432", value_parser = port)]
    pub port: u16,

    /// Role to connect as.
    #[arg(env = "DB_USER", value_parser = non_empty)]
    pub user: String,

    /// Name of the database, exactly as PostgreSQL knows it; for a backup also a list with patterns: *,!test_*,"a,b".
    #[arg(env = "DB_NAME", value_parser = non_empty)]
    pub name: String,

    /// How to log in, and how the connection is protected.
    #[command(flatten)]
    pub connection: ConnectionSettings,
}

/// How to log in to a server, how the connection is protected, and with which programs.
#[derive(Clone, Debug, Args)]
pub struct ConnectionSettings {
    /// The role's password; empty for trust, peer and certificate authentication.
    #[arg(env = "DB_PASSWORD", default_value = "", value_parser = secret)]
    pub password: Maybe<SecretString>,

    /// disable, allow, prefer, require, verify-ca or verify-full, as in libpq.
    #[arg(env = "DB_SSLMODE", default_value = "prefer", value_parser = SslMode::from_str)]
    pub sslmode: SslMode,

    /// PEM file with the certificate authorities that sign the server's certificate, or their certificates in PEM.
    #[arg(env = "DB_SSLROOTCERT", default_value = "", value_parser = maybe::<Authorities>)]
    pub sslrootcert: Maybe<Authorities>,

    /// PEM file with the client's certificate, for servers that ask for one.
    #[arg(env = "DB_SSLCERT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub sslcert: Maybe<PathBuf>,

    /// PEM file with the key of DB_SSLCERT (mode 0600, as libpq wants it).
    #[arg(env = "DB_SSLKEY", default_value = "", value_parser = maybe::<PathBuf>)]
    pub sslkey: Maybe<PathBuf>,

    /// More directories with pg_dump, pg_restore and psql, separated by colons; they are looked at besides /usr/lib/postgresql.
    #[arg(env = "PG_BIN_DIRS", default_value = "", value_parser = Directories::from_str)]
    pub programs: Directories,
}

impl DatabaseSettings {
    /// The same as a [`Target`], whose connections and child environments it gives.
    #[must_use]
    pub fn target(&self) -> Target {
        let Self {
            host,
            port,
            user,
            name,
            connection,
        } = self;
        let source = BackupSource {
            host: host.clone(),
            port: *port,
            database: name.clone(),
        };
        connection.target(&source, user)
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            host,
            port,
            user,
            name,
            connection,
        } = self;
        let mut vars = vec![
            Var::plain("DB_HOST", host),
            Var::plain("DB_PORT", port.to_string()),
            Var::plain("DB_USER", user),
            Var::plain("DB_NAME", name),
        ];
        vars.extend(connection.to_env());
        vars
    }
}

impl ConnectionSettings {
    /// A database that is reached with these settings, by this role.
    #[must_use]
    pub fn target(&self, database: &BackupSource, user: &str) -> Target {
        let Self {
            password,
            sslmode,
            sslrootcert,
            sslcert,
            sslkey,
            programs: _,
        } = self.clone();
        Target {
            host: database.host.clone(),
            port: database.port,
            user: user.to_owned(),
            password,
            database: database.database.clone(),
            sslmode,
            sslrootcert,
            sslcert,
            sslkey,
            at: None,
        }
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            password,
            sslmode,
            sslrootcert,
            sslcert,
            sslkey,
            programs,
        } = self;
        let mut vars = vec![Var::plain("DB_SSLMODE", sslmode.to_string())];
        vars.extend(password.as_ref().map(|it| Var::secret("DB_PASSWORD", it)));
        let authorities = sslrootcert.as_ref();
        vars.extend(authorities.map(|it| Var::plain("DB_SSLROOTCERT", it.to_string())));
        for (name, path) in [("DB_SSLCERT", sslcert), ("DB_SSLKEY", sslkey)] {
            vars.extend(
                path.as_ref()
                    .map(|it| Var::plain(name, it.to_string_lossy())),
            );
        }
        if !programs.is_empty() {
            vars.push(Var::plain("PG_BIN_DIRS", programs.to_string()));
        }
        vars
    }
}
