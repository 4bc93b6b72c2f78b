//! The proxies that the environment names: whoever sits behind one reaches the store, the core and
//! the Pushgateway through it alone. (F45)

use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::testbed::core::{Core, Mood};
use super::testbed::forward_proxy::ForwardProxy;
use super::testbed::postgres::shared;
use super::testbed::programs::{backuper, restorer};
use super::testbed::s3::S3;
use super::testbed::tls::Authority;
use super::testbed::{Env, block_on, env};
use super::workers::with;

/// `me:pr0xy-secret` in base64.
const PASSWORD: &str = "(Basic bWU6cHIweHktc2VjcmV0)";

fn proxied(proxy: &ForwardProxy, names: &[&str]) -> Env {
    let url = proxy.url("me", "pr0xy-secret");
    names
        .iter()
        .map(|name| ((*name).to_owned(), url.clone()))
        .collect()
}

fn asked(proxy: &ForwardProxy, line: &str) -> bool {
    let seen = proxy.seen();
    seen.iter()
        .any(|it| it.starts_with(line) && it.ends_with(PASSWORD))
}

#[test]
fn f45_the_store_the_core_and_the_pushgateway_are_reached_through_the_proxy() {
    let gateway = block_on(async {
        let gateway = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(ResponseTemplate::new(202))
            .mount(&gateway)
            .await;
        gateway
    });
    let core = Core::start(Mood::Released);
    let core_port = core.address().rsplit(':').next().unwrap().parse().unwrap();
    let s3 = S3::start();
    // Names that nobody else knows.
    let proxy = ForwardProxy::start(&[
        ("s3.test", s3.port()),
        ("core.test", core_port),
        ("gateway.test", gateway.address().port()),
    ]);
    let source = shared().database("proxied");
    source.sql("CREATE TABLE t AS SELECT generate_series(1, 10) AS a");
    let all = with(&source.env(), &s3.env_at("http://s3.test:9000"));
    let all = with(&all, &proxied(&proxy, &["HTTP_PROXY"]));
    let all = with(
        &all,
        &env([
            ("CORE_ADDR", "core.test:50052"),
            ("PUSHGATEWAY_URL", "http://gateway.test:9091"),
        ]),
    );
    let ended = backuper(&all).succeed();
    for line in [
        "PUT http://s3.test:9000/",
        "CONNECT core.test:50052 ",
        "POST http://gateway.test:9091/metrics/",
    ] {
        assert!(asked(&proxy, line), "{line}: {:?}", proxy.seen());
    }
    assert_eq!(core.backups().len(), 1);
    assert_eq!(s3.manifests().len(), 1);
    let printed = ended.printed();
    assert!(printed.contains("the environment's proxy is asked for S3"));
    assert!(!printed.contains("pr0xy-secret"), "{printed}");
    restorer(&all).succeed();
}

#[test]
fn f45_a_proxy_makes_tunnels_for_https_and_is_left_out_where_it_is_told_to_be() {
    let authority = Authority::new();
    let s3 = S3::start_with_tls(&authority);
    let source = shared().database("tunnelled");
    source.sql("CREATE TABLE t AS SELECT generate_series(1, 10) AS a");
    let endpoint = format!("https://localhost:{}", s3.port());
    let file = authority.file();
    let base = with(&source.env(), &s3.env_at(&endpoint));
    let careful = env([("S3_CA_FILE", file.to_str().unwrap())]);
    for certificate in [careful, env([("SECURE", "false")])] {
        let proxy = ForwardProxy::start(&[]);
        let all = with(&base, &certificate);
        let all = with(&all, &proxied(&proxy, &["HTTPS_PROXY"]));
        backuper(&all).succeed();
        let tunnel = format!("CONNECT localhost:{} ", s3.port());
        assert!(asked(&proxy, &tunnel), "{:?}", proxy.seen());

        let before = proxy.seen();
        let all = with(&all, &env([("NO_PROXY", "localhost")]));
        let ended = backuper(&all).succeed();
        assert_eq!(proxy.seen(), before, "nothing more");
        assert!(!ended.printed().contains("proxy is asked"));
    }
}
