{{/* Whether the scheduler serves the kinds of dbtether.io: in the chart postgres-db-operator, and where it is asked for. */}}
{{- define "adapter.operates" -}}
{{- $enabled := (default (dict) .Values.operator).enabled -}}
{{- kindIs "bool" $enabled | ternary $enabled (eq .Chart.Name "postgres-db-operator") -}}
{{- end -}}

{{/*
All that the operator may do in the whole cluster, kind by kind: tests/integration/operator runs with it, and proves that
each word is needed. The list in docs/operator.md is compared with it.
*/}}
{{- define "adapter.operatorRules" -}}
# DBCluster: whether there still is the one of a Database that goes is asked of the API server.
- apiGroups: [dbtether.io]
  resources: [dbclusters]
  verbs: [get, list, watch]
- apiGroups: [dbtether.io]
  resources: [dbclusters/status]
  verbs: [patch]
# Database: its finalizer is a patch of the object.
- apiGroups: [dbtether.io]
  resources: [databases]
  verbs: [list, watch, patch]
- apiGroups: [dbtether.io]
  resources: [databases/status]
  verbs: [patch]
# DatabaseUser: likewise.
- apiGroups: [dbtether.io]
  resources: [databaseusers]
  verbs: [list, watch, patch]
- apiGroups: [dbtether.io]
  resources: [databaseusers/status]
  verbs: [patch]
# BackupStorage.
- apiGroups: [dbtether.io]
  resources: [backupstorages]
  verbs: [list, watch]
- apiGroups: [dbtether.io]
  resources: [backupstorages/status]
  verbs: [patch]
# Backup: a BackupSchedule makes it, and deletes what its retention keeps no longer.
- apiGroups: [dbtether.io]
  resources: [backups]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [dbtether.io]
  resources: [backups/status]
  verbs: [patch]
# BackupSchedule.
- apiGroups: [dbtether.io]
  resources: [backupschedules]
  verbs: [list, watch, patch]
- apiGroups: [dbtether.io]
  resources: [backupschedules/status]
  verbs: [patch]
# Restore.
- apiGroups: [dbtether.io]
  resources: [restores]
  verbs: [list, watch, patch]
- apiGroups: [dbtether.io]
  resources: [restores/status]
  verbs: [patch]
# All kinds: nothing is dropped because a kind goes.
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get]
# Which cluster this is, and the labels that allowedNamespaces selects by.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* What the operator may do where Secrets are that objects name. */}}
{{- define "adapter.operatorSecretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, update, delete]
{{- end -}}

{{/* The same in all namespaces, where those of DatabaseUsers can be watched too. */}}
{{- define "adapter.operatorAllSecretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, update, delete]
{{- end -}}

{{/* The namespaces of those Secrets, a list; with "*" in it, all. */}}
{{- define "adapter.secretNamespaces" -}}
{{- prepend (default (list) .Values.operator.secretNamespaces) (include "adapter.namespace" .) | uniq | toYaml -}}
{{- end -}}
