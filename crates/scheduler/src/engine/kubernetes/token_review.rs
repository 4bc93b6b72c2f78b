//! Whose a token is that Kubernetes has issued: the API server is asked by a TokenReview.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client, Config};
use secrecy::{ExposeSecret as _, SecretString};

use super::error::{answered, silent};
use crate::domain::callers::User;
use crate::engine::{Error, Kind};

/// How long the API server may take.
const TIMEOUT: Duration = Duration::from_secs(5);
const ASK: &str =
    "ask the cluster whose token this is (the ClusterRole system:auth-delegator permits that)";

/// Asks whose a token is.
#[derive(Clone)]
pub struct TokenReviews {
    client: Client,
    audience: String,
}

impl fmt::Debug for TokenReviews {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TokenReviews")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl TokenReviews {
    /// Asks this cluster; tokens must have been issued for this audience.
    ///
    /// # Errors
    /// When the configuration is unusable.
    pub fn connect(mut config: Config, audience: impl Into<String>) -> Result<Self, Error> {
        config.connect_timeout = Some(Duration::from_secs(2));
        config.default_retry = false;
        let client = Client::try_from(config)
            .map_err(|error| answered("prepare to speak to the cluster", error))?;
        Ok(Self {
            client,
            audience: audience.into(),
        })
    }

    /// Asks the cluster that we run in, or that the kubeconfig names.
    ///
    /// # Errors
    /// When there is none, or its configuration is unusable.
    pub async fn infer(audience: impl Into<String>) -> Result<Self, Error> {
        let config = Config::infer()
            .await
            .map_err(|error| Error::new("find a cluster to speak to", Kind::Precondition, error))?;
        Self::connect(config, audience)
    }

    /// Whose it is; none: it is nobody's, or no longer, or was issued for others to read.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn user(&self, token: &SecretString) -> Result<Option<User>, Error> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.clone()]),
                token: Some(token.expose_secret().to_owned()),
            },
            ..TokenReview::default()
        };
        let reviews = Api::all(self.client.clone());
        let (once, parameters) = (&review, PostParams::default());
        let asked = tokio::time::timeout(TIMEOUT, reviews.create(&parameters, once)).await;
        let reviewed = asked
            .map_err(|_elapsed| silent(ASK, TIMEOUT))?
            .map_err(|error| answered(ASK, error))?;
        let status = reviewed.status.unwrap_or_default();
        // A cluster that knows no audiences names none, and would let in every token.
        let is_for_us = status.audiences.iter().flatten();
        let is_for_us = is_for_us.into_iter().any(|it| *it == self.audience);
        if status.authenticated != Some(true) || !is_for_us {
            let why = status.error.unwrap_or_default();
            tracing::info!(
                audience = self.audience,
                error = why,
                "the cluster does not vouch for a token"
            );
            return Ok(None);
        }
        let user = status.user.unwrap_or_default();
        Ok(user.username.map(|name| User {
            name,
            groups: user.groups.unwrap_or_default(),
        }))
    }
}
