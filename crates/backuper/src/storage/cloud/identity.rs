//! Who we are at a cloud: tokens and signatures are Apache's object_store's, which knows where each
//! cloud gives them to its own machines. Its requests for them go our way: our proxies, our
//! authorities.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use http_body_util::Full;
use object_store::azure::{AzureAuthorizer, AzureCredential};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::gcp::GcpCredential;
use object_store::{ClientOptions, CredentialProvider, RetryConfig};

use super::error::Failed;
use super::{Answer, whole};
use crate::storage::Kind;
use crate::storage::http::Http;
use crate::text::deepest_cause;

/// How long whoever gives tokens may take, tries and all.
const TOKEN_WITHIN: Duration = Duration::from_secs(60);

/// Who signs a request.
#[derive(Clone, Debug)]
pub(in crate::storage) enum Identity {
    /// Nobody: an emulator asks for no name.
    Anonymous,
    /// A token of Google's.
    Google {
        credentials: Arc<dyn CredentialProvider<Credential = GcpCredential>>,
        tokens: TokenEndpoint,
    },
    /// A key, a token or a shared access signature of Azure's.
    Azure {
        credentials: Arc<dyn CredentialProvider<Credential = AzureCredential>>,
        account: String,
        tokens: TokenEndpoint,
    },
}

impl Identity {
    /// Puts in who asks, as of now: tokens expire and are renewed.
    pub(super) async fn sign(&self, request: &mut http::Request<()>) -> Result<(), Failed> {
        match self {
            Self::Anonymous => {}
            Self::Google {
                credentials,
                tokens,
            } => {
                let token = tokens.asked(credentials.get_credential().await)?;
                let value = HeaderValue::from_str(&format!("Bearer {}", token.bearer));
                let mut value = value.map_err(|_secret| no_header())?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            Self::Azure {
                credentials,
                account,
                tokens,
            } => {
                let credential = tokens.asked(credentials.get_credential().await)?;
                let mut signed = request.clone().map(|()| HttpRequestBody::empty());
                AzureAuthorizer::new(&credential, account)
                    .try_authorize(&mut signed)
                    .map_err(|it| Failed::permanent(Kind::Misconfigured, &deepest_cause(&it)))?;
                *request = signed.map(|_empty| ());
            }
        }
        Ok(())
    }
}

fn no_header() -> Failed {
    Failed::permanent(
        Kind::Misconfigured,
        "the token that was given has characters that no request can carry",
    )
}

/// How tokens are asked for.
#[derive(Clone, Debug)]
pub(in crate::storage) struct TokenEndpoint {
    http: Http,
    /// What was last answered: 0 where nothing was.
    status: Arc<AtomicU16>,
}

impl TokenEndpoint {
    pub(in crate::storage) fn new(http: &Http) -> Self {
        Self {
            http: http.clone(),
            status: Arc::default(),
        }
    }

    /// How often and how long is asked, where a request is tried as often as this.
    pub(in crate::storage) fn retries(attempts: u32) -> RetryConfig {
        RetryConfig {
            max_retries: usize::try_from(attempts.saturating_sub(1)).unwrap_or(0),
            retry_timeout: TOKEN_WITHIN,
            ..RetryConfig::default()
        }
    }

    fn asked<T>(&self, given: object_store::Result<T>) -> Result<T, Failed> {
        given.map_err(|error| {
            let reason = format!("asking for a token failed: {}", deepest_cause(&error));
            let kind = match self.status.load(Ordering::Relaxed) {
                400..=404 => Kind::UnknownKey,
                _ => Kind::CredentialsUnavailable,
            };
            // It was tried again already.
            Failed::permanent(kind, &reason)
        })
    }
}

impl HttpConnector for TokenEndpoint {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for TokenEndpoint {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let request = request.map(|it| Full::new(it.as_bytes().cloned().unwrap_or_default()));
        let answer = self.http.send(request, false).await;
        let (parts, body) = answer
            .map_err(|error| {
                self.status.store(0, Ordering::Relaxed);
                let kind = if error.is_timeout() {
                    HttpErrorKind::Timeout
                } else {
                    HttpErrorKind::Connect
                };
                HttpError::new_boxed(kind, error.into())
            })?
            .into_parts();
        self.status.store(parts.status.as_u16(), Ordering::Relaxed);
        let answer = Answer {
            status: parts.status,
            headers: parts.headers.clone(),
            body,
        };
        let answer = whole(answer).await.map_err(|failed| {
            HttpError::new_boxed(HttpErrorKind::Interrupted, failed.reason.into())
        })?;
        Ok(http::Response::from_parts(
            parts,
            HttpResponseBody::from(answer.body),
        ))
    }
}
