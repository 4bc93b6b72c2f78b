//! Restores: to start them.

use backuper::catalog::Revision;
use jiff::Timestamp;
use secrecy::SecretString;

use super::checks;
use super::{Checks, Service, judged, may};
use crate::domain::callers::{Caller, Verb};
use crate::domain::credential::Credential;
use crate::domain::database::Database;
use crate::domain::name::Name;
use crate::domain::restore::{Lent, Restore};
use crate::domain::run::Component;
use crate::domain::store::Keys;
use crate::engine::{Error, Started, StartedBy};

/// A restore that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreAnswer {
    /// The run.
    pub started: Started,
    /// The backup that comes back, where that could be found out.
    pub backup: Option<checks::Backup>,
}

/// A restore of a schedule's backup.
#[derive(Clone, Debug)]
pub struct OfSchedule {
    /// The schedule.
    pub schedule: Name,
    /// Which of its backups.
    pub revision: Revision,
    /// Where to, as far as that is not the schedule's own database.
    pub target: Elsewhere,
    /// What the caller calls this request; empty: nothing.
    pub request_id: String,
    /// Whether nothing is to be restored.
    pub validate_only: bool,
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
    /// The role's password.
    pub password: Option<SecretString>,
}

/// A restore of a schedule's backup that was asked for.
#[derive(Clone, Debug)]
pub struct OfScheduleAnswer {
    /// The run; none where nothing was to be restored.
    pub started: Option<Started>,
    /// The database that is restored into, `host:port/dbname`.
    pub database: String,
    /// The backup that comes back, or why that was not found out.
    pub backup: Result<checks::Backup, String>,
}

impl Service {
    /// Restores a backup of a schedule with the credentials that the schedule has.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where there is no schedule that the caller may see, and as
    /// [`Self::restore`] has them.
    pub async fn restore_of_schedule(
        &self,
        caller: &Caller,
        wanted: OfSchedule,
        checks: Checks,
        now: Timestamp,
    ) -> Result<OfScheduleAnswer, Error> {
        let OfSchedule {
            schedule,
            revision,
            target,
            request_id,
            validate_only,
        } = wanted;
        let plan = self.overview(caller, &schedule).await?.schedule.plan;
        // Otherwise whoever owns a database could read another's in it.
        may(caller, Verb::Restore, &plan.source.place())?;
        let (target, password) = target.beside(&plan.source);
        let mut restore = Restore {
            // Its own backups and nobody else's, whatever server is there by now.
            source: Some(plan.source.place()),
            target,
            store: plan.store,
            revision,
            core: None,
            request_id,
            as_of: None,
            begin_by: None,
            lent: Some(Lent {
                by: schedule,
                password,
            }),
        };
        self.allow(caller, &restore).await?;
        self.timed(&mut restore, now);
        let mut backup = self.found(&restore, checks).await?;
        let database = restore.target.place();
        let started = if validate_only {
            None
        } else {
            let started = self.begin(&restore).await?;
            if started.by != StartedBy::ThisCall {
                backup = Err("an earlier call has begun it".to_owned());
            }
            self.ledger.has_heard_of(&started.name).await;
            Some(started)
        };
        Ok(OfScheduleAnswer {
            started,
            database,
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
        self.allow(caller, &restore).await?;
        self.timed(&mut restore, now);
        let backup = self.found(&restore, checks).await?.ok();
        let started = self.begin(&restore).await?;
        Ok(RestoreAnswer { started, backup })
    }

    async fn allow(&self, caller: &Caller, restore: &Restore) -> Result<(), Error> {
        let named = (&restore.target, &restore.store, restore.core.as_ref());
        self.permit(caller, Verb::Restore, named).await?;
        self.engine.permit(Component::Restore, &restore.store)
    }

    /// A count means what it meant when it was asked for; backups made since are not counted.
    fn timed(&self, restore: &mut Restore, now: Timestamp) {
        restore.as_of = matches!(restore.revision, Revision::Count(_)).then_some(now);
        restore.begin_by = self.begin_by(now);
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
            let why = "only the restore's own pod can read what the schedule lends it";
            return Ok(Err(why.to_owned()));
        };
        let outcome = checks::restore(&self.workers.restore(&restore), disk).await;
        judged("start a restore", &restore.target, outcome)
    }

    /// With the secrets that a schedule lends it; none where they cannot be read.
    async fn with_secrets(&self, restore: &Restore) -> Result<Option<Restore>, Error> {
        let mut restore = restore.clone();
        let Some(lent) = restore.lent.clone() else {
            return Ok(Some(restore));
        };
        let Some(mut secrets) = self.engine.secrets(&lent.by).await? else {
            return Ok(None);
        };
        let mut secret = |name: &str| secrets.remove(name).unwrap_or_default();
        if lent.password {
            restore.target.password = Credential::Inline(Some(secret("DB_PASSWORD")));
        }
        if restore.store.keys.is_given() {
            restore.store.keys = Credential::Inline(Some(Keys {
                access: secret("S3_ACCESS_KEY"),
                secret: secret("S3_SECRET_KEY"),
            }));
        }
        Ok(Some(restore))
    }

    async fn begin(&self, restore: &Restore) -> Result<Started, Error> {
        let started = self.engine.start(restore).await?;
        let database = restore.target.place();
        tracing::info!(run = %started.name, %database, by = started.by.word(), "restoring");
        Ok(started)
    }

    /// By when a restore that is asked for now must have begun.
    fn begin_by(&self, now: Timestamp) -> Option<Timestamp> {
        let within = self.workers.settings.restore_begin_within;
        let limited = !within.is_zero();
        limited.then(|| now.saturating_add(within).unwrap_or(Timestamp::MAX))
    }
}

impl Elsewhere {
    /// The target that is meant beside a schedule's own database, and whether that one's password is
    /// lent: it is for no other server and no other role.
    fn beside(self, own: &Database) -> (Database, bool) {
        let Self {
            host,
            port,
            name,
            user,
            password,
        } = self;
        let mut target = Database {
            host: host.unwrap_or_else(|| own.host.clone()),
            port: port.unwrap_or(own.port),
            name: name.unwrap_or_else(|| own.name.clone()),
            user: user.unwrap_or_else(|| own.user.clone()),
            password: Credential::from(password),
        };
        let login = |it: &Database| (it.host.clone(), it.port, it.user.clone());
        let is_lent =
            !target.password.is_given() && own.password.is_given() && login(&target) == login(own);
        if is_lent {
            target.password = Credential::Inline(None);
        }
        (target, is_lent)
    }
}
