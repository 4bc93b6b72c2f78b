{{/* A pod's security context: on OpenShift the namespace gives the ids. */}}
{{- define "adapter.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext -}}
{{- if .Values.openshift -}}{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" -}}{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* Which nodes a pod may be on, for the scheduler and for `helm test`. */}}
{{- define "adapter.nodes" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "adapter.affinity" -}}
{{- $affinity := .Values.affinity -}}
{{- $nodes := default (dict) .Values.nodeAffinityPreset -}}
{{- if not $affinity -}}
{{- $affinity = dict -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "adapter.selector" . | fromYaml)) -}}
{{- if eq (default "" .Values.podAntiAffinityPreset) "soft" -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 1 "podAffinityTerm" $term))) -}}
{{- else if eq (default "" .Values.podAntiAffinityPreset) "hard" -}}
{{- $_ := set $affinity "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- end -}}
{{- $match := dict "matchExpressions" (list (dict "key" $nodes.key "operator" "In" "values" $nodes.values)) -}}
{{- if eq (default "" $nodes.type) "soft" -}}
{{- $_ := set $affinity "nodeAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 1 "preference" $match))) -}}
{{- else if eq (default "" $nodes.type) "hard" -}}
{{- $_ := set $affinity "nodeAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" (list $match))) -}}
{{- end -}}
{{- end -}}
{{- with $affinity -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* How pods spread: a list of the constraints and of the labels that are meant where one names none. */}}
{{- define "adapter.spread" -}}
{{- $labels := index . 1 -}}{{- $all := list -}}
{{- range index . 0 -}}
{{- $all = append $all (hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" (dict "matchLabels" $labels)) .)) -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

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
{{- $theirs := default (dict) .Values.backup -}}
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
{{- $volumes = concat $volumes (default (list) $workers.extraVolumes) -}}
{{- $mounts = concat $mounts (default (list) $workers.extraVolumeMounts) -}}
{{- $template := deepCopy (default (dict) $workers.podTemplate) -}}
{{- $spec := default (dict) $template.spec -}}
{{- $worker := dict "name" "worker" -}}{{- $others := list -}}
{{- range default (list) $spec.containers -}}
{{- if eq .name "worker" -}}{{- $worker = . -}}{{- else -}}{{- $others = append $others . -}}{{- end -}}
{{- end -}}
{{- $_ := set $worker "resources" (mergeOverwrite (deepCopy (default (dict) $workers.resources)) (deepCopy (default (dict) $theirs.resources)) (default (dict) $worker.resources)) -}}
{{- with $mounts -}}{{- $_ := set $worker "volumeMounts" (concat . (default (list) $worker.volumeMounts)) -}}{{- end -}}
{{- with $workers.extraEnv -}}{{- $_ := set $worker "env" (concat . (default (list) $worker.env)) -}}{{- end -}}
{{- $_ := set $spec "containers" (prepend $others $worker) -}}
{{- with $volumes -}}{{- $_ := set $spec "volumes" (concat . (default (list) $spec.volumes)) -}}{{- end -}}
{{- with include "adapter.pullSecrets" . | fromYamlArray -}}{{- if not $spec.imagePullSecrets -}}{{- $_ := set $spec "imagePullSecrets" . -}}{{- end -}}{{- end -}}
{{- range $field := list "priorityClassName" "affinity" "hostAliases" -}}
{{- with index $workers $field -}}{{- if not (index $spec $field) -}}{{- $_ := set $spec $field . -}}{{- end -}}{{- end -}}
{{- end -}}
{{- with $workers.topologySpreadConstraints -}}
{{- if not $spec.topologySpreadConstraints -}}
{{- $ours := dict "app.kubernetes.io/managed-by" "postgres-adapter" -}}
{{- $_ := set $spec "topologySpreadConstraints" (include "adapter.spread" (list . $ours) | fromYamlArray) -}}
{{- end -}}
{{- end -}}
{{- with $workers.nodeSelector -}}{{- $_ := set $spec "nodeSelector" (mergeOverwrite (deepCopy .) (default (dict) $spec.nodeSelector)) -}}{{- end -}}
{{- with $workers.tolerations -}}{{- $_ := set $spec "tolerations" (concat . (default (list) $spec.tolerations)) -}}{{- end -}}
{{- $_ := set $template "spec" $spec -}}
{{- $metadata := default (dict) $template.metadata -}}
{{- with mergeOverwrite (deepCopy (default (dict) .Values.commonLabels)) (default (dict) $workers.podLabels) (default (dict) $theirs.podLabels) (default (dict) $metadata.labels) -}}
{{- $_ := set $metadata "labels" . -}}
{{- end -}}
{{- with mergeOverwrite (deepCopy (default (dict) $workers.podAnnotations)) (default (dict) $theirs.podAnnotations) (default (dict) $metadata.annotations) -}}
{{- $_ := set $metadata "annotations" . -}}
{{- end -}}
{{- with $metadata -}}{{- $_ := set $template "metadata" . -}}{{- end -}}
{{- toYaml $template -}}
{{- end -}}
