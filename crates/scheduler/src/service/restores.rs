//! Restores: to start them.

use std::time::Duration;

use backuper::catalog::Revision;
use backuper::job::BackupSource;
use jiff::Timestamp;

use super::checks;
use super::{Checks, Service, databases, judged, may, secrets};
use crate::domain::callers::{Caller, Verb};
use crate::domain::credential::Credential;
use crate::domain::database::{self, Database};
use crate::domain::name::Name;
use crate::domain::restore::{Drill, Lent, Restore, Wishes};
use crate::domain::run::Component;
use crate::domain::store::Store;
use crate::engine::{Error, Kind, Started, StartedBy};

/// A restore that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreAnswer {
    /// The run.
    pub started: Started,
    /// The backup that comes back, where that could be found out.
    pub backup: Option<checks::Backup>,
}

/// A restore that our own call asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whose backup.
    pub origin: Origin,
    /// Which one.
    pub revision: Revision,
    /// Where to, as far as that is not the schedule's own database.
    pub target: Elsewhere,
    /// The private key of an encrypted backup, or where it is.
    pub identity: Credential,
    /// How it is to be done.
    pub wishes: Wishes,
    /// How long it may wait for its beginning, zero without a limit; none: as the administrator has set
    /// it.
    pub begin_within: Option<Duration>,
    /// What the caller calls this request; empty: nothing.
    pub request_id: String,
    /// Whether nothing is to be restored.
    pub validate_only: bool,
    /// That it is a drill, on the target's server; none: it is not.
    pub drill: Option<Drill>,
}

/// Whose backup a restore takes.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A schedule's; of which of its databases, where it is of several.
    Schedule(Name, Option<BackupSource>),
    /// One in a store that the caller names, of this database.
    Store(Store, BackupSource),
}

/// What of a restore's target is not the schedule's own.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// The host.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The database's name.
    pub name: Option<String>,
    /// The role.
    pub user: Option<String>,
    /// The role's password, or where it is.
    pub password: Credential,
}

/// A restore that our own call has asked for.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The run; none where nothing was to be restored.
    pub started: Option<Started>,
    /// The database that is restored into, `host:port/dbname`.
    pub database: String,
    /// The backup that comes back, or why that was not found out.
    pub backup: Result<checks::Backup, String>,
}

impl Service {
    /// Restores a backup of a schedule with the credentials that the schedule has, or one of a store that
    /// the call names.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is no schedule that the caller may see, and as
    /// [`Self::restore`] has them.
    pub async fn restore_backup(
        &self,
        caller: &Caller,
        wanted: Wanted,
        checks: Checks,
        now: Timestamp,
    ) -> Result<Answer, Error> {
        let Wanted {
            origin,
            revision,
            target,
            identity,
            wishes,
            begin_within,
            request_id,
            validate_only,
            drill,
        } = wanted;
        self.may_name_references(caller, Some(&identity), None)?;
        may_prove(caller, drill.as_ref(), &target.password)?;
        // One that a schedule has was permitted when the schedule was made.
        let password = Some(&target.password);
        let (lender, store, source, own, layout) = match origin {
            Origin::Schedule(name, of) => {
                self.may_name_references(caller, password, None)?;
                let schedule = self.overview(caller, &name).await?.schedule;
                let (layout, plan) = (schedule.own().layout, schedule.plan);
                // Who may not see the databases of a list may not have one of them.
                may(caller, Verb::Restore, &plan.source.place())?;
                let own = databases::restored(&plan, of, &revision)?;
                (Some(name), plan.store, own.place(), Some(own), layout)
            }
            Origin::Store(store, source) => {
                self.may_name_references(caller, password, Some(&store.keys))?;
                may(caller, Verb::Restore, &source.to_string())?;
                let layout = self.layout_for(&source, &store).await?;
                (None, store, source.to_string(), None, layout)
            }
        };
        // Otherwise whoever owns a database could read another's in it.
        may(caller, Verb::Restore, &source)?;
        let is_named = target.name.is_some();
        let (target, password) = target.beside(own.as_ref())?;
        if is_named {
            is_another(&target, own.as_ref())?;
        }
        let mut restore = Restore {
            // Its own backups and nobody else's, whatever server is there by now.
            source: Some(source),
            target,
            store,
            revision,
            identity,
            core: None,
            request_id,
            as_of: None,
            begin_by: None,
            lent: lender.map(|by| Lent::by(by, password)),
            wishes,
            layout,
            drill,
            ttl: None,
        };
        self.allow(caller, &restore).await?;
        if restore.drill.is_some() {
            // Whoever may restore a database on a server may have a drill of it there, in one that is nobody's.
            restore.target.name = Drill::name(&restore.target.name);
        }
        self.give_identity(&mut restore);
        self.timed(&mut restore, begin_within, now);
        let mut backup = self.found(&restore, checks).await?;
        let started = match validate_only {
            true => None,
            false => Some(self.begun(&restore, &mut backup).await?),
        };
        Ok(Answer {
            started,
            database: restore.target.place(),
            backup,
        })
    }

    /// Starts a restore as of now, or finds the same one.
    ///
    /// # Errors
    /// [`Kind::Precondition`] with the worker's sentence when it would surely fail, and what the engine
    /// could not do.
    pub async fn restore(
        &self,
        caller: &Caller,
        mut restore: Restore,
        checks: Checks,
        now: Timestamp,
    ) -> Result<RestoreAnswer, Error> {
        may(caller, Verb::Restore, &restore.target.place())?;
        let Restore { target, store, .. } = &mut restore;
        self.place_restore(caller, target, store).await?;
        self.allow(caller, &restore).await?;
        if !caller.may_everything() {
            // Another server's backups of a database of this name are another's.
            restore.source.get_or_insert_with(|| restore.target.place());
        }
        let source = restore.source.as_deref().map(str::parse);
        let source = source.and_then(Result::ok);
        // Both are places of ours.
        if let Some(source) = source.or_else(|| restore.target.as_source()) {
            restore.layout = self.layout_for(&source, &restore.store).await?;
        }
        self.give_identity(&mut restore);
        self.timed(&mut restore, None, now);
        let backup = self.found(&restore, checks).await?.ok();
        let started = self.begin(&restore).await?;
        Ok(RestoreAnswer { started, backup })
    }

    /// Starts the restore of an object, as it is given, or finds the same one.
    ///
    /// # Errors
    /// [`Kind::Denied`], and what the engine could not do.
    pub async fn restore_for_object(
        &self,
        mut restore: Restore,
        now: Timestamp,
    ) -> Result<Started, Error> {
        self.allow(&Caller::operator(), &restore).await?;
        self.give_identity(&mut restore);
        self.timed(&mut restore, None, now);
        let started = self.begin(&restore).await?;
        self.ledger.has_heard_of(&started.name).await;
        Ok(started)
    }

    pub(super) async fn allow(&self, caller: &Caller, restore: &Restore) -> Result<(), Error> {
        let named = (&restore.target, &restore.store, restore.core.as_ref());
        self.permit(caller, Verb::Restore, named).await?;
        self.engine.permit(Component::Restore, &restore.store)
    }

    /// The administrator's Secret with the keys of encrypted backups, where the call has none of its own.
    pub(super) fn give_identity(&self, restore: &mut Restore) {
        if let Some(own) = &self.workers.settings.identity_secret
            && restore.identity.is_ambient()
        {
            restore.identity = Credential::Reference(own.clone());
        }
    }

    /// A count means what it meant when it was asked for; backups made since are not counted.
    pub(super) fn timed(&self, restore: &mut Restore, within: Option<Duration>, now: Timestamp) {
        restore.as_of = matches!(restore.revision, Revision::Count(_)).then_some(now);
        let within = within.unwrap_or(self.workers.settings.restore_begin_within);
        let by = now.saturating_add(within).unwrap_or(Timestamp::MAX);
        restore.begin_by = (!within.is_zero()).then_some(by);
    }

    /// The backup that is meant, or why that cannot be found out.
    async fn found(
        &self,
        restore: &Restore,
        checks: Checks,
    ) -> Result<Result<checks::Backup, String>, Error> {
        let Checks::On(disk) = checks else {
            return Ok(Err(
                "nothing was tried, as the call or CHECK_REQUESTS says".to_owned()
            ));
        };
        // One that is under way may be the same, and is not tried once more.
        if self.ledger.is_restoring(&restore.target.place()) {
            let why = "something is being restored into the database already";
            return Ok(Err(why.to_owned()));
        }
        let Some(restore) = self.with_secrets(restore).await? else {
            let why = "only the restore's own pod can read the credentials";
            return Ok(Err(why.to_owned()));
        };
        let outcome = checks::restore(&self.workers.restore(&restore), disk).await;
        judged("start a restore", &restore.target, outcome)
    }

    /// With the secrets that a schedule lends it; none where they cannot be read.
    async fn with_secrets(&self, restore: &Restore) -> Result<Option<Restore>, Error> {
        let mut restore = restore.clone();
        let Restore { target, store, .. } = &restore;
        if target.password.reference().is_some() || store.keys.reference().is_some() {
            return Ok(None);
        }
        let Some(lent) = restore.lent.clone() else {
            return Ok(Some(restore));
        };
        let Some(secrets) = self.engine.secrets(&lent.by).await? else {
            return Ok(None);
        };
        let Restore { target, store, .. } = &mut restore;
        let password = lent.of("DB_PASSWORD").map(|it| (it, &mut target.password));
        let store = Some(store).filter(|it| it.keys.is_given());
        secrets::fill(password, store, secrets);
        Ok(Some(restore))
    }

    /// Begins it, or finds it begun: then another backup may have been meant than the one that was found.
    async fn begun(
        &self,
        restore: &Restore,
        backup: &mut Result<checks::Backup, String>,
    ) -> Result<Started, Error> {
        let started = self.begin(restore).await?;
        if started.by != StartedBy::ThisCall {
            *backup = Err("an earlier call has begun it".to_owned());
        }
        self.ledger.has_heard_of(&started.name).await;
        Ok(started)
    }

    async fn begin(&self, restore: &Restore) -> Result<Started, Error> {
        let started = self.engine.start(restore).await?;
        let database = restore.target.place();
        tracing::info!(run = %started.name, %database, by = started.by.word(), "restoring");
        Ok(started)
    }
}

fn may_prove(caller: &Caller, drill: Option<&Drill>, password: &Credential) -> Result<(), Error> {
    may_ask_sql(caller, drill.is_some_and(Drill::asks), password)
}

/// SQL does on the server whatever its role may, in other databases too: as a role whose password the caller does
/// not have, only who may do everything asks it.
pub(super) fn may_ask_sql(caller: &Caller, asks: bool, password: &Credential) -> Result<(), Error> {
    if !asks || password.is_given() || caller.may_everything() {
        return Ok(());
    }
    let why = format!(
        "{} may ask no SQL as a role whose password it does not give; name a user and its password (--user, -W), or leave the SQL out",
        caller.name
    );
    Err(Error::new("start a restore drill", Kind::Denied, why))
}

/// Refuses what would replace a schedule's own database, and does not say that it is to.
fn is_another(target: &Database, own: Option<&Database>) -> Result<(), Error> {
    if own.is_none_or(|it| it.place() != target.place()) {
        return Ok(());
    }
    let why = "the target is the schedule's own database, whose data the backup would replace; if that is meant, say in_place (--in-place)";
    Err(Error::new("start a restore", Kind::Invalid, why))
}

impl Elsewhere {
    /// The target that is meant beside a schedule's own database, where there is one, and whether that
    /// one's password is lent: it is for no other server and no other role.
    pub(super) fn beside(self, own: Option<&Database>) -> Result<(Database, bool), Error> {
        let Self {
            host,
            port,
            name,
            user,
            password,
        } = self;
        let missing = |what| {
            let why =
                format!("the target's {what} is missing, and there is no schedule to have one");
            Error::new("start a restore", Kind::Invalid, why)
        };
        let mut target = Database {
            host: host
                .or(own.map(|it| it.host.clone()))
                .ok_or_else(|| missing("host"))?,
            port: port.or(own.map(|it| it.port)).unwrap_or(database::PORT),
            name: name
                .or(own.map(|it| it.name.clone()))
                .ok_or_else(|| missing("dbname"))?,
            user: user
                .or(own.map(|it| it.user.clone()))
                .ok_or_else(|| missing("user"))?,
            password,
            sslmode: own.and_then(|it| it.sslmode),
            authorities: own.and_then(|it| it.authorities.clone()),
        };
        let same_login = own.filter(|it| it.has_login_of(&target) && !target.password.is_given());
        if let Some(own) = same_login {
            target.password = own.password.clone();
        }
        let is_lent = same_login.is_some_and(|it| it.password.is_kept());
        Ok((target, is_lent))
    }
}
