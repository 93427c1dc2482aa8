# CoreDNS with the plugins that main.go names; the stock program pulls in cloud SDKs.
go build -ldflags '-s -w' -o "$OUT/libexec/coredns" .
