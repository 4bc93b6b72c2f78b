{{/* What the pods of the pooler are known by: they are no members of the cluster. */}}
{{- define "postgresql.poolerSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-pooler
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "postgresql.poolerService" -}}{{ include "postgresql.name" . }}-pooler{{- end -}}

{{/* Settings of PgBouncer that are not people's to give here, and where they come from. */}}
{{- define "postgresql.reservedPooler" -}}
pool_mode: pooler.poolMode
max_client_conn: pooler.maxClientConnections
default_pool_size: pooler.poolSize
listen_addr: the chart
listen_port: the chart, which serves 6432 in the pod; pooler.service.ports.postgresql is the Service's
unix_socket_dir: the chart
unix_socket_mode: the chart
unix_socket_group: the chart
pidfile: the chart
logfile: the chart
syslog: the chart
user: the chart
auth_type: the chart
auth_file: the chart
auth_hba_file: the chart
auth_ident_file: the chart
auth_ldap_options: the chart
auth_user: pooler.username
auth_dbname: the chart
auth_query: the chart
client_tls_sslmode: tls.require
client_tls_cert_file: tls.certificatesSecret
client_tls_key_file: tls.certificatesSecret
server_tls_sslmode: tls.require
server_tls_ca_file: tls.certCAFilename
admin_users: the chart
stats_users: the chart
{{- end -}}

{{/* pgbouncer.ini. No user of the database is in it, nor in the file beside it: PgBouncer looks each one up. */}}
{{- define "postgresql.pooler" -}}
{{- $pooler := .Values.pooler -}}
[databases]
* = host={{ include "postgresql.name" . }}.{{ .Release.Namespace }}.svc port={{ int .Values.primary.service.ports.postgresql }}

[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir = /run/pgbouncer
auth_type = scram-sha-256
auth_file = /run/pgbouncer/users
auth_user = {{ $pooler.username }}
auth_dbname = postgres
auth_query = SELECT usename, secret FROM pgbouncer.get_auth($1)
pool_mode = {{ $pooler.poolMode }}
max_client_conn = {{ int $pooler.maxClientConnections }}
default_pool_size = {{ int $pooler.poolSize }}
{{- if .Values.tls.enabled }}
client_tls_sslmode = {{ ternary "require" "prefer" .Values.tls.require }}
client_tls_cert_file = /run/secrets/postgresql-tls/tls.crt
client_tls_key_file = /run/secrets/postgresql-tls/tls.key
server_tls_sslmode = {{ include "postgresql.tlsMode" . | default "prefer" }}
{{- if include "postgresql.hasCa" . }}
server_tls_ca_file = /run/secrets/postgresql-tls/ca.crt
{{- end }}
{{- end }}
{{- $parameters := dict -}}
{{- /* Drivers send it without asking whether anybody wants it. */ -}}
{{- $_ := set $parameters "ignore_startup_parameters" "extra_float_digits" -}}
{{- /* A line for each session says nothing that the metrics do not. */ -}}
{{- $_ := set $parameters "log_connections" "0" -}}
{{- $_ := set $parameters "log_disconnections" "0" -}}
{{- /* A primary that is gone without a word is noticed within seconds, and the next one is tried every second. */ -}}
{{- $_ := set $parameters "server_login_retry" "1" -}}
{{- $_ := set $parameters "server_connect_timeout" "5" -}}
{{- $_ := set $parameters "tcp_keepidle" "10" -}}
{{- $_ := set $parameters "tcp_keepintvl" "3" -}}
{{- $_ := set $parameters "tcp_keepcnt" "3" -}}
{{- $_ := set $parameters "tcp_user_timeout" "15000" -}}
{{- range $name, $value := $pooler.parameters -}}
{{- if kindIs "invalid" $value -}}{{- $_ := unset $parameters $name -}}
{{- else if kindIs "bool" $value -}}{{- $_ := set $parameters $name (ternary "1" "0" $value) -}}
{{- else -}}{{- $_ := set $parameters $name (include "postgresql.text" $value) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $parameters }}
{{ $name }} = {{ $value }}
{{- end }}
{{- end -}}
