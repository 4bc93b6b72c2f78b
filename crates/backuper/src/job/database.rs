//! What names a database: the `DB_*` variables of the contract.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use secrecy::SecretString;

use super::parse::{Maybe, maybe, non_empty, port, secret};
use super::var::Var;
use crate::postgres::tools::Directories;
use crate::postgres::{SslMode, Target};

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

    /// The role's password; empty for trust, peer and certificate authentication.
    #[arg(env = "DB_PASSWORD", default_value = "", value_parser = secret)]
    pub password: Maybe<SecretString>,

    /// Name of the database, exactly as PostgreSQL knows it.
    #[arg(env = "DB_NAME", value_parser = non_empty)]
    pub name: String,

    /// disable, allow, prefer, require, verify-ca or verify-full, as in libpq.
    #[arg(env = "DB_SSLMODE", default_value = "prefer", value_parser = SslMode::from_str)]
    pub sslmode: SslMode,

    /// PEM file with the certificate authorities that sign the server's certificate.
    #[arg(env = "DB_SSLROOTCERT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub sslrootcert: Maybe<PathBuf>,

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
            password,
            name,
            sslmode,
            sslrootcert,
            sslcert,
            sslkey,
            programs: _,
        } = self.clone();
        Target {
            host,
            port,
            user,
            password,
            database: name,
            sslmode,
            sslrootcert,
            sslcert,
            sslkey,
        }
    }

    /// The variables of this part of the contract.
    #[must_use]
    pub fn to_env(&self) -> Vec<Var> {
        let Self {
            host,
            port,
            user,
            password,
            name,
            sslmode,
            sslrootcert,
            sslcert,
            sslkey,
            programs,
        } = self;
        let mut vars = vec![
            Var::plain("DB_HOST", host),
            Var::plain("DB_PORT", port.to_string()),
            Var::plain("DB_USER", user),
            Var::plain("DB_NAME", name),
            Var::plain("DB_SSLMODE", sslmode.to_string()),
        ];
        vars.extend(password.as_ref().map(|it| Var::secret("DB_PASSWORD", it)));
        for (name, path) in [
            ("DB_SSLROOTCERT", sslrootcert),
            ("DB_SSLCERT", sslcert),
            ("DB_SSLKEY", sslkey),
        ] {
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
