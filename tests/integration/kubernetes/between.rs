//! What stands between an engine and the API server: requests that are lost, held back or refused,
//! answers that are lost, and an API server whose clock is ahead.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::DATE;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as HttpBody;
use http_body_util::{Either, Full};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::client::{Body, ClientBuilder};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::limited_config;
use crate::cluster::Namespace;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    Sent,
    Lost,
    /// It is sent, and its answer is lost.
    Unheard,
    /// The API server answers with this code and does nothing.
    Refused(u16),
    /// It arrives nowhere, and nobody says so.
    Silent,
    /// It is sent when somebody adds a permit.
    Held(Arc<Semaphore>),
}

impl std::fmt::Debug for Between {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Between").finish_non_exhaustive()
    }
}

type Decide = dyn Fn(&Request<Body>) -> Fate + Send + Sync;
type Hear = dyn Fn(&Method, &Uri, StatusCode) + Send + Sync;

/// Decides about requests, hears how they are answered, and sets the API server's clock ahead.
#[derive(Clone)]
pub(crate) struct Between {
    fate: Arc<Decide>,
    hear: Arc<Hear>,
    ahead: Duration,
}

impl Between {
    pub(crate) fn new(fate: impl Fn(&Request<Body>) -> Fate + Send + Sync + 'static) -> Self {
        Self {
            fate: Arc::new(fate),
            hear: Arc::new(|_, _, _| {}),
            ahead: Duration::ZERO,
        }
    }

    /// One that changes nothing, and hears how requests are answered.
    pub(crate) fn hearing(
        hear: impl Fn(&Method, &Uri, StatusCode) + Send + Sync + 'static,
    ) -> Self {
        Self {
            hear: Arc::new(hear),
            ..Self::new(|_| Fate::Sent)
        }
    }

    /// An API server whose clock is ahead of ours.
    pub(super) fn clock_ahead(ahead: Duration) -> Self {
        Self {
            ahead,
            ..Self::new(|_| Fate::Sent)
        }
    }

    pub(super) async fn engine(self, namespace: &Namespace, settings: Settings) -> Kubernetes {
        let mut config = limited_config(namespace).await;
        config.default_retry = false;
        let builder = ClientBuilder::try_from(config).expect("a client");
        Kubernetes::new(builder.with_layer(&self).build(), settings)
    }
}

/// Whether a request writes a Secret.
pub(super) fn writes_a_secret(request: &Request<Body>) -> bool {
    request.method() == Method::PATCH && request.uri().path().contains("/secrets/")
}

#[derive(Debug)]
pub(crate) struct BetweenService<S> {
    inner: Arc<Mutex<S>>,
    rules: Between,
}

impl<S> Layer<S> for Between {
    type Service = BetweenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BetweenService {
            inner: Arc::new(Mutex::new(inner)),
            rules: self.clone(),
        }
    }
}

impl<S, B> Service<Request<Body>> for BetweenService<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<B, Full<Bytes>>>;
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(
        &mut self,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        // What is lost needs nobody who is ready.
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, rules) = (self.inner.clone(), self.rules.clone());
        Box::pin(async move {
            let fate = (rules.fate)(&request);
            match &fate {
                Fate::Sent | Fate::Unheard => {}
                Fate::Lost => return Err("it is lost".into()),
                Fate::Refused(code) => return refusal(*code),
                Fate::Silent => std::future::pending().await,
                Fate::Held(until) => until.acquire().await?.forget(),
            }
            let mut inner = inner.lock().await;
            let ready = inner.ready().await.map_err(Into::into)?;
            let (method, uri) = (request.method().clone(), request.uri().clone());
            let answer = ready.call(request);
            drop(inner);
            let mut answer = answer.await.map_err(Into::into)?;
            (rules.hear)(&method, &uri, answer.status());
            if matches!(fate, Fate::Unheard) {
                return Err("its answer is lost".into());
            }
            if let Some(date) = answer.headers_mut().get_mut(DATE) {
                let told = rfc2822::DateTimeParser::new().parse_timestamp(date.as_bytes());
                *date = as_http(told? + rules.ahead).parse()?;
            }
            Ok(answer.map(Either::Left))
        })
    }
}

fn refusal<B>(code: u16) -> Result<Response<Either<B, Full<Bytes>>>, BoxError> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "not now", "reason": "Any", "code": code,
    });
    let answer = Response::builder().status(code);
    Ok(answer.body(Either::Right(status.to_string().into()))?)
}

fn as_http(time: Timestamp) -> String {
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
