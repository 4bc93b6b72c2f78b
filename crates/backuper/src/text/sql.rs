//! Names as SQL writes them.

/// An identifier between double quotes, whatever is in it.
/// PostgreSQL manual, 4.1.1: identifiers and key words.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant. PostgreSQL manual, 4.1.2.1; the backslash form is used only where needed,
/// so that `standard_conforming_strings` does not matter.
#[must_use]
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A string constant between dollars, with a tag that does not occur in it.
/// PostgreSQL manual, 4.1.2.4: dollar-quoted string constants.
#[must_use]
pub fn dollar_quoted(text: &str) -> String {
    let mut tag = "$oiler$".to_owned();
    let mut number = 0;
    while text.contains(tag.trim_end_matches('$')) {
        number += 1;
        tag = format!("$oiler{number}$");
    }
    format!("{tag}{text}{tag}")
}

/// A pattern for pg_dump's `--table` and its like that matches exactly one name: between double
/// quotes nothing is a wildcard. PostgreSQL manual, psql, "Patterns".
#[must_use]
pub fn pattern(schema: &str, name: &str) -> String {
    format!("{}.{}", quote(schema), quote(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// operator.md, R8.
    #[test]
    fn quotes_within_names_are_doubled() {
        assert_eq!(quote(r#"say "hi""#), r#""say ""hi""""#);
        assert_eq!(pattern("a.b", "c*"), r#""a.b"."c*""#);
    }

    #[test]
    fn a_dollar_tag_is_none_of_the_text() {
        assert_eq!(dollar_quoted("a"), "$oiler$a$oiler$");
        let nested = dollar_quoted(&dollar_quoted("a"));
        assert_eq!(nested, "$oiler1$$oiler$a$oiler$$oiler1$");
        assert!(dollar_quoted("x$oiler").starts_with("$oiler1$"));
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"E'a\\b'");
    }
}
