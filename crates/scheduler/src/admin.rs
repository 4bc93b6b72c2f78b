//! The administrator's HTTP door: `/livez`, `/readyz`, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;

use crate::listener::Listener;
use crate::metrics::objects::Census;
use crate::metrics::{Metrics, Shown};
use crate::service::Service;

/// What the door shows.
#[derive(Clone, Debug)]
pub struct Admin {
    service: Service,
    metrics: Metrics,
    census: Option<Census>,
    serving: Arc<AtomicBool>,
}

impl Admin {
    /// A door to a scheduler that does not serve yet.
    #[must_use]
    pub fn new(service: Service, metrics: Metrics) -> Self {
        Self {
            service,
            metrics,
            census: None,
            serving: Arc::default(),
        }
    }

    /// The same, which shows the operator's objects too.
    #[must_use]
    pub fn with_objects(self, census: Option<Census>) -> Self {
        Self { census, ..self }
    }

    /// Says whether calls are taken.
    pub fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::SeqCst);
    }

    /// Serves until dropped: who asks while the scheduler stops gets an answer.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(self, listener: Listener) -> std::io::Result<()> {
        let router = Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self);
        axum::serve(listener, router).await
    }
}

async fn ready(State(admin): State<Admin>) -> Response {
    if !admin.serving.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n").into_response();
    }
    match admin.service.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(error = error.chain(), "the engine is not ready");
            let why = format!("the engine is not ready: {}\n", error.chain());
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let Admin {
        service,
        metrics,
        census,
        ..
    } = admin;
    // Ten thousand schedules are 80,000 lines: calls do not wait for them.
    let writing = tokio::task::spawn_blocking(move || {
        let ledger = service.ledger();
        let objects = census.as_ref().map(Census::take);
        if let Some(objects) = &objects {
            metrics.operates(objects.is_some())?;
        }
        metrics.text(|| Shown {
            objects: objects.flatten(),
            schedules: ledger.protections(Timestamp::now()),
            runs: ledger.unfinished(),
            under_way: ledger.under_way(),
            verifications: ledger.verifications(),
        })
    });
    let written = match writing.await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match written {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be shown");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
