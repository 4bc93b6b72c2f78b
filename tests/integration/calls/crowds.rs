//! Clients that come in crowds, say nothing, or say it slowly.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use scheduler::listener::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Server, requests};
use crate::testbed::block_on;

/// What a client of HTTP/2 says first. RFC 9113, 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Few at a time: of those that overflow the queue of the port the kernel tells one side alone.
async fn connections(server: &Server, count: usize) -> Vec<TcpStream> {
    let connecting = (0..count).map(|_| TcpStream::connect(("127.0.0.1", server.port)));
    let connected = futures::stream::iter(connecting).buffered(64);
    connected.try_collect().await.unwrap()
}

/// S05: two thousand that say nothing, and two hundred that begin and go on a byte at a time.
#[test]
fn idle_and_slow_clients_keep_nobody_out() {
    block_on(async {
        // Both ends are here: it asks the system for as many files as it may have.
        let most = Limits::of_this_process().connections;
        assert!(
            most > 2_300,
            "the system gives too few files: {most} connections"
        );
        let limits = Limits {
            connections: 4_096,
            idle: Duration::from_secs(20),
        };
        let server = Server::start_within(None, limits).await;
        let mut idle = connections(&server, 2_000).await;
        let mut slow = connections(&server, 200).await;
        for (byte, client) in (0..).zip(&mut slow) {
            let some = &PREFACE[..byte % PREFACE.len()];
            client.write_all(some).await.unwrap();
        }
        let mut client = server.client().await;
        client.backup(requests::backup()).await.expect("served");
        let gauge = server.metrics.connections("grpc");
        assert!(gauge.get() > 1_000, "{}", gauge.get());
        for silent in idle.iter_mut().chain(&mut slow) {
            let mut rest = Vec::new();
            let ended =
                tokio::time::timeout(Duration::from_secs(90), silent.read_to_end(&mut rest));
            // Closed or reset, and not left open.
            let _closed = ended.await.expect("a silent connection is ended");
        }
        // The first client has been as silent as they have: it would call while its connection is ended.
        let mut another = server.client().await;
        let served = another.backup(requests::backup()).await;
        served.expect("served all the while");
    });
}

/// S05: whoever comes when all places are taken waits for the next one that is free.
#[test]
fn a_client_that_comes_when_all_places_are_taken_is_served_when_one_is_free() {
    block_on(async {
        let limits = Limits {
            connections: 10,
            idle: Duration::from_secs(2),
        };
        let server = Server::start_within(None, limits).await;
        let _idle = connections(&server, 50).await;
        let mut client = server.client().await;
        let served =
            tokio::time::timeout(Duration::from_secs(40), client.backup(requests::backup()));
        served.await.expect("in time").expect("served");
        assert!(server.metrics.connections("grpc").get() <= 10);
    });
}
