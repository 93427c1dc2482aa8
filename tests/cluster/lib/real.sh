# The real cluster: one private set of namespaces (net, mount, pid, ipc, uts), seen from inside and from outside. Sourced, never run.
# shellcheck shell=bash

# ---- outside -----------------------------------------------------------------------------------------------------------

real_alive() { local p; p=$(cat "$S/pid" 2> /dev/null) && [ -e "/proc/$p/ns/pid" ] && [ "$(readlink "/proc/$p/ns/net")" = "$(cat "$S/netns" 2> /dev/null)" ]; }

# Exit 77 with the reason where a real cluster cannot run. Needs the tools only when they are built.
real_preflight() {
  local c
  no() { echo "a real cluster is impossible here: $*" >&2; exit 77; }
  [ "$(id -u)" = 0 ] || no "not root; run as root, or use MODE=kwok for a control plane with simulated nodes"
  if [ "$(stat -fc %T /sys/fs/cgroup 2> /dev/null)" = cgroup2fs ]; then no "this machine uses cgroup v2 only, which is unsupported so far (cgroup v1 cpu and memory hierarchies are needed)"; fi
  [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] && [ -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ] || no "no cgroup v1 hierarchies for cpu and memory"
  grep -qw overlay /proc/filesystems || no "the kernel has no overlayfs; load the module \"overlay\""
  for c in curl openssl python3 ip nsenter setpriv unshare setsid; do command -v "$c" > /dev/null || no "command \"$c\" is missing; see tests/cluster/doctor.sh"; done
  unshare -mpnfiu --mount-proc sh -ec '
    mount -t tmpfs t /mnt; mount -t sysfs s /sys; ip link add a0 type veth peer name b0; ip link add c0 type bridge
    echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables' 2> /dev/null ||
    no "cannot unshare namespaces with mounts, veth, bridge (module br_netfilter) and forwarding"
  if [ -x "$LIBEXEC/nft" ]; then unshare -n "$LIBEXEC/nft" add table inet t 2> /dev/null || no "cannot use nftables in a network namespace"; fi
  mkdir "/sys/fs/cgroup/memory/$CG.try" 2> /dev/null && rmdir "/sys/fs/cgroup/memory/$CG.try" || no "cannot create memory cgroups"
}

remove_cgroups() { # NAME: true when none is left
  local h i
  for h in /sys/fs/cgroup/*/; do
    for ((i = 0; i < 60; i++)); do
      [ -d "$h$1" ] || break
      find "$h$1" -depth -type d -exec rmdir {} + 2> /dev/null || sleep 0.05
    done
  done
  [ -z "$(ls -d /sys/fs/cgroup/*/"$1" 2> /dev/null)" ]
}

# Lives outside, waits for the cluster to end (however it ends) and removes its cgroups; if it is killed, the cluster ends too.
real_janitor() {
  local i h f d u p=
  echo $BASHPID > "$S/janitor.pid"
  for ((i = 0; i < NODES; i++)); do
    node_vars "$i"
    for h in cpu cpuacct cpuset memory devices freezer blkio pids systemd hugetlb unified; do
      [ ! -d "/sys/fs/cgroup/$h" ] || mkdir -p "/sys/fs/cgroup/$h/$NODE_CG"
    done
    for f in cpus mems; do for d in "$CG" "$NODE_CG"; do cat "/sys/fs/cgroup/cpuset/cpuset.$f" > "/sys/fs/cgroup/cpuset/$d/cpuset.$f"; done; done
  done
  setpriv --pdeathsig KILL unshare --net --mount --pid --ipc --uts --fork --kill-child --mount-proc bash "$SELF" _init > "$S/log/init.log" 2>&1 & u=$!
  while [ -z "$p" ] && running "$u"; do p=$(tr -d ' ' < "/proc/$u/task/$u/children" 2> /dev/null) || p=; sleep 0.01; done
  if [ -n "$p" ]; then
    while running "$u" && [ "$(readlink "/proc/$p/ns/net" 2> /dev/null)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
    readlink "/proc/$p/ns/net" > "$S/netns"; echo "$u" > "$S/unshare.pid"; echo "$p" > "$S/pid"
    start_relay "$p"
  fi
  watch_owner "$u" &
  wait "$u" || true
  [ ! -e "$S/relay.pid" ] || kill "$(cat "$S/relay.pid")" 2> /dev/null || true
  remove_cgroups "$CG" && rm -f "$S/pid"
  touch "$S/ended"
}
watch_owner() { # PID: end it when CLUSTER_OWNER has ended
  [ -n "${CLUSTER_OWNER:-}" ] || return 0
  while running "$CLUSTER_OWNER" && running "$1"; do sleep 0.3; done
  kill -KILL "$1" 2> /dev/null || true
}

# The ports of the cluster on the machine's loopback, so that kubectl works from outside too.
start_relay() { # PID-OF-INIT
  setpriv --pdeathsig KILL python3 "$HERE/relay.py" "$S/relay.ports" "/proc/$1/ns/net" \
    "api=$ADDR:$API_PORT" "prometheus=$ADDR:$PROM_PORT" "alertmanager=$ADDR:$AM_PORT" > "$S/log/relay.log" 2>&1 < /dev/null &
  echo $! > "$S/relay.pid"
}

real_exec() {
  real_alive || { echo "cluster $CLUSTER_NAME is not up" >&2; return 3; }
  local p; p=$(cat "$S/pid")
  PATH=$BIN:$PATH KUBECONFIG=$S/kubeconfig CLUSTER_PID=$p CLUSTER_MODE=real CLUSTER_DIR=$S CLUSTER_API=https://$ADDR:$API_PORT CLUSTER_CA=$S/pki/ca.crt \
    CLUSTER_PROMETHEUS=http://$ADDR:$PROM_PORT CLUSTER_ALERTMANAGER=http://$ADDR:$AM_PORT CLUSTER_AUDIT=${AUDIT:+$S/log/audit.log} \
    exec nsenter -t "$p" -n -m -p -i -u -- setpriv --pdeathsig KILL /bin/sh -c 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"' sh "$PWD" "$@"
}
real_env() {
  real_alive || { echo "cluster $CLUSTER_NAME is not up" >&2; return 3; }
  local p; p=$(cat "$S/pid")
  local api prometheus alertmanager
  # shellcheck source=/dev/null
  . "$S/relay.ports"
  env_line KUBECONFIG "$S/host.kubeconfig"
  env_line CLUSTER_PID "$p"
  env_line CLUSTER_NETNS "/proc/$p/ns/net"
  env_line CLUSTER_API "https://127.0.0.1:$api"
  [ -z "$PROM" ] || { env_line CLUSTER_PROMETHEUS "http://127.0.0.1:$prometheus"; env_line CLUSTER_ALERTMANAGER "http://127.0.0.1:$alertmanager"; }
}
real_image() { # FILE.tar...
  local t d
  for t in "$@"; do
    t=$(readlink -f "$t") || die "image archive \"$1\" does not exist"
    for d in "$S"/n[0-9]*; do (real_exec "$LIBEXEC/ctr" -a "$d/cd/c.sock" -n k8s.io images import --local "$t"); done
  done
}
real_down() {
  local p i
  if real_alive; then
    p=$(cat "$S/unshare.pid" 2> /dev/null) || p=$(cat "$S/pid")
    kill -KILL "$p" 2> /dev/null || true
  fi
  p=$(cat "$S/janitor.pid" 2> /dev/null) || p=
  for ((i = 0; i < 200; i++)); do
    [ -n "$p" ] && [ ! -e "$S/ended" ] && running "$p" || break
    sleep 0.05
  done
  remove_cgroups "$CG" || die "cgroups of \"$CG\" are still in use; a process of the cluster is left"
  rm -rf "$S"
}

# ---- inside: process 1 of the cluster ----------------------------------------------------------------------------------

# A /sys of this network namespace; /run, /var/lib and /var/log private, so that nothing is written outside the state directory.
private_mounts() {
  local d
  mount -t tmpfs tmpfs /mnt; mkdir /mnt/cg /mnt/{lib,log}{,w}
  mount --rbind /sys/fs/cgroup /mnt/cg; mount -t sysfs sysfs /sys; mount --rbind /mnt/cg /sys/fs/cgroup; umount -l /mnt/cg
  for d in lib log; do mount -t overlay -o "lowerdir=/var/$d,upperdir=/mnt/$d,workdir=/mnt/${d}w" overlay "/var/$d"; done
  umount -l /mnt
  printf 'nameserver %s\nsearch default.svc.%s svc.%s %s\noptions ndots:5\n' "$DNS" "$DOMAIN" "$DOMAIN" "$DOMAIN" > "$S/resolv.conf"
  mount --bind "$S/resolv.conf" "$(readlink -f /etc/resolv.conf)"
  mount -t tmpfs tmpfs /run
}

# One bridge, routed inside this namespace only; no way out.
private_network() {
  local i
  ip link set lo up
  ip link add "$BRIDGE" type bridge forward_delay 0; ip link set "$BRIDGE" up
  for ((i = 0; i < NODES; i++)); do node_vars "$i"; ip addr add "$NODE_IP/24" dev "$BRIDGE"; done
  ip route add "$SERVICE_CIDR" dev "$BRIDGE" src "$ADDR"     # local processes need some route before kube-proxy's rules see the packet
  echo 1 > /proc/sys/net/ipv4/ip_forward
  echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables       # replies between two pods of the bridge must meet conntrack
  # A pod that reaches itself through a ClusterIP must be masqueraded; the one kube-proxy does that for the pods of its own node only.
  if [ "$NODES" -gt 1 ]; then
    { echo 'table ip trimtab { set hairpin { type ipv4_addr . ipv4_addr; elements = {'
      for ((i = 76; i < 256; i++)); do echo "10.88.0.$i . 10.88.0.$i,"; done
      echo '} }; chain post { type nat hook postrouting priority 90; ip saddr . ip daddr @hairpin masquerade; }; }'; } | "$LIBEXEC/nft" -f -
  fi
}

start_proxy_and_dns() {
  cat > "$S/kube-proxy.yaml" <<K
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: "$S/kube-proxy.kubeconfig"}
hostnameOverride: node-0
clusterCIDR: $POD_CIDR
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nftables: {minSyncPeriod: 100ms, syncPeriod: 30s}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}   # those sysctls belong to the machine
K
  cat > "$S/Corefile" <<K
.:53 {
  bind $ADDR
  errors
  health 127.0.0.1:8080
  ready 127.0.0.1:8181
  kubernetes $DOMAIN in-addr.arpa ip6.arpa {
    kubeconfig $S/coredns.kubeconfig $CLUSTER_NAME
    pods insecure
    ttl 5
  }
  cache 5
}
K
  spawn kube-proxy "$LIBEXEC/kube-proxy" "--config=$S/kube-proxy.yaml"
  cluster_role coredns '[{apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}, {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}]'
  bind_cluster_role coredns kube-system
  external_service kube-system kube-dns "$DNS" '{name: dns, port: 53, protocol: UDP}' '{name: dns-tcp, port: 53, protocol: TCP}'
  spawn coredns "$LIBEXEC/coredns" -conf "$S/Corefile" -dns.port 53
}

cluster_role() { # NAME RULES
  apply "/apis/rbac.authorization.k8s.io/v1/clusterroles/$1" <<< "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: $1}, rules: $2}"
}
bind_cluster_role() { # NAME NAMESPACE: to the ServiceAccount of the same name
  apply "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/$1" <<< "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: $1}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: $1}, subjects: [{kind: ServiceAccount, name: $1, namespace: $2}]}"
}
# A Service whose only endpoint is a process of ours beside the pods.
external_service() { # NAMESPACE NAME CLUSTER-IP|"" PORT...
  local ns=$1 name=$2 ip=${3:+"clusterIP: $3, "} ports; shift 3
  ports=$(IFS=,; echo "$*")
  apply "/api/v1/namespaces/$ns/services/$name" <<< "{apiVersion: v1, kind: Service, metadata: {name: $name, namespace: $ns}, spec: {${ip}ports: [$ports]}}"
  apply "/apis/discovery.k8s.io/v1/namespaces/$ns/endpointslices/$name" <<< "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {name: $name, namespace: $ns, labels: {kubernetes.io/service-name: $name}}, endpoints: [{addresses: [$ADDR], conditions: {ready: true}}], ports: [$ports]}"
}

vip_ready() { [ "$(curl -s -m 1 --cacert "$S/pki/ca.crt" "https://$SERVICE_API/readyz")" = ok ]; }
dns_ready() { [ "$(curl -s -m 1 --cacert "$S/pki/ca.crt" https://kubernetes.default.svc/readyz)" = ok ]; }

real_init() {
  local i api
  cd /
  PATH=$LIBEXEC:$PATH
  private_mounts
  private_network
  hostname "$CLUSTER_NAME"
  start_etcd
  make_pki; lap "certificates" >> "$S/times"
  for ((i = 0; i < NODES; i++)); do node_vars "$i"; node_files; done
  make_credentials
  start_apiserver
  for ((i = 0; i < NODES; i++)); do start_node "$i"; done
  wait_for "API server ready" api_ready
  start_controllers
  start_proxy_and_dns
  [ -z "$PROM" ] || start_prometheus
  wait_for "$NODES node(s) Ready" nodes_ready "$NODES"
  wait_for "default ServiceAccount" account_ready
  wait_for "ClusterIP of the API server answers (kube-proxy)" vip_ready
  wait_for "kubernetes.default.svc answers (CoreDNS)" dns_ready
  [ "$KWOK_NODES" = 0 ] || kwok_beside
  [ -z "$PROM" ] || wait_for_prometheus
  wait_for "relay on the machine's loopback" test -s "$S/relay.ports"
  # shellcheck source=/dev/null
  . "$S/relay.ports"
  make_kubeconfig "$S/host.kubeconfig" admin "127.0.0.1:$api"
  touch "$S/ready"
  while :; do wait; sleep 1; done
}
