//! Our HTTP client as the SDK wants it.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use crate::storage::http::{Broken, Http};

/// Speaks HTTP for the SDK.
#[derive(Clone, Debug)]
pub(super) struct Connector(Http);

impl Connector {
    pub(super) fn shared(http: Http) -> SharedHttpClient {
        SharedHttpClient::new(Self(http))
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let is_object = is_object(request.uri());
        let response = self.0.send(request, is_object).await.map_err(failed)?;
        let response = response.map(SdkBody::from_body_1_x);
        HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
    }
}

/// Whether a request is for an object's content, as the SDK says it.
fn is_object(uri: &http::Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    query.split('&').any(|it| it == "x-id=GetObject")
}

fn failed(error: Broken) -> ConnectorError {
    if error.is_timeout() {
        return ConnectorError::timeout(error.into());
    }
    match error {
        Broken::Unsendable(error) => ConnectorError::user(error.into()),
        error => ConnectorError::io(error.into()),
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Connector {
    /// A request's own read time-out is how long nothing may happen to it.
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let http = self.0.clone();
        SharedHttpConnector::new(Self(match settings.read_timeout() {
            Some(idle) => http.with_idle(idle),
            None => http,
        }))
    }
}
