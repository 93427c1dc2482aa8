# containerd, its shim and ctr, without the snapshotters that nobody uses here.
go build -tags 'no_btrfs no_devmapper no_zfs no_aufs' -ldflags '-s -w' -o "$OUT/libexec/" \
  github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr}
