//! CRC32C as S3 and Google Cloud Storage have it: Castagnoli's polynomial, four bytes of which the highest comes
//! first, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of bytes that come one after another.
#[derive(Debug)]
pub(super) struct Crc32c(Digest);

impl Crc32c {
    pub(super) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(&self) -> u32 {
        of_32_bits(self.0.finalize())
    }
}

/// The checksum of bytes that are there.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    of_32_bits(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes))
}

/// As headers and answers have it.
pub(super) fn written(checksum: u32) -> String {
    STANDARD.encode(checksum.to_be_bytes())
}

/// The library has room for longer ones.
fn of_32_bits(checksum: u64) -> u32 {
    u32::try_from(checksum).unwrap_or(u32::MAX)
}
