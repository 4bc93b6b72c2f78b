//! TLS to PostgreSQL with libpq's meanings, since pg_dump and its like go the same way: what one of
//! us trusts the other one does. `prefer` and `require` protect against listeners and take any
//! certificate, unless a root file is given; `verify-ca` and `verify-full` check it.
//! PostgreSQL manual, 34.19: SSL support.

mod names;
mod verify;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::authorities::Authorities;
use super::target::{SslMode, Target};
use super::{Error, Kind};
use crate::text::causes;
use verify::{Roots, Verifier};

/// libpq's word for the authorities that the system trusts, which it knows from 16 on.
const SYSTEM: &str = "system";
/// Where distributions keep these: Debian's, Fedora's, Alpine's.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The file with the authorities to trust, where one is named. Older libpqs get the system's by their
/// path.
pub(super) fn root_file(target: &Target) -> Option<PathBuf> {
    let named = target.sslrootcert.as_ref()?.path();
    if named.as_os_str() != SYSTEM {
        return Some(named);
    }
    let bundle = BUNDLES.iter().map(PathBuf::from).find(|it| it.is_file());
    Some(bundle.unwrap_or(named))
}

/// The TLS side of a connection to this target.
///
/// # Errors
/// `Kind::Misconfigured`: what the settings name is not there, or does not go together.
pub(super) fn connector(target: &Target) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(verifier(target, &provider)?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| misconfigured(target, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&target.sslcert, &target.sslkey) {
        (Some(certificate), Some(file)) => {
            is_private(target, file)?;
            let key = PrivateKeyDer::from_pem_file(file)
                .map_err(|error| unreadable(target, "DB_SSLKEY", file, &error))?;
            builder
                .with_client_auth_cert(certificates(target, "DB_SSLCERT", certificate)?, key)
                .map_err(|error| misconfigured(target, format!("DB_SSLKEY: {error}")))?
        }
        (None, None) => builder.with_no_client_auth(),
        (Some(_), None) => {
            let reason = "DB_SSLCERT without DB_SSLKEY: set DB_SSLKEY to the file with its key";
            return Err(misconfigured(target, reason));
        }
        (None, Some(_)) => {
            let reason =
                "DB_SSLKEY without DB_SSLCERT: set DB_SSLCERT to the file with its certificate";
            return Err(misconfigured(target, reason));
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// libpq refuses a key that others may read.
fn is_private(target: &Target, key: &Path) -> Result<(), Error> {
    let found =
        std::fs::metadata(key).map_err(|error| unreadable(target, "DB_SSLKEY", key, &error))?;
    // root's may be read by its group.
    let (forbidden, right) = if found.uid() == 0 {
        (0o037, "0640 or less")
    } else {
        (0o077, "0600 or less")
    };
    if found.mode() & forbidden == 0 {
        return Ok(());
    }
    let reason = format!(
        "DB_SSLKEY: {} may be read by others; give it mode {right}",
        key.display()
    );
    Err(misconfigured(target, reason))
}

/// True when the handshake failed over a certificate: trying again will not help.
pub(super) fn is_untrusted(error: &tokio_postgres::Error) -> bool {
    let tls = causes(error).find_map(|cause| {
        let inner = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|it| it.downcast_ref::<rustls::Error>());
        inner.or_else(|| cause.downcast_ref::<rustls::Error>())
    });
    matches!(
        tls,
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
    )
}

fn verifier(
    target: &Target,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Verifier, Error> {
    let full = target.sslmode == SslMode::VerifyFull;
    let named = target.sslrootcert.as_ref().map(Authorities::path);
    if named.as_deref() == Some(Path::new(SYSTEM)) && !full {
        let reason = format!(
            "DB_SSLROOTCERT=system needs DB_SSLMODE=verify-full: any server has a certificate of one of the system's authorities; with {} name a file with your own",
            target.sslmode
        );
        return Err(misconfigured(target, reason));
    }
    let roots = match &target.sslrootcert {
        Some(named) => Some(roots(target, named, provider)?),
        None if full || target.sslmode == SslMode::VerifyCa => {
            let reason = format!(
                "DB_SSLMODE={} needs DB_SSLROOTCERT: a PEM file with the authorities that sign the server's certificate{}",
                target.sslmode,
                if full {
                    ", or `system` for those that this system trusts"
                } else {
                    ""
                }
            );
            return Err(misconfigured(target, reason));
        }
        None => None,
    };
    let host = full.then(|| target.host.clone());
    Ok(Verifier::new(roots, host, Arc::clone(provider)))
}

fn roots(
    target: &Target,
    named: &Authorities,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Roots, Error> {
    let file = root_file(target).unwrap_or_default();
    let found = named.certificates(&file);
    let found = found.map_err(|error| unreadable(target, "DB_SSLROOTCERT", &file, &error))?;
    Roots::of(found, provider).map_err(|reason| {
        misconfigured(
            target,
            format!("DB_SSLROOTCERT: {}: {reason}", file.display()),
        )
    })
}

fn certificates(
    target: &Target,
    setting: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(target, setting, path, &error))
}

fn unreadable(target: &Target, setting: &str, path: &Path, error: &dyn std::error::Error) -> Error {
    misconfigured(
        target,
        format!("{setting}: reading {}: {error}", path.display()),
    )
}

fn misconfigured(target: &Target, reason: impl Into<String>) -> Error {
    Error::because(Kind::Misconfigured, "connecting to", target, reason)
}
