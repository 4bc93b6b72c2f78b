//! After the backup, its copy in the second store.

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cleanup::Made;
use crate::copy::{self, Copied, Copying};
use crate::job::BackupJob;
use crate::report::Reporter;
use crate::runtime::{Failure, Shutdown};
use crate::storage::{self, Overlap};
use crate::summary::{self, Done};

/// How long a directory may take to say which it is.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(10);

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
        () = shutdown.overdue() => Err(copy::Error::Failed(Failure::try_again("not ended in time"))),
    };
    let copied = match copied {
        Ok(copied) => Ok(copied),
        Err(copy::Error::Failed(failure)) => Err(summary::NotCopied::Yet(failure.sentence)),
        Err(copy::Error::Refused(sentence)) => Err(summary::NotCopied::Ever(sentence)),
        // There is no backup, and whoever tries again makes another one.
        Err(error @ (copy::Error::Damaged(_) | copy::Error::Deleted(_))) => {
            let sentence = match error {
                copy::Error::Deleted(sentence) => {
                    format!("{sentence}, so there is no backup of this run; run the backup again")
                }
                damaged => damaged.to_string(),
            };
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

/// The second store, where there is one. What is known to be the first, or to lie in it, is refused; where that cannot
/// be known now, as of a directory whose server is down, the copy asks again.
pub(super) async fn second(job: &BackupJob) -> Result<Option<storage::Config>, Failure> {
    let Some(second) = job.copy.config().map_err(Failure::refused)? else {
        return Ok(None);
    };
    let first = job.store.config().map_err(Failure::refused)?;
    match overlap(&first, &second).await {
        Ok(None) => Ok(Some(second)),
        Ok(Some(overlap)) => Err(Failure::refused(refusal(&first, &second, overlap))),
        Err(error) => {
            tracing::debug!(%error, "nobody knows yet whether COPY_TO names another place");
            Ok(Some(second))
        }
    }
}

/// How the second store lies in the first, by its address and by what this machine says of a directory.
async fn overlap(first: &storage::Config, second: &storage::Config) -> io::Result<Option<Overlap>> {
    if let Some(overlap) = first.overlap(second) {
        return Ok(Some(overlap));
    }
    let (first, second) = (first.clone(), second.clone());
    let looking = tokio::task::spawn_blocking(move || first.overlap_on_disk(&second));
    tokio::time::timeout(LOOKED_AT_WITHIN, looking).await??
}

fn refusal(first: &storage::Config, second: &storage::Config, overlap: Overlap) -> String {
    let (first, second) = (first.name(), second.name());
    match overlap {
        Overlap::Same => format!(
            "COPY_TO names the same place as the backups' own store: {second} is {first}; name another place, or leave COPY_TO out"
        ),
        Overlap::Within => format!(
            "COPY_TO names a folder within the backups' own store: {second} lies in {first}, and is lost with it; name a place outside, or leave COPY_TO out"
        ),
    }
}

async fn copy(
    job: &BackupJob,
    second: &storage::Config,
    done: &Done,
    stop: &CancellationToken,
) -> Result<Copied, copy::Error> {
    let first = job.store.config().map_err(Failure::refused);
    let first = first.map_err(copy::Error::Failed)?;
    let layout = job.layout.layout().map_err(Failure::refused);
    let layout = layout.map_err(copy::Error::Failed)?;
    // Perhaps it could not be told before the backup.
    match overlap(&first, second).await {
        Ok(None) => {}
        Ok(Some(overlap)) => {
            return Err(copy::Error::Refused(refusal(&first, second, overlap)));
        }
        Err(error) => {
            let unknown = format!("{} cannot be looked at: {error}", second.name());
            return Err(copy::Error::Failed(Failure::try_again(unknown)));
        }
    }
    let from = storage::connect(&first).await;
    let from = from.map_err(copy::Error::here)?;
    let to = storage::connect(second).await;
    let to = to.map_err(copy::Error::there)?;
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
