//! A store as it is kept. What was there before there were other clouds and prefixes is written as it
//! was, and read.

use backuper::storage::{Bucket, Endpoint, Prefix, StoreUrl};
use serde::{Deserialize, Serialize};
use serde_with::{DisplayFromStr, serde_as};

use super::{Keys, Place, Way};
use crate::domain::credential::Credential;

#[serde_as]
#[derive(Serialize, Deserialize)]
pub(super) struct Store {
    /// An S3 server or a directory; none is AWS.
    #[serde_as(as = "Option<DisplayFromStr>")]
    endpoint: Option<Endpoint>,
    #[serde_as(as = "Option<DisplayFromStr>")]
    bucket: Option<Bucket>,
    keys: Credential<Keys>,
    /// Of a bucket of S3.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<Prefix>,
    /// Of another cloud, in the place of the three.
    #[serde_as(as = "Option<DisplayFromStr>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<StoreUrl>,
    #[serde(default, skip_serializing_if = "is_pair")]
    way: Way,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
}

fn is_pair(way: &Way) -> bool {
    *way == Way::Pair
}

impl From<super::Store> for Store {
    fn from(store: super::Store) -> Self {
        let super::Store {
            place,
            way,
            keys,
            region,
        } = store;
        let empty = Self {
            endpoint: None,
            bucket: None,
            keys,
            prefix: None,
            url: None,
            way,
            region,
        };
        match place {
            Place::S3 {
                server,
                bucket,
                prefix,
            } => Self {
                endpoint: server.map(Endpoint::Url),
                bucket: Some(bucket),
                prefix: Some(prefix).filter(|it| !it.is_empty()),
                ..empty
            },
            Place::Directory { path, folder } => Self {
                endpoint: Some(Endpoint::Directory(path)),
                bucket: folder,
                ..empty
            },
            Place::Google { bucket, prefix } => Self {
                url: Some(StoreUrl::Gcs { bucket, prefix }),
                ..empty
            },
            Place::Azure {
                account,
                container,
                prefix,
            } => Self {
                url: Some(StoreUrl::Azure {
                    account,
                    container,
                    prefix,
                }),
                ..empty
            },
        }
    }
}

impl TryFrom<Store> for super::Store {
    type Error = String;

    fn try_from(kept: Store) -> Result<Self, String> {
        let Store {
            endpoint,
            bucket,
            keys,
            prefix,
            url,
            way,
            region,
        } = kept;
        let place = match url {
            Some(url) => Some(Place::from(url)),
            None => Place::of_server(endpoint, bucket),
        };
        let place = place.ok_or("a store has neither a bucket nor a directory")?;
        let place = match prefix {
            Some(prefix) => place.below(prefix).ok_or("a directory has a prefix")?,
            None => place,
        };
        let store = Self::new(place, way, keys).map_err(|error| error.to_string())?;
        Ok(Self { region, ..store })
    }
}
