//! What a restorer is told that brings back a database in whose place a swap restore has put another one.

use std::time::Duration;

use backuper::job::{DatabaseSettings, EXIT_CODES, Maybe, ReportingSettings, maybe};
use clap::Parser;

use super::keep_old;

/// Everything that it takes.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "restorer",
    version,
    about = "Brings back the database in whose place a swap restore has put another one (RESTORER_TASK=swap-back).",
    after_help = EXIT_CODES
)]
pub struct SwapBackJob {
    /// The database, by the name that both have had.
    #[command(flatten, next_help_heading = "Database")]
    pub database: DatabaseSettings,

    /// The name of the database that is kept and is to come back; empty: the one that was kept last.
    #[arg(help_heading = "Swap back", env = "SWAP_BACK_TO", default_value = "", value_parser = maybe::<String>)]
    pub to: Maybe<String>,

    /// How long the database that is there now is kept (24h, 7days); 0: it is dropped when the other one has its name.
    #[arg(help_heading = "Swap back", env = "KEEP_OLD", default_value = "24h", value_parser = keep_old)]
    pub keep_old: Duration,

    /// How to log.
    #[command(flatten, next_help_heading = "Reporting")]
    pub reporting: ReportingSettings,
}
