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
{{- printf "%s-%s" .Release.Namespace (include "adapter.name" .) -}}
{{- end -}}

{{/* The Service's name; the published chart put something behind its own. */}}
{{- define "adapter.service" -}}
{{- if .Values.sheduler.name -}}{{ .Values.sheduler.name }}-service{{- else -}}{{ include "adapter.name" . }}{{- end -}}
{{- end -}}

{{- define "adapter.port" -}}{{ .Values.sheduler.port | default .Values.service.port }}{{- end -}}

{{/* Whether nobody is asked who they are. */}}
{{- define "adapter.allowsAnyone" -}}{{ not (or .Values.tls.clientCaSecret .Values.access.callersSecret) }}{{- end -}}

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

{{- define "adapter.account" -}}
{{- $own := ternary (include "adapter.name" .) "default" .Values.serviceAccount.create -}}
{{- .Values.sheduler.serviceAccountName | default .Values.serviceAccount.name | default $own -}}
{{- end -}}

{{- define "adapter.workerAccount" -}}
{{- $account := .Values.workers.serviceAccount -}}
{{- $own := ternary (printf "%s-workers" (include "adapter.name" .)) "default" $account.create -}}
{{- $account.name | default $own -}}
{{- end -}}

{{/* image: a list of the root, the part's name and the deprecated whole reference */}}
{{- define "adapter.image" -}}
{{- $root := index . 0 -}}{{- $given := index . 2 -}}
{{- $image := index $root.Values.images (index . 1) -}}
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

{{/* A pod's security context: on OpenShift the namespace gives the ids. */}}
{{- define "adapter.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext -}}
{{- if .Values.openshift -}}{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" -}}{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* Where CronJobs, Jobs and their Secrets are. */}}
{{- define "adapter.workerNamespace" -}}{{ .Values.workers.namespace | default .Release.Namespace }}{{- end -}}

{{/* The Secrets that are named anywhere in a pod template, a line each. */}}
{{- define "adapter.secretsIn" -}}
{{- if kindIs "slice" . -}}
{{- range . -}}{{- include "adapter.secretsIn" . -}}{{- end -}}
{{- else if kindIs "map" . -}}
{{- range $key, $value := . -}}
{{- if and (eq $key "secretName") (kindIs "string" $value) -}}{{ $value }}{{ "\n" }}{{- end -}}
{{- if and (has $key (list "secret" "secretRef" "secretKeyRef")) (kindIs "map" $value) -}}
{{- with $value.name -}}{{ . }}{{ "\n" }}{{- end -}}
{{- end -}}
{{- include "adapter.secretsIn" $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the worker's pod template has, besides the user's own. */}}
{{- define "adapter.podTemplate" -}}
{{- $workers := .Values.workers -}}
{{- $volumes := list -}}{{- $mounts := list -}}
{{- range $name, $bundle := dict "s3-ca" $workers.s3.caBundle "database-ca" $workers.database.caBundle -}}
{{- $items := list (dict "key" $bundle.key "path" "ca.crt") -}}
{{- if $bundle.secret -}}
{{- $volumes = append $volumes (dict "name" $name "secret" (dict "secretName" $bundle.secret "items" $items)) -}}
{{- else if $bundle.configMap -}}
{{- $volumes = append $volumes (dict "name" $name "configMap" (dict "name" $bundle.configMap "items" $items)) -}}
{{- end -}}
{{- if or $bundle.secret $bundle.configMap -}}
{{- $mounts = append $mounts (dict "name" $name "mountPath" (printf "/etc/%s" $name) "readOnly" true) -}}
{{- end -}}
{{- end -}}
{{- $template := deepCopy (default (dict) $workers.podTemplate) -}}
{{- $spec := default (dict) $template.spec -}}
{{- $worker := dict "name" "worker" -}}{{- $others := list -}}
{{- range default (list) $spec.containers -}}
{{- if eq .name "worker" -}}{{- $worker = . -}}{{- else -}}{{- $others = append $others . -}}{{- end -}}
{{- end -}}
{{- $_ := set $worker "resources" (mergeOverwrite (deepCopy (default (dict) $workers.resources)) (default (dict) $worker.resources)) -}}
{{- with $mounts -}}{{- $_ := set $worker "volumeMounts" (concat . (default (list) $worker.volumeMounts)) -}}{{- end -}}
{{- $_ := set $spec "containers" (prepend $others $worker) -}}
{{- with $volumes -}}{{- $_ := set $spec "volumes" (concat . (default (list) $spec.volumes)) -}}{{- end -}}
{{- with .Values.images.pullSecrets -}}{{- if not $spec.imagePullSecrets -}}{{- $_ := set $spec "imagePullSecrets" . -}}{{- end -}}{{- end -}}
{{- $_ := set $template "spec" $spec -}}
{{- with .Values.commonLabels -}}
{{- $metadata := default (dict) $template.metadata -}}
{{- $_ := set $metadata "labels" (mergeOverwrite (deepCopy .) (default (dict) $metadata.labels)) -}}
{{- $_ := set $template "metadata" $metadata -}}
{{- end -}}
{{- toYaml $template -}}
{{- end -}}
