//! What a backup needs of the server, found in its table of contents before anything is loaded.

use std::collections::BTreeSet;

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use tokio_postgres::Client;

use super::owners::publishes_all;
use super::roles::Roles;
use super::trial::{self, Refusal, SCHEMA};
use crate::archive::statements::{Word, words};
use crate::archive::toc::{Entry, Toc};

/// An entry that cannot be restored here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unmet {
    pub(super) entry: i64,
    /// What is missing: `policy p on s.t is for the role x, which does not exist here`.
    pub(super) why: String,
}

/// What only some roles may make, and how to find out whether ours may.
struct Right {
    what: &'static str,
    applies: fn(&Entry, &BTreeSet<String>) -> bool,
    /// Made in [`SCHEMA`] where it lies in a schema.
    sample: &'static str,
}

const RIGHTS: [Right; 10] = [
    Right {
        what: "event trigger",
        applies: |it, _| it.kind == "EVENT TRIGGER",
        sample: "CREATE FUNCTION oiler_preflight.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER oiler_preflight ON ddl_command_start EXECUTE FUNCTION oiler_preflight.f()",
    },
    Right {
        what: "publication of all tables",
        applies: |it, _| {
            (it.kind == "PUBLICATION" && publishes_all(it))
                || it.kind == "PUBLICATION TABLES IN SCHEMA"
        },
        sample: "CREATE PUBLICATION oiler_preflight FOR ALL TABLES",
    },
    Right {
        what: "subscription",
        applies: |it, _| it.kind == "SUBSCRIPTION",
        sample: "CREATE SUBSCRIPTION oiler_preflight CONNECTION 'host=/nowhere password=none' PUBLICATION p WITH (connect = false)",
    },
    Right {
        what: "foreign data wrapper",
        applies: |it, _| it.kind == "FOREIGN DATA WRAPPER",
        sample: "CREATE FOREIGN DATA WRAPPER oiler_preflight",
    },
    Right {
        what: "language",
        applies: |it, _| it.kind == "PROCEDURAL LANGUAGE",
        sample: "CREATE LANGUAGE oiler_preflight HANDLER plpgsql_call_handler",
    },
    Right {
        what: "function in an untrusted language",
        applies: |it, untrusted| {
            is_routine(it) && language(it).is_some_and(|name| untrusted.contains(&name))
        },
        sample: "CREATE FUNCTION oiler_preflight.f() RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
    },
    Right {
        what: "leakproof function",
        applies: |it, _| is_routine(it) && attributes(it).iter().any(|word| word.is("LEAKPROOF")),
        sample: "CREATE FUNCTION oiler_preflight.f() RETURNS int LANGUAGE sql LEAKPROOF AS 'SELECT 1'",
    },
    Right {
        what: "base type",
        applies: |it, _| it.kind == "SHELL TYPE" || (it.kind == "TYPE" && is_base_type(it)),
        sample: "CREATE TYPE oiler_preflight.t",
    },
    Right {
        what: "operator class",
        applies: |it, _| it.kind == "OPERATOR CLASS" || it.kind == "OPERATOR FAMILY",
        sample: "CREATE OPERATOR FAMILY oiler_preflight.f USING btree",
    },
    Right {
        what: "text search parser",
        applies: |it, _| {
            it.kind == "TEXT SEARCH PARSER"
                || it.kind == "TEXT SEARCH TEMPLATE"
                || it.kind == "ACCESS METHOD"
        },
        sample: "CREATE TEXT SEARCH TEMPLATE oiler_preflight.t (LEXIZE = dsimple_lexize)",
    },
];

/// Everything that the server or our role lacks, by the entries that need it.
///
/// # Errors
/// What the server said.
pub(super) async fn unmet(
    session: &Client,
    target: &Target,
    toc: &Toc,
    roles: &Roles,
) -> Result<Vec<Unmet>, Failure> {
    let mut unmet: Vec<Unmet> = toc
        .entries
        .iter()
        .filter_map(|it| absent_roles(it, roles))
        .collect();
    if !roles.superuser {
        unmet.extend(denied(session, target, toc, roles).await?);
    }
    unmet.extend(collations(session, target, toc).await?);
    Ok(unmet)
}

/// The tablespaces that a backup names, and the server lacks or keeps from our role.
///
/// # Errors
/// What the server said.
pub(super) async fn tablespaces(
    session: &Client,
    target: &Target,
    toc: &Toc,
) -> Result<Vec<String>, Failure> {
    let named: BTreeSet<&str> = toc
        .entries
        .iter()
        .filter_map(|it| it.tablespace.as_deref())
        .collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let named: Vec<&str> = named.into_iter().collect();
    let rows = session
        .query(
            "SELECT named FROM unnest($1::text[]) AS named
              WHERE NOT EXISTS (SELECT FROM pg_tablespace
                                 WHERE spcname::text = named
                                   AND (has_tablespace_privilege(oid, 'CREATE')
                                        OR oid = (SELECT dattablespace FROM pg_database WHERE datname = current_database())))
              ORDER BY 1",
            &[&named],
        )
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The roles of policies and user mappings that the server lacks.
pub(super) fn missing(toc: &Toc, roles: &Roles) -> BTreeSet<String> {
    let named = toc.entries.iter().filter_map(named_roles);
    let missing = named.flat_map(|(_, named)| named);
    missing.filter(|it| !roles.has(it)).collect()
}

/// A policy or a user mapping for roles that the server lacks.
fn absent_roles(entry: &Entry, roles: &Roles) -> Option<Unmet> {
    let (what, named) = named_roles(entry)?;
    let absent: Vec<String> = named.into_iter().filter(|it| !roles.has(it)).collect();
    (!absent.is_empty()).then(|| Unmet {
        entry: entry.id,
        why: format!(
            "{what} (role {} does not exist here)",
            absent.join(" and role ")
        ),
    })
}

/// What a policy or a user mapping is called, and the roles that it is for.
fn named_roles(entry: &Entry) -> Option<(String, Vec<String>)> {
    Some(match entry.kind.as_str() {
        "POLICY" => {
            let schema = entry.namespace.as_deref().unwrap_or_default();
            // The tag is the table's name and the policy's.
            let what = format!("policy {schema}.{}", entry.tag);
            (what, roles_of_policy(&entry.definition))
        }
        "USER MAPPING" => {
            let role = words(&entry.definition).nth(4)?;
            // In small letters it is everybody.
            let role = Some(role).filter(|it| !it.is("public"));
            let what = entry.tag.replacen("USER MAPPING", "user mapping", 1);
            (what, role.iter().map(Word::name).collect())
        }
        _ => return None,
    })
}

/// `CREATE POLICY p ON s.t FOR SELECT TO a, b USING (…)`.
fn roles_of_policy(definition: &str) -> Vec<String> {
    words(definition)
        .skip_while(|it| !it.is_outside("TO"))
        .skip(1)
        .take_while(|it| !it.is_outside("USING") && !it.is_outside("WITH"))
        .map(|it| it.name())
        .collect()
}

async fn denied(
    session: &Client,
    target: &Target,
    toc: &Toc,
    roles: &Roles,
) -> Result<Vec<Unmet>, Failure> {
    let rows = session
        .query(
            "SELECT lanname::text FROM pg_language WHERE NOT lanpltrusted",
            &[],
        )
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let untrusted: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let wanted: Vec<(&Right, Vec<&Entry>)> = RIGHTS
        .iter()
        .map(|right| {
            let entries = toc.entries.iter();
            let entries = entries.filter(|it| (right.applies)(it, &untrusted));
            (right, entries.collect())
        })
        .filter(|(_, entries): &(_, Vec<&Entry>)| !entries.is_empty())
        .collect();
    let tries: Vec<String> = wanted.iter().map(|(it, _)| it.sample.to_owned()).collect();
    let refusals = trial::refusals(session, target, &tries).await?;
    let denied = wanted
        .into_iter()
        .zip(refusals)
        .filter(|(_, refusal)| *refusal == Some(Refusal::Denied));
    let unmet = denied.flat_map(|((right, entries), _)| {
        entries.into_iter().map(|entry| {
            let schema = entry.namespace.as_deref();
            let schema = schema.map_or_else(String::new, |it| format!("{it}."));
            Unmet {
                entry: entry.id,
                why: format!(
                    "{} {schema}{} (role {} may not make one here)",
                    right.what, entry.tag, roles.me
                ),
            }
        })
    });
    Ok(unmet.collect())
}

/// Collations whose locales the server does not have.
async fn collations(session: &Client, target: &Target, toc: &Toc) -> Result<Vec<Unmet>, Failure> {
    let wanted: Vec<(&Entry, String)> = toc
        .entries
        .iter()
        .filter(|it| it.kind == "COLLATION")
        .filter_map(|it| Some((it, sample_of(&it.definition)?)))
        .collect();
    let tries: Vec<String> = wanted.iter().map(|(_, it)| it.clone()).collect();
    let refusals = trial::refusals(session, target, &tries).await?;
    let refused = wanted
        .iter()
        .zip(refusals)
        .filter_map(|((entry, _), refusal)| match refusal {
            Some(Refusal::Impossible(reason)) => Some(Unmet {
                entry: entry.id,
                why: format!(
                    "collation {}.{} ({reason})",
                    entry.namespace.as_deref().unwrap_or_default(),
                    entry.tag
                ),
            }),
            _ => None,
        });
    Ok(refused.collect())
}

/// The statement that makes a collation, of another name.
fn sample_of(definition: &str) -> Option<String> {
    let name = words(definition).nth(2)?;
    let (before, after) = (&definition[..name.start], &definition[name.end()..]);
    Some(format!("{before}{SCHEMA}.sample{after}"))
}

fn is_routine(entry: &Entry) -> bool {
    entry.kind == "FUNCTION" || entry.kind == "PROCEDURE"
}

fn language(entry: &Entry) -> Option<String> {
    attributes(entry).first().map(Word::name)
}

/// What follows `LANGUAGE` in its line.
fn attributes(entry: &Entry) -> Vec<Word<'_>> {
    let definition = entry.definition.as_str();
    let mut end = None;
    words(definition)
        .skip_while(|it| !it.is_outside("LANGUAGE"))
        .take_while(|it| {
            let before = end.replace(it.end()).unwrap_or(it.start);
            !definition[before..it.start].contains('\n')
        })
        .skip(1)
        .collect()
}

/// `CREATE TYPE s.t (INTERNALLENGTH = …`; all others say `AS`.
fn is_base_type(entry: &Entry) -> bool {
    let after = words(&entry.definition).nth(3);
    after.is_some_and(|it| it.depth == 1 && !it.is("AS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, definition: &str) -> Entry {
        Entry {
            kind: kind.to_owned(),
            tag: "x".to_owned(),
            namespace: Some("s".to_owned()),
            definition: definition.to_owned(),
            ..Entry::default()
        }
    }

    #[test]
    fn policies_and_mappings_name_their_roles() {
        let roles = Roles::sample(true, &[("here", false)]);
        for (kind, definition, wanted) in [
            (
                "POLICY",
                "CREATE POLICY \"TO\" ON s.t FOR SELECT TO here, \"Go, ne\" USING ((n = 'TO x'));\n",
                Some("Go, ne"),
            ),
            (
                "POLICY",
                "CREATE POLICY p ON s.t TO here WITH CHECK (true);\n",
                None,
            ),
            ("POLICY", "CREATE POLICY p ON s.t USING ((a = b));\n", None),
            (
                "USER MAPPING",
                "CREATE USER MAPPING FOR gone SERVER srv OPTIONS (\n    password 'x'\n);\n",
                Some("gone"),
            ),
            (
                "USER MAPPING",
                "CREATE USER MAPPING FOR public SERVER srv;\n",
                None,
            ),
            (
                "USER MAPPING",
                "CREATE USER MAPPING FOR here SERVER srv;\n",
                None,
            ),
        ] {
            let found = absent_roles(&entry(kind, definition), &roles);
            match (&found, wanted) {
                (None, None) => {}
                (Some(it), Some(name)) => {
                    assert!(
                        it.why.contains(&format!("(role {name} does not exist")),
                        "{it:?}"
                    );
                    assert!(!it.why.contains("password"), "{it:?}");
                }
                _ => panic!("{definition}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_needs_a_right_is_known_by_its_definition() {
        let untrusted = BTreeSet::from(["c".to_owned(), "plpython3u".to_owned()]);
        for (kind, definition, wanted) in [
            (
                "FUNCTION",
                "CREATE FUNCTION s.f() RETURNS integer\n    LANGUAGE c\n    AS '$libdir/x', 'f';\n",
                vec!["function in an untrusted language"],
            ),
            (
                "FUNCTION",
                "CREATE FUNCTION s.f() RETURNS integer\n    LANGUAGE plpython3u LEAKPROOF\n    AS $$x$$;\n",
                vec!["function in an untrusted language", "leakproof function"],
            ),
            (
                "FUNCTION",
                "CREATE FUNCTION s.f() RETURNS integer\n    LANGUAGE sql\n    AS $$LEAKPROOF$$;\n",
                vec![],
            ),
            (
                "TYPE",
                "CREATE TYPE s.x (\n    INTERNALLENGTH = 4,\n    INPUT = f\n);\n",
                vec!["base type"],
            ),
            ("TYPE", "CREATE TYPE s.x AS (\n\ta integer\n);\n", vec![]),
            ("TYPE", "CREATE TYPE s.x AS ENUM (\n    'a'\n);\n", vec![]),
            (
                "PUBLICATION",
                "CREATE PUBLICATION x FOR ALL TABLES WITH (publish = 'insert');\n",
                vec!["publication of all tables"],
            ),
            (
                "PUBLICATION",
                "CREATE PUBLICATION x WITH (publish = 'insert');\n",
                vec![],
            ),
        ] {
            let entry = entry(kind, definition);
            let rights = RIGHTS.iter().filter(|it| (it.applies)(&entry, &untrusted));
            let found: Vec<&str> = rights.map(|it| it.what).collect();
            assert_eq!(found, wanted, "{definition}");
        }
    }

    #[test]
    fn a_collation_is_tried_under_another_name() {
        let definition =
            "CREATE COLLATION s.\"c o\" (provider = icu, locale = 'de', rules = '&a < (b');\n";
        assert_eq!(
            sample_of(definition).as_deref(),
            Some(
                "CREATE COLLATION oiler_preflight.sample (provider = icu, locale = 'de', rules = '&a < (b');\n"
            )
        );
    }
}
