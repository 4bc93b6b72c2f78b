//! Databases and their credentials among a command's arguments.

use std::num::NonZeroU16;
use std::path::PathBuf;

use backuper::runtime::Failure;
use backuper::runtime::settings::secret;
use clap::Args;
use secrecy::ExposeSecret as _;

use super::secrets::{ask, read};
use crate::api::proto::v1;

/// A role's password, or where it is.
#[derive(Debug, Args)]
pub(in crate::cli) struct PasswordAsked {
    /// File with the role's password; ADAPTER_DB_PASSWORD may have it too.
    #[arg(long)]
    pub(in crate::cli) password_file: Option<PathBuf>,
    /// Kubernetes Secret that has it: NAME, or NAME/KEY with the key in it.
    #[arg(long, conflicts_with = "password_file")]
    pub(in crate::cli) password_secret: Option<String>,
    /// Ask for it.
    #[arg(short = 'W', long, conflicts_with_all = ["password_file", "password_secret"])]
    pub(in crate::cli) ask_password: bool,
}

impl PasswordAsked {
    /// Whether an argument says anything of it.
    pub(in crate::cli) fn is_said(&self) -> bool {
        self.password_file.is_some() || self.password_secret.is_some() || self.ask_password
    }

    /// The password, or the Secret that has it.
    pub(in crate::cli) fn password(&self) -> Result<(String, Option<v1::PasswordSecret>), Failure> {
        if let Some(named) = &self.password_secret {
            return Ok((String::new(), Some(password_secret(named))));
        }
        let given = match &self.password_file {
            Some(path) => Some(read("--password-file", path)?),
            None if self.ask_password => Some(ask("Password: ")?),
            None => secret("ADAPTER_DB_PASSWORD"),
        };
        let given = given.map_or_else(String::new, |it| it.expose_secret().to_owned());
        Ok((given, None))
    }
}

/// `NAME`, or `NAME/KEY`.
pub(super) fn password_secret(named: &str) -> v1::PasswordSecret {
    let (name, key) = named.split_once('/').unwrap_or((named, ""));
    v1::PasswordSecret {
        name: name.to_owned(),
        key: key.to_owned(),
    }
}

/// `DBNAME` or `HOST:PORT/DBNAME`; what is not named is never taken for the schedule's.
pub(super) fn target(into: &str) -> Result<(String, i32, String), Failure> {
    let wrong = || Failure::refused("--into: DBNAME or HOST:PORT/DBNAME is needed");
    let Some((server, name)) = into.split_once('/') else {
        let name = Some(into).filter(|it| !it.is_empty()).ok_or_else(wrong)?;
        return Ok((String::new(), 0, name.to_owned()));
    };
    let (host, port) = address(server).ok_or_else(wrong)?;
    let port = port.ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    Ok((host, port, name.to_owned()))
}

/// `HOST` or `HOST:PORT` of a drill's server.
pub(super) fn server(host: &str) -> Result<(String, i32), Failure> {
    let wrong = || Failure::refused("--host: HOST or HOST:PORT is needed");
    let (host, port) = address(host).ok_or_else(wrong)?;
    Ok((host, port.unwrap_or_default()))
}

/// `USER@HOST:PORT/DBNAME`, perhaps as a URL; a password in it would be an argument.
pub(in crate::cli) fn database(
    text: &str,
    password: &PasswordAsked,
) -> Result<v1::Database, Failure> {
    let wrong = |why: &str| Failure::refused(format!("--database: {why}"));
    let needed = || wrong("USER@HOST:PORT/DBNAME is needed");
    let rest = text
        .strip_prefix("postgresql://")
        .or_else(|| text.strip_prefix("postgres://"))
        .unwrap_or(text);
    // A host has neither; a user may have an @, and a name both.
    let (login, dbname) = rest.split_once('/').ok_or_else(needed)?;
    let (user, server) = login.rsplit_once('@').ok_or_else(needed)?;
    if user.contains(':') {
        return Err(wrong(
            "a password is no argument, which anybody on this machine can read; set ADAPTER_DB_PASSWORD, or use --password-file or -W",
        ));
    }
    let (host, port) = address(server).ok_or_else(needed)?;
    if user.is_empty() || dbname.is_empty() {
        return Err(needed());
    }
    let (given, password_secret) = password.password()?;
    Ok(v1::Database {
        host,
        port: port.unwrap_or_default(),
        dbname: dbname.to_owned(),
        user: user.to_owned(),
        password: given,
        password_secret,
    })
}

/// `HOST:PORT` or `HOST`; an IPv6 address stands in brackets.
fn address(text: &str) -> Option<(String, Option<i32>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, _)) if host.starts_with('[') && !host.ends_with(']') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let port = port.map(str::parse::<NonZeroU16>).transpose().ok()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port.map(|it| it.get().into())))
}
