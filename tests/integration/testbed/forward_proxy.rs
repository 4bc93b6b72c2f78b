//! An HTTP proxy as companies have them: it passes plain requests on and makes tunnels for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::s3_faults::{Head, Io, pass_answer};
use super::{block_on, runtime};

/// A proxy. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct ForwardProxy {
    port: u16,
    book: Arc<Book>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Book {
    hosts: HashMap<String, u16>,
    seen: Mutex<Vec<String>>,
}

impl ForwardProxy {
    /// A proxy that alone knows these hosts: each is a port of this machine.
    pub fn start(hosts: &[(&str, u16)]) -> Self {
        let hosts = hosts.iter().map(|(host, port)| ((*host).to_owned(), *port));
        let book = Arc::new(Book {
            hosts: hosts.collect(),
            seen: Mutex::default(),
        });
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        Self {
            port: listener.local_addr().expect("an address").port(),
            serving: runtime().spawn(accept(listener, book.clone())),
            book,
        }
    }

    /// What `HTTP_PROXY` takes, with a user and a password.
    pub fn url(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// The first line of every request until now, `METHOD TARGET`, with `(USER:PASSWORD)` in base64
    /// as it came.
    pub fn seen(&self) -> Vec<String> {
        self.book.seen.lock().expect("no panics").clone()
    }
}

impl Drop for ForwardProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn accept(listener: TcpListener, book: Arc<Book>) {
    loop {
        let (client, _) = listener.accept().await.expect("the listener lives");
        let book = book.clone();
        // A connection that ends early is no fault of a proxy.
        tokio::spawn(async move { drop(converse(client, &book).await) });
    }
}

async fn converse(client: TcpStream, book: &Book) -> Io<()> {
    let (from_client, mut to_client) = client.into_split();
    let mut from_client = BufReader::new(from_client);
    let Some(mut head) = Head::read(&mut from_client).await? else {
        return Ok(());
    };
    let (method, target) = book.enter(&head);
    if method == "CONNECT" {
        let mut server = book.connect(&target).await?;
        to_client.write_all(b"HTTP/1.1 200 made\r\n\r\n").await?;
        let mut client = from_client
            .into_inner()
            .reunite(to_client)
            .map_err(std::io::Error::other)?;
        return copy_bidirectional(&mut client, &mut server).await.map(drop);
    }
    let host = |target: &str| target.split('/').nth(2).unwrap_or_default().to_owned();
    let server = book.connect(&host(&target)).await?;
    let (from_server, mut to_server) = server.into_split();
    let mut from_server = BufReader::new(from_server);
    loop {
        let (method, target) = head.request();
        let path = format!("/{}", target.splitn(4, '/').nth(3).unwrap_or_default());
        let body = head.body(false);
        head.lines[0] = format!("{method} {path} HTTP/1.1");
        head.lines
            .retain(|it| !it.to_ascii_lowercase().starts_with("proxy-"));
        to_server.write_all(&head.bytes()).await?;
        let request = body.pass(&mut from_client, &mut to_server, 100);
        let answer = pass_answer(&mut from_server, &mut to_client, method == "HEAD", None);
        let (sent, answered) = tokio::join!(request, answer);
        sent?;
        if !answered? {
            return Ok(());
        }
        match Head::read(&mut from_client).await? {
            Some(next) => head = next,
            None => return Ok(()),
        }
        book.enter(&head);
    }
}

impl Book {
    fn enter(&self, head: &Head) -> (String, String) {
        let (method, target) = head.request();
        let password = head.value("proxy-authorization").unwrap_or_default();
        let line = format!("{method} {target} ({password})");
        self.seen.lock().expect("no panics").push(line);
        (method, target)
    }

    async fn connect(&self, host: &str) -> Io<TcpStream> {
        let name = host.split(':').next().unwrap_or_default();
        match self.hosts.get(name) {
            Some(port) => TcpStream::connect(("127.0.0.1", *port)).await,
            None => TcpStream::connect(host).await,
        }
    }
}
