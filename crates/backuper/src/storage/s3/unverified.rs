//! The HTTP client of `SECURE=false`.

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use super::client::{ANSWER, CONNECT};

/// Speaks HTTPS and believes every certificate, which the SDK's own client cannot be told to do.
#[derive(Clone, Debug)]
pub(super) struct Unverified(reqwest::Client);

impl Unverified {
    pub(super) fn client() -> Result<SharedHttpClient, reqwest::Error> {
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .connect_timeout(CONNECT)
            .read_timeout(ANSWER)
            // A signature holds for one address, and for requests that nobody changes.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(SharedHttpClient::new(Self(client)))
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::user(error.into()))?;
        let (parts, body) = request.into_parts();
        // Our bodies are whole parts in memory.
        let body = body
            .bytes()
            .map(bytes::Bytes::copy_from_slice)
            .ok_or_else(|| ConnectorError::user("a body that is not in memory".into()))?;
        let request = reqwest::Request::try_from(http::Request::from_parts(parts, body))
            .map_err(|error| ConnectorError::user(error.into()))?;
        let response = self.0.execute(request).await.map_err(|error| {
            if error.is_timeout() {
                ConnectorError::timeout(error.into())
            } else {
                ConnectorError::io(error.into())
            }
        })?;
        let response: http::Response<reqwest::Body> = response.into();
        HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
            .map_err(|error| ConnectorError::other(error.into(), None))
    }
}

impl HttpConnector for Unverified {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Unverified {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
