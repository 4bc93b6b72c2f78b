//! A Kubernetes control plane without nodes: etcd, kube-apiserver and kube-controller-manager on
//! loopback, one for all tests of this process, a namespace for each test.
//!
//! Pods stay pending, since nobody runs them; a test plays the kubelet with [`Namespace::end_pod`].

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Pod, Secret, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

use crate::testbed::programs;
use crate::testbed::server::{self, Server};
use crate::testbed::tls::Authority;
use crate::testbed::{self, block_on, runtime, unique};

/// The control plane.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    bin: PathBuf,
    authority: String,
    etcd_port: u16,
    port: u16,
    apiserver: Mutex<Option<Server>>,
    others: Mutex<Vec<Server>>,
    in_use: RwLock<()>,
}

/// The core's cluster-scoped kind, as far as its place in an owner reference goes.
const BACKUP_REQUESTS: &str = "backuprequests.backup.oiler.backup";
const TOKEN: &str = "the-administrator-of-a-throw-away-cluster";

impl Cluster {
    /// The one of this process. Not for use inside a runtime.
    pub(crate) fn shared() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(Self::start)
    }

    fn start() -> Self {
        runtime();
        let folder = testbed::folder("kubernetes");
        let authority = Authority::new();
        let certificate = authority.sign(&["localhost", "127.0.0.1", "kubernetes.default.svc"]);
        let service_accounts = rcgen::KeyPair::generate().expect("a key");
        for (name, text) in [
            ("ca.crt", authority.pem()),
            ("apiserver.crt", &certificate.pem),
            ("apiserver.key", &certificate.key_pem),
            ("sa.key", &service_accounts.serialize_pem()),
            ("sa.pub", &service_accounts.public_key_pem()),
            (
                "tokens.csv",
                &format!("{TOKEN},admin,1,\"system:masters\"\n"),
            ),
        ] {
            std::fs::write(folder.join(name), text).expect("a file");
        }
        let cluster = Self {
            bin: servers(),
            folder,
            authority: authority.pem().to_owned(),
            etcd_port: free_port(),
            port: free_port(),
            apiserver: Mutex::new(None),
            others: Mutex::new(Vec::new()),
            in_use: RwLock::new(()),
        };
        cluster.write_kubeconfig();
        cluster.start_etcd();
        block_on(async {
            cluster.start_apiserver().await;
            cluster.define_backup_requests().await;
        });
        cluster.start_controllers();
        cluster
    }

    fn start_etcd(&self) {
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", free_port());
        let server = self.run(
            "etcd",
            &[
                format!("--data-dir={}", self.folder.join("etcd").display()),
                "--name=only".to_owned(),
                "--unsafe-no-fsync".to_owned(),
                "--log-level=warn".to_owned(),
                "--quota-backend-bytes=2147483648".to_owned(),
                format!("--listen-client-urls={client}"),
                format!("--advertise-client-urls={client}"),
                format!("--listen-peer-urls={peer}"),
                format!("--initial-advertise-peer-urls={peer}"),
                format!("--initial-cluster=only={peer}"),
            ],
        );
        self.others.lock().expect("unpoisoned").push(server);
    }

    /// Starts the API server, also after [`Cluster::stop_apiserver`], and waits until it is ready.
    pub(crate) async fn start_apiserver(&self) {
        let file = |name: &str| self.folder.join(name).display().to_string();
        let server = self.run(
            "kube-apiserver",
            &[
                format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
                "--bind-address=127.0.0.1".to_owned(),
                "--advertise-address=127.0.0.1".to_owned(),
                // The endpoints of the service `kubernetes` must not be loopback, and nobody asks.
                "--endpoint-reconciler-type=none".to_owned(),
                format!("--secure-port={}", self.port),
                "--service-cluster-ip-range=10.96.0.0/24".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                format!("--token-auth-file={}", file("tokens.csv")),
                format!("--tls-cert-file={}", file("apiserver.crt")),
                format!("--tls-private-key-file={}", file("apiserver.key")),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", file("sa.pub")),
                format!("--service-account-signing-key-file={}", file("sa.key")),
                format!("--cert-dir={}", self.folder.display()),
                // What keeps privileged pods out has to be ours.
                "--allow-privileged=true".to_owned(),
                "--profiling=false".to_owned(),
            ],
        );
        *self.apiserver.lock().expect("unpoisoned") = Some(server);
        let client = self.client();
        let start = Instant::now();
        while !ready(&client).await {
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "kube-apiserver is not ready:\n{}",
                self.log("kube-apiserver")
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops the API server; the rest stays.
    pub(crate) fn stop_apiserver(&self) {
        drop(self.apiserver.lock().expect("unpoisoned").take());
    }

    fn start_controllers(&self) {
        let kubeconfig = self.folder.join("kubeconfig").display().to_string();
        let server = self.run(
            "kube-controller-manager",
            &[
                format!("--kubeconfig={kubeconfig}"),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
                "--kube-api-qps=500".to_owned(),
                "--kube-api-burst=1000".to_owned(),
                "--controllers=cronjob-controller,job-controller,garbage-collector-controller,\
                 serviceaccount-controller,namespace-controller,ttl-after-finished-controller,\
                 pod-garbage-collector-controller"
                    .to_owned(),
            ],
        );
        self.others.lock().expect("unpoisoned").push(server);
    }

    fn run(&self, program: &str, arguments: &[String]) -> Server {
        let path = self.folder.join(format!("{program}.log"));
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .expect("a log");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        server::start(None, &self.bin.join(program), &arguments, log)
    }

    fn log(&self, program: &str) -> String {
        let path = self.folder.join(format!("{program}.log"));
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn write_kubeconfig(&self) {
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {
                "server": self.url(),
                "certificate-authority": self.folder.join("ca.crt"),
            }}],
            "users": [{"name": "it", "user": {"token": TOKEN}}],
        });
        std::fs::write(self.kubeconfig(), text.to_string()).expect("a file");
    }

    /// A kubeconfig file of the administrator's.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The key that signs the tokens of ServiceAccounts, as PEM.
    pub(crate) fn token_key(&self) -> String {
        std::fs::read_to_string(self.folder.join("sa.key")).expect("the key")
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// How the administrator reaches the cluster.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::new(self.url().parse().expect("a URL"));
        let pem = self.authority.as_bytes();
        let der = CertificateDer::from_pem_slice(pem).expect("a certificate");
        config.root_cert = Some(vec![der.to_vec()]);
        config.auth_info.token = Some(TOKEN.to_owned().into());
        config
    }

    /// A client of the administrator's; inside a runtime.
    pub(crate) fn client(&self) -> Client {
        Client::try_from(self.config()).expect("a client")
    }

    /// Another user's client.
    pub(crate) fn client_as(&self, user: &str) -> Client {
        let mut config = self.config();
        config.auth_info.impersonate = Some(user.to_owned());
        Client::try_from(config).expect("a client")
    }

    /// Runs a test in a new namespace.
    pub(crate) fn within<T>(&'static self, test: impl AsyncFnOnce(Namespace) -> T) -> T {
        let _others_may_too = self.in_use.read().unwrap_or_else(PoisonError::into_inner);
        self.run_test(test)
    }

    /// Runs a test that stops the API server, when no other test needs it.
    pub(crate) fn alone<T>(&'static self, test: impl AsyncFnOnce(Namespace) -> T) -> T {
        let _nobody_else = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        self.run_test(test)
    }

    fn run_test<T>(&'static self, test: impl AsyncFnOnce(Namespace) -> T) -> T {
        block_on(async {
            let namespace = Namespace::create(self).await;
            let answer = test(namespace.clone()).await;
            namespace.remove().await;
            answer
        })
    }

    async fn define_backup_requests(&self) {
        let definition: CustomResourceDefinition = serde_json::from_value(json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": BACKUP_REQUESTS},
            "spec": {
                "group": "backup.oiler.backup",
                "scope": "Cluster",
                "names": {"plural": "backuprequests", "singular": "backuprequest",
                          "kind": "BackupRequest", "listKind": "BackupRequestList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {
                    "openAPIV3Schema": {"type": "object",
                                        "x-kubernetes-preserve-unknown-fields": true}}}],
            },
        }))
        .expect("a definition");
        Api::all(self.client())
            .create(&PostParams::default(), &definition)
            .await
            .expect("the definition is new");
    }

    /// The core's objects.
    pub(crate) fn backup_requests(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("backup.oiler.backup", "v1", "BackupRequest");
        Api::all_with(self.client(), &ApiResource::from_gvk(&kind))
    }

    /// Creates one of the core's objects.
    pub(crate) async fn create_backup_request(&self) -> DynamicObject {
        let kind = GroupVersionKind::gvk("backup.oiler.backup", "v1", "BackupRequest");
        let object = DynamicObject::new(&unique("request-"), &ApiResource::from_gvk(&kind));
        let api = self.backup_requests();
        eventually("a BackupRequest can be made", async || {
            api.create(&PostParams::default(), &object).await.ok()
        })
        .await
    }
}

async fn ready(client: &Client) -> bool {
    let request = http::Request::get("/readyz")
        .body(Vec::new())
        .expect("a request");
    client.request_text(request).await.is_ok()
}

/// Where the servers are; builds what is missing.
fn servers() -> PathBuf {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| kept_by("kubernetes.sh")).clone()
}

/// Where a script of scripts/tools keeps what it installs; installs what is missing.
pub(crate) fn kept_by(script: &str) -> PathBuf {
    kept_by_with(script, &[])
}

/// As [`kept_by`], of a script that takes arguments.
pub(crate) fn kept_by_with(script: &str, arguments: &[&str]) -> PathBuf {
    let script = programs::repository().join("scripts/tools").join(script);
    let script = programs::Prepared::new(script).envs(&places());
    let ended = script.args(arguments.iter().copied()).succeed();
    let place = ended.stdout.lines().last().expect("a place");
    PathBuf::from(place)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a script's own setting is handed through, not read"
)]
pub(crate) fn places() -> testbed::Env {
    let names = ["HOME", "XDG_CACHE_HOME"].into_iter();
    names
        .filter_map(|it| Some((it.to_owned(), std::env::var(it).ok()?)))
        .collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Asks again until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what}: not within a minute"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A test's own namespace.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    /// The cluster it is in.
    pub(crate) cluster: &'static Cluster,
    /// Its name.
    pub(crate) name: String,
}

impl Namespace {
    pub(crate) async fn create(cluster: &'static Cluster) -> Self {
        let it = Self {
            cluster,
            name: unique("test-"),
        };
        let namespace = KubeNamespace {
            metadata: ObjectMeta {
                name: Some(it.name.clone()),
                // What we render must be let in by the strictest of Kubernetes' profiles.
                labels: Some(BTreeMap::from([(
                    "pod-security.kubernetes.io/enforce".to_owned(),
                    "restricted".to_owned(),
                )])),
                ..ObjectMeta::default()
            },
            ..KubeNamespace::default()
        };
        Api::all(cluster.client())
            .create(&PostParams::default(), &namespace)
            .await
            .expect("the namespace is new");
        let accounts: Api<ServiceAccount> = it.api();
        eventually("the ServiceAccount default", async || {
            accounts.get_opt("default").await.ok().flatten()
        })
        .await;
        it
    }

    pub(crate) async fn remove(&self) {
        Api::<KubeNamespace>::all(self.cluster.client())
            .delete(&self.name, &kube::api::DeleteParams::default())
            .await
            .expect("the namespace goes");
    }

    /// The administrator's view of one kind of objects.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client(), &self.name)
    }

    /// All CronJobs.
    pub(crate) async fn cron_jobs(&self) -> Vec<CronJob> {
        let api: Api<CronJob> = self.api();
        api.list(&ListParams::default())
            .await
            .expect("a list")
            .items
    }

    /// All Jobs.
    pub(crate) async fn jobs(&self) -> Vec<Job> {
        let api: Api<Job> = self.api();
        api.list(&ListParams::default())
            .await
            .expect("a list")
            .items
    }

    /// All Jobs that are not suspended.
    pub(crate) async fn started_jobs(&self) -> Vec<Job> {
        let mut jobs = self.jobs().await;
        jobs.retain(|it| it.spec.as_ref().and_then(|it| it.suspend) != Some(true));
        jobs
    }

    /// All Secrets.
    pub(crate) async fn secrets(&self) -> Vec<Secret> {
        let api: Api<Secret> = self.api();
        api.list(&ListParams::default())
            .await
            .expect("a list")
            .items
    }

    /// All Pods.
    pub(crate) async fn pods(&self) -> Vec<Pod> {
        let api: Api<Pod> = self.api();
        api.list(&ListParams::default())
            .await
            .expect("a list")
            .items
    }

    /// The one Pod of a Job, as soon as it is there.
    pub(crate) async fn pod_of(&self, job: &str) -> Pod {
        let api: Api<Pod> = self.api();
        let selector = ListParams::default().labels(&format!("job-name={job}"));
        eventually("the Job's pod", async || {
            let mut pods = api.list(&selector).await.expect("a list").items;
            (pods.len() == 1).then(|| pods.remove(0))
        })
        .await
    }

    /// Plays the kubelet: the pod's container ended with this exit code and these last words.
    pub(crate) async fn end_pod(&self, pod: &str, exit_code: i32, message: &str) {
        self.patch_pod(pod, exit_code, message, json!([])).await;
    }

    /// Plays the kubelet: the pod's container runs.
    pub(crate) async fn run_pod(&self, pod: &str) {
        let status = json!({"status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        let api: Api<Pod> = self.api();
        api.patch_status(pod, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the pod's status");
    }

    /// Plays a node that is drained under the pod.
    pub(crate) async fn disrupt_pod(&self, pod: &str) {
        let conditions = json!([{"type": "DisruptionTarget", "status": "True",
            "reason": "EvictionByEvictionAPI", "lastTransitionTime": "2026-11-20T00:00:00Z"}]);
        self.patch_pod(pod, 143, "stopped", conditions).await;
    }

    async fn patch_pod(&self, pod: &str, code: i32, message: &str, conditions: serde_json::Value) {
        let api: Api<Pod> = self.api();
        let found = api.get(pod).await.expect("the pod");
        let container = found.spec.expect("a spec").containers[0].name.clone();
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [{
                "name": container, "image": "it", "imageID": "it", "ready": false,
                "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "message": message,
                                         "reason": if code == 0 { "Completed" } else { "Error" }}},
            }],
        }});
        api.patch_status(pod, &PatchParams::default(), &Patch::Merge(status))
            .await
            .expect("the pod's status");
    }
}

#[test]
fn the_api_server_comes_back_with_all_it_had() {
    Cluster::shared().alone(async |namespace| {
        let request = namespace.cluster.create_backup_request().await;
        let name = request.metadata.name.expect("a name");
        let api = namespace.cluster.backup_requests();
        namespace.cluster.stop_apiserver();
        assert!(api.get(&name).await.is_err(), "nobody is there to answer");
        namespace.cluster.start_apiserver().await;
        api.get(&name).await.expect("it is still there");
    });
}
