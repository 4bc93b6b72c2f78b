//! What a command is told: its arguments, and the environment. Secrets are never arguments, which anybody
//! on the machine can read.

mod options;
mod places;
mod restore;
mod retention;
mod schedule;
mod secrets;
mod stores;
mod verify;

use std::path::PathBuf;

use backuper::job::{Maybe, maybe};
use backuper::runtime::Failure;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use secrecy::SecretString;

use super::output::Format;
use crate::api::client::{Address, Trust};
use crate::api::proto::v1;
use crate::config::local::{SOCKET, data_dir};
pub(super) use restore::RestoreAsked;
pub(super) use retention::RetentionAsked;
pub(super) use schedule::{BackupAsked, BackupsAsked, DoctorAsked, PutAsked};
use secrets::read;
pub(super) use verify::VerifyAsked;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed; trying again may help
  2    refused, or asked for wrongly; trying again will not help
  3    the run that was waited for has not ended well, or doctor has found something wrong

Without a command the scheduler serves; `scheduler --help` is the table of its settings.";

/// Asks a running scheduler.
#[derive(Debug, Parser)]
#[command(name = "scheduler", version, about = "Asks a running scheduler.", after_help = EXIT_CODES)]
pub(super) struct Asked {
    #[command(subcommand)]
    pub(super) command: Command,
    /// How answers are printed.
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
    #[command(flatten, next_help_heading = "The scheduler")]
    pub(super) server: Server,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists the schedules: which databases are protected, since when, what failed last.
    Ls {
        /// Only those of these databases: HOST:PORT/DBNAME, where * stands for any text.
        #[arg(long)]
        database: Option<String>,
    },
    /// Shows all of a schedule or of a run.
    Show {
        /// The schedule's or the run's name.
        name: String,
    },
    /// Lists runs, the newest first.
    Runs(RunsAsked),
    /// Makes a backup of a schedule now.
    Run {
        /// The schedule's name.
        name: String,
        /// Begin only one backup however often this is asked for under this name.
        #[arg(long)]
        request_id: Option<String>,
        /// Wait until it has ended, and say how far it is meanwhile.
        #[arg(long)]
        wait: bool,
    },
    /// Makes a schedule what the arguments say, in everything; credentials that are not given stay.
    Put(Box<PutAsked>),
    /// Tries everything that would make a backup or a restore fail, and changes nothing.
    Doctor(DoctorAsked),
    /// Lists the backups of a schedule's database in its store, or those of a store.
    Backups(BackupsAsked),
    /// Shows all of a backup; with -o json its manifest too.
    Backup(BackupAsked),
    /// Deletes one backup.
    DeleteBackup {
        #[command(flatten)]
        backup: BackupAsked,
        /// Though it is the only complete one of its database.
        #[arg(long)]
        last: bool,
        /// Delete nothing, and say what would be.
        #[arg(long)]
        validate_only: bool,
    },
    /// Pins one backup, so that no retention removes it.
    Pin(BackupAsked),
    /// Takes one backup's pin away.
    Unpin(BackupAsked),
    /// Says which backups retention would keep and remove, and why.
    Retention(RetentionAsked),
    /// Restores a backup of a schedule, or one of a store.
    Restore(Box<RestoreAsked>),
    /// Proves a backup: restores it into a database of its own, compares that with what was dumped, and drops it.
    Verify(Box<VerifyAsked>),
    /// Lets a schedule rest.
    Suspend {
        /// The schedule's name.
        name: String,
    },
    /// Lets a schedule run at its times again.
    Resume {
        /// The schedule's name.
        name: String,
    },
    /// Deletes a schedule; its backups stay.
    Delete {
        /// The schedule's name.
        name: String,
    },
    /// Prints what the worker of a run has said.
    Logs {
        /// The run's name.
        run: String,
        /// Go on with what it says, until it has ended.
        #[arg(short, long)]
        follow: bool,
    },
    /// Waits until a run has ended, and says how far it is meanwhile.
    Watch {
        /// The run's name.
        run: String,
    },
    /// Ends a run.
    Cancel {
        /// The run's name.
        run: String,
    },
    /// Asks the scheduler whether it is healthy and what it serves.
    Probe,
    /// Prints the definitions of the operator's kinds, for kubectl apply.
    Crds,
    /// Prints what a shell needs to complete these commands.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Which runs.
#[derive(Debug, Args)]
pub(super) struct RunsAsked {
    /// Only those of this schedule.
    #[arg(long)]
    schedule: Option<String>,
    /// Only those of these databases: HOST:PORT/DBNAME, where * stands for any text.
    #[arg(long)]
    database: Option<String>,
    /// Only backups, or only restores.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Only those in this state; may be given several times.
    #[arg(long, value_enum)]
    state: Vec<State>,
    /// Only those that were asked for within this time, such as 24h or 7d.
    #[arg(long, value_parser = humantime::parse_duration)]
    since: Option<std::time::Duration>,
    /// How many at most.
    #[arg(short = 'n', long = "most", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) most: u16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Backup,
    Restore,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Waiting,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

impl RunsAsked {
    pub(super) fn request(&self) -> Result<v1::ListRunsRequest, Failure> {
        let since = self.since.map(|it| {
            let since = jiff::Timestamp::now().checked_sub(it);
            since.map_err(|_too_long| Failure::refused("--since: nothing is as old as that"))
        });
        let kind = match self.kind {
            None => v1::run::Kind::Unspecified,
            Some(Kind::Backup) => v1::run::Kind::Backup,
            Some(Kind::Restore) => v1::run::Kind::Restore,
        };
        let states = self.state.iter().map(|it| match it {
            State::Waiting => v1::run::State::Waiting,
            State::Running => v1::run::State::Running,
            State::Succeeded => v1::run::State::Succeeded,
            State::Failed => v1::run::State::Failed,
            State::Cancelled => v1::run::State::Cancelled,
            State::Expired => v1::run::State::Expired,
        });
        Ok(v1::ListRunsRequest {
            page_size: 0,
            page_token: String::new(),
            schedule: self.schedule.clone().unwrap_or_default(),
            database: self.database.clone().unwrap_or_default(),
            kind: kind.into(),
            states: states.map(Into::into).collect(),
            since: since.transpose()?.map(crate::api::client::time),
        })
    }
}

/// Which scheduler, and what it is shown.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// http://HOST:PORT, https://HOST:PORT or unix:/PATH; empty: the socket in DATA_DIR where there is one, and
    /// 127.0.0.1 at PORT otherwise.
    #[arg(long, env = "ADAPTER_ADDRESS", global = true, hide_env_values = true, default_value = "", hide_default_value = true, value_parser = maybe::<Address>)]
    address: Maybe<Address>,
    /// PEM file with the authorities of the scheduler's certificate; empty: the system's.
    #[arg(long, env = "ADAPTER_CA", global = true, default_value = "", hide_default_value = true, value_parser = maybe::<PathBuf>)]
    ca: Maybe<PathBuf>,
    /// PEM file with the certificate that is shown to the scheduler.
    #[arg(long, env = "ADAPTER_CERT", global = true, default_value = "", hide_default_value = true, value_parser = maybe::<PathBuf>)]
    cert: Maybe<PathBuf>,
    /// PEM file with the key of the certificate.
    #[arg(long, env = "ADAPTER_KEY", global = true, default_value = "", hide_default_value = true, value_parser = maybe::<PathBuf>)]
    key: Maybe<PathBuf>,
    /// File with the token that is shown to the scheduler; ADAPTER_TOKEN may have the token itself.
    #[arg(long, env = "ADAPTER_TOKEN_FILE", global = true, default_value = "", hide_default_value = true, value_parser = maybe::<PathBuf>)]
    token_file: Maybe<PathBuf>,
    /// Where a scheduler on this machine keeps what it has.
    #[arg(env = "DATA_DIR", long, hide = true, default_value = "", global = true, value_parser = data_dir)]
    data_dir: PathBuf,
    /// Its port.
    #[arg(env = "PORT", long, hide = true, default_value = "", global = true)]
    port: String,
}

impl Server {
    pub(super) fn address(&self) -> Address {
        if let Some(address) = &self.address {
            return address.clone();
        }
        let socket = self.data_dir.join(SOCKET);
        if socket.exists() {
            Address::Socket(socket)
        } else {
            let port = Some(self.port.as_str()).filter(|it| !it.is_empty());
            Address::Plain(format!("127.0.0.1:{}", port.unwrap_or("50051")))
        }
    }

    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        let identity = match (&self.cert, &self.key) {
            (Some(certificate), Some(key)) => Some([
                ("ADAPTER_CERT", certificate.clone()),
                ("ADAPTER_KEY", key.clone()),
            ]),
            (None, None) => None,
            _ => {
                let sentence = "ADAPTER_CERT and ADAPTER_KEY go together; set both or none";
                return Err(Failure::refused(sentence));
            }
        };
        Ok(Trust {
            authorities: self.ca.clone().map(|it| ("ADAPTER_CA", it)),
            identity,
        })
    }

    pub(super) fn token(&self) -> Result<Option<SecretString>, Failure> {
        match &self.token_file {
            Some(path) => read("ADAPTER_TOKEN_FILE", path).map(Some),
            None => Ok(backuper::runtime::settings::secret("ADAPTER_TOKEN")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn commands_and_settings_fit_together() {
        Asked::command().debug_assert();
        crate::config::Config::command().debug_assert();
    }

    #[test]
    fn a_backup_is_named_with_its_schedule_or_its_store() {
        for (arguments, is_right) in [
            (&["backup", "shop", "shop/1"][..], true),
            (
                &[
                    "backup",
                    "shop/1",
                    "--store",
                    "s3://backups",
                    "--source",
                    "db:5432/shop",
                ],
                true,
            ),
            (&["backup", "shop/1"], false),
            (
                &["backup", "shop", "shop/1", "--store", "s3://backups"],
                false,
            ),
            (&["delete-backup", "shop", "shop/1", "--last"], true),
            (&["pin", "shop", "shop/1"], true),
            (&["unpin", "shop"], false),
            (&["retention", "shop", "--keep-daily", "7"], true),
            (&["retention", "shop", "--keep-at-least", "0"], false),
            (
                &[
                    "restore",
                    "--store",
                    "s3://backups",
                    "--into",
                    "db:5432/shop",
                ],
                true,
            ),
            (&["restore", "shop", "--in-place", "--keep-going"], true),
            (
                &["restore", "shop", "--in-place", "--roles", "missing"],
                true,
            ),
            (&["restore", "shop", "--in-place", "--roles", "all"], false),
            (&["restore", "--store", "s3://backups", "--in-place"], false),
            (
                &[
                    "put",
                    "shop",
                    "--database",
                    "me@db/shop",
                    "--store",
                    "b",
                    "--cron",
                    "@daily",
                ],
                true,
            ),
            (&["put", "-f", "schedules.yaml"], true),
            (&["put", "shop", "--cron", "@daily"], false),
            (
                &["put", "-f", "schedules.yaml", "--format", "sql.gz"],
                false,
            ),
            (&["put", "-f", "schedules.yaml", "--keep-daily", "7"], false),
            (&["doctor"], false),
            (&["doctor", "--store", "s3://backups", "--ask-keys"], true),
        ] {
            let parsed = Asked::try_parse_from([&["scheduler"][..], arguments].concat());
            assert_eq!(parsed.is_ok(), is_right, "{arguments:?}: {parsed:?}");
        }
    }
}
