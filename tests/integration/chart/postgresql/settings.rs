//! What PostgreSQL is told, and by whom.

use serde_yaml_ng::Value;

use super::{file, rendered};

fn patroni(values: &[&str]) -> Value {
    file(&rendered(values), "postgresql-config", "patroni.yaml")
}

fn settings(values: &[&str]) -> Value {
    file(&rendered(values), "postgresql-config", "settings.yaml")
}

/// 3.3, 3.15.
#[test]
fn the_defaults_are_the_documents() {
    let patroni = patroni(&[]);
    assert_eq!(patroni["postgresql"]["config_dir"], "/etc/postgresql");
    assert_eq!(
        patroni["postgresql"]["data_dir"],
        "/var/lib/postgresql/data/pgdata"
    );
    let parameters = &patroni["postgresql"]["parameters"];
    assert_eq!(parameters["shared_buffers"], "256MB");
    assert_eq!(parameters["archive_mode"], "on");
    assert_eq!(parameters["archive_command"], "/bin/true");
    let store = settings(&[])["store"]["postgresql"]["parameters"].clone();
    assert_eq!(store["max_connections"], "100");
    assert_eq!(store["wal_level"], "replica");
}

/// What only the store decides is there and not in the pods' files, where Patroni does not see it.
#[test]
fn each_setting_goes_where_patroni_takes_it_from() {
    let values = [
        "postgresql.parameters.max_connections=500",
        "postgresql.parameters.max_wal_senders=20",
        "postgresql.parameters.work_mem=4MB",
        "postgresql.parameters.random_page_cost=1.1",
        "postgresql.parameters.jit=false",
        "postgresql.parameters.maintenance_work_mem=2000000",
        "postgresql.parameters.shared_buffers=null",
    ];
    let local = patroni(&values)["postgresql"]["parameters"].clone();
    assert!(local["max_connections"].is_null());
    assert_eq!(local["work_mem"], "4MB");
    assert_eq!(local["random_page_cost"], "1.1");
    assert_eq!(local["jit"], "off");
    assert_eq!(local["maintenance_work_mem"], "2000000");
    assert!(local["shared_buffers"].is_null());
    let store = settings(&values)["store"]["postgresql"]["parameters"].clone();
    assert_eq!(store["max_connections"], "500");
    assert_eq!(store["max_wal_senders"], "20");
    assert!(store["work_mem"].is_null());
}

#[test]
fn a_new_cluster_has_checksums_and_the_locale_that_is_asked_for() {
    let initdb = |values: &[&str]| {
        serde_yaml_ng::to_string(&patroni(values)["bootstrap"]["initdb"]).unwrap()
    };
    assert!(initdb(&[]).contains("data-checksums"));
    assert!(initdb(&[]).contains("locale: C.UTF-8"));
    assert!(!initdb(&["postgresql.dataChecksums=false"]).contains("data-checksums"));
    assert!(initdb(&["postgresql.locale=de_DE.UTF-8"]).contains("de_DE.UTF-8"));
}

#[test]
fn who_connects_needs_a_password() {
    let lines = |values: &[&str]| -> Vec<String> {
        let hba = patroni(values)["postgresql"]["pg_hba"].clone();
        hba.as_sequence()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap().to_owned())
            .collect()
    };
    let usual = lines(&[]);
    assert_eq!(usual.last().unwrap(), "host all all all scram-sha-256");
    let trusted = usual.iter().filter(|it| it.contains("trust"));
    assert!(
        trusted.clone().all(|it| it.starts_with("local ")),
        "{usual:?}"
    );
    let own = lines(&["postgresql.pgHba={host all all 10.0.0.0/8 scram-sha-256}"]);
    assert_eq!(own.last().unwrap(), "host all all 10.0.0.0/8 scram-sha-256");
    // Replicas and pg_rewind connect, whatever the lines of people say.
    assert!(
        own.iter()
            .any(|it| it.contains("replication \"repl_user\"")),
        "{own:?}"
    );
    assert!(own.iter().any(|it| it.contains("rewind_user")), "{own:?}");
}

#[test]
fn files_of_sql_are_run_in_a_new_cluster() {
    let documents = rendered(&[r#"primary.initdb.scripts:={"a.sql":"create table a ();"}"#]);
    let map = super::only(&documents, "ConfigMap", "postgresql-initdb");
    assert_eq!(map["data"]["a.sql"], "create table a ();");
    let mounts = super::container(&documents, "postgresql")["volumeMounts"].clone();
    assert_eq!(super::named(&mounts, "initdb")["mountPath"], "/etc/initdb");
}
