{{/* Labels of every object; `helm uninstall` keeps the kinds, which are found by part-of. */}}
{{- define "tombolo.labels" -}}
app.kubernetes.io/part-of: tombolo
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The image, and how it is pulled, for a container. Takes the root and the values. */}}
{{- define "tombolo.image" -}}
{{- $root := index . 0 -}}{{- $v := index . 1 -}}
image: {{ printf "%s/%s:%s" $v.registry $v.repository ($v.tag | default $root.Chart.AppVersion) }}
imagePullPolicy: {{ $v.pullPolicy }}
{{- end -}}

{{/* The same of the image of OVN. Takes the root and the values; and another repository and tag, where they are set. */}}
{{- define "tombolo.ovnImage" -}}
{{- $root := index . 0 -}}{{- $v := index . 1 -}}
image: {{ printf "%s/%s:%s" $v.registry (index . 2 | default $v.ovnRepository) (index . 3 | default $v.ovnTag | default $root.Chart.AppVersion) }}
imagePullPolicy: {{ $v.pullPolicy }}
{{- end -}}

{{/* Names of Secrets as a pod has them. */}}
{{- define "tombolo.pullSecrets" -}}
{{- $all := list -}}
{{- range . -}}{{- $all = append $all (dict "name" .) -}}{{- end -}}
{{- $all | toJson -}}
{{- end -}}

{{/* A part of `helm uninstall`'s first act, in the order of the weights. One that fails stays, for its log. */}}
{{- define "tombolo.hook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Who and where a program is, and how it reaches the API server: by its own address where one is given, since the Service's
needs kube-proxy. */}}
{{- define "tombolo.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: KUBE_NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- if .apiHost }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ .apiHost | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ .apiPort | int | quote }}
{{- end }}
{{- if .bindLocal }}
- name: ENABLE_BIND_LOCAL_IP
  value: "true"
- name: POD_IPS
  valueFrom: {fieldRef: {fieldPath: status.podIPs}}
{{- end }}
{{- end -}}

{{/* Requests and limits. Takes those of chart v2, and v1's requests and limits. */}}
{{- define "tombolo.resources" -}}
{{- include "tombolo.resourcesOr" (append . (dict "cpu" "50m" "memory" "32Mi")) -}}
{{- end -}}

{{- define "tombolo.pingerResources" -}}
{{- include "tombolo.resourcesOr" (append . (dict "cpu" "20m" "memory" "16Mi")) -}}
{{- end -}}

{{- define "tombolo.centralResources" -}}
{{- include "tombolo.resourcesOr" (append . (dict "cpu" "300m" "memory" "200Mi")) -}}
{{- end -}}

{{- define "tombolo.ovsResources" -}}
{{- include "tombolo.resourcesOr" (append . (dict "cpu" "200m" "memory" "200Mi")) -}}
{{- end -}}

{{- define "tombolo.resourcesOr" -}}
{{- $all := index . 0 | default dict -}}
{{- $requests := index . 1 | default $all.requests | default (index . 3) -}}
{{- $limits := index . 2 | default $all.limits -}}
resources:
  requests: {{ $requests | toJson }}
  {{- if $limits }}
  limits: {{ $limits | toJson }}
  {{- end }}
{{- end -}}

{{/* The configuration's name and directory, as the agent's flags and its uninstallation's have them. */}}
{{- define "tombolo.cniArgs" -}}
- --cni-conf-name={{ .cniPriority }}-kube-ovn.conflist
{{- end -}}

{{/* Which of OVN's names and rows are this cluster's, as the controller and its uninstallation have it. */}}
{{- define "tombolo.clusterArgs" -}}
- --cluster-router={{ .defaultVpc }}
- --default-ls={{ .defaultSubnet }}
- --node-switch={{ .joinSubnet }}
{{- if .clusterId }}
- --cluster-id={{ .clusterId }}
{{- end }}
{{- end -}}
