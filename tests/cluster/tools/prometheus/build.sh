# Prometheus and promtool; of the service discoveries only the one for Kubernetes. Their web pages are not in the module.
go build -tags 'remove_all_sd,enable_kubernetes_sd' -ldflags '-s -w' -o "$OUT/libexec/prometheus" github.com/prometheus/prometheus/cmd/prometheus
go build -tags 'remove_all_sd,enable_kubernetes_sd' -ldflags '-s -w' -o "$OUT/bin/promtool" github.com/prometheus/prometheus/cmd/promtool
