{{/* What cannot be said in a schema: values that contradict each other. */}}
{{- define "adapter.check" -}}
{{- include "adapter.checkEnv" . -}}
{{- include "adapter.checkImages" . -}}
{{- include "adapter.checkTheirs" . -}}
{{- include "adapter.checkAccounts" . -}}
{{- include "adapter.checkTls" . -}}
{{- include "adapter.checkPolicy" . -}}
{{- include "adapter.checkPods" . -}}
{{- include "adapter.checkCluster" . -}}
{{- include "adapter.checkMonitors" . -}}
{{- include "adapter.checkSchedules" . -}}
{{- with .Values.sheduler.namespace -}}
{{- $namespace := include "adapter.namespace" $ -}}
{{- if ne . $namespace -}}
{{- fail (printf "sheduler.namespace is %s and the release's namespace is %s: everything lives in the latter, so install with --namespace %s" . $namespace .) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "adapter.port" .) (toString .Values.service.adminPort) -}}
{{- fail (printf "service.port and service.adminPort are both %v: they need a port each" .Values.service.adminPort) -}}
{{- end -}}
{{- range $name, $bundle := dict "workers.s3.caBundle" .Values.workers.s3.caBundle "workers.database.caBundle" .Values.workers.database.caBundle -}}
{{- if and $bundle.secret $bundle.configMap -}}
{{- fail (printf "%s has a secret and a configMap: one of them is needed" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "adapter.checkEnv" -}}
{{- $own := list -}}
{{- range include "adapter.ownEnv" . | fromYamlArray -}}{{- $own = append $own .name -}}{{- end -}}
{{- range .Values.extraEnv -}}
{{- if has .name $own -}}
{{- fail (printf "extraEnv sets %s, which the chart sets from its other values: set those" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "adapter.checkImages" -}}
{{- $aliases := dict "scheduler" .Values.sheduler.image "backuper" .Values.backuper.image "restorer" .Values.restorer.image -}}
{{- range $name, $alias := $aliases -}}
{{- $image := index $.Values.images $name -}}
{{- if and $image.tag $image.digest -}}
{{- fail (printf "images.%s has a tag and a digest: the digest says it all, so leave the tag out" $name) -}}
{{- end -}}
{{- if and $alias (or $image.tag $image.digest) -}}
{{- fail (printf "images.%s has no effect beside the deprecated %s.image: leave the latter out" $name (ternary "sheduler" $name (eq $name "scheduler"))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Values of dbtether's chart that would have its program run, or say what another value says. */}}
{{- define "adapter.checkTheirs" -}}
{{- $image := default (dict) .Values.image -}}
{{- if hasSuffix "/dbtether" (default "" $image.repository) -}}
{{- fail (printf "image.repository is %s, which is another program: leave image out" $image.repository) -}}
{{- end -}}
{{- if and (or $image.repository $image.tag) (or .Values.sheduler.image .Values.images.scheduler.digest) -}}
{{- fail "image has no effect beside images.scheduler.digest and the deprecated sheduler.image: leave image out" -}}
{{- end -}}
{{- end -}}

{{- define "adapter.checkAccounts" -}}
{{- if and .Values.sheduler.serviceAccountName .Values.serviceAccount.name -}}
{{- fail "serviceAccount.name has no effect beside the deprecated sheduler.serviceAccountName: leave the latter out" -}}
{{- end -}}
{{- end -}}

{{- define "adapter.checkPolicy" -}}
{{- if .Values.admissionPolicy.enabled -}}
{{- $version := include "adapter.kubeVersion" . -}}
{{- if semverCompare "<1.30.0-0" $version -}}
{{- fail (printf "admissionPolicy.enabled needs Kubernetes 1.30 or newer; this is %s" $version) -}}
{{- end -}}
{{- range (include "adapter.podTemplate" . | fromYaml).spec.volumes -}}
{{- if .hostPath -}}
{{- fail (printf "workers.podTemplate has the hostPath volume %s, which admissionPolicy.enabled refuses" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names that two would have in a pod, and ways to say the same twice. */}}
{{- define "adapter.checkPods" -}}
{{- range $name := list "initContainers" "sidecars" -}}
{{- range index $.Values $name -}}
{{- if eq .name "scheduler" -}}
{{- fail (printf "%s has a container scheduler, which is the chart's: give it another name" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.affinity (or .Values.podAntiAffinityPreset (.Values.nodeAffinityPreset).type) -}}
{{- fail "affinity and a preset of it are both given: one of them is needed" -}}
{{- end -}}
{{- with .Values.nodeAffinityPreset -}}
{{- if and .type (not (and .key .values)) -}}
{{- fail "nodeAffinityPreset.type needs the key and the values of a node's label" -}}
{{- end -}}
{{- end -}}
{{- $template := include "adapter.podTemplate" . | fromYaml -}}
{{- $given := dict "extraVolumes" $template.spec.volumes -}}
{{- range $template.spec.containers -}}
{{- if eq .name "worker" -}}{{- $_ := set $given "extraEnv" .env -}}{{- end -}}
{{- end -}}
{{- range $name, $all := $given -}}
{{- $names := list -}}
{{- range $all -}}
{{- if has .name $names -}}
{{- fail (printf "workers.%s and what else makes the workers' pods, such as workers.podTemplate, both have %s" $name .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "adapter.checkCluster" -}}
{{- $version := include "adapter.kubeVersion" . -}}
{{- if and .Values.service.trafficDistribution (semverCompare "<1.31.0-0" $version) -}}
{{- fail (printf "service.trafficDistribution needs Kubernetes 1.31 or newer; this is %s" $version) -}}
{{- end -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- $replicas := include "adapter.replicas" . -}}
{{- if and $budget.enabled $budget.minAvailable (not (kindIs "string" $budget.minAvailable)) -}}
{{- if ge (int64 $budget.minAvailable) (int64 $replicas) -}}
{{- fail (printf "podDisruptionBudget.minAvailable is %v of %v replicas: no node with one of them could ever be drained" $budget.minAvailable $replicas) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "adapter.checkMonitors" -}}
{{- if and .Values.serviceMonitor.enabled (.Values.podMonitor).enabled -}}
{{- fail "serviceMonitor.enabled and podMonitor.enabled are both true: every series would be there twice" -}}
{{- end -}}
{{- end -}}

{{- define "adapter.checkTls" -}}
{{- $tls := .Values.tls -}}
{{- $issuer := $tls.certManager.issuerRef -}}
{{- if $tls.enabled -}}
{{- if not (or $tls.existingSecret $issuer.name) -}}
{{- fail "tls.enabled needs tls.existingSecret or tls.certManager.issuerRef" -}}
{{- end -}}
{{- if and $tls.existingSecret $issuer -}}
{{- fail "tls.existingSecret and tls.certManager.issuerRef are both given: one of them is needed" -}}
{{- end -}}
{{- else if $tls.clientCaSecret -}}
{{- fail "tls.clientCaSecret needs tls.enabled: without TLS nobody is asked for a certificate" -}}
{{- end -}}
{{- end -}}

{{/* Values that are given and have no effect: a line each, for NOTES. They may stand in an overlay of several releases. */}}
{{- define "adapter.warnings" -}}
{{- $off := dict -}}
{{- $_ := set $off "serviceMonitor" (dict "interval" "30s" "scrapeTimeout" "" "labels" dict "relabelings" list "metricRelabelings" list "namespace" "" "annotations" dict "jobLabel" "" "targetLabels" list "honorLabels" false) -}}
{{- $_ := set $off "podMonitor" (dict "interval" "30s" "scrapeTimeout" "" "labels" dict "relabelings" list "metricRelabelings" list "namespace" "" "annotations" dict "jobLabel" "" "podTargetLabels" list "honorLabels" false) -}}
{{- $_ := set $off "prometheusRule" (dict "labels" dict "alertLabels" dict "disabled" list "additionalRules" list "namespace" "" "annotations" dict) -}}
{{- $_ := set $off "dashboard" (dict "labels" (dict "grafana_dashboard" "1") "namespace" "" "annotations" dict) -}}
{{- $_ := set $off "podDisruptionBudget" (dict "maxUnavailable" 1 "minAvailable" "" "unhealthyPodEvictionPolicy" "") -}}
{{- $_ := set $off "admissionPolicy" (dict "extraImages" list) -}}
{{- $_ := set $off "networkPolicy" (dict "coreNamespaceLabels" dict "corePodLabels" dict "monitoringNamespaceLabels" dict "extraIngress" list "workerPorts" list "extraWorkerEgress" list) -}}
{{- if ne (include "adapter.operates" .) "true" -}}
{{- $_ := set $off "operator" (dict "crds" true "secretNamespaces" list "allowedNamespaces" "shared" "admissionPolicy" true "force" "permitted") -}}
{{- end -}}
{{- range $name, $defaults := $off -}}
{{- $given := default (dict) (index $.Values $name) -}}
{{- if not $given.enabled -}}
{{- range $key, $default := $defaults -}}
{{- /* A release that was made before there was the value has none. */}}
{{- if and (hasKey $given $key) (ne (index $given $key | toJson) ($default | toJson)) }}
{{ $name }}.{{ $key }} has no effect without {{ $name }}.enabled.
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $bundle := dict "workers.s3.caBundle" .Values.workers.s3.caBundle "workers.database.caBundle" .Values.workers.database.caBundle -}}
{{- if and (ne $bundle.key "ca.crt") (not $bundle.secret) (not $bundle.configMap) }}
{{ $name }}.key has no effect without a secret or a configMap beside it.
{{- end -}}
{{- end -}}
{{- $encryption := default (dict) .Values.workers.encryption -}}
{{- if and $encryption.manifest (not $encryption.recipients) }}
workers.encryption.manifest needs workers.encryption.recipients: without one, every backup is refused.
{{- end -}}
{{- if and (ne (default "identity" $encryption.identityKey) "identity") (not $encryption.identitySecret) }}
workers.encryption.identityKey has no effect without workers.encryption.identitySecret.
{{- end -}}
{{- $copy := default (dict) .Values.workers.copy -}}
{{- if not $copy.url -}}
{{- range $key, $given := dict "endpoint" $copy.endpoint "region" $copy.region "storageClass" $copy.storageClass "credentials" ($copy.credentials).secret }}
{{- if $given }}
workers.copy.{{ $key }} has no effect without workers.copy.url.
{{- end -}}
{{- end -}}
{{- range $key, $given := default (dict) $copy.retention }}
{{- if and $given (not (has $key (list "atLeast" "timeZone"))) }}
workers.copy.retention.{{ $key }} has no effect without workers.copy.url.
{{- end -}}
{{- end -}}
{{- end -}}
{{- $globals := default (dict) .Values.workers.globals -}}
{{- $passwords := default "encrypted" $globals.passwords -}}
{{- if and $globals.enabled (eq $passwords "encrypted") (not $encryption.recipients) }}
workers.globals.enabled needs workers.encryption.recipients, or another workers.globals.passwords: without one, every backup is refused.
{{- end -}}
{{- if and $globals.enabled (eq (default "archive" .Values.workers.format) "sql.gz") }}
workers.globals.enabled is for workers.format=archive: beside sql.gz, every backup is refused.
{{- end -}}
{{- if and (ne $passwords "encrypted") (not $globals.enabled) }}
workers.globals.passwords has no effect without workers.globals.enabled.
{{- end -}}
{{- range $name, $account := dict "serviceAccount" .Values.serviceAccount "workers.serviceAccount" .Values.workers.serviceAccount -}}
{{- if and $account.annotations (not $account.create) }}
{{ $name }}.annotations has no effect without {{ $name }}.create: annotate the account itself.
{{- end -}}
{{- end -}}
{{- range $key, $_ := .Values.serviceAccount.annotations -}}
{{- if has $key (list "eks.amazonaws.com/role-arn" "iam.gke.io/gcp-service-account" "azure.workload.identity/client-id") }}
serviceAccount.annotations has {{ $key }}, and the scheduler asks no cloud for anything: the workers do, so set workers.serviceAccount.annotations, and name the buckets in workers.s3.ambientBuckets.
{{- end -}}
{{- end -}}
{{- if and .Values.workers.serviceAccount.annotations (not .Values.workers.s3.ambientBuckets) }}
workers.serviceAccount.annotations give the workers credentials that no request may use: name the buckets in workers.s3.ambientBuckets.
{{- end -}}
{{- if and (eq (include "adapter.operates" .) "true") (has "*" (include "adapter.secretNamespaces" . | fromYamlArray)) }}
operator.secretNamespaces has "*": the scheduler may read every Secret in the cluster.
{{- end -}}
{{- $service := .Values.service -}}
{{- if eq $service.type "ClusterIP" -}}
{{- range $key := list "nodePort" "externalTrafficPolicy" -}}
{{- if index $service $key }}
service.{{ $key }} has no effect with service.type ClusterIP.
{{- end -}}
{{- end -}}
{{- end -}}
{{- if ne $service.type "LoadBalancer" -}}
{{- range $key := list "loadBalancerClass" "loadBalancerSourceRanges" -}}
{{- if index $service $key }}
service.{{ $key }} has no effect without service.type LoadBalancer.
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.secretReferences (eq (include "adapter.allowsAnyone" .) "true") }}
secretReferences lets whoever reaches the port have a worker send these Secrets' credentials to a server of their choice: list the callers (access.callersSecret), or let no calls name Secrets.
{{- end -}}
{{- if has "*" (default (list) .Values.secretReferences) }}
secretReferences has "*": calls may name every Secret in the workers' namespace.
{{- end -}}
{{- if and .Values.access.tokenReview (not .Values.access.callersSecret) }}
access.tokenReview has no effect without access.callersSecret, the list that names ServiceAccounts.
{{- end -}}
{{- $tls := .Values.tls -}}
{{- if not $tls.enabled -}}
{{- range $name, $given := dict "existingSecret" $tls.existingSecret "testClientSecret" $tls.testClientSecret "certManager.issuerRef" $tls.certManager.issuerRef -}}
{{- if $given }}
tls.{{ $name }} has no effect without tls.enabled.
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not $tls.certManager.issuerRef -}}
{{- range $key, $default := dict "duration" "2160h" "renewBefore" "" "privateKey" dict "extraDnsNames" list -}}
{{- if and (hasKey $tls.certManager $key) (ne (index $tls.certManager $key | toJson) ($default | toJson)) }}
tls.certManager.{{ $key }} has no effect without tls.certManager.issuerRef.
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $tls.testClientSecret (not $tls.clientCaSecret) }}
tls.testClientSecret has no effect without tls.clientCaSecret.
{{- end -}}
{{- end -}}
