//! An API server that refuses any one call, or does not answer it: what is asked for is done all the
//! same, or the error says that asking again may help; and nothing half made is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use http_body_util::{Either, Full};
use kube::client::{Body, ClientBuilder};
use scheduler::engine::kubernetes::Kubernetes;
use scheduler::engine::kubernetes::settings::Settings;
use scheduler::engine::{Engine as _, Error, Kind, Whose};
use serde_json::json;
use tower::{BoxError, Layer, Service};

use super::{
    is_suspended, limited_client, limited_config, nothing_runs_without_its_secret, restore,
    schedule, settings,
};
use crate::cluster::{Cluster, Namespace};

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Code(u16),
    /// The call arrives nowhere, and nobody says so.
    Silence,
}

const REFUSALS: [Refusal; 5] = [
    Refusal::Code(410),
    Refusal::Code(429),
    Refusal::Code(500),
    Refusal::Code(503),
    Refusal::Silence,
];

/// Refuses the call of this number, and no other.
#[derive(Clone, Debug)]
struct Refusing {
    calls: Arc<AtomicUsize>,
    which: usize,
    refusal: Refusal,
}

#[derive(Clone, Debug)]
struct RefusingService<S> {
    inner: S,
    rules: Refusing,
}

impl<S> Layer<S> for Refusing {
    type Service = RefusingService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RefusingService {
            inner,
            rules: self.clone(),
        }
    }
}

impl<S, B> Service<Request<Body>> for RefusingService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
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
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Refusing {
            calls,
            which,
            refusal,
        } = &self.rules;
        if calls.fetch_add(1, Ordering::SeqCst) != *which {
            let call = self.inner.call(request);
            return Box::pin(async { Ok(call.await.map_err(Into::into)?.map(Either::Left)) });
        }
        match *refusal {
            Refusal::Silence => Box::pin(std::future::pending()),
            Refusal::Code(code) => Box::pin(async move {
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "not now", "reason": "Any", "code": code,
                });
                let answer = Response::builder().status(code);
                Ok(answer.body(Either::Right(status.to_string().into()))?)
            }),
        }
    }
}

/// An engine whose call of this number is refused.
async fn refused(namespace: &Namespace, which: usize, refusal: Refusal) -> (Kubernetes, Refusing) {
    let mut config = limited_config(namespace).await;
    config.default_retry = false;
    let rules = Refusing {
        calls: Arc::default(),
        which,
        refusal,
    };
    let builder = ClientBuilder::try_from(config).expect("a client");
    let client = builder.with_layer(&rules).build();
    let settings = Settings {
        call_timeout: Duration::from_secs(1),
        ..settings(namespace)
    };
    (Kubernetes::new(client, settings), rules)
}

/// Does something with any one of its calls refused, and then without.
fn at_each_call(
    attempt: &impl AsyncFn(&Kubernetes) -> Result<(), Error>,
    then: &impl AsyncFn(&Namespace),
) {
    Cluster::shared().within(async |outer| {
        for refusal in REFUSALS {
            for which in 0.. {
                let namespace = Namespace::create(outer.cluster).await;
                let (engine, rules) = refused(&namespace, which, refusal).await;
                if let Err(error) = attempt(&engine).await {
                    assert_eq!(
                        error.kind(),
                        Kind::Unavailable,
                        "{which} {refusal:?}: {error:?}"
                    );
                }
                nothing_runs_without_its_secret(&namespace).await;
                let calls = rules.calls.load(Ordering::SeqCst);
                let settings = Settings {
                    abandoned_after: Duration::ZERO,
                    ..settings(&namespace)
                };
                let whole = Kubernetes::new(limited_client(&namespace).await, settings);
                attempt(&whole).await.expect("nothing is in its way");
                nothing_runs_without_its_secret(&namespace).await;
                then(&namespace).await;
                namespace.remove().await;
                if calls <= which {
                    assert!(which >= 3, "it takes more calls than {which}");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_schedule_is_made_or_can_be_asked_for_again_whichever_call_is_refused() {
    at_each_call(
        &async |engine: &Kubernetes| {
            let wanted = schedule("backup-0a1b2c3d-postgres", "it");
            engine.put(&wanted, Whose::Its).await.map(drop)
        },
        &async |namespace: &Namespace| {
            let all = namespace.cron_jobs().await;
            assert!(all.len() == 1 && !is_suspended(&all[0]), "{all:?}");
        },
    );
}

#[test]
fn a_restore_is_begun_once_or_can_be_asked_for_again_whichever_call_is_refused() {
    at_each_call(
        &async |engine: &Kubernetes| engine.start(&restore("shop", "0")).await.map(drop),
        &async |namespace: &Namespace| assert_eq!(namespace.started_jobs().await.len(), 1),
    );
}
