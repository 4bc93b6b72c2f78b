//! What workers are told: of a request, and beside it what the administrator has set.

mod options;
mod settings;
mod stores;

use std::path::PathBuf;

use backuper::job::store::StoreSettings;
use backuper::job::{
    BackupJob, BackupSource, CheckJob, ConnectionSettings, DatabaseSettings, DeleteJob, ListJob,
    PinJob, PreviewJob, ReportingSettings, ShowJob, Value, Var,
};
use backuper::report::CoreAddress;
use restorer::job::{IdentitySettings, Mode, RestoreJob};

pub use settings::{IDENTITY, WorkerSettings};
pub use stores::{DefaultStore, usual_keys};

use crate::domain::access::Places;
use crate::domain::credential::Credential;
use crate::domain::database::Database;
use crate::domain::drills;
use crate::domain::options::Options;
use crate::domain::question::{Given, Task};
use crate::domain::restore::{Drill, Restore, Wishes};
use crate::domain::schedule::Schedule;

/// Makes workers' settings of requests. A secret that is not at hand becomes an empty one: its
/// variable is there, and whoever keeps the secret puts it in.
#[derive(Clone, Debug)]
pub struct Workers {
    /// What the administrator has set.
    pub settings: WorkerSettings,
    /// Which places are lent the workers' own credentials.
    pub places: Places,
}

impl Workers {
    /// What a backuper is told.
    #[must_use]
    pub fn backup(&self, schedule: &Schedule) -> BackupJob {
        let plan = &schedule.plan;
        let settings = &self.settings;
        let own = schedule.own();
        BackupJob {
            database: DatabaseSettings {
                name: plan.databases(),
                ..self.database(&plan.source)
            },
            several: settings.several.clone(),
            store: self.store(&plan.store),
            object_tags: own.tags.clone(),
            layout: self.layout(&own.layout),
            format: self.format(&own.format),
            filters: own.filters.0.clone(),
            jobs: own.jobs.or(settings.backup_jobs),
            rows: settings.backup_rows,
            split: settings.backup_split_tables,
            copy_format: settings.backup_copy_format,
            compression_level: self.compression_level(&own.format),
            retention: self.retention(schedule),
            schedule: schedule.counted_as(),
            lock_wait_timeout: settings.lock_wait_timeout,
            encryption: self.encryption(&own.encryption),
            globals: self.globals(&own.globals),
            copy: settings.copy.clone(),
            reporting: self.reporting(plan.core.as_ref()),
        }
    }

    /// What of a schedule is kept: what its backuper is told, and what is secret of its drills.
    #[must_use]
    pub fn kept(&self, schedule: &Schedule) -> Vec<Var> {
        let mut vars = self.backup(schedule).to_env();
        if let Some(Credential::Inline(password)) = schedule.drills_password() {
            let password = password.clone().unwrap_or_default();
            vars.push(Var::secret(drills::PASSWORD, &password));
        }
        vars
    }

    /// What a restorer is told.
    #[must_use]
    pub fn restore(&self, restore: &Restore) -> RestoreJob {
        let Restore {
            target,
            store,
            revision,
            identity,
            core,
            request_id: _,
            as_of,
            begin_by,
            source,
            // Whoever keeps the schedule's secrets puts them in.
            lent: _,
            wishes,
            layout,
            drill,
            ttl: _,
        } = restore;
        let Wishes {
            mode,
            owners,
            keep_going,
            roles,
        } = wishes;
        RestoreJob {
            database: self.database(target),
            store: self.store(store),
            layout: self.layout(layout),
            revision: revision.clone(),
            // It is a place of ours.
            source: source.as_ref().and_then(|it| it.parse().ok()),
            as_of: *as_of,
            begin_by: *begin_by,
            jobs: self.settings.restore_jobs,
            lock_wait_timeout: self.settings.lock_wait_timeout,
            owners: owners.unwrap_or(self.settings.restore_owners),
            roles: roles.unwrap_or(self.settings.restore_roles),
            keep_going: keep_going.unwrap_or(self.settings.restore_keep_going),
            copy_format: self.settings.restore_copy_format,
            mode: match mode {
                Mode::Auto if drill.is_none() => self.settings.restore_mode,
                asked => *asked,
            },
            keep_old: self.settings.keep_old,
            drill: drill.is_some(),
            drill_sql: drill.as_ref().and_then(Drill::question),
            identity: self.identity(identity),
            reporting: self.reporting(core.as_ref()),
        }
    }

    /// What a backuper is told that answers a question; none where that is about one database's backups,
    /// and none is named.
    #[must_use]
    pub fn question(&self, task: &Task, given: &Given) -> Option<Vec<Var>> {
        let Given {
            source,
            several,
            database,
            store,
            options,
        } = given;
        if *several && *task != Task::List {
            return None;
        }
        let layout = self.layout(&options.layout);
        let store = match store {
            Some(store) => self.store(store),
            // A worker that needs one says so itself.
            None => self.no_store(),
        };
        let reporting = self.quiet();
        Some(match task {
            Task::List => ListJob {
                source: source.clone(),
                several: *several,
                store,
                layout,
                reporting,
            }
            .to_env(),
            Task::Show { key } => ShowJob {
                source: source.clone()?,
                key: key.clone(),
                store,
                layout,
                reporting,
            }
            .to_env(),
            Task::Delete {
                key,
                last,
                validate_only,
            } => DeleteJob {
                source: source.clone()?,
                key: key.clone(),
                last: *last,
                validate_only: *validate_only,
                store,
                layout,
                reporting,
            }
            .to_env(),
            Task::Pin { key } => self.pin(source.clone()?, key, store, options).pin_env(),
            Task::Unpin { key } => self.pin(source.clone()?, key, store, options).unpin_env(),
            Task::Retention { schedule, rules } => PreviewJob {
                source: source.clone()?,
                schedule: schedule.clone(),
                retention: rules.as_ref().clone(),
                store,
                layout,
                reporting,
            }
            .to_env(),
            Task::Check => self.check(database.as_ref(), store, options).to_env(),
        })
    }

    fn pin(&self, source: BackupSource, key: &str, store: StoreSettings, own: &Options) -> PinJob {
        PinJob {
            source,
            key: key.to_owned(),
            store,
            layout: self.layout(&own.layout),
            reporting: self.quiet(),
        }
    }

    fn check(&self, database: Option<&Database>, store: StoreSettings, own: &Options) -> CheckJob {
        CheckJob {
            source: database.and_then(Database::as_source),
            user: database.map(|it| it.user.clone()),
            connection: self.connection(database),
            store,
            layout: self.layout(&own.layout),
            jobs: own.jobs.or(self.settings.backup_jobs),
            reporting: self.quiet(),
        }
    }

    /// Nobody is told of an answer.
    fn quiet(&self) -> ReportingSettings {
        ReportingSettings {
            pushgateway_url: None,
            ..self.reporting(None)
        }
    }

    /// What is secret of the administrator's settings, and so of every worker.
    #[must_use]
    pub fn own_secrets(&self) -> Vec<Var> {
        let mut own = self.reporting(None).to_env();
        own.extend(self.settings.s3.to_env());
        own.extend(self.settings.copy.to_env());
        let is_secret = |it: &Var| matches!(it.value, Value::Secret(_));
        own.into_iter().filter(is_secret).collect()
    }

    fn database(&self, database: &Database) -> DatabaseSettings {
        let Database {
            host,
            port,
            name,
            user,
            password: _,
            sslmode: _,
            authorities: _,
        } = database.clone();
        DatabaseSettings {
            host,
            port,
            user,
            name,
            connection: self.connection(Some(database)),
        }
    }

    /// How a database is reached, or none in particular.
    fn connection(&self, database: Option<&Database>) -> ConnectionSettings {
        let shown = database.is_some_and(|it| self.places.shows_certificate_to(&it.host));
        let shown = |it: &Option<PathBuf>| it.clone().filter(|_| shown);
        ConnectionSettings {
            password: database.and_then(|it| at_hand(it.password.clone())),
            sslmode: database
                .and_then(|it| it.sslmode)
                .unwrap_or(self.settings.sslmode),
            sslrootcert: database
                .and_then(|it| it.authorities.clone())
                .or(self.settings.sslrootcert.clone()),
            sslcert: shown(&self.settings.sslcert),
            sslkey: shown(&self.settings.sslkey),
            programs: self.settings.programs.clone(),
        }
    }

    /// The key that was given, or else the administrator's.
    fn identity(&self, given: &Credential) -> IdentitySettings {
        let file = self.settings.age_identity_file.clone();
        IdentitySettings {
            age_identity: at_hand(given.clone()),
            age_identity_file: file.filter(|_| given.is_ambient()),
        }
    }

    fn reporting(&self, core: Option<&CoreAddress>) -> ReportingSettings {
        ReportingSettings {
            core_addr: core.cloned(),
            pushgateway_url: self.settings.pushgateway_url.clone(),
            log_format: self.settings.log_format,
            termination_message_path: "/dev/termination-log".into(),
        }
    }
}

fn at_hand<T: Default>(credential: Credential<T>) -> Option<T> {
    match credential {
        Credential::Ambient => None,
        Credential::Inline(secret) => Some(secret.unwrap_or_default()),
        // Its variable is there, and is read where the caller says.
        Credential::Reference(_) => Some(T::default()),
    }
}
