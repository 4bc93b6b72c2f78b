//! How much a pipe between a child and us holds.

use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};

/// Bytes that wait between a child and us, so that neither has to wait for the other at each of its
/// writes of 4 KiB. It is what anybody may ask for (pipe(7)); 64 KiB are the system's own.
const SIZE: i32 = 1 << 20;

/// The least that Linux gives a pipe.
const PAGE: i32 = 4 << 10;

/// Lets who writes into a pipe stand still soon.
pub(crate) fn narrow(pipe: &impl AsFd) {
    if let Err(error) = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PAGE)) {
        tracing::debug!(%error, "the pipe stays as large as it is");
    }
}

/// Makes room in a pipe that rows go through.
pub fn widen(pipe: &impl AsFd) {
    if let Err(error) = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(SIZE)) {
        tracing::debug!(%error, "the pipe stays as small as it is");
    }
}
