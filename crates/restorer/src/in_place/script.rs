//! SQL on its way into our transaction: nothing in it may end that.
//!
//! pg_restore puts `BEGIN;` and `COMMIT;` around large objects, and scripts that people wrote have
//! their own. All of it is one transaction here, ours, so those lines are left out; what would
//! leave it is refused. Rows of a COPY and the insides of quotes are not looked into.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};

use flate2::read::MultiGzDecoder;

use crate::resolve::Encoding;

/// What pg_restore and pg_dump set from PostgreSQL 17 on, where the server knows it.
const TRANSACTION_TIMEOUT: &[u8] = b"SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout';\n";

/// Copies a script, decoded; gives its bytes.
pub(super) fn copy(
    source: &mut (impl Read + Send),
    encoding: Encoding,
    sink: impl Write,
) -> io::Result<u64> {
    match encoding {
        Encoding::Plain => sift(source, sink),
        Encoding::Gzip => {
            let written = sift(MultiGzDecoder::new(&mut *source), sink)?;
            // What follows the last member must be nothing.
            io::copy(source, &mut io::sink())?;
            Ok(written)
        }
    }
}

fn sift(source: impl Read, sink: impl Write) -> io::Result<u64> {
    let mut lines = BufReader::with_capacity(1 << 18, source);
    let mut sink = BufWriter::with_capacity(1 << 18, sink);
    let (mut line, mut total, mut rows) = (Vec::new(), 0, false);
    let (mut place, mut body) = (Place::Statement, Body::default());
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        total += line.len() as u64;
        if rows {
            rows = line.trim_ascii_end() != b"\\.";
        } else {
            if place == Place::Statement {
                match body.meaning(&line) {
                    Meaning::Ours => continue,
                    Meaning::Newer => {
                        sink.write_all(TRANSACTION_TIMEOUT)?;
                        continue;
                    }
                    Meaning::Leaves => return Err(leaves(&line)),
                    Meaning::Harmless => {}
                }
            }
            place = place.after(&line);
            rows = place == Place::Statement && begins_rows(&line);
        }
        sink.write_all(&line)?;
    }
    if rows || place != Place::Statement {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    // A last line without its end would run into what we write next.
    sink.write_all(b"\n")?;
    sink.flush()?;
    Ok(total)
}

fn leaves(line: &[u8]) -> io::Error {
    io::Error::other(format!(
        "its line {} would leave the transaction that a script is restored in; take it out",
        String::from_utf8_lossy(line.trim_ascii())
    ))
}

enum Meaning {
    /// It begins or ends a transaction, and ours is around it.
    Ours,
    /// Servers before PostgreSQL 17 do not know it.
    Newer,
    /// It would leave the transaction or the database.
    Leaves,
    Harmless,
}

/// Whether we are within `BEGIN ATOMIC … END;`, the one body of a function that has no quotes around
/// it. PostgreSQL writes its end at the left margin, and every other END further in.
#[derive(Default)]
struct Body(bool);

impl Body {
    fn meaning(&mut self, line: &[u8]) -> Meaning {
        let bare = line.trim_ascii();
        if self.0 {
            self.0 = !line.starts_with(b"END");
            return Meaning::Harmless;
        }
        self.0 = bare.eq_ignore_ascii_case(b"BEGIN ATOMIC");
        let ends = [&b"END;"[..], b"END WORK;", b"END TRANSACTION;"];
        if ends.iter().any(|it| bare.eq_ignore_ascii_case(it)) {
            return Meaning::Ours;
        }
        meaning(line)
    }
}

fn meaning(line: &[u8]) -> Meaning {
    let line = line.trim_ascii();
    let first = line
        .split(|it| it.is_ascii_whitespace() || *it == b';')
        .next()
        .unwrap_or_default();
    let is = |words: &[&str]| {
        words
            .iter()
            .any(|it| first.eq_ignore_ascii_case(it.as_bytes()))
    };
    if line == b"SET transaction_timeout = 0;" {
        Meaning::Newer
    } else if line.eq_ignore_ascii_case(b"BEGIN;")
        || is(&["COMMIT"])
        || line.eq_ignore_ascii_case(b"START TRANSACTION;")
    {
        Meaning::Ours
    } else if is(&[
        "ROLLBACK",
        "ABORT",
        "\\connect",
        "\\c",
        "\\!",
        "\\i",
        "\\ir",
        "\\include",
        "\\q",
        "\\quit",
        "\\copy",
        "\\o",
        "\\g",
    ]) {
        Meaning::Leaves
    } else {
        Meaning::Harmless
    }
}

/// `COPY … FROM stdin;`, as pg_dump ends the line. A name may hold line ends, so only the end of
/// the statement is looked at.
fn begins_rows(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let end = b"from stdin;";
    line.len() > end.len() && line[line.len() - end.len()..].eq_ignore_ascii_case(end)
}

/// Where a line begins. PostgreSQL manual, 4.1: lexical structure.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Outside of any quotes.
    Statement,
    /// Within `'…'`; with true within `E'…'`, where a backslash escapes.
    Literal(bool),
    /// Within `"…"`.
    Identifier,
    /// Within `$tag$…$tag$`, the dollars included.
    Dollars(Vec<u8>),
    /// Within that many `/* … */`.
    Comment(u32),
}

impl Place {
    /// Where the next line begins.
    fn after(self, line: &[u8]) -> Self {
        let (mut place, mut at) = (self, 0);
        while at < line.len() {
            let (next, step) = place.step(line, at);
            place = next;
            at += step;
        }
        place
    }

    /// Takes what stands at `at`; gives where we are after it, and its length.
    fn step(self, line: &[u8], at: usize) -> (Self, usize) {
        let rest = &line[at..];
        match self {
            Self::Statement => Self::in_statement(line, at),
            Self::Literal(true) if rest.starts_with(b"\\") => (self, 2),
            Self::Literal(_) if rest.starts_with(b"'") => (Self::Statement, 1),
            Self::Identifier if rest.starts_with(b"\"") => (Self::Statement, 1),
            Self::Dollars(tag) if rest.starts_with(&tag) => (Self::Statement, tag.len()),
            Self::Comment(depth) if rest.starts_with(b"/*") => (Self::Comment(depth + 1), 2),
            Self::Comment(1) if rest.starts_with(b"*/") => (Self::Statement, 2),
            Self::Comment(depth) if rest.starts_with(b"*/") => (Self::Comment(depth - 1), 2),
            within => (within, 1),
        }
    }

    fn in_statement(line: &[u8], at: usize) -> (Self, usize) {
        let rest = &line[at..];
        let word = |it: &u8| it.is_ascii_alphanumeric() || *it == b'_' || *it >= 0x80;
        let before = at.checked_sub(1).and_then(|it| line.get(it));
        match rest {
            [b'-', b'-', ..] => (Self::Statement, rest.len()),
            [b'/', b'*', ..] => (Self::Comment(1), 2),
            [b'\'', ..] => {
                let escapes = matches!(before, Some(b'e' | b'E'))
                    && !at
                        .checked_sub(2)
                        .and_then(|it| line.get(it))
                        .is_some_and(word);
                (Self::Literal(escapes), 1)
            }
            [b'"', ..] => (Self::Identifier, 1),
            [b'$', tail @ ..] if !before.is_some_and(word) => {
                let length = tail.iter().take_while(|it| word(it)).count();
                let digit = tail.first().is_some_and(u8::is_ascii_digit);
                if tail.get(length) == Some(&b'$') && !digit {
                    let tag = rest[..length + 2].to_vec();
                    (Self::Dollars(tag), length + 2)
                } else {
                    (Self::Statement, 1)
                }
            }
            _ => (Self::Statement, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sifted(script: &str) -> io::Result<String> {
        let mut out = Vec::new();
        copy(&mut script.as_bytes(), Encoding::Plain, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_leaves_the_transaction_is_refused() {
        for line in [
            "  rollback ;",
            "ABORT;",
            "\\connect other",
            "\\! rm",
            "\\i x",
        ] {
            assert!(sifted(&format!("SELECT 1;\n{line}\n")).is_err(), "{line}");
        }
    }

    #[test]
    fn transactions_within_ours_are_a_part_of_it() {
        assert_eq!(
            sifted("BEGIN;\nSELECT 1;\nCOMMIT;\n").unwrap(),
            "SELECT 1;\n\n"
        );
        assert_eq!(
            sifted("BEGIN;\nSELECT 1;\nEnd;\n").unwrap(),
            "SELECT 1;\n\n"
        );
    }

    #[test]
    fn rows_and_bodies_are_not_statements() {
        for script in [
            "COPY public.t (x) FROM stdin;\nCOMMIT;\nBEGIN;\n\\.\n",
            "COPY public.\"a\nb\" (x) FROM stdin;\nCOMMIT;\n\\.\n",
            "CREATE PROCEDURE p() AS $_$\nBEGIN\nCOMMIT;\nEND;\n$_$;\n",
            "CREATE FUNCTION f() RETURNS int\n    LANGUAGE sql\n    BEGIN ATOMIC\n SELECT CASE 1\n  WHEN 1 THEN 2\n  END;\nEND;\n",
            "SELECT 'x\nCOMMIT;\n';\n",
            "SELECT E'it\\'s\nCOMMIT;\n';\n",
            "/* /* a\n*/\nCOMMIT;\n*/\n",
            "COMMENT ON TABLE \"a\nCOMMIT;\n\" IS 'x';\n",
        ] {
            assert_eq!(sifted(script).unwrap(), format!("{script}\n"));
        }
    }

    #[test]
    fn a_script_that_is_cut_short_is_an_error() {
        for script in ["COPY t FROM stdin;\n1\n", "SELECT 'a\n", "DO $$\n"] {
            assert!(sifted(script).is_err(), "{script}");
        }
    }
}
