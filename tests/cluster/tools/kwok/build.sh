# KWOK and, from its module, the stages that make simulated nodes and pods go through their lives quickly.
go build -ldflags '-s -w' -o "$OUT/bin/kwok" sigs.k8s.io/kwok/cmd/kwok
module=$(go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)
mkdir "$OUT/share"
for stage in "$module"/kustomize/stage/{pod/fast/pod-*,node/fast/node-*,node/heartbeat-with-lease/node-*}.yaml; do
  printf -- '---\n'
  cat "$stage"
done > "$OUT/share/kwok-stages.yaml"
