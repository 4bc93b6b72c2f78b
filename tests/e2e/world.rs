//! The cluster with everything installed, once per process, and how to speak to it.

use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::{Client, Resource};
use scheduler::api::proto::backup_service_client::BackupServiceClient;
use tonic::transport::{Channel, Endpoint};

pub(crate) use super::shell::{
    block_on, eventually, kubectl, repository, repository_of, run, runtime, try_run,
};

/// Where the adapter is installed.
pub(crate) const SYSTEM: &str = "oiler-backup-system";
/// Where the servers are.
pub(crate) const SERVERS: &str = "e2e-servers";
/// The release, and so the name of all that the chart makes.
pub(crate) const RELEASE: &str = "postgres-adapter";

/// The cluster, with the chart and the servers in it.
pub(crate) struct World {
    /// What the API server's clients use.
    pub(crate) client: Client,
    /// The address of PostgreSQL's Service.
    pub(crate) postgres: String,
    /// The address of the S3 server's Service.
    pub(crate) s3: String,
    /// The address of the adapter's Service.
    pub(crate) adapter: String,
    /// That of its metrics'.
    pub(crate) metrics: String,
}

/// An image of ours as the cluster has it.
pub(crate) fn image(program: &str) -> String {
    format!("{}:{}", repository_of(program), env!("CARGO_PKG_VERSION"))
}

/// The chart's values that say where our images are.
pub(crate) fn images() -> Vec<String> {
    let programs = ["scheduler", "backuper", "restorer"].into_iter();
    programs
        .map(|it| format!("--set=images.{it}.repository={}", repository_of(it)))
        .collect()
}

impl World {
    pub(crate) fn get() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::install)
    }

    fn install() -> Self {
        let servers = repository().join("tests/e2e/servers.yaml");
        kubectl(&["apply", "-f", servers.to_str().unwrap()]);
        let _new = try_run("kubectl", &["create", "namespace", SYSTEM]);
        kubectl(&[
            "label",
            "--overwrite",
            "namespace",
            SYSTEM,
            "pod-security.kubernetes.io/enforce=restricted",
        ]);
        let (there, ..) = try_run("helm", &["status", RELEASE, "--namespace", SYSTEM]);
        if there {
            Self::upgrade(&[]);
        } else {
            Self::helm_as_written(&Self::readme_install());
        }
        let core = repository().join("tests/e2e/core.yaml");
        kubectl(&["apply", "-f", core.to_str().unwrap()]);
        let kinds = [
            "crd/backuprequests.backup.oiler.backup",
            "crd/backuprestores.backup.oiler.backup",
        ];
        kubectl(
            &[
                &["wait", "--for=condition=established", "--timeout=60s"][..],
                &kinds,
            ]
            .concat(),
        );
        for name in ["postgres", "s3"] {
            let deployment = format!("deployment/{name}");
            kubectl(&[
                "-n",
                SERVERS,
                "rollout",
                "status",
                &deployment,
                "--timeout=180s",
            ]);
        }
        let client = block_on(Client::try_default()).expect("KUBECONFIG");
        let address = |namespace: &str, name: &str| {
            let services: Api<Service> = Api::namespaced(client.clone(), namespace);
            let service = block_on(services.get(name)).unwrap();
            service.spec.unwrap().cluster_ip.unwrap()
        };
        Self {
            postgres: address(SERVERS, "postgres"),
            s3: address(SERVERS, "s3"),
            adapter: address(SYSTEM, RELEASE),
            metrics: address(SYSTEM, &format!("{RELEASE}-metrics")),
            client: client.clone(),
        }
    }

    /// README's command that installs the chart.
    pub(crate) fn readme_install() -> String {
        let section = super::readme::section("## On Kubernetes");
        let block = super::readme::blocks(&section).remove(0);
        block.lines().next().unwrap().to_owned()
    }

    /// A command of README's with helm: as it stands there, but for the images, which this cluster
    /// may have under other names, and the wait.
    pub(crate) fn helm_as_written(command: &str) {
        let images = images().join(" ");
        let command = command.trim_end();
        Self::shell(&format!("{command} {images} --wait --timeout=180s"));
    }

    /// Runs a script in the repository's folder; gives what it prints.
    pub(crate) fn shell(script: &str) -> String {
        let directory = format!("cd '{}'", repository().display());
        run(
            "bash",
            &["-euo", "pipefail", "-c", &format!("{directory}\n{script}")],
        )
    }

    /// Changes what is installed, and waits until it serves. A value of JSON stands behind `:=`.
    pub(crate) fn upgrade(values: &[&str]) {
        let chart = repository().join("charts/postgres-adapter");
        let mut arguments: Vec<String> = [
            "upgrade",
            "--install",
            RELEASE,
            chart.to_str().unwrap(),
            "--namespace",
            SYSTEM,
            "--wait",
            "--timeout=180s",
            "--reset-values",
        ]
        .map(str::to_owned)
        .to_vec();
        arguments.extend(images());
        for value in values {
            arguments.push(match value.split_once(":=") {
                Some((name, json)) => format!("--set-json={name}={json}"),
                None => format!("--set={value}"),
            });
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run("helm", &arguments);
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), SYSTEM)
    }

    /// A client of the scheduler, through its Service.
    pub(crate) fn scheduler(&self) -> BackupServiceClient<Channel> {
        Self::scheduler_at(&self.adapter)
    }

    pub(crate) fn scheduler_at(address: &str) -> BackupServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{address}:50051")).unwrap();
        let endpoint = endpoint.connect_timeout(Duration::from_secs(5));
        let _inside = runtime().enter();
        BackupServiceClient::new(endpoint.connect_lazy())
    }
}
