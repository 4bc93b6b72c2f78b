//! Brings back the database in whose place a swap restore has put another one. That one is kept in its turn.

use std::time::Instant;

use backuper::postgres::{Kind, Target, lock};
use backuper::runtime::{Failure, Shutdown};
use backuper::text::sql::quote;

use super::exchange::{Exchange, Failed};
use super::obstacles::{self, Obstacles, Way};
use crate::job::SwapBackJob;
use crate::target::beside::{self, Mark, Standing};
use crate::target::creation;
use crate::target::likeness::Likeness;
use crate::target::tolerant::few;

/// Swaps back; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn swap_back(job: &SwapBackJob, shutdown: &Shutdown) -> Result<String, Failure> {
    let begun = Instant::now();
    let target = job.database.target();
    let swapping = swap(job, &target, shutdown);
    let outcome = tokio::select! {
        outcome = Box::pin(swapping) => outcome,
        () = shutdown.overdue() => Err(Failure::try_again("not ended in time")),
    };
    let sentence = outcome.map_err(|it| it.or_stopped(shutdown, "swap"))?;
    Ok(format!(
        "{sentence} ({:.1} s)",
        begun.elapsed().as_secs_f64()
    ))
}

async fn swap(job: &SwapBackJob, target: &Target, shutdown: &Shutdown) -> Result<String, Failure> {
    let gate = match target.enter("restorer").await {
        Ok(entrance) => Some(entrance),
        // Somebody has dropped it: then the name is free.
        Err(error) if error.kind == Kind::NoDatabase => None,
        Err(error) => return Err(error.into()),
    };
    let target = &gate.as_ref().map_or(target, |it| &it.target).clone();
    let mut old = None;
    if let Some(gate) = &gate {
        lock::enter_for_restore(&gate.session, target).await?;
        let mut obstacles = Obstacles::of(&gate.session, target).await?;
        obstacles.add(obstacles::of_way(gate.way.options));
        obstacles.refuse(target, Way::Back)?;
        let likeness = Likeness::of(&gate.session, target).await?;
        old = Some((likeness.oid, likeness.comment));
    }
    let kept = kept(target, job.to.as_deref()).await?;
    tracing::warn!(database = %target, since = %kept.since, "owner, privileges, settings and comment come back as that database had them when it made room: what was granted, revoked or set since is not carried over");
    drop(gate);
    let exchange = Exchange {
        target,
        old,
        new: &kept.name,
        prepared: Vec::new(),
        comment: kept.comment,
        keep_old: job.keep_old,
    };
    let swapped = exchange.run(shutdown).await;
    let swapped = swapped.map_err(Failed::into_failure)?;
    let other = swapped.map_or_else(String::new, |it| it.to_string());
    Ok(format!(
        "swapped back: {target} is again the database that was kept as {} since {}{other}",
        quote(&kept.name),
        kept.since
    ))
}

/// The database that is to come back: the one of this name, or the one that was kept last. One whose comment another
/// role can have made up only comes where it is named.
async fn kept(target: &Target, name: Option<&str>) -> Result<Mark, Failure> {
    let (session, other) = creation::maintenance(target).await?;
    let mut all = beside::marked(&session, &other, target.database()).await?;
    all.retain(|it| it.mark.oiler == Standing::Kept);
    all.sort_by_key(|it| it.mark.since);
    let names = few(all.iter().map(|it| quote(&it.mark.name)));
    let found = match name {
        None => all.into_iter().rfind(|it| it.is_trusted),
        Some(name) => all.into_iter().find(|it| it.mark.name == name),
    };
    if let Some(found) = found {
        return Ok(found.mark);
    }
    Err(Failure::refused(match (name, names.is_empty()) {
        (Some(name), false) => format!(
            "no database {} is kept of {target}: SWAP_BACK_TO may name {names}; nothing was changed",
            quote(name)
        ),
        (None, false) => format!(
            "{names} belongs to another role than {target}, so anybody may have given it the comment of a database that is kept: name it with SWAP_BACK_TO where it is what you want; nothing was changed"
        ),
        (_, true) => format!(
            "no database is kept of {target} whose comment says so: only a swap restore keeps one, and a later one drops it when KEEP_OLD is over; nothing was changed"
        ),
    }))
}
