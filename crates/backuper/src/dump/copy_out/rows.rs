//! What follows an archive's head, made of what COPYs send.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Counted;
use super::binary::{self, Texts};
use super::head::Table;
use super::piece;
use crate::postgres::tap::Passed;
use crate::progress;
use crate::toc::Layout;

/// What begins the rows of a table, and what ends them: `_StartData` in `pg_backup_custom.c`, and
/// `dumpTableData_copy` in `pg_dump.c`.
const DATA: u8 = 1;
const END_OF_ROWS: &[u8] = b"\\.\n\n\n";

/// What comes of a session.
pub(super) struct Source {
    /// What its connection has sent.
    pub(super) passed: mpsc::Receiver<Passed>,
    /// Which piece of all it was that has ended, as the session itself knows.
    pub(super) ended: mpsc::UnboundedReceiver<usize>,
}

/// The sessions, each of which has every so manyth piece.
struct Turns {
    runtime: Handle,
    sources: Vec<Source>,
    /// Which piece of all it is.
    piece: usize,
    stop: CancellationToken,
}

/// What follows an archive's head.
pub(super) struct Rows {
    turns: Turns,
    layout: Layout,
    tables: VecDeque<Table>,
    at: Option<At>,
    ready: VecDeque<Bytes>,
    progress: Arc<progress::Stream>,
    counted: Counted,
    /// It would see that nobody reads, and complain before it is ended.
    _pg_dump: Option<Box<dyn Send>>,
}

/// The table whose rows pass.
struct At {
    table: Table,
    /// Pieces of it that are to come, with this one.
    pieces: u32,
    /// How the rows of a COPY become text where they come in binary.
    texts: Option<Texts>,
    /// Rows that COPYs say that they have sent.
    rows: u64,
}

impl Rows {
    pub(super) fn of(
        layout: Layout,
        tables: &[Table],
        sources: Vec<Source>,
        (progress, counted): (Arc<progress::Stream>, Counted),
        stop: CancellationToken,
    ) -> Self {
        Self {
            turns: Turns {
                runtime: Handle::current(),
                sources,
                piece: 0,
                stop,
            },
            layout,
            tables: tables.to_vec().into(),
            at: None,
            ready: VecDeque::new(),
            progress,
            counted,
            _pg_dump: None,
        }
    }

    /// Keeps what pg_dump would see as long as rows are read.
    pub(super) fn instead_of(self, pg_dump: impl Send + 'static) -> Self {
        Self {
            _pg_dump: Some(Box::new(pg_dump)),
            ..self
        }
    }

    /// Makes the next bytes ready; false at the end.
    fn go_on(&mut self) -> io::Result<bool> {
        let Some(at) = &mut self.at else {
            let Some(table) = self.tables.pop_front() else {
                return Ok(false);
            };
            self.progress.table(&table.shown);
            self.ready.push_back(Bytes::from_static(&[DATA]));
            self.number(table.entry)?;
            self.at = Some(At {
                pieces: piece::count(&table),
                texts: table.binary.clone().map(Texts::of),
                rows: 0,
                table,
            });
            return Ok(true);
        };
        match self.turns.next()? {
            Some(Passed::Rows(rows)) => {
                let rows = match &mut at.texts {
                    Some(texts) => texts
                        .next(&rows)
                        .map_err(|error| unfit_rows(&at.table, error))?,
                    None => rows,
                };
                // A block of nothing would be the end of the table.
                if !rows.is_empty() {
                    self.block(rows)?;
                }
            }
            Some(Passed::End(rows)) => {
                if at.texts.as_ref().is_some_and(|it| !it.is_at_end()) {
                    return Err(unfit_rows(&at.table, binary::Error::Format));
                }
                at.rows += rows;
                at.pieces = at.pieces.saturating_sub(1);
                if at.pieces > 0 {
                    at.texts = at.table.binary.clone().map(Texts::of);
                    return Ok(true);
                }
                self.counted.set(at.table.oid, Some(at.rows));
                self.at = None;
                self.block(Bytes::from_static(END_OF_ROWS))?;
                self.number(0)?;
            }
            None => {
                let why = "the rows broke off";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
        }
        Ok(true)
    }

    fn block(&mut self, bytes: Bytes) -> io::Result<()> {
        self.number(i64::try_from(bytes.len()).unwrap_or(i64::MAX))?;
        self.ready.push_back(bytes);
        Ok(())
    }

    fn number(&mut self, value: i64) -> io::Result<()> {
        let written = self.layout.number(value);
        let written = written.map_err(|error| io::Error::other(error.to_string()))?;
        self.ready.push_back(written.into());
        Ok(())
    }
}

impl Turns {
    /// What the session sends next whose turn it is; none: it has broken off.
    fn next(&mut self) -> io::Result<Option<Passed>> {
        let turn = self.piece % self.sources.len().max(1);
        let source = self.sources.get_mut(turn);
        let next = self.runtime.block_on(async {
            let next = async {
                let source = source?;
                let passed = source.passed.recv().await?;
                let ended = match passed {
                    Passed::Rows(_) => None,
                    Passed::End(_) => Some(source.ended.recv().await?),
                };
                Some((passed, ended))
            };
            tokio::select! {
                next = next => next,
                () = self.stop.cancelled() => None,
            }
        });
        let Some((passed, ended)) = next else {
            return Ok(None);
        };
        if let Some(piece) = ended {
            // Rows of one table must never stand among another one's, whatever went wrong.
            if piece != self.piece {
                return Err(io::Error::other("pieces of tables came out of their order"));
            }
            self.piece += 1;
        }
        Ok(Some(passed))
    }
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(bytes) = self.ready.front_mut() {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes.split_to(count));
                if bytes.is_empty() {
                    self.ready.pop_front();
                }
                return Ok(count);
            }
            if !self.go_on()? {
                return Ok(0);
            }
        }
    }
}

/// Why rows that the server has sent are not stored, and of which table they are.
#[derive(Debug, thiserror::Error)]
#[error("table {table}: {error}")]
struct Unfit {
    table: String,
    error: binary::Error,
}

fn unfit_rows(table: &Table, error: binary::Error) -> io::Error {
    io::Error::other(Unfit {
        table: table.shown.clone(),
        error,
    })
}

/// Of a table of this name.
#[cfg(test)]
pub(in crate::dump) fn too_long(table: &str) -> io::Error {
    io::Error::other(Unfit {
        table: table.to_owned(),
        error: binary::Error::TooLong,
    })
}

/// What a reader of rows says where they are none that can be stored.
pub(in crate::dump) fn unfit(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Unfit>();
    inner.map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::Sent;
    use super::super::piece::Pages;
    use super::*;
    use crate::progress::Progress;
    use crate::toc::MAGIC;

    /// What is read of what each session sends, by a table of the number 7 and the oid 42 with so many pieces, and what
    /// was counted.
    async fn read(all: Vec<Vec<Passed>>, pieces: u32) -> (io::Result<Vec<u8>>, Sent) {
        let mut sources = Vec::new();
        let count = all.len();
        for (number, each) in all.into_iter().enumerate() {
            let (sender, passed) = mpsc::channel(16);
            let (ends, ended) = mpsc::unbounded_channel();
            let mut piece = number;
            for it in each {
                if matches!(it, Passed::End(_)) {
                    ends.send(piece).unwrap();
                    piece += count;
                }
                sender.send(it).await.unwrap();
            }
            sources.push(Source { passed, ended });
        }
        read_from(sources, pieces).await
    }

    async fn read_from(sources: Vec<Source>, pieces: u32) -> (io::Result<Vec<u8>>, Sent) {
        let head = [MAGIC, &[1, 15, 0, 4, 8, 1, 0], &[0; 5].repeat(11)].concat();
        let counted = Counted::default();
        counted.set(42, None);
        let table = Table {
            entry: 7,
            oid: 42,
            shown: "public.t".to_owned(),
            columns: Vec::new(),
            list: String::new(),
            encoding: String::new(),
            binary: None,
            pages: (pieces > 1).then_some(Pages {
                all: pieces,
                each: NonZeroU32::MIN,
            }),
        };
        let layout = Layout::of(&head[..]).unwrap();
        let progress = Arc::new(Progress::default()).stream();
        let stop = CancellationToken::new();
        let mut rows = Rows::of(layout, &[table], sources, (progress, counted.clone()), stop);
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            rows.read_to_end(&mut bytes).map(|_count| bytes)
        });
        (reading.await.unwrap(), counted.take())
    }

    fn rows(text: &'static [u8]) -> Passed {
        Passed::Rows(Bytes::from_static(text))
    }

    #[tokio::test]
    async fn pieces_are_taken_from_the_sessions_in_turn() {
        let first = vec![rows(b"1\n"), Passed::End(1), rows(b"5\n"), Passed::End(1)];
        let second = vec![rows(b"2\n"), rows(b"3\n"), Passed::End(2)];
        let third = vec![rows(b"4\n"), Passed::End(1)];
        let (bytes, sent) = read(vec![first.clone(), second.clone(), third], 4).await;
        let block = |text: &[u8]| [&[0, 2, 0, 0, 0], text].concat();
        let expected = [
            vec![DATA, 0, 7, 0, 0, 0],
            block(b"1\n"),
            block(b"2\n"),
            block(b"3\n"),
            block(b"4\n"),
            block(b"5\n"),
            [&[0, 5, 0, 0, 0], END_OF_ROWS, &[0; 5]].concat(),
        ];
        assert_eq!(bytes.unwrap(), expected.concat());
        assert_eq!(sent, [(42, Some(5))].into());
        // One of them is lost.
        let (bytes, sent) = read(vec![first, second, Vec::new()], 4).await;
        assert_eq!(bytes.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(sent, [(42, None)].into());
    }

    #[tokio::test]
    async fn a_piece_of_another_place_is_not_taken() {
        for (piece, is_taken) in [(0, true), (1, false)] {
            let (sender, passed) = mpsc::channel(2);
            let (ends, ended) = mpsc::unbounded_channel();
            for it in [rows(b"1\n"), Passed::End(1)] {
                sender.send(it).await.unwrap();
            }
            ends.send(piece).unwrap();
            let (bytes, sent) = read_from(vec![Source { passed, ended }], 1).await;
            assert_eq!(bytes.is_ok(), is_taken, "{piece}");
            assert_eq!(sent[&42].is_some(), is_taken, "{piece}");
        }
    }

    #[tokio::test]
    async fn rows_become_blocks_and_the_end_is_where_the_server_says() {
        let all = vec![rows(b"1\n"), rows(b""), rows(b"2\n"), Passed::End(2)];
        let (bytes, sent) = read(vec![all], 1).await;
        let expected = [
            &[DATA, 0, 7, 0, 0, 0][..],
            &[0, 2, 0, 0, 0],
            b"1\n",
            &[0, 2, 0, 0, 0],
            b"2\n",
            &[0, 5, 0, 0, 0],
            END_OF_ROWS,
            &[0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(bytes.unwrap(), expected);
        assert_eq!(sent, [(42, Some(2))].into());
    }

    #[tokio::test]
    async fn rows_without_an_end_are_no_end() {
        let (bytes, sent) = read(vec![vec![rows(b"1\n")]], 1).await;
        assert_eq!(bytes.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(sent, [(42, None)].into());
    }
}
