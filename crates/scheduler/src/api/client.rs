//! The other side of the doors: how a command of ours reaches a scheduler.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use backuper::runtime::Failure;
pub use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::codegen::InterceptedService;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Response, Status};

use super::proto::OPERATIONS;
use super::proto::v1::operations_client::OperationsClient;
use super::tls::read;

/// How long it may take to reach a scheduler.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a scheduler that is silent is asked whether it is there.
const PING: Duration = Duration::from_secs(20);

/// Where a scheduler listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://host:port`, or `host:port` alone.
    Plain(String),
    /// `https://host:port`.
    Tls(String),
    /// `unix:/path`.
    Socket(PathBuf),
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Socket(path.trim_start_matches("//").into()));
        }
        let (address, is_tls) = match text.split_once("://") {
            Some(("https", address)) => (address, true),
            Some(("http", address)) => (address, false),
            Some(_) => return Err("http://HOST:PORT, https://HOST:PORT or unix:/PATH is needed"),
            None => (text, false),
        };
        let port = address
            .rsplit_once(':')
            .map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) if is_tls => Ok(Self::Tls(address.to_owned())),
            Some(Ok(_)) => Ok(Self::Plain(address.to_owned())),
            _ => Err("HOST:PORT is needed"),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(address) => write!(formatter, "http://{address}"),
            Self::Tls(address) => write!(formatter, "https://{address}"),
            Self::Socket(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// Where what a client needs for TLS stands, as PEM, and the names of the settings that say so.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The authorities of the scheduler's certificate; none: the system's.
    pub authorities: Option<(&'static str, PathBuf)>,
    /// The certificate that the client shows and its key, if it must.
    pub identity: Option<[(&'static str, PathBuf); 2]>,
}

impl Trust {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that names the setting of one that cannot be read.
    pub fn read(&self) -> Result<ClientTlsConfig, Failure> {
        let tls = match &self.authorities {
            Some((name, path)) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(name, path)?))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        };
        let Some([(certificate_name, certificate), (key_name, key)]) = &self.identity else {
            return Ok(tls);
        };
        let certificate = read(certificate_name, certificate)?;
        let key = read(key_name, key)?;
        Ok(tls.identity(Identity::from_pem(certificate, key)))
    }
}

/// What a caller shows with each call.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Our own service, as it is called.
pub type Client = OperationsClient<InterceptedService<Channel, Bearer>>;

/// Reaches a scheduler.
///
/// # Errors
/// A sentence that says what is wrong with a setting, or that it does not answer.
pub async fn reach(
    address: &Address,
    trust: &Trust,
    token: Option<&SecretString>,
) -> Result<Client, Failure> {
    if let (Some(_), Address::Plain(plain)) = (token, address)
        && !is_of_machine(plain)
    {
        let sentence =
            format!("{address}: a token is shown over TLS alone; give an https:// address");
        return Err(Failure::refused(sentence));
    }
    let bearer = token.map(|it| {
        let value = format!("Bearer {}", it.expose_secret()).parse();
        let mut value: MetadataValue<Ascii> = value.map_err(|_not_ascii| {
            Failure::refused("ADAPTER_TOKEN: it has others than printable ASCII characters in it")
        })?;
        value.set_sensitive(true);
        Ok::<_, Failure>(value)
    });
    let bearer = Bearer(bearer.transpose()?);
    let channel = connect(address, trust).await?;
    Ok(OperationsClient::with_interceptor(channel, bearer))
}

/// Whether `host:port` is this machine's own.
fn is_of_machine(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |it: std::net::IpAddr| it.is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

pub(super) async fn connect(address: &Address, trust: &Trust) -> Result<Channel, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::refused(format!("{address}: {error}"));
    let mut endpoint = Endpoint::from_shared(address.to_string()).map_err(|it| wrong(&it))?;
    // A log that is followed may be silent for long; a scheduler that is gone is noticed all the same.
    endpoint = endpoint
        .connect_timeout(PATIENCE)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PATIENCE);
    if let Address::Tls(_) = address {
        endpoint = endpoint
            .tls_config(trust.read()?)
            .map_err(|it| wrong(&it))?;
    }
    endpoint.connect().await.map_err(|error| {
        let error = deepest(&error);
        Failure::try_again(format!("{address} does not answer: {error}"))
    })
}

/// tonic's own words say nothing of what has happened.
fn deepest<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a dyn std::error::Error {
    error.source().map_or(error, deepest)
}

/// What a scheduler answers a call with.
pub type Answer<T> = Result<Response<T>, Status>;

/// The message of an answer.
///
/// # Errors
/// As [`failure`] has them.
pub fn answered<T>(answer: Answer<T>) -> Result<T, Failure> {
    let answer = answer.map(Response::into_inner);
    answer.map_err(|it| failure(&it))
}

/// What a refusal means to whoever has called.
#[must_use]
pub fn failure(status: &Status) -> Failure {
    let may_pass = matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    );
    // What broke says tonic in words of the protocol.
    let is_broken =
        status.message().contains("h2 protocol error") || status.code() == Code::Unknown;
    let sentence = if is_broken {
        format!(
            "the connection to the scheduler broke ({}); what was begun goes on where the scheduler does: `scheduler runs` shows it",
            status.message()
        )
    } else {
        status.message().to_owned()
    };
    if may_pass {
        Failure::try_again(sentence)
    } else {
        Failure::refused(sentence)
    }
}

/// A message of ours as JSON, as <https://protobuf.dev/programming-guides/json/> has it; `name` is the
/// message's.
///
/// # Errors
/// None that a test would not have shown.
pub fn json(name: &str, message: &impl Message) -> Result<serde_json::Value, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::refused(format!("{name}: {error}"));
    let pool = DescriptorPool::decode(OPERATIONS).map_err(|it| wrong(&it))?;
    let descriptor = pool
        .get_message_by_name(&format!("postgres_adapter.v1.{name}"))
        .ok_or_else(|| wrong(&"there is no such message"))?;
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor, bytes.as_slice()).map_err(|it| wrong(&it))?;
    serde_json::to_value(message).map_err(|it| wrong(&it))
}

/// A time as messages have it.
#[must_use]
pub fn time(time: jiff::Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// A message's time; none: it is none.
#[must_use]
pub fn moment(time: &prost_types::Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(time.seconds, time.nanos).ok()
}

/// A message's duration.
#[must_use]
pub fn span(duration: &prost_types::Duration) -> jiff::SignedDuration {
    jiff::SignedDuration::new(duration.seconds, duration.nanos)
}
