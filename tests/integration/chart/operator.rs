//! charts/postgres-db-operator: postgres-adapter's templates and values under another name, with the operator.

use std::path::{Path, PathBuf};

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use scheduler::operator::crd;
use serde_yaml_ng::Value;

use super::{
    documents, env_of, helm, is_refused, of_kind, only, operators_chart, read, render_of, rendered,
    with_values,
};
use crate::cluster::Cluster;
use crate::operator::{define, rights};
use crate::testbed::folder;

const NAME: &str = "postgres-db-operator";

/// What the chart makes of values, with the names that the seed installs it by.
fn installed(chart: &Path, values: &[&str]) -> String {
    let rendered = render_of(chart, (NAME, NAME), "1.34.0", values);
    rendered.expect_code(0).stdout.clone()
}

#[test]
fn the_operator_is_in_the_one_chart_and_an_option_of_the_other() {
    let operates = |documents: &[Value]| {
        let kinds = documents
            .iter()
            .filter(|it| it["kind"] == "CustomResourceDefinition");
        (env_of(documents, "OPERATOR"), kinds.count())
    };
    let own = documents(&installed(&operators_chart(), &[]));
    let on = (Some("true".to_owned()), crd::definitions().len());
    assert_eq!(operates(&own), on);
    assert_eq!(
        env_of(&own, "OPERATOR_ALLOWED_NAMESPACES").as_deref(),
        Some("shared")
    );
    // The seed's names, of which none is doubled.
    only(&own, "Deployment", NAME);
    assert_eq!(operates(&rendered(&[])), (None, 0));
    assert_eq!(operates(&rendered(&["operator.enabled=true"])), on);
    let off = documents(&installed(&operators_chart(), &["operator.enabled=false"]));
    assert_eq!(operates(&off), (None, 0));
    let closed = documents(&installed(
        &operators_chart(),
        &["operator.allowedNamespaces=none", "operator.crds=false"],
    ));
    assert_eq!(operates(&closed), (Some("true".to_owned()), 0));
    assert_eq!(
        env_of(&closed, "OPERATOR_ALLOWED_NAMESPACES").as_deref(),
        Some("none")
    );
}

/// The links in the chart's folder are files in its package.
#[test]
fn the_packaged_chart_is_the_folder() {
    let place = folder("packaged");
    let chart = operators_chart();
    helm(&["package", chart.to_str().unwrap(), "--destination"])
        .arg(&place)
        .succeed();
    let packages = std::fs::read_dir(&place).unwrap();
    let packages: Vec<PathBuf> = packages.map(|it| it.unwrap().path()).collect();
    assert_eq!(packages.len(), 1);
    assert_eq!(installed(&packages[0], &[]), installed(&chart, &[]));
}

#[test]
fn the_definitions_are_those_that_the_scheduler_serves() {
    let shipped = read("charts/postgres-adapter/files/crds.yaml");
    assert!(
        shipped == crd::print().unwrap(),
        "run scripts/crds.sh, and scripts/manifests.sh"
    );
    for definition in crd::definitions() {
        // `helm uninstall` would take the objects along.
        assert_eq!(definition.annotations()["helm.sh/resource-policy"], "keep");
    }
}

#[test]
fn the_page_lists_the_rights_that_the_chart_gives() {
    let documents = documents(&installed(&operators_chart(), &[]));
    let role: ClusterRole = of_kind(&documents, "ClusterRole");
    let page = read("docs/operator.md");
    let (_, list) = page.split_once("```yaml\nrules:\n").unwrap();
    let (list, _) = list.split_once("```").unwrap();
    let told: Vec<PolicyRule> = serde_yaml_ng::from_str(list).unwrap();
    assert_eq!(rights::flat(&told), rights::flat(&role.rules.unwrap()));
}

/// The roles for Secrets, and the namespaces that they are in.
fn of_secrets(values: &[&str]) -> Vec<(String, Option<String>)> {
    let documents = documents(&installed(&operators_chart(), values));
    let roles = documents.iter().filter(|it| {
        let kind = it["kind"].as_str().unwrap();
        kind == "Role" || kind == "ClusterRole"
    });
    let reading = roles.filter_map(|it| {
        let rules: Vec<PolicyRule> = serde_yaml_ng::from_value(it["rules"].clone()).unwrap();
        let rights = rights::flat(&rules);
        let reads = rights.contains(&(String::new(), "secrets".to_owned(), "get".to_owned()));
        let kind = it["kind"].as_str().unwrap().to_owned();
        let namespace = it["metadata"]["namespace"].as_str().map(str::to_owned);
        reads.then_some((kind, namespace))
    });
    reading.collect()
}

/// operator.md, W33: no Secret of the whole cluster is read unasked.
#[test]
fn secrets_are_read_where_the_values_say_it() {
    let role = |namespace: &str| ("Role".to_owned(), Some(namespace.to_owned()));
    assert_eq!(of_secrets(&[]), [role(NAME)]);
    assert_eq!(
        of_secrets(&["operator.secretNamespaces={databases,team-a}"]),
        [role(NAME), role("databases"), role("team-a")]
    );
    assert_eq!(
        of_secrets(&["operator.secretNamespaces={*}"]),
        [("ClusterRole".to_owned(), None)]
    );
    assert!(of_secrets(&["rbac.create=false"]).is_empty());
}

/// Values of dbtether's chart, and what says the same here.
const THEIRS: &[(&str, &str)] = &[
    (
        "image.repository=mirror/scheduler",
        "images.scheduler.repository=mirror/scheduler",
    ),
    ("image.tag=v2", "images.scheduler.tag=v2"),
    ("image.pullPolicy=Always", "images.pullPolicy=Always"),
    (
        "imagePullSecrets:=[{\"name\":\"registry\"}]",
        "images.pullSecrets:=[{\"name\":\"registry\"}]",
    ),
    ("replicaCount=1", "replicas=1"),
    ("leaderElection.enabled=true", "nameOverride="),
    ("logging.format=json", "logFormat=json"),
    ("logging.format=console", "logFormat=text"),
    ("logging.level=info", "nameOverride="),
    (
        "backup.resources.limits.memory=1Gi",
        "workers.resources.limits.memory=1Gi",
    ),
    ("backup.podAnnotations.a=b", "workers.podAnnotations.a=b"),
    ("backup.podLabels.a=b", "workers.podLabels.a=b"),
];

/// operator.md §10.
#[test]
fn dbtethers_values_say_what_ours_say() {
    for (theirs, ours) in THEIRS {
        let render = |value: &str| installed(&operators_chart(), &[value]);
        assert_eq!(render(theirs), render(ours), "{theirs}");
    }
    let usual = installed(&operators_chart(), &[]);
    let meant = THEIRS.iter().filter(|(_, ours)| *ours != "nameOverride=");
    for (_, ours) in meant.filter(|(_, ours)| *ours != "logFormat=text") {
        assert_ne!(installed(&operators_chart(), &[ours]), usual, "{ours}");
    }
    is_refused(
        &["image.repository=ghcr.io/certainty3452/dbtether"],
        "another program",
    );
    is_refused(
        &["image.tag=v1", "sheduler.image=a:1"],
        "image has no effect",
    );
    for value in [
        "leaderElection.enabled=false",
        "logging.level=debug",
        "metrics.enabled=false",
        "health.port=8081",
        "backup.maxConcurrentPerCluster=3",
        "operator.secretNamespaces={Team}",
        "operator.allowedNamespaces=some",
    ] {
        let name = value.split(['.', '=']).next().unwrap();
        is_refused(&[value], name);
    }
}

#[test]
fn the_notes_lead_to_a_first_database_server() {
    let chart = operators_chart();
    let said = |values: &[&str]| {
        let install = helm(&["install", NAME, chart.to_str().unwrap(), "-n", NAME])
            .args(["--dry-run=client"]);
        let said = with_values(install, values).succeed().stdout;
        said.split_once("\nNOTES:\n").unwrap().1.to_owned()
    };
    let usual = said(&[]);
    assert!(usual.contains("kind: DBCluster"), "{usual}");
    assert!(
        usual.contains("(operator.secretNamespaces): postgres-db-operator."),
        "{usual}"
    );
    let warned = said(&["operator.secretNamespaces={*}"]);
    assert!(
        warned.contains("may read every Secret in the cluster"),
        "{warned}"
    );
    let off = said(&["operator.enabled=false", "operator.crds=false"]);
    assert!(off.contains("operator.crds has no effect"), "{off}");
}

/// operator-rules.md, A 3; a takeover from dbtether, whose chart has the definitions below crds/.
#[test]
fn a_release_takes_over_definitions_that_are_there_and_leaves_them_when_it_goes() {
    Cluster::shared().alone(async |namespace| {
        let client = namespace.cluster.client();
        define(namespace.cluster).await;
        let definitions: Api<CustomResourceDefinition> = Api::all(client);
        let databases = "databases.dbtether.io";
        let description = async || {
            let found = definitions.get(databases).await.unwrap();
            let version = &found.spec.versions[0];
            let schema = version.schema.clone().unwrap().open_api_v3_schema.unwrap();
            (schema.description.unwrap_or_default(), found)
        };
        let (ours, mut theirs) = description().await;
        let schema = theirs.spec.versions[0].schema.as_mut().unwrap();
        let schema = schema.open_api_v3_schema.as_mut().unwrap();
        schema.description = Some("Theirs.".to_owned());
        let params = PostParams {
            field_manager: Some("helm".to_owned()),
            ..PostParams::default()
        };
        definitions
            .replace(databases, &params, &theirs)
            .await
            .unwrap();
        let (chart, config) = (operators_chart(), namespace.cluster.kubeconfig());
        let home = folder("home");
        let helm = |words: &[&str]| {
            // Where it keeps what the API server serves.
            helm(words)
                .env("HOME", home.to_str().unwrap())
                .args(["-n", &namespace.name, "--kubeconfig"])
                .arg(&config)
        };
        let install = ["install", NAME, chart.to_str().unwrap()];
        let refused = helm(&install).run();
        assert!(refused.stderr.contains("ownership"), "{refused}");
        helm(&install).args(["--take-ownership"]).succeed();
        assert_eq!(description().await.0, ours);
        // Another release beside it does without them, and an upgrade has them still.
        let beside = [
            "install",
            "beside",
            chart.to_str().unwrap(),
            "--set=operator.crds=false",
        ];
        helm(&beside).succeed();
        helm(&["upgrade", NAME, chart.to_str().unwrap()]).succeed();
        helm(&["uninstall", NAME, "beside"]).succeed();
        assert_eq!(description().await.0, ours);
        // And comes back by its name.
        helm(&install).succeed();
        helm(&["uninstall", NAME]).succeed();
    });
}
