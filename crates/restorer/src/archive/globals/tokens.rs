//! The words of what pg_dumpall writes, statement by statement; anything else than it writes is refused.

use super::Unreadable;

/// A word of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword, a number, or a name without quotes.
    Word(String),
    /// A name between double quotes, without them.
    Name(String),
    /// A text between quotes, without them.
    Text(String),
    /// Punctuation.
    Mark(char),
}

impl Token {
    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word == keyword)
    }

    /// The name that it is.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            Self::Text(_) | Self::Mark(_) => None,
        }
    }
}

/// One statement, without its semicolon.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) tokens: Vec<Token>,
    /// Where it begins.
    pub(super) line: usize,
}

/// All of them.
pub(super) fn statements(text: &str) -> Result<Vec<Statement>, Unreadable> {
    let mut reader = Reader {
        rest: text,
        line: 1,
    };
    let (mut all, mut tokens, mut begun) = (Vec::new(), Vec::new(), 1);
    while let Some(c) = reader.peek() {
        let line = reader.line;
        match c {
            ';' => {
                reader.next();
                let tokens = std::mem::take(&mut tokens);
                let line = begun;
                all.push(Statement { tokens, line });
                continue;
            }
            '-' if reader.rest.starts_with("--") => reader.skip_line(),
            '\\' if tokens.is_empty() => reader.restriction()?,
            _ if c.is_whitespace() => {
                reader.next();
            }
            _ => {
                if tokens.is_empty() {
                    begun = line;
                }
                tokens.push(reader.token(c)?);
            }
        }
    }
    if tokens.is_empty() {
        Ok(all)
    } else {
        Err(reader.refused("it ends in the middle of a statement"))
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.line += usize::from(c == '\n');
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn refused(&self, why: &'static str) -> Unreadable {
        Unreadable {
            line: self.line,
            why,
        }
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|it| it != '\n') {}
    }

    /// The two commands by which a script forbids psql all others.
    fn restriction(&mut self) -> Result<(), Unreadable> {
        let known = ["\\restrict ", "\\unrestrict "];
        if !known.iter().any(|it| self.rest.starts_with(it)) {
            return Err(self.refused("it has a command of psql's"));
        }
        self.skip_line();
        Ok(())
    }

    fn token(&mut self, first: char) -> Result<Token, Unreadable> {
        match first {
            '"' => Ok(Token::Name(self.quoted('"', false)?)),
            '\'' => Ok(Token::Text(self.quoted('\'', false)?)),
            'E' if self.rest.starts_with("E'") => {
                self.next();
                Ok(Token::Text(self.quoted('\'', true)?))
            }
            ',' | '=' | '(' | ')' | '.' | '-' => {
                self.next();
                Ok(Token::Mark(first))
            }
            _ if is_of_word(first) => {
                let mut word = String::new();
                while let Some(c) = self.peek().filter(|it| is_of_word(*it)) {
                    word.push(c);
                    self.next();
                }
                Ok(Token::Word(word))
            }
            _ => Err(self.refused("it has a character that pg_dumpall does not write")),
        }
    }

    /// What is between quotes, a quote within doubled; with `escapes` a backslash too.
    fn quoted(&mut self, quote: char, escapes: bool) -> Result<String, Unreadable> {
        let unended = self.refused("what is between quotes has no end");
        self.next();
        let mut text = String::new();
        while let Some(c) = self.next() {
            if c == quote {
                if self.peek() != Some(quote) {
                    return Ok(text);
                }
                self.next();
            } else if c == '\\' && escapes && self.next() != Some('\\') {
                return Err(self.refused("it has an escape that pg_dumpall does not write"));
            }
            text.push(c);
        }
        Err(unended)
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
