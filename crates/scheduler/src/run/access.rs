//! Who is let in, before anything is served.

use std::sync::Arc;

use backuper::runtime::Failure;
use tokio_util::sync::CancellationToken;

use super::failure;
use crate::api::authenticate::{Authentication, List, Port, Reviews};
use crate::api::tls::Files;
use crate::config::{Choice, Config};
use crate::engine::kubernetes::token_review::TokenReviews;

/// What tells callers apart, once it is sure that nobody is let in by mistake.
pub(super) async fn authentication(
    config: &Config,
    files: Option<&mut Files>,
    stop: &CancellationToken,
) -> Result<Authentication, Failure> {
    let access = &config.access;
    access.check(config.address(), files.as_deref())?;
    let Some(path) = access.file.clone() else {
        return Ok(Authentication::default());
    };
    let has_cluster = config.choice() == Choice::Kubernetes;
    let port = Port {
        is_loopback: config.address().is_loopback(),
        has_tls: files.is_some(),
        asks_for_certificates: files.as_ref().is_some_and(|it| it.client_ca.is_some()),
        has_cluster,
    };
    let list = List::open(path, port).await?;
    if let Some(files) = files {
        files.anonymous = list.anonymous();
    }
    let reviews = if has_cluster {
        Some(reviews(&access.audience).await?)
    } else {
        None
    };
    let authentication = Authentication::by(list.callers(), reviews);
    tokio::spawn(list.follow(stop.clone()));
    Ok(authentication)
}

async fn reviews(audience: &str) -> Result<Reviews, Failure> {
    let reviews = TokenReviews::infer(audience).await;
    let reviews = Arc::new(reviews.map_err(|it| failure(&it))?);
    Ok(Reviews::by(Box::new(move |token| {
        let reviews = reviews.clone();
        Box::pin(async move { reviews.user(&token).await })
    })))
}
