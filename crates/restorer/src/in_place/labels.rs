//! Which entry of an archive a line of psql's input belongs to: pg_restore names each in a comment before it.

use super::complaints::Complaint;

/// A stretch of psql's input.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines(Option<(u64, u64)>);

impl Lines {
    /// Behind this line.
    pub(super) fn begin(&mut self, line: u64) {
        self.0 = Some((line, u64::MAX));
    }

    pub(super) fn end(&mut self, line: u64) {
        self.0 = self.0.map(|(begin, _)| (begin, line));
    }

    pub(super) fn contains(self, line: u64) -> bool {
        self.0
            .is_some_and(|(begin, end)| (begin + 1..=end).contains(&line))
    }
}

/// The entry that a comment of pg_restore names:
/// `-- Name: t_pkey; Type: CONSTRAINT; Schema: public; Owner: me`.
pub(super) fn label(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let named = line.strip_prefix("-- Name: ")?;
    let (name, rest) = named.split_once("; Type: ")?;
    let (kind, rest) = rest.split_once("; Schema: ")?;
    let (schema, _owner) = rest.split_once("; ")?;
    Some(match schema {
        "-" => format!("{kind} {name}"),
        _ => format!("{kind} {schema}.{name}"),
    })
}

/// The entry that a line belongs to.
pub(super) fn entry_of(labels: &[(u64, String)], line: u64) -> Option<&str> {
    let at = labels.partition_point(|(begin, _)| *begin < line);
    labels.get(at.checked_sub(1)?).map(|(_, it)| it.as_str())
}

/// The entries that failed, each of which the log says why.
pub(super) fn omissions(labels: &[(u64, String)], errors: &[Complaint]) -> Vec<String> {
    let each = errors.iter().map(|error| {
        let entry = entry_of(labels, error.line).unwrap_or("a statement");
        tracing::warn!(entry, error = %error.sentence(), sqlstate = %error.sqlstate, "left out");
        entry.to_owned()
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_a_line_of_it() {
        let text = b"-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: me\n";
        assert_eq!(label(text).as_deref(), Some("CONSTRAINT public.t t_pkey"));
        let text = b"-- Name: EXTENSION hstore; Type: COMMENT; Schema: -; Owner: \n";
        assert_eq!(label(text).as_deref(), Some("COMMENT EXTENSION hstore"));
        assert_eq!(label(b"-- Data of another kind\n"), None);
        let labels = [(3, "a".to_owned()), (8, "b".to_owned())];
        let found = [3, 4, 8, 9, 100].map(|it| entry_of(&labels, it));
        assert_eq!(found, [None, Some("a"), Some("a"), Some("b"), Some("b")]);
    }
}
