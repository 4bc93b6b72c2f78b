//! How long runs may take, on either engine.

use std::time::Duration;

use backuper::job::{Maybe, duration};
use clap::Args;

use crate::domain::limits::Limits;

/// How long runs may take, on either engine.
#[derive(Clone, Debug, Args)]
pub struct RunLimits {
    /// How long a backup may take, retries included; empty: three times its schedule's interval, from 2h to 1d.
    #[arg(env = "BACKUP_DEADLINE", default_value = "", value_parser = backup_deadline)]
    pub backup_deadline: Maybe<Duration>,

    /// How long a restore may take.
    #[arg(env = "RESTORE_DEADLINE", default_value = "1d", value_parser = length::<86400>)]
    pub restore_deadline: Duration,
}

impl RunLimits {
    /// In the domain's words.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            backup: self.backup_deadline,
            restore: self.restore_deadline,
        }
    }
}

/// A duration of a second or more; empty is the default, in seconds.
pub(super) fn length<const DEFAULT: u64>(text: &str) -> Result<Duration, String> {
    let length = match text {
        "" => Duration::from_secs(DEFAULT),
        text => duration(text)?,
    };
    if length.as_secs() == 0 {
        return Err("a duration of a second or more is needed, such as 90s, 5min or 1d".to_owned());
    }
    Ok(length)
}

fn backup_deadline(text: &str) -> Result<Maybe<Duration>, String> {
    match text {
        "" => Ok(None),
        text => length::<0>(text).map(Some),
    }
}
