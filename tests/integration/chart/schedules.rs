//! Schedules that are declared in the values, and the Secrets that they and calls may name.

use std::collections::BTreeSet;

use serde_yaml_ng::Value;

use super::{chart, documents, env_of, helm, only, read, render, rendered};
use crate::testbed::programs::repository;

const NAME: &str = "adapter-postgres-adapter-schedules";
const SHOP: &str = r#"{"name":"shop","cron":"0 3 * * *","timeZone":"Europe/Berlin","maxBackupCount":1000000,"labels":{"team":"shop"},"coreAddr":"core:50051","database":{"host":"db","port":5432,"dbname":"shop","user":"backup","passwordSecret":{"name":"shop","key":"pass"}},"store":{"endpoint":"https://s3.example","bucket":"backups","keysSecret":{"name":"s3","accessKey":"id","secretKey":"secret"}}}"#;

fn schedules(all: &[&str]) -> String {
    format!("schedules:=[{}]", all.join(","))
}

/// SHOP with something else in it.
fn shop(old: &str, new: &str) -> String {
    assert!(SHOP.contains(old), "{old}");
    schedules(&[&SHOP.replacen(old, new, 1)])
}

/// What the scheduler reads.
fn declared(documents: &[Value]) -> Value {
    let config = only(documents, "ConfigMap", NAME);
    let data = config["data"].as_mapping().unwrap();
    assert_eq!(data.len(), 1);
    serde_yaml_ng::from_str(data["schedules.yaml"].as_str().unwrap()).unwrap()
}

fn volume(documents: &[Value]) -> String {
    let deployment = only(documents, "Deployment", "adapter-postgres-adapter");
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_sequence();
    let volumes = volumes.unwrap().iter();
    let mut ours = volumes.filter(|it| it["name"] == "adapter-config");
    serde_yaml_ng::to_string(ours.next().unwrap()).unwrap()
}

#[test]
fn what_is_declared_reaches_the_scheduler_as_it_is() {
    let documents = rendered(&[&schedules(&[SHOP])]);
    let expected: Value = serde_yaml_ng::from_str(&format!("schedules: [{SHOP}]")).unwrap();
    assert_eq!(declared(&documents), expected);
    let file = env_of(&documents, "SCHEDULES_FILE").unwrap();
    assert_eq!(file, "/etc/postgres-adapter/schedules/schedules.yaml");
    assert!(volume(&documents).contains("schedules/schedules.yaml"));
}

/// What a schedule has beside the settings of all, with numbers as they are written.
#[test]
fn what_a_schedule_has_of_its_own_reaches_the_scheduler_as_it_is() {
    let own = r#""retention":{"days":1000000,"hourly":1,"daily":2,"weekly":3,"monthly":4,"yearly":5,"atLeast":2,"timeZone":"Asia/Tokyo","objects":true},"format":{"kind":"sql.gz","sqlOwners":true,"sqlClean":false,"compressionLevel":9,"keyTemplate":"{{ .ClusterName }}/{{ .DatabaseName }}/{{ .RunID }}","clusterName":"prod"},"encryption":{"recipients":["ssh-ed25519 AAAAC3Nz me"],"manifest":true},"filters":{"includeSchemas":["shop"],"excludeTableData":["\"a,b\".*"]},"globals":{"enabled":false,"passwords":"none"},"jobs":3,"verify":{"cron":"0 6 * * 0","server":{"host":"drills","port":5432,"user":"restorer","passwordSecret":{"name":"the-drills"}},"sql":["SELECT 1"]},"coreAddr""#;
    let one = SHOP.replacen(r#""coreAddr""#, own, 1);
    let documents = rendered(&[&schedules(&[&one])]);
    let expected: Value = serde_yaml_ng::from_str(&format!("schedules: [{one}]")).unwrap();
    assert_eq!(declared(&documents), expected);
    let policed = rendered(&[&schedules(&[&one]), "admissionPolicy.enabled=true"]);
    let policies = policed
        .iter()
        .filter(|it| it["kind"] == "ValidatingAdmissionPolicy");
    let texts: String = policies
        .map(|it| serde_yaml_ng::to_string(it).unwrap())
        .collect();
    assert!(texts.contains("^the-drills$"), "{texts}");
    // Rules that are none are some all the same: the settings of all do not hold.
    let none = SHOP.replacen(r#""coreAddr""#, r#""retention":{},"coreAddr""#, 1);
    let documents = rendered(&[&schedules(&[&none])]);
    assert!(declared(&documents)["schedules"][0]["retention"].is_mapping());
    for (own, words) in [
        (r#""retention":{"maxBackupCount":7}"#, "maxBackupCount"),
        (r#""retention":{"atLeast":0}"#, "atLeast"),
        (r#""format":{"kind":"tar"}"#, "kind"),
        (r#""format":{"compressionLevel":20}"#, "compressionLevel"),
        (
            r#""encryption":{"recipients":["a-private-one"]}"#,
            "recipients",
        ),
        (r#""filters":{"tables":["a"]}"#, "tables"),
        (r#""globals":{"passwords":"md5"}"#, "passwords"),
        (r#""jobs":0"#, "jobs"),
        (r#""verify":{"sql":["SELECT 1"]}"#, "cron"),
        (
            r#""verify":{"cron":"@daily","server":{"password":"hunter2"}}"#,
            "passwordSecret",
        ),
    ] {
        is_refused(
            &shop(r#""coreAddr""#, &format!(r#"{own},"coreAddr""#)),
            words,
        );
    }
}

/// kubelet does not renew a file that is mounted by subPath, and a pod that is restarted for each new schedule
/// would serve nobody for a moment.
#[test]
fn a_changed_list_changes_no_pod() {
    let deployment = |all: &[&str]| {
        let documents = rendered(&[&schedules(all)]);
        only(&documents, "Deployment", "adapter-postgres-adapter")
    };
    let one = deployment(&[SHOP]);
    assert_eq!(one, deployment(&[]));
    let text = serde_yaml_ng::to_string(&one).unwrap();
    assert!(!text.contains("subPath"), "{text}");
}

#[test]
fn an_empty_list_declares_that_there_are_none_and_no_list_declares_nothing() {
    let none = rendered(&["schedules:=[]"]);
    assert_eq!(declared(&none)["schedules"], Value::Sequence(Vec::new()));
    assert!(env_of(&none, "SCHEDULES_FILE").is_some());
    for values in [&[][..], &["schedules=null"]] {
        let documents = rendered(values);
        assert!(documents.iter().all(|it| it["metadata"]["name"] != NAME));
        assert_eq!(env_of(&documents, "SCHEDULES_FILE"), None);
        assert!(!volume(&documents).contains("schedules"));
    }
}

#[test]
fn a_store_in_another_cloud_reaches_the_scheduler_and_its_secrets_the_policy() {
    let store = |text: &str| {
        shop(
            r#"{"endpoint":"https://s3.example","bucket":"backups","keysSecret":{"name":"s3","accessKey":"id","secretKey":"secret"}}"#,
            text,
        )
    };
    for (field, url) in [
        ("serviceAccountSecret", "gs://backups/team-a"),
        ("accountKeySecret", "az://acme/backups/team-a"),
        ("sasTokenSecret", "az://acme/backups"),
    ] {
        let text = format!(r#"{{"url":"{url}","{field}":{{"name":"the-cloud","key":"key"}}}}"#);
        let documents = rendered(&[&store(&text), "admissionPolicy.enabled=true"]);
        let expected: Value = serde_yaml_ng::from_str(&text).unwrap();
        assert_eq!(declared(&documents)["schedules"][0]["store"], expected);
        let policies = documents
            .iter()
            .filter(|it| it["kind"] == "ValidatingAdmissionPolicy");
        let texts = policies.map(|it| serde_yaml_ng::to_string(it).unwrap());
        let all: String = texts.collect();
        assert!(all.contains("^the-cloud$"), "{all}");
    }
    let below = store(r#"{"bucket":"backups","prefix":"team-a"}"#);
    let documents = rendered(&[&below]);
    let store = &declared(&documents)["schedules"][0]["store"];
    assert_eq!(store["prefix"], "team-a");
}

#[test]
fn the_cores_calls_have_a_prefix_and_a_store_of_the_administrators() {
    let documents = rendered(&[
        "workers.s3.prefix=team-a",
        "workers.store.url=gs://backups/core",
        "workers.store.secret=the-cloud",
        "workers.store.secretKeys={key.json}",
        "admissionPolicy.enabled=true",
    ]);
    for (name, value) in [
        ("S3_PREFIX", "team-a"),
        ("STORE_URL", "gs://backups/core"),
        ("STORE_SECRET", "the-cloud/key.json"),
    ] {
        assert_eq!(env_of(&documents, name).as_deref(), Some(value));
    }
    let all = serde_yaml_ng::to_string(&documents).unwrap();
    assert!(all.contains("^the-cloud$"), "{all}");
    let signed = rendered(&[
        "workers.store.url=az://acme/backups",
        "workers.store.sasSecret=the-cloud",
    ]);
    let secret = env_of(&signed, "STORE_SAS_SECRET");
    assert_eq!(secret.as_deref(), Some("the-cloud/AZURE_STORAGE_SAS_TOKEN"));
    for name in ["STORE_URL", "S3_PREFIX", "STORE_SECRET"] {
        assert_eq!(env_of(&rendered(&[]), name), None, "{name}");
    }
}

#[test]
fn a_schedule_may_do_without_secrets() {
    let bare = r#"{"name":"bare","cron":"@daily","database":{"host":"db","dbname":"b","user":"u"},"store":{"endpoint":"file:///backups"}}"#;
    let documents = rendered(&[&schedules(&[bare])]);
    let expected: Value = serde_yaml_ng::from_str(&format!("schedules: [{bare}]")).unwrap();
    assert_eq!(declared(&documents), expected);
}

/// What is changed in SHOP, and what is said about it.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        r#""user":"backup","#,
        r#""user":"backup","password":"hunter2","#,
        "a ConfigMap is no place for it, so passwordSecret names a Secret",
    ),
    (
        r#""bucket":"#,
        r#""accessKey":"hunter2","bucket":"#,
        "a ConfigMap is no place for it, so keysSecret names a Secret",
    ),
    (
        r#""bucket":"#,
        r#""secretKey":"hunter2","bucket":"#,
        "a ConfigMap is no place for it, so keysSecret names a Secret",
    ),
    (r#""dbname":"shop","#, "", "dbname"),
    (r#""cron":"0 3 * * *","#, "", "cron"),
    (r#""name":"shop","cron""#, r#""cron""#, "name"),
    (r#""name":"shop","cron""#, r#""name":"Shop","cron""#, "name"),
    (
        r#""name":"shop","cron""#,
        r#""name":"restore-shop","cron""#,
        "are for runs",
    ),
    (r#","bucket":"backups""#, "", "store.bucket is needed"),
    (
        r#""bucket":"#,
        r#""url":"s3://backups/a","bucket":"#,
        "leave store.bucket out",
    ),
    (r#""bucket":"#, r#""url":"ftp://backups/a","was":"#, "url"),
    (
        r#""bucket":"#,
        r#""serviceAccountKey":"hunter2","bucket":"#,
        "so serviceAccountSecret names a Secret",
    ),
    (
        r#""bucket":"#,
        r#""sasToken":"hunter2","bucket":"#,
        "so sasTokenSecret names a Secret",
    ),
    (r#""port":5432"#, r#""port":0"#, "port"),
    (r#""key":"pass""#, r#""keys":"pass""#, "keys"),
    (
        r#""coreAddr""#,
        r#""validateOnly":true,"coreAddr""#,
        "validateOnly",
    ),
];

fn is_refused(value: &str, words: &str) {
    let ended = render("system", "1.34.0", &[value]);
    assert_ne!(ended.code(), Some(0), "{value}");
    assert!(ended.stderr.contains(words), "{value}: {}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn secrets_and_what_is_wrong_are_refused_with_what_to_do() {
    for (old, new, words) in REFUSED {
        is_refused(&shop(old, new), words);
    }
    is_refused(&schedules(&[SHOP, SHOP]), "two schedules of this name");
    is_refused("secretReferences={Shop}", "secretReferences");
}

#[test]
fn no_secret_gets_past_a_schema_that_is_skipped() {
    let chart = chart();
    let value = shop(r#""user""#, r#""password":"hunter2","user""#);
    let ended = super::with_values(
        helm(&["template", "adapter", chart.to_str().unwrap()]).args(["--skip-schema-validation"]),
        &[&value],
    )
    .run();
    assert!(ended.stderr.contains("database.passwordSecret"), "{ended}");
    assert!(!ended.to_string().contains("hunter2"), "{ended}");
}

#[test]
fn calls_name_no_secret_unless_they_are_let() {
    assert_eq!(env_of(&rendered(&[]), "SECRET_REFERENCES"), None);
    let documents = rendered(&["secretReferences={team-a-*,shop}"]);
    let names = env_of(&documents, "SECRET_REFERENCES");
    assert_eq!(names.as_deref(), Some("team-a-*,shop"));
    // Those of declared schedules are the administrator's, and no caller's.
    let documents = rendered(&[&schedules(&[SHOP])]);
    assert_eq!(env_of(&documents, "SECRET_REFERENCES"), None);
}

/// Secrets that a file has: each is named, and has the keys that are meant.
#[test]
fn the_example_is_a_values_file_whose_secrets_are_beside_it() {
    let chart = chart();
    let template = ["template", "adapter", chart.to_str().unwrap(), "--values"];
    let beside = repository().join("deploy/examples/with-postgresql.yaml");
    let ended = helm(&template).arg(&beside).succeed();
    assert_eq!(
        declared(&documents(&ended.stdout))["schedules"][0]["name"],
        "salon"
    );
    let example = repository().join("deploy/examples/schedules.yaml");
    let ended = helm(&template);
    let documents_of_chart = documents(&ended.arg(&example).succeed().stdout);
    let mut named = BTreeSet::new();
    let key = |of: &Value, field: &str, otherwise: &str| {
        of[field].as_str().unwrap_or(otherwise).to_owned()
    };
    for schedule in declared(&documents_of_chart)["schedules"]
        .as_sequence()
        .unwrap()
    {
        let password = &schedule["database"]["passwordSecret"];
        if let Some(name) = password["name"].as_str() {
            named.insert((name.to_owned(), key(password, "key", "password")));
        }
        let keys = &schedule["store"]["keysSecret"];
        if let Some(name) = keys["name"].as_str() {
            let id = key(keys, "accessKey", "AWS_ACCESS_KEY_ID");
            named.insert((name.to_owned(), id));
            let secret = key(keys, "secretKey", "AWS_SECRET_ACCESS_KEY");
            named.insert((name.to_owned(), secret));
        }
        for (field, usual) in [
            ("serviceAccountSecret", "GOOGLE_SERVICE_ACCOUNT_KEY"),
            ("accountKeySecret", "AZURE_STORAGE_ACCOUNT_KEY"),
            ("sasTokenSecret", "AZURE_STORAGE_SAS_TOKEN"),
        ] {
            let keys = &schedule["store"][field];
            if let Some(name) = keys["name"].as_str() {
                named.insert((name.to_owned(), key(keys, "key", usual)));
            }
        }
    }
    let mut there = BTreeSet::new();
    for secret in documents(&read("deploy/examples/schedules-secrets.yaml")) {
        assert_eq!(secret["kind"], "Secret");
        let name = secret["metadata"]["name"].as_str().unwrap();
        for key in secret["stringData"].as_mapping().unwrap().keys() {
            there.insert((name.to_owned(), key.as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(named, there);
}
