module trimtab.dev/tests/cluster/tools/crds

go 1.26.0

require (
	github.com/cloudnative-pg/cloudnative-pg v1.30.0
	github.com/nats-io/nack v0.23.0
)
