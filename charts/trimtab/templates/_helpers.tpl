{{- define "trimtab.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Prefix of all names. 50 characters leave room for the suffixes of hooks. */}}
{{- define "trimtab.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "trimtab.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Prefix of the names of cluster-scoped objects: two releases of one name may live in two namespaces. */}}
{{- define "trimtab.clusterName" -}}
{{- $fullname := include "trimtab.fullname" . -}}
{{- if eq $fullname .Release.Namespace -}}
{{- $fullname -}}
{{- else -}}
{{- printf "%s:%s" .Release.Namespace $fullname -}}
{{- end -}}
{{- end -}}

{{/* What a Service, a Deployment and a budget select by. Immutable in a Deployment, so nothing that changes belongs here. */}}
{{- define "trimtab.instanceLabels" -}}
app.kubernetes.io/name: {{ include "trimtab.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "trimtab.selectorLabels" -}}
{{ include "trimtab.instanceLabels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "trimtab.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "trimtab.instanceLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: trimtab
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "trimtab.serviceAccountName" -}}
{{- default (include "trimtab.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "trimtab.image" -}}
{{- $repository := .Values.image.repository -}}
{{- if not $repository -}}
{{- fail "image.repository is not set: build the image with 'make image', which prints how to load or push it, then pass --set image.repository=REGISTRY/trimtab" -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "trimtab.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "trimtab.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "trimtab.podIdentity" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end -}}

{{- define "trimtab.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "trimtab.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What the operator does to objects of the namespaces that it governs. Each verb is one that it uses; a test compares them with an audit log. */}}
{{- define "trimtab.governRules" -}}
- apiGroups: [trimtab.dev]
  resources: [performancepolicies]
  verbs: [list, watch, patch] # patch: the finalizer of a policy with deletionPolicy Restore
- apiGroups: [trimtab.dev]
  resources: [connectionbudgets]
  verbs: [list, watch]
- apiGroups: [trimtab.dev]
  resources: [performancepolicies/status, connectionbudgets/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, watch, patch]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch] # replicas of a workload without a HorizontalPodAutoscaler
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch]
- apiGroups: [monitoring.coreos.com]
  resources: [prometheusrules]
  verbs: [list, watch, create, patch, delete] # one of each policy whose alerts go to the cluster's Prometheus
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, patch]
{{- range .Values.objectTargets }}
- apiGroups: [{{ if eq . "Stream" }}jetstream.nats.io{{ else }}postgresql.cnpg.io{{ end }}]
  resources: [{{ lower . }}s]
  verbs: [get, list, watch, patch]
{{- end }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list] # only while a rollout of ours is under way
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/* The cluster-scoped kinds. */}}
{{- define "trimtab.clusterRules" -}}
- apiGroups: [trimtab.dev]
  resources: [performanceclasses, metricssources]
  verbs: [list, watch]
- apiGroups: [trimtab.dev]
  resources: [metricssources/status]
  verbs: [patch]
{{- end -}}

{{/* Ports of the URLs of Prometheus and the Alertmanagers, as a YAML list without doubles. */}}
{{- define "trimtab.backendPorts" -}}
{{- $ports := list -}}
{{- range concat (list .Values.prometheus.url) .Values.prometheus.alertmanagers | compact -}}
{{- $url := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $ports = append $ports (int (default (ternary 443 80 (eq $url.scheme "https")) $port)) -}}
{{- end -}}
{{- toYaml (default $ports .Values.networkPolicy.backendPorts | uniq) -}}
{{- end -}}
