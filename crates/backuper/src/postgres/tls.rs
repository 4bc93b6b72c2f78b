//! TLS to PostgreSQL with libpq's meanings: `prefer` and `require` protect against listeners and
//! take any certificate, unless a root file is given; `verify-ca` and `verify-full` check it.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::target::{SslMode, Target};
use super::{Error, Kind};

/// The TLS side of a connection to this target.
pub(super) fn connector(target: &Target) -> Result<MakeRustlsConnect, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = verifier(target, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| untrusted(target, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&target.sslcert, &target.sslkey) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| unreadable(target, key, &error))?;
            builder
                .with_client_auth_cert(certificates(target, certificate)?, key)
                .map_err(|error| untrusted(target, error.to_string()))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// True when the handshake failed over a certificate: trying again will not help.
pub(super) fn is_untrusted(error: &tokio_postgres::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(current) = source {
        let inner = current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|it| it.downcast_ref::<rustls::Error>());
        if let Some(tls) = inner.or_else(|| current.downcast_ref::<rustls::Error>()) {
            return matches!(
                tls,
                rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)
            );
        }
        source = current.source();
    }
    false
}

fn verifier(
    target: &Target,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    // libpq checks the chain in `require` too when a root file is there, for compatibility with
    // its own past; the host's name then stays unchecked. In `prefer` it never does.
    let chain = match target.sslmode {
        SslMode::Disable | SslMode::Allow | SslMode::Prefer => false,
        SslMode::Require => target.sslrootcert.is_some(),
        SslMode::VerifyCa | SslMode::VerifyFull => true,
    };
    if !chain {
        return Ok(Arc::new(Verifier {
            chain: None,
            name: false,
            provider: Arc::clone(provider),
        }));
    }
    let chain =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots(target)?), Arc::clone(provider))
            .build()
            .map_err(|error| untrusted(target, error.to_string()))?;
    Ok(Arc::new(Verifier {
        chain: Some(chain),
        name: target.sslmode == SslMode::VerifyFull,
        provider: Arc::clone(provider),
    }))
}

fn roots(target: &Target) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let system = Path::new("system");
    match target.sslrootcert.as_deref() {
        // libpq's special word, and its sensible meaning where no file is named.
        None => add_system_roots(&mut roots),
        Some(path) if path == system => add_system_roots(&mut roots),
        Some(path) => {
            for certificate in certificates(target, path)? {
                roots
                    .add(certificate)
                    .map_err(|error| untrusted(target, format!("{}: {error}", path.display())))?;
            }
        }
    }
    if roots.is_empty() {
        return Err(untrusted(
            target,
            "no certificate authority to trust; set DB_SSLROOTCERT to a PEM file",
        ));
    }
    Ok(roots)
}

fn add_system_roots(roots: &mut RootCertStore) {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate authority of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
}

fn certificates(target: &Target, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(target, path, &error))
}

fn unreadable(target: &Target, path: &Path, error: &rustls::pki_types::pem::Error) -> Error {
    untrusted(target, format!("reading {}: {error}", path.display()))
}

fn untrusted(target: &Target, reason: impl Into<String>) -> Error {
    Error::because(Kind::Untrusted, "connecting to", target, reason)
}

/// Checks the chain, or the chain and the name, or neither; the handshake's signatures always.
#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let verdict =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            // The name is checked last, so with this error the chain has been accepted.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            Ok(verified) if self.name => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(verified)
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
