# Recipes for people and for .ci/run; `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# What is slow to make lies outside the clone, so that the next clone is quick.
export PINION_CACHE ?= $(HOME)/.cache/pinion
export CARGO_TARGET_DIR ?= $(PINION_CACHE)/target

PINION := $(CARGO_TARGET_DIR)/debug/pinion
RELEASE := $(CARGO_TARGET_DIR)/release
DEMO_FLAGS := $(if $(SECONDS),--seconds '$(SECONDS)') $(if $(RATE),--rate '$(RATE)') $(if $(DATA),--data '$(DATA)') \
	$(if $(BROKERS),--brokers '$(BROKERS)') $(if $(FORMAT),--format '$(FORMAT)')

.PHONY: help demo build strategies images examples test test-quick bench bench-e2e bench-peers bench-report flames instructions fuzz fmt reference lint kafka kube setup setup-strategies setup-tests

help: ## list the recipes
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

# Everything but the program's own output goes to the standard error.
demo: setup ## market data, two strategies in the sandbox, orders: SECONDS= RATE= DATA=FILE BROKERS=HOST:PORT FORMAT=json
	@[ -x $(PINION) ] || echo 'The first build takes about 10 minutes on 2 cores; from then on the demo starts at once.' >&2
	@cargo build --workspace --bins >&2
	@$(PINION) build strategies-examples/book-imbalance strategies-examples/ema-cross >&2
	@exec $(PINION) demo $(DEMO_FLAGS)

build: setup ## build the programs
	cargo build --workspace --bins

strategies: setup-strategies ## build the example strategies to WebAssembly, beside their sources
	cargo build --workspace --bins
	@$(PINION) build strategies-examples/*/

examples: strategies ## run the examples over the captures and write what they come to into their pages
	cargo build --workspace --example example-results
	@$(CARGO_TARGET_DIR)/debug/examples/example-results

images: setup ## the images of runtime and operator as OCI archives: path, digest, bytes of a pull. Builds a release; needs python3
	cargo build --release -p pinion-runtime -p pinion-operator --bins
	@deploy/images/build.sh $(RELEASE) $(CARGO_TARGET_DIR)/images

# A failure of fetch.sh is told by the tests, which skip what it would have brought, or with CI=true fail.
test: setup-tests strategies ## every test, those on a real Kafka and a real Kubernetes included
	@[ "$$PINION_KUBE" = off ] || tests/kube/fetch.sh >/dev/null || true
	@[ "$$PINION_REGISTRY" = off ] || tests/registry/fetch.sh >/dev/null || true
	@told=$$(mktemp -d); export PINION_SKIPPED=$$told/skipped PINION_FIGURES=$$told/figures; touch $$told/skipped $$told/figures; \
	cargo test --workspace; status=$$?; \
	[ ! -s $$told/figures ] || { echo 'figures (what | measured | bound):'; cat $$told/figures; }; \
	sort -u $$told/skipped; rm -r $$told; exit $$status

test-quick: setup strategies ## every test but those on a real Kafka, a real Kubernetes or a real registry
	PINION_KAFKA=off PINION_KUBE=off PINION_REGISTRY=off cargo test --workspace

bench: setup-tests strategies ## what a call, a strategy's work, an event's way and an author's commands cost, beside floors: under 10 minutes; builds a release first
	cargo build --workspace --bins --release
	@$(PINION) build benches/strategies/*/
	$(RELEASE)/micro --json benches/results/micro.json
	$(RELEASE)/author --json benches/results/author.json

# A young generation so large that the broker collects it once in many seconds: it stops for that, and with it every system under load.
BROKER_JVM := -Xms3g -Xmx3g -Xmn2g -XX:+UseParallelGC -XX:+AlwaysPreTouch

# The sender of a load goes before all else, or what is measured is how late it woke. What it starts does not.
FIRST = $$(chrt -R -f 10 true 2>/dev/null && echo chrt -R -f 10)

bench-e2e: setup-tests strategies ## in to out on a real Kafka beside a bare client; builds a release first
	cargo build --workspace --bins --release
	PINION_KAFKA_JVM='$(BROKER_JVM)' $(FIRST) $(RELEASE)/e2e --json benches/results/e2e.json
	PINION_KAFKA_JVM='$(BROKER_JVM)' $(FIRST) $(RELEASE)/e2e --policies --fours 5 --warm 5 --json benches/results/send.json

bench-peers: setup-tests strategies ## the same beside Kafka Streams, Jet, csp and Quix Streams; beside other sandboxes and backtesters: under 40 minutes; builds a release, and what they need, first
	cargo build --workspace --bins --release
	@$(PINION) build benches/strategies/quote-cross
	$(RELEASE)/peers --json benches/results/peers-alone.json
	PINION_KAFKA_JVM='$(BROKER_JVM)' $(FIRST) $(RELEASE)/e2e --fours 60 --peers --json benches/results/peers.json

flames: setup-tests strategies ## flame graphs of the rows that fall short, into docs/performance/flames. Needs perf (on Debian: linux-perf); builds a release first
	cargo build --workspace --bins --release
	@$(PINION) build benches/strategies/*/
	mkdir -p docs/performance/flames
	for row in 6 7; do $(RELEASE)/micro --rows $$row --fours 40 --flame docs/performance/flames/$$row.svg || exit; done
	PINION_KAFKA_JVM='$(BROKER_JVM)' $(FIRST) $(RELEASE)/e2e --flames docs/performance/flames

bench-report: build ## write docs/PERFORMANCE.md and its plots from benches/results
	@$(CARGO_TARGET_DIR)/debug/report

instructions: setup-tests ## count the instructions of each step beside the baseline; after a change that is meant to cost or save, RENEW=1 writes it anew
	cargo build --workspace --bins
	@$(CARGO_TARGET_DIR)/debug/instructions $(if $(RENEW),--renew)

# libFuzzer's instrumentation needs a switch that stable compilers keep from all but their own build; no sanitizer: there is no unsafe.
fuzz: ## let the fuzzer look for SECONDS= at one reader of foreign bytes, TARGET= (a name in fuzz/fuzz_targets). Needs cargo-fuzz
	@test -n '$(TARGET)' || { echo 'make fuzz TARGET=NAME SECONDS=600; targets:' >&2; ls fuzz/fuzz_targets | sed 's/\.rs$$//' >&2; exit 64; }
	cargo run --quiet --manifest-path fuzz/Cargo.toml --target-dir $(CARGO_TARGET_DIR)/fuzz --bin seeds -- '$(TARGET)' $(CARGO_TARGET_DIR)/fuzz/seeds/'$(TARGET)'
	mkdir -p $(CARGO_TARGET_DIR)/fuzz/corpus/'$(TARGET)'
	RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz --sanitizer none --target-dir $(CARGO_TARGET_DIR)/fuzz '$(TARGET)' \
		$(CARGO_TARGET_DIR)/fuzz/corpus/'$(TARGET)' $(CARGO_TARGET_DIR)/fuzz/seeds/'$(TARGET)' \
		-- -max_total_time='$(or $(SECONDS),600)' -rss_limit_mb=2048 -timeout=10 -artifact_prefix=$(CARGO_TARGET_DIR)/fuzz/

fmt: ## format the sources
	cargo fmt --all

reference: build ## write what docs/reference and deploy/crds are generated from: the contract and the resources
	cargo build --workspace --example contract-reference
	$(CARGO_TARGET_DIR)/debug/examples/contract-reference > docs/reference/contract.md
	$(CARGO_TARGET_DIR)/debug/crdgen > deploy/crds/crds.yaml
	$(CARGO_TARGET_DIR)/debug/crdgen reference > docs/reference/resources.md

lint: setup ## what .ci/run refuses: unformatted sources, warnings
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

kafka: ## fetch the Kafka broker of the tests (they do it themselves)
	@tests/kafka/fetch.sh

kube: ## build the Kubernetes of the tests, about 10 minutes the first time (they do it themselves)
	@tests/kube/fetch.sh

setup: ## check what a build needs, and install it where that is allowed
	@./setup.sh build

setup-strategies:
	@./setup.sh strategies

setup-tests:
	@./setup.sh tests
