//! What a restore is asked for with.

use std::time::Duration;

use backuper::runtime::Failure;
use clap::{Args, ValueEnum};

use super::places::{PasswordAsked, target};
use super::secrets::IdentityAsked;
use super::stores::StoreAsked;
use crate::api::proto::v1;
use crate::api::proto::v1::restore_backup_request as request;

/// Which backup, and where to.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("place").required(true)))]
pub(in crate::cli) struct RestoreAsked {
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
    /// Over the schedule's own database, whose data the backup replaces.
    #[arg(long, group = "place", conflicts_with = "store")]
    in_place: bool,
    /// Into this database: DBNAME, or HOST:PORT/DBNAME of another server.
    #[arg(long, group = "place")]
    into: Option<String>,
    /// The role that restores; the schedule's where it is not given. One that backs up may read, and need
    /// not write.
    #[arg(long)]
    user: Option<String>,
    #[command(flatten)]
    password: PasswordAsked,
    #[command(flatten)]
    identity: IdentityAsked,
    /// auto: as the scheduler's RESTORE_MODE says; empty: only into a database that is missing or empty; swap: into a new one that takes the place of the one that is there, which is kept for a while.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Whose everything becomes: the owners that the backup names, or the role that restores.
    #[arg(long, value_enum)]
    owners: Option<Owners>,
    /// missing: make the roles that the backup needs and the target lacks, of the backup's globals.
    #[arg(long, value_enum)]
    roles: Option<Roles>,
    /// Leave out what cannot be made after the rows, and name it.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_going: Option<bool>,
    /// Do not begin when it has waited longer (15min, 1h); 0: however long.
    #[arg(long, value_parser = backuper::job::duration)]
    begin_within: Option<Duration>,
    /// Begin only one restore however often this is asked for under this name.
    #[arg(long)]
    request_id: Option<String>,
    /// Restore nothing, and say what would be.
    #[arg(long)]
    validate_only: bool,
    /// Do not try the database, the store and the backup before.
    #[arg(long)]
    skip_checks: bool,
    /// Wait until it has ended, and say how far it is meanwhile.
    #[arg(long)]
    pub(in crate::cli) wait: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    Auto,
    Empty,
    Swap,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Owners {
    Auto,
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Roles {
    None,
    Missing,
}

impl RestoreAsked {
    pub(in crate::cli) fn request(&self) -> Result<v1::RestoreBackupRequest, Failure> {
        if self.in_place && self.user.is_none() && self.password.is_said() {
            let sentence =
                "the password goes with --user or --into: the schedule's own role has its own";
            return Err(Failure::refused(sentence));
        }
        let own = || Ok((String::new(), 0, String::new()));
        let place = match &self.into {
            Some(into) => Some(target(into)),
            None => self.user.as_ref().map(|_| own()),
        };
        let target = place.map(|place| {
            let (host, port, dbname) = place?;
            let (password, password_secret) = self.password.password()?;
            Ok::<_, Failure>(v1::Target {
                host,
                port,
                dbname,
                user: self.user.clone().unwrap_or_default(),
                password,
                password_secret,
            })
        });
        let mode = match self.mode {
            Mode::Auto => request::Mode::Unspecified,
            Mode::Empty => request::Mode::Empty,
            Mode::Swap => request::Mode::Swap,
        };
        let owners = match self.owners {
            None => request::Owners::Unspecified,
            Some(Owners::Auto) => request::Owners::Auto,
            Some(Owners::None) => request::Owners::None,
        };
        let roles = match self.roles {
            None => request::Roles::Unspecified,
            Some(Roles::None) => request::Roles::None,
            Some(Roles::Missing) => request::Roles::Missing,
        };
        let begin_within = self.begin_within.map(prost_types::Duration::try_from);
        let begin_within = begin_within.transpose().map_err(|_too_long| {
            Failure::refused("--begin-within: it is longer than a duration can be")
        })?;
        let (identity, identity_secret) = self.identity.identity()?;
        // Each command is a restore of its own: an answer that was lost is not asked for again.
        let any = || uuid::Uuid::new_v4().to_string();
        Ok(v1::RestoreBackupRequest {
            schedule: self.schedule.clone().unwrap_or_default(),
            store: self.store.message()?,
            source: self.source.clone().unwrap_or_default(),
            backup: self.backup.clone(),
            target: target.transpose()?,
            mode: mode.into(),
            owners: owners.into(),
            roles: roles.into(),
            keep_going: self.keep_going,
            begin_within,
            in_place: self.in_place,
            identity,
            identity_secret,
            request_id: self.request_id.clone().unwrap_or_else(any),
            skip_checks: self.skip_checks,
            validate_only: self.validate_only,
        })
    }
}
