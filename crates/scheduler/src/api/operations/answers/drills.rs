//! Restore drills in messages.

use super::started;
use crate::api::client::time;
use crate::api::proto::v1;
use crate::domain::drilled::{Drilled, Verdict, Verification};
use crate::domain::drills::Verify;
use crate::service::restores::Answer;

/// A drill that was begun, or that would be.
pub(in crate::api) fn proving(answer: Answer) -> v1::VerifyBackupResponse {
    let Answer {
        started: run,
        database,
        backup,
    } = answer;
    // The database of a drill is nobody's.
    let server = database.split_once('/').map_or("", |it| it.0);
    v1::VerifyBackupResponse {
        run: run.map(started),
        server: server.to_owned(),
        not_tried: backup.as_ref().err().cloned().unwrap_or_default(),
        backup: backup.ok().map(super::backups::found),
    }
}

/// What a run is a drill of, and what it has shown where it has ended.
pub(super) fn drill(drilled: Drilled, verdict: Option<Verdict>) -> v1::Drill {
    let Drilled {
        schedule,
        source,
        // That is the administrator's and the schedule's to tell.
        store: _,
    } = drilled;
    let result = result(verdict.as_ref());
    let Verdict { key, compared, .. } = verdict.unwrap_or_default();
    let (tables, rows) = compared.unwrap_or_default();
    v1::Drill {
        schedule: schedule.unwrap_or_default(),
        source,
        result: result.into(),
        backup: key.unwrap_or_default(),
        tables,
        rows,
    }
}

/// Drills at times of their own, without their password.
pub(super) fn verify(verify: Verify) -> v1::Verify {
    let Verify { cron, server, sql } = verify;
    v1::Verify {
        cron: cron.expression().to_owned(),
        server: server.map(|it| v1::DrillServer {
            password_secret: it.password.reference().and_then(super::password_secret),
            host: it.host,
            port: it.port.into(),
            user: it.user,
            password: String::new(),
        }),
        sql,
    }
}

/// What is known of drills; none: nothing is.
pub(super) fn verification(verification: Verification) -> Option<v1::Verification> {
    let Verification { last, newest } = verification;
    let result = result(newest.as_ref());
    let newest = newest?;
    Some(v1::Verification {
        last_verified_time: last.map(time),
        last_result: result.into(),
        last_run: newest.run,
        last_failure: if newest.passed {
            String::new()
        } else {
            newest.said
        },
    })
}

fn result(verdict: Option<&Verdict>) -> v1::drill::Result {
    match verdict.map(|it| it.passed) {
        None => v1::drill::Result::Unspecified,
        Some(true) => v1::drill::Result::Passed,
        Some(false) => v1::drill::Result::Failed,
    }
}
