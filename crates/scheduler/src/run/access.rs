//! Who is let in, before anything is served.

use std::sync::Arc;

use backuper::runtime::Failure;

use super::failure;
use crate::api::authenticate::{Authentication, Reviews};
use crate::api::tls::Files;
use crate::config::{Choice, Config};
use crate::domain::callers::Callers;
use crate::engine::kubernetes::token_review::TokenReviews;

/// What tells callers apart, once it is sure that nobody is let in by mistake.
pub(super) async fn authentication(
    config: &Config,
    mut files: Option<&mut Files>,
) -> Result<Authentication, Failure> {
    let callers = config.access.callers()?;
    if let Some(files) = &mut files {
        files.anonymous = callers.as_ref().is_some_and(Callers::have_tokens);
    }
    let files = files.as_deref();
    config
        .access
        .check(config.address(), files, callers.as_ref())?;
    let reviews = match config.choice() {
        Choice::Kubernetes if callers.is_some() => Some(reviews(&config.access.audience).await?),
        Choice::Kubernetes | Choice::Local => None,
    };
    if reviews.is_none() && callers.as_ref().is_some_and(Callers::have_users) {
        return Err(Failure::refused(
            "ACCESS_FILE: callers are known by serviceAccount or group, and there is no cluster to ask about their tokens; give them a token or a certificate",
        ));
    }
    Ok(Authentication::by(callers).asking(reviews))
}

async fn reviews(audience: &str) -> Result<Reviews, Failure> {
    let reviews = TokenReviews::infer(audience).await;
    let reviews = Arc::new(reviews.map_err(|it| failure(&it))?);
    Ok(Reviews::by(Box::new(move |token| {
        let reviews = reviews.clone();
        Box::pin(async move { reviews.user(&token).await })
    })))
}
