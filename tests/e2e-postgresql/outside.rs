//! What others see of the pods: their metrics.

use super::release::Release;
use super::shell::{eventually, repository, try_run};

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
