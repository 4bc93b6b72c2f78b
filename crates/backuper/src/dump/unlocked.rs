//! Whether the rows of a stream are those of the tables and types that the schema's stream has: no lock of pg_dump
//! holds the names of schemas, nor the text of some types' values.

use std::collections::BTreeSet;

use super::{APPLICATION, Error, Part, broken};
use crate::postgres::unlocked::Unlocked;
use crate::postgres::{Session, Target};

/// What must be as it was when the rows have been read.
pub(super) struct Watched<'a> {
    /// As it was in the snapshot.
    pub(super) before: Unlocked,
    /// Sees what is committed now.
    pub(super) witness: &'a Session,
}

impl Watched<'_> {
    /// Proves it, as soon as the rows of a stream have been read: by the tables' names, or otherwise.
    pub(super) async fn holds(
        &self,
        target: &Target,
        part: &Part,
        by_names: bool,
    ) -> Result<(), Error> {
        let names: BTreeSet<&str> = part.tables.iter().map(|it| it.schema.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let failed = |source| Error::Copy {
            name: part.name.clone(),
            source,
        };
        // It may have been ended meanwhile.
        let another = match self.witness.is_closed() {
            true => Some(target.connect(APPLICATION).await.map_err(failed)?),
            false => None,
        };
        let witness = another.as_ref().unwrap_or(self.witness);
        let now = Unlocked::seen_by(witness, target).await.map_err(failed)?;
        let taken = by_names.then(|| self.before.taken(&names, &now)).flatten();
        let names_others = part
            .tables
            .iter()
            .any(|it| self.before.names_others(it.oid));
        let why = if let Some(name) = taken {
            format!(
                "the name {name} leads, or has led for a while, to another schema than when pg_dump began to read by it, so it may have read the wrong tables; run the backup again when no schema is renamed"
            )
        } else if names_others && self.before.is_renamed(&now) {
            "something was renamed while rows were read, and a column of regclass or the like may name it as it is called since; run the backup again when no schema, table, function, type or role is renamed".to_owned()
        } else if let Some(oid) = self.before.rewritten(&now) {
            format!(
                "type {} was altered while rows were read, so they may have values that it did not have at the backup's moment; run the backup again when no type is altered",
                name(witness, oid).await
            )
        } else {
            return Ok(());
        };
        Err(broken(part, why))
    }
}

/// What a type is called now.
async fn name(session: &Session, oid: u32) -> String {
    let sql = "SELECT $1::oid::regtype::text";
    let asked = session.query_one(sql, &[&oid]).await;
    let name = asked.and_then(|row| row.try_get(0));
    name.unwrap_or_else(|_error| format!("of oid {oid}"))
}
