//! What is asked about backups, restores among it.

use jiff::Timestamp;
use tonic::Status;

use super::{Ours, answers, next, requests};
use crate::api::proto::v1;
use crate::api::status;
use crate::domain::callers::Caller;

impl Ours {
    pub(super) async fn list_backups(
        &self,
        caller: &Caller,
        request: v1::ListBackupsRequest,
    ) -> Result<v1::ListBackupsResponse, Status> {
        let (about, page) = requests::backups(request).map_err(|it| status::invalid(&it))?;
        let found = self.service.backups(caller, about).await;
        let found = found.map_err(|it| status::failed(&it))?.into_iter();
        let mut found: Vec<_> = match page.behind {
            None => found.collect(),
            Some(last) => found.skip_while(|(it, _)| it.key != last).skip(1).collect(),
        };
        let token = |(last, _): &_| answers::token_of_backup(last);
        let next = next(&mut found, page.size, token);
        let backup = |(it, verification)| answers::backup(it, verification);
        Ok(v1::ListBackupsResponse {
            backups: found.into_iter().map(backup).collect(),
            next_page_token: next,
        })
    }

    pub(super) async fn get_backup(
        &self,
        caller: &Caller,
        request: v1::GetBackupRequest,
    ) -> Result<v1::GetBackupResponse, Status> {
        let (about, key) = requests::backup(request).map_err(|it| status::invalid(&it))?;
        let shown = self.service.backup(caller, about, key).await;
        shown
            .map(|(it, verification)| answers::shown(it, verification))
            .map_err(|it| status::failed(&it))
    }

    pub(super) async fn delete_backup(
        &self,
        caller: &Caller,
        request: v1::DeleteBackupRequest,
    ) -> Result<v1::DeleteBackupResponse, Status> {
        let (about, task) = requests::deletion(request).map_err(|it| status::invalid(&it))?;
        let deleted = self.service.delete_backup(caller, about, task).await;
        deleted
            .map(|it| answers::deleted(&it))
            .map_err(|it| status::failed(&it))
    }

    pub(super) async fn pin_backup(
        &self,
        caller: &Caller,
        request: v1::PinBackupRequest,
        is_pinned: bool,
    ) -> Result<bool, Status> {
        let (about, task) = requests::pin(request, is_pinned).map_err(|it| status::invalid(&it))?;
        let pinned = self.service.pin_backup(caller, about, task).await;
        pinned
            .map(|it| it.unchanged)
            .map_err(|it| status::failed(&it))
    }

    pub(super) async fn preview_retention(
        &self,
        caller: &Caller,
        request: v1::PreviewRetentionRequest,
    ) -> Result<v1::PreviewRetentionResponse, Status> {
        let (about, rules) = requests::preview(request).map_err(|it| status::invalid(&it))?;
        let retained = self.service.preview_retention(caller, about, rules).await;
        retained
            .map(answers::retained)
            .map_err(|it| status::failed(&it))
    }

    pub(super) async fn verify_backup(
        &self,
        caller: &Caller,
        request: v1::VerifyBackupRequest,
    ) -> Result<v1::VerifyBackupResponse, Status> {
        let checks = self.service.checks().unless(request.skip_checks);
        let wanted = requests::verification(request).map_err(|it| status::invalid(&it))?;
        let now = Timestamp::now();
        let answer = self.service.restore_backup(caller, wanted, checks, now);
        answer
            .await
            .map(answers::proving)
            .map_err(|it| status::failed(&it))
    }

    pub(super) async fn restore_backup(
        &self,
        caller: &Caller,
        request: v1::RestoreBackupRequest,
    ) -> Result<v1::RestoreBackupResponse, Status> {
        let checks = self.service.checks().unless(request.skip_checks);
        let wanted = requests::restore(request).map_err(|it| status::invalid(&it))?;
        let now = Timestamp::now();
        let answer = self.service.restore_backup(caller, wanted, checks, now);
        answer
            .await
            .map(answers::restored)
            .map_err(|it| status::failed(&it))
    }
}
