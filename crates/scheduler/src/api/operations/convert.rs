//! Between the messages of `postgres_adapter.v1` and the domain's words.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

use crate::api::proto::v1;
use crate::api::status::Violation;
use crate::domain::callers::is_pattern;
use crate::domain::name::{self, Name};
use crate::domain::protection::{History, Protection};
use crate::domain::run::{Component, Ending, Run, State};
use crate::engine::{Started, StartedBy};
use crate::service::ledger::{Behind, Overview, Wanted};
use crate::service::runs::Watched;

/// How many a page has where the caller does not say, and at most.
const PAGE: usize = 100;
const MOST: usize = 1_000;

/// A page that is asked for.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// What it begins behind.
    pub(super) behind: Option<T>,
    pub(super) size: usize,
}

/// Reads a request for schedules.
pub(super) fn schedules(
    request: &v1::ListSchedulesRequest,
) -> Result<(Page<Name>, Option<String>), Vec<Violation>> {
    let v1::ListSchedulesRequest {
        page_size,
        page_token,
        database,
    } = request;
    let mut wrong = Vec::new();
    let behind = token(page_token, &mut wrong).and_then(|it| it.parse().ok());
    if behind.is_none() && !page_token.is_empty() {
        forged(&mut wrong);
    }
    let size = size(*page_size, &mut wrong);
    let database = pattern(database, &mut wrong);
    opened((Page { behind, size }, database), wrong)
}

/// Reads a request for runs.
pub(super) fn runs(
    request: &v1::ListRunsRequest,
) -> Result<(Page<Behind>, Wanted), Vec<Violation>> {
    let v1::ListRunsRequest {
        page_size,
        page_token,
        schedule,
        database,
        // Read by name below.
        kind: _,
        states: _,
        since,
    } = request;
    let mut wrong = Vec::new();
    let behind = token(page_token, &mut wrong).and_then(|it| {
        let (time, id) = it.split_once(' ')?;
        Some((Timestamp::from_str(time).ok()?, id.to_owned()))
    });
    if behind.is_none() && !page_token.is_empty() {
        forged(&mut wrong);
    }
    let since = since.as_ref().map(|it| {
        let time = Timestamp::new(it.seconds, it.nanos);
        time.unwrap_or_else(|error| {
            wrong.push(violation("since", error));
            Timestamp::UNIX_EPOCH
        })
    });
    let wanted = Wanted {
        schedule: (!schedule.is_empty()).then(|| schedule.clone()),
        database: pattern(database, &mut wrong),
        component: match request.kind() {
            v1::run::Kind::Unspecified => None,
            v1::run::Kind::Backup => Some(Component::Backup),
            v1::run::Kind::Restore => Some(Component::Restore),
        },
        states: request.states().filter_map(state_word).collect(),
        since,
    };
    let size = size(*page_size, &mut wrong);
    opened((Page { behind, size }, wanted), wrong)
}

/// A schedule's name.
pub(super) fn schedule_name(name: &str) -> Result<Name, Vec<Violation>> {
    name.parse().map_err(|why| vec![violation("name", why)])
}

/// A run's name; `field` is the message's.
pub(super) fn run_name(field: &str, name: &str) -> Result<String, Vec<Violation>> {
    if name.is_empty() {
        return Err(vec![violation(field, "it is empty")]);
    }
    Ok(name.to_owned())
}

/// What a caller calls its request.
pub(super) fn request_id(text: &str) -> Result<String, Vec<Violation>> {
    name::request_id(text).map_err(|why| vec![violation("request_id", why)])
}

pub(super) fn schedule(overview: Overview) -> v1::Schedule {
    let Overview {
        schedule,
        protection,
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
    let plan = schedule.plan;
    v1::Schedule {
        name,
        database,
        user: plan.source.user,
        store: plan.store.place(),
        cron: plan.cron.to_string(),
        max_backup_count: plan.keep.0,
        core_addr: plan.core.map_or_else(String::new, |it| it.to_string()),
        create_time: Some(time(created)),
        suspended,
        next_run_time: next.map(time),
        protection: Some(protected(history)),
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
    let Run {
        component,
        name,
        id,
        schedule,
        database,
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

fn token(text: &str, wrong: &mut Vec<Violation>) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
    let token = bytes.ok().and_then(|it| String::from_utf8(it).ok());
    if token.is_none() {
        forged(wrong);
    }
    token
}

fn forged(wrong: &mut Vec<Violation>) {
    if wrong.is_empty() {
        let why = "it is no next_page_token of an answer";
        wrong.push(violation("page_token", why));
    }
}

fn size(asked: i32, wrong: &mut Vec<Violation>) -> usize {
    match usize::try_from(asked) {
        Ok(0) => PAGE,
        Ok(size) => size.min(MOST),
        Err(_negative) => {
            wrong.push(violation("page_size", "it is negative"));
            PAGE
        }
    }
}

fn pattern(text: &str, wrong: &mut Vec<Violation>) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    if !is_pattern(text) {
        let why = "HOST:PORT/DBNAME is needed, each with stars, or * alone";
        wrong.push(violation("database", why));
    }
    Some(text.to_owned())
}

fn state_word(state: v1::run::State) -> Option<&'static str> {
    match state {
        v1::run::State::Unspecified => None,
        v1::run::State::Waiting => Some("waiting"),
        v1::run::State::Running => Some("running"),
        v1::run::State::Succeeded => Some("succeeded"),
        v1::run::State::Failed => Some("failed"),
        v1::run::State::Cancelled => Some("cancelled"),
        v1::run::State::Expired => Some("expired"),
    }
}

fn violation(field: &str, why: impl std::fmt::Display) -> Violation {
    Violation {
        field: field.to_owned(),
        why: why.to_string(),
    }
}

fn opened<T>(value: T, wrong: Vec<Violation>) -> Result<T, Vec<Violation>> {
    if wrong.is_empty() {
        Ok(value)
    } else {
        Err(wrong)
    }
}

fn time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

fn duration(duration: SignedDuration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: duration.as_secs(),
        nanos: duration.subsec_nanos(),
    }
}
