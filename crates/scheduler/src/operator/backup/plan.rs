//! What a Backup asks the scheduler for: decisions, no I/O.

use std::collections::BTreeMap;

use backuper::archive::KeyTemplate;
use backuper::archive::encryption::Recipients;
use backuper::job::Format;
use backuper::retention::Retention;
use backuper::storage::Tags;
use kube::ResourceExt as _;
use kube::core::ObjectMeta;
use sha2::{Digest as _, Sha256};

use crate::domain::cron::Cron;
use crate::domain::labels::{self, Labels};
use crate::domain::name::Name;
use crate::domain::options::{MoreRecipients, Options, OwnFormat, OwnLayout, OwnTries};
use crate::domain::schedule::{Plan, Schedule};
use crate::operator::crd::{Backup, BackupStorageSpec, DatabaseRef, Encrypt, JobConfig, Stored};
use crate::operator::dependencies::{Source, Storage};
use crate::operator::keys;
use crate::service::put::Wanted;

/// The times of a schedule that never runs by itself: it is suspended, and they are far apart.
const TIMES: &str = "0 0 1 1 *";
/// What a label's value may have.
const LABEL: usize = 63;

/// The name of a Backup's schedule: it is of this very object, and fits where names of objects do not.
pub(in crate::operator) fn schedule_of(object: &ObjectMeta) -> Name {
    let uid = object.uid.clone().unwrap_or_default();
    let named = format!("object-{uid}").parse();
    named.unwrap_or_else(|_no_uid| Name::of_place(&uid, "", "", 0))
}

/// What is asked for.
///
/// # Errors
/// What is wrong with the object or its storage.
pub(super) fn wanted(
    object: &Backup,
    hash: &str,
    source: &Source,
    storage: &Storage,
) -> Result<Wanted, String> {
    let plan = Plan {
        source: source.database.clone(),
        several: false,
        store: storage.store.clone(),
        core: None,
        cron: TIMES.parse::<Cron>().map_err(|error| error.to_string())?,
        // What goes is decided by objects.
        keep: Retention(0),
    };
    Ok(Wanted {
        name: None,
        plan,
        labels: labels_of(object, hash, &source.cluster),
        options: options(object, source, &storage.spec)?,
        verify: None,
        validate_only: false,
    })
}

/// Refuses a Database of another namespace.
pub(in crate::operator) fn is_own(named: &DatabaseRef, own: &str) -> Result<(), String> {
    let of = named.namespace.as_deref();
    match of.filter(|it| !it.is_empty() && *it != own) {
        None => Ok(()),
        Some(other) => Err(format!(
            "databaseRef.namespace {other} is another namespace: a Backup is of a Database of its own one"
        )),
    }
}

fn labels_of(object: &Backup, hash: &str, cluster: &str) -> Labels {
    let all = [
        (labels::BACKUP, object.name_any()),
        (
            keys::BACKUP_NAMESPACE,
            object.namespace().unwrap_or_default(),
        ),
        (keys::CLUSTER, cluster.to_owned()),
        (keys::DATABASE, object.spec.database_ref.name.clone()),
        (keys::SPEC_HASH, hash.to_owned()),
    ];
    let all = all.into_iter();
    let all: BTreeMap<_, _> = all
        .map(|(key, value)| (key.to_owned(), label(&value)))
        .collect();
    all
}

/// A name as a label can have it: one that is longer ends in what tells it from others.
pub(in crate::operator) fn label(name: &str) -> String {
    if name.len() <= LABEL {
        return name.to_owned();
    }
    let hash = hex::encode(&Sha256::digest(name)[..4]);
    let begin: String = name.chars().take(LABEL - hash.len() - 1).collect();
    format!("{}-{hash}", begin.trim_end_matches(['-', '.']))
}

/// What a backup is made of.
fn format(object: &Backup, storage: &BackupStorageSpec) -> Result<Format, String> {
    let own = object.spec.format.as_deref().filter(|it| !it.is_empty());
    let text = own.or(storage.format.as_deref()).unwrap_or("sql.gz");
    text.parse().map_err(|why| format!("format: {why}"))
}

/// The template of a dump's key.
pub(in crate::operator) fn template(
    storage: &BackupStorageSpec,
    filename: &str,
) -> Result<KeyTemplate, String> {
    let folders = match storage.path_template.trim_end_matches('/') {
        "" => "{{ .ClusterName }}/{{ .DatabaseName }}",
        folders => folders,
    };
    let whole = format!("{folders}/{filename}");
    whole.parse().map_err(|why| {
        format!("pathTemplate and filenameTemplate give the template {whole:?} of keys: {why}")
    })
}

fn options(
    object: &Backup,
    source: &Source,
    storage: &BackupStorageSpec,
) -> Result<Options, String> {
    let format = format(object, storage)?;
    let layout = match format {
        Format::Archive => OwnLayout::default(),
        Format::SqlGz => OwnLayout {
            key_template: Some(template(storage, &object.spec.filename_template)?),
            cluster_name: Some(source.cluster.clone()),
        },
    };
    Ok(Options {
        format: OwnFormat {
            format: Some(format),
            // As dbtether dumps, and so that a restore replaces what is there.
            sql_owners: Some(false),
            sql_clean: Some(true),
            compression_level: None,
        },
        layout,
        encryption: encryption(storage.encrypt.as_ref())?,
        tries: tries(object.spec.job_config.as_ref()),
        tags: tags(object, source),
        ..Options::default()
    })
}

/// What dbtether's objects say of their backup; the backuper adds the time.
fn tags(object: &Backup, source: &Source) -> Tags {
    Tags::fitted([
        ("database", source.database.name.clone()),
        ("cluster", source.cluster.clone()),
        ("backup-name", object.name_any()),
        ("namespace", object.namespace().unwrap_or_default()),
        ("created-by", "dbtether".to_owned()),
    ])
}

/// As dbtether tries: three times more, and as long as the administrator lets it.
fn tries(config: Option<&JobConfig>) -> OwnTries {
    const AGAIN: u8 = 3;
    let again = config.and_then(|it| it.backoff_limit);
    let deadline = config.and_then(|it| it.active_deadline_seconds);
    OwnTries {
        again: Some(again.map_or(AGAIN, |it| u8::try_from(it).unwrap_or(AGAIN))),
        deadline: deadline.map(|it| u32::try_from(it).unwrap_or(u32::MAX)),
    }
}

fn encryption(encrypt: Option<&Encrypt>) -> Result<MoreRecipients, String> {
    let Some(Encrypt { recipients }) = encrypt else {
        return Ok(MoreRecipients::default());
    };
    let recipients = recipients.join("\n").parse::<Recipients>();
    let recipients = recipients.map_err(|why| format!("encrypt.recipients: {why}"))?;
    Ok(MoreRecipients {
        recipients: Some(recipients),
        manifest: false,
    })
}

/// Whose backup it is and where, for whoever needs it when the spec says something else.
pub(super) fn stored(object: &Backup, source: &Source, storage: &Storage) -> Stored {
    let template = options(object, source, &storage.spec);
    let template = template.ok().and_then(|it| it.layout.key_template);
    Stored {
        storage: object.spec.storage_ref.name.clone(),
        source: source.database.place(),
        cluster: source.cluster.clone(),
        prefix: written(&storage.store.place.prefix()),
        template: template.map(|it| it.to_string()),
    }
}

/// The same of a run that was found, by its schedule.
pub(super) fn stored_by(schedule: &Schedule, storage: &str) -> Stored {
    let layout = schedule.own().layout;
    Stored {
        storage: storage.to_owned(),
        source: schedule.plan.source.place(),
        cluster: layout.cluster_name.unwrap_or_default(),
        prefix: written(&schedule.plan.store.place.prefix()),
        template: layout.key_template.map(|it| it.to_string()),
    }
}

fn written(prefix: &backuper::storage::Prefix) -> Option<String> {
    (!prefix.is_empty()).then(|| prefix.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::conformance;
    use crate::operator::crd::{BackupSpec, LocalRef};

    fn backup(name: &str) -> Backup {
        let mut object = Backup::new(
            name,
            BackupSpec {
                database_ref: DatabaseRef {
                    name: "orders-db".to_owned(),
                    namespace: None,
                },
                storage_ref: LocalRef {
                    name: "s3".to_owned(),
                },
                filename_template: "{{ .Timestamp }}.sql.gz".to_owned(),
                ..BackupSpec::default()
            },
        );
        object.metadata.namespace = Some("team-a".to_owned());
        object.metadata.uid = Some("0b3a3f0e-9c3f-4d53-8f8e-5a2c7d1e9f00".to_owned());
        object
    }

    fn source() -> Source {
        Source {
            database: conformance::database("orders_db", "secret"),
            cluster: "prod".to_owned(),
        }
    }

    fn storage(spec: BackupStorageSpec) -> Storage {
        Storage {
            store: conformance::store(),
            spec,
        }
    }

    /// operator.md, B4, B20 and K8.
    #[test]
    fn a_backup_is_one_object_of_plain_sql_under_the_key_that_dbtether_gives_it() {
        let object = backup("nightly");
        let wanted = wanted(
            &object,
            "756cdc6370d072fb",
            &source(),
            &storage(BackupStorageSpec::default()),
        );
        let wanted = wanted.unwrap();
        let options = &wanted.options;
        assert_eq!(options.format.format, Some(Format::SqlGz));
        let template = options.layout.key_template.as_ref().unwrap().to_string();
        assert_eq!(
            template,
            "{{ .ClusterName }}/{{ .DatabaseName }}/{{ .Timestamp }}.sql.gz"
        );
        assert_eq!(options.layout.cluster_name.as_deref(), Some("prod"));
        assert_eq!(wanted.plan.source.name, "orders_db");
        // 7.5 there; the backuper adds the time.
        assert_eq!(
            options.tags.to_string(),
            "database=orders_db,cluster=prod,backup-name=nightly,namespace=team-a,created-by=dbtether"
        );
        // Retention is by objects: the worker removes nothing.
        assert_eq!(wanted.plan.keep, Retention(0));
        assert!(options.retention.is_none());
        let labels: Vec<String> = wanted
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            labels,
            [
                "dbtether.io/backup=nightly",
                "dbtether.io/backup-namespace=team-a",
                "dbtether.io/cluster=prod",
                "dbtether.io/database=orders-db",
                "dbtether.io/spec-hash=756cdc6370d072fb",
            ]
        );
        let told = stored(&object, &source(), &storage(BackupStorageSpec::default()));
        assert_eq!(
            (told.source.as_str(), told.cluster.as_str()),
            ("db.example:5432/orders_db", "prod")
        );
    }

    /// operator.md, 7.1.
    #[test]
    fn a_backup_is_tried_as_often_and_as_long_as_it_says() {
        let of = |again: Option<i32>, deadline: Option<i64>| {
            let config = JobConfig {
                backoff_limit: again,
                active_deadline_seconds: deadline,
                ttl_seconds_after_failed: None,
            };
            let tries = tries(Some(&config));
            (tries.again, tries.deadline)
        };
        assert_eq!(tries(None).again, Some(3));
        assert_eq!(of(Some(0), None), (Some(0), None));
        assert_eq!(of(Some(10), Some(1800)), (Some(10), Some(1800)));
        assert_eq!(of(None, Some(i64::MAX)), (Some(3), Some(u32::MAX)));
    }

    #[test]
    fn a_backup_of_archives_has_no_key_of_dbtethers() {
        let mut object = backup("b");
        object.spec.format = Some("archive".to_owned());
        // What is no template is nobody's concern then.
        object.spec.filename_template = "{{ .Nothing }}".to_owned();
        let of = options(&object, &source(), &BackupStorageSpec::default()).unwrap();
        assert_eq!(of.format.format, Some(Format::Archive));
        assert!(of.layout.is_none());
        let archive = BackupStorageSpec {
            format: Some("archive".to_owned()),
            ..BackupStorageSpec::default()
        };
        object.spec.format = None;
        assert!(
            options(&object, &source(), &archive)
                .unwrap()
                .layout
                .is_none()
        );
        object.spec.format = Some("sql.gz".to_owned());
        let said = options(&object, &source(), &archive).unwrap_err();
        assert!(said.contains(".Nothing"), "{said}");
    }

    #[test]
    fn templates_are_put_together_with_one_slash() {
        let at = |path: &str| BackupStorageSpec {
            path_template: path.to_owned(),
            ..BackupStorageSpec::default()
        };
        let of = |path: &str| template(&at(path), "{{ .RunID }}.sql.gz").map(|it| it.to_string());
        assert_eq!(
            of("a/{{ .DatabaseName }}/").unwrap(),
            "a/{{ .DatabaseName }}/{{ .RunID }}.sql.gz"
        );
        assert!(of("").unwrap().starts_with("{{ .ClusterName }}/"));
        for wrong in [
            "{{ .DatabaseName",
            "{{ .Random }}/{{ .DatabaseName }}",
            "static",
        ] {
            let said = of(wrong).unwrap_err();
            assert!(
                said.starts_with("pathTemplate and filenameTemplate"),
                "{said}"
            );
        }
    }

    /// operator.md, W19.
    #[test]
    fn no_name_is_too_long_for_what_is_made_of_it() {
        let long = "x".repeat(253);
        let object = backup(&long);
        assert!(schedule_of(&object.metadata).as_str().len() <= 52);
        assert!(schedule_of(&object.metadata).run_now("r").len() <= 63);
        for text in [long.as_str(), &"y".repeat(64), "short"] {
            assert!(label(text).len() <= 63, "{text}");
        }
        assert_eq!(label("short"), "short");
        assert_ne!(label(&"x".repeat(64)), label(&"x".repeat(65)));
    }

    #[test]
    fn who_can_read_backups_is_the_storages_to_say() {
        let key = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
        let to = |recipients: &[&str]| Encrypt {
            recipients: recipients.iter().map(|it| (*it).to_owned()).collect(),
        };
        let told = encryption(Some(&to(&[key]))).unwrap();
        assert_eq!(told.recipients.unwrap().texts(), [key]);
        assert!(encryption(Some(&to(&["x"]))).is_err());
        assert!(encryption(None).unwrap().recipients.is_none());
    }
}
