//! What is true of a target whose restore ends before it is done.

use backuper::postgres::Target;
use backuper::runtime::{Failure, NOTHING_CHANGED, Shutdown};
use tokio_postgres::Client;

use crate::target::creation;

/// Removes the database that this restore had created: however it ended there, nothing of it is left then.
pub(super) async fn without_it<T>(
    ended: Result<T, Failure>,
    (session, target): (&Client, &Target),
    shutdown: &Shutdown,
) -> Result<T, Failure> {
    if !creation::drop_database(session, target, shutdown.clean_up_by()).await {
        return ended;
    }
    let open = shutdown.instead();
    shutdown.says_instead(None);
    ended.map_err(|failed| {
        let why = open.and_then(|it| failed.sentence.strip_suffix(&it).map(str::to_owned));
        why.map_or(failed, |why| {
            Failure::try_again(format!(
                "{why}the database that it had created was dropped; run the restore again"
            ))
        })
    })
}

/// What is said of a restore that is stopped when only statistics are to come.
pub(super) fn restored(target: &Target, omissions: &[String]) -> String {
    let but = if omissions.is_empty() {
        ""
    } else {
        " but for what the log names"
    };
    format!("all of the backup is in {target}{but}; statistics may be missing (ANALYZE)")
}

/// Why it was ended, with what is said of the target by what has ended.
pub(super) fn ended_by(mut why: Failure, ended: &Failure) -> Failure {
    if ended.sentence.contains(NOTHING_CHANGED) {
        why.sentence.push_str("; ");
        why.sentence.push_str(NOTHING_CHANGED);
    }
    why
}
