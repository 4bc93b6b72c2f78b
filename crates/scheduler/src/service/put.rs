//! A schedule as our own calls and the administrator's file ask for it.

use std::time::Duration;

use backuper::selection::written;
use jiff::Timestamp;

use super::ledger::Overview;
use super::proving::Proving;
use super::{Checks, Service, checks, declared, judged, may, secrets};
use crate::domain::callers::{Caller, Verb};
use crate::domain::credential::Credential;
use crate::domain::drilled::Verification;
use crate::domain::labels::{BACKUP, Labels};
use crate::domain::name::Name;
use crate::domain::options::Options;
use crate::domain::protection::{History, Protection};
use crate::domain::run::Component;
use crate::domain::schedule::{Plan, Schedule, TURNS};
use crate::domain::store::Keys;
use crate::engine::change::Things;
use crate::engine::{self, Error, Kind, Put, Whose};

/// How long an answer waits for the index to know what was put.
const HEARD: Duration = Duration::from_secs(2);
/// What is found where a Secret has the credentials.
const ONLY_PODS: &str = "the database and the store were not tried: only the workers' pods can read the credentials; doctor asks one of them";

/// What is found where nothing is looked for.
const NOTHING_TRIED: &str = "the database and the store were not tried, as the call or CHECK_REQUESTS says; doctor tries them";

/// A schedule that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name; none: that of the schedule which its database, store and times have.
    pub name: Option<Name>,
    /// What it is. Credentials that are not given stay as they are.
    pub plan: Plan,
    /// Its labels.
    pub labels: Labels,
    /// What it has of its own beside the administrator's settings.
    pub options: Options,
    /// How its backups are proved at times of their own; none: they are not.
    pub verify: Option<Proving>,
    /// Whether nothing is to be made.
    pub validate_only: bool,
}

/// A schedule that was put, or that would be.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was done.
    pub put: Put,
    /// How it is now.
    pub overview: Overview,
    /// A sentence for each thing that was found out, or that should be thought about.
    pub findings: Vec<String>,
}

impl Service {
    /// Makes a schedule what is asked for, in everything.
    ///
    /// # Errors
    /// [`Kind::Precondition`] with the worker's sentence when its backups would surely fail, or when the
    /// administrator's file declares it; [`Kind::Denied`], and what the engine could not do.
    pub async fn put(
        &self,
        caller: &Caller,
        wanted: Wanted,
        checks: Checks,
    ) -> Result<Answer, Error> {
        let Plan { source, store, .. } = &wanted.plan;
        self.may_name_references(caller, Some(&source.password), Some(&store.keys))?;
        let of_drills = wanted.verify.as_ref().map(|it| &it.server.password);
        self.may_name_references(caller, of_drills, None)?;
        Box::pin(self.put_as(caller, wanted, checks, false)).await
    }

    pub(super) async fn put_as(
        &self,
        caller: &Caller,
        wanted: Wanted,
        checks: Checks,
        is_declared: bool,
    ) -> Result<Answer, Error> {
        let Wanted {
            name,
            mut plan,
            labels,
            mut options,
            verify,
            validate_only,
        } = wanted;
        may(caller, Verb::Backup, &plan.source.place())?;
        self.known(Things::Schedules).await?;
        let is_of_an_object = labels.contains_key(BACKUP);
        let of_plan = self.ledger.schedule_of(&plan);
        let of_plan = of_plan.filter(|_| !is_of_an_object);
        let name = name
            .or_else(|| of_plan.as_ref().map(|it| it.name.clone()))
            .unwrap_or_else(|| plan.name(0));
        let found = self.engine.schedule(&name).await?;
        let is_its_owners = is_declared || is_of_an_object;
        self.may_change(caller, &name, found.as_ref(), is_its_owners)?;
        is_for_all(&name, &plan, found.is_some())?;
        // One that is declared no more goes in its turn.
        let is_other = |it: &Schedule| it.name != name && !(is_declared && it.declared);
        if let Some(other) = of_plan.filter(is_other) {
            let why = format!(
                "schedule {} backs this database up into this store at these times already",
                other.name
            );
            return Err(Error::new(making(&name), Kind::Precondition, why));
        }
        plan = plan.as_kept(found.as_ref().map(|it| &it.plan));
        if let Some(found) = found.as_ref().filter(|_| is_declared) {
            declared::is_its_own(found, &plan)?;
        }
        options.verify = self
            .proving(caller, &name, (&plan, found.as_ref()), verify)
            .await?;
        keep_credentials(&mut plan, found.as_ref());
        has_its_password(&name, &plan, found.as_ref())?;
        let named = (&plan.source, &plan.store, plan.core.as_ref());
        self.permit(caller, Verb::Backup, named).await?;
        self.engine.permit(Component::Backup, &plan.store)?;
        let mut schedule = self.named(name, plan);
        schedule.labels = Some(labels);
        schedule.options = Some(options);
        schedule.declared = is_declared;
        self.may_have(caller, &schedule, found.as_ref())?;
        let mut findings = self.found_of(&schedule, checks).await?;
        findings.extend(self.left_behind(&schedule, found.as_ref()));
        findings.extend(too_short(&schedule));
        let put = if validate_only {
            would_do(&schedule, found.as_ref())?
        } else {
            let whose = found.as_ref().map_or(Whose::Nobodys, |it| {
                Whose::OfDatabase(it.plan.source.place())
            });
            let put = self.engine.put(&schedule, whose).await?;
            tell(&schedule, &put);
            put
        };
        findings.extend(only_credentials(&put, &schedule));
        let overview = self.overview_of(&schedule, validate_only).await;
        Ok(Answer {
            put,
            overview,
            findings,
        })
    }

    /// A Secret is the administrator's: who calls may name those that are listed.
    pub(super) fn may_name_references(
        &self,
        caller: &Caller,
        password: Option<&Credential>,
        keys: Option<&Credential<Keys>>,
    ) -> Result<(), Error> {
        let password = password.and_then(Credential::reference);
        let named = [password, keys.and_then(Credential::reference)];
        for secret in named.into_iter().flatten().map(|it| &it.secret) {
            if !caller.may_everything() {
                let why = format!("{} may name no Secret", caller.name);
                return Err(Error::new("use what the call names", Kind::Denied, why));
            }
            let permitted = self.places().permit_secret(secret);
            permitted.map_err(super::not_permitted)?;
        }
        Ok(())
    }

    fn may_change(
        &self,
        caller: &Caller,
        name: &Name,
        found: Option<&Schedule>,
        declared: bool,
    ) -> Result<(), Error> {
        let Some(found) = found else {
            return Ok(());
        };
        let place = found.plan.source.place();
        // Who may not see it hears no more than that the name is taken.
        if may(caller, Verb::View, &place).is_err() {
            let why = "the name is another schedule's; give another one";
            return Err(Error::new(making(name), Kind::Occupied, why));
        }
        may(caller, Verb::Update, &place)?;
        if declared {
            Ok(())
        } else {
            self.is_free(found)
        }
    }

    /// What can be found out of a schedule's places, in a sentence.
    async fn found_of(&self, schedule: &Schedule, checks: Checks) -> Result<Vec<String>, Error> {
        let Checks::On(disk) = checks else {
            return Ok(vec![NOTHING_TRIED.to_owned()]);
        };
        let Some(schedule) = self.at_hand(schedule).await? else {
            return Ok(vec![ONLY_PODS.to_owned()]);
        };
        let outcome = checks::backup(&self.workers.backup(&schedule), disk).await;
        let judged = judged("schedule backups", &schedule.plan.source, outcome)?;
        Ok(vec![match judged {
            Ok(checks::Database {
                several: Some(names),
                ..
            }) => format!(
                "{} databases are meant now: {}; whether {} may read each of them shows when they are backed up",
                names.len(),
                listed(&names),
                schedule.plan.source.user
            ),
            Ok(checks::Database {
                major,
                several: None,
            }) => format!(
                "PostgreSQL {major} lets {} read all of the database, and the store can be listed",
                schedule.plan.source.user
            ),
            Err(why) => format!("not tried: {why}"),
        }])
    }

    /// With what is kept of its credentials; none where that cannot be read from here.
    async fn at_hand(&self, schedule: &Schedule) -> Result<Option<Schedule>, Error> {
        let mut schedule = schedule.clone();
        let Plan { source, store, .. } = &mut schedule.plan;
        if source.password.reference().is_some() || store.keys.reference().is_some() {
            return Ok(None);
        }
        if !source.password.is_kept() && !store.keys.is_kept() {
            return Ok(Some(schedule));
        }
        let Some(secrets) = self.engine.secrets(&schedule.name).await? else {
            return Ok(None);
        };
        let password = Some(&mut source.password).filter(|it| it.is_kept());
        let password = password.map(|it| ("DB_PASSWORD", it));
        let store = Some(store).filter(|it| it.keys.is_kept());
        secrets::fill(password, store, secrets);
        Ok(Some(schedule))
    }

    /// The schedule as the index has it, once it has heard of it.
    async fn overview_of(&self, schedule: &Schedule, validate_only: bool) -> Overview {
        let mut changed = self.ledger.changed();
        let heard = async {
            loop {
                let known = self.ledger.overview(&schedule.name, Timestamp::now());
                let is_it = |it: &Overview| schedule.changes_from(&it.schedule).is_empty();
                if let Some(known) = known.filter(is_it) {
                    return Some(known);
                }
                changed.changed().await.ok()?;
            }
        };
        let waited = if validate_only {
            None
        } else {
            tokio::time::timeout(HEARD, heard).await.ok().flatten()
        };
        waited.unwrap_or_else(|| unheard_of(schedule.clone()))
    }
}

/// What a new login has no password for may be meant so, or forgotten: a schedule that had one does not
/// lose it unsaid.
fn has_its_password(name: &Name, plan: &Plan, found: Option<&Schedule>) -> Result<(), Error> {
    let had_one = found.is_some_and(|it| it.plan.source.password.is_given());
    if !had_one || plan.source.password.is_given() {
        return Ok(());
    }
    let why = format!(
        "the password that is kept is for another login, and none is given for {} at {}; give it, or delete the schedule and make it anew if none is needed",
        plan.source.user,
        plan.source.place()
    );
    Err(Error::new(
        format!("change schedule {name}"),
        Kind::Precondition,
        why,
    ))
}

/// Names that are made of a place are for that place: whoever took them all for others would keep its
/// schedule from being made.
fn is_for_all(name: &Name, plan: &Plan, is_there: bool) -> Result<(), Error> {
    let is_its = |turn| plan.name(turn) == *name || plan.further_name(turn) == *name;
    if is_there || !name.is_derived() || (0..=TURNS).any(is_its) {
        return Ok(());
    }
    let why = "names such as backup-0a1b2c3d-postgres are made by the adapter; give it another one";
    Err(Error::new(making(name), Kind::Invalid, why))
}

/// One of which nothing is known but what it is.
fn unheard_of(schedule: Schedule) -> Overview {
    let (now, cron) = (Timestamp::now(), &schedule.plan.cron);
    let protection = Protection {
        schedule: schedule.name.to_string(),
        database: schedule.plan.source.place(),
        created: now,
        suspended: false,
        next: cron.next_after(now),
        interval: cron.longest_interval(),
        history: History::default(),
    };
    Overview {
        schedule,
        protection,
        verification: Verification::default(),
    }
}

/// What writing it would do.
fn would_do(schedule: &Schedule, found: Option<&Schedule>) -> Result<Put, Error> {
    let schedule = schedule.clone().in_place_of(found);
    if schedule.kept_of(found).is_none() {
        return Err(engine::nothing_kept(&schedule.name));
    }
    Ok(Put::of(&schedule, found))
}

/// What is not given stays as it was, for the same login and the same bucket.
fn keep_credentials(plan: &mut Plan, found: Option<&Schedule>) {
    let Some(Plan { source, store, .. }) = found.map(|it| &it.plan) else {
        return;
    };
    if !plan.source.password.is_given() && source.has_login_of(&plan.source) {
        plan.source.password = source.password.clone();
    }
    if !plan.store.keys.is_given() && store.place == plan.store.place {
        plan.store = store.clone();
    }
}

/// So many of them that a sentence can be read.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).map(|it| written(it));
    let mut shown = shown.collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        shown.push_str(", …");
    }
    shown
}

fn tell(schedule: &Schedule, put: &Put) {
    let (name, database) = (&schedule.name, schedule.plan.source.place());
    if *put == Put::Unchanged {
        tracing::debug!(schedule = %name, %database, "it is as it was put");
    } else {
        tracing::info!(schedule = %name, %database, done = %put, "put");
    }
}

/// Said where nothing else was done.
fn only_credentials(put: &Put, schedule: &Schedule) -> Option<String> {
    (*put == Put::Unchanged && schedule.has_at_hand()).then(|| {
        "nothing else has changed, and the credentials are now those that were given".to_owned()
    })
}

fn too_short(schedule: &Schedule) -> Option<String> {
    let history = schedule.short_history()?;
    Some(format!(
        "no backup that is kept is older than {history:#}: what nobody notices before is in all of them"
    ))
}

pub(super) fn making(name: &Name) -> String {
    format!("make schedule {name}")
}
