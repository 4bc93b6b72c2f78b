//! What the operator may do, as its chart says: it runs with these rights in all tests here, and each is needed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use http::{Method, StatusCode, Uri};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use kube::Client;
use kube::api::{Api, ListParams, ObjectMeta, Patch, PatchParams};
use kube::client::ClientBuilder;
use scheduler::operator::crd::Database;
use serde::Deserialize as _;
use serde_json::json;

use super::{Stage, named, served};
use crate::cluster::{Cluster, eventually};
use crate::kubernetes::between::Between;
use crate::testbed::programs::repository;

const MANIFESTS: &str = "deploy/kubernetes/postgres-db-operator.yaml";
const USER: &str = "the-operator";

/// API group, resource and verb.
type Right = (String, String, String);

/// What the operator has done, and what it was not let do.
static DONE: Mutex<BTreeSet<Right>> = Mutex::new(BTreeSet::new());
static REFUSED: Mutex<BTreeSet<Right>> = Mutex::new(BTreeSet::new());

fn of(all: &Mutex<BTreeSet<Right>>) -> BTreeSet<Right> {
    all.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The rules of the operator's own role of a kind.
fn rules(kind: &str) -> Vec<PolicyRule> {
    let text = std::fs::read_to_string(repository().join(MANIFESTS)).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let mut documents = documents.map(|it| serde_yaml_ng::Value::deserialize(it).unwrap());
    let role = documents.find(|it| {
        let name = it["metadata"]["name"].as_str().unwrap_or_default();
        it["kind"] == kind && name.ends_with("-operator-operator")
    });
    serde_yaml_ng::from_value(role.expect(kind)["rules"].clone()).unwrap()
}

/// What the chart lets the operator do: in the whole cluster, and with Secrets where they are; with those of all
/// namespaces also what only makes it quicker.
fn given() -> Vec<PolicyRule> {
    let mut all = rules("ClusterRole");
    all.extend(rules("Role"));
    all.push(PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["secrets".to_owned()]),
        verbs: ["list", "watch"].map(str::to_owned).into(),
        ..PolicyRule::default()
    });
    all
}

pub(crate) fn flat(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let verbs = rule.verbs.iter();
                all.extend(verbs.map(|it| (group.clone(), resource.clone(), it.clone())));
            }
        }
    }
    all
}

/// The right that a request needs.
fn right(method: &Method, uri: &Uri) -> Option<Right> {
    let mut parts = uri.path().split('/').skip(1);
    let group = match parts.next()? {
        "api" => "",
        _ => parts.next()?,
    };
    let rest: Vec<&str> = parts.skip(1).collect();
    let rest = match rest.as_slice() {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    let (resource, is_one) = match rest {
        [resource] => ((*resource).to_owned(), false),
        [resource, _] => ((*resource).to_owned(), true),
        [resource, _, part] => (format!("{resource}/{part}"), true),
        _ => return None,
    };
    let watches = uri.query().is_some_and(|it| it.contains("watch=true"));
    let verb = match *method {
        Method::GET if is_one => "get",
        Method::GET if watches => "watch",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return None,
    };
    Some((group.to_owned(), resource, verb.to_owned()))
}

/// A client that may do what the chart says, and of which we hear what it does.
pub(super) async fn client(cluster: &Cluster) -> Client {
    let params = PatchParams::apply("it").force();
    let named = || ObjectMeta {
        name: Some(USER.to_owned()),
        ..ObjectMeta::default()
    };
    let role = ClusterRole {
        metadata: named(),
        rules: Some(given()),
        aggregation_rule: None,
    };
    let binding = ClusterRoleBinding {
        metadata: named(),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "ClusterRole".to_owned(),
            name: USER.to_owned(),
        },
        subjects: Some(vec![Subject {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "User".to_owned(),
            name: USER.to_owned(),
            namespace: None,
        }]),
    };
    let roles: Api<ClusterRole> = Api::all(cluster.client());
    let bindings: Api<ClusterRoleBinding> = Api::all(cluster.client());
    roles
        .patch(USER, &params, &Patch::Apply(&role))
        .await
        .unwrap();
    bindings
        .patch(USER, &params, &Patch::Apply(&binding))
        .await
        .unwrap();
    let databases: Api<Database> = Api::all(cluster.client_as(USER));
    eventually("the rights are given", async || {
        databases.list(&ListParams::default()).await.ok()
    })
    .await;
    let mut config = cluster.config();
    config.auth_info.impersonate = Some(USER.to_owned());
    let heard = Between::hearing(|method, uri, status| {
        let all = match status {
            StatusCode::FORBIDDEN => &REFUSED,
            _ => &DONE,
        };
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(right(method, uri));
    });
    let builder = ClientBuilder::try_from(config).unwrap();
    let seeing = super::own::seeing_the_others();
    builder.with_layer(&heard).with_layer(&seeing).build()
}

/// operator.md, W9 and W33: nothing but what is used. A kind that needs more does it here.
#[test]
fn each_right_that_the_chart_gives_is_used_and_none_is_missing() {
    served().within(async |namespace| {
        let stage = Stage::new(namespace).await;
        let (object, _) = named("rights");
        let spec = json!({"deletionPolicy": "Delete"});
        stage.database(&object, spec).await;
        stage.phase(&object, "Ready").await;
        // What comes again is told in the event that is there.
        let clusters = stage.clusters();
        for (port, phase) in [(1, "Failed"), (stage.server.port(), "Connected")] {
            let patch = Patch::Merge(json!({"spec": {"port": port}}));
            let params = PatchParams::default();
            clusters
                .patch(&stage.cluster, &params, &patch)
                .await
                .unwrap();
            stage.cluster_phase(phase).await;
        }
        stage.phase(&object, "Ready").await;
        super::users::one(&stage, &object).await;
        stage.delete(&object).await;
        super::backups::each_kind(stage).await;
        let given = flat(&given());
        let mut unused = given.clone();
        eventually(&format!("all of {given:?} is used"), async || {
            unused = given.difference(&of(&DONE)).cloned().collect();
            unused.is_empty().then_some(())
        })
        .await;
        // A namespace that goes takes nothing new: that is no right that is missing.
        let missing: Vec<Right> = of(&REFUSED).difference(&of(&DONE)).cloned().collect();
        assert!(missing.is_empty(), "{missing:?}");
    });
}

#[test]
fn a_request_needs_its_right() {
    let right = |method, uri: &str| {
        let (group, resource, verb) = right(&method, &uri.parse().unwrap()).unwrap();
        format!("{verb} {group}/{resource}")
    };
    let of = "/apis/dbtether.io/v1alpha1";
    assert_eq!(
        right(Method::GET, "/api/v1/namespaces/kube-system"),
        "get /namespaces"
    );
    assert_eq!(
        right(Method::GET, "/api/v1/namespaces/a/secrets/b"),
        "get /secrets"
    );
    assert_eq!(
        right(Method::GET, &format!("{of}/databases?&limit=500")),
        "list dbtether.io/databases"
    );
    assert_eq!(
        right(Method::GET, &format!("{of}/databases?&watch=true")),
        "watch dbtether.io/databases"
    );
    assert_eq!(
        right(
            Method::PATCH,
            &format!("{of}/namespaces/a/databases/b/status?")
        ),
        "patch dbtether.io/databases/status"
    );
}
