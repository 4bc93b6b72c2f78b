//! A scheduler's life from start to end.

mod access;
mod declared;
mod drilling;
pub mod operating;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backuper::postgres::tools::Tools;
use backuper::runtime::failure::{Failure, Verdict};
use backuper::runtime::shutdown::Shutdown;
use backuper::text;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::Admin;
use crate::api::authenticate::Authentication;
use crate::api::probe;
use crate::api::server::{self, Api};
use crate::api::tls::Certificates;
use crate::config::{Choice, Config};
use crate::engine::kubernetes::Kubernetes;
use crate::engine::local::Local;
use crate::engine::{Engine, Kind, Tidied};
use crate::listener::{Limits, Listener};
use crate::metrics::Metrics;
use crate::observer::Observer;
use crate::service::Service;
use crate::service::declared::Declared;
use crate::service::ledger::Ledger;
use crate::workers::Workers;
use operating::Operating;

/// How long running calls and workers have to end; the process is gone within 10 seconds.
const FAREWELL: Duration = Duration::from_secs(7);
/// How long a Service may take to send its clients elsewhere, once we are not ready any more.
const DRAIN: Duration = Duration::from_secs(2);
/// Connections of the administrator's port: probes and Prometheus need a few.
const ADMIN_CONNECTIONS: usize = 256;
/// How often the leader tidies up.
const TIDYING: Duration = Duration::from_secs(5 * 60);
/// Before it tries again what it could not do.
const TIDYING_AGAIN: Duration = Duration::from_secs(15);

/// Serves until a signal; gives the sentence that ends the log.
///
/// # Errors
/// What is wrong and what to do about it, with the exit code.
pub async fn scheduler(config: &Config, shutdown: &Shutdown) -> Result<String, Failure> {
    if let Some((address, trust)) = config.serving.probed()? {
        return probe::ask(&address, &trust).await;
    }
    let mut files = config.serving.tls()?;
    let authentication = access::authentication(config, files.as_mut(), shutdown.token()).await?;
    let has_tls = files.is_some();
    let tls = files.map(Certificates::read).transpose()?;
    let clients = clients(config).await?;
    // Each backup would be refused for it.
    config.workers.layout.layout().map_err(Failure::refused)?;
    let workers = config.workers();
    config.check_workers().map_err(Failure::refused)?;
    let engine = engine(config, workers.clone()).await?;
    can_work(engine.as_ref()).await?;
    let metrics = Metrics::new().map_err(|error| Failure::refused(error.to_string()))?;
    let ledger = Ledger::awaiting();
    let declared = config.declared.schedules_file.clone();
    let service = Service::new(engine.clone(), workers, ledger.clone(), config.checks());
    let service = match &declared {
        Some(_) => service.beside_a_file(Declared::in_a_file()),
        None => service,
    };
    let operating = Operating::prepare(config, &service).await?;
    let census = operating.as_ref().map(Operating::census);
    let admin = Admin::new(service.clone(), metrics.clone()).with_objects(census);
    let (grpc, http) = ports(config, &metrics).await?;
    let door = tokio::spawn(admin.clone().serve(http));
    let stopped = || Ok("stopped, as asked".to_owned());
    let stop = CancellationToken::new();
    let api = Api::new(service.clone(), metrics.clone(), authentication);
    let mut calls = tokio::spawn(server::serve(grpc, tls, api, stop.clone()));
    let here = socket::listen(config, &metrics);
    let here = here.map(|(listener, socket)| {
        let api = Api::new(
            service.clone(),
            metrics.clone(),
            Authentication::of_machine(),
        );
        let serving = tokio::spawn(server::serve(listener, None, api, stop.clone()));
        (serving, socket)
    });
    let beside = Beside {
        service,
        declared,
        operating,
    };
    let mut work = tokio::spawn(background(engine, ledger, metrics, beside, stop.clone()));
    admin.set_serving(true);
    announce(config, has_tls, &clients);
    let outcome = tokio::select! {
        () = shutdown.token().cancelled() => stopped(),
        ended = &mut calls => Err(broke("the gRPC server", ended.map_err(io::Error::other).and_then(|it| it.map_err(io::Error::other)))),
        ended = &mut work => Err(broke("the engine's work in the background", ended.map_err(io::Error::other))),
        ended = door => Err(broke("the HTTP server", ended.map_err(io::Error::other).and_then(|it| it))),
    };
    admin.set_serving(false);
    if config.choice() == Choice::Kubernetes && outcome.is_ok() {
        tokio::select! {
            () = tokio::time::sleep(DRAIN) => {}
            () = shutdown.urged() => {}
        }
    }
    stop.cancel();
    farewell(calls, work).await;
    drop(here);
    outcome
}

fn announce(config: &Config, has_tls: bool, clients: &str) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %config.address(),
        port = config.serving.port,
        admin_port = config.serving.admin_port,
        tls = has_tls,
        engine = ?config.choice(),
        operator = config.operating.operator,
        %clients,
        "serving"
    );
}

/// The versions of PostgreSQL's programs that workers on this machine will find; in pods it is their
/// image that has them.
async fn clients(config: &Config) -> Result<String, Failure> {
    if config.choice() == Choice::Kubernetes {
        return Ok("the image's".to_owned());
    }
    let installed = Tools::installed(&config.workers.programs).await;
    if installed.is_empty() {
        return Err(Failure::refused(
            "no PostgreSQL client is found on this machine: install postgresql-client of the servers' major, or name its folder in PG_BIN_DIRS",
        ));
    }
    let versions: Vec<&str> = installed.iter().map(Tools::version).collect();
    Ok(versions.join(", "))
}

/// The engine that the settings mean.
async fn engine(config: &Config, workers: Workers) -> Result<Arc<dyn Engine>, Failure> {
    match config.choice() {
        Choice::Kubernetes => {
            let settings = config.cluster.settings(config.limits.limits(), workers)?;
            let engine = Kubernetes::infer(settings).await;
            Ok(Arc::new(engine.map_err(|it| failure(&it))?))
        }
        Choice::Local => {
            let engine = Local::open(config.machine.settings(config.limits.limits(), workers)?);
            Ok(Arc::new(engine.map_err(|it| failure(&it))?))
        }
    }
}

/// The port of gRPC, and the administrator's.
async fn ports(config: &Config, metrics: &Metrics) -> Result<(Listener, Listener), Failure> {
    let limits = Limits::of_this_process();
    let grpc = listen(config, "PORT", config.serving.port).await?;
    let http = listen(config, "ADMIN_PORT", config.serving.admin_port).await?;
    let few = Limits {
        connections: limits.connections.min(ADMIN_CONNECTIONS),
        ..limits
    };
    Ok((
        Listener::new(grpc, limits, metrics.connections("grpc")),
        Listener::new(http, few, metrics.connections("http")),
    ))
}

async fn listen(config: &Config, variable: &str, port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(config.address(), port);
    TcpListener::bind(address).await.map_err(|error| Failure {
        verdict: Verdict::of(error.kind() == io::ErrorKind::AddrInUse),
        sentence: format!("{variable}: {address} cannot be listened on: {error}"),
    })
}

/// What will not pass ends the start; an engine that does not answer may be late, and calls are told so
/// meanwhile.
async fn can_work(engine: &dyn Engine) -> Result<(), Failure> {
    match engine.ready().await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == Kind::Unavailable => {
            tracing::warn!(error = error.chain(), "the engine is not ready yet");
            Ok(())
        }
        Err(error) => Err(failure(&error)),
    }
}

/// What goes on beside calls where the settings ask for it.
struct Beside {
    service: Service,
    /// A file of schedules.
    declared: Option<PathBuf>,
    operating: Option<Operating>,
}

/// Everything that goes on beside calls, until stopped.
async fn background(
    engine: Arc<dyn Engine>,
    ledger: Ledger,
    metrics: Metrics,
    beside: Beside,
    stop: CancellationToken,
) {
    let Beside {
        service,
        declared,
        operating,
    } = beside;
    let (leading, leads) = watch::channel(false);
    let observer = Observer {
        engine: engine.clone(),
        ledger,
        metrics,
        leads: leads.clone(),
    };
    // Runs that the stop itself ends are told as well.
    let told = CancellationToken::new();
    let work = async {
        engine.work(stop.clone(), leading).await;
        told.cancel();
    };
    let following = leads.clone();
    let declaring = async {
        if let Some(path) = &declared {
            declared::follow(&service, path, following, &stop).await;
        }
    };
    let drilling = drilling::follow(&service, leads.clone(), &stop);
    let leader = leads.clone();
    let operating = async {
        if let Some(operating) = operating {
            Box::pin(operating.work(leader, stop.clone())).await;
        }
    };
    tokio::join!(
        work,
        operating,
        observer.run(told.clone()),
        tidy(engine.as_ref(), leads, &stop),
        declaring,
        drilling
    );
}

/// Tidies up every few minutes, as long as this scheduler leads.
async fn tidy(engine: &dyn Engine, mut leads: watch::Receiver<bool>, stop: &CancellationToken) {
    let mut is_first = true;
    loop {
        let waited = tokio::select! {
            () = stop.cancelled() => return,
            leading = leads.wait_for(|it| *it) => leading.map(drop),
        };
        if waited.is_err() {
            return;
        }
        let tidied = tokio::select! {
            () = stop.cancelled() => return,
            tidied = engine.tidy() => tidied,
        };
        let pause = match tidied {
            Ok(tidied) => {
                if is_first || tidied.found_something() {
                    let Tidied {
                        unchanged,
                        updated,
                        removed,
                        left,
                    } = tidied;
                    tracing::info!(
                        unchanged,
                        updated,
                        removed,
                        left,
                        "the schedules are up to date"
                    );
                }
                is_first = false;
                TIDYING
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "tidying up again soon");
                TIDYING_AGAIN
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn farewell(calls: JoinHandle<Result<(), server::Error>>, work: JoinHandle<()>) {
    let both = async {
        // One that has ended before was told of then; a handle is not asked twice.
        if !calls.is_finished()
            && let Ok(Err(error)) = calls.await
        {
            tracing::warn!(error = text::chain(&error), "while stopping");
        }
        if !work.is_finished()
            && let Err(error) = work.await
        {
            tracing::warn!(%error, "while stopping");
        }
    };
    if tokio::time::timeout(FAREWELL, both).await.is_err() {
        tracing::warn!("some calls or workers did not end in time");
    }
}

fn failure(error: &crate::engine::Error) -> Failure {
    let verdict = match error.kind() {
        Kind::Unavailable | Kind::Conflict | Kind::Occupied | Kind::Internal => Verdict::TryAgain,
        Kind::NotFound | Kind::Denied | Kind::Precondition | Kind::Invalid => Verdict::Refused,
    };
    Failure {
        verdict,
        sentence: format!("failed to {}", error.chain()),
    }
}

fn broke(what: &str, ended: io::Result<()>) -> Failure {
    let why = match ended {
        Ok(()) => String::new(),
        Err(error) => format!(": {error}"),
    };
    Failure::try_again(format!("{what} ended{why}"))
}
