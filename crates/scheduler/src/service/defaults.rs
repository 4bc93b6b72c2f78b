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
                let is_its = |it: &Plan| it.has_databases_of(plan) || plan.may_be_kept_as_one(it);
                let own = self.beside(&plan.store.place, is_its).await?;
                let is_meant = |it: &Schedule| it.plan.cron.has_times_of(&plan.cron);
                self.first_of(own.iter(), is_meant)
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
        let has_one = |it: &Plan| it.has(&database.name);
        let there = self.beside(&store.place, has_one).await?;
        let source = database.as_source();
        let is_own = |it: &&Schedule| source.as_ref().is_some_and(|of| it.plan.one(of).is_some());
        let is_alone = |it: &Schedule| !it.plan.several;
        let of_others = || {
            // That a list may have a database of this name says less than a schedule of its own.
            let by_name = there.iter().any(is_alone);
            let others = there.iter().filter(|it| is_alone(it) || !by_name);
            let mut others = others.map(|it| it.plan.store.place.prefix());
            let first = others.next().filter(|_| caller.may_everything())?;
            others.all(|it| it == first).then_some(first)
        };
        let own = self.first_of(there.iter().filter(is_own), is_alone);
        let prefix = own.or_else(of_others);
        place(
            store,
            prefix.unwrap_or_else(|| self.default_prefix().clone()),
        );
        Ok(())
    }

    fn default_prefix(&self) -> &Prefix {
        &self.workers.settings.default.prefix
    }

    /// The schedules in this bucket that are meant. Who is told that there is none, though nobody knows yet,
    /// would be put elsewhere than its backups are.
    async fn beside(
        &self,
        place: &Place,
        is_meant: impl Fn(&Plan) -> bool,
    ) -> Result<Vec<Schedule>, Error> {
        self.known(Things::Schedules).await?;
        let is_there = |it: &Schedule| is_same_bucket(&it.plan.store.place, place);
        let found = self
            .ledger
            .schedules_where(|it| is_there(it) && is_meant(&it.plan));
        Ok(found)
    }

    /// The prefix of one of a database's own schedules.
    fn first_of<'a>(
        &self,
        own: impl Iterator<Item = &'a Schedule>,
        is_meant: impl Fn(&Schedule) -> bool,
    ) -> Option<Prefix> {
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
