{{/* The declared schedules, as the scheduler reads them: PutScheduleRequest's fields and no other. */}}
{{- define "adapter.schedules" -}}
{{- $all := list -}}
{{- range .Values.schedules -}}
{{- $one := pick . "name" "cron" "timeZone" "labels" "coreAddr" "encryption" "filters" "globals" -}}
{{- $database := pick .database "host" "dbname" "user" "passwordSecret" -}}
{{- /* Numbers of values are floats, and large ones would get an exponent. */}}
{{- with .database.port -}}{{- $_ := set $database "port" (int64 .) -}}{{- end -}}
{{- $_ := set $one "database" $database -}}
{{- $_ := set $one "store" (pick .store "endpoint" "bucket" "url" "prefix" "keysSecret" "serviceAccountSecret" "accountKeySecret" "sasTokenSecret") -}}
{{- with .maxBackupCount -}}{{- $_ := set $one "maxBackupCount" (int64 .) -}}{{- end -}}
{{- with .jobs -}}{{- $_ := set $one "jobs" (int64 .) -}}{{- end -}}
{{- /* Rules that are none take the place of workers.retention too. */}}
{{- if kindIs "map" .retention -}}
{{- $retention := pick .retention "timeZone" "objects" -}}
{{- $rules := .retention -}}
{{- range $rule := list "days" "hourly" "daily" "weekly" "monthly" "yearly" "atLeast" -}}
{{- with index $rules $rule -}}{{- $_ := set $retention $rule (int64 .) -}}{{- end -}}
{{- end -}}
{{- $_ := set $one "retention" $retention -}}
{{- end -}}
{{- with .format -}}
{{- $format := pick . "kind" "sqlOwners" "sqlClean" "keyTemplate" "clusterName" -}}
{{- with .compressionLevel -}}{{- $_ := set $format "compressionLevel" (int64 .) -}}{{- end -}}
{{- $_ := set $one "format" $format -}}
{{- end -}}
{{- with .verify -}}
{{- $verify := pick . "cron" "sql" -}}
{{- with .server -}}
{{- $server := pick . "host" "user" "passwordSecret" -}}
{{- with .port -}}{{- $_ := set $server "port" (int64 .) -}}{{- end -}}
{{- $_ := set $verify "server" $server -}}
{{- end -}}
{{- $_ := set $one "verify" $verify -}}
{{- end -}}
{{- $all = append $all $one -}}
{{- end -}}
{{- toYaml (dict "schedules" $all) -}}
{{- end -}}

{{/* Whether schedules are declared, be they none. */}}
{{- define "adapter.declares" -}}{{ kindIs "slice" .Values.schedules }}{{- end -}}

{{/* The Secrets that declared schedules name, a line each. */}}
{{- define "adapter.scheduleSecrets" -}}
{{- $all := list -}}
{{- range default (list) .Values.schedules -}}
{{- with (.database.passwordSecret).name -}}{{- $all = append $all . -}}{{- end -}}
{{- with (((.verify).server).passwordSecret).name -}}{{- $all = append $all . -}}{{- end -}}
{{- $store := .store -}}
{{- range list "keysSecret" "serviceAccountSecret" "accountKeySecret" "sasTokenSecret" -}}
{{- with get $store . -}}{{- $all = append $all .name -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $all | uniq | sortAlpha | join "\n" -}}
{{- end -}}

{{/* The Secrets that schedules and calls may name, a regular expression each. */}}
{{- define "adapter.secretPatterns" -}}
{{- $names := include "adapter.scheduleSecrets" . | splitList "\n" | compact -}}
{{- $identities := list (default (dict) .Values.workers.encryption).identitySecret | compact -}}
{{- $store := default (dict) .Values.workers.store -}}
{{- $stores := list $store.secret $store.sasSecret | compact -}}
{{- range concat $names $identities $stores (default (list) .Values.secretReferences) | uniq -}}
^{{ . | replace "." "[.]" | replace "*" ".*" }}${{ "\n" }}
{{- end -}}
{{- end -}}

{{- define "adapter.checkSchedules" -}}
{{- $names := list -}}
{{- range $index, $one := default (list) .Values.schedules -}}
{{- $what := printf "schedules[%d] (%s)" $index $one.name -}}
{{- if has $one.name $names -}}
{{- fail (printf "%s: there are two schedules of this name" $what) -}}
{{- end -}}
{{- $names = append $names $one.name -}}
{{- if or (contains "-now-" $one.name) (contains "-lst-" $one.name) (hasPrefix "restore-" $one.name) (eq "restores" $one.name) -}}
{{- fail (printf "%s: names with -now- or -lst- in them, restores, and those that begin with restore- are for runs" $what) -}}
{{- end -}}
{{- if not (or $one.store.url $one.store.bucket (hasPrefix "file://" (default "" $one.store.endpoint))) -}}
{{- fail (printf "%s: store.url or store.bucket is needed, but for the endpoint of a directory (file:///…)" $what) -}}
{{- end -}}
{{- if and $one.store.url $one.store.bucket -}}
{{- fail (printf "%s: store.url names the bucket already, so leave store.bucket out" $what) -}}
{{- end -}}
{{- /* For those who skip the schema too: a ConfigMap is no place for a secret. */}}
{{- if or (hasKey $one.database "password") (hasKey $one.store "accessKey") (hasKey $one.store "secretKey") -}}
{{- fail (printf "%s: passwords and keys stand in Secrets, which database.passwordSecret and store.keysSecret name" $what) -}}
{{- end -}}
{{- with $one.verify -}}
{{- if hasKey (default (dict) .server) "password" -}}
{{- fail (printf "%s: passwords stand in Secrets, which verify.server.passwordSecret names" $what) -}}
{{- end -}}
{{- end -}}
{{- if or (hasKey $one.store "serviceAccountKey") (hasKey $one.store "accountKey") (hasKey $one.store "sasToken") -}}
{{- fail (printf "%s: keys stand in Secrets, which store.serviceAccountSecret, store.accountKeySecret and store.sasTokenSecret name" $what) -}}
{{- end -}}
{{- end -}}
{{- end -}}
