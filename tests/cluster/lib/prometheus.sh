# Prometheus and Alertmanager beside the pods. Sourced, never run.
# shellcheck shell=bash

start_prometheus() {
  local p=$S/prom b=$LIBEXEC interval=${PROM_INTERVAL:-2s} scrape_pods=
  mkdir -p "$p/rules" "$p/scrape"
  apply /api/v1/namespaces/monitoring <<< '{apiVersion: v1, kind: Namespace, metadata: {name: monitoring}}'
  apply /api/v1/namespaces/monitoring/serviceaccounts/prometheus <<< '{apiVersion: v1, kind: ServiceAccount, metadata: {name: prometheus, namespace: monitoring}}'
  cluster_role prometheus '[{apiGroups: [""], resources: [nodes, services, endpoints, pods], verbs: [get, list, watch]}, {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}, {apiGroups: [""], resources: [nodes/metrics], verbs: [get]}, {nonResourceURLs: [/metrics], verbs: [get]}]'
  bind_cluster_role prometheus monitoring
  (umask 077; api /api/v1/namespaces/monitoring/serviceaccounts/prometheus/token --fail -X POST -H 'Content-Type: application/json' \
    -d '{"spec": {"expirationSeconds": 604800}}' | grep -o '"token": *"[^"]*"' | cut -d'"' -f4 > "$p/token")
  [ -s "$p/token" ] || { echo "no ServiceAccount token for Prometheus" | tee "$S/failed" >&2; return 1; }
  if [ "$MODE" = real ]; then
    scrape_pods=yes
    external_service monitoring prometheus "" "{name: http, port: $PROM_PORT, protocol: TCP}"
    external_service monitoring alertmanager "" "{name: http, port: $AM_PORT, protocol: TCP}"
  fi
  [ -e "$p/prometheus.yml" ] || prometheus_config "$p" "$interval" "$scrape_pods" > "$p/prometheus.yml"
  [ -e "$p/alertmanager.yml" ] || alertmanager_config > "$p/alertmanager.yml"
  spawn alertmanager "$b/alertmanager" "--config.file=$p/alertmanager.yml" "--storage.path=$p/alertmanager" "--web.listen-address=$(listen_on "$AM_PORT")" \
    --cluster.listen-address= --log.level=warn
  spawn prometheus "$b/prometheus" "--config.file=$p/prometheus.yml" "--storage.tsdb.path=$p/tsdb" "--web.listen-address=$(listen_on "$PROM_PORT")" \
    --web.enable-lifecycle --log.level=warn
}
listen_on() { if [ "$MODE" = real ]; then echo "0.0.0.0:$1"; else echo "127.0.0.1:$1"; fi; }
wait_for_prometheus() { wait_for "Prometheus and Alertmanager ready" prometheus_ready; }
prometheus_ready() { curl -s -m 1 --fail -o /dev/null "127.0.0.1:$PROM_PORT/-/ready" && curl -s -m 1 --fail -o /dev/null "127.0.0.1:$AM_PORT/-/ready"; }

# ALERT_WEBHOOK=URL: every alert and its end goes there too.
alertmanager_config() {
  echo "route: {receiver: main, group_by: ['...'], group_wait: 1s, group_interval: 2s, repeat_interval: 1h}"
  if [ -n "${ALERT_WEBHOOK:-}" ]; then
    echo "receivers: [{name: main, webhook_configs: [{url: \"$ALERT_WEBHOOK\", send_resolved: true}]}]"
  else
    echo "receivers: [{name: main}]"
  fi
}

prometheus_config() { # DIRECTORY INTERVAL SCRAPE-PODS
  local auth="{type: Bearer, credentials_file: \"$1/token\"}" tls="{ca_file: \"$S/pki/ca.crt\"}" sd
  sd="api_server: \"https://$ADDR:$API_PORT\", authorization: $auth, tls_config: $tls"
  cat <<K
# The log tells tests what was asked, and for which moment.
global: {scrape_interval: $2, evaluation_interval: $2, scrape_timeout: $2, query_log_file: "$1/queries.log"}
rule_files: ["$1/rules/*.yaml"]
alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:$AM_PORT"]}]}]}
scrape_config_files: ["$1/scrape/*.yaml"]
scrape_configs:
- job_name: apiserver
  scrape_interval: 15s
  scrape_timeout: 10s
  scheme: https
  authorization: $auth
  tls_config: $tls
  static_configs: [{targets: ["$ADDR:$API_PORT"]}]
K
  [ -n "$3" ] || return 0
  cat <<K
- job_name: pods            # every pod with the annotation prometheus.io/scrape: "true"; prometheus.io/port and prometheus.io/path are followed
  kubernetes_sd_configs: [{role: pod, $sd}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: "true"}
  - {source_labels: [__meta_kubernetes_pod_phase], action: drop, regex: Pending|Succeeded|Failed}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], action: replace, target_label: __metrics_path__, regex: (.+)}
  - {source_labels: [__address__, __meta_kubernetes_pod_annotation_prometheus_io_port], action: replace, regex: '([^:]+)(?::\d+)?;(\d+)', replacement: "\$1:\$2", target_label: __address__}
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
- job_name: cadvisor
  scrape_interval: 5s
  scheme: https
  metrics_path: /metrics/cadvisor
  authorization: $auth
  tls_config: $tls
  kubernetes_sd_configs: [{role: node, $sd}]
- job_name: kubelet
  scrape_interval: 15s
  scrape_timeout: 10s
  scheme: https
  authorization: $auth
  tls_config: $tls
  kubernetes_sd_configs: [{role: node, $sd}]
K
}
