//! The binary rows of one table on their way into psql, which opens our pipe by its path and copies from it to its end.

use std::io::PipeReader;
use std::os::fd::AsRawFd as _;

use backuper::runtime::Failure;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::Sender;

use super::answers::{ANSWER, TAKEN};
use super::pipes;

/// The pipe.
#[derive(Debug)]
pub(super) struct BinaryRows {
    /// It stays until psql says that it has them all, since it may open the pipe as late as that.
    reader: PipeReader,
    writer: Sender,
}

impl BinaryRows {
    pub(super) fn begin() -> Result<Self, Failure> {
        let (reader, writer) = pipes::pipe()?;
        let writer = Sender::from_owned_fd(writer.into());
        Ok(Self {
            reader,
            writer: writer.map_err(|error| pipes::none(&error))?,
        })
    }

    /// What has psql take them into these columns of a table, and say when it has them. `restricted` is the line with which
    /// the script has it refuse commands.
    pub(super) fn command(&self, into: &[u8], restricted: Option<&[u8]>) -> Vec<u8> {
        let restricted = restricted.unwrap_or_default();
        let key = restricted.strip_prefix(b"\\restrict").unwrap_or_default();
        let path = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.reader.as_raw_fd()
        );
        let from = format!(" from '{path}' with (format binary, freeze)\n");
        let said = format!("\\echo {ANSWER}{TAKEN}\n");
        let unrestricted = if key.is_empty() {
            Vec::new()
        } else {
            [b"\\unrestrict", key].concat()
        };
        [
            unrestricted.as_slice(),
            b"\\copy ",
            into,
            from.as_bytes(),
            said.as_bytes(),
            restricted,
        ]
        .concat()
    }

    /// Waits until there is room: our own end stays open, so nobody is told here that psql has ended.
    pub(super) async fn write(&mut self, rows: &[u8]) -> std::io::Result<()> {
        self.writer.write_all(rows).await
    }

    /// There are no more; what it gives is kept until psql has them.
    pub(super) fn end(self) -> PipeReader {
        self.reader
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn psql_takes_commands_for_as_long_as_it_is_told_to_copy() {
        let rows = BinaryRows::begin().unwrap();
        let path = format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            rows.reader.as_raw_fd()
        );
        let copy = format!(
            "\\copy s.t (a) from '{path}' with (format binary, freeze)\n\\echo oiler-answer taken\n"
        );
        let command = |it| String::from_utf8(rows.command(b"s.t (a)", it)).unwrap();
        assert_eq!(command(None), copy);
        let restricted = b"\\restrict key\n";
        let wanted = format!("\\unrestrict key\n{copy}\\restrict key\n");
        assert_eq!(command(Some(restricted)), wanted);
    }
}
