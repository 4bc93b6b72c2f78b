//! How far a caller reaches by what a schedule has of its own, and what is said while nobody knows the schedules.

use jiff::Timestamp;
use scheduler::api::proto::v1;
use scheduler::domain::question::About;
use scheduler::engine::change::Things;
use scheduler::engine::{Change, Scheduled};
use tonic::Code;

use super::callers::{client, code, operations, with, with_schedules};
use super::{Server, requests};
use crate::testbed::block_on;
use crate::testbed::tls::Authority;

const OWNER: &str = "Bearer team-as";
const OPERATOR: &str = "Bearer operators";
const TEMPLATE: &str = "theirs/{{ .DatabaseName }}/{{ .RunID }}";

fn wanted(name: &str, host: &str, databases: &str) -> v1::PutScheduleRequest {
    v1::PutScheduleRequest {
        name: name.to_owned(),
        database: Some(v1::Database {
            host: host.to_owned(),
            dbname: databases.to_owned(),
            user: "me".to_owned(),
            password: "hunter2".to_owned(),
            ..v1::Database::default()
        }),
        store: Some(store()),
        cron: "0 5 * * *".to_owned(),
        format: Some(v1::BackupFormat {
            kind: "sql.gz".to_owned(),
            key_template: TEMPLATE.to_owned(),
            ..v1::BackupFormat::default()
        }),
        ..v1::PutScheduleRequest::default()
    }
}

fn store() -> v1::Store {
    v1::Store {
        endpoint: "http://s3:9000".to_owned(),
        bucket: "backups".to_owned(),
        access_key: "access".to_owned(),
        secret_key: "secret".to_owned(),
        ..v1::Store::default()
    }
}

/// The ledger hears of what the engine has.
fn heard(server: &Server) {
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
}

/// What a template reaches in one store it may not reach in another, whoever may change the schedule.
#[test]
fn what_was_said_of_one_database_is_taken_to_no_other_by_its_owner() {
    block_on(async {
        let authority = Authority::new();
        let (server, _) = with_schedules(&authority).await;
        let mut operations = operations(&server, &authority, None);
        let own = "db.team-a.example";
        let made = operations
            .put_schedule(with(OPERATOR, wanted("keyed", own, "crm")))
            .await;
        assert_eq!(code(made), Code::Ok);
        heard(&server);
        let again = operations
            .put_schedule(with(OWNER, wanted("keyed", own, "crm")))
            .await;
        assert_eq!(code(again), Code::Ok, "it is there already");
        let mut elsewhere = wanted("keyed", own, "crm");
        elsewhere.store.as_mut().unwrap().bucket = "others".to_owned();
        for moved in [
            wanted("keyed", own, "shop"),
            wanted("keyed", "db2.team-a.example", "crm"),
            elsewhere,
        ] {
            let answer = operations.put_schedule(with(OWNER, moved)).await;
            let refused = answer.expect_err("another place");
            assert_eq!(refused.code(), Code::PermissionDenied);
            assert!(
                refused.message().contains("another database or store"),
                "{refused}"
            );
        }
        // Update says nothing of it, and takes it along.
        let mut oiler = client(&server, &authority, None);
        let mut request = requests::backup();
        request.db_uri = own.to_owned();
        let update = || requests::update("keyed", request.clone());
        let answer = oiler.update(with(OWNER, update())).await;
        assert_eq!(code(answer), Code::PermissionDenied);
        let kept = server.engine.schedules.lock().unwrap().clone();
        assert_eq!(kept[&"keyed".parse().unwrap()].plan.source.name, "crm");
        let answer = oiler.update(with(OPERATOR, update())).await;
        assert_eq!(code(answer), Code::Ok);
    });
}

/// Two servers have a database of one name in one store, and nothing in a single object says whose it is.
#[test]
fn an_owner_deletes_and_pins_no_single_object_that_may_be_anothers() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, other]) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        let single = "shop/2026-11-19-21-05-27-backup.sql";
        let folder = "shop/2026-11-20-21-05-27-backup-1f3a9c0e";
        // Nobody answers what is asked.
        for (token, key, expected) in [
            (OWNER, single, Code::PermissionDenied),
            (OWNER, folder, Code::Internal),
            (OPERATOR, single, Code::Internal),
        ] {
            let deleted = v1::DeleteBackupRequest {
                schedule: own.clone(),
                key: key.to_owned(),
                ..v1::DeleteBackupRequest::default()
            };
            let answer = client.delete_backup(with(token, deleted)).await;
            assert_eq!(code(answer), expected, "{token} {key}");
            let pinned = v1::PinBackupRequest {
                store: Some(store()),
                source: "db.team-a.example:5432/shop".to_owned(),
                key: key.to_owned(),
                ..v1::PinBackupRequest::default()
            };
            let answer = client.pin_backup(with(token, pinned)).await;
            assert_eq!(code(answer), expected, "{token} {key}");
        }
        let name = other.parse().unwrap();
        server.ledger.apply(Change::ScheduleGone(name));
        let deleted = v1::DeleteBackupRequest {
            schedule: own,
            key: single.to_owned(),
            ..v1::DeleteBackupRequest::default()
        };
        let answer = client.delete_backup(with(OWNER, deleted)).await;
        assert_eq!(code(answer), Code::Internal, "it is alone");
    });
}

/// A call that names the store finds what the schedules put there, those of lists too.
#[test]
fn a_call_that_names_a_store_looks_where_the_databases_schedule_puts_its_dumps() {
    block_on(async {
        let authority = Authority::new();
        let (server, _) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        let host = "db.team-a.example";
        let made = client
            .put_schedule(with(OPERATOR, wanted("all", host, "app*,!app_x")))
            .await;
        assert_eq!(code(made), Code::Ok);
        heard(&server);
        for (name, expected) in [("app1", true), ("app_x", false), ("other", false)] {
            let source = format!("{host}:5432/{name}");
            let request = v1::ListBackupsRequest {
                store: Some(store()),
                source: source.clone(),
                ..v1::ListBackupsRequest::default()
            };
            let answer = client.list_backups(with(OWNER, request)).await;
            assert_eq!(code(answer), Code::Ok);
            let asked = server.engine.questions.lock().unwrap().pop();
            let Some(About::Given(given)) = asked.map(|it| it.about) else {
                panic!("{name}: another question");
            };
            let has_it = given.options.layout.key_template.is_some();
            assert_eq!(has_it, expected, "{name}");
            let request = v1::RestoreBackupRequest {
                store: Some(store()),
                source,
                backup: "latest".to_owned(),
                target: Some(v1::Target {
                    host: host.to_owned(),
                    dbname: format!("{name}_back"),
                    user: "me".to_owned(),
                    ..v1::Target::default()
                }),
                ..v1::RestoreBackupRequest::default()
            };
            let answer = client.restore_backup(with(OWNER, request)).await;
            assert_eq!(code(answer), Code::Ok, "{name}");
            let restore = server.engine.restores.lock().unwrap().pop();
            let layout = restore.expect("begun").layout;
            assert_eq!(layout.key_template.is_some(), expected, "{name}");
        }
        let mut oiler = super::callers::client(&server, &authority, None);
        let mut request = requests::restore("0");
        (request.db_uri, request.db_name) = (host.to_owned(), "app1".to_owned());
        oiler.restore(with(OWNER, request)).await.unwrap();
        let restore = server.engine.restores.lock().unwrap().pop();
        assert!(restore.expect("begun").layout.key_template.is_some());
    });
}

/// The core names no prefix: its restore looks where a list's schedule puts the database.
#[test]
fn a_restore_without_a_prefix_looks_where_a_lists_schedule_has_it() {
    block_on(async {
        let authority = Authority::new();
        let (server, _) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        let host = "db.team-a.example";
        let mut all = wanted("all", host, "app*");
        all.store.as_mut().unwrap().prefix = "team-a".to_owned();
        let made = client.put_schedule(with(OPERATOR, all)).await;
        assert_eq!(code(made), Code::Ok);
        heard(&server);
        let mut oiler = super::callers::client(&server, &authority, None);
        for (name, prefix) in [("app1", "team-a"), ("shop", "")] {
            let mut request = requests::restore("0");
            (request.db_uri, request.db_name) = (host.to_owned(), name.to_owned());
            oiler.restore(with(OWNER, request)).await.unwrap();
            let restore = server.engine.restores.lock().unwrap().pop();
            let found = restore.expect("begun").store.place.prefix();
            assert_eq!(found.to_string().trim_end_matches('/'), prefix, "{name}");
        }
    });
}

/// After a start and where another one leads: that nobody knows it yet does not make it none.
#[test]
fn what_is_not_known_yet_is_unavailable_and_neither_none_nor_elsewhere() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, other]) = with_schedules(&authority).await;
        let mut operations = operations(&server, &authority, None);
        for name in [&own, &other] {
            let name = name.parse().unwrap();
            server.ledger.apply(Change::ScheduleGone(name));
        }
        for (name, expected) in [(own, Code::Unavailable), (other, Code::NotFound)] {
            let request = v1::GetScheduleRequest { name: name.clone() };
            let answer = operations.get_schedule(with(OWNER, request)).await;
            assert_eq!(code(answer), expected, "{name}");
        }
        server.ledger.apply(Change::Listing(Things::Schedules));
        let mut oiler = client(&server, &authority, None);
        let mut request = requests::restore("0");
        request.db_uri = "db.team-a.example".to_owned();
        let answer = oiler.restore(with(OWNER, request.clone())).await;
        assert_eq!(code(answer), Code::Unavailable);
        let listed = v1::ListBackupsRequest {
            store: Some(store()),
            source: "db.team-a.example:5432/shop".to_owned(),
            ..v1::ListBackupsRequest::default()
        };
        let answer = operations.list_backups(with(OWNER, listed.clone())).await;
        assert_eq!(code(answer), Code::Unavailable);
        assert!(server.engine.restores.lock().unwrap().is_empty());
        server.ledger.apply(Change::Listed(Things::Schedules));
        oiler.restore(with(OWNER, request)).await.unwrap();
        let answer = operations.list_backups(with(OWNER, listed)).await;
        assert_eq!(code(answer), Code::Ok);
    });
}
