//! What a production user sets of the scheduler's pods and of objects: each value, and where it arrives.

use serde_json::Value;

use super::rendered;

const SELECTOR: &str = r#"{"matchLabels":{"app.kubernetes.io/name":"postgres-adapter","app.kubernetes.io/instance":"adapter","app.kubernetes.io/component":"scheduler"}}"#;
/// Off the nodes of the others.
const APART: &str = r#"{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app.kubernetes.io/name":"postgres-adapter","app.kubernetes.io/instance":"adapter","app.kubernetes.io/component":"scheduler"}}}"#;
const ON_SSD: &str = r#"{"matchExpressions":[{"key":"disk","operator":"In","values":["ssd"]}]}"#;

/// Values, where in the pods of the Deployment, and what stands there.
const PODS: &[(&[&str], &str, &str)] = &[
    (
        &["podAntiAffinityPreset=hard"],
        "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0",
        APART,
    ),
    (
        &["podAntiAffinityPreset=soft"],
        "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm",
        APART,
    ),
    (
        &[
            "nodeAffinityPreset.type=hard",
            "nodeAffinityPreset.key=disk",
            "nodeAffinityPreset.values={ssd}",
        ],
        "affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0",
        ON_SSD,
    ),
    (
        &[
            "nodeAffinityPreset.type=soft",
            "nodeAffinityPreset.key=disk",
            "nodeAffinityPreset.values={ssd}",
        ],
        "affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/preference",
        ON_SSD,
    ),
    (
        &[r#"topologySpreadConstraints:=[{"maxSkew":1,"topologyKey":"zone"}]"#],
        "topologySpreadConstraints/0/labelSelector",
        SELECTOR,
    ),
    (
        &[
            r#"topologySpreadConstraints:=[{"topologyKey":"zone","labelSelector":{"matchLabels":{"a":"b"}}}]"#,
        ],
        "topologySpreadConstraints/0/labelSelector/matchLabels",
        r#"{"a":"b"}"#,
    ),
    (
        &["runtimeClassName=gvisor"],
        "runtimeClassName",
        r#""gvisor""#,
    ),
    (&["schedulerName=mine"], "schedulerName", r#""mine""#),
    (&["dnsPolicy=Default"], "dnsPolicy", r#""Default""#),
    (
        &["dnsConfig.nameservers={10.0.0.1}"],
        "dnsConfig/nameservers/0",
        r#""10.0.0.1""#,
    ),
    (
        &[r#"hostAliases:=[{"ip":"10.0.0.1","hostnames":["db"]}]"#],
        "hostAliases/0/hostnames/0",
        r#""db""#,
    ),
    (
        &["terminationGracePeriodSeconds=60"],
        "terminationGracePeriodSeconds",
        "60",
    ),
    (
        &["serviceAccount.automountServiceAccountToken=false"],
        "automountServiceAccountToken",
        "false",
    ),
    (
        &["global.imagePullSecrets={registry}"],
        "imagePullSecrets",
        r#"[{"name":"registry"}]"#,
    ),
    (
        &[r#"initContainers:=[{"name":"first"}]"#],
        "initContainers/0/name",
        r#""first""#,
    ),
    (
        &[r#"sidecars:=[{"name":"beside"}]"#],
        "containers/1/name",
        r#""beside""#,
    ),
    (
        &[r#"extraEnvFrom:=[{"secretRef":{"name":"more"}}]"#],
        "containers/0/envFrom/0/secretRef/name",
        r#""more""#,
    ),
    (
        &["lifecycle.preStop.sleep.seconds=5"],
        "containers/0/lifecycle/preStop/sleep/seconds",
        "5",
    ),
    (
        &["livenessProbe.timeoutSeconds=5"],
        "containers/0/livenessProbe/timeoutSeconds",
        "5",
    ),
    (
        &["livenessProbe.timeoutSeconds=5"],
        "containers/0/livenessProbe/periodSeconds",
        "10",
    ),
    (
        &["readinessProbe.periodSeconds=7"],
        "containers/0/readinessProbe/periodSeconds",
        "7",
    ),
    (
        &["startupProbe.failureThreshold=9"],
        "containers/0/startupProbe/failureThreshold",
        "9",
    ),
];

/// Values, the kind of an object, where in it, and what stands there.
const OBJECTS: &[(&[&str], &str, &str, &str)] = &[
    (
        &["revisionHistoryLimit=0"],
        "Deployment",
        "/spec/revisionHistoryLimit",
        "0",
    ),
    (
        &["deploymentAnnotations.a=b", "commonAnnotations.c=d"],
        "Deployment",
        "/metadata/annotations",
        r#"{"a":"b","c":"d"}"#,
    ),
    (
        &[r#"tolerations:=[{"operator":"Exists"}]"#],
        "Pod",
        "/spec/tolerations/0/operator",
        r#""Exists""#,
    ),
    (
        &["nodeSelector.disk=ssd"],
        "Pod",
        "/spec/nodeSelector/disk",
        r#""ssd""#,
    ),
    (
        &["resources.limits.memory=1Gi"],
        "Pod",
        "/spec/containers/0/resources/limits/memory",
        r#""1Gi""#,
    ),
    (
        &["service.labels.a=b"],
        "Service",
        "/metadata/labels/a",
        r#""b""#,
    ),
    (
        &["service.metricsAnnotations.a=b"],
        "Service",
        "/metadata/annotations",
        r#"{"a":"b"}"#,
    ),
    (
        &["service.clusterIP=None"],
        "Service",
        "/spec/clusterIP",
        r#""None""#,
    ),
    (
        &["service.trafficDistribution=PreferClose"],
        "Service",
        "/spec/trafficDistribution",
        r#""PreferClose""#,
    ),
    (
        &["service.internalTrafficPolicy=Local"],
        "Service",
        "/spec/internalTrafficPolicy",
        r#""Local""#,
    ),
    (
        &[
            "service.type=LoadBalancer",
            "service.externalTrafficPolicy=Local",
        ],
        "Service",
        "/spec/externalTrafficPolicy",
        r#""Local""#,
    ),
    (
        &["service.type=LoadBalancer", "service.loadBalancerClass=a/b"],
        "Service",
        "/spec/loadBalancerClass",
        r#""a/b""#,
    ),
    (
        &[
            "service.type=LoadBalancer",
            "service.loadBalancerSourceRanges={10.0.0.0/8}",
        ],
        "Service",
        "/spec/loadBalancerSourceRanges/0",
        r#""10.0.0.0/8""#,
    ),
    (
        &["service.type=LoadBalancer", "service.nodePort=30051"],
        "Service",
        "/spec/ports/0/nodePort",
        "30051",
    ),
    (
        &["service.ipFamilyPolicy=PreferDualStack"],
        "Service",
        "/spec/ipFamilyPolicy",
        r#""PreferDualStack""#,
    ),
    (
        &["service.ipFamilies={IPv6,IPv4}"],
        "Service",
        "/spec/ipFamilies/0",
        r#""IPv6""#,
    ),
    (
        &["serviceAccount.labels.a=b"],
        "ServiceAccount",
        "/metadata/labels/a",
        r#""b""#,
    ),
    (
        &["podDisruptionBudget.minAvailable=1"],
        "PodDisruptionBudget",
        "/spec/minAvailable",
        "1",
    ),
    (
        &["podDisruptionBudget.unhealthyPodEvictionPolicy=AlwaysAllow"],
        "PodDisruptionBudget",
        "/spec/unhealthyPodEvictionPolicy",
        r#""AlwaysAllow""#,
    ),
    (
        &[
            "tls.enabled=true",
            "tls.certManager.issuerRef.name=ca",
            "tls.certManager.renewBefore=720h",
        ],
        "Certificate",
        "/spec/renewBefore",
        r#""720h""#,
    ),
    (
        &[
            "tls.enabled=true",
            "tls.certManager.issuerRef.name=ca",
            "tls.certManager.privateKey.algorithm=ECDSA",
        ],
        "Certificate",
        "/spec/privateKey/algorithm",
        r#""ECDSA""#,
    ),
    (
        &[
            "tls.enabled=true",
            "tls.certManager.issuerRef.name=ca",
            "clusterDomain=example",
        ],
        "Certificate",
        "/spec/dnsNames/3",
        r#""adapter-postgres-adapter.system.svc.example""#,
    ),
    (
        &[
            "tls.enabled=true",
            "tls.certManager.issuerRef.name=ca",
            "tls.certManager.extraDnsNames={backups.example}",
        ],
        "Certificate",
        "/spec/dnsNames/4",
        r#""backups.example""#,
    ),
    (
        &["podMonitor.enabled=true", "podMonitor.interval=5s"],
        "PodMonitor",
        "/spec/podMetricsEndpoints/0/interval",
        r#""5s""#,
    ),
    (
        &["podMonitor.enabled=true"],
        "PodMonitor",
        "/spec/selector",
        SELECTOR,
    ),
    (
        &[
            "podMonitor.enabled=true",
            "podMonitor.podTargetLabels={team}",
        ],
        "PodMonitor",
        "/spec/podTargetLabels/0",
        r#""team""#,
    ),
    (
        &[
            "serviceMonitor.enabled=true",
            "serviceMonitor.honorLabels=true",
        ],
        "ServiceMonitor",
        "/spec/endpoints/0/honorLabels",
        "true",
    ),
    (
        &[
            "serviceMonitor.enabled=true",
            "serviceMonitor.jobLabel=team",
        ],
        "ServiceMonitor",
        "/spec/jobLabel",
        r#""team""#,
    ),
    (
        &[
            "serviceMonitor.enabled=true",
            "serviceMonitor.namespace=monitoring",
        ],
        "ServiceMonitor",
        "/metadata/namespace",
        r#""monitoring""#,
    ),
    (
        &[
            "serviceMonitor.enabled=true",
            "serviceMonitor.namespace=monitoring",
        ],
        "ServiceMonitor",
        "/spec/namespaceSelector/matchNames/0",
        r#""system""#,
    ),
    (
        &[
            "prometheusRule.enabled=true",
            "prometheusRule.namespace=monitoring",
        ],
        "PrometheusRule",
        "/metadata/namespace",
        r#""monitoring""#,
    ),
    (
        &[
            "dashboard.enabled=true",
            "dashboard.annotations.folder=Backups",
        ],
        "ConfigMap",
        "/metadata/annotations/folder",
        r#""Backups""#,
    ),
];

/// An object of the kind has it.
fn has(values: &[&str], kind: &str, path: &str, expected: &str) {
    let expected: Value = serde_json::from_str(expected).unwrap();
    let objects: Vec<Value> = rendered(values)
        .into_iter()
        .map(|it| serde_json::to_value(it).unwrap())
        .filter(|it| it["kind"] == kind)
        .collect();
    let found: Vec<_> = objects.iter().map(|it| it.pointer(path)).collect();
    assert!(
        found.contains(&Some(&expected)),
        "{values:?}: {kind} {path}: {found:?}"
    );
}

#[test]
fn each_value_of_pods_arrives_where_it_is_meant() {
    for (values, path, expected) in PODS {
        let path = format!("/spec/template/spec/{path}");
        has(values, "Deployment", &path, expected);
    }
}

/// Where the scheduler's pods may not be, a test's pod cannot either.
#[test]
fn each_value_of_objects_arrives_where_it_is_meant() {
    for (values, kind, path, expected) in OBJECTS {
        has(values, kind, path, expected);
    }
}
