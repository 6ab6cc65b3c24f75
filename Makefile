# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
comma := ,

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## Carry real images of two dependent changes through check, gate and promote
	@demo/run

.PHONY: test
test: ## Everything: linters, unit and integration tests, roles, real clients
	@tests/run

.PHONY: zuul-e2e
zuul-e2e: ## Our jobs in a real Zuul, from check to promote; ONLY=SCENARIO,… KEEP=1 leaves it up; SMOKE=1 the shortest; GERRIT=real
	@tests/zuul/run $(subst $(comma), ,$(ONLY))

.PHONY: conformance
conformance: ## The distribution-spec's own suites, every switch on (SUITE=DIR: a checkout of that repository)
	@tests/conformance/run

# Seconds for each fuzz target.
FUZZ_SECONDS ?= 600

.PHONY: fuzz
fuzz: ## Feed every parser what coverage suggests; FUZZ_SECONDS=600 for each
	@tests/fuzz $(FUZZ_SECONDS)

.PHONY: dist
dist: ## Static programs and SHA256SUMS in dist/, as zuul_images_source wants them
	@tests/tools/dist

# One scenario quickly: make bench ONLY=blob-get ROUNDS=1; one of the three: BENCH=copy; other programs: REGISTRY=dist/…
BENCH ?= registry copy promoter
.PHONY: bench
bench: ## Registry and copies beside their peers, and the promoter; ONLY=NAME,… ROUNDS=N; UPDATE=1 rewrites docs/benchmarks.md
	@benches/install
	@for bench in $(BENCH); do \
	  cargo bench --locked --profile dist --bench $$bench -- $(if $(ONLY),--only $(ONLY)) \
	    $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(REGISTRY),--registry $(REGISTRY)) $(if $(UPDATE),--update) || exit 1; \
	done

.PHONY: docs
docs: ## Pages of docs/, the roles and jobs in target/docs/html; a broken link fails it
	@docs/build

.PHONY: fmt
fmt: ## Format the Rust code
	@cargo fmt

.PHONY: deny
deny: ## Licences, sources and banned crates (installs cargo-deny, minutes the first time)
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny@0.20.2
	@cargo deny check bans licenses sources

.PHONY: clean
clean: ## Remove what was built
	@rm -rf target dist
