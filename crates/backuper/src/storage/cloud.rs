//! Requests to clouds that speak plain REST: signed anew for each try, and tried again where that may
//! help.

pub(super) mod error;
pub(super) mod identity;
pub(super) mod read;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, Method, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use self::error::{Failed, Meaning};
use self::identity::Identity;
use super::http::{BoxError, Http, Incoming};
use super::{Error, Kind};

/// The longest wait between two tries; in between it doubles from a second on.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Requests of a deletion that are on their way at once.
const DELETED_AT_ONCE: usize = 16;

/// A service, and who we are there.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) http: Http,
    pub(super) identity: Identity,
    /// How often one request is tried.
    pub(super) attempts: u32,
    /// What the service's refusals mean.
    pub(super) meaning: Meaning,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What it is for, as errors say it.
    pub(super) action: &'static str,
    /// What it is about, for people.
    pub(super) location: String,
    pub(super) method: Method,
    /// Whole, with its query.
    pub(super) uri: String,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: Bytes,
    /// Whether the answer is an object's content, of any size.
    pub(super) is_object: bool,
}

impl Call {
    pub(super) fn new(action: &'static str, location: String, method: Method, uri: String) -> Self {
        Self {
            action,
            location,
            method,
            uri,
            headers: Vec::new(),
            body: Bytes::new(),
            is_object: false,
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    pub(super) fn error(&self, kind: Kind, reason: impl AsRef<str>) -> Error {
        Error {
            kind,
            action: self.action,
            location: self.location.clone(),
            reason: error::one_line(reason.as_ref()),
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer<B> {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: B,
}

impl<B> Answer<B> {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok())
    }
}

impl Client {
    /// Sends a request until it is answered with success, and reads the answer whole.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer<Bytes>, Error> {
        self.send_at_most(call, self.attempts).await
    }

    /// As [`Client::send`], once alone.
    pub(super) async fn try_once(&self, call: &Call) -> Result<Answer<Bytes>, Error> {
        self.send_at_most(call, 1).await
    }

    async fn send_at_most(&self, call: &Call, attempts: u32) -> Result<Answer<Bytes>, Error> {
        let mut tries = 0;
        loop {
            let failed = match self.send_once(call).await {
                Ok(answer) => match whole(answer).await {
                    Ok(answer) => return Ok(answer),
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            again(call, failed, &mut tries, attempts).await?;
        }
    }

    /// Sends a request until it is answered with success; the answer's body is still on its way.
    pub(super) async fn open(&self, call: &Call) -> Result<Answer<Incoming>, Error> {
        let mut tries = 0;
        loop {
            let failed = match self.send_once(call).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            again(call, failed, &mut tries, self.attempts).await?;
        }
    }

    async fn send_once(&self, call: &Call) -> Result<Answer<Incoming>, Failed> {
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(&call.uri);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        // An empty body of a GET has no length; of what writes it has one.
        if !matches!(call.method, Method::GET | Method::HEAD) {
            request = request.header(CONTENT_LENGTH, call.body.len());
        }
        let mut request = request
            .body(())
            .map_err(|error| Failed::permanent(Kind::Misconfigured, &error.to_string()))?;
        self.identity.sign(&mut request).await?;
        let request = request.map(|()| Full::new(call.body.clone()));
        let answer = self.http.send(request, call.is_object).await;
        let (parts, body) = answer
            .map_err(|it| Failed::of_connection(&it))?
            .into_parts();
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        };
        // 308 is how Google says that a part of an upload has arrived.
        if answer.status.is_success() || answer.status == StatusCode::PERMANENT_REDIRECT {
            return Ok(answer);
        }
        let refused = whole(answer).await?;
        Err((self.meaning)(&refused))
    }
}

/// Waits for the next try, where one may help and there is one.
async fn again(call: &Call, failed: Failed, tries: &mut u32, attempts: u32) -> Result<(), Error> {
    *tries += 1;
    if !failed.is_transient || *tries >= attempts {
        return Err(call.error(failed.kind, failed.reason));
    }
    tracing::debug!(action = call.action, reason = failed.reason, "trying again");
    tokio::time::sleep(pause(*tries)).await;
    Ok(())
}

async fn whole(answer: Answer<Incoming>) -> Result<Answer<Bytes>, Failed> {
    let Answer {
        status,
        headers,
        mut body,
    } = answer;
    let mut all = BytesMut::new();
    while let Some(data) = next(&mut body).await {
        let data = data.map_err(|it| Failed::transient(&crate::text::deepest_cause(&*it)))?;
        all.extend_from_slice(&data);
    }
    Ok(Answer {
        status,
        headers,
        body: all.freeze(),
    })
}

/// The next bytes of a body.
pub(super) async fn next(body: &mut Incoming) -> Option<Result<Bytes, BoxError>> {
    loop {
        let frame =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context));
        match frame.await? {
            Ok(frame) => match frame.into_data() {
                Ok(data) => return Some(Ok(data)),
                Err(_trailers) => {}
            },
            Err(error) => return Some(Err(error)),
        }
    }
}

/// At random below 1, 2, 4, 8 and 16 seconds, so that many do not come again at once.
pub(super) fn pause(tries: u32) -> Duration {
    let longest = Duration::from_secs(1 << tries.saturating_sub(1).min(5)).min(LONGEST_PAUSE);
    let random = uuid::Uuid::new_v4().as_u128() % longest.as_millis().max(1);
    Duration::from_millis(u64::try_from(random).unwrap_or(0))
}

/// Deletes each key; gives those that could not be deleted, each with its reason.
pub(super) async fn delete_each<F>(
    keys: &[String],
    delete: impl Fn(String) -> F,
) -> Vec<(String, Error)>
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let mut left = Vec::new();
    let mut unavailable: Option<(Kind, &'static str, String)> = None;
    for some in keys.chunks(DELETED_AT_ONCE) {
        // Every further key would be waited for as long as these.
        if let Some((kind, action, reason)) = &unavailable {
            left.extend(some.iter().map(|key| {
                let error = Error {
                    kind: *kind,
                    action,
                    location: key.clone(),
                    reason: reason.clone(),
                };
                (key.clone(), error)
            }));
            continue;
        }
        let deleting = some.iter().cloned().map(&delete);
        let deleted = futures::future::join_all(deleting).await;
        for (key, deleted) in some.iter().zip(deleted) {
            let Err(error) = deleted else { continue };
            if error.kind == Kind::Unavailable {
                unavailable = Some((error.kind, error.action, error.reason.clone()));
            }
            left.push((key.clone(), error));
        }
    }
    left
}

/// What stands as it is in a path and in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A text as a part of a path or of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Reads an answer; what cannot be read is not the service's.
pub(super) fn parsed<T, E: std::fmt::Display>(
    call: &Call,
    answer: Answer<Bytes>,
    read: impl Fn(&[u8]) -> Result<T, E>,
) -> Result<Answer<T>, Error> {
    match read(&answer.body) {
        Ok(body) => Ok(Answer {
            status: answer.status,
            headers: answer.headers,
            body,
        }),
        Err(error) => Err(call.error(
            Kind::NotS3,
            format!("the answer is none of this service's: {error}"),
        )),
    }
}

/// The clock of whoever answered. RFC 9110, 6.6.1.
pub(super) fn date<B>(answer: &Answer<B>) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(answer.header("date")?).ok()?;
    Some(date.timestamp())
}
