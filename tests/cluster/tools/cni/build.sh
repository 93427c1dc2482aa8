# The three CNI plugins that a node's bridge needs.
p=github.com/containernetworking/plugins/plugins
go build -ldflags '-s -w' -o "$OUT/libexec/cni/" $p/main/{bridge,loopback} $p/ipam/host-local
