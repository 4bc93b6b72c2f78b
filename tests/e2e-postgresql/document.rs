//! The commands of the document of one primary with three replicas, as they stand there; but for the CPU and
//! memory that it asks for, which the tests' one node has not.

use super::release::{PRODUCTION, Release};
use super::shell::{eventually, repository, run, try_run};

pub(crate) const PASSWORD: &str = "a-password-of-salon";
pub(crate) const ADMIN: &str = "a-password-of-postgres";

/// Runs commands in a copy of the chart, in which the document's `.` is.
fn shell(script: &str) -> String {
    let chart = repository().join("charts/postgresql");
    let image = super::shell::repository_of("postgresql");
    let script = format!(
        "copy=$(mktemp -d); trap 'rm -rf \"$copy\"' EXIT; cp -r '{}/.' \"$copy\"; cd \"$copy\"\n{}\n{script}",
        chart.display(),
        // Which image there is, is the machine's affair and not the document's.
        format_args!("sed -i 's#^  repository: .*#  repository: {image}#' values.yaml"),
    );
    run("bash", &["-euo", "pipefail", "-c", &script])
}

/// "1. Preparing values", by whom the document speaks to, and "2. Installing".
const INSTALL: &str = r#"
cp values.yaml values-production.yaml
fill_in
helm install postgresql . \
  --namespace production \
  --values values-production.yaml
"#;

/// What the document asks its reader to fill in.
fn fill_in() -> String {
    format!(
        r##"fill_in() {{ sed -i -e 's#^  postgresPassword: ""#  postgresPassword: "{ADMIN}"#' -e 's#^  password: ""#  password: "{PASSWORD}"#' \
        -e 's#^  username: ""#  username: salon#' -e 's#^  database: ""#  database: salon_core#' \
        -e 's#^  replicas: null#  replicas: 3#' -e '/^metrics:/,/^  enabled/s#enabled: false#enabled: true#' \
        values-production.yaml; }}"##
    )
}

/// The release, unless it is there.
pub(crate) fn install() {
    let (there, ..) = try_run("helm", &["status", "postgresql", "--namespace", PRODUCTION]);
    if !there {
        shell(&format!("{}\n{INSTALL}", fill_in()));
    }
}

#[test]
fn the_documents_commands_run_as_they_stand() {
    let release = Release::production();
    assert_eq!(release.members(), 4);

    // "3. Checking"
    let pods = shell("kubectl get pods -n production -l app.kubernetes.io/name=postgresql");
    for pod in 0..4 {
        assert!(pods.contains(&format!("postgresql-{pod} ")), "{pods}");
    }
    let services = shell("kubectl get svc -n production | grep postgresql");
    assert!(services.contains("postgresql-master "), "{services}");
    assert!(services.contains("postgresql-read "), "{services}");
    let claims = shell("kubectl get pvc -n production");
    assert_eq!(claims.matches("Bound").count(), 4, "{claims}");

    can_be_connected_to();
    can_be_looked_at(release);
    can_be_scaled(release);
}

/// "Connecting".
fn can_be_connected_to() {
    let through = |service: &str, sql: &str| {
        let uri = format!(
            "postgresql://salon:{PASSWORD}@{service}.production.svc.cluster.local:5432/salon_core"
        );
        let psql = ["psql", "-XAt", &uri, "-c", sql];
        try_run(
            "kubectl",
            &[
                &["exec", "-n", "production", "postgresql-0", "--"],
                &psql[..],
            ]
            .concat(),
        )
    };
    let (done, _, why) = through("postgresql-master", "create table visits as select 1 as n");
    assert!(done, "{why}");
    eventually("the row on a replica", async || {
        let (_, out, _) = through(
            "postgresql-read",
            "select pg_is_in_recovery(), n from visits",
        );
        (out.trim() == "t|1").then_some(())
    });
    let (done, _, why) = through("postgresql-read", "create table no ()");
    assert!(!done && why.contains("read-only transaction"), "{why}");
}

/// "Troubleshooting", and "Recreating a replica".
fn can_be_looked_at(release: &Release) {
    let lag = "SELECT * FROM pg_stat_replication;
        SELECT client_addr, state, sync_state,
               pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS lag_bytes
        FROM pg_stat_replication;";
    let primary = release.primary().unwrap();
    let said = shell(&format!(
        "echo '{lag}' | kubectl exec -i {primary} -n production -- psql -U salon -d salon_core -At"
    ));
    assert_eq!(said.matches("|streaming|").count(), 6, "{said}");

    let replica = release.behind("postgresql-read").remove(0);
    let before = release.uid(&replica);
    shell(&format!("kubectl delete pod {replica} -n production"));
    release.is_whole(4);
    assert_ne!(release.uid(&replica), before);
    let log = release.kubectl(&["logs", &replica, "-c", "postgresql"]);
    assert!(
        !log.contains("bootstrap from leader"),
        "it was cloned: {log}"
    );
}

/// "Scaling" by the edited file with `--set replication.replicas=5`, and more resources.
fn can_be_scaled(release: &Release) {
    let primary = release.primary().unwrap();
    let before = release.sql(&primary, "select pg_postmaster_start_time()");
    shell(&format!(
        "{}\ncp values.yaml values-production.yaml\nfill_in\n{}",
        fill_in(),
        "helm upgrade postgresql . \
            --namespace production \
            --values values-production.yaml \
            --set replication.replicas=5"
    ));
    let primary = release.is_whole(6);
    assert_eq!(
        release.sql(&primary, "select pg_postmaster_start_time()"),
        before
    );
    shell(&format!(
        "{}\ncp values.yaml values-production.yaml\nfill_in\n{}",
        fill_in(),
        "helm upgrade postgresql . \
            --namespace production \
            --values values-production.yaml \
            --set replication.replicas=2 \
            --set primary.resources.requests.cpu=40m \
            --set primary.resources.requests.memory=80Mi"
    ));
    eventually("the slots of three replicas alone", async || {
        let primary = release.primary()?;
        let slots = release.try_sql(&primary, "select count(*) from pg_replication_slots")?;
        (slots == "2").then_some(())
    });
    release.kubectl(&[
        "rollout",
        "status",
        "statefulset/postgresql",
        "--timeout=300s",
    ]);
    release.is_whole(3);
    let cpu = "-o=jsonpath={.items[*].spec.containers[0].resources.requests.cpu}";
    let cpu = release.kubectl(&["get", "pods", "-l=app.kubernetes.io/name=postgresql", cpu]);
    assert_eq!(cpu, "40m 40m 40m");
}
