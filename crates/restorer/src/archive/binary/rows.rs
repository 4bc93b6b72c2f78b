//! The rows of one table on their way from text to COPY's binary format.

use super::Type;

/// What pg_dump writes behind the last row: `dumpTableData_copy` in `pg_dump.c`.
pub(crate) const END_OF_ROWS: &[u8] = b"\\.\n\n\n";
/// What COPY's binary format begins with: a signature, no flags, no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What ends it.
const TRAILER: [u8; 2] = (-1i16).to_be_bytes();
const NULL: [u8; 4] = (-1i32).to_be_bytes();
/// Bytes of a row that are gathered at most. A longer one goes as text, which needs no length beforehand.
const LONGEST: usize = 4 << 20;

/// The rows of one table.
#[derive(Debug)]
pub(crate) struct Rows {
    columns: Vec<Type>,
    /// The beginning of a row whose end has not come yet.
    begun: Vec<u8>,
}

/// What has come of a piece of text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// All of it was taken.
    Taken,
    /// The rows have ended.
    Ended,
    /// From here on the rows go as text: what is left of the piece begins there, and what was gathered
    /// before it is first.
    AsText {
        /// The beginning of the row, of pieces that came before.
        gathered: Vec<u8>,
        /// Where in this piece the rest begins.
        rest: usize,
    },
}

impl Rows {
    /// The rows of a table with these columns; their header goes to `to`.
    pub(crate) fn begin(columns: Vec<Type>, to: &mut Vec<u8>) -> Self {
        to.extend_from_slice(HEADER);
        Self {
            columns,
            begun: Vec::new(),
        }
    }

    /// Takes a piece of the text, of any length, and appends what has become of it.
    pub(crate) fn take(&mut self, text: &[u8], to: &mut Vec<u8>) -> Step {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|it| !it.is_empty()) {
            let Some(length) = memchr::memchr(b'\n', rest) else {
                if self.begun.len() + rest.len() > LONGEST {
                    return self.as_text(at, to);
                }
                self.begun.extend_from_slice(rest);
                return Step::Taken;
            };
            let line = rest.get(..length).unwrap_or_default();
            let appended = if self.begun.is_empty() {
                append(&self.columns, line, to)
            } else {
                // What was gathered stays as it is, should the row not be taken.
                let whole = [self.begun.as_slice(), line].concat();
                append(&self.columns, &whole, to)
            };
            match appended {
                Appended::Row => self.begun.clear(),
                Appended::End => {
                    to.extend(TRAILER);
                    return Step::Ended;
                }
                Appended::Nothing => return self.as_text(at, to),
            }
            at += length + 1;
        }
        Step::Taken
    }

    /// The text has ended without the line that ends it.
    pub(crate) fn cut_short(&mut self, to: &mut Vec<u8>) -> Vec<u8> {
        to.extend(TRAILER);
        std::mem::take(&mut self.begun)
    }

    fn as_text(&mut self, rest: usize, to: &mut Vec<u8>) -> Step {
        to.extend(TRAILER);
        Step::AsText {
            gathered: std::mem::take(&mut self.begun),
            rest,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Appended {
    Row,
    End,
    Nothing,
}

/// Appends one row, or nothing.
fn append(columns: &[Type], line: &[u8], to: &mut Vec<u8>) -> Appended {
    if line == br"\." {
        return Appended::End;
    }
    let begin = to.len();
    if line.len() <= LONGEST && append_fields(columns, line, to).is_some() {
        return Appended::Row;
    }
    to.truncate(begin);
    Appended::Nothing
}

fn append_fields(columns: &[Type], line: &[u8], to: &mut Vec<u8>) -> Option<()> {
    to.extend(i16::try_from(columns.len()).ok()?.to_be_bytes());
    let mut rest = Some(line);
    for column in columns {
        let line = rest?;
        let field;
        (field, rest) = match memchr::memchr(b'\t', line) {
            Some(at) => (line.get(..at)?, Some(line.get(at + 1..)?)),
            None => (line, None),
        };
        let length = to.len();
        to.extend(NULL);
        if field == br"\N" {
            continue;
        }
        column.append(field, to)?;
        let value = i32::try_from(to.len() - length - NULL.len()).ok()?;
        to.get_mut(length..length + NULL.len())?
            .copy_from_slice(&value.to_be_bytes());
    }
    rest.is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COLUMNS: [Type; 2] = [Type::Int4, Type::Text];

    fn row(number: i32, text: &[u8]) -> Vec<u8> {
        let mut row = vec![0, 2, 0, 0, 0, 4];
        row.extend(number.to_be_bytes());
        row.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        row.extend(text);
        row
    }

    fn whole(rows: &[Vec<u8>]) -> Vec<u8> {
        [HEADER, &rows.concat(), &TRAILER].concat()
    }

    /// What comes of pieces: as binary, and as text.
    fn made(pieces: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut to = Vec::new();
        let mut rows = Rows::begin(COLUMNS.to_vec(), &mut to);
        for (index, piece) in pieces.iter().enumerate() {
            match rows.take(piece, &mut to) {
                Step::Taken => {}
                Step::Ended => return (to, None),
                Step::AsText { mut gathered, rest } => {
                    gathered.extend(&piece[rest..]);
                    pieces[index + 1..]
                        .iter()
                        .for_each(|it| gathered.extend(*it));
                    return (to, Some(gathered));
                }
            }
        }
        let text = rows.cut_short(&mut to);
        (to, Some(text))
    }

    #[test]
    fn rows_may_be_cut_anywhere() {
        let text = b"1\ta\\tb\n-2\t\\N\n3\t\n\\.\n\n\n";
        let mut null = vec![0, 2, 0, 0, 0, 4];
        null.extend((-2i32).to_be_bytes());
        null.extend(NULL);
        let wanted = whole(&[row(1, b"a\tb"), null, row(3, b"")]);
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            assert_eq!(made(&[first, second]), (wanted.clone(), None), "{cut}");
        }
    }

    #[test]
    fn what_is_not_taken_goes_as_text_with_all_that_follows() {
        for other in ["x\ty\n", "2\n", "2\ta\tb\n", "2\t\\x41\n", "\n"] {
            let text = format!("1\ta\n{other}3\tc\n\\.\n\n\n");
            for cut in 0..text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                let (binary, rest) = made(&[first, second]);
                assert_eq!(binary, whole(&[row(1, b"a")]), "{other:?} {cut}");
                assert_eq!(
                    rest.as_deref(),
                    Some(&text.as_bytes()[4..]),
                    "{other:?} {cut}"
                );
            }
        }
        let cut_short = made(&[b"1\ta\n2\tb"]);
        assert_eq!(cut_short, (whole(&[row(1, b"a")]), Some(b"2\tb".to_vec())));
    }

    #[test]
    fn a_row_that_is_too_long_is_not_gathered() {
        let long = "y".repeat(LONGEST);
        let text = format!("1\ta\n2\t{long}\n\\.\n\n\n");
        for size in [1 << 16, text.len()] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let (binary, rest) = made(&pieces);
            assert_eq!(binary, whole(&[row(1, b"a")]));
            assert!(rest.as_deref() == Some(&text.as_bytes()[4..]));
        }
    }

    proptest! {
        #[test]
        fn garbage_is_text_and_nothing_worse(garbage: Vec<u8>, cut: prop::sample::Index) {
            let (first, second) = garbage.split_at(cut.index(garbage.len() + 1));
            let (_, rest) = made(&[first, second]);
            if let Some(rest) = rest {
                prop_assert!(garbage.ends_with(&rest));
            }
        }
    }
}
