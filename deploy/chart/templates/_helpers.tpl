{{- /* The names are fixed: there is one operator in a cluster, and it and the chart know each other's by them. */ -}}

{{- define "pinion.selector" -}}
app.kubernetes.io/name: pinion-operator
{{- end }}

{{- define "pinion.labels" -}}
app.kubernetes.io/part-of: pinion
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "pinion.image" -}}
{{- $image := .Values.image -}}
{{- if not $image.repository -}}
{{- fail "image.repository is not set: build the operator's image, push it to your registry, and name it here" -}}
{{- end -}}
{{- $tag := $image.tag | default (ternary "" .Chart.AppVersion (ne $image.digest "")) -}}
{{- $image.repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- /* Fails where the cluster has no Prometheus operator; called with the context and the value that asks for it. */ -}}
{{- define "pinion.needsPrometheusOperator" -}}
{{- if not (.context.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
{{- fail (printf "%s is true, but the cluster does not know monitoring.coreos.com/v1: install the Prometheus operator first, or set it to false (helm template: --api-versions monitoring.coreos.com/v1)" .value) -}}
{{- end -}}
{{- end }}

{{- /* What a target is called: `namespace/pod` reads better than an address, and a pod that is started again goes on as the same series. */ -}}
{{- define "pinion.relabelings" -}}
relabelings:
  - {sourceLabels: [__meta_kubernetes_namespace, __meta_kubernetes_pod_name], separator: /, targetLabel: instance}
{{- end }}
