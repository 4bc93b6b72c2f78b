//! Restores that wait to be started: each of them once.

use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::Store;
use super::schedules::{for_a_run, unwritable};
use crate::domain::kept;
use crate::domain::restore::Restore;
use crate::engine::local::secrets;
use crate::engine::{Error, Started, StartedBy};

/// How long a restore that has ended well answers the same request again, in seconds, where that has
/// no name.
const JUST_ENDED: i64 = 60;

/// What came of asking for a restore.
#[derive(Debug)]
pub(in crate::engine::local) enum Restored {
    Started(Started),
    /// The schedule that was to lend its credentials is for another database or store by now.
    Moved,
    /// The schedule that was to lend its credentials is gone.
    NothingToLend(String),
    /// This run restores something else into the database.
    Different(String),
    /// This run of the same name was cut short, and may have been complete.
    Interrupted(String),
}

impl Store {
    /// Keeps a restore to be started, or finds the same one.
    pub(in crate::engine::local) async fn restore(
        &self,
        restore: Restore,
        secrets: String,
        now: i64,
    ) -> Result<Restored, Error> {
        self.within("keep a restore", move |it| {
            let (database, request) = (restore.target.place_hash(), restore.request());
            if let Some(found) = asked_for_before(it, &restore, [&database, &request], now)? {
                return Ok(found);
            }
            let secrets = match &restore.lent {
                None => secrets,
                Some(lent) => match for_a_run(it, lent.by.as_str())? {
                    Some((lender, _)) if !restore.may_borrow_of(&lender) => {
                        return Ok(Restored::Moved);
                    }
                    Some((_, kept)) => match secrets::lending(&secrets, &kept, lent) {
                        Some(secrets) => secrets,
                        None => return Ok(Restored::NothingToLend(lent.by.to_string())),
                    },
                    None => return Ok(Restored::NothingToLend(lent.by.to_string())),
                },
            };
            it.execute(
                "INSERT INTO runs (name, component, database, place, request, spec, secrets, \
                     begin_by, vars, state, created) \
                 VALUES ('', 'restore', ?1, ?2, ?3, ?4, ?5, ?6, '[]', 'waiting', ?7)",
                params![
                    database,
                    restore.target.place(),
                    request,
                    kept::write(&restore).map_err(unwritable)?,
                    secrets,
                    restore.begin_by.map(Timestamp::as_second),
                    now
                ],
            )?;
            let id = it.last_insert_rowid();
            let digest = crate::engine::local::digest(&format!("{database}\n{id}"));
            let name = format!("restore-{}-postgres", &digest[..8]);
            it.execute("UPDATE runs SET name = ?1 WHERE id = ?2", params![name, id])?;
            let by = StartedBy::ThisCall;
            Ok(Restored::Started(Started { name, by }))
        })
        .await
    }

    /// Ends the restores that have waited longer than they may; gives them.
    pub(in crate::engine::local) async fn expire(&self, now: i64) -> Result<Vec<i64>, Error> {
        self.within("end what has waited too long", move |it| {
            let mut query = it.prepare_cached(
                "UPDATE runs SET state = 'expired', ended = ?1, vars = '[]', secrets = '{}' \
                 WHERE state = 'waiting' AND begin_by < ?1 RETURNING id",
            )?;
            let rows = query.query_map([now], |row| row.get(0))?;
            rows.collect()
        })
        .await
    }
}

/// What the same request, or another one for the database, has come to: under way, cut short, or ended
/// well just now.
fn asked_for_before(
    transaction: &Transaction<'_>,
    restore: &Restore,
    [database, request]: [&str; 2],
    now: i64,
) -> rusqlite::Result<Option<Restored>> {
    let pair = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let under_way = transaction
        .query_row(
            "SELECT name, request FROM runs \
             WHERE database = ?1 AND state IN ('waiting', 'running')",
            [database],
            pair,
        )
        .optional()?;
    if let Some((name, same)) = under_way {
        let by = StartedBy::Earlier;
        return Ok(Some(if same == request {
            Restored::Started(Started { name, by })
        } else {
            Restored::Different(name)
        }));
    }
    let is_named = !restore.request_id.is_empty();
    // An end of the future was told by a clock that ran ahead.
    let (since, until) = if is_named {
        (0, i64::MAX)
    } else {
        (now - JUST_ENDED, now)
    };
    let ended: Option<(String, String)> = transaction
        .query_row(
            "SELECT name, coalesce(reason, '') FROM runs WHERE database = ?1 AND request = ?2 AND \
             (?5 AND ended IS NOT NULL OR state = 'succeeded' AND ended > ?3 AND ended <= ?4) \
             ORDER BY id DESC LIMIT 1",
            params![database, request, since, until, is_named],
            pair,
        )
        .optional()?;
    Ok(ended.map(|(name, reason)| {
        if reason == "Interrupted" {
            Restored::Interrupted(name)
        } else {
            let by = StartedBy::EarlierEnded;
            Restored::Started(Started { name, by })
        }
    }))
}
