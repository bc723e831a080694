# `make help` says what is here. Build tags live in this file and in
# .golangci.yaml; without them Podman's bindings ask for C headers.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TAGS    := remote exclude_graphdriver_btrfs containers_image_openpgp
GOTAGS  := -tags "$(TAGS)"
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Two packages at a time: each of the heavier tests already uses all cores.
TEST_FLAGS := -race -p 2 -timeout 40m
# The seeded world is one goroutine per history: the race detector, which the line
# before has it pass with a few, would only make the many slow.
WORLD_FLAGS := -run '^(TestHistories|TestWorkloadsWithPolicies|TestSets|TestJobsInHistories|TestCronJobsInHistories|TestVolumesInHistories|TestSnapshotsInHistories|TestProbesInHistories|TestInitsInHistories|TestPressureInHistories|TestLivesInHistories)$$' -v -count=1 -timeout 12h
LIVE       := ./testnet/live/...
# The live tests make mounts, network namespaces and containers, so they run as
# root; what runs as root is only the test binary, not the compiler.
LIVE_FLAGS := -count=1 -p 1 -timeout 40m $(if $(SUDO),-exec "$(SUDO) --preserve-env env PATH=$(PATH)")

# What `make bench` measures: BENCH_FLAGS="-rows P1,P3 -quick" for a part of it.
BENCH_FLAGS :=

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2

# gcc and libc6-dev are for the race detector; the rest is what Podman needs on
# Debian 12 to run containers with a network, and busybox-static is the image.
DEBIAN := podman runc conmon catatonit netavark aardvark-dns iptables iproute2 \
          nftables busybox-static ca-certificates gcc libc6-dev curl

# Commands of theirs, to look for where there is no dpkg.
COMMANDS := podman busybox ip iptables nft gcc curl

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: build
build: ## write bin/holon: static, stripped, no C
	@mkdir -p bin
	CGO_ENABLED=0 go build $(GOTAGS) -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/holon ./cmd/holon

.PHONY: web
web: ## write bin/web: the server of examples/web.yaml
	@CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/web ./examples/web

# Clients to prove holon with, unchanged; built once.
bin/kubectl bin/helm: testnet/kube/go.mod
	@mkdir -p bin
	cd testnet/kube && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o ../../$@ $(if $(filter %helm,$@),helm.sh/helm/v3/cmd/helm,./kubectl)

# The kubectl of Debian 12 is 1.20: the basics have to work with it, too. Its package is
# taken apart and not installed, as it would not go beside another kubectl.
bin/kubectl-debian:
	@mkdir -p bin
	@command -v apt-get >/dev/null || { echo "$@: this is not Debian, the test of its kubectl is left out"; exit 0; }; \
	dir=$$(mktemp -d) && cd $$dir && chmod 755 . && \
	{ apt-get download -qq kubernetes-client 2>/dev/null || { $(SUDO) apt-get update -qq && apt-get download -qq kubernetes-client; }; } && \
	dpkg-deb -x kubernetes-client_*.deb . && cp usr/bin/kubectl $(CURDIR)/$@ && rm -r $$dir

.PHONY: clients
clients: bin/kubectl bin/helm bin/kubectl-debian ## write kubectl, Debian's old one and helm into bin, for the tests

.PHONY: deps
deps: ## install the Debian packages that the tests and the demo need
	@if ! command -v dpkg-query >/dev/null; then \
	  for c in $(COMMANDS); do \
	    command -v $$c >/dev/null || { \
	      echo "deps: this is not Debian and $$c is missing; install what corresponds to: $(DEBIAN)"; exit 1; }; \
	  done; \
	  exit 0; \
	fi; \
	missing=; \
	for p in $(DEBIAN); do \
	  [ "$$(dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null || true)" = installed ] || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	byhand="apt-get update && apt-get install -y --no-install-recommends$$missing"; \
	if [ -n "$(SUDO)" ] && ! command -v sudo >/dev/null; then \
	  echo "deps: missing:$$missing"; echo "deps: this needs root and there is no sudo; as root run: $$byhand"; exit 1; \
	fi; \
	echo "deps: installing$$missing"; \
	$(SUDO) apt-get update -qq && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null || \
	  { echo "deps: apt-get failed; by hand, as root: $$byhand"; exit 1; }

.PHONY: needs
needs:
	@if [ -n "$(SUDO)" ]; then \
	  echo "needs: the live tests make mounts, network namespaces and containers: they run through sudo."; \
	  command -v sudo >/dev/null || { echo "needs: there is no sudo here; run make as root"; exit 1; }; \
	fi

.PHONY: test
test: needs deps build web clients ## everything: vet, unit, properties, simulation, scripts, live testnet
	go vet $(GOTAGS) ./...
	go test $(GOTAGS) $(TEST_FLAGS) $$(go list $(GOTAGS) ./... | grep -v /testnet/live)
	go test ./testnet $(WORLD_FLAGS) -histories=500
	go test $(GOTAGS) $(LIVE_FLAGS) $(LIVE)
	cd testnet/kube && go vet ./... && go test -count=1 ./...

.PHONY: test-long
test-long: needs deps build web ## the same with far more seeds, histories and crashes (HOLON_TEST_LONG=1)
	HOLON_TEST_LONG=1 go test $(GOTAGS) -race -p 2 -count=1 -timeout 3h $$(go list $(GOTAGS) ./... | grep -v /testnet/live)
	go test ./testnet $(WORLD_FLAGS) -histories=10000
	HOLON_TEST_LONG=1 go test $(GOTAGS) $(LIVE_FLAGS) -timeout 3h $(LIVE)

.PHONY: lint
lint: ## golangci-lint, in the version this file names
	go run $(GOLANGCI) run ./...

.PHONY: demo
demo: deps build web ## five nodes, a power cut, a partition, a heal; tidies up after itself
	$(SUDO) ./testnet/demo.sh

.PHONY: bench
bench: DEBIAN := etcd-server
bench: COMMANDS := etcd
bench: deps build web ## benchmarks of the parts, then of the whole beside etcd and others: docs/benchmarks.md
	go test $(GOTAGS) -run '^$$' -bench . -benchmem -p 1 $$(go list $(GOTAGS) ./... | grep -v /testnet/live)
	cd testnet/bench && go test . && go run . -bin ../../bin -manifest ../../examples/web.yaml -out ../../docs/benchmarks.md $(BENCH_FLAGS)

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf bin
