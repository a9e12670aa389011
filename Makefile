# What a person and the CI server type. `make` lists it.

CARGO ?= cargo
DEMO ?=
export CARGO_TERM_COLOR ?= auto
target := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help build test demo bench fmt lint deny docs soak fuzz regress ci

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the gateway, optimised: target/release/lockgate
	@scripts/install build
	$(CARGO) build --locked --release -p lockgate

# Most of a test's time is waiting: for a server to start, a deadline to pass.
test: export RUST_TEST_THREADS ?= 4
test: ## Install what the tests need and run them all
	@scripts/install build test
	@CARGO=$(CARGO) scripts/test

demo: ## See it work on this machine; DEMO=once ends after the show
	@scripts/install build demo
	$(CARGO) build --locked --release -p lockgate
	$(target)/release/lockgate demo $(if $(filter once,$(DEMO)),--once)

bench: ## Measure against a direct connection, HAProxy and PgBouncer
	@scripts/install build bench
	$(CARGO) build --locked --release -p lockgate -p lockgate-tests --bins
	$(CARGO) build --locked --release -p lockgate-detect --example detect_throughput
	$(CARGO) build --locked --release -p lockgate-mask --example content_throughput
	$(CARGO) build --locked --release -p lockgate-tests --example statement_analysis
	@bench/run

fmt: ## Format the code
	$(CARGO) fmt --all

lint: ## Check format and lints; warnings are errors
	@scripts/install build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

deny: ## Hold the dependencies against deny.toml
	@scripts/deny

docs: ## Build the reference of every crate; warnings are errors
	@scripts/install build
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

soak: ## The slow tests: long crash loops, long fuzz runs
	@scripts/install build test
	$(CARGO) build --locked -p lockgate
	$(CARGO) test --locked -p lockgate-tests --test e2e --test two_worlds -- --ignored
	@scripts/fuzz 600

fuzz: ## Fuzz every decoder for a minute each
	@scripts/install build
	@scripts/fuzz 60

regress: ## PostgreSQL's own regression suite, directly and through the gateway
	@scripts/install build test
	$(CARGO) build --locked -p lockgate
	@scripts/pg-regress both

ci: ## What the CI server runs
	@.ci/run
