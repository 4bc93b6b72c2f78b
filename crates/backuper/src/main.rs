//! The backuper's binary: one task, which is a backup unless BACKUPER_TASK says another; one exit code.

use std::process::ExitCode;

use backuper::deletion::pin;
use backuper::job::{BackupJob, CheckJob, DeleteJob, ListJob, PinJob, PreviewJob, ShowJob};
use backuper::runtime::failure;
use backuper::runtime::settings::{self, Task};
use backuper::{databases, deletion, doctor, listing, preview, worker};

fn main() -> std::io::Result<ExitCode> {
    match settings::task() {
        Ok(Task::Backup) => worker::run(
            "backup",
            |job: &BackupJob| &job.reporting,
            databases::backup,
        ),
        Ok(Task::List) => worker::run("list", |job: &ListJob| &job.reporting, listing::list),
        Ok(Task::Show) => worker::run("look", |job: &ShowJob| &job.reporting, listing::show),
        Ok(Task::Delete) => worker::run(
            "deletion",
            |job: &DeleteJob| &job.reporting,
            deletion::delete,
        ),
        Ok(Task::Pin) => worker::run("pin", |job: &PinJob| &job.reporting, pin::pin),
        Ok(Task::Unpin) => worker::run("unpin", |job: &PinJob| &job.reporting, pin::unpin),
        Ok(Task::Retention) => worker::run(
            "preview",
            |job: &PreviewJob| &job.reporting,
            preview::preview,
        ),
        Ok(Task::Check) => worker::run("check", |job: &CheckJob| &job.reporting, doctor::check),
        Err(instead) => Ok(failure::refuse_to_start(instead)),
    }
}
