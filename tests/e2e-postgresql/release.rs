//! A release of the chart: how it is installed, and what is asked of its pods.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::shell::{eventually, is_ours, kubectl, repository, run, state, try_run};

/// Where the cluster with replicas is, as its document has it.
pub(crate) const PRODUCTION: &str = "production";
/// Volumes that a test may use up; a claim that is deleted takes its own with it.
const VOLUMES: usize = 20;

pub(crate) struct Release {
    pub(crate) namespace: &'static str,
}

impl Release {
    /// A namespace whose pods must keep to the restricted profile.
    pub(crate) fn new(namespace: &'static str) -> Self {
        volumes();
        let _new = try_run("kubectl", &["create", "namespace", namespace]);
        let enforce = "pod-security.kubernetes.io/enforce=restricted";
        kubectl(&["label", "--overwrite", "namespace", namespace, enforce]);
        Self { namespace }
    }

    /// The cluster with replicas; everything of it runs and streams.
    pub(crate) fn production() -> &'static Self {
        static PRODUCTION_RELEASE: OnceLock<Release> = OnceLock::new();
        let release = PRODUCTION_RELEASE.get_or_init(|| {
            let release = Self::new(PRODUCTION);
            super::document::install();
            release
        });
        release.is_whole(release.members());
        release
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["-n", self.namespace], arguments].concat())
    }

    pub(crate) fn try_kubectl(&self, arguments: &[&str]) -> Option<String> {
        let (done, out, _) = try_run("kubectl", &[&["-n", self.namespace], arguments].concat());
        done.then(|| out.trim().to_owned())
    }

    /// `helm upgrade`, with the values that the release has and these.
    pub(crate) fn upgrade(&self, values: &[&str]) {
        let values = values.iter().map(|it| format!("--set={it}"));
        let values: Vec<String> = values.collect();
        self.helm(
            "upgrade",
            &[&["--reuse-values"], &borrowed(&values)[..]].concat(),
        );
    }

    pub(crate) fn helm(&self, verb: &str, more: &[&str]) {
        let chart = repository().join("charts/postgresql");
        let chart = chart.to_str().unwrap();
        let wait = ["--wait", "--timeout=300s", "--namespace", self.namespace];
        run(
            "helm",
            &[&[verb, "postgresql", chart], &wait[..], more].concat(),
        );
    }

    /// A statement by the superuser over a pod's socket; nothing where the pod does not answer.
    pub(crate) fn try_sql(&self, pod: &str, sql: &str) -> Option<String> {
        let psql = ["psql", "-XAtU", "postgres", "-d", "salon_core", "-c", sql];
        self.try_kubectl(&[&["exec", pod, "-c", "postgresql", "--"], &psql[..]].concat())
    }

    pub(crate) fn sql(&self, pod: &str, sql: &str) -> String {
        eventually(sql, async || self.try_sql(pod, sql))
    }

    /// A statement by a role with its password through a Service; nothing where it is refused.
    pub(crate) fn as_role(&self, login: (&str, &str), service: &str, sql: &str) -> Option<String> {
        let (user, password) = login;
        let psql = format!(
            "PGCONNECT_TIMEOUT=5 PGPASSWORD='{password}' exec psql -XAt -h {service} -U {user} -d salon_core -c \"{sql}\""
        );
        self.try_kubectl(&[
            "exec",
            "postgresql-0",
            "-c",
            "postgresql",
            "--",
            "sh",
            "-c",
            &psql,
        ])
    }

    /// A statement by a role from the node, since the database's pods may call nobody else; nothing where it is refused.
    pub(crate) fn on_node(&self, login: (&str, &str), how: &str, sql: &str) -> Option<String> {
        let (user, password) = login;
        let to = format!("{how} user={user} dbname=salon_core connect_timeout=5");
        let password = format!("PGPASSWORD={password}");
        let (done, out, _) = try_run("env", &[&password, "psql", "-XAt", &to, "-c", sql]);
        done.then(|| out.trim().to_owned())
    }

    /// How many pods the StatefulSet has.
    pub(crate) fn members(&self) -> usize {
        let replicas = "-o=jsonpath={.spec.replicas}";
        self.kubectl(&["get", "statefulset/postgresql", replicas])
            .parse()
            .unwrap()
    }

    /// The pod that the primary's Service leads to, which must be one alone.
    pub(crate) fn primary(&self) -> Option<String> {
        let pods = self.behind("postgresql-master");
        (pods.len() == 1).then(|| pods[0].clone())
    }

    /// The pods that a Service leads to.
    pub(crate) fn behind(&self, service: &str) -> Vec<String> {
        let of = format!("-l=kubernetes.io/service-name={service}");
        let ready = r#"-o=jsonpath={range .items[*].endpoints[?(@.conditions.ready==true)]}{.targetRef.name}{"\n"}{end}"#;
        let out = self.try_kubectl(&["get", "endpointslices", &of, ready]);
        let mut pods: Vec<String> = out.unwrap_or_default().lines().map(str::to_owned).collect();
        pods.sort();
        pods
    }

    /// Waits until there are so many members, one writes, and all others stream from it and are read from.
    pub(crate) fn is_whole(&self, members: usize) -> String {
        let streams = "select count(*) from pg_stat_replication where state = 'streaming'";
        eventually("a whole cluster", async || {
            let primary = self.primary()?;
            let streaming = self.try_sql(&primary, streams)?;
            let read = self.behind("postgresql-read");
            let apart = members == 1 || !read.contains(&primary);
            let whole =
                streaming == (members - 1).to_string() && read.len() == (members - 1).max(1);
            (whole && apart).then_some(primary)
        })
    }

    pub(crate) fn uid(&self, pod: &str) -> String {
        self.kubectl(&["get", "pod", pod, "-o=jsonpath={.metadata.uid}"])
    }

    /// The address of a Service, for clients on the node.
    pub(crate) fn address(&self, service: &str) -> String {
        self.kubectl(&["get", "service", service, "-o=jsonpath={.spec.clusterIP}"])
    }

    /// Takes a pod's claim from under it, and the volume with the claim; Kubernetes makes new ones.
    pub(crate) fn lose_volume(&self, pod: &str) {
        let claim = format!("postgresql-storage-{pod}");
        let uid = ["get", "pvc", &claim, "-o=jsonpath={.metadata.uid}"];
        let before = self.kubectl(&uid);
        self.kubectl(&["delete", "pvc", &claim, "--wait=false"]);
        self.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"]);
        eventually("another claim", async || {
            self.try_kubectl(&uid).filter(|it| *it != before)
        });
    }
}

pub(crate) fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// Volumes on our own cluster's node, which has nobody who makes them; on another cluster, its default class.
fn volumes() {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        if !is_ours() {
            return;
        }
        let mut objects = vec![
            "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: e2e-volumes, annotations: \
             {storageclass.kubernetes.io/is-default-class: \"true\"}}, provisioner: kubernetes.io/no-provisioner, \
             volumeBindingMode: WaitForFirstConsumer}"
                .to_owned(),
        ];
        for number in 0..VOLUMES {
            let folder: PathBuf = state().join(format!("volumes/e2e-{number}"));
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.display();
            objects.push(format!(
                "{{apiVersion: v1, kind: PersistentVolume, metadata: {{name: e2e-postgresql-{number}, labels: {{e2e: postgresql}}}}, \
                 spec: {{capacity: {{storage: 1Ti}}, accessModes: [ReadWriteOnce], storageClassName: e2e-volumes, \
                 persistentVolumeReclaimPolicy: Retain, local: {{path: {path}}}, nodeAffinity: {{required: {{nodeSelectorTerms: \
                 [{{matchExpressions: [{{key: kubernetes.io/os, operator: In, values: [linux]}}]}}]}}}}}}}}"
            ));
        }
        let file = state().join("volumes/objects.yaml");
        std::fs::write(&file, objects.join("\n---\n")).unwrap();
        kubectl(&["apply", "-f", file.to_str().unwrap()]);
    });
}
