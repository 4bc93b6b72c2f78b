//! The target's own event triggers, which must not hear of what a restore does: one that refuses
//! DDL would make it impossible. PostgreSQL manual, chapter 40: event triggers; statements about event
//! triggers themselves fire none.

use std::collections::BTreeSet;

use backuper::postgres::{self, Target};
use backuper::runtime::Failure;
use backuper::text::sql::quote;
use tokio_postgres::Client;

use crate::archive::toc::Toc;

const LIVE: &str = "
    SELECT evtname::text, evtenabled::text,
           (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR pg_has_role(evtowner, 'USAGE')
      FROM pg_event_trigger";

/// What is done with them before our first statement, and after our last.
#[derive(Debug, Default)]
pub(super) struct Silenced {
    /// The text that drops those that the backup brings and disables the others.
    pub(super) before: String,
    /// The text that brings the others back to what they were.
    pub(super) after: String,
}

/// Looks for them.
pub(super) async fn silenced(
    session: &Client,
    target: &Target,
    toc: Option<&Toc>,
) -> Result<Silenced, Failure> {
    let rows = session
        .query(LIVE, &[])
        .await
        .map_err(|error| postgres::Error::new("examining", target, &error))?;
    let entries = toc.iter().flat_map(|it| &it.entries);
    let known: BTreeSet<&str> = entries
        .filter(|it| it.kind == "EVENT TRIGGER")
        .map(|it| it.tag.as_str())
        .collect();
    let mut silenced = Silenced::default();
    for row in &rows {
        let (name, enabled, ours): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        if !ours {
            tracing::warn!(database = %target, "event trigger {name} stays live, since role {} may not disable it; it hears of all that the restore does", target.user());
            continue;
        }
        let quoted = quote(&name);
        if known.contains(name.as_str()) {
            silenced
                .before
                .push_str(&format!("DROP EVENT TRIGGER {quoted};\n"));
            continue;
        }
        let back = match enabled.as_str() {
            "D" => continue,
            "R" => "ENABLE REPLICA",
            "A" => "ENABLE ALWAYS",
            _ => "ENABLE",
        };
        silenced
            .before
            .push_str(&format!("ALTER EVENT TRIGGER {quoted} DISABLE;\n"));
        silenced
            .after
            .push_str(&format!("ALTER EVENT TRIGGER {quoted} {back};\n"));
    }
    Ok(silenced)
}
