//! Messages that are right, to be made wrong one field at a time.

use scheduler::api::proto::{BackupRequest, BackupRestore, UpdateBackupRequest};

use super::recording::HERE;

/// A right one.
pub(crate) fn backup() -> BackupRequest {
    BackupRequest {
        db_uri: "db.example".to_owned(),
        db_port: 5432,
        db_user: "me".to_owned(),
        db_pass: "hunter2".to_owned(),
        db_name: "shop".to_owned(),
        database_type: "postgres".to_owned(),
        schedule: "30 3 * * *".to_owned(),
        s3_endpoint: "http://s3:9000".to_owned(),
        s3_access_key: "access-hunter2".to_owned(),
        s3_secret_key: "secret-hunter2".to_owned(),
        s3_bucket_name: "backups".to_owned(),
        core_addr: "core:50051".to_owned(),
        max_backup_count: 7,
        skip_checks: false,
    }
}

/// A right one for the schedule of this name.
pub(crate) fn update(name: &str, request: BackupRequest) -> UpdateBackupRequest {
    UpdateBackupRequest {
        request: Some(request),
        cronjob_name: name.to_owned(),
        cronjob_namespace: HERE.to_owned(),
    }
}

/// A right one.
pub(crate) fn restore(revision: &str) -> BackupRestore {
    let BackupRequest {
        db_uri,
        db_port,
        db_user,
        db_pass,
        db_name,
        database_type,
        s3_endpoint,
        s3_access_key,
        s3_secret_key,
        s3_bucket_name,
        core_addr,
        ..
    } = backup();
    BackupRestore {
        db_uri,
        db_port,
        db_user,
        db_pass,
        db_name,
        database_type,
        s3_endpoint,
        s3_access_key,
        s3_secret_key,
        s3_bucket_name,
        backup_revision: revision.to_owned(),
        core_addr,
        request_id: String::new(),
        skip_checks: false,
    }
}
