//! What restore drills are asked for with.

use std::path::PathBuf;

use backuper::runtime::Failure;
use clap::Args;
use secrecy::ExposeSecret as _;

use super::places::{PasswordAsked, password_secret, server};
use super::secrets::{IdentityAsked, read};
use super::stores::StoreAsked;
use crate::api::proto::v1;

/// Which backup is proved, and on which server.
#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyAsked {
    /// The schedule's name.
    #[arg(required_unless_present = "store", conflicts_with = "store")]
    schedule: Option<String>,
    #[command(flatten)]
    store: StoreAsked,
    /// With --store, or a schedule of several databases: HOST:PORT/DBNAME,
    /// the database whose backup it is, as `backups` prints it.
    #[arg(long)]
    source: Option<String>,
    /// A count from the newest backup, a folder name, an object key, or an RFC 3339 time.
    #[arg(long, default_value = "latest")]
    backup: String,
    /// Make the database on this server, HOST or HOST:PORT; the schedule's where it is not given. Its disk and
    /// its processors do the work of a real restore.
    #[arg(long, required_unless_present = "schedule")]
    host: Option<String>,
    /// The role that restores, which needs CREATEDB; the schedule's where it is not given.
    #[arg(long, required_unless_present = "schedule")]
    user: Option<String>,
    #[command(flatten)]
    password: PasswordAsked,
    #[command(flatten)]
    identity: IdentityAsked,
    /// SQL that what has come back is asked, and that must not say false or null; may be given several times.
    #[arg(long)]
    sql: Vec<String>,
    /// Begin only one drill however often this is asked for under this name.
    #[arg(long)]
    request_id: Option<String>,
    /// Begin nothing, and say what would be proved.
    #[arg(long)]
    validate_only: bool,
    /// Do not try the server, the store and the backup before.
    #[arg(long)]
    skip_checks: bool,
    /// Wait until it has ended, and say how far it is meanwhile.
    #[arg(long)]
    pub(in crate::cli) wait: bool,
}

impl VerifyAsked {
    pub(in crate::cli) fn request(&self) -> Result<v1::VerifyBackupRequest, Failure> {
        if self.host.is_none() && self.user.is_none() && self.password.is_said() {
            let sentence =
                "the password goes with --user or --host: the schedule's own role has its own";
            return Err(Failure::refused(sentence));
        }
        let is_said = self.host.is_some() || self.user.is_some();
        let server = is_said.then(|| {
            let (host, port) = self
                .host
                .as_deref()
                .map(server)
                .transpose()?
                .unwrap_or_default();
            let (password, password_secret) = self.password.password()?;
            Ok::<_, Failure>(v1::DrillServer {
                host,
                port,
                user: self.user.clone().unwrap_or_default(),
                password,
                password_secret,
            })
        });
        let (identity, identity_secret) = self.identity.identity()?;
        // Each command is a drill of its own: an answer that was lost is not asked for again.
        let any = || uuid::Uuid::new_v4().to_string();
        Ok(v1::VerifyBackupRequest {
            schedule: self.schedule.clone().unwrap_or_default(),
            backup: self.backup.clone(),
            server: server.transpose()?,
            request_id: self.request_id.clone().unwrap_or_else(any),
            skip_checks: self.skip_checks,
            validate_only: self.validate_only,
            store: self.store.message()?,
            source: self.source.clone().unwrap_or_default(),
            sql: self.sql.clone(),
            identity,
            identity_secret,
        })
    }
}

/// Drills of a schedule at times of their own.
#[derive(Debug, Args)]
pub(super) struct ProvingAsked {
    /// When its newest backup is proved by a restore drill, as --cron has it and in its time zone.
    #[arg(long, value_name = "CRON")]
    verify: Option<String>,
    /// The server that drills make their database on, HOST or HOST:PORT; the schedule's where it is not given.
    #[arg(long, value_name = "HOST", requires = "verify")]
    verify_host: Option<String>,
    /// The role that restores there, which needs CREATEDB; the schedule's where it is not given.
    #[arg(long, value_name = "USER", requires = "verify")]
    verify_user: Option<String>,
    /// File with that role's password.
    #[arg(long, value_name = "FILE", requires = "verify")]
    verify_password_file: Option<PathBuf>,
    /// Kubernetes Secret that has it: NAME, or NAME/KEY with the key in it.
    #[arg(
        long,
        value_name = "SECRET",
        requires = "verify",
        conflicts_with = "verify_password_file"
    )]
    verify_password_secret: Option<String>,
    /// SQL that what has come back is asked, and that must not say false or null; may be given several times.
    #[arg(long, value_name = "SQL", requires = "verify")]
    verify_sql: Vec<String>,
}

impl ProvingAsked {
    /// None: there are to be no drills.
    pub(super) fn message(&self) -> Result<Option<v1::Verify>, Failure> {
        let Some(cron) = &self.verify else {
            return Ok(None);
        };
        let host = self.verify_host.as_deref().map(server).transpose()?;
        let (host, port) = host.unwrap_or_default();
        let file = self.verify_password_file.as_ref();
        let password = file.map(|it| read("--verify-password-file", it));
        let password = password.transpose()?;
        let server = v1::DrillServer {
            host,
            port,
            user: self.verify_user.clone().unwrap_or_default(),
            password: password.map_or_else(String::new, |it| it.expose_secret().to_owned()),
            password_secret: self.verify_password_secret.as_deref().map(password_secret),
        };
        let is_own = server == v1::DrillServer::default();
        Ok(Some(v1::Verify {
            cron: cron.clone(),
            server: (!is_own).then_some(server),
            sql: self.verify_sql.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::settings::Asked;

    #[test]
    fn a_drill_is_of_a_schedule_or_of_a_store_on_a_server_that_is_named() {
        let store = ["verify", "--store", "s3://backups"];
        for (arguments, is_right) in [
            (&["verify", "shop"][..], true),
            (
                &["verify", "shop", "--sql", "SELECT 1", "--sql", "SELECT 2"],
                true,
            ),
            (&["verify", "shop", "--host", "db", "--wait"], true),
            (&["verify"], false),
            (&store, false),
            (&[&store[..], &["--host", "db"]].concat(), false),
            (
                &[&store[..], &["--host", "db", "--user", "me"]].concat(),
                true,
            ),
            (&[&["verify", "shop"], &store[1..]].concat(), false),
        ] {
            let parsed = Asked::try_parse_from([&["scheduler"][..], arguments].concat());
            assert_eq!(parsed.is_ok(), is_right, "{arguments:?}: {parsed:?}");
        }
    }
}
