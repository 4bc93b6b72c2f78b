//! The way to the database: address, TLS, login, and what stands in between.

use std::net::IpAddr;

use tokio::net::{TcpStream, UnixStream};

use super::Asking;
use crate::doctor::finding::Finding;
use crate::postgres::{Error, Kind, SslMode, Target, probe};
use crate::runtime::Failure;

/// Whether the name resolves and the port takes connections.
pub(super) async fn address(target: &Target) -> Finding {
    match reached(target).await {
        Ok(sentence) => Finding::ok(sentence),
        Err(reason) => {
            let error = Error::because(Kind::Unavailable, "connecting to", target, reason);
            Finding::wrong(Failure::from(error).sentence)
        }
    }
}

async fn reached(target: &Target) -> Result<String, String> {
    let (host, port) = (target.host(), target.port());
    if host.starts_with('/') {
        let socket = format!("{host}/.s.PGSQL.{port}");
        let connected = UnixStream::connect(&socket).await;
        return match connected {
            Ok(_) => Ok(format!("{socket} answers")),
            Err(error) => Err(error.to_string()),
        };
    }
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<_> = found.map_err(|error| error.to_string())?.collect();
    let mut refusal = format!("the name {host} has no address");
    for address in &found {
        match TcpStream::connect(address).await {
            Ok(_) if address.ip().to_string() == host => {
                return Ok(format!("port {port} of {host} answers"));
            }
            Ok(_) => {
                return Ok(format!(
                    "{host} is {}, and its port {port} answers",
                    address.ip()
                ));
            }
            Err(error) => refusal = error.to_string(),
        }
    }
    Err(refusal)
}

/// Whether TLS is used, and what the server has proved by it.
pub(super) async fn tls(asking: Asking<'_>) -> Finding {
    let asked = asking
        .client()
        .query_opt(
            "SELECT ssl, coalesce(version, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            &[],
        )
        .await;
    let mode = asking.target.sslmode;
    let row = match asked {
        Ok(row) => row,
        Err(error) => return asking.unanswered(&error),
    };
    if !asking.entrance.way.options {
        return Finding::unknown(format!(
            "a pooler stands before the server, which knows only the pooler's own connection; DB_SSLMODE={mode} was satisfied"
        ));
    }
    let used: Option<(bool, String)> = row.map(|it| (it.get(0), it.get(1)));
    match used {
        Some((true, version)) => Finding::ok(match mode {
            SslMode::VerifyFull => {
                format!("{version}; the certificate is trusted and names the host")
            }
            SslMode::VerifyCa => format!(
                "{version}; the certificate is trusted, whatever host it names: DB_SSLMODE=verify-full would compare that too"
            ),
            _ => format!(
                "{version}; with DB_SSLMODE={mode} nobody looks whose certificate it is: verify-full with DB_SSLROOTCERT would"
            ),
        }),
        _ if is_local(asking.target.host()) => {
            Finding::ok("no TLS; the connection does not leave this machine")
        }
        _ => Finding::warning(format!(
            "no TLS: passwords' proofs and rows can be read on the way; DB_SSLMODE={mode} allows it; switch TLS on at the server, and set DB_SSLMODE=verify-full"
        )),
    }
}

fn is_local(host: &str) -> bool {
    let is_loopback = |it: IpAddr| it.is_loopback();
    host.starts_with('/') || host == "localhost" || host.parse().is_ok_and(is_loopback)
}

/// As whom we are in.
pub(super) async fn login(asking: Asking<'_>) -> Finding {
    match probe::acting_role(asking.client(), asking.target).await {
        Ok(role) => Finding::ok(format!("logged in as {role}")),
        Err(error) => error.into(),
    }
}

/// Whether sessions have server processes of their own: otherwise we would not be in.
#[expect(clippy::unused_async, reason = "it is one of the questions")]
pub(super) async fn pooler(asking: Asking<'_>) -> Finding {
    Finding::ok(if asking.entrance.way.options {
        "each session has a server process of its own"
    } else {
        "startup options do not arrive there: a connection pooler in session mode, which will do"
    })
}
