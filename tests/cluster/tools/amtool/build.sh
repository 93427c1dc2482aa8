go build -ldflags '-s -w' -o "$OUT/bin/amtool" github.com/prometheus/alertmanager/cmd/amtool
