//! What the rows of a dump depend on and no lock on a table holds. A schema is renamed without a lock on its tables,
//! and who names a table reads what has the name by then: pg_dump reads names at its beginning, and rows for as long as
//! they take. A value of an enumerated or composite type is written as the type is at that moment (PostgreSQL manual,
//! 8.7 and 8.16), and one that names an object as that is called (8.19), whatever snapshot they are read in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::Client;

use super::{Error, Target};

/// Schemas that have tables, by their names; where values name objects, all of those by a hash of their names; labels of enumerated types by a hash, since in SQL_ASCII they may
/// be any bytes; composite types, and the row types of tables and views that columns with rows have, by their
/// attributes' types; and the tables whose values name other objects. Nothing of it is asked for each row of a large
/// catalogue: what is looked for is joined.
const UNLOCKED: &str = "
    WITH RECURSIVE used (attrelid, atttypid) AS MATERIALIZED (
        SELECT a.attrelid, a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
         WHERE c.relkind IN ('r', 'm', 'c') AND c.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped
    ),
    types (oid) AS MATERIALIZED (SELECT DISTINCT atttypid FROM used),
    composite (oid) AS (
        SELECT oid FROM pg_class WHERE relkind = 'c'
        UNION SELECT t.typrelid FROM types u JOIN pg_type t ON t.oid = u.oid WHERE t.typtype = 'c'
        UNION SELECT t.typrelid FROM types u JOIN pg_type t ON t.typarray = u.oid WHERE t.typtype = 'c'
    ),
    naming (oid) AS (
        SELECT unnest('{regclass,regcollation,regconfig,regdictionary,regnamespace,regoper,regoperator,regproc,regprocedure,regrole,regtype}'::regtype[])::oid
        UNION
        SELECT t.oid FROM naming n JOIN pg_type t ON n.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE CASE t.typlen WHEN -1 THEN t.typelem END END
    )
    SELECT 'schema', n.oid, n.nspname::text, n.oid, n.xmin::text || ' ' || concat_ws(' ', n.nspowner, n.nspacl::text) FROM pg_namespace n
     WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
       AND n.oid IN (SELECT relnamespace FROM pg_class WHERE relkind = 'r')
    UNION ALL
    SELECT catalog, oid, hashtextextended(name::text, namespace::bigint)::text, oid, NULL FROM (
        SELECT 'pg_namespace', oid, nspname, 0 FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
        UNION ALL SELECT 'pg_class', oid, relname, relnamespace FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL SELECT 'pg_type', oid, typname, typnamespace FROM pg_type
        UNION ALL SELECT 'pg_proc', oid, proname, pronamespace FROM pg_proc
        UNION ALL SELECT 'pg_operator', oid, oprname, oprnamespace FROM pg_operator
        UNION ALL SELECT 'pg_collation', oid, collname, collnamespace FROM pg_collation
        UNION ALL SELECT 'pg_ts_config', oid, cfgname, cfgnamespace FROM pg_ts_config
        UNION ALL SELECT 'pg_ts_dict', oid, dictname, dictnamespace FROM pg_ts_dict
        UNION ALL SELECT 'pg_authid', oid, rolname, 0 FROM pg_roles
    ) AS o (catalog, oid, name, namespace)
     WHERE oid >= 16384 AND EXISTS (SELECT FROM naming JOIN used ON atttypid = naming.oid)
    UNION ALL
    SELECT 'label', oid, hashtextextended(enumlabel::text, 0)::text, enumtypid, NULL FROM pg_enum
    UNION ALL
    SELECT 'composite', c.oid, coalesce(string_agg(a.atttypid::text, ' ' ORDER BY a.attnum), ''), c.reltype, NULL
      FROM composite JOIN pg_class c USING (oid)
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     GROUP BY c.oid, c.reltype
    UNION ALL
    SELECT DISTINCT 'naming', u.attrelid, '', u.attrelid, NULL FROM naming n JOIN used u ON u.atttypid = n.oid";

/// A schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Schema {
    name: String,
    /// What wrote its row, and so the number of another transaction where it was renamed twice (PostgreSQL manual, 5.6:
    /// `xmin`); and whose it is and who may do what, which is written there too.
    written: (String, String),
}

/// How all of it is: in the snapshot of a session, or now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlocked {
    schemas: BTreeMap<u32, Schema>,
    /// What values may name, by a hash of its name, by its catalog and oid.
    objects: BTreeMap<(String, u32), String>,
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
                    "schema" => {
                        let written: String = row.try_get(4)?;
                        let (by, rights) = written.split_once(' ').unwrap_or_default();
                        let written = (by.to_owned(), rights.to_owned());
                        let schema = Schema {
                            name: text,
                            written,
                        };
                        drop(all.schemas.insert(oid, schema));
                    }
                    "naming" => drop(all.naming.insert(oid)),
                    "label" | "composite" => {
                        drop(all.types.insert((what, oid), (text, row.try_get(3)?)));
                    }
                    _ => drop(all.objects.insert((what, oid), text)),
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

    /// Whether something that values may name has another name or schema in `now`. What is dropped often leaves no
    /// value behind.
    #[must_use]
    pub fn is_renamed(&self, now: &Self) -> bool {
        let mut all = self.objects.iter();
        all.any(|(of, name)| now.objects.get(of).is_some_and(|it| it != name))
    }

    /// One of these names of schemas that another one has in `now`, or had meanwhile: a schema that was renamed and got its
    /// name back was written since, and nothing else is another of it. A name that leads nowhere is an error wherever
    /// it is used.
    #[must_use]
    pub fn taken<'a>(&self, names: &BTreeSet<&'a str>, now: &Self) -> Option<&'a str> {
        let all_now = &now.schemas;
        let [before, now] = [self, now].map(|it| -> HashMap<&str, (u32, &Schema)> {
            let all = it.schemas.iter();
            all.map(|(oid, it)| (it.name.as_str(), (*oid, it)))
                .collect()
        });
        let written = |was: &Schema, is: &Schema| {
            let ((by, rights), (by_now, rights_now)) = (&was.written, &is.written);
            by != by_now && rights == rights_now
        };
        // A GRANT of what is granted already writes a schema too. Who has had another's name was written as well, was
        // made since or is gone.
        let changed = |oid: &u32| match (self.schemas.get(oid), all_now.get(oid)) {
            (Some(was), Some(is)) => was.written.0 != is.written.0,
            _ => true,
        };
        let all = self.schemas.keys().chain(all_now.keys());
        let all: BTreeSet<u32> = all.copied().filter(changed).collect();
        let is_another = |(oid, was): &(u32, &Schema), (oid_now, is): &(u32, &Schema)| {
            oid != oid_now || (written(was, is) && all.iter().any(|it| it != oid))
        };
        let mut names = names.iter().copied();
        names.find(|name| {
            now.get(name)
                .is_some_and(|now| before.get(name).is_none_or(|it| is_another(it, now)))
        })
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
        let schemas = |all: &[(u32, &str)]| {
            let objects = all.iter();
            let objects =
                objects.map(|(oid, name)| (("pg_proc".to_owned(), *oid), (*name).to_owned()));
            let named = all.iter().map(|(oid, name)| {
                let schema = Schema {
                    name: (*name).to_owned(),
                    ..Schema::default()
                };
                (*oid, schema)
            });
            Unlocked {
                objects: objects.collect(),
                schemas: named.collect(),
                ..Unlocked::default()
            }
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
        assert!(before.is_renamed(&schemas(&swapped)));
        let more = [(1, "live"), (2, "next"), (3, "other"), (9, "new")];
        assert!(!before.is_renamed(&schemas(&more)));
    }

    #[test]
    fn a_name_that_was_given_back_meanwhile_is_told_from_a_grant() {
        let schemas = |by: &str, rights: &str, other: (&str, &str)| Unlocked {
            schemas: [(1, "live", by, rights), (2, "next", other.0, other.1)]
                .map(|(oid, name, by, rights)| {
                    let written = (by.to_owned(), rights.to_owned());
                    let name = name.to_owned();
                    (oid, Schema { name, written })
                })
                .into(),
            ..Unlocked::default()
        };
        let before = schemas("700", "10", ("700", "10"));
        let names = BTreeSet::from(["live"]);
        for (by, rights, other, taken) in [
            ("700", "10", ("700", "10"), None),
            ("800", "10", ("800", "10"), Some("live")),
            // Granted while it had the name.
            ("800", "10", ("800", "10 {app=U/app}"), Some("live")),
            ("800", "10", ("700", "10"), None),
            ("700", "10", ("800", "10"), None),
            ("800", "10 {app=U/app}", ("800", "10"), None),
        ] {
            let now = schemas(by, rights, other);
            assert_eq!(before.taken(&names, &now), taken, "{by} {rights} {other:?}");
        }
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
