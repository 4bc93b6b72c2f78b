//! deploy/omnistrate/spec.yaml: its structure, its variables, and what its layers make of the chart. Omnistrate itself is
//! not within reach of the tests.

mod faults;

use std::collections::BTreeSet;
use std::sync::{LazyLock, OnceLock};

use regex::Regex;
use serde_yaml_ng::{Mapping, Value};

use super::{chart, documents, helm, names, only, stateful_set};
use crate::schema::check;
use crate::testbed::folder;
use crate::testbed::programs::{Ended, repository};

/// A variable within a text.
static BRACES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{\{ \$(\S+) \}\}").unwrap());
const CLOUDS: [&str; 3] = ["aws", "gcp", "azure"];

/// The specification with its files in it, as omnistrate-ctl puts them there: their first line behind what stands before,
/// all others as far in.
fn text() -> String {
    let home = repository().join("deploy/omnistrate");
    let text = std::fs::read_to_string(home.join("spec.yaml")).unwrap();
    let file = Regex::new(r"(?m)^([ \t]*)(.*)\{\{\s*\$file:([^\s}]+)\s*\}\}").unwrap();
    let put = |found: &regex::Captures<'_>| {
        let content = std::fs::read_to_string(home.join(&found[3])).unwrap();
        let lines = content
            .trim_end()
            .replace('\n', &format!("\n{}", &found[1]));
        format!("{}{}{lines}", &found[1], &found[2])
    };
    file.replace_all(&text, put).into_owned()
}

fn spec() -> &'static Value {
    static SPEC: OnceLock<Value> = OnceLock::new();
    SPEC.get_or_init(|| serde_yaml_ng::from_str(&text()).unwrap())
}

fn service() -> &'static Value {
    &spec()["services"][0]
}

fn parameters() -> &'static [Value] {
    service()["apiParameters"].as_sequence().unwrap()
}

/// A customer's choice: the defaults, what has none, and what is chosen otherwise.
fn chosen<'a>(other: &'a [(&str, &str)]) -> impl Fn(&str) -> String + 'a {
    move |key: &str| {
        let declared = parameters().iter().find(|it| it["key"] == key);
        let declared = declared.unwrap_or_else(|| panic!("{key} is not declared"));
        let sample = match key {
            "password" => "a-secret",
            "allowedSourceRanges" => "203.0.113.0/24, 198.51.100.7/32",
            _ => declared["defaultValue"].as_str().unwrap(),
        };
        let other = other.iter().find(|it| it.0 == key);
        other.map_or(sample, |it| it.1).to_owned()
    }
}

/// What Omnistrate itself knows of an instance.
fn system(name: &str, cloud: &str) -> String {
    match name {
        "network.externalClusterEndpoint" => "r-1.instance-2.cell.example".to_owned(),
        "deploymentCell.region" => "eu-central-1".to_owned(),
        "deploymentCell.cloudProviderName" => cloud.to_owned(),
        "deploymentCell.publicSubnetIDs[*].id" => "subnet-1,subnet-2".to_owned(),
        "compute.node.instanceType" => "t3.medium".to_owned(),
        "deployment.resourceID" => "r-1".to_owned(),
        "id" => "instance-2".to_owned(),
        other => panic!("$sys.{other} is not known"),
    }
}

/// The text as Omnistrate passes it on: a variable is all of it, or stands between braces.
fn put(text: &str, cloud: &str, choice: &dyn Fn(&str) -> String) -> String {
    let value = |name: &str| match name.split_once('.') {
        Some(("var", key)) => choice(key),
        Some(("sys", name)) => system(name, cloud),
        _ => panic!("${name} is not known"),
    };
    if let Some(name) = text.strip_prefix('$') {
        return value(name);
    }
    let put = BRACES.replace_all(text, |it: &regex::Captures<'_>| value(&it[1]));
    assert!(
        !put.contains('$'),
        "{text}: a variable within a text needs braces"
    );
    put.into_owned()
}

fn put_all(value: &Value, cloud: &str, choice: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => put(text, cloud, choice).into(),
        Value::Sequence(list) => list.iter().map(|it| put_all(it, cloud, choice)).collect(),
        Value::Mapping(map) => {
            let put = |(name, value): (&Value, &Value)| {
                (put_all(name, cloud, choice), put_all(value, cloud, choice))
            };
            Value::Mapping(map.iter().map(put).collect::<Mapping>())
        }
        other => other.clone(),
    }
}

fn merge(into: &mut Value, other: &Value) {
    match (into, other) {
        (Value::Mapping(into), Value::Mapping(other)) => {
            for (name, value) in other {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, other) => *into = other.clone(),
    }
}

/// The values that the chart is given in a cloud: its layers, one over the other.
fn values(cloud: &str, choice: &dyn Fn(&str) -> String) -> Value {
    let mut merged = Value::Null;
    for layer in service()["helmChartConfiguration"]["layeredChartValues"]
        .as_sequence()
        .unwrap()
    {
        let scope = put_all(&layer["scope"], cloud, choice);
        let holds = scope
            .as_mapping()
            .is_none_or(|it| it.iter().all(|(name, value)| name == value));
        if holds {
            merge(&mut merged, &put_all(&layer["values"], cloud, choice));
        }
    }
    merged
}

fn helm_with(command: &[&str], values: &Value) -> Ended {
    let file = folder("omnistrate").join("values.yaml");
    std::fs::write(&file, serde_yaml_ng::to_string(values).unwrap()).unwrap();
    let helm = helm(command).args([
        "postgresql",
        chart().to_str().unwrap(),
        "--namespace",
        "production",
    ]);
    helm.arg("--values").arg(file).run()
}

fn made(cloud: &str, other: &[(&str, &str)]) -> Vec<Value> {
    let values = values(cloud, &chosen(other));
    documents(&helm_with(&["template"], &values).expect_code(0).stdout)
}

fn json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn the_specification_has_the_fields_that_omnistrate_knows() {
    let schema = super::read("tests/integration/chart/postgresql/omnistrate.schema.json");
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let spec = json(spec());
    assert_eq!(check(&schema, &schema, &spec, ""), Vec::<String>::new());
    for (pointer, name, value) in [
        (
            "/deployment/hostedDeployment",
            "AwsBootstrapRoleAccountArn",
            "arn".into(),
        ),
        ("/services/0", "loadBalancers", serde_json::Value::Null),
        ("/services/0/apiParameters/0", "defaultValue", 1.into()),
        ("/services/0/apiParameters/0", "tabIndex", 1.into()),
        (
            "/services/0/helmChartConfiguration",
            "chartRepoURL",
            "https://a".into(),
        ),
        (
            "/services/0/endpointConfiguration/reader",
            "networkingType",
            "OPEN".into(),
        ),
    ] {
        let mut changed = spec.clone();
        changed.pointer_mut(pointer).unwrap()[name] = value;
        assert!(
            !check(&schema, &schema, &changed, "").is_empty(),
            "{pointer}/{name}"
        );
    }
    let folder = spec["services"][0]["helmChartConfiguration"]["artifactRelativePath"].clone();
    assert!(
        repository()
            .join(folder.as_str().unwrap())
            .join("Chart.yaml")
            .exists()
    );
}

#[test]
fn what_is_used_is_declared_and_what_is_declared_is_used() {
    let variable = Regex::new(r"\$var\.([A-Za-z0-9]+)").unwrap();
    let mut used: BTreeSet<_> = variable
        .captures_iter(&text())
        .map(|it| it[1].to_owned())
        .collect();
    for it in service()["compute"]["instanceTypes"].as_sequence().unwrap() {
        used.insert(it["apiParam"].as_str().unwrap().to_owned());
    }
    let declared = parameters();
    let keys: BTreeSet<_> = declared
        .iter()
        .map(|it| it["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), declared.len());
    assert_eq!(keys, used);
    for parameter in declared {
        // Who is asked for nothing gets something.
        let has_default = !parameter["defaultValue"].is_null();
        assert_ne!(
            parameter["required"].as_bool(),
            Some(has_default),
            "{parameter:?}"
        );
        if let (Some(regex), Some(default)) = (
            parameter["regex"].as_str(),
            parameter["defaultValue"].as_str(),
        ) {
            assert!(
                Regex::new(regex).unwrap().is_match(default),
                "{parameter:?}"
            );
        }
    }
}

/// 2.8, 2.7: customers are shown the names that the Services have in DNS.
#[test]
fn the_endpoints_are_those_of_the_services() {
    let shown = &service()["endpointConfiguration"];
    let ports = &service()["network"]["ports"];
    for cloud in CLOUDS {
        let documents = made(cloud, &[("readReplicaCount", "2")]);
        for (endpoint, name) in [
            ("writer", "postgresql-master"),
            ("reader", "postgresql-read"),
        ] {
            let service = only(&documents, "Service", name);
            assert_eq!(service["spec"]["type"], "LoadBalancer");
            let named =
                &service["metadata"]["annotations"]["external-dns.alpha.kubernetes.io/hostname"];
            let host = put(
                shown[endpoint]["host"].as_str().unwrap(),
                cloud,
                &chosen(&[]),
            );
            assert_eq!(*named, host, "{cloud}");
            let certified = &values(cloud, &chosen(&[]))["tls"]["names"];
            let certified = certified.as_sequence().unwrap();
            assert!(certified.contains(&host.into()), "{cloud}");
            assert_eq!(&shown[endpoint]["ports"], ports);
            assert_eq!(service["spec"]["ports"][0]["port"], ports[0]);
        }
        assert_ne!(shown["writer"]["host"], shown["reader"]["host"]);
    }
    assert_eq!(shown["writer"]["primary"], true);
    assert_eq!(shown["reader"]["primary"], false);
}

/// 2.2, 2.4, 2.11, 2.14, 2.23: and none of its values is without effect.
#[test]
fn the_layers_of_each_cloud_make_what_the_customer_chose() {
    for (cloud, class) in CLOUDS.into_iter().zip([
        "gp3-immediate",
        "pd-standard-immediate",
        "managed-premium-immediate",
    ]) {
        let documents = made(
            cloud,
            &[
                ("readReplicaCount", "2"),
                ("storageSize", "40Gi"),
                ("username", "app"),
            ],
        );
        let set = stateful_set(&documents);
        assert_eq!(set["replicas"], 3);
        let claim = &set["volumeClaimTemplates"][0]["spec"];
        assert_eq!(claim["resources"]["requests"]["storage"], "40Gi");
        assert_eq!(claim["storageClassName"], class);
        let backups = only(&documents, "PersistentVolumeClaim", "postgresql-backup");
        assert_eq!(backups["spec"]["storageClassName"], class);
        let secret = only(&documents, "Secret", "postgresql");
        assert_eq!(secret["stringData"]["username"], "app");
        assert_eq!(secret["stringData"]["password"], "a-secret");
        let affinity = serde_yaml_ng::to_string(&set["template"]["spec"]["affinity"]).unwrap();
        for words in [
            "t3.medium",
            "eu-central-1",
            "r-1",
            "topologyKey: kubernetes.io/hostname",
        ] {
            assert!(affinity.contains(words), "{words}: {affinity}");
        }
        let label = &set["template"]["metadata"]["labels"]["omnistrate.com/schedule-mode"];
        assert_eq!(label, "exclusive");
        assert_eq!(names(&documents, "CronJob"), ["postgresql-backup"]);
        let writer = only(&documents, "Service", "postgresql-master");
        let annotations = writer["metadata"]["annotations"].as_mapping().unwrap();
        let of_amazon = annotations
            .keys()
            .filter(|it| it.as_str().unwrap().contains("aws-load-balancer"));
        assert_eq!(of_amazon.count(), if cloud == "aws" { 9 } else { 0 });
    }
    let said = helm_with(
        &["install", "--dry-run=client"],
        &values("gcp", &chosen(&[])),
    );
    let said = said.expect_code(0).stdout.clone();
    assert!(!said.contains("WARNING"), "{said}");
}

/// By itself the preset is what its first lines say.
#[test]
fn the_preset_installs_one_instance_behind_two_load_balancers() {
    let documents = documents(&super::preset("values-omnistrate.yaml").succeed().stdout);
    assert_eq!(stateful_set(&documents)["replicas"], 1);
    for name in ["postgresql-master", "postgresql-read"] {
        let service = only(&documents, "Service", name);
        assert_eq!(service["spec"]["type"], "LoadBalancer");
        assert_eq!(service["spec"]["selector"]["role"], "primary");
    }
}
