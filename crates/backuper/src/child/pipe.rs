//! How much a pipe between a child and us holds.

use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};

/// Bytes that wait between a child and us, so that neither has to wait for the other at each of its
/// writes of 4 KiB. It is what anybody may ask for (pipe(7)); 64 KiB are the system's own.
const SIZE: i32 = 1 << 20;

/// Makes room in a pipe that rows go through.
pub fn widen(pipe: &impl AsFd) {
    if let Err(error) = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(SIZE)) {
        tracing::debug!(%error, "the pipe stays as small as it is");
    }
}
