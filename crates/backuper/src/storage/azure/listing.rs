//! What Azure's lists say: XML, of blobs and of the blocks of one.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::storage::Object;

/// One page of a listing.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Results {
    blobs: Blobs,
    next_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Blobs {
    #[serde(rename = "Blob", default)]
    blobs: Vec<Blob>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blob {
    name: Name,
    properties: Properties,
}

/// A name that XML cannot carry is percent-encoded, and says so.
#[derive(Debug, Deserialize)]
struct Name {
    #[serde(rename = "@Encoded")]
    encoded: Option<bool>,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Debug, Deserialize)]
struct Properties {
    #[serde(rename = "Content-Length")]
    size: u64,
    #[serde(rename = "Last-Modified", deserialize_with = "time")]
    modified: Timestamp,
    #[serde(rename = "Etag")]
    etag: Option<String>,
    /// In an account with a hierarchy folders are listed too.
    #[serde(rename = "ResourceType")]
    resource: Option<String>,
}

impl Page {
    pub(super) fn read(xml: &[u8]) -> Result<Self, quick_xml::DeError> {
        let results: Results = quick_xml::de::from_reader(without_mark(xml))?;
        Ok(Self {
            objects: results.blobs.blobs.into_iter().filter_map(object).collect(),
            next: results.next_marker.filter(|it| !it.is_empty()),
        })
    }
}

/// Azure's XML begins with a byte order mark.
fn without_mark(xml: &[u8]) -> &[u8] {
    xml.strip_prefix("\u{feff}".as_bytes()).unwrap_or(xml)
}

/// What is of no time would look abandoned, so a list without one is none.
fn time<'de, D: Deserializer<'de>>(value: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(value)?;
    let time = jiff::fmt::rfc2822::parse(&text).map_err(D::Error::custom)?;
    Ok(time.timestamp())
}

fn object(blob: Blob) -> Option<Object> {
    let Blob { name, properties } = blob;
    if properties.resource.as_deref() == Some("directory") {
        return None;
    }
    Some(Object {
        key: match name.encoded {
            Some(true) => percent_decode_str(&name.text)
                .decode_utf8_lossy()
                .into_owned(),
            Some(false) | None => name.text,
        },
        size: properties.size,
        modified: properties.modified,
        etag: properties.etag.map(|it| it.trim_matches('"').to_owned()),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlockList {
    committed_blocks: Option<Committed>,
}

#[derive(Debug, Deserialize)]
struct Committed {
    #[serde(rename = "Block", default)]
    blocks: Vec<Block>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Block {
    name: String,
}

/// The names of the blocks that a blob is made of, in order.
pub(super) fn blocks(xml: &[u8]) -> Result<Vec<String>, quick_xml::DeError> {
    let list: BlockList = quick_xml::de::from_reader(without_mark(xml))?;
    let committed = list
        .committed_blocks
        .map(|it| it.blocks)
        .unwrap_or_default();
    Ok(committed.into_iter().map(|it| it.name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_blobs_and_no_folders() {
        let page = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://a/\" ContainerName=\"c\"><Prefix>shop</Prefix><MaxResults>2</MaxResults><Blobs>\
            <Blob><Name>shop/a &amp; b</Name><Properties><Creation-Time>x</Creation-Time><Last-Modified>Thu, 26 Nov 2026 12:00:00 GMT</Last-Modified><Etag>0x8</Etag><Content-Length>7</Content-Length><BlobType>BlockBlob</BlobType></Properties><OrMetadata /></Blob>\
            <Blob><Name>shop</Name><Properties><Last-Modified>Thu, 26 Nov 2026 12:00:00 GMT</Last-Modified><ResourceType>directory</ResourceType><Content-Length>0</Content-Length></Properties></Blob>\
            <Blob><Name Encoded=\"true\">shop/%EF%BF%BE</Name><Properties><Last-Modified>Thu, 26 Nov 2026 12:00:00 GMT</Last-Modified><Content-Length>1</Content-Length></Properties></Blob>\
            </Blobs><NextMarker>2!76</NextMarker></EnumerationResults>";
        let page = Page::read(page.as_bytes()).unwrap();
        let keys: Vec<&str> = page.objects.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(keys, ["shop/a & b", "shop/\u{fffe}"]);
        assert_eq!(page.objects[0].size, 7);
        assert_eq!(page.next.as_deref(), Some("2!76"));
        let empty = "<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>";
        let empty = Page::read(empty.as_bytes()).unwrap();
        assert!(empty.objects.is_empty() && empty.next.is_none());
    }

    #[test]
    fn blocks_are_told_in_order() {
        let list = "<?xml version=\"1.0\"?><BlockList><CommittedBlocks><Block><Name>b</Name><Size>1</Size></Block><Block><Name>a</Name><Size>1</Size></Block></CommittedBlocks></BlockList>";
        assert_eq!(blocks(list.as_bytes()).unwrap(), ["b", "a"]);
        let none = "<BlockList><CommittedBlocks /></BlockList>";
        assert!(blocks(none.as_bytes()).unwrap().is_empty());
    }
}
