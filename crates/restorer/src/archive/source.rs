//! What comes of the store, as a blocking decoder reads it in a thread of its own.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// The receiving end of the queue.
#[derive(Debug)]
pub struct Source {
    receiver: mpsc::Receiver<Result<Bytes, ()>>,
    chunk: Bytes,
}

impl Source {
    pub(crate) fn new(receiver: mpsc::Receiver<Result<Bytes, ()>>) -> Self {
        Self {
            receiver,
            chunk: Bytes::new(),
        }
    }

    /// What follows the last frame was stored with it and is not ours.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        if self.fill()? {
            return Err(io::Error::other("more bytes follow its end"));
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<bool> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(())) => return Err(io::Error::other("the download failed")),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.fill()? {
            return Ok(0);
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
