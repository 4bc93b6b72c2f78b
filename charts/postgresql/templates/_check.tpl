{{/* What cannot be said in a schema: values that contradict each other. */}}
{{- define "postgresql.check" -}}
{{- include "postgresql.checkName" . -}}
{{- include "postgresql.checkSameCluster" . -}}
{{- include "postgresql.checkReplicas" . -}}
{{- include "postgresql.checkSamePods" . -}}
{{- include "postgresql.checkEncryption" . -}}
{{- include "postgresql.checkFailover" . -}}
{{- include "postgresql.checkSettings" . -}}
{{- include "postgresql.checkAuth" . -}}
{{- include "postgresql.checkSecrets" . -}}
{{- include "postgresql.checkPods" . -}}
{{- include "postgresql.checkVolumeName" . -}}
{{- include "postgresql.checkPgbackrest" . -}}
{{- include "postgresql.checkRestore" . -}}
{{- include "postgresql.checkPooler" . -}}
{{- include "postgresql.checkTls" . -}}
{{- include "postgresql.checkVolumes" . -}}
{{- range $name, $image := dict "image" .Values.image "backup.image" .Values.backup.image -}}
{{- if and $image.tag $image.digest -}}
{{- fail (printf "%s has a tag and a digest: the digest says it all, so leave the tag out" $name) -}}
{{- end -}}
{{- end -}}
{{- include "postgresql.checkBackup" . -}}
{{- $metrics := .Values.metrics -}}
{{- if and (or $metrics.serviceMonitor.enabled $metrics.prometheusRule.enabled $metrics.dashboard.enabled) (not $metrics.enabled) -}}
{{- fail "metrics.serviceMonitor, metrics.prometheusRule and metrics.dashboard are about metrics that nobody has: set metrics.enabled" -}}
{{- end -}}
{{- $port := int $metrics.service.ports.metrics -}}
{{- if and $metrics.enabled (has $port (list 5432 8008)) -}}
{{- fail (printf "metrics.service.ports.metrics is %d, at which another container of the pod listens" $port) -}}
{{- end -}}
{{- end -}}

{{/* What Services may be named: a release's name may have dots in it, and begin with a digit. */}}
{{- define "postgresql.checkName" -}}
{{- $name := include "postgresql.name" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the name of all objects is %s, and Services are named by small letters, digits and hyphens, with a letter first: set fullnameOverride" $name) -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkReplicas" -}}
{{- $one := .Values.replication.replicas -}}{{- $other := .Values.readReplicas.replicaCount -}}
{{- if not (or (kindIs "invalid" $one) (kindIs "invalid" $other)) -}}
{{- if ne (int $one) (int $other) -}}
{{- fail (printf "replication.replicas is %d and readReplicas.replicaCount is %d: both are the number of replicas, so set one of them" (int $one) (int $other)) -}}
{{- end -}}
{{- end -}}
{{- $replicas := include "postgresql.replicas" . | int -}}
{{- if and (eq .Values.architecture "standalone") (gt $replicas 0) -}}
{{- fail (printf "architecture is standalone and there are %d replicas: leave architecture out, or set no replicas" $replicas) -}}
{{- end -}}
{{- $synchronous := int .Values.replication.numSynchronousReplicas -}}
{{- if gt $synchronous $replicas -}}
{{- fail (printf "replication.numSynchronousReplicas is %d and there are %d replicas: every commit would wait for ever" $synchronous $replicas) -}}
{{- end -}}
{{- if eq .Values.primary.name .Values.readReplicas.name -}}
{{- fail (printf "primary.name and readReplicas.name are both %s: each Service needs a name of its own" .Values.primary.name) -}}
{{- end -}}
{{- range $key, $name := dict "primary.name" .Values.primary.name "readReplicas.name" .Values.readReplicas.name -}}
{{- if has $name (list "hl" "metrics" "config" "ha" "pooler") -}}
{{- fail (printf "%s is %s, which is the name of another object of the chart" $key $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What other charts have for the pods of replicas by themselves, and is given: paths below `readReplicas`, a line each. */}}
{{- define "postgresql.replicasOwn" -}}
{{- range $key := list "resources" "podLabels" "affinity" -}}
{{- if index $.Values.readReplicas $key }}
{{ $key }}
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values.readReplicas.persistence }}
persistence.{{ $key }}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkSamePods" -}}
{{- range include "postgresql.replicasOwn" . | splitList "\n" | compact -}}
{{- $own := $.Values.readReplicas -}}{{- $primary := $.Values.primary -}}
{{- range splitList "." . -}}{{- $own = index $own . -}}{{- $primary = index $primary . -}}{{- end -}}
{{- if ne (toJson $own) (toJson $primary) -}}
{{- fail (printf "readReplicas.%s is not what primary.%s is: any pod may become the primary, so leave it out, or set both alike" . .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The classes of the volumes with data, by their names; empty: the cluster's default. */}}
{{- define "postgresql.storageClasses" -}}
{{- $classes := list .Values.primary.persistence.storageClass -}}
{{- with include "postgresql.backup" . | fromYaml -}}
{{- if and .enabled .storage.enabled -}}{{- $classes = append $classes .storage.storageClass -}}{{- end -}}
{{- end -}}
{{- with .Values.pgbackrest -}}
{{- if and .enabled .verify.enabled .verify.size -}}{{- $classes = append $classes .verify.storageClass -}}{{- end -}}
{{- end -}}
{{- $names := list -}}
{{- range $classes -}}{{- $names = append $names (. | default $.Values.global.defaultStorageClass) -}}{{- end -}}
{{- $names | uniq | toJson -}}
{{- end -}}

{{/* Where Helm sees no cluster (helm template, GitOps) there is nothing to look at, and NOTES say so. */}}
{{- define "postgresql.checkEncryption" -}}
{{- if .Values.primary.persistence.requireEncryptedStorageClass -}}
{{- $all := (lookup "storage.k8s.io/v1" "StorageClass" "" "").items -}}
{{- if not .Values.primary.persistence.enabled -}}
{{- fail "primary.persistence.requireEncryptedStorageClass is about volumes, and primary.persistence.enabled is false: set one of them otherwise" -}}
{{- end -}}
{{- range $name := include "postgresql.storageClasses" . | fromJsonArray -}}
{{- if eq $name "-" -}}
{{- fail "primary.persistence.requireEncryptedStorageClass: volumes without a storage class (\"-\") may be on any disk, so name a class" -}}
{{- end -}}
{{- $found := dict -}}
{{- range $all -}}
{{- $default := eq (index (.metadata.annotations | default dict) "storageclass.kubernetes.io/is-default-class" | default "") "true" -}}
{{- if or (eq .metadata.name $name) (and (not $name) $default) -}}{{- $found = . -}}{{- end -}}
{{- end -}}
{{- if and $all (not $found) -}}
{{- fail (printf "primary.persistence.requireEncryptedStorageClass: the cluster has no %s: name one that it has by primary.persistence.storageClass or global.defaultStorageClass" (ternary (printf "storage class %s" $name) "default storage class" (ne $name ""))) -}}
{{- end -}}
{{- /* The disks of these clouds are encrypted whatever the class says. */ -}}
{{- $always := list "pd.csi.storage.gke.io" "kubernetes.io/gce-pd" "disk.csi.azure.com" "kubernetes.io/azure-disk" -}}
{{- $said := index ($found.parameters | default dict) "encrypted" | default "" -}}
{{- if and $found (not (has $found.provisioner $always)) (ne $said "true") -}}
{{- fail (printf "primary.persistence.requireEncryptedStorageClass: the storage class %s (%s) does not say `encrypted: \"true\"` in its parameters: name one that does, or take the requirement out" $found.metadata.name $found.provisioner) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkFailover" -}}
{{- $failover := .Values.failover -}}
{{- if and (eq $failover.mode "manual") (gt (int .Values.replication.numSynchronousReplicas) 0) -}}
{{- fail "failover.mode is manual and replication.numSynchronousReplicas is not 0: Patroni promotes a synchronous replica by itself, so take one of the two" -}}
{{- end -}}
{{- $least := add (int $failover.loopWait) (mul 2 (int $failover.retryTimeout)) | int -}}
{{- if gt $least (int $failover.ttl) -}}
{{- fail (printf "failover.ttl is %d: it has to be failover.loopWait and twice failover.retryTimeout at least, which is %d" (int $failover.ttl) $least) -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkSettings" -}}
{{- $reserved := include "postgresql.reservedParameters" . | fromYaml -}}
{{- range $name, $_ := .Values.postgresql.parameters -}}
{{- if hasKey $reserved $name -}}
{{- fail (printf "postgresql.parameters has %s, which is set by %s: leave it out" $name (index $reserved $name)) -}}
{{- end -}}
{{- end -}}
{{- with (index .Values.postgresql.parameters "wal_level") -}}
{{- if not (has . (list "replica" "logical")) -}}
{{- fail (printf "postgresql.parameters.wal_level is %v: replicas need replica or logical" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkAuth" -}}
{{- $auth := .Values.auth -}}
{{- $roles := dict "auth.replicationUsername" $auth.replicationUsername "auth.metricsUsername" $auth.metricsUsername "the role that Patroni rewinds as" "rewind_user" -}}
{{- if .Values.pooler.enabled -}}{{- $_ := set $roles "pooler.username" .Values.pooler.username -}}{{- end -}}
{{- range $name, $role := $roles -}}
{{- if eq $role $auth.username -}}
{{- fail (printf "auth.username is %s, which is %s: each needs a role of its own" $role $name) -}}
{{- end -}}
{{- if eq $role "postgres" -}}
{{- fail (printf "%s is postgres, which is the superuser: each needs a role of its own" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $role := merge (dict "auth.username" $auth.username) $roles -}}
{{- if or (hasPrefix "pg_" $role) (has $role (list "public" "none")) -}}
{{- fail (printf "%s is %s, which PostgreSQL keeps for itself: a role's name is neither public nor none, and does not begin with pg_" $name $role) -}}
{{- end -}}
{{- end -}}
{{- if ne (len (values $roles | uniq)) (len $roles) -}}
{{- fail (printf "%s have to be roles of their own, and not two of them the same" (keys $roles | sortAlpha | join ", ")) -}}
{{- end -}}
{{- if and (eq $auth.username "postgres") $auth.password $auth.postgresPassword (ne $auth.password $auth.postgresPassword) -}}
{{- fail "auth.username is postgres, whose password auth.password and auth.postgresPassword both say, and not the same: leave one of them out" -}}
{{- end -}}
{{- if has $auth.database (list "template0" "template1") -}}
{{- fail (printf "auth.database is %s, which is PostgreSQL's own: choose another name" $auth.database) -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkPooler" -}}
{{- $pooler := .Values.pooler -}}
{{- if $pooler.enabled -}}
{{- $reserved := include "postgresql.reservedPooler" . | fromYaml -}}
{{- range $name, $_ := $pooler.parameters -}}
{{- if hasKey $reserved $name -}}
{{- fail (printf "pooler.parameters has %s, which is set by %s: leave it out" $name (index $reserved $name)) -}}
{{- end -}}
{{- end -}}
{{- $most := index .Values.postgresql.parameters "max_connections" | default 100 | int -}}
{{- $all := mul (int $pooler.replicas) (int $pooler.poolSize) | int -}}
{{- if gt $all $most -}}
{{- fail (printf "pooler.replicas times pooler.poolSize is %d, which one user and one database may have, and postgresql.parameters.max_connections is %d: raise that, or have fewer" $all $most) -}}
{{- end -}}
{{- if eq .Values.auth.database "pgbouncer" -}}
{{- fail "auth.database is pgbouncer, which at the pooler is its own console: choose another name" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkPods" -}}
{{- range $key := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "cluster-name" "role" -}}
{{- if or (hasKey $.Values.primary.podLabels $key) (hasKey $.Values.commonLabels $key) -}}
{{- fail (printf "the label %s is what the Services and Patroni find the pods by: leave it out of primary.podLabels and commonLabels" $key) -}}
{{- end -}}
{{- end -}}
{{- $own := list -}}
{{- range include "postgresql.env" . | fromYamlArray -}}{{- $own = append $own .name -}}{{- end -}}
{{- range .Values.primary.extraEnvVars -}}
{{- if has .name $own -}}
{{- fail (printf "primary.extraEnvVars sets %s, which the chart sets from its other values: set those" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A claim in the place of another volume of the pod, which has the name already. */}}
{{- define "postgresql.checkVolumeName" -}}
{{- $pgbackrest := .Values.pgbackrest -}}
{{- $taken := list "config" "scripts" "secrets" "token" "sockets" "patroni" "etc" "tmp" "shm" -}}
{{- if .Values.tls.enabled -}}{{- $taken = append $taken "tls" -}}{{- end -}}
{{- if .Values.primary.initdb.scripts -}}{{- $taken = append $taken "initdb" -}}{{- end -}}
{{- if .Values.metrics.enabled -}}{{- $taken = append $taken "metrics-secret" -}}{{- end -}}
{{- if $pgbackrest.enabled -}}
{{- range list "config" "s3" "keys" "lock" "server-config" "tls" "log" -}}{{- $taken = append $taken (printf "pgbackrest-%s" .) -}}{{- end -}}
{{- if $pgbackrest.minio.tls.enabled -}}{{- $taken = concat $taken (list "minio-ca" "ssl-certs") -}}{{- end -}}
{{- end -}}
{{- range .Values.primary.extraVolumes -}}{{- $taken = append $taken .name -}}{{- end -}}
{{- $name := .Values.primary.persistence.volumeName -}}
{{- if has $name $taken -}}
{{- fail (printf "primary.persistence.volumeName is %s, which is the name of another volume of the pods" $name) -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkBackup" -}}
{{- $own := .Values.backup -}}
{{- $usual := dict "schedule" "0 2 * * *" "resources" dict "nodeSelector" dict -}}
{{- range $key, $value := omit $own.cronjob "storage" -}}
{{- if not (has (index $own $key | toJson) (list (index $usual $key | toJson) ($value | toJson))) -}}
{{- fail (printf "backup.%s and backup.cronjob.%s are two names of one value and have not the same: set one of them" $key $key) -}}
{{- end -}}
{{- end -}}
{{- $usual := dict "enabled" false "size" "10Gi" "storageClass" "" -}}
{{- range $key, $value := $own.cronjob.storage | default dict -}}
{{- if not (has (index $own.storage $key) (list (index $usual $key) $value)) -}}
{{- fail (printf "backup.storage.%s and backup.cronjob.storage.%s are two names of one value and have not the same: set one of them" $key $key) -}}
{{- end -}}
{{- end -}}
{{- with include "postgresql.backup" . | fromYaml -}}
{{- if and .enabled (not .s3.bucket) (not .storage.enabled) -}}
{{- fail "backup.enabled needs backup.s3.bucket, the bucket that backups go into, or backup.storage.enabled, a volume" -}}
{{- end -}}
{{- if and .enabled .s3.bucket .storage.enabled -}}
{{- fail "backup.s3.bucket and backup.storage.enabled are two places for one backup: leave the bucket out, or the volume (backup.cronjob.storage is that too)" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkPgbackrest" -}}
{{- $pgbackrest := .Values.pgbackrest -}}
{{- if $pgbackrest.enabled -}}
{{- if not $pgbackrest.s3.bucket -}}
{{- fail "pgbackrest.enabled needs pgbackrest.s3.bucket, the bucket that WAL and backups go into" -}}
{{- end -}}
{{- if hasPrefix "http://" $pgbackrest.s3.endpoint -}}
{{- fail (printf "pgbackrest.s3.endpoint is %s: pgBackRest speaks TLS alone, so give the server a certificate, and pgbackrest.minio.tls where its authority is a private one" $pgbackrest.s3.endpoint) -}}
{{- end -}}
{{- $credentials := $pgbackrest.s3.credentials -}}
{{- if and (not $pgbackrest.s3.existingSecret) (not (and $credentials.accessKeyId $credentials.secretAccessKey)) -}}
{{- fail "pgbackrest.enabled needs the store's keys: pgbackrest.s3.existingSecret, or both of pgbackrest.s3.credentials" -}}
{{- end -}}
{{- if and (contains "." $pgbackrest.s3.bucket) (eq $pgbackrest.s3.uriStyle "host") -}}
{{- fail (printf "pgbackrest.s3.bucket is %s and uriStyle host: no certificate is good for a host with more dots, so take uriStyle path" $pgbackrest.s3.bucket) -}}
{{- end -}}
{{- if and $pgbackrest.repo.block (not $pgbackrest.repo.bundle) -}}
{{- fail "pgbackrest.repo.block needs pgbackrest.repo.bundle: set bundle, or block to false" -}}
{{- end -}}
{{- $levels := dict "zst" (list -7 22) "lz4" (list -5 12) "gz" (list -1 9) "bz2" (list 1 9) "none" (list -7 22) -}}
{{- $level := $pgbackrest.compression.level -}}
{{- $range := index $levels $pgbackrest.compression.type -}}
{{- if not (kindIs "invalid" $level) -}}
{{- if or (lt (int $level) (index $range 0 | int)) (gt (int $level) (index $range 1 | int)) -}}
{{- fail (printf "pgbackrest.compression.level is %d: %s has %d to %d" (int $level) $pgbackrest.compression.type (index $range 0) (index $range 1)) -}}
{{- end -}}
{{- end -}}
{{- $tls := $pgbackrest.minio.tls -}}
{{- if and $tls.enabled $tls.existingSecret $tls.caPem -}}
{{- fail "pgbackrest.minio.tls has existingSecret and caPem: each is the certificate of the store's authority, so set one of them" -}}
{{- end -}}
{{- if and $tls.enabled $tls.caPem (not (contains "-----BEGIN CERTIFICATE-----" $tls.caPem)) -}}
{{- fail "pgbackrest.minio.tls.caPem is no certificate in PEM" -}}
{{- end -}}
{{- if gt (len (include "postgresql.name" .)) 34 -}}
{{- fail (printf "the name of all objects is %s, too long for the CronJobs of pgbackrest: 34 characters at most, by fullnameOverride" (include "postgresql.name" .)) -}}
{{- end -}}
{{- if has (int $pgbackrest.server.port) (list 5432 8008 (int .Values.metrics.service.ports.metrics)) -}}
{{- fail (printf "pgbackrest.server.port is %d, at which another container of the pod listens" (int $pgbackrest.server.port)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "postgresql.checkRestore" -}}
{{- $restore := .Values.restore -}}
{{- if $restore.enabled -}}
{{- if not .Values.pgbackrest.enabled -}}
{{- fail "restore.enabled needs pgbackrest.enabled, whose bucket and keys it reads with" -}}
{{- end -}}
{{- if not $restore.source.path -}}
{{- fail "restore.enabled needs restore.source.path, the folder of the repository that the data comes from" -}}
{{- end -}}
{{- if eq $restore.source.path (include "postgresql.repoPath" .) -}}
{{- fail (printf "restore.source.path is %s, into which this cluster would archive its own WAL: install it under another name, or set pgbackrest.repo.path" $restore.source.path) -}}
{{- end -}}
{{- $has := has $restore.type (list "time" "lsn" "xid" "name") -}}
{{- if and $has (not $restore.target) -}}
{{- fail (printf "restore.type is %s and needs restore.target" $restore.type) -}}
{{- end -}}
{{- if and $restore.target (not $has) -}}
{{- fail (printf "restore.target has no meaning with restore.type %s: take time, lsn, xid or name" $restore.type) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
Whether a line of people's lets the superuser in from other pods, as far as a line alone says it; nothing where not. Which
addresses pods have is not known, and neither is who belongs to a group.
*/}}
{{- define "postgresql.letsSuperuserIn" -}}
{{- range .Values.postgresql.pgHba -}}
{{- $names := regexMatch "^host(ssl|nossl|nogssenc)?\\s+\\S+\\s+(\\S+,)?(\"?(all|postgres)\"?|[+/]\\S+)(,\\S+)?\\s" . -}}
{{- $other := regexMatch "^\\S+\\s+replication\\s|\\s(127\\.\\S+|::1(/128)?|localhost|samehost)\\s|\\sreject(\\s|$)" . -}}
{{- if and $names (not $other) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values that are given and have no effect, a line each. */}}
{{- define "postgresql.warnings" -}}
{{- if and (kindIs "bool" .Values.enabled) (not .Values.enabled) }}
enabled has no effect: it is the condition of a chart that has this one among its own.
{{- end -}}
{{- $auth := .Values.auth -}}
{{- if $auth.existingSecret -}}
{{- range $key := list "postgresPassword" "password" "replicationPassword" -}}
{{- if index $auth $key }}
auth.{{ $key }} has no effect beside auth.existingSecret, which has it.
{{- end -}}
{{- end -}}
{{- else if ne ($auth.secretKeys | toJson) (dict "adminPasswordKey" "postgres-password" "userPasswordKey" "password" "replicationPasswordKey" "replication-password" "metricsPasswordKey" "metrics-password" | toJson) }}
auth.secretKeys has no effect without auth.existingSecret.
{{- end -}}
{{- if and $auth.password (not $auth.username) }}
auth.password has no effect without auth.username.
{{- end -}}
{{- if not .Values.primary.persistence.enabled }}
primary.persistence.enabled is false: all data goes with the pods.
{{- range $key := list "initialSize" "storageClass" "annotations" "labels" -}}
{{- if index $.Values.primary.persistence $key }}
primary.persistence.{{ $key }} has no effect without primary.persistence.enabled.
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $path, $service := dict "primary.service" .Values.primary.service "readReplicas.service" .Values.readReplicas.service "pooler.service" .Values.pooler.service -}}
{{- if eq $service.type "ClusterIP" -}}
{{- if $service.externalTrafficPolicy }}
{{ $path }}.externalTrafficPolicy has no effect with {{ $path }}.type ClusterIP.
{{- end -}}
{{- if $service.nodePorts.postgresql }}
{{ $path }}.nodePorts has no effect with {{ $path }}.type ClusterIP.
{{- end -}}
{{- end -}}
{{- if ne $service.type "LoadBalancer" -}}
{{- range $key := list "loadBalancerClass" "loadBalancerSourceRanges" -}}
{{- if index $service $key }}
{{ $path }}.{{ $key }} has no effect without {{ $path }}.type LoadBalancer.
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq (include "postgresql.replicas" .) "0") (not .Values.readReplicas.service.fallbackToPrimary) }}
{{ include "postgresql.readService" . }} leads nowhere: there are no replicas, and readReplicas.service.fallbackToPrimary is false.
{{- end -}}
{{- if and (eq .Values.failover.mode "manual") (eq (include "postgresql.replicas" .) "0") }}
failover.mode manual has no effect without replicas: there is nobody to promote.
{{- end -}}
{{- $commit := include "postgresql.text" .Values.replication.synchronousCommit -}}
{{- if and (has $commit (list "off" "local")) (gt (int .Values.replication.numSynchronousReplicas) 0) }}
replication.numSynchronousReplicas has no effect with replication.synchronousCommit {{ $commit }}: no commit waits for a replica.
{{- end -}}
{{- $tls := .Values.tls -}}
{{- if not $tls.enabled -}}
{{- range $key := list "autoGenerated" "names" "certificatesSecret" "certCAFilename" -}}
{{- if index $tls $key }}
tls.{{ $key }} has no effect without tls.enabled.
{{- end -}}
{{- end -}}
{{- else if $tls.autoGenerated -}}
{{- if or $tls.certCAFilename (ne $tls.certFilename "tls.crt") (ne $tls.certKeyFilename "tls.key") }}
tls.certFilename, tls.certKeyFilename and tls.certCAFilename have no effect with tls.autoGenerated.
{{- end -}}
{{- else if $tls.names }}
tls.names has no effect without tls.autoGenerated: the names are those of the Secret's certificate.
{{- end -}}
{{- if not .Values.pooler.enabled -}}
{{- range $key := list "parameters" "resources" "podAnnotations" "affinity" "nodeSelector" "tolerations" "topologySpreadConstraints" "priorityClassName" -}}
{{- if index $.Values.pooler $key }}
pooler.{{ $key }} has no effect without pooler.enabled.
{{- end -}}
{{- end -}}
{{- else if not (include "postgresql.user" .) }}
pooler lets no superuser in, and there is no other role yet: set auth.username, or make roles by SQL.
{{- end -}}
{{- if not .Values.metrics.enabled -}}
{{- range $key := list "collectors" "extraEnvVars" "resources" -}}
{{- if index $.Values.metrics $key }}
metrics.{{ $key }} has no effect without metrics.enabled.
{{- end -}}
{{- end -}}
{{- end -}}
{{- $backup := include "postgresql.backup" . | fromYaml -}}
{{- if not $backup.enabled -}}
{{- range $key := list "suspend" "databases" "serviceAccountName" "resources" "nodeSelector" "tolerations" "cronjob" -}}
{{- if index $.Values.backup $key }}
backup.{{ $key }} has no effect without backup.enabled.
{{- end -}}
{{- end -}}
{{- if $.Values.backup.storage.enabled }}
backup.storage has no effect without backup.enabled.
{{- end -}}
{{- else if and (not $backup.storage.enabled) (or $backup.storage.storageClass (ne $backup.storage.size "10Gi")) }}
backup.storage has no effect without backup.storage.enabled: backups go into the bucket.
{{- end -}}
{{- if or (not $backup.enabled) $backup.storage.enabled -}}
{{- range $key := list "endpoint" "bucket" "prefix" "region" "existingSecret" "caSecret" -}}
{{- if index $.Values.backup.s3 $key }}
backup.s3.{{ $key }} has no effect {{ ternary "with backup.storage.enabled: backups go to a volume" "without backup.enabled" $backup.enabled }}.
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $backup.enabled .Values.postgresql.pgHba (not (include "postgresql.letsSuperuserIn" .)) }}
postgresql.pgHba has no line that lets postgres in from other pods, as whom backup.enabled reads: add one with their addresses, such as "host all postgres 10.0.0.0/8 scram-sha-256".
{{- end -}}
{{- if and $backup.enabled .Values.backup.s3.caSecret (hasPrefix "http://" .Values.backup.s3.endpoint) }}
backup.s3.caSecret has no effect with an endpoint without TLS.
{{- end -}}
{{- $pgbackrest := .Values.pgbackrest -}}
{{- if not $pgbackrest.enabled -}}
{{- if $pgbackrest.verify.enabled }}
pgbackrest.verify has no effect without pgbackrest.enabled.
{{- end -}}
{{- range $key := list "endpoint" "bucket" "existingSecret" -}}
{{- if index $pgbackrest.s3 $key }}
pgbackrest.s3.{{ $key }} has no effect without pgbackrest.enabled.
{{- end -}}
{{- end -}}
{{- else -}}
{{- $credentials := $pgbackrest.s3.credentials -}}
{{- if and $pgbackrest.s3.existingSecret (or $credentials.accessKeyId $credentials.secretAccessKey) }}
pgbackrest.s3.credentials has no effect beside pgbackrest.s3.existingSecret, which has them.
{{- end -}}
{{- $backup := $pgbackrest.backup -}}
{{- if not (or $backup.fullSchedule $backup.incrementalSchedule $backup.differentialSchedule) }}
pgbackrest.backup has no schedule: WAL piles up in the repository, and nothing there is ever removed.
{{- end -}}
{{- $tls := $pgbackrest.minio.tls -}}
{{- if and $tls.enabled (not $tls.existingSecret) (not $tls.caPem) -}}
{{- if not (lookup "v1" "Secret" $tls.secretNamespace $tls.secretName) }}
The Secret {{ $tls.secretName }} in the namespace {{ $tls.secretNamespace }} is gone: the copy of it is used, and follows no change.
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.restore.enabled) (or .Values.restore.source.path .Values.restore.target .Values.restore.set) }}
restore.source, restore.target and restore.set have no effect without restore.enabled.
{{- end -}}
{{- if and .Values.restore.enabled .Release.IsUpgrade }}
restore.* has no effect on a cluster that is there already: take it out.
{{- end -}}
{{- $policy := .Values.networkPolicy -}}
{{- if not $policy.enabled -}}
{{- range $key := list "ingressFrom" "metricsFrom" "extraIngress" "extraEgress" -}}
{{- if index $policy $key }}
networkPolicy.{{ $key }} has no effect without networkPolicy.enabled.
{{- end -}}
{{- end -}}
{{- else if and $policy.allowExternal $policy.ingressFrom }}
networkPolicy.ingressFrom has no effect with networkPolicy.allowExternal, which lets in everybody.
{{- else if and $policy.allowExternalEgress $policy.extraEgress }}
networkPolicy.extraEgress has no effect with networkPolicy.allowExternalEgress, which lets out everything.
{{- end -}}
{{- range $path, $pods := dict "primary" .Values.primary "pooler" .Values.pooler -}}
{{- if and $pods.affinity (ne $pods.podAntiAffinityPreset "soft") $pods.podAntiAffinityPreset }}
{{ $path }}.podAntiAffinityPreset has no effect beside {{ $path }}.affinity.
{{- end -}}
{{- end -}}
{{- range include "postgresql.replicasOwn" . | splitList "\n" | compact }}
readReplicas.{{ . }} has no effect: the pods of replicas have primary.{{ . }}, as any of them may lead, and that is the same.
{{- end -}}
{{- if .Values.architecture -}}
{{- range $key := list "replication.replicas" "readReplicas.replicaCount" -}}
{{- $given := index $.Values (splitList "." $key | first) (splitList "." $key | last) -}}
{{- if not (kindIs "invalid" $given) }}
architecture has no effect beside {{ $key }}, which is the number of replicas.
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key := list "synchronousCommit" "numSynchronousReplicas" -}}
{{- if not (kindIs "invalid" (index $.Values $key)) }}
{{ $key }} has no effect: replication.{{ $key }} is what says it.
{{- end -}}
{{- end -}}
{{- if and (ne (int .Values.metrics.prometheusRule.backupHours) 50) (not .Values.metrics.prometheusRule.enabled) }}
metrics.prometheusRule.backupHours has no effect without metrics.prometheusRule.enabled.
{{- end -}}
{{- if .Values.metrics.image }}
metrics.image has no effect: the exporter is in the image of the database.
{{- end -}}
{{- range .Values.metrics.extraEnvVars -}}
{{- if hasPrefix "DATA_SOURCE_" .name }}
metrics.extraEnvVars.{{ .name }} has no effect: the exporter asks the pod's own server, as auth.metricsUsername.
{{- end -}}
{{- end -}}
{{- if and .Values.primary.persistence.requireEncryptedStorageClass (not (lookup "storage.k8s.io/v1" "StorageClass" "" "").items) }}
primary.persistence.requireEncryptedStorageClass was not looked at: Helm sees no storage classes.
{{- end -}}
{{- if and .Values.serviceAccount.annotations (not .Values.serviceAccount.create) }}
serviceAccount.annotations has no effect without serviceAccount.create: annotate the account itself.
{{- end -}}
{{- end -}}
