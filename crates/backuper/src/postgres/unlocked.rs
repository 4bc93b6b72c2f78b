//! What the rows of a dump depend on and no lock on a table holds. A schema is renamed without a lock on its tables,
//! and who names a table reads what has the name by then: pg_dump reads names at its beginning, and rows for as long as
//! they take. A value of an enumerated or composite type is written as the type is at that moment (PostgreSQL manual,
//! 8.7 and 8.16), and one that names an object as that is called (8.19), whatever snapshot they are read in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::Client;

use super::{Error, Target};

/// Schemas that have tables, by their names; labels of enumerated types by a hash, since in SQL_ASCII they may be any
/// bytes; composite types, and the row types of tables and views that are types of columns, by their attributes' types;
/// and the tables whose values name other objects.
const UNLOCKED: &str = "
    WITH RECURSIVE used AS MATERIALIZED (SELECT DISTINCT attrelid, atttypid FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0),
    naming (oid) AS (
        SELECT unnest('{regclass,regcollation,regconfig,regdictionary,regnamespace,regoper,regoperator,regproc,regprocedure,regtype}'::regtype[])::oid
        UNION
        SELECT t.oid FROM pg_type t JOIN naming n ON n.oid IN (t.typbasetype, CASE t.typlen WHEN -1 THEN t.typelem END)
    )
    SELECT 'schema', n.oid, n.nspname::text, n.oid FROM pg_namespace n
     WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
       AND n.oid IN (SELECT relnamespace FROM pg_class WHERE relkind IN ('r', 'm'))
    UNION ALL
    SELECT 'label', oid, hashtextextended(enumlabel::text, 0)::text, enumtypid FROM pg_enum
    UNION ALL
    SELECT 'composite', c.oid, coalesce(string_agg(a.atttypid::text, ' ' ORDER BY a.attnum), ''), c.reltype
      FROM pg_class c JOIN pg_type t ON t.oid = c.reltype
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relkind = 'c' OR t.oid IN (SELECT atttypid FROM used) OR t.typarray IN (SELECT atttypid FROM used)
     GROUP BY c.oid, c.reltype
    UNION ALL
    SELECT DISTINCT 'naming', attrelid, '', attrelid FROM used WHERE atttypid IN (SELECT oid FROM naming)";

/// How all of it is: in the snapshot of a session, or now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlocked {
    schemas: BTreeMap<u32, String>,
    /// What a text depends on, and the type's oid, by what that is and its own oid.
    types: BTreeMap<(String, u32), (String, u32)>,
    naming: BTreeSet<u32>,
}

impl Unlocked {
    /// Asks through a session.
    ///
    /// # Errors
    /// What the server said.
    pub async fn seen_by(session: &Client, target: &Target) -> Result<Self, Error> {
        let asked = async {
            let mut all = Self::default();
            for row in &session.query(UNLOCKED, &[]).await? {
                let (what, oid, text): (String, u32, String) =
                    (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                match what.as_str() {
                    "schema" => drop(all.schemas.insert(oid, text)),
                    "naming" => drop(all.naming.insert(oid)),
                    _ => drop(all.types.insert((what, oid), (text, row.try_get(3)?))),
                }
            }
            Ok(all)
        };
        let failed = |error| Error::new("reading the schemas and types of", target, &error);
        asked.await.map_err(failed)
    }

    /// Whether a table has values that name other objects, as those of regclass do: by the schemas' names.
    /// Composite types are not looked into.
    #[must_use]
    pub fn names_others(&self, table: u32) -> bool {
        self.naming.contains(&table)
    }

    /// The name of a schema of these that has another one in `now`.
    #[must_use]
    pub fn renamed(&self, now: &Self) -> Option<&str> {
        let mut all = self.schemas.iter();
        let other = |oid: &u32, name: &str| now.schemas.get(oid).is_some_and(|it| it != name);
        let found = all.find(|(oid, name)| other(oid, name));
        found.map(|(_, name)| name.as_str())
    }

    /// One of these names of schemas that another one has in `now`. Nobody sees one that was given back meanwhile;
    /// a name that leads nowhere is an error wherever it is used.
    #[must_use]
    pub fn taken<'a>(&self, names: &BTreeSet<&'a str>, now: &Self) -> Option<&'a str> {
        let [before, now] = [self, now].map(|it| -> HashMap<&str, u32> {
            let all = it.schemas.iter();
            all.map(|(oid, name)| (name.as_str(), *oid)).collect()
        });
        let mut names = names.iter().copied();
        names.find(|name| now.get(name).is_some_and(|it| before.get(name) != Some(it)))
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
        assert_eq!(before.renamed(&schemas(&swapped)), Some("live"));
        assert_eq!(before.renamed(&schemas(&[(1, "live"), (9, "new")])), None);
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
