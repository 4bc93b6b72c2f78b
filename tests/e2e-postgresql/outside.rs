//! What others see of the pods: their metrics, and what the runbook has people look at.

use super::pages;
use super::release::Release;
use super::shell::{eventually, repository, run, try_run};

/// 2.24, 4.9, and each metric that the dashboard and the alerts were tried with.
#[test]
fn each_pod_tells_its_metrics() {
    let release = Release::production();
    let mut told = String::new();
    for pod in (0..release.members()).map(|it| format!("postgresql-{it}")) {
        let address = release.kubectl(&["get", "pod", &pod, "-o=jsonpath={.status.podIP}"]);
        let url = format!("http://{address}:9187/metrics");
        let text = eventually("metrics", async || {
            let (_, text, _) = try_run("curl", &["--silent", "--max-time", "20", &url]);
            text.contains("\npg_up 1\n").then_some(text)
        });
        let role = release.sql(&pod, "select pg_is_in_recovery()::int");
        let line = format!("\npg_replication_is_replica {role}\n");
        assert!(text.contains(&line), "{pod}: {line}");
        told.push_str(&text);
    }
    let seen = repository().join("tests/integration/dashboard/postgresql.prom");
    let seen = std::fs::read_to_string(seen).unwrap();
    for line in seen.lines().filter(|it| it.starts_with("pg_")) {
        let name = line.split('{').next().unwrap();
        let has = |end: &str| told.contains(&format!("\n{name}{end}"));
        assert!(has("{") || has(" "), "{name}");
    }
}

/// Those of docs/runbook.md, for the release's namespace.
#[test]
fn the_runbooks_commands_show_a_cluster_that_is_well() {
    let release = Release::production();
    let primary = release.primary().unwrap();
    for (command, shows) in [
        ("kubectl exec postgresql-0 -- patronictl list$", "Leader"),
        ("kubectl exec POD -- patronictl list$", "Leader"),
        ("kubectl exec POD -- du -sh", "pg_wal"),
        ("kubectl logs POD$", "I am ("),
        ("kubectl logs POD -c metrics$", "9187"),
        ("kubectl describe pod POD$", "Ready"),
        ("kubectl get configmap postgresql-ha-leader ", "leader: "),
        (
            "kubectl get pods -l app.kubernetes.io/instance",
            "postgresql-0",
        ),
        ("kubectl get cronjobs,jobs -l", ""),
    ] {
        let text = pages::command(repository(), "docs/runbook.md", command);
        let script = text.replace("POD", &primary);
        let ours = format!("kubectl -n {} ", release.namespace);
        let said = run("bash", &["-euc", &script.replacen("kubectl ", &ours, 1)]);
        assert!(said.contains(shows), "{script}: {said}");
    }
}
