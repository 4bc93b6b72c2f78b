{{/* Where everything but the workers is. */}}
{{- define "adapter.namespace" -}}{{ .Values.namespaceOverride | default .Release.Namespace }}{{- end -}}

{{/* Where CronJobs, Jobs and their Secrets are. */}}
{{- define "adapter.workerNamespace" -}}{{ .Values.workers.namespace | default (include "adapter.namespace" .) }}{{- end -}}

{{/* The name of all objects. */}}
{{- define "adapter.name" -}}
{{- $given := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trimSuffix "-" -}}
{{- else if contains $given .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $given | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of what belongs to no namespace, so that releases in several do not share it. */}}
{{- define "adapter.clusterName" -}}
{{- printf "%s-%s" (include "adapter.namespace" .) (include "adapter.name" .) -}}
{{- end -}}

{{/* The Service's name; the published chart put something behind its own. */}}
{{- define "adapter.service" -}}
{{- if .Values.sheduler.name -}}{{ .Values.sheduler.name }}-service{{- else -}}{{ include "adapter.name" . }}{{- end -}}
{{- end -}}

{{- define "adapter.port" -}}{{ .Values.sheduler.port | default .Values.service.port }}{{- end -}}

{{/* The Secret with the certificate of gRPC. */}}
{{- define "adapter.tlsSecret" -}}
{{ .Values.tls.existingSecret | default (printf "%s-tls" (include "adapter.name" .)) }}
{{- end -}}

{{/* Whether nobody is asked who they are. */}}
{{- define "adapter.allowsAnyone" -}}{{ not (or .Values.tls.clientCaSecret .Values.access.callersSecret) }}{{- end -}}

{{/* The cluster's version, or the one that is meant where nobody can ask a cluster. */}}
{{- define "adapter.kubeVersion" -}}{{ .Values.kubeVersion | default .Capabilities.KubeVersion.Version }}{{- end -}}

{{- define "adapter.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: scheduler
{{- end -}}

{{- define "adapter.labels" -}}
{{ include "adapter.selector" . }}
app.kubernetes.io/part-of: oiler-backup
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
An object's metadata. of: `root`; what is not like all others: `name`, `namespace` ("-": none), `labels`,
`annotations`.
*/}}
{{- define "adapter.metadata" -}}
{{- $root := .root -}}
{{- $labels := mergeOverwrite (include "adapter.labels" $root | fromYaml) (default (dict) .labels) -}}
{{- $annotations := mergeOverwrite (deepCopy (default (dict) $root.Values.commonAnnotations)) (default (dict) .annotations) -}}
name: {{ .name | default (include "adapter.name" $root) }}
{{- $namespace := .namespace | default (include "adapter.namespace" $root) }}
{{- if ne $namespace "-" }}
namespace: {{ $namespace }}
{{- end }}
labels: {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "adapter.account" -}}
{{- $own := ternary (include "adapter.name" .) "default" .Values.serviceAccount.create -}}
{{- .Values.sheduler.serviceAccountName | default .Values.serviceAccount.name | default $own -}}
{{- end -}}

{{- define "adapter.workerAccount" -}}
{{- $account := .Values.workers.serviceAccount -}}
{{- $own := ternary (printf "%s-workers" (include "adapter.name" .)) "default" $account.create -}}
{{- $account.name | default $own -}}
{{- end -}}

{{- define "adapter.pullPolicy" -}}
{{- .Values.sheduler.imagePullPolicy | default (default (dict) .Values.image).pullPolicy | default .Values.images.pullPolicy -}}
{{- end -}}

{{- define "adapter.replicas" -}}{{ .Values.sheduler.replicas | default .Values.replicaCount | default .Values.replicas }}{{- end -}}

{{/* `text` or `json`; dbtether's chart says `console` for the former. */}}
{{- define "adapter.logFormat" -}}
{{- $format := (default (dict) .Values.logging).format | default .Values.logFormat -}}
{{- ternary "text" $format (eq $format "console") -}}
{{- end -}}

{{/* image: a list of the root, the part's name and the deprecated whole reference */}}
{{- define "adapter.image" -}}
{{- $root := index . 0 -}}{{- $given := index . 2 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- if eq (index . 1) "scheduler" -}}
{{- $image = mergeOverwrite (deepCopy $image) (pick (default (dict) $root.Values.image) "repository" "tag") -}}
{{- end -}}
{{- if $given -}}{{ $given }}
{{- else -}}
{{- $repository := $image.repository -}}
{{- with (default (dict) $root.Values.global).imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") -}}
{{- end -}}
{{- if $image.digest -}}{{ $repository }}@{{ $image.digest }}
{{- else -}}{{ $repository }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What pods name to pull images, a list; nothing where there is none. */}}
{{- define "adapter.pullSecrets" -}}
{{- $all := list -}}
{{- range concat .Values.images.pullSecrets (default (list) .Values.imagePullSecrets) (default (list) (default (dict) .Values.global).imagePullSecrets) -}}
{{- $all = append $all (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with $all | uniq -}}{{- toYaml . -}}{{- end -}}
{{- end -}}
