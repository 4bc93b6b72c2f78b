//! A proxy that understands as much of PostgreSQL's protocol as it takes to end a session after its n-th statement
//! that changes something. PostgreSQL manual, 53.2 and 53.7.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::testbed::runtime;

/// What becomes of a session after a statement that changes something: false: it ends before its answer.
type Decide = dyn Fn() -> bool + Send + Sync;

/// A proxy before a server. Dropped, it takes no new sessions.
pub(super) struct Statements {
    pub(super) port: u16,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Statements {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Statements {
    pub(super) async fn start(
        upstream: u16,
        is_alive: impl Fn() -> bool + Send + Sync + 'static,
        goes_on: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let goes_on: Arc<Decide> = Arc::new(goes_on);
        let serving = runtime().spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("the listener lives");
                if !is_alive() {
                    continue;
                }
                tokio::spawn(serve(client, upstream, goes_on.clone()));
            }
        });
        Self { port, serving }
    }
}

async fn serve(client: TcpStream, upstream: u16, goes_on: Arc<Decide>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else {
        return;
    };
    let ((from_client, mut to_client), (mut from_server, to_server)) =
        (client.into_split(), server.into_split());
    let down = async {
        // One of them has ended.
        drop(tokio::io::copy(&mut from_server, &mut to_client).await);
    };
    tokio::select! {
        () = up(from_client, to_server, &*goes_on) => {}
        () = down => {}
    }
}

/// Passes whole messages on, until the session's end is decided.
async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, goes_on: &Decide) {
    let mut is_begun = false;
    loop {
        let mut head = vec![0; if is_begun { 5 } else { 4 }];
        if from.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = u32::from_be_bytes(head[head.len() - 4..].try_into().expect("four bytes"));
        let mut body = vec![0; usize::try_from(length).expect("a length") - 4];
        if from.read_exact(&mut body).await.is_err() {
            return;
        }
        let changes = is_begun && head[0] == b'Q' && changes(&String::from_utf8_lossy(&body));
        // 3.0; what is asked before, for TLS, has another code.
        is_begun |= body.get(..4) == Some(&196_608_u32.to_be_bytes()[..]);
        let passed = async {
            to.write_all(&head).await?;
            to.write_all(&body).await
        };
        if passed.await.is_err() || (changes && !goes_on()) {
            return;
        }
    }
}

fn changes(sql: &str) -> bool {
    let verbs = [
        "CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COMMENT", "REASSIGN",
    ];
    let mut statements = sql.split(';').map(str::trim_start);
    statements.any(|it| verbs.iter().any(|verb| it.starts_with(verb)))
}

#[test]
fn a_statement_that_changes_nothing_is_not_counted() {
    assert!(changes(
        "SET LOCAL lock_timeout = '5s'; ALTER TABLE t OWNER TO o"
    ));
    assert!(!changes("SELECT pg_advisory_lock(1)"));
}
