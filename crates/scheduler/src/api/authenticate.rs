//! Who a call comes from: a client certificate that an authority of ours signed, or a bearer token.

use std::sync::Arc;

use tonic::{Request, Status};
use x509_parser::extensions::GeneralName;

use crate::domain::callers::{Caller, Callers};

/// What tells callers apart; without a list everybody is the same.
#[derive(Clone, Debug, Default)]
pub struct Authentication(Option<Arc<Callers>>);

impl Authentication {
    /// By this list; none: nobody is asked.
    #[must_use]
    pub fn by(callers: Option<Callers>) -> Self {
        Self(callers.map(Arc::new))
    }

    /// Who calls.
    pub(super) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let Some(callers) = &self.0 else {
            return Ok(Caller::anybody());
        };
        let authorization = request.metadata().get("authorization");
        let found = match authorization {
            Some(value) => {
                let token = value
                    .to_str()
                    .ok()
                    .and_then(|it| it.strip_prefix("Bearer "));
                token.and_then(|it| callers.with_token(it))
            }
            None => callers.with_certificate(&names(request)),
        };
        found.cloned().ok_or_else(|| {
            Status::unauthenticated(
                "nobody of the scheduler's list of callers (ACCESS_FILE): a client certificate or `authorization: Bearer TOKEN` of one of them is needed",
            )
        })
    }
}

/// The names in the client's certificate: DNS names, URIs, and the common name.
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
    let common = parsed.subject().iter_common_name();
    names.extend(common.filter_map(|it| Some(it.as_str().ok()?.to_owned())));
    names
}
