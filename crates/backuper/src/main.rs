//! The backuper's binary: one backup, or one list of them; one exit code.

use std::process::ExitCode;

use backuper::job::{BackupJob, ListJob};
use backuper::runtime::{failure, settings};
use backuper::{listing, run, worker};

fn main() -> std::io::Result<ExitCode> {
    match settings::is_to_list() {
        Ok(false) => worker::run("backup", |job: &BackupJob| &job.reporting, run::backup),
        Ok(true) => worker::run("list", |job: &ListJob| &job.reporting, listing::list),
        Err(instead) => Ok(failure::refuse_to_start(instead)),
    }
}
