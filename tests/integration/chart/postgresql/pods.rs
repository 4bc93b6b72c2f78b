//! The pods: where they may be, what they may do, when they are ready.

use serde_yaml_ng::Value;

use super::{container, named, pod, rendered, stateful_set};

/// 2.19, 3.20: the restricted profile, and a root that nobody writes to.
#[test]
fn every_container_is_restricted_and_writes_nowhere_but_to_volumes() {
    let documents = rendered(&["metrics.enabled=true"]);
    let spec = pod(&documents);
    assert_eq!(spec["securityContext"]["fsGroup"], 999);
    assert_eq!(
        spec["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let mut all = spec["containers"].as_sequence().unwrap().clone();
    let test = super::only(&documents, "Pod", "postgresql-answers");
    all.extend(test["spec"]["containers"].as_sequence().unwrap().clone());
    assert_eq!(test["spec"]["securityContext"], spec["securityContext"]);
    assert_eq!(all.len(), 4);
    for container in all {
        let context = &container["securityContext"];
        assert_eq!(context["runAsUser"], 999);
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"]["drop"][0], "ALL");
    }
}

/// The token of the API server is Patroni's alone.
#[test]
fn one_container_may_speak_to_the_api_server() {
    let documents = rendered(&["metrics.enabled=true"]);
    assert_eq!(pod(&documents)["automountServiceAccountToken"], false);
    for (name, has) in [
        ("postgresql", true),
        ("settings", false),
        ("metrics", false),
    ] {
        let mounts = container(&documents, name)["volumeMounts"].clone();
        let mounts = mounts.as_sequence().unwrap();
        assert_eq!(mounts.iter().any(|it| it["name"] == "token"), has, "{name}");
    }
}

/// 4.16.
#[test]
fn whoever_names_no_container_gets_postgresql() {
    let annotations = stateful_set(&rendered(&[]))["template"]["metadata"]["annotations"].clone();
    assert_eq!(
        annotations["kubectl.kubernetes.io/default-container"],
        "postgresql"
    );
}

/// 3.18: no shell, ten seconds, and recovery is life.
#[test]
fn the_kubelet_asks_patroni_and_starts_no_program_for_it() {
    let container_of = |values: &[&str]| container(&rendered(values), "postgresql");
    let postgresql = container_of(&[]);
    for (probe, path, period) in [
        ("startupProbe", "/liveness", 10),
        ("livenessProbe", "/liveness", 10),
        ("readinessProbe", "/read-only?lag=1GB", 5),
    ] {
        let probe = &postgresql[probe];
        assert_eq!(probe["httpGet"]["path"], path);
        assert_eq!(probe["httpGet"]["scheme"], "HTTPS");
        assert_eq!(probe["periodSeconds"], period);
        assert!(probe["exec"].is_null());
    }
    let hours = &postgresql["startupProbe"]["failureThreshold"];
    assert_eq!(hours, 720);
    let any = container_of(&["readReplicas.maxLag="]);
    assert_eq!(any["readinessProbe"]["httpGet"]["path"], "/read-only");
    // An orphan of a postmaster that is process 1 restarts the server.
    assert_eq!(postgresql["command"][0], "/usr/bin/dumb-init");
}

/// Values, where in the pods' spec, and what stands there.
const PLACES: &[(&[&str], &str, &str)] = &[
    (&["primary.podAntiAffinityPreset="], "affinity", "null"),
    (
        &["primary.podAntiAffinityPreset=hard"],
        "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey",
        "kubernetes.io/hostname",
    ),
    (
        &[],
        "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/topologyKey",
        "kubernetes.io/hostname",
    ),
    // As the Omnistrate specification has it.
    (
        &[
            r#"primary.affinity:={"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"node.kubernetes.io/instance-type","operator":"In","values":["{{ .Release.Name }}"]}]}]}}}"#,
        ],
        "affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchExpressions/0/values/0",
        "postgresql",
    ),
    (
        &["primary.nodeSelector.disk=ssd"],
        "nodeSelector/disk",
        "ssd",
    ),
    (
        &[r#"primary.tolerations:=[{"key":"a"}]"#],
        "tolerations/0/key",
        "a",
    ),
    (
        &[r#"primary.topologySpreadConstraints:=[{"topologyKey":"zone"}]"#],
        "topologySpreadConstraints/0/labelSelector/matchLabels/app.kubernetes.io~1instance",
        "postgresql",
    ),
    (
        &["primary.priorityClassName=high"],
        "priorityClassName",
        "high",
    ),
    (&[], "terminationGracePeriodSeconds", "120"),
    (
        &["global.imagePullSecrets={one}"],
        "imagePullSecrets/0/name",
        "one",
    ),
    (
        &["primary.resources.limits.memory=2Gi"],
        "containers/0/resources/limits/memory",
        "2Gi",
    ),
    (
        &["settings.resources.limits.memory=1Gi"],
        "containers/1/resources/limits/memory",
        "1Gi",
    ),
    (
        &[
            "metrics.enabled=true",
            "metrics.resources.limits.memory=3Gi",
        ],
        "containers/2/resources/limits/memory",
        "3Gi",
    ),
    (
        &["image.repository=registry.example:5000/db", "image.tag=v7"],
        "containers/0/image",
        "registry.example:5000/db:v7",
    ),
    (
        &["global.imageRegistry=mirror.example"],
        "containers/0/image",
        "mirror.example/oiler-backup/postgres-adapter-postgresql:0.1.0",
    ),
    (&["serviceAccount.name=mine"], "serviceAccountName", "mine"),
    (
        &[r#"primary.sidecars:=[{"name":"beside"}]"#],
        "containers/2/name",
        "beside",
    ),
    (
        &[r#"primary.initContainers:=[{"name":"first"}]"#],
        "initContainers/0/name",
        "first",
    ),
];

/// 2.11, 2.13, 2.14, 2.23.
#[test]
fn each_value_of_the_pods_arrives() {
    for (values, place, stands) in PLACES {
        let spec = serde_json::to_value(pod(&rendered(values))).unwrap();
        let found = spec
            .pointer(&format!("/{place}"))
            .cloned()
            .unwrap_or_default();
        let text = found
            .as_str()
            .map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!(&text, stands, "{values:?} at {place}");
    }
}

/// 3.14.
#[test]
fn variables_have_the_usual_names_and_no_password() {
    let documents = rendered(&[
        "auth.username=salon",
        "auth.database=myapp",
        "auth.password=secret1",
    ]);
    let env = container(&documents, "postgresql")["env"].clone();
    let value = |name: &str| named(&env, name)["value"].clone();
    assert_eq!(value("POSTGRES_USER"), "salon");
    assert_eq!(value("POSTGRES_DB"), "myapp");
    assert_eq!(value("PGDATA"), "/var/lib/postgresql/data/pgdata");
    assert_eq!(
        value("POSTGRES_PASSWORD_FILE"),
        "/run/secrets/postgresql/password"
    );
    let names: Vec<&Value> = env
        .as_sequence()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert!(
        !names.iter().any(|it| *it == "POSTGRES_PASSWORD"),
        "{names:?}"
    );
}

/// 2.24, 4.9.
#[test]
fn each_pod_has_an_exporter_where_it_is_asked_for() {
    let documents = rendered(&[
        "metrics.enabled=true",
        "metrics.collectors.stat_statements=true",
        "metrics.collectors.wal=false",
        "metrics.serviceMonitor.enabled=true",
        "primary.service.ports.postgresql=6432",
        r#"metrics.extraEnvVars:=[{"name":"A","value":"b"}]"#,
    ]);
    let exporter = container(&documents, "metrics");
    assert_eq!(exporter["ports"][0]["containerPort"], 9187);
    let command = serde_yaml_ng::to_string(&exporter["command"]).unwrap();
    assert!(command.contains("--collector.stat_statements"), "{command}");
    assert!(command.contains("--no-collector.wal"), "{command}");
    // The pod's port, whatever the Service's is.
    let uri = named(&exporter["env"], "DATA_SOURCE_URI");
    assert_eq!(uri["value"], "127.0.0.1:5432/postgres?sslmode=disable");
    assert_eq!(named(&exporter["env"], "A")["value"], "b");
    let monitor = super::only(&documents, "ServiceMonitor", "postgresql");
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], "http-metrics");
    let service = super::only(&documents, "Service", "postgresql-metrics");
    let wanted = monitor["spec"]["selector"]["matchLabels"]
        .as_mapping()
        .unwrap();
    for (label, value) in wanted {
        assert_eq!(&service["metadata"]["labels"][label], value);
    }
    let without = pod(&rendered(&[]))["containers"]
        .as_sequence()
        .unwrap()
        .len();
    assert_eq!(without, 2);
}
