# Shared by every part of cluster.sh: names, addresses, small helpers. Sourced, never run.
# shellcheck shell=bash disable=SC2034
#
# Variables of one cluster:
#   S          its state directory            BIN, LIBEXEC   user tools and components (build.sh made them)
#   ADDR       address of the API server      *_PORT         ports of the components

: "${CLUSTER_NAME:=c0}" "${NODES:=1}" "${PROM:=}" "${AUDIT:=}" "${KWOK_NODES:=0}"
: "${CLUSTER_STATE:=${TMPDIR:-/tmp}/trimtab-cluster-$UID}"
[[ $CLUSTER_NAME =~ ^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$ ]] || {
  echo "cluster name \"$CLUSTER_NAME\" is not a DNS label of at most 30 characters; set CLUSTER_NAME" >&2; exit 2; }
export CLUSTER_NAME CLUSTER_STATE

S=$CLUSTER_STATE/$CLUSTER_NAME
DOMAIN=cluster.local

die() { echo "cluster $CLUSTER_NAME: $*" >&2; exit 1; }
now_ms() { date +%s%3N; }
export T0=${T0:-$(now_ms)}      # start of what `lap` measures; kept across the shells of one call
lap() { echo "$(($(now_ms) - T0)) ms  $*"; }

# The rest of the settings: the mode decides the addresses. Called once the mode is known.
set_addresses() {
  ETCD_PORT=2379 ETCD_PEER_PORT=2380 API_PORT=6443 KCM_PORT=10257 SCHEDULER_PORT=10259 PROM_PORT=9090 AM_PORT=9093
  SERVICE_CIDR=10.96.0.0/16 SERVICE_API=10.96.0.1 DNS=10.96.0.10
  if [ "$MODE" = real ]; then
    ADDR=10.88.0.1 POD_CIDR=10.88.0.0/24 BRIDGE=br0 CG=trimtab-$CLUSTER_NAME
  else
    ADDR=127.0.0.1
    # shellcheck source=/dev/null
    [ ! -e "$S/ports" ] || . "$S/ports"
  fi
}

# What `up` was called with, for every later call on the same cluster.
save_settings() {
  local v
  for v in MODE NODES KWOK_NODES PROM AUDIT CLUSTER_CACHE; do printf '%s=%q\n' "$v" "${!v}"; done > "$S/settings"
}
load_settings() {
  # shellcheck source=/dev/null
  . "$S/settings"
  export MODE NODES KWOK_NODES PROM AUDIT CLUSTER_CACHE
  BIN=$CLUSTER_CACHE/bin LIBEXEC=$CLUSTER_CACHE/libexec
  set_addresses
}

# ---- processes ---------------------------------------------------------------------------------------------------------

# spawn NAME COMMAND...: start a component and remember how, so that `start NAME` can do it again.
spawn() {
  local name=$1 guard=(); shift
  printf '%q ' "$@" > "$S/cmd/$name"
  [ "$MODE" = real ] || guard=(setpriv --pdeathsig KILL)     # a pid namespace does that for a real cluster
  "${guard[@]}" "$@" >> "$S/log/$name.log" 2>&1 < /dev/null &
  echo $! > "$S/pids/$name"
}
# A process whose first thread has ended is a zombie while its others still hold its sockets.
running() { grep -qsE '^State:.[^Z]|^Threads:.([2-9]|[1-9][0-9])' "/proc/$1/status"; }
stop_component() { # NAME [SIGNAL]; a node is cut off like by a power failure
  local pid i signal=${2:-}
  if [ -z "$signal" ]; then case $1 in node-*) signal=KILL ;; *) signal=TERM ;; esac; fi
  pid=$(cat "$S/pids/$1") || return 2
  kill "-$signal" "$pid" 2> /dev/null || true
  for ((i = 0; i < 400; i++)); do running "$pid" || return 0; sleep 0.05; done
  echo "component \"$1\" still runs 20 s after signal $signal; use: stop $1 KILL" >&2
  return 1
}
start_component() { # NAME
  local words=() pid
  pid=$(cat "$S/pids/$1" 2> /dev/null) || pid=
  if [ -n "$pid" ] && running "$pid"; then echo "component \"$1\" is already running" >&2; return 1; fi
  eval "words=($(cat "$S/cmd/$1"))"     # written by printf %q in spawn
  cd / && PATH=$LIBEXEC:$PATH spawn "$1" "${words[@]}"
}

# A component that ends again, because something else holds its port for example, is a failure, with its reason. The API
# server is waited for; of the others, one that has run for a second has started.
has_started() { # NAME
  local pid i
  pid=$(cat "$S/pids/$1")
  for ((i = 0; i < 1200; i++)); do
    running "$pid" || { echo "component \"$1\" ended again: $(tail -n 1 "$S/log/$1.log")" >&2; return 1; }
    if [ "$1" = kube-apiserver ]; then ! api_ready || return 0; else [ $i -lt 20 ] || return 0; fi
    sleep 0.05
  done
  echo "component \"$1\" runs, and is not ready after 60 s: $(tail -n 1 "$S/log/$1.log")" >&2
  return 1
}

# wait_for WHAT COMMAND...: poll until the command holds; a component that ends meanwhile is a failure, named.
wait_for() {
  local what=$1 i f; shift
  for ((i = 0; i < 1200; i++)); do
    if "$@"; then lap "$what" >> "$S/times"; return; fi
    for f in "$S"/pids/*; do
      running "$(cat "$f")" || { echo "component \"$(basename "$f")\" ended while waiting for: $what" | tee "$S/failed"; return 1; }
    done
    sleep 0.05
  done
  echo "timed out after 60 s waiting for: $what" | tee "$S/failed"
  return 1
}

# ---- API calls of the cluster's own set-up -------------------------------------------------------------------------------

api() { # PATH CURL-OPTIONS...
  curl -s -m 10 --cacert "$S/pki/ca.crt" -H "@$S/pki/admin.header" "${@:2}" "https://$ADDR:$API_PORT$1"
}
apply() { # PATH, object on stdin
  local reply
  reply=$(api "$1?fieldManager=cluster&force=true" --fail-with-body -X PATCH -H 'Content-Type: application/apply-patch+yaml' --data-binary @-) ||
    { echo "applying $1 failed: $reply" | tee "$S/failed" >&2; return 1; }
}
