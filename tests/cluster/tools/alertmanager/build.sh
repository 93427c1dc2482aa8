# The last Alertmanager whose module carries its web pages and templates.
go build -ldflags '-s -w' -o "$OUT/libexec/alertmanager" github.com/prometheus/alertmanager/cmd/alertmanager
