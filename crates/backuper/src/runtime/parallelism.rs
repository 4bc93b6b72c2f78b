//! How much a run does side by side.

use std::num::{NonZeroU16, NonZeroUsize};
use std::thread::available_parallelism;

/// Streams side by side where nobody says how many.
const DEFAULT_JOBS: u16 = 4;

/// Cores that this process may use, as far as the system says; a container's limit counts.
#[must_use]
pub fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Streams that are read at once, in a backup as in a restore: as many as asked for, or one for each core and four at most.
#[must_use]
pub fn jobs(asked: Option<NonZeroU16>, cores: usize) -> u16 {
    asked.map_or_else(
        || u16::try_from(cores).map_or(DEFAULT_JOBS, |it| it.min(DEFAULT_JOBS)),
        NonZeroU16::get,
    )
}
