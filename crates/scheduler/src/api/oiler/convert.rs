//! From messages to the domain's words: all that is wrong with a message is found at once.

use std::str::FromStr;

use backuper::catalog::Revision;
use backuper::job::maybe;
use backuper::retention::Retention;
use backuper::storage::Endpoint;

use crate::api::door::{Door, filled, secret};
use crate::api::proto::{BackupRequest, BackupRestore, UpdateBackupRequest};
use crate::api::status::Violation;
use crate::domain::credential::Credential;
use crate::domain::cron::Cron;
use crate::domain::database::Database;
use crate::domain::databases;
use crate::domain::name::{self, Name, Wrong};
use crate::domain::options::OwnLayout;
use crate::domain::restore::{Restore, Wishes};
use crate::domain::schedule::Plan;
use crate::domain::store::{Keys, Place, Store, Way};

/// What Update is about.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which schedule.
    pub name: Name,
    /// In which namespace the caller believes it to be.
    pub namespace: String,
    /// What it is to be.
    pub plan: Plan,
}

/// Reads a request for a schedule; `default` is the store of one that names none.
///
/// # Errors
/// All that is wrong with it.
pub fn plan(request: BackupRequest, default: Option<&Store>) -> Result<Plan, Vec<Violation>> {
    let mut door = Door::default();
    let plan = door.plan(request, default);
    door.opened(plan)
}

/// Reads a request to change a schedule, as [`plan`] reads one.
///
/// # Errors
/// All that is wrong with it.
pub fn change(
    request: UpdateBackupRequest,
    default: Option<&Store>,
) -> Result<Change, Vec<Violation>> {
    let UpdateBackupRequest {
        request,
        cronjob_name,
        cronjob_namespace,
    } = request;
    let mut door = Door::default();
    let name = door.take("cronjob_name", cronjob_name.parse());
    let namespace = door.take("cronjob_namespace", filled(&cronjob_namespace));
    let request = door.take("request", request.ok_or(Wrong("it is missing")));
    door.below("request.");
    let plan = request.and_then(|it| door.plan(it, default));
    let change = (|| {
        Some(Change {
            name: name?,
            namespace: namespace?,
            plan: plan?,
        })
    })();
    door.opened(change)
}

/// Reads a request for a restore, as [`plan`] reads one; the times that it depends on are the service's to
/// set.
///
/// # Errors
/// All that is wrong with it.
pub fn restore(request: BackupRestore, default: Option<&Store>) -> Result<Restore, Vec<Violation>> {
    let BackupRestore {
        db_uri,
        db_port,
        db_user,
        db_pass,
        db_name,
        // Whatever key an administrator chose in the core's own configuration.
        database_type: _,
        s3_endpoint,
        s3_access_key,
        s3_secret_key,
        s3_bucket_name,
        backup_revision,
        core_addr,
        request_id,
        // Not of the restore, but of the call.
        skip_checks: _,
    } = request;
    let mut door = Door::default();
    let database = door.take("db_name", name::identifier(&db_name));
    let target = door.login([db_uri, db_user, db_pass], db_port, database);
    let store = door.named_store(
        [s3_endpoint, s3_bucket_name, s3_access_key, s3_secret_key],
        default,
    );
    let core = door.take("core_addr", maybe(&core_addr));
    // A restore replaces data: which backup it takes is said, not guessed.
    let revision = match backup_revision.as_str() {
        "" => Err("it is empty; 0 or latest is the newest backup".to_owned()),
        text => Revision::from_str(text).map_err(|error| error.to_string()),
    };
    let revision = door.take("backupRevision", revision);
    let request_id = door.take("request_id", name::request_id(&request_id));
    let restore = (|| {
        Some(Restore {
            target: target?,
            store: store?,
            revision: revision?,
            // The core knows of none: it is the administrator's.
            identity: Credential::Ambient,
            core: core?,
            request_id: request_id?,
            as_of: None,
            begin_by: None,
            source: None,
            lent: None,
            wishes: Wishes::default(),
            // Nor does it know how dumps are called: the schedules do.
            layout: OwnLayout::default(),
            drill: None,
            ttl: None,
        })
    })();
    door.opened(restore)
}

impl Door {
    fn plan(&mut self, request: BackupRequest, default: Option<&Store>) -> Option<Plan> {
        let BackupRequest {
            db_uri,
            db_port,
            db_user,
            db_pass,
            db_name,
            // Whatever key an administrator chose in the core's own configuration.
            database_type: _,
            schedule,
            s3_endpoint,
            s3_access_key,
            s3_secret_key,
            s3_bucket_name,
            core_addr,
            max_backup_count,
            // Not of the schedule, but of the call.
            skip_checks: _,
        } = request;
        let databases = self.take("db_name", databases::named(&db_name));
        let (name, several) = databases.unzip();
        let source = self.login([db_uri, db_user, db_pass], db_port, name);
        let cron = self.take("schedule", Cron::in_utc(&schedule));
        let store = self.named_store(
            [s3_endpoint, s3_bucket_name, s3_access_key, s3_secret_key],
            default,
        );
        let core = self.take("core_addr", maybe(&core_addr));
        let count = u32::try_from(max_backup_count);
        let keep = count.map_err(|_out_of_range| Wrong("a count of 0 or more is needed"));
        let keep = self.take("max_backup_count", keep);
        Some(Plan {
            source: source?,
            several: several?,
            store: store?,
            core: core?,
            cron: cron?,
            keep: Retention(keep?),
        })
    }

    fn login(
        &mut self,
        [host, user, password]: [String; 3],
        port: i64,
        database: Option<String>,
    ) -> Option<Database> {
        let host = self.take("db_uri", name::host(&host));
        let port = self.take("db_port", name::port(port));
        let user = self.take("db_user", filled(&user));
        let password = self.take("db_pass", name::without_nul(&password));
        Some(Database {
            host: host?,
            port: port?,
            name: database?,
            user: user?,
            password: Credential::from(secret(password?)),
            sslmode: None,
            authorities: None,
        })
    }

    fn named_store(
        &mut self,
        [endpoint, bucket, access, secret_key]: [String; 4],
        default: Option<&Store>,
    ) -> Option<Store> {
        let names_none = endpoint.is_empty() && bucket.is_empty();
        if let Some(default) = default.filter(|_| names_none) {
            return self.default_store(default, [&access, &secret_key]);
        }
        let endpoint = self.take("s3_endpoint", maybe(&endpoint));
        let on_disk = matches!(endpoint, Some(Some(Endpoint::Directory(_))));
        let bucket = if bucket.is_empty() && !on_disk {
            self.take("s3_bucket_name", Err(Wrong("it is empty")))
        } else {
            self.take("s3_bucket_name", maybe(&bucket))
        };
        let both = "s3_access_key and s3_secret_key go together: give both or neither";
        let alone = match (access.is_empty(), secret_key.is_empty()) {
            (true, false) => Some("s3_access_key"),
            (false, true) => Some("s3_secret_key"),
            (true, true) | (false, false) => None,
        };
        if let Some(field) = alone {
            self.take::<()>(field, Err(Wrong(both)));
        }
        let access = self.take("s3_access_key", name::header(&access));
        let secret_key = self.take("s3_secret_key", name::header(&secret_key));
        let keys = secret(access?).zip(secret(secret_key?));
        let keys = keys.map(|(access, secret)| Keys(vec![access, secret]));
        let place = Place::of_server(endpoint?, bucket?)?;
        let store = Store::new(place, Way::Pair, Credential::from(keys));
        self.take("s3_access_key", store)
    }

    /// The store of calls that name none; what a call has for another one does not go there.
    fn default_store(&mut self, default: &Store, keys: [&String; 2]) -> Option<Store> {
        for (field, key) in ["s3_access_key", "s3_secret_key"].into_iter().zip(keys) {
            if !key.is_empty() {
                let why = "no bucket is named, so the store is the administrator's, and so are its credentials: name the bucket, or leave this out";
                self.take::<()>(field, Err(Wrong(why)));
            }
        }
        Some(default.clone())
    }
}
