//! Operators of a test's own, beside the one that all tests share: each sees the objects with its label and no
//! others, so that it can be stopped and started, and what is between it and the API server be broken.

use std::sync::Arc;

use backuper::postgres::SslMode;
use http::{Method, Request, Uri};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use scheduler::operator::{Operator, Settings};
use scheduler::service::Service;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::util::MapRequestLayer;

use crate::cluster::Cluster;
use crate::kubernetes::between::{Between, Fate};
use crate::testbed::runtime;

/// On the objects that are not for the operator that all tests share: whose they are.
pub(super) const LABEL: &str = "tests/operator";

/// Narrows lists and watches of our kinds.
pub(super) fn seeing(
    selector: String,
) -> MapRequestLayer<impl Fn(Request<Body>) -> Request<Body> + Clone> {
    MapRequestLayer::new(move |mut request: Request<Body>| {
        if let Some(uri) = narrowed(request.method(), request.uri(), &selector) {
            *request.uri_mut() = uri;
        }
        request
    })
}

/// What the shared operator sees.
pub(super) fn seeing_the_others() -> MapRequestLayer<impl Fn(Request<Body>) -> Request<Body> + Clone>
{
    seeing(format!("!{LABEL}"))
}

fn narrowed(method: &Method, uri: &Uri, selector: &str) -> Option<Uri> {
    let kind = uri.path().strip_prefix("/apis/dbtether.io/v1alpha1/")?;
    if *method != Method::GET || kind.contains('/') {
        return None;
    }
    let selector = selector.replace('!', "%21").replace('=', "%3D");
    let query = uri.query().unwrap_or_default();
    let whole = format!("{}?{query}&labelSelector={selector}", uri.path());
    Some(whole.parse().expect("a URI"))
}

/// An operator that works until it is killed.
pub(super) struct Own {
    working: JoinHandle<()>,
    _leading: watch::Sender<bool>,
}

impl Own {
    /// One that sees what has this label, by way of `between`.
    pub(super) fn start(cluster: &Cluster, label: &str, between: &Between) -> Self {
        let client = client(cluster, label, between);
        Self::work(Operator::new(client, settings()))
    }

    /// The same with the kinds about backups, whose runs are this service's.
    pub(super) fn start_serving(cluster: &Cluster, label: &str, service: Service) -> Self {
        let client = client(cluster, label, &nothing_between());
        Self::work(Operator::new(client, settings()).serving(service))
    }

    fn work(operator: Operator) -> Self {
        let operator = Arc::new(operator);
        let (leading, leads) = watch::channel(true);
        let working = runtime().spawn(async move {
            Box::pin(operator.work(leads, CancellationToken::new())).await;
        });
        Self {
            working,
            _leading: leading,
        }
    }

    /// As the kernel kills it: in the middle of whatever it does, with all its connections.
    pub(super) async fn kill(self) {
        self.working.abort();
        let ended = self.working.await;
        assert!(
            ended.is_err_and(|it| it.is_cancelled()),
            "it has not ended by itself"
        );
    }
}

fn settings() -> Settings {
    Settings {
        sslmode: SslMode::Prefer,
        all_namespaces: true,
        all_databases: true,
    }
}

/// What changes nothing.
pub(super) fn nothing_between() -> Between {
    Between::new(|_| Fate::Sent)
}

fn client(cluster: &Cluster, label: &str, between: &Between) -> Client {
    let mut config = cluster.config();
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).unwrap();
    let seeing = seeing(format!("{LABEL}={label}"));
    builder.with_layer(between).with_layer(&seeing).build()
}

#[test]
fn an_operator_of_a_test_sees_its_own_objects() {
    let of = |uri: &str| narrowed(&Method::GET, &uri.parse().unwrap(), "tests/operator=a");
    let list = of("/apis/dbtether.io/v1alpha1/databases?&limit=500").unwrap();
    assert!(
        list.to_string()
            .ends_with("limit=500&labelSelector=tests/operator%3Da")
    );
    assert!(of("/apis/dbtether.io/v1alpha1/dbclusters/one").is_none());
    assert!(of("/api/v1/secrets?watch=true").is_none());
}
