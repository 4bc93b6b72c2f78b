//! What runs with the rights of its owner, so that another owner gives it other rights.

use std::collections::BTreeMap;

use crate::archive::statements::words;
use crate::archive::toc::{Entry, Toc};

/// What an archive says of it.
#[derive(Debug)]
pub(crate) struct Definers<'a> {
    /// The rules of views and tables, by the number of the view or table.
    rules: BTreeMap<i64, &'a Entry>,
}

impl<'a> Definers<'a> {
    pub(crate) fn of(toc: &'a Toc) -> Self {
        let rules = toc.entries.iter().filter(|it| it.kind == "RULE");
        let rules = rules.flat_map(|rule| rule.needs.iter().map(move |id| (*id, rule)));
        Self {
            rules: rules.collect(),
        }
    }

    /// What an entry is, when whoever uses it has its owner's rights: `function s.f(integer)`; none:
    /// it is nothing of the kind.
    pub(crate) fn name(&self, entry: &Entry) -> Option<String> {
        let rule = self.rules.get(&entry.id);
        let word = match entry.kind.as_str() {
            "FUNCTION" if is_open(entry) => "function",
            "PROCEDURE" if is_open(entry) => "procedure",
            // One in a circle is made with columns alone, and gets its query and its options by a rule.
            "VIEW" if !is_security_invoker(&rule.unwrap_or(&entry).definition) => "view",
            "MATERIALIZED VIEW" => "materialized view",
            // PostgreSQL manual, 41.5: rules and privileges.
            "TABLE" if rule.is_some() => "table with a rule",
            _ => return None,
        };
        let schema = entry.namespace.as_deref().unwrap_or_default();
        Some(format!("{word} {schema}.{}", entry.tag))
    }
}

/// Whether everybody may call an entry with its owner's rights as soon as it is there: what else has its owner's rights
/// is open to nobody before its privileges are granted.
pub(super) fn is_open(entry: &Entry) -> bool {
    matches!(entry.kind.as_str(), "FUNCTION" | "PROCEDURE")
        && is_security_definer(&entry.definition)
}

/// `SECURITY DEFINER` stands in the line that begins with `LANGUAGE`, between the arguments and the
/// body: `dumpFunc` in PostgreSQL's `src/bin/pg_dump/pg_dump.c`.
fn is_security_definer(definition: &str) -> bool {
    let mut words = words(definition).skip_while(|it| !it.is_outside("LANGUAGE"));
    let Some(mut last) = words.next() else {
        return false;
    };
    for word in words {
        if definition[last.end()..word.start].contains('\n') {
            return false;
        }
        if last.is("SECURITY") && word.is("DEFINER") {
            return true;
        }
        last = word;
    }
    false
}

/// `WITH (security_invoker='true')` between the name and `AS`. The setting is PostgreSQL's own, so
/// it has been a boolean: manual, 20.1.
fn is_security_invoker(definition: &str) -> bool {
    let options = words(definition).take_while(|it| !it.is_outside("AS"));
    let value = options
        .filter(|it| it.depth == 1)
        .find_map(|it| it.text.strip_prefix("security_invoker"));
    let Some(value) = value else {
        return false;
    };
    let value = value
        .trim_start_matches('=')
        .trim_matches('\'')
        .to_ascii_lowercase();
    value.is_empty()
        || value == "1"
        || value == "on"
        || "true".starts_with(&value)
        || "yes".starts_with(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_says_before_its_body_whose_rights_it_has() {
        for (definition, wanted) in [
            (
                "CREATE FUNCTION s.f(a integer) RETURNS integer\n    LANGUAGE sql SECURITY DEFINER\n    SET search_path TO 'pg_catalog'\n    AS $$SELECT 1$$;\n",
                true,
            ),
            (
                "CREATE FUNCTION s.w(integer) RETURNS integer\n    LANGUAGE internal WINDOW SECURITY DEFINER\n    AS $$window_row_number$$;\n",
                true,
            ),
            (
                "CREATE PROCEDURE s.p(IN \"LANGUAGE\" integer)\n    LANGUAGE \"p l\" SECURITY DEFINER LEAKPROOF\n    BEGIN ATOMIC\nEND;\n",
                true,
            ),
            (
                "CREATE FUNCTION s.h(a text DEFAULT '\n    LANGUAGE sql SECURITY DEFINER\n'::text) RETURNS integer\n    LANGUAGE sql\n    AS $$SELECT 1 -- LANGUAGE sql SECURITY DEFINER$$;\n",
                false,
            ),
            (
                "CREATE FUNCTION s.t(\"SECURITY DEFINER\" integer) RETURNS TABLE(\"SECURITY DEFINER 2\" integer)\n    LANGUAGE sql STABLE\n    AS $$select 1$$;\n",
                false,
            ),
            (
                "CREATE FUNCTION s.x() RETURNS void\n    LANGUAGE sql\n    SET x TO 'y'\n    AS $$ LANGUAGE SECURITY DEFINER $$;\n",
                false,
            ),
        ] {
            assert_eq!(is_security_definer(definition), wanted, "{definition}");
        }
    }

    #[test]
    fn a_view_says_whose_rights_it_has() {
        for (definition, wanted) in [
            ("CREATE VIEW s.v AS\n SELECT 1;\n", false),
            (
                "CREATE VIEW s.v WITH (security_invoker='true') AS\n SELECT 1;\n",
                true,
            ),
            (
                "CREATE VIEW s.v WITH (security_barrier='true', security_invoker='on') AS\n SELECT 1;\n",
                true,
            ),
            (
                "CREATE VIEW s.v WITH (security_invoker='false') AS\n SELECT 1;\n",
                false,
            ),
            (
                "CREATE VIEW s.\"v WITH (security_invoker='true') AS\" AS\n SELECT 1;\n",
                false,
            ),
            (
                "CREATE OR REPLACE VIEW s.v AS\n SELECT f(security_invoker='t');\n",
                false,
            ),
        ] {
            assert_eq!(is_security_invoker(definition), wanted, "{definition}");
        }
    }
}
