//! Where the scheduler listens. An empty variable is an unset one, so each parser knows its default.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use backuper::job::{Maybe, flag, maybe};
use backuper::runtime::failure::Failure;
use clap::Args;

use crate::api::client::{Address, Trust};
use crate::api::tls::Files;

/// Where the scheduler listens.
#[derive(Clone, Debug, Args)]
pub struct Serving {
    /// IP address that both ports are opened on; empty: 127.0.0.1, and 0.0.0.0 on Kubernetes.
    #[arg(env = "LISTEN_ADDRESS", default_value = "", value_parser = address)]
    pub address: Maybe<IpAddr>,

    /// Port of gRPC: the BackupService, reflection and health.
    #[arg(env = "PORT", default_value = "50051", value_parser = port::<50051>)]
    pub port: u16,

    /// false: the database, the bucket and the revision of a request are not tried before it is answered.
    #[arg(env = "CHECK_REQUESTS", default_value = "true", action = clap::ArgAction::Set, value_parser = checked)]
    pub check_requests: bool,

    /// Port of HTTP: /livez, /readyz and /metrics.
    #[arg(env = "ADMIN_PORT", default_value = "8080", value_parser = port::<8080>)]
    pub admin_port: u16,

    /// PEM file with the gRPC server's certificate; empty: gRPC without TLS.
    #[arg(env = "GRPC_TLS_CERT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub tls_cert: Maybe<PathBuf>,

    /// PEM file with the key of GRPC_TLS_CERT.
    #[arg(env = "GRPC_TLS_KEY", default_value = "", value_parser = maybe::<PathBuf>)]
    pub tls_key: Maybe<PathBuf>,

    /// host:port of another scheduler: ask it for its health and its services, and end; empty: serve.
    #[arg(env = "PROBE", default_value = "", value_parser = maybe::<String>)]
    pub probe: Maybe<String>,

    /// PEM file with the authorities of the probed scheduler's certificate; empty: without TLS.
    #[arg(env = "PROBE_CA", default_value = "", value_parser = maybe::<PathBuf>)]
    pub probe_ca: Maybe<PathBuf>,

    /// PEM file with the certificate that the probe shows, of those that GRPC_TLS_CLIENT_CA lets in there; empty: none.
    #[arg(env = "PROBE_CERT", default_value = "", value_parser = maybe::<PathBuf>)]
    pub probe_cert: Maybe<PathBuf>,

    /// PEM file with the key of PROBE_CERT.
    #[arg(env = "PROBE_KEY", default_value = "", value_parser = maybe::<PathBuf>)]
    pub probe_key: Maybe<PathBuf>,

    /// PEM file with the authorities whose clients are let in; empty: every client.
    #[arg(env = "GRPC_TLS_CLIENT_CA", default_value = "", value_parser = maybe::<PathBuf>)]
    pub tls_client_ca: Maybe<PathBuf>,
}

impl Serving {
    /// What a probe asks, and what it needs for TLS; none: this scheduler serves.
    ///
    /// # Errors
    /// A sentence that says which variable is missing or wrong.
    pub fn probed(&self) -> Result<Option<(Address, Trust)>, Failure> {
        let Some(address) = &self.probe else {
            return Ok(None);
        };
        let identity = match (&self.probe_cert, &self.probe_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some([
                ("PROBE_CERT", certificate.clone()),
                ("PROBE_KEY", key.clone()),
            ]),
            _ => {
                let sentence = "PROBE_CERT and PROBE_KEY go together; set both or none";
                return Err(Failure::refused(sentence));
            }
        };
        if identity.is_some() && self.probe_ca.is_none() {
            return Err(Failure::refused("PROBE_CERT and PROBE_KEY need PROBE_CA"));
        }
        let address = match &self.probe_ca {
            Some(_) => Address::Tls(address.clone()),
            None => Address::Plain(address.clone()),
        };
        let authorities = self.probe_ca.clone().map(|it| ("PROBE_CA", it));
        Ok(Some((
            address,
            Trust {
                authorities,
                identity,
            },
        )))
    }

    /// Where TLS's certificate stands; none: gRPC without TLS.
    ///
    /// # Errors
    /// A sentence that names the variable that is missing.
    pub fn tls(&self) -> Result<Option<Files>, Failure> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Some(Files {
                certificate: certificate.clone(),
                key: key.clone(),
                client_ca: self.tls_client_ca.clone(),
                anonymous: Arc::default(),
            })),
            (None, None) if self.tls_client_ca.is_none() => Ok(None),
            _ => {
                let sentence = "GRPC_TLS_CERT and GRPC_TLS_KEY go together, and GRPC_TLS_CLIENT_CA needs both; set them or none";
                Err(Failure::refused(sentence))
            }
        }
    }
}

fn address(text: &str) -> Result<Maybe<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse();
    let address = address.map_err(|_not_an_address| "an IP address is needed".to_owned())?;
    Ok(Some(address))
}

fn port<const DEFAULT: u16>(text: &str) -> Result<u16, String> {
    match text.parse() {
        _ if text.is_empty() => Ok(DEFAULT),
        Ok(0) | Err(_) => Err("a port from 1 to 65535 is needed".to_owned()),
        Ok(port) => Ok(port),
    }
}

fn checked(text: &str) -> Result<bool, String> {
    flag(if text.is_empty() { "true" } else { text })
}
