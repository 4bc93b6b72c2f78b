//! Who may put schedules, name Secrets, ask about stores and delete backups.

use jiff::Timestamp;
use scheduler::api::proto::v1;
use scheduler::domain::drilled::Drilled;
use scheduler::domain::question::{About, Task};
use scheduler::domain::run::{Component, Ending, Run, State};
use scheduler::engine::Change;
use tonic::Code;

use super::callers::{client, code, operations, with, with_schedules};
use super::requests;
use crate::testbed::block_on;
use crate::testbed::tls::Authority;

const OWNER: &str = "Bearer team-as";
const OPERATOR: &str = "Bearer operators";

fn wanted(name: &str, host: &str) -> v1::PutScheduleRequest {
    v1::PutScheduleRequest {
        name: name.to_owned(),
        database: Some(v1::Database {
            host: host.to_owned(),
            dbname: "shop".to_owned(),
            user: "me".to_owned(),
            password: "hunter2".to_owned(),
            ..v1::Database::default()
        }),
        store: Some(store()),
        cron: "0 5 * * *".to_owned(),
        ..v1::PutScheduleRequest::default()
    }
}

fn store() -> v1::Store {
    v1::Store {
        endpoint: "https://s3.example".to_owned(),
        bucket: "backups".to_owned(),
        access_key: "access".to_owned(),
        secret_key: "secret".to_owned(),
        ..v1::Store::default()
    }
}

/// Neither takes an owner what is another's, nor moves its own there.
#[test]
fn an_owner_puts_schedules_of_its_own_databases_alone() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, other]) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        for (token, name, host, expected) in [
            (OWNER, "mine", "db.team-a.example", Code::Ok),
            (OWNER, own.as_str(), "db2.team-a.example", Code::Ok),
            (
                OWNER,
                own.as_str(),
                "db.team-b.example",
                Code::PermissionDenied,
            ),
            (
                OWNER,
                other.as_str(),
                "db3.team-a.example",
                Code::AlreadyExists,
            ),
            (OPERATOR, other.as_str(), "db3.team-b.example", Code::Ok),
            (OPERATOR, "restore-it", "db.example", Code::InvalidArgument),
            (
                OPERATOR,
                "a-now-0a1b2c",
                "db.example",
                Code::InvalidArgument,
            ),
            (
                OPERATOR,
                "backup-0a1b2c3d-postgres",
                "db.example",
                Code::InvalidArgument,
            ),
            (OPERATOR, "Shop", "db.example", Code::InvalidArgument),
        ] {
            let answer = client.put_schedule(with(token, wanted(name, host))).await;
            assert_eq!(code(answer), expected, "{token} {name} {host}");
        }
        let kept = server.engine.schedules.lock().unwrap().clone();
        let of_other = &kept[&other.parse().unwrap()];
        assert_eq!(of_other.plan.source.host, "db3.team-b.example");
        let mut viewer = operations(&server, &authority, Some("grafana"));
        let answer = viewer.put_schedule(wanted("new", "db.example")).await;
        assert_eq!(code(answer), Code::PermissionDenied);
    });
}

/// Two servers may have a database of one name and one store, and each has its own owner.
#[test]
fn an_owner_restores_no_other_servers_backup_of_a_database_of_this_name() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, _]) = with_schedules(&authority).await;
        let mut oiler = client(&server, &authority, None);
        let mut request = requests::restore("0");
        request.db_uri = "db.team-a.example".to_owned();
        oiler.restore(with(OWNER, request.clone())).await.unwrap();
        request.db_uri = "db2.team-a.example".to_owned();
        oiler.restore(with(OPERATOR, request)).await.unwrap();
        let restores = server.engine.restores.lock().unwrap().clone();
        let sources: Vec<_> = restores.into_iter().map(|it| it.source).collect();
        let place = "db.team-a.example:5432/shop".to_owned();
        assert_eq!(sources, [Some(place), None]);
        let mut operations = operations(&server, &authority, None);
        let over_itself = v1::RestoreBackupRequest {
            schedule: own,
            backup: "latest".to_owned(),
            target: Some(v1::Target {
                dbname: "shop".to_owned(),
                ..v1::Target::default()
            }),
            ..v1::RestoreBackupRequest::default()
        };
        let answer = operations.restore_backup(with(OWNER, over_itself)).await;
        assert_eq!(code(answer), Code::InvalidArgument);
    });
}

/// What a Secret holds would be sent wherever the call says.
#[test]
fn no_owner_names_a_secret_and_nobody_one_that_is_not_listed() {
    block_on(async {
        let authority = Authority::new();
        let (server, _) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        for token in [OWNER, OPERATOR] {
            let mut request = wanted("named", "db.team-a.example");
            let database = request.database.as_mut().unwrap();
            database.password = String::new();
            database.password_secret = Some(v1::PasswordSecret {
                name: "postgres-adapter-tls".to_owned(),
                key: "tls.key".to_owned(),
            });
            let answer = client.put_schedule(with(token, request)).await;
            assert_eq!(code(answer), Code::PermissionDenied, "{token}");
            let of_store = v1::ListBackupsRequest {
                store: Some(v1::Store {
                    access_key: String::new(),
                    secret_key: String::new(),
                    keys_secret: Some(v1::KeysSecret {
                        name: "any".to_owned(),
                        ..v1::KeysSecret::default()
                    }),
                    ..store()
                }),
                source: "db.team-a.example:5432/shop".to_owned(),
                ..v1::ListBackupsRequest::default()
            };
            let answer = client.list_backups(with(token, of_store)).await;
            assert_eq!(code(answer), Code::PermissionDenied, "{token}");
        }
        assert!(server.engine.questions.lock().unwrap().is_empty());
    });
}

/// An owner of one database sees no more of the server and of the store by what its schedules have of their own.
#[test]
fn what_reaches_beyond_a_database_is_said_by_who_may_do_everything_alone() {
    let keyed = || v1::BackupFormat {
        key_template: "theirs/{{ .DatabaseName }}/{{ .RunID }}".to_owned(),
        ..v1::BackupFormat::default()
    };
    let recipients = || v1::Encryption {
        recipients: vec![
            "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa".to_owned(),
        ],
        manifest: false,
    };
    let globals = || v1::Globals {
        enabled: Some(true),
        passwords: "encrypted".to_owned(),
    };
    block_on(async {
        let authority = Authority::new();
        let (server, [own, _]) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        let mut request = wanted(&own, "db2.team-a.example");
        request.retention = Some(v1::RetentionRules {
            daily: 7,
            ..v1::RetentionRules::default()
        });
        request.encryption = Some(recipients());
        let answer = client.put_schedule(with(OWNER, request.clone())).await;
        assert_eq!(code(answer), Code::Ok, "its own are its own to say");
        let changes: [&dyn Fn(&mut v1::PutScheduleRequest); 3] = [
            &|it| it.format = Some(keyed()),
            &|it| it.globals = Some(globals()),
            &|it| it.retention.as_mut().unwrap().objects = true,
        ];
        for change in changes {
            let mut beyond = request.clone();
            change(&mut beyond);
            let answer = client.put_schedule(with(OWNER, beyond.clone())).await;
            assert_eq!(code(answer), Code::PermissionDenied, "{beyond:?}");
            let answer = client.put_schedule(with(OPERATOR, beyond.clone())).await;
            assert_eq!(code(answer), Code::Ok, "{beyond:?}");
            // It is there already.
            let answer = client.put_schedule(with(OWNER, beyond)).await;
            assert_eq!(code(answer), Code::Ok);
            let answer = client.put_schedule(with(OPERATOR, request.clone())).await;
            assert_eq!(code(answer), Code::Ok);
        }
        // Nor does its key open the whole server's hashes.
        request.globals = Some(globals());
        let answer = client.put_schedule(with(OPERATOR, request.clone())).await;
        assert_eq!(code(answer), Code::Ok);
        let more =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAhuppZpV/84zt+7z+rusU3dYRIks++wiperdHWPtI6Y";
        let known = request.encryption.as_mut().unwrap();
        known.recipients.push(more.to_owned());
        let answer = client.put_schedule(with(OWNER, request)).await;
        assert_eq!(code(answer), Code::PermissionDenied);
    });
}

/// Issue 14, section 3: drills at times of their own.
#[test]
fn an_owner_has_drills_where_it_may_restore_and_asks_as_a_role_whose_password_it_gives() {
    block_on(async {
        let authority = Authority::new();
        let (server, _) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        let own = || v1::DrillServer::default();
        let on = |host: &str, password: &str| v1::DrillServer {
            host: host.to_owned(),
            password: password.to_owned(),
            ..own()
        };
        let named = v1::DrillServer {
            password_secret: Some(v1::PasswordSecret {
                name: "shop".to_owned(),
                key: String::new(),
            }),
            ..own()
        };
        let (ours, theirs) = ("drills.team-a.example", "drills.team-b.example");
        for (token, password, server, sql, expected) in [
            (OWNER, "hunter2", own(), "SELECT 1", Code::Ok),
            // It is there already.
            (OWNER, "", own(), "SELECT 1", Code::Ok),
            (OWNER, "", own(), "SELECT 2", Code::PermissionDenied),
            (OPERATOR, "", own(), "SELECT 2", Code::Ok),
            (
                OWNER,
                "",
                on(theirs, "x"),
                "SELECT 1",
                Code::PermissionDenied,
            ),
            (OWNER, "", on(ours, ""), "SELECT 1", Code::PermissionDenied),
            (OWNER, "", on(ours, "x"), "SELECT 1", Code::Ok),
            (OWNER, "", on(ours, ""), "SELECT 1", Code::Ok),
            (OWNER, "hunter2", named, "SELECT 1", Code::PermissionDenied),
        ] {
            let told = format!("{token} {server:?} {sql}");
            let mut request = wanted("mine", "db.team-a.example");
            request.database.as_mut().unwrap().password = password.to_owned();
            request.verify = Some(v1::Verify {
                cron: "@daily".to_owned(),
                server: Some(server),
                sql: vec![sql.to_owned()],
            });
            let answer = client.put_schedule(with(token, request)).await;
            assert_eq!(code(answer), expected, "{told}");
        }
        let mut several = wanted("all", "db.team-a.example");
        several.database.as_mut().unwrap().dbname = "*".to_owned();
        several.verify = Some(v1::Verify {
            cron: "@daily".to_owned(),
            ..v1::Verify::default()
        });
        let answer = client.put_schedule(with(OPERATOR, several)).await;
        assert_eq!(code(answer), Code::InvalidArgument);
    });
}

/// A run whose worker is at it.
fn under_way(component: Component, database: &str) -> Run {
    Run {
        component,
        name: format!("a-{}", component.word()),
        id: component.word().to_owned(),
        schedule: None,
        database: database.to_owned(),
        drilled: None,
        state: State::Running,
        created: Timestamp::now(),
        started: Some(Timestamp::now()),
        ended: None,
        told: true,
    }
}

/// Issue 14, section 3: the database of a drill is nobody's, and its run is whose backup it proves.
#[test]
fn a_drill_is_seen_and_ended_by_whoever_owns_what_it_proves() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, _]) = with_schedules(&authority).await;
        for (team, schedule) in [("team-a", Some(own.clone())), ("team-b", None)] {
            let drill = Run {
                name: format!("drill-of-{team}"),
                id: team.to_owned(),
                drilled: Some(Drilled {
                    schedule,
                    source: format!("db.{team}.example:5432/shop"),
                    store: "backups".to_owned(),
                }),
                ..under_way(Component::Restore, "drills.example:5432/restore_drill_shop")
            };
            server.ledger.apply(Change::Run(Box::new(drill)));
        }
        let mut client = operations(&server, &authority, None);
        let all = with(OWNER, v1::ListRunsRequest::default());
        let runs = client.list_runs(all).await.unwrap().into_inner().runs;
        let names: Vec<&str> = runs.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["drill-of-team-a"]);
        let drill = runs[0].drill.clone().expect("a drill");
        assert_eq!(drill.schedule, own);
        assert_eq!(drill.source, "db.team-a.example:5432/shop");
        assert_eq!(drill.result(), v1::drill::Result::Unspecified);
        for (team, expected) in [("team-a", Code::Ok), ("team-b", Code::NotFound)] {
            let name = format!("drill-of-{team}");
            let answer = client.cancel_run(with(OWNER, v1::CancelRunRequest { name }));
            assert_eq!(code(answer.await), expected, "{team}");
        }
    });
}

/// Somebody may be reading what goes, or be deleting what was to stay.
#[test]
fn a_backup_is_deleted_while_nothing_reads_or_makes_one() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, _]) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        for (component, database) in [
            (Component::Restore, "db.elsewhere.example:5432/crm"),
            (Component::Backup, "db.team-a.example:5432/shop"),
        ] {
            let mut run = under_way(component, database);
            server.ledger.apply(Change::Run(Box::new(run.clone())));
            let mut request = v1::DeleteBackupRequest {
                schedule: own.clone(),
                key: "shop/2026-11-20-21-05-27-backup-1f3a9c0e".to_owned(),
                ..v1::DeleteBackupRequest::default()
            };
            let answer = client.delete_backup(with(OWNER, request.clone())).await;
            assert_eq!(code(answer), Code::FailedPrecondition, "{component:?}");
            assert!(server.engine.questions.lock().unwrap().is_empty());
            // To say what would be deleted disturbs nobody.
            request.validate_only = true;
            let answer = client.delete_backup(with(OWNER, request)).await;
            assert_eq!(code(answer), Code::Internal, "{component:?}");
            server.engine.questions.lock().unwrap().clear();
            run.state = State::Ended(Ending::Cancelled);
            server.ledger.apply(Change::Run(Box::new(run)));
        }
    });
}

/// Whoever may delete a backup may keep it; and of another's schedule nobody learns when its backups go.
#[test]
fn an_owner_pins_and_previews_what_is_its_own_alone() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, other]) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        let key = "shop/2026-11-20-21-05-27-backup-1f3a9c0e";
        for (schedule, expected) in [(&own, Code::Internal), (&other, Code::NotFound)] {
            let request = v1::PinBackupRequest {
                schedule: schedule.clone(),
                key: key.to_owned(),
                ..v1::PinBackupRequest::default()
            };
            let answer = client.pin_backup(with(OWNER, request)).await;
            assert_eq!(code(answer), expected, "{schedule}");
            let request = v1::UnpinBackupRequest {
                schedule: schedule.clone(),
                key: key.to_owned(),
                ..v1::UnpinBackupRequest::default()
            };
            let answer = client.unpin_backup(with(OWNER, request)).await;
            assert_eq!(code(answer), expected, "{schedule}");
        }
        // Nobody answers here, and of nothing that retention judges nothing goes.
        for (schedule, expected) in [(&own, Code::Ok), (&other, Code::NotFound)] {
            let request = v1::PreviewRetentionRequest {
                schedule: schedule.clone(),
                ..v1::PreviewRetentionRequest::default()
            };
            let answer = client.preview_retention(with(OWNER, request)).await;
            assert_eq!(code(answer), expected, "{schedule}");
        }
        let asked = server.engine.questions.lock().unwrap().clone();
        let tasks: Vec<&str> = asked.iter().map(|it| it.task.doing()).collect();
        assert_eq!(asked.len(), 3, "{tasks:?}");
        server.engine.questions.lock().unwrap().clear();
        for source in ["db.team-b.example:5432/shop", ""] {
            let of_store = v1::PinBackupRequest {
                store: Some(store()),
                source: source.to_owned(),
                key: key.to_owned(),
                ..v1::PinBackupRequest::default()
            };
            let answer = client.pin_backup(with(OWNER, of_store)).await;
            assert!(
                [Code::PermissionDenied, Code::InvalidArgument].contains(&code(answer)),
                "{source}"
            );
        }
        assert!(server.engine.questions.lock().unwrap().is_empty());
    });
}

#[test]
fn stores_are_asked_about_by_who_may_restore_from_them() {
    block_on(async {
        let authority = Authority::new();
        let (server, [own, other]) = with_schedules(&authority).await;
        let mut client = operations(&server, &authority, None);
        let of_store = |source: &str| v1::ListBackupsRequest {
            store: Some(store()),
            source: source.to_owned(),
            ..v1::ListBackupsRequest::default()
        };
        for (token, source, expected) in [
            (OWNER, "db.team-a.example:5432/shop", Code::Ok),
            (OWNER, "db.team-b.example:5432/shop", Code::PermissionDenied),
            (OWNER, "", Code::PermissionDenied),
            (OPERATOR, "", Code::Ok),
        ] {
            let answer = client.list_backups(with(token, of_store(source))).await;
            assert_eq!(code(answer), expected, "{token} {source}");
        }
        server.engine.questions.lock().unwrap().clear();
        for (token, schedule, expected) in [
            (OWNER, &own, Code::Internal),
            (OWNER, &other, Code::NotFound),
        ] {
            let request = v1::DeleteBackupRequest {
                schedule: schedule.clone(),
                key: "shop/2026-11-20-21-05-27-backup-1f3a9c0e".to_owned(),
                ..v1::DeleteBackupRequest::default()
            };
            let answer = client.delete_backup(with(token, request)).await;
            assert_eq!(code(answer), expected, "{schedule}");
        }
        let asked = server.engine.questions.lock().unwrap().clone();
        let [question] = asked.as_slice() else {
            panic!("{asked:?}");
        };
        assert!(
            matches!(question.about, About::Schedule { .. }),
            "{question:?}"
        );
        assert!(matches!(question.task, Task::Delete { .. }), "{question:?}");
        let link_local = v1::DiagnoseRequest {
            database: Some(v1::Database {
                host: "169.254.169.254".to_owned(),
                dbname: "shop".to_owned(),
                user: "me".to_owned(),
                ..v1::Database::default()
            }),
            ..v1::DiagnoseRequest::default()
        };
        let answer = client.diagnose(with(OPERATOR, link_local)).await;
        assert_eq!(code(answer), Code::PermissionDenied);
    });
}
