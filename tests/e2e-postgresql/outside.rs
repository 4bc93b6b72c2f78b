//! What others see of the pods: their metrics.

use super::release::Release;
use super::shell::{eventually, try_run};

/// 2.24, 4.9.
#[test]
fn each_pod_tells_its_metrics() {
    let release = Release::production();
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
    }
}
