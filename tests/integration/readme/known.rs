//! Who runs each command of the pages.

/// Who runs a command as it stands on its page, but for names, hosts, ports and folders.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    /// A test of this name beside this file.
    Machine(&'static str),
    /// A test of this name in tests/e2e or tests/e2e-postgresql, in a cluster.
    Pods(&'static str),
    /// Nobody, and why.
    Nobody(&'static str),
}

impl By {
    /// The test's name, or why there is none.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Machine(text) | Self::Pods(text) | Self::Nobody(text) => text,
        }
    }
}

/// All of them: the page (`*` is any, where the command is one line), how the command begins, which test runs
/// it. One that ends with `$` is the whole command.
pub(crate) const KNOWN: &[(&str, &str, By)] = {
    use By::{Machine, Nobody, Pods};
    const SIX: &str = "six_commands_lead_from_nothing_to_a_backup_and_back";
    const COMMANDS: &str = "every_command_of_the_scheduler_does_what_the_pages_say";
    const WORST: &str = "the_worst_day_ends_well";
    const CALLS: &str =
        "the_grpcurl_calls_back_a_database_up_change_the_schedule_and_bring_it_back";
    const NEWCOMER: &str = "a_newcomer_gets_from_nothing_to_a_restored_database";
    const GRPCURL: &str = "grpcurl_gets_from_nothing_to_a_restored_database";
    const DAILY: &str = "the_commands_of_every_day_and_of_the_runbook_run";
    const OBJECTS: &str =
        "the_quick_start_makes_a_database_that_is_backed_up_and_restored_as_objects";
    const DECRYPTED: &str = "an_encrypted_backup_is_tried_and_restored_by_hand";
    const DATABASE: &str = "the_runbooks_commands_show_a_cluster_that_is_well";
    const STORY: &str = "a_primary_that_dies_makes_no_backup_and_no_restore_say_what_is_not_so";
    const MOVING: &str = "the_published_release_becomes_ours_and_goes_back";
    &[
        (
            "README.md",
            "make demo",
            Nobody("what CI runs, and the demo"),
        ),
        ("README.md", "cargo build --release", Machine(SIX)),
        ("README.md", "helm install", Pods(NEWCOMER)),
        (
            "README.md",
            "kubectl -n oiler-backup-system get cronjobs,jobs$",
            Pods(NEWCOMER),
        ),
        (
            "docs/architecture.md",
            "make ",
            Nobody("a developer's loop, and CI's"),
        ),
        (
            "docs/cluster.md",
            "make cluster",
            Nobody("scripts/e2e.sh does it for every test in pods"),
        ),
        (
            "docs/cluster.md",
            "make e2e",
            Nobody("it is what runs the tests in pods"),
        ),
        (
            "docs/cluster.md",
            "KUBECONFIG=… IMAGE_PREFIX=… make e2e",
            Nobody("needs another cluster and a registry"),
        ),
        (
            "docs/contract.md",
            "grpcurl -plaintext -d '{",
            Machine(CALLS),
        ),
        (
            "docs/contract.md",
            "DB_HOST=postgres.example",
            Pods(GRPCURL),
        ),
        (
            "docs/contract.md",
            "grpcurl -plaintext -d \"{$WHERE",
            Pods(GRPCURL),
        ),
        (
            "docs/encryption.md",
            "scheduler restore NAME",
            Machine("an_encrypted_backup_is_restored_with_the_key_that_a_command_is_given"),
        ),
        ("docs/encryption.md", "age-keygen", Machine(DECRYPTED)),
        (
            "docs/encryption.md",
            "age -d -i backup.key dump.sql.gz.age",
            Machine("an_encrypted_dump_in_plain_sql_is_restored_by_age_gunzip_and_psql"),
        ),
        ("docs/encryption.md", "age -d", Machine(DECRYPTED)),
        ("docs/encryption.md", "grep -o", Machine(DECRYPTED)),
        ("docs/encryption.md", "for stream in", Machine(DECRYPTED)),
        (
            "docs/formats.md",
            "sha256sum",
            Machine("a_copy_of_a_backup_is_read_by_stock_tools"),
        ),
        (
            "docs/formats.md",
            "gunzip -t",
            Machine("a_dump_in_plain_sql_is_restored_by_gunzip_and_psql"),
        ),
        (
            "docs/formats.md",
            "pg_restore --list",
            Machine("a_copy_of_a_backup_is_read_by_stock_tools"),
        ),
        ("docs/kubernetes.md", "helm test", Pods(DAILY)),
        ("docs/kubernetes.md", "kubectl ", Pods(DAILY)),
        (
            "docs/kubernetes.md",
            "helm uninstall",
            Nobody("the other tests need what it removes; a test of the chart says what stays"),
        ),
        (
            "docs/kubernetes.md",
            "make images",
            Nobody("a quarter of an hour; `make images-test` builds and starts them"),
        ),
        ("docs/moving.md", "helm upgrade RELEASE", Pods(MOVING)),
        ("docs/moving.md", "helm rollback RELEASE", Pods(MOVING)),
        ("docs/moving.md", "helm list", Pods(DAILY)),
        ("docs/moving.md", "kubectl ", Pods(DAILY)),
        ("docs/operator.md", "helm install", Pods(OBJECTS)),
        (
            "docs/operator.md",
            "kubectl get ",
            Nobody("the tests of the operator read the same objects"),
        ),
        (
            "docs/operator.md",
            "kubectl annotate backupschedule ",
            Nobody("a test of the operator sets the same annotation"),
        ),
        (
            "docs/postgresql.md",
            "make e2e-postgresql",
            Nobody("it is what runs the tests in pods"),
        ),
        (
            "docs/postgresql.md",
            "kubectl -n production exec postgresql-0 -- patronictl list",
            Pods("where_a_person_decides_nobody_is_promoted_until_then"),
        ),
        (
            "docs/postgresql.md",
            "kubectl -n production delete pvc",
            Nobody("a test does the same to a primary"),
        ),
        (
            "docs/postgresql.md",
            "helm upgrade postgresql charts/postgresql",
            Nobody("tests in pods make replicas fewer and hand over, each by itself"),
        ),
        (
            "docs/postgresql.md",
            "kubectl -n production delete job postgresql-pgbackrest-init",
            Nobody("it removes a Job that has ended"),
        ),
        (
            "docs/postgresql.md",
            "helm install postgresql charts/postgresql",
            Pods("wal_in_s3_brings_a_moment_back_and_backups_go_on_after_a_kill"),
        ),
        (
            "docs/postgresql.md",
            "kubectl -n production exec postgresql-0 -- pgbackrest info",
            Pods("wal_in_s3_brings_a_moment_back_and_backups_go_on_after_a_kill"),
        ),
        (
            "docs/postgresql.md",
            "helm install before-the-mistake",
            Pods("wal_in_s3_brings_a_moment_back_and_backups_go_on_after_a_kill"),
        ),
        (
            "docs/postgresql.md",
            "omnistrate-ctl build",
            Nobody("Omnistrate is not within reach of the tests, which render its layers"),
        ),
        (
            "docs/postgresql.md",
            "kubectl -n production delete configmap,pvc",
            Pods(
                "one_instance_keeps_its_rows_and_its_password_through_a_kill_and_a_new_installation",
            ),
        ),
        (
            "docs/with-postgresql.md",
            "make e2e-postgresql",
            Nobody("it is what runs the tests in pods"),
        ),
        (
            "docs/with-postgresql.md",
            "kubectl create namespace",
            Pods(STORY),
        ),
        (
            "docs/with-postgresql.md",
            "helm upgrade --install postgres-adapter",
            Pods(STORY),
        ),
        (
            "docs/with-postgresql.md",
            "kubectl -n oiler-backup-system exec deploy/postgres-adapter",
            Pods(STORY),
        ),
        (
            "docs/with-postgresql.md",
            "helm install drills",
            Pods(STORY),
        ),
        ("docs/operating.md", "scheduler ls ", Machine(COMMANDS)),
        ("docs/operating.md", "scheduler put shop", Machine(COMMANDS)),
        (
            "docs/operating.md",
            "scheduler put readable",
            Machine(COMMANDS),
        ),
        ("docs/operating.md", "kubectl ", Pods(DAILY)),
        (
            "docs/operating.md",
            "DB_HOST=",
            Machine("the_workers_run_alone_too"),
        ),
        ("docs/performance.md", "make bench", Nobody("two hours")),
        (
            "docs/performance.md",
            "make values",
            Nobody("a quarter of an hour; its tests run with fewer values"),
        ),
        (
            "docs/restoring.md",
            "scheduler backups NAME$",
            Machine(WORST),
        ),
        (
            "docs/restoring.md",
            "scheduler restore NAME --into NAME_back",
            Machine(WORST),
        ),
        (
            "docs/restoring.md",
            "scheduler restore NAME --in-place",
            Machine(WORST),
        ),
        (
            "docs/restoring.md",
            "scheduler restore NAME --into NAME_rows",
            Machine(WORST),
        ),
        (
            "docs/restoring.md",
            "scheduler backups --store",
            Machine(WORST),
        ),
        (
            "docs/restoring.md",
            "DB_HOST=",
            Machine("the_workers_run_alone_too"),
        ),
        (
            "docs/restoring.md",
            "RESTORE_MODE=swap",
            Machine("the_workers_run_alone_too"),
        ),
        (
            "docs/restoring.md",
            "RESTORER_TASK=swap-back",
            Machine("the_workers_run_alone_too"),
        ),
        (
            "docs/restoring.md",
            "zstd -d",
            Machine("the_four_lines_restore_a_backup_by_hand"),
        ),
        (
            "docs/restoring.md",
            "zstdcat ",
            Machine("the_roles_of_a_backup_are_made_by_hand"),
        ),
        (
            "docs/restoring.md",
            "age -d",
            Machine("the_roles_of_a_backup_are_made_by_hand"),
        ),
        (
            "docs/restoring.md",
            "pg_restore -l",
            Machine("by_hand_a_table_whose_columns_read_others_is_loaded_last"),
        ),
        (
            "docs/performance.md",
            "BENCH_OBJECTS=",
            Nobody("a measurement of hours"),
        ),
        (
            "docs/runbook.md",
            "kubectl -n NS get workloads",
            Nobody("needs Kueue"),
        ),
        ("docs/runbook.md", "kubectl get dbtether ", Pods(OBJECTS)),
        (
            "docs/runbook.md",
            "kubectl describe dbcluster ",
            Pods(OBJECTS),
        ),
        ("docs/runbook.md", "kubectl -n TEAM_NS ", Pods(OBJECTS)),
        ("docs/runbook.md", "kubectl -n NAMESPACE ", Pods(OBJECTS)),
        (
            "docs/runbook.md",
            "kubectl -n RELEASE_NS get lease dbtether.io",
            Pods(OBJECTS),
        ),
        (
            "docs/runbook.md",
            "kubectl exec postgresql-0 ",
            Pods(DATABASE),
        ),
        (
            "docs/runbook.md",
            "kubectl exec POD -- pgbackrest check",
            Nobody("the hook, which a test in pods runs, begins with the same"),
        ),
        ("docs/runbook.md", "kubectl exec POD ", Pods(DATABASE)),
        (
            "docs/runbook.md",
            "kubectl logs POD -c pgbouncer",
            Nobody("needs the pooler, whose test looks at what it does"),
        ),
        ("docs/runbook.md", "kubectl logs POD", Pods(DATABASE)),
        (
            "docs/runbook.md",
            "kubectl logs job/JOB",
            Nobody("tests in pods read every Job's so"),
        ),
        ("docs/runbook.md", "kubectl describe pod", Pods(DATABASE)),
        (
            "docs/runbook.md",
            "kubectl get configmap postgresql-ha-leader ",
            Pods(DATABASE),
        ),
        (
            "docs/runbook.md",
            "kubectl get pods -l app.kubernetes.io/instance=postgresql",
            Pods(DATABASE),
        ),
        (
            "docs/runbook.md",
            "kubectl get cronjobs,jobs -l app.kubernetes.io/instance=postgresql",
            Pods(DATABASE),
        ),
        (
            "docs/runbook.md",
            "kubectl create job --from=cronjob/postgresql-",
            Nobody("tests in pods make Jobs of both CronJobs so"),
        ),
        ("docs/runbook.md", "kubectl ", Pods(DAILY)),
        (
            "docs/security.md",
            "kubectl create clusterrolebinding",
            Pods(DAILY),
        ),
        ("docs/settings.md", "kubectl ", Pods(DAILY)),
        ("*", "scheduler ", Machine(COMMANDS)),
    ]
};
