//! A restore in a message.

use std::str::FromStr as _;
use std::time::Duration;

use backuper::catalog::Revision;
use restorer::job::{CreateRoles, Mode, Owners};

use crate::api::door::{Door, filled};
use crate::api::proto::v1;
use crate::api::proto::v1::restore_backup_request;
use crate::api::status::Violation;
use crate::domain::name::{self, Wrong};
use crate::domain::restore::{Drill, Wishes};
use crate::service::restores::{Origin, Wanted};

/// Reads a request for a restore.
pub(in crate::api) fn restore(request: v1::RestoreBackupRequest) -> Result<Wanted, Vec<Violation>> {
    let mode = match request.mode() {
        restore_backup_request::Mode::Unspecified => Mode::Auto,
        restore_backup_request::Mode::Empty => Mode::Empty,
        restore_backup_request::Mode::Swap => Mode::Swap,
    };
    let owners = match request.owners() {
        restore_backup_request::Owners::Unspecified => None,
        restore_backup_request::Owners::Auto => Some(Owners::Auto),
        restore_backup_request::Owners::None => Some(Owners::None),
    };
    let roles = match request.roles() {
        restore_backup_request::Roles::Unspecified => None,
        restore_backup_request::Roles::None => Some(CreateRoles::None),
        restore_backup_request::Roles::Missing => Some(CreateRoles::Missing),
    };
    let v1::RestoreBackupRequest {
        schedule,
        backup,
        target,
        request_id,
        // Not of the restore, but of the call.
        skip_checks: _,
        validate_only,
        store,
        source,
        // Read by name above.
        mode: _,
        owners: _,
        roles: _,
        keep_going,
        begin_within,
        in_place,
        identity,
        identity_secret,
    } = request;
    let mut door = Door::default();
    // A restore replaces data: which backup it takes is said, not guessed.
    let revision = match backup.as_str() {
        "" => Err("it is empty; 0 or latest is the newest backup".to_owned()),
        text => Revision::from_str(text).map_err(|error| error.to_string()),
    };
    let revision = door.take("backup", revision);
    if store.is_some() && (target.is_none() || in_place) {
        let why = "it is missing: a store has no database of its own";
        door.take::<()>("target", Err(Wrong(why)));
    }
    let origin = door.origin(&schedule, store, &source);
    let request_id = door.take("request_id", name::request_id(&request_id));
    let begin_within = door.take("begin_within", begin_within.map(waiting).transpose());
    let target = door.target(target, in_place);
    let identity = door.identity(&identity, identity_secret);
    let wanted = (|| {
        Some(Wanted {
            origin: origin?,
            revision: revision?,
            target: target?,
            identity: identity?,
            wishes: Wishes {
                mode,
                owners,
                keep_going,
                roles,
            },
            begin_within: begin_within?,
            request_id: request_id?,
            validate_only,
            drill: None,
        })
    })();
    door.opened(wanted)
}

/// Reads a request for a restore drill.
pub(in crate::api) fn verification(
    request: v1::VerifyBackupRequest,
) -> Result<Wanted, Vec<Violation>> {
    let v1::VerifyBackupRequest {
        schedule,
        backup,
        server,
        request_id,
        // Not of the drill, but of the call.
        skip_checks: _,
        validate_only,
        store,
        source,
        sql,
        identity,
        identity_secret,
    } = request;
    let mut door = Door::default();
    // Nothing is replaced by it: where nothing is said it is the newest.
    let revision = match backup.as_str() {
        "" => Ok(Revision::Count(0)),
        text => Revision::from_str(text).map_err(|error| error.to_string()),
    };
    let revision = door.take("backup", revision);
    if store.is_some() && server.is_none() {
        let why = "it is missing: a store has no server of its own";
        door.take::<()>("server", Err(Wrong(why)));
    }
    let origin = door.origin(&schedule, store, &source);
    let request_id = door.take("request_id", name::request_id(&request_id));
    let sql: Option<Vec<String>> = sql.iter().map(|it| door.take("sql", filled(it))).collect();
    let of = match &origin {
        Some(Origin::Store(_, source)) => Some(source.database.clone()),
        Some(Origin::Schedule(..)) | None => None,
    };
    let target = door.drill_server("server.", server, of);
    let identity = door.identity(&identity, identity_secret);
    let wanted = (|| {
        Some(Wanted {
            origin: origin?,
            revision: revision?,
            target: target?,
            identity: identity?,
            wishes: Wishes::of_a_drill(),
            // One that is late takes nothing from anybody.
            begin_within: Some(Duration::ZERO),
            request_id: request_id?,
            validate_only,
            drill: Some(Drill {
                sql: sql?,
                image: None,
            }),
        })
    })();
    door.opened(wanted)
}

fn waiting(message: prost_types::Duration) -> Result<Duration, Wrong> {
    Duration::try_from(message).map_err(|_negative| Wrong("it is negative"))
}

impl Door {
    /// Whose backup it is.
    fn origin(&mut self, schedule: &str, store: Option<v1::Store>, source: &str) -> Option<Origin> {
        match store {
            None => {
                let of = self.one_of(source);
                let schedule = self.take("schedule", schedule.parse());
                Some(Origin::Schedule(schedule?, of?))
            }
            Some(_) if !schedule.is_empty() => {
                self.take("store", Err(Wrong("there is a schedule beside it")))
            }
            Some(store) => {
                let source = self.source(source);
                let store = self.store_of("store.", store);
                Some(Origin::Store(store?, source?))
            }
        }
    }
}
