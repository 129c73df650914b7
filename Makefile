# What can be done here. `make` alone lists it.
#
# Everything that a target needs installs itself into ignored folders: .sandbox (Python), .tools, target. Wanted beside
# them: Rust with rustup, Python 3.11, Node 20 with npm, a C compiler, make.

# The versions of all tools that no lock file pins. Those of Python are in tests/sandbox/requirements.txt.
CARGO_DENY_VERSION := 0.20.2
CFN_LINT_VERSION := 1.51.0

# Above this the build fails: every megabyte of it has to be loaded before the first event.
ZIP_BYTES_MAX := 3500000
# The C library of Lambda's provided.al2023.
GLIBC_MAX := 2.34
# What must not be linked, since each brings a second TLS or HTTP stack.
UNWANTED := aws-lc-sys openssl-sys hyper@0.14 rustls@0.21

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .sandbox/venv
PYTHON := $(CURDIR)/$(VENV)/bin/python
CARGO_DENY := .tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CFN_LINT := .tools/cfn-lint-$(CFN_LINT_VERSION)/bin/cfn-lint
PYTHON_FILES := tests/bench tests/sandbox
LAMBDA_DIR := $(CARGO_TARGET_DIR)/lambda

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

##@ Try

.PHONY: demo
demo: $(VENV)/made ## Show a pool's whole life on a local AWS: created, updated under a running job, deleted
	@$(PYTHON) tests/sandbox/demo.py

.PHONY: sandbox
sandbox: $(VENV)/made ## Leave a local AWS running with the function deployed, and say how to play with it
	@cd tests/sandbox && $(PYTHON) -m sandbox up --deploy

.PHONY: sandbox-down
sandbox-down: $(VENV)/made ## End what `make sandbox` left running
	@cd tests/sandbox && $(PYTHON) -m sandbox down

##@ Check

.PHONY: check
# Of the release builds one: the other architecture has the same code, and takes as long again.
check: lint deny gates test build-x86-64 sandbox-test demo ## All that CI runs

.PHONY: fmt
fmt: $(VENV)/made ## Format Rust and Python
	cargo fmt
	$(VENV)/bin/ruff format --quiet $(PYTHON_FILES)

.PHONY: lint
lint: $(VENV)/made $(CFN_LINT) ## Check format, lints, documentation and templates, warnings denied
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	$(VENV)/bin/ruff format --quiet --check $(PYTHON_FILES)
	$(VENV)/bin/ruff check --quiet $(PYTHON_FILES)
	$(CFN_LINT) cfn/*.yaml

.PHONY: deny
deny: $(CARGO_DENY) ## Check the dependencies' licences, sources and doubles
	$(CARGO_DENY) --locked --config .deny.toml check --hide-inclusion-graph bans licenses sources

# Apart from `deny`, because its database is fetched from github.com; CI here has the package registries only.
.PHONY: advisories
advisories: $(CARGO_DENY) ## Check the dependencies against the RustSec advisories; needs github.com
	$(CARGO_DENY) --locked --config .deny.toml check advisories

# cargo tree says "did not match" of a crate that is in the lock file nowhere, and "nothing to print" of one that only
# tests use. Anything else, its own failures included, is no good news.
.PHONY: gates
gates: ## Check that no second TLS or HTTP stack is linked
	@for crate in $(UNWANTED); do \
		told=$$(cargo tree --locked --edges normal --target all --invert "$$crate" 2>&1 || true); \
		if ! grep -qE 'did not match any packages|nothing to print' <<< "$$told"; then \
			printf '%s\n%s must not be linked; above is what leads to it\n' "$$told" "$$crate" >&2; exit 1; \
		fi; \
		echo "not linked: $$crate"; \
	done

.PHONY: test
test: ## Run the Rust tests
	cargo test --locked

.PHONY: sandbox-test
sandbox-test: $(VENV)/made ## Run the real binary on a local AWS with a real CloudFormation engine
	$(PYTHON) -m pytest tests/sandbox

##@ Build

.PHONY: build
build: build-x86-64 build-arm64 ## Build the function for both architectures, and hold its size against the limit

# Both are linked by zig against the C library of Lambda, whatever this machine has; rustup fetches the other
# architecture's standard library at the first build.
.PHONY: build-x86-64 build-arm64
build-x86-64: TARGET := x86_64-unknown-linux-gnu
build-arm64: TARGET := aarch64-unknown-linux-gnu
build-x86-64 build-arm64: build-%: $(VENV)/made
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cargo lambda build --release --locked --target $(TARGET).$(GLIBC_MAX) \
		--output-format zip --lambda-dir $(LAMBDA_DIR)/$*
	@bytes=$$(stat -c %s $(LAMBDA_DIR)/$*/bootstrap/bootstrap.zip); \
	echo "$*: bootstrap.zip has $$bytes bytes (limit $(ZIP_BYTES_MAX))"; \
	test "$$bytes" -le $(ZIP_BYTES_MAX)
	@needed=$$(readelf --version-info $(CARGO_TARGET_DIR)/$(TARGET)/release/bootstrap \
		| grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -Vu | tail -1); \
	echo "$*: needs glibc $$needed (limit $(GLIBC_MAX))"; \
	test "$$(printf '%s\n' "$$needed" $(GLIBC_MAX) | sort -V | tail -1)" = $(GLIBC_MAX)

##@ Measure

# Not part of `check`: times depend on the machine's mood. Sizes and calls do not, and are checked there.
.PHONY: bench
bench: $(VENV)/made build-x86-64 ## Measure start, CPU, memory, size and calls beside Python and Node; ROUNDS=20
	@$(PYTHON) tests/bench/bench.py $(LAMBDA_DIR)/x86-64/bootstrap/bootstrap.zip

# Tools.

$(VENV)/made: tests/sandbox/requirements.txt
	@test -x $(VENV)/bin/python || python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --requirement $<
	@touch $@

$(CFN_LINT):
	python3 -m venv $(dir $(CFN_LINT))..
	$(dir $(CFN_LINT))pip install --quiet cfn-lint==$(CFN_LINT_VERSION)

# There is no prebuilt one in a package registry that still reads today's `cargo metadata`. Unoptimized it is built in a
# third of the time, and takes a second over this project all the same.
$(CARGO_DENY):
	CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$(CURDIR)/.tools/target cargo install --locked --debug --quiet \
		--no-default-features --root .tools/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny@$(CARGO_DENY_VERSION)
	rm -rf .tools/target
