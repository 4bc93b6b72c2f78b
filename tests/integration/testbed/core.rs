//! The oiler-backup core as the workers see it: BackupMetricsService, in several moods.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{block_on, runtime};

/// How the core behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes every report.
    Recording,
    /// As released: takes backups' reports, answers UNIMPLEMENTED to restores'.
    Released,
    /// Takes calls and never answers.
    Hanging,
}

/// What a worker reported. The same fields and numbers serve BackupMetrics and RestoreMetrics.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Report {
    /// backup_name or restore_name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Whether it went well.
    #[prost(bool, tag = "2")]
    pub success: bool,
    /// Milliseconds.
    #[prost(int64, tag = "3")]
    pub time_elapsed: i64,
}

/// A core. Dropped, it stops.
#[derive(Debug)]
pub struct Core {
    port: u16,
    book: Arc<Book>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Book {
    backups: Mutex<Vec<Report>>,
    restores: Mutex<Vec<Report>>,
}

impl Core {
    /// Starts one.
    pub fn start(mood: Mood) -> Self {
        let book = Arc::new(Book::default());
        let service = Metrics {
            mood,
            book: book.clone(),
        };
        let listener = block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let serving = runtime().spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("the core serves");
        });
        Self {
            port,
            book,
            serving,
        }
    }

    /// What `CORE_ADDR` takes.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All that ReportSuccessfulBackup was told.
    pub fn backups(&self) -> Vec<Report> {
        self.book.backups.lock().expect("no panics").clone()
    }

    /// All that ReportRestoreStatus was told.
    pub fn restores(&self) -> Vec<Report> {
        self.book.restores.lock().expect("no panics").clone()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct Metrics {
    mood: Mood,
    book: Arc<Book>,
}

impl NamedService for Metrics {
    const NAME: &'static str = "backupmetrics.BackupMetricsService";
}

impl Service<http::Request<Body>> for Metrics {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        let call = Call {
            restore: method == "ReportRestoreStatus",
            known: matches!(method, "ReportRestoreStatus" | "ReportSuccessfulBackup"),
            metrics: self.clone(),
        };
        let mut grpc = Grpc::new(ProstCodec::<(), Report>::default());
        Box::pin(async move { Ok(grpc.unary(call, request).await) })
    }
}

struct Call {
    restore: bool,
    known: bool,
    metrics: Metrics,
}

impl UnaryService<Report> for Call {
    type Response = ();
    type Future = BoxFuture<Response<()>, Status>;

    fn call(&mut self, request: Request<Report>) -> Self::Future {
        let Metrics { mood, book } = self.metrics.clone();
        let (restore, known) = (self.restore, self.known);
        Box::pin(async move {
            if mood == Mood::Hanging {
                std::future::pending::<()>().await;
            }
            if !known || (restore && mood == Mood::Released) {
                return Err(Status::unimplemented("unknown method"));
            }
            let reports = if restore {
                &book.restores
            } else {
                &book.backups
            };
            reports
                .lock()
                .expect("no panics")
                .push(request.into_inner());
            Ok(Response::new(()))
        })
    }
}
