# Prometheus and promtool; of the service discoveries only the one for Kubernetes. Their web pages are not in the module.
# The module of release 3.N is numbered 0.3NN.
module=$(go list -m -f '{{.Version}}' github.com/prometheus/prometheus)
version=$(sed -E 's/^v0\.([0-9])0?([0-9]+)\.([0-9]+)$/\1.\2.\3/' <<< "$module")
flags="-s -w -X github.com/prometheus/common/version.Version=$version"
go build -tags 'remove_all_sd,enable_kubernetes_sd' -ldflags "$flags" -o "$OUT/libexec/prometheus" github.com/prometheus/prometheus/cmd/prometheus
go build -tags 'remove_all_sd,enable_kubernetes_sd' -ldflags "$flags" -o "$OUT/bin/promtool" github.com/prometheus/prometheus/cmd/promtool
