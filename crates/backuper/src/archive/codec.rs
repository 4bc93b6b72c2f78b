//! From pg_dump's bytes to the bucket's and back: zstd, gzip, or nothing.
//!
//! Both directions block and belong into a thread of their own (`spawn_blocking`); memory is the
//! codec's window and one chunk.

mod gzip;

use std::io::{self, Read, Write};
use std::str::FromStr;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::manifest::Compression;

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
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// What to put around the bytes.
    pub compression: Compression,
    /// How strongly.
    pub level: CompressionLevel,
    /// Threads besides ours that compress; 0: ours does.
    pub threads: u32,
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
    encoding: Encoding,
    sink: impl FnMut(Bytes) -> io::Result<()>,
    mut progress: impl FnMut(u64),
) -> io::Result<u64> {
    let chunks = Chunks::new(sink);
    match encoding.compression {
        Compression::None => {
            let mut chunks = chunks;
            let raw = copy(source, &mut chunks, &mut progress)?;
            chunks.finish()?;
            Ok(raw)
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(chunks, encoding.level.get())?;
            encoder.include_checksum(true)?;
            if encoding.threads > 0 {
                encoder.multithread(encoding.threads)?;
            }
            let raw = copy(source, &mut encoder, &mut progress)?;
            encoder.finish()?.finish()?;
            Ok(raw)
        }
        Compression::Gzip => {
            let (level, threads) = (encoding.level.of_gzip(), encoding.threads);
            let mut chunks = chunks;
            let raw = gzip::encode(source, &mut chunks, level, threads, progress)?;
            chunks.finish()?;
            Ok(raw)
        }
    }
}

/// The decoded bytes of `source`: of all members of a gzip. Its end in the middle of a frame is an error,
/// never a short result.
///
/// # Errors
/// What zstd cannot begin with. Reading gives the errors of `source`, and `UnexpectedEof`, `InvalidInput`
/// or `Other` for damaged data.
pub fn decoder<'a>(
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
        let mut stored = Vec::new();
        let encoding = Encoding {
            compression,
            level: CompressionLevel::default(),
            threads,
        };
        let sink = |chunk: Bytes| {
            stored.extend_from_slice(&chunk);
            Ok(())
        };
        let raw = encode(bytes, encoding, sink, |_| {}).unwrap();
        assert_eq!(raw, bytes.len() as u64);
        stored
    }

    fn decoded(stored: &[u8], compression: Compression) -> io::Result<Vec<u8>> {
        let mut back = Vec::new();
        decoder(stored, compression)?.read_to_end(&mut back)?;
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
