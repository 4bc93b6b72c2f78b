//! What a production user sets of pods, Services and monitors: each value, and where it arrives.

use serde_json::{Value, json};

use super::{chart, documents, helm, read, rendered};

const NAME: &str = "adapter-postgres-adapter";
const POD: &str = "/spec/template/spec";

/// The values, the kind of the object that has what they say, where in it, and what stands there.
type Case = (&'static [&'static str], &'static str, &'static str, Value);

/// The object of a kind that has this at this place.
fn has(values: &[&str], kind: &str, path: &str, expected: &Value) {
    let objects: Vec<Value> = rendered(values)
        .into_iter()
        .map(|it| serde_json::to_value(it).unwrap())
        .filter(|it| it["kind"] == kind)
        .collect();
    let found: Vec<_> = objects.iter().map(|it| it.pointer(path)).collect();
    assert!(
        found.contains(&Some(expected)),
        "{values:?}: {kind} {path}: {found:?}"
    );
}

fn selector() -> Value {
    json!({"matchLabels": {
        "app.kubernetes.io/name": "postgres-adapter",
        "app.kubernetes.io/instance": "adapter",
        "app.kubernetes.io/component": "scheduler",
    }})
}

fn of_pods() -> Vec<Case> {
    let anti = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": selector()});
    let nodes = json!({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]});
    let path = |it: &str| -> &'static str { format!("{POD}/{it}").leak() };
    vec![
        (
            &["podAntiAffinityPreset=hard"],
            "Deployment",
            path("affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0"),
            anti.clone(),
        ),
        (
            &["podAntiAffinityPreset=soft"],
            "Deployment",
            path(
                "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm",
            ),
            anti,
        ),
        (
            &[
                "nodeAffinityPreset.type=hard",
                "nodeAffinityPreset.key=disk",
                "nodeAffinityPreset.values={ssd}",
            ],
            "Deployment",
            path(
                "affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0",
            ),
            nodes.clone(),
        ),
        (
            &[
                "nodeAffinityPreset.type=soft",
                "nodeAffinityPreset.key=disk",
                "nodeAffinityPreset.values={ssd}",
            ],
            "Deployment",
            path(
                "affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/preference",
            ),
            nodes,
        ),
        (
            &["topologySpreadConstraints:=[{\"maxSkew\":1,\"topologyKey\":\"zone\"}]"],
            "Deployment",
            path("topologySpreadConstraints/0/labelSelector"),
            selector(),
        ),
        (
            &[
                "topologySpreadConstraints:=[{\"topologyKey\":\"zone\",\"labelSelector\":{\"matchLabels\":{\"a\":\"b\"}}}]",
            ],
            "Deployment",
            path("topologySpreadConstraints/0/labelSelector/matchLabels"),
            json!({"a": "b"}),
        ),
        (
            &["runtimeClassName=gvisor"],
            "Deployment",
            path("runtimeClassName"),
            json!("gvisor"),
        ),
        (
            &["schedulerName=mine"],
            "Deployment",
            path("schedulerName"),
            json!("mine"),
        ),
        (
            &["dnsPolicy=Default"],
            "Deployment",
            path("dnsPolicy"),
            json!("Default"),
        ),
        (
            &["dnsConfig.nameservers={10.0.0.1}"],
            "Deployment",
            path("dnsConfig/nameservers/0"),
            json!("10.0.0.1"),
        ),
        (
            &["hostAliases:=[{\"ip\":\"10.0.0.1\",\"hostnames\":[\"db\"]}]"],
            "Deployment",
            path("hostAliases/0/hostnames/0"),
            json!("db"),
        ),
        (
            &["terminationGracePeriodSeconds=60"],
            "Deployment",
            path("terminationGracePeriodSeconds"),
            json!(60),
        ),
        (
            &["serviceAccount.automountServiceAccountToken=false"],
            "Deployment",
            path("automountServiceAccountToken"),
            json!(false),
        ),
        (
            &["global.imagePullSecrets={registry}"],
            "Deployment",
            path("imagePullSecrets"),
            json!([{"name": "registry"}]),
        ),
        (
            &["initContainers:=[{\"name\":\"first\"}]"],
            "Deployment",
            path("initContainers/0/name"),
            json!("first"),
        ),
        (
            &["sidecars:=[{\"name\":\"beside\"}]"],
            "Deployment",
            path("containers/1/name"),
            json!("beside"),
        ),
        (
            &["extraEnvFrom:=[{\"secretRef\":{\"name\":\"more\"}}]"],
            "Deployment",
            path("containers/0/envFrom/0/secretRef/name"),
            json!("more"),
        ),
        (
            &["lifecycle.preStop.sleep.seconds=5"],
            "Deployment",
            path("containers/0/lifecycle/preStop/sleep/seconds"),
            json!(5),
        ),
        (
            &["livenessProbe.timeoutSeconds=5"],
            "Deployment",
            path("containers/0/livenessProbe/timeoutSeconds"),
            json!(5),
        ),
        (
            &["livenessProbe.timeoutSeconds=5"],
            "Deployment",
            path("containers/0/livenessProbe/periodSeconds"),
            json!(10),
        ),
        (
            &["readinessProbe.periodSeconds=7"],
            "Deployment",
            path("containers/0/readinessProbe/periodSeconds"),
            json!(7),
        ),
        (
            &["startupProbe.failureThreshold=9"],
            "Deployment",
            path("containers/0/startupProbe/failureThreshold"),
            json!(9),
        ),
        (
            &["revisionHistoryLimit=0"],
            "Deployment",
            "/spec/revisionHistoryLimit",
            json!(0),
        ),
        (
            &["deploymentAnnotations.a=b", "commonAnnotations.c=d"],
            "Deployment",
            "/metadata/annotations",
            json!({"a": "b", "c": "d"}),
        ),
        // Where the scheduler's pods may not be, a test's cannot either.
        (
            &["tolerations:=[{\"operator\":\"Exists\"}]"],
            "Pod",
            "/spec/tolerations/0/operator",
            json!("Exists"),
        ),
        (
            &["nodeSelector.disk=ssd"],
            "Pod",
            "/spec/nodeSelector/disk",
            json!("ssd"),
        ),
        (
            &["resources.limits.memory=1Gi"],
            "Pod",
            "/spec/containers/0/resources/limits/memory",
            json!("1Gi"),
        ),
    ]
}

fn of_objects() -> Vec<Case> {
    let balancer = "service.type=LoadBalancer";
    let certificate: &[&str] = &[
        "tls.enabled=true",
        "tls.certManager.issuerRef.name=ca",
        "tls.certManager.renewBefore=720h",
        "tls.certManager.privateKey.algorithm=ECDSA",
        "tls.certManager.extraDnsNames={backups.example}",
        "clusterDomain=example",
    ];
    let several = |all: &[&'static str]| -> &'static [&'static str] { all.to_vec().leak() };
    vec![
        (
            &["service.labels.a=b"],
            "Service",
            "/metadata/labels/a",
            json!("b"),
        ),
        (
            &["service.metricsAnnotations.a=b"],
            "Service",
            "/metadata/annotations",
            json!({"a": "b"}),
        ),
        (
            &["service.clusterIP=None"],
            "Service",
            "/spec/clusterIP",
            json!("None"),
        ),
        (
            &["service.trafficDistribution=PreferClose"],
            "Service",
            "/spec/trafficDistribution",
            json!("PreferClose"),
        ),
        (
            &["service.internalTrafficPolicy=Local"],
            "Service",
            "/spec/internalTrafficPolicy",
            json!("Local"),
        ),
        (
            several(&[balancer, "service.externalTrafficPolicy=Local"]),
            "Service",
            "/spec/externalTrafficPolicy",
            json!("Local"),
        ),
        (
            several(&[balancer, "service.loadBalancerClass=a/b"]),
            "Service",
            "/spec/loadBalancerClass",
            json!("a/b"),
        ),
        (
            several(&[balancer, "service.loadBalancerSourceRanges={10.0.0.0/8}"]),
            "Service",
            "/spec/loadBalancerSourceRanges/0",
            json!("10.0.0.0/8"),
        ),
        (
            several(&[balancer, "service.nodePort=30051"]),
            "Service",
            "/spec/ports/0/nodePort",
            json!(30051),
        ),
        (
            &["service.ipFamilyPolicy=PreferDualStack"],
            "Service",
            "/spec/ipFamilyPolicy",
            json!("PreferDualStack"),
        ),
        (
            &["service.ipFamilies={IPv6,IPv4}"],
            "Service",
            "/spec/ipFamilies/0",
            json!("IPv6"),
        ),
        (
            &["serviceAccount.labels.a=b"],
            "ServiceAccount",
            "/metadata/labels/a",
            json!("b"),
        ),
        (
            &["podDisruptionBudget.minAvailable=1"],
            "PodDisruptionBudget",
            "/spec/minAvailable",
            json!(1),
        ),
        (
            &["podDisruptionBudget.unhealthyPodEvictionPolicy=AlwaysAllow"],
            "PodDisruptionBudget",
            "/spec/unhealthyPodEvictionPolicy",
            json!("AlwaysAllow"),
        ),
        (
            certificate,
            "Certificate",
            "/spec/renewBefore",
            json!("720h"),
        ),
        (
            certificate,
            "Certificate",
            "/spec/privateKey/algorithm",
            json!("ECDSA"),
        ),
        (
            certificate,
            "Certificate",
            "/spec/dnsNames/3",
            json!("adapter-postgres-adapter.system.svc.example"),
        ),
        (
            certificate,
            "Certificate",
            "/spec/dnsNames/4",
            json!("backups.example"),
        ),
        (
            &["podMonitor.enabled=true", "podMonitor.interval=5s"],
            "PodMonitor",
            "/spec/podMetricsEndpoints/0/interval",
            json!("5s"),
        ),
        (
            &["podMonitor.enabled=true"],
            "PodMonitor",
            "/spec/selector",
            selector(),
        ),
        (
            &[
                "podMonitor.enabled=true",
                "podMonitor.podTargetLabels={team}",
            ],
            "PodMonitor",
            "/spec/podTargetLabels/0",
            json!("team"),
        ),
        (
            &[
                "serviceMonitor.enabled=true",
                "serviceMonitor.honorLabels=true",
            ],
            "ServiceMonitor",
            "/spec/endpoints/0/honorLabels",
            json!(true),
        ),
        (
            &[
                "serviceMonitor.enabled=true",
                "serviceMonitor.jobLabel=team",
            ],
            "ServiceMonitor",
            "/spec/jobLabel",
            json!("team"),
        ),
        (
            &[
                "serviceMonitor.enabled=true",
                "serviceMonitor.namespace=monitoring",
            ],
            "ServiceMonitor",
            "/metadata/namespace",
            json!("monitoring"),
        ),
        (
            &[
                "serviceMonitor.enabled=true",
                "serviceMonitor.namespace=monitoring",
            ],
            "ServiceMonitor",
            "/spec/namespaceSelector/matchNames/0",
            json!("system"),
        ),
        (
            &[
                "prometheusRule.enabled=true",
                "prometheusRule.namespace=monitoring",
            ],
            "PrometheusRule",
            "/metadata/namespace",
            json!("monitoring"),
        ),
        (
            &[
                "dashboard.enabled=true",
                "dashboard.annotations.folder=Backups",
            ],
            "ConfigMap",
            "/metadata/annotations/folder",
            json!("Backups"),
        ),
    ]
}

#[test]
fn each_value_arrives_where_it_is_meant() {
    for (values, kind, path, expected) in of_pods().into_iter().chain(of_objects()) {
        has(values, kind, path, &expected);
    }
}

/// The pod template of the workers.
fn workers(values: &[&str]) -> Value {
    let name = format!("{NAME}-workers");
    let config = super::only(&rendered(values), "ConfigMap", &name);
    serde_yaml_ng::from_str(config["data"]["pod-template.yaml"].as_str().unwrap()).unwrap()
}

/// Values of workers, where in their template, and what stands there.
fn of_workers() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("workers.podLabels.a=b", "/metadata/labels/a", json!("b")),
        (
            "workers.podAnnotations.a=b",
            "/metadata/annotations/a",
            json!("b"),
        ),
        (
            "workers.priorityClassName=low",
            "/spec/priorityClassName",
            json!("low"),
        ),
        (
            "workers.nodeSelector.disk=ssd",
            "/spec/nodeSelector/disk",
            json!("ssd"),
        ),
        (
            "workers.tolerations:=[{\"operator\":\"Exists\"}]",
            "/spec/tolerations/0/operator",
            json!("Exists"),
        ),
        (
            "workers.affinity.nodeAffinity.a=b",
            "/spec/affinity/nodeAffinity/a",
            json!("b"),
        ),
        (
            "workers.topologySpreadConstraints:=[{\"topologyKey\":\"zone\"}]",
            "/spec/topologySpreadConstraints/0/labelSelector/matchLabels",
            json!({"app.kubernetes.io/managed-by": "postgres-adapter"}),
        ),
        (
            "workers.hostAliases:=[{\"ip\":\"10.0.0.1\"}]",
            "/spec/hostAliases/0/ip",
            json!("10.0.0.1"),
        ),
        (
            "workers.extraEnv:=[{\"name\":\"A\",\"value\":\"b\"}]",
            "/spec/containers/0/env/0/name",
            json!("A"),
        ),
        (
            "workers.extraVolumes:=[{\"name\":\"v\",\"emptyDir\":{}}]",
            "/spec/volumes/0/name",
            json!("v"),
        ),
        (
            "workers.extraVolumeMounts:=[{\"name\":\"v\",\"mountPath\":\"/v\"}]",
            "/spec/containers/0/volumeMounts/0/mountPath",
            json!("/v"),
        ),
        (
            "global.imagePullSecrets:=[{\"name\":\"registry\"}]",
            "/spec/imagePullSecrets/0/name",
            json!("registry"),
        ),
    ]
}

#[test]
fn workers_have_places_of_their_own_and_a_pod_template_goes_before() {
    for (value, path, expected) in of_workers() {
        let template = workers(&[value]);
        assert_eq!(
            template.pointer(path),
            Some(&expected),
            "{value}: {template}"
        );
    }
    let template = workers(&[
        "workers.nodeSelector.disk=hdd",
        "workers.nodeSelector.zone=a",
        "workers.priorityClassName=low",
        "workers.podLabels.a=b",
        "workers.tolerations:=[{\"key\":\"backups\"}]",
        "workers.podTemplate:={\"metadata\":{\"labels\":{\"a\":\"c\"}},\"spec\":{\"nodeSelector\":{\"disk\":\"ssd\"},\"priorityClassName\":\"high\",\"tolerations\":[{\"key\":\"spot\"}]}}",
    ]);
    assert_eq!(
        template["spec"]["nodeSelector"],
        json!({"disk": "ssd", "zone": "a"})
    );
    assert_eq!(template["spec"]["priorityClassName"], "high");
    assert_eq!(template["metadata"]["labels"]["a"], "c");
    assert_eq!(
        template["spec"]["tolerations"],
        json!([{"key": "backups"}, {"key": "spot"}])
    );
}

/// What the file says that it sets is set.
#[test]
fn the_production_values_are_whole() {
    let chart = chart();
    let values = chart.join("values-production.yaml");
    let chart = chart.to_str().unwrap();
    helm(&["lint", "--strict", chart, "--values"])
        .arg(&values)
        .succeed();
    let said = helm(&[
        "install",
        "adapter",
        chart,
        "--namespace",
        "system",
        "--dry-run=client",
        "--values",
    ]);
    let said = said.arg(&values).succeed().stdout;
    let (rendered, notes) = said.split_once("\nNOTES:\n").unwrap();
    assert!(!notes.contains("WARNING"), "{notes}");
    let (_, manifest) = rendered.split_once("\nMANIFEST:\n").unwrap();
    let documents = documents(manifest);
    for kind in [
        "PodDisruptionBudget",
        "Certificate",
        "NetworkPolicy",
        "ServiceMonitor",
        "PrometheusRule",
        "ValidatingAdmissionPolicy",
        "ClusterRole",
    ] {
        assert!(documents.iter().any(|it| it["kind"] == kind), "{kind}");
    }
    let text = read("charts/postgres-adapter/values-production.yaml");
    assert!(text.contains("docs/security.md"), "who the callers are");
}
