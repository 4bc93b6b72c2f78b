//! Who reaches the scheduler and the workers, by the policies that are rendered.

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{documents, render};

fn policies(values: &[&str]) -> Vec<NetworkPolicy> {
    let documents = documents(&render("system", "1.34.0", values).expect_code(0).stdout);
    let policies = documents
        .into_iter()
        .filter(|it| it["kind"] == "NetworkPolicy");
    policies
        .map(|it| serde_yaml_ng::from_value(it).unwrap())
        .collect()
}

fn named(port: &str) -> IntOrString {
    IntOrString::String(port.to_owned())
}

/// The rules that open a port, of a policy that there is.
fn rules_of(policy: &NetworkPolicy, port: &str) -> Vec<NetworkPolicyIngressRule> {
    let rules = policy.spec.as_ref().unwrap().ingress.clone().unwrap();
    let opens = |it: &NetworkPolicyIngressRule| {
        let mut ports = it.ports.iter().flatten();
        ports.any(|it| it.port == Some(named(port)))
    };
    rules.into_iter().filter(opens).collect()
}

/// S01.
#[test]
fn the_core_alone_reaches_the_calls_and_no_worker_does() {
    let policy = policies(&[]).remove(0);
    let rules = rules_of(&policy, "grpc");
    assert_eq!(rules.len(), 1);
    let from = rules[0].from.clone().unwrap();
    let core = &from[0];
    let namespace = core
        .namespace_selector
        .clone()
        .unwrap()
        .match_labels
        .unwrap();
    assert_eq!(
        namespace["kubernetes.io/metadata.name"],
        "oiler-backup-system"
    );
    let pods = core.pod_selector.clone().unwrap();
    let excluded = &pods.match_expressions.unwrap()[0];
    assert_eq!(excluded.operator, "NotIn");
    assert_eq!(excluded.values.clone().unwrap(), ["postgres-adapter"]);
    for rule in rules_of(&policy, "admin") {
        let from = rule.from.expect("not everybody");
        assert!(!from.is_empty());
    }
}

/// Values that are maps are merged, and a label beside the default one would let nobody in.
#[test]
fn labels_of_ones_own_take_the_place_of_the_namespaces_name() {
    let own = [
        "networkPolicy.coreNamespaceLabels.team=backup",
        "networkPolicy.corePodLabels.app=core",
    ];
    let policy = policies(&own).remove(0);
    let core = rules_of(&policy, "grpc")[0].from.clone().unwrap().remove(0);
    let labels = core.namespace_selector.unwrap().match_labels.unwrap();
    assert_eq!(
        labels.into_iter().collect::<Vec<_>>(),
        [("team".to_owned(), "backup".to_owned())]
    );
    assert_eq!(
        core.pod_selector.unwrap().match_labels.unwrap()["app"],
        "core"
    );
}

#[test]
fn workers_go_where_they_want_unless_their_ports_are_said() {
    let types = |values: &[&str]| {
        let workers = policies(values).remove(1).spec.unwrap();
        (
            workers.policy_types.unwrap(),
            workers.egress,
            workers.ingress,
        )
    };
    let (of, egress, ingress) = types(&[]);
    assert_eq!(
        (of, egress, ingress),
        (vec!["Ingress".to_owned()], None, None)
    );
    let (of, egress, _) = types(&["networkPolicy.workerPorts:=[5432]"]);
    assert_eq!(of, ["Ingress", "Egress"]);
    assert_eq!(egress.unwrap().len(), 2, "DNS and PostgreSQL");
}

#[test]
fn policies_can_be_turned_off() {
    assert!(policies(&["networkPolicy.enabled=false"]).is_empty());
}
