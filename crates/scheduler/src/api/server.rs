//! The gRPC server: the contract's service and ours, reflection in both versions, health.

use std::io;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic_health::server::HealthReporter;

use super::authenticate::Authentication;
use super::calls::Calls;
use super::oiler::Oiler;
use super::operations::Ours;
use super::proto::backup_service_server::BackupServiceServer;
use super::proto::v1::operations_server::OperationsServer;
use super::proto::{DESCRIPTORS, OPERATIONS};
use super::tls::Certificates;
use crate::listener::{Connection, Listener};
use crate::metrics::Metrics;
use crate::service::Service;

/// How long one call may take; its client may have given up long before.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest message that is read, in bytes: names, keys and passwords of 16 KiB each are longer than
/// anybody's.
const MESSAGE: usize = 128 << 10;
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

/// The services whose health is told.
const SERVED: [&str; 2] = [
    <BackupServiceServer<Oiler> as NamedService>::NAME,
    <OperationsServer<Ours> as NamedService>::NAME,
];

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

/// What is served, and to whom.
#[derive(Debug)]
pub struct Api {
    service: Service,
    calls: Calls,
}

impl Api {
    /// The wire's side of the use cases.
    #[must_use]
    pub fn new(service: Service, metrics: Metrics, authentication: Authentication) -> Self {
        let calls = Calls::new(metrics, authentication);
        Self { service, calls }
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
    for served in SERVED {
        let serving = tonic_health::ServingStatus::Serving;
        reporter.set_service_status(served, serving).await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(OPERATIONS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What errors have as details: without it grpcurl prints them in base64.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let Api { service, calls } = api;
    let oiler = BackupServiceServer::new(Oiler::new(service.clone(), calls.clone()));
    let ours = OperationsServer::new(Ours::new(service, calls, stop.clone()));
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
        .add_service(oiler.max_decoding_message_size(MESSAGE))
        .add_service(ours.max_decoding_message_size(MESSAGE));
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
        let none = TcpConnectInfo {
            local_addr: None,
            remote_addr: None,
        };
        self.tcp().map_or(none, Connected::connect_info)
    }
}

/// Says that it does not serve any more, and then ends the watches: whoever watches would keep the
/// server from ending.
async fn go_off(mut reporter: HealthReporter) {
    let services = SERVED.into_iter().chain([""]);
    for service in services.clone() {
        let not_serving = tonic_health::ServingStatus::NotServing;
        reporter.set_service_status(service, not_serving).await;
    }
    tokio::time::sleep(TOLD).await;
    for service in services {
        reporter.clear_service_status(service).await;
    }
}
