//! The gRPC server: the BackupService, reflection in both versions, health.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic::{Code, Request, Response, Status};
use tonic_health::server::HealthReporter;

use super::authenticate::{Authentication, Shown};
use super::proto::backup_service_server::{BackupService, BackupServiceServer};
use super::proto::{
    BackupRequest, BackupResponse, BackupRestore, BackupRestoreResponse, DESCRIPTORS,
    UpdateBackupRequest,
};
use super::tls::Certificates;
use super::{convert, status};
use crate::domain::callers::Caller;
use crate::engine::StartedBy;
use crate::listener::{Connection, Listener};
use crate::metrics::Metrics;
use crate::service::{RestoreAnswer, ScheduleAnswer, Service};

/// How long one call may take; its client may have given up long before.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest message that is read, in bytes: names, keys and passwords of 16 KiB each are longer than
/// anybody's.
const MESSAGE: usize = 128 << 10;
/// How much of a database's name stands in a call's line.
const SHOWN: usize = 256;
/// How often a client is asked whether it is there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(15);
/// How long a connection may last: clients connect again by themselves.
const AGE: Duration = Duration::from_secs(3_600);
/// Calls of one connection at once.
const STREAMS: u32 = 128;
/// How long the end of serving may take to reach those who watch.
const TOLD: Duration = Duration::from_millis(100);
/// Connections that wait for the server to take them.
const WAITING: usize = 64;

/// What keeps the server from serving.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The descriptors cannot be served.
    #[error("describe the services")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server broke.
    #[error("serve gRPC")]
    Serve(#[source] tonic::transport::Error),
}

/// The BackupService as the wire has it.
#[derive(Debug)]
pub struct Api {
    service: Service,
    metrics: Metrics,
    authentication: Authentication,
}

/// Who calls, from where, and what for.
struct Asked {
    shown: Shown,
    address: String,
    /// The database, as the caller has written it.
    database: String,
}

impl Asked {
    fn by<T>(request: &Request<T>, database: &str) -> Self {
        let address = request.remote_addr();
        Self {
            shown: Shown::by(request),
            address: address.map_or_else(String::new, |it| it.to_string()),
            // It may be anything, and anybody's.
            database: database.chars().take(SHOWN).collect(),
        }
    }
}

impl Api {
    /// The wire's side of the use cases.
    #[must_use]
    pub fn new(service: Service, metrics: Metrics, authentication: Authentication) -> Self {
        Self {
            service,
            metrics,
            authentication,
        }
    }

    async fn counted<T>(
        &self,
        method: &'static str,
        asked: Asked,
        work: impl AsyncFnOnce(&Caller) -> Result<T, Status>,
    ) -> Result<Response<T>, Status> {
        let mut call = self.metrics.call(method);
        let Asked {
            shown,
            address,
            database,
        } = asked;
        let (caller, outcome) = match self.authentication.caller(shown).await {
            Ok(caller) => {
                let outcome = work(&caller).await;
                (caller.name, outcome)
            }
            Err(status) => ("nobody".to_owned(), Err(status)),
        };
        let code = outcome.as_ref().err().map_or(Code::Ok, Status::code);
        call.answered(word(code));
        // Who has changed what, from where, and how that ended.
        match &outcome {
            Ok(_) => {
                tracing::info!(caller, %address, method, database, code = word(code), "answered");
            }
            Err(status) => {
                tracing::warn!(caller, %address, method, database, code = word(code), error = status.message(), "refused");
            }
        }
        outcome.map(Response::new)
    }

    async fn backup(
        &self,
        caller: &Caller,
        request: BackupRequest,
    ) -> Result<BackupResponse, Status> {
        let checks = self.service.checks().unless(request.skip_checks);
        let plan = convert::plan(request).map_err(|it| status::invalid(&it))?;
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
        } = convert::change(request).map_err(|it| status::invalid(&it))?;
        let changed = self.service.change(caller, &namespace, name, plan).await;
        let changed = changed.map_err(|it| status::failed(&it))?;
        Ok(self.scheduled("updated", &changed))
    }

    fn scheduled(&self, verb: &str, scheduled: &ScheduleAnswer) -> BackupResponse {
        let ScheduleAnswer {
            name,
            put,
            next,
            short_history,
        } = scheduled;
        let next = next.map_or_else(String::new, |it| format!("; the next run is at {it}"));
        let short = short_history.map_or_else(String::new, |it| {
            format!("; with this max_backup_count no backup that is kept is older than {it:#}")
        });
        BackupResponse {
            status: format!("{verb}: {put}{next}{short}"),
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
        let restore = convert::restore(request).map_err(|it| status::invalid(&it))?;
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
                "this restore has ended well already, and was not begun again; give it another request_id to restore once more".to_owned()
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
impl BackupService for Api {
    async fn backup(
        &self,
        request: Request<BackupRequest>,
    ) -> Result<Response<BackupResponse>, Status> {
        let asked = Asked::by(&request, &database_of(request.get_ref()));
        let work = async |caller: &Caller| self.backup(caller, request.into_inner()).await;
        self.counted("Backup", asked, work).await
    }

    async fn update(
        &self,
        request: Request<UpdateBackupRequest>,
    ) -> Result<Response<BackupResponse>, Status> {
        let plan = request.get_ref().request.as_ref();
        let asked = Asked::by(&request, &plan.map(database_of).unwrap_or_default());
        let work = async |caller: &Caller| self.update(caller, request.into_inner()).await;
        self.counted("Update", asked, work).await
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
        let asked = Asked::by(&request, &format!("{db_uri}:{db_port}/{db_name}"));
        let work = async |caller: &Caller| self.restore(caller, request.into_inner()).await;
        self.counted("Restore", asked, work).await
    }
}

/// Serves until stopped: health says so first, then nobody new is let in, and who is in is served
/// to the end.
///
/// # Errors
/// What kept it from serving.
pub async fn serve(
    listener: Listener,
    tls: Option<Certificates>,
    api: Api,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<BackupServiceServer<Api>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What errors have as details: without it grpcurl prints them in base64.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let server = Server::builder()
        .timeout(CALL_TIMEOUT)
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PONG))
        .max_connection_age(AGE)
        .max_connection_age_grace(CALL_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(BackupServiceServer::new(api).max_decoding_message_size(MESSAGE));
    // Nobody new is let in when those who watch have been told, and not before.
    let closed = CancellationToken::new();
    let closing = closed.clone();
    let stopped = async move {
        stop.cancelled().await;
        go_off(reporter).await;
        closing.cancel();
    };
    let served = match tls {
        Some(certificates) => {
            let clients = certificates.accept(listener, closed);
            server.serve_with_incoming_shutdown(clients, stopped).await
        }
        None => {
            let clients = accept(listener, closed);
            server.serve_with_incoming_shutdown(clients, stopped).await
        }
    };
    served.map_err(Error::Serve)
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

/// The clients of a listener, until stopped.
fn accept(
    mut listener: Listener,
    stop: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (inside, clients) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                (client, _address) = listener.accept() => {
                    if inside.send(Ok(client)).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    ReceiverStream::new(clients)
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream().connect_info()
    }
}

/// Says that it does not serve any more, and then ends the watches: whoever watches would keep the
/// server from ending.
async fn go_off(mut reporter: HealthReporter) {
    let services = [<BackupServiceServer<Api> as NamedService>::NAME, ""];
    for service in services {
        let not_serving = tonic_health::ServingStatus::NotServing;
        reporter.set_service_status(service, not_serving).await;
    }
    tokio::time::sleep(TOLD).await;
    for service in services {
        reporter.clear_service_status(service).await;
    }
}

/// The code's name in metrics.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
