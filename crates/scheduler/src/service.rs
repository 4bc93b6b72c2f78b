//! The use cases, in the domain's words, over whichever engine there is.

pub mod checks;

use std::path::PathBuf;
use std::sync::Arc;

use backuper::catalog::Revision;
use backuper::job::store::StoreSettings;
use backuper::job::{BackupJob, DatabaseSettings, ReportingSettings};
use backuper::report::CoreAddress;
use jiff::Timestamp;
use restorer::job::RestoreJob;

use crate::domain::access::Places;
use crate::domain::callers::{Caller, Verb};
use crate::domain::name::Name;
use crate::domain::plan::{Login, Plan, Store};
use crate::domain::run::Restoration;
use crate::engine::{Engine, Error, Kind, Restore, Running, Schedule};
use crate::workers::WorkerSettings;

/// How many names are tried where Updates have given some to other databases.
const TURNS: u8 = 8;

/// What the scheduler can be asked for.
#[derive(Clone, Debug)]
pub struct Service {
    engine: Arc<dyn Engine>,
    workers: WorkerSettings,
    places: Places,
}

impl Service {
    /// The use cases over an engine; `workers` is what its workers are told beside a request, and
    /// `places` what requests may name.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, workers: WorkerSettings, places: Places) -> Self {
        Self {
            engine,
            workers,
            places,
        }
    }

    /// Whether this caller may do this, with what the request names.
    fn permit(
        &self,
        caller: &Caller,
        verb: Verb,
        login: &Login,
        store: &Store,
    ) -> Result<(), Error> {
        may(caller, verb, &login.place())?;
        let permitted = self.places.permit(login, store);
        permitted.map_err(|why| Error::new("use what the request names", Kind::Denied, why))
    }

    /// The namespace that holds what is made.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.engine.namespace()
    }

    /// Whether calls can be served now.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), Error> {
        self.engine.ready().await
    }

    /// Makes the one schedule of a plan's database and bucket what the plan says.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn back_up(&self, caller: &Caller, plan: &Plan) -> Result<Name, Error> {
        self.permit(caller, Verb::Backup, &plan.source, &plan.store)?;
        let mut turn = 0;
        loop {
            let name = plan.name(turn);
            match self.engine.ensure(&self.schedule(&name, plan)).await {
                Ok(()) => {
                    tracing::info!(plan = %name, database = %plan.source.place(), "scheduled");
                    return Ok(name);
                }
                Err(error) if error.kind() == Kind::Occupied && turn < TURNS => turn += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes an existing schedule what the plan says, in everything.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn change(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &Name,
        plan: &Plan,
    ) -> Result<(), Error> {
        self.permit(caller, Verb::Update, &plan.source, &plan.store)?;
        // Names can be guessed: whose schedule it is says the schedule.
        if !caller.may_everything() {
            let found = self.engine.database_of(name.as_str()).await?;
            let database = found.ok_or_else(|| {
                let why = "there is none whose database is known";
                Error::new(format!("change schedule {name}"), Kind::NotFound, why)
            })?;
            may(caller, Verb::Update, &database)?;
        }
        let schedule = self.schedule(name, plan);
        self.engine.update(namespace, &schedule).await?;
        tracing::info!(plan = %name, database = %plan.source.place(), "changed");
        Ok(())
    }

    /// Starts a restore as of now, or finds the same one under way.
    ///
    /// # Errors
    /// What the engine could not do.
    pub async fn bring_back(
        &self,
        caller: &Caller,
        restoration: &Restoration,
        now: Timestamp,
    ) -> Result<Running, Error> {
        let Restoration {
            target,
            store,
            revision,
            core,
        } = restoration;
        self.permit(caller, Verb::Restore, target, store)?;
        // A count means what it meant when it was asked for; backups made since are not counted.
        let as_of = matches!(revision, Revision::Count(_)).then_some(now);
        let job = RestoreJob {
            database: self.database(target),
            store: self.store(store),
            revision: revision.clone(),
            as_of,
            begin_by: self.begin_by(now),
            jobs: self.workers.restore_jobs,
            lock_wait_timeout: self.workers.lock_wait_timeout,
            owners: self.workers.restore_owners,
            keep_going: self.workers.restore_keep_going,
            reporting: self.reporting(core.as_ref()),
        };
        let restore = Restore {
            database: target.place_hash(),
            vars: job.to_env(),
        };
        let running = self.engine.restore(&restore).await?;
        tracing::info!(run = %running.name, database = %target.place(), adopted = running.adopted, "restoring");
        Ok(running)
    }

    /// By when a restore that is asked for now must have begun.
    fn begin_by(&self, now: Timestamp) -> Option<Timestamp> {
        let within = self.workers.restore_begin_within;
        let limited = !within.is_zero();
        limited.then(|| now.saturating_add(within).unwrap_or(Timestamp::MAX))
    }

    fn schedule(&self, name: &Name, plan: &Plan) -> Schedule {
        let Plan {
            source,
            store,
            core,
            cron,
            keep,
        } = plan;
        let job = BackupJob {
            database: self.database(source),
            store: self.store(store),
            jobs: self.workers.backup_jobs,
            compression_level: self.workers.compression_level,
            max_backup_count: *keep,
            lock_wait_timeout: self.workers.lock_wait_timeout,
            reporting: self.reporting(core.as_ref()),
        };
        Schedule {
            name: name.to_string(),
            cron: cron.to_string(),
            vars: job.to_env(),
        }
    }

    fn database(&self, login: &Login) -> DatabaseSettings {
        let Login {
            host,
            port,
            user,
            password,
            database,
        } = login.clone();
        let shown = self.places.shows_certificate_to(&host);
        let shown = |it: &Option<PathBuf>| it.clone().filter(|_| shown);
        DatabaseSettings {
            host,
            port,
            user,
            password,
            name: database,
            sslmode: self.workers.sslmode,
            sslrootcert: self.workers.sslrootcert.clone(),
            sslcert: shown(&self.workers.sslcert),
            sslkey: shown(&self.workers.sslkey),
            programs: self.workers.programs.clone(),
        }
    }

    fn store(&self, store: &Store) -> StoreSettings {
        let Store {
            endpoint,
            bucket,
            access_key,
            secret_key,
        } = store.clone();
        StoreSettings {
            endpoint,
            bucket,
            access_key,
            secret_key,
            session_token: None,
            region: self.workers.region.clone(),
            ca_file: self.workers.ca_file.clone(),
            force_path_style: self.workers.force_path_style,
            secure: self.workers.secure,
        }
    }

    fn reporting(&self, core: Option<&CoreAddress>) -> ReportingSettings {
        ReportingSettings {
            core_addr: core.cloned(),
            pushgateway_url: self.workers.pushgateway_url.clone(),
            log_format: self.workers.log_format,
            termination_message_path: "/dev/termination-log".into(),
        }
    }
}

fn may(caller: &Caller, verb: Verb, place: &str) -> Result<(), Error> {
    let may = caller.may(verb, place);
    may.map_err(|why| Error::new("do what the call asks for", Kind::Denied, why))
}
