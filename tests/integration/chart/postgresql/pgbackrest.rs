//! `pgbackrest.*`: WAL and backups of the data in S3, as far as what is rendered says.

use serde_yaml_ng::Value;

use super::{
    chart, container, documents, file, helm, is_refused, named, names, notes, only, pod, preset,
    rendered, stateful_set,
};

const ON: [&str; 4] = [
    "pgbackrest.enabled=true",
    "pgbackrest.s3.endpoint=https://minio.example:9000",
    "pgbackrest.s3.bucket=wal",
    "pgbackrest.s3.existingSecret=keys",
];

fn with(values: &[&str]) -> Vec<Value> {
    rendered(&[&ON, values].concat())
}

/// One of the files of pgBackRest: `pgbackrest.conf`, `server.conf`, `jobs.conf`.
fn conf(values: &[&str], file: &str) -> Vec<String> {
    let map = only(&with(values), "ConfigMap", "postgresql-pgbackrest-config");
    let text = map["data"][file].as_str().expect(file);
    text.lines().map(str::to_owned).collect()
}

fn has(lines: &[String], line: &str) -> bool {
    lines.iter().any(|it| it == line)
}

fn text(value: &Value) -> String {
    serde_yaml_ng::to_string(value).unwrap()
}

/// 3.3, 3.4, 3.5, 3.21: names of the document, and nothing where it is off.
#[test]
fn objects_have_the_names_of_the_document() {
    let off = rendered(&[]);
    assert!(names(&off, "CronJob").is_empty());
    assert!(!text(&pod(&off)).contains("pgbackrest"));
    let on = with(&[
        "pgbackrest.s3.existingSecret=",
        "pgbackrest.s3.credentials.accessKeyId=a",
        "pgbackrest.s3.credentials.secretAccessKey=b",
        "pgbackrest.minio.tls.enabled=true",
        "pgbackrest.minio.tls.caPem=-----BEGIN CERTIFICATE-----",
    ]);
    let jobs = names(&on, "CronJob");
    assert_eq!(
        jobs,
        ["postgresql-pgbackrest-full", "postgresql-pgbackrest-incr"]
    );
    let secrets = names(&on, "Secret");
    for secret in ["postgresql-pgbackrest-s3", "postgresql-minio-ca"] {
        assert!(secrets.iter().any(|it| it == secret), "{secrets:?}");
    }
    let ca = only(&on, "Secret", "postgresql-minio-ca");
    assert_eq!(
        ca["metadata"]["annotations"]["helm.sh/resource-policy"],
        "keep"
    );
    assert_eq!(ca["data"]["tls.crt"], ca["data"]["ca.crt"]);
    let volumes = pod(&on)["volumes"].clone();
    for volume in [
        "pgbackrest-config",
        "pgbackrest-log",
        "ssl-certs",
        "minio-ca",
    ] {
        named(&volumes, volume);
    }
}

/// 3.15, 3.16.
#[test]
fn wal_is_archived_under_patroni() {
    let patroni = file(&with(&[]), "postgresql-config", "patroni.yaml");
    let parameters = &patroni["postgresql"]["parameters"];
    assert_eq!(parameters["archive_mode"], "on");
    assert_eq!(
        parameters["archive_command"],
        "pgbackrest --stanza=main archive-push %p"
    );
    assert_eq!(parameters["archive_timeout"], "60s");
    assert_eq!(
        patroni["postgresql"]["recovery_conf"]["restore_command"],
        "pgbackrest --stanza=main archive-get %f \"%p\""
    );
    let own = ["postgresql.parameters.archive_timeout=10min"];
    let patroni = file(&with(&own), "postgresql-config", "patroni.yaml");
    assert_eq!(
        patroni["postgresql"]["parameters"]["archive_timeout"],
        "10min"
    );
}

/// 3.17, 3.19: values, and lines of the file that they make.
const LINES: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "repo1-type=s3",
            "repo1-path=/production/postgresql",
            "repo1-s3-bucket=wal",
            "repo1-s3-endpoint=minio.example:9000",
            "repo1-s3-region=us-east-1",
            "repo1-s3-uri-style=path",
            "repo1-bundle=y",
            "repo1-block=y",
            "repo1-retention-full=7",
            "repo1-retention-full-type=count",
            "compress-type=zst",
            "compress-level=3",
        ],
    ),
    (
        &[
            "pgbackrest.s3.endpoint=",
            "pgbackrest.s3.region=eu-central-1",
            "pgbackrest.s3.uriStyle=host",
        ],
        &[
            "repo1-s3-endpoint=s3.eu-central-1.amazonaws.com",
            "repo1-s3-uri-style=host",
        ],
    ),
    (
        &[
            "pgbackrest.compression.type=gz",
            "pgbackrest.compression.level=6",
            "pgbackrest.repo.path=/team/a",
            "pgbackrest.repo.retention.full=30",
            "pgbackrest.repo.retention.fullType=time",
            "pgbackrest.repo.retention.diff=3",
            "pgbackrest.repo.cipher.existingSecret=phrase",
            "pgbackrest.processMax=4",
        ],
        &[
            "compress-type=gz",
            "compress-level=6",
            "repo1-path=/team/a",
            "repo1-retention-full=30",
            "repo1-retention-full-type=time",
            "repo1-retention-diff=3",
            "repo1-cipher-type=aes-256-cbc",
            "process-max=4",
        ],
    ),
];

#[test]
fn each_value_is_a_line_of_its_file() {
    for (values, lines) in LINES {
        for file in ["pgbackrest.conf", "jobs.conf"] {
            let conf = conf(values, file);
            for line in *lines {
                assert!(has(&conf, line), "{line} of {values:?} in {conf:?}");
            }
        }
    }
}

/// The jobs reach every pod over TLS of both sides; what answers them knows nothing of the store.
#[test]
fn jobs_read_the_data_over_tls_and_the_server_has_no_keys() {
    let jobs = conf(&["replication.replicas=2"], "jobs.conf");
    for number in 1..=3 {
        let host = format!(
            "pg{number}-host=postgresql-{}.postgresql-hl.production.svc",
            number - 1
        );
        assert!(has(&jobs, &host), "{jobs:?}");
        assert!(has(&jobs, &format!("pg{number}-host-type=tls")));
    }
    assert!(has(&jobs, "backup-standby=prefer"));
    // Where there is no standby, it is nothing to warn about at every backup.
    assert!(!has(&conf(&[], "jobs.conf"), "backup-standby=prefer"));
    let server = conf(&[], "server.conf");
    assert!(has(&server, "tls-server-auth=pgbackrest-client=main"));
    assert!(
        !server.iter().any(|it| it.starts_with("repo1-")),
        "{server:?}"
    );
    let beside = container(&with(&[]), "pgbackrest");
    let mounts = text(&beside["volumeMounts"]);
    assert!(
        !mounts.contains("pgbackrest-s3") && !mounts.contains("pgbackrest-keys"),
        "{mounts}"
    );
    let data = named(&beside["volumeMounts"], "postgresql-storage");
    assert_eq!(data["readOnly"], true);
    let tls = named(&pod(&with(&[]))["volumes"], "pgbackrest-tls");
    assert!(!text(&tls).contains("client"), "{tls:?}");
}

fn job_pods() -> Vec<Value> {
    let on = with(&["pgbackrest.backup.differentialSchedule=0 3 * * *"]);
    let mut pods: Vec<Value> = ["full", "diff", "incr"]
        .iter()
        .map(|it| {
            let job = only(&on, "CronJob", &format!("postgresql-pgbackrest-{it}"));
            job["spec"]["jobTemplate"]["spec"]["template"].clone()
        })
        .collect();
    let hook = only(&on, "Job", "postgresql-pgbackrest-init");
    pods.push(hook["spec"]["template"].clone());
    pods
}

/// 2.19, 2.21, 5.11.
#[test]
fn their_pods_are_restricted_and_have_neither_a_token_nor_a_password() {
    for pod in job_pods() {
        let labels = &pod["metadata"]["labels"];
        // No member of the cluster, whose policy and Services choose by this.
        assert_eq!(labels["app.kubernetes.io/name"], "postgresql-pgbackrest");
        let annotations = &pod["metadata"]["annotations"];
        assert_eq!(annotations["sidecar.istio.io/inject"], "false");
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(
            spec["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        let context = &spec["containers"][0]["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["capabilities"]["drop"][0], "ALL");
        let whole = text(spec);
        assert!(!whole.contains("secretKeyRef"), "{whole}");
        assert!(!whole.contains("postgres-password"), "{whole}");
        assert!(!whole.contains("server.key"), "{whole}");
    }
}

/// 3.5, 3.6.
#[test]
fn backups_are_scheduled_and_a_hook_makes_the_first() {
    let on = with(&[
        "pgbackrest.backup.suspend=true",
        "pgbackrest.backup.timeZone=Asia/Almaty",
    ]);
    for (name, schedule) in [("full", "0 2 * * 0"), ("incr", "0 2 * * 1-6")] {
        let job = only(&on, "CronJob", &format!("postgresql-pgbackrest-{name}"))["spec"].clone();
        assert_eq!(job["schedule"], schedule);
        assert_eq!(job["concurrencyPolicy"], "Forbid");
        assert_eq!(job["timeZone"], "Asia/Almaty");
        assert_eq!(job["suspend"], true);
        let container = &job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["command"][5], name);
    }
    let hook = only(&on, "Job", "postgresql-pgbackrest-init");
    let annotations = &hook["metadata"]["annotations"];
    assert_eq!(annotations["helm.sh/hook"], "post-install,post-upgrade");
    assert_eq!(
        annotations["helm.sh/hook-delete-policy"],
        "before-hook-creation"
    );
    assert_eq!(hook["spec"]["backoffLimit"], 6);
    assert!(names(&with(&["pgbackrest.initJob.enabled=false"]), "Job").is_empty());
    let none = with(&[
        "pgbackrest.backup.fullSchedule=",
        "pgbackrest.backup.incrementalSchedule=",
    ]);
    assert!(names(&none, "CronJob").is_empty());
}

/// The restore test: a volume of its own, the keys of the store, and no way to the database.
#[test]
fn a_restore_is_tried_on_a_schedule_where_it_is_asked_for() {
    let name = "postgresql-pgbackrest-verify";
    assert!(!names(&with(&[]), "CronJob").iter().any(|it| it == name));
    let on = "pgbackrest.verify.enabled=true";
    let pod_of = |values: &[&str]| {
        let job = only(&with(&[&[on], values].concat()), "CronJob", name)["spec"].clone();
        assert_eq!(job["schedule"], "0 6 * * 0");
        job["jobTemplate"]["spec"]["template"]["spec"].clone()
    };
    let usual = pod_of(&[]);
    assert!(named(&usual["volumes"], "data")["emptyDir"].is_mapping());
    assert!(!text(&usual).contains("pgbackrest-tls"), "{usual:?}");
    let conf = named(&usual["volumes"], "pgbackrest-config");
    assert_eq!(conf["configMap"]["items"][0]["key"], "pgbackrest.conf");
    let own = pod_of(&[
        "pgbackrest.verify.size=20Gi",
        "pgbackrest.verify.storageClass=slow",
        "pgbackrest.verify.resources.limits.memory=1Gi",
    ]);
    assert_eq!(own["containers"][0]["resources"]["limits"]["memory"], "1Gi");
    let claim = named(&own["volumes"], "data")["ephemeral"]["volumeClaimTemplate"]["spec"].clone();
    assert_eq!(claim["resources"]["requests"]["storage"], "20Gi");
    assert_eq!(claim["storageClassName"], "slow");
}

/// 3.9, 3.10, 3.13, 3.20.
#[test]
fn a_private_authority_is_trusted_beside_the_public_ones() {
    let values = [
        "pgbackrest.minio.tls.enabled=true",
        "pgbackrest.minio.tls.existingSecret=authority",
        "pgbackrest.minio.tls.secretKey=tls.crt",
    ];
    let on = with(&values);
    let first = named(&pod(&on)["initContainers"], "minio-ca-init");
    let context = &first["securityContext"];
    assert_eq!(context["runAsUser"], 1001);
    assert_eq!(context["runAsGroup"], 1001);
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"]["drop"][0], "ALL");
    assert_eq!(first["image"], container(&on, "postgresql")["image"]);
    // Data belongs to one user, whether the store has an authority of its own or not.
    assert_eq!(
        container(&on, "postgresql")["securityContext"]["runAsUser"],
        999
    );
    assert!(pod(&with(&[]))["initContainers"].is_null());
    for mounts in [
        &first["volumeMounts"],
        &container(&on, "postgresql")["volumeMounts"],
    ] {
        assert_eq!(named(mounts, "ssl-certs")["mountPath"], "/etc/ssl/certs");
    }
    let volume = named(&pod(&on)["volumes"], "minio-ca");
    assert_eq!(volume["secret"]["secretName"], "authority");
    assert_eq!(volume["secret"]["items"][0]["key"], "tls.crt");
    let line = "repo1-storage-ca-file=/usr/local/share/ca-certificates/minio/ca.crt";
    for file in ["pgbackrest.conf", "jobs.conf"] {
        assert!(has(&conf(&values, file), line));
    }
}

/// 3.11, as far as Helm alone goes: it finds no Secret where it cannot look.
#[test]
fn a_missing_authority_ends_with_its_name() {
    let values = [
        &ON[..],
        &[
            "pgbackrest.minio.tls.enabled=true",
            "pgbackrest.minio.tls.secretNamespace=store",
            "pgbackrest.minio.tls.secretName=its-tls",
        ],
    ]
    .concat();
    is_refused(&values, "there is no Secret its-tls in the namespace store");
}

/// 2.22, 3.14: the keys are in Secrets, and where they are mounted.
#[test]
fn no_key_is_anywhere_but_in_a_secret() {
    let values = [
        "pgbackrest.s3.existingSecret=",
        "pgbackrest.s3.credentials.accessKeyId=the-id",
        "pgbackrest.s3.credentials.secretAccessKey=the-key",
    ];
    let on = with(&values);
    for document in on.iter().filter(|it| it["kind"] != "Secret") {
        let whole = text(document);
        assert!(
            !whole.contains("the-id") && !whole.contains("the-key"),
            "{whole}"
        );
    }
    let env = text(&container(&on, "postgresql")["env"]);
    assert!(
        !env.contains("S3_KEY") && !env.contains("secretKeyRef"),
        "{env}"
    );
    assert!(env.contains("PGBACKREST_CONFIG_INCLUDE_PATH"), "{env}");
    let keys = named(&pod(&on)["volumes"], "pgbackrest-keys");
    assert_eq!(keys["emptyDir"]["medium"], "Memory");
    let mine = with(&[
        "pgbackrest.s3.accessKeyIdKey=id",
        "pgbackrest.repo.cipher.existingSecret=phrase",
    ]);
    let volume = text(&named(&pod(&mine)["volumes"], "pgbackrest-s3"));
    for word in ["name: keys", "key: id", "name: phrase", "path: cipher-pass"] {
        assert!(volume.contains(word), "{word} in {volume}");
    }
}

/// 5.15.
#[test]
fn the_policy_lets_jobs_in_and_both_out_to_the_store() {
    let on = with(&[
        "networkPolicy.s3.cidrs={10.1.0.0/16}",
        "networkPolicy.s3.ports={9000}",
    ]);
    let own = only(&on, "NetworkPolicy", "postgresql");
    let ingress = own["spec"]["ingress"].as_sequence().unwrap();
    let door = ingress
        .iter()
        .find(|it| it["ports"][0]["port"] == 8432)
        .unwrap();
    let from = &door["from"][0]["podSelector"]["matchLabels"];
    assert_eq!(from["app.kubernetes.io/name"], "postgresql-pgbackrest");
    let jobs = only(&on, "NetworkPolicy", "postgresql-pgbackrest");
    assert!(jobs["spec"]["ingress"].is_null());
    for policy in [&own, &jobs] {
        let egress = policy["spec"]["egress"].as_sequence().unwrap();
        let store = egress
            .iter()
            .find(|it| it["ports"][0]["port"] == 9000)
            .unwrap();
        assert_eq!(store["to"][0]["ipBlock"]["cidr"], "10.1.0.0/16");
    }
    let off = rendered(&[]);
    assert_eq!(names(&off, "NetworkPolicy"), ["postgresql"]);
    assert!(!text(&only(&off, "NetworkPolicy", "postgresql")).contains("8432"));
}

/// Whatever port the address of the store has, calls go to it.
#[test]
fn the_policy_has_the_port_of_the_stores_address() {
    let ports = |endpoint: &str| -> Vec<u64> {
        let on = with(&[&format!("pgbackrest.s3.endpoint={endpoint}")]);
        let jobs = only(&on, "NetworkPolicy", "postgresql-pgbackrest");
        let own = only(&on, "NetworkPolicy", "postgresql");
        let store = jobs["spec"]["egress"].as_sequence().unwrap().last();
        assert_eq!(own["spec"]["egress"].as_sequence().unwrap().last(), store);
        let ports = store.unwrap()["ports"].as_sequence().unwrap();
        ports
            .iter()
            .map(|it| it["port"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(ports("https://minio.example:9443"), [443, 9000, 9443]);
    for usual in ["https://minio.example:9000/", "minio.example", ""] {
        assert_eq!(ports(usual), [443, 9000], "{usual}");
    }
}

const BACK: [&str; 4] = [
    "restore.enabled=true",
    "restore.source.path=/production/old",
    "restore.type=time",
    "restore.target=2026-11-27 14:30:00+00",
];

/// 3.23, 5.12: a new cluster reads from another one's folder, and writes into its own.
#[test]
fn a_new_cluster_begins_with_the_data_of_a_moment() {
    let patroni = file(&with(&BACK), "postgresql-config", "patroni.yaml");
    let bootstrap = &patroni["bootstrap"];
    assert_eq!(bootstrap["method"], "pgbackrest");
    assert_eq!(
        bootstrap["pgbackrest"]["command"],
        "pgbackrest --stanza=main --repo1-path=/production/old --type=time \
         '--target=2026-11-27 14:30:00+00' --target-action=promote restore"
    );
    assert!(has(
        &conf(&BACK, "pgbackrest.conf"),
        "repo1-path=/production/postgresql"
    ));
    let settings = file(&with(&BACK), "postgresql-config", "settings.yaml");
    assert_eq!(settings["restored"], true);
    let usual = file(&with(&[]), "postgresql-config", "patroni.yaml");
    assert!(usual["bootstrap"]["method"].is_null());
    for (values, words) in [
        (&["restore.type=time"][..], "needs restore.target"),
        (
            &["restore.target=x"],
            "has no meaning with restore.type default",
        ),
        (
            &["restore.source.path=/production/postgresql"],
            "archive its own WAL",
        ),
        (&["restore.source.path="], "needs restore.source.path"),
        (&["pgbackrest.enabled=false"], "needs pgbackrest.enabled"),
    ] {
        let on = [
            "restore.enabled=true",
            "restore.source.path=/production/old",
        ];
        is_refused(&[&ON[..], &on, values].concat(), words);
    }
}

/// Values, and some words of why not.
const CONTRADICTIONS: &[(&[&str], &str)] = &[
    (&["pgbackrest.s3.bucket="], "needs pgbackrest.s3.bucket"),
    (
        &["pgbackrest.s3.endpoint=http://minio:9000"],
        "speaks TLS alone",
    ),
    (&["pgbackrest.s3.existingSecret="], "needs the store's keys"),
    (
        &["pgbackrest.s3.bucket=a.b", "pgbackrest.s3.uriStyle=host"],
        "take uriStyle path",
    ),
    (
        &["pgbackrest.repo.bundle=false"],
        "needs pgbackrest.repo.bundle",
    ),
    (
        &[
            "pgbackrest.compression.type=gz",
            "pgbackrest.compression.level=12",
        ],
        "gz has -1 to 9",
    ),
    (
        &[
            "pgbackrest.minio.tls.enabled=true",
            "pgbackrest.minio.tls.existingSecret=a",
            "pgbackrest.minio.tls.caPem=-----BEGIN CERTIFICATE-----",
        ],
        "set one of them",
    ),
    (
        &[
            "pgbackrest.minio.tls.enabled=true",
            "pgbackrest.minio.tls.caPem=x",
        ],
        "no certificate in PEM",
    ),
    (
        &["fullnameOverride=a-name-of-thirty-five-characters-is"],
        "34 characters at most",
    ),
    (
        &["pgbackrest.server.port=8008"],
        "another container of the pod listens",
    ),
    (&["pgbackrest.repo.path=relative"], "path"),
    (&["pgbackrest.repo.retention.full=0"], "full"),
    (&["pgbackrest.stanza=a b"], "stanza"),
    (&["pgbackrest.nothing=1"], "nothing"),
];

#[test]
fn contradictions_are_refused() {
    for (values, words) in CONTRADICTIONS {
        is_refused(&[&ON, *values].concat(), words);
    }
}

#[test]
fn notes_say_what_is_there_and_what_has_no_effect() {
    let said = notes(&ON);
    assert!(
        said.contains("exec postgresql-0 -- pgbackrest info"),
        "{said}"
    );
    assert!(
        said.contains("cronjob/postgresql-pgbackrest-full"),
        "{said}"
    );
    for (values, words) in [
        (
            &["pgbackrest.s3.bucket=wal"][..],
            "pgbackrest.s3.bucket has no effect",
        ),
        (
            &[&ON[..], &["pgbackrest.s3.credentials.accessKeyId=a"]].concat(),
            "pgbackrest.s3.credentials has no effect",
        ),
        (
            &[
                &ON[..],
                &[
                    "pgbackrest.backup.fullSchedule=",
                    "pgbackrest.backup.incrementalSchedule=",
                ],
            ]
            .concat(),
            "nothing there is ever removed",
        ),
    ] {
        let said = notes(values);
        assert!(said.contains(words), "{values:?}: {said}");
    }
}

/// 3.2, 3.17: the preset is its document's, but for an authority that Helm can look at here.
#[test]
fn the_preset_has_the_figures_of_its_document() {
    let there = "pgbackrest.minio.tls.existingSecret=ca";
    let out = preset("values-pgbackrest-minio.yaml")
        .args(["--set", there])
        .succeed()
        .stdout;
    let documents = documents(&out);
    let map = only(&documents, "ConfigMap", "postgresql-pgbackrest-config");
    let conf = map["data"]["pgbackrest.conf"].as_str().unwrap();
    assert!(
        conf.contains("compress-type=gz\ncompress-level=6"),
        "{conf}"
    );
    let set = stateful_set(&documents);
    let claim = &set["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"];
    assert_eq!(claim, "10Gi");
    let file = chart().join("values-pgbackrest-minio.yaml");
    helm(&[
        "lint",
        "--strict",
        chart().to_str().unwrap(),
        "--set",
        there,
        "--values",
    ])
    .arg(file)
    .succeed();
}
