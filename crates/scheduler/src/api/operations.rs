//! `postgres_adapter.v1.Operations`: what people and programs ask for beside the contract.

mod answers;
mod requests;

use backuper::listing::Listed;
use futures::stream::{BoxStream, StreamExt as _};
use jiff::Timestamp;
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

    async fn list_schedules(
        &self,
        caller: &Caller,
        request: &v1::ListSchedulesRequest,
    ) -> Result<v1::ListSchedulesResponse, Status> {
        let (page, database) = requests::schedules(request).map_err(|it| status::invalid(&it))?;
        let (behind, most) = (page.behind.as_ref(), page.size + 1);
        let found = self
            .service
            .schedules(caller, database.as_deref(), behind, most);
        let mut found = found.await.map_err(|it| status::failed(&it))?;
        let next = next(&mut found, page.size, answers::token_of_schedule);
        Ok(v1::ListSchedulesResponse {
            schedules: found.into_iter().map(answers::schedule).collect(),
            next_page_token: next,
        })
    }

    async fn suspend(
        &self,
        caller: &Caller,
        name: &str,
        suspended: bool,
    ) -> Result<v1::Schedule, Status> {
        let name = requests::schedule_name(name).map_err(|it| status::invalid(&it))?;
        let done = self.service.suspend(caller, &name, suspended).await;
        done.map(answers::schedule)
            .map_err(|it| status::failed(&it))
    }

    async fn run_now(
        &self,
        caller: &Caller,
        request: &v1::RunScheduleRequest,
    ) -> Result<v1::StartedRun, Status> {
        let v1::RunScheduleRequest { name, request_id } = request;
        let name = requests::schedule_name(name).map_err(|it| status::invalid(&it))?;
        let request_id = requests::request_id(request_id).map_err(|it| status::invalid(&it))?;
        let started = self.service.run_now(caller, &name, &request_id).await;
        started
            .map(answers::started)
            .map_err(|it| status::failed(&it))
    }

    async fn list_backups(
        &self,
        caller: &Caller,
        request: &v1::ListBackupsRequest,
    ) -> Result<v1::ListBackupsResponse, Status> {
        let (name, page) = requests::backups(request).map_err(|it| status::invalid(&it))?;
        let found = self.service.backups(caller, &name).await;
        let found = found.map_err(|it| status::failed(&it))?.into_iter();
        let mut found: Vec<Listed> = match page.behind {
            None => found.collect(),
            Some(last) => found.skip_while(|it| it.key != last).skip(1).collect(),
        };
        let next = next(&mut found, page.size, answers::token_of_backup);
        Ok(v1::ListBackupsResponse {
            backups: found.into_iter().map(answers::backup).collect(),
            next_page_token: next,
        })
    }

    async fn restore_backup(
        &self,
        caller: &Caller,
        request: v1::RestoreBackupRequest,
    ) -> Result<v1::RestoreBackupResponse, Status> {
        let checks = self.service.checks().unless(request.skip_checks);
        let wanted = requests::restore(request).map_err(|it| status::invalid(&it))?;
        let now = Timestamp::now();
        let answer = self
            .service
            .restore_of_schedule(caller, wanted, checks, now);
        answer
            .await
            .map(answers::restored)
            .map_err(|it| status::failed(&it))
    }

    async fn list_runs(
        &self,
        caller: &Caller,
        request: &v1::ListRunsRequest,
    ) -> Result<v1::ListRunsResponse, Status> {
        let (page, wanted) = requests::runs(request).map_err(|it| status::invalid(&it))?;
        let (behind, most) = (page.behind, page.size + 1);
        let found = self.service.runs(caller, &wanted, behind, most).await;
        let mut found = found.map_err(|it| status::failed(&it))?;
        let next = next(&mut found, page.size, answers::token_of_run);
        Ok(v1::ListRunsResponse {
            runs: found.into_iter().map(answers::run).collect(),
            next_page_token: next,
        })
    }

    async fn read_log(
        &self,
        caller: &Caller,
        request: &v1::ReadLogRequest,
    ) -> Result<Stream<v1::LogLine>, Status> {
        let v1::ReadLogRequest { run, follow } = request;
        let run = requests::run_name("run", run).map_err(|it| status::invalid(&it))?;
        let lines = self.service.lines(caller, &run, *follow).await;
        let lines = lines.map_err(|it| status::failed(&it))?;
        Ok(self.until_stopped(lines.map(|line| match line {
            Ok(text) => Ok(v1::LogLine { text }),
            Err(error) => Err(status::failed(&error)),
        })))
    }

    async fn watch_run(
        &self,
        caller: &Caller,
        request: &v1::WatchRunRequest,
    ) -> Result<Stream<v1::Run>, Status> {
        let name = requests::run_name("name", &request.name).map_err(|it| status::invalid(&it))?;
        let watched = self.service.watch(caller, &name).await;
        let watched = watched.map_err(|it| status::failed(&it))?;
        Ok(self.until_stopped(watched.map(|it| Ok(answers::watched(it)))))
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
        let work = async |caller: &Caller| self.list_backups(caller, request.get_ref()).await;
        let purpose = Purpose::Read("ListBackups");
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
