//! A script that people wrote, on its way into our transaction.
//!
//! Its own BEGIN and COMMIT are a part of ours and left out; what would undo or leave our transaction
//! is refused, and so is every command of psql's, which could run programs here. What is a statement is
//! told as psql tells it ([`super::lexer`]).
//!
//! A dump of pg_dump's says more than a role may do that is not the server's superuser: the comment of an
//! extension may be refused, and an extension that is there stays. And it sets what older servers do not know.

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};

use backuper::postgres::tools::Tools;
use flate2::read::MultiGzDecoder;

use super::lexer::{Lexer, Statement, Token};
use crate::resolve::Encoding;

/// The longest statement about a transaction that is believed, in bytes.
const LONGEST: usize = 64 << 10;

/// What pg_dump writes around a script. It ends with a statement too where pg_dump was killed, and whoever packed what
/// it wrote has packed a whole file.
const DUMP_BEGINS: &[u8] = b"-- PostgreSQL database dump";
const DUMP_ENDS: &[u8] = b"-- PostgreSQL database dump complete";

/// The first minor of each major whose psql takes `\restrict` (CVE-2025-8714).
const RESTRICTS: [(u32, u32); 5] = [(13, 22), (14, 19), (15, 14), (16, 10), (17, 6)];

/// psql's own word against commands in what it reads, where it has one.
#[derive(Debug)]
pub(super) struct Restriction(Option<String>);

impl Restriction {
    pub(super) fn of(tools: &Tools) -> Self {
        let key = || uuid::Uuid::new_v4().simple().to_string();
        Self(knows_restrict(tools.version()).then(key))
    }

    /// Whether psql itself refuses commands.
    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// From here on psql takes no command.
    pub(super) fn begin(&self) -> String {
        let key = self.0.as_ref();
        key.map_or_else(String::new, |it| format!("\\restrict {it}\n"))
    }

    /// From here on it does again.
    pub(super) fn end(&self) -> String {
        let key = self.0.as_ref();
        key.map_or_else(String::new, |it| format!("\\unrestrict {it}\n"))
    }
}

fn knows_restrict(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|it| it.parse::<u32>().ok());
    let (Some(major), minor) = (number(), number().unwrap_or(0)) else {
        return false;
    };
    let known = RESTRICTS.iter().find(|(it, _)| *it == major);
    known.map_or(major >= 18, |(_, first)| minor >= *first)
}

/// Copies a script, decoded; gives its bytes. `restricted` says that psql itself refuses commands.
///
/// # Errors
/// Those of both, and `InvalidData` with the line when something in it is refused.
pub fn copy(
    source: &mut (impl Read + Send),
    encoding: Encoding,
    restricted: bool,
    sink: impl Write,
) -> io::Result<u64> {
    match encoding {
        Encoding::Plain => sift(source, restricted, sink),
        Encoding::Gzip => {
            let written = sift(MultiGzDecoder::new(&mut *source), restricted, sink)?;
            // What follows the last member must be nothing.
            io::copy(source, &mut io::sink())?;
            Ok(written)
        }
    }
}

fn sift(source: impl Read, restricted: bool, sink: impl Write) -> io::Result<u64> {
    let mut lines = BufReader::with_capacity(1 << 18, source);
    let mut sifting = Sifting {
        lexer: Lexer::new(!restricted),
        sink: BufWriter::with_capacity(1 << 18, sink),
        out: Vec::new(),
        begin: None,
        whole: false,
        rows: 0,
        number: 0,
        says: false,
        dumps: 0,
    };
    let (mut line, mut total) = (Vec::new(), 0);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        total += line.len() as u64;
        sifting.number += 1;
        sifting.line(&line)?;
    }
    sifting.finish()?;
    Ok(total)
}

struct Sifting<W: Write> {
    lexer: Lexer,
    sink: BufWriter<W>,
    /// What is not handed on yet, since it may have to go.
    out: Vec<u8>,
    /// Where in it a statement about a transaction begins.
    begin: Option<usize>,
    /// Whether it has to be seen whole, however long it is.
    whole: bool,
    /// How many COPYs have their rows before the next statement.
    rows: u32,
    /// The line's, from 1.
    number: u64,
    /// Whether there was a statement, beside those about a transaction.
    says: bool,
    /// How many of pg_dump's dumps in it have begun and not ended.
    dumps: u32,
}

impl<W: Write> Sifting<W> {
    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.rows > 0 {
            if matches!(line, b"\\.\n" | b"\\.\r\n" | b"\\.") {
                self.rows -= 1;
            }
            return self.sink.write_all(line);
        }
        if self.lexer.is_between_statements() {
            if is_restriction(line) {
                return Ok(());
            }
            match line.trim_ascii_end() {
                DUMP_BEGINS => self.dumps += 1,
                DUMP_ENDS => self.dumps = self.dumps.saturating_sub(1),
                _ => {}
            }
        }
        let mut at = 0;
        while at < line.len() {
            let (token, length) = self.lexer.next(line, at);
            match token {
                Token::First(word) if about_transactions(&word) || may_be_changed(&word) => {
                    self.begin = Some(self.out.len());
                    self.whole = about_transactions(&word);
                }
                Token::Command => return Err(self.refused("is a command of psql's")),
                Token::Ambiguous => {
                    return Err(self.refused("can be read in two ways, which this psql is no match for; use one that knows \\restrict"));
                }
                Token::First(_) | Token::Other => {}
            }
            self.out.extend_from_slice(&line[at..at + length]);
            at += length;
            if let Some(statement) = self.lexer.ended() {
                self.statement(&statement)?;
            }
        }
        if self.begin.is_none() {
            self.sink.write_all(&self.out)?;
            self.out.clear();
        } else if self.out.len() > LONGEST && !self.whole {
            // What is changed is shorter.
            self.begin = None;
            self.sink.write_all(&self.out)?;
            self.out.clear();
        } else if self.out.len() > LONGEST {
            return Err(self.refused("is too long for a statement about a transaction"));
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) -> io::Result<()> {
        let begin = self.begin.take();
        let meaning = meaning(statement);
        self.says |= meaning != Meaning::Ours;
        match meaning {
            Meaning::Ours | Meaning::Unneeded => {
                self.out.truncate(begin.unwrap_or(self.out.len()));
            }
            Meaning::OfExtension => {
                if let Some(begin) = begin {
                    let statement = self.out.split_off(begin);
                    self.out.extend_from_slice(&tolerant(&statement));
                }
            }
            Meaning::Leaves => {
                return Err(self
                    .refused("would undo or leave the transaction that a script is restored in"));
            }
            Meaning::Binary => {
                return Err(
                    self.refused("brings rows in binary, which psql cannot take from a script")
                );
            }
            Meaning::Encoding => {
                return Err(self.refused("sets an encoding in which a backslash may be half of a letter; convert the script to UTF-8"));
            }
            Meaning::Rows => self.rows += 1,
            Meaning::Else => {}
        }
        Ok(())
    }

    fn refused(&self, why: &str) -> io::Error {
        let number = self.number;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("its line {number} {why}; take it out"),
        )
    }

    fn finish(mut self) -> io::Result<()> {
        if self.rows > 0
            || self.dumps > 0
            || !self.lexer.is_outside_quotes()
            || self.lexer.is_within()
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // psql would run a last statement without its semicolon; what we write next must not be
        // a part of it.
        if let Some(statement) = self.lexer.end() {
            self.statement(&statement)?;
            self.out.extend_from_slice(b"\n;");
        }
        if !self.says {
            // pg_dump says at least how its script is to be read; what is there would go for nothing.
            let why = "it has no SQL statement, so it is no dump of a database";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        self.out.push(b'\n');
        self.sink.write_all(&self.out)?;
        self.sink.flush()
    }
}

/// `\restrict KEY` and `\unrestrict KEY`, as pg_dump writes them around a script: ours is around all.
fn is_restriction(line: &[u8]) -> bool {
    line.starts_with(b"\\restrict ") || line.starts_with(b"\\unrestrict ")
}

/// Whether a statement that begins so may be one that is changed.
fn may_be_changed(word: &str) -> bool {
    ["COMMENT", "SET", "DROP"].contains(&word)
}

/// The same statement, which may be refused for want of a privilege: an extension is most often the
/// superuser's.
fn tolerant(statement: &[u8]) -> Vec<u8> {
    let contains = |tag: &str| {
        let mut windows = statement.windows(tag.len());
        windows.any(|it| it == tag.as_bytes())
    };
    let mut tag = "$oiler$".to_owned();
    while contains(&tag) {
        tag.insert(1, '_');
    }
    let begin = format!("DO {tag} BEGIN ");
    let end = format!(
        " EXCEPTION WHEN insufficient_privilege OR dependent_objects_still_exist THEN RAISE WARNING 'left as it is: %', SQLERRM; END {tag};"
    );
    let semicolon: &[u8] = if statement.ends_with(b";") { b"" } else { b";" };
    [begin.as_bytes(), statement, semicolon, end.as_bytes()].concat()
}

/// Whether a statement that begins so has to be seen whole.
fn about_transactions(word: &str) -> bool {
    ["BEGIN", "START", "COMMIT", "END"].contains(&word)
}

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// It begins or ends a transaction, and ours is around it.
    Ours,
    /// It would leave our transaction.
    Leaves,
    /// Rows follow.
    Rows,
    /// Rows follow, in a format that is none of psql's.
    Binary,
    /// It changes what a byte means.
    Encoding,
    /// It sets what older servers do not know, and what our transaction has set.
    Unneeded,
    /// It is about an extension, and may be refused.
    OfExtension,
    Else,
}

fn meaning(statement: &Statement) -> Meaning {
    let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["COMMIT" | "ROLLBACK", "PREPARED", ..] | ["PREPARE", "TRANSACTION", ..] => Meaning::Leaves,
        ["BEGIN" | "COMMIT" | "END", ..] | ["START", "TRANSACTION", ..] => Meaning::Ours,
        ["ROLLBACK" | "ABORT", "TO", ..]
        | ["ROLLBACK" | "ABORT", "WORK" | "TRANSACTION", "TO", ..] => Meaning::Else,
        ["ROLLBACK" | "ABORT", ..] => Meaning::Leaves,
        ["COPY", ..] if statement.from_stdin && statement.binary => Meaning::Binary,
        ["COPY", ..] if statement.from_stdin => Meaning::Rows,
        ["SET", ..] if statement.unsafe_encoding => Meaning::Encoding,
        ["SET", "TRANSACTION_TIMEOUT", ..] => Meaning::Unneeded,
        ["COMMENT", "ON", "EXTENSION", ..] | ["DROP", "EXTENSION", "IF", "EXISTS", ..] => {
            Meaning::OfExtension
        }
        _ => Meaning::Else,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sifted(script: &str) -> io::Result<String> {
        let mut out = Vec::new();
        copy(&mut script.as_bytes(), Encoding::Plain, true, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[track_caller]
    fn passes(script: &str) {
        assert_eq!(sifted(script).unwrap(), format!("{script}\n"));
    }

    #[test]
    fn what_leaves_the_transaction_is_refused_with_its_line() {
        for line in [
            "  rollback ;",
            "ABORT;",
            "ABORT WORK;",
            "PREPARE TRANSACTION 'x';",
            "commit prepared 'x';",
            "SELECT 2; /* a */ ROLLBACK;",
            "SELECT 2;\nROLLBACK AND CHAIN;",
        ] {
            let error = sifted(&format!("SELECT 1;\n{line}\n")).unwrap_err();
            assert!(error.to_string().contains("its line"), "{line}: {error}");
        }
    }

    /// F07: none of them runs a program here, wherever it stands.
    #[test]
    fn every_command_of_psqls_is_refused() {
        for line in [
            "\\connect other",
            "\\! rm",
            "\\i x",
            "\\set ON_ERROR_STOP off",
            "\\set x `cmd`",
            "SELECT 1 \\g |sh",
            "SELECT 1 \\w |cmd",
            "SELECT (1 \\! cmd\n);",
            "SELECT 'a' \\gexec",
            "-- a\n\\! cmd",
            "/* */ \\! cmd",
            "SELECT $$ $$ \\! cmd",
            "SELECT \"\\\" \\! cmd",
            "COPY t FROM stdin;\n1\n\\.\n\\! cmd",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; \\! cmd\nEND;",
        ] {
            let error = sifted(&format!("SELECT 1;\n{line}\n"));
            let error = error.expect_err(line);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{line}: {error}");
        }
    }

    #[test]
    fn transactions_within_ours_are_a_part_of_it() {
        for (script, rest) in [
            ("BEGIN;\nSELECT 1;\nCOMMIT;\n", "\nSELECT 1;\n\n\n"),
            ("BEGIN;\nSELECT 1;\nEnd;\n", "\nSELECT 1;\n\n\n"),
            (
                "start\ntransaction\n; SELECT 1; COMMIT; SELECT 2;\n",
                " SELECT 1;  SELECT 2;\n\n",
            ),
            (
                "BEGIN ISOLATION LEVEL SERIALIZABLE;SELECT 1;END\n",
                "SELECT 1;\n;\n",
            ),
        ] {
            assert_eq!(sifted(script).unwrap(), rest, "{script}");
        }
    }

    /// F02: a word is one only where a statement begins.
    #[test]
    fn a_transactions_words_may_be_names() {
        for script in [
            "CREATE TABLE builds (\n    id int,\n    commit text,\n    rollback boolean,\n    begin int,\n    \"end\" int,\n    abort int\n);\n",
            "SELECT\ncommit\nFROM builds;\n",
            "SAVEPOINT a;\nROLLBACK TO a;\nROLLBACK WORK TO SAVEPOINT a;\nRELEASE a;\n",
            "COMMENT ON TABLE \"a\nCOMMIT;\n\" IS 'x';\n",
        ] {
            passes(script);
        }
    }

    /// F08: COPY is known by its statement.
    #[test]
    fn rows_and_bodies_are_not_statements() {
        for script in [
            "COPY public.t (x) FROM stdin;\nCOMMIT;\nBEGIN;\n\\.\n",
            "COPY t FROM stdin WITH (FORMAT text);\nCOMMIT;\nit's\n\\! cmd\n\\.\n",
            "copy t (a,\n b) from\n STDIN (format csv, delimiter ';');\nROLLBACK;\n\"\n\\.\nSELECT 1;\n",
            "COPY a FROM stdin; COPY b FROM stdin;\n'\n\\.\n'\n\\.\n",
            "COPY public.\"a\nb\" (x) FROM stdin;\nCOMMIT;\n\\.\n",
            "COPY (SELECT 1 FROM stdin) TO '/x';\nSELECT 1;\n",
            "CREATE PROCEDURE p() AS $_$\nBEGIN\nCOMMIT;\nEND;\n$_$;\n",
            "CREATE FUNCTION f() RETURNS int\n    LANGUAGE sql\n    BEGIN ATOMIC\n SELECT CASE 1\n  WHEN 1 THEN 2\n  END;\nEND;\n",
            "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC INSERT INTO t VALUES (1); END;\n",
            "SELECT 'x\nCOMMIT;\n';\n",
            "SELECT E'it\\'s\nCOMMIT;\n';\n",
            "SELECT 'back\\';\nSELECT 'x';\n",
            // A literal on a later line goes on with the one before it, and so do its escapes.
            "SELECT E'a'\n'\\' \\! cmd ;';\n",
            "/* /* a\n*/\nCOMMIT;\n*/\nSELECT 1;\n",
            "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; SELECT 1);\n",
            "SELECT a$b$, c FROM t;\n",
        ] {
            passes(script);
        }
    }

    /// F1–F26: what a role that is no superuser may be refused, and what older servers do not know.
    #[test]
    fn what_pg_dump_says_of_extensions_may_be_refused_and_nothing_else() {
        for (script, rest) in [
            (
                "SET transaction_timeout = 0;\nSELECT 1;\n",
                "\nSELECT 1;\n\n",
            ),
            ("SET transaction_timeout = 0", "\n;\n"),
        ] {
            assert_eq!(sifted(script).unwrap(), rest, "{script}");
        }
        for statement in [
            "COMMENT ON EXTENSION pgcrypto IS 'it''s';",
            "COMMENT ON EXTENSION \"uuid-ossp\" IS 'two\nlines;';",
            "comment on extension x is $oiler$ a $oiler$;",
            "DROP EXTENSION IF EXISTS hstore;",
        ] {
            let sifted = sifted(&format!("{statement}\nSELECT 1;\n")).unwrap();
            let tag = if statement.contains("$oiler$") {
                "$_oiler$"
            } else {
                "$oiler$"
            };
            let begin = format!("DO {tag} BEGIN {statement} EXCEPTION");
            assert!(sifted.starts_with(&begin), "{sifted}");
            assert!(
                sifted.ends_with(&format!("END {tag};\nSELECT 1;\n\n")),
                "{sifted}"
            );
        }
        for script in [
            "COMMENT ON TABLE t IS 'COMMENT ON EXTENSION x IS 1;';\n",
            "CREATE FUNCTION f() AS $$\nCOMMENT ON EXTENSION x IS 'y';\nSET transaction_timeout = 0;\n$$;\n",
            "COPY t FROM stdin;\nCOMMENT ON EXTENSION x IS 'y';\nSET transaction_timeout = 0;\n\\.\n",
            "-- SET transaction_timeout = 0;\nSELECT \"\nSET transaction_timeout = 0;\n\";\n",
            "SET TRANSACTION READ WRITE;\nSET SESSION transaction_timeout = 0;\nDROP EXTENSION x;\n",
            "SET statement_timeout = 0;\r\nDROP TABLE IF EXISTS x;\r\n",
        ] {
            passes(script);
        }
        // However long it is.
        passes(&format!(
            "COMMENT ON TABLE t IS '{}';\n",
            "x\n".repeat(100_000)
        ));
    }

    /// F28.
    #[test]
    fn a_script_is_the_same_whatever_it_is_read_in() {
        struct Slow<'a>(&'a [u8], usize);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let count = self.1.min(buffer.len()).min(self.0.len());
                buffer[..count].copy_from_slice(&self.0[..count]);
                self.0 = &self.0[count..];
                Ok(count)
            }
        }
        let long = format!("COPY t FROM stdin;\n{}\n\\.\n", "x".repeat(8 << 20));
        let script = "BEGIN;\nSELECT 'a\n;';\nCOMMIT;\nSET transaction_timeout = 0;\nCOPY t FROM stdin;\nBEGIN;\n\\.\n";
        for (script, steps) in [(script, [1, 3]), (long.as_str(), [8 << 10, 1 << 20])] {
            let whole = sifted(script).unwrap();
            for step in steps {
                let mut out = Vec::new();
                let mut slow = Slow(script.as_bytes(), step);
                copy(&mut slow, Encoding::Plain, true, &mut out).unwrap();
                assert!(out == whole.as_bytes(), "{step}");
            }
        }
    }

    #[test]
    fn every_member_of_a_gzip_is_read_and_nothing_may_follow() {
        let gzip = |script: &str| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(script.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let unpacked = |mut bytes: &[u8]| {
            let mut out = Vec::new();
            copy(&mut bytes, Encoding::Gzip, true, &mut out).map(|_| out)
        };
        let one = gzip("SELECT 1;\n");
        let two = [one.clone(), gzip("SELECT 2;\n")].concat();
        assert_eq!(unpacked(&two).unwrap(), b"SELECT 1;\nSELECT 2;\n\n");
        let hidden = [one.clone(), gzip("\\! rm\n")].concat();
        assert_eq!(
            unpacked(&hidden).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        for followed in [b"DROP TABLE t;".as_slice(), b"\x1f\x8b"] {
            assert!(unpacked(&[one.as_slice(), followed].concat()).is_err());
        }
        for cut in [1, 5, 12, one.len() - 8, one.len() - 1] {
            assert!(unpacked(&one[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_script_that_is_cut_short_is_an_error() {
        for script in [
            "COPY t FROM stdin;\n1\n",
            "SELECT 'a\n",
            "DO $$\n",
            "/*\n",
            "SELECT (1\n",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1;\n",
            "--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n",
            "-- PostgreSQL database dump\r\nSELECT 1;\r\n",
        ] {
            let error = sifted(script).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{script}");
        }
        passes("-- PostgreSQL database dump\nSELECT 1;\n-- PostgreSQL database dump complete\n");
        passes("SELECT '\n-- PostgreSQL database dump\n';\n");
        passes("COPY t FROM stdin;\n-- PostgreSQL database dump\n\\.\n");
    }

    /// operator.md, R10: nobody's rows go for it.
    #[test]
    fn a_script_without_a_statement_is_no_backup() {
        for script in [
            "",
            "-- a comment\n",
            "/* a */\n\n",
            "BEGIN;\nCOMMIT;\n",
            ";\n",
        ] {
            let error = sifted(script).unwrap_err();
            assert!(
                error.to_string().contains("no SQL statement"),
                "{script}: {error}"
            );
        }
    }

    #[test]
    fn a_last_statement_without_its_semicolon_is_one() {
        assert_eq!(sifted("SELECT 1").unwrap(), "SELECT 1\n;\n");
        assert_eq!(sifted("SELECT 1;\nCOMMIT").unwrap(), "SELECT 1;\n\n;\n");
    }

    #[test]
    fn what_changes_the_meaning_of_bytes_is_known() {
        passes("SET standard_conforming_strings = off;\nSELECT 'it\\'s ; \\\\';\n");
        assert!(sifted("SET client_encoding = 'SJIS';\n").is_err());
        assert!(sifted("SET NAMES 'GBK';\n").is_err());
        passes("SET client_encoding = 'LATIN1';\n");
        assert!(sifted("COPY t FROM STDIN (FORMAT binary);\n").is_err());
        // Without psql's help, what the server's settings decide cannot be told.
        let mut out = Vec::new();
        let script = "SELECT 'a\\' ;\n";
        assert!(copy(&mut script.as_bytes(), Encoding::Plain, false, &mut out).is_err());
    }

    #[test]
    fn psqls_restriction_is_used_where_it_is_known() {
        for (version, knows) in [
            ("13.21", false),
            ("13.22", true),
            ("15.18", true),
            ("15.9", false),
            ("17.6", true),
            ("18.1", true),
            ("19beta1", true),
        ] {
            assert_eq!(knows_restrict(version), knows, "{version}");
        }
        assert_eq!(
            sifted("\\restrict abc\nSELECT 1;\n\\unrestrict abc\n").unwrap(),
            "SELECT 1;\n\n"
        );
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_and_nothing_worse(garbage: Vec<u8>) {
            let mut out = Vec::new();
            drop(copy(&mut garbage.as_slice(), Encoding::Plain, true, &mut out));
        }

        #[test]
        fn no_command_outside_of_quotes_passes(text in "[a-z ;'\"$\\\\()\n]{0,40}") {
            let mut out = Vec::new();
            if copy(&mut text.as_bytes(), Encoding::Plain, false, &mut out).is_ok() {
                let bare = text.split(['\'', '"', '$']).next().unwrap_or_default();
                prop_assert!(!bare.contains('\\') || bare.starts_with("\\restrict ") , "{text}");
            }
        }
    }
}
