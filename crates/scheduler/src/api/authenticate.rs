//! Who a call comes from: a client certificate that an authority of ours signed, or a bearer token.

mod list;
mod reviews;

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use tonic::{Request, Status};
use x509_parser::extensions::GeneralName;

use crate::domain::callers::{Caller, Callers, hash};
pub use list::{List, Port};
pub use reviews::{Ask, Reviews};

/// What tells callers apart; without a list everybody is the same.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    callers: Option<watch::Receiver<Arc<Callers>>>,
    reviews: Option<Arc<Reviews>>,
    is_of_machine: bool,
}

/// What a call shows of who has sent it.
#[derive(Debug)]
pub(super) enum Shown {
    /// A bearer token.
    Token(SecretString),
    /// The names in a client certificate; none without one.
    Certificate(Vec<String>),
    /// An `authorization` that is no bearer token, or more than one.
    Unreadable,
}

impl Shown {
    /// A token that is wrong is not made good by a certificate.
    pub(super) fn by<T>(request: &Request<T>) -> Self {
        let mut values = request.metadata().get_all("authorization").iter();
        let Some(value) = values.next() else {
            return Self::Certificate(names(request));
        };
        // Of two, nobody knows which one a proxy has looked at.
        let text = value.to_str().ok().filter(|_| values.next().is_none());
        let token = text.and_then(|it| it.strip_prefix("Bearer "));
        match token {
            Some(token) if !token.is_empty() => Self::Token(token.into()),
            Some(_) | None => Self::Unreadable,
        }
    }
}

impl Authentication {
    /// By this list, as it is at each call. Tokens that are not in it are asked about, where it names
    /// accounts of Kubernetes.
    #[must_use]
    pub fn by(callers: watch::Receiver<Arc<Callers>>, reviews: Option<Reviews>) -> Self {
        Self {
            callers: Some(callers),
            reviews: reviews.map(Arc::new),
            is_of_machine: false,
        }
    }

    /// By the system: whoever may open the socket may read all that the scheduler keeps.
    #[must_use]
    pub fn of_machine() -> Self {
        Self {
            is_of_machine: true,
            ..Self::default()
        }
    }

    /// Who calls.
    pub(super) async fn caller(&self, shown: Shown) -> Result<Caller, Status> {
        if self.is_of_machine {
            return Ok(Caller::of_machine());
        }
        let Some(callers) = &self.callers else {
            return Ok(Caller::anybody());
        };
        let callers = callers.borrow().clone();
        let found = match shown {
            Shown::Token(token) => self.with_token(&callers, token.expose_secret()).await?,
            Shown::Certificate(names) => callers.with_certificate(&names).cloned(),
            Shown::Unreadable => None,
        };
        found.ok_or_else(|| {
            Status::unauthenticated(
                "nobody of the scheduler's list of callers (ACCESS_FILE): a client certificate or `authorization: Bearer TOKEN` of one of them is needed",
            )
        })
    }

    async fn with_token(&self, callers: &Callers, token: &str) -> Result<Option<Caller>, Status> {
        if let Some(caller) = callers.with_token(&hash(token)) {
            return Ok(Some(caller.clone()));
        }
        let Some(reviews) = self.reviews.as_ref().filter(|_| callers.have_users()) else {
            return Ok(None);
        };
        // Whoever is nobody yet is not told what the cluster says.
        let user = reviews.user(token).await.map_err(|error| {
            tracing::warn!(error = error.chain(), "a token cannot be checked");
            Status::unavailable("whose token this is cannot be checked now; try again")
        })?;
        Ok(user.and_then(|it| callers.with_user(&it).cloned()))
    }
}

/// The names in the client's certificate: DNS names and URIs, or else the common name.
fn names<T>(request: &Request<T>) -> Vec<String> {
    let certificates = request.peer_certs();
    let own = certificates.as_ref().and_then(|it| it.first());
    let Some(Ok((_, parsed))) = own.map(|it| x509_parser::parse_x509_certificate(it)) else {
        return Vec::new();
    };
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|it| &it.value.general_names);
    let mut names: Vec<String> = alternative
        .filter_map(|it| match it {
            GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    // As RFC 6125 has it: where a certificate names somebody in its own way, its subject does not count.
    if names.is_empty() {
        let common = parsed.subject().iter_common_name();
        names.extend(common.filter_map(|it| Some(it.as_str().ok()?.to_owned())));
    }
    names
}
