//! Where the names of a request lead, found out by the process that is asked.

use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::{BackupRequest, BackupRestore};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::process::start_as;
use crate::calls::requests;
use crate::testbed::programs::scheduler_with_hosts;
use crate::testbed::{block_on, env, folder};

/// One that leads to where clouds give out credentials, by IPv4 and, among others, by IPv6.
const METADATA: &str = "metadata.example";
const ALSO_METADATA: &str = "also-metadata.example";
/// One that leads to this machine.
const HARMLESS: &str = "db.example";

/// What each call answers when a request names this database, this store and this core.
async fn answers(port: u16, [database, store, core]: [&str; 3]) -> [Result<(), Status>; 3] {
    let address = format!("http://127.0.0.1:{port}");
    let endpoint = Endpoint::from_shared(address).unwrap();
    let mut client = BackupServiceClient::new(endpoint.connect().await.unwrap());
    let backup = BackupRequest {
        db_uri: database.to_owned(),
        s3_endpoint: format!("http://{store}:9000"),
        core_addr: format!("{core}:50051"),
        skip_checks: true,
        ..requests::backup()
    };
    let restore = BackupRestore {
        db_uri: backup.db_uri.clone(),
        s3_endpoint: backup.s3_endpoint.clone(),
        core_addr: backup.core_addr.clone(),
        skip_checks: true,
        ..requests::restore("0")
    };
    let mut update = requests::update("backup-gone-postgres", backup.clone());
    "local".clone_into(&mut update.cronjob_namespace);
    [
        client.backup(backup).await.map(drop),
        client.update(update).await.map(drop),
        client.restore(restore).await.map(drop),
    ]
}

#[test]
fn a_name_that_leads_to_a_link_local_address_is_refused_whatever_a_call_skips() {
    let hosts = folder("hosts").join("hosts");
    let text = format!(
        "127.0.0.1 localhost {HARMLESS} {ALSO_METADATA}\n169.254.169.254 {METADATA}\nfe80::1 {ALSO_METADATA}\n"
    );
    std::fs::write(&hosts, text).unwrap();
    let data = folder("data");
    let (_running, port) = start_as(|env| scheduler_with_hosts(&hosts, env), &data, &env([]));
    for named in [
        [METADATA, HARMLESS, HARMLESS],
        [HARMLESS, METADATA, HARMLESS],
        [HARMLESS, HARMLESS, METADATA],
        [ALSO_METADATA, HARMLESS, HARMLESS],
    ] {
        for answer in block_on(answers(port, named)) {
            let refused = answer.unwrap_err();
            assert_eq!(
                refused.code(),
                Code::PermissionDenied,
                "{named:?}: {refused}"
            );
            let says_why = refused.message().contains("link-local address");
            assert!(says_why, "{named:?}: {refused}");
        }
    }
    let [backup, update, restore] = block_on(answers(port, [HARMLESS; 3]));
    backup.unwrap();
    assert_eq!(update.unwrap_err().code(), Code::NotFound);
    restore.unwrap();
}
