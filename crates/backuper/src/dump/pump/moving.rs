//! The ends of what moves the rows of a stream: pg_dump or the COPY in its place, the codec, and the upload.

use std::io;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::super::copy_out::{self, Copying};
use super::super::{Error, Part};
use crate::child::{self, Child};
use crate::postgres::{self, Target};
use crate::storage::{self, Upload};

pub(super) enum Broken {
    Child(child::Error),
    Copy(postgres::Error),
    Upload(storage::Error),
}

/// Waits for the end of pg_dump, or of the COPY that is to follow it as soon as that has begun: then pg_dump is
/// ended.
pub(super) async fn ended(
    child: &mut Child,
    mut taking: oneshot::Receiver<Copying>,
    target: &Target,
    stop: &CancellationToken,
) -> Result<(), Broken> {
    let taken = tokio::select! {
        biased;
        Ok(copying) = &mut taking => Some(copying),
        ended = child.ended(stop) => {
            ended.map_err(Broken::Child)?;
            // Its place may be taken at this very moment; from now on it is not.
            taking.close();
            taking.try_recv().ok()
        }
    };
    let Some(copying) = taken else { return Ok(()) };
    child.stop().await;
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(Broken::Child(child::Error::Stopped {
            program: child.name().to_owned(),
        })),
        ended = copying.ended(target) => ended.map_err(Broken::Copy),
    }
}

/// Waits for the end of both, of the rows and what they were moved to. What fails ends it at once, also while
/// nobody reads of it yet.
pub(super) async fn move_all(
    ending: impl Future<Output = Result<(), Broken>>,
    moving: impl Future<Output = Result<(), storage::Error>>,
    stop: &CancellationToken,
) -> Result<(), Broken> {
    tokio::pin!(moving, ending);
    tokio::select! {
        biased;
        moved = &mut moving => {
            moved.map_err(Broken::Upload)?;
            ending.await
        }
        ended = &mut ending => {
            ended?;
            tokio::select! {
                biased;
                () = stop.cancelled() => Ok(()),
                moved = moving => moved.map_err(Broken::Upload),
            }
        }
    }
}

pub(super) async fn deliver(
    receiver: &mut mpsc::Receiver<Bytes>,
    upload: &mut dyn Upload,
) -> Result<(), storage::Error> {
    while let Some(chunk) = receiver.recv().await {
        upload.write(chunk).await?;
    }
    Ok(())
}

/// Why a COPY has broken: where its rows are none that can be stored, because nobody read on.
pub(super) async fn not_copied(
    part: &Part,
    source: postgres::Error,
    encoder: JoinHandle<io::Result<u64>>,
) -> Error {
    let name = part.name.clone();
    if let Ok(Err(error)) = encoder.await
        && let Some(reason) = copy_out::unfit(&error)
    {
        return Error::Unfit { name, reason };
    }
    Error::Copy { name, source }
}
