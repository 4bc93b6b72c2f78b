//! The Helm chart, by the real Helm and against a real API server.

mod alerts;
mod compose;
mod namespaces;
mod network;
mod notes;
mod objectpolicy;
mod operator;
mod options;
mod pods;
mod policy;
mod postgresql;
mod production;
mod schedules;
mod schemas;
mod upgrading;
mod values;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::Role;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};

use super::cluster::{Cluster, Namespace, kept_by_with};
use super::testbed::programs::{Ended, Prepared, repository};

fn chart() -> PathBuf {
    repository().join("charts/postgres-adapter")
}

/// The operator's, whose templates and values are the same.
fn operators_chart() -> PathBuf {
    repository().join("charts/postgres-db-operator")
}

fn helm(command: &[&str]) -> Prepared {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    let bin = BIN.get_or_init(|| kept_by_with("go-program.sh", &["helm"]));
    Prepared::new(bin.join("helm")).args(command.iter().copied())
}

/// Values, as `--set` takes them; with a value of JSON behind `:=`.
fn with_values(mut helm: Prepared, values: &[&str]) -> Prepared {
    for value in values {
        helm = match value.split_once(":=") {
            Some((name, json)) => helm.args(["--set-json", &format!("{name}={json}")]),
            None => helm.args(["--set", value]),
        };
    }
    helm
}

fn render(namespace: &str, version: &str, values: &[&str]) -> Ended {
    render_of(&chart(), ("adapter", namespace), version, values)
}

/// What a chart makes of values, for a release by its name and namespace.
fn render_of(
    chart: &Path,
    (name, namespace): (&str, &str),
    version: &str,
    values: &[&str],
) -> Ended {
    let helm = helm(&[
        "template",
        name,
        chart.to_str().unwrap(),
        "--namespace",
        namespace,
    ])
    .args(["--kube-version", version]);
    with_values(helm, values).run()
}

/// What is rendered for the newest version, which is no error.
fn rendered(values: &[&str]) -> Vec<Value> {
    documents(&render("system", "1.34.0", values).expect_code(0).stdout)
}

fn only(documents: &[Value], kind: &str, name: &str) -> Value {
    let found = documents
        .iter()
        .find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("{kind} {name}")).clone()
}

/// A variable of the scheduler; nothing where it is not set.
fn env_of(documents: &[Value], name: &str) -> Option<String> {
    let deployment: Deployment = of_kind(documents, "Deployment");
    let containers = deployment.spec.unwrap().template.spec.unwrap().containers;
    let mut env = containers[0].env.clone().unwrap().into_iter();
    env.find(|it| it.name == name)?.value
}

fn documents(yaml: &str) -> Vec<Value> {
    Deserializer::from_str(yaml)
        .map(|it| Value::deserialize(it).unwrap())
        .filter(|it| !it.is_null())
        .collect()
}

fn of_kind<T: serde::de::DeserializeOwned>(documents: &[Value], kind: &str) -> T {
    let found = documents.iter().find(|it| it["kind"] == kind);
    serde_yaml_ng::from_value(found.expect(kind).clone()).unwrap()
}

/// What people may combine, among it workers with an account of their own (operator.md, W18); what needs other projects' definitions is rendered only.
const COMBINATIONS: [&[&str]; 6] = [
    &[],
    &[
        "replicas=1",
        "openshift=true",
        "global.imageRegistry=mirror.example:5000/all",
        "strategy.type=Recreate",
        "extraObjects:=[\"{kind: ConfigMap, apiVersion: v1, metadata: {name: '{{ .Release.Name }}-more', namespace: '{{ .Release.Namespace }}'}}\"]",
        "networkPolicy.enabled=false",
        "podDisruptionBudget.enabled=false",
        "fullnameOverride=a-name-of-fifty-two-characters-which-is-the-longest1",
        "service.type=NodePort",
        "workers.serviceAccount.create=false",
        "serviceAccount.name=mine",
        "logFormat=json",
        "images.backuper.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ],
    &[
        "tls.enabled=true",
        "tls.existingSecret=tls",
        "tls.clientCaSecret=clients.example",
        "tls.testClientSecret=a-client",
        "access.callersSecret=callers",
        "networkPolicy.corePodLabels.app=core",
        "networkPolicy.workerPorts:=[5432,9000]",
        "networkPolicy.extraIngress:=[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/8\"}}],\"ports\":[{\"port\":\"grpc\"}]}]",
        "networkPolicy.extraWorkerEgress:=[{\"to\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/8\"}}]}]",
        "dashboard.enabled=true",
        "access.tokenReview=true",
        "workers.kueueQueue=nightly",
        "workers.s3.caBundle.secret=s3-ca",
        "workers.database.caBundle.configMap=db-ca",
        "workers.database.sslMode=verify-full",
        "workers.backupJobs=2",
        "priorityClassName=system-cluster-critical",
        "extraEnv:=[{\"name\":\"A\",\"value\":\"b\"}]",
        "extraVolumes:=[{\"name\":\"v\",\"emptyDir\":{}}]",
        "extraVolumeMounts:=[{\"name\":\"v\",\"mountPath\":\"/v\"}]",
        "images.pullSecrets:=[{\"name\":\"registry\"}]",
        "podLabels.team=data",
        "commonLabels.team=platform",
        "commonLabels.cost=backups",
        "podSecurityContext.runAsUser=1234",
        "podAnnotations.why=because",
        "nodeSelector.disk=ssd",
        "tolerations:=[{\"operator\":\"Exists\"}]",
        "workers.podTemplate:={\"spec\":{\"containers\":[{\"name\":\"worker\",\"env\":[{\"name\":\"X\",\"value\":\"y\"}]}]}}",
    ],
    &[
        "sheduler.name=postgres-scheduler",
        "sheduler.port=50052",
        "sheduler.replicas=1",
        "sheduler.image=registry.example/scheduler:1",
        "sheduler.imagePullPolicy=Always",
        "sheduler.serviceAccountName=postgres-scheduler-sa",
        "backuper.image=registry.example/backuper:1",
        "restorer.image=registry.example/restorer:1",
    ],
    // The operator, with what dbtether's chart has beside ours.
    &[
        "operator.enabled=true",
        "operator.secretNamespaces={default}",
        "operator.allowedNamespaces=none",
        "image.pullPolicy=Always",
        "imagePullSecrets:=[{\"name\":\"registry\"}]",
        "replicaCount=1",
        "leaderElection.enabled=true",
        "logging.level=info",
        "logging.format=json",
        "backup.resources.limits.memory=1Gi",
        "backup.podLabels.team=data",
    ],
    &[
        "schedules:=[{\"name\":\"shop\",\"cron\":\"@daily\",\"database\":{\"host\":\"db\",\"dbname\":\"shop\",\"user\":\"backup\",\"passwordSecret\":{\"name\":\"shop\"}},\"store\":{\"bucket\":\"backups\"}}]",
        "secretReferences={team-a-*}",
        "global.imagePullSecrets={registry}",
        "commonAnnotations.team=platform",
        "deploymentAnnotations.a=b",
        "revisionHistoryLimit=0",
        "terminationGracePeriodSeconds=60",
        "podAntiAffinityPreset=hard",
        "nodeAffinityPreset.type=soft",
        "nodeAffinityPreset.key=disk",
        "nodeAffinityPreset.values={ssd}",
        "topologySpreadConstraints:=[{\"maxSkew\":1,\"topologyKey\":\"zone\",\"whenUnsatisfiable\":\"DoNotSchedule\"}]",
        "schedulerName=mine",
        "dnsPolicy=Default",
        "dnsConfig.options:=[{\"name\":\"ndots\",\"value\":\"1\"}]",
        "hostAliases:=[{\"ip\":\"10.0.0.1\",\"hostnames\":[\"db\"]}]",
        "livenessProbe.timeoutSeconds=5",
        "readinessProbe.successThreshold=2",
        "startupProbe.failureThreshold=120",
        "lifecycle.preStop.sleep.seconds=1",
        "initContainers:=[{\"name\":\"first\",\"image\":\"a:1\",\"securityContext\":{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":[\"ALL\"]}}}]",
        "sidecars:=[{\"name\":\"beside\",\"image\":\"a:1\",\"securityContext\":{\"allowPrivilegeEscalation\":false,\"capabilities\":{\"drop\":[\"ALL\"]}}}]",
        "extraEnvFrom:=[{\"configMapRef\":{\"name\":\"more\"}}]",
        "service.type=LoadBalancer",
        "service.nodePort=30051",
        "service.labels.a=b",
        "service.metricsAnnotations.prometheus\\.io/scrape:=\"true\"",
        "service.internalTrafficPolicy=Local",
        "service.externalTrafficPolicy=Local",
        "service.loadBalancerClass=internal.example/nlb",
        "service.loadBalancerSourceRanges={10.0.0.0/8}",
        "service.ipFamilyPolicy=SingleStack",
        "service.ipFamilies={IPv4}",
        "serviceAccount.labels.a=b",
        "serviceAccount.automountServiceAccountToken=false",
        "podDisruptionBudget.minAvailable=1",
        "podDisruptionBudget.unhealthyPodEvictionPolicy=AlwaysAllow",
        "workers.priorityClassName=low",
        "workers.nodeSelector.disk=ssd",
    ],
];

#[test]
fn the_chart_passes_helms_own_check() {
    for chart in [chart(), operators_chart()] {
        for values in COMBINATIONS {
            with_values(helm(&["lint", "--strict", chart.to_str().unwrap()]), values).succeed();
        }
    }
}

#[test]
fn u48_what_is_rendered_is_taken_by_a_real_cluster_under_the_restricted_profile() {
    Cluster::shared().within(async |namespace| {
        for values in COMBINATIONS {
            for version in ["1.29.0", "1.34.0"] {
                let rendered = render(&namespace.name, version, values);
                rendered.expect_code(0);
                let documents = documents(&rendered.stdout);
                assert!(documents.len() >= 6, "{rendered}");
                for document in &documents {
                    is_taken(&namespace, document).await;
                }
                let deployment: Deployment = of_kind(&documents, "Deployment");
                let template = deployment.spec.unwrap().template;
                let pod = Pod {
                    metadata: kube::core::ObjectMeta {
                        name: Some("as-the-deployment-makes-it".to_owned()),
                        ..template.metadata.unwrap()
                    },
                    spec: template.spec.map(|mut it| {
                        // It is not there, and this is no question of the profile.
                        it.service_account_name = None;
                        it.priority_class_name = None;
                        it.runtime_class_name = None;
                        it
                    }),
                    status: None,
                };
                let params = PostParams {
                    dry_run: true,
                    ..PostParams::default()
                };
                let pods: Api<Pod> = namespace.api();
                pods.create(&params, &pod).await.expect("let in");
            }
        }
    });
}

async fn is_taken(namespace: &Namespace, document: &Value) {
    let mut object: DynamicObject = serde_yaml_ng::from_value(document.clone()).unwrap();
    let types = object.types.clone().unwrap();
    let kind = GroupVersionKind::try_from(&types).unwrap();
    if types.kind == "Pod" {
        // Admission asks for what a hook's pod refers to.
        object.data["spec"]["serviceAccountName"] = serde_json::json!("default");
    }
    let (client, kind) = (namespace.cluster.client(), ApiResource::from_gvk(&kind));
    let objects: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &kind),
        None => Api::all_with(client, &kind),
    };
    let name = object.metadata.name.clone().unwrap();
    let params = PatchParams::apply("chart-test").dry_run();
    let taken = objects.patch(&name, &params, &Patch::Apply(&object)).await;
    taken.unwrap_or_else(|error| panic!("{} {name}: {error}", types.kind));
}

#[test]
fn what_needs_other_projects_definitions_is_rendered() {
    let values = [
        "serviceMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "tls.enabled=true",
        "tls.certManager.issuerRef.name=ca",
    ];
    let documents = rendered(&values);
    for kind in ["ServiceMonitor", "PrometheusRule", "Certificate"] {
        let found = documents.iter().find(|it| it["kind"] == kind);
        assert!(!found.expect(kind)["spec"].is_null(), "{kind}");
    }
}

#[test]
fn the_published_charts_values_work_and_are_warned_about() {
    let chart = chart();
    let values = COMBINATIONS[3];
    let helm = helm(&[
        "install",
        "adapter",
        chart.to_str().unwrap(),
        "--namespace",
        "system",
    ])
    .args(["--dry-run=client"]);
    let said = with_values(helm, values).succeed().stdout;
    for value in values {
        let name = value.split('=').next().unwrap();
        assert!(
            said.contains(&format!("WARNING: {name} is deprecated")),
            "{name}: {said}"
        );
    }
    for words in [
        "name: postgres-scheduler-service",
        "registry.example/scheduler:1",
        "registry.example/backuper:1",
        "registry.example/restorer:1",
        "kind: ServiceAccount\nmetadata:\n  name: postgres-scheduler-sa\n",
        "serviceAccountName: postgres-scheduler-sa",
        "postgres: \"postgres-scheduler-service.system:50052\"",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn the_service_can_have_the_name_that_the_cores_config_map_has() {
    let rendered = render("system", "1.34.0", &["fullnameOverride=pg-adapter"]);
    let documents = documents(&rendered.stdout);
    let services = documents.iter().filter(|it| it["kind"] == "Service");
    let names: Vec<_> = services.map(|it| it["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["pg-adapter", "pg-adapter-metrics"]);
}

#[test]
fn the_role_is_the_one_that_the_tests_of_the_engine_run_with() {
    let rendered = render("system", "1.34.0", &[]);
    let role: Role = of_kind(&documents(&rendered.stdout), "Role");
    let tested = std::fs::read_to_string(repository().join("deploy/kubernetes/role.yaml")).unwrap();
    let tested: Role = serde_yaml_ng::from_str(&tested).unwrap();
    assert_eq!(role.rules, tested.rules);
}

/// S01, S04.
#[test]
fn the_scheduler_may_do_nothing_outside_its_namespace_unless_it_is_asked_for() {
    let kinds = |values: &[&str]| {
        let documents = documents(&render("system", "1.34.0", values).stdout);
        let outside = documents
            .into_iter()
            .filter(|it| it["metadata"]["namespace"].is_null());
        outside
            .map(|it| it["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(kinds(&[]).is_empty());
    let review = "access.tokenReview=true";
    assert_eq!(kinds(&[review]), ["ClusterRole", "ClusterRoleBinding"]);
    assert!(kinds(&[review, "rbac.create=false"]).is_empty());
}

/// S24, S28: the label of its objects and the name of its Lease.
#[test]
fn the_scheduler_knows_its_release() {
    let release = env_of(&rendered(&[]), "RELEASE_NAME");
    assert_eq!(release.as_deref(), Some("adapter"));
}

#[test]
fn the_token_is_the_schedulers_alone() {
    let rendered = render("system", "1.34.0", &[]);
    let accounts = documents(&rendered.stdout);
    let accounts: Vec<_> = accounts
        .iter()
        .filter(|it| it["kind"] == "ServiceAccount")
        .collect();
    assert_eq!(accounts.len(), 2);
    for account in accounts {
        assert_eq!(account["automountServiceAccountToken"], false);
    }
}

#[test]
fn what_is_written_from_the_chart_is_up_to_date() {
    for script in ["charts-readme.sh", "manifests.sh"] {
        let script = repository().join("scripts").join(script);
        Prepared::new(script)
            .envs(&super::cluster::places())
            .args(["--check"])
            .succeed();
    }
}

fn is_refused(values: &[&str], words: &str) {
    let ended = render("system", "1.34.0", values);
    assert_ne!(ended.code(), Some(0), "{values:?}");
    assert!(ended.stderr.contains(words), "{values:?}: {}", ended.stderr);
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}
