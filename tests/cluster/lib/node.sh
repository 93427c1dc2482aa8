# One real node: containerd, runc, bridge CNI and kubelet in a mount and pid namespace of their own. Sourced, never run.
# shellcheck shell=bash

node_vars() { # INDEX
  I=$1 NODE=node-$1 NODE_IP=10.88.0.$((1 + $1)) KUBELET_PORT=$((10250 + 100 * $1)) HEALTH_PORT=$((10248 + 100 * $1))
  FIRST_POD_IP=10.88.0.$((16 + 60 * $1)) LAST_POD_IP=10.88.0.$((75 + 60 * $1)) D=$S/n$1 NODE_CG=$CG/n$1
}

node_files() {
  mkdir -p "$D/cni" "$D/cd" "$D/kubelet"
  cat > "$D/cni/10-bridge.conflist" <<K
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "$BRIDGE", "isGateway": false, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "$D/cni-ipam", "routes": [{"dst": "0.0.0.0/0", "gw": "$ADDR"}],
            "ranges": [[{"subnet": "$POD_CIDR", "rangeStart": "$FIRST_POD_IP", "rangeEnd": "$LAST_POD_IP", "gateway": "$ADDR"}]]}}]}
K
  cat > "$D/containerd.toml" <<K
version = 3
root = "$D/cd/root"
state = "$D/cd/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$D/cd/c.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true    # without CAP_SYS_RESOURCE nothing may lower its oom_score_adj
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = "$LIBEXEC/runc"
        SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["$LIBEXEC/cni"]
    conf_dir = "$D/cni"
K
  cat > "$D/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false          # cgroup v1 hierarchies; the default (true) refuses to start
cgroupDriver: cgroupfs
cgroupRoot: /$NODE_CG
failSwapOn: false
containerRuntimeEndpoint: "unix://$D/cd/c.sock"
address: $NODE_IP
port: $KUBELET_PORT
healthzPort: $HEALTH_PORT
healthzBindAddress: 127.0.0.1
readOnlyPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true, cacheTTL: 5s}, x509: {clientCAFile: "$S/pki/ca.crt"}}
authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 5s, cacheUnauthorizedTTL: 1s}}
tlsCertFile: "$S/pki/$NODE.crt"
tlsPrivateKeyFile: "$S/pki/$NODE.key"
resolvConf: ""
clusterDNS: [$DNS]
clusterDomain: $DOMAIN
oomScoreAdj: 0               # no CAP_SYS_RESOURCE
maxOpenFiles: 16384
podLogsDir: "$D/pod-logs"
evictionHard: {memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%"}
imageGCHighThresholdPercent: 100
crashLoopBackOff: {maxContainerRestartPeriod: 1s}     # tests that kill a container ten times must not wait minutes
configMapAndSecretChangeDetectionStrategy: Watch
syncFrequency: ${KUBELET_SYNC:-2s}                    # a changed ConfigMap reaches its volume within about this time
nodeStatusUpdateFrequency: 4s
allowedUnsafeSysctls: [$(if [ "$I" = $((NODES - 1)) ] || [ "${UNSAFE_SYSCTLS_NODES:-last}" = all ]; then echo "${UNSAFE_SYSCTLS:-}"; fi)]
K
}

start_node() { # INDEX
  spawn "node-$1" unshare --mount --pid --fork --kill-child --mount-proc bash "$SELF" _node "$1"
}

# Process 1 of the node.
node_main() { # INDEX
  local d i
  node_vars "$1"
  PATH=$LIBEXEC:$PATH
  mount -t tmpfs tmpfs /run
  # /var/lib and /var/log are already the cluster's private overlays; these three paths are hard-wired in kubelet and CNI, one per node.
  mkdir -p /run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers
  for d in /var/lib/cni /var/lib/kubelet /var/log/containers; do mount -t tmpfs tmpfs "$d"; done
  ln -s "$D/cd/c.sock" /run/containerd/containerd.sock      # cadvisor looks only here; without it container metrics carry no pod labels
  mount --make-rshared /
  "$LIBEXEC/containerd" --config "$D/containerd.toml" > "$S/log/containerd-$I.log" 2>&1 &
  for ((i = 0; i < 200; i++)); do "$LIBEXEC/ctr" -a "$D/cd/c.sock" version > /dev/null 2>&1 && break; sleep 0.05; done
  for i in "$CLUSTER_CACHE"/images/*.tar; do import_image "$i"; done >> "$S/log/import-$I.log" 2>&1
  lap "$NODE: images imported" >> "$S/times"
  "$LIBEXEC/kubelet" "--config=$D/kubelet.yaml" "--kubeconfig=$D/kubeconfig" "--root-dir=$D/kubelet" "--cert-dir=$D/pki" \
    "--hostname-override=$NODE" "--node-ip=$NODE_IP" "--v=${KUBELET_V:-2}" > "$S/log/kubelet-$I.log" 2>&1 &
  wait -n || true
  lap "$NODE: containerd or kubelet ended" >> "$S/times"
  while :; do wait; sleep 1; done        # stay: the pods go on without their kubelet, as on a real node
}
import_image() { "$LIBEXEC/ctr" -a "$D/cd/c.sock" -n k8s.io images import --local "$1"; }
