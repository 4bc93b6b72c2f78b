//! From the domain's words to the messages of `postgres_adapter.v1`.

mod backups;
mod drills;
mod options;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

pub(super) use backups::{backup, checks, deleted, restored, retained, shown, token_of_backup};
pub(super) use drills::proving;

use crate::api::client::time;
use crate::api::proto::v1;
use crate::domain::credential::Reference;
use crate::domain::drilled::Verdict;
use crate::domain::options::Options;
use crate::domain::protection::{History, Protection};
use crate::domain::run::{Component, Ending, Run, State};
use crate::domain::schedule::{Plan, Schedule};
use crate::domain::store::Store;
use crate::engine::{Put, Started, StartedBy};
use crate::service::ledger::Overview;
use crate::service::put;
use crate::service::runs::Watched;

pub(super) fn schedule(overview: Overview) -> v1::Schedule {
    let Overview {
        schedule,
        protection,
        verification,
    } = overview;
    let Protection {
        schedule: name,
        database,
        created,
        suspended,
        next,
        interval: _,
        history,
    } = protection;
    let Schedule {
        plan,
        labels,
        options: own,
        declared,
        ..
    } = schedule;
    let Options {
        retention,
        format,
        layout,
        encryption,
        filters,
        globals,
        jobs,
        // Only objects of Kubernetes ask for it, and say so themselves.
        tries: _,
        tags: _,
        verify,
    } = own.unwrap_or_default();
    let Plan { source, store, .. } = plan;
    v1::Schedule {
        name,
        database,
        user: source.user,
        store: store.place.to_string(),
        password_secret: source.password.reference().and_then(password_secret),
        keys_secret: keys_secret(&store),
        store_secret: store_secret(&store),
        cron: plan.cron.expression().to_owned(),
        time_zone: plan.cron.zone().to_string(),
        labels: labels.unwrap_or_default().into_iter().collect(),
        declared,
        max_backup_count: plan.keep.0,
        core_addr: plan.core.map_or_else(String::new, |it| it.to_string()),
        create_time: Some(time(created)),
        suspended,
        next_run_time: next.map(time),
        next_verify_time: verify
            .as_ref()
            .filter(|_| !suspended)
            .and_then(|it| it.cron.next_after(Timestamp::now()))
            .map(time),
        verify: verify.map(drills::verify),
        protection: Some(protected(history)),
        verification: drills::verification(verification),
        retention: retention.map(options::retention),
        format: options::format(format, layout),
        encryption: options::encryption(encryption),
        globals: options::globals(globals),
        filters: options::filters(filters),
        jobs: jobs.map_or(0, |it| u32::from(it.get())),
    }
}

fn password_secret(reference: &Reference) -> Option<v1::PasswordSecret> {
    let Reference { secret, keys } = reference;
    Some(v1::PasswordSecret {
        name: secret.clone(),
        key: keys.first()?.clone(),
    })
}

/// Of whatever is no pair of keys.
fn store_secret(store: &Store) -> Option<v1::StoreSecret> {
    let Reference { secret, keys } = store.keys.reference()?;
    let [key] = keys.as_slice() else {
        return None;
    };
    Some(v1::StoreSecret {
        name: secret.clone(),
        key: key.clone(),
    })
}

fn keys_secret(store: &Store) -> Option<v1::KeysSecret> {
    let Reference { secret, keys } = store.keys.reference()?;
    let [access_key, secret_key] = keys.as_slice() else {
        return None;
    };
    Some(v1::KeysSecret {
        name: secret.clone(),
        access_key: access_key.clone(),
        secret_key: secret_key.clone(),
    })
}

pub(super) fn put(answer: put::Answer) -> v1::PutScheduleResponse {
    use v1::put_schedule_response as response;
    let put::Answer {
        put,
        overview,
        findings,
    } = answer;
    let (put, changed) = match put {
        Put::Created => (response::Put::Created, Vec::new()),
        Put::Unchanged => (response::Put::Unchanged, Vec::new()),
        Put::Changed(changed) => (response::Put::Changed, changed),
    };
    v1::PutScheduleResponse {
        put: put.into(),
        changed: changed.into_iter().map(str::to_owned).collect(),
        schedule: Some(schedule(overview)),
        findings,
    }
}

fn protected(history: History) -> v1::Protection {
    use v1::protection::Outcome;
    let outcome = match history.last_succeeded() {
        None => Outcome::Unspecified,
        Some(true) => Outcome::Succeeded,
        Some(false) => Outcome::Failed,
    };
    let History {
        last_success,
        last_failure,
        failure,
        seconds,
        stored_bytes,
    } = history;
    v1::Protection {
        last_outcome: outcome.into(),
        last_success_time: last_success.map(time),
        last_failure_time: last_failure.map(time),
        last_failure: failure.unwrap_or_default(),
        last_duration: seconds.map(|it| duration(SignedDuration::from_secs(it))),
        last_stored_bytes: stored_bytes.unwrap_or_default(),
    }
}

pub(super) fn run(run: Run) -> v1::Run {
    let verdict = Verdict::of(&run);
    let Run {
        component,
        name,
        id,
        schedule,
        database,
        drilled,
        state,
        created,
        started,
        ended,
        told: _,
    } = run;
    let message = state.ending().and_then(Ending::message).map(str::to_owned);
    let failure = match &state {
        State::Ended(Ending::Failed {
            reason, exit_code, ..
        }) => Some(v1::Failure {
            reason: reason.clone(),
            exit_code: *exit_code,
        }),
        _ => None,
    };
    v1::Run {
        name,
        uid: id,
        kind: match component {
            Component::Backup => v1::run::Kind::Backup,
            Component::Restore => v1::run::Kind::Restore,
        }
        .into(),
        schedule: schedule.unwrap_or_default(),
        database,
        state: match state {
            State::Waiting => v1::run::State::Waiting,
            State::Running => v1::run::State::Running,
            State::Ended(Ending::Succeeded { .. }) => v1::run::State::Succeeded,
            State::Ended(Ending::Failed { .. }) => v1::run::State::Failed,
            State::Ended(Ending::Cancelled) => v1::run::State::Cancelled,
            State::Ended(Ending::Expired) => v1::run::State::Expired,
        }
        .into(),
        create_time: Some(time(created)),
        start_time: started.map(time),
        end_time: ended.map(time),
        message: message.unwrap_or_default(),
        failure,
        progress: None,
        drill: drilled.map(|it| drills::drill(it, verdict)),
    }
}

pub(super) fn watched(watched: Watched) -> v1::Run {
    let progress = watched.progress.map(|it| v1::Progress {
        bytes: it.bytes,
        bytes_per_second: it.bytes_per_second,
        tables_done: it.tables_done,
        tables: it.tables,
        time_left: it.left.map(duration),
    });
    v1::Run {
        progress,
        ..run(watched.run)
    }
}

pub(super) fn started(started: Started) -> v1::StartedRun {
    use v1::started_run::By;
    let Started { name, by } = started;
    let by = match by {
        StartedBy::ThisCall => By::ThisCall,
        StartedBy::Earlier => By::Earlier,
        StartedBy::EarlierEnded => By::EarlierEnded,
    };
    v1::StartedRun {
        name,
        by: by.into(),
    }
}

/// What the next page begins behind: nothing that a caller could make up to see more than it may.
pub(super) fn token_of_schedule(last: &Overview) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(last.schedule.name.as_str())
}

pub(super) fn token_of_run(last: &Run) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{} {}", last.created, last.id))
}

fn duration(duration: SignedDuration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: duration.as_secs(),
        nanos: duration.subsec_nanos(),
    }
}
