//! Patterns for names of schemas and tables, as psql and pg_dump read them.
//!
//! pg_dump resolves them by itself, and whoever wants to know beforehand what it will find asks the server the same
//! question: so they are turned into the same regular expressions.
//! PostgreSQL manual, psql, "Patterns"; `patternToSQLRegex` in PostgreSQL's sources.

use std::fmt;
use std::mem;

/// Patterns of one kind, as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    schema: Option<String>,
    name: String,
}

/// Why a text is no list of patterns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A quote is never closed.
    #[error(
        "{0} has a double quote that is never closed; two of them are one that belongs to the name"
    )]
    Open(String),
    /// It has more parts than such a name.
    #[error(
        "{text} has a dot too many: {needed} is needed, with a name that has a dot between double quotes"
    )]
    Dots {
        /// The pattern.
        text: String,
        /// What it may be.
        needed: &'static str,
    },
    /// Part of it is empty.
    #[error("{0} has nothing before or after a dot")]
    Empty(String),
}

impl Patterns {
    /// Reads patterns for names of schemas, separated by commas or lines.
    ///
    /// # Errors
    /// Which one is none.
    pub fn of_schemas(text: &str) -> Result<Self, Error> {
        Self::read(text, 1, "the name of a schema")
    }

    /// Reads patterns for names of tables, with their schema or without, separated by commas or lines.
    ///
    /// # Errors
    /// Which one is none.
    pub fn of_tables(text: &str) -> Result<Self, Error> {
        Self::read(text, 2, "table or schema.table")
    }

    fn read(text: &str, parts: usize, needed: &'static str) -> Result<Self, Error> {
        let texts = split(text)?;
        let each = texts.into_iter().map(|text| {
            let mut found = expressions(&text);
            if found.len() > parts {
                return Err(Error::Dots { text, needed });
            }
            if found.iter().any(String::is_empty) {
                return Err(Error::Empty(text));
            }
            let name = found.pop().unwrap_or_default();
            Ok(Pattern {
                text,
                schema: found.pop(),
                name,
            })
        });
        each.collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }
}

impl Pattern {
    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The regular expression for the schema, where one is named beside the name.
    #[must_use]
    pub fn schema(&self) -> Option<String> {
        self.schema.as_ref().map(|it| format!("^({it})$"))
    }

    /// The regular expression for the name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("^({})$", self.name)
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.iter().map(Pattern::as_str).collect();
        formatter.write_str(&texts.join(","))
    }
}

/// The patterns of a list, without blanks around them.
fn split(text: &str) -> Result<Vec<String>, Error> {
    let mut texts = Vec::new();
    let mut one = String::new();
    let mut is_quoted = false;
    for character in text.chars() {
        is_quoted ^= character == '"';
        if !is_quoted && matches!(character, ',' | '\n' | '\r') {
            texts.push(mem::take(&mut one));
        } else {
            one.push(character);
        }
    }
    if is_quoted {
        return Err(Error::Open(one.trim().to_owned()));
    }
    texts.push(one);
    let texts = texts.iter().map(|it| it.trim());
    Ok(texts
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect())
}

/// The regular expressions of a pattern's parts.
fn expressions(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut is_quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '.' && !is_quoted {
            parts.push(String::new());
            continue;
        }
        let Some(part) = parts.last_mut() else {
            continue;
        };
        match character {
            '"' if is_quoted && characters.next_if_eq(&'"').is_some() => part.push('"'),
            '"' => is_quoted = !is_quoted,
            '*' if !is_quoted => part.push_str(".*"),
            '?' if !is_quoted => part.push('.'),
            // A dollar is one in either case, and two brackets are an array's.
            '$' => part.push_str("\\$"),
            '[' if !is_quoted && characters.peek() == Some(&']') => part.push_str("\\["),
            _ if is_quoted && "|*+?()[]{}.^\\".contains(character) => {
                part.push('\\');
                part.push(character);
            }
            _ if is_quoted => part.push(character),
            _ => part.push(character.to_ascii_lowercase()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &str) -> Vec<String> {
        let patterns = Patterns::of_tables(list).unwrap();
        patterns.iter().map(|it| it.as_str().to_owned()).collect()
    }

    #[test]
    fn patterns_are_separated_by_commas_and_lines_outside_of_quotes() {
        let list = "a , b.c,\r\n\"x,y\",\n\"line\nbreak\".\"q\"\"u,ote\",,";
        assert_eq!(
            texts(list),
            ["a", "b.c", "\"x,y\"", "\"line\nbreak\".\"q\"\"u,ote\""]
        );
        assert!(Patterns::of_tables(" , \n").unwrap().is_empty());
        let again = Patterns::of_tables(list).unwrap().to_string();
        assert_eq!(texts(&again), texts(list));
    }

    #[test]
    fn a_pattern_is_what_pg_dump_makes_of_it() {
        let one = |text: &str| {
            let patterns = Patterns::of_tables(text).unwrap();
            let pattern = patterns.iter().next().unwrap().clone();
            (pattern.schema(), pattern.name())
        };
        let name = |text: &str| one(text).1;
        assert_eq!(name("Orders"), "^(orders)$");
        assert_eq!(name("\"Orders\""), "^(Orders)$");
        assert_eq!(name("or*s?"), "^(or.*s.)$");
        assert_eq!(name("\"or*s?\""), "^(or\\*s\\?)$");
        assert_eq!(name("[a-c]|x"), "^([a-c]|x)$");
        assert_eq!(name("a[]"), "^(a\\[])$");
        assert_eq!(name("a$b\"$\""), "^(a\\$b\\$)$");
        assert_eq!(name("FOO\"BAR\"\"BAZ\""), "^(fooBAR\"BAZ)$");
        assert_eq!(name("ÄÖ"), "^(ÄÖ)$");
        assert_eq!(
            one("A.\"b.C\""),
            (Some("^(a)$".to_owned()), "^(b\\.C)$".to_owned())
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_sentence() {
        for (list, said) in [
            ("a,\"b", "\"b has a double quote"),
            ("a.b.c", "a.b.c has a dot too many"),
            ("a.", "nothing before or after"),
            (".b", "nothing before or after"),
        ] {
            let error = Patterns::of_tables(list).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let error = Patterns::of_schemas("a.b").unwrap_err().to_string();
        assert!(error.contains("the name of a schema is needed"), "{error}");
    }
}
