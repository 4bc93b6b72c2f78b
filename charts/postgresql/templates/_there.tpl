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

{{/* Secrets of one's own, each with the keys that are mounted by these values. The certificate's is checked by `checkTls`. */}}
{{- define "postgresql.checkSecrets" -}}
{{- $auth := .Values.auth -}}
{{- $keys := list $auth.secretKeys.adminPasswordKey $auth.secretKeys.replicationPasswordKey -}}
{{- if include "postgresql.user" . -}}{{- $keys = append $keys $auth.secretKeys.userPasswordKey -}}{{- end -}}
{{- if .Values.metrics.enabled -}}{{- $keys = append $keys $auth.secretKeys.metricsPasswordKey -}}{{- end -}}
{{- include "postgresql.checkSecret" (list . $auth.existingSecret $keys "auth.existingSecret, whose keys auth.secretKeys names") -}}
{{- $keys = list "patroni-password" "rewind-password" "ca.crt" "ca.key" -}}
{{- if .Values.pooler.enabled -}}{{- $keys = append $keys "pooler-password" -}}{{- end -}}
{{- include "postgresql.checkSecret" (list . .Values.failover.existingSecret $keys "failover.existingSecret, which has what the pods know among themselves") -}}
{{- with .Values.pgbackrest -}}
{{- if .enabled -}}
{{- include "postgresql.checkSecret" (list $ .s3.existingSecret (list .s3.accessKeyIdKey .s3.secretAccessKeyKey) "pgbackrest.s3.existingSecret, whose keys accessKeyIdKey and secretAccessKeyKey name") -}}
{{- include "postgresql.checkSecret" (list $ .repo.cipher.existingSecret (list .repo.cipher.key) "pgbackrest.repo.cipher.existingSecret, whose key pgbackrest.repo.cipher.key names") -}}
{{- include "postgresql.checkSecret" (list $ .server.existingSecret (list "ca.crt" "server.crt" "server.key" "client.crt" "client.key") "pgbackrest.server.existingSecret, by which jobs and database know each other") -}}
{{- if .minio.tls.enabled -}}
{{- include "postgresql.checkSecret" (list $ .minio.tls.existingSecret (list (.minio.tls.secretKey | default "ca.crt")) "pgbackrest.minio.tls.existingSecret, whose key secretKey names") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with include "postgresql.backup" . | fromYaml -}}
{{- if and .enabled (not .storage.enabled) -}}
{{- include "postgresql.checkSecret" (list $ .s3.existingSecret (list .s3.accessKeyIdKey .s3.secretAccessKeyKey) "backup.s3.existingSecret, whose keys accessKeyIdKey and secretAccessKeyKey name") -}}
{{- include "postgresql.checkSecret" (list $ .s3.caSecret (list .s3.caKey) "backup.s3.caSecret, whose key backup.s3.caKey names") -}}
{{- end -}}
{{- end -}}
{{- end -}}
