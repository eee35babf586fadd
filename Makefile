# make demo      install what is missing, build, run the demo (ARGS="--exit-after 60" and others of `dvrgate demo`)
# make test      install what is missing, run all tests
# make build     install what is missing, build for development
# make install   install what is missing, build for use, put dvrgate into cargo's folder of programs
# make lint      formatting and clippy without warnings
# make coverage  which numbered requirements the tests name
# make bench     run the benchmarks of docs/benchmarks.md
# make fuzz      run every fuzz target for a while
.PHONY: help bench build coverage demo fuzz install lint setup-build setup-demo setup-test test

help:
	@sed -n 's/^# make/make/p' Makefile

setup-build setup-demo setup-test:
	@scripts/setup.sh $(@:setup-%=%)

build: setup-build
	cargo build

install: setup-build
	cargo install --locked --path . $(ARGS)

demo: setup-demo
	@echo "demo: building (the first build takes some minutes)"
	cargo build --features demo
	cargo run --quiet --features demo -- demo $(ARGS)

test: setup-test
	@if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --workspace --features demo; \
	else echo "test: cargo-nextest is not installed, using cargo test"; \
	     cargo test --workspace --features demo; fi
	@scripts/coverage.py --summary

lint: setup-build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features demo -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check bans licenses sources; \
	else echo "lint: cargo-deny is not installed; tests/architecture checks the licences"; fi

coverage:
	@scripts/coverage.py

bench: setup-test
	scripts/bench.sh

fuzz: setup-build
	scripts/fuzz.sh
