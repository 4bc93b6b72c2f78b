//! From the messages of `postgres_adapter.v1` to the domain's words.

mod backups;
mod options;
mod places;
mod restore;
mod schedule;
mod stores;

use std::str::FromStr as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::api::proto::v1;
use crate::api::status::Violation;
use crate::domain::callers::is_pattern;
use crate::domain::name::{self, Name};
use crate::domain::run::Component;
use crate::service::ledger::{Behind, Wanted};

pub(super) use backups::{backup, backups, deletion, diagnosis, pin, preview};
pub(super) use restore::{restore, verification};
pub(in crate::api) use schedule::put;

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
