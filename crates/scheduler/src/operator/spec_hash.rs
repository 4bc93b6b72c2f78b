//! Which spec a run is of: the hash that dbtether keeps of it, so that nothing is run again after a change to us.
//!
//! The first eight bytes of the SHA-256 over the spec in Go's JSON: what is empty is left out, and durations are
//! written as Go writes them.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::crd::{BackupSpec, DatabaseRef, JobConfig, LocalRef, RestoreSpec};
use super::go;

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    #[serde(skip_serializing_if = "Option::is_none")]
    backoff_limit: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_deadline_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds_after_failed: Option<i32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Backup<'a> {
    database_ref: Named<'a>,
    storage_ref: Named<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    filename_template: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trigger: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_after_completion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_config: Option<Job>,
    // Ours, and so behind what dbtether hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Latest<'a> {
    database_ref: Named<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_ref: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_from: Option<Latest<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_ref: Option<Named<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    database_ref: Named<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Restore<'a> {
    source: Source<'a>,
    target: Target<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    on_conflict: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_after_completion: Option<String>,
}

/// The hash of a Backup's spec.
///
/// # Errors
/// When a duration is none.
pub(super) fn of_backup(spec: &BackupSpec) -> Result<String, String> {
    let job = |it: &JobConfig| Job {
        backoff_limit: it.backoff_limit,
        active_deadline_seconds: it.active_deadline_seconds,
        ttl_seconds_after_failed: it.ttl_seconds_after_failed,
    };
    Ok(hash(&Backup {
        database_ref: database(&spec.database_ref),
        storage_ref: local(&spec.storage_ref),
        filename_template: &spec.filename_template,
        trigger: filled(spec.trigger.as_deref()),
        ttl_after_completion: ttl(spec.ttl_after_completion.as_deref())?,
        job_config: spec.job_config.as_ref().map(job),
        format: filled(spec.format.as_deref()),
    }))
}

/// The hash of a Restore's spec.
///
/// # Errors
/// When a duration is none.
pub(super) fn of_restore(spec: &RestoreSpec) -> Result<String, String> {
    let source = &spec.source;
    let backup = source.backup_ref.as_ref().map(|it| Named {
        name: &it.name,
        namespace: filled(it.namespace.as_deref()),
    });
    let latest = source.latest_from.as_ref().map(|it| Latest {
        database_ref: database(&it.database_ref),
        namespace: filled(it.namespace.as_deref()),
    });
    Ok(hash(&Restore {
        source: Source {
            backup_ref: backup,
            latest_from: latest,
            path: filled(source.path.as_deref()),
            storage_ref: source.storage_ref.as_ref().map(local),
        },
        target: Target {
            database_ref: database(&spec.target.database_ref),
        },
        on_conflict: &spec.on_conflict,
        ttl_after_completion: ttl(spec.ttl_after_completion.as_deref())?,
    }))
}

fn database(named: &DatabaseRef) -> Named<'_> {
    Named {
        name: &named.name,
        namespace: filled(named.namespace.as_deref()),
    }
}

fn local(named: &LocalRef) -> Named<'_> {
    Named {
        name: &named.name,
        namespace: None,
    }
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|it| !it.is_empty())
}

fn ttl(text: Option<&str>) -> Result<Option<String>, String> {
    let parsed = text.map(go::duration).transpose();
    let parsed = parsed.map_err(|error| format!("ttlAfterCompletion: {error}"))?;
    Ok(parsed.map(go::written))
}

fn hash(spec: &impl Serialize) -> String {
    // Structs of texts and numbers: nothing of it can fail.
    let json = serde_json::to_string(spec).unwrap_or_default();
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // Go's JSON may stand in a page of HTML or a script.
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => text.push(c),
        }
    }
    hex::encode(&Sha256::digest(text)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::crd::{LatestFrom, ObjectRef, RestoreSource, RestoreTarget};

    fn golden() -> BackupSpec {
        BackupSpec {
            database_ref: DatabaseRef {
                name: "orders-db".to_owned(),
                namespace: Some("team-a".to_owned()),
            },
            storage_ref: LocalRef {
                name: "prod-storage".to_owned(),
            },
            filename_template: "{{ .Timestamp }}.sql.gz".to_owned(),
            trigger: Some("v1".to_owned()),
            ttl_after_completion: Some("2h".to_owned()),
            job_config: Some(JobConfig {
                backoff_limit: Some(5),
                active_deadline_seconds: Some(1800),
                ttl_seconds_after_failed: Some(7200),
            }),
            format: None,
            deletion_policy: "Retain".to_owned(),
        }
    }

    /// operator.md, B1 and B2.
    #[test]
    fn a_backup_has_the_hash_that_dbtether_keeps_of_it() {
        let of = |spec: &BackupSpec| of_backup(spec).unwrap();
        assert_eq!(of(&golden()), "756cdc6370d072fb");
        let mut other = golden();
        other.trigger = None;
        assert_eq!(of(&other), "e957f3cb28a4b0a0");
        other.trigger = Some(String::new());
        assert_eq!(of(&other), "e957f3cb28a4b0a0");
        // How the duration is written says nothing.
        other.ttl_after_completion = Some("120m".to_owned());
        assert_eq!(of(&other), "e957f3cb28a4b0a0");
        other.database_ref.name = "users-db".to_owned();
        assert_ne!(of(&other), "e957f3cb28a4b0a0");
        assert_eq!(of(&other).len(), 16);
    }

    /// What is ours makes another backup where it is another one, and none where it is not.
    #[test]
    fn another_format_is_another_spec_and_what_becomes_of_it_is_not() {
        let mut other = golden();
        other.deletion_policy = "Delete".to_owned();
        assert_eq!(of_backup(&other), of_backup(&golden()));
        other.format = Some("archive".to_owned());
        assert_ne!(of_backup(&other), of_backup(&golden()));
    }

    /// operator.md, W21.
    #[test]
    fn a_duration_that_is_none_is_told_with_its_field() {
        let mut spec = golden();
        spec.ttl_after_completion = Some("7d".to_owned());
        let said = of_backup(&spec).unwrap_err();
        assert!(
            said.contains("ttlAfterCompletion") && said.contains("7d"),
            "{said}"
        );
    }

    #[test]
    fn a_restore_is_told_from_others_by_all_of_its_spec() {
        let named = |name: &str| DatabaseRef {
            name: name.to_owned(),
            namespace: None,
        };
        let by_ref = RestoreSpec {
            source: RestoreSource {
                backup_ref: Some(ObjectRef {
                    name: "b".to_owned(),
                    namespace: None,
                }),
                ..RestoreSource::default()
            },
            target: RestoreTarget {
                database_ref: named("db"),
            },
            on_conflict: "fail".to_owned(),
            ttl_after_completion: None,
        };
        let mut drop = by_ref.clone();
        drop.on_conflict = "drop".to_owned();
        let mut latest = by_ref.clone();
        latest.source.latest_from = Some(LatestFrom {
            database_ref: named("db"),
            namespace: None,
        });
        let mut all: Vec<String> = [&by_ref, &drop, &latest]
            .map(|it| of_restore(it).unwrap())
            .into();
        all.dedup();
        assert_eq!(all.len(), 3);
        // Go's own JSON of the first one.
        let json = r#"{"source":{"backupRef":{"name":"b"}},"target":{"databaseRef":{"name":"db"}},"onConflict":"fail"}"#;
        assert_eq!(all[0], hex::encode(&Sha256::digest(json)[..8]));
    }
}
