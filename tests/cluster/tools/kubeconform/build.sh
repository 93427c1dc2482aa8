go build -ldflags '-s -w' -o "$OUT/bin/kubeconform" github.com/yannh/kubeconform/cmd/kubeconform
