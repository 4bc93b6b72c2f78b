# One target per step of CI. `make help` lists them.

CARGO ?= cargo
# Where tools that tests need are built and kept; see scripts/tools/.
export XDG_CACHE_HOME ?= $(HOME)/.cache

.PHONY: help demo check test lint fmt fmt-check clippy dependencies unit fuzz values
.PHONY: bench bench-workers bench-scheduler bench-operator bench-data
.PHONY: e2e e2e-postgresql e2e-if-possible manifests base-images images image-postgresql images-test
.PHONY: tools tools-postgres tools-versions tools-kubernetes tools-charts tools-stores

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

demo: tools-postgres ## Backs a database up, destroys it, brings it back; a few minutes
	$(CARGO) build --bins --example demo
	$(CARGO) run --quiet -p scheduler --example demo

check: fmt-check clippy ## Formatting, clippy and the tests that need no server; seconds after a change
	$(CARGO) test --workspace --lib --test architecture --no-fail-fast --quiet

# A machine of CI compiles once: what would speed the next compilation up takes time and room in this one.
test: export CARGO_INCREMENTAL ?= 0
test: tools lint unit e2e-if-possible ## Everything that CI runs; installs what it needs

e2e: ## Images, chart and the whole path in pods, on a cluster of our own or on KUBECONFIG's
	CARGO=$(CARGO) scripts/e2e.sh

e2e-postgresql: ## charts/postgresql in real pods: kills, lost volumes, changed values; minutes
	CARGO=$(CARGO) scripts/e2e.sh --postgresql

# Never on a cluster that the machine's owner happens to have in the environment.
e2e-if-possible:
	env -u KUBECONFIG CARGO=$(CARGO) scripts/e2e.sh --if-possible

lint: fmt-check clippy dependencies ## Formatting, clippy and who may depend on what

fmt: ## Formats the sources
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p scheduler --test e2e --test e2e-postgresql -- -D warnings

dependencies: ## Checks what the programs link
	CARGO=$(CARGO) scripts/check-dependencies.sh

# A failed assertion says what is wrong; forty lines of stack behind it push that out of CI's log.
unit: export RUST_BACKTRACE = 0
# They wait for servers as long as they compute: more than there are cores of the machines that CI has.
unit: export RUST_TEST_THREADS ?= 3
unit: ## All tests, those against real servers too
	$(CARGO) test --workspace --no-fail-fast

fuzz: ## Tries to break what reads bytes that others wrote, a minute each; some minutes to build
	CARGO=$(CARGO) scripts/fuzz.sh

values: export VALUES ?= 100000
values: tools-postgres tools-versions tools-stores ## Compares 100,000 values of each type on 13 to 18, as text and in binary; a quarter of an hour
	$(CARGO) build --bins
	$(CARGO) test -p scheduler --test integration -- every_value_comes_back_on_each_server rows_that_come_in_binary

bench-data: tools-postgres ## Loads the mixed database that speed is measured on, and shows its size
	$(CARGO) bench -p scheduler --bench mixed --profile dev

bench: bench-workers bench-scheduler bench-operator ## Every figure of docs/performance.md, side by side: two hours

bench-workers: tools-postgres ## Ours beside every other way, and how it grows; see benches/contenders/main.rs
	scripts/tools/go-program.sh versitygw
	$(CARGO) bench -p scheduler --bench contenders

bench-scheduler: tools-kubernetes ## Calls beside 10,000 schedules, and 1,000 due at once; see benches/scheduler/main.rs
	$(CARGO) bench -p scheduler --bench scheduler

bench-operator: tools-postgres tools-kubernetes ## Many Databases, users and schedules; see benches/operator/main.rs
	$(CARGO) bench -p scheduler --bench operator

tools: tools-postgres tools-versions tools-kubernetes tools-charts tools-stores ## Installs what the tests need

tools-postgres: ## PostgreSQL and zstd from Debian
	scripts/install-postgres.sh

tools-versions: tools-postgres ## PostgreSQL 13, 14, 16, 17 and 18, pgbouncer and a German locale, fetched once and kept
	scripts/tools/postgres-versions.sh
	scripts/tools/postgres-servers.sh

tools-kubernetes: ## etcd, kube-apiserver and kube-controller-manager, built once and kept
	scripts/tools/kubernetes.sh

tools-stores: ## An S3 server, and emulators of Google Cloud Storage and of Azure Blob Storage, built once and kept
	for name in versitygw fake-gcs-server; do scripts/tools/go-program.sh $$name || exit 1; done
	scripts/tools/npm-program.sh azurite

manifests: tools-charts ## Renders deploy/, the charts' definitions and READMEs anew
	CARGO=$(CARGO) scripts/crds.sh
	scripts/charts-readme.sh
	scripts/manifests.sh

base-images: ## Makes the images that the Dockerfiles start from, where no registry answers
	scripts/install-containers.sh
	scripts/images/base.sh

image-postgresql: ## Builds the image of charts/postgresql, in which there is nothing of Rust: IMAGE_PREFIX
	scripts/images/postgresql.sh

images: ## Builds the three images: IMAGE_PREFIX, PROFILE (dist, release), POSTGRES (pgdg, debian), PLATFORMS
	scripts/images/build.sh

# No part of `test`: where nothing is kept yet it compiles everything once more, five minutes and more of
# the hour that a cold `make test` may take, for three files that seldom change. After a change of theirs,
# and before a release.
images-test: ## Builds the images as their Dockerfiles do and starts what is in them, where that has changed
	scripts/install-containers.sh
	scripts/images/base.sh
	scripts/images/test.sh

tools-charts: ## helm, kubeconform, grpcurl, age, Prometheus and Kubernetes' schemas, once and kept
	scripts/tools/prometheus.sh
	scripts/tools/kubernetes-schemas.sh
	for name in helm kubeconform grpcurl age age-keygen; do scripts/tools/go-program.sh $$name || exit 1; done

.PHONY: tools-charts tools-containers tools-cluster cluster cluster-down
tools-containers: ## containerd, runc, CNI plugins and image builders from Debian
	scripts/install-containers.sh

tools-cluster: tools-containers ## The programs of a real Kubernetes node, built once and kept
	scripts/tools/kubernetes.sh --node
	scripts/tools/go-program.sh coredns

cluster: tools-cluster tools-charts ## Starts a one-node Kubernetes cluster for the tests; seconds if it is up
	tests/cluster/up.sh

cluster-down: ## Ends the cluster and removes every trace of it
	tests/cluster/down.sh
