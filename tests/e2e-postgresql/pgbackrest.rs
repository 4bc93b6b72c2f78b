//! `pgbackrest.*`: WAL and backups in an S3 server whose certificate is of an authority of its own.

use std::path::{Path, PathBuf};

use super::release::Release;
use super::shell::{eventually, kubectl, repository, repository_of, run, try_run};

const NAMESPACE: &str = "e2e-postgresql-pgbackrest";
const STORE: &str = "e2e-postgresql-store";

/// What the release says besides the chart's own file of values for such a server.
fn values(folder: &Path) -> String {
    let image = repository_of("postgresql");
    let text = format!(
        r#"
image: {{repository: "{image}"}}
auth: {{username: salon, database: salon_core}}
pgbackrest:
  s3: {{endpoint: "https://s3.{STORE}.svc:9000", bucket: wal, credentials: {{accessKeyId: e2e, secretAccessKey: e2e-secret}}}}
  minio: {{tls: {{secretNamespace: {STORE}, secretName: minio-tls}}}}
"#
    );
    let file = folder.join("values.yaml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The server, with a certificate; the Secret with its authority is made later.
fn store(folder: &Path) {
    let script = format!(
        r"
        new='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2'
        $new -keyout ca.key -out ca.crt -subj /CN=store -addext basicConstraints=critical,CA:true
        $new -CA ca.crt -CAkey ca.key -keyout s3.key -out s3.crt -subj /CN=s3 \
            -addext subjectAltName=DNS:s3.{STORE}.svc -addext basicConstraints=critical,CA:false"
    );
    let at = folder.to_str().unwrap();
    run("bash", &["-euc", &format!("cd '{at}'\n{script}")]);
    let _new = try_run("kubectl", &["create", "namespace", STORE]);
    let (certificate, key) = (
        format!("--from-file=s3.crt={at}/s3.crt"),
        format!("--from-file=s3.key={at}/s3.key"),
    );
    let secret = ["create", "secret", "generic", "s3-server"];
    kubectl(&[&["-n", STORE], &secret[..], &[&certificate, &key]].concat());
    let server = repository().join("tests/e2e-postgresql/store.yaml");
    kubectl(&["-n", STORE, "apply", "-f", server.to_str().unwrap()]);
    kubectl(&[
        "-n",
        STORE,
        "rollout",
        "status",
        "deployment/s3",
        "--timeout=180s",
    ]);
}

/// A command of the page, run where it is read, in this namespace.
fn page(beginning: &str, change: impl Fn(String) -> String) -> (bool, String, String) {
    let command =
        super::page_command(beginning).replace("-n production", &format!("-n {NAMESPACE}"));
    let at = repository().display();
    let script = format!("cd '{at}'\n{}", change(command.trim_end().to_owned()));
    try_run("bash", &["-euo", "pipefail", "-c", &script])
}

fn job_is_done(release: &Release, job: &str) -> String {
    let job = format!("job/{job}");
    let done = release.try_kubectl(&["wait", "--for=condition=complete", &job, "--timeout=180s"]);
    let log = release.kubectl(&["logs", &job]);
    assert!(done.is_some(), "{job}: {log}");
    log
}

fn backups(release: &Release, of: &str) -> usize {
    let info = release.kubectl(&[
        "exec",
        "postgresql-0",
        "-c",
        "postgresql",
        "--",
        "pgbackrest",
        "info",
    ]);
    info.matches(of).count()
}

/// The release, and where its values are.
struct Scene {
    release: Release,
    folder: PathBuf,
    values: String,
}

/// 3.5, 3.6, 3.7, 3.10, 3.11, 3.13, 3.23.
#[test]
fn wal_in_s3_brings_a_moment_back_and_backups_go_on_after_a_kill() {
    let folder = std::env::temp_dir().join(format!("e2e-pgbackrest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    store(&folder);
    let scene = Scene {
        values: values(&folder),
        release: Release::new(NAMESPACE),
        folder,
    };
    let primary = scene.is_installed_with_the_authority_alone();
    let moment = scene.is_backed_up_until_the_mistake(&primary);
    scene.goes_on_after_a_kill(&primary);
    scene.has_the_rows_of_then(&moment);
    std::fs::remove_dir_all(&scene.folder).unwrap();
}

impl Scene {
    fn install(&self, more: &str) -> (bool, String, String) {
        let values = &self.values;
        page("helm install postgresql charts/postgresql", |it| {
            format!("{it} --values '{values}' --timeout 300s {more}")
        })
    }

    fn is_installed_with_the_authority_alone(&self) -> String {
        let (installed, _, said) = self.install("");
        assert!(!installed);
        let missing = format!("no Secret minio-tls in the namespace {STORE}");
        assert!(said.contains(&missing), "{said}");
        let authority = format!("--from-file=tls.crt={}/ca.crt", self.folder.display());
        let make = ["create", "secret", "generic", "minio-tls", &authority];
        kubectl(&[&["-n", STORE], &make[..]].concat());
        let (installed, out, said) = self.install("--set replication.replicas=1");
        assert!(installed, "{out}{said}");
        let release = &self.release;
        let primary = release.is_whole(2);
        assert_eq!(backups(release, "full backup:"), 1);
        let certificate = "-o=jsonpath={.data.tls\\.crt}";
        let copy = release.kubectl(&["get", "secret", "postgresql-minio-ca", certificate]);
        let of = ["-n", STORE, "get", "secret", "minio-tls", certificate];
        assert_eq!(copy, kubectl(&of));
        primary
    }

    /// Gives the moment before.
    fn is_backed_up_until_the_mistake(&self, primary: &str) -> String {
        let release = &self.release;
        let make = "create table sold as select generate_series(1, 100) as n";
        release.sql(primary, make);
        let from = "--from=cronjob/postgresql-pgbackrest-incr";
        release.kubectl(&["create", "job", from, "incr"]);
        let log = job_is_done(release, "incr");
        assert!(log.contains("replay on the standby reached"), "{log}");
        let more = "insert into sold select generate_series(101, 200)";
        release.sql(primary, more);
        let moment = release.sql(primary, "select pg_sleep(1), now()");
        for statement in [
            "select pg_sleep(1)",
            "drop table sold",
            "select pg_switch_wal()",
        ] {
            release.sql(primary, statement);
        }
        moment.trim_start_matches('|').to_owned()
    }

    fn goes_on_after_a_kill(&self, primary: &str) {
        let release = &self.release;
        // The hook again: nothing new.
        release.upgrade(&["readReplicas.maxLag=2GB"]);
        assert_eq!(backups(release, "full backup:"), 1);
        release.kubectl(&["delete", "pod", primary, "--grace-period=0", "--force"]);
        release.is_whole(2);
        let command = "kubectl -n production exec postgresql-0 -- pgbackrest info";
        let (made, out, said) = page(command, |it| it);
        assert!(made, "{out}{said}");
        job_is_done(release, "backup-now");
        assert_eq!(backups(release, "full backup:"), 2);
    }

    fn has_the_rows_of_then(&self, moment: &str) {
        let (release, values) = (&self.release, &self.values);
        let (installed, out, said) = page("helm install before-the-mistake", |it| {
            it.replace("/production/", &format!("/{NAMESPACE}/"))
                .replace("2026-11-27 14:30:00+00", moment)
                + &format!(" --values '{values}' --timeout 300s")
        });
        assert!(installed, "{out}{said}");
        let clone = "before-the-mistake-postgresql-0";
        eventually("the rows of then", async || {
            let rows = release.try_sql(clone, "select count(*) from sold")?;
            (rows == "200").then_some(())
        });
        let there = release.try_sql("postgresql-0", "select 1 from sold");
        assert!(there.is_none());
    }
}
