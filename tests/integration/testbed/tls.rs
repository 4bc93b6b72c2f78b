//! A private certificate authority and what it signs.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SigningKey as _,
};

/// An authority that nobody trusts unless told to.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate for a server on this machine.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, PEM.
    pub pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

impl Authority {
    /// A new one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, super::unique("authority-"));
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its certificate in a file, for the `*_CA_FILE` and `*ROOTCERT` variables.
    pub fn file(&self) -> PathBuf {
        let path = super::folder("authority").join("ca.pem");
        std::fs::write(&path, &self.pem).expect("a file");
        path
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate for these names and addresses.
    pub fn sign(&self, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

impl Authority {
    /// Signs a certificate that names its server by the common name alone, as `openssl req` and
    /// `openssl x509 -req` make it.
    pub fn sign_common_name(&self, name: &str) -> Certificate {
        let (params, key) = (named(name), KeyPair::generate().expect("a key"));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    /// The same as X.509 version 1, which `openssl x509 -req` of PostgreSQL's manual, 19.9.5,
    /// makes before OpenSSL 3.4.
    pub fn sign_version_1(&self, name: &str) -> Certificate {
        let (params, key) = (named(name), KeyPair::generate().expect("a key"));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let whole = elements(contents(certificate.der()));
        let [body, algorithm, _signature] = whole[..] else {
            panic!("a certificate has three parts");
        };
        // Without the version and the extensions.
        let kept = elements(contents(body)).into_iter();
        let kept: Vec<u8> = kept
            .filter(|it| ![0xa0, 0xa3].contains(&it[0]))
            .flatten()
            .copied()
            .collect();
        let body = element(0x30, &kept);
        let signature = self.issuer.key().sign(&body).expect("a signature");
        let signature = element(0x03, &[&[0], &signature[..]].concat());
        let der = element(0x30, &[&body, algorithm, &signature].concat());
        Certificate {
            pem: pem("CERTIFICATE", &der),
            key_pem: key.serialize_pem(),
        }
    }
}

/// A server's certificate that nobody but itself has signed, as `openssl req -x509` makes it.
pub fn self_signed(name: &str) -> Certificate {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    Certificate {
        pem: params.self_signed(&key).expect("a certificate").pem(),
        key_pem: key.serialize_pem(),
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Bytes before the contents of a DER element, and of its contents.
fn lengths(der: &[u8]) -> (usize, usize) {
    match usize::from(der[1]) {
        short @ ..0x80 => (2, short),
        long => {
            let bytes = &der[2..2 + (long & 0x7f)];
            let length = bytes.iter().fold(0, |sum, it| sum << 8 | usize::from(*it));
            (2 + bytes.len(), length)
        }
    }
}

fn contents(der: &[u8]) -> &[u8] {
    let (before, length) = lengths(der);
    &der[before..before + length]
}

fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (before, length) = lengths(der);
        let (first, rest) = der.split_at(before + length);
        found.push(first);
        der = rest;
    }
    found
}

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).expect("a short certificate");
    let mut der = vec![tag, 0x82];
    der.extend(length.to_be_bytes());
    if length < 0x80 {
        der = vec![tag, u8::try_from(length).expect("it is short")];
    } else if length < 0x100 {
        der = vec![tag, 0x81, u8::try_from(length).expect("it is short")];
    }
    der.extend(contents);
    der
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    format!("{lines}-----END {label}-----\n")
}
