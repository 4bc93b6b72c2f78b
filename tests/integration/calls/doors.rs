//! Who gets in, and what is there beside the calls: TLS, health, reflection, HTTP, metrics.

use std::sync::Arc;
use std::time::Duration;

use scheduler::admin::Admin;
use scheduler::api::tls::{Certificates, Files};
use scheduler::engine::Kind;
use scheduler::listener::{Limits, Listener};
use scheduler::metrics::Metrics;
use scheduler::service::ledger::Ledger;
use serde_json::json;
use tonic::Status;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::recording::Recording;
use super::{BackupServiceClient, Server, requests, service};
use crate::cluster::eventually;
use crate::reflection::Reflected;
use crate::testbed::tls::{Authority, Certificate as Signed};
use crate::testbed::{self, block_on};

#[test]
fn a_client_that_knows_nothing_beforehand_can_call() {
    block_on(async {
        let server = Server::start(None).await;
        let client = Reflected::ask(&server.address(), "backup.BackupService").await;
        let request = json!({
            "db_uri": "db", "db_port": 5432, "db_user": "me", "db_name": "shop",
            "schedule": "@daily", "s3_endpoint": "file:///var/backups",
        });
        let answer = client.call("backup.BackupService/Backup", &request).await;
        let answer = answer.expect("scheduled");
        let name = answer.get_field_by_name("cronjob_name").unwrap();
        assert_eq!(
            name.as_str().unwrap(),
            server.engine.only_schedule().name.as_str()
        );
        // What an error's details are made of is described too, or grpcurl prints base64.
        Reflected::ask(&server.address(), "google.rpc.BadRequest").await;
    });
}

#[test]
fn u46_health_says_so_when_the_server_stops_and_a_running_call_is_served_to_the_end() {
    block_on(async {
        let server = Server::start(None).await;
        let channel = server.endpoint().connect().await.unwrap();
        let mut health = HealthClient::new(channel);
        let service = HealthCheckRequest {
            service: "backup.BackupService".to_owned(),
        };
        let mut seen = health.watch(service).await.unwrap().into_inner();
        let first = seen.message().await.unwrap().unwrap();
        assert_eq!(first.status, 1, "serving");
        *server.engine.delay.lock().unwrap() = Duration::from_millis(300);
        let mut client = server.client().await;
        let call = tokio::spawn(async move { client.backup(requests::backup()).await });
        server.engine.asked.notified().await;
        server.stop.cancel();
        let second = seen.message().await.unwrap().unwrap();
        assert_eq!(second.status, 2, "not serving");
        assert!(!call.is_finished(), "it was under way");
        call.await.unwrap().expect("served to the end");
        // S35: nor does the watch keep the server from ending.
        let end = tokio::time::timeout(Duration::from_secs(5), seen.message()).await;
        assert!(matches!(end, Ok(Ok(None))), "the watch goes on: {end:?}");
        let late = server.endpoint().connect().await;
        late.expect_err("nobody new is let in");
    });
}

/// Files as a Secret's volume has them.
pub(super) fn files(own: &Signed, clients: Option<&Authority>) -> Files {
    let folder = testbed::folder("grpc-tls");
    let files = Files {
        certificate: folder.join("tls.crt"),
        key: folder.join("tls.key"),
        client_ca: clients.map(|_| folder.join("ca.crt")),
        anonymous: Arc::default(),
    };
    write(&files, own);
    if let (Some(authority), Some(path)) = (clients, &files.client_ca) {
        std::fs::write(path, authority.pem()).unwrap();
    }
    files
}

fn write(files: &Files, own: &Signed) {
    std::fs::write(&files.certificate, &own.pem).unwrap();
    std::fs::write(&files.key, &own.key_pem).unwrap();
}

async fn call_over_tls(
    server: &Server,
    trusted: &Authority,
    identity: Option<Identity>,
) -> Result<(), Status> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(trusted.pem()))
        .domain_name("localhost");
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    let address = format!("https://localhost:{}", server.port);
    let endpoint = Endpoint::from_shared(address).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect_lazy();
    let mut client = BackupServiceClient::new(channel);
    client.backup(requests::backup()).await.map(drop)
}

#[test]
fn u46_with_a_client_authority_only_its_clients_are_let_in() {
    block_on(async {
        let (ours, others) = (Authority::new(), Authority::new());
        let files = files(&ours.sign(&["localhost"]), Some(&ours));
        let server = Server::start(Some(Certificates::read(files).unwrap())).await;
        let identity = |authority: &Authority| {
            let signed = authority.sign(&["a-client"]);
            Some(Identity::from_pem(signed.pem, signed.key_pem))
        };
        let call = |identity| call_over_tls(&server, &ours, identity);
        call(identity(&ours)).await.expect("let in");
        call(None).await.expect_err("no certificate");
        call(identity(&others)).await.expect_err("a stranger's");
        assert_eq!(server.engine.schedules.lock().unwrap().len(), 1);
    });
}

#[test]
fn a_certificate_that_is_renewed_is_shown_without_a_restart_and_half_a_renewal_is_not() {
    block_on(async {
        let (old, new) = (Authority::new(), Authority::new());
        let files = files(&old.sign(&["localhost"]), None);
        let server = Server::start(Some(Certificates::read(files.clone()).unwrap())).await;
        call_over_tls(&server, &old, None).await.expect("the first");
        let renewed = new.sign(&["localhost"]);
        std::fs::write(&files.key, &renewed.key_pem).unwrap();
        call_over_tls(&server, &old, None).await.expect("still it");
        write(&files, &renewed);
        eventually("the new certificate is shown", async || {
            call_over_tls(&server, &new, None).await.ok()
        })
        .await;
        let late = call_over_tls(&server, &old, None).await;
        late.expect_err("the old one is gone");
    });
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_by_the_name_of_its_variable() {
    let authority = Authority::new();
    let (one, other) = (authority.sign(&["a"]), authority.sign(&["b"]));
    let said = |files: Files| Certificates::read(files).unwrap_err().sentence;
    let whole = files(&one, Some(&authority));
    let mut gone = whole.clone();
    gone.key = "/nowhere/tls.key".into();
    assert!(said(gone).starts_with("GRPC_TLS_KEY: /nowhere/tls.key cannot be read"));
    std::fs::write(&whole.key, &other.key_pem).unwrap();
    assert!(said(whole.clone()).starts_with("GRPC_TLS_CERT and GRPC_TLS_KEY: "));
    std::fs::write(&whole.certificate, "nothing").unwrap();
    assert!(said(whole.clone()).starts_with("GRPC_TLS_CERT: "));
    write(&whole, &one);
    std::fs::write(whole.client_ca.as_ref().unwrap(), "nothing").unwrap();
    assert!(said(whole).starts_with("GRPC_TLS_CLIENT_CA: "));
}

#[test]
fn readiness_follows_the_engine_and_liveness_does_not() {
    block_on(async {
        let engine = Arc::new(Recording::default());
        let metrics = Metrics::new().unwrap();
        let service = service(engine.clone(), Ledger::default());
        let admin = Admin::new(service, metrics.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let limits = Limits::of_this_process();
        let listener = Listener::new(listener, limits, metrics.connections("http"));
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(admin.clone().serve(listener));
        let status = async |path: &str| {
            let answer = reqwest::get(format!("http://{address}{path}")).await;
            answer.unwrap().status().as_u16()
        };
        assert_eq!(status("/readyz").await, 503, "not serving yet");
        admin.set_serving(true);
        assert_eq!(status("/readyz").await, 200);
        *engine.broken.lock().unwrap() = Some(Kind::Unavailable);
        assert_eq!(status("/readyz").await, 503, "the engine is away");
        assert_eq!(status("/livez").await, 200);
        assert_eq!(status("/metrics").await, 200);
        serving.abort();
    });
}

#[test]
fn calls_are_counted_by_method_and_code() {
    block_on(async {
        let server = Server::start(None).await;
        let mut client = server.client().await;
        client.backup(requests::backup()).await.expect("scheduled");
        let wrong = client.restore(requests::restore("-1")).await;
        wrong.expect_err("no revision");
        let text = server
            .metrics
            .text(|| unreachable!("it does not lead"))
            .unwrap();
        for line in [
            r#"postgres_adapter_calls_total{code="OK",method="Backup"} 1"#,
            r#"postgres_adapter_calls_total{code="InvalidArgument",method="Restore"} 1"#,
            r#"postgres_adapter_call_duration_seconds_count{method="Backup"} 1"#,
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    });
}
