{{- define "playback-grant-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* The name of all objects. At most 55 letters, so that what is put behind it still fits into 63. */}}
{{- define "playback-grant-operator.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "playback-grant-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "playback-grant-operator.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{/* What pods are selected by: (dict "root" $ "component" COMPONENT). It can't change in the life of a Deployment. */}}
{{- define "playback-grant-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "playback-grant-operator.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The labels of an object or a pod: (dict "root" $ "component" COMPONENT "extra" LABELS). Those of the chart win over those of values. */}}
{{- define "playback-grant-operator.labels" -}}
{{- $labels := mergeOverwrite (dict) .root.Values.commonLabels (.extra | default dict) -}}
{{- $labels = mergeOverwrite $labels (include "playback-grant-operator.selectorLabels" . | fromYaml) -}}
{{- $_ := set $labels "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" .root.Chart.Name -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- toYaml $labels -}}
{{- end }}

{{/* An image: (dict "root" $ "image" IMAGE). */}}
{{- define "playback-grant-operator.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "playback-grant-operator.simulatorHost" -}}
{{- printf "%s.%s.svc" .Values.simulator.name .Release.Namespace -}}
{{- end }}

{{/* The Media API's address; empty: the operator's default. */}}
{{- define "playback-grant-operator.mediaApiUrl" -}}
{{- if .Values.simulator.enabled -}}
{{- printf "%s://%s:8181" (ternary "https" "http" (ne .Values.simulator.tls.secretName "")) (include "playback-grant-operator.simulatorHost" .) -}}
{{- else -}}
{{- .Values.mediaApi.url -}}
{{- end -}}
{{- end }}

{{/* The volume source of the authorities that are trusted for the Media API; empty: none. */}}
{{- define "playback-grant-operator.caSource" -}}
{{- $tls := and .Values.simulator.enabled .Values.simulator.tls.secretName -}}
{{- if .Values.mediaApi.caSecret.name -}}
secret:
  secretName: {{ .Values.mediaApi.caSecret.name | quote }}
  items:
    - key: {{ .Values.mediaApi.caSecret.key | quote }}
      path: ca.crt
{{- else if .Values.mediaApi.caConfigMap.name -}}
configMap:
  name: {{ .Values.mediaApi.caConfigMap.name | quote }}
  items:
    - key: {{ .Values.mediaApi.caConfigMap.key | quote }}
      path: ca.crt
{{- else if $tls -}}
secret:
  secretName: {{ .Values.simulator.tls.secretName | quote }}
  items:
    - key: {{ .Values.simulator.tls.caKey | quote }}
      path: ca.crt
{{- end -}}
{{- end }}

{{/* The operator's environment, as a list. What extraEnv gives takes the place of the same name: a list with a name twice can't be applied. */}}
{{- define "playback-grant-operator.env" -}}
{{- $env := list -}}
{{- with include "playback-grant-operator.mediaApiUrl" . -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_MEDIA_API_URL" "value" .) -}}
{{- end -}}
{{- if or .Values.mediaApi.allowInsecure (and .Values.simulator.enabled (not .Values.simulator.tls.secretName)) -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_ALLOW_INSECURE_MEDIA_API" "value" "true") -}}
{{- end -}}
{{- if include "playback-grant-operator.caSource" . -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_MEDIA_API_CA_FILE" "value" "/etc/playback-grant-operator/media-api-ca/ca.crt") -}}
{{- end -}}
{{- with .Values.namespaces -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_NAMESPACE" "value" (join "," .)) -}}
{{- end -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_LOG_LEVEL" "value" .Values.logLevel) -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_LOG_FORMAT" "value" .Values.logFormat) -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_MAX_IN_FLIGHT" "value" (.Values.maxInFlight | int | toString)) -}}
{{- if .Values.statusInterval -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_STATUS_INTERVAL" "value" (.Values.statusInterval | int | toString)) -}}
{{- end -}}
{{- if .Values.perObjectMetrics -}}
{{- $env = append $env (dict "name" "PLAYBACK_GRANT_PER_OBJECT_METRICS" "value" "true") -}}
{{- end -}}
{{- with .Values.httpsProxy -}}
{{- $env = append $env (dict "name" "HTTPS_PROXY" "value" .) -}}
{{- end -}}
{{- with .Values.httpProxy -}}
{{- $env = append $env (dict "name" "HTTP_PROXY" "value" .) -}}
{{- end -}}
{{- $direct := compact (list .Values.noProxy (ternary (include "playback-grant-operator.simulatorHost" .) "" .Values.simulator.enabled)) -}}
{{- with $direct -}}
{{- $env = append $env (dict "name" "NO_PROXY" "value" (join "," .)) -}}
{{- end -}}
{{- $given := list -}}
{{- range .Values.extraEnv -}}{{- $given = append $given .name -}}{{- end -}}
{{- $all := list -}}
{{- range $env -}}{{- if not (has .name $given) -}}{{- $all = append $all . -}}{{- end -}}{{- end -}}
{{- toYaml (concat $all .Values.extraEnv) -}}
{{- end }}

{{/* Whether the policy is installed: "true" or nothing. From 1.30 on, v1 of that group has it; a cluster's own list says so for each kind. */}}
{{- define "playback-grant-operator.admissionPolicyEnabled" -}}
{{- $v1 := "admissionregistration.k8s.io/v1" -}}
{{- $known := .Capabilities.APIVersions.Has (printf "%s/ValidatingAdmissionPolicy" $v1) -}}
{{- $served := or $known (and (.Capabilities.APIVersions.Has $v1) (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version)) -}}
{{- if eq (toString .Values.admissionPolicy.enabled) "auto" -}}
{{- ternary "true" "" $served -}}
{{- else if .Values.admissionPolicy.enabled -}}
true
{{- end -}}
{{- end }}

{{/* What the operator may do, in all namespaces or in one. */}}
{{- define "playback-grant-operator.rules" -}}
- apiGroups: [playbackgrant.dev]
  resources: [playbackgrantrequests]
  verbs: [list, watch]
- apiGroups: [playbackgrant.dev]
  resources: [playbackgrantrequests/status]
  verbs: [patch]
# Credentials are read; grants are written. Of the Secrets of others no more than the metadata is asked for.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
# What has come about is told as Events.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* The endpoint of a ServiceMonitor or PodMonitor, from its values. */}}
{{- define "playback-grant-operator.endpoint" -}}
- port: http
  path: /metrics
  honorLabels: {{ .honorLabels }}
  {{- with .interval }}
  interval: {{ . | quote }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . | quote }}
  {{- end }}
  {{- with .relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What can't be told by one value alone. */}}
{{- define "playback-grant-operator.check" -}}
{{- $media := .Values.mediaApi -}}
{{- if and .Values.simulator.enabled $media.url -}}
{{- fail "mediaApi.url and simulator.enabled: with the simulator the operator calls no other Media API: leave one of the two out" -}}
{{- end -}}
{{- if and $media.caSecret.name $media.caConfigMap.name -}}
{{- fail "mediaApi.caSecret.name and mediaApi.caConfigMap.name: only one of the two can be given" -}}
{{- end -}}
{{- $loopback := regexMatch "^http://(localhost|127\\.[0-9.]+|\\[::1\\])(:[0-9]+)?(/.*)?$" $media.url -}}
{{- if and (hasPrefix "http:" $media.url) (not $loopback) (not $media.allowInsecure) -}}
{{- fail "mediaApi.url is plain http: credentials and grants would cross the network readable. Give an https address, or set mediaApi.allowInsecure" -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.metrics.service.enabled) -}}
{{- fail "serviceMonitor.enabled: it needs metrics.service.enabled; podMonitor does without" -}}
{{- end -}}
{{- end }}
