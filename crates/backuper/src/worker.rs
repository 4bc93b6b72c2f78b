//! A worker's life: settings, logs, signals, one piece of work, one exit code.

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::job::ReportingSettings;
use crate::runtime::{Failure, Shutdown, failure, logging, settings};

/// Does one job, read from the environment, from its first line to its exit code. `what` is the
/// job's name in sentences.
///
/// # Errors
/// When the process cannot have threads or handlers of signals.
pub fn run<J: CommandFactory + FromArgMatches>(
    what: &'static str,
    reporting: fn(&J) -> &ReportingSettings,
    work: impl AsyncFnOnce(&J, &Shutdown) -> Result<String, Failure>,
) -> io::Result<ExitCode> {
    // Fails only when there is one already, and then it is this one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let job: J = match settings::read() {
        Ok(job) => job,
        Err(instead) => return Ok(failure::refuse_to_start(instead)),
    };
    let reporting = reporting(&job);
    logging::start(reporting.log_format);
    settings::warn_of_misspelt();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let shutdown = Shutdown::listen()?;
        let stopped = || Err(Failure::try_again("").or_stopped(&shutdown, what));
        let result = tokio::select! {
            result = work(&job, &shutdown) => result,
            () = shutdown.urged() => stopped(),
            () = shutdown.expired() => stopped(),
        };
        io::Result::Ok(result)
    })?;
    // A thread that hangs in a call of the system, such as one to a file server that is gone, would
    // be waited for without end.
    runtime.shutdown_background();
    Ok(failure::conclude(
        result,
        &reporting.termination_message_path,
    ))
}
