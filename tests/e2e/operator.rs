//! The quick start of the operator as docs/operator.md has it, in real pods: its chart, its manifests, and then a
//! backup and a restore as objects.

use super::readme;
use super::site::Site;
use super::world::{World, kubectl, run, try_run};

const NAMESPACE: &str = "postgres-db-operator";
const MANUAL: &str = "docs/operator.md";
/// An image that begins a server as those of PostgreSQL do.
const SERVER: &str = "registry.local/e2e/postgres:1";

/// The first manifest of a kind.
fn manifest(kind: &str) -> String {
    let kind = format!("\nkind: {kind}\n");
    let mut all = readme::manifests(MANUAL).into_iter();
    all.find(|it| it.contains(&kind)).expect("a manifest")
}

fn apply(manifest: &str) {
    World::shell(&format!(
        "kubectl apply -f - <<'MANIFEST'\n{manifest}\nMANIFEST"
    ));
}

fn is(object: &str, condition: &str) {
    kubectl(&[
        "wait",
        &format!("--for={condition}"),
        "--timeout=180s",
        "-n",
        "default",
        object,
    ]);
}

fn has(site: &Site, database: &str) -> bool {
    let sql = format!("SELECT 1 FROM pg_database WHERE datname = '{database}'");
    !site.sql_in("postgres", &sql).is_empty()
}

#[test]
fn the_quick_start_makes_a_database_that_is_backed_up_and_restored_as_objects() {
    let site = Site::new("operator");
    let _left = try_run("helm", &["uninstall", NAMESPACE, "-n", NAMESPACE]);
    site.sql_in(
        "postgres",
        "CREATE ROLE postgres_admin LOGIN CREATEDB CREATEROLE PASSWORD 'your-password'",
    );
    // Word for word, but for where the images and the server are.
    let install = readme::blocks(&readme::page(MANUAL)).remove(0);
    World::helm_as_written(&install.replace(" \\\n ", ""));
    apply(&manifest("Secret"));
    let somewhere = "my-cluster.xxx.rds.amazonaws.com";
    let cluster = manifest("DBCluster");
    assert!(cluster.contains(somewhere), "{cluster}");
    apply(&cluster.replace(somewhere, &site.world.postgres));
    apply(&manifest("Database"));
    is("database/my-app-db", "condition=Ready");
    let listed = kubectl(&["get", "dbcluster"]);
    for words in [
        "my-cluster",
        &site.world.postgres,
        "Connected",
        "PostgreSQL",
    ] {
        assert!(listed.contains(words), "{listed}");
    }
    let listed = kubectl(&["get", "database", "-A"]);
    for words in ["my-app-db", "my-cluster", "my_app", "Ready"] {
        assert!(listed.contains(words), "{listed}");
    }
    let extensions = site.sql_in("my_app", "SELECT extname FROM pg_extension");
    assert!(
        extensions.contains(&"uuid-ossp".to_owned()),
        "{extensions:?}"
    );
    application(&site);
    backed_up(&site);
    verified();
    goes(&site);
}

/// An application logs in with the Secret of a user, and makes what is backed up then: the role of the DBCluster is
/// no superuser.
fn application(site: &Site) {
    let chart = "./charts/postgres-db-operator -n postgres-db-operator --reuse-values";
    World::shell(&format!(
        "helm upgrade postgres-db-operator {chart} --set 'operator.secretNamespaces={{default}}' --set 'admissionPolicy.extraImages={{{SERVER}}}' --wait --timeout=180s"
    ));
    apply(
        "apiVersion: dbtether.io/v1alpha1
kind: DatabaseUser
metadata: {name: app, namespace: default}
spec: {database: {name: my-app-db}, privileges: admin}
",
    );
    is("databaseuser/app", "condition=Ready");
    let value = |key: &str| {
        let template = format!("-o=go-template={{{{.data.{key} | base64decode}}}}");
        let secret = ["get", "secret", "app-credentials", "-n", "default"];
        kubectl(&[&secret[..], &[&template]].concat())
    };
    let (user, password) = (value("username"), value("password"));
    let sql = "CREATE TABLE t AS SELECT generate_series(1, 1000) a";
    site.sql_as((&user, &password), &value("database"), sql);
}

/// The Backup Job of the architecture, end to end, and the way back.
fn backed_up(site: &Site) {
    let (bucket, s3) = (&site.name, &site.world.s3);
    apply(&format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: my-backups-keys, namespace: {NAMESPACE}}}
stringData: {{AWS_ACCESS_KEY_ID: e2e, AWS_SECRET_ACCESS_KEY: e2e-secret}}
---
apiVersion: dbtether.io/v1alpha1
kind: BackupStorage
metadata: {{name: e2e}}
spec:
  s3: {{bucket: {bucket}, region: us-east-1, endpoint: 'http://{s3}:9000'}}
  credentialsSecretRef: {{name: my-backups-keys, namespace: {NAMESPACE}}}
  verifyImages: ['{SERVER}']
---
apiVersion: dbtether.io/v1alpha1
kind: Backup
metadata: {{name: first, namespace: default}}
spec: {{databaseRef: {{name: my-app-db}}, storageRef: {{name: e2e}}}}
"
    ));
    is("backup/first", "jsonpath={.status.phase}=Completed");
    let path = kubectl(&["get", "backup", "first", "-o", "jsonpath={.status.path}"]);
    assert!(
        path.starts_with("my-cluster/my_app/") && path.ends_with(".sql.gz"),
        "{path}"
    );
    assert!(site.keys().contains(&path), "{:?}", site.keys());
    apply(
        "apiVersion: dbtether.io/v1alpha1
kind: Database
metadata: {name: copy, namespace: default}
spec: {clusterRef: {name: my-cluster}, deletionPolicy: Delete}
---
apiVersion: dbtether.io/v1alpha1
kind: Restore
metadata: {name: back, namespace: default}
spec:
  source: {latestFrom: {databaseRef: {name: my-app-db}}}
  target: {databaseRef: {name: copy}}
",
    );
    is("restore/back", "jsonpath={.status.phase}=Completed");
    assert_eq!(site.sql_in("copy", "SELECT count(*) FROM t"), ["1000"]);
}

/// A drill on a server of its own beside its worker, asked for as the runbook says; and the runbook's commands for
/// objects.
fn verified() {
    apply(&format!(
        "apiVersion: dbtether.io/v1alpha1
kind: BackupSchedule
metadata: {{name: often, namespace: default}}
spec:
  databaseRef: {{name: my-app-db}}
  storageRef: {{name: e2e}}
  schedule: '* * * * *'
  verify:
    schedule: '0 5 * * *'
    image: {SERVER}
    sql: ['SELECT count(*) = 1000 FROM t']
"
    ));
    let commands = readme::commands_of(
        "the_quick_start_makes_a_database_that_is_backed_up_and_restored_as_objects",
    );
    let (installs, commands): (Vec<_>, Vec<_>) =
        commands.into_iter().partition(|it| it.page == MANUAL);
    assert_eq!((installs.len(), commands.len()), (1, 7));
    for command in commands {
        let script = command.text.replace("TEAM_NS", "default");
        let script = script.replace("RELEASE_NS", NAMESPACE);
        let script = script.replace("NAMESPACE", "default");
        World::shell(&match script.contains("dbcluster") {
            true => script.replace("NAME", "my-cluster"),
            false => script.replace("NAME", "often"),
        });
    }
    is("backupschedule/often", "condition=Verified");
    let told = ["get", "backupschedule", "often", "-n", "default"];
    let message = "-o=jsonpath={.status.verification.message}";
    let message = kubectl(&[&told[..], &[message]].concat());
    assert!(message.contains("1 table"), "{message}");
    kubectl(&[
        "delete",
        "backupschedule",
        "often",
        "-n",
        "default",
        "--timeout=120s",
    ]);
}

/// Both deletion policies, and that nothing is dropped because the release goes.
fn goes(site: &Site) {
    kubectl(&[
        "delete",
        "restore,backup,databaseuser",
        "--all",
        "-n",
        "default",
        "--timeout=120s",
    ]);
    kubectl(&[
        "delete",
        "database",
        "copy",
        "-n",
        "default",
        "--timeout=120s",
    ]);
    assert!(!has(site, "copy"), "Delete drops it");
    kubectl(&[
        "delete",
        "database",
        "my-app-db",
        "-n",
        "default",
        "--timeout=120s",
    ]);
    assert!(has(site, "my_app"), "Retain leaves it");
    run("helm", &["uninstall", NAMESPACE, "-n", NAMESPACE, "--wait"]);
    kubectl(&["get", "dbcluster", "my-cluster"]);
    kubectl(&["delete", "dbcluster,backupstorage", "--all"]);
}
