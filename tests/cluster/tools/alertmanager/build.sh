# The last Alertmanager whose module carries its web pages and templates.
version=$(go list -m -f '{{.Version}}' github.com/prometheus/alertmanager)
go build -ldflags "-s -w -X github.com/prometheus/common/version.Version=${version#v}" -o "$OUT/libexec/alertmanager" github.com/prometheus/alertmanager/cmd/alertmanager
