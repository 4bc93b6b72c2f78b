//! One gzip stream, made by several threads.
//!
//! Each block is compressed on its own and ends on a byte, so blocks are put one behind the other as pigz
//! does; to whoever reads it is one member, as any other gzip program writes it. RFC 1951, 3.2.4 (the empty
//! block between), RFC 1952, 2.3 (the member).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes that are compressed at once. A block knows nothing of the one before it, which costs some
/// hundredths of a per cent at this size.
const BLOCK: usize = 512 << 10;
/// Blocks of each thread that are under way: one in its hands, and one that waits.
const UNDER_WAY: usize = 2;
/// Deflate, no name, no time, no operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The empty block that ends all.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// Reads `source` to its end and writes one gzip member of it; gives the bytes that were read. With no
/// threads beside ours, ours compresses.
///
/// # Errors
/// Those of both.
pub(super) fn encode(
    mut source: impl Read,
    mut sink: impl Write,
    level: u32,
    threads: u32,
    mut progress: impl FnMut(u64),
) -> io::Result<u64> {
    let mut crc = Crc::new();
    let mut total = 0;
    let mut next = || {
        let mut block = Vec::with_capacity(BLOCK);
        source.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        crc.update(&block);
        total += block.len() as u64;
        progress(block.len() as u64);
        Ok::<_, io::Error>((!block.is_empty()).then_some(block))
    };
    sink.write_all(&HEADER)?;
    if threads == 0 {
        while let Some(block) = next()? {
            sink.write_all(&deflated(&block, level)?)?;
        }
    } else {
        side_by_side(&mut next, &mut sink, level, threads)?;
    }
    sink.write_all(&LAST_BLOCK)?;
    sink.write_all(&crc.sum().to_le_bytes())?;
    // The size modulo 2^32, which is what `amount` counts.
    sink.write_all(&crc.amount().to_le_bytes())?;
    Ok(total)
}

/// A thread that compresses, by its two ends.
struct Worker {
    blocks: Sender<Vec<u8>>,
    deflated: Receiver<io::Result<Vec<u8>>>,
}

/// Hands the blocks to threads in turn, and takes them back in the same order.
fn side_by_side(
    next: &mut impl FnMut() -> io::Result<Option<Vec<u8>>>,
    sink: &mut impl Write,
    level: u32,
    threads: u32,
) -> io::Result<()> {
    thread::scope(|scope| {
        let workers: Vec<Worker> = (0..threads)
            .map(|_| {
                let (blocks, mine) = channel::<Vec<u8>>();
                let (done, deflated_blocks) = channel();
                scope.spawn(move || {
                    while let Ok(block) = mine.recv() {
                        if done.send(deflated(&block, level)).is_err() {
                            return;
                        }
                    }
                });
                Worker {
                    blocks,
                    deflated: deflated_blocks,
                }
            })
            .collect();
        let mut turns = workers.iter().cycle();
        let mut under_way: VecDeque<&Worker> = VecDeque::new();
        while let Some(block) = next()? {
            if under_way.len() == workers.len() * UNDER_WAY
                && let Some(oldest) = under_way.pop_front()
            {
                oldest.write_to(sink)?;
            }
            let Some(worker) = turns.next() else {
                return Err(io::ErrorKind::Other.into());
            };
            worker.blocks.send(block).map_err(io::Error::other)?;
            under_way.push_back(worker);
        }
        under_way.into_iter().try_for_each(|it| it.write_to(sink))
    })
}

impl Worker {
    fn write_to(&self, sink: &mut impl Write) -> io::Result<()> {
        let block = self.deflated.recv().map_err(io::Error::other)??;
        sink.write_all(&block)
    }
}

/// A block, up to a byte's end.
fn deflated(block: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::new(level), false);
    let mut out = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let read = usize::try_from(compress.total_in()).map_err(io::Error::other)?;
        let rest = block.get(read..).unwrap_or_default();
        let status = compress
            .compress_vec(rest, &mut out, FlushCompress::Sync)
            .map_err(io::Error::other)?;
        let read = compress.total_in() == block.len() as u64;
        // zlib manual, deflate(): a flush is complete when there is room left.
        if read && (out.len() < out.capacity() || status == Status::BufError) {
            return Ok(out);
        }
        out.reserve(block.len() / 2 + 1024);
    }
}
