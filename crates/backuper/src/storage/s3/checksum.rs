//! By what a server proves that it has got the bytes that were sent: a CRC32C where it answers with
//! one, and the MD5 as which most give their tags.
//!
//! Checksums are headers here and never trailers: those come in `aws-chunked` bodies, which some
//! servers refuse and some store framing and all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::options::Checksum;
use crate::storage::crc32c::{crc32c, written};

/// What bodies are sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `x-amz-checksum-crc32c`, and a signature without the body's SHA-256, which TLS and the checksum stand in
    /// for: the stream's own is then the only one that is computed.
    Unsigned,
    /// `x-amz-checksum-crc32c`.
    Crc32c,
    /// `Content-MD5`.
    Md5,
}

impl Way {
    pub(super) fn has_crc32c(self) -> bool {
        matches!(self, Self::Unsigned | Self::Crc32c)
    }

    /// What is tried where a server refuses this one.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Unsigned => Some(Self::Crc32c),
            Self::Crc32c => Some(Self::Md5),
            Self::Md5 => None,
        }
    }
}

/// What the server takes, which clones share.
#[derive(Clone, Debug)]
pub(super) struct Known {
    found: Arc<AtomicU8>,
    /// What is tried first. In the clear the signature is what keeps others from changing a body.
    first: Way,
}

const UNTRIED: u8 = 0;
const UNSIGNED: u8 = 1;
const CRC32C: u8 = 2;
const MD5: u8 = 3;

impl Known {
    pub(super) fn of(setting: Checksum, over_tls: bool) -> Self {
        let found = match setting {
            Checksum::Auto => UNTRIED,
            Checksum::Crc32c => CRC32C,
            Checksum::Md5 => MD5,
        };
        Self {
            found: Arc::new(AtomicU8::new(found)),
            first: if over_tls { Way::Unsigned } else { Way::Crc32c },
        }
    }

    /// None where nobody has tried.
    pub(super) fn way(&self) -> Option<Way> {
        match self.found.load(Ordering::Relaxed) {
            UNSIGNED => Some(Way::Unsigned),
            CRC32C => Some(Way::Crc32c),
            MD5 => Some(Way::Md5),
            _ => None,
        }
    }

    /// What is tried before anything is known.
    pub(super) fn first(&self) -> Way {
        self.first
    }

    /// Notes what came of the first try; a setting stays.
    pub(super) fn note(&self, way: Way) {
        let value = match way {
            Way::Unsigned => UNSIGNED,
            Way::Crc32c => CRC32C,
            Way::Md5 => MD5,
        };
        let noted =
            self.found
                .compare_exchange(UNTRIED, value, Ordering::Relaxed, Ordering::Relaxed);
        if noted.is_ok() && way == Way::Md5 {
            tracing::info!(
                "the server has no x-amz-checksum-crc32c, so bodies are sent with Content-MD5"
            );
        }
    }
}

/// The digest of one body, as a request says it and an answer proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    Crc32c(u32),
    Md5([u8; 16]),
}

impl Digest {
    pub(super) fn of(way: Way, body: &Bytes) -> Self {
        match way {
            Way::Unsigned | Way::Crc32c => Self::Crc32c(crc32c(body)),
            Way::Md5 => Self::Md5(Md5::digest(body).into()),
        }
    }

    /// The header `x-amz-checksum-crc32c`.
    pub(super) fn crc32c(self) -> Option<String> {
        match self {
            Self::Crc32c(sum) => Some(written(sum)),
            Self::Md5(_) => None,
        }
    }

    /// The header `Content-MD5`.
    pub(super) fn md5(self) -> Option<String> {
        match self {
            Self::Md5(md5) => Some(STANDARD.encode(md5)),
            Self::Crc32c(_) => None,
        }
    }

    /// Whether an answer shows that the server has these bytes: by its own CRC32C of them, or by a tag
    /// that is their MD5. Some servers answer a CRC32C of whole objects and none of parts.
    pub(super) fn is_proven(self, body: &[u8], tag: &str, crc32c: Option<&str>) -> bool {
        match self {
            Self::Crc32c(_) if crc32c.is_some() => crc32c == self.crc32c().as_deref(),
            Self::Crc32c(_) => tag == hex::encode(Md5::digest(body)),
            Self::Md5(md5) => tag == hex::encode(md5),
        }
    }
}

/// The checksum of an object of parts: that of the parts' checksums, and their number.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>
pub(super) fn composite(parts: &[Digest]) -> Option<String> {
    let mut sums = Vec::with_capacity(parts.len() * 4);
    for part in parts {
        match part {
            Digest::Crc32c(sum) => sums.extend_from_slice(&sum.to_be_bytes()),
            Digest::Md5(_) => return None,
        }
    }
    let sum = written(crc32c(&sums));
    Some(format!("{sum}-{}", parts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As versitygw 1.8.0 and AWS answer.
    #[test]
    fn sums_are_those_that_servers_answer_with() {
        let body = b"hello";
        let part = Digest::of(Way::Crc32c, &Bytes::from_static(body));
        assert_eq!(part.crc32c().as_deref(), Some("mnG7TA=="));
        assert_eq!(composite(&[part]).as_deref(), Some("VwS2rA==-1"));
        assert!(part.is_proven(body, "any", Some("mnG7TA==")));
        assert!(!part.is_proven(body, "5d41402abc4b2a76b9719d911017c592", Some("AAAAAA==")));
        assert!(part.is_proven(body, "5d41402abc4b2a76b9719d911017c592", None));
        assert!(!part.is_proven(b"hellp", "5d41402abc4b2a76b9719d911017c592", None));
        let other = Digest::of(Way::Md5, &Bytes::from_static(b"hello"));
        assert!(other.is_proven(body, "5d41402abc4b2a76b9719d911017c592", None));
        assert!(!other.is_proven(body, "any", Some("mnG7TA==")));
        assert_eq!(composite(&[part, other]), None);
    }

    #[test]
    fn a_setting_outlives_what_a_try_shows() {
        let auto = Known::of(Checksum::Auto, false);
        assert_eq!(auto.first(), Way::Crc32c);
        assert_eq!(Known::of(Checksum::Auto, true).first(), Way::Unsigned);
        let clone = auto.clone();
        assert_eq!(auto.way(), None);
        auto.note(Way::Md5);
        assert_eq!(clone.way(), Some(Way::Md5));
        let set = Known::of(Checksum::Crc32c, true);
        set.note(Way::Md5);
        assert_eq!(set.way(), Some(Way::Crc32c));
    }
}
