{{/* Where pods may be. of: the root, their values, and what they are known by. */}}
{{- define "postgresql.affinity" -}}
{{- $root := index . 0 -}}
{{- $affinity := (index . 1).affinity -}}
{{- $preset := (index . 1).podAntiAffinityPreset -}}
{{- if and (not $affinity) $preset -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (index . 2 | fromYaml)) -}}
{{- if eq $preset "soft" -}}
{{- $affinity = dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 1 "podAffinityTerm" $term))) -}}
{{- else -}}
{{- $affinity = dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- end -}}
{{- end -}}
{{- with $affinity -}}{{- tpl (toYaml .) $root -}}{{- end -}}
{{- end -}}

{{/* How pods spread; one without a selector is of these pods. of: their values, and what they are known by. */}}
{{- define "postgresql.spread" -}}
{{- $all := list -}}
{{- $labels := index . 1 | fromYaml -}}
{{- range (index . 0).topologySpreadConstraints -}}
{{- $all = append $all (hasKey . "labelSelector" | ternary . (merge (dict "labelSelector" (dict "matchLabels" $labels)) .)) -}}
{{- end -}}
{{- with $all -}}{{- toYaml . -}}{{- end -}}
{{- end -}}

{{/* Which of the two Secrets' keys the pods have, under the names by which the scripts know them. */}}
{{- define "postgresql.secretFiles" -}}
{{- $keys := .Values.auth.secretKeys -}}
{{- $own := not .Values.auth.existingSecret -}}
- secret:
    name: {{ include "postgresql.secret" . }}
    items:
      - {key: {{ ternary "postgres-password" $keys.adminPasswordKey $own }}, path: postgres-password}
      - {key: {{ ternary "replication-password" $keys.replicationPasswordKey $own }}, path: replication-password}
      {{- if include "postgresql.user" . }}
      - {key: {{ ternary "password" $keys.userPasswordKey $own }}, path: password}
      {{- end }}
      {{- if .Values.metrics.enabled }}
      - {key: {{ ternary "metrics-password" $keys.metricsPasswordKey $own }}, path: metrics-password}
      {{- end }}
- secret:
    name: {{ include "postgresql.patroniSecret" . }}
    items:
      {{- range list "patroni-password" "rewind-password" "ca.crt" "ca.key" }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
# Optional, so that the pooler comes and goes without new pods of the database.
- secret:
    name: {{ include "postgresql.patroniSecret" . }}
    optional: true
    items: [{key: pooler-password, path: pooler-password}]
{{- end -}}

{{/* Variables that both Patroni and what stands beside it have. No password is among them. */}}
{{- define "postgresql.env" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
- {name: POSTGRES_USER, value: {{ include "postgresql.user" . | default "postgres" | quote }}}
- {name: POSTGRES_PASSWORD_FILE, value: /run/secrets/postgresql/{{ ternary "password" "postgres-password" (ne (include "postgresql.user" .) "") }}}
- {name: POSTGRES_DB, value: {{ .Values.auth.database | default "postgres" | quote }}}
- {name: PGDATA, value: /var/lib/postgresql/data/pgdata}
- {name: PATRONICTL_CONFIG_FILE, value: /run/patroni/patroni.yaml}
{{- if .Values.pgbackrest.enabled }}
{{ include "postgresql.repoEnv" . }}
{{- end }}
{{- end -}}

{{- define "postgresql.mounts" -}}
- {name: config, mountPath: /etc/patroni, readOnly: true}
- {name: scripts, mountPath: /scripts, readOnly: true}
- {name: secrets, mountPath: /run/secrets/postgresql, readOnly: true}
- {name: sockets, mountPath: /run/postgresql}
- {name: patroni, mountPath: /run/patroni}
{{- if .Values.tls.enabled }}
{{ include "postgresql.tlsMount" . }}
{{- end }}
{{- if .Values.pgbackrest.enabled }}
{{ include "postgresql.repoMounts" . }}
{{- end }}
{{- end -}}

{{/* A question of the kubelet to Patroni's API, with how often and how long. */}}
{{- define "postgresql.probe" -}}
{{- $probe := dict "httpGet" (dict "path" (index . 0) "port" "patroni" "scheme" "HTTPS") -}}
{{- toYaml (merge $probe (index . 1)) -}}
{{- end -}}
