//! The restorer's binary: one task, which is a restore unless RESTORER_TASK says another; one exit code.

use std::process::ExitCode;

use backuper::runtime::failure;
use backuper::worker;
use restorer::job::{self, RestoreJob, SwapBackJob, Task};
use restorer::{run, swap};

fn main() -> std::io::Result<ExitCode> {
    match job::task() {
        Ok(Task::Restore) => {
            worker::run("restore", |job: &RestoreJob| &job.reporting, run::restore)
        }
        Ok(Task::SwapBack) => {
            worker::run("swap", |job: &SwapBackJob| &job.reporting, swap::swap_back)
        }
        Err(instead) => Ok(failure::refuse_to_start(instead)),
    }
}
