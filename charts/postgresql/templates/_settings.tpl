{{/* A value of a setting, as text: Helm makes every number a float. */}}
{{- define "postgresql.text" -}}
{{- if kindIs "bool" . -}}{{ ternary "on" "off" . }}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}
{{- else -}}{{ . }}
{{- end -}}
{{- end -}}

{{/* Settings that Patroni takes from its store alone, since primary and replicas must agree on them. */}}
{{- define "postgresql.storeParameters" -}}
[max_connections, max_worker_processes, max_prepared_transactions, max_locks_per_transaction, max_wal_senders,
 max_replication_slots, wal_level, wal_log_hints, track_commit_timestamp]
{{- end -}}

{{/* Settings that are not people's to give here, and where they come from. */}}
{{- define "postgresql.reservedParameters" -}}
port: the chart, which serves 5432 in the pod; primary.service.ports.postgresql is the Service's
listen_addresses: the chart
unix_socket_directories: the chart
cluster_name: Patroni
hot_standby: Patroni
primary_conninfo: Patroni
primary_slot_name: Patroni
synchronous_standby_names: Patroni; replication.numSynchronousReplicas is for that
synchronous_commit: replication.synchronousCommit
archive_mode: the chart
archive_command: the chart
restore_command: the chart
data_directory: the chart
config_file: the chart
hba_file: the chart; postgresql.pgHba is for that
ident_file: the chart
ssl: tls.enabled
ssl_cert_file: tls.certificatesSecret
ssl_key_file: tls.certificatesSecret
ssl_ca_file: tls.certCAFilename
{{- end -}}

{{/* What is written to Patroni's store, in the words of its documentation. */}}
{{- define "postgresql.store" -}}
{{- $failover := .Values.failover -}}
{{- $synchronous := int .Values.replication.numSynchronousReplicas -}}
{{- $parameters := dict "wal_level" "replica" "wal_log_hints" "on" -}}
{{- range $name := include "postgresql.storeParameters" . | fromYamlArray -}}
{{- if hasKey $.Values.postgresql.parameters $name -}}
{{- $_ := set $parameters $name (include "postgresql.text" (index $.Values.postgresql.parameters $name)) -}}
{{- end -}}
{{- end -}}
ttl: {{ int $failover.ttl }}
loop_wait: {{ int $failover.loopWait }}
retry_timeout: {{ int $failover.retryTimeout }}
maximum_lag_on_failover: {{ int64 $failover.maximumLag }}
# Without it a primary stops to take writes where the API server is away, though all its replicas hear it.
failsafe_mode: true
# How long the WAL for a replica that is away is kept; that of one that was scaled away goes at once.
member_slots_ttl: 30min
{{- if $synchronous }}
synchronous_mode: quorum
synchronous_node_count: {{ $synchronous }}
synchronous_mode_strict: {{ .Values.replication.synchronousStrict }}
{{- else if eq $failover.mode "manual" }}
# With no member that may be synchronous, none but the leader may lead. Patroni's own `pause` is not this: there a
# primary that was restarted stays down.
synchronous_mode: true
{{- end }}
postgresql:
  use_slots: true
  use_pg_rewind: true
  parameters: {{- toYaml $parameters | nindent 4 }}
{{- end -}}

{{/* Who may connect: the pods' own socket is for whoever may enter the pod, who has the data as well. */}}
{{- define "postgresql.hba" -}}
- local all all trust
- local replication all trust
- host all {{ .Values.auth.metricsUsername | quote }} 127.0.0.1/32 scram-sha-256
- host all {{ .Values.auth.metricsUsername | quote }} ::1/128 scram-sha-256
- host replication {{ .Values.auth.replicationUsername | quote }} all scram-sha-256
{{- if .Values.pooler.enabled }}
# Its own role looks passwords up, and that is all.
- host postgres {{ .Values.pooler.username | quote }} all scram-sha-256
- host all {{ .Values.pooler.username | quote }} all reject
{{- end }}
{{- with .Values.postgresql.pgHba }}
- host postgres rewind_user all scram-sha-256
{{ toYaml . }}
{{- else }}
- host all all all scram-sha-256
{{- end }}
{{- end -}}

{{- define "postgresql.localParameters" -}}
{{- $parameters := dict "unix_socket_directories" "/var/run/postgresql" "password_encryption" "scram-sha-256" -}}
{{- $_ := set $parameters "synchronous_commit" (include "postgresql.text" .Values.replication.synchronousCommit) -}}
{{- /* On from the start, since to switch it on needs a restart; a command that does nothing archives nothing. */ -}}
{{- $_ := set $parameters "archive_mode" "on" -}}
{{- $_ := set $parameters "archive_command" "/bin/true" -}}
{{- with .Values.pgbackrest -}}
{{- if .enabled -}}
{{- $_ := set $parameters "archive_command" (printf "pgbackrest --stanza=%s archive-push %%p" .stanza) -}}
{{- /* What is committed waits no longer than this for the end of its segment. */ -}}
{{- $_ := set $parameters "archive_timeout" "60s" -}}
{{- end -}}
{{- end -}}
{{- $store := include "postgresql.storeParameters" . | fromYamlArray -}}
{{- range $name, $value := .Values.postgresql.parameters -}}
{{- if not (or (has $name $store) (kindIs "invalid" $value)) -}}
{{- $_ := set $parameters $name (include "postgresql.text" $value) -}}
{{- end -}}
{{- end -}}
{{- toYaml $parameters -}}
{{- end -}}

{{/* Patroni's configuration, but for what a pod adds: its name, its addresses, passwords. */}}
{{- define "postgresql.patroni" -}}
scope: {{ include "postgresql.scope" . }}
kubernetes:
  namespace: {{ .Release.Namespace }}
  labels: {{- include "postgresql.selector" . | nindent 4 }}
log:
  level: INFO
restapi:
  # Addresses of both families.
  listen: "*:8008"
bootstrap:
  initdb:
    - encoding: UTF8
    - locale: {{ .Values.postgresql.locale }}
    {{- if .Values.postgresql.dataChecksums }}
    - data-checksums
    {{- end }}
  {{- with .Values.restore }}
  {{- if .enabled }}
  # Of a new cluster alone: where Patroni's ConfigMaps say that there is one, nothing of this is read.
  method: pgbackrest
  pgbackrest:
    command: {{ include "postgresql.restore" $ | quote }}
    keep_existing_recovery_conf: true
    no_params: true
  {{- end }}
  {{- end }}
  post_bootstrap: python3 /scripts/settings.py bootstrap
postgresql:
  listen: "*:5432"
  data_dir: /var/lib/postgresql/data/pgdata
  config_dir: /etc/postgresql
  custom_conf: /etc/patroni/postgresql.conf
  pgpass: /run/postgresql/pgpass
  use_unix_socket: true
  use_unix_socket_repl: true
  authentication:
    superuser: {username: postgres}
    replication: {username: {{ .Values.auth.replicationUsername | quote }}}
    rewind: {username: rewind_user}
  parameters: {{- include "postgresql.localParameters" . | nindent 4 }}
  {{- if .Values.pgbackrest.enabled }}
  # A replica that missed more than the primary keeps finds it there, and so does pg_rewind.
  recovery_conf:
    restore_command: pgbackrest --stanza={{ .Values.pgbackrest.stanza }} archive-get %f "%p"
  {{- end }}
  basebackup:
    - checkpoint: fast
  pg_hba: {{- include "postgresql.hba" . | nindent 4 }}
  # A pod never deletes data that it cannot rewind: a person looks first.
  remove_data_directory_on_rewind_failure: false
  remove_data_directory_on_diverged_timelines: false
{{- if eq .Values.failover.mode "manual" }}
tags:
  nosync: true
{{- end }}
{{- end -}}
