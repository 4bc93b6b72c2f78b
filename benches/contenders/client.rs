//! The S3 client of the contenders that need one, a process of its own: parts of 5 MiB, five at a
//! time, as the published adapter's uploader has them.
//!
//! `client put KEY < bytes`, `client put-file FILE KEY`, `client put-all FOLDER PREFIX`,
//! `client get KEY > bytes`, `client get-all PREFIX FOLDER`

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use backuper::storage::Tls;
use backuper::storage::s3::client::http_client;
use futures::stream::StreamExt as _;
use tokio::task::JoinSet;

const PART: usize = 5 << 20;
const AT_ONCE: usize = 5;

pub(crate) fn main(arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bucket = Bucket::of_environment();
        match arguments.as_slice() {
            ["put", key] => bucket.put(std::io::stdin(), key).await,
            ["put-file", file, key] => bucket.put(File::open(file).unwrap(), key).await,
            ["put-all", folder, prefix] => bucket.put_all(Path::new(folder), prefix).await,
            ["get", key] => bucket.get(key, &mut std::io::stdout().lock()).await,
            ["get-all", prefix, folder] => bucket.get_all(prefix, Path::new(folder)).await,
            other => panic!("client {other:?}"),
        }
    });
}

struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    fn of_environment() -> Self {
        let of = |name: &str| std::env::var(name).unwrap();
        let credentials = Credentials::new(
            of("S3_ACCESS_KEY"),
            of("S3_SECRET_KEY"),
            None,
            None,
            "bench",
        );
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .http_client(http_client(&Tls::default()).unwrap())
            .endpoint_url(of("S3_ENDPOINT"))
            .credentials_provider(credentials)
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Self {
            client: Client::from_conf(config),
            name: of("S3_BUCKET_NAME"),
        }
    }

    async fn put(&self, mut source: impl Read + Send + 'static, key: &str) {
        let (sender, mut parts) = tokio::sync::mpsc::channel(1);
        let reader = tokio::task::spawn_blocking(move || {
            loop {
                let mut part = Vec::with_capacity(PART);
                source
                    .by_ref()
                    .take(PART as u64)
                    .read_to_end(&mut part)
                    .unwrap();
                let last = part.len() < PART;
                if sender.blocking_send(part).is_err() || last {
                    return;
                }
            }
        });
        let first: Vec<u8> = parts.recv().await.unwrap();
        if first.len() < PART {
            self.put_whole(key, first).await;
        } else {
            self.put_parts(key, first, &mut parts).await;
        }
        reader.await.unwrap();
    }

    async fn put_whole(&self, key: &str, bytes: Vec<u8>) {
        let put = self.client.put_object().bucket(&self.name).key(key);
        put.body(ByteStream::from(bytes)).send().await.unwrap();
    }

    async fn put_parts(
        &self,
        key: &str,
        first: Vec<u8>,
        rest: &mut tokio::sync::mpsc::Receiver<Vec<u8>>,
    ) {
        let create = self
            .client
            .create_multipart_upload()
            .bucket(&self.name)
            .key(key);
        let id = create.send().await.unwrap().upload_id.unwrap();
        let mut sending = JoinSet::new();
        let mut done = Vec::new();
        let (mut number, mut next) = (0, Some(first));
        while let Some(part) = next {
            if sending.len() == AT_ONCE {
                done.push(sending.join_next().await.unwrap().unwrap());
            }
            number += 1;
            if !part.is_empty() {
                let call = self.client.upload_part().bucket(&self.name).key(key);
                let call = call
                    .upload_id(&id)
                    .part_number(number)
                    .body(ByteStream::from(part));
                sending.spawn(async move {
                    let tag = call.send().await.unwrap().e_tag;
                    CompletedPart::builder()
                        .part_number(number)
                        .set_e_tag(tag)
                        .build()
                });
            }
            next = rest.recv().await;
        }
        done.extend(sending.join_all().await);
        done.sort_by_key(|it| it.part_number);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(done))
            .build();
        let complete = self
            .client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(key);
        complete
            .upload_id(id)
            .multipart_upload(parts)
            .send()
            .await
            .unwrap();
    }

    async fn put_all(&self, folder: &Path, prefix: &str) {
        let files = std::fs::read_dir(folder).unwrap().flatten();
        let puts = files.map(|it| async move {
            let key = format!("{prefix}{}", it.file_name().display());
            self.put(File::open(it.path()).unwrap(), &key).await;
        });
        futures::stream::iter(puts)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }

    async fn get(&self, key: &str, sink: &mut impl std::io::Write) {
        let got = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(key)
            .send()
            .await
            .unwrap();
        let mut body = got.body;
        while let Some(chunk) = body.try_next().await.unwrap() {
            sink.write_all(&chunk).unwrap();
        }
        sink.flush().unwrap();
    }

    async fn get_all(&self, prefix: &str, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        let pages = self
            .client
            .list_objects_v2()
            .bucket(&self.name)
            .prefix(prefix);
        let keys: Vec<String> = pages
            .into_paginator()
            .send()
            .try_collect()
            .await
            .unwrap()
            .into_iter()
            .flat_map(|it| it.contents.unwrap_or_default())
            .filter_map(|it| it.key)
            .collect();
        let gets = keys.iter().map(|key| async move {
            let name = key.strip_prefix(prefix).unwrap();
            let mut file = File::create(folder.join(name)).unwrap();
            self.get(key, &mut file).await;
        });
        futures::stream::iter(gets)
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }
}
