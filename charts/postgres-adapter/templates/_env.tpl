{{/* The scheduler's settings: docs/settings.md. */}}
{{- define "adapter.env" -}}
{{ include "adapter.ownEnv" . }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "adapter.ownEnv" -}}
{{- $workers := .Values.workers -}}
- {name: ENGINE, value: kubernetes}
- {name: SYSTEM_NAMESPACE, value: {{ include "adapter.workerNamespace" . | quote }}}
- {name: RELEASE_NAME, value: {{ .Release.Name | quote }}}
- {name: PORT, value: {{ include "adapter.port" . | quote }}}
- {name: ALLOW_ANYONE, value: {{ include "adapter.allowsAnyone" . | quote }}}
{{- if .Values.access.callersSecret }}
- {name: ACCESS_FILE, value: /etc/grpc-callers/callers.yaml}
{{- end }}
{{- if eq (include "adapter.declares" .) "true" }}
- {name: SCHEDULES_FILE, value: /etc/postgres-adapter/schedules/schedules.yaml}
{{- end }}
{{- with .Values.secretReferences }}
- {name: SECRET_REFERENCES, value: {{ join "," . | quote }}}
{{- end }}
{{- with $workers.s3.ambientBuckets }}
- {name: AMBIENT_BUCKETS, value: {{ join "," . | quote }}}
{{- end }}
- {name: ADMIN_PORT, value: {{ .Values.service.adminPort | quote }}}
- {name: LOG_FORMAT, value: {{ include "adapter.logFormat" . }}}
{{- if eq (include "adapter.operates" .) "true" }}
- {name: OPERATOR, value: "true"}
- {name: OPERATOR_ALLOWED_NAMESPACES, value: {{ .Values.operator.allowedNamespaces | default "all" | quote }}}
{{- end }}
- {name: BACKUPER_VERSION, value: {{ include "adapter.image" (list . "backuper" .Values.backuper.image) | quote }}}
- {name: RESTORER_VERSION, value: {{ include "adapter.image" (list . "restorer" .Values.restorer.image) | quote }}}
- {name: WORKER_SERVICE_ACCOUNT, value: {{ include "adapter.workerAccount" . | quote }}}
- {name: WORKER_RUN_AS_USER, value: {{ if or .Values.openshift (not $workers.runAsUser) }}image{{ else }}{{ $workers.runAsUser | int64 | quote }}{{ end }}}
- {name: WORKER_POD_TEMPLATE, value: /etc/postgres-adapter/pod-template.yaml}
- {name: STARTING_DEADLINE, value: {{ $workers.startingDeadline | quote }}}
- {name: BACKUP_DEADLINE, value: {{ $workers.backupDeadline | quote }}}
- {name: RESTORE_DEADLINE, value: {{ $workers.restoreDeadline | quote }}}
- {name: SUCCESSFUL_HISTORY_LIMIT, value: {{ $workers.successfulHistory | quote }}}
- {name: FAILED_HISTORY_LIMIT, value: {{ $workers.failedHistory | quote }}}
- {name: RESTORE_BEGIN_WITHIN, value: {{ $workers.restoreBeginWithin | quote }}}
- {name: RESTORE_TTL, value: {{ $workers.restoreTtl | quote }}}
- {name: COMPRESSION_LEVEL, value: {{ $workers.compressionLevel | quote }}}
{{- if ne ($workers.format | default "archive") "archive" }}
- {name: FORMAT, value: {{ $workers.format | quote }}}
{{- end }}
{{- if ($workers.sql).owners }}
- {name: SQL_OWNERS, value: "true"}
{{- end }}
{{- if ($workers.sql).clean }}
- {name: SQL_CLEAN, value: "true"}
{{- end }}
{{- with ($workers.sql).keyTemplate }}
- {name: KEY_TEMPLATE, value: {{ . | quote }}}
{{- end }}
{{- with ($workers.sql).clusterName }}
- {name: CLUSTER_NAME, value: {{ . | quote }}}
{{- end }}
{{- include "adapter.retentionEnv" (default (dict) $workers.retention) }}
- {name: LOCK_WAIT_TIMEOUT, value: {{ $workers.lockWaitTimeout | quote }}}
- {name: DB_SSLMODE, value: {{ $workers.database.sslMode | quote }}}
- {name: SECURE, value: {{ $workers.s3.verifyCertificates | quote }}}
{{- with $workers.backupJobs }}
- {name: BACKUP_JOBS, value: {{ . | quote }}}
{{- end }}
{{- if gt (int $workers.databaseJobs) 1 }}
- {name: DATABASE_JOBS, value: {{ $workers.databaseJobs | quote }}}
{{- end }}
{{- with $workers.maintenanceDatabase }}
- {name: MAINTENANCE_DB, value: {{ . | quote }}}
{{- end }}
{{- with $workers.restoreJobs }}
- {name: RESTORE_JOBS, value: {{ . | quote }}}
{{- end }}
{{- /* A release that was made before there was the value has none. */}}
{{- $encryption := default (dict) $workers.encryption }}
{{- with $encryption.recipients }}
- {name: ENCRYPT_TO, value: {{ join "," . | quote }}}
{{- end }}
{{- if $encryption.manifest }}
- {name: ENCRYPT_MANIFEST, value: "true"}
{{- end }}
{{- with $encryption.identitySecret }}
- {name: RESTORE_IDENTITY_SECRET, value: {{ printf "%s/%s" . $encryption.identityKey | quote }}}
{{- end }}
{{- if ($workers.globals).enabled }}
- {name: GLOBALS, value: "true"}
{{- end }}
{{- if ne (($workers.globals).passwords | default "encrypted") "encrypted" }}
- {name: GLOBALS_PASSWORDS, value: {{ $workers.globals.passwords | quote }}}
{{- end }}
{{- if ne ($workers.restoreRoles | default "none") "none" }}
- {name: RESTORE_ROLES, value: {{ $workers.restoreRoles | quote }}}
{{- end }}
{{- with $workers.s3.region }}
- {name: S3_REGION, value: {{ . | quote }}}
{{- end }}
{{- with $workers.s3.forcePathStyle }}
- {name: S3_FORCE_PATH_STYLE, value: {{ . | quote }}}
{{- end }}
{{- include "adapter.s3Env" $workers.s3 }}
{{- include "adapter.copyEnv" (default (dict) $workers.copy) }}
{{- include "adapter.storeEnv" (default (dict) $workers.store) }}
{{- with $workers.kueueQueue }}
- {name: KUEUE_QUEUE, value: {{ . | quote }}}
{{- end }}
{{- with $workers.pushgatewayUrl }}
- {name: PUSHGATEWAY_URL, value: {{ . | quote }}}
{{- end }}
{{- if or $workers.s3.caBundle.secret $workers.s3.caBundle.configMap }}
- {name: S3_CA_FILE, value: /etc/s3-ca/ca.crt}
{{- end }}
{{- if or $workers.database.caBundle.secret $workers.database.caBundle.configMap }}
- {name: DB_SSLROOTCERT, value: /etc/database-ca/ca.crt}
{{- end }}
{{- if .Values.tls.enabled }}
- {name: GRPC_TLS_CERT, value: /etc/grpc-tls/tls.crt}
- {name: GRPC_TLS_KEY, value: /etc/grpc-tls/tls.key}
{{- end }}
{{- if .Values.tls.clientCaSecret }}
- {name: GRPC_TLS_CLIENT_CA, value: /etc/grpc-client-ca/ca.crt}
{{- end }}
{{- end -}}

{{/* What is kept by age and by the calendar; a release that was made before there were the values has none. */}}
{{- define "adapter.retentionEnv" }}
{{- $names := dict "days" "RETENTION_DAYS" "hourly" "KEEP_HOURLY" "daily" "KEEP_DAILY" "weekly" "KEEP_WEEKLY" "monthly" "KEEP_MONTHLY" "yearly" "KEEP_YEARLY" }}
{{- range $key := list "days" "hourly" "daily" "weekly" "monthly" "yearly" }}
{{- with get $ $key }}
- {name: {{ get $names $key }}, value: {{ . | int64 | quote }}}
{{- end }}
{{- end }}
{{- if gt (.atLeast | default 1 | int64) 1 }}
- {name: KEEP_AT_LEAST, value: {{ .atLeast | int64 | quote }}}
{{- end }}
{{- if ne (.timeZone | default "UTC") "UTC" }}
- {name: RETENTION_TIME_ZONE, value: {{ .timeZone | quote }}}
{{- end }}
{{- end -}}

{{/* The store of calls that name none; a release that was made before there were the values has none. */}}
{{- define "adapter.storeEnv" }}
{{- with .url }}
- {name: STORE_URL, value: {{ . | quote }}}
{{- end }}
{{- with .endpoint }}
- {name: S3_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .secret }}
- {name: STORE_SECRET, value: {{ prepend (default (list) $.secretKeys) . | join "/" | quote }}}
{{- end }}
{{- with .sasSecret }}
- {name: STORE_SAS_SECRET, value: {{ printf "%s/%s" . $.sasSecretKey | quote }}}
{{- end }}
{{- with .azureEndpoint }}
- {name: AZURE_STORAGE_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* What objects on S3 are written with. */}}
{{- define "adapter.s3Env" }}
{{- with .prefix }}
- {name: S3_PREFIX, value: {{ . | quote }}}
{{- end }}
{{- with .storageClass }}
- {name: S3_STORAGE_CLASS, value: {{ . | quote }}}
{{- end }}
{{- with .encryption }}
- {name: S3_SSE, value: {{ . | quote }}}
{{- end }}
{{- with .kmsKeyId }}
- {name: S3_SSE_KMS_KEY_ID, value: {{ . | quote }}}
{{- end }}
{{- with (.customerKey).secret }}
- {name: S3_SSE_CUSTOMER_KEY, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.customerKey.key | quote }}}}}
{{- end }}
{{- with (.objectLock).mode }}
- {name: S3_OBJECT_LOCK_MODE, value: {{ . | quote }}}
{{- end }}
{{- with (.objectLock).days }}
- {name: S3_OBJECT_LOCK_DAYS, value: {{ . | int | quote }}}
{{- end }}
{{- with .tags }}
{{- $tags := list }}
{{- range $key, $value := . }}{{ $tags = append $tags (printf "%s=%s" $key $value) }}{{ end }}
- {name: S3_TAGS, value: {{ join "," $tags | quote }}}
{{- end }}
{{- if ne (.checksum | default "auto") "auto" }}
- {name: S3_CHECKSUM, value: {{ .checksum | quote }}}
{{- end }}
{{- end -}}

{{/* The second store; a release that was made before there were the values has none. */}}
{{- define "adapter.copyEnv" }}
{{- $url := .url | default "" }}
{{- if $url }}
- {name: COPY_TO, value: {{ $url | quote }}}
{{- with .endpoint }}
- {name: COPY_S3_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .region }}
- {name: COPY_S3_REGION, value: {{ . | quote }}}
{{- end }}
{{- with .storageClass }}
- {name: COPY_S3_STORAGE_CLASS, value: {{ . | quote }}}
{{- end }}
{{- with (.credentials).secret }}
{{- if hasPrefix "gs://" $url }}
- {name: COPY_GOOGLE_SERVICE_ACCOUNT_KEY, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.credentials.serviceAccountKey | quote }}}}}
{{- else if hasPrefix "az://" $url }}
- {name: COPY_AZURE_STORAGE_ACCOUNT_KEY, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.credentials.accountKey | quote }}}}}
{{- else }}
- {name: COPY_S3_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.credentials.accessKey | quote }}}}}
- {name: COPY_S3_SECRET_KEY, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.credentials.secretKey | quote }}}}}
{{- end }}
{{- end }}
{{- $retention := .retention | default (dict) }}
{{- $names := dict "last" "MAX_BACKUP_COUNT" "days" "RETENTION_DAYS" "hourly" "KEEP_HOURLY" "daily" "KEEP_DAILY" "weekly" "KEEP_WEEKLY" "monthly" "KEEP_MONTHLY" "yearly" "KEEP_YEARLY" }}
{{- range $key := list "last" "days" "hourly" "daily" "weekly" "monthly" "yearly" }}
{{- with get $retention $key }}
- {name: COPY_{{ get $names $key }}, value: {{ . | int64 | quote }}}
{{- end }}
{{- end }}
{{- if gt ($retention.atLeast | default 1 | int64) 1 }}
- {name: COPY_KEEP_AT_LEAST, value: {{ $retention.atLeast | int64 | quote }}}
{{- end }}
{{- if ne ($retention.timeZone | default "UTC") "UTC" }}
- {name: COPY_RETENTION_TIME_ZONE, value: {{ $retention.timeZone | quote }}}
{{- end }}
{{- end }}
{{- end -}}
