{{/* A size in bytes, as a number of JSON; nothing where it is written as nobody writes one here. */}}
{{- define "postgresql.bytes" -}}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" . -}}
{{- $unit := trimPrefix $number . -}}
{{- if and $number (hasKey $units $unit) -}}{{- mulf (float64 $number) (index $units $unit) | toJson -}}{{- end -}}
{{- end -}}

{{/* Whether the first of two sizes is less than the second; nothing where not. */}}
{{- define "postgresql.isLess" -}}
{{- $one := include "postgresql.bytes" (index . 0) -}}{{- $other := include "postgresql.bytes" (index . 1) -}}
{{- if and $one $other -}}{{- if lt (float64 $one) (float64 $other) -}}true{{- end -}}{{- end -}}
{{- end -}}

{{/* The claims of the members, a line each. */}}
{{- define "postgresql.claims" -}}
{{- range $number := add 1 (include "postgresql.replicas" . | int) | int | until }}
{{ $.Values.primary.persistence.volumeName }}-{{ include "postgresql.name" $ }}-{{ $number }}
{{- end }}
{{- end -}}

{{/*
The size in the StatefulSet, which Kubernetes lets nobody change: that of the one which is there. Where Helm cannot look,
`initialSize` says it.
*/}}
{{- define "postgresql.templateSize" -}}
{{- $persistence := .Values.primary.persistence -}}
{{- $size := "" -}}
{{- range (((lookup "apps/v1" "StatefulSet" .Release.Namespace (include "postgresql.name" .)).spec).volumeClaimTemplates) -}}
{{- if eq .metadata.name $persistence.volumeName -}}{{- $size = .spec.resources.requests.storage -}}{{- end -}}
{{- end -}}
{{- $size | default $persistence.initialSize | default $persistence.size -}}
{{- end -}}

{{/* Whether a claim has to be asked more for, now or when it is made; nothing where not. */}}
{{- define "postgresql.grows" -}}
{{- $persistence := .Values.primary.persistence -}}
{{- $grows := "" -}}
{{- if $persistence.enabled -}}
{{- $smaller := include "postgresql.isLess" (list (include "postgresql.templateSize" .) $persistence.size) -}}
{{- range include "postgresql.claims" . | splitList "\n" | compact -}}
{{- $claim := lookup "v1" "PersistentVolumeClaim" $.Release.Namespace . -}}
{{- if $claim -}}
{{- $grows = $grows | default (include "postgresql.isLess" (list $claim.spec.resources.requests.storage $persistence.size)) -}}
{{- else -}}
{{- $grows = $grows | default $smaller -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $grows -}}
{{- end -}}

{{- define "postgresql.checkVolumes" -}}
{{- $persistence := .Values.primary.persistence -}}
{{- if $persistence.enabled -}}
{{- if not (include "postgresql.bytes" $persistence.size) -}}
{{- fail (printf "primary.persistence.size is %s: take a number with Ki, Mi, Gi or Ti behind it" $persistence.size) -}}
{{- end -}}
{{- if and $persistence.initialSize (include "postgresql.isLess" (list $persistence.size $persistence.initialSize)) -}}
{{- fail (printf "primary.persistence.initialSize is %s, and size is %s: a volume does not shrink, so leave initialSize as it was and give size more" $persistence.initialSize $persistence.size) -}}
{{- end -}}
{{- range include "postgresql.claims" . | splitList "\n" | compact -}}
{{- with lookup "v1" "PersistentVolumeClaim" $.Release.Namespace . -}}
{{- $has := .spec.resources.requests.storage -}}
{{- if include "postgresql.isLess" (list $persistence.size $has) -}}
{{- fail (printf "primary.persistence.size is %s, and the claim %s has %s: a volume does not shrink, so set it to %s" $persistence.size .metadata.name $has $has) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
