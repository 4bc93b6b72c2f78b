//! The pipes through which a script goes to psql, and the thread that copies it.

use std::fs::File;

use backuper::child::{Child, pipe};
use backuper::runtime::Failure;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use super::pieces::{Piece, Pieces};
use crate::archive::binary::Marker;

pub(super) fn pipe() -> Result<(std::io::PipeReader, std::io::PipeWriter), Failure> {
    let ends = std::io::pipe().map_err(|error| none(&error))?;
    pipe::widen(&ends.1);
    Ok(ends)
}

pub(super) fn none(error: &std::io::Error) -> Failure {
    Failure::try_again(format!("no pipe: {error}"))
}

pub(super) type Copying = JoinHandle<std::io::Result<u64>>;

/// What pg_restore writes, on its way into our transaction.
pub(super) fn copied(program: &mut Child) -> Result<(std::io::PipeReader, Copying), Failure> {
    let script = File::from(stdout(program)?);
    pipe::widen(&script);
    let (reader, writer) = pipe()?;
    let copying = tokio::task::spawn_blocking(move || super::archive::copy(script, writer));
    Ok((reader, copying))
}

/// As [`copied`], of rows, some of which are binary ones behind the marker.
pub(super) fn taken_apart(
    program: &mut Child,
    marker: Option<&Marker>,
) -> Result<(mpsc::Receiver<Piece>, Copying), Failure> {
    let script = File::from(stdout(program)?);
    pipe::widen(&script);
    let (mut pieces, receiver) = Pieces::of(marker);
    let copying = tokio::task::spawn_blocking(move || {
        let bytes = super::archive::copy(script, &mut pieces)?;
        pieces.finish()?;
        Ok(bytes)
    });
    Ok((receiver, copying))
}

pub(super) fn whole(
    what: &str,
    copied: Result<std::io::Result<u64>, JoinError>,
) -> Result<(), Failure> {
    match copied.map_err(std::io::Error::other).flatten() {
        Ok(_bytes) => Ok(()),
        Err(error) => Err(Failure::try_again(format!(
            "{what}: its script broke: {error}"
        ))),
    }
}

fn stdout(child: &mut Child) -> Result<std::os::fd::OwnedFd, Failure> {
    child
        .take_stdout()
        .and_then(|it| it.into_owned_fd().ok())
        .ok_or_else(|| Failure::try_again("pg_restore has no stdout"))
}
