//! The head of a stream in the store: its table of contents, without its rows.

use std::io::Write as _;

use backuper::archive::manifest::{Compression, Stream};
use backuper::runtime::Failure;
use backuper::storage::Storage;
use futures::StreamExt as _;

use crate::archive::toc::{self, Toc};

/// Reads as much of a stream as its table of contents takes.
///
/// # Errors
/// What the store said, or why there is no table of contents.
pub async fn read(storage: &dyn Storage, stream: &Stream, key: &str) -> Result<Toc, Failure> {
    let damaged =
        |why: String| Failure::refused(format!("{key} is damaged: {why}; choose another backup"));
    let mut decoder = match stream.compression {
        Compression::None => None,
        Compression::Zstd => {
            let decoder = zstd::stream::write::Decoder::new(Vec::new());
            Some(decoder.map_err(|error| damaged(error.to_string()))?)
        }
    };
    let (mut plain, mut next_look) = (Vec::new(), 0);
    let mut body = storage.open(key).await?;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        let head = match &mut decoder {
            None => {
                plain.extend_from_slice(&chunk);
                &plain
            }
            Some(decoder) => {
                let written = decoder.write_all(&chunk).and_then(|()| decoder.flush());
                written.map_err(|error| damaged(error.to_string()))?;
                decoder.get_ref()
            }
        };
        if head.len() < next_look {
            continue;
        }
        match Toc::read(head) {
            Ok(toc) => return Ok(toc),
            // Not at every chunk: a long one would be read again and again.
            Err(toc::Error::CutShort) => next_look = head.len() * 3 / 2,
            Err(error) => return Err(damaged(error.to_string())),
        }
    }
    let all = decoder.as_ref().map_or(&plain, |it| it.get_ref());
    Toc::read(all).map_err(|error| damaged(error.to_string()))
}
