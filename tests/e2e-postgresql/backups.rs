//! `backup.*`: a CronJob of the adapter's backuper, and the restorer that brings its backup back.

use super::release::Release;
use super::shell::{kubectl, make_bucket, repository};

/// The S3 server that the tests of the adapter have too; gives its address.
pub(crate) fn s3() -> String {
    let servers = repository().join("tests/e2e/servers.yaml");
    kubectl(&["apply", "-f", servers.to_str().unwrap()]);
    let of = ["-n", "e2e-servers"];
    let ready = ["rollout", "status", "deployment/s3", "--timeout=180s"];
    kubectl(&[&of[..], &ready].concat());
    let address = ["get", "service", "s3", "-o=jsonpath={.spec.clusterIP}"];
    kubectl(&[&of[..], &address].concat())
}

fn succeeds(release: &Release, job: &str) -> String {
    let job = format!("job/{job}");
    let ended = release.try_kubectl(&["wait", "--for=condition=complete", &job, "--timeout=120s"]);
    let log = release.kubectl(&["logs", &job]);
    assert!(ended.is_some(), "{job}: {log}");
    log
}

/// 4.10, and the adapter's own promise: what it has stored, it brings back.
#[test]
fn all_databases_are_backed_up_and_brought_back_by_the_restorer() {
    let release = Release::production();
    let s3 = s3();
    let bucket = format!("dumps-{}", std::process::id());
    make_bucket(&s3, &bucket);
    let (id, key) = (
        "--from-literal=AWS_ACCESS_KEY_ID=e2e",
        "--from-literal=AWS_SECRET_ACCESS_KEY=e2e-secret",
    );
    let _there = release.try_kubectl(&["create", "secret", "generic", "s3-keys", id, key]);
    release.upgrade(&[
        "backup.enabled=true",
        &format!("backup.s3.bucket={bucket}"),
        &format!("backup.s3.endpoint=http://{s3}:9000"),
        "backup.s3.existingSecret=s3-keys",
        "backup.image.repository=registry.local/e2e/workers",
        "backup.image.tag=v17",
    ]);
    let schedule = release.kubectl(&[
        "get",
        "cronjob/postgresql-backup",
        "-o=jsonpath={.spec.schedule}",
    ]);
    assert_eq!(schedule, "0 2 * * *");
    let primary = release.primary().unwrap();
    release.sql(
        &primary,
        "drop table if exists sold; create table sold as select generate_series(1, 1000) as n; select lo_from_bytea(4711, 'large'::bytea) where not exists (select 1 from pg_largeobject_metadata where oid = 4711)",
    );
    let job = format!("backup-{}", std::process::id());
    release.kubectl(&["create", "job", "--from=cronjob/postgresql-backup", &job]);
    let said = succeeds(release, &job);
    assert!(said.contains("salon_core"), "{said}");

    let job = format!("restore-{}", std::process::id());
    let restore = format!(
        r#"{{"apiVersion":"batch/v1","kind":"Job","metadata":{{"name":"{job}"}},"spec":{{"backoffLimit":0,"template":{{"spec":{{
        "restartPolicy":"Never","automountServiceAccountToken":false,
        "securityContext":{{"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{{"type":"RuntimeDefault"}}}},
        "volumes":[{{"name":"tmp","emptyDir":{{}}}}],
        "containers":[{{"name":"restore","image":"registry.local/e2e/workers:v17","command":["/usr/local/bin/restorer"],"volumeMounts":[{{"name":"tmp","mountPath":"/tmp"}}],
        "securityContext":{{"allowPrivilegeEscalation":false,"readOnlyRootFilesystem":true,"capabilities":{{"drop":["ALL"]}}}},
        "env":[{{"name":"DB_HOST","value":"postgresql-master"}},{{"name":"DB_USER","value":"postgres"}},
        {{"name":"DB_PASSWORD","valueFrom":{{"secretKeyRef":{{"name":"postgresql","key":"postgres-password"}}}}}},
        {{"name":"DB_NAME","value":"salon_back"}},{{"name":"BACKUP_SOURCE","value":"postgresql-master:5432/salon_core"}},
        {{"name":"STORE_URL","value":"s3://{bucket}/production/postgresql"}},{{"name":"S3_ENDPOINT","value":"http://{s3}:9000"}},
        {{"name":"S3_ACCESS_KEY","value":"e2e"}},{{"name":"S3_SECRET_KEY","value":"e2e-secret"}}]}}]}}}}}}}}"#,
    );
    let file = std::env::temp_dir().join(format!("{job}.json"));
    std::fs::write(&file, restore).unwrap();
    release.kubectl(&["create", "-f", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    succeeds(release, &job);
    let back = [
        "exec",
        &primary,
        "-c",
        "postgresql",
        "--",
        "psql",
        "-XAtU",
        "postgres",
        "-d",
        "salon_back",
        "-c",
    ];
    let rows = "select count(*), convert_from(lo_get(4711), 'UTF8') from sold";
    assert_eq!(
        release.kubectl(&[&back[..], &[rows]].concat()).trim(),
        "1000|large"
    );
}
