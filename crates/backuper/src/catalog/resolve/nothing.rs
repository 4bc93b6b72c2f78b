//! What is said where a database has no backup: what else there is.

use super::{Error, Question};
use crate::catalog::{Listing, databases};

/// How many names a sentence holds before it only counts.
const NAMED: usize = 10;

impl Question<'_> {
    /// There is no backup of this database.
    pub(super) async fn nothing(&self, listing: &Listing) -> Error {
        let database = &self.request.target.database;
        let mut reason = "there is none at all (plain SQL under another KEY_TEMPLATE or CLUSTER_NAME is not looked for)".to_owned();
        if let Some(backup) = listing.incomplete.first() {
            let prefix = backup.folder.prefix();
            let folder = prefix.trim_end_matches('/');
            reason =
                format!("{folder} has no manifest, so it is not complete, and there is no other");
        }
        // Who names a source is told of no other's: it may be somebody who may not see those.
        if self.request.by_name {
            return self.no_such(reason);
        }
        let others = databases(self.storage).await.unwrap_or_default();
        if others.is_empty() {
            return self.no_such(reason);
        }
        let mut names: Vec<String> = others
            .iter()
            .take(NAMED)
            .map(|(name, newest)| format!("{name} ({newest})"))
            .collect();
        if others.len() > NAMED {
            names.push(format!("{} more", others.len() - NAMED));
        }
        self.no_such(format!(
            "{reason}; the store holds backups of {}: correct DB_NAME, or set BACKUP_REVISION to one of these to restore it into {database}",
            names.join(", ")
        ))
    }
}
