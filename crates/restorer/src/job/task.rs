//! What a restorer is to do.

use std::str::FromStr;

use backuper::runtime::settings::{self, Instead};

/// What a restorer is to do: its settings are others for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Restore a backup.
    Restore,
    /// Bring back the database in whose place a swap restore has put another one.
    SwapBack,
}

impl FromStr for Task {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "restore" => Ok(Self::Restore),
            "swap-back" => Ok(Self::SwapBack),
            _ => Err("restore or swap-back is needed"),
        }
    }
}

/// What it is to do, by `RESTORER_TASK`.
///
/// # Errors
/// A sentence where the variable has none of the words.
pub fn task() -> Result<Task, Instead> {
    settings::task_of("RESTORER_TASK")
}
