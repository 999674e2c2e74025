# The commands of this repository: `make help` lists them.

IMAGE_REPO_OWNER ?= ghcr.io/artilleryio
# The operator's image, and that of the server which the example load-tests
IMG ?= $(IMAGE_REPO_OWNER)/artillery-operator:latest
TARGET_IMG ?= $(IMAGE_REPO_OWNER)/loadtest-target:latest
# As linux/amd64 or linux/arm64; empty: this machine's
IMAGE_PLATFORM ?=
DOCKER ?= docker
# Arguments of the manager for `make run`
ARGS ?=

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: $(shell sed -nE 's/^([a-z][a-z0-9-]*):.*/\1/p' Makefile)

CRD := config/crd/bases/loadtest.artillery.io_loadtests.yaml
docker_build = $(DOCKER) build $(if $(IMAGE_PLATFORM),--platform $(IMAGE_PLATFORM))

##@ General

help: ## Show this help
	@awk -F ':.*## ' \
	  '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
	   /^[a-z][a-z0-9-]*:.*## / { printf "  %-20s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "Variables: IMG=$(IMG) IMAGE_REPO_OWNER=$(IMAGE_REPO_OWNER) IMAGE_PLATFORM=$(IMAGE_PLATFORM)"

##@ Development

generate: manifests ## Generate what comes from the API types: that is the CRD, as with manifests

manifests: ## Write the CRD and docs/reference.md from the API types
	@cargo run -q --locked -p operator --bin manager -- crd > $(CRD).new || { rm -f $(CRD).new; exit 1; }
	@mv $(CRD).new $(CRD)
	@cargo run -q --locked -p loadtest --example reference > docs/reference.md.new || { rm -f docs/reference.md.new; exit 1; }
	@mv docs/reference.md.new docs/reference.md

fmt: ## Format the code
	cargo fmt --all

vet: ## Run the lints; a warning is an error
	cargo clippy --workspace --all-targets --locked -- -D warnings

deny: ## Check licences, banned crates and sources of all dependencies
	@command -v cargo-deny >/dev/null || \
	  { echo "make deny: cargo-deny is missing: cargo install cargo-deny --locked" >&2; exit 1; }
	cargo deny check bans licenses sources

demo: ## Run a load test of two workers on this machine, against a target that counts: needs Rust and npm
	@hack/demo

docs-media: ## Make docs/media (a recording and pictures of reports) from real runs: needs tmux and Chromium as well
	@hack/docs-media

##@ Test

test: ## Run all tests: quick, then worker, then api, then e2e
	@hack/test all

test-quick: ## Check format and lints, run the unit tests
	@hack/test quick

test-worker: ## Test the reporter in the real Artillery, and our figures against Artillery's own
	@hack/test worker

test-api: ## Test the manager against a real API server (built with Go the first time)
	@hack/test api

test-e2e: ## Test the installed operator with real Artillery: in hack/cluster, or with E2E_KUBECONFIG=file
	@hack/test e2e

faults: ## Break things on purpose, often (ROUNDS=10, KILLS=100, SEED=), against a real API server; prints a table
	@hack/faults

bench: ## Measure what the operator costs, beside a bare-minimum client (ONLY=latency,batches; 15 minutes)
	@cargo build --release --locked -p operator -p benches -p testbed -p cli --bins
	@TESTBED_BIN=$$(hack/cluster/build) target/release/benches $(if $(ONLY),--only $(ONLY))

faults-nodes: ## Break a cluster with nodes under real load tests (SEED=, CASES="etcd node"; half an hour)
	cargo build -p e2e --bin faults-nodes --locked
	NODE_GRACE=20s TOLERATION=15 hack/cluster/test target/debug/faults-nodes $(CASES)

scale: ## Measure the operator with up to 10,000 workers on fake nodes (SHAPES="100x10", WORKER_SECONDS=30)
	cargo build --release -p scale --locked
	hack/scale/build >/dev/null
	QPS=300 NODE_GRACE=60s \
	  APISERVER_ARGS=--enable-admission-plugins=NodeRestriction,PodNodeSelector,PodTolerationRestriction \
	  hack/cluster/test target/release/scale $(SHAPES)

test-cluster: ## Try what hack/cluster promises (7 minutes; not a part of make test)
	hack/cluster/selftest

cluster: ## Start a Kubernetes of two nodes on this Linux machine, without Docker
	hack/cluster/up

cluster-down: ## Stop that Kubernetes
	hack/cluster/down

##@ Build

build: ## Build the manager (release)
	cargo build --release --locked -p operator --bin manager

run: ## Run the manager here, with the current kubeconfig (ARGS="..." for its flags)
	cargo run --locked -p operator --bin manager -- $(ARGS)

docker-build: ## Build the operator's image (IMG=, IMAGE_REPO_OWNER=, IMAGE_PLATFORM=)
	$(docker_build) -t $(IMG) .

docker-push: ## Push the operator's image (IMG=, IMAGE_REPO_OWNER=)
	$(DOCKER) push $(IMG)

docker-push-target: ## Push the image of the server that the example tests (TARGET_IMG=)
	$(DOCKER) push $(TARGET_IMG)

docker-build-target: ## Build the image of the server that the example tests (TARGET_IMG=)
	$(docker_build) --target target -t $(TARGET_IMG) .

##@ Deployment

install: ## Install the CRD in the current cluster
	kubectl apply -k config/crd

uninstall: ## Remove the CRD, and with it every load test
	kubectl delete --ignore-not-found -k config/crd

deploy: ## Install or upgrade the operator in the current cluster (IMG=)
	IMG='$(IMG)' ./operator-deploy.sh

undeploy: ## Remove the operator and all load tests from the current cluster
	./operator-undeploy.sh
