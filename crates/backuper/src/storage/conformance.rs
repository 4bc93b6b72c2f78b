//! What every store promises, tried on each: in memory, in a directory, on an S3 server.

#![cfg(test)]

mod directory;
mod promises;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use super::file::FileStorage;
use super::memory::MemoryStorage;
use super::s3::options::Options;
use super::{Config, Place, S3Place, Tags, Tls, connect};
use crate::storage;
use promises::{Tried, many};

async fn all() -> [Tried; 4] {
    let directory = tempfile::tempdir().unwrap();
    let file = FileStorage::new(directory.path().to_owned(), Some("bucket"));
    [
        Tried {
            name: "memory",
            store: Arc::new(MemoryStorage::default()),
            folder: None,
            _held: Box::new(()),
        },
        Tried {
            name: "file",
            store: Arc::new(file),
            folder: Some(directory.path().to_owned()),
            _held: Box::new(directory),
        },
        s3("").await,
        Tried {
            name: "s3 with a prefix",
            ..s3("team-a/prod").await
        },
    ]
}

/// A server in this process that checks signatures, with one bucket.
async fn s3(prefix: &str) -> Tried {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("bucket")).unwrap();
    let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single("key", "the secret"));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                let http = hyper::server::conn::http1::Builder::new();
                // Clients that hang up in the middle are part of the tests.
                drop(http.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    let config = Config {
        place: Place::S3(S3Place {
            endpoint: Some(endpoint),
            bucket: "bucket".parse().unwrap(),
            access_key: Some("key".into()),
            secret_key: Some("the secret".into()),
            session_token: None,
            region: None,
            force_path_style: None,
            options: Options::default(),
        }),
        prefix: prefix.parse().unwrap(),
        tls: Tls::default(),
        tags: Tags::default(),
    };
    Tried {
        name: "s3",
        store: connect(&config).await.unwrap(),
        folder: Some(folder.path().to_owned()),
        _held: Box::new(folder),
    }
}

macro_rules! tests {
    ($($promise:ident,)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                for tried in all().await {
                    promises::$promise(&tried).await;
                }
            }
        )*
    };
}
promises::all_promises!(tests);

/// F42: what one upload holds keeps no other from writing.
#[tokio::test]
async fn an_upload_waits_for_no_other_uploads_parts() {
    let s3 = s3("").await;
    let part = many(7 << 20);
    // Each holds a whole part that is not sent before more comes.
    let mut holding = Vec::new();
    for number in 0..6 {
        let mut upload = s3.store.upload(&format!("held/{number}"), 0).await.unwrap();
        upload.write(part.slice(1..)).await.unwrap();
        holding.push(upload);
    }
    for expected in [0, 1 << 40] {
        let mut upload = s3.store.upload("free", expected).await.unwrap();
        let writing = async {
            for _ in 0..3 {
                upload.write(part.clone()).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), writing)
            .await
            .expect("nobody is waited for");
        let stored = upload.complete().await.unwrap();
        s3.store.verify("free", &stored).await.unwrap();
    }
    for upload in holding {
        upload.abort().await.unwrap();
    }
}
