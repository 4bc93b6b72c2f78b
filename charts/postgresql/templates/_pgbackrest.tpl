{{/* The folder in the bucket. Two clusters in one would overwrite each other's WAL, so it has the namespace in it. */}}
{{- define "postgresql.repoPath" -}}
{{- .Values.pgbackrest.repo.path | default (printf "/%s/%s" .Release.Namespace (include "postgresql.name" .)) -}}
{{- end -}}

{{- define "postgresql.repoSecret" -}}
{{ .Values.pgbackrest.s3.existingSecret | default (printf "%s-pgbackrest-s3" (include "postgresql.name" .)) }}
{{- end -}}

{{- define "postgresql.serverSecret" -}}
{{ .Values.pgbackrest.server.existingSecret | default (printf "%s-pgbackrest-tls" (include "postgresql.name" .)) }}
{{- end -}}

{{/* The server as pgBackRest wants it, without what says that it speaks TLS: it speaks nothing else. */}}
{{- define "postgresql.endpoint" -}}
{{- $s3 := .Values.pgbackrest.s3 -}}
{{- $s3.endpoint | default (printf "s3.%s.amazonaws.com" $s3.region) | trimPrefix "https://" | trimSuffix "/" -}}
{{- end -}}

{{/*
pgbackrest.conf. of: the root, and for whom: `pod`, which has the data and archives its WAL; `server`, which lets the
jobs read it, and is not told of the store, whose keys it would need then; or `job`, which reaches the pods over TLS.
Keys and passphrases are no part of any: pgbackrest.py.
*/}}
{{- define "postgresql.pgbackrest" -}}
{{- $root := index . 0 -}}{{- $for := index . 1 -}}
{{- $pgbackrest := $root.Values.pgbackrest -}}
[global]
{{- if ne $for "server" }}
repo1-type=s3
repo1-path={{ include "postgresql.repoPath" $root }}
repo1-s3-bucket={{ $pgbackrest.s3.bucket }}
repo1-s3-endpoint={{ include "postgresql.endpoint" $root }}
repo1-s3-region={{ $pgbackrest.s3.region }}
repo1-s3-uri-style={{ $pgbackrest.s3.uriStyle }}
{{- if $pgbackrest.minio.tls.enabled }}
# Of the mounted Secret itself, so that a new authority is trusted without new pods.
repo1-storage-ca-file=/usr/local/share/ca-certificates/minio/ca.crt
{{- end }}
{{- if $pgbackrest.repo.cipher.existingSecret }}
repo1-cipher-type=aes-256-cbc
{{- end }}
repo1-bundle={{ ternary "y" "n" $pgbackrest.repo.bundle }}
repo1-block={{ ternary "y" "n" $pgbackrest.repo.block }}
repo1-retention-full={{ int $pgbackrest.repo.retention.full }}
repo1-retention-full-type={{ $pgbackrest.repo.retention.fullType }}
{{- with $pgbackrest.repo.retention.diff }}
repo1-retention-diff={{ int . }}
{{- end }}
compress-type={{ $pgbackrest.compression.type }}
{{- if not (or (kindIs "invalid" $pgbackrest.compression.level) (eq $pgbackrest.compression.type "none")) }}
compress-level={{ int $pgbackrest.compression.level }}
{{- end }}
process-max={{ int $pgbackrest.processMax }}
# A backup does not wait for the next checkpoint of the schedule.
start-fast=y
{{- end }}
log-level-console=info
log-level-file={{ ternary "off" "warn" (eq $for "job") }}
lock-path=/run/pgbackrest
{{- if eq $for "server" }}
log-path=/var/log/pgbackrest
tls-server-port={{ int $pgbackrest.server.port }}
tls-server-ca-file=/run/secrets/pgbackrest-tls/ca.crt
tls-server-cert-file=/run/secrets/pgbackrest-tls/server.crt
tls-server-key-file=/run/secrets/pgbackrest-tls/server.key
tls-server-auth=pgbackrest-client={{ $pgbackrest.stanza }}
{{- end }}
{{- if eq $for "pod" }}
log-path=/var/log/pgbackrest
# On the volume of the data, and not in it: what is there is not backed up, and outlives the pod.
spool-path=/var/lib/postgresql/data/pgbackrest-spool
archive-async={{ ternary "y" "n" $pgbackrest.archiveAsync }}
{{- end }}
{{- if ne $for "job" }}

[{{ $pgbackrest.stanza }}]
pg1-path=/var/lib/postgresql/data/pgdata
pg1-port=5432
pg1-socket-path=/var/run/postgresql
pg1-user=postgres
{{- else }}
{{- if ne (include "postgresql.replicas" $root) "0" }}
backup-standby={{ $pgbackrest.backup.standby }}
{{- end }}

[{{ $pgbackrest.stanza }}]
{{- $name := include "postgresql.name" $root }}
{{- range $number := add 1 (include "postgresql.replicas" $root | int) | int | until }}
{{- $pg := printf "pg%d" (add 1 $number) }}
{{ $pg }}-host={{ $name }}-{{ $number }}.{{ $name }}-hl.{{ $root.Release.Namespace }}.svc
{{ $pg }}-host-type=tls
{{ $pg }}-host-port={{ int $pgbackrest.server.port }}
{{ $pg }}-host-ca-file=/run/secrets/pgbackrest-tls/ca.crt
{{ $pg }}-host-cert-file=/run/secrets/pgbackrest-tls/client.crt
{{ $pg }}-host-key-file=/run/secrets/pgbackrest-tls/client.key
{{ $pg }}-path=/var/lib/postgresql/data/pgdata
{{ $pg }}-port=5432
{{ $pg }}-socket-path=/var/run/postgresql
{{ $pg }}-user=postgres
{{- end }}
{{- end }}
{{- end -}}

{{/* Variables of whoever calls pgBackRest. The keys are in a file, whose folder this says. */}}
{{- define "postgresql.repoEnv" -}}
- {name: PGBACKREST_STANZA, value: {{ .Values.pgbackrest.stanza | quote }}}
- {name: PGBACKREST_CONFIG_INCLUDE_PATH, value: /run/pgbackrest-keys}
{{- end -}}

{{- define "postgresql.repoMounts" -}}
- {name: pgbackrest-config, mountPath: /etc/pgbackrest, readOnly: true}
- {name: pgbackrest-s3, mountPath: /run/secrets/pgbackrest, readOnly: true}
- {name: pgbackrest-keys, mountPath: /run/pgbackrest-keys}
- {name: pgbackrest-lock, mountPath: /run/pgbackrest}
{{- if .Values.pgbackrest.minio.tls.enabled }}
- {name: minio-ca, mountPath: /usr/local/share/ca-certificates/minio, readOnly: true}
{{- end }}
{{- end -}}

{{/* The volumes of `repoMounts`. of: the root, and the file of the ConfigMap. */}}
{{- define "postgresql.repoVolumes" -}}
{{- $root := index . 0 -}}
{{- $pgbackrest := $root.Values.pgbackrest -}}
- name: pgbackrest-config
  configMap: {name: {{ include "postgresql.name" $root }}-pgbackrest-config, items: [{key: {{ index . 1 }}, path: pgbackrest.conf}]}
- name: pgbackrest-s3
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "postgresql.repoSecret" $root }}
          items:
            {{- $own := not $pgbackrest.s3.existingSecret }}
            - {key: {{ ternary "AWS_ACCESS_KEY_ID" $pgbackrest.s3.accessKeyIdKey $own }}, path: access-key-id}
            - {key: {{ ternary "AWS_SECRET_ACCESS_KEY" $pgbackrest.s3.secretAccessKeyKey $own }}, path: secret-access-key}
      {{- with $pgbackrest.repo.cipher.existingSecret }}
      - secret: {name: {{ . }}, items: [{key: {{ $pgbackrest.repo.cipher.key }}, path: cipher-pass}]}
      {{- end }}
# Never on a disk.
- name: pgbackrest-keys
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: pgbackrest-lock
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- if $pgbackrest.minio.tls.enabled }}
{{- $tls := $pgbackrest.minio.tls }}
- name: minio-ca
  secret:
    secretName: {{ $tls.existingSecret | default (printf "%s-minio-ca" (include "postgresql.name" $root)) }}
    items: [{key: {{ ternary ($tls.secretKey | default "ca.crt") "ca.crt" (ne $tls.existingSecret "") }}, path: ca.crt}]
{{- end }}
{{- end -}}

{{/*
What brings the data of a new cluster, from the folder of another one. What it archives from then on goes into its own:
the folder here is an option of this one command, and of the recovery that it prepares.
*/}}
{{- define "postgresql.restore" -}}
{{- $restore := .Values.restore -}}
pgbackrest --stanza={{ .Values.pgbackrest.stanza }} --repo1-path={{ $restore.source.path }} --type={{ $restore.type }}
{{- with $restore.target }} '--target={{ . }}'{{ end }}
{{- if ne $restore.type "default" }} --target-action=promote{{ end }}
{{- with $restore.set }} --set={{ . }}{{ end }} restore
{{- end -}}

{{/* What the pods of backups are known by: they are no members of the cluster, which has labels of its own. */}}
{{- define "postgresql.repoSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-pgbackrest
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* A rule for calls to the store: at the port that its address has, and at those that a Service may stand for. */}}
{{- define "postgresql.storeEgress" -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.s3.ports -}}{{- $ports = append $ports (int .) -}}{{- end -}}
{{- with include "postgresql.endpoint" . | regexFind ":[0-9]+$" | trimPrefix ":" -}}{{- $ports = append $ports (int .) -}}{{- end -}}
- ports:
    {{- range uniq $ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.s3.cidrs }}
  to:
    {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  {{- end }}
{{- end -}}

{{/*
The pod of a job. of: the root, the command, more variables. It has no token and no password of the database. That of
`verify` has a volume for data of its own, and reaches no pod of the database.
*/}}
{{- define "postgresql.repoPod" -}}
{{- $root := index . 0 -}}
{{- $backup := $root.Values.pgbackrest.backup -}}
{{- $verify := $root.Values.pgbackrest.verify -}}
{{- $restores := eq (first (index . 1)) "verify" -}}
metadata:
  labels:
    {{- include "postgresql.repoSelector" $root | nindent 4 }}
    {{- with $root.Values.commonLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with $backup.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  restartPolicy: Never
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 60
  {{- with include "postgresql.pullSecrets" $root }}
  imagePullSecrets: {{- . | nindent 4 }}
  {{- end }}
  {{- with $backup.nodeSelector }}
  nodeSelector: {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
  {{- with $backup.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{- toYaml $root.Values.primary.podSecurityContext | nindent 4 }}
  containers:
    - name: pgbackrest
      image: {{ include "postgresql.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: {{- concat (list "/usr/bin/dumb-init" "--" "python3" "/scripts/pgbackrest.py") (index . 1) | toYaml | nindent 8 }}
      terminationMessagePolicy: FallbackToLogsOnError
      securityContext: {{- toYaml $root.Values.primary.containerSecurityContext | nindent 8 }}
      resources: {{- toYaml (ternary $verify.resources $backup.resources $restores) | nindent 8 }}
      env:
        {{- include "postgresql.repoEnv" $root | nindent 8 }}
        {{- with index . 2 }}{{ toYaml . | nindent 8 }}{{ end }}
      volumeMounts:
        {{- include "postgresql.repoMounts" $root | nindent 8 }}
        {{- if $restores }}
        - {name: data, mountPath: /var/lib/postgresql/data}
        - {name: pgbackrest-log, mountPath: /var/log/pgbackrest}
        {{- else }}
        - {name: pgbackrest-tls, mountPath: /run/secrets/pgbackrest-tls, readOnly: true}
        {{- end }}
        - {name: scripts, mountPath: /scripts, readOnly: true}
        - {name: tmp, mountPath: /tmp}
  volumes:
    {{- include "postgresql.repoVolumes" (list $root (ternary "pgbackrest.conf" "jobs.conf" $restores)) | nindent 4 }}
    {{- if $restores }}
    - name: data
      {{- if $verify.size }}
      ephemeral:
        volumeClaimTemplate:
          spec:
            accessModes: [ReadWriteOnce]
            {{- with $verify.storageClass | default $root.Values.global.defaultStorageClass }}
            storageClassName: {{ ternary "" . (eq . "-") | quote }}
            {{- end }}
            resources: {requests: {storage: {{ $verify.size }}}}
      {{- else }}
      emptyDir: {}
      {{- end }}
    - name: pgbackrest-log
      emptyDir: {}
    {{- else }}
    - name: pgbackrest-tls
      secret:
        secretName: {{ include "postgresql.serverSecret" $root }}
        defaultMode: 0440
        items: [{key: ca.crt, path: ca.crt}, {key: client.crt, path: client.crt}, {key: client.key, path: client.key}]
    {{- end }}
    - name: scripts
      configMap: {name: {{ include "postgresql.name" $root }}-scripts, defaultMode: 0555}
    - name: tmp
      emptyDir: {}
{{- end -}}

{{/* The certificate that the store's is signed by, in base64; where Helm finds none, it ends with the reason. */}}
{{- define "postgresql.minioCa" -}}
{{- $tls := .Values.pgbackrest.minio.tls -}}
{{- $copy := printf "%s-minio-ca" (include "postgresql.name" .) -}}
{{- if $tls.caPem -}}
{{- $tls.caPem | b64enc -}}
{{- else -}}
{{- $found := lookup "v1" "Secret" $tls.secretNamespace $tls.secretName -}}
{{- $data := $found.data | default dict -}}
{{- $keys := ternary (list $tls.secretKey) (list "ca.crt" "tls.crt") (ne $tls.secretKey "") -}}
{{- $pem := "" -}}
{{- range $keys -}}{{- $pem = $pem | default (index $data . | default "") -}}{{- end -}}
{{- if and (not $found) (index ((lookup "v1" "Secret" .Release.Namespace $copy).data | default dict) "ca.crt") -}}
{{- /* What was copied once still stands for the store; NOTES say that its source is gone. */ -}}
{{- $pem = index (lookup "v1" "Secret" .Release.Namespace $copy).data "ca.crt" -}}
{{- end -}}
{{- $instead := "where Helm cannot look (helm template, GitOps), give pgbackrest.minio.tls.existingSecret or pgbackrest.minio.tls.caPem" -}}
{{- if not (or $found $pem) -}}
{{- fail (printf "pgbackrest.minio.tls: there is no Secret %s in the namespace %s, which should have the certificate of the store's authority: make it, or say where it is by secretNamespace and secretName; %s" $tls.secretName $tls.secretNamespace $instead) -}}
{{- end -}}
{{- if not $pem -}}
{{- fail (printf "pgbackrest.minio.tls: the Secret %s in the namespace %s has no key %s: say by secretKey which key has the certificate of the store's authority" $tls.secretName $tls.secretNamespace (join " or " $keys)) -}}
{{- end -}}
{{- if not (contains "-----BEGIN CERTIFICATE-----" (b64dec $pem)) -}}
{{- fail (printf "pgbackrest.minio.tls: what the Secret %s in the namespace %s has under %s is no certificate in PEM: say by secretKey which key has that of the store's authority" $tls.secretName $tls.secretNamespace (join " or " $keys)) -}}
{{- end -}}
{{- $pem -}}
{{- end -}}
{{- end -}}
