//! The operator, against a real API server and real PostgreSQL servers.

mod admission;
mod backups;
mod databases;
mod going;
mod leading;
mod manifests;
mod own;
pub(crate) mod rights;
mod takeover;
mod tls;
mod users;

use std::sync::{Arc, OnceLock};

use backuper::postgres::SslMode;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use scheduler::operator::crd::{self, DBCluster, Database};
use scheduler::operator::{Operator, Settings};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Namespace, eventually};
use crate::testbed::postgres::{self, shared};
use crate::testbed::{block_on, runtime, unique};

/// A cluster with the operator's kinds, and with the operator: one for all tests, as two would both work on what
/// each of them makes.
fn served() -> &'static Cluster {
    static OPERATOR: OnceLock<&Cluster> = OnceLock::new();
    OPERATOR.get_or_init(|| {
        let cluster = Cluster::shared();
        block_on(define(cluster));
        let settings = Settings {
            sslmode: SslMode::Prefer,
            all_namespaces: true,
            all_databases: true,
        };
        let client = block_on(rights::client(cluster));
        let operator = Operator::new(client, settings).serving(backups::service());
        let operator = Arc::new(operator);
        let (leading, leads) = watch::channel(true);
        runtime().spawn(async move {
            Box::pin(operator.work(leads, CancellationToken::new())).await;
            drop(leading);
        });
        cluster
    })
}

pub(crate) async fn define(cluster: &Cluster) {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client());
    for definition in crd::definitions() {
        let name = definition.name_any();
        let params = PatchParams::apply("it").force();
        let applied = api.patch(&name, &params, &Patch::Apply(&definition)).await;
        applied.unwrap();
        eventually("the kind is served", async || {
            let found = api.get(&name).await.unwrap();
            let conditions = found.status?.conditions?;
            let is = |it: &str| {
                conditions
                    .iter()
                    .any(|c| c.type_ == it && c.status == "True")
            };
            is("Established").then_some(())
        })
        .await;
    }
}

/// A namespace, and a DBCluster for its objects.
struct Stage {
    namespace: Namespace,
    cluster: String,
    server: &'static postgres::Cluster,
}

impl Stage {
    /// One whose DBCluster is the server that all tests share.
    async fn new(namespace: Namespace) -> Self {
        Self::on(namespace, shared(), ("postgres", shared().password())).await
    }

    async fn on(
        namespace: Namespace,
        server: &'static postgres::Cluster,
        login: (&str, &str),
    ) -> Self {
        let cluster = unique("dbc-");
        let stage = Self {
            namespace,
            cluster,
            server,
        };
        stage.secret("admin", login).await;
        let spec = stage.cluster_spec(server.port());
        stage.register(spec).await;
        stage
    }

    fn cluster_spec(&self, port: u16) -> Value {
        json!({
            "endpoint": "127.0.0.1",
            "port": port,
            "credentialsSecretRef": {"name": "admin", "namespace": self.namespace.name},
        })
    }

    async fn secret(&self, name: &str, (user, password): (&str, &str)) {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            string_data: Some(
                [("username", user), ("password", password)]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..Secret::default()
        };
        let params = PatchParams::apply("it").force();
        let api: Api<Secret> = self.namespace.api();
        api.patch(name, &params, &Patch::Apply(&secret))
            .await
            .unwrap();
    }

    async fn register(&self, spec: Value) {
        let object = json!({
            "apiVersion": "dbtether.io/v1alpha1", "kind": "DBCluster",
            "metadata": {"name": self.cluster}, "spec": spec,
        });
        let object: DBCluster = serde_json::from_value(object).unwrap();
        let api = self.clusters();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    fn clusters(&self) -> Api<DBCluster> {
        Api::all(self.namespace.cluster.client())
    }

    fn databases(&self) -> Api<Database> {
        self.namespace.api()
    }

    /// Makes a Database on the DBCluster.
    async fn database(&self, name: &str, mut spec: Value) -> Database {
        spec["clusterRef"] = json!({"name": self.cluster});
        self.database_of(name, spec, json!({})).await
    }

    async fn database_of(&self, name: &str, spec: Value, annotations: Value) -> Database {
        let object = json!({
            "apiVersion": "dbtether.io/v1alpha1", "kind": "Database",
            "metadata": {"name": name, "annotations": annotations}, "spec": spec,
        });
        let object: Database = serde_json::from_value(object).unwrap();
        let api = self.databases();
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    /// A Database as soon as it is in this phase.
    async fn phase(&self, name: &str, phase: &str) -> Database {
        let api = self.databases();
        let mut last = None;
        eventually(&format!("{name} is {phase}"), async || {
            let found = api.get(name).await.unwrap();
            let status = found.status.clone().unwrap_or_default();
            let is = status.phase.as_deref() == Some(phase)
                && status.observed_generation == found.meta().generation;
            last = Some(status);
            is.then_some(found)
        })
        .await
    }

    async fn cluster_phase(&self, phase: &str) -> DBCluster {
        let api = self.clusters();
        eventually(&format!("the DBCluster is {phase}"), async || {
            let found = api.get(&self.cluster).await.unwrap();
            let status = found.status.clone().unwrap_or_default();
            let is = status.phase.as_deref() == Some(phase)
                && status.observed_generation == found.meta().generation;
            is.then_some(found)
        })
        .await
    }

    async fn change(&self, name: &str, patch: Value) {
        let api = self.databases();
        let patch = Patch::Merge(patch);
        api.patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Deletes a Database, and waits until it is gone.
    async fn delete(&self, name: &str) {
        let api = self.databases();
        api.delete(name, &DeleteParams::default()).await.unwrap();
        eventually("the Database is gone", async || {
            api.get_opt(name).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    fn comment(&self, database: &str) -> String {
        let sql = format!(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database}'"
        );
        self.server.sql("postgres", &sql)
    }

    fn has(&self, database: &str) -> bool {
        let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'");
        self.server.sql("postgres", &sql) == "1"
    }

    /// The events of an object: reason and note.
    async fn events(&self, of: &str) -> Vec<String> {
        use k8s_openapi::api::events::v1::Event;
        let api: Api<Event> = self.namespace.api();
        let all = api.list(&kube::api::ListParams::default()).await.unwrap();
        let of = all
            .into_iter()
            .filter(|it| it.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(of));
        of.map(|it| {
            let reason = it.reason.unwrap_or_default();
            format!("{reason}: {}", it.note.unwrap_or_default())
        })
        .collect()
    }
}

/// A name that is a database's and, with `-`, an object's.
fn named(prefix: &str) -> (String, String) {
    let name = unique(prefix).replace('-', "_");
    (name.replace('_', "-"), name)
}

fn message(of: &Database) -> String {
    let status = of.status.clone().unwrap_or_default();
    status.message.unwrap_or_default()
}

/// The condition Ready: status and reason.
fn readiness(of: &Database) -> (String, String) {
    let conditions = of.status.clone().and_then(|it| it.conditions);
    let conditions = conditions.unwrap_or_default();
    let it = conditions.iter().find(|it| it.type_ == "Ready").unwrap();
    (it.status.clone(), it.reason.clone())
}
