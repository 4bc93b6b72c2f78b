//! The backuper's binary: one backup, one exit code.

use std::process::ExitCode;

use backuper::job::BackupJob;
use backuper::run;
use backuper::worker;

fn main() -> std::io::Result<ExitCode> {
    worker::run("backup", |job: &BackupJob| &job.reporting, run::backup)
}
