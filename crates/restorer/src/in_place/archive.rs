//! What pg_restore writes, on its way into our transaction: byte for byte but for the transaction
//! that it puts around it.
//!
//! `pg_restore --single-transaction --file=-` writes one BEGIN before its settings and one COMMIT
//! before its last comment (`RestoreArchive` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`).
//! Nothing between the two is looked into: what an archive holds is nobody's business but the
//! server's.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};

/// What pg_restore sets from PostgreSQL 17 on, for servers that may not know it.
const TRANSACTION_TIMEOUT: &[u8] = b"SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout';\n";

/// What stands before the end; `\unrestrict` and its key follow.
const END: &[u8] = b"COMMIT;\n\n--\n-- PostgreSQL database dump complete\n--\n";
/// Bytes that are held back, since the end may be among them: twice what stands there.
const HELD: usize = 1 << 10;
/// Bytes that are read and written at once.
const BUFFER: usize = 256 << 10;

/// Copies a script to its end; gives its bytes.
///
/// # Errors
/// Those of both, and `UnexpectedEof` when the script has no end.
pub(super) fn copy(source: impl Read, sink: impl Write) -> io::Result<u64> {
    let mut source = BufReader::with_capacity(BUFFER, source);
    let mut sink = BufWriter::with_capacity(BUFFER, sink);
    let mut total = head(&mut source, &mut sink)?;
    let mut held = Vec::with_capacity(BUFFER + HELD);
    loop {
        let chunk = source.fill_buf()?;
        let count = chunk.len();
        if count == 0 {
            break;
        }
        held.extend_from_slice(chunk);
        source.consume(count);
        total += count as u64;
        let ready = held.len().saturating_sub(HELD);
        sink.write_all(&held[..ready])?;
        held.drain(..ready);
    }
    tail(&held, &mut sink)?;
    sink.flush()?;
    Ok(total)
}

/// Copies what comes before the first entry, without the BEGIN.
fn head(source: &mut impl io::BufRead, sink: &mut impl Write) -> io::Result<u64> {
    let (mut line, mut total) = (Vec::new(), 0);
    loop {
        line.clear();
        total += source.read_until(b'\n', &mut line)? as u64;
        match line.as_slice() {
            b"BEGIN;\n" => return Ok(total + settings(source, sink)?),
            line if line == b"\n"
                || line.starts_with(b"--")
                || line.starts_with(b"\\restrict ") =>
            {
                sink.write_all(line)?;
            }
            _ => return Err(io::Error::other("pg_restore did not begin a transaction")),
        }
    }
}

/// Copies the settings that follow the BEGIN: an empty line, and then up to the next one.
fn settings(source: &mut impl io::BufRead, sink: &mut impl Write) -> io::Result<u64> {
    let (mut line, mut total, mut any) = (Vec::new(), 0, false);
    loop {
        line.clear();
        total += source.read_until(b'\n', &mut line)? as u64;
        match line.as_slice() {
            b"" => return Err(io::ErrorKind::UnexpectedEof.into()),
            b"SET transaction_timeout = 0;\n" => sink.write_all(TRANSACTION_TIMEOUT)?,
            line => sink.write_all(line)?,
        }
        if line == b"\n" && any {
            return Ok(total);
        }
        any |= line != b"\n";
    }
}

/// Copies what was held back, without the COMMIT.
fn tail(held: &[u8], sink: &mut impl Write) -> io::Result<()> {
    let at = held.windows(END.len()).rposition(|it| it == END);
    let at = at.filter(|at| *at == 0 || held[at - 1] == b'\n');
    let Some(at) = at else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    sink.write_all(&held[..at])?;
    sink.write_all(&held[at + b"COMMIT;\n".len()..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict key\n\n-- Dumped by 15\n\nBEGIN;\n\nSET statement_timeout = 0;\nSET row_security = off;\n\n";
    const TAIL: &str =
        "COMMIT;\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict key\n\n";

    fn copied(script: &str) -> io::Result<String> {
        let mut out = Vec::new();
        let bytes = copy(script.as_bytes(), &mut out)?;
        assert_eq!(bytes, script.len() as u64);
        Ok(String::from_utf8(out).unwrap())
    }

    fn around(body: &str) -> String {
        let head = HEAD.replacen("BEGIN;\n", "", 1);
        let tail = TAIL.replacen("COMMIT;\n", "", 1);
        format!("{head}{body}{tail}")
    }

    /// F02: no line between the two is taken for anything.
    #[test]
    fn what_stands_between_the_two_passes_as_it_is() {
        for body in [
            "",
            "CREATE TABLE builds (\n    id integer,\n    commit text,\n    rollback boolean\n);\n",
            "BEGIN;\nCOMMIT;\nROLLBACK;\n",
            "COPY t FROM stdin;\nCOMMIT;\n\\.\n",
            "COMMIT;\n\n--\n-- PostgreSQL database dump complete\n--\n",
            "SELECT 1; COMMIT;\n",
            "SET transaction_timeout = 0;\n",
        ] {
            let whole = format!("{HEAD}{body}{TAIL}");
            assert_eq!(copied(&whole).unwrap(), around(body), "{body}");
        }
    }

    #[test]
    fn a_setting_that_a_server_may_not_know_is_set_where_it_does() {
        let whole = HEAD.replacen("SET row", "SET transaction_timeout = 0;\nSET row", 1) + TAIL;
        let out = copied(&whole).unwrap();
        assert!(!out.contains("SET transaction_timeout"), "{out}");
        assert!(out.contains("set_config(name, '0', false)"), "{out}");
    }

    #[test]
    fn a_script_without_its_end_is_an_error() {
        let whole = format!("{HEAD}SELECT 1;\n{TAIL}");
        let end = whole.find("COMMIT").unwrap() + TAIL.find("--\n\n\\un").unwrap() + 3;
        for cut in 0..end {
            assert!(copied(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(copied("SELECT 1;\n").is_err());
    }

    proptest! {
        #[test]
        fn whatever_an_archive_holds_passes(body in "[a-zA-Z;\\n\\\\ ']{0,3000}") {
            let body = format!("-- Name: x\n{body}\n");
            let whole = format!("{HEAD}{body}{TAIL}");
            prop_assert_eq!(copied(&whole).unwrap(), around(&body));
        }
    }
}
