//! The headers of each request, as a server sees them that does whatever it is asked.

use std::sync::Arc;

use backuper::storage::{Access, Config, Kind, Place, Storage, connect};
use bytes::Bytes;
use wiremock::matchers::{header, header_exists, method, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::s3_faults::config;
use super::testbed::s3::BehindTls;
use super::testbed::tls::Authority;
use super::testbed::{block_on, env};

const KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const KEY_MD5: &str = "KYvwGXoFFJ42a2u2GDWhwQ==";

type Pair = (&'static str, &'static str);

fn started() -> MockServer {
    block_on(MockServer::start())
}

fn at(server: &MockServer, more: &[Pair]) -> Arc<dyn Storage> {
    block_on(connect(&config_of(server, more))).unwrap()
}

fn config_of(server: &MockServer, more: &[Pair]) -> Config {
    let base = env([
        ("S3_ENDPOINT", &server.uri()),
        ("S3_BUCKET_NAME", "bucket"),
        ("S3_ACCESS_KEY", "a"),
        ("S3_SECRET_KEY", "s"),
    ]);
    let (key, rest): (Vec<Pair>, Vec<Pair>) =
        more.iter().partition(|it| it.0 == "S3_SSE_CUSTOMER_KEY");
    let mut config = config(&base, &rest);
    let Place::S3(place) = &mut config.place else {
        panic!("it is on S3");
    };
    // Over http the settings refuse it; the requests are the same.
    place.options.customer_key = key.first().map(|it| it.1.into());
    config
}

/// A server that takes everything, and answers each write with these headers.
fn obliging(answers: &[Pair]) -> MockServer {
    let server = started();
    let with = |status: u16| {
        let template = ResponseTemplate::new(status).insert_header("etag", "\"tag\"");
        answers.iter().fold(template, |template, (name, value)| {
            template.insert_header(*name, *value)
        })
    };
    let xml = |name: &str, inner: &str| {
        with(200).set_body_raw(format!("<{name}>{inner}</{name}>"), "application/xml")
    };
    let mounting = async {
        let post = || Mock::given(method("POST"));
        let created = xml("InitiateMultipartUploadResult", "<UploadId>id</UploadId>");
        post()
            .and(query_param("uploads", ""))
            .respond_with(created)
            .mount(&server)
            .await;
        let completed = xml("CompleteMultipartUploadResult", "<ETag>\"tag\"</ETag>");
        post()
            .and(query_param("uploadId", "id"))
            .respond_with(completed)
            .mount(&server)
            .await;
        let listed = xml("ListBucketResult", "");
        let get = || Mock::given(method("GET"));
        get()
            .and(query_param("list-type", "2"))
            .respond_with(listed)
            .mount(&server)
            .await;
        get()
            .respond_with(with(200).set_body_string("body"))
            .mount(&server)
            .await;
        Mock::given(method("HEAD"))
            .respond_with(with(200))
            .mount(&server)
            .await;
        Mock::given(method("PUT"))
            .respond_with(with(200))
            .mount(&server)
            .await;
        Mock::given(method("DELETE"))
            .respond_with(ResponseTemplate::new(204))
            .mount(&server)
            .await;
    };
    block_on(mounting);
    server
}

/// Does with a store what a backup and a restore do; gives what was asked.
fn all_requests(server: &MockServer, more: &[Pair]) -> Vec<Request> {
    let store = at(server, more);
    let using = async {
        store.probe("shop/", Access::Write).await.unwrap();
        store
            .put("shop/manifest.json", Bytes::from_static(b"{}"))
            .await
            .unwrap();
        let mut small = store.upload("shop/small", 0).await.unwrap();
        small.write(Bytes::from_static(b"few")).await.unwrap();
        small.complete().await.unwrap();
        let mut large = store.upload("shop/large", 0).await.unwrap();
        large.write(Bytes::from(vec![7; 8 << 20])).await.unwrap();
        large.complete().await.unwrap();
        store.stat("shop/large").await.unwrap();
        store.get("shop/manifest.json", 100).await.unwrap();
        store.locked("shop/manifest.json").await.unwrap();
        server.received_requests().await.unwrap()
    };
    block_on(using)
}

fn value<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.headers.get(name).map(|it| it.to_str().unwrap())
}

/// `METHOD key`, and what of the query tells requests apart.
fn name(request: &Request) -> String {
    let query = request.url.query().unwrap_or_default();
    let kind = ["uploads", "partNumber", "uploadId", "list-type"];
    let kind = kind.iter().find(|it| query.contains(**it)).unwrap_or(&"");
    format!(
        "{} {} {kind}",
        request.method,
        request.url.path().trim_start_matches("/bucket/")
    )
}

fn is_object(request: &Request) -> bool {
    request.method.as_str() != "DELETE" && !name(request).ends_with("list-type")
}

fn begins_object(request: &Request) -> bool {
    let name = name(request);
    (name.starts_with("PUT") && !name.contains("partNumber")) || name.ends_with("uploads")
}

#[test]
fn a_customers_key_is_shown_with_every_request_for_an_object() {
    let server = obliging(&[
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-server-side-encryption-customer-key-md5", KEY_MD5),
    ]);
    let asked = all_requests(&server, &[("S3_SSE_CUSTOMER_KEY", KEY)]);
    for request in asked
        .iter()
        .filter(|it| is_object(it) && !name(it).starts_with("POST shop/large uploadId"))
    {
        let shown = value(request, "x-amz-server-side-encryption-customer-key");
        assert_eq!(shown, Some(KEY), "{}", name(request));
        assert_eq!(
            value(request, "x-amz-server-side-encryption-customer-key-md5"),
            Some(KEY_MD5)
        );
        assert_eq!(
            value(request, "x-amz-server-side-encryption-customer-algorithm"),
            Some("AES256")
        );
    }
}

/// operator.md, W34: what a tag has is encoded.
#[test]
fn class_encryption_and_tags_are_asked_for_where_an_object_begins() {
    let server = obliging(&[("x-amz-server-side-encryption", "aws:kms")]);
    let asked = all_requests(
        &server,
        &[
            ("S3_SSE", "aws:kms"),
            ("S3_SSE_KMS_KEY_ID", "arn:aws:kms:x:1:key/k"),
            ("S3_TAGS", "team=dba,x=a b"),
            ("S3_STORAGE_CLASS", "STANDARD_IA"),
        ],
    );
    for request in asked.iter().filter(|it| it.method.as_str() != "DELETE") {
        let begins = begins_object(request);
        let data = begins
            && ["small", "large"]
                .iter()
                .any(|it| request.url.path().ends_with(it));
        for (header, wanted, there) in [
            ("x-amz-server-side-encryption", "aws:kms", begins),
            (
                "x-amz-server-side-encryption-aws-kms-key-id",
                "arn:aws:kms:x:1:key/k",
                begins,
            ),
            ("x-amz-tagging", "team=dba&x=a%20b", begins),
            ("x-amz-storage-class", "STANDARD_IA", data),
        ] {
            let wanted = there.then_some(wanted);
            assert_eq!(
                value(request, header),
                wanted,
                "{header} of {}",
                name(request)
            );
        }
    }
}

#[test]
fn nothing_is_asked_for_that_no_setting_names() {
    let asked = all_requests(&obliging(&[]), &[]);
    for request in &asked {
        for header in request.headers.keys() {
            let header = header.as_str();
            for part in ["encryption", "tagging", "storage-class", "object-lock"] {
                assert!(!header.contains(part), "{header} of {}", name(request));
            }
        }
    }
}

#[test]
fn a_checksum_is_tried_once_and_never_sent_as_a_trailer() {
    // It takes a CRC32C, and proves nothing by it.
    let asked = all_requests(&obliging(&[]), &[]);
    let bodies = |it: &&Request| it.method.as_str() == "PUT";
    let by_crc: Vec<String> = asked
        .iter()
        .filter(bodies)
        .filter(|it| value(it, "x-amz-checksum-crc32c").is_some())
        .map(name)
        .collect();
    assert_eq!(by_crc.len(), 1, "{by_crc:?}");
    assert!(by_crc[0].contains("oiler-probe-"), "{by_crc:?}");
    for request in asked.iter().filter(bodies) {
        let md5 = value(request, "content-md5").is_some();
        assert_ne!(
            md5,
            value(request, "x-amz-checksum-crc32c").is_some(),
            "{}",
            name(request)
        );
        assert_eq!(value(request, "x-amz-trailer"), None);
        assert_eq!(value(request, "content-encoding"), None);
    }
    for (setting, header, other) in [
        ("crc32c", "x-amz-checksum-crc32c", "content-md5"),
        ("md5", "content-md5", "x-amz-checksum-crc32c"),
    ] {
        let asked = all_requests(&obliging(&[]), &[("S3_CHECKSUM", setting)]);
        for request in asked.iter().filter(bodies) {
            assert!(
                value(request, header).is_some(),
                "{setting}: {}",
                name(request)
            );
            assert_eq!(value(request, other), None, "{setting}: {}", name(request));
        }
    }
}

/// What the server takes decides, and over TLS alone: in the clear the signature is what proves a body.
#[test]
fn a_body_is_not_hashed_for_its_signature_where_tls_and_its_checksum_prove_it() {
    let authority = Authority::new();
    let crc32c = ("x-amz-checksum-crc32c", "AAAAAA==");
    let signed =
        |request: &Request| value(request, "x-amz-content-sha256").is_some_and(|it| it.len() == 64);
    let unsigned =
        |request: &Request| value(request, "x-amz-content-sha256") == Some("UNSIGNED-PAYLOAD");
    let put = |server: &MockServer, endpoint: &str, more: &[Pair]| -> Vec<Request> {
        let mut config = config_of(server, more);
        let Place::S3(place) = &mut config.place else {
            panic!("it is on S3");
        };
        place.endpoint = Some(endpoint.to_owned());
        config.tls.ca_file = Some(authority.file());
        block_on(async {
            let store = connect(&config).await.unwrap();
            store.put("small", Bytes::from_static(b"{}")).await.unwrap();
            let mut large = store.upload("large", 0).await.unwrap();
            large.write(Bytes::from(vec![7; 8 << 20])).await.unwrap();
            large.complete().await.unwrap();
            let all = server.received_requests().await.unwrap();
            let bodies = all.into_iter().filter(|it| it.method.as_str() == "PUT");
            bodies.collect()
        })
    };
    for (more, wanted) in [(&[][..], true), (&[("S3_CHECKSUM", "crc32c")][..], false)] {
        let server = obliging(&[crc32c]);
        let tls = BehindTls::start(&authority, server.address().port());
        let asked = put(&server, &tls.endpoint(), more);
        assert_eq!(asked.len(), 3, "{more:?}");
        for request in &asked {
            assert!(
                value(request, "x-amz-checksum-crc32c").is_some(),
                "{more:?}"
            );
            let is = if wanted {
                unsigned(request)
            } else {
                signed(request)
            };
            assert!(is, "{more:?}: {}", name(request));
        }
    }
    let server = obliging(&[crc32c]);
    let in_the_clear = put(&server, &server.uri(), &[]);
    assert!(in_the_clear.iter().all(signed));

    // A policy may deny what is not signed.
    let server = obliging(&[crc32c]);
    block_on(
        Mock::given(header("x-amz-content-sha256", "UNSIGNED-PAYLOAD"))
            .respond_with(ResponseTemplate::new(403).set_body_raw(
                "<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
                "application/xml",
            ))
            .with_priority(1)
            .mount(&server),
    );
    let tls = BehindTls::start(&authority, server.address().port());
    let asked = put(&server, &tls.endpoint(), &[]);
    let tried: Vec<bool> = asked.iter().map(unsigned).collect();
    assert_eq!(tried, [true, false, false, false], "tried once");
    assert!(asked[1..].iter().all(signed));
}

#[test]
fn a_server_that_chokes_on_a_checksum_is_sent_none() {
    for status in [400, 501] {
        let server = started();
        let refusing = async {
            Mock::given(header_exists("x-amz-checksum-crc32c"))
                .respond_with(ResponseTemplate::new(status))
                .expect(1)
                .mount(&server)
                .await;
            Mock::given(method("PUT"))
                .and(header_exists("content-md5"))
                .respond_with(ResponseTemplate::new(200))
                .expect(2)
                .mount(&server)
                .await;
        };
        block_on(refusing);
        let store = at(&server, &[]);
        for key in ["one", "two"] {
            block_on(store.put(key, Bytes::from_static(b"body"))).unwrap();
        }
        block_on(server.verify());
    }
}

/// The server says that it has other bytes than those that were sent.
#[test]
fn a_wrong_checksum_in_the_answer_has_the_object_read_back() {
    let server = obliging(&[("x-amz-checksum-crc32c", "AAAAAA==")]);
    let store = at(&server, &[("S3_CHECKSUM", "crc32c")]);
    let verify = async {
        let stored = store.put("shop/a", Bytes::from_static(b"dody")).await?;
        assert_eq!(stored.etag, None);
        store.verify("shop/a", &stored).await
    };
    let error = block_on(verify).unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
}

#[test]
fn tags_that_a_key_may_not_set_are_named_and_nothing_stays() {
    let server = started();
    let mounting = async {
        Mock::given(method("PUT"))
            .and(header("x-amz-tagging", "team=dba"))
            .respond_with(ResponseTemplate::new(403).set_body_raw(
                "<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
                "application/xml",
            ))
            .expect(1)
            .mount(&server)
            .await;
        Mock::given(method("PUT"))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&server)
            .await;
        Mock::given(method("DELETE"))
            .respond_with(ResponseTemplate::new(204))
            .expect(1)
            .mount(&server)
            .await;
        let listed =
            ResponseTemplate::new(200).set_body_raw("<ListBucketResult/>", "application/xml");
        Mock::given(method("GET"))
            .and(query_param_is_missing("object-lock"))
            .respond_with(listed)
            .mount(&server)
            .await;
    };
    block_on(mounting);
    let store = at(&server, &[("S3_TAGS", "team=dba")]);
    let error = block_on(store.probe("shop/", Access::Write)).unwrap_err();
    assert_eq!(error.kind, Kind::Unsupported, "{error}");
    assert!(error.to_string().contains("s3:PutObjectTagging"), "{error}");
    block_on(server.verify());
}

#[test]
fn tags_that_a_server_does_not_take_are_named_and_nothing_stays() {
    for (status, code) in [(400, "InvalidTag"), (501, "NotImplemented")] {
        let server = obliging(&[]);
        let refused = format!("<Error><Code>{code}</Code></Error>");
        let refused = ResponseTemplate::new(status).set_body_raw(refused, "application/xml");
        let refusing = Mock::given(header_exists("x-amz-tagging")).respond_with(refused);
        block_on(refusing.with_priority(1).mount(&server));
        let store = at(&server, &[("S3_TAGS", "team=dba")]);
        let error = block_on(store.probe("shop/", Access::Write)).unwrap_err();
        assert_eq!(error.kind, Kind::Unsupported, "{error}");
        assert!(error.to_string().contains("leave S3_TAGS out"), "{error}");
        let asked = block_on(server.received_requests()).unwrap();
        let last = asked.last().map(name).unwrap();
        assert!(last.starts_with("DELETE shop/"), "{last}");
    }
}

/// operator.md, 7.5: what is said of a backup is no reason to have none.
#[test]
fn what_the_server_will_not_have_said_of_a_backup_is_left_out() {
    const ALL: &str = "team=dba&backup%2Dname=nightly";
    for (status, code) in [(403, "AccessDenied"), (501, "NotImplemented")] {
        let server = obliging(&[]);
        let refused = format!("<Error><Code>{code}</Code></Error>");
        let refused = ResponseTemplate::new(status).set_body_raw(refused, "application/xml");
        let refusing = Mock::given(header("x-amz-tagging", ALL)).respond_with(refused);
        block_on(refusing.with_priority(1).mount(&server));
        let mut config = config_of(&server, &[("S3_TAGS", "team=dba"), ("S3_CHECKSUM", "md5")]);
        config.tags = "backup-name=nightly".parse().unwrap();
        let using = async {
            let store = connect(&config).await?;
            for key in ["shop/one", "shop/two"] {
                store.put(key, Bytes::from_static(b"body")).await?;
            }
            store.rehearse("shop/large").await
        };
        block_on(using).unwrap();
        let asked = block_on(server.received_requests()).unwrap();
        let tagged = asked
            .iter()
            .filter_map(|it| Some((name(it), value(it, "x-amz-tagging")?)));
        let tagged: Vec<(String, &str)> = tagged.collect();
        let with = |tags: &str| -> Vec<&str> {
            let of = tagged.iter().filter(|it| it.1 == tags);
            of.map(|it| it.0.trim_end()).collect()
        };
        assert!(
            with(ALL).iter().all(|it| *it == "PUT shop/one"),
            "{tagged:?}"
        );
        assert!(!with(ALL).is_empty(), "{tagged:?}");
        assert_eq!(
            with("team=dba"),
            ["PUT shop/one", "PUT shop/two", "POST shop/large uploads"]
        );
    }
}

/// Without the right to write at all, nothing is said to be for the tags.
#[test]
fn what_is_denied_for_another_reason_stays_denied() {
    let server = started();
    let refused = "<Error><Code>AccessDenied</Code></Error>";
    let mounting = async {
        Mock::given(method("PUT"))
            .respond_with(ResponseTemplate::new(403).set_body_raw(refused, "application/xml"))
            .expect(4)
            .mount(&server)
            .await;
    };
    block_on(mounting);
    let mut config = config_of(&server, &[("S3_CHECKSUM", "md5")]);
    config.tags = "backup-name=nightly".parse().unwrap();
    let store = block_on(connect(&config)).unwrap();
    for key in ["one", "two"] {
        let error = block_on(store.put(key, Bytes::from_static(b"body"))).unwrap_err();
        assert_eq!(error.kind, Kind::Denied, "{error}");
    }
    block_on(server.verify());
}
