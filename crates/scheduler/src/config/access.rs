//! Who is let in, and what requests may name.

use std::net::IpAddr;
use std::path::PathBuf;

use backuper::job::{Maybe, flag, maybe};
use backuper::runtime::failure::Failure;
use clap::Args;

use crate::api::tls::Files;
use crate::domain::access::{Listed, Places};

/// Who may call, and for which places the workers lend their own credentials.
#[derive(Clone, Debug, Args)]
pub struct Access {
    /// true: everybody who reaches the port may back up and restore; needed where the address is no loopback one and no client certificates are asked for.
    #[arg(env = "ALLOW_ANYONE", default_value = "false", action = clap::ArgAction::Set, value_parser = flag)]
    pub allow_anyone: bool,

    /// YAML file with the list of callers, their certificates or tokens, and their roles; empty: everybody who is let in may do everything.
    #[arg(env = "ACCESS_FILE", default_value = "", value_parser = maybe::<PathBuf>)]
    pub file: Maybe<PathBuf>,

    /// The audience that tokens of Kubernetes' ServiceAccounts must have been issued for, where ACCESS_FILE names such accounts.
    #[arg(env = "ACCESS_AUDIENCE", default_value = "postgres-adapter", value_parser = audience)]
    pub audience: String,

    /// Buckets that requests without keys may name, since the workers' surroundings have credentials for them: `BUCKET` of AWS or `https://endpoint/BUCKET`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://ACCOUNT/CONTAINER/PREFIX`, separated by commas; `*` is any of S3, `gs://*` and `az://*` are any there.
    #[arg(env = "AMBIENT_BUCKETS", default_value = "", value_parser = buckets)]
    pub ambient_buckets: List<Listed>,

    /// Database hosts that are shown the workers' client certificate (DB_SSLCERT), separated by commas; `*.example` are all below a domain.
    #[arg(env = "AMBIENT_HOSTS", default_value = "", value_parser = hosts)]
    pub ambient_hosts: List<String>,

    /// Secrets in the workers' namespace that calls may name for credentials, separated by commas; `*` stands for any text, and who may name `*` reads every Secret of the namespace.
    #[arg(env = "SECRET_REFERENCES", default_value = "", value_parser = names)]
    pub secret_references: List<String>,
}

/// Several values of one variable. An alias, since clap takes a `Vec` for an option that is given several times.
pub type List<T> = std::sync::Arc<[T]>;

impl Access {
    /// What requests may name.
    #[must_use]
    pub fn places(&self) -> Places {
        Places {
            ambient_buckets: self.ambient_buckets.to_vec(),
            ambient_hosts: self.ambient_hosts.to_vec(),
            secret_references: self.secret_references.to_vec(),
        }
    }

    /// Refuses to serve everybody by mistake.
    ///
    /// # Errors
    /// A sentence that says what to set.
    pub fn check(&self, address: IpAddr, tls: Option<&Files>) -> Result<(), Failure> {
        let asks_for_certificates = tls.is_some_and(|it| it.client_ca.is_some());
        if address.is_loopback() || self.file.is_some() || asks_for_certificates {
            return Ok(());
        }
        if self.allow_anyone {
            tracing::warn!(
                %address,
                "everybody who reaches the port may back up and restore, and may name any place (ALLOW_ANYONE); a network policy or GRPC_TLS_CLIENT_CA keeps others out"
            );
            return Ok(());
        }
        Err(Failure::refused(format!(
            "LISTEN_ADDRESS: everybody who reaches {address} could back up and restore; set GRPC_TLS_CERT, GRPC_TLS_KEY and GRPC_TLS_CLIENT_CA to let in those with a certificate of yours, or LISTEN_ADDRESS=127.0.0.1, or ALLOW_ANYONE=true where the network keeps others out"
        )))
    }
}

fn audience(text: &str) -> Result<String, String> {
    let text = if text.is_empty() {
        "postgres-adapter"
    } else {
        text
    };
    Ok(text.to_owned())
}

fn buckets(text: &str) -> Result<List<Listed>, String> {
    words(text).map(str::parse).collect()
}

fn hosts(text: &str) -> Result<List<String>, String> {
    Ok(words(text).map(str::to_ascii_lowercase).collect())
}

fn names(text: &str) -> Result<List<String>, std::convert::Infallible> {
    Ok(words(text).map(str::to_owned).collect())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// S01.
    #[test]
    fn nobody_is_served_to_everybody_by_mistake() {
        let access = |allow_anyone, file: Option<&str>| Access {
            allow_anyone,
            file: file.map(Into::into),
            audience: String::new(),
            ambient_buckets: List::default(),
            ambient_hosts: List::default(),
            secret_references: List::default(),
        };
        let any = IpAddr::from([0, 0, 0, 0]);
        let error = access(false, None).check(any, None).unwrap_err();
        assert!(error.sentence.contains("ALLOW_ANYONE"), "{error}");
        assert!(access(true, None).check(any, None).is_ok());
        assert!(access(false, Some("callers.yaml")).check(any, None).is_ok());
        for loopback in ["127.0.0.1", "127.1.2.3", "::1"] {
            let loopback = loopback.parse().unwrap();
            assert!(access(false, None).check(loopback, None).is_ok());
        }
        let files = |client_ca: Option<&str>| Files {
            certificate: "c".into(),
            key: "k".into(),
            client_ca: client_ca.map(Into::into),
            anonymous: Arc::default(),
        };
        let (asked, plain) = (files(Some("ca")), files(None));
        let may = |tls: &Files| access(false, None).check(any, Some(tls)).is_ok();
        assert!(may(&asked));
        assert!(!may(&plain));
    }
}
