//! charts/postgresql, as far as what it renders says: numbers are those of the claims of its design. What pods
//! make of it is seen by `make e2e-postgresql`.

mod alerts;
mod backups;
mod failover;
mod objects;
mod passwords;
mod pgbackrest;
mod pods;
mod pooler;
mod refusals;
mod settings;

use std::path::PathBuf;

use serde_yaml_ng::Value;

use super::{documents, helm, only, read, render_of, with_values};
use crate::testbed::programs::{Ended, Prepared, repository};

fn chart() -> PathBuf {
    repository().join("charts/postgresql")
}

fn render(values: &[&str]) -> Ended {
    render_of(&chart(), ("postgresql", "production"), "1.34.0", values)
}

/// What is rendered for the release `postgresql`, which is no error.
fn rendered(values: &[&str]) -> Vec<Value> {
    documents(&render(values).expect_code(0).stdout)
}

fn is_refused(values: &[&str], words: &str) {
    let ended = render(values);
    assert_ne!(ended.code(), Some(0), "{values:?}");
    assert!(ended.stderr.contains(words), "{values:?}: {}", ended.stderr);
}

fn notes(values: &[&str]) -> String {
    let chart = chart();
    let helm = helm(&["install", "postgresql", chart.to_str().unwrap()]).args([
        "--namespace",
        "production",
        "--dry-run=client",
    ]);
    let said = with_values(helm, values).succeed().stdout;
    said.split_once("\nNOTES:\n").expect("notes").1.to_owned()
}

fn stateful_set(documents: &[Value]) -> Value {
    only(documents, "StatefulSet", "postgresql")["spec"].clone()
}

fn pod(documents: &[Value]) -> Value {
    stateful_set(documents)["template"]["spec"].clone()
}

fn container(documents: &[Value], name: &str) -> Value {
    named(&pod(documents)["containers"], name)
}

/// The one of a list that has a name.
fn named(list: &Value, name: &str) -> Value {
    let found = list
        .as_sequence()
        .unwrap()
        .iter()
        .find(|it| it["name"] == name);
    found
        .unwrap_or_else(|| panic!("{name} in {list:?}"))
        .clone()
}

/// A file of a ConfigMap that is YAML itself.
fn file(documents: &[Value], config_map: &str, name: &str) -> Value {
    let map = only(documents, "ConfigMap", config_map);
    serde_yaml_ng::from_str(map["data"][name].as_str().expect(name)).unwrap()
}

fn names(documents: &[Value], kind: &str) -> Vec<String> {
    let of_kind = documents.iter().filter(|it| it["kind"] == kind);
    of_kind
        .map(|it| it["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Values that people combine.
const COMBINATIONS: [&[&str]; 5] = [
    &[],
    &[
        "replication.replicas=3",
        "auth.username=salon",
        "auth.database=salon_core",
        "metrics.enabled=true",
        "networkPolicy.allowExternal=false",
        "pooler.enabled=true",
        "pooler.topologySpreadConstraints:=[{\"maxSkew\":1,\"topologyKey\":\"zone\",\"whenUnsatisfiable\":\"DoNotSchedule\"}]",
        "pooler.priorityClassName=high",
        "pooler.nodeSelector.disk=ssd",
        "pooler.tolerations:=[{\"operator\":\"Exists\"}]",
        "pooler.service.type=LoadBalancer",
        "networkPolicy.ingressFrom:=[{\"namespaceSelector\":{}}]",
        "networkPolicy.metricsFrom:=[{\"namespaceSelector\":{}}]",
        "networkPolicy.apiServer.cidrs={10.0.0.1/32}",
        "networkPolicy.extraIngress:=[{\"ports\":[{\"port\":1}]}]",
        "networkPolicy.extraEgress:=[{\"ports\":[{\"port\":443}]}]",
        "replication.numSynchronousReplicas=2",
        "primary.initdb.scripts:={\"a.sql\":\"create table a ();\"}",
        "primary.podAntiAffinityPreset=hard",
        "primary.topologySpreadConstraints:=[{\"maxSkew\":1,\"topologyKey\":\"zone\",\"whenUnsatisfiable\":\"DoNotSchedule\"}]",
        "primary.priorityClassName=high",
        "primary.nodeSelector.disk=ssd",
        "primary.tolerations:=[{\"operator\":\"Exists\"}]",
        "primary.sidecars:=[{\"name\":\"beside\",\"image\":\"a:1\"}]",
        "primary.initContainers:=[{\"name\":\"first\",\"image\":\"a:1\"}]",
        "primary.extraVolumes:=[{\"name\":\"v\",\"emptyDir\":{}}]",
        "primary.extraVolumeMounts:=[{\"name\":\"v\",\"mountPath\":\"/v\"}]",
        "primary.extraEnvVars:=[{\"name\":\"A\",\"value\":\"b\"}]",
        "commonLabels.team=data",
        "commonAnnotations.team=data",
        "global.imagePullSecrets={registry}",
    ],
    &[
        "architecture=replication",
        "failover.mode=manual",
        "backup.enabled=true",
        "backup.s3.bucket=dumps",
        "backup.s3.caSecret=ca",
        "backup.s3.existingSecret=keys",
        "backup.serviceAccountName=backups",
        "backup.nodeSelector.disk=hdd",
        "auth.existingSecret=mine",
        "failover.existingSecret=mine-too",
        "primary.service.type=LoadBalancer",
        "primary.service.loadBalancerClass=example.com/nlb",
        "primary.service.loadBalancerSourceRanges={10.0.0.0/8}",
        "primary.service.externalTrafficPolicy=Local",
        "primary.service.sessionAffinity=ClientIP",
        "primary.service.nodePorts.postgresql=30432",
        "readReplicas.service.type=NodePort",
        "extraDeploy:=[\"{kind: ConfigMap, apiVersion: v1, metadata: {name: '{{ .Release.Name }}-more'}}\"]",
    ],
    &[
        "replication.replicas=1",
        "pgbackrest.enabled=true",
        "pgbackrest.s3.bucket=wal",
        "pgbackrest.s3.credentials.accessKeyId=a",
        "pgbackrest.s3.credentials.secretAccessKey=b",
        "pgbackrest.minio.tls.enabled=true",
        "pgbackrest.minio.tls.existingSecret=ca",
        "pgbackrest.repo.cipher.existingSecret=phrase",
        "pgbackrest.repo.retention.diff=3",
        "pgbackrest.backup.differentialSchedule=0 3 * * *",
        "pgbackrest.backup.nodeSelector.disk=hdd",
        "pgbackrest.backup.tolerations:=[{\"operator\":\"Exists\"}]",
        "pgbackrest.server.existingSecret=tls",
        "pgbackrest.verify.enabled=true",
        "pgbackrest.verify.size=20Gi",
        "restore.enabled=true",
        "restore.source.path=/production/old",
        "networkPolicy.s3.cidrs={10.0.0.0/8}",
        "commonLabels.team=data",
        "global.imagePullSecrets={registry}",
    ],
    &[
        "primary.persistence.enabled=false",
        "primary.pdb.create=false",
        "networkPolicy.enabled=false",
        "rbac.create=false",
        "serviceAccount.create=false",
        "readReplicas.maxLag=",
        "fullnameOverride=a-name-of-forty-five-characters-is-the-longes",
    ],
];

#[test]
fn the_chart_passes_helms_own_check_with_what_people_combine() {
    for values in COMBINATIONS {
        with_values(
            helm(&["lint", "--strict", chart().to_str().unwrap()]),
            values,
        )
        .succeed();
    }
}

#[test]
fn what_is_rendered_is_right_for_the_oldest_and_the_newest_kubernetes() {
    let kept = super::kept_by_with("kubernetes-schemas.sh", &[]);
    for version in ["1.29.15", "1.36.3"] {
        let schemas = crate::testbed::folder("postgresql-schemas");
        super::schemas::write_schemas(&kept.join(format!("v{version}.json")), &schemas);
        for values in COMBINATIONS {
            let rendered = render_of(&chart(), ("postgresql", "production"), version, values);
            super::schemas::kubeconform(&schemas, &rendered.expect_code(0).stdout).expect_code(0);
        }
        let preset = preset("values-production.yaml").succeed().stdout;
        super::schemas::kubeconform(&schemas, &preset).expect_code(0);
    }
}

/// What is rendered of one of the chart's own files of values.
fn preset(file: &str) -> Prepared {
    let chart = chart();
    helm(&[
        "template",
        "postgresql",
        chart.to_str().unwrap(),
        "--values",
    ])
    .arg(chart.join(file))
    .args(["--namespace", "production"])
}

/// 4.7, 4.8 and the figures beside them.
#[test]
fn the_preset_has_the_figures_of_its_document() {
    let documents = documents(&preset("values-production.yaml").succeed().stdout);
    let set = stateful_set(&documents);
    assert_eq!(set["replicas"], 4);
    let claim = &set["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"];
    assert_eq!(claim, "500Gi");
    let requests = &container(&documents, "postgresql")["resources"]["requests"];
    assert_eq!(requests["cpu"], "2000m");
    assert_eq!(requests["memory"], "4Gi");
    let settings = file(&documents, "postgresql-config", "settings.yaml");
    assert_eq!(
        settings["store"]["postgresql"]["parameters"]["max_connections"],
        "500"
    );
    assert_eq!(settings["database"], "salon_core");
    let patroni = file(&documents, "postgresql-config", "patroni.yaml");
    let parameters = &patroni["postgresql"]["parameters"];
    for (name, value) in [
        ("shared_buffers", "2GB"),
        ("effective_cache_size", "6GB"),
        ("work_mem", "4MB"),
    ] {
        assert_eq!(parameters[name], value, "{name}");
    }
}

#[test]
fn the_scripts_say_nothing_to_shellcheck_and_compile() {
    let files = chart().join("files");
    let compiled = "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')";
    for script in ["settings.py", "pgbackrest.py", "pooler.py"] {
        Prepared::new("python3")
            .args(["-c", compiled])
            .arg(files.join(script))
            .succeed();
    }
    for script in ["start.sh", "exporter.sh", "minio-ca.sh", "server.sh"] {
        Prepared::new("sh")
            .arg("-n")
            .arg(files.join(script))
            .succeed();
        assert!(read(&format!("charts/postgresql/files/{script}")).starts_with("#!/bin/sh\n"));
    }
}
