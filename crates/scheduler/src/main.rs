//! The scheduler's binary: parse, start, serve, exit code; or ask one that serves.

use std::path::Path;
use std::process::ExitCode;

use backuper::runtime::{Shutdown, failure, logging, settings};
use scheduler::config::Config;
use scheduler::{cli, run};

fn main() -> anyhow::Result<ExitCode> {
    // Fails only when there is one already, and then it is this one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let first = std::env::args_os().nth(1);
    if cli::is_asked(first.as_deref()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        return Ok(runtime.block_on(cli::run()));
    }
    let config: Config = match settings::read() {
        Ok(config) => config,
        Err(instead) => return Ok(failure::refuse_to_start(instead)),
    };
    logging::start(config.workers.log_format);
    settings::warn_of_misspelt();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let shutdown = Shutdown::listen()?;
        anyhow::Ok(Box::pin(run::scheduler(&config, &shutdown)).await)
    })?;
    // Whatever has not ended by now is given up.
    runtime.shutdown_background();
    Ok(failure::conclude(result, Path::new("/dev/termination-log")))
}
