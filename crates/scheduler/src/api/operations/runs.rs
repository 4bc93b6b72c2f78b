//! What is asked about runs.

use futures::stream::StreamExt as _;
use tonic::Status;

use super::{Ours, Stream, answers, next, requests};
use crate::api::proto::v1;
use crate::api::status;
use crate::domain::callers::Caller;

impl Ours {
    pub(super) async fn list_runs(
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

    pub(super) async fn read_log(
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

    pub(super) async fn watch_run(
        &self,
        caller: &Caller,
        request: &v1::WatchRunRequest,
    ) -> Result<Stream<v1::Run>, Status> {
        let name = requests::run_name("name", &request.name).map_err(|it| status::invalid(&it))?;
        let watched = self.service.watch(caller, &name).await;
        let watched = watched.map_err(|it| status::failed(&it))?;
        Ok(self.until_stopped(watched.map(|it| Ok(answers::watched(it)))))
    }
}
