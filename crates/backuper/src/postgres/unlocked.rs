//! What the rows of a dump depend on and no lock on a table holds. A schema is renamed without a lock on its tables,
//! and who names a table reads what has the name by then: pg_dump reads names at its beginning, and rows for as long as
//! they take. A value of an enumerated or composite type is written as the type is at that moment (PostgreSQL manual,
//! 8.7 and 8.16), whatever snapshot it is read in.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::{Error, Target};

/// Schemas that have tables by their names, labels of enumerated types by a hash, since in SQL_ASCII they may be any
/// bytes, and composite types by their attributes' types.
const UNLOCKED: &str = "
    SELECT 'schema', n.oid, n.nspname::text, n.oid FROM pg_namespace n
     WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
       AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r')
    UNION ALL
    SELECT 'label', oid, md5(enumlabel::text), enumtypid FROM pg_enum
    UNION ALL
    SELECT 'composite', c.oid, coalesce(string_agg(a.atttypid::text, ' ' ORDER BY a.attnum), ''), c.reltype
      FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind = 'c' GROUP BY c.oid, c.reltype";

/// How all of it is: in the snapshot of a session, or now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlocked {
    schemas: BTreeMap<u32, String>,
    /// What a text depends on, and the type's oid, by what that is and its own oid.
    types: BTreeMap<(String, u32), (String, u32)>,
}

impl Unlocked {
    /// Asks through a session.
    ///
    /// # Errors
    /// What the server said.
    pub async fn seen_by(session: &Client, target: &Target) -> Result<Self, Error> {
        let rows = session
            .query(UNLOCKED, &[])
            .await
            .map_err(|error| Error::new("reading the schemas and types of", target, &error))?;
        let mut all = Self::default();
        for row in &rows {
            let (what, oid, text): (String, u32, String) = (row.get(0), row.get(1), row.get(2));
            if what == "schema" {
                all.schemas.insert(oid, text);
            } else {
                all.types.insert((what, oid), (text, row.get(3)));
            }
        }
        Ok(all)
    }

    /// One of these names of schemas that another one has in `now`. Nobody sees one that was given back meanwhile;
    /// a name that leads nowhere is an error wherever it is used.
    #[must_use]
    pub fn taken<'a>(&self, names: &BTreeSet<&'a str>, now: &Self) -> Option<&'a str> {
        let oid = |of: &Self, name: &str| {
            let mut all = of.schemas.iter();
            all.find(|(_, it)| *it == name).map(|(oid, _)| *oid)
        };
        let mut names = names.iter().copied();
        names.find(|name| oid(now, name).is_some_and(|it| oid(self, name) != Some(it)))
    }

    /// The oid of a type of these whose values have another text in `now`. Labels that were added are in no row of
    /// the snapshot.
    #[must_use]
    pub fn rewritten(&self, now: &Self) -> Option<u32> {
        let mut all = self.types.iter();
        let other = |of: &(String, u32), text: &str| {
            let now = now.types.get(of);
            now.is_some_and(|(it, _)| it != text)
        };
        let found = all.find(|(of, (text, _))| other(of, text));
        found.map(|(_, (_, of))| *of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_where_it_leads_to_another_schema() {
        let schemas = |all: &[(u32, &str)]| Unlocked {
            schemas: all
                .iter()
                .map(|(oid, name)| (*oid, (*name).to_owned()))
                .collect(),
            ..Unlocked::default()
        };
        let before = schemas(&[(1, "live"), (2, "next"), (3, "other")]);
        let taken = |now: &[(u32, &str)], names: &[&'static str]| {
            before.taken(&names.iter().copied().collect(), &schemas(now))
        };
        let swapped = [(2, "live"), (1, "next"), (3, "other")];
        assert_eq!(taken(&swapped, &["live", "other"]), Some("live"));
        assert_eq!(taken(&swapped, &["other"]), None);
        assert_eq!(taken(&[(1, "old"), (3, "other")], &["live", "next"]), None);
        assert_eq!(taken(&[(1, "old"), (9, "live")], &["live"]), Some("live"));
    }

    #[test]
    fn a_type_is_rewritten_where_what_it_had_has_another_text() {
        let types = |all: &[(u32, &str)]| Unlocked {
            types: all
                .iter()
                .map(|(oid, text)| {
                    let of = ("label".to_owned(), *oid);
                    (of, ((*text).to_owned(), 7))
                })
                .collect(),
            ..Unlocked::default()
        };
        let before = types(&[(1, "sad"), (2, "ok")]);
        let added = types(&[(1, "sad"), (2, "ok"), (3, "happy")]);
        assert_eq!(before.rewritten(&added), None);
        assert_eq!(before.rewritten(&types(&[])), None);
        assert_eq!(
            before.rewritten(&types(&[(1, "sad"), (2, "fine")])),
            Some(7)
        );
    }
}
