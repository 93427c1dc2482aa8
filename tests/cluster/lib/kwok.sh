# A control plane with simulated nodes (KWOK) as plain processes on loopback: the mode without root. Also simulated nodes beside
# real ones (KWOK_NODES), for scale. Sourced, never run.
# shellcheck shell=bash

kwok_preflight() {
  local c
  for c in curl openssl python3 setpriv setsid; do
    command -v "$c" > /dev/null || { echo "a control plane is impossible here: command \"$c\" is missing; see tests/cluster/doctor.sh" >&2; exit 77; }
  done
}
kwok_alive() { local p; p=$(cat "$S/pid" 2> /dev/null) && running "$p" && [ "$(cat "/proc/$p/stat" 2> /dev/null | cut -d' ' -f22)" = "$(cat "$S/started" 2> /dev/null)" ]; }

# Below the ephemeral range: a restarted component must find its port free again.
choose_ports() {
  python3 - > "$S/ports" <<'P'
import random, socket
names, taken = ["ETCD", "ETCD_PEER", "API", "KCM", "SCHEDULER", "KWOK", "PROM", "AM"], []
for port in random.sample(range(20000, 32000), 4000):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", port))
    except OSError:
        continue
    finally:
        s.close()
    taken.append(port)
    if len(taken) == len(names):
        break
else:
    raise SystemExit("no free ports between 20000 and 32000")
print("\n".join(f"{n}_PORT={p}" for n, p in zip(names, taken)))
P
}

# Process 1 of this mode: its children die with it (setpriv), whatever ends it.
kwok_main() {
  local me=$BASHPID
  cd /
  cut -d' ' -f22 "/proc/$me/stat" > "$S/started"; echo "$me" > "$S/pid"
  watch_owner "$me" &
  start_etcd
  make_pki; lap "certificates" >> "$S/times"
  make_credentials
  start_apiserver
  wait_for "API server ready" api_ready
  start_controllers
  start_kwok manageAllNodes: true
  make_kwok_nodes "$([ "$KWOK_NODES" != 0 ] && echo "$KWOK_NODES" || echo "$NODES")"
  wait_for "simulated node(s) Ready" nodes_ready 1
  wait_for "default ServiceAccount" account_ready
  if [ -n "$PROM" ]; then start_prometheus; wait_for_prometheus; fi
  trap kwok_serve USR1
  touch "$S/ready"
  while :; do wait || true; sleep 0.2; done
}
# What is started later must be a child of process 1 too, or it would survive it: so it is asked to do that.
kwok_serve() {
  local request; request=$(cat "$S/request")
  if [ "$request" = prometheus ] && [ ! -e "$S/cmd/prometheus" ]; then start_prometheus; else start_component "$request"; fi && rm "$S/request"
}
kwok_start() { # NAME
  local i pid
  pid=$(cat "$S/pids/$1" 2> /dev/null) || pid=
  if [ -n "$pid" ] && running "$pid"; then echo "component \"$1\" is already running" >&2; return 1; fi
  echo "$1" > "$S/request"
  kill -USR1 "$(cat "$S/pid")"
  for ((i = 0; i < 200; i++)); do [ -e "$S/request" ] || return 0; sleep 0.05; done
  rm -f "$S/request"
  echo "component \"$1\" was not started; see $S/log/init.log" >&2
  return 1
}

start_kwok() { # OPTION
  { cat <<K
kind: KwokConfiguration
apiVersion: config.kwok.x-k8s.io/v1alpha1
options:
  $*
  cidr: 10.250.0.1/16
  nodeIP: 10.250.0.1
  nodeLeaseDurationSeconds: 40
  nodeLeaseParallelism: 4
  nodePlayStageParallelism: 4
  podPlayStageParallelism: 4
---
K
    cat "$CLUSTER_CACHE/share/kwok-stages.yaml"; } > "$S/kwok.yaml"
  spawn kwok "$BIN/kwok" "--config=$S/kwok.yaml" "--kubeconfig=$S/kubeconfig" "--server-address=127.0.0.1:${KWOK_PORT:-10247}"
}
make_kwok_nodes() { # COUNT [TAINTS]
  local i body
  for ((i = 0; i < $1; i++)); do
    body="{apiVersion: v1, kind: Node, metadata: {name: kwok-$i, annotations: {kwok.x-k8s.io/node: fake}, labels: {type: kwok, kubernetes.io/hostname: kwok-$i}}, spec: {taints: [${2:-}]}}"
    apply "/api/v1/nodes/kwok-$i" <<< "$body"
    api "/api/v1/nodes/kwok-$i/status?fieldManager=cluster&force=true" --fail -o /dev/null -X PATCH -H 'Content-Type: application/apply-patch+yaml' --data-binary \
      "{apiVersion: v1, kind: Node, metadata: {name: kwok-$i}, status: {allocatable: {cpu: '64', memory: 256Gi, pods: '1000'}, capacity: {cpu: '64', memory: 256Gi, pods: '1000'}}}"
  done
}
# Beside real nodes: only pods that tolerate the taint land there.
kwok_beside() {
  start_kwok 'manageNodesWithAnnotationSelector: kwok.x-k8s.io/node=fake'
  make_kwok_nodes "$KWOK_NODES" '{key: kwok.x-k8s.io/node, value: fake, effect: NoSchedule}'
  wait_for "$KWOK_NODES simulated node(s) Ready" nodes_ready "$((NODES + KWOK_NODES))"
}

kwok_exec() {
  kwok_alive || { echo "cluster $CLUSTER_NAME is not up" >&2; return 3; }
  PATH=$BIN:$PATH KUBECONFIG=$S/kubeconfig CLUSTER_PID=$(cat "$S/pid") CLUSTER_MODE=kwok CLUSTER_DIR=$S CLUSTER_API=https://$ADDR:$API_PORT CLUSTER_CA=$S/pki/ca.crt \
    CLUSTER_PROMETHEUS=http://$ADDR:$PROM_PORT CLUSTER_ALERTMANAGER=http://$ADDR:$AM_PORT CLUSTER_AUDIT=${AUDIT:+$S/log/audit.log} exec "$@"
}
kwok_env() {
  kwok_alive || { echo "cluster $CLUSTER_NAME is not up" >&2; return 3; }
  env_line KUBECONFIG "$S/kubeconfig"
  env_line CLUSTER_PID "$(cat "$S/pid")"
  env_line CLUSTER_API "https://$ADDR:$API_PORT"
  [ -z "$PROM" ] || { env_line CLUSTER_PROMETHEUS "http://$ADDR:$PROM_PORT"; env_line CLUSTER_ALERTMANAGER "http://$ADDR:$AM_PORT"; }
}
kwok_image() { echo "cluster $CLUSTER_NAME has simulated nodes only (MODE=kwok): no image can be run; nothing was imported" >&2; return 3; }
kwok_down() {
  local p i
  if kwok_alive; then
    p=$(cat "$S/pid")
    kill -KILL "$p" 2> /dev/null || true
    for ((i = 0; i < 200; i++)); do running "$p" || break; sleep 0.05; done
  fi
  for p in "$S"/pids/*; do
    [ -e "$p" ] || continue
    for ((i = 0; i < 200; i++)); do
      # Only a process that still works on this cluster's files: the number may belong to somebody else by now.
      grep -qsF "$S" "/proc/$(cat "$p")/cmdline" || break
      kill -KILL "$(cat "$p")" 2> /dev/null || true
      sleep 0.05
    done
  done
  rm -rf "$S"
}
