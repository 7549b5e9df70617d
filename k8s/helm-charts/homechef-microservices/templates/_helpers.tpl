{{- define "webhooks.name" -}}
{{ .Release.Name }}
{{- end -}}

{{- define "webhooks.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "webhooks.selector" -}}
app.kubernetes.io/name: webhook-service
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "webhooks.labels" -}}
{{ include "webhooks.selector" . }}
app.kubernetes.io/part-of: homechef
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The environment of every process, as the data of a ConfigMap. */}}
{{- define "webhooks.environment" -}}
{{- range $name, $value := .Values.config }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- if and .Values.ingress.enabled (not (hasKey .Values.config "TRUST_PROXY")) }}
# The ingress is the one proxy in front: it ends TLS, and callers have the addresses that it says.
TRUST_PROXY: "1"
{{- end }}
SERVER_PORT: "8080"
GRPC_PORT: "9090"
METRICS_PORT: "9464"
{{- if .Values.networkPolicy.allowedCidrs }}
WEBHOOK_ALLOWED_CIDRS: {{ join "," .Values.networkPolicy.allowedCidrs | quote }}
{{- end }}
{{- end -}}

{{/*
The name carries a hash of the content: another environment is another ConfigMap, so pods of the previous version keep theirs until they
are gone, and a rollback finds the one it knows.
*/}}
{{- define "webhooks.configName" -}}
{{ include "webhooks.name" . }}-{{ include "webhooks.environment" . | sha256sum | trunc 10 }}
{{- end -}}

{{/* Not the release's own name: up to chart 1.0 a hook made an account of that name, which no release can take over. */}}
{{- define "webhooks.accountName" -}}
{{ include "webhooks.name" . }}-runtime
{{- end -}}

{{/*
Pods are replaced when the Secret changes. Its content can be read only while an installation is made, by somebody who may; else the
Secret's name stands for it.
*/}}
{{- define "webhooks.secretChecksum" -}}
{{- $secret := lookup "v1" "Secret" .Release.Namespace .Values.secretName -}}
{{- toJson (dict "name" .Values.secretName "data" (default dict (get ($secret | default dict) "data"))) | sha256sum -}}
{{- end -}}

{{/* A quantity of memory in MiB: 768Mi, 1Gi, 1G, 500M, or bytes. */}}
{{- define "webhooks.mebibytes" -}}
{{- $text := toString . -}}
{{- if hasSuffix "Gi" $text -}}{{ mulf (trimSuffix "Gi" $text | float64) 1024 | int }}
{{- else if hasSuffix "Mi" $text -}}{{ trimSuffix "Mi" $text | float64 | int }}
{{- else if hasSuffix "G" $text -}}{{ mulf (trimSuffix "G" $text | float64) 953.67 | int }}
{{- else if hasSuffix "M" $text -}}{{ mulf (trimSuffix "M" $text | float64) 0.95367 | int }}
{{- else if regexMatch "^[0-9]+$" $text -}}{{ div ($text | int64) 1048576 }}
{{- else -}}{{ fail (printf "resources.limits.memory: %s is not a quantity that this chart reads; use Mi or Gi" $text) }}
{{- end -}}
{{- end -}}

{{/*
The heap gets two thirds of the memory that the pod may use, and never more than the 1,024 MB that the image starts with: what is left is
for buffers, code and stacks. Beyond its heap the process collects garbage; beyond its memory the kernel kills it.
*/}}
{{- define "webhooks.heapMegabytes" -}}
{{- $memory := dig "limits" "memory" "" .resources -}}
{{- if $memory -}}{{ min 1024 (div (mul (include "webhooks.mebibytes" $memory | int) 2) 3) }}{{- else -}}1024{{- end -}}
{{- end -}}

{{/* What every container of the service has in common; called with the root and the name of its ConfigMap. */}}
{{- define "webhooks.container" -}}
{{- $ := .root -}}
image: {{ include "webhooks.image" $ }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
envFrom:
  - configMapRef: { name: {{ .configName }} }
  - secretRef: { name: {{ $.Values.secretName }} }
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  {{- with $.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What every pod has in common; called with the root and the name of its ServiceAccount. */}}
{{- define "webhooks.pod" -}}
{{- $ := .root -}}
serviceAccountName: {{ .accountName }}
automountServiceAccountToken: false
{{- /* A Service called redis would set REDIS_PORT=tcp://…, and one called metrics METRICS_PORT. */}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile: { type: RuntimeDefault }
{{- with $.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
volumes:
  - { name: tmp, emptyDir: { sizeLimit: 64Mi } }
  {{- with $.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Where DNS is answered: every pod needs it. */}}
{{- define "webhooks.dnsEgress" -}}
- to: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: kube-system } } }]
  ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
{{- end -}}

{{/* DB_PORT, and with a pooler there the port of PostgreSQL itself. */}}
{{- define "webhooks.databaseEgress" -}}
{{- $ports := list (dict "port" (index .Values.config "DB_PORT" | default "5432" | int)) -}}
{{- if index .Values.config "DB_DIRECT_HOST" -}}
{{- $ports = append $ports (dict "port" (index .Values.config "DB_DIRECT_PORT" | default "5432" | int)) -}}
{{- end -}}
- to: {{ toJson .Values.networkPolicy.database }}
  ports: {{ toJson (uniq $ports) }}
{{- end -}}

{{/* REDIS_PORT, and the port of each node of a cluster and of each sentinel. */}}
{{- define "webhooks.redisPorts" -}}
{{- $config := .Values.config -}}
{{- $ports := list (index $config "REDIS_PORT" | default "6379" | int) -}}
{{- range compact (splitList "," (index $config "REDIS_CLUSTER_NODES" | default "")) -}}
{{- $port := regexFind ":[0-9]+$" (trim .) | trimPrefix ":" -}}
{{- if $port }}{{ $ports = append $ports ($port | int) }}{{ end -}}
{{- end -}}
{{- range compact (splitList "," (index $config "REDIS_SENTINELS" | default "")) -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" (trim .) | trimPrefix ":" | default "26379" | int) -}}
{{- end -}}
{{- $list := list -}}
{{- range uniq $ports }}{{ $list = append $list (dict "port" .) }}{{ end -}}
{{- toJson $list -}}
{{- end -}}

{{/* The port of a URL. */}}
{{- define "webhooks.portOf" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* The ports of the services that the configuration names by URL: notices, keys of tokens, and those of the health answer. */}}
{{- define "webhooks.dependencyPorts" -}}
{{- $list := list -}}
{{- range list "NOTIFICATION_SERVICE_URL" "USER_SERVICE_URL" "ORDER_SERVICE_URL" "PAYMENT_SERVICE_URL" "JWT_JWKS_URL" -}}
{{- with index $.Values.config . }}{{ $list = append $list (dict "port" (include "webhooks.portOf" . | int)) }}{{ end -}}
{{- end -}}
{{- toJson (uniq $list) -}}
{{- end -}}

{{/* networkPolicy.collectorPort, and the ports of the collectors that the configuration names. */}}
{{- define "webhooks.collectorPorts" -}}
{{- $list := list (dict "port" (int .Values.networkPolicy.collectorPort)) -}}
{{- range list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" -}}
{{- with index $.Values.config . }}{{ $list = append $list (dict "port" (include "webhooks.portOf" . | int)) }}{{ end -}}
{{- end -}}
{{- toJson (uniq $list) -}}
{{- end -}}

{{/* How many pods a PodDisruptionBudget asks for: Kubernetes rounds a share of them up. Called with minAvailable and the pods there are. */}}
{{- define "webhooks.podsKept" -}}
{{- $asked := toString .minAvailable -}}
{{- if hasSuffix "%" $asked -}}{{ div (add (mul (trimSuffix "%" $asked | int) .pods) 99) 100 }}{{- else -}}{{ int $asked }}{{- end -}}
{{- end -}}
