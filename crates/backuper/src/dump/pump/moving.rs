//! The ends of what moves the rows of a stream: pg_dump or the COPY in its place, the codec, and the upload.

use std::io;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use super::super::copy_out::{self, Copying};
use super::super::{Error, Part, broken};
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

/// Why a COPY has broken: because nobody read on, where the codec says why, or for a reason of its own.
pub(super) async fn not_copied(
    part: &Part,
    source: postgres::Error,
    encoder: JoinHandle<io::Result<u64>>,
) -> Error {
    match encoded(part, encoder.await) {
        Err(Encoding::Broken(error)) => error,
        Ok(_) | Err(Encoding::CutOff(_)) => Error::Copy {
            name: part.name.clone(),
            source,
        },
    }
}

/// Why a stream has no bytes that can be stored.
pub(super) enum Encoding {
    /// For a reason of its own.
    Broken(Error),
    /// Because what it reads, or who takes what it writes, has ended before.
    CutOff(io::Error),
}

/// How many bytes the codec has read.
pub(super) fn encoded(
    part: &Part,
    ended: Result<io::Result<u64>, JoinError>,
) -> Result<u64, Encoding> {
    let error = match ended {
        Ok(Ok(raw)) => return Ok(raw),
        Ok(Err(error)) => error,
        Err(error) => return Err(Encoding::Broken(broken(part, error.to_string()))),
    };
    Err(match copy_out::unfit(&error) {
        Some(reason) => Encoding::Broken(Error::Unfit {
            name: part.name.clone(),
            reason,
        }),
        None if is_cut_off(&error) => Encoding::CutOff(error),
        None => Encoding::Broken(broken(part, error.to_string())),
    })
}

fn is_cut_off(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, Interrupted, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | Interrupted | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::manifest::Content;

    #[test]
    fn who_reads_rows_that_have_no_text_is_believed_before_who_sends_them() {
        let part = Part {
            name: "data-001.dump.zst".to_owned(),
            content: Content::Tables,
            tables: Vec::new(),
            sessions: 1,
            large_objects: 0,
            selection: Vec::new(),
        };
        let ended = |error: io::Error| encoded(&part, Ok(Err(error)));
        assert_eq!(encoded(&part, Ok(Ok(7))).ok(), Some(7));
        let unfit = ended(copy_out::too_long("public.t")).err().unwrap();
        assert!(matches!(unfit, Encoding::Broken(Error::Unfit { .. })));
        let broke = ended(io::ErrorKind::BrokenPipe.into()).err().unwrap();
        assert!(matches!(broke, Encoding::CutOff(_)));
        let other = ended(io::Error::other("no room")).err().unwrap();
        assert!(matches!(other, Encoding::Broken(Error::Broken { .. })));
    }
}
