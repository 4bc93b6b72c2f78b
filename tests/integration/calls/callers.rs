//! Who may do what: callers known by certificates and tokens, and what their roles let them do.

use std::sync::Arc;

use backuper::listing::Listed;
use jiff::Timestamp;
use scheduler::api::authenticate::Authentication;
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use scheduler::api::proto::v1::operations_client::OperationsClient;
use scheduler::api::proto::{BackupRequest, v1};
use scheduler::api::tls::Certificates;
use scheduler::domain::callers::Callers;
use scheduler::engine::{Change, Scheduled};
use scheduler::listener::Limits;
use tokio::sync::watch;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request};

use super::doors::files;
use super::{Server, requests};
use crate::testbed::block_on;
use crate::testbed::tls::Authority;

/// The tokens are `operators` and `team-as`.
const LIST: &str = "
callers:
- {name: core, certificate: oiler-core, role: operator}
- {name: eyes, certificate: grafana, role: viewer}
- name: operators
  token: sha256:OPERATORS
  role: operator
- name: team-a
  token: sha256:TEAM
  role: owner
  places: ['*.team-a.example:5432/*']
";

fn list() -> Callers {
    use sha2::{Digest as _, Sha256};
    let hash = |token: &str| hex::encode(Sha256::digest(token));
    let list = LIST
        .replace("OPERATORS", &hash("operators"))
        .replace("TEAM", &hash("team-as"));
    Callers::parse(&list).unwrap()
}

/// A server that asks for certificates, takes tokens too, and has this list.
async fn server(authority: &Authority) -> Server {
    let mut files = files(&authority.sign(&["localhost"]), Some(authority));
    files.anonymous = Arc::new(true.into());
    let tls = Certificates::read(files).unwrap();
    let list = watch::Sender::new(Arc::new(list()));
    let authentication = Authentication::by(list.subscribe(), None);
    Server::start_for(Some(tls), Limits::of_this_process(), authentication).await
}

pub(super) fn client(
    server: &Server,
    authority: &Authority,
    certificate: Option<&str>,
) -> BackupServiceClient<Channel> {
    BackupServiceClient::new(channel(server, authority, certificate))
}

fn channel(server: &Server, authority: &Authority, certificate: Option<&str>) -> Channel {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(authority.pem()))
        .domain_name("localhost");
    if let Some(name) = certificate {
        let signed = authority.sign(&[name]);
        tls = tls.identity(Identity::from_pem(signed.pem, signed.key_pem));
    }
    let endpoint = Endpoint::from_shared(format!("https://localhost:{}", server.port)).unwrap();
    endpoint.tls_config(tls).unwrap().connect_lazy()
}

pub(super) fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        let value: MetadataValue<_> = token.parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn at(host: &str) -> BackupRequest {
    BackupRequest {
        db_uri: host.to_owned(),
        db_port: 5432,
        ..requests::backup()
    }
}

/// S01: forged identities among them.
#[test]
fn callers_are_known_by_certificate_or_token_and_nobody_else_is_served() {
    block_on(async {
        let (ours, others) = (Authority::new(), Authority::new());
        let server = server(&ours).await;
        for (certificate, token, wanted) in [
            (Some("oiler-core"), "", Code::Ok),
            (Some("grafana"), "", Code::PermissionDenied),
            (Some("stranger"), "", Code::Unauthenticated),
            (None, "", Code::Unauthenticated),
            (None, "Bearer operators", Code::Ok),
            (None, "Bearer operator", Code::Unauthenticated),
            (None, "Bearer ", Code::Unauthenticated),
            (None, "Basic operators", Code::Unauthenticated),
            // A token that is wrong is not made good by a certificate.
            (Some("oiler-core"), "Bearer x", Code::Unauthenticated),
        ] {
            let mut client = client(&server, &ours, certificate);
            let answer = client.backup(with(token, requests::backup())).await;
            let code = answer.err().map_or(Code::Ok, |it| it.code());
            assert_eq!(code, wanted, "{certificate:?} {token:?}");
        }
        let signed = others.sign(&["oiler-core"]);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ours.pem()))
            .domain_name("localhost")
            .identity(Identity::from_pem(signed.pem, signed.key_pem));
        let endpoint = Endpoint::from_shared(format!("https://localhost:{}", server.port)).unwrap();
        let mut forged = BackupServiceClient::new(endpoint.tls_config(tls).unwrap().connect_lazy());
        forged
            .backup(requests::backup())
            .await
            .expect_err("a stranger's authority");
    });
}

/// S01: names of schedules can be guessed, and Update names one.
#[test]
fn an_owner_reaches_its_own_places_alone_and_takes_nobody_elses_schedule() {
    block_on(async {
        let authority = Authority::new();
        let server = server(&authority).await;
        let mut client = client(&server, &authority, None);
        let token = "Bearer team-as";
        let own = client.backup(with(token, at("db.team-a.example"))).await;
        let own = own.expect("its own").into_inner().cronjob_name;
        let other = client
            .backup(with("Bearer operators", at("db.team-b.example")))
            .await;
        let other = other.expect("an operator's").into_inner().cronjob_name;
        let mut calls = Vec::new();
        calls.push(
            client
                .backup(with(token, at("db.team-b.example")))
                .await
                .err(),
        );
        let update = |name: &str, host: &str| with(token, requests::update(name, at(host)));
        calls.push(client.update(update(&own, "db.team-b.example")).await.err());
        calls.push(
            client
                .update(update(&other, "db.team-a.example"))
                .await
                .err(),
        );
        calls.push(
            client
                .restore(with(token, requests::restore("0")))
                .await
                .err(),
        );
        for refused in calls {
            let refused = refused.expect("refused");
            assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
            assert!(refused.message().contains("team-a may not"), "{refused}");
        }
        // One of which nobody knows whose it is, is nobody's to take.
        *server.engine.unreadable.lock().unwrap() = Some(other.parse().unwrap());
        let taken = client.update(update(&other, "db.team-a.example")).await;
        assert_eq!(taken.expect_err("not taken").code(), Code::NotFound);
        let kept = server.engine.schedules.lock().unwrap()[&other.parse().unwrap()].clone();
        assert_eq!(kept.plan.source.host, "db.team-b.example");
        client
            .update(update(&own, "db2.team-a.example"))
            .await
            .expect("its own");
    });
}

/// A server whose ledger has a schedule of each of both teams; their names.
pub(super) async fn with_schedules(authority: &Authority) -> (Server, [String; 2]) {
    let server = server(authority).await;
    let mut oiler = client(&server, authority, None);
    let mut names = Vec::new();
    for host in ["db.team-a.example", "db.team-b.example"] {
        let made = oiler.backup(with("Bearer operators", at(host))).await;
        names.push(made.expect("made").into_inner().cronjob_name);
    }
    let all = server.engine.schedules.lock().unwrap().clone();
    for schedule in all.into_values() {
        server.ledger.apply(Change::Schedule(Box::new(Scheduled {
            schedule,
            created: Timestamp::now(),
            suspended: false,
            last_success: None,
            drills: scheduler::domain::drills::Drills::default(),
        })));
    }
    (server, names.try_into().unwrap())
}

pub(super) fn code<T>(answer: Result<T, tonic::Status>) -> Code {
    answer.err().map_or(Code::Ok, |it| it.code())
}

/// What a caller may not see is not in its lists, and what it may see and not change is refused.
#[test]
fn operations_show_and_change_what_a_role_lets_them() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, other]) = with_schedules(&authority).await;
        let listed = async |certificate: Option<&str>, token: &str| {
            let request = with(token, v1::ListSchedulesRequest::default());
            let mut client = operations(&server, &authority, certificate);
            let answer = client.list_schedules(request).await.unwrap().into_inner();
            answer.schedules.len()
        };
        assert_eq!(listed(None, "Bearer operators").await, 2);
        assert_eq!(listed(None, "Bearer team-as").await, 1);
        assert_eq!(listed(Some("grafana"), "").await, 2);
        for (certificate, token, name, wanted) in [
            (None, "Bearer team-as", &own, Code::Ok),
            (None, "Bearer team-as", &other, Code::NotFound),
            (Some("grafana"), "", &own, Code::PermissionDenied),
            (Some("stranger"), "", &own, Code::Unauthenticated),
        ] {
            let name = name.clone();
            let request = with(token, v1::SuspendScheduleRequest { name });
            let mut client = operations(&server, &authority, certificate);
            let answer = code(client.suspend_schedule(request).await);
            assert_eq!(answer, wanted, "{certificate:?} {token}");
        }
    });
}

/// A copy of a database is its data.
#[test]
fn an_owner_restores_its_own_backups_into_its_own_databases_alone() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, other]) = with_schedules(&authority).await;
        for (schedule, host, wanted) in [
            (&own, "db2.team-a.example", Code::Ok),
            (&own, "db.team-b.example", Code::PermissionDenied),
            (&other, "db2.team-a.example", Code::NotFound),
        ] {
            let request = v1::RestoreBackupRequest {
                schedule: schedule.clone(),
                backup: "0".to_owned(),
                target: Some(v1::Target {
                    host: host.to_owned(),
                    dbname: "shop".to_owned(),
                    ..v1::Target::default()
                }),
                ..v1::RestoreBackupRequest::default()
            };
            let mut client = operations(&server, &authority, None);
            let answer = client.restore_backup(with("Bearer team-as", request)).await;
            assert_eq!(code(answer), wanted, "{schedule} into {host}");
        }
    });
}

/// Issue 14, section 3: what a drill restores is data too, and somebody's server does its work.
#[test]
fn an_owner_proves_its_own_backups_on_its_own_servers_alone() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, other]) = with_schedules(&authority).await;
        let drill = |schedule: &String, host: &str| v1::VerifyBackupRequest {
            schedule: schedule.clone(),
            server: (!host.is_empty()).then(|| v1::DrillServer {
                host: host.to_owned(),
                ..v1::DrillServer::default()
            }),
            ..v1::VerifyBackupRequest::default()
        };
        for (schedule, host, wanted) in [
            (&own, "", Code::Ok),
            (&own, "db2.team-a.example", Code::Ok),
            (&own, "db.team-b.example", Code::PermissionDenied),
            (&other, "", Code::NotFound),
            (&other, "db2.team-a.example", Code::NotFound),
        ] {
            let mut client = operations(&server, &authority, None);
            let request = with("Bearer team-as", drill(schedule, host));
            let answer = client.verify_backup(request).await;
            assert_eq!(code(answer), wanted, "{schedule} on {host}");
        }
        let mut viewer = operations(&server, &authority, Some("grafana"));
        let answer = viewer.verify_backup(drill(&own, "")).await;
        assert_eq!(code(answer), Code::PermissionDenied);
        let mut client = operations(&server, &authority, None);
        let mut only = drill(&own, "");
        only.validate_only = true;
        let answer = client.verify_backup(with("Bearer team-as", only)).await;
        let answer = answer.unwrap().into_inner();
        assert_eq!(
            (answer.run, answer.server.as_str()),
            (None, "db.team-a.example:5432")
        );
        for wrong in [
            v1::VerifyBackupRequest {
                store: Some(v1::Store::default()),
                schedule: String::new(),
                ..drill(&own, "")
            },
            v1::VerifyBackupRequest {
                sql: vec![String::new()],
                ..drill(&own, "")
            },
        ] {
            let answer = client.verify_backup(with("Bearer team-as", wrong)).await;
            assert_eq!(code(answer), Code::InvalidArgument);
        }
        asks_sql_as_a_role_of_its_own_alone(&server, &authority, &drill(&own, "")).await;
        let restores = server.engine.restores.lock().unwrap().clone();
        let places: Vec<String> = restores.iter().map(|it| it.target.place()).collect();
        let on = |host: &str| format!("{host}:5432/restore_drill_shop");
        let hosts = ["db", "db2", "db3", "db4"];
        assert_eq!(places, hosts.map(|it| on(&format!("{it}.team-a.example"))));
        for restore in &restores {
            let drill = restore.drill.as_ref().expect("a drill");
            assert_eq!(drill.image, None);
            let source = restore.source.as_deref();
            assert_eq!(source, Some("db.team-a.example:5432/shop"));
            assert_eq!(restore.begin_by, None, "it takes nothing from anybody");
        }
        // The schedule's password is for its own server alone.
        let mut given = restores.iter().map(|it| it.target.password.is_given());
        assert_eq!([given.next(), given.next()], [Some(true), Some(false)]);
    });
}

/// The schedule's role may be the server's superuser.
async fn asks_sql_as_a_role_of_its_own_alone(
    server: &Server,
    authority: &Authority,
    drill: &v1::VerifyBackupRequest,
) {
    let asking = |host: &str, password: &str| v1::VerifyBackupRequest {
        sql: vec!["ALTER ROLE me SUPERUSER".to_owned()],
        server: Some(v1::DrillServer {
            host: host.to_owned(),
            user: "me".to_owned(),
            password: password.to_owned(),
            ..v1::DrillServer::default()
        }),
        ..drill.clone()
    };
    for (token, host, password, wanted) in [
        (
            "Bearer team-as",
            "db3.team-a.example",
            "",
            Code::PermissionDenied,
        ),
        ("Bearer team-as", "db3.team-a.example", "hunter2", Code::Ok),
        ("Bearer operators", "db4.team-a.example", "", Code::Ok),
    ] {
        let mut client = operations(server, authority, None);
        let request = with(token, asking(host, password));
        let answer = client.verify_backup(request).await;
        assert_eq!(code(answer), wanted, "{token} {password:?}");
    }
}

/// Two servers may have a database of one name, and one store.
#[test]
fn an_owner_sees_the_backups_of_its_own_databases_alone() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, _]) = with_schedules(&authority).await;
        let of = |source: &str| Listed {
            key: format!("shop/of-{source}"),
            database: "shop".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            snapshot_at: None,
            verified_at: None,
            stored_bytes: 1,
            dumped_bytes: None,
            tables: None,
            source: Some(source.to_owned()),
            server_version: None,
            made_by: None,
            schedule: None,
            pinned: false,
            part: None,
            problem: None,
        };
        let (ours, theirs) = ("db.team-a.example:5432/shop", "db.team-b.example:5432/shop");
        *server.engine.backups.lock().unwrap() = vec![of(ours), of(theirs)];
        for (token, expected) in [("Bearer team-as", 1), ("Bearer operators", 2)] {
            let request = v1::ListBackupsRequest {
                schedule: own.clone(),
                ..v1::ListBackupsRequest::default()
            };
            let mut client = operations(&server, &authority, None);
            let answer = client.list_backups(with(token, request)).await;
            let backups = answer.unwrap().into_inner().backups;
            assert_eq!(backups.len(), expected, "{token}");
            assert_eq!(backups[0].source, ours);
        }
    });
}

pub(super) fn operations(
    server: &Server,
    authority: &Authority,
    certificate: Option<&str>,
) -> OperationsClient<Channel> {
    OperationsClient::new(channel(server, authority, certificate))
}
