//! Objects in a container of Azure Blob Storage: block blobs.

mod access;
mod error;
mod listing;
pub mod place;
mod upload;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use http::header::{CONTENT_LENGTH, HeaderName, IF_MATCH, LAST_MODIFIED};
use http::{HeaderMap, Method};
use jiff::Timestamp;
use md5::Md5;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::{Digest, Sha256};

use super::cloud::read::{Reading, Versions, collect, digest};
use super::cloud::{Call, Client, date, delete_each, encoded};
use super::parts::Memory;
use super::{
    Access, AzurePlace, Body, Error, Kind, Locked, Object, Ours, See, Storage, Stored, Survey,
    Tags, Tls, Upload,
};
use listing::Page;
use upload::Blocks;

/// Of what metadata has.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
const BLOB_TYPE: HeaderName = HeaderName::from_static("x-ms-blob-type");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// An entity tag is one version of a blob.
const TAGS: Versions = Versions {
    told: "etag",
    only: |call, tag| call.header(IF_MATCH, tag),
};

/// A container.
#[derive(Clone, Debug)]
pub struct AzureStorage {
    client: Client,
    account: String,
    container: String,
    /// The account's, without a slash at the end.
    endpoint: String,
    memory: Memory,
    /// As headers have them.
    metadata: Vec<(HeaderName, String)>,
}

/// Tags as headers: names are identifiers of C#, and values ASCII that begins and ends with no space. What has no such
/// name is left out, and so is the second of one name, with which nothing would be taken.
/// <https://learn.microsoft.com/en-us/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata#metadata-names>
fn metadata(tags: &Tags) -> Vec<(HeaderName, String)> {
    let mut headers: Vec<(HeaderName, String)> = Vec::new();
    for (key, value) in tags.pairs() {
        let is_part = |it: &char| it.is_ascii_alphanumeric() || *it == '_';
        let name: String = key.chars().filter(is_part).collect();
        let is_identifier = !name.is_empty() && !name.starts_with(|it: char| it.is_ascii_digit());
        let header = HeaderName::try_from(format!("x-ms-meta-{}", name.to_ascii_lowercase()));
        let value = utf8_percent_encode(value.trim(), ESCAPED).to_string();
        match header {
            Ok(header)
                if is_identifier
                    && !value.is_empty()
                    && headers.iter().all(|(it, _)| *it != header) =>
            {
                headers.push((header, value));
            }
            _ => {
                tracing::warn!(
                    key,
                    "Azure takes no metadata of this name without a value, or has it already, so this one of OBJECT_TAGS is on no object"
                );
            }
        }
    }
    headers
}

impl AzureStorage {
    /// A client for the container that tries a request as often as this; nothing is sent yet.
    ///
    /// # Errors
    /// `Kind::Misconfigured` when a key or a certificate file cannot be used.
    pub fn connect(
        place: &AzurePlace,
        tls: &Tls,
        attempts: u32,
        tags: &Tags,
    ) -> Result<Self, Error> {
        Ok(Self {
            client: access::client(place, tls, attempts)?,
            account: place.account.to_string(),
            container: place.container.to_string(),
            endpoint: place.server(),
            memory: Memory::default(),
            metadata: metadata(tags),
        })
    }

    fn at(&self, key: &str) -> String {
        format!(
            "az://{}/{}/{key} at {}",
            self.account, self.container, self.endpoint
        )
    }

    fn container(&self) -> String {
        format!("{}/{}", self.endpoint, encoded(&self.container))
    }

    /// Slashes stay: an account with a hierarchy has folders of them.
    fn blob(&self, key: &str) -> String {
        let parts: Vec<String> = key.split('/').map(encoded).collect();
        format!("{}/{}", self.container(), parts.join("/"))
    }

    fn call(&self, action: &'static str, key: &str, method: Method, uri: String) -> Call {
        Call::new(action, self.at(key), method, uri)
    }

    async fn page(
        &self,
        prefix: &str,
        most: u32,
        marker: Option<&str>,
    ) -> Result<super::cloud::Answer<Page>, Error> {
        let mut uri = format!(
            "{}?restype=container&comp=list&maxresults={most}&prefix={}",
            self.container(),
            encoded(prefix)
        );
        if let Some(marker) = marker {
            uri.push_str("&marker=");
            uri.push_str(&encoded(marker));
        }
        let call = self.call("listing", prefix, Method::GET, uri);
        let answer = self.client.send(&call).await?;
        super::cloud::parsed(&call, answer, Page::read)
    }

    async fn head(&self, key: &str) -> Result<HeaderMap, Error> {
        let call = self.call("reading", key, Method::HEAD, self.blob(key));
        Ok(self.client.send(&call).await?.headers)
    }

    /// With what a blob says of the backup.
    fn told(&self, call: Call) -> Call {
        let metadata = self.metadata.iter().cloned();
        metadata.fold(call, |call, (name, value)| call.header(name, value))
    }

    /// Stores a blob in one request, which the service takes only where its MD5 is this one.
    async fn put_whole(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        let md5 = STANDARD.encode(Md5::digest(&body));
        let stored = Stored {
            size: body.len() as u64,
            sha256: hex::encode(Sha256::digest(&body)),
            etag: Some(format!("md5={md5}")),
        };
        let call = self
            .call("writing", key, Method::PUT, self.blob(key))
            .header(BLOB_TYPE, "BlockBlob")
            .header(CONTENT_MD5, md5)
            .body(body);
        self.client.send(&self.told(call)).await?;
        Ok(stored)
    }

    async fn delete_one(&self, key: &str) -> Result<(), Error> {
        let call = self.call("deleting", key, Method::DELETE, self.blob(key));
        match self.client.send(&call).await {
            Err(error) if error.kind != Kind::NotFound => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Whether what the service tells of a blob proves that it is this.
    async fn is_proven(
        &self,
        key: &str,
        stored: &Stored,
        headers: &HeaderMap,
    ) -> Result<bool, Error> {
        let Some(tag) = &stored.etag else {
            return Ok(false);
        };
        if tag.starts_with("blocks=") {
            return Ok(self.blocks(key).await?.as_ref() == Some(tag));
        }
        Ok(text(headers, &CONTENT_MD5).is_some_and(|it| *tag == format!("md5={it}")))
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|it| it.to_str().ok())
}

fn size(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

#[async_trait]
impl Storage for AzureStorage {
    fn location(&self) -> String {
        format!(
            "az://{}/{} at {}",
            self.account, self.container, self.endpoint
        )
    }

    async fn probe(&self, prefix: &str, access: Access) -> Result<(), Error> {
        self.page(prefix, 1, None).await.map_err(|error| Error {
            // Nothing but the container could be missing.
            kind: match error.kind {
                Kind::NotFound => Kind::NoBucket,
                kind => kind,
            },
            ..error
        })?;
        if access == Access::Read {
            return Ok(());
        }
        let key = format!("{prefix}oiler-probe-{}", uuid::Uuid::new_v4());
        self.put(&key, Bytes::from_static(b"probe")).await?;
        self.delete_one(&key).await
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Stored, Error> {
        self.put_whole(key, body).await
    }

    async fn upload(&self, key: &str, expected: u64) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(Blocks::new(self.clone(), key, expected)))
    }

    async fn stat(&self, key: &str) -> Result<Object, Error> {
        let headers = self.head(key).await?;
        let modified = text(&headers, &LAST_MODIFIED)
            .and_then(|it| jiff::fmt::rfc2822::parse(it).ok())
            .map_or(Timestamp::UNIX_EPOCH, |it| it.timestamp());
        let Some(size) = size(&headers) else {
            let call = self.call("reading", key, Method::HEAD, String::new());
            return Err(call.error(Kind::NotS3, "the server does not say how large it is"));
        };
        Ok(Object {
            key: key.to_owned(),
            size,
            modified,
            etag: headers
                .get("etag")
                .and_then(|it| it.to_str().ok())
                .map(|it| it.trim_matches('"').to_owned()),
        })
    }

    async fn verify(&self, key: &str, stored: &Stored) -> Result<(), Error> {
        let headers = self.head(key).await?;
        let found = Stored {
            size: size(&headers).unwrap_or(u64::MAX),
            sha256: String::new(),
            etag: None,
        };
        if found.size != stored.size {
            return Err(super::differs(&self.at(key), stored, &found));
        }
        if self.is_proven(key, stored, &headers).await? {
            return Ok(());
        }
        let found = digest(self.open(key).await?).await?;
        if (found.size, &found.sha256) == (stored.size, &stored.sha256) {
            return Ok(());
        }
        Err(super::differs(&self.at(key), stored, &found))
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Bytes, Error> {
        collect(self.open(key).await?, key, limit).await
    }

    async fn open(&self, key: &str) -> Result<Body, Error> {
        let call = self.call("reading", key, Method::GET, self.blob(key));
        let reading = Reading::begin(&self.client, call, TAGS).await?;
        Ok(reading.into_stream().boxed())
    }

    async fn visit(&self, prefix: &str, see: &mut See<'_>) -> Result<(), Error> {
        let mut marker = None;
        loop {
            let page = self.page(prefix, 1_000, marker.as_deref()).await?.body;
            page.objects.into_iter().for_each(&mut *see);
            marker = page.next;
            if marker.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete(&self, keys: &[String]) -> Vec<(String, Error)> {
        let delete = |key: String| {
            let this = self.clone();
            async move { this.delete_one(&key).await }
        };
        delete_each(keys, delete).await
    }

    fn locks(&self) -> bool {
        false
    }

    async fn lock(&self, _keys: &[String]) -> Result<(), Error> {
        Ok(())
    }

    async fn locked(&self, _key: &str) -> Result<Option<Locked>, Error> {
        Ok(None)
    }

    /// A block that no list names is no blob, and is gone after a week.
    async fn rehearse(&self, key: &str) -> Result<(), Error> {
        self.send(key, 0, Bytes::from_static(b"block"))
            .await
            .map(drop)
    }

    async fn survey(&self, prefix: &str) -> Survey {
        let listed = self.page(prefix, 1, None).await;
        Survey {
            clock: listed.ok().and_then(|it| date(&it)),
            free: None,
            // Azure tells blocks that no list names from nothing, and drops them after a week.
            uploads: None,
        }
    }

    async fn abort_uploads(
        &self,
        _prefix: &str,
        _before: Timestamp,
        _ours: &Ours<'_>,
    ) -> Result<usize, Error> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_what_azure_takes() {
        let tags = "backup-name=a,backup.name=b,team_a=x,größe= ä b ,7=seven,empty=";
        let all = metadata(&tags.parse().unwrap());
        let all: Vec<(&str, &str)> = all
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            all,
            [
                ("x-ms-meta-backupname", "a"),
                ("x-ms-meta-team_a", "x"),
                ("x-ms-meta-gre", "%C3%A4 b"),
            ]
        );
    }
}
