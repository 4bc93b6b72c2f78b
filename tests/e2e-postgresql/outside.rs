//! What others see of the pods: their metrics, and their certificate.

use super::release::Release;
use super::shell::{eventually, run, try_run};

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

/// Makes the Secret with a certificate of this name, or puts that in the place of another.
fn certificate(release: &Release, name: &str) {
    let script = format!(
        "folder=$(mktemp -d); trap 'rm -rf \"$folder\"' EXIT; cd \"$folder\"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN={name} -keyout key -out crt 2>log
        kubectl -n {} create secret tls postgresql-cert --cert=crt --key=key --dry-run=client -o yaml | kubectl apply -f -",
        release.namespace
    );
    run("bash", &["-euo", "pipefail", "-c", &script]);
}

#[test]
fn connections_are_encrypted_where_that_is_required_and_a_new_certificate_needs_no_restart() {
    let release = Release::production();
    let members = release.members();
    certificate(release, "first");
    release.upgrade(&[
        "tls.enabled=true",
        "tls.require=true",
        "tls.certificatesSecret=postgresql-cert",
    ]);
    let primary = release.is_whole(members);
    let with = |mode: &str| {
        let uri = format!(
            "postgresql://salon:{}@postgresql-master/salon_core?sslmode={mode}",
            super::document::PASSWORD
        );
        let asked = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let psql = ["psql", "-XAt", &uri, "-c", asked];
        release.try_kubectl(
            &[
                &["exec", "postgresql-0", "-c", "postgresql", "--"],
                &psql[..],
            ]
            .concat(),
        )
    };
    assert_eq!(with("require").as_deref(), Some("t"));
    assert_eq!(with("disable"), None);

    let before = release.uid(&primary);
    certificate(release, "second");
    let server = format!("{}:5432", release.address("postgresql-master"));
    eventually("the new certificate", async || {
        let asked =
            format!("openssl s_client -starttls postgres -connect {server} </dev/null 2>&1");
        let (_, said, _) = try_run("bash", &["-c", &asked]);
        (said.contains("CN = second") || said.contains("CN=second")).then_some(())
    });
    assert_eq!(release.uid(&primary), before);
    release.upgrade(&["tls.enabled=false", "tls.require=false"]);
    release.is_whole(members);
}

/// 2.9.
#[test]
fn a_replica_that_is_too_far_behind_is_not_read_from_until_it_is_near_again() {
    let release = Release::production();
    let members = release.members();
    release.upgrade(&["readReplicas.maxLag=1MB"]);
    let primary = release.is_whole(members);
    let slow = release.behind("postgresql-read").remove(0);
    release.sql(&slow, "select pg_wal_replay_pause()");
    let much = "drop table if exists much; create table much as select repeat('x', 1000) from generate_series(1, 20000)";
    release.sql(&primary, much);
    eventually("the others alone to be read from", async || {
        (!release.behind("postgresql-read").contains(&slow)).then_some(())
    });
    assert_eq!(release.behind("postgresql-read").len(), members - 2);
    release.sql(&slow, "select pg_wal_replay_resume()");
    release.is_whole(members);
    release.upgrade(&["readReplicas.maxLag=1GB"]);
    release.is_whole(members);
}
