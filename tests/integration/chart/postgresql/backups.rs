//! `backup.*`: the backuper as a CronJob.

use serde_yaml_ng::Value;

use super::{named, names, notes, only, rendered};

const ON: [&str; 3] = [
    "backup.enabled=true",
    "backup.s3.bucket=dumps",
    "backup.s3.existingSecret=keys",
];

fn job(values: &[&str]) -> Value {
    only(
        &rendered(&[&ON, values].concat()),
        "CronJob",
        "postgresql-backup",
    )["spec"]
        .clone()
}

fn env(values: &[&str], name: &str) -> Value {
    let pod = job(values)["jobTemplate"]["spec"]["template"]["spec"].clone();
    named(&pod["containers"][0]["env"], name)
}

/// 4.10.
#[test]
fn backups_are_made_as_the_document_says() {
    assert!(names(&rendered(&[]), "CronJob").is_empty());
    let job = job(&[]);
    assert_eq!(job["schedule"], "0 2 * * *");
    assert_eq!(job["concurrencyPolicy"], "Forbid");
    assert_eq!(env(&[], "RETENTION_DAYS")["value"], "30");
    assert_eq!(env(&["backup.retention=7"], "RETENTION_DAYS")["value"], "7");
    assert_eq!(env(&[], "DB_NAME")["value"], "*");
    assert_eq!(env(&[], "DB_HOST")["value"], "postgresql-master");
    let some = ["backup.databases={salon_core,!test_*}"];
    assert_eq!(env(&some, "DB_NAME")["value"], "salon_core,!test_*");
}

#[test]
fn each_release_has_a_folder_of_its_own() {
    assert_eq!(
        env(&[], "STORE_URL")["value"],
        "s3://dumps/production/postgresql"
    );
    let own = [
        "backup.s3.prefix=team/a",
        "backup.s3.endpoint=https://s3.example",
    ];
    assert_eq!(env(&own, "STORE_URL")["value"], "s3://dumps/team/a");
    assert_eq!(env(&own, "S3_ENDPOINT")["value"], "https://s3.example");
}

/// 2.19, 2.20, 2.21, 2.22.
#[test]
fn its_pods_are_restricted_let_in_and_have_no_sidecar() {
    let template =
        job(&["networkPolicy.allowExternal=false"])["jobTemplate"]["spec"]["template"].clone();
    assert_eq!(template["metadata"]["labels"]["postgresql-client"], "true");
    // No member of the cluster, whose policy and Services choose by this.
    assert_eq!(
        template["metadata"]["labels"]["app.kubernetes.io/name"],
        "postgresql-backup"
    );
    assert_eq!(
        template["metadata"]["annotations"]["sidecar.istio.io/inject"],
        "false"
    );
    let spec = &template["spec"];
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        spec["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let context = &spec["containers"][0]["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"]["drop"][0], "ALL");
    for (name, secret, key) in [
        ("DB_PASSWORD", "postgresql", "postgres-password"),
        ("S3_ACCESS_KEY", "keys", "AWS_ACCESS_KEY_ID"),
        ("S3_SECRET_KEY", "keys", "AWS_SECRET_ACCESS_KEY"),
    ] {
        let variable = env(&[], name);
        assert_eq!(variable["valueFrom"]["secretKeyRef"]["name"], secret);
        assert_eq!(variable["valueFrom"]["secretKeyRef"]["key"], key);
    }
}

#[test]
fn a_private_authority_is_mounted() {
    let values = ["backup.s3.caSecret=ca", "backup.s3.caKey=tls.crt"];
    assert_eq!(env(&values, "STORE_CA_FILE")["value"], "/etc/s3-ca/ca.crt");
    let spec = job(&values)["jobTemplate"]["spec"]["template"]["spec"].clone();
    let volume = named(&spec["volumes"], "s3-ca");
    assert_eq!(volume["secret"]["items"][0]["key"], "tls.crt");
}

const ON_A_VOLUME: [&str; 3] = [
    "backup.enabled=true",
    "backup.storage.enabled=true",
    "global.defaultStorageClass=slow",
];

#[test]
fn a_volume_takes_backups_and_outlives_the_cluster() {
    let documents = rendered(&ON_A_VOLUME);
    let claim = only(&documents, "PersistentVolumeClaim", "postgresql-backup");
    assert_eq!(claim["spec"]["storageClassName"], "slow");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "10Gi");
    let metadata = &claim["metadata"];
    assert_eq!(metadata["annotations"]["helm.sh/resource-policy"], "keep");
    // The command of NOTES for a truly new cluster goes by this label.
    assert_eq!(
        metadata["labels"]["app.kubernetes.io/name"],
        "postgresql-backup"
    );
    let job = only(&documents, "CronJob", "postgresql-backup");
    let pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"].clone();
    let container = &pod["containers"][0];
    let value = |name: &str| named(&container["env"], name)["value"].clone();
    assert_eq!(value("S3_ENDPOINT"), "file:///backups");
    assert_eq!(value("S3_BUCKET_NAME"), "postgresql");
    let text = serde_yaml_ng::to_string(&container["env"]).unwrap();
    assert!(!text.contains("STORE_URL"), "{text}");
    let mount = named(&container["volumeMounts"], "backups");
    assert_eq!(mount["mountPath"], "/backups");
    let volume = named(&pod["volumes"], "backups");
    assert_eq!(
        volume["persistentVolumeClaim"]["claimName"],
        "postgresql-backup"
    );
    let said = notes(&ON_A_VOLUME);
    assert!(said.contains("into the volume postgresql-backup"), "{said}");
}

/// `helm --wait` waits for each volume, and many a storage class makes none before a pod has come for it.
#[test]
fn a_pod_comes_for_the_volume_before_the_first_backup() {
    let job = |values: &[&str]| {
        let documents = rendered(&[&ON_A_VOLUME, values].concat());
        documents
            .into_iter()
            .find(|it| it["kind"] == "Job")
            .unwrap()
    };
    let one = job(&["backup.nodeSelector.disk=slow"]);
    let spec = one["spec"]["template"]["spec"].clone();
    let volume = named(&spec["volumes"], "backups");
    assert_eq!(
        volume["persistentVolumeClaim"]["claimName"],
        "postgresql-backup"
    );
    assert_eq!(spec["nodeSelector"]["disk"], "slow");
    assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
    let context = &spec["containers"][0]["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    // What it is made of cannot be changed where it is there.
    let other = job(&["backup.nodeSelector.disk=fast"]);
    assert_ne!(one["metadata"]["name"], other["metadata"]["name"]);
    assert_eq!(
        job(&["backup.retention=3"])["metadata"]["name"],
        job(&[])["metadata"]["name"]
    );
    let none = rendered(&ON);
    assert!(!none.iter().any(|it| it["kind"] == "Job"));
}

#[test]
fn notes_say_how_to_make_one_now() {
    let said = notes(&ON);
    assert!(
        said.contains("create job --from=cronjob/postgresql-backup"),
        "{said}"
    );
}

/// It reads as the superuser. Which addresses its pods have no line says.
#[test]
fn lines_of_ones_own_that_let_no_superuser_in_are_warned_of() {
    let warned = |lines: &str| {
        let own = format!("postgresql.pgHba:={lines}");
        let said = notes(&[&ON[..], &[own.as_str()]].concat());
        said.contains("WARNING: postgresql.pgHba has no line that lets postgres in")
    };
    for lines in [
        r#"["host salon salon 10.0.0.0/8 scram-sha-256"]"#,
        r#"["host all all 127.0.0.1/32 scram-sha-256"]"#,
        r#"["local all all trust", "host replication all all scram-sha-256"]"#,
        r#"["host all all all reject"]"#,
    ] {
        assert!(warned(lines), "{lines}");
    }
    for lines in [
        r#"["host salon salon all scram-sha-256", "host all postgres 10.0.0.0/8 scram-sha-256"]"#,
        r#"["hostssl all all all scram-sha-256"]"#,
        r#"["host all salon,postgres samenet scram-sha-256"]"#,
        r#"["host all +admins all scram-sha-256"]"#,
    ] {
        assert!(!warned(lines), "{lines}");
    }
    let others = r#"postgresql.pgHba:=["host salon salon all scram-sha-256"]"#;
    assert!(!notes(&[others]).contains("lets postgres in"));
}
