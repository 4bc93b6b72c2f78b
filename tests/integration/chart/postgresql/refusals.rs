//! Values that contradict each other are refused with a sentence; those without an effect are warned about.

use super::{chart, is_refused, names, notes, pod, render_of, rendered};

/// Values, and some words of why not.
const CONTRADICTIONS: &[(&[&str], &str)] = &[
    (
        &["replication.replicas=2", "readReplicas.replicaCount=3"],
        "both are the number of replicas",
    ),
    (
        &["architecture=standalone", "replication.replicas=1"],
        "architecture is standalone",
    ),
    (
        &[
            "replication.replicas=1",
            "replication.numSynchronousReplicas=2",
        ],
        "every commit would wait for ever",
    ),
    (
        &[
            "failover.mode=manual",
            "replication.replicas=2",
            "replication.numSynchronousReplicas=1",
        ],
        "take one of the two",
    ),
    (
        &[
            "failover.ttl=20",
            "failover.loopWait=10",
            "failover.retryTimeout=10",
        ],
        "which is 30",
    ),
    (
        &["postgresql.parameters.port=1"],
        "postgresql.parameters has port",
    ),
    (
        &["postgresql.parameters.archive_command=x"],
        "postgresql.parameters has archive_command",
    ),
    (
        &["postgresql.parameters.synchronous_standby_names=x"],
        "numSynchronousReplicas is for that",
    ),
    (
        &["postgresql.parameters.wal_level=minimal"],
        "replicas need replica or logical",
    ),
    (&["auth.username=repl_user"], "each needs a role of its own"),
    (
        &["auth.username=rewind_user"],
        "each needs a role of its own",
    ),
    (&["auth.metricsUsername=postgres"], "which is the superuser"),
    (
        &["auth.metricsUsername=repl_user"],
        "not two of them the same",
    ),
    (
        &[
            "auth.username=postgres",
            "auth.password=a",
            "auth.postgresPassword=b",
        ],
        "not the same",
    ),
    (&["auth.database=template1"], "PostgreSQL's own"),
    (
        &["auth.username=pg_app"],
        "auth.username is pg_app, which PostgreSQL keeps for itself",
    ),
    (
        &["auth.username=public"],
        "which PostgreSQL keeps for itself",
    ),
    (
        &["auth.replicationUsername=none"],
        "auth.replicationUsername is none, which PostgreSQL keeps for itself",
    ),
    (
        &["auth.metricsUsername=pg_exporter"],
        "which PostgreSQL keeps for itself",
    ),
    (
        &["pooler.enabled=true", "pooler.username=public"],
        "pooler.username is public, which PostgreSQL keeps for itself",
    ),
    (&["primary.podLabels.role=x"], "find the pods by"),
    (&["commonLabels.cluster-name=x"], "find the pods by"),
    (
        &[r#"primary.extraEnvVars:=[{"name":"PGDATA","value":"/x"}]"#],
        "primary.extraEnvVars sets PGDATA",
    ),
    (
        &[
            "image.tag=v1",
            "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        ],
        "leave the tag out",
    ),
    (
        &["backup.enabled=true"],
        "backup.enabled needs backup.s3.bucket",
    ),
    (
        &[
            "backup.enabled=true",
            "backup.s3.bucket=dumps",
            "backup.storage.enabled=true",
        ],
        "two places for one backup",
    ),
    (
        &["metrics.serviceMonitor.enabled=true"],
        "set metrics.enabled",
    ),
    (
        &["metrics.dashboard.enabled=true"],
        "about metrics that nobody has",
    ),
    (
        &["primary.name=read"],
        "each Service needs a name of its own",
    ),
    (&["readReplicas.name=hl"], "another object of the chart"),
    (&["fullnameOverride=1db"], "with a letter first"),
    (
        &["metrics.enabled=true", "metrics.service.ports.metrics=8008"],
        "metrics.service.ports.metrics is 8008, at which another container",
    ),
    (
        &["primary.persistence.volumeName=config"],
        "primary.persistence.volumeName is config, which is the name of another volume",
    ),
    (
        &[
            "metrics.enabled=true",
            "primary.persistence.volumeName=metrics-secret",
        ],
        "the name of another volume",
    ),
    (
        &[
            r#"primary.extraVolumes:=[{"name":"v","emptyDir":{}}]"#,
            "primary.persistence.volumeName=v",
        ],
        "the name of another volume",
    ),
];

#[test]
fn contradictions_are_refused() {
    for (values, words) in CONTRADICTIONS {
        is_refused(values, words);
    }
}

#[test]
fn values_that_are_not_or_not_so_are_refused() {
    for values in [
        "nothing=1",
        "primary.nothing=1",
        "failover.ttl=10",
        "failover.mode=never",
        "readReplicas.replicaCount=-1",
        "readReplicas.replicaCount:=\"two\"",
        "primary.persistence.size=much",
        "primary.persistence.accessModes={ReadWriteMany}",
        "readReplicas.maxLag=10 s",
        "auth.username=a b",
        "postgresql.pgHba={everybody}",
        "metrics.collectors.wal=maybe",
        "primary.service.loadBalancerSourceRanges=everywhere",
        "backup.cronjob.command=x",
        "primary.pdb.maxUnavailable=abc",
        "pooler.pdb.maxUnavailable=-1",
        "enabled=maybe",
    ] {
        is_refused(
            &[values],
            values
                .split(['=', ':'])
                .next()
                .unwrap()
                .rsplit('.')
                .next()
                .unwrap(),
        );
    }
}

/// What is a release's name to Helm is not always a Service's to Kubernetes.
#[test]
fn a_release_whose_name_no_service_may_have_needs_another_for_its_objects() {
    for name in ["my.db", "1db"] {
        let of = |values: &[&str]| render_of(&chart(), (name, "production"), "1.34.0", values);
        let ended = of(&[]);
        assert_ne!(ended.code(), Some(0), "{name}");
        let words = format!("the name of all objects is {name}-postgresql, and Services");
        assert!(ended.stderr.contains(&words), "{}", ended.stderr);
        of(&["fullnameOverride=db"]).expect_code(0);
    }
}

/// No volume that a pod has is missing from those that the one with data may not be named as.
#[test]
fn the_volume_with_data_has_the_name_of_no_other() {
    let on = [
        "metrics.enabled=true",
        "tls.enabled=true",
        "tls.autoGenerated=true",
        "pgbackrest.enabled=true",
        "pgbackrest.s3.bucket=wal",
        "pgbackrest.s3.existingSecret=keys",
        "pgbackrest.minio.tls.enabled=true",
        "pgbackrest.minio.tls.existingSecret=ca",
        r#"primary.initdb.scripts:={"a.sql":"select 1"}"#,
    ];
    let volumes = pod(&rendered(&on))["volumes"].clone();
    for volume in volumes.as_sequence().unwrap() {
        let name = volume["name"].as_str().unwrap();
        let own = format!("primary.persistence.volumeName={name}");
        is_refused(
            &[&on[..], &[own.as_str()]].concat(),
            "another volume of the pods",
        );
    }
}

/// A parent chart's condition, which Helm gives to the chart as well.
#[test]
fn a_parents_condition_is_no_error() {
    let with = rendered(&["enabled=true"]);
    assert_eq!(names(&with, "StatefulSet"), ["postgresql"]);
    assert!(!notes(&["enabled=true"]).contains("enabled has no effect"));
}

#[test]
fn scripts_that_would_not_be_run_are_refused() {
    is_refused(&[r#"primary.initdb.scripts:={"a.sh":"x"}"#], "a.sh");
}

/// Values, and some words of what is said about them.
const WITHOUT_EFFECT: &[(&[&str], &str)] = &[
    (
        &[
            "auth.existingSecret=a",
            "auth.password=b",
            "auth.username=c",
        ],
        "auth.password has no effect beside",
    ),
    (
        &["auth.secretKeys.userPasswordKey=a"],
        "auth.secretKeys has no effect",
    ),
    (&["auth.password=a"], "without auth.username"),
    (&["enabled=false"], "enabled has no effect"),
    (
        &[
            "primary.persistence.enabled=false",
            "primary.persistence.storageClass=a",
        ],
        "primary.persistence.storageClass has no effect",
    ),
    (
        &["primary.service.externalTrafficPolicy=Local"],
        "primary.service.externalTrafficPolicy has no effect",
    ),
    (
        &["readReplicas.service.nodePorts.postgresql=30000"],
        "readReplicas.service.nodePorts has no effect",
    ),
    (
        &["readReplicas.service.loadBalancerSourceRanges={10.0.0.0/8}"],
        "readReplicas.service.loadBalancerSourceRanges",
    ),
    (
        &["readReplicas.service.fallbackToPrimary=false"],
        "postgresql-read leads nowhere",
    ),
    (&["failover.mode=manual"], "there is nobody to promote"),
    (
        &[
            "replication.replicas=1",
            "replication.numSynchronousReplicas=1",
            "replication.synchronousCommit:=\"off\"",
        ],
        "replication.synchronousCommit off: no commit waits for a replica",
    ),
    // What YAML makes of `off` without quotes.
    (
        &[
            "replication.replicas=1",
            "replication.numSynchronousReplicas=1",
            "replication.synchronousCommit=false",
        ],
        "replication.synchronousCommit off: no commit waits for a replica",
    ),
    (
        &[
            "replication.replicas=1",
            "replication.numSynchronousReplicas=1",
            "replication.synchronousCommit=local",
        ],
        "replication.synchronousCommit local: no commit waits for a replica",
    ),
    (
        &["backup.s3.bucket=dumps"],
        "backup.s3.bucket has no effect",
    ),
    (
        &["backup.cronjob.schedule=@daily"],
        "backup.cronjob has no effect",
    ),
    (
        &["metrics.prometheusRule.backupHours=30"],
        "metrics.prometheusRule.backupHours has no effect",
    ),
    (
        &[
            "backup.enabled=true",
            "backup.s3.bucket=dumps",
            "backup.storage.size=1Gi",
        ],
        "backup.storage has no effect without backup.storage.enabled",
    ),
    (
        &[
            "backup.enabled=true",
            "backup.storage.enabled=true",
            "backup.s3.region=a",
        ],
        "backup.s3.region has no effect with backup.storage.enabled",
    ),
    (
        &["pooler.parameters.log_connections=1"],
        "pooler.parameters has no effect",
    ),
    (&["pooler.enabled=true"], "pooler lets no superuser in"),
    (
        &[
            "pooler.podAntiAffinityPreset=hard",
            "pooler.affinity.nodeAffinity:={}",
        ],
        "pooler.podAntiAffinityPreset has no effect beside pooler.affinity",
    ),
    (
        &["pooler.service.externalTrafficPolicy=Local"],
        "pooler.service.externalTrafficPolicy has no effect",
    ),
    (
        &["metrics.collectors.wal=true"],
        "metrics.collectors has no effect",
    ),
    (
        &[
            "networkPolicy.enabled=false",
            "networkPolicy.extraEgress:=[{}]",
        ],
        "networkPolicy.extraEgress has no effect",
    ),
    (&["networkPolicy.ingressFrom:=[{}]"], "lets in everybody"),
    (
        &[
            "networkPolicy.allowExternalEgress=true",
            "networkPolicy.extraEgress:=[{}]",
        ],
        "lets out everything",
    ),
    (
        &[
            "serviceAccount.create=false",
            "serviceAccount.annotations.a=b",
        ],
        "annotate the account itself",
    ),
];

#[test]
fn values_without_an_effect_are_said() {
    for (values, words) in WITHOUT_EFFECT {
        let said = notes(values);
        let line = said.lines().find(|it| it.contains(words));
        assert!(
            line.is_some_and(|it| it.starts_with("WARNING: ")),
            "{values:?}: {said}"
        );
    }
    assert!(!notes(&["replication.replicas=2"]).contains("WARNING"));
}

/// What goes with the release is not said to stay.
#[test]
fn notes_say_whether_data_outlives_the_release() {
    let deletes = "primary.persistentVolumeClaimRetentionPolicy.whenDeleted=Delete";
    for (values, words) in [
        (&[][..], "leaves the volumes, the Secret and Patroni's"),
        (
            &["auth.keepSecret=false"],
            "leaves the volumes and Patroni's",
        ),
        (
            &[deletes],
            "deletes all data with the volumes, and leaves the Secret and",
        ),
        (
            &["primary.persistence.enabled=false"],
            "deletes all data with the pods, and leaves the Secret and",
        ),
    ] {
        let said = notes(values);
        assert!(
            said.contains(&format!("`helm uninstall` {words}")),
            "{said}"
        );
        assert!(said.contains("delete configmap,pvc -l"), "{said}");
        let stays = said.contains("has the same data");
        assert_eq!(stays, words.starts_with("leaves"), "{said}");
    }
}

/// The command for a truly new cluster, and who is where.
#[test]
fn notes_say_the_next_step() {
    let said = notes(&["replication.replicas=2", "auth.username=salon"]);
    for words in [
        "postgresql-master.production.svc.cluster.local:5432",
        "postgresql-read.production.svc.cluster.local:5432",
        "get secret postgresql -o go-template='{{index .data \"password\" | base64decode}}'",
        "patronictl list",
        "delete configmap,pvc -l app.kubernetes.io/name=postgresql,app.kubernetes.io/instance=postgresql",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
