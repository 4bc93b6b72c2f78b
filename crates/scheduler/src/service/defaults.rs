//! Where the core's calls go, which say no prefix and perhaps no store: what exists stays where its backups
//! are, and what is new goes where the administrator has set it.

use backuper::storage::Prefix;

use super::Service;
use crate::domain::callers::Caller;
use crate::domain::database::Database;
use crate::domain::schedule::{Plan, Schedule};
use crate::domain::store::{Place, Store};
use crate::engine::Error;
use crate::engine::change::Things;

impl Service {
    /// The store of calls that name none, where there is one.
    #[must_use]
    pub fn default_store(&self) -> Option<Store> {
        self.workers.settings.default.store()
    }

    /// Puts a plan of the core below the prefix of the schedule that it is about, or of another one of that
    /// database in that bucket, first of those of the same times; or below the administrator's.
    pub(super) async fn place_plan(
        &self,
        plan: &mut Plan,
        found: Option<&Schedule>,
    ) -> Result<(), Error> {
        if !says_no_prefix(&plan.store) {
            return Ok(());
        }
        let same = |it: &&Schedule| is_same_bucket(&it.plan.store.place, &plan.store.place);
        let prefix = match found.filter(same) {
            Some(found) => found.plan.store.place.prefix(),
            None => {
                let there = self.beside(&plan.source, &plan.store.place).await?;
                let is_meant = |it: &Schedule| it.plan.cron.has_times_of(&plan.cron);
                self.own(&there, &plan.source, is_meant)
                    .unwrap_or_else(|| self.default_prefix().clone())
            }
        };
        place(&mut plan.store, prefix);
        Ok(())
    }

    /// The same for a restore of the core. Who may see all of them reads where databases of that name have
    /// their backups, if its own has no schedule and all of those agree.
    pub(super) async fn place_restore(
        &self,
        caller: &Caller,
        database: &Database,
        store: &mut Store,
    ) -> Result<(), Error> {
        if !says_no_prefix(store) {
            return Ok(());
        }
        let there = self.beside(database, &store.place).await?;
        let of_others = || {
            let mut others = there.iter().map(|it| it.plan.store.place.prefix());
            let first = others.next().filter(|_| caller.may_everything())?;
            others.all(|it| it == first).then_some(first)
        };
        let prefix = self.own(&there, database, |_| true).or_else(of_others);
        place(
            store,
            prefix.unwrap_or_else(|| self.default_prefix().clone()),
        );
        Ok(())
    }

    fn default_prefix(&self) -> &Prefix {
        &self.workers.settings.default.prefix
    }

    /// The schedules of databases of this name in this bucket.
    async fn beside(&self, database: &Database, place: &Place) -> Result<Vec<Schedule>, Error> {
        // Without a prefix there is nothing that would be put elsewhere.
        if self.default_prefix().is_empty() {
            self.ledger.settle(Things::Schedules).await;
        } else {
            self.known(Things::Schedules).await?;
        }
        Ok(self.ledger.schedules_where(|it| {
            it.plan.source.name == database.name && is_same_bucket(&it.plan.store.place, place)
        }))
    }

    fn own(
        &self,
        there: &[Schedule],
        database: &Database,
        is_meant: impl Fn(&Schedule) -> bool,
    ) -> Option<Prefix> {
        let own = there
            .iter()
            .filter(|it| it.plan.source.place() == database.place());
        let first = own.min_by_key(|it| {
            let prefix = it.plan.store.place.prefix();
            let is_default = prefix == *self.default_prefix();
            (
                !is_meant(it),
                !prefix.is_empty(),
                !is_default,
                prefix.to_string(),
            )
        })?;
        Some(first.plan.store.place.prefix())
    }
}

fn says_no_prefix(store: &Store) -> bool {
    matches!(store.place, Place::S3 { .. }) && store.place.prefix().is_empty()
}

fn place(store: &mut Store, prefix: Prefix) {
    if let Some(place) = store.place.below(prefix) {
        store.place = place;
    }
}

fn is_same_bucket(one: &Place, other: &Place) -> bool {
    let whole = |it: &Place| it.below(Prefix::default());
    matches!(one, Place::S3 { .. }) && whole(one) == whole(other)
}
