//! What a DatabaseUser's spec asks for, parsed: names, presets, and what of it cannot be.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use kube::ResourceExt as _;

use super::secret::{Policy, Template};
use crate::operator::crd::{DatabaseEntry, DatabaseUser, DatabaseUserSpec, LocalRef};
use crate::operator::go;
use crate::postgres::privileges::{Additional, Preset, Privilege};
use crate::postgres::role::{self, second};

/// A Database by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::operator) struct Reference {
    pub(in crate::operator) namespace: String,
    pub(in crate::operator) name: String,
}

/// A Database, and what the user is to do there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) database: Reference,
    /// The namespace as the spec has it.
    pub(super) written: Option<String>,
    pub(super) preset: Preset,
}

/// What an object asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) username: String,
    pub(super) entries: Vec<Entry>,
    pub(super) schemas: Vec<String>,
    pub(super) grants: Vec<Additional>,
    pub(super) settings: role::Settings,
    pub(super) length: usize,
    pub(super) days: Option<i32>,
    /// How long a password goes on beside the next one.
    pub(super) overlap: Option<SignedDuration>,
    pub(super) template: Template,
    pub(super) policy: Policy,
    pub(super) per_database: bool,
    /// Whether others make the role.
    pub(super) external: bool,
    /// The names of its Secrets: one, or one for each Database in their order.
    pub(super) secrets: Vec<String>,
}

/// The role's name.
pub(super) fn username(object: &DatabaseUser) -> String {
    match object.spec.username.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => object.name_any().replace('-', "_"),
    }
}

/// As a spec has it.
pub(super) fn preset(text: &str) -> Option<Preset> {
    match text {
        "readonly" => Some(Preset::Readonly),
        "readwrite" => Some(Preset::Readwrite),
        "admin" => Some(Preset::Admin),
        "owner" => Some(Preset::Owner),
        _ => None,
    }
}

/// As a spec has it.
pub(super) fn word(preset: Preset) -> &'static str {
    match preset {
        Preset::Nothing => "nothing",
        Preset::Readonly => "readonly",
        Preset::Readwrite => "readwrite",
        Preset::Admin => "admin",
        Preset::Owner => "owner",
    }
}

/// The Databases that an object names, and what it is to do there.
///
/// # Errors
/// Why it cannot be, in a sentence.
pub(super) fn entries(object: &DatabaseUser) -> Result<Vec<Entry>, String> {
    let spec = &object.spec;
    let single = spec.database.clone().or_else(|| {
        let named = |it: &LocalRef| DatabaseEntry {
            name: it.name.clone(),
            ..DatabaseEntry::default()
        };
        spec.database_ref.as_ref().map(named)
    });
    let named = match (single, &spec.databases) {
        (Some(single), None) => vec![single],
        (None, Some(several)) if !several.is_empty() => several.clone(),
        _ => return Err("exactly one of database or databases must be set".to_owned()),
    };
    let own = object.namespace().unwrap_or_default();
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    for entry in named {
        let DatabaseEntry {
            name,
            namespace: written,
            privileges,
        } = entry;
        let namespace = written.clone().filter(|it| !it.is_empty());
        let database = Reference {
            namespace: namespace.unwrap_or_else(|| own.clone()),
            name,
        };
        if !seen.insert(database.clone()) {
            let Reference { namespace, name } = database;
            return Err(format!("Database {namespace}/{name} is listed twice"));
        }
        let word = privileges.as_deref().unwrap_or(&spec.privileges);
        let preset = preset(word)
            .ok_or_else(|| format!("privileges {word:?}: readonly, readwrite, admin or owner"))?;
        entries.push(Entry {
            database,
            written,
            preset,
        });
    }
    Ok(entries)
}

/// All that an object asks for.
///
/// # Errors
/// Why it cannot be, in a sentence.
pub(super) fn asked(object: &DatabaseUser) -> Result<Asked, String> {
    let spec = &object.spec;
    let entries = entries(object)?;
    let username = username(object);
    if username.is_empty() || username.len() > 63 || username.contains('\0') {
        return Err(format!(
            "{username} is no name of a role: 63 bytes at most; set spec.username"
        ));
    }
    let per_database = match spec.secret_generation.as_str() {
        "perDatabase" => true,
        "primary" | "" => false,
        other => {
            return Err(format!(
                "secretGeneration {other:?}: primary or perDatabase"
            ));
        }
    };
    Ok(Asked {
        secrets: if spec.external {
            external(spec, &entries)?;
            Vec::new()
        } else {
            secrets(object, &entries, per_database)?
        },
        external: spec.external,
        template: Template::of(spec.secret.as_ref())?,
        policy: Policy::of(spec.secret.as_ref())?,
        settings: settings(spec)?,
        grants: grants(spec)?,
        schemas: schemas(spec)?,
        length: spec
            .password
            .as_ref()
            .map_or(0, |it| usize::try_from(it.length).unwrap_or(0)),
        days: spec
            .rotation
            .as_ref()
            .map(|it| it.days)
            .filter(|it| *it > 0),
        overlap: overlap(spec, &username)?,
        username,
        entries,
        per_database,
    })
}

fn overlap(spec: &DatabaseUserSpec, username: &str) -> Result<Option<SignedDuration>, String> {
    let Some((rotation, text)) = spec
        .rotation
        .as_ref()
        .and_then(|it| Some((it, it.overlap.as_ref()?)))
    else {
        return Ok(None);
    };
    let overlap = go::duration(text).map_err(|error| format!("rotation.overlap: {error}"))?;
    let days = SignedDuration::from_hours(24 * i64::from(rotation.days));
    if overlap <= SignedDuration::ZERO || overlap >= days {
        return Err(format!(
            "rotation.overlap {text}: more than nothing, and less than the days after which the next password comes"
        ));
    }
    if second::name(username).is_none() {
        return Err(format!(
            "{username} is too long for rotation.overlap: the second login is named after it, so 60 bytes at most; set spec.username"
        ));
    }
    Ok(Some(overlap))
}

/// What cannot be asked of a role that others make.
fn external(spec: &DatabaseUserSpec, entries: &[Entry]) -> Result<(), String> {
    let asks = [
        ("secret", spec.secret.is_some()),
        ("password", spec.password.is_some()),
        ("rotation", spec.rotation.is_some()),
        ("connectionLimit", spec.connection_limit > 0),
        (
            "idleInTransactionTimeout",
            spec.idle_in_transaction_timeout.is_some(),
        ),
        ("secretGeneration", spec.secret_generation == "perDatabase"),
    ];
    if let Some((field, _)) = asks.into_iter().find(|it| it.1) {
        return Err(format!(
            "{field} with external: the role is others', and so are its password and its settings; take it out"
        ));
    }
    if entries.iter().any(|it| it.preset == Preset::Owner) {
        return Err(
            "privileges owner with external: who owns all of a database is a role of our own; admin at most"
                .to_owned(),
        );
    }
    Ok(())
}

fn secrets(
    object: &DatabaseUser,
    entries: &[Entry],
    per_database: bool,
) -> Result<Vec<String>, String> {
    let own = object.name_any();
    let secret = object.spec.secret.as_ref();
    let named = secret.and_then(|it| it.name.clone());
    if !per_database {
        let named = named.filter(|it| !it.is_empty());
        return Ok(vec![named.unwrap_or_else(|| format!("{own}-credentials"))]);
    }
    let mut names = Vec::new();
    for Entry { database, .. } in entries {
        let name = format!("{own}-{}-credentials", database.name);
        if names.contains(&name) {
            return Err(format!(
                "two Databases of the name {} would have one Secret {name}: use secretGeneration primary, or a user for each",
                database.name
            ));
        }
        names.push(name);
    }
    Ok(names)
}

/// The schemas that a user's privileges are in: what is PostgreSQL's own is everybody's, and nobody's to have.
fn schemas(spec: &DatabaseUserSpec) -> Result<Vec<String>, String> {
    let reserved = |it: &&String| it.starts_with("pg_") || *it == "information_schema";
    match spec.schemas.iter().find(reserved) {
        None => Ok(spec.schemas.clone()),
        Some(schema) => Err(format!(
            "schemas: {schema} is PostgreSQL's own, and no user has privileges on it; take it out"
        )),
    }
}

fn settings(spec: &DatabaseUserSpec) -> Result<role::Settings, String> {
    let idle = spec.idle_in_transaction_timeout.as_deref();
    let idle = idle.map(|text| {
        let parsed = go::duration(text)
            .ok()
            .and_then(|it| Duration::try_from(it).ok());
        let parsed = parsed.filter(|it| it.as_millis() > 0);
        parsed.ok_or_else(|| {
            format!(
                "idleInTransactionTimeout {text:?} is no duration of 1ms or more: 30s, 5m, 1h30m"
            )
        })
    });
    Ok(role::Settings {
        connection_limit: spec.connection_limit.max(-1),
        idle_in_transaction: idle.transpose()?,
    })
}

fn grants(spec: &DatabaseUserSpec) -> Result<Vec<Additional>, String> {
    let mut grants = Vec::new();
    for grant in &spec.additional_grants {
        let privileges = grant.privileges.iter();
        let privileges: Result<BTreeSet<Privilege>, _> = privileges.map(|it| it.parse()).collect();
        grants.push(Additional {
            tables: grant.tables.clone(),
            privileges: privileges.map_err(|error| format!("additionalGrants: {error}"))?,
        });
    }
    Ok(grants)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::operator::user) fn user(name: &str, spec: Value) -> DatabaseUser {
        let mut object = json!({
            "apiVersion": "dbtether.io/v1alpha1", "kind": "DatabaseUser",
            "metadata": {"name": name, "namespace": "team", "uid": "uid-of-it"},
        });
        object["spec"] = spec;
        serde_json::from_value(object).unwrap()
    }

    /// operator.md, U1, U5, U9.
    #[test]
    fn names_are_the_objects_where_the_spec_has_none() {
        let asked = |spec| asked(&user("my-user", spec)).unwrap();
        let plain = asked(json!({"database": {"name": "d"}}));
        assert_eq!(plain.username, "my_user");
        assert_eq!(plain.secrets, ["my-user-credentials"]);
        assert_eq!(plain.schemas, ["public"]);
        let empty = asked(json!({"database": {"name": "d"}, "secret": {"name": ""}}));
        assert_eq!(empty.secrets, ["my-user-credentials"]);
        let named = asked(
            json!({"database": {"name": "d"}, "username": "explicit", "secret": {"name": "custom"}}),
        );
        assert_eq!(named.username, "explicit");
        assert_eq!(named.secrets, ["custom"]);
        let each = asked(
            json!({"databases": [{"name": "d"}, {"name": "e"}], "secretGeneration": "perDatabase"}),
        );
        assert_eq!(
            each.secrets,
            ["my-user-d-credentials", "my-user-e-credentials"]
        );
    }

    /// operator.md, U8, U27, U29.
    #[test]
    fn databases_are_one_or_several_each_once_and_of_a_namespace() {
        let entries = |spec| entries(&user("u", spec));
        let of = |spec: Value| -> Vec<String> {
            let all = entries(spec).unwrap().into_iter();
            all.map(|it| {
                let Reference { namespace, name } = it.database;
                format!("{namespace}/{name} {}", word(it.preset))
            })
            .collect()
        };
        assert_eq!(of(json!({"database": {"name": "d"}})), ["team/d readonly"]);
        assert_eq!(
            of(json!({"databaseRef": {"name": "d"}})),
            ["team/d readonly"]
        );
        let several = json!({"privileges": "readwrite",
            "databases": [{"name": "d", "privileges": "admin"}, {"name": "d", "namespace": "other"}]});
        assert_eq!(of(several), ["team/d admin", "other/d readwrite"]);
        for (spec, why) in [
            (json!({}), "exactly one of"),
            (
                json!({"database": {"name": "d"}, "databases": [{"name": "d"}]}),
                "exactly one of",
            ),
            (json!({"databases": []}), "exactly one of"),
            (
                json!({"databases": [{"name": "d"}, {"name": "d", "namespace": "team"}]}),
                "twice",
            ),
            (
                json!({"database": {"name": "d"}, "privileges": "root"}),
                "readonly",
            ),
        ] {
            let error = entries(spec.clone()).unwrap_err();
            assert!(error.contains(why), "{spec}: {error}");
        }
    }

    #[test]
    fn what_an_older_definition_let_in_is_refused_with_a_sentence() {
        let long = "x".repeat(64);
        for (spec, why) in [
            (json!({"idleInTransactionTimeout": "7d"}), "duration"),
            // A superuser would give away the catalog, passwords included.
            (json!({"schemas": ["public", "pg_catalog"]}), "pg_catalog"),
            (
                json!({"schemas": ["information_schema"]}),
                "PostgreSQL's own",
            ),
            (json!({"idleInTransactionTimeout": "1us"}), "1ms or more"),
            (
                json!({"additionalGrants": [{"tables": ["t"], "privileges": ["ALL; DROP"]}]}),
                "no privilege",
            ),
            (json!({"secretGeneration": "both"}), "perDatabase"),
            (json!({"secret": {"template": "xml"}}), "template"),
            (json!({"secret": {"onConflict": "Steal"}}), "onConflict"),
            (json!({"username": long}), "63 bytes"),
            (
                json!({"external": true, "password": {"length": 16}}),
                "password with external",
            ),
            (
                json!({"external": true, "connectionLimit": 3}),
                "connectionLimit with external",
            ),
            (
                json!({"external": true, "privileges": "owner"}),
                "owner with external",
            ),
        ] {
            let mut whole = spec.clone();
            whole["database"] = json!({"name": "d"});
            let error = asked(&user("u", whole)).unwrap_err();
            assert!(error.contains(why), "{spec}: {error}");
        }
        let same = json!({"secretGeneration": "perDatabase",
            "databases": [{"name": "d"}, {"name": "d", "namespace": "other"}]});
        let error = asked(&user("u", same)).unwrap_err();
        assert!(error.contains("one Secret"), "{error}");
        // What was stored as no limit by 0.5 stays so.
        let unlimited = json!({"database": {"name": "d"}, "connectionLimit": 0});
        let settings = asked(&user("u", unlimited)).unwrap().settings;
        assert_eq!(settings.connection_limit, 0);
    }
}
