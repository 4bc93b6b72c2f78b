//! `postgres_adapter.v1.Operations` and the commands over it: what both engines answer alike.

use std::time::Duration;

use scheduler::api::proto::v1;
use scheduler::api::proto::v1::operations_client::OperationsClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::cluster::eventually;

pub(crate) type Client = OperationsClient<Channel>;

pub(crate) async fn client(port: u16) -> Client {
    let address = format!("http://127.0.0.1:{port}");
    let channel = Endpoint::from_shared(address).unwrap().connect().await;
    OperationsClient::new(channel.unwrap())
}

pub(crate) async fn get(client: &mut Client, name: &str) -> Result<v1::Schedule, Status> {
    let name = name.to_owned();
    let answer = client.get_schedule(v1::GetScheduleRequest { name }).await;
    answer.map(tonic::Response::into_inner)
}

pub(crate) async fn run(client: &mut Client, name: &str) -> Result<v1::Run, Status> {
    let name = name.to_owned();
    let answer = client.get_run(v1::GetRunRequest { name }).await;
    answer.map(tonic::Response::into_inner)
}

fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("a BadRequest");
    let violations = details.field_violations.into_iter();
    violations.map(|it| it.field).collect()
}

/// What both engines answer for a schedule of `database` that runs once a year: to see it, to let it rest,
/// to run it, to delete it.
pub(crate) async fn a_schedule_is_seen_and_changed(
    client: &mut Client,
    name: &str,
    database: &str,
) {
    let seen = eventually("it is seen", async || {
        get(&mut client.clone(), name).await.ok()
    })
    .await;
    assert_eq!(
        (seen.name.as_str(), seen.database.as_str()),
        (name, database)
    );
    assert!(!seen.suspended && seen.next_run_time.is_some(), "{seen:?}");
    let protection = seen.protection.clone().unwrap();
    assert_eq!(
        protection.last_outcome(),
        v1::protection::Outcome::Unspecified
    );
    let all = v1::ListSchedulesRequest::default();
    let all = client.list_schedules(all).await.unwrap().into_inner();
    assert_eq!(all.schedules, [seen]);
    assert_eq!(all.next_page_token, "");
    let elsewhere = v1::ListSchedulesRequest {
        database: "elsewhere:*/*".to_owned(),
        ..v1::ListSchedulesRequest::default()
    };
    let none = client.list_schedules(elsewhere).await.unwrap().into_inner();
    assert_eq!(none.schedules, []);
    let missing = get(client, "backup-ffffffff-postgres").await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "{missing}");
    it_rests(client, name).await;
    let name = name.to_owned();
    let begun = it_runs(client, &name).await;
    let request = v1::DeleteScheduleRequest {
        name: name.clone(),
        allow_missing: false,
    };
    client.delete_schedule(request.clone()).await.unwrap();
    eventually("it is gone", async || {
        let found = get(&mut client.clone(), &name).await;
        found.err().filter(|it| it.code() == Code::NotFound)
    })
    .await;
    let again = client.delete_schedule(request.clone()).await.unwrap_err();
    assert_eq!(again.code(), Code::NotFound, "{again}");
    let request = v1::DeleteScheduleRequest {
        allow_missing: true,
        ..request
    };
    client.delete_schedule(request).await.unwrap();
    let request = v1::RunScheduleRequest {
        name,
        request_id: String::new(),
    };
    let status = client.run_schedule(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
    // What ran of it is cancelled with it, or has ended, or is gone with it.
    eventually("its run has ended", async || {
        match run(&mut client.clone(), &begun).await {
            Ok(run) => (run.state() != v1::run::State::Running).then_some(()),
            Err(status) => (status.code() == Code::NotFound).then_some(()),
        }
    })
    .await;
}

async fn it_rests(client: &mut Client, name: &str) {
    let name = name.to_owned();
    for _ in 0..2 {
        let request = v1::SuspendScheduleRequest { name: name.clone() };
        let rests = client.suspend_schedule(request).await.unwrap().into_inner();
        assert!(
            rests.suspended && rests.next_run_time.is_none(),
            "{rests:?}"
        );
    }
    let is = async |suspended: bool| {
        eventually("it is so everywhere", async || {
            let found = get(&mut client.clone(), &name).await.unwrap();
            (found.suspended == suspended).then_some(())
        })
        .await;
    };
    is(true).await;
    let request = v1::ResumeScheduleRequest { name: name.clone() };
    let runs = client
        .clone()
        .resume_schedule(request)
        .await
        .unwrap()
        .into_inner();
    assert!(!runs.suspended && runs.next_run_time.is_some(), "{runs:?}");
    is(false).await;
}

async fn it_runs(client: &mut Client, name: &str) -> String {
    let request = v1::RunScheduleRequest {
        name: name.to_owned(),
        request_id: "one".to_owned(),
    };
    let started = client
        .run_schedule(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(started.by(), v1::started_run::By::ThisCall);
    let again = client.run_schedule(request).await.unwrap().into_inner();
    assert_eq!(again.name, started.name);
    assert_ne!(again.by(), v1::started_run::By::ThisCall);
    let found = eventually("the run is seen", async || {
        run(&mut client.clone(), &started.name).await.ok()
    })
    .await;
    assert_eq!(found.kind(), v1::run::Kind::Backup);
    assert_eq!(found.schedule, name);
    let of = async |wanted: v1::ListRunsRequest| {
        let listed = client.clone().list_runs(wanted).await.unwrap().into_inner();
        let names = listed.runs.into_iter().map(|it| it.name);
        names.collect::<Vec<String>>()
    };
    let wanted = v1::ListRunsRequest {
        schedule: name.to_owned(),
        ..v1::ListRunsRequest::default()
    };
    assert_eq!(
        of(wanted.clone()).await,
        std::slice::from_ref(&started.name)
    );
    let restores = v1::ListRunsRequest {
        kind: v1::run::Kind::Restore.into(),
        ..wanted.clone()
    };
    assert!(of(restores).await.is_empty());
    let expired = v1::ListRunsRequest {
        states: vec![v1::run::State::Expired.into()],
        ..wanted
    };
    assert!(of(expired).await.is_empty());
    started.name
}

/// What is wrong with a call is said by the field, whatever the engine.
pub(crate) async fn what_is_wrong_is_named(client: &mut Client) {
    let status = get(client, "No Name").await.unwrap_err();
    assert_eq!(fields(&status), ["name"]);
    let status = run(client, "").await.unwrap_err();
    assert_eq!(fields(&status), ["name"]);
    for (token, size, database, expected) in [
        ("?", 0, "", "page_token"),
        ("bm90IGEgbmFtZQ", 0, "", "page_token"),
        ("", -1, "", "page_size"),
        ("", 0, "shop", "database"),
    ] {
        let request = v1::ListSchedulesRequest {
            page_size: size,
            page_token: token.to_owned(),
            database: database.to_owned(),
        };
        let status = client.list_schedules(request).await.unwrap_err();
        assert_eq!(fields(&status), [expected]);
        let request = v1::ListRunsRequest {
            page_size: size,
            page_token: token.to_owned(),
            database: database.to_owned(),
            ..v1::ListRunsRequest::default()
        };
        let status = client.list_runs(request).await.unwrap_err();
        assert_eq!(fields(&status), [expected]);
    }
    let request = v1::RunScheduleRequest {
        name: "backup-ffffffff-postgres".to_owned(),
        request_id: "a b".to_owned(),
    };
    let status = client.run_schedule(request).await.unwrap_err();
    assert_eq!(fields(&status), ["request_id"]);
    for status in [
        client
            .cancel_run(v1::CancelRunRequest {
                name: "nowhere".to_owned(),
            })
            .await
            .map(drop),
        client
            .watch_run(v1::WatchRunRequest {
                name: "nowhere".to_owned(),
            })
            .await
            .map(drop),
        client
            .read_log(v1::ReadLogRequest {
                run: "nowhere".to_owned(),
                follow: true,
            })
            .await
            .map(drop),
    ] {
        assert_eq!(status.unwrap_err().code(), Code::NotFound);
    }
}

/// A run to its end, as it is watched.
pub(crate) async fn watched(client: &mut Client, name: &str) -> Vec<v1::Run> {
    let name = name.to_owned();
    let stream = client.watch_run(v1::WatchRunRequest { name }).await;
    let mut stream = stream.unwrap().into_inner();
    let mut seen = Vec::new();
    let watching = async {
        while let Some(run) = stream.message().await.unwrap() {
            seen.push(run);
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), watching).await;
    ended.expect("it ends");
    seen
}
