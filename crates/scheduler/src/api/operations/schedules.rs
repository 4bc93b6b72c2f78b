//! What is asked about schedules.

use tonic::Status;

use super::{Ours, answers, next, requests};
use crate::api::proto::v1;
use crate::api::status;
use crate::domain::callers::Caller;

impl Ours {
    pub(super) async fn list_schedules(
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

    pub(super) async fn put(
        &self,
        caller: &Caller,
        request: v1::PutScheduleRequest,
    ) -> Result<v1::PutScheduleResponse, Status> {
        let checks = self.service.checks().unless(request.skip_checks);
        let wanted = requests::put(request).map_err(|it| status::invalid(&it))?;
        let put = self.service.put(caller, wanted, checks).await;
        put.map(answers::put).map_err(|it| status::failed(&it))
    }

    pub(super) async fn suspend(
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

    pub(super) async fn run_now(
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

    pub(super) async fn diagnose(
        &self,
        caller: &Caller,
        request: v1::DiagnoseRequest,
    ) -> Result<v1::DiagnoseResponse, Status> {
        let about = requests::diagnosis(request).map_err(|it| status::invalid(&it))?;
        let checks = self.service.diagnose(caller, about).await;
        checks
            .map(answers::checks)
            .map_err(|it| status::failed(&it))
    }
}
