//! `postgres_adapter.v1.Operations`: what people and programs ask for beside the contract.

mod answers;
mod backups;
pub(super) mod requests;
mod runs;
mod schedules;

use futures::stream::{BoxStream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::calls::{About, Asked, Calls, Purpose};
use super::proto::v1;
use super::proto::v1::operations_server::Operations;
use super::status;
use crate::domain::callers::Caller;
use crate::engine::Kind;
use crate::service::Service;

type Stream<T> = BoxStream<'static, Result<T, Status>>;

/// Our own service.
#[derive(Debug)]
pub(super) struct Ours {
    service: Service,
    calls: Calls,
    /// Streams end when the server stops.
    stop: CancellationToken,
}

impl Ours {
    pub(super) fn new(service: Service, calls: Calls, stop: CancellationToken) -> Self {
        Self {
            service,
            calls,
            stop,
        }
    }

    fn until_stopped<T: Send + 'static>(
        &self,
        stream: impl futures::Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Stream<T> {
        let stop = self.stop.clone();
        stream.take_until(stop.cancelled_owned()).boxed()
    }
}

/// What the next page begins behind, where there is one; what is too much of this page goes.
fn next<T>(found: &mut Vec<T>, size: usize, token: impl FnOnce(&T) -> String) -> String {
    if found.len() <= size {
        return String::new();
    }
    found.truncate(size);
    found.last().map(token).unwrap_or_default()
}

fn named<T>(request: &Request<T>, name: impl FnOnce(&T) -> &String) -> Asked {
    let about = About::Named(name(request.get_ref()).clone());
    Asked::by(request, about)
}

#[tonic::async_trait]
impl Operations for Ours {
    type WatchRunStream = Stream<v1::Run>;
    type ReadLogStream = Stream<v1::LogLine>;

    async fn list_schedules(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesResponse>, Status> {
        let asked = Asked::by(&request, About::All);
        let work = async |caller: &Caller| self.list_schedules(caller, request.get_ref()).await;
        let purpose = Purpose::Read("ListSchedules");
        self.calls.answer(purpose, asked, work).await
    }

    async fn get_schedule(
        &self,
        request: Request<v1::GetScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let asked = named(&request, |it| &it.name);
        let work = async |caller: &Caller| {
            let name = requests::schedule_name(&request.get_ref().name);
            let name = name.map_err(|it| status::invalid(&it))?;
            let found = self.service.overview(caller, &name).await;
            found
                .map(answers::schedule)
                .map_err(|it| status::failed(&it))
        };
        let purpose = Purpose::Read("GetSchedule");
        self.calls.answer(purpose, asked, work).await
    }

    async fn put_schedule(
        &self,
        request: Request<v1::PutScheduleRequest>,
    ) -> Result<Response<v1::PutScheduleResponse>, Status> {
        let database = request.get_ref().database.as_ref();
        let place = database.map_or_else(String::new, |it| {
            format!("{}:{}/{}", it.host, it.port, it.dbname)
        });
        let asked = Asked::by(&request, About::Database(place));
        let work = async |caller: &Caller| self.put(caller, request.into_inner()).await;
        let purpose = Purpose::Change("PutSchedule");
        self.calls.answer(purpose, asked, work).await
    }

    async fn suspend_schedule(
        &self,
        request: Request<v1::SuspendScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let asked = named(&request, |it| &it.name);
        let work =
            async |caller: &Caller| self.suspend(caller, &request.get_ref().name, true).await;
        let purpose = Purpose::Change("SuspendSchedule");
        self.calls.answer(purpose, asked, work).await
    }

    async fn resume_schedule(
        &self,
        request: Request<v1::ResumeScheduleRequest>,
    ) -> Result<Response<v1::Schedule>, Status> {
        let asked = named(&request, |it| &it.name);
        let work =
            async |caller: &Caller| self.suspend(caller, &request.get_ref().name, false).await;
        let purpose = Purpose::Change("ResumeSchedule");
        self.calls.answer(purpose, asked, work).await
    }

    async fn delete_schedule(
        &self,
        request: Request<v1::DeleteScheduleRequest>,
    ) -> Result<Response<()>, Status> {
        let asked = named(&request, |it| &it.name);
        let work = async |caller: &Caller| {
            let name = requests::schedule_name(&request.get_ref().name);
            let name = name.map_err(|it| status::invalid(&it))?;
            match self.service.delete(caller, &name).await {
                Err(error) if error.kind() == Kind::NotFound && request.get_ref().allow_missing => {
                    Ok(())
                }
                deleted => deleted.map_err(|it| status::failed(&it)),
            }
        };
        let purpose = Purpose::Change("DeleteSchedule");
        self.calls.answer(purpose, asked, work).await
    }

    async fn run_schedule(
        &self,
        request: Request<v1::RunScheduleRequest>,
    ) -> Result<Response<v1::StartedRun>, Status> {
        let asked = named(&request, |it| &it.name);
        let work = async |caller: &Caller| self.run_now(caller, request.get_ref()).await;
        let purpose = Purpose::Change("RunSchedule");
        self.calls.answer(purpose, asked, work).await
    }

    async fn list_backups(
        &self,
        request: Request<v1::ListBackupsRequest>,
    ) -> Result<Response<v1::ListBackupsResponse>, Status> {
        let asked = named(&request, |it| &it.schedule);
        let work = async |caller: &Caller| self.list_backups(caller, request.into_inner()).await;
        let purpose = Purpose::Read("ListBackups");
        self.calls.answer(purpose, asked, work).await
    }

    async fn get_backup(
        &self,
        request: Request<v1::GetBackupRequest>,
    ) -> Result<Response<v1::GetBackupResponse>, Status> {
        let asked = named(&request, |it| &it.key);
        let work = async |caller: &Caller| self.get_backup(caller, request.into_inner()).await;
        let purpose = Purpose::Read("GetBackup");
        self.calls.answer(purpose, asked, work).await
    }

    async fn delete_backup(
        &self,
        request: Request<v1::DeleteBackupRequest>,
    ) -> Result<Response<v1::DeleteBackupResponse>, Status> {
        let asked = named(&request, |it| &it.key);
        let work = async |caller: &Caller| self.delete_backup(caller, request.into_inner()).await;
        let purpose = Purpose::Change("DeleteBackup");
        self.calls.answer(purpose, asked, work).await
    }

    async fn pin_backup(
        &self,
        request: Request<v1::PinBackupRequest>,
    ) -> Result<Response<v1::PinBackupResponse>, Status> {
        let asked = named(&request, |it| &it.key);
        let work = async |caller: &Caller| {
            let pinned = self.pin_backup(caller, request.into_inner(), true).await;
            pinned.map(|unchanged| v1::PinBackupResponse { unchanged })
        };
        let purpose = Purpose::Change("PinBackup");
        self.calls.answer(purpose, asked, work).await
    }

    async fn unpin_backup(
        &self,
        request: Request<v1::UnpinBackupRequest>,
    ) -> Result<Response<v1::UnpinBackupResponse>, Status> {
        let asked = named(&request, |it| &it.key);
        let v1::UnpinBackupRequest {
            schedule,
            store,
            source,
            key,
        } = request.get_ref().clone();
        let of = v1::PinBackupRequest {
            schedule,
            store,
            source,
            key,
        };
        let work = async |caller: &Caller| {
            let pinned = self.pin_backup(caller, of, false).await;
            pinned.map(|unchanged| v1::UnpinBackupResponse { unchanged })
        };
        let purpose = Purpose::Change("UnpinBackup");
        self.calls.answer(purpose, asked, work).await
    }

    async fn preview_retention(
        &self,
        request: Request<v1::PreviewRetentionRequest>,
    ) -> Result<Response<v1::PreviewRetentionResponse>, Status> {
        let asked = named(&request, |it| &it.schedule);
        let work =
            async |caller: &Caller| self.preview_retention(caller, request.into_inner()).await;
        let purpose = Purpose::Read("PreviewRetention");
        self.calls.answer(purpose, asked, work).await
    }

    async fn diagnose(
        &self,
        request: Request<v1::DiagnoseRequest>,
    ) -> Result<Response<v1::DiagnoseResponse>, Status> {
        let asked = named(&request, |it| &it.schedule);
        let work = async |caller: &Caller| self.diagnose(caller, request.into_inner()).await;
        let purpose = Purpose::Read("Diagnose");
        self.calls.answer(purpose, asked, work).await
    }

    async fn restore_backup(
        &self,
        request: Request<v1::RestoreBackupRequest>,
    ) -> Result<Response<v1::RestoreBackupResponse>, Status> {
        let asked = named(&request, |it| &it.schedule);
        let work = async |caller: &Caller| self.restore_backup(caller, request.into_inner()).await;
        let purpose = Purpose::Change("RestoreBackup");
        self.calls.answer(purpose, asked, work).await
    }

    async fn verify_backup(
        &self,
        request: Request<v1::VerifyBackupRequest>,
    ) -> Result<Response<v1::VerifyBackupResponse>, Status> {
        let asked = named(&request, |it| &it.schedule);
        let work = async |caller: &Caller| self.verify_backup(caller, request.into_inner()).await;
        let purpose = Purpose::Change("VerifyBackup");
        self.calls.answer(purpose, asked, work).await
    }

    async fn list_runs(
        &self,
        request: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        let asked = Asked::by(&request, About::All);
        let work = async |caller: &Caller| self.list_runs(caller, request.get_ref()).await;
        let purpose = Purpose::Read("ListRuns");
        self.calls.answer(purpose, asked, work).await
    }

    async fn get_run(
        &self,
        request: Request<v1::GetRunRequest>,
    ) -> Result<Response<v1::Run>, Status> {
        let asked = named(&request, |it| &it.name);
        let work = async |caller: &Caller| {
            let name = requests::run_name("name", &request.get_ref().name);
            let name = name.map_err(|it| status::invalid(&it))?;
            let found = self.service.run(caller, &name).await;
            found.map(answers::run).map_err(|it| status::failed(&it))
        };
        let purpose = Purpose::Read("GetRun");
        self.calls.answer(purpose, asked, work).await
    }

    async fn watch_run(
        &self,
        request: Request<v1::WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let asked = named(&request, |it| &it.name);
        let work = async |caller: &Caller| self.watch_run(caller, request.get_ref()).await;
        let purpose = Purpose::Read("WatchRun");
        self.calls.answer(purpose, asked, work).await
    }

    async fn read_log(
        &self,
        request: Request<v1::ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let asked = named(&request, |it| &it.run);
        let work = async |caller: &Caller| self.read_log(caller, request.get_ref()).await;
        let purpose = Purpose::Read("ReadLog");
        self.calls.answer(purpose, asked, work).await
    }

    async fn cancel_run(
        &self,
        request: Request<v1::CancelRunRequest>,
    ) -> Result<Response<v1::Run>, Status> {
        let asked = named(&request, |it| &it.name);
        let work = async |caller: &Caller| {
            let name = requests::run_name("name", &request.get_ref().name);
            let name = name.map_err(|it| status::invalid(&it))?;
            let ended = self.service.cancel(caller, &name).await;
            ended.map(answers::run).map_err(|it| status::failed(&it))
        };
        let purpose = Purpose::Change("CancelRun");
        self.calls.answer(purpose, asked, work).await
    }
}
