//! What a schedule may have of its own, beside the administrator's settings.

use backuper::job::{BackupSource, Passwords};
use jiff::Timestamp;

use super::Service;
use super::put::making;
use crate::domain::callers::{Caller, Verb};
use crate::domain::options::{Options, OwnGlobals, OwnLayout};
use crate::domain::schedule::Schedule;
use crate::domain::store::Store;
use crate::engine::change::Things;
use crate::engine::{Error, Kind};

impl Service {
    /// Whether a caller may have a schedule so, and whether it could ever make a backup.
    ///
    /// # Errors
    /// [`Kind::Denied`], and [`Kind::Precondition`] with the worker's sentence.
    pub(super) fn may_have(
        &self,
        caller: &Caller,
        schedule: &Schedule,
        found: Option<&Schedule>,
    ) -> Result<(), Error> {
        self.may_say(caller, schedule, found)?;
        let refused = |why: String| Error::new(making(&schedule.name), Kind::Precondition, why);
        self.workers.fits(schedule).map_err(refused)?;
        if schedule.own().judge_objects()
            && let Some(other) = self.with_objects_of(schedule)
        {
            let place = other.plan.source.place();
            let other = match caller.may(Verb::View, &place) {
                Ok(()) => format!("schedule {} ({place})", other.name),
                Err(_) => "another schedule".to_owned(),
            };
            return Err(refused(format!(
                "retention.objects would remove single objects of {} in this store, and nothing in them says whether they are not those of {other}; leave it out",
                schedule.plan.source.name,
            )));
        }
        Ok(())
    }

    /// Whether a caller may have what a schedule has of its own, be it said by this call or kept from before. What
    /// who may do everything has said of one database and store is said of no other one.
    ///
    /// # Errors
    /// [`Kind::Denied`].
    pub(super) fn may_say(
        &self,
        caller: &Caller,
        schedule: &Schedule,
        found: Option<&Schedule>,
    ) -> Result<(), Error> {
        if caller.may_everything() {
            return Ok(());
        }
        let stays = found.filter(|it| it.plan.has_place_of(&schedule.plan));
        let before = stays.map(Schedule::own).unwrap_or_default();
        let refused = |why: String| Error::new(making(&schedule.name), Kind::Denied, why);
        if let Some((what, why)) = reaches_beyond(&schedule.own(), &before) {
            let of = match found {
                Some(_) if stays.is_none() => " of another database or store",
                _ => "",
            };
            let why = format!("{} may not say {what}{of}: {why}", caller.name);
            return Err(refused(why));
        }
        if self.opens_more_than_its_own(schedule, &before) {
            return Err(refused(format!(
                "{} may not say encryption.recipients: the password hashes of the whole server are in this schedule's backups, and would be read with that key",
                caller.name
            )));
        }
        Ok(())
    }

    /// Whether a key is new that opens what the administrator has put into the backups of the whole server.
    fn opens_more_than_its_own(&self, schedule: &Schedule, before: &Options) -> bool {
        let recipients = schedule.own().encryption.recipients;
        let globals = self.workers.backup(schedule).globals;
        recipients.is_some()
            && recipients != before.encryption.recipients
            && globals.globals
            && globals.globals_passwords != Passwords::None
    }

    /// Under which keys the dumps of a database lie for a call that names no schedule: as those schedules have
    /// it that put this very database into this store as plain SQL, by its name or in a list, where they agree;
    /// else as the administrator has it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] while they are not known yet: other backups would be found than there are.
    pub(super) async fn layout_for(
        &self,
        source: &BackupSource,
        store: &Store,
    ) -> Result<OwnLayout, Error> {
        self.known(Things::Schedules).await?;
        let is_its = |it: &Schedule| {
            !it.is_of_an_object()
                && it.plan.one(source).is_some()
                && it.plan.store.place() == store.place()
                && (!it.own().layout.is_none() || self.workers.makes_plain_sql(it))
        };
        let found = self
            .ledger
            .overviews(Timestamp::now(), None, usize::MAX, is_its);
        let mut layouts = found.into_iter().map(|it| it.schedule.own().layout);
        let first = layouts.next().unwrap_or_default();
        Ok(if layouts.all(|it| it == first) {
            first
        } else {
            OwnLayout::default()
        })
    }

    /// Another schedule that may have a database of the same name in the same store: single objects lie under
    /// the name alone.
    fn with_objects_of(&self, schedule: &Schedule) -> Option<Schedule> {
        let plan = &schedule.plan;
        let is_other = |it: &Schedule| {
            it.name != schedule.name
                && it.plan.may_share_a_name(plan)
                && it.plan.store.place() == plan.store.place()
        };
        let others = self.ledger.overviews(Timestamp::now(), None, 1, is_other);
        others.into_iter().next().map(|it| it.schedule)
    }

    /// What is found no more, where the keys of dumps change. Those under our own keys always are.
    pub(super) fn left_behind(
        &self,
        schedule: &Schedule,
        found: Option<&Schedule>,
    ) -> Option<String> {
        let before = found?;
        let keys = |it: &Schedule| self.workers.keys_of(it);
        let (now, old) = (keys(schedule), keys(before));
        (old.key_template.is_some() && now != old).then(|| {
            "dumps under the keys that the schedule had before stay in the store, and are neither listed, restored nor removed before a schedule has those keys again (format.key_template, format.cluster_name)".to_owned()
        })
    }
}

/// What of it reaches beyond the database that the caller is let to, and why. What was there already is
/// not said by this caller.
fn reaches_beyond(own: &Options, before: &Options) -> Option<(&'static str, &'static str)> {
    if own.layout != before.layout && !own.layout.is_none() {
        let why = "a dump without a manifest does not say of which server it is";
        return Some(("format.key_template and format.cluster_name", why));
    }
    if own.judge_objects() && !before.judge_objects() {
        let why = "nothing in single objects says of which server they are";
        return Some(("retention.objects", why));
    }
    if own.globals != before.globals && own.globals != OwnGlobals::default() {
        return Some(("globals", "roles are the whole server's"));
    }
    None
}
