//! What the first request to a store shows: how far it came.

use super::super::finding::{Finding, Findings};
use crate::runtime::Failure;
use crate::storage::{Config, Error, GcsPlace, Kind, Place, S3Place};

/// What a request to a bucket passes, one after the other.
const STAGES: [&str; 5] = ["address", "tls", "keys", "bucket", "list"];
/// The same of a directory.
const ON_DISK: [&str; 2] = ["directory", "list"];

fn stages(config: &Config) -> &'static [&'static str] {
    match config.place {
        Place::Directory { .. } => &ON_DISK,
        Place::S3(_) | Place::Gcs(_) | Place::Azure(_) => &STAGES,
    }
}

/// It came back.
pub(super) fn passed(findings: &mut Findings, config: &Config) {
    for name in stages(config) {
        findings.add(name, what_passed(name, config));
    }
}

/// It was refused: what it had passed by then, and what it was refused for. Gives why nothing else is
/// tried. Without a database it is the whole store that was asked for.
pub(super) fn refused(
    findings: &mut Findings,
    config: &Config,
    of_database: bool,
    error: Error,
) -> &'static str {
    let stages = stages(config);
    let failed = stage(error.kind, stages);
    if was_sent(error.kind) {
        for name in stages.iter().take_while(|it| **it != failed) {
            findings.add(name, what_passed(name, config));
        }
    }
    let denied = error.kind == Kind::Denied;
    let sentence = Failure::from(error).sentence;
    if denied && !of_database {
        // Keys may be allowed no more than one database's folder.
        let sentence = format!("not of the whole bucket ({sentence}); name a database to check");
        findings.add(failed, Finding::unknown(sentence));
    } else {
        findings.add(failed, Finding::wrong(sentence));
    }
    match failed {
        "address" => "the store does not answer",
        "tls" => "TLS did not come about",
        "keys" => "the keys were not accepted",
        "bucket" => "there is no such bucket",
        "directory" => "there is no such directory",
        _ => "it may not be listed",
    }
}

/// Whether the request left this machine: nothing is known of the store otherwise.
fn was_sent(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::NoCredentials | Kind::CredentialsUnavailable | Kind::NoRegion | Kind::Misconfigured
    )
}

fn stage(kind: Kind, stages: &[&'static str]) -> &'static str {
    let name = match kind {
        Kind::Unavailable | Kind::NotS3 | Kind::EndpointPath | Kind::Misconfigured => "address",
        Kind::Untrusted | Kind::SpeaksHttp | Kind::SpeaksHttps => "tls",
        Kind::NoCredentials
        | Kind::CredentialsUnavailable
        | Kind::UnknownKey
        | Kind::WrongSecret
        | Kind::SessionToken
        | Kind::ClockSkew => "keys",
        Kind::NoBucket | Kind::BucketName | Kind::NoRegion | Kind::WrongRegion => "bucket",
        Kind::NoDirectory => "directory",
        Kind::NotFound
        | Kind::Denied
        | Kind::NotPermitted
        | Kind::Unsupported
        | Kind::Full
        | Kind::Corrupt
        | Kind::Other => "list",
    };
    let known = stages.iter().find(|it| **it == name);
    known.or(stages.first()).copied().unwrap_or(name)
}

fn what_passed(name: &str, config: &Config) -> Finding {
    match (name, &config.place) {
        ("address", place) => Finding::ok(format!("{} answers", place.server())),
        ("directory", place) => Finding::ok(format!("{} is there", place.server())),
        ("tls", place) if place.server().starts_with("http://") => plain(&place.server()),
        ("tls", _) if !config.tls.verify => Finding::warning(
            "SECURE=false: the connection is encrypted, and nobody looks whose certificate it is; give its authority in STORE_CA_FILE instead",
        ),
        ("tls", _) => Finding::ok("the certificate is trusted"),
        ("keys", _) => Finding::ok("the keys are accepted"),
        ("bucket", Place::S3(S3Place { bucket, .. }) | Place::Gcs(GcsPlace { bucket, .. })) => {
            Finding::ok(format!("bucket {bucket} is there"))
        }
        ("bucket", Place::Azure(place)) => {
            Finding::ok(format!("container {} is there", place.container))
        }
        _ => Finding::ok("it may be listed"),
    }
}

/// What passes without TLS.
fn plain(url: &str) -> Finding {
    let host = url.parse::<http::Uri>().ok();
    let host = host.as_ref().and_then(|it| it.host()).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    if host == "localhost" || address.is_ok_and(|it| it.is_loopback()) {
        return Finding::ok("no TLS; the connection does not leave this machine");
    }
    Finding::warning(
        "no TLS: backups can be read on the way; give the store a certificate and write https:// in S3_ENDPOINT",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_of_the_stage_at_which_it_came() {
        for (kind, of_bucket, of_directory) in [
            (Kind::Unavailable, "address", "directory"),
            (Kind::Untrusted, "tls", "directory"),
            (Kind::UnknownKey, "keys", "directory"),
            (Kind::NoBucket, "bucket", "directory"),
            (Kind::Denied, "list", "list"),
            (Kind::NotPermitted, "list", "list"),
            (Kind::NoDirectory, "address", "directory"),
        ] {
            assert_eq!(stage(kind, &STAGES), of_bucket, "{kind:?}");
            assert_eq!(stage(kind, &ON_DISK), of_directory, "{kind:?}");
        }
    }
}
