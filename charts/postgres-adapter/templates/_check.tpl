{{/* What cannot be said in a schema: above all, a value that is given and has no effect is an error. */}}
{{- define "adapter.check" -}}
{{- include "adapter.checkSwitches" . -}}
{{- include "adapter.checkEnv" . -}}
{{- include "adapter.checkImages" . -}}
{{- include "adapter.checkAccounts" . -}}
{{- include "adapter.checkTls" . -}}
{{- include "adapter.checkPolicy" . -}}
{{- with .Values.sheduler.namespace -}}
{{- if ne . $.Release.Namespace -}}
{{- fail (printf "sheduler.namespace is %s and the release's namespace is %s: everything lives in the latter, so install with --namespace %s" . $.Release.Namespace .) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "adapter.port" .) (toString .Values.service.adminPort) -}}
{{- fail (printf "service.port and service.adminPort are both %v: they need a port each" .Values.service.adminPort) -}}
{{- end -}}
{{- range $name, $bundle := dict "workers.s3.caBundle" .Values.workers.s3.caBundle "workers.database.caBundle" .Values.workers.database.caBundle -}}
{{- if and $bundle.secret $bundle.configMap -}}
{{- fail (printf "%s has a secret and a configMap: one of them is needed" $name) -}}
{{- end -}}
{{- if and (ne $bundle.key "ca.crt") (not $bundle.secret) (not $bundle.configMap) -}}
{{- fail (printf "%s.key has no effect without a secret or a configMap beside it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What belongs to something that is switched off; the values are the chart's defaults. */}}
{{- define "adapter.checkSwitches" -}}
{{- $off := dict -}}
{{- $_ := set $off "serviceMonitor" (dict "interval" "30s" "labels" dict) -}}
{{- $_ := set $off "prometheusRule" (dict "labels" dict) -}}
{{- $_ := set $off "dashboard" (dict "labels" (dict "grafana_dashboard" "1")) -}}
{{- $_ := set $off "podDisruptionBudget" (dict "maxUnavailable" 1) -}}
{{- range $name, $defaults := $off -}}
{{- $given := index $.Values $name -}}
{{- if not $given.enabled -}}
{{- range $key, $default := $defaults -}}
{{- if ne (index $given $key | toJson) ($default | toJson) -}}
{{- fail (printf "%s.%s has no effect without %s.enabled" $name $key $name) -}}
{{- end -}}
{{- end -}}
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

{{- define "adapter.checkAccounts" -}}
{{- range $name, $account := dict "serviceAccount" .Values.serviceAccount "workers.serviceAccount" .Values.workers.serviceAccount -}}
{{- if and $account.annotations (not $account.create) -}}
{{- fail (printf "%s.annotations has no effect without %s.create: annotate the account itself" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.sheduler.serviceAccountName .Values.serviceAccount.name -}}
{{- fail "serviceAccount.name has no effect beside the deprecated sheduler.serviceAccountName: leave the latter out" -}}
{{- end -}}
{{- end -}}

{{- define "adapter.checkPolicy" -}}
{{- if .Values.admissionPolicy.enabled -}}
{{- if semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail (printf "admissionPolicy.enabled needs Kubernetes 1.30 or newer; this is %s" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- range (default (dict) (default (dict) .Values.workers.podTemplate).spec).volumes -}}
{{- if .hostPath -}}
{{- fail (printf "workers.podTemplate has the hostPath volume %s, which admissionPolicy.enabled refuses" .name) -}}
{{- end -}}
{{- end -}}
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
{{- else -}}
{{- range $name, $given := dict "existingSecret" $tls.existingSecret "clientCaSecret" $tls.clientCaSecret "testClientSecret" $tls.testClientSecret "certManager.issuerRef" $issuer -}}
{{- if $given -}}
{{- fail (printf "tls.%s has no effect without tls.enabled" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (ne $tls.certManager.duration "2160h") (not $issuer) -}}
{{- fail "tls.certManager.duration has no effect without tls.certManager.issuerRef" -}}
{{- end -}}
{{- if and $tls.testClientSecret (not $tls.clientCaSecret) -}}
{{- fail "tls.testClientSecret has no effect without tls.clientCaSecret" -}}
{{- end -}}
{{- end -}}
