//! The scheduler's program as its own client: what a running one is asked for, from a shell.

mod backups;
mod hints;
mod output;
mod settings;
mod table;

use std::process::ExitCode;

use backuper::runtime::Failure;
use backuper::runtime::failure::Verdict;
use clap::{CommandFactory as _, Parser as _};

use crate::api::client::{self, Answer, Client};
use crate::api::probe;
use crate::api::proto::v1;
use crate::operator::crd;
use output::Output;
use settings::{Asked, Command, RunsAsked};

/// What the exit code is where a run that was waited for has not ended well, or something was found wrong.
const NOT_WELL: u8 = 3;

/// Whether the arguments are a command for a running scheduler: the first is a word.
#[must_use]
pub fn is_asked(first: Option<&std::ffi::OsStr>) -> bool {
    let is_word = |it: &str| !it.starts_with('-') && !it.is_empty();
    first.and_then(|it| it.to_str()).is_some_and(is_word)
}

/// Does what the arguments ask for.
pub async fn run() -> ExitCode {
    let asked = match Asked::try_parse() {
        Ok(asked) => asked,
        Err(error) => {
            let is_help = !error.use_stderr();
            // Nobody is there to be told that it could not be printed.
            drop(error.print());
            return ExitCode::from(if is_help {
                0
            } else {
                Verdict::Refused.exit_code()
            });
        }
    };
    let mut output = Output::new(asked.output);
    match answer(asked, &mut output).await {
        Ok(code) => code,
        Err(failure) => {
            output.complain(&failure.sentence);
            output.hint(&failure.sentence);
            ExitCode::from(failure.verdict.exit_code())
        }
    }
}

async fn answer(asked: Asked, output: &mut Output) -> Result<ExitCode, Failure> {
    if let Command::Completions { shell } = asked.command {
        clap_complete::generate(shell, &mut Asked::command(), "scheduler", output);
        return Ok(ExitCode::SUCCESS);
    }
    if matches!(asked.command, Command::Crds) {
        let text = crd::print().map_err(|error| Failure::refused(error.to_string()))?;
        output.print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (address, trust) = (asked.server.address(), asked.server.trust()?);
    if matches!(asked.command, Command::Probe) {
        let sentence = probe::once(&address, &trust).await?;
        output.say(&sentence)?;
        return Ok(ExitCode::SUCCESS);
    }
    let token = asked.server.token()?;
    let client = client::reach(&address, &trust, token.as_ref()).await?;
    let mut call = Call { client, output };
    match asked.command {
        Command::Ls { database } => call.list_schedules(database).await?,
        Command::Show { name } => call.show(name).await?,
        Command::Runs(wanted) => call.list_runs(wanted).await?,
        Command::Run {
            name,
            request_id,
            wait,
        } => return call.run(name, request_id, wait).await,
        Command::Put(wanted) => call.put(&wanted).await?,
        Command::Doctor(wanted) => return call.doctor(&wanted).await,
        Command::Backups(wanted) => call.list_backups(&wanted).await?,
        Command::Backup(wanted) => call.backup(&wanted).await?,
        Command::DeleteBackup {
            backup,
            last,
            validate_only,
        } => call.delete_backup(&backup, [last, validate_only]).await?,
        Command::Pin(wanted) => call.pin(&wanted).await?,
        Command::Unpin(wanted) => call.unpin(&wanted).await?,
        Command::Retention(wanted) => call.retention(&wanted).await?,
        Command::Restore(wanted) => return call.restore(&wanted).await,
        Command::Verify(wanted) => return call.verify(&wanted).await,
        Command::Suspend { name } => {
            let request = v1::SuspendScheduleRequest { name };
            let answer = call.client.suspend_schedule(request).await;
            call.changed(answer, "suspended")?;
        }
        Command::Resume { name } => {
            let request = v1::ResumeScheduleRequest { name };
            let answer = call.client.resume_schedule(request).await;
            call.changed(answer, "resumed")?;
        }
        Command::Delete { name } => call.delete(name).await?,
        Command::Logs { run, follow } => call.logs(run, follow).await?,
        Command::Watch { run } => return call.watch(run).await,
        Command::Cancel { run } => call.cancel(run).await?,
        Command::Probe | Command::Crds | Command::Completions { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// A scheduler that is asked, and where its answers go.
struct Call<'a> {
    client: Client,
    output: &'a mut Output,
}

impl Call<'_> {
    async fn list_schedules(&mut self, database: Option<String>) -> Result<(), Failure> {
        let mut request = v1::ListSchedulesRequest {
            page_size: 1_000,
            page_token: String::new(),
            database: database.unwrap_or_default(),
        };
        let mut all = Vec::new();
        loop {
            let answer = self.client.list_schedules(request.clone()).await;
            let answer = client::answered(answer)?;
            all.extend(answer.schedules);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        let whole = v1::ListSchedulesResponse {
            schedules: all,
            next_page_token: String::new(),
        };
        self.output.give("ListSchedulesResponse", &whole, |it| {
            table::schedules(&it.schedules)
        })
    }

    /// A schedule, or else a run of that name.
    async fn show(&mut self, name: String) -> Result<(), Failure> {
        let request = v1::GetScheduleRequest { name: name.clone() };
        let missing = match self.client.get_schedule(request).await {
            Ok(found) => {
                let found = found.into_inner();
                return self.output.give("Schedule", &found, table::schedule);
            }
            Err(status) => status,
        };
        let request = v1::GetRunRequest { name };
        match self.client.get_run(request).await {
            Ok(found) => self.output.give("Run", &found.into_inner(), table::run),
            Err(_) => Err(client::failure(&missing)),
        }
    }

    async fn list_runs(&mut self, wanted: RunsAsked) -> Result<(), Failure> {
        let mut most = usize::from(wanted.most);
        let mut request = wanted.request()?;
        let mut all = Vec::new();
        while most > 0 {
            request.page_size = i32::try_from(most.min(1_000)).unwrap_or(1_000);
            let answer = self.client.list_runs(request.clone()).await;
            let answer = client::answered(answer)?;
            most = most.saturating_sub(answer.runs.len());
            all.extend(answer.runs);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        let whole = v1::ListRunsResponse {
            runs: all,
            next_page_token: String::new(),
        };
        self.output
            .give("ListRunsResponse", &whole, |it| table::runs(&it.runs))
    }

    async fn run(
        &mut self,
        name: String,
        request_id: Option<String>,
        wait: bool,
    ) -> Result<ExitCode, Failure> {
        let request = v1::RunScheduleRequest {
            name,
            request_id: request_id.unwrap_or_default(),
        };
        let answer = self.client.run_schedule(request).await;
        let started = client::answered(answer)?;
        if wait {
            return self.watch(started.name).await;
        }
        self.output.give("StartedRun", &started, table::started)?;
        Ok(ExitCode::SUCCESS)
    }

    fn changed(&mut self, answer: Answer<v1::Schedule>, done: &str) -> Result<(), Failure> {
        let changed = client::answered(answer)?;
        self.output.give("Schedule", &changed, |it| {
            format!(
                "{} of {} {done}\n",
                table::shown(&it.name),
                table::shown(&it.database)
            )
        })
    }

    async fn delete(&mut self, name: String) -> Result<(), Failure> {
        let template = self.key_template(&name).await;
        let request = v1::DeleteScheduleRequest {
            name,
            allow_missing: false,
        };
        let answer = self.client.delete_schedule(request.clone()).await;
        client::answered(answer)?;
        self.output.give("DeleteScheduleRequest", &request, |it| {
            let name = table::shown(&it.name);
            let kept = match template.as_str() {
                "" => String::new(),
                template => format!(
                    ", those in plain SQL under {}: they are found by a schedule that has these keys, so write them down",
                    table::shown(template)
                ),
            };
            format!("{name} deleted; its backups stay in the store{kept}\n")
        })
    }

    /// The keys that a schedule has for itself; empty: none, or nobody can say.
    async fn key_template(&mut self, name: &str) -> String {
        let request = v1::GetScheduleRequest {
            name: name.to_owned(),
        };
        let found = self.client.get_schedule(request).await;
        let format = found.ok().and_then(|it| it.into_inner().format);
        format.map(|it| it.key_template).unwrap_or_default()
    }

    async fn logs(&mut self, run: String, follow: bool) -> Result<(), Failure> {
        let request = v1::ReadLogRequest { run, follow };
        let answer = self.client.read_log(request).await;
        let mut lines = client::answered(answer)?;
        loop {
            match lines.message().await {
                Ok(Some(line)) => self.output.give_line("LogLine", &line, |it| {
                    format!("{}\n", table::shown(&it.text))
                })?,
                Ok(None) => return Ok(()),
                Err(status) => return Err(client::failure(&status)),
            }
        }
    }

    async fn watch(&mut self, name: String) -> Result<ExitCode, Failure> {
        let request = v1::WatchRunRequest { name };
        let answer = self.client.watch_run(request).await;
        let mut watched = client::answered(answer)?;
        let mut last = v1::run::State::Unspecified;
        let mut said = String::new();
        loop {
            match watched.message().await {
                Ok(Some(run)) => {
                    last = run.state();
                    said.clone_from(&run.message);
                    self.output.give_line("Run", &run, table::progress)?;
                }
                Ok(None) => break,
                Err(status) => return Err(client::failure(&status)),
            }
        }
        match last {
            v1::run::State::Succeeded => Ok(ExitCode::SUCCESS),
            v1::run::State::Failed | v1::run::State::Cancelled | v1::run::State::Expired => {
                self.output.hint(&said);
                Ok(ExitCode::from(NOT_WELL))
            }
            _ => Err(Failure::try_again(
                "the scheduler ended before the run did; watch it again",
            )),
        }
    }

    async fn cancel(&mut self, name: String) -> Result<(), Failure> {
        let request = v1::CancelRunRequest { name };
        let answer = self.client.cancel_run(request).await;
        let run = client::answered(answer)?;
        self.output.give("Run", &run, |it| {
            let name = table::shown(&it.name);
            match it.state() {
                v1::run::State::Waiting | v1::run::State::Running => {
                    format!(
                        "{name} is being cancelled; `scheduler watch {name}` says how it ends\n"
                    )
                }
                ended => format!("{name} has ended: {}\n", table::state(ended)),
            }
        })
    }
}
