# The control plane: certificates, credentials, etcd, kube-apiserver, kube-controller-manager, kube-scheduler.
# The same in both modes; only addresses differ. Sourced, never run.
# shellcheck shell=bash

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
new_ca() { # NAME
  new_key "$1"
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 3650 -out "$1.crt" \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
}
new_cert() { # NAME CA SUBJECT [SUBJECT-ALT-NAMES]
  new_key "$1"
  openssl req -new -key "$1.key" -subj "$3" |
    openssl x509 -req -CA "$2.crt" -CAkey "$2.key" -set_serial "0x$(openssl rand -hex 8)" -days 3650 -out "$1.crt" -extfile <(
      printf 'extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n%s\n' "${4:+subjectAltName=$4}")
}
make_pki() {
  local i names job jobs=()
  cd "$S/pki" || return
  exec 3>&2 2>> "$S/log/openssl.log"
  new_ca ca & jobs+=($!)
  new_ca front-proxy-ca & jobs+=($!)
  { new_key sa; openssl pkey -in sa.key -pubout -out sa.pub; } & jobs+=($!)
  for job in "${jobs[@]}"; do wait "$job"; done
  jobs=()
  names="DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$DOMAIN,DNS:localhost,IP:127.0.0.1,IP:$SERVICE_API"
  [ "$ADDR" = 127.0.0.1 ] || names+=",IP:$ADDR"
  new_cert apiserver ca /CN=kube-apiserver "$names" & jobs+=($!)
  new_cert kubelet-client ca /O=system:masters/CN=apiserver-kubelet-client & jobs+=($!)
  new_cert front-proxy-client front-proxy-ca /CN=front-proxy-client & jobs+=($!)
  if [ "$MODE" = real ]; then
    for ((i = 0; i < NODES; i++)); do
      node_vars "$i"
      new_cert "node-$i" ca "/O=system:nodes/CN=system:node:$NODE" "DNS:$NODE,IP:$NODE_IP" & jobs+=($!)
    done
  fi
  for job in "${jobs[@]}"; do wait "$job"; done
  exec 2>&3 3>&-
  cd /
}

# Random tokens: the API server can be reached from the machine's loopback, where other users may live too.
new_token() { # NAME USER [GROUP]
  local token; token=$(openssl rand -hex 20)
  echo "$token,$2,$1${3:+,\"$3\"}" >> "$S/pki/tokens.csv"
  echo "$token" > "$S/pki/$1.token"
}
make_credentials() {
  local i
  new_token admin admin system:masters
  printf 'Authorization: Bearer %s\n' "$(cat "$S/pki/admin.token")" > "$S/pki/admin.header"
  make_kubeconfig "$S/kubeconfig" admin "$ADDR:$API_PORT"
  [ "$MODE" = real ] || { make_kubeconfig "$S/host.kubeconfig" admin "$ADDR:$API_PORT"; return 0; }
  new_token kube-proxy system:kube-proxy
  new_token coredns system:serviceaccount:kube-system:coredns system:serviceaccounts
  make_kubeconfig "$S/kube-proxy.kubeconfig" kube-proxy "$ADDR:$API_PORT"
  make_kubeconfig "$S/coredns.kubeconfig" coredns "$ADDR:$API_PORT"
  for ((i = 0; i < NODES; i++)); do
    node_vars "$i"
    new_token "$NODE" "system:node:$NODE" system:nodes
    make_kubeconfig "$D/kubeconfig" "$NODE" "$ADDR:$API_PORT"
  done
}
make_kubeconfig() { # FILE TOKEN-NAME HOST:PORT
  (umask 077; cat > "$1.new") <<K
apiVersion: v1
kind: Config
clusters: [{name: $CLUSTER_NAME, cluster: {server: "https://$3", certificate-authority: "$S/pki/ca.crt"}}]
users: [{name: $2, user: {token: "$(cat "$S/pki/$2.token")"}}]
contexts: [{name: $CLUSTER_NAME, context: {cluster: $CLUSTER_NAME, user: $2}}]
current-context: $CLUSTER_NAME
K
  mv "$1.new" "$1"
}

start_etcd() {
  local peer=http://127.0.0.1:$ETCD_PEER_PORT client=http://127.0.0.1:$ETCD_PORT
  spawn etcd "$LIBEXEC/etcd" --data-dir "$S/etcd" --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer" \
    --unsafe-no-fsync --logger zap --log-level warn
}
start_apiserver() {
  local flags=() p=$S/pki
  if [ "$MODE" = real ]; then
    flags+=(--bind-address=0.0.0.0 "--advertise-address=$ADDR" "--authorization-mode=Node,RBAC" --enable-admission-plugins=NodeRestriction)
  else
    # Nobody serves ClusterIPs here, so the kubernetes Service gets no endpoints of a loopback address either.
    flags+=(--bind-address=127.0.0.1 --authorization-mode=RBAC --endpoint-reconciler-type=none)
  fi
  [ -z "$AUDIT" ] || flags+=("--audit-policy-file=$HERE/audit-policy.yaml" "--audit-log-path=$S/log/audit.log" --audit-log-maxsize=100000)
  # shellcheck disable=SC2206  # a list of flags, split on purpose
  flags+=(${APISERVER_FLAGS:-})
  spawn kube-apiserver "$LIBEXEC/kube-apiserver" "--etcd-servers=http://127.0.0.1:$ETCD_PORT" "--secure-port=$API_PORT" "--cert-dir=$p" \
    "--tls-cert-file=$p/apiserver.crt" "--tls-private-key-file=$p/apiserver.key" "--client-ca-file=$p/ca.crt" \
    "--kubelet-client-certificate=$p/kubelet-client.crt" "--kubelet-client-key=$p/kubelet-client.key" \
    "--kubelet-certificate-authority=$p/ca.crt" --kubelet-preferred-address-types=InternalIP \
    "--requestheader-client-ca-file=$p/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    "--proxy-client-cert-file=$p/front-proxy-client.crt" "--proxy-client-key-file=$p/front-proxy-client.key" \
    "--service-account-key-file=$p/sa.pub" "--service-account-signing-key-file=$p/sa.key" \
    "--service-account-issuer=https://kubernetes.default.svc.$DOMAIN" "--service-cluster-ip-range=$SERVICE_CIDR" \
    "--token-auth-file=$p/tokens.csv" --allow-privileged=true "${flags[@]}"
}
start_controllers() {
  local p=$S/pki
  # With a credential per controller the audit log tells the HPA controller from the rest; each asks for a token at the start,
  # which the default request rate would stretch to six seconds.
  # shellcheck disable=SC2086  # a list of flags, split on purpose
  spawn kube-controller-manager "$LIBEXEC/kube-controller-manager" "--kubeconfig=$S/kubeconfig" --use-service-account-credentials=true \
    "--service-account-private-key-file=$p/sa.key" "--root-ca-file=$p/ca.crt" \
    "--cluster-signing-cert-file=$p/ca.crt" "--cluster-signing-key-file=$p/ca.key" \
    --kube-api-qps=500 --kube-api-burst=1000 --horizontal-pod-autoscaler-sync-period=2s \
    --leader-elect=false --bind-address=127.0.0.1 "--secure-port=$KCM_PORT" "--cert-dir=$S/pki-kcm" ${KCM_FLAGS:-}
  spawn kube-scheduler "$LIBEXEC/kube-scheduler" "--kubeconfig=$S/kubeconfig" \
    --leader-elect=false --bind-address=127.0.0.1 "--secure-port=$SCHEDULER_PORT" "--cert-dir=$S/pki-scheduler"
}

api_ready() { [ "$(api /readyz)" = ok ]; }              # the whole body: a failing reply contains these letters too
nodes_ready() { [ "$(api /api/v1/nodes | tr -d ' \n' | grep -o '"type":"Ready","status":"True"' | wc -l)" -ge "$1" ]; }
account_ready() { api /api/v1/namespaces/default/serviceaccounts/default | grep -q '"kind": "ServiceAccount"'; } # not its name: a 404 has it too
