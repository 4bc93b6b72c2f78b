{{/* What objects that are there already do not agree with. Where Helm sees no cluster (helm template, GitOps) nothing is looked at. */}}

{{/* Volumes, Patroni's ConfigMaps and Secrets have the name of all objects: by another one the release begins with nothing. */}}
{{- define "postgresql.checkSameCluster" -}}
{{- $name := include "postgresql.name" . -}}
{{- $selector := include "postgresql.selector" . | fromYaml -}}
{{- range (lookup "apps/v1" "StatefulSet" .Release.Namespace "").items -}}
{{- $labels := .metadata.labels | default dict -}}
{{- $own := true -}}
{{- range $key, $value := $selector -}}{{- if ne (index $labels $key | default "") $value -}}{{- $own = false -}}{{- end -}}{{- end -}}
{{- if and $own (ne .metadata.name $name) -}}
{{- fail (printf "the release has the cluster %s, and by these values all objects would be named %s, which is another and empty cluster: leave fullnameOverride and nameOverride as they were, or install another release" .metadata.name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
That a Secret which is there has its keys: pods would wait for them without a word. One that is not there yet may still
come. of: the root, its name, the keys, and what it is.
*/}}
{{- define "postgresql.checkSecret" -}}
{{- $name := index . 1 -}}{{- $what := index . 3 -}}
{{- if $name -}}
{{- $there := lookup "v1" "Secret" (index . 0).Release.Namespace $name -}}
{{- range index . 2 -}}
{{- if and $there . (not (hasKey ($there.data | default dict) .)) -}}
{{- fail (printf "the Secret %s has no key %s: it is %s, so add the key, or name another Secret" $name . $what) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
