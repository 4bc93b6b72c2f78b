{{/* The name of all objects. */}}
{{- define "postgresql.name" -}}
{{- $given := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trimSuffix "-" -}}
{{- else if contains $given .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $given | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
Patroni's name of the cluster, which its ConfigMaps begin with. Not the name of all objects: the first of them would
be the ConfigMap of ours.
*/}}
{{- define "postgresql.scope" -}}{{ include "postgresql.name" . }}-ha{{- end -}}

{{- define "postgresql.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "postgresql.labels" -}}
{{ include "postgresql.selector" . }}
app.kubernetes.io/part-of: oiler-backup
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An object's metadata. of: `root`; what is not like all others: `name`, `namespace`, `labels`, `annotations`. */}}
{{- define "postgresql.metadata" -}}
{{- $root := .root -}}
{{- $labels := mergeOverwrite (include "postgresql.labels" $root | fromYaml) (default (dict) .labels) -}}
{{- $annotations := mergeOverwrite (deepCopy (default (dict) $root.Values.commonAnnotations)) (default (dict) .annotations) -}}
name: {{ .name | default (include "postgresql.name" $root) }}
namespace: {{ .namespace | default $root.Release.Namespace }}
labels: {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "postgresql.account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "postgresql.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* An image's whole name. of: the root, and its values. */}}
{{- define "postgresql.imageOf" -}}
{{- $root := index . 0 -}}{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with $root.Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") -}}
{{- end -}}
{{- if $image.digest -}}{{ $repository }}@{{ $image.digest }}
{{- else -}}{{ $repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "postgresql.image" -}}{{ include "postgresql.imageOf" (list . .Values.image) }}{{- end -}}
{{- define "postgresql.backupImage" -}}{{ include "postgresql.imageOf" (list . .Values.backup.image) }}{{- end -}}

{{- define "postgresql.pullSecrets" -}}
{{- $all := list -}}
{{- range concat .Values.image.pullSecrets .Values.global.imagePullSecrets -}}
{{- $all = append $all (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with $all | uniq -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* How many replicas there are besides the primary. */}}
{{- define "postgresql.replicas" -}}
{{- $given := list -}}
{{- range list .Values.replication.replicas .Values.readReplicas.replicaCount -}}
{{- if not (kindIs "invalid" .) -}}{{- $given = append $given (int .) -}}{{- end -}}
{{- end -}}
{{- if $given -}}{{ first $given }}{{- else -}}{{ ternary 1 0 (eq .Values.architecture "replication") }}{{- end -}}
{{- end -}}

{{/* `backup`, with what `backup.cronjob` says in its place. */}}
{{- define "postgresql.backup" -}}
{{- mergeOverwrite (omit .Values.backup "cronjob" | deepCopy) (deepCopy .Values.backup.cronjob) | toYaml -}}
{{- end -}}

{{/* The role beside the superuser; nothing where there is none. */}}
{{- define "postgresql.user" -}}
{{- if ne .Values.auth.username "postgres" -}}{{ .Values.auth.username }}{{- end -}}
{{- end -}}

{{/* The Secret with what people know. */}}
{{- define "postgresql.secret" -}}{{ .Values.auth.existingSecret | default (include "postgresql.name" .) }}{{- end -}}

{{/* The Secret with what only the pods know. */}}
{{- define "postgresql.patroniSecret" -}}
{{ .Values.failover.existingSecret | default (printf "%s-patroni" (include "postgresql.name" .)) }}
{{- end -}}

{{/* Pods that may reach PostgreSQL where not everybody may, as a NetworkPolicy says it. */}}
{{- define "postgresql.clientPeer" -}}
podSelector:
  matchLabels:
    {{ include "postgresql.name" . }}-client: "true"
{{- end -}}

{{/* Which families of addresses a Service has. */}}
{{- define "postgresql.families" -}}
{{- with .Values.ipFamilyPolicy }}
  ipFamilyPolicy: {{ . }}
{{- end }}
{{- end -}}

{{/*
Rules for calls of any pods of the release. of: the root, and what these pods call beside DNS, as text. A cluster whose DNS
answers at another port says so by `extraEgress`.
*/}}
{{- define "postgresql.egress" -}}
{{- $policy := (index . 0).Values.networkPolicy -}}
{{- if $policy.allowExternalEgress -}}
- {}
{{- else -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{ index . 1 }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* A rule for calls to pods of the database. of: the root, and their ports. */}}
{{- define "postgresql.databaseEgress" -}}
- ports:
    {{- range index . 1 }}
    - {port: {{ int . }}, protocol: TCP}
    {{- end }}
  to:
    - podSelector:
        matchLabels: {{- include "postgresql.selector" (index . 0) | nindent 10 }}
{{- end -}}

{{/* A rule for calls to the API server. */}}
{{- define "postgresql.apiEgress" -}}
- ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.apiServer.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* What the scripts of the database's pods are; others are of pods of their own. */}}
{{- define "postgresql.scriptsSum" -}}
{{- $scripts := "" -}}
{{- range $path, $_ := .Files.Glob "files/*.{sh,py}" -}}
{{- if not (has $path (list "files/pooler.py" "files/volumes.py")) -}}{{- $scripts = print $scripts ($.Files.Get $path) -}}{{- end -}}
{{- end -}}
{{- $scripts | sha256sum -}}
{{- end -}}

{{- define "postgresql.masterService" -}}{{ include "postgresql.name" . }}-{{ .Values.primary.name }}{{- end -}}
{{- define "postgresql.readService" -}}{{ include "postgresql.name" . }}-{{ .Values.readReplicas.name }}{{- end -}}
