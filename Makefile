# `make` lists the targets. Recipes are scripts that can be run by themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CLUSTER ?= play
cluster_sh := CLUSTER_NAME=$(CLUSTER) tests/cluster/cluster.sh

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- build and check ----

.PHONY: build
build: ## Build the operator and the command line (target/release)
	cargo build --release --bins

.PHONY: lint
lint: ## Formatting, clippy, scripts
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	tests/cluster/lint.sh

.PHONY: test
test: ## Everything CI runs
	./.ci/run

.PHONY: test-unit
test-unit: ## Unit tests and simulation, without a cluster
	./.ci/run unit

.PHONY: test-real
test-real: ## Tests on real clusters
	./.ci/run real

.PHONY: bench
bench: ## Measure resolving one policy, linting a thousand, sharing a budget between two hundred
	@cargo bench --quiet --bench speed

.PHONY: bench-sweep
bench-sweep: ## Measure a sweep of 10,000 thresholds against a real Prometheus, and one by one (WORKLOADS=1000: quick)
	@cargo bench --quiet --bench sweep

.PHONY: soak
soak: ## The long run: 200,000 seeds, 100,000 fleets, rest over minutes and large counts at default intervals
	./.ci/run soak

.PHONY: golden
golden: ## Regenerate the golden files, the CRDs among them
	UPDATE_GOLDEN=1 cargo test --all-targets golden

.PHONY: crds
crds: ## Write the CRDs to crds/ and to the chart
	UPDATE_GOLDEN=1 cargo test --quiet --test crds golden

.PHONY: image
image: ## Build the operator's image as an OCI archive (PROFILE=dev: quick)
	tests/cluster/image.sh

# ---- clusters ----

.PHONY: doctor
doctor: ## Say what this machine lacks, as one install line
	@tests/cluster/doctor.sh

.PHONY: cluster-tools
cluster-tools: ## Build the tools of the test cluster into the cache (about 10 minutes the first time)
	@dir=$$(tests/cluster/build.sh) && echo "the cluster's tools are in $$dir"

.PHONY: cluster
cluster: cluster-tools ## Start a Kubernetes cluster to play with (CLUSTER=play)
	@$(cluster_sh) env > /dev/null 2>&1 || PROM=1 $(cluster_sh) up
	@printf '\nThe cluster "%s" is up. To use it from this shell:\n\n    eval "$$(%s)"\n    kubectl get nodes\n\nTo end it: make cluster-down%s\n' \
	  '$(CLUSTER)' '$(cluster_sh) env' '$(if $(filter-out play,$(CLUSTER)), CLUSTER=$(CLUSTER))'

.PHONY: cluster-down
cluster-down: ## End the cluster of `make cluster`
	@$(cluster_sh) down

.PHONY: demo
demo: ## The whole story on a cluster of its own: policy, rollout, breach, alert, removal
	./examples/grace/demo.sh

.PHONY: demo-down
demo-down: ## Remove what the demo left running
	./examples/grace/demo.sh down

.PHONY: clean
clean: ## Remove build results and tools of other versions; the current tools stay
	cargo clean
	tests/cluster/build.sh --prune
