#!/usr/bin/env bash
# The whole story on a real cluster: Grace under load misses its thresholds, a policy says what it needs, Trimtab writes it,
# the thresholds hold. Real containers, a real Prometheus, a real Alertmanager; nothing is downloaded but sources to compile.
#
#   demo.sh            run it: builds what is missing, then takes less than three minutes; a second run builds nothing
#   demo.sh images     only build the two images, and say how to push them
#   demo.sh down       remove what the demo left running
#
# Environment
#   PROFILE=dev        dev compiles quickly; release is what `make image` builds
#   CLUSTER=current    use the cluster of the current kubeconfig instead of one of its own, with
#     IMAGE=...          the operator's image, where that cluster can pull it
#     APP_IMAGE=...      Grace's image (default: grace-app beside IMAGE, with its tag)
#     PROMETHEUS=URL     a Prometheus, as seen from inside the cluster, that scrapes annotated pods with labels namespace and pod
#     ALERTMANAGER=URL   an Alertmanager, likewise
set -Eeuo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
profile=${PROFILE:-dev}
case $profile in dev) built=debug ;; release) built=release ;; *) echo "PROFILE=\"$profile\" is none of dev, release" >&2; exit 2 ;; esac
work=target/demo
system="trimtab-system"
current=
[ "${CLUSTER:-}" != current ] || current=yes
cluster() { CLUSTER_NAME=demo tests/cluster/cluster.sh "$@"; }

# ---- what people see

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m' clear=$'\r\e[K'; else bold='' dim='' plain='' clear=''; fi
steps=11 number=0 after_build=
step() { number=$((number + 1)); printf '\n%s[%2d/%d] %s%s\n' "$bold" $number $steps "$*" "$plain"; }
note() { printf '    %s\n' "$*"; }
indent() { sed 's/^/    /'; }
# Prints a command, and what it says. A command whose exit code carries an answer, as that of `plan`, is no failure.
show() {
  printf '    %s$ %s%s\n' "$dim" "${*//"$PWD/"/}" "$plain"
  { "$@" 2>&1 || [ $? = 1 ]; } | indent
}
# Waits for a condition, at most so many seconds, and shows that it does.
wait_for() { # SECONDS WHAT COMMAND...
  try_for "$@" || fail "gave up after $1 s of waiting until $2"
}
try_for() { # SECONDS WHAT COMMAND...: false when it gave up
  local limit=$1 what=$2 start=$SECONDS told=0 passed; shift 2
  until "$@" > /dev/null 2>&1; do
    passed=$((SECONDS - start))
    if [ $passed -ge "$limit" ]; then printf '%s' "$clear"; return 1; fi
    if [ -n "$clear" ]; then printf '%s    … %s: %d s' "$clear" "$what" $passed
    elif [ $((passed / 15)) -gt $told ]; then told=$((passed / 15)); note "… $what: $passed s"; fi
    sleep 0.3
  done
  printf '%s    ✓ %s (%d s)\n' "$clear" "$what" $((SECONDS - start))
}
fail() {
  trap - ERR
  [ $BASHPID = $$ ] || exit 1       # in a pipe: the shell around it tells
  printf '\n%sthe demo stopped: %s%s\n' "$bold" "$*" "$plain" >&2
  if [ -n "$after_build" ] && kubectl version > /dev/null 2>&1; then
    { echo; echo "policies:"; "$trimtab" status --all-namespaces; "$trimtab" status -n grace grace
      echo; echo "pods:"; kubectl get pods --all-namespaces
      echo; echo "the operator's last lines:"; kubectl -n $system logs -l app.kubernetes.io/name=trimtab --prefix --tail=15
      echo; echo "the last events:"; kubectl get events --all-namespaces --sort-by=.lastTimestamp | tail -n 8
    } 2>&1 | indent >&2 || true
    [ -n "$current" ] || printf '\nThe cluster still runs. To look around: eval "$(CLUSTER_NAME=demo tests/cluster/cluster.sh env)"\nTo end it: make demo-down\n' >&2
  fi
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# ---- commands

# In a cluster of somebody's the demo touches only namespaces that it made: they carry the label from their first moment on.
# Of a namespace: gone, ours or theirs.
whose() {
  local found
  found=$(kubectl get namespace "$1" --ignore-not-found -o 'jsonpath={.metadata.name} {.metadata.labels.demo}') || return
  case $found in '' | ' ') echo gone ;; "$1 trimtab") echo ours ;; *) echo theirs ;; esac
}
end_in_current_cluster() {
  local namespace owner kept=
  for namespace in grace $system; do
    owner=$(whose $namespace) || return 1
    case $owner in
      ours)
        # The operator goes after what it governs, and its release before its namespace.
        if [ $namespace = $system ]; then helm -n $system uninstall trimtab --ignore-not-found --wait || return 1; fi
        kubectl delete namespace $namespace || return 1 ;;
      theirs)
        kept=yes
        echo "namespace \"$namespace\" stays as it is: it is not the demo's, because it has no label demo=trimtab" >&2 ;;
    esac
  done
  [ -z "$kept" ]
}
case "${1:-up}" in
  up | images) ;;
  down)
    if [ -n "$current" ]; then end_in_current_cluster || exit 1; else cluster down > /dev/null; fi
    rm -rf "$work"
    echo "the demo is gone; its build and images stay in target/"
    exit ;;
  *) sed -n '2,/^set -E/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2; exit 2 ;;
esac

# ---- what the machine must have

alternatives() {
  cat >&2 <<'K'

Without root, Go or cgroup v1 there are two ways on:

  cargo run -- plan -f examples/grace -f examples/grace/repaired
                                                 what the policy would change, from files, without a cluster
  make demo CLUSTER=current IMAGE=registry.example.com/trimtab:0.1.0 PROMETHEUS=http://prometheus.monitoring:9090
                                                 in the cluster of your kubeconfig, with images that you pushed there;
                                                 examples/grace/demo.sh images builds them
K
}
prerequisites() {
  local command answer namespace
  if [ -n "$current" ]; then
    for command in kubectl helm jq curl; do
      command -v $command > /dev/null || { echo "\"$command\" is missing; the demo in a cluster of yours needs kubectl, helm, jq and curl" >&2; exit 1; }
    done
    [ -n "${IMAGE:-}" ] || { echo "IMAGE is not set: where can the cluster pull the operator's image? examples/grace/demo.sh images builds it, and says how to push it" >&2; exit 2; }
    kubectl version > /dev/null || { echo "kubectl reaches no cluster; set KUBECONFIG" >&2; exit 1; }
    for namespace in grace $system; do
      answer=$(whose $namespace) || exit 1
      if [ "$answer" = theirs ]; then
        echo "namespace \"$namespace\" exists and is not the demo's: it has no label demo=trimtab; use another cluster" >&2
        exit 1
      fi
    done
  elif ! answer=$(tests/cluster/doctor.sh); then
    printf 'The cluster of the demo needs something that this machine lacks:\n\n%s\n' "$answer" >&2
    alternatives
    exit 1
  fi
}

need() { # COMMAND WHERE
  command -v "$1" > /dev/null || { echo "\"$1\" is missing: $2" >&2; exit 1; }
}

# ---- building

binaries() {
  local target=${CARGO_TARGET_DIR:-target}
  # In one call, so that both share their dependencies.
  cargo build --locked --profile "$profile" --bin trimtab --example grace-app
  trimtab=$(readlink -f "$target/$built/trimtab")
  application=$(readlink -f "$target/$built/examples/grace-app")
}
# An image is written again only when its program has changed.
image() { # NAME PROGRAM [FILE:PATH...]
  local name=$1 program=$2 archive=target/image/demo-$1.tar; shift 2
  if [ -s "$archive" ] && [ "$(cat "$archive.of" 2> /dev/null)" = "$(sha256sum < "$program")" ]; then return; fi
  PROFILE=$profile OUT=$archive BINARY=$program EXTRA=$* tests/cluster/image.sh "$name" > "$archive.log" 2>&1 || { cat "$archive.log" >&2; return 1; }
  sha256sum < "$program" > "$archive.of"
}
static_busybox() {
  local busybox
  busybox=$(command -v busybox || true)
  if [ -n "$busybox" ] && ! ldd "$busybox" > /dev/null 2>&1; then echo "$busybox"; return; fi
  if ! { command -v apt-get && command -v dpkg; } > /dev/null; then echo "a static \"busybox\" is missing: Grace's image takes env and cat from it; install busybox-static" >&2; return 1; fi
  echo "$(tests/cluster/build.sh debian)"/.families/debian/root/*bin/busybox
}
images() {
  local busybox
  mkdir -p target/image
  image trimtab "$trimtab"
  # Grace's image has nothing but its program; `env` and `cat` let people look around inside.
  busybox=$(static_busybox) || return
  image grace-app "$application" "$busybox:/bin/env" "$busybox:/bin/cat"
}

need cargo "see https://rustup.rs"
if [ "${1:-up}" = images ]; then
  # Neither a cluster nor what the demo's own cluster asks of a machine: that would send people round in a circle.
  need python3 "it writes the images; install python3"
  binaries
  images
  cat target/image/demo-trimtab.tar.log target/image/demo-grace-app.tar.log
  exit
fi
prerequisites
[ -z "$current" ] || steps=9
mkdir -p "$work"

step "build: the operator, the command line and Grace (profile $profile)"
[ -n "$current" ] || tests/cluster/build.sh debian images kubernetes containerd runc cni coredns prometheus alertmanager helm > /dev/null
binaries
[ -n "$current" ] || images
note "built in $SECONDS s"
after_build=$SECONDS

# ---- the cluster

if [ -z "$current" ]; then
  step "cluster: Kubernetes with three nodes, Prometheus and Alertmanager"
  if cluster env > /dev/null 2>&1; then
    note "it is still up from the last run"
  else
    NODES=3 PROM=1 cluster up > "$work/cluster.log" || { cat "$work/cluster.log" >&2; fail "the cluster did not start"; }
    tail -n 1 "$work/cluster.log" | indent
  fi
  eval "$(cluster env)"
  export HELM_CONFIG_HOME=$PWD/$work/helm HELM_CACHE_HOME=$PWD/$work/helm HELM_DATA_HOME=$PWD/$work/helm
  prometheus=http://prometheus.monitoring:9090 alertmanager=http://alertmanager.monitoring:9093
  repository=localhost/trimtab tag='' pull=Never app_image='' seen_alertmanager=$CLUSTER_ALERTMANAGER

  step "images: into every node, without a registry"
  for archive in target/image/demo-trimtab.tar target/image/demo-grace-app.tar; do
    if cmp -s "$archive.of" "$CLUSTER_DIR/$(basename "$archive").of"; then note "$archive is there already"; continue; fi
    cluster image "$archive" > "$work/image.log" 2>&1 || { cat "$work/image.log" >&2; fail "importing \"$archive\" failed"; }
    cp "$archive.of" "$CLUSTER_DIR/"
    note "$archive, $(($(stat -c %s "$archive") / 1048576)) MiB"
  done
else
  prometheus=${PROMETHEUS:-} alertmanager=${ALERTMANAGER:-} seen_alertmanager=${ALERTMANAGER:-}
  repository=${IMAGE%:*} tag=${IMAGE##*:} pull=IfNotPresent
  [ "${IMAGE##*/}" != "${repository##*/}" ] || { repository=$IMAGE tag=''; }
  app_image=${APP_IMAGE:-${repository%/*}/grace-app${tag:+:$tag}}
fi
PATH=$(dirname "$trimtab"):$PATH

grace() { kubectl -n grace "$@"; }
# What a policy's condition says, once the operator has seen the policy's newest generation.
condition() { # TYPE STATUS
  [ "$(grace get performancepolicy grace -o jsonpath="{.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type==\"$1\")].status}" |
    awk '$1 == $2 { print $3 }')" = "$2" ]
}
applied() { condition Applied True && ! condition Reconciling True && grace rollout status deployment/grace-api --timeout=1s; }
template() { grace get deployment grace-api -o jsonpath='{.spec.template.spec.containers[0]}'; }
replica_sets() { grace get replicasets -l app=grace-api -o name | wc -l; }
alerts() { curl -fsS -m 5 -G "$seen_alertmanager/api/v2/alerts" --data-urlencode 'filter=namespace="grace"' --data-urlencode 'filter=policy="grace"'; }
alert_is_there() { [ "$(alerts | jq length)" -gt 0 ]; }
alert_is_gone() { [ "$(alerts | jq length)" = 0 ]; }
show_alerts() {
  note "Alertmanager says:"
  alerts | jq -r '.[] | "  \(.labels.alertname)  \(.labels.severity)  \(.labels.threshold)  \(.labels.target_kind)/\(.labels.target)  team=\(.labels.team)", "    \(.annotations.summary // .annotations.description // "")"' | indent
}

step "operator: helm install, two replicas, the chart's own rights"
settings=(--set "image.repository=$repository" --set "image.pullPolicy=$pull" --set "podAnnotations.demo=$(cut -c1-16 target/image/demo-trimtab.tar.of 2> /dev/null || echo current)")
[ -z "$tag" ] || settings+=(--set-string "image.tag=$tag")
[ -z "$prometheus" ] || settings+=(--set "prometheus.url=$prometheus" --set prometheus.interval=2s)
[ -z "$alertmanager" ] || settings+=(--set "prometheus.alertmanagers={$alertmanager}")
# Before anything is in it: after a failure the next run, and `down`, know it again.
[ "$(whose $system)" != gone ] || kubectl create -f - <<< "{apiVersion: v1, kind: Namespace, metadata: {name: $system, labels: {demo: trimtab}}}" > /dev/null
helm upgrade --install trimtab charts/trimtab --namespace $system "${settings[@]}" --wait --timeout 120s > "$work/helm.log" 2>&1 || { cat "$work/helm.log" >&2; fail "helm could not install the chart"; }
show kubectl -n $system get deployment

step "Grace: two pods with one process and two connections each, and 100 requests per second"
if [ -n "$(kubectl get namespace grace --ignore-not-found -o name)" ]; then
  kubectl delete namespace grace --wait=false > /dev/null
  wait_for 90 "the Grace of the last run is gone" eval '[ -z "$(kubectl get namespace grace --ignore-not-found -o name)" ]'
fi
for file in app load; do
  sed -E '/^kind: Namespace/,/^---/s#( labels: \{)#\1demo: trimtab, #' "$here/$file.yaml" > "$work/$file.yaml"
  [ -z "$app_image" ] || sed -i -E "s#image: localhost/grace-app:.*#image: $app_image#; s#imagePullPolicy: Never#imagePullPolicy: IfNotPresent#" "$work/$file.yaml"
  kubectl apply -f "$work/$file.yaml" > /dev/null
done
wait_for 90 "Grace and its load run" grace rollout status deployment/grace-api deployment/load --timeout=1s

step "policy: the Grace guide, in mode Recommend: it measures, alerts and plans, and writes nothing"
sed -E -e 's/^( *mode:) Enforce/\1 Recommend/' -e 's/(statistic: p95)\}/\1, window: 20s, minSamples: 20}/' -e 's/(statistic: [a-z0-9]+)\}/\1, window: 20s}/' -e 's/for: [0-9]+m/for: 4s/' "$here/repaired/policy.yaml" > "$work/policy.yaml"
note "the demo is in a hurry: it overlays window (20s, which is enough for 20 samples), and for (4s) of examples/grace/repaired/policy.yaml, and the operator's interval (2s); nothing else"
before=$(template)
kubectl apply -f "$here/repaired/budget.yaml" -f "$work/policy.yaml" | indent
if [ -n "$prometheus" ]; then
  wait_for 90 "a threshold is breached" condition Compliant False
  if [ -n "$seen_alertmanager" ]; then
    wait_for 30 "Alertmanager has an alert" alert_is_there
    show_alerts
  fi
else
  note "without PROMETHEUS there is nothing to measure: the thresholds report NoData"
  wait_for 30 "the policy is accepted" condition Ready True
fi
show trimtab status -n grace grace
[ "$(template)" = "$before" ] || fail "something was written in mode Recommend"
note "the Deployment is as it was: $(replica_sets) ReplicaSet, no value changed"
show trimtab plan --live -f "$work/policy.yaml"

step "mode: Enforce"
sed -i -E 's/^( *mode:) Recommend/\1 Enforce/' "$work/policy.yaml"
kubectl apply -f "$work/policy.yaml" | indent
wait_for 90 "every value is written and rolled out" applied
note "$(replica_sets) ReplicaSets: everything went into one rollout"

step "proof: what the processes in the container see"
inside() { grace exec deployment/grace-api -- "$@"; }
show_inside() { # PATTERN COMMAND...
  local pattern=$1; shift
  printf '    %s$ kubectl -n grace exec deployment/grace-api -- %s%s\n' "$dim" "$*" "$plain"
  inside "$@" | grep -E "$pattern" | indent
}
show_inside '^(WEB_|DB_|TRUST|METRICS_|REFLECTION)' env
value() { inside cat /etc/grace/config.yaml | grep -q 'queryLimit: 50'; }
wait_for 60 "the edited document has reached the container's file" value
show_inside 'queryLimit|gzipMinimumSize' cat /etc/grace/config.yaml
memory=/sys/fs/cgroup/memory/memory.limit_in_bytes
inside cat $memory > /dev/null 2>&1 || memory=/sys/fs/cgroup/memory.max    # cgroup v2
show_inside . cat $memory
if [ -n "$prometheus" ]; then
  if try_for 60 "every threshold holds" condition Compliant True; then
    if [ -n "$seen_alertmanager" ]; then wait_for 30 "Alertmanager has resolved the alerts" alert_is_gone; fi
  else
    # No policy makes up for a machine that has no time for the application.
    note "still breached after 60 s: $(trimtab status -n grace grace | grep Breached | tail -n 1 | sed 's/  */ /g')"
    note "is this machine busy? load $(cut -d' ' -f1 /proc/loadavg) on $(nproc) cores; the demo goes on"
  fi
fi

step "a change: three knobs at once"
sets=$(replica_sets)
sed -i -E -e 's/size: \{value: 20,/size: {value: 24,/' -e 's/overflow: \{value: 10,/overflow: {value: 6,/' -e 's/ttl: \{value: 1h,/ttl: {value: 30m,/' "$work/policy.yaml"
show trimtab plan --live -f "$work/policy.yaml"
kubectl apply -f "$work/policy.yaml" | indent
wait_for 90 "every value is written and rolled out" applied
now=$(replica_sets)
note "ReplicaSets: $sets before, $now after"
[ "$now" = $((sets + 1)) ] || fail "three knobs made $((now - sets)) rollouts instead of one"

step "who decided what: explain"
show trimtab explain -n grace deploy/grace-api
show trimtab status -n grace grace

step "removal: the policy goes, the values stay, and nobody owns them"
managers() { grace get deployment grace-api --show-managed-fields -o json | jq -r '[.metadata.managedFields[].manager] | unique | join(", ")'; }
annotations() { grace get deployment grace-api -o json | jq -r '[(.metadata.annotations, .spec.template.metadata.annotations) // {} | keys[]] | join(", ")'; }
no_trace() { local all; all="$(managers) $(annotations)"; [[ $all != *trimtab* ]]; }
note "managers before:     $(managers)"
sets=$now
grace delete performancepolicy grace | indent
wait_for 90 "nothing of ours is left on the Deployment" no_trace
note "managers after:      $(managers)"
note "annotations after:   $(annotations)"
[ "$(replica_sets)" = "$sets" ] || fail "the removal caused a rollout"
note "ReplicaSets: $sets before, $(replica_sets) after; DB_POOL_SIZE is still $(inside env | sed -n 's/^DB_POOL_SIZE=//p')"

printf '\n%sDone in %d s, %d of them after the build.%s\n' "$bold" $SECONDS $((SECONDS - after_build)) "$plain"
printf '\nGrace and its load still run. What to look at next:\n\n'
# shellcheck disable=SC2016  # for the reader's shell
[ -n "$current" ] || printf '  eval "$(CLUSTER_NAME=demo tests/cluster/cluster.sh env)"\n'
cat <<K
  kubectl apply -f $work/policy.yaml                 # govern it again; edit the file and watch
  kubectl -n grace get performancepolicy -o wide --watch
  kubectl -n grace rollout undo deployment/grace-api    # Trimtab notices, and holds; then: trimtab resume -n grace grace
  kubectl explain performancepolicy.spec
K
[ -n "$current" ] || printf '  open %s and %s\n' "$CLUSTER_PROMETHEUS" "$CLUSTER_ALERTMANAGER"
printf '\nTo end it: make demo-down%s\n' "${current:+ CLUSTER=current}"
