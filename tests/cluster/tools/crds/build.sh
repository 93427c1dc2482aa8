# CustomResourceDefinitions of other projects, as they publish them in their Go modules. `go mod download` holds each module to go.sum.
definitions() { # MODULE FILE...: the files of a module that go.mod requires
  local version dir
  version=$(awk -v module="$1" '$1 == module { print $2 }' go.mod)
  [ -n "$version" ] || { echo "go.mod does not require $1"; return 1; }
  dir=$(go mod download -json "$1@$version" | python3 -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')
  (cd "$dir" && install -m 644 "${@:2}" "$OUT/share/crds/")
}
mkdir -p "$OUT/share/crds"
definitions github.com/cloudnative-pg/cloudnative-pg config/crd/bases/postgresql.cnpg.io_{clusters,poolers}.yaml
definitions github.com/nats-io/nack deploy/crds.yml
mv "$OUT/share/crds/crds.yml" "$OUT/share/crds/jetstream.nats.io.yaml"
# Apart from those that `kubectl apply -f share/crds` installs: where it is served, every policy with thresholds has rules.
mkdir -p "$OUT/share/crds/monitoring"
install -m 644 monitoring.coreos.com_*.yaml "$OUT/share/crds/monitoring/"
