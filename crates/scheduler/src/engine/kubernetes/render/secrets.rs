//! What is secret of a request: which Secret holds it, and which key of which a variable is read from.

use std::collections::BTreeMap;

use backuper::job::{Value, Var};
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use secrecy::ExposeSecret as _;

use super::super::record::{Spec, digest};
use super::super::settings::Settings;
use super::{About, labels_of_worker};
use crate::domain::kept;
use crate::domain::restore::Restore;
use crate::domain::run::Component;
use crate::domain::schedule::Schedule;

/// The name of a Secret for the rendering that takes the place of what was found: no other one has
/// it, then or later, so that a Job of an earlier rendering never reads what is meant for another
/// server. Two callers who want the same of the same find the same name.
/// It is another one where another part of the credentials stays in the Secrets before.
pub fn secret_name(found: &CronJob, schedule: &Schedule, stays: &[&str]) -> String {
    let (uid, version) = (&found.metadata.uid, &found.metadata.resource_version);
    let plan = kept::write(&schedule.plan).unwrap_or_default();
    let mut text = format!("{uid:?}\n{version:?}\n{plan}");
    if let Some(server) = schedule.verify().and_then(|it| it.server.as_ref()) {
        text.push_str(&format!("\n{:?} {:?}", server.place(), server.user));
    }
    for variable in stays {
        text.push_str(&format!("\n{variable}"));
    }
    let digest = digest(&text);
    let name = found.metadata.name.clone().unwrap_or_default();
    format!("{name}-{}", &digest[..16])
}

/// The Secret of a CronJob or Job, which it goes with.
pub fn secret(
    settings: &Settings,
    name: &str,
    owner: OwnerReference,
    (about, vars): (&About<'_>, &[Var]),
) -> Secret {
    holding(name, owner, about.labels(settings), vars)
}

/// The Secret of a Job that answers a question.
pub fn secret_of_question(
    settings: &Settings,
    name: &str,
    owner: OwnerReference,
    vars: &[Var],
) -> Secret {
    let labels = labels_of_worker(settings, Component::Backup);
    holding(name, owner, labels, vars)
}

fn holding(
    name: &str,
    owner: OwnerReference,
    labels: BTreeMap<String, String>,
    vars: &[Var],
) -> Secret {
    let secret = |var: &Var| match &var.value {
        Value::Plain(_) => None,
        Value::Secret(text) => Some((
            var.name.to_owned(),
            ByteString(text.expose_secret().as_bytes().to_vec()),
        )),
    };
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(vars.iter().filter_map(secret).collect()),
        ..Secret::default()
    }
}

/// The Secret, and the key in it, that has a variable of a restore; `name` is its own.
pub fn secret_of_restore(
    name: &str,
    restore: &Restore,
    lender: Option<&Spec>,
    variable: &str,
) -> (String, String) {
    if let Some((secret, key)) = restore.named(variable) {
        return (secret.to_owned(), key.to_owned());
    }
    let lent = restore.lent.as_ref().and_then(|it| it.of(variable));
    match lender.zip(lent) {
        Some((lender, kept)) => lender.secret_of(kept),
        None => (name.to_owned(), variable.to_owned()),
    }
}
