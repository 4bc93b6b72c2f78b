//! One instance: the chart as it is without any values.

use super::release::Release;
use super::shell::{eventually, run};

#[test]
fn one_instance_keeps_its_rows_and_its_password_through_a_kill_and_a_new_installation() {
    let release = Release::new("e2e-postgresql-single");
    let values = [
        "--set=auth.username=salon".to_owned(),
        "--set=auth.database=salon_core".to_owned(),
        format!(
            "--set=image.repository={}",
            super::shell::repository_of("postgresql")
        ),
    ];
    let values = super::release::borrowed(&values);
    release.helm("install", &values);
    // `helm install --wait` is enough: the first question is answered.
    let secret = "-o=go-template={{index .data \"password\" | base64decode}}";
    let password = release.kubectl(&["get", "secret", "postgresql", secret]);
    let login = ("salon", password.as_str());
    let made = release.as_role(login, "postgresql", "create table kept as select 1 as n");
    assert!(made.is_some());
    // Without replicas, whoever reads reads from the primary.
    let read = release.as_role(login, "postgresql-read", "select n from kept");
    assert_eq!(read.as_deref(), Some("1"));
    assert_eq!(
        release.sql("postgresql-0", "show config_file"),
        "/etc/postgresql/postgresql.conf"
    );
    let (_, root, said) = super::shell::try_run(
        "kubectl",
        &[
            "-n",
            release.namespace,
            "exec",
            "postgresql-0",
            "--",
            "touch",
            "/x",
        ],
    );
    assert!(said.contains("Read-only file system"), "{root}{said}");
    run("helm", &["test", "postgresql", "-n", release.namespace]);

    release.kubectl(&[
        "delete",
        "pod",
        "postgresql-0",
        "--grace-period=0",
        "--force",
    ]);
    eventually("the row after a kill", async || {
        release.as_role(login, "postgresql-master", "select n from kept")
    });

    run(
        "helm",
        &["uninstall", "postgresql", "-n", release.namespace, "--wait"],
    );
    release.helm("install", &values);
    let read = release.as_role(login, "postgresql", "select n from kept");
    assert_eq!(read.as_deref(), Some("1"), "after a new installation");

    may_lose_its_only_volume(&release, &values, login);
}

fn may_lose_its_only_volume(release: &Release, values: &[&str], login: (&str, &str)) {
    // That is no new cluster, and what to do is a command in the notes.
    release.lose_volume("postgresql-0");
    eventually("a pod that waits", async || {
        let log = release.try_kubectl(&["logs", "postgresql-0", "-c", "postgresql"])?;
        log.contains("waiting for leader to bootstrap")
            .then_some(())
    });
    assert!(release.behind("postgresql").is_empty());

    // The page's command, and there is a new and empty one.
    run(
        "helm",
        &["uninstall", "postgresql", "-n", release.namespace, "--wait"],
    );
    let command = super::page_command("kubectl -n production delete configmap,pvc");
    let here = format!("-n {}", release.namespace);
    run("bash", &["-euc", &command.replace("-n production", &here)]);
    release.helm("install", values);
    let tables = release.as_role(
        login,
        "postgresql",
        "select count(*) from pg_tables where tableowner = 'salon'",
    );
    assert_eq!(tables.as_deref(), Some("0"));
}
