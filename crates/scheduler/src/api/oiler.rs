//! `backup.BackupService`, as the released core calls it.

pub mod convert;

use jiff::Timestamp;
use tonic::{Request, Response, Status};

use super::calls::{About, Asked, Calls, Purpose};
use super::proto::backup_service_server::BackupService;
use super::proto::{
    BackupRequest, BackupResponse, BackupRestore, BackupRestoreResponse, UpdateBackupRequest,
};
use super::status;
use crate::domain::callers::Caller;
use crate::engine::StartedBy;
use crate::service::Service;
use crate::service::restores::RestoreAnswer;
use crate::service::schedules::ScheduleAnswer;

/// The BackupService as the wire has it.
#[derive(Debug)]
pub(super) struct Oiler {
    service: Service,
    calls: Calls,
}

impl Oiler {
    pub(super) fn new(service: Service, calls: Calls) -> Self {
        Self { service, calls }
    }

    async fn backup(
        &self,
        caller: &Caller,
        request: BackupRequest,
    ) -> Result<BackupResponse, Status> {
        let checks = self.service.checks().unless(request.skip_checks);
        let plan = convert::plan(request, self.service.default_store().as_ref())
            .map_err(|it| status::invalid(&it))?;
        let scheduled = self.service.back_up(caller, plan, checks).await;
        let scheduled = scheduled.map_err(|it| status::failed(&it))?;
        Ok(self.scheduled("scheduled", &scheduled))
    }

    async fn update(
        &self,
        caller: &Caller,
        request: UpdateBackupRequest,
    ) -> Result<BackupResponse, Status> {
        let convert::Change {
            name,
            namespace,
            plan,
        } = convert::change(request, self.service.default_store().as_ref())
            .map_err(|it| status::invalid(&it))?;
        let changed = self.service.change(caller, &namespace, name, plan).await;
        let changed = changed.map_err(|it| status::failed(&it))?;
        Ok(self.scheduled("updated", &changed))
    }

    fn scheduled(&self, verb: &str, scheduled: &ScheduleAnswer) -> BackupResponse {
        let ScheduleAnswer {
            name,
            put,
            next,
            is_suspended,
            short_history,
        } = scheduled;
        let rests = if *is_suspended {
            "; it is suspended, and does not run until it is resumed"
        } else {
            ""
        };
        let next = next.map_or_else(String::new, |it| format!("; the next run is at {it}"));
        let short = short_history.map_or_else(String::new, |it| {
            format!("; with this max_backup_count no backup that is kept is older than {it:#}")
        });
        BackupResponse {
            status: format!("{verb}: {put}{next}{rests}{short}"),
            cronjob_name: name.to_string(),
            cronjob_namespace: self.service.namespace().to_owned(),
        }
    }

    async fn restore(
        &self,
        caller: &Caller,
        request: BackupRestore,
    ) -> Result<BackupRestoreResponse, Status> {
        let checks = self.service.checks().unless(request.skip_checks);
        let restore = convert::restore(request, self.service.default_store().as_ref())
            .map_err(|it| status::invalid(&it))?;
        let restoring = self
            .service
            .restore(caller, restore, checks, Timestamp::now());
        let RestoreAnswer { started, backup } =
            restoring.await.map_err(|it| status::failed(&it))?;
        let status = match started.by {
            StartedBy::ThisCall => {
                let of = backup.map_or_else(String::new, |it| format!(": {it} comes back"));
                format!("restore started{of}")
            }
            StartedBy::Earlier => "this restore is already running".to_owned(),
            StartedBy::EarlierEnded => {
                "this restore was begun before and has ended, and was not begun again; give it another request_id to restore once more".to_owned()
            }
        };
        Ok(BackupRestoreResponse {
            status,
            job_name: started.name,
            job_namespace: self.service.namespace().to_owned(),
        })
    }
}

#[tonic::async_trait]
impl BackupService for Oiler {
    async fn backup(
        &self,
        request: Request<BackupRequest>,
    ) -> Result<Response<BackupResponse>, Status> {
        let asked = Asked::by(&request, About::Database(database_of(request.get_ref())));
        let work = async |caller: &Caller| self.backup(caller, request.into_inner()).await;
        self.calls
            .answer(Purpose::Change("Backup"), asked, work)
            .await
    }

    async fn update(
        &self,
        request: Request<UpdateBackupRequest>,
    ) -> Result<Response<BackupResponse>, Status> {
        let plan = request.get_ref().request.as_ref();
        let database = plan.map(database_of).unwrap_or_default();
        let asked = Asked::by(&request, About::Database(database));
        let work = async |caller: &Caller| self.update(caller, request.into_inner()).await;
        self.calls
            .answer(Purpose::Change("Update"), asked, work)
            .await
    }

    async fn restore(
        &self,
        request: Request<BackupRestore>,
    ) -> Result<Response<BackupRestoreResponse>, Status> {
        let BackupRestore {
            db_uri,
            db_port,
            db_name,
            ..
        } = request.get_ref();
        let database = format!("{db_uri}:{db_port}/{db_name}");
        let asked = Asked::by(&request, About::Database(database));
        let work = async |caller: &Caller| self.restore(caller, request.into_inner()).await;
        self.calls
            .answer(Purpose::Change("Restore"), asked, work)
            .await
    }
}

fn database_of(request: &BackupRequest) -> String {
    let BackupRequest {
        db_uri,
        db_port,
        db_name,
        ..
    } = request;
    format!("{db_uri}:{db_port}/{db_name}")
}
