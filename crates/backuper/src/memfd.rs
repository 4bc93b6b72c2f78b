//! A small file without a disk: children open it by its path, as often as they like.
//!
//! `pg_restore --jobs` and `--use-list` want files that can be sought in, libpq wants its authorities in one, and
//! workers write nothing to a disk. The kernel's memfd is such a file, and `/proc/PID/fd/N` is its path.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use nix::sys::memfd::{MFdFlags, memfd_create};

/// A file in memory; it is gone with this value.
#[derive(Debug)]
pub struct Memfd {
    file: File,
}

impl Memfd {
    /// A file that holds these bytes.
    ///
    /// # Errors
    /// What the system said.
    pub fn new(name: &str, bytes: &[u8]) -> std::io::Result<Self> {
        let descriptor = memfd_create(name, MFdFlags::MFD_CLOEXEC)?;
        let mut file = File::from(descriptor);
        file.write_all(bytes)?;
        Ok(Self { file })
    }

    /// Its path for processes of the same user.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.file.as_raw_fd()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_by_its_path_as_often_as_one_likes() {
        let file = Memfd::new("schema", b"words").unwrap();
        for _ in 0..2 {
            assert_eq!(std::fs::read(file.path()).unwrap(), b"words");
        }
    }
}
