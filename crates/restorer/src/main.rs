//! The restorer's binary: one restore, one exit code.

use std::process::ExitCode;

use backuper::worker;
use restorer::job::RestoreJob;
use restorer::run;

fn main() -> std::io::Result<ExitCode> {
    worker::run("restore", |job: &RestoreJob| &job.reporting, run::restore)
}
