//! Which database of a schedule a call is about.

use backuper::catalog::Revision;
use backuper::job::BackupSource;

use crate::domain::database::Database;
use crate::domain::question::Task;
use crate::domain::schedule::Plan;
use crate::engine::{Error, Kind};

/// Which of its databases a question is about; none: the only one, or all of them.
pub(super) fn asked(
    plan: &Plan,
    of: Option<BackupSource>,
    task: &Task,
) -> Result<Option<BackupSource>, Error> {
    let doing = task.doing();
    let of = match of {
        Some(of) => named(plan, of, doing)?,
        None if !plan.several || *task == Task::List => return Ok(None),
        None => task.key().and_then(|it| plan.source_of(it)),
    };
    let why = match task {
        Task::Check => {
            "the schedule is of several databases, and one at a time is tried: name it with its store (--database, --store) in place of the schedule"
        }
        _ => ONE_OF_SEVERAL,
    };
    match of {
        Some(of) => Ok(Some(of)),
        None => Err(Error::new(doing, Kind::Invalid, why)),
    }
}

const ONE_OF_SEVERAL: &str = "the schedule is of several databases: say in source which one is meant (--source HOST:PORT/DBNAME), as the list of its backups has it";

/// The database whose backup a restore takes, with the schedule's login.
pub(super) fn restored(
    plan: &Plan,
    of: Option<BackupSource>,
    revision: &Revision,
) -> Result<Database, Error> {
    let doing = "start a restore";
    let of = match (of, revision) {
        (Some(of), _) => named(plan, of, doing)?,
        (None, _) if !plan.several => return Ok(plan.source.clone()),
        (None, Revision::Named(key)) => plan.source_of(key),
        (None, Revision::Count(_) | Revision::At(_)) => None,
    };
    let one = of.and_then(|it| plan.one(&it));
    one.ok_or_else(|| Error::new(doing, Kind::Invalid, ONE_OF_SEVERAL))
}

/// One that a call names.
fn named(plan: &Plan, of: BackupSource, doing: &str) -> Result<Option<BackupSource>, Error> {
    if !plan.several {
        let why = "source goes with store, or with a schedule of several databases";
        return Err(Error::new(doing, Kind::Invalid, why));
    }
    if plan.one(&of).is_none() {
        let why = format!(
            "{of} is none of the schedule's databases, {}",
            plan.source.place()
        );
        return Err(Error::new(doing, Kind::NotFound, why));
    }
    Ok(Some(of))
}
