#!/usr/bin/env bash
# Writes the charts' READMEs from the comments of their values.yaml; with --check, says whether they are
# up to date.
set -euo pipefail
charts=$(cd "$(dirname "$0")/.." && pwd)/charts

# table CHART [PREFIX]: values whose names begin so, or all.
table() {
    echo '| value | default | |'
    echo '|---|---|---|'
    awk -v prefix="${2:-}" '
        /^ *# -- / { sub(/^ *# -- /, ""); help = $0; next }
        /^ *#/ { next }
        /^ *[A-Za-z][A-Za-z0-9_.\/]*:/ {
            match($0, /^ */); depth = RLENGTH / 2
            line = substr($0, RLENGTH + 1)
            key = line; sub(/:.*/, "", key)
            value = line; sub(/^[^:]*: */, "", value)
            path[depth] = key
            name = path[0]
            for (i = 1; i <= depth; i++) name = name "." path[i]
            if (help == "") next
            if (value == "") value = "see values.yaml"
            gsub(/\|/, "\\|", help)
            if (index(name, prefix) == 1) printf "| `%s` | `%s` | %s |\n", name, value, help
            help = ""
        }
    ' "$charts/$1/values.yaml"
}

postgres-adapter() {
    cat <<'R'
# postgres-adapter

Installs the PostgreSQL adapter of oiler-backup: a scheduler, and what its workers need.

    helm install postgres-adapter charts/postgres-adapter -n oiler-backup-system --create-namespace

[values-production.yaml](values-production.yaml) has what a production release sets besides its own names: TLS, callers, a namespace of
the workers' own, an admission policy, monitoring. What each setting of the workers means stands in
[docs/settings.md](../../docs/settings.md). A value that is not in the table below is an error; one that has no effect beside the others is
a warning.

## Declared schedules

`schedules` is a list of schedules that the scheduler makes and keeps as they are declared, each as in the call PutSchedule
([proto/operations.proto](../../proto/operations.proto)). Passwords and keys stand in Secrets in the workers' namespace (`workers.namespace`,
or else the release's), which the workers' pods read themselves: the scheduler needs no right to read them, and the values have no place
for them.

```yaml
schedules:
  - name: shop
    database:
      host: postgres.shop.svc
      dbname: shop
      user: backup
      passwordSecret: {name: shop-database}     # its key `password`, or `key: …`
    store:
      endpoint: https://s3.example.com
      bucket: backups
      keysSecret: {name: backups-store}         # its keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `accessKey: …, secretKey: …`
    cron: "0 3 * * *"
    timeZone: Europe/Berlin
    maxBackupCount: 7
```

- A changed list takes effect within two minutes, and no pod is restarted for it.
- A schedule that is taken out of the list is deleted; its backups stay. With `schedules: []` all declared ones go.
- Helm merges no lists: the `schedules` of a later file of values take the place of an earlier one's, and what was only in that is deleted.
- With `schedules: null`, the default, nothing is declared any more, and nothing is deleted.
- `passwordSecret` is left out for trust and certificate authentication, `keysSecret` for the pods' own identity
  (`workers.serviceAccount.annotations`, `workers.s3.ambientBuckets`) and for directories.
- `secretReferences` names the Secrets that *calls* may name in the same way; those of `schedules` are not among them. A caller chooses the
  host that a password is shown to, so list the callers (`access.callersSecret`).
- `retention`, `format`, `filters`, `globals` and `jobs` of one are in the place of what `workers` has for all, `encryption.recipients` beside
  `workers.encryption.recipients` ([docs/operating.md](../../docs/operating.md#what-a-schedule-has-of-its-own)).
- `admissionPolicy.enabled` lets workers read the Secrets of `schedules` and `secretReferences`, and no others.

[deploy/examples/schedules.yaml](../../deploy/examples/schedules.yaml) is a file of values with four of them.

## Upgrading

`helm upgrade` works with `--reuse-values`, with `--reset-then-reuse-values` and with a file of values, and `helm rollback` goes back; schedules
go on meanwhile. In each table: what is otherwise than it was, and what to do where that matters. Values that are not named mean what they
meant.

### From the chart before declared schedules

| value | is otherwise | to do |
|---|---|---|
| `topologySpreadConstraints` | one without a `labelSelector` is of the scheduler's pods; it was of no pods | nothing, or give it the selector that you mean |
| `podDisruptionBudget.minAvailable` | is back, in the place of `maxUnavailable`; no fewer than `replicas` is an error | nothing |
| `workers.podTemplate` | goes before `workers.nodeSelector`, `tolerations` and their like, which are new | nothing: they are empty |
| `extraVolumes`, `extraVolumeMounts` | the chart's own volume is `adapter-config` and no longer `worker-template` | rename one of yours that has the new name |
| `nodeSelector`, `tolerations`, `priorityClassName`, `resources` | are of the pod of `helm test` too | nothing |
| `admissionPolicy.enabled` | schedules may have any name; of Secrets without a value for them a worker reads `NAME-` and 16 digits alone | nothing |

New: `schedules`, `secretReferences`, `namespaceOverride`, `kubeVersion`, `clusterDomain`, `global.imagePullSecrets`, `commonAnnotations`,
`deploymentAnnotations`, `revisionHistoryLimit`, `terminationGracePeriodSeconds`, `podAntiAffinityPreset`, `nodeAffinityPreset`,
`runtimeClassName`, `schedulerName`, `dnsPolicy`, `dnsConfig`, `hostAliases`, `livenessProbe`, `readinessProbe`, `startupProbe`, `lifecycle`,
`initContainers`, `sidecars`, `extraEnvFrom`, `podMonitor`, more of `service`, `serviceAccount`, `podDisruptionBudget`, `tls.certManager`,
`serviceMonitor`, `prometheusRule`, `dashboard` and `workers`; `operator`, and the names of dbtether's chart for its users: `image`,
`imagePullSecrets`, `replicaCount`, `leaderElection`, `logging`, `backup`. Their defaults change nothing.

### From the published chart

Its values file is understood, each name with a warning that says its successor. How to move is in
[docs/moving.md](../../docs/moving.md).

| published | is now | to do |
|---|---|---|
| `sheduler.name` | `fullnameOverride` for all names; understood, it names the Service `NAME-service` alone | keep it while the core's `database-config` has that name; then `fullnameOverride` |
| `sheduler.namespace` | the release's namespace | `helm --namespace`; another one is an error |
| `sheduler.port` | `service.port` | rename it |
| `sheduler.replicas` (1) | `replicas` (2) | rename it, or leave it out: nothing happens twice |
| `sheduler.image` | `images.scheduler.repository`, `.tag`, `.digest` | leave it out, or the published program goes on |
| `sheduler.imagePullPolicy` (Always) | `images.pullPolicy` (IfNotPresent) | rename it, or leave it out: tags are not moved |
| `sheduler.serviceAccountName` (postgres-scheduler-sa) | `serviceAccount.name` (the name of all objects) | rename it where others bind roles to it |
| `backuper.image`, `restorer.image` | `images.backuper`, `images.restorer` | leave them out, or the published programs go on |

What it had no value for: a network policy is on by default (`networkPolicy.enabled`), so for a core that is not in the namespace
oiler-backup-system set `networkPolicy.coreNamespaceLabels`; drains take one scheduler at a time (`podDisruptionBudget`).

### From charts of ours before those

| value | was | is | to do |
|---|---|---|---|
| `networkPolicy.enabled` | `false` | `true` | `false`, or say where the core and the monitoring are |
| `networkPolicy.coreNamespaceLabels`, `monitoringNamespaceLabels` | had the namespace's name in them | empty: the same | take that name out, where you set other labels |
| `networkPolicy.workerPorts` | a list | empty: any port | set your list again |
| `workers.backupDeadline` | `1d` | empty: three of the schedule's intervals, from 2h to 1d | set it for backups that take longer |
| `podDisruptionBudget.minAvailable` | `1` | empty; `maxUnavailable` is `1` | nothing |
| `service.adminPort` | a port of the Service | the port of the Service `…-metrics` | let scrapers of your own ask there |
| `workers.runAsUser` | `0`: an error | `0`: the image's own user | nothing |
| values without an effect | an error | a warning | nothing |

## Values

R
    table postgres-adapter
}

postgres-db-operator() {
    cat <<'R'
# postgres-db-operator

Installs the operator: PostgreSQL servers and databases as objects of Kubernetes, `dbtether.io/v1alpha1`.

    helm install postgres-db-operator ./charts/postgres-db-operator -n postgres-db-operator --create-namespace

[docs/operator.md](../../docs/operator.md) says what the objects mean. The operator is the scheduler of postgres-adapter, which also backs up
and restores: this chart has [that chart's templates and values](../postgres-adapter/README.md#values), and differs from it in its name and
in the default of `operator.enabled`. Its ports, its network policy, its alerts and its dashboard are the same.

R
    table postgres-adapter operator.
    cat <<'R'

- **Secrets.** A DBCluster names a Secret of any namespace; the operator reads those of the release's namespace, and of the namespaces in
  `operator.secretNamespaces`. A Secret elsewhere is a DBCluster that is `Failed` and says so.
- **Definitions.** `helm upgrade` upgrades the definitions of the kinds, and `helm uninstall` leaves them with all objects and their databases.
  One release of a cluster has them: for others set `operator.crds=false`. Where they are there already, of dbtether or of a release
  with another name, Helm refuses until it is told to take them over, with `--take-ownership`; the objects stay as they are.
- **Rights.** One ClusterRole has exactly what the operator does in the whole cluster, one Role for each of those namespaces lets it read
  Secrets, and one is the scheduler's in its own. `rbac.create=false` makes none. Without Helm:
  [deploy/kubernetes/postgres-db-operator.yaml](../../deploy/kubernetes/postgres-db-operator.yaml).
- **Variables** that `credentialsFromEnv` names come by `extraEnv` and `extraEnvFrom`.

## From dbtether's chart

Scale dbtether to zero first: as long as it holds its Lease `dbtether.io` in the release's namespace, this operator waits. Then install with
`--take-ownership`. Its file of values is understood but for what the table calls an error.

| dbtether's value | here |
|---|---|
| `nameOverride`, `fullnameOverride`, `serviceAccount`, `podAnnotations`, `podLabels`, `podSecurityContext`, `securityContext`, `resources`, `nodeSelector`, `tolerations`, `affinity`, `startupProbe`, `livenessProbe`, `readinessProbe`, `extraEnv` | the same |
| `image`, `imagePullSecrets`, `replicaCount` | the same; dbtether's own image is an error |
| `leaderElection.enabled` | always `true`; `false` is an error |
| `logging.format` | `console` is `text` here; `logFormat` says the same |
| `logging.level` | `info`; another one is an error |
| `backup.resources`, `backup.podAnnotations`, `backup.podLabels` | those of all workers: `workers.resources`, … |
| `backup.jobLabels`, `backup.maxConcurrentPerCluster` | an error: there is nothing like it |
| `metrics`, `health` | an error: both are on `service.adminPort`, always |
| `revisionHistoryLimit` | the same; `""` is `null` here |
R
}

postgresql() {
    cat <<'R'
# postgresql

Installs PostgreSQL 17: one instance, or a primary with replicas that [Patroni](https://patroni.readthedocs.io) leads. What it promises, and
what to do when something fails: [docs/postgresql.md](../../docs/postgresql.md).

    helm install postgresql charts/postgresql -n production --create-namespace --set replication.replicas=2

[values-production.yaml](values-production.yaml) is a file of values for three replicas with 500 GiB each,
[values-pgbackrest-minio.yaml](values-pgbackrest-minio.yaml) for one instance whose WAL and backups go to a MinIO server,
[values-omnistrate.yaml](values-omnistrate.yaml) for [a plan of Omnistrate](../../docs/postgresql.md#by-omnistrate). A value that is not in the table
below is an error; values that contradict each other are one too; one that has no effect beside the others is a warning.

## What there is

For a release `postgresql`; another one has its name in the place of that word, with `-postgresql` behind it where it is not in it.

| | |
|---|---|
| StatefulSet `postgresql` | pods `postgresql-0`, … of which any may lead; volumes `postgresql-storage-postgresql-0`, … |
| Services `postgresql`, `postgresql-master` | the primary, whoever that is |
| Service `postgresql-read` | the replicas; the primary where there are none |
| Service `postgresql-hl` | each pod by its name |
| Deployment and Service `postgresql-pooler` | with `pooler.enabled`: PgBouncer, which leads to the primary |
| Secret `postgresql` | `username`, `password`, `postgres-password`, `replication-password`, `metrics-password`; stays after `helm uninstall` |
| Secret `postgresql-tls` | with `tls.autoGenerated`: the certificate that clients see, and its authority; stays after `helm uninstall` |
| Secret `postgresql-patroni` | what the pods know among themselves: the authority of their certificates, three passwords |
| Jobs `postgresql-volumes-ask`, `…-wait` | where `primary.persistence.size` has grown: they ask the claims for it, and wait until they have it |
| ConfigMap `postgresql-config` | Patroni's configuration, mounted at `/etc/patroni`; `/etc/postgresql` is what Patroni makes of it |
| CronJob `postgresql-backup` | with `backup.enabled`: a backup of each database into S3 or on a volume, which the adapter and its restorer know |
| PersistentVolumeClaim `postgresql-backup` | with `backup.storage.enabled`: the volume that these backups are on, in the place of S3; stays after `helm uninstall`. Job `postgresql-volume-…` has it made at once, where its class waits for a pod |
| CronJobs `postgresql-pgbackrest-full`, `-incr`, `-diff`, `-verify`, Job `…-init` | with `pgbackrest.enabled`: backups of the data by pgBackRest, and a restore that is tried; the hook that makes its stanza and the first of them |
| ConfigMap `postgresql-pgbackrest-config` | with `pgbackrest.enabled`: pgBackRest's files, for the database, for what answers the jobs, and for the jobs |
| Secrets `postgresql-pgbackrest-s3`, `…-tls` | the keys of the store; the certificates by which jobs and database know each other |
| Secret `postgresql-minio-ca` | with `pgbackrest.minio.tls.enabled`: a copy of the store's authority; stays after `helm uninstall` |
| ConfigMaps `postgresql-ha-…` | Patroni's own: who leads, and that there is a cluster; they stay after `helm uninstall` |

## Changes

- `helm upgrade` with other settings, passwords or numbers of replicas makes no new pods: a container in each pod reads the mounted files,
  and within two minutes the server has what they say.
- A setting that only a restart brings restarts PostgreSQL, the primary first, then one replica after another: writers wait a second or two.
  `postgresql.restart=manual` leaves that to `patronictl restart`.
- A password that changes in the Secret is altered on the primary first; connections that are open stay. Whoever changes it by SQL alone finds
  the Secret's again (`auth.reconcilePasswords`).
- Other resources, images or labels of pods make new pods, from the last to the first; the primary hands over before it stops.
- The slot of a replica that is scaled away goes as soon as all others stream; its volume stays.
- A larger `primary.persistence.size` enlarges the volumes, where their storage class can; Helm waits for it, and no pod is made anew. A smaller one is an error.
- An image with another major of PostgreSQL refuses the data, and changes nothing.

## Values

R
    table postgresql
}

for chart in postgres-adapter postgres-db-operator postgresql; do
    if [ "${1:-}" = --check ]; then
        diff <($chart) "$charts/$chart/README.md" >&2 || { echo "charts-readme.sh: run scripts/charts-readme.sh" >&2; exit 1; }
    else
        $chart >"$charts/$chart/README.md"
    fi
done
