//! Which part of a database a dump has, and what is said of it.

use super::Dump;
use crate::archive::manifest::Part;
use crate::postgres::selection::{Filters, Selection};
use crate::postgres::snapshot::Survey;
use crate::postgres::{Error, Session};
use crate::text::patterns::{Pattern, Patterns};

/// How many of its words a warning has.
const NAMED: usize = 10;

impl Dump {
    /// The tables and their sizes: of a part only those that are in it. What cannot be restored is refused, with no
    /// snapshot held meanwhile.
    pub(super) async fn survey(&self, holder: &Session) -> Result<Survey, Error> {
        let target = &self.target;
        let wait = self.lock_wait_timeout;
        if self.filters.is_empty() {
            return Survey::take(holder, target, wait, None).await;
        }
        let failed =
            |error: tokio_postgres::Error| Error::new("choosing the tables of", target, &error);
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = {}; SET LOCAL row_security = off",
            wait.as_millis()
        );
        holder.batch_execute(&begin).await.map_err(failed)?;
        let chosen = Selection::resolve(holder, target, &self.filters).await?;
        chosen.refers_to_its_own_rows(holder, target).await?;
        let needs = chosen.needs(holder, target).await?;
        let heirs = chosen.left_out_heirs(holder, target).await?;
        holder.batch_execute("ROLLBACK").await.map_err(failed)?;
        self.warn_of(&needs);
        if !heirs.is_empty() {
            tracing::warn!(
                database = %target,
                "rows of tables that others inherit from are left out with those: {}",
                few(heirs)
            );
        }
        if !chosen.left_out_partitions.is_empty() {
            tracing::warn!(
                database = %target,
                "rows of partitioned tables are left out with partitions: {}",
                chosen.left_out_partitions.join("; ")
            );
        }
        Survey::take(holder, target, wait, Some(&chosen.oids())).await
    }

    /// What is dumped, by the snapshot that the session holds; none: everything.
    pub(super) async fn chosen(&self, holder: &Session) -> Result<Option<Selection>, Error> {
        if self.filters.is_empty() {
            return Ok(None);
        }
        let chosen = Selection::resolve(holder, &self.target, &self.filters).await?;
        Ok(Some(chosen))
    }

    /// What the manifest says of it.
    pub(super) fn part(&self, chosen: Selection) -> Part {
        let Filters {
            include_schemas,
            exclude_schemas,
            include_tables,
            exclude_tables,
            exclude_table_data,
        } = &self.filters;
        let texts = |it: &Patterns| it.iter().map(Pattern::as_str).map(str::to_owned).collect();
        Part {
            include_schemas: texts(include_schemas),
            exclude_schemas: texts(exclude_schemas),
            include_tables: texts(include_tables),
            exclude_tables: texts(exclude_tables),
            exclude_table_data: texts(exclude_table_data),
            without_rows: chosen.without_rows,
        }
    }

    fn warn_of(&self, needs: &[String]) {
        if needs.is_empty() {
            return;
        }
        tracing::warn!(
            database = %self.target,
            "this part of the database is restored only where what it needs is there already, for the backup does not bring it: {}",
            few(needs.to_vec())
        );
    }
}

fn few(mut named: Vec<String>) -> String {
    let more = named.len().saturating_sub(NAMED);
    named.truncate(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    named.join("; ")
}
