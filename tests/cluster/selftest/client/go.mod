module trimtab.dev/tests/cluster/selftest/client

go 1.26.0
