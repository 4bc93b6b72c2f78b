//! What an entry of an archive is: its name for people, and what it belongs to.

use std::fmt;

use super::Entry;
use crate::postgres::mark;

/// As people and logs name it: `INDEX public.orders_day`, `COMMENT ON TABLE orders`. Never a part of
/// its SQL, which may hold passwords.
impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            tag,
            namespace,
            ..
        } = self;
        match namespace {
            _ if self.is_attached() => write!(formatter, "{kind} ON {tag}"),
            // Casts and user mappings say in their tag what they are.
            _ if tag.strip_prefix(kind).is_some_and(|it| it.starts_with(' ')) => {
                formatter.write_str(tag)
            }
            Some(namespace) => write!(formatter, "{kind} {namespace}.{tag}"),
            None => write!(formatter, "{kind} {tag}"),
        }
    }
}

impl Entry {
    /// Whether it says something of another object, which its tag names with its kind.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.kind.as_str(), "COMMENT" | "SECURITY LABEL" | "ACL")
    }

    /// Whether it is of the object with this kind and name, or is that itself.
    #[must_use]
    pub fn is_of(&self, kind: &str, name: &str) -> bool {
        let itself = self.kind == kind && self.tag == name;
        let attached = self
            .tag
            .strip_prefix(kind)
            .and_then(|it| it.strip_prefix(' '));
        itself || (self.is_attached() && attached == Some(name))
    }

    /// Whether it is the schema `public`, which every database has from the beginning. A part of a database that names
    /// it has an entry that makes it.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.kind == "SCHEMA" && self.tag == "public"
    }

    /// Whether it is of the mark that stands in a database while a restore is under way. Backups that
    /// were made before the backuper refused such databases have it.
    #[must_use]
    pub fn is_of_the_mark(&self) -> bool {
        self.is_of("SCHEMA", mark::SCHEMA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, namespace: Option<&str>, tag: &str) -> Entry {
        Entry {
            kind: kind.to_owned(),
            tag: tag.to_owned(),
            namespace: namespace.map(str::to_owned),
            ..Entry::default()
        }
    }

    #[test]
    fn an_entry_has_a_name() {
        let name = |kind, namespace, tag| entry(kind, namespace, tag).to_string();
        assert_eq!(name("INDEX", Some("public"), "i"), "INDEX public.i");
        assert_eq!(name("SCHEMA", None, "app"), "SCHEMA app");
        let mapping = "USER MAPPING public SERVER afar";
        assert_eq!(name("USER MAPPING", None, mapping), mapping);
        assert_eq!(
            name("COMMENT", Some("public"), "INDEX i"),
            "COMMENT ON INDEX i"
        );
    }

    #[test]
    fn the_mark_is_known_with_all_that_is_said_of_it() {
        let mark = "oiler_restore_incomplete";
        let of_it = format!("SCHEMA {mark}");
        assert!(entry("SCHEMA", None, mark).is_of_the_mark());
        for kind in ["COMMENT", "ACL", "SECURITY LABEL"] {
            assert!(entry(kind, None, &of_it).is_of_the_mark(), "{kind}");
        }
        assert!(!entry("TABLE", Some("public"), mark).is_of_the_mark());
        assert!(!entry("TABLE", Some("public"), &of_it).is_of_the_mark());
        assert!(!entry("SCHEMA", None, "oiler_restore_incomplete2").is_of_the_mark());
    }
}
