# Control plane, kubelet, kube-proxy, kubectl and etcd.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}; minor=${minor%%.*}
v=k8s.io/component-base/version
flags="-s -w -X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=$minor"
go build -ldflags "$flags" -o "$OUT/libexec/" k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubelet,kube-proxy}
go build -ldflags "$flags" -o "$OUT/bin/kubectl" k8s.io/kubernetes/cmd/kubectl
go build -ldflags "$flags" -o "$OUT/libexec/etcd" go.etcd.io/etcd/server/v3
