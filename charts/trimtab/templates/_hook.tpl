{{/* Spec of a hook's Job: root, component, account, args. */}}
{{- define "trimtab.hookJob" -}}
{{- $root := .root -}}
backoffLimit: 2
activeDeadlineSeconds: {{ $root.Values.hooks.deadlineSeconds }}
template:
  metadata:
    labels:
      {{- include "trimtab.instanceLabels" $root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  spec:
    serviceAccountName: {{ .account }}
    automountServiceAccountToken: true
    enableServiceLinks: false
    restartPolicy: Never
    {{- with include "trimtab.pullSecrets" $root }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    securityContext:
      {{- include "trimtab.podSecurityContext" $root | nindent 6 }}
    containers:
      - name: {{ .component }}
        image: {{ include "trimtab.image" $root | quote }}
        imagePullPolicy: {{ $root.Values.image.pullPolicy }}
        args: {{ toJson .args }}
        env:
          {{- include "trimtab.podIdentity" $root | nindent 10 }}
        resources:
          {{- toYaml $root.Values.hooks.resources | nindent 10 }}
        securityContext:
          {{- include "trimtab.containerSecurityContext" $root | nindent 10 }}
        terminationMessagePolicy: FallbackToLogsOnError
    {{- with include "trimtab.placement" $root }}
    {{- . | trim | nindent 4 }}
    {{- end }}
{{- end -}}
