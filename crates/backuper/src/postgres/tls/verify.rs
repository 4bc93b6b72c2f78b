//! The check of a server's certificate, which takes what OpenSSL takes: webpki refuses certificates
//! that are their own authority, and those of X.509 version 1, which PostgreSQL's manual (19.9.5)
//! makes with OpenSSL before 3.4.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::names;

/// Certificates that are trusted.
#[derive(Debug)]
pub(super) struct Roots {
    /// Those that have signed themselves: to OpenSSL, a chain that ends before one of them has no end.
    anchors: Vec<CertificateDer<'static>>,
    /// The others, which may stand between.
    intermediates: Vec<CertificateDer<'static>>,
    chain: Arc<WebPkiServerVerifier>,
}

impl Roots {
    pub(super) fn of(
        all: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        if all.is_empty() {
            return Err("there is no certificate in it".to_owned());
        }
        let (anchors, intermediates): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| {
            x509_parser::parse_x509_certificate(it)
                .is_ok_and(|(_, parsed)| parsed.subject() == parsed.issuer())
        });
        if anchors.is_empty() {
            return Err("there is no root certificate in it, which signs itself".to_owned());
        }
        let mut store = RootCertStore::empty();
        for certificate in &anchors {
            let added = store.add(certificate.clone());
            added.map_err(|error| error.to_string())?;
        }
        let provider = Arc::clone(provider);
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            anchors,
            intermediates,
            chain,
        })
    }

    /// Whether one of them has signed the certificate itself, or is it.
    fn know(&self, certificate: &X509Certificate<'_>, der: &[u8], now: UnixTime) -> bool {
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let Ok(now) = ASN1Time::from_timestamp(seconds) else {
            return false;
        };
        let usage = certificate.extended_key_usage().ok().flatten();
        certificate.validity().is_valid_at(now)
            && usage.is_none_or(|it| it.value.any || it.value.server_auth)
            && self.anchors.iter().any(|root| {
                root.as_ref() == der
                    || x509_parser::parse_x509_certificate(root).is_ok_and(|(_, root)| {
                        // Version 1 cannot say what it is for.
                        let signs = root.is_ca() || root.version() == X509Version::V1;
                        signs
                            && root.subject() == certificate.issuer()
                            && root.validity().is_valid_at(now)
                            && certificate
                                .verify_signature(Some(root.public_key()))
                                .is_ok()
                    })
            })
    }
}

/// Checks the chain, or the chain and the name, or neither; the handshake's signatures always.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Option<Roots>,
    /// The name that the certificate must have.
    host: Option<String>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    pub(super) fn new(
        roots: Option<Roots>,
        host: Option<String>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self {
            roots,
            host,
            provider,
        }
    }

    /// A signature of the handshake by the key of a certificate that webpki does not read.
    fn signed(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let parsed = parse(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        let key = webpki::RawPublicKeyEntity::try_from(&key)
            .map_err(|_unreadable| Error::from(CertificateError::BadEncoding))?;
        let algorithms = &self.provider.signature_verification_algorithms;
        let of_scheme = algorithms.mapping.iter();
        let mut of_scheme = of_scheme.filter(|(scheme, _)| *scheme == signed.scheme);
        let valid = of_scheme.any(|(_, algorithms)| {
            algorithms.iter().any(|algorithm| {
                let verdict = key.verify_signature(*algorithm, message, signed.signature());
                verdict.is_ok()
            })
        });
        if valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match x509_parser::parse_x509_certificate(certificate) {
        Ok((_, parsed)) => Ok(parsed),
        Err(_unreadable) => Err(CertificateError::BadEncoding.into()),
    }
}

/// The name is checked last, so with this error the chain has been accepted.
fn is_of_the_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(
        error,
        Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })
    )
}

/// Whether webpki refused the kind of certificate, and not what it says.
fn is_of_a_kind_that_webpki_refuses(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(inner))) = error
    else {
        return false;
    };
    matches!(
        inner.downcast_ref::<webpki::Error>(),
        Some(webpki::Error::CaUsedAsEndEntity | webpki::Error::UnsupportedCertVersion)
    )
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = parse(end_entity)?;
        let chain = &roots.chain;
        let intermediates = [intermediates, &roots.intermediates].concat();
        match chain.verify_server_cert(end_entity, &intermediates, server_name, ocsp_response, now)
        {
            Ok(_) => {}
            Err(error) if is_of_the_name(&error) => {}
            Err(error) if is_of_a_kind_that_webpki_refuses(&error) => {
                if !roots.know(&parsed, end_entity, now) {
                    return Err(CertificateError::UnknownIssuer.into());
                }
            }
            Err(error) => return Err(error),
        }
        match &self.host {
            Some(host) if !names::name(&parsed, host) => {
                Err(CertificateError::NotValidForName.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match verify_tls12_signature(message, certificate, signed, algorithms) {
            Err(error) if is_of_a_kind_that_webpki_refuses(&error) => {
                self.signed(message, certificate, signed)
            }
            verdict => verdict,
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match verify_tls13_signature(message, certificate, signed, algorithms) {
            Err(error) if is_of_a_kind_that_webpki_refuses(&error) => {
                self.signed(message, certificate, signed)
            }
            verdict => verdict,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
