version=$(go list -m -f '{{.Version}}' helm.sh/helm/v4)
go build -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$version" -o "$OUT/bin/helm" helm.sh/helm/v4/cmd/helm
