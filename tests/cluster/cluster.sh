#!/usr/bin/env bash
# A real Kubernetes cluster for tests and for play, on this machine, without Docker, registry or downloads of images.
#
#   cluster.sh up              start, and wait until pods can be created and names resolve
#   cluster.sh exec -- CMD...  run CMD inside the cluster's network (same working directory; KUBECONFIG and PATH set)
#   cluster.sh env             KUBECONFIG, CLUSTER_* and PATH for a shell outside, as `export` lines
#   cluster.sh image FILE...   import OCI archives (see mkimages.py, image.sh) into every node
#   cluster.sh stop NAME [SIGNAL] | start NAME     outages of one component: kube-apiserver, etcd, prometheus, node-0 ...
#   cluster.sh prom            add Prometheus and Alertmanager to a running cluster
#   cluster.sh status          components with their resident memory
#   cluster.sh down            stop and remove; gc: sweep what killed clusters left
#   cluster.sh check           0: a real cluster is possible here; 77: it is not, reason on stderr
#
# Environment
#   CLUSTER_NAME=c0    several clusters live side by side            MODE=auto      real | kwok (control plane and simulated nodes,
#   NODES=1            real nodes, up to 4                                          no root) | auto: real where possible (in CI: real)
#   KWOK_NODES=0       simulated nodes beside them                   PROM=1         with Prometheus and Alertmanager
#   CLUSTER_OWNER=PID  the cluster ends when that process ends       AUDIT=1        log every request (path: CLUSTER_AUDIT)
#   APISERVER_FLAGS, KCM_FLAGS   further flags                       PROM_INTERVAL=2s, ALERT_WEBHOOK=URL
#   CRDS=1             with the folder of other projects' CRDs (share/crds beside the tools)
#   POSTGRES=1         with the image of PostgreSQL (share/postgres.tar beside the tools), which no node has by itself
#   KUBELET_SYNC=2s    refresh of ConfigMap volumes
#   UNSAFE_SYSCTLS     comma-separated, allowed on the last node     UNSAFE_SYSCTLS_NODES=last  all: allowed on every node
#   CLUSTER_CACHE      tools made by build.sh (default: built now if missing)
#   CLUSTER_STATE      state of all clusters; not under /var/lib or /var/log, and every directory above it searchable by others
set -euo pipefail
SELF=$(readlink -f "${BASH_SOURCE[0]}")
HERE=$(dirname "$SELF")
for part in common control_plane node real prometheus kwok; do
  # shellcheck source=/dev/null
  . "$HERE/lib/$part.sh"
done

usage() { sed -n '2,/^set -e/p' "$SELF" | sed -n 's/^# \{0,1\}//p'; }
env_line() { printf 'export %s=%q\n' "$1" "$2"; }
alive() { [ -e "$S/settings" ] && "${MODE}_alive"; }
known() { [ -e "$S/settings" ] || { echo "cluster $CLUSTER_NAME is not up" >&2; exit 3; }; load_settings; }

# Decide between real and kwok where it is left open, and name the reason.
choose_mode() {
  local reason
  MODE=${MODE:-${CI:+real}}
  case ${MODE:-auto} in
    real | kwok) return ;;
    auto) ;;
    *) die "MODE=\"$MODE\" is none of real, kwok, auto" ;;
  esac
  MODE=real; set_addresses
  LIBEXEC=/nonexistent
  if reason=$( (real_preflight) 2>&1 ); then return; fi
  echo "$reason; starting a control plane with simulated nodes instead (MODE=kwok)" >&2
  MODE=kwok
}
# The folder with the tools; what is missing is built.
find_tools() {
  local families=(kubernetes)
  if [ "$MODE" = real ]; then families+=(debian images containerd runc cni coredns); fi
  if [ "$MODE" = kwok ] || [ "$KWOK_NODES" != 0 ]; then families+=(kwok); fi
  if [ -n "$PROM" ]; then families+=(prometheus alertmanager); fi
  if [ -n "${CRDS:-}" ]; then families+=(crds); fi
  if [ -n "${POSTGRES:-}" ]; then families+=(postgres); fi
  [ -n "${CLUSTER_CACHE:-}" ] || CLUSTER_CACHE=$("$HERE/build.sh" "${families[@]}") || exit 1
  export CLUSTER_CACHE
  BIN=$CLUSTER_CACHE/bin LIBEXEC=$CLUSTER_CACHE/libexec
}

prepare_state() {
  local parent
  [ -d "$CLUSTER_STATE" ] || { mkdir -p "$CLUSTER_STATE"; chmod 711 "$CLUSTER_STATE"; }
  parent=$(stat -c %u "$CLUSTER_STATE")
  [ "$parent" = "$(id -u)" ] || die "state directory \"$CLUSTER_STATE\" belongs to user $parent; set CLUSTER_STATE"
  [ ${#S} -le 80 ] || die "state directory \"$S\" is too long for the sockets in it; set CLUSTER_STATE"
  case $(readlink -f "$CLUSTER_STATE")/ in
    /var/lib/* | /var/log/* | /run/* | /mnt/*) die "state directory \"$CLUSTER_STATE\" would be hidden inside the cluster; set CLUSTER_STATE" ;;
  esac
  rm -rf "$S"
  mkdir -m 711 "$S"; mkdir -m 700 "$S"/{log,pids,cmd,pki}
}

up() {
  local i
  if [ -e "$S/settings" ]; then
    (load_settings; alive) && die "is already up; end it with: CLUSTER_NAME=$CLUSTER_NAME $0 down"
  fi
  [[ $NODES =~ ^[1-4]$ ]] || [ "${MODE:-}" = kwok ] || die "NODES=\"$NODES\" is not between 1 and 4"
  choose_mode
  find_tools
  set_addresses
  "${MODE}_preflight"
  if [ "$MODE" = real ]; then remove_cgroups "$CG" || die "cgroups of an older cluster \"$CG\" are still in use"; fi
  T0=$(now_ms)
  prepare_state
  [ "$MODE" = real ] || choose_ports
  save_settings
  if [ "$MODE" = real ]; then setsid bash "$SELF" _janitor < /dev/null > "$S/log/janitor.log" 2>&1 &
  else setsid bash "$SELF" _kwok < /dev/null > "$S/log/init.log" 2>&1 & fi
  for ((i = 0; i < 2400; i++)); do
    [ ! -e "$S/ready" ] || break
    if [ -e "$S/ended" ] || [ -e "$S/failed" ]; then fail_up "$(cat "$S/failed" 2> /dev/null || echo "process 1 ended")"; fi
    sleep 0.05
  done
  [ -e "$S/ready" ] || fail_up "not ready after 120 s"
  lap "up ($MODE)" >> "$S/times"
  cat "$S/times"
}
fail_up() {
  echo "cluster $CLUSTER_NAME failed to start: $1; logs are in $S/log; the last lines:" >&2
  tail -n 3 "$S"/log/*.log >&2
  exit 1
}

print_env() {
  alive || { echo "cluster $CLUSTER_NAME is not up" >&2; exit 3; }
  env_line CLUSTER_NAME "$CLUSTER_NAME"
  env_line CLUSTER_MODE "$MODE"
  env_line CLUSTER_DIR "$S"
  env_line CLUSTER_CA "$S/pki/ca.crt"
  "${MODE}_env"
  [ -z "$AUDIT" ] || env_line CLUSTER_AUDIT "$S/log/audit.log"
  env_line CLUSTER_BIN "$BIN"
  # shellcheck disable=SC2016  # expanded by the shell that evaluates it
  printf 'export PATH=%q:"$PATH"\n' "$BIN"
}

children_of() { local c; for c in $(cat "/proc/$1/task/"*/children 2> /dev/null); do echo "$c"; children_of "$c"; done; }
status() {
  local p pids
  alive || { echo "cluster $CLUSTER_NAME is not up"; exit 3; }
  p=$(cat "$S/pid"); pids="$p $(children_of "$p") $(cat "$S/relay.pid" 2> /dev/null || true)"
  for p in $pids; do
    [ -e "/proc/$p/smaps_rollup" ] || continue
    awk -v pid="$p" -v name="$(tr '\0' ' ' < "/proc/$p/cmdline" 2> /dev/null | cut -d' ' -f1 | sed 's#.*/##')" \
      '/^Rss:/ { r += $2 } /^Pss:/ { q += $2 } END { printf "%7d  %-26s rss %4.0f MiB  pss %4.0f MiB\n", pid, name, r / 1024, q / 1024 }' "/proc/$p/smaps_rollup" 2> /dev/null || true
  done
}

component() { # stop|start NAME [SIGNAL]
  [ -n "${2:-}" ] && [ -e "$S/cmd/$2" ] || { echo "no component \"${2:-}\"; there are: $(ls "$S/cmd" | tr '\n' ' ')" >&2; exit 2; }
  case $MODE-$1 in
    real-*) (real_exec bash "$SELF" "_$1" "$2" "${3:-}") ;;
    kwok-stop) stop_component "$2" "${3:-}" ;;
    kwok-start) kwok_start "$2"; has_started "$2" ;;
  esac
}

sweep() {
  local d
  for d in "$CLUSTER_STATE"/*/; do
    [ -d "$d" ] || continue
    ( CLUSTER_NAME=$(basename "$d") S=${d%/}
      if [ -e "$S/settings" ]; then load_settings; else MODE=real; set_addresses; fi
      if ! alive; then "${MODE}_down" && echo "removed $CLUSTER_NAME"; fi )
  done
}

case "${1:-}" in
  # inside
  _init) load_settings; real_init ;;
  _node) load_settings; node_main "$2" ;;
  _kwok) load_settings; kwok_main ;;
  _prom) load_settings; start_prometheus; wait_for_prometheus ;;
  _stop) load_settings; stop_component "$2" "${3:-}" ;;
  _start) load_settings; start_component "$2"; has_started "$2" ;;
  _janitor) load_settings; real_janitor ;;
  # outside
  check) MODE=real; set_addresses; LIBEXEC=${CLUSTER_CACHE:+$CLUSTER_CACHE/libexec}; real_preflight; echo "a real cluster is possible here" ;;
  up) up ;;
  exec) known; shift; [ "${1:-}" != -- ] || shift; "${MODE}_exec" "$@" ;;
  env) known; print_env ;;
  image) known; shift; "${MODE}_image" "$@" ;;
  stop | start) known; component "$@" ;;
  prom)
    known
    [ ! -e "$S/cmd/prometheus" ] || die "Prometheus is already there"
    [ -x "$LIBEXEC/prometheus" ] || "$HERE/build.sh" prometheus alertmanager > /dev/null
    export T0; T0=$(now_ms)
    PROM=1 save_settings
    if [ "$MODE" = real ]; then (real_exec bash "$SELF" _prom); else kwok_start prometheus; wait_for_prometheus; fi
    tail -n 1 "$S/times" ;;
  status) known; status ;;
  down) if [ -e "$S/settings" ]; then load_settings; else MODE=real; set_addresses; fi; "${MODE}_down"; lap "down" ;;
  gc) sweep ;;
  help | -h | --help) usage ;;
  *) usage >&2; exit 2 ;;
esac
