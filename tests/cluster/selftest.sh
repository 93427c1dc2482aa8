#!/usr/bin/env bash
# Every claim of README.md, against clusters of its own. Exit code 0: all held; 1: one did not; 77: a real cluster is impossible here.
#   selftest.sh [real|kwok]...       (default: both)
set -uo pipefail
here=$(dirname "$(readlink -f "$0")") cl=$(dirname "$(readlink -f "$0")")/cluster.sh
work=$(mktemp -d) failed=0
"$here/build.sh" kubernetes helm prometheus > /dev/null || exit 1     # kubectl, helm and promtool are used here
unset KUBECONFIG CLUSTER_CACHE CLUSTER_DIR CLUSTER_OWNER
export CLUSTER_NAME=${CLUSTER_NAME:-selftest}
base=$CLUSTER_NAME
trap 'CLUSTER_NAME=$base "$cl" down > /dev/null 2>&1; CLUSTER_NAME=${base}2 "$cl" down > /dev/null 2>&1; rm -rf "$work"' EXIT

inside() { "$cl" exec -- "$@"; }
claim() { # TEXT COMMAND...
  local text=$1 start; shift; start=$(date +%s%3N)
  if "$@" > "$work/out" 2>&1; then printf 'ok   %6d ms  %s\n' $(($(date +%s%3N) - start)) "$text"
  else printf 'FAIL             %s\n' "$text"; sed 's/^/       /' "$work/out" | tail -n 15; failed=1; fi
}
within() { # SECONDS COMMAND...: until it holds
  local end=$((SECONDS + $1)); shift
  until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done
}
is() { [ "$1" = "$2" ] || { echo "want \"$2\", got \"$1\""; return 1; }; }
prom_has() { inside sh -c 'curl -sG "$CLUSTER_PROMETHEUS/api/v1/query" --data-urlencode "query=$0"' "$1" | jq -e '.data.result | length > 0' > /dev/null; }

api_claims() { # both modes
  outside() { (eval "$("$cl" env)"; "$@"); }
  version_is() { is "$(outside kubectl version -o json | jq -r .serverVersion.gitVersion)" "$(cd "$here/tools/kubernetes" && GOFLAGS="" GOTOOLCHAIN=local go list -m -f '{{.Version}}' k8s.io/kubernetes)"; }
  claim "kubectl from outside, by the lines of \`env\`; the server has the pinned version" version_is
  exit_code() { inside sh -c 'exit 7'; is $? 7; }
  claim "exec passes the exit code" exit_code
  answers() { is "$(outside curl -s --cacert "$1" "$2/readyz" -o /dev/null -w '%{http_code}')" "$3"; }
  (eval "$("$cl" env)"; echo "$CLUSTER_CA $CLUSTER_API $CLUSTER_PROMETHEUS" > "$work/env"); read -r ca url prom < "$work/env"
  claim "a stranger on the machine's loopback gets no further than /readyz" is "$(curl -s --cacert "$ca" -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer admintoken' "$url/api/v1/pods")" 401
  claim "Prometheus answers outside" curl -s --fail "$prom/-/ready"
  audited() { is "$(inside sh -c 'cat "$CLUSTER_AUDIT"' | jq -rs 'map(select(.user.username == "admin" and .verb == "create" and .objectRef.resource == "configmaps" and .objectRef.name == "audited")) | map(.responseStatus.code) | join(",")')" 201; }
  claim "create an object" inside kubectl create configmap audited
  claim "the audit log tells who did what, and the result" within 5 audited
  inside kubectl create deployment scaled --image=none --replicas=0 > /dev/null
  claim "a HorizontalPodAutoscaler is created" inside kubectl autoscale deployment scaled --max=3 --cpu=50%
  hpa_wrote() { inside sh -c 'cat "$CLUSTER_AUDIT"' | jq -es 'any(.user.username == "system:serviceaccount:kube-system:horizontal-pod-autoscaler" and .objectRef.subresource == "status")'; }
  claim "the log tells the HPA controller from the others" within 20 hpa_wrote
  inside kubectl delete deployment,hpa scaled > /dev/null
}
outage_claims() {
  claim "API server killed" "$cl" stop kube-apiserver KILL
  claim "it is gone" eval '! inside kubectl get ns'
  port=$(inside sh -c 'echo "${CLUSTER_API##*:}"')
  inside python3 -c 'import os, socket, sys, time
held = socket.create_server(("", int(sys.argv[1]))); open(sys.argv[2], "w").close()
while os.path.exists(sys.argv[2]): time.sleep(0.1)' "$port" "$work/held" &
  holder=$!
  within 10 test -e "$work/held"
  says_why() { ! "$cl" start kube-apiserver 2> "$work/why" && grep "ended again: .*address already in use" "$work/why"; }
  claim "one that ends again is told, with the reason" says_why
  rm -f "$work/held"; wait $holder
  claim "API server started again" "$cl" start kube-apiserver
  claim "it answers" inside kubectl get ns
}

real() {
  local vip pod dir2
  MODE=real "$cl" check > /dev/null || exit $?
  "$here/selftest/snapshot.sh" "$base" > "$work/before"
  claim "up" env MODE=real PROM=1 AUDIT=1 ALERT_WEBHOOK=http://10.88.0.1:9999/ "$cl" up
  sed 's/^/                   /' "$work/out"
  (cd "$here/selftest/client" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local go build -trimpath -ldflags '-s -w' -o "$work/client" .) || exit 1
  python3 "$here/mkimages.py" one --user 65532 "$work/client.tar" localhost/client:1 /client "$work/client:/client" || exit 1
  claim "image imported" "$cl" image "$work/client.tar"
  api_claims
  claim "client applied" inside kubectl apply -f "$here/selftest/client.yaml"
  claim "client ready" inside kubectl rollout status deploy/client --timeout=60s
  claim "client in a pod: CA, token, RBAC, DNS" inside kubectl exec deploy/client -- /client once
  claim "helm install --wait" inside helm install web "$here/selftest/chart" --wait --timeout 60s
  claim "helm upgrade --wait" inside helm upgrade web "$here/selftest/chart" --wait --timeout 60s --set env.GOMAXPROCS=5
  vip=$(inside kubectl get service web -o jsonpath='{.spec.clusterIP}') pod=$(inside kubectl get pod -l app=web -o json | jq -r 'first(.items[] | select(.metadata.deletionTimestamp == null)).status.podIP')
  page() { is "$(inside curl -s -m 3 "$1")" "${2:-hello-from-helm}"; }
  claim "pod address" page "http://$pod:8080"
  claim "ClusterIP" page "http://$vip"
  claim "Service name" page http://web.default.svc
  from_pod() { is "$(inside kubectl exec deploy/web -- sh -c 'for i in $(seq 24); do printf "GET /index.html HTTP/1.0\r\n\r\n" | nc -w 2 '"$1"' 80 | tail -n 1; done' | sort | uniq -c | tr -s ' ')" " 24 hello-from-helm"; }
  claim "pod to ClusterIP to pods, itself too, 24 times" from_pod "$vip"
  claim "pod to name to pods, 24 times" from_pod web.default.svc.cluster.local
  claim "environment in the container" is "$(inside kubectl exec deploy/web -- sh -c 'echo $GOMAXPROCS')" 5
  claim "cgroup limit in the container" is "$(inside kubectl exec deploy/web -- cat /sys/fs/cgroup/memory/memory.limit_in_bytes)" $((64 << 20))
  in_pod() { inside kubectl exec deploy/web -- sh -c "printf 'GET $3 HTTP/1.0\r\n\r\n' | nc -w 2 $1 $2" | grep ' 200 OK' > /dev/null; }
  claim "Prometheus as a Service, from a pod" in_pod prometheus.monitoring 9090 /-/ready
  claim "Alertmanager as a Service, from a pod" in_pod alertmanager.monitoring 9093 /-/ready
  claim "Prometheus and Alertmanager by address, from a pod" eval 'in_pod 10.88.0.1 9090 /-/ready && in_pod 10.88.0.1 9093 /-/ready'
  claim "pods are scraped by annotation, with labels namespace and pod" within 20 prom_has 'client_requests_total{result="403",namespace="default",pod=~"client-.*"} > 0'
  claim "cadvisor is scraped, with the pods' labels" within 30 prom_has 'container_memory_working_set_bytes{namespace="default",pod=~"web.*",container="web"}'
  claim "no target is down" eval '! prom_has "up == 0"'
  (eval "$("$cl" env)"; cp "$here/selftest/rules.yaml" "$CLUSTER_DIR/prom/rules/"; promtool check rules "$here/selftest/rules.yaml" && curl -s --fail -X POST "$CLUSTER_PROMETHEUS/-/reload"; echo "$CLUSTER_DIR" > "$work/dir")
  alert() { inside sh -c 'curl -s "$CLUSTER_ALERTMANAGER/api/v2/alerts"' | jq -e 'map(select(.labels.alertname == "ForbiddenRequests")) | length > 0' > /dev/null; }
  inside timeout 120 python3 "$here/selftest/webhook.py" 9999 "$work/webhook" > /dev/null 2>&1 &
  claim "an alert reaches Alertmanager" within 30 alert
  claim "and the webhook" within 30 grep -s ForbiddenRequests "$work/webhook"
  inside kubectl patch configmap web --type merge -p '{"data": {"index.html": "edited\n"}}' > /dev/null
  claim "a ConfigMap edit reaches the container's file" within 30 eval '[ "$(inside kubectl exec deploy/web -- cat /www/index.html)" = edited ]'
  kill_web() { inside kubectl exec "$1" -- kill -TERM 1; }
  restarts() { [ "$(inside kubectl get pod "$1" -o jsonpath='{.status.containerStatuses[0].restartCount}')" -ge "$2" ]; }
  ten_kills() { local i n; n=$(inside kubectl get pod -l app=client -o jsonpath='{.items[0].metadata.name}'); for i in 1 2 3 4 5; do
      within 10 eval 'inside kubectl exec '"$n"' -- /client once > /dev/null' || return 1
      inside sh -c 'kill -KILL $(pgrep -xo client)'; within 15 restarts "$n" "$i" || return 1; done; }
  claim "a container killed five times in a row is back each time, without a long back-off" ten_kills
  resized() { is "$(inside kubectl exec "$1" -- cat /sys/fs/cgroup/memory/memory.limit_in_bytes)" $((96 << 20)); }
  name=$(inside kubectl get pod -l app=web -o jsonpath='{.items[0].metadata.name}')
  claim "resize in place" inside kubectl patch pod "$name" --subresource resize --patch '{"spec": {"containers": [{"name": "web", "resources": {"limits": {"memory": "96Mi"}}}]}}'
  claim "the container's cgroup follows" within 20 resized "$name"
  claim "the kubelet refuses strangers" eval '[ "$(inside curl -sk -o /dev/null -w "%{http_code}" https://10.88.0.1:10250/pods)" = 401 ]'
  claim "PostgreSQL's image is built and imported" eval '"$cl" image "$("$here/build.sh" postgres)/share/postgres.tar"'
  claim "PostgreSQL runs in a pod" inside sh -c 'kubectl apply -f "$0" && kubectl rollout status deploy/postgres --timeout=60s' "$here/selftest/postgres.yaml"
  claim "PostgreSQL answers with the limit it was given" eval 'is "$(inside kubectl exec deploy/postgres -- psql -h postgres -Atc "show max_connections")" 40'
  outage_claims
  claim "a second cluster at the same time, with two nodes, simulated ones beside" env MODE=real NODES=2 KWOK_NODES=3 UNSAFE_SYSCTLS=net.core.somaxconn CLUSTER_NAME="${base}2" "$cl" up
  claim "it has all five nodes" is "$(CLUSTER_NAME=${base}2 inside kubectl get nodes --no-headers | grep -cw Ready)" 5
  somaxconn() { is "$(CLUSTER_NAME=${base}2 inside kubectl logs sysctl)" 321; }
  CLUSTER_NAME=${base}2 inside kubectl apply -f "$here/selftest/sysctl.yaml" > /dev/null
  claim "an unsafe sysctl that was allowed is set in a pod of its last node" within 20 somaxconn
  claim "they do not see each other" eval '[ "$(CLUSTER_NAME=${base}2 inside kubectl get deploy -o name)" = "" ] && within 10 inside kubectl get deploy web'
  dir2=$(dirname "$(cat "$work/dir")")/${base}2
  kill -KILL "$(cat "$dir2/pid")"
  claim "SIGKILL of one process ends the second" within 10 test -e "$dir2/ended"
  claim "the first goes on" page http://web.default.svc edited
  CLUSTER_NAME=${base}2 "$cl" down > /dev/null
  claim "down" "$cl" down
  owner
  "$here/selftest/snapshot.sh" "$base" > "$work/after"
  claim "nothing is left on the machine" diff "$work/before" "$work/after"
}
owner() {
  sleep 1000 & local pid=$!
  claim "up, owned by a process" env CLUSTER_OWNER=$pid "$cl" up
  kill "$pid"; wait "$pid" 2> /dev/null
  claim "the cluster ends with its owner" within 5 eval '! "$cl" env > /dev/null 2>&1'
  "$cl" down > /dev/null
}
kwok() {
  "$here/selftest/snapshot.sh" "$base" > "$work/before"
  export MODE=kwok NODES=2
  claim "up (kwok)" env PROM=1 AUDIT=1 "$cl" up
  sed 's/^/                   /' "$work/out"
  api_claims
  claim "deployment created" inside kubectl create deployment web --image=none --replicas=5
  claim "its pods become ready" inside kubectl rollout status deploy/web --timeout=60s
  claim "a rollout completes" inside sh -c 'kubectl set env deploy/web A=1 && kubectl rollout status deploy/web --timeout=60s'
  claim "Prometheus scrapes the API server" within 20 prom_has 'up{job="apiserver"} == 1'
  outage_claims
  claim "the restarted API server ends with the cluster: down" "$cl" down
  owner
  unset MODE NODES
  "$here/selftest/snapshot.sh" "$base" > "$work/after"
  claim "nothing is left on the machine" diff "$work/before" "$work/after"
}
[ $# -gt 0 ] || set -- real kwok
for mode in "$@"; do
  case $mode in real | kwok) echo "== $mode"; $mode ;; *) echo "no mode \"$mode\"" >&2; exit 2 ;; esac
done
exit $failed
