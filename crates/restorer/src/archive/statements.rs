//! The SQL of an archive's entries, word by word, as pg_dump writes it: keywords bare and in
//! capitals, names bare in small letters or between double quotes, quotes within quotes doubled.
//!
//! It is read to find roles, databases and rights in it; what is restored is never written from it.

/// A word of a statement, quotes and all: `TABLE`, `s."a b"`, `'it''s'`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// As it stands there.
    pub(crate) text: &'a str,
    /// Where it begins, in bytes.
    pub(crate) start: usize,
    /// How many parentheses are open around it.
    pub(crate) depth: u32,
}

impl Word<'_> {
    /// Whether it is this keyword and not a name.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.text == keyword
    }

    /// Whether it stands outside of parentheses and is this keyword.
    pub(crate) fn is_outside(&self, keyword: &str) -> bool {
        self.depth == 0 && self.is(keyword)
    }

    /// The name that it is, without quotes.
    pub(crate) fn name(&self) -> String {
        match self
            .text
            .strip_prefix('"')
            .and_then(|it| it.strip_suffix('"'))
        {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => self.text.to_owned(),
        }
    }

    /// Where it ends, in bytes.
    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// The words of a text, from its beginning; whoever has found what it looks for reads no further.
pub(crate) fn words(text: &str) -> Words<'_> {
    Words {
        text,
        at: 0,
        depth: 0,
    }
}

/// See [`words`].
#[derive(Clone, Debug)]
pub(crate) struct Words<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let mut start = None;
        let mut quoted = None;
        for (offset, c) in self.text[self.at..].char_indices() {
            let here = self.at + offset;
            let separates = quoted.is_none() && (c.is_whitespace() || "();,".contains(c));
            if !separates {
                start.get_or_insert(here);
                quoted = match quoted {
                    None if c == '"' || c == '\'' => Some(c),
                    Some(open) if open == c => None,
                    other => other,
                };
                continue;
            }
            if let Some(start) = start {
                self.at = here;
                return Some(self.word(start, here));
            }
            match c {
                '(' => self.depth += 1,
                ')' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.at = self.text.len();
        start.map(|start| self.word(start, self.at))
    }
}

impl<'a> Words<'a> {
    fn word(&self, start: usize, end: usize) -> Word<'a> {
        Word {
            text: &self.text[start..end],
            start,
            depth: self.depth,
        }
    }
}

/// The statements of a text, each with its semicolon: one outside of quotes ends a statement.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let (mut statements, mut start, mut quoted) = (Vec::new(), 0, None);
    for (at, c) in text.char_indices() {
        quoted = match quoted {
            None if c == '"' || c == '\'' => Some(c),
            Some(open) if open == c => None,
            other => other,
        };
        if c == ';' && quoted.is_none() {
            statements.push(text[start..=at].trim());
            start = at + 1;
        }
    }
    statements.retain(|it| *it != ";");
    statements
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_semicolon_within_a_name_or_a_text_ends_nothing() {
        let text = "REVOKE ALL ON TABLE public.\"a;\nb\" FROM me;\n;\nALTER DATABASE d SET x TO 'it''s; y';\nrest";
        assert_eq!(
            split(text),
            [
                "REVOKE ALL ON TABLE public.\"a;\nb\" FROM me;",
                "ALTER DATABASE d SET x TO 'it''s; y';"
            ]
        );
    }

    #[test]
    fn words_keep_their_quotes_and_know_their_place() {
        let text = "CREATE POLICY \"a b\" ON s.\"T\"\"O\" TO app, \"x;y\" USING ((n = 'TO'));";
        let all: Vec<&str> = words(text).map(|it| it.text).collect();
        assert_eq!(
            all,
            [
                "CREATE",
                "POLICY",
                "\"a b\"",
                "ON",
                "s.\"T\"\"O\"",
                "TO",
                "app",
                "\"x;y\"",
                "USING",
                "n",
                "=",
                "'TO'"
            ]
        );
        let depths: Vec<u32> = words(text).map(|it| it.depth).collect();
        assert_eq!(depths[8..], [0, 2, 2, 2]);
        for word in words(text) {
            assert_eq!(&text[word.start..word.end()], word.text);
        }
        assert_eq!(words("\"Go\"\"ne\"").next().unwrap().name(), "Go\"ne");
    }

    proptest! {
        #[test]
        fn every_text_has_its_words(text: String) {
            for word in words(&text) {
                prop_assert_eq!(&text[word.start..word.end()], word.text);
            }
            drop(split(&text));
        }
    }
}
