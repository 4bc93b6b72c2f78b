//! Where statements begin and end, as psql tells it. PostgreSQL manual, 4.1: lexical structure;
//! `src/fe_utils/psqlscan.l` is psql's own.

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// The first word of a statement, in upper case.
    First(String),
    /// A backslash outside of quotes.
    Command,
    /// What psql may read in another way than we do.
    Ambiguous,
    Other,
}

/// What is known of a statement when it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    /// Its first words, outside of parentheses and quotes, in upper case.
    pub(super) words: Vec<String>,
    /// Whether FROM and STDIN follow each other in it.
    pub(super) from_stdin: bool,
    /// Whether it speaks of binary.
    pub(super) binary: bool,
    /// Whether it names an encoding in which a byte of ASCII may be half of a letter.
    pub(super) unsafe_encoding: bool,
    any: bool,
    from: bool,
    strings: Option<bool>,
}

/// How many first words are kept: `CREATE OR REPLACE FUNCTION`.
const WORDS: usize = 4;
/// PostgreSQL manual, 24.3.1: supported character sets, those that are no server encodings.
const UNSAFE: [&str; 9] = [
    "BIG5",
    "GB18030",
    "GBK",
    "JOHAB",
    "SHIFT_JIS_2004",
    "SHIFTJIS2004",
    "SJIS",
    "UHC",
    "SHIFTJIS",
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Outside of any quotes.
    Statement,
    /// Within `'…'`; with true a backslash escapes.
    Literal(bool),
    /// Behind the end of a literal in which backslashes escape: another one on a later line goes on
    /// with it. With whether a line has ended since.
    Behind(bool),
    /// Within `"…"`.
    Identifier,
    /// Within `$tag$…$tag$`, the dollars included.
    Dollars(Vec<u8>),
    /// Within that many `/* … */`.
    Comment(u32, bool),
}

/// Reads a script line by line.
#[derive(Debug)]
pub(super) struct Lexer {
    place: Place,
    parentheses: u32,
    /// Within that many BEGIN ATOMIC and CASE of a function's body.
    bodies: u32,
    statement: Statement,
    ended: Option<Statement>,
    /// Whether a backslash is no more than itself in `'…'` (`standard_conforming_strings`).
    plain_backslash: bool,
    /// Whether nobody else refuses commands, so that what may be read in two ways is refused.
    strict: bool,
}

impl Lexer {
    pub(super) fn new(strict: bool) -> Self {
        Self {
            place: Place::Statement,
            parentheses: 0,
            bodies: 0,
            statement: Statement::default(),
            ended: None,
            plain_backslash: true,
            strict,
        }
    }

    /// Whether nothing of a statement has been read yet.
    pub(super) fn is_between_statements(&self) -> bool {
        self.is_outside_quotes() && !self.statement.any
    }

    pub(super) fn is_outside_quotes(&self) -> bool {
        matches!(self.place, Place::Statement | Place::Behind(_))
    }

    /// Whether a parenthesis or a body is open.
    pub(super) fn is_within(&self) -> bool {
        self.parentheses > 0 || self.bodies > 0
    }

    /// The statement that the last token has ended.
    pub(super) fn ended(&mut self) -> Option<Statement> {
        self.ended.take()
    }

    /// The statement that the end of the script has ended.
    pub(super) fn end(&mut self) -> Option<Statement> {
        let last = std::mem::take(&mut self.statement);
        last.any.then_some(last)
    }

    /// Takes what stands at `at`; gives it with its length.
    pub(super) fn next(&mut self, line: &[u8], at: usize) -> (Token, usize) {
        let rest = &line[at..];
        match &mut self.place {
            Place::Statement => self.in_statement(line, at),
            Place::Behind(ended) => match rest {
                [b'\'', ..] if *ended => {
                    self.place = Place::Literal(true);
                    (Token::Other, 1)
                }
                [it, ..] if it.is_ascii_whitespace() => {
                    *ended |= *it == b'\n';
                    (Token::Other, 1)
                }
                [b'-', b'-', ..] => {
                    *ended = true;
                    (Token::Other, rest.len())
                }
                [b'/', b'*', ..] => {
                    self.place = Place::Comment(1, true);
                    (Token::Other, 2)
                }
                _ => {
                    self.place = Place::Statement;
                    self.in_statement(line, at)
                }
            },
            Place::Literal(escapes) => {
                let escapes = *escapes;
                self.in_literal(rest, escapes)
            }
            Place::Identifier => {
                if rest[0] == b'"' {
                    self.place = Place::Statement;
                }
                (Token::Other, 1)
            }
            Place::Dollars(tag) => {
                let length = if rest.starts_with(tag) { tag.len() } else { 1 };
                if length > 1 {
                    self.place = Place::Statement;
                }
                (Token::Other, length)
            }
            Place::Comment(depth, behind) => {
                let (depth, behind) = (*depth, *behind);
                self.in_comment(rest, depth, behind)
            }
        }
    }

    fn in_comment(&mut self, rest: &[u8], depth: u32, behind: bool) -> (Token, usize) {
        let (next, length) = match rest {
            [b'/', b'*', ..] => (Place::Comment(depth + 1, behind), 2),
            // A comment between two literals that go on with each other may end lines too.
            [b'*', b'/', ..] if depth == 1 && behind => (Place::Behind(true), 2),
            [b'*', b'/', ..] if depth == 1 => (Place::Statement, 2),
            [b'*', b'/', ..] => (Place::Comment(depth - 1, behind), 2),
            _ => (Place::Comment(depth, behind), 1),
        };
        self.place = next;
        (Token::Other, length)
    }

    fn in_literal(&mut self, rest: &[u8], escapes: bool) -> (Token, usize) {
        match rest {
            [b'\\', b'\\', ..] | [b'\'', b'\'', ..] => (Token::Other, 2),
            [b'\\', b'\'', ..] if !escapes && self.strict => (Token::Ambiguous, 1),
            [b'\\', _, ..] if escapes => (Token::Other, 2),
            [b'\'', ..] => {
                self.place = if escapes {
                    Place::Behind(false)
                } else {
                    Place::Statement
                };
                (Token::Other, 1)
            }
            _ => (Token::Other, 1),
        }
    }

    fn in_statement(&mut self, line: &[u8], at: usize) -> (Token, usize) {
        let rest = &line[at..];
        match rest {
            [it, ..] if it.is_ascii_whitespace() => return (Token::Other, 1),
            [b'-', b'-', ..] => return (Token::Other, rest.len()),
            [b'/', b'*', ..] => {
                self.place = Place::Comment(1, false);
                return (Token::Other, 2);
            }
            [b'\\', ..] => return (Token::Command, 1),
            [b';', ..] if self.parentheses == 0 && self.bodies == 0 => {
                self.finish();
                return (Token::Other, 1);
            }
            [it, ..] if begins_word(*it) => return self.word(rest),
            [it, ..] if it.is_ascii_digit() => return self.number(rest),
            _ => {}
        }
        self.statement.any = true;
        self.statement.from = false;
        let mut length = 1;
        match rest {
            [b'\'', ..] => self.place = Place::Literal(!self.plain_backslash),
            [b'"', ..] => self.place = Place::Identifier,
            [b'(', ..] => self.parentheses += 1,
            [b')', ..] => self.parentheses = self.parentheses.saturating_sub(1),
            [b'$', ..] => {
                if let Some(tag) = dollars(rest) {
                    length = tag.len();
                    self.place = Place::Dollars(tag.to_vec());
                }
            }
            _ => {}
        }
        (Token::Other, length)
    }

    /// A number, and what sticks to it: psql's releases differ in whether `1e'…'` is one.
    fn number(&mut self, rest: &[u8]) -> (Token, usize) {
        self.statement.any = true;
        self.statement.from = false;
        let length = rest.iter().take_while(|it| in_word(**it)).count();
        let sticks = rest[..length].iter().any(u8::is_ascii_alphabetic);
        if sticks && rest.get(length) == Some(&b'\'') {
            return (Token::Ambiguous, length);
        }
        (Token::Other, length)
    }

    fn word(&mut self, rest: &[u8]) -> (Token, usize) {
        let length = rest.iter().take_while(|it| in_word(**it)).count();
        let word = String::from_utf8_lossy(&rest[..length]).to_ascii_uppercase();
        let first = !self.statement.any;
        self.statement.any = true;
        if word == "E" && rest.get(length) == Some(&b'\'') {
            self.statement.from = false;
            self.place = Place::Literal(true);
            return (Token::Other, length + 1);
        }
        if self.parentheses == 0 {
            self.body(&word);
            if self.statement.words.len() < WORDS {
                self.statement.words.push(word.clone());
            }
            self.statement.from_stdin |= self.statement.from && word == "STDIN";
        }
        self.statement.from = self.parentheses == 0 && word == "FROM";
        self.statement.binary |= word == "BINARY";
        if word == "STANDARD_CONFORMING_STRINGS" {
            self.statement.strings = Some(true);
        } else if ["OFF", "FALSE", "NO"].contains(&word.as_str())
            && self.statement.strings.is_some()
        {
            self.statement.strings = Some(false);
        }
        // A setting stands in quotes or without them, behind SET and its name.
        let sets = self.statement.words.first().is_some_and(|it| it == "SET");
        if sets && ["CLIENT_ENCODING", "NAMES"].contains(&word.as_str()) {
            let value = String::from_utf8_lossy(&rest[length..]).to_ascii_uppercase();
            self.statement.unsafe_encoding |= UNSAFE.iter().any(|it| value.contains(it));
        }
        let token = if first {
            Token::First(word)
        } else {
            Token::Other
        };
        (token, length)
    }

    /// `BEGIN ATOMIC … END` is the one body of a function that has no quotes around it.
    fn body(&mut self, word: &str) {
        let words: Vec<&str> = self.statement.words.iter().map(String::as_str).collect();
        let routine = matches!(
            words.as_slice(),
            ["CREATE", "FUNCTION" | "PROCEDURE", ..]
                | ["CREATE", "OR", "REPLACE", "FUNCTION" | "PROCEDURE", ..]
        );
        match word {
            "BEGIN" if routine => self.bodies += 1,
            "CASE" if self.bodies > 0 => self.bodies += 1,
            "END" => self.bodies = self.bodies.saturating_sub(1),
            _ => {}
        }
    }

    fn finish(&mut self) {
        let ended = std::mem::take(&mut self.statement);
        if let Some(plain) = ended.strings {
            self.plain_backslash = plain;
        }
        if ended.any {
            self.ended = Some(ended);
        }
    }
}

/// Whether psql takes these statements for ended where they end.
pub(super) fn ends(text: &str) -> bool {
    let mut lexer = Lexer::new(false);
    for line in text.as_bytes().split_inclusive(|it| *it == b'\n') {
        let mut at = 0;
        while at < line.len() {
            at += lexer.next(line, at).1;
        }
    }
    lexer.is_between_statements()
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn in_word(byte: u8) -> bool {
    begins_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// `$tag$` at the beginning.
fn dollars(rest: &[u8]) -> Option<&[u8]> {
    let tail = &rest[1..];
    let part = |it: &&u8| begins_word(**it) || it.is_ascii_digit();
    let length = tail.iter().take_while(part).count();
    let digit = tail.first().is_some_and(u8::is_ascii_digit);
    (tail.get(length) == Some(&b'$') && !digit).then(|| &rest[..length + 2])
}
