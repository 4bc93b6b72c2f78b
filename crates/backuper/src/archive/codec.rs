//! From pg_dump's bytes to the bucket's and back: zstd, gzip, or nothing, and encryption around it or none.
//!
//! Both directions block and belong into a thread of their own (`spawn_blocking`); memory is the
//! codec's window and one chunk, two where it is encrypted.

mod gzip;

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::encryption::{Identities, Recipients};
use super::manifest::{Compression, Manifest, Stream};

/// Bytes that are handed on at once.
pub const CHUNK: usize = 256 << 10;

/// How strongly to compress: zstd's level, 1 to 19. gzip knows no more than nine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionLevel(i32);

impl CompressionLevel {
    /// The level as zstd takes it.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }

    /// The level as gzip takes it: what is beyond its strongest is that.
    #[must_use]
    fn of_gzip(self) -> u32 {
        u32::try_from(self.0.clamp(1, 9)).unwrap_or(1)
    }
}

impl Default for CompressionLevel {
    fn default() -> Self {
        Self(1)
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for CompressionLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for CompressionLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        match text.parse() {
            Ok(level @ 1..=19) => Ok(Self(level)),
            _ => Err("a whole number from 1 to 19 is needed".to_owned()),
        }
    }
}

/// How to encode.
#[derive(Clone, Debug)]
pub struct Encoding {
    /// What to put around the bytes.
    pub compression: Compression,
    /// How strongly.
    pub level: CompressionLevel,
    /// Threads besides ours that compress; 0: ours does.
    pub threads: u32,
    /// Who alone can read it; none: everybody.
    pub recipients: Option<Recipients>,
}

/// How to decode.
#[derive(Clone, Debug)]
pub struct Decoding {
    /// What is around pg_dump's bytes.
    pub compression: Compression,
    /// The keys to what is around that; none: it is not encrypted.
    pub identities: Option<Identities>,
}

impl Decoding {
    /// Of what is not encrypted.
    #[must_use]
    pub fn plain(compression: Compression) -> Self {
        Self {
            compression,
            identities: None,
        }
    }

    /// Of a stream, as its manifest says.
    #[must_use]
    pub fn of(manifest: &Manifest, stream: &Stream, identities: &Identities) -> Self {
        let encryption = manifest.encryption.as_ref();
        Self {
            compression: stream.compression,
            identities: encryption.map(|_| identities.clone()),
        }
    }
}

/// The version of libzstd that is linked in.
#[must_use]
pub fn zstd_version() -> String {
    zstd::zstd_safe::version_string().to_owned()
}

/// Reads `source` to its end and gives the encoded bytes to `sink`; `progress` hears of the bytes
/// that were read. Gives the bytes that were read in all.
///
/// # Errors
/// Those of `source` and `sink`.
pub fn encode(
    source: impl Read,
    encoding: &Encoding,
    sink: impl FnMut(Bytes) -> io::Result<()>,
    progress: impl FnMut(u64),
) -> io::Result<u64> {
    let chunks = Chunks::new(sink);
    let Some(recipients) = &encoding.recipients else {
        let (raw, chunks) = compress(source, encoding, chunks, progress)?;
        chunks.finish()?;
        return Ok(raw);
    };
    let encrypting = recipients.encrypt(chunks)?;
    let (raw, encrypting) = compress(source, encoding, encrypting, progress)?;
    encrypting.finish()?.finish()?;
    Ok(raw)
}

fn compress<W: Write>(
    source: impl Read,
    encoding: &Encoding,
    mut sink: W,
    mut progress: impl FnMut(u64),
) -> io::Result<(u64, W)> {
    match encoding.compression {
        Compression::None => {
            let raw = copy(source, &mut sink, &mut progress)?;
            Ok((raw, sink))
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(sink, encoding.level.get())?;
            encoder.include_checksum(true)?;
            if encoding.threads > 0 {
                encoder.multithread(encoding.threads)?;
            }
            let raw = copy(source, &mut encoder, &mut progress)?;
            Ok((raw, encoder.finish()?))
        }
        Compression::Gzip => {
            let (level, threads) = (encoding.level.of_gzip(), encoding.threads);
            let raw = gzip::encode(source, &mut sink, level, threads, progress)?;
            Ok((raw, sink))
        }
    }
}

/// The decoded bytes of `source`: of all members of a gzip. Its end in the middle of a frame is an error,
/// never a short result.
///
/// # Errors
/// What zstd cannot begin with, and where it is encrypted, [`Unopened`](super::encryption::Unopened) in an
/// `Other`. Reading gives the errors of `source`, and `UnexpectedEof`, `InvalidData`,
/// `InvalidInput` or `Other` for damaged data.
pub fn decoder<'a>(source: impl Read + 'a, decoding: &Decoding) -> io::Result<Box<dyn Read + 'a>> {
    match &decoding.identities {
        None => decompress(source, decoding.compression),
        Some(identities) => {
            let open = identities.decrypt(source).map_err(io::Error::other)?;
            decompress(open, decoding.compression)
        }
    }
}

fn decompress<'a>(
    source: impl Read + 'a,
    compression: Compression,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(source)?;
            // `zstd --long=27` and every level of this program fit.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
        Compression::Gzip => Box::new(MultiGzDecoder::new(source)),
    })
}

fn copy(
    mut source: impl Read,
    sink: &mut impl Write,
    progress: &mut impl FnMut(u64),
) -> io::Result<u64> {
    let mut buffer = vec![0; 128 << 10];
    let mut total = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        sink.write_all(&buffer[..count])?;
        total += count as u64;
        progress(count as u64);
    }
}

/// Gathers small writes into chunks.
struct Chunks<F> {
    gathered: Vec<u8>,
    sink: F,
}

impl<F: FnMut(Bytes) -> io::Result<()>> Chunks<F> {
    fn new(sink: F) -> Self {
        Self {
            gathered: Vec::with_capacity(CHUNK),
            sink,
        }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        let full = std::mem::replace(&mut self.gathered, Vec::with_capacity(CHUNK));
        (self.sink)(Bytes::from(full))
    }

    fn finish(mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let rest = std::mem::take(&mut self.gathered);
        (self.sink)(Bytes::from(rest))
    }
}

impl<F: FnMut(Bytes) -> io::Result<()>> Write for Chunks<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK - self.gathered.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.gathered.extend_from_slice(taken);
        if self.gathered.len() == CHUNK {
            self.hand_on()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(bytes: &[u8], compression: Compression, threads: u32) -> Vec<u8> {
        encoded_to(None, bytes, compression, threads)
    }

    fn encoded_to(
        recipients: Option<Recipients>,
        bytes: &[u8],
        compression: Compression,
        threads: u32,
    ) -> Vec<u8> {
        let mut stored = Vec::new();
        let encoding = Encoding {
            compression,
            level: CompressionLevel::default(),
            threads,
            recipients,
        };
        let sink = |chunk: Bytes| {
            stored.extend_from_slice(&chunk);
            Ok(())
        };
        let raw = encode(bytes, &encoding, sink, |_| {}).unwrap();
        assert_eq!(raw, bytes.len() as u64);
        stored
    }

    fn decoded(stored: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
        decoded_with(None, stored, compression)
    }

    fn decoded_with(
        identities: Option<Identities>,
        stored: &[u8],
        compression: Compression,
    ) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        let decoding = Decoding {
            compression,
            identities,
        };
        decoder(stored, &decoding)?.read_to_end(&mut back)?;
        Ok(back)
    }

    #[test]
    fn a_truncated_stream_is_an_error_and_not_a_short_result() {
        let rows: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let stored = encoded(&rows, Compression::Zstd, 1);
        for per_cent in [10, 60, 99] {
            let cut = &stored[..stored.len() * per_cent / 100];
            assert!(decoded(cut, Compression::Zstd).is_err(), "{per_cent} %");
        }
    }

    /// Whatever its size and however many threads: what any gzip program reads whole, `gunzip` for one.
    #[test]
    fn a_gzip_is_one_member_whoever_has_made_it() {
        let rows: Vec<u8> = (0..1_500_000u32)
            .flat_map(|it| (it / 7).to_le_bytes())
            .collect();
        for size in [0, 1, 512 << 10, (512 << 10) + 1, rows.len()] {
            let rows = &rows[..size];
            for threads in [0, 1, 3] {
                let stored = encoded(rows, Compression::Gzip, threads);
                let mut one = flate2::read::GzDecoder::new(stored.as_slice());
                let mut back = Vec::new();
                one.read_to_end(&mut back).unwrap();
                assert!(back == rows, "{size} bytes, {threads} threads");
                assert_eq!(one.into_inner().len(), 0, "all of it is one member");
            }
        }
    }

    #[test]
    fn a_gzip_that_is_cut_or_changed_or_followed_by_something_is_an_error() {
        let rows: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let stored = encoded(&rows, Compression::Gzip, 2);
        for cut in [5, 10, stored.len() / 2, stored.len() - 8, stored.len() - 1] {
            assert!(decoded(&stored[..cut], Compression::Gzip).is_err(), "{cut}");
        }
        let mut flipped = stored.clone();
        flipped[stored.len() / 2] ^= 1;
        assert!(decoded(&flipped, Compression::Gzip).is_err());
        let followed = [stored.as_slice(), b"DROP"].concat();
        assert!(decoded(&followed, Compression::Gzip).is_err());
        // Another member is read as gunzip reads it.
        let twice = [stored.as_slice(), stored.as_slice()].concat();
        assert_eq!(
            decoded(&twice, Compression::Gzip).unwrap().len(),
            2 * rows.len()
        );
    }

    fn keys() -> (Recipients, Identities) {
        let key = age::x25519::Identity::generate();
        let recipients = key.to_public().to_string().parse().unwrap();
        (recipients, Identities::read(&key.to_string()).unwrap())
    }

    /// Whole chunks of an encrypted stream are left, each of which opens.
    #[test]
    fn an_encrypted_stream_that_is_cut_or_changed_is_an_error() {
        let (recipients, identities) = keys();
        let bytes: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        for compression in [Compression::None, Compression::Zstd, Compression::Gzip] {
            let stored = encoded_to(Some(recipients.clone()), &bytes, compression, 0);
            let read = |stored: &[u8]| decoded_with(Some(identities.clone()), stored, compression);
            assert_eq!(read(&stored).unwrap(), bytes);
            // A head of two stanzas and its MAC, a nonce; each chunk has a tag of 16 bytes.
            let head = stored.windows(4).position(|it| it == b"--- ").unwrap() + 48 + 16;
            for cut in [0, 10, head, head + (64 << 10) + 16, stored.len() - 1] {
                assert!(read(&stored[..cut]).is_err(), "{cut}");
            }
            for flipped in [30, head - 1, head + 100_000, stored.len() - 1] {
                let mut changed = stored.clone();
                changed[flipped] ^= 1;
                assert!(read(&changed).is_err(), "{flipped}");
            }
            assert!(read(&[&stored[..], b"x"].concat()).is_err());
            let (_, others) = keys();
            let error = decoded_with(Some(others), &stored, compression).unwrap_err();
            assert!(
                error.to_string().contains("none of the private keys"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_is_an_error() {
        let mut stored = encoded(&[7; 100_000], Compression::Zstd, 0);
        let last = stored.len() - 1;
        stored[last] ^= 1;
        assert!(decoded(&stored, Compression::Zstd).is_err());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(bytes: Vec<u8>, threads in 0u32..3) {
            for compression in [Compression::None, Compression::Zstd, Compression::Gzip] {
                let stored = encoded(&bytes, compression, threads);
                prop_assert_eq!(&decoded(&stored, compression).unwrap(), &bytes);
            }
        }
    }
}
