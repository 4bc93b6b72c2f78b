//! A proxy before an S3 server that breaks chosen requests and passes on the others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{block_on, runtime};

/// What happens to a request that a rule chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection closes when this per cent of the request's body has passed.
    CutRequest(u64),
    /// The connection closes when this per cent of the answer's body has passed.
    CutAnswer(u64),
    /// The answer's body has this per cent of its bytes, and its Content-Length agrees.
    ShortenAnswer(u64),
    /// The request is taken and answered with this status; the server never sees it.
    Answer(u16),
    /// As `Answer`, with this code in the body.
    Refuse(u16, &'static str),
    /// The server does what it was asked to, and its answer is lost.
    LoseAnswer,
    /// Nothing happens for this long; then it passes.
    Wait(Duration),
    /// Nothing happens until [`Faults::heal`]; then it passes.
    Hold,
}

/// Which requests are broken, and how.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The method.
    pub method: &'static str,
    /// What the path with its query has in it, such as `partNumber=3`.
    pub path: String,
    /// How many such requests pass first.
    pub skip: u32,
    /// How many are broken then.
    pub times: u32,
    /// How.
    pub fault: Fault,
}

/// The proxy. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct Faults {
    port: u16,
    book: Arc<Book>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Book {
    upstream: u16,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<String>>,
    struck: Mutex<Vec<String>>,
    healed: watch::Sender<u64>,
}

impl Faults {
    /// A proxy before a server of plain HTTP on this machine.
    pub fn start(upstream: u16) -> Self {
        let book = Arc::new(Book {
            upstream,
            rules: Mutex::default(),
            seen: Mutex::default(),
            struck: Mutex::default(),
            healed: watch::Sender::default(),
        });
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        Self {
            port: listener.local_addr().expect("an address").port(),
            serving: runtime().spawn(accept(listener, book.clone())),
            book,
        }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Breaks every `method` request whose path has `path` in it, `times` times.
    pub fn on(&self, method: &'static str, path: &str, times: u32, fault: Fault) {
        self.add(Rule {
            method,
            path: path.to_owned(),
            skip: 0,
            times,
            fault,
        });
    }

    /// Adds a rule; the first one that fits counts.
    pub fn add(&self, rule: Rule) {
        self.book.rules.lock().expect("no panics").push(rule);
    }

    /// Lets everything pass again, what is held up too.
    pub fn heal(&self) {
        self.book.rules.lock().expect("no panics").clear();
        self.book.healed.send_modify(|it| *it += 1);
    }

    /// Every request until now, `METHOD /path?query`.
    pub fn seen(&self) -> Vec<String> {
        self.book.seen.lock().expect("no panics").clone()
    }

    /// Every request that was broken; a test that broke none has tested nothing.
    pub fn struck(&self) -> Vec<String> {
        self.book.struck.lock().expect("no panics").clone()
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Book {
    /// Notes a request and says what happens to it.
    fn enter(&self, method: &str, path: &str) -> Option<Fault> {
        let line = format!("{method} {path}");
        self.seen.lock().expect("no panics").push(line.clone());
        let mut rules = self.rules.lock().expect("no panics");
        let fits = |it: &&mut Rule| it.method == method && path.contains(&it.path) && it.times > 0;
        let rule = rules.iter_mut().find(fits)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        self.struck.lock().expect("no panics").push(line);
        Some(rule.fault)
    }
}

async fn accept(listener: TcpListener, book: Arc<Book>) {
    loop {
        let (client, _) = listener.accept().await.expect("the listener lives");
        let book = book.clone();
        tokio::spawn(async move {
            // A connection that breaks is this module's purpose.
            drop(converse(client, &book).await);
        });
    }
}

pub(super) type Io<T> = std::io::Result<T>;
pub(super) type From = BufReader<OwnedReadHalf>;

/// One keep-alive connection, request by request.
async fn converse(client: TcpStream, book: &Book) -> Io<()> {
    let server = TcpStream::connect(("127.0.0.1", book.upstream)).await?;
    let (client, mut to_client) = client.into_split();
    let (server, mut to_server) = server.into_split();
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    while let Some(head) = Head::read(&mut client).await? {
        let (method, path) = head.request();
        let mut healed = book.healed.subscribe();
        let fault = book.enter(&method, &path);
        let body = head.body(false);
        match fault {
            Some(fault @ (Fault::Answer(_) | Fault::Refuse(..))) => {
                if head.value("expect").is_some() {
                    to_client
                        .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                        .await?;
                }
                body.pass(&mut client, &mut tokio::io::sink(), 100).await?;
                to_client.write_all(refusal(fault).as_bytes()).await?;
                continue;
            }
            Some(Fault::CutRequest(per_cent)) => {
                to_server.write_all(&head.bytes()).await?;
                if head.value("expect").is_some() {
                    pass_head(&mut server, &mut to_client).await?;
                }
                return body.pass(&mut client, &mut to_server, per_cent).await;
            }
            Some(Fault::Wait(time)) => tokio::time::sleep(time).await,
            Some(Fault::Hold) => healed.changed().await.map_err(std::io::Error::other)?,
            _ => {}
        }
        to_server.write_all(&head.bytes()).await?;
        let bodyless = method == "HEAD";
        let request = body.pass(&mut client, &mut to_server, 100);
        let answer = pass_answer(&mut server, &mut to_client, bodyless, fault);
        // Side by side, since a client may wait for a 100 before it sends its body.
        let (sent, answered) = tokio::join!(request, answer);
        sent?;
        if !answered? {
            return Ok(());
        }
    }
    Ok(())
}

/// Passes on an answer; false when the connection ends with it.
pub(super) async fn pass_answer(
    server: &mut From,
    client: &mut OwnedWriteHalf,
    bodyless: bool,
    fault: Option<Fault>,
) -> Io<bool> {
    let head = loop {
        let Some(head) = Head::read(server).await? else {
            return Ok(false);
        };
        if head.lines[0].contains(" 100 ") {
            client.write_all(&head.bytes()).await?;
        } else {
            break head;
        }
    };
    let body = head.body(true);
    let body = if bodyless { Body::Length(0) } else { body };
    match fault {
        Some(Fault::LoseAnswer) => Ok(false),
        Some(Fault::CutAnswer(per_cent)) => {
            client.write_all(&head.bytes()).await?;
            body.pass(server, client, per_cent).await?;
            Ok(false)
        }
        Some(Fault::ShortenAnswer(per_cent)) => {
            let Body::Length(length) = body else {
                return Err(std::io::Error::other("an answer without a length"));
            };
            let shorter = head.with_length(length * per_cent / 100);
            client.write_all(&shorter).await?;
            body.pass(server, client, per_cent).await?;
            Ok(false)
        }
        _ => {
            client.write_all(&head.bytes()).await?;
            body.pass(server, client, 100).await?;
            Ok(body != Body::UntilClose)
        }
    }
}

async fn pass_head(from: &mut From, to: &mut OwnedWriteHalf) -> Io<()> {
    if let Some(head) = Head::read(from).await? {
        to.write_all(&head.bytes()).await?;
    }
    Ok(())
}

fn refusal(fault: Fault) -> String {
    let (status, code) = match fault {
        Fault::Refuse(status, code) => (status, code),
        Fault::Answer(503) => (503, "SlowDown"),
        Fault::Answer(403) => (403, "AccessDenied"),
        Fault::Answer(status) => (status, "InternalError"),
        _ => (500, "InternalError"),
    };
    let body = format!("<Error><Code>{code}</Code><Message>injected</Message></Error>");
    format!(
        "HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The first line and the headers of a request or an answer.
pub(super) struct Head {
    pub(super) lines: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Head {
    pub(super) async fn read(from: &mut From) -> Io<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() && !lines.is_empty() {
                return Ok(Some(Self { lines }));
            }
            lines.push(line);
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        format!("{}\r\n\r\n", self.lines.join("\r\n")).into_bytes()
    }

    pub(super) fn request(&self) -> (String, String) {
        let mut words = self.lines[0].split(' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        (next(), next())
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn with_length(&self, length: u64) -> Vec<u8> {
        let mut head = Self {
            lines: self.lines.clone(),
        };
        let is_length = |it: &String| it.to_ascii_lowercase().starts_with("content-length:");
        head.lines.retain(|it| !is_length(it));
        head.lines.push(format!("content-length: {length}"));
        head.bytes()
    }

    pub(super) fn body(&self, answer: bool) -> Body {
        let chunked = |it: &str| it.eq_ignore_ascii_case("chunked");
        let empty = self.lines[0].contains(" 204 ") || self.lines[0].contains(" 304 ");
        match self.value("content-length").and_then(|it| it.parse().ok()) {
            _ if self.value("transfer-encoding").is_some_and(chunked) => Body::Chunked,
            Some(length) => Body::Length(length),
            None if answer && !empty => Body::UntilClose,
            None => Body::Length(0),
        }
    }
}

impl Body {
    /// Copies this per cent of the body; where its length is not known, all of it.
    pub(super) async fn pass(
        self,
        from: &mut From,
        to: &mut (impl tokio::io::AsyncWrite + Unpin),
        per_cent: u64,
    ) -> Io<()> {
        match self {
            Self::Length(length) => copy(from, to, length * per_cent / 100).await,
            Self::UntilClose => tokio::io::copy(from, to).await.map(drop),
            Self::Chunked => loop {
                let mut line = String::new();
                from.read_line(&mut line).await?;
                to.write_all(line.as_bytes()).await?;
                let digits = line.trim_end().split(';').next().unwrap_or_default();
                let size = u64::from_str_radix(digits, 16).map_err(std::io::Error::other)?;
                // The line break behind a chunk; behind the last one it is the end.
                copy(from, to, size + 2).await?;
                if size == 0 {
                    return Ok(());
                }
            },
        }
    }
}

async fn copy(
    from: &mut From,
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    length: u64,
) -> Io<()> {
    let copied = tokio::io::copy(&mut from.take(length), to).await?;
    to.flush().await?;
    if copied == length {
        Ok(())
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}
