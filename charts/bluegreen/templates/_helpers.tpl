{{- define "bluegreen.name" -}}
{{- if contains "bluegreen" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-bluegreen" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Roles of the whole cluster have no namespace in their names otherwise. */}}
{{- define "bluegreen.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace (include "bluegreen.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bluegreen.selector" -}}
app.kubernetes.io/name: bluegreen
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bluegreen.labels" -}}
{{ include "bluegreen.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "bluegreen.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "bluegreen.serviceAccountRef" -}}
- kind: ServiceAccount
  name: {{ include "bluegreen.name" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
