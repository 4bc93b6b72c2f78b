//! Commands about backups, and what schedules are made of.

use std::process::ExitCode;

use backuper::runtime::Failure;

use super::settings::{
    BackupAsked, BackupsAsked, DoctorAsked, PutAsked, RestoreAsked, RetentionAsked, VerifyAsked,
};
use super::{Call, NOT_WELL, table};
use crate::api::client;
use crate::api::declared;
use crate::api::proto::v1;

impl Call<'_> {
    pub(super) async fn put(&mut self, wanted: &PutAsked) -> Result<(), Failure> {
        let requests = match &wanted.file {
            None => vec![wanted.request()?],
            Some(path) => {
                let mut requests = declared::requests(path)?;
                for request in &mut requests {
                    request.validate_only |= wanted.validate_only;
                    request.skip_checks |= wanted.skip_checks;
                }
                requests
            }
        };
        for request in requests {
            let validate_only = request.validate_only;
            let answer = self.client.put_schedule(request).await;
            let answer = client::answered(answer)?;
            self.output
                .give_line("PutScheduleResponse", &answer, |it| {
                    table::put(it, validate_only)
                })?;
        }
        Ok(())
    }

    pub(super) async fn doctor(&mut self, wanted: &DoctorAsked) -> Result<ExitCode, Failure> {
        let answer = self.client.diagnose(wanted.request()?).await;
        let answer = client::answered(answer)?;
        self.output
            .give("DiagnoseResponse", &answer, |it| table::checks(&it.checks))?;
        let is_wrong = |it: &v1::Check| it.outcome() == v1::check::Outcome::Wrong;
        Ok(if answer.checks.iter().any(is_wrong) {
            ExitCode::from(NOT_WELL)
        } else {
            ExitCode::SUCCESS
        })
    }

    pub(super) async fn list_backups(&mut self, wanted: &BackupsAsked) -> Result<(), Failure> {
        let answer = self.client.list_backups(wanted.request()?).await;
        let answer = client::answered(answer)?;
        self.output.give("ListBackupsResponse", &answer, |it| {
            table::backups(&it.backups)
        })
    }

    pub(super) async fn backup(&mut self, wanted: &BackupAsked) -> Result<(), Failure> {
        let answer = self.client.get_backup(wanted.request()?).await;
        let answer = client::answered(answer)?;
        self.output
            .give("GetBackupResponse", &answer, table::backup)
    }

    pub(super) async fn delete_backup(
        &mut self,
        wanted: &BackupAsked,
        [allow_last, validate_only]: [bool; 2],
    ) -> Result<(), Failure> {
        let v1::GetBackupRequest {
            schedule,
            store,
            source,
            key,
        } = wanted.request()?;
        let request = v1::DeleteBackupRequest {
            schedule,
            store,
            source,
            key,
            allow_last,
            validate_only,
        };
        let answer = self.client.delete_backup(request).await;
        let answer = client::answered(answer)?;
        self.output.give("DeleteBackupResponse", &answer, |it| {
            table::deleted(it, validate_only)
        })
    }

    pub(super) async fn pin(&mut self, wanted: &BackupAsked) -> Result<(), Failure> {
        let v1::GetBackupRequest {
            schedule,
            store,
            source,
            key,
        } = wanted.request()?;
        let request = v1::PinBackupRequest {
            schedule,
            store,
            source,
            key,
        };
        let answer = client::answered(self.client.pin_backup(request).await)?;
        self.output.give("PinBackupResponse", &answer, |it| {
            table::pinned("pinned", it.unchanged)
        })
    }

    pub(super) async fn unpin(&mut self, wanted: &BackupAsked) -> Result<(), Failure> {
        let v1::GetBackupRequest {
            schedule,
            store,
            source,
            key,
        } = wanted.request()?;
        let request = v1::UnpinBackupRequest {
            schedule,
            store,
            source,
            key,
        };
        let answer = client::answered(self.client.unpin_backup(request).await)?;
        self.output.give("UnpinBackupResponse", &answer, |it| {
            table::pinned("unpinned", it.unchanged)
        })
    }

    pub(super) async fn retention(&mut self, wanted: &RetentionAsked) -> Result<(), Failure> {
        let answer = self.client.preview_retention(wanted.request()?).await;
        let answer = client::answered(answer)?;
        self.output.give("PreviewRetentionResponse", &answer, |it| {
            table::retained(&it.backups)
        })
    }

    pub(super) async fn restore(&mut self, wanted: &RestoreAsked) -> Result<ExitCode, Failure> {
        let answer = self.client.restore_backup(wanted.request()?).await;
        let answer = client::answered(answer)?;
        if let Some(run) = answer.run.as_ref().filter(|_| wanted.wait) {
            return self.see_through(run, &table::restored(&answer)).await;
        }
        self.output
            .give("RestoreBackupResponse", &answer, table::restored)?;
        was_tried(answer.run.as_ref(), &answer.not_tried)
    }

    pub(super) async fn verify(&mut self, wanted: &VerifyAsked) -> Result<ExitCode, Failure> {
        let answer = self.client.verify_backup(wanted.request()?).await;
        let answer = client::answered(answer)?;
        if let Some(run) = answer.run.as_ref().filter(|_| wanted.wait) {
            return self.see_through(run, &table::proving(&answer)).await;
        }
        self.output
            .give("VerifyBackupResponse", &answer, table::proving)?;
        was_tried(answer.run.as_ref(), &answer.not_tried)
    }

    /// Says what was begun, and waits for its end.
    async fn see_through(&mut self, run: &v1::StartedRun, note: &str) -> Result<ExitCode, Failure> {
        if run.by() != v1::started_run::By::ThisCall {
            self.output.complain(table::started(run).trim_end());
        } else {
            self.output.note(note)?;
        }
        self.watch(run.name.clone()).await
    }
}

/// What was only to be tried, and could not be, is no success.
fn was_tried(run: Option<&v1::StartedRun>, not_tried: &str) -> Result<ExitCode, Failure> {
    if run.is_none() && !not_tried.is_empty() {
        let sentence = format!("it could not be tried: {not_tried}");
        return Err(Failure::try_again(sentence));
    }
    Ok(ExitCode::SUCCESS)
}
