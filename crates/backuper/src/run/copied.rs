//! After the backup, its copy in the second store.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cleanup::Made;
use crate::copy::{self, Copied, Copying};
use crate::job::BackupJob;
use crate::report::Reporter;
use crate::runtime::{Failure, Shutdown};
use crate::storage;
use crate::summary::{self, Done};

/// Copies a backup that is complete, of which everybody has been told, and tells what has become of the copy;
/// gives the sentence that ends the log.
pub(super) async fn copied(
    job: &BackupJob,
    second: &storage::Config,
    (done, elapsed): (&Done, Duration),
    reporter: &Reporter,
    shutdown: &Shutdown,
) -> Result<String, Failure> {
    let copied = tokio::select! {
        copied = copy(job, second, done, shutdown.token()) => copied,
        () = shutdown.overdue() => Err(Failure::try_again("not ended in time").into()),
    };
    let copied = match copied {
        Ok(copied) => Ok(copied),
        Err(copy::Error::Failed(failure)) => Err(failure),
        Err(copy::Error::Damaged(sentence)) => {
            let outcome = Err(Failure::try_again(sentence));
            let gauges = summary::gauges(&outcome, elapsed);
            reporter.report(false, elapsed, gauges).await;
            return outcome.map(|_: Done| String::new());
        }
    };
    let gauges = summary::gauges_of_copy(done, elapsed, &copied);
    reporter.push(gauges).await;
    summary::with_copy(&done.sentence(elapsed), second, copied)
}

/// The second store, where there is one.
pub(super) fn second(job: &BackupJob) -> Result<Option<storage::Config>, String> {
    let Some(second) = job.copy.config()? else {
        return Ok(None);
    };
    if job.store.config()?.is_same_place_as(&second) {
        return Err("COPY_TO names the same place as the backups' own store; name another one, or leave it out".to_owned());
    }
    Ok(Some(second))
}

async fn copy(
    job: &BackupJob,
    second: &storage::Config,
    done: &Done,
    stop: &CancellationToken,
) -> Result<Copied, copy::Error> {
    let first = job.store.config().map_err(Failure::refused)?;
    let layout = job.layout.layout().map_err(Failure::refused)?;
    let (from, to) = (
        storage::connect(&first).await?,
        storage::connect(second).await?,
    );
    let copying = Copying {
        from: from.as_ref(),
        to: to.as_ref(),
        layout: &layout,
        stop,
    };
    let made = Made {
        folder: &done.folder,
        manifest: &done.manifest,
        rules: &job.copy.retention.rules(),
        objects: job.copy.retention.objects,
        layout: &layout,
    };
    Box::pin(copying.all(made)).await
}
