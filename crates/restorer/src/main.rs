//! The restorer's binary: one restore, one exit code.

use std::process::ExitCode;

use backuper::runtime::{Failure, Shutdown, outcome, settings, telemetry};
use restorer::job::RestoreJob;
use restorer::run;

fn main() -> anyhow::Result<ExitCode> {
    // Fails only when there is one already, and then it is this one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let job: RestoreJob = match settings::read() {
        Ok(job) => job,
        Err(instead) => return Ok(outcome::turn_away(instead)),
    };
    telemetry::start(job.reporting.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let shutdown = Shutdown::listen()?;
        let result = tokio::select! {
            result = run::restore(&job, &shutdown) => result,
            () = shutdown.urged() => Err(Failure::try_again("").or_stopped(&shutdown, "restore")),
        };
        anyhow::Ok(result)
    })?;
    Ok(outcome::conclude(
        result,
        &job.reporting.termination_message_path,
    ))
}
